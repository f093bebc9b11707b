//! Refuses a bundle that has another file at an immutable path than the mirror.
//!
//! Upstream never replaces such a file, so one of the two is false, and the mirror cannot tell which. A record of a rejected
//! bundle or of a forgotten lineage proves nothing: if no other record and not live mode states the stored file, the
//! bundle's file replaces it. So it does if no record states the stored file and one states that of the bundle.

use super::conflict_sources::ConflictSources;
use super::error::{Error, Problems};
use crate::bundle::format::{BundleKind, DistFileState, Manifest};
use crate::mirror::bundle_stager::dist_files::ReplacedDistFile;
use crate::mirror::crate_sources::BundleSource;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{self, Reader};
use crate::mirror::lineages::{LineageTip, REBUILT_LINEAGE, describe_bundle};
use crate::mirror::live::LiveLineage;
use crate::mirror::retired;

/// What the mirror knows about a stored file.
#[derive(Clone, Copy, Default)]
struct Support {
    /// A record that counts, or live mode, states it.
    is_supported: bool,
    /// Otherwise it is false: a record of a rejected bundle or of a forgotten lineage states it, or a record that counts states
    /// the file of the bundle.
    is_refuted: bool,
}

/// Returns an error if the bundle `manifest` in `file` must not replace one of these files.
pub(super) fn check(
    layout: &Layout,
    manifest: &Manifest,
    replaced: &[ReplacedDistFile],
    file: &str,
) -> Result<(), Error> {
    if replaced.is_empty() {
        return Ok(());
    }
    let mut support = vec![Support::default(); replaced.len()];
    let (mut bundles, mut is_live): (Vec<BundleSource>, bool) = (Vec::new(), false);
    let notes = retired::read_retirements(layout)?;
    let mut reader = Reader::new(layout);
    for name in ledger::record_names(layout)? {
        let Some(record) = reader.read(&name)? else { continue };
        let (stating, number) = (&record.manifest, ledger::record_number(&name).unwrap_or(0));
        let lineage = stating.lineage.id.as_str();
        let is_retired = retired::is_retired(&notes, number, lineage);
        let mut states_any = false;
        for (one, support) in replaced.iter().zip(&mut support) {
            // The import did not compare the files of other inputs.
            let mut own = stating.dist_files.iter().filter(|stated| stated.state != DistFileState::Kept);
            if own.any(|stated| stated.path == one.path && stated.sha256 == one.stored) {
                states_any = true;
                support.is_refuted |= is_retired;
                support.is_supported |= !is_retired;
            }
            let mut own = stating.dist_files.iter().filter(|stated| stated.state != DistFileState::Kept);
            support.is_refuted |= !is_retired && own.any(|known| known.path == one.path && known.sha256 == one.stated);
        }
        // A rebuild brought no file, and the records of a snapshot's histories state its content.
        let is_source = states_any && !is_retired && lineage != REBUILT_LINEAGE && stating.kind != BundleKind::Snapshot;
        if is_source && bundles.iter().all(|known| known.bundle != stating.id) {
            bundles.push(BundleSource {
                lineage: lineage.to_owned(),
                bundle: stating.id.clone(),
                description: describe_bundle(&LineageTip::from_manifest(stating, name.clone()), &record.file),
                is_snapshot: false,
            });
        }
    }
    for record in LiveLineage::read(layout)?.current() {
        let path = record.item.dist_file_path();
        for (one, support) in replaced.iter().zip(&mut support) {
            if path == Some(&one.path) && record.sha256 == one.stored {
                support.is_supported = true;
                is_live = true;
            }
        }
    }
    let refused = replaced.iter().zip(&support).filter(|(_, support)| support.is_supported || !support.is_refuted);
    let refused: Vec<&ReplacedDistFile> = refused.map(|(one, _)| one).collect();
    let texts: Vec<String> = refused
        .iter()
        .map(|one| {
            format!(
                "the mirror has `{}` with the digest {}, but the bundle has it with {}, and upstream never replaces this file",
                one.path, one.stored, one.stated
            )
        })
        .collect();
    let Some(first) = refused.first() else { return Ok(()) };
    let sources = ConflictSources::of_dist_files(manifest, file, bundles, is_live, &first.path);
    let Problems(mut lines) = Problems::summarize(&texts);
    lines.extend(sources.sentences());
    Err(Error::Conflicts { file: file.to_owned(), conflicts: Problems(lines), sources: Box::new(sources) })
}
