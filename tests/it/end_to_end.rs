//! The whole line, end to end: from what a project needs, over one file, to what cargo builds on the other side.

mod repeated_fetch;
mod builds;
mod inputs;
mod automation;
mod byte_for_byte;
pub mod fixture_registry;
