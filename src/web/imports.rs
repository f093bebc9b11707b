//! The import history, read from the ledger page by page.
//!
//! Only the first line of a record is read. It is cached, since a record never changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

use super::pagination::Pagination;
use super::visible_text::visible_text;
use crate::bundle::format::Parent;
use crate::error_report::Failure;
use crate::file_stamp::FileStamp;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, BundleHeader, RecordHeader};
use crate::server_context::ServerContext;

/// Maximum number of cached summaries; the oldest are dropped.
const MAX_CACHED: usize = 4096;

/// An import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Import {
    /// Its number in the order of imports.
    pub(super) number: u64,
    /// Whether it is the newest of its lineage here, so that its files are referenced.
    pub(super) current: bool,
    /// The record's summary; absent if the record is unreadable (`verify --mirror DIR --rebuild-state` rebuilds such
    /// records).
    #[serde(flatten)]
    pub(super) info: Option<ImportInfo>,
}

/// The summary of an import record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ImportInfo {
    /// The bundle's file name.
    pub(super) file: String,
    /// The bundle's ID.
    pub(super) id: String,
    /// `full`, `delta` or `snapshot`.
    pub(super) kind: String,
    /// The bundle's creation time (RFC 3339, UTC).
    pub(super) created: String,
    /// The time of the import (RFC 3339, UTC).
    pub(super) imported: String,
    /// The history's ID.
    pub(super) lineage: String,
    /// The position in that history.
    pub(super) sequence: u64,
    /// The base bundle of a delta.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<ParentBundle>,
    /// The available toolchains.
    pub(super) toolchains: Vec<String>,
    /// The number of crates that it names, including those of its base.
    pub(super) crates: u64,
    /// The number of crates that it contained.
    pub(super) crates_shipped: u64,
    /// The number of dist files that it names.
    #[serde(rename = "rustup_artifacts")]
    pub(super) dist_files: u64,
    /// The number of dist files that it contained.
    #[serde(rename = "rustup_artifacts_shipped")]
    pub(super) dist_files_shipped: u64,
    /// The size in bytes of the crates and dist files that it contained.
    pub(super) bytes: u64,
    /// The warnings of the import, one sentence each.
    pub(super) warnings: Vec<String>,
}

/// The base bundle of a delta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ParentBundle {
    /// The bundle's ID.
    pub(super) id: String,
    /// Its file name.
    pub(super) file: String,
}

/// A page of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ImportHistory {
    /// The number of recorded imports.
    pub(super) total: u64,
    /// The page number, from 1.
    pub(super) page: u64,
    /// The page size in imports.
    pub(super) per_page: u64,
    /// Newest first.
    #[serde(rename = "packages")]
    pub(super) bundles: Vec<Import>,
}

impl ImportHistory {
    /// The page as this client may see it. Readers see no paths of the host.
    pub(super) fn visible(mut self, context: &ServerContext, is_admin: bool) -> ImportHistory {
        let infos = self.bundles.iter_mut().filter_map(|import| import.info.as_mut());
        for warning in infos.flat_map(|info| &mut info.warnings) {
            *warning = visible_text(context, warning, is_admin);
        }
        self
    }
}

/// The cached part of the ledger.
#[derive(Default)]
pub(super) struct ImportCache(Mutex<HashMap<String, (FileStamp, Option<ImportInfo>)>>);

impl ImportCache {
    /// A page of the history; only its records are read.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn page(&self, layout: &Layout, page: Pagination) -> Result<ImportHistory, Failure> {
        let mut names = ledger::record_names(layout)?;
        names.reverse();
        let head = ledger::read_summary(layout)?.unwrap_or_default();
        let mut bundles = Vec::new();
        for name in page.slice(&names) {
            let number = ledger::record_number(name).unwrap_or(0);
            let current = head.lineages.iter().any(|lineage| lineage.record == *name);
            bundles.push(Import { number, current, info: self.read_info(layout, name)? });
        }
        let (total, number, size) = (names.len() as u64, page.number as u64, page.size as u64);
        Ok(ImportHistory { total, page: number, per_page: size, bundles })
    }

    /// The file name of the bundle of a record; `None` if the record is unreadable.
    pub(super) fn file_of(&self, layout: &Layout, name: &str) -> Option<String> {
        Some(self.read_info(layout, name).ok()??.file)
    }

    fn read_info(&self, layout: &Layout, name: &str) -> Result<Option<ImportInfo>, Failure> {
        let path = layout.ledger().join(name);
        let failed = |error| Failure::io(format!("could not read `{}`", path.display()), error);
        let Some(stamp) = FileStamp::read(&path).map_err(failed)? else { return Ok(None) };
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, info)) = cache.get(name).filter(|(cached_stamp, _)| *cached_stamp == stamp) {
            return Ok(info.clone());
        }
        let header = ledger::read_header(layout, name).map_err(|error| failed(error.source))?;
        let info = header.map(ImportInfo::from);
        if cache.len() >= MAX_CACHED
            && let Some(oldest) = cache.keys().min().cloned()
        {
            cache.remove(&oldest);
        }
        cache.insert(name.to_owned(), (stamp, info.clone()));
        Ok(info)
    }
}

impl From<RecordHeader> for ImportInfo {
    fn from(record: RecordHeader) -> ImportInfo {
        let RecordHeader { imported_at, file, warnings, bundle, .. } = record;
        let BundleHeader { id, created, kind, parent, toolchains, lineage, contents } = bundle;
        ImportInfo {
            file,
            id,
            kind: kind.to_string(),
            created,
            imported: imported_at,
            lineage: lineage.id,
            sequence: lineage.sequence,
            parent: parent.map(|Parent { id, file }| ParentBundle { id, file }),
            toolchains,
            crates: contents.crates,
            crates_shipped: contents.crates_shipped,
            dist_files: contents.dist_files,
            dist_files_shipped: contents.dist_files_shipped,
            bytes: contents.bytes,
            warnings,
        }
    }
}
