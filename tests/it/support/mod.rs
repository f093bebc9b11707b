//! What the tests stand on: a fake crates.io and static.rust-lang.org, a proxy, a hermetic run of our binary, and the real
//! cargo and rustup as the judges.

pub mod browser;
pub mod client;
pub mod crates;
pub mod dist;
pub mod forged_bundle;
pub mod nginx;
pub mod forward_proxy;
pub mod server_fixture;
pub mod range_response;
pub mod process;
pub mod rustup;
pub mod sandbox;
pub mod resettable_stream;
pub mod synthetic_mirror;
pub mod terminal;
pub mod tls;
pub mod upstream;
pub mod wait;
pub mod http_client;
