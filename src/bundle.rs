//! The bundle, one file that crosses the gap: its format, its writer, its strict reader, and the reader of frostmirror 1.x
//! bundles.
//!
//! Start at [`format`](mod@format), which defines the format.

pub mod pack;
pub mod file_name;
pub mod compare;
pub mod describe;
pub mod sbom;
pub mod sanitize;
pub mod sequence;
pub mod package_metadata;
pub mod verify;
pub mod open;
mod reader;
mod legacy;
mod open_error;
pub mod set_bundle;
mod block_checker;
mod index_line_checker;
mod entry_visitor;
mod problem;
mod brotli_stream;
mod manifest;
mod validate;
mod head_rules;
mod invalid_manifest;
mod header;
pub mod format;
