//! What the tests stand on: a fake crates.io and static.rust-lang.org, a proxy, a hermetic run of our binary, and the real
//! cargo and rustup as the judges.

pub mod browser;
pub mod client;
pub mod crates;
pub mod dist;
pub mod forge;
pub mod nginx;
pub mod proxy;
pub mod published;
pub mod ranges;
pub mod run;
pub mod rustup;
pub mod sandbox;
pub mod stream;
pub mod synthetic;
pub mod tls;
pub mod upstream;
pub mod web;
