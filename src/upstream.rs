//! Talks to registries and to the toolchain server, for `fetch` and for live mode alike.
//!
//! Cargo's configuration decides which registry, proxy and token are used.

pub mod dist;
pub mod file_batch;
pub mod registry_client;
pub mod prefetch;
pub mod index_file;
pub mod cargo_config;
