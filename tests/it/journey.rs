//! The whole line, end to end: from what a project needs, over one file, to what cargo builds on the other side.

mod again;
mod builds;
mod inputs;
mod machines;
mod mirrored;
pub mod world;
