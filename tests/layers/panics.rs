//! Every place outside of tests that can raise a panic, with the reason why input cannot reach it.
//!
//! What comes from a bundle, an index line, a channel file, a request or a record is parsed into types with limits. A
//! new `expect`, assertion or index therefore needs a line here: say why no input can make it fail, or return an error.

use std::collections::BTreeMap;

use super::source::{SourceFile, Token, source_files, tokens, without_tests};

/// What can panic, in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PanicCount {
    /// `.expect(`, `.unwrap(`, `panic!`, `unreachable!`, `todo!`, `unimplemented!` and assertions.
    panics: usize,
    /// `VALUE[…]`, but for text keys of JSON and TOML values that the program made itself.
    indexes: usize,
}

/// File, panics raised, values indexed, and why no input reaches them.
type AllowedPanics = (&'static str, usize, usize, &'static str);

const JSON_SERIALIZATION: &str = "plain fields and text keys are always JSON";
const STRING_WRITE: &str = "a write to a String cannot fail";
const READ_LENGTH: &str = "`read` returns at most the buffer's length";
const LIFETIME_SLICE: &str = "a slice type behind a lifetime, which reads as an index";
const FOUND_POSITION: &str = "the position was found in this text or list just before";

#[rustfmt::skip]
const ALLOWED_PANICS: &[AllowedPanics] = &[
    ("bundle/block_checker.rs", 0, 2, "`read` returns at most the buffer's length"),
    ("bundle/compare.rs", 0, 5, FOUND_POSITION),
    ("bundle/brotli_stream.rs", 0, 4, READ_LENGTH),
    ("bundle/format.rs", 1, 0, JSON_SERIALIZATION),
    ("bundle/header.rs", 0, 20, "a header is an array of 96 bytes, cut at constants"),
    ("bundle/legacy.rs", 0, 6, "`read` returns at most the buffer's length; positions are those of a search"),
    ("bundle/index_line_checker.rs", 0, 6, FOUND_POSITION),
    ("bundle/manifest.rs", 0, 5, "`read` returns at most the buffer's length; the position is below the constant's length"),
    ("bundle/open.rs", 0, 2, READ_LENGTH),
    ("bundle/pack.rs", 0, 3, READ_LENGTH),
    ("bundle/validate.rs", 0, 17, FOUND_POSITION),
    ("bundle/sbom.rs", 0, 10, "a digest has 32 bytes, cut at constants"),
    ("bundle/sbom/license.rs", 0, 2, FOUND_POSITION),
    ("bundle/sanitize.rs", 1, 1, "a write to a String cannot fail; the unit is counted within its list"),
    ("bundle/verify.rs", 0, 1, READ_LENGTH),
    ("toolchain/dist_path.rs", 0, 4, FOUND_POSITION),
    ("toolchain/select.rs", 0, 1, LIFETIME_SLICE),
    ("toolchain/name.rs", 1, 0, "a parsed toolchain is words, digits, dots and dashes, at most 40 bytes"),
    ("client_setup.rs", 1, 0, "keys of settings are constants of at least two parts"),
    ("client_setup/config_edit.rs", 0, 5, "keys of settings are constants of at least two parts"),
    ("client_setup/config_file.rs", 1, 0, JSON_SERIALIZATION),
    ("credentials.rs", 0, 12, FOUND_POSITION),
    ("diagnostics/excerpt.rs", 0, 5, "positions of characters and line breaks that were searched"),
    ("diagnostics/toml_syntax.rs", 0, 10, FOUND_POSITION),
    ("commands/fetch.rs", 0, 2, FOUND_POSITION),
    ("commands/gc.rs", 1, 0, STRING_WRITE),
    ("web/response.rs", 1, 0, JSON_SERIALIZATION),
    ("web/api/export.rs", 1, 0, JSON_SERIALIZATION),
    ("web/api/gc.rs", 1, 0, JSON_SERIALIZATION),
    ("web/api/verify.rs", 1, 0, JSON_SERIALIZATION),
    ("web/pagination.rs", 0, 3, "both ends are limited to the list's length"),
    ("web/crate_catalog.rs", 0, 1, FOUND_POSITION),
    ("web/pages/chart.rs", 2, 0, STRING_WRITE),
    ("web/pages/config.rs", 0, 1, JSON_SERIALIZATION),
    ("web/pages/dashboard.rs", 0, 2, "full ranges"),
    ("web/pages/bundles.rs", 0, 1, JSON_SERIALIZATION),
    ("web/search.rs", 0, 1, LIFETIME_SLICE),
    ("web/sessions.rs", 0, 1, "a digest has 64 digits"),
    ("crate_id.rs", 1, 3, "a parsed name is ASCII of 1 to 64 bytes and a version has at most 150"),
    ("digest.rs", 0, 5, READ_LENGTH),
    ("durable.rs", 1, 0, "for crash tests, in debug builds alone"),
    ("fetch/write_bundle.rs", 1, 0, "a parsed name's index path is safe and has at most 76 bytes"),
    ("fetch/crate_cache.rs", 0, 1, "a crate's file name has at least 9 bytes, and its first two are ASCII"),
    ("fetch/cargo.rs", 0, 1, "a table that was made two lines before"),
    ("upstream/cargo_config/files.rs", 0, 2, FOUND_POSITION),
    ("bounded_read.rs", 0, 1, FOUND_POSITION),
    ("inputs/depends/json_edit.rs", 0, 1, "an array of constant length"),
    ("fetch/resolve/scratch_project.rs", 0, 1, "a table of a document that was made here"),
    ("fetch/resolve/cargo_errors.rs", 0, 2, FOUND_POSITION),
    ("fetch/init.rs", 0, 2, FOUND_POSITION),
    ("upstream/dist.rs", 0, 1, "an order that was counted here"),
    ("upstream/index_file.rs", 0, 1, "a digest has 64 digits"),
    ("upstream/dist/release.rs", 0, 1, "the text was fetched before, or the fetch had failed"),
    ("upstream/dist/rustup.rs", 3, 5, "constants, a version of at most 150 bytes and a known host; arrays of constant length"),
    ("upstream/dist/dist_cache.rs", 1, 1, JSON_SERIALIZATION),
    ("fetch/workspace.rs", 0, 1, FOUND_POSITION),
    ("http.rs", 1, 0, "digits are a header's value"),
    ("http/response_body.rs", 0, 1, "limited to the chunk's length"),
    ("index_line.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/dist_files.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/audit/index_entry.rs", 0, 4, FOUND_POSITION),
    ("mirror/audit/problem.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/import_order.rs", 0, 4, "positions are those of the list itself"),
    ("mirror/export/local_registry.rs", 0, 2, READ_LENGTH),
    ("mirror/export/vendor/unpack.rs", 0, 4, "`read` returns at most the buffer's length; the position was found in this text"),
    ("mirror/export/vendor.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/retired.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/gc/dist_rules.rs", 1, 0, "a constant path"),
    ("mirror/gc/apply.rs", 0, 2, "an order is a permutation of the changes; and a slice type behind a lifetime"),
    ("mirror/gc/needed_files.rs", 0, 1, LIFETIME_SLICE),
    ("mirror/gc/plan_report.rs", 0, 7, LIFETIME_SLICE),
    ("mirror/lineages.rs", 0, 1, FOUND_POSITION),
    ("mirror/transaction.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/watcher_state.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/layout.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/warnings.rs", 0, 1, LIFETIME_SLICE),
    ("mirror/ledger/seal.rs", 1, 6, "plain fields are JSON; places in a text that was just written; two lifetimes"),
    ("mirror/ledger/lost_records.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/ledger/record_file.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/ledger/record_name.rs", 0, 1, LIFETIME_SLICE),
    ("mirror/index_meta.rs", 1, 0, STRING_WRITE),
    ("mirror/live/merge_crates.rs", 0, 1, "an order is a permutation of the changes"),
    ("mirror/live/records.rs", 1, 2, "plain fields are JSON; lengths are limited to the text's"),
    ("mirror/lock.rs", 1, 0, JSON_SERIALIZATION),
    ("mirror/toolchains.rs", 1, 0, "a constant path"),
    ("mirror/topo_sort.rs", 0, 3, "positions are those of the list itself"),
    ("mirror/bundle_stager.rs", 0, 1, "a piece of content is at most as long as the buffer"),
    ("mirror/bundle_stager/incoming_dist_files.rs", 0, 1, LIFETIME_SLICE),
    ("mirror/bundle_stager/dist_files.rs", 3, 2, "a constant path, or a path without its ending; the position was found just before"),
    ("mirror/bundle_stager/dist_files/dropped_targets.rs", 1, 0, "a constant path"),
    ("mirror/snapshot.rs", 1, 0, "a parsed name's index path is safe and has at most 76 bytes; constants"),
    ("mirror/snapshot/tables.rs", 0, 1, FOUND_POSITION),
    ("line_column.rs", 0, 2, FOUND_POSITION),
    ("x509.rs", 0, 3, LIFETIME_SLICE),
    ("live/dist/sync.rs", 0, 1, "full ranges"),
    ("live/dist/file_set.rs", 1, 0, "a version has at most 150 bytes, a triple 100, and both are safe in paths"),
    ("live/prefetch_graph.rs", 0, 26, "places are those of this graph's own nodes and queries, none of which is ever removed"),
    ("live/access_times.rs", 1, 0, STRING_WRITE),
    ("server.rs", 0, 1, "a full range"),
    ("server/auth.rs", 0, 1, "a full range"),
    ("server/access_log.rs", 0, 2, FOUND_POSITION),
    ("server/conditional.rs", 0, 2, FOUND_POSITION),
    ("server/metrics.rs", 0, 7, "statuses and kinds are constants; their tables have a place for each"),
    ("server/file_cache.rs", 0, 1, "a digest has 64 digits"),
    ("server/sendfile.rs", 0, 2, "full ranges"),
    ("config/edit.rs", 0, 2, FOUND_POSITION),
    ("config/settings.rs", 2, 0, "defaults are constants"),
    ("watcher/processed.rs", 0, 1, FOUND_POSITION),
];

