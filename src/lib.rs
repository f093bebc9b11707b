//! # The house
//!
//! Data flows down this line, and imports point the other way, always to a lower floor:
//!
//! ```text
//! depends.toml / Cargo.lock -> gather (resolve, download) -> bundle::pack -> [ .pkg crosses the gap ]
//!     -> bundle::verify -> mirror::import -> mirror/ on disk -> serve -> cargo, rustup, a browser
//!
//! live mode, online: a miss in serve -> proxy (asks upstream, checks, passes on) -> mirror::live -> mirror/ on disk
//! ```
//!
//! The order of the `mod` lines below is the tower, top floor first; `tests/layers.rs` holds every file to it.
//!
//! | station | where | what it does |
//! |---|---|---|
//! | words | [`cli`], [`commands`] | flags and verbs into library calls; one verb, one file |
//! | journey | [`fetch`] | the online half as one call: gather, pack, verify, record |
//! | gather | [`gather`] | what is needed (resolved by cargo itself), and its bytes, checked |
//! | bundle | [`bundle`] | one file that crosses the gap: written, read, verified |
//! | mirror | [`mirror`] | the tree on disk: import under a lock, all or nothing |
//! | closure | [`closure`] | can this Cargo.lock be built from these bundles, or from this mirror? |
//! | live mode | [`proxy`] | what the mirror lacks: fetched, checked, passed on, placed |
//! | serve | [`serve`] | the tree over HTTP, for cargo |
//! | console | [`console`] | the REST API and the web pages, on the same port |
//! | watch | [`watch`] | the incoming folder: what is whole goes into the mirror |
//! | guide | [`guide`] | the user's guide, chapter by chapter, in the binary |
//! | channel | [`channel`] | which files a Rust toolchain is made of; pure |
//! | telling | [`failure`], [`report`] | the only text that a failing user sees; the only file that prints |
//!
//! # Invariants
//!
//! - A bundle's reader never extracts by itself: it streams entries, and the importer places them.
//! - [`bundle`] knows neither network nor mirror; [`serve`] knows no bundle; [`gather`] knows no mirror.
//! - An index line only names a stored, verified crate (or one recorded as index-only).
//! - Write order: blobs, then index files (dependencies before dependents), then the record of the import; the record
//!   is the commit. [`serve`] takes no lock.
//! - Switched off, live mode asks nobody for anything. On, it fetches only what upstream's index or a channel manifest lists,
//!   and places only what has the digest stated there.
//! - Blobs are written once and never overwritten while their digest holds; the same name with another digest is an
//!   integrity error.
//! - Mutations of a mirror exist only as methods on a lock guard.
//! - Names, versions, paths and digests are parsed once, at the edge, into types that cannot be wrong.
//! - Nothing ambient below [`commands`]: environment, current directory, clock and stdio come in through the door
//!   ([`commands::Context`]).
//!
//! # Path on disk -> room
//!
//! | path | room |
//! |---|---|
//! | `mirror/…` | [`mirror::layout`] |
//! | `INCOMING/*.pkg`, `done/`, `failed/` | [`watch`] |
//! | `mirror/.frostmirror/live/index/…` | [`proxy`] |
//! | `$FROSTMIRROR_HOME/cache/…` | [`gather::crate_cache`] |
//! | `$FROSTMIRROR_HOME/cache/dist/…` | [`gather::toolchains`] |
//! | `$FROSTMIRROR_HOME/history/…` | [`gather::history`] |
//! | `$FROSTMIRROR_HOME/scratch/…`, `cache/tmp/…` | [`scratch`] |
//! | `OUTPUT/YYYYMMDD-HHMM-crates.pkg` | [`bundle::pack`] |
//! | `$CARGO_HOME/config.toml` | [`client_setup`] |
//! | `CONFIG/frostmirror.toml`, `CONFIG/depends.toml` | [`config`] |

pub mod cli;
pub mod commands;
pub mod terminal;
pub mod web;
pub mod watcher;
pub mod error_report;
pub mod fetch;
pub mod lock_coverage;
pub mod server;
pub mod live;
pub mod mirror;
pub mod bundle;
pub mod gather;
pub mod config;
pub mod client_setup;
pub mod guide;
pub mod event;
pub mod index_line;
pub mod toolchain;
pub mod mirror_file;
pub mod crate_id;
pub mod safe_path;
pub mod http;
pub mod diagnostics;
pub mod line_column;
pub mod units;
pub mod digest;
pub mod scratch;
pub mod process_lock;
pub mod durable;
pub mod panics;
pub mod env;
