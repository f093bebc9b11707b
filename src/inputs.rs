//! Reads the user's inputs: depends.toml, Cargo.lock and rust-toolchain.toml.

pub mod toolchain_file;
pub mod depends;
pub mod lockfile;
pub mod lock_graph;
pub mod input_id;
