//! What is needed, resolved by cargo itself, and its bytes, checked.
//!
//! Data flows down this list: what the user wrote, what cargo is configured to use, what is resolved, what is downloaded.

pub mod seed;
pub mod workspace;
pub mod depends;
pub mod lockfile;
pub mod place;
pub mod cargo_config;
