//! A set by its digest.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// A set by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSummary {
    /// SHA-256 of its list of shards.
    pub root: Sha256,
    /// The number of its rows.
    pub rows: u64,
}

impl fmt::Display for SetSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (rows: {})", self.root, self.rows)
    }
}
