//! One file that crosses the gap: its format, its writer, its strict reader, and frostmirror 1.x's bundles.
//!
//! Start at [`format`](mod@format): the page there is the contract.

pub mod pack;
pub mod name;
pub mod compare;
pub mod describe;
pub mod sbom;
pub mod shown;
pub mod about;
pub mod verify;
pub mod open;
mod legacy;
mod block;
mod lines;
mod encoded;
mod manifest;
mod rules;
mod header;
pub mod format;
