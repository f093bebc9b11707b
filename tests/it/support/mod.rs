//! What the tests stand on: a fake crates.io, a proxy, a hermetic run of our binary, and the real cargo as the judge.

pub mod client;
pub mod crates;
pub mod forge;
pub mod proxy;
pub mod published;
pub mod run;
pub mod sandbox;
pub mod stream;
pub mod synthetic;
pub mod tls;
pub mod upstream;
pub mod web;
