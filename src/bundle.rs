//! bundle
pub mod format;
