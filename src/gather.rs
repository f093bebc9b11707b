//! What is needed (resolved by cargo itself), and its bytes, checked.

pub mod cargo_config;
