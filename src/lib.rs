//! # Architecture
//!
//! Data flows down this line. Imports point the other way, always to a lower layer:
//!
//! ```text
//! depends.toml / Cargo.lock -> fetch (resolve, download) -> bundle::pack -> [ .pkg crosses the gap ]
//!     -> bundle::verify -> mirror::import -> mirror/ on disk -> server -> cargo, rustup, a browser
//!
//! live mode, online: a miss in server -> live (asks upstream, checks, passes on) -> mirror::live -> mirror/ on disk
//! ```
//!
//! The order of the `mod` lines below is the order of the layers, top first. `tests/layers.rs` checks every file.
//!
//! | task | module | what it does |
//! |---|---|---|
//! | command line | [`cli`], [`commands`] | turns flags and verbs into library calls; one verb, one file |
//! | fetch | [`fetch`] | the connected side as one call: resolve with cargo, download, pack, verify, record |
//! | inputs | [`inputs`] | reads depends.toml, Cargo.lock and rust-toolchain.toml |
//! | upstream | [`upstream`] | registries and the toolchain server, for `fetch` and live mode alike |
//! | bundle | [`bundle`] | the file that crosses the gap: written, read, verified |
//! | mirror | [`mirror`] | the tree on disk: imported into under a lock, all or nothing |
//! | closure | [`lock_coverage`] | whether these bundles, or this mirror, can build a Cargo.lock |
//! | live mode | [`live`] | fetches from upstream what the mirror lacks, checks it, passes it on, stores it |
//! | server | [`server`] | serves the tree over HTTP for cargo and rustup; its parts share a [`server_context`] |
//! | web | [`web`] | the REST API and the web pages, on the same port |
//! | watcher | [`watcher`] | imports each complete file of the incoming folder |
//! | guide | [`guide`] | the user's guide, chapter by chapter, in the binary |
//! | sets | [`sharded_set`] | what a lineage needs, in shards: changes cost what changed; no files |
//! | toolchains | [`toolchain`] | which files a Rust toolchain consists of; pure |
//! | output | [`error_report`], [`terminal`] | class, hint and exit code of every error; the only file that prints |
//!
//! # Invariants
//!
//! - A bundle's reader never extracts by itself: it streams entries, and the importer stores them.
//! - [`bundle`] knows neither network nor mirror; [`server`] knows no bundle; [`fetch`] and [`upstream`] know no mirror.
//! - An index line only names a stored, verified crate (or one recorded as index-only).
//! - Write order: blobs, then index files (dependencies before dependents), then the record of the import. The record
//!   is the commit. [`server`] takes no lock.
//! - Switched off, live mode sends no request. Switched on, it fetches only what upstream's index or a channel manifest lists,
//!   and stores only what has the digest stated there.
//! - Blobs are written once and never overwritten while their digest matches. The same name with another digest is an
//!   integrity error.
//! - Mutations of a mirror exist only as methods on a lock guard.
//! - Names, versions, paths and digests are parsed once, at the edge, into types that cannot be wrong.
//! - Nothing ambient below [`commands`]: environment, current directory, clock and stdio are parameters
//!   ([`commands::Context`]).
//!
//! # Path on disk -> module
//!
//! | path | module |
//! |---|---|
//! | `mirror/…` | [`mirror::layout`] |
//! | `INCOMING/*.pkg`, `done/`, `failed/` | [`watcher`] |
//! | `mirror/.frostmirror/live/index/…` | [`live`] |
//! | `$FROSTMIRROR_HOME/cache/…` | [`fetch::crate_cache`] |
//! | `$FROSTMIRROR_HOME/cache/dist/…` | [`upstream::dist`] |
//! | `$FROSTMIRROR_HOME/history/…` | [`fetch::history`] |
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
pub mod server_context;
pub mod mirror;
pub mod bundle;
pub mod upstream;
pub mod inputs;
pub mod config;
pub mod client_setup;
pub mod guide;
pub mod event;
pub mod sharded_set;
pub mod index_line;
pub mod toolchain;
pub mod mirror_file;
pub mod crate_id;
pub mod safe_path;
pub mod http;
pub mod bounded_read;
pub mod diagnostics;
pub mod toml_document;
pub mod line_column;
pub mod parallel;
pub mod generational_map;
pub mod credentials;
pub mod x509;
pub mod units;
pub mod id_prefix;
pub mod digest;
pub mod scratch;
pub mod process_lock;
pub mod file_stamp;
pub mod durable;
pub mod random;
pub mod panics;
pub mod error_chain;
pub mod env;