#[test]
fn every_possible_panic_has_a_reason() {
    let mut found = BTreeMap::new();
    for SourceFile { name, text } in source_files() {
        if name.ends_with("/tests.rs") || name.contains("/tests/") {
            continue;
        }
        let count = count_panics(&without_tests(&tokens(&text)));
        if count != PanicCount::default() {
            found.insert(name, count);
        }
    }
    let allowed: BTreeMap<&str, PanicCount> = ALLOWED_PANICS
        .iter()
        .map(|(file, raised, indexed, _)| (*file, PanicCount { panics: *raised, indexes: *indexed }))
        .collect();
    assert_eq!(allowed.len(), ALLOWED_PANICS.len(), "a file is listed twice");
    let mut problems = Vec::new();
    for (name, count) in &found {
        let known = allowed.get(name.as_str()).copied().unwrap_or_default();
        // Fewer than listed is fine: one was removed.
        if count.panics > known.panics || count.indexes > known.indexes {
            problems.push(format!("src/{name}: {count:?}, listed as {known:?}"));
        }
    }
    for name in allowed.keys().filter(|name| !found.contains_key(**name)) {
        problems.push(format!("src/{name}: nothing there can panic; remove its line"));
    }
    assert!(
        problems.is_empty(),
        "tests/layers/panics.rs does not fit the sources. Return an error where input can cause it; else give the \
         reason in the list:\n{}",
        problems.join("\n")
    );
}

