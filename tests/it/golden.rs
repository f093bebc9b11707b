//! What is persisted or sent keeps its form: files of bundles, histories, caches and mirrors, JSON messages, API answers
//! and metrics, each compared with `tests/it/snapshots/golden/NAME.txt`.
//!
//! A renamed Rust field or variant changes one of these files unless it has `#[serde(rename = "…")]`. Times, ids, digests,
//! sizes, versions and ports are replaced by placeholders; texts for people are not part of a form. A change of a form is
//! made on its format page first (`src/bundle/format.rs`, `src/mirror/layout.rs`), and then with
//! `SNAPSHOTS=overwrite cargo test --test it golden`.

use std::path::Path;

use snapbox::Data;
use snapbox::data::DataFormat;

mod disk;
mod messages;
mod text;
mod web;

/// Compares `found` with the stored form called `name`.
#[track_caller]
fn assert_form(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/snapshots/golden/{name}.txt"));
    let expected = Data::read_from(&path, Some(DataFormat::Text));
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(found.to_owned(), expected.raw());
}
