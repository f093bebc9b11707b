//! Options of an import.

use jiff::Timestamp;

use crate::client_setup::BaseUrl;

/// Options of an import.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// Write `index/config.json` for this address.
    pub base_url: Option<BaseUrl>,
    /// Compare stored files with those in the bundle, and hash those that it relies on. Otherwise their size is
    /// trusted.
    pub verify_existing: bool,
    /// The name of the bundle's file, for records and reports.
    pub file_name: String,
    /// The length of the bundle's file in bytes, if it is a file.
    pub bundle_length: Option<u64>,
    /// The time of the import.
    pub now: Timestamp,
}
