//! What is needed, resolved by cargo itself, and its bytes, checked.
//!
//! Data flows down this list: what the user wrote, what cargo is configured to use, what is resolved, what is downloaded.

pub mod seed;
pub mod history;
pub mod local_toolchain;
pub mod toolchain_file;
pub mod toolchains;
pub mod download;
pub mod resolve;
pub mod packaged_lock;
pub mod cache;
pub mod cargo;
pub mod loopback;
pub mod index;
pub mod site;
pub mod foresight;
pub mod index_spool;
pub mod index_file;
pub mod random;
pub mod cargo_config;
pub mod workspace;
pub mod depends;
pub mod lockfile;
pub mod lock_graph;
pub mod input_id;