fn count_panics(code: &[Token]) -> PanicCount {
    let text = |at: usize| code.get(at).map_or("", |token| token.text.as_str());
    let mut count = PanicCount::default();
    for at in 0..code.len() {
        let before = if at == 0 { "" } else { text(at - 1) };
        match (text(at), text(at + 1)) {
            ("expect" | "unwrap" | "expect_err" | "unwrap_err", "(") if before == "." => count.panics += 1,
            ("panic" | "unreachable" | "todo" | "unimplemented" | "assert" | "assert_eq" | "assert_ne", "!") => {
                count.panics += 1;
            }
            ("[", next) if next != "]" && is_value(before) => count.indexes += 1,
            _ => {}
        }
    }
    count
}

/// Whether a `[` behind this token indexes a value.
fn is_value(token: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "in", "return", "match", "if", "else", "mut", "ref", "dyn", "as", "break", "move", "let", "const", "for",
        "impl", "where", "static",
    ];
    let word = token.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_');
    (word && !KEYWORDS.contains(&token)) || matches!(token, ")" | "]" | "?")
}

#[test]
fn panics_and_indexes_are_counted_outside_of_tests() {
    let count = |source: &str| {
        let PanicCount { panics: raised, indexes: indexed } = count_panics(&without_tests(&tokens(source)));
        (raised, indexed)
    };
    assert_eq!(
        count(r#"fn f() { x.expect("a"); y.unwrap(); panic!("b"); assert_eq!(1, 1); debug_assert!(true); }"#),
        (4, 0)
    );
    assert_eq!(
        count("fn f(a: &[u8], b: [u8; 4]) -> Vec<[u8; 2]> { a[1]; f()[0]; a[..2][1]; for x in [1, 2] {} vec![1] }"),
        (0, 4)
    );
    assert_eq!(count(r#"#[derive(A)] #[allow(x, reason = "y")] fn f() { json["key"]; x.expected(); }"#), (0, 0));
    assert_eq!(count("#[cfg(all(test, unix))] mod tests { fn f() { x.unwrap(); a[1]; } } fn g() { b[2]; }"), (0, 1));
    assert_eq!(count("#[cfg(not(test))] fn f() { x.unwrap(); }"), (1, 0));
}
