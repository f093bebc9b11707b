//! What the bundles that are not rejected, live mode and rebuilds state about content that rejected bundles left.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::candidates::{Candidates, Named, named_crates, parse_time};
use super::error::Error;
use super::needed_files::Lineages;
use crate::bundle::format::{BundleKind, DistFileState, Manifest};
use crate::digest::Sha256;
use crate::mirror::item::ItemId;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::live::LiveLineage;
use crate::mirror::retired;
use crate::mirror::summary::BundleToImport;

/// What the import of a bundle restores.
#[derive(Default)]
pub(super) struct Restored {
    pub(super) lines: u64,
    pub(super) files: u64,
}

/// What a bundle that is not rejected, live mode or a rebuild states about a candidate.
pub(super) struct Statement {
    pub(super) sha256: Sha256,
    pub(super) read_at: Timestamp,
    /// Whether the bundle has the index line of the crate.
    pub(super) has_line: bool,
    /// Whether the bundle contains the file.
    pub(super) has_file: bool,
    /// Whether the bundle refreshes the line of a crate that it does not contain.
    pub(super) is_refreshed: bool,
    /// Its position among the bundles; `None` for live mode and a rebuild.
    pub(super) bundle: Option<usize>,
}

/// The statements about each candidate, and the bundles that made them.
#[derive(Default)]
pub(super) struct Statements {
    of_item: HashMap<ItemId, Vec<Statement>>,
    /// Each bundle, with the id of the snapshot that included it.
    bundles: Vec<(BundleToImport, Option<String>)>,
    /// The files and the lineages of the snapshots, by id.
    snapshots: HashMap<String, [String; 2]>,
}

impl Statements {
    /// Collects what all other records and live mode state about the candidates.
    pub(super) fn collect(
        layout: &Layout,
        lineages: &Lineages,
        live: &LiveLineage,
        candidates: &Candidates,
    ) -> Result<Statements, Error> {
        let mut statements = Statements::default();
        let mut reader = Reader::new(layout);
        for name in &lineages.record_names {
            let Some(record) = reader.read(name)? else { continue };
            let (manifest, number) = (&record.manifest, ledger::record_number(name).unwrap_or(0));
            let lineage = &manifest.lineage.id;
            if lineage == REBUILT_LINEAGE {
                statements.add_rebuilt(manifest, number, candidates);
                continue;
            }
            if retired::is_rejected(&lineages.retirements, number, lineage) {
                continue;
            }
            // The records of its histories state its content.
            if manifest.kind == BundleKind::Snapshot {
                statements.snapshots.insert(manifest.id.clone(), [record.file, lineage.clone()]);
                continue;
            }
            statements.add_record(manifest, candidates);
            let bundle = BundleToImport {
                lineage: lineage.clone(),
                sequence: Some(manifest.lineage.sequence),
                bundle: manifest.id.clone(),
                file: record.file,
                lines: 0,
                files: 0,
            };
            statements.bundles.push((bundle, record.snapshot_id));
        }
        for record in live.current() {
            let has_line = record.item.crate_id().is_some();
            let (sha256, read_at) = (record.sha256, record.read_at);
            let statement = Statement { sha256, read_at, has_line, has_file: true, is_refreshed: false, bundle: None };
            statements.add(&record.item, statement, candidates);
        }
        Ok(statements)
    }

    fn add_record(&mut self, manifest: &Manifest, candidates: &Candidates) {
        let bundle = Some(self.bundles.len());
        for Named { id, sha256, read_at, has_line, has_file, is_refreshed, .. } in named_crates(manifest) {
            let statement = Statement { sha256, read_at, has_line, has_file, is_refreshed, bundle };
            self.add(&ItemId::Crate(id), statement, candidates);
        }
        for one in &manifest.dist_files {
            let (sha256, read_at) = (one.sha256, parse_time(manifest.dist_file_read_at(one)));
            let has_file = one.state == DistFileState::Shipped;
            let statement = Statement { sha256, read_at, has_line: false, has_file, is_refreshed: false, bundle };
            self.add(&ItemId::DistFile(one.path.clone()), statement, candidates);
        }
    }

    /// Adds the files of the record `number` of a rebuild. No import restores them.
    fn add_rebuilt(&mut self, manifest: &Manifest, number: u64, candidates: &Candidates) {
        let crates = named_crates(manifest).map(|one| (ItemId::Crate(one.id), one.sha256, Timestamp::MIN));
        let files = manifest
            .dist_files
            .iter()
            .map(|one| (ItemId::DistFile(one.path.clone()), one.sha256, parse_time(manifest.dist_file_read_at(one))));
        for (item, sha256, read_at) in crates.chain(files) {
            if candidates.is_later_than(number, &item) {
                let of_file =
                    Statement { sha256, read_at, has_line: false, has_file: false, is_refreshed: false, bundle: None };
                self.add(&item, of_file, candidates);
            }
        }
    }

    pub(super) fn about(&self, item: &ItemId) -> &[Statement] {
        self.of_item.get(item).map(Vec::as_slice).unwrap_or_default()
    }

    fn add(&mut self, item: &ItemId, statement: Statement, candidates: &Candidates) {
        if candidates.has(item) {
            self.of_item.entry(item.clone()).or_default().push(statement);
        }
    }

    /// The bundles that restore these numbers of lines and files. A history of a snapshot is imported with the snapshot.
    pub(super) fn bundles_to_import(&self, restored: &BTreeMap<usize, Restored>) -> Vec<BundleToImport> {
        let mut all: Vec<BundleToImport> = Vec::new();
        for (at, Restored { lines, files }) in restored {
            let Some((bundle, snapshot_id)) = self.bundles.get(*at) else { continue };
            let snapshot = snapshot_id.as_ref().and_then(|id| Some((id, self.snapshots.get(id)?)));
            let bundle = match snapshot {
                Some((id, [file, lineage])) => BundleToImport {
                    lineage: lineage.clone(),
                    sequence: None,
                    bundle: id.clone(),
                    file: file.clone(),
                    ..bundle.clone()
                },
                None => bundle.clone(),
            };
            match all.iter_mut().find(|known| known.bundle == bundle.bundle) {
                Some(known) => (known.lines, known.files) = (known.lines + lines, known.files + files),
                None => all.push(BundleToImport { lines: *lines, files: *files, ..bundle }),
            }
        }
        all
    }
}

/// The statement with the latest time; of several, that of the bundle imported last.
pub(super) fn latest<'s>(statements: impl Iterator<Item = &'s Statement>) -> Option<&'s Statement> {
    statements.max_by_key(|one| (one.read_at, one.bundle))
}
