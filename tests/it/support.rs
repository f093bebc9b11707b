//! What the tests share.

pub mod forge;
