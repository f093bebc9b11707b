//! Resolves the dependencies with cargo, and downloads and checks the files.
//!
//! Data flows down this list: the user's files, cargo's configuration, the resolution, the downloads.

pub mod init;
pub mod history;
pub mod substitute_toolchain;
pub mod toolchain_file;
pub mod toolchains;
pub mod crate_downloader;
pub mod resolve;
pub mod packaged_lock;
pub mod crate_cache;
pub mod cargo;
pub mod local_registry;
pub mod index_snapshot;
pub mod registry_client;
pub mod prefetch;
pub mod index_spool;
pub mod index_file;
pub mod random;
pub mod cargo_config;
pub mod workspace;
pub mod depends;
pub mod lockfile;
pub mod lock_graph;
pub mod input_id;
