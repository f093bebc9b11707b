//! What is needed, and its bytes: requests are read here, resolved by cargo itself, downloaded and checked.

pub mod seed;
pub mod workspace;
pub mod depends;
pub mod lockfile;
pub mod place;
