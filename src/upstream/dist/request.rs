//! The toolchains that an input requests.

use serde::{Deserialize, Serialize};

use crate::toolchain::{SelectionRequest, ToolchainName};

/// The toolchain request of one input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolchainRequest {
    /// The toolchains by name.
    pub toolchains: Vec<ToolchainName>,
    /// The selection for each of them.
    #[serde(rename = "wanted")]
    pub selection: SelectionRequest,
}
