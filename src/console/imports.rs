//! The history of imports, read from the ledger a page at a time.
//!
//! A record holds the whole resolved set of its bundle and may have tens of megabytes; what is said of it here is small and
//! kept, since a record never changes. So that many readers do not hold many records at once, one is read at a time.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::asked::Page;
use crate::bundle::format::{ArtifactState, BundleKind, CrateState, Parent};
use crate::failure::Failure;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;

/// Summaries that are kept; the oldest make room.
const MOST_KEPT: usize = 4096;

/// One import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Import {
    /// Its place in the order of imports.
    pub(super) number: u64,
    /// Whether its lineage has no newer bundle here: what it names is needed.
    pub(super) current: bool,
    /// What the record says; absent where it cannot be read (`verify --mirror DIR --rebuild-state` makes such records anew).
    #[serde(flatten)]
    pub(super) told: Option<Told>,
}

/// What a record says of its import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Told {
    /// The name of the bundle's file.
    pub(super) file: String,
    /// The bundle.
    pub(super) id: String,
    /// `full`, `delta` or `snapshot`.
    pub(super) kind: String,
    /// When the bundle was written (RFC 3339, UTC).
    pub(super) created: String,
    /// When it was imported (RFC 3339, UTC).
    pub(super) imported: String,
    /// Its history.
    pub(super) lineage: String,
    /// Its place in that history.
    pub(super) sequence: u64,
    /// The bundle that a delta builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<Base>,
    /// The toolchains that it offers.
    pub(super) toolchains: Vec<String>,
    /// Crates that it names, whether it brought them or relied on them.
    pub(super) crates: u64,
    /// Crates that it brought.
    pub(super) crates_shipped: u64,
    /// Files of rustup and of toolchains that it names.
    pub(super) rustup_artifacts: u64,
    /// Those of them that it brought.
    pub(super) rustup_artifacts_shipped: u64,
    /// Bytes of the crates and the other files that it brought.
    pub(super) bytes: u64,
    /// What the import warned of, one sentence each.
    pub(super) warnings: Vec<String>,
}

/// The bundle that a delta builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Base {
    /// The bundle.
    pub(super) id: String,
    /// The name of its file.
    pub(super) file: String,
}

/// A part of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct History {
    /// Imports on record.
    pub(super) total: u64,
    /// The number of this part, from 1.
    pub(super) page: u64,
    /// Imports in each part.
    pub(super) per_page: u64,
    /// The newest first.
    pub(super) packages: Vec<Import>,
}

/// What was read of the ledger so far.
#[derive(Default)]
pub(super) struct Imports(Mutex<HashMap<String, (Stamp, Option<Told>)>>);

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// The file's; `None` where there is none.
    pub(super) fn of(path: &Path) -> io::Result<Option<Stamp>> {
        match fs::metadata(path) {
            Ok(about) => Ok(Some(Stamp { size: about.len(), modified: about.modified().ok() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(e) => Err(e),
        }
    }
}

impl Imports {
    /// A part of the history, of which only the records on it are read.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn page(&self, layout: &Layout, page: Page) -> Result<History, Failure> {
        let mut names = ledger::names(layout)?;
        names.reverse();
        let head = ledger::head(layout)?.unwrap_or_default();
        let mut packages = Vec::new();
        for name in page.of(&names) {
            let number = ledger::sequence_of(name).unwrap_or(0);
            let current = head.lineages.iter().any(|lineage| lineage.record == *name);
            packages.push(Import { number, current, told: self.told(layout, name)? });
        }
        let (total, number, size) = (names.len() as u64, page.number as u64, page.size as u64);
        Ok(History { total, page: number, per_page: size, packages })
    }

    fn told(&self, layout: &Layout, name: &str) -> Result<Option<Told>, Failure> {
        let path = layout.ledger().join(name);
        let failed = |error| Failure::io(format!("could not read `{}`", path.display()), error);
        let Some(stamp) = Stamp::of(&path).map_err(failed)? else { return Ok(None) };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, told)) = kept.get(name).filter(|(known, _)| *known == stamp) {
            return Ok(told.clone());
        }
        let text = fs::read(&path).map_err(failed)?;
        let told = Record::parse(&text).map(|record| record.told());
        if kept.len() >= MOST_KEPT
            && let Some(oldest) = kept.keys().min().cloned()
        {
            kept.remove(&oldest);
        }
        kept.insert(name.to_owned(), (stamp, told.clone()));
        Ok(told)
    }
}

/// What is read of a record: nothing of it is copied.
#[derive(Deserialize)]
pub(super) struct Record<'r> {
    imported: String,
    file: String,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(borrow)]
    pub(super) manifest: Manifest<'r>,
}

#[derive(Deserialize)]
pub(super) struct Manifest<'r> {
    pub(super) id: String,
    created: String,
    kind: BundleKind,
    #[serde(default)]
    parent: Option<Parent>,
    #[serde(default)]
    toolchains: Vec<String>,
    #[serde(borrow)]
    pub(super) crates: Vec<Crate<'r>>,
    #[serde(default)]
    artifacts: Vec<Artifact>,
    lineage: Lineage,
}

#[derive(Deserialize)]
pub(super) struct Crate<'r> {
    pub(super) name: &'r str,
    pub(super) version: &'r str,
    #[serde(default)]
    size: u64,
    pub(super) state: CrateState,
    #[serde(default)]
    pub(super) description: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
struct Artifact {
    size: u64,
    state: ArtifactState,
}

#[derive(Deserialize)]
struct Lineage {
    id: String,
    sequence: u64,
}

impl<'r> Record<'r> {
    /// The record of this text; `None` where it has rotted.
    pub(super) fn parse(text: &'r [u8]) -> Option<Record<'r>> {
        serde_json::from_slice(text).ok()
    }

    /// The name of the bundle's file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    fn told(self) -> Told {
        let Record { imported, file, warnings, manifest } = self;
        let crates = manifest.crates.iter().filter(|one| one.state == CrateState::Shipped);
        let artifacts = manifest.artifacts.iter().filter(|one| one.state == ArtifactState::Shipped);
        let sizes = crates.clone().map(|one| one.size).chain(artifacts.clone().map(|one| one.size));
        Told {
            file,
            id: manifest.id,
            kind: manifest.kind.to_string(),
            created: manifest.created,
            imported,
            lineage: manifest.lineage.id,
            sequence: manifest.lineage.sequence,
            parent: manifest.parent.map(|Parent { id, file }| Base { id, file }),
            toolchains: manifest.toolchains,
            crates: manifest.crates.len() as u64,
            crates_shipped: crates.count() as u64,
            rustup_artifacts: manifest.artifacts.len() as u64,
            rustup_artifacts_shipped: artifacts.count() as u64,
            // What a record says may be any number.
            bytes: sizes.fold(0, u64::saturating_add),
            warnings,
        }
    }
}
