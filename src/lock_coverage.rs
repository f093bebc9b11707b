//! Checks whether a Cargo.lock can be built from a chain of bundles, from a mirror, or from both.
//!
//! Each crates.io package in the lockfile must exist with the lockfile's checksum: as an entry of a bundle, or as a file and
//! an index line of the mirror. For unused patches and replaced packages, cargo only reads the index line. A delta without a
//! crate relies on its base or on the mirror, which must be among the arguments; otherwise the delta cannot be imported. A
//! crate that a platform filter left out has an index line but no file. Cargo needs no more on the bundle's platforms; such
//! crates are counted separately. So are crates that live mode offered and no client downloaded: a snapshot of the mirror has
//! their index lines. A crate that another stored crate needs on every platform is missing nevertheless, and so is everything
//! if no crate of the lockfile is stored: then no client built it through the mirror. A crates.io mirror cannot contain packages of git or of other registries.
//!
//! Bundles are trusted, because `verify` has checked them before; the mirror's files are hashed here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use semver::VersionReq;

use crate::bundle::format::{CrateState, Manifest};
use crate::bundle::sanitize::sanitize_line;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::IndexLine;
use crate::inputs::lockfile::{ForeignPackage, Lockfile};
use crate::mirror::layout::Layout;
use crate::mirror::{index_meta, ledger, transaction, unstored_lines};
use crate::units::pluralize;

mod skipping_inputs;

use skipping_inputs::SkippedPackages;
pub use skipping_inputs::SkippingInput;

/// Maximum number of inputs that a problem names.
const MAX_SHOWN_INPUTS: usize = 4;
/// Where the line of a package is that live mode offered.
const OFFERED_LOCATION: &str = "live mode's copy of upstream's index";

/// The result of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockCoverage {
    /// Number of crates.io packages in the lockfile.
    pub packages: usize,
    /// Number of those packages whose file a platform filter left out.
    pub index_only: Vec<CrateId>,
    /// Packages that live mode offered and no client downloaded.
    pub only_offered: Vec<CrateId>,
    /// All problems that prevent the build.
    pub gaps: Vec<CoverageGap>,
}

/// A problem that prevents the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoverageGap {
    /// A package is missing.
    Missing(CrateId),
    /// A package's checksum differs from the lockfile's.
    ChecksumMismatch {
        /// The package.
        id: CrateId,
        /// The lockfile's checksum.
        locked: Sha256,
        /// The found checksum.
        found: Sha256,
        /// The file with that checksum.
        location: String,
    },
    /// The package has an index line but no file.
    MissingFile(CrateId),
    /// Live mode offered the package, and its file is missing, but a stored crate needs it on every platform.
    NeededFile {
        /// The package.
        id: CrateId,
        /// The stored crate.
        needed_by: CrateId,
    },
    /// The package's file does not match the digest of its index line.
    DamagedFile(CrateId),
    /// The package has a file but no index line.
    MissingIndexLine(CrateId),
    /// A package that cargo only needs in the index has no line there.
    MissingUnbuiltLine(CrateId),
    /// A package of git or of another registry.
    ForeignPackage {
        /// The package.
        package: ForeignPackage,
        /// The inputs of bundles that were fetched without it: the lock's own input if it is among them, otherwise all.
        skipped_by: Vec<SkippingInput>,
    },
    /// A bundle relies on crates that neither the other bundles nor the mirror have.
    MissingBase {
        /// The bundle.
        file: String,
        /// Its base bundle's file.
        parent: Option<String>,
        /// The number of missing crates.
        missing: usize,
        /// The first missing crate.
        first: CrateId,
    },
}

impl fmt::Display for CoverageGap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoverageGap::Missing(id) => write!(f, "{id}: is missing"),
            CoverageGap::ChecksumMismatch { id, locked, found, location: place } => {
                write!(f, "{id}: the lock has the checksum {locked}, but {place} has {found}")
            }
            CoverageGap::MissingFile(id) => write!(f, "{id}: the mirror's index lists it, but its file is missing"),
            CoverageGap::NeededFile { id, needed_by } => write!(f, "{id}: is missing, but {needed_by} needs it"),
            CoverageGap::DamagedFile(id) => write!(f, "{id}: its file in the mirror is damaged"),
            CoverageGap::MissingIndexLine(id) => {
                write!(f, "{id}: the mirror has its file, but the mirror's index does not list it")
            }
            CoverageGap::MissingUnbuiltLine(id) => {
                write!(f, "{id}: is missing (an unused patch or a replaced package, whose index line cargo reads)")
            }
            CoverageGap::ForeignPackage { package, skipped_by } => {
                let ForeignPackage { name, version, source, unused_patch } = package;
                let note = if *unused_patch { " (an unused patch that cargo loads nevertheless)" } else { "" };
                write!(f, "{name} {version}: a bundle cannot contain it, because it is from {source}{note}")?;
                // Both texts come from a bundle, so they are sanitized.
                let describe = |SkippingInput { name, reason }: &SkippingInput| {
                    (format!("`{}`", sanitize_line(name)), format!("({})", sanitize_line(reason)))
                };
                match skipped_by.as_slice() {
                    [] => Ok(()),
                    [input] => {
                        let (name, reason) = describe(input);
                        write!(f, "; {name} was fetched without it {reason}")
                    }
                    inputs => {
                        let shown: Vec<String> = inputs
                            .iter()
                            .take(MAX_SHOWN_INPUTS)
                            .map(|input| {
                                let (name, reason) = describe(input);
                                format!("{name} {reason}")
                            })
                            .collect();
                        let rest = if inputs.len() > shown.len() { ", and others" } else { "" };
                        write!(f, "; these inputs were fetched without it: {}{rest}", shown.join(", "))
                    }
                }
            }
            CoverageGap::MissingBase { file, parent, missing, first } => {
                let parent = parent.as_deref().unwrap_or("an earlier bundle");
                // The bundle chose the file name, so it is sanitized.
                let parent = parent.escape_debug();
                write!(
                    f,
                    "{file}: builds on {parent}, but {} that it needs {} missing, first {first}",
                    pluralize(*missing, "crate"),
                    if *missing == 1 { "is" } else { "are" }
                )
            }
        }
    }
}

/// A file of the mirror cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system's error.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A valid bundle.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedBundle<'m> {
    /// Its file name, for problems.
    pub file: &'m str,
    /// Its manifest.
    pub manifest: &'m Manifest,
}

/// Checks `lock` against the bundles `chain` and a mirror; either may be absent. The order of the chain does not matter.
///
/// # Errors
/// An existing file of the mirror cannot be read.
pub fn check_lock_coverage(
    lock: &Lockfile,
    chain: &[VerifiedBundle<'_>],
    mirror: Option<&Layout>,
) -> Result<LockCoverage, Error> {
    let offer = BundledCrates::from_bundles(chain);
    let mut gaps = Vec::new();
    let (mut left_out, mut offered, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    for (id, checksum) in &lock.unbuilt {
        gaps.extend(offer.look_up_line(id, *checksum, mirror)?);
    }
    for (id, checksum) in &lock.packages {
        match offer.look_up_package(id, checksum, mirror)? {
            LookupResult::Complete => complete.push(id),
            LookupResult::IndexOnly => left_out.push(id.clone()),
            LookupResult::OnlyOffered => offered.push(id.clone()),
            LookupResult::Gap(gap) => gaps.push(gap),
        }
    }
    if let Some(layout) = mirror.filter(|_| !offered.is_empty()) {
        gaps.append(&mut needed_files(&mut offered, &complete, layout)?);
    }
    if !lock.foreign.is_empty() {
        let skipped = read_skipped_packages(lock, chain, mirror)?;
        gaps.extend(lock.foreign.iter().map(|package| CoverageGap::ForeignPackage {
            package: package.clone(),
            skipped_by: skipped.skipping_inputs(package),
        }));
    }
    for bundle in chain {
        gaps.extend(offer.missing_base(bundle, mirror)?);
    }
    Ok(LockCoverage {
        packages: lock.packages.len() + lock.unbuilt.len(),
        index_only: left_out,
        only_offered: offered,
        gaps,
    })
}

/// Moves the packages whose files cargo needs in any case from `offered` to the returned problems. `complete` are the stored
/// packages of the lockfile.
fn needed_files(offered: &mut Vec<CrateId>, complete: &[&CrateId], layout: &Layout) -> Result<Vec<CoverageGap>, Error> {
    if complete.is_empty() {
        return Ok(offered.drain(..).map(CoverageGap::Missing).collect());
    }
    let mut gaps = Vec::new();
    for needed_by in complete {
        let Some(line) = line_in_mirror(layout, needed_by)? else { continue };
        let deps = line.deps.iter().filter(|dep| !dep.optional && !dep.dev && !dep.is_platform_specific);
        for dep in deps.filter(|dep| dep.registry.is_none()) {
            let req = VersionReq::parse(&dep.req).ok();
            let is_needed = |id: &mut CrateId| {
                id.name.as_str() == dep.name && req.as_ref().is_some_and(|req| req.matches(&id.version))
            };
            let needed = offered.extract_if(.., is_needed);
            gaps.extend(needed.map(|id| CoverageGap::NeededFile { id, needed_by: (*needed_by).clone() }));
        }
    }
    Ok(gaps)
}

/// The packages that the inputs of the bundles and of the mirror's import records skipped.
fn read_skipped_packages<'l>(
    lock: &'l Lockfile,
    chain: &[VerifiedBundle<'_>],
    mirror: Option<&Layout>,
) -> Result<SkippedPackages<'l>, Error> {
    let mut skipped = SkippedPackages::new(lock);
    let mut newest_first: Vec<&Manifest> = chain.iter().map(|bundle| bundle.manifest).collect();
    newest_first.sort_by(|one, next| next.created.cmp(&one.created));
    newest_first.into_iter().for_each(|manifest| skipped.add(manifest));
    if let Some(layout) = mirror {
        let unreadable = |error: transaction::Error| Error::Read { path: layout.ledger(), source: error.source };
        for name in ledger::record_names(layout).map_err(unreadable)?.iter().rev() {
            if let Some(record) = ledger::read_record(layout, name).map_err(unreadable)? {
                skipped.add(&record.manifest);
            }
        }
    }
    Ok(skipped)
}

/// The state of a package.
enum LookupResult {
    Complete,
    IndexOnly,
    /// Live mode offered it, and no client downloaded it.
    OnlyOffered,
    Gap(CoverageGap),
}

/// The contents of the bundles.
struct BundledCrates<'m> {
    /// Files, with the bundle that contains them.
    files: HashMap<CrateId, (Sha256, &'m str)>,
    /// Index lines of crates whose files are elsewhere.
    lines_only: HashMap<CrateId, (Sha256, &'m str)>,
    index_only: HashMap<CrateId, (Sha256, &'m str)>,
}

impl<'m> BundledCrates<'m> {
    fn from_bundles(chain: &[VerifiedBundle<'m>]) -> BundledCrates<'m> {
        let mut offer = BundledCrates { files: HashMap::new(), lines_only: HashMap::new(), index_only: HashMap::new() };
        for VerifiedBundle { file, manifest } in chain {
            for record in &manifest.crates {
                let kind = match record.state {
                    CrateState::Shipped => &mut offer.files,
                    CrateState::Sent => &mut offer.lines_only,
                    CrateState::IndexOnly => &mut offer.index_only,
                    CrateState::Kept => continue,
                };
                kind.insert(record.id(), (record.sha256, file));
            }
        }
        offer
    }

    fn look_up_package(&self, id: &CrateId, locked: &Sha256, mirror: Option<&Layout>) -> Result<LookupResult, Error> {
        let differs = |(found, file): &(Sha256, &str)| CoverageGap::ChecksumMismatch {
            id: id.clone(),
            locked: *locked,
            found: *found,
            location: (*file).to_owned(),
        };
        let in_bundles = [&self.files, &self.lines_only, &self.index_only].into_iter().find_map(|kind| kind.get(id));
        if let Some(other) = in_bundles.filter(|(found, _)| found != locked) {
            return Ok(LookupResult::Gap(differs(other)));
        }
        if self.files.contains_key(id) {
            return Ok(LookupResult::Complete);
        }
        let found = match mirror {
            Some(layout) => look_up_in_mirror(layout, id, locked)?,
            None => LookupResult::Gap(CoverageGap::Missing(id.clone())),
        };
        Ok(match found {
            // The bundle contains the line that the mirror lacks.
            LookupResult::Gap(CoverageGap::MissingIndexLine(_)) if self.lines_only.contains_key(id) => {
                LookupResult::Complete
            }
            LookupResult::Gap(CoverageGap::Missing(_)) | LookupResult::OnlyOffered
                if self.index_only.contains_key(id) =>
            {
                LookupResult::IndexOnly
            }
            found => found,
        })
    }

    /// The problem with the index line of a package whose file cargo does not need.
    fn look_up_line(
        &self,
        id: &CrateId,
        checksum: Option<Sha256>,
        mirror: Option<&Layout>,
    ) -> Result<Option<CoverageGap>, Error> {
        let in_bundle = [&self.files, &self.lines_only, &self.index_only].into_iter().find_map(|kind| kind.get(id));
        let found = match (in_bundle, mirror) {
            (Some((found, file)), _) => Some((*found, (*file).to_owned())),
            (None, Some(layout)) => match line_in_mirror(layout, id)? {
                Some(line) => Some((line.cksum, mirror_index_location(id))),
                None => offered_line(layout, id)?.map(|line| (line.cksum, OFFERED_LOCATION.to_owned())),
            },
            (None, None) => None,
        };
        Ok(match (found, checksum) {
            (None, _) => Some(CoverageGap::MissingUnbuiltLine(id.clone())),
            (Some((found, place)), Some(locked)) if found != locked => {
                Some(CoverageGap::ChecksumMismatch { id: id.clone(), locked, found, location: place })
            }
            (Some(_), _) => None,
        })
    }

    /// The crates that a bundle relies on and that are missing.
    fn missing_base(&self, bundle: &VerifiedBundle<'_>, mirror: Option<&Layout>) -> Result<Option<CoverageGap>, Error> {
        let mut missing: Vec<CrateId> = Vec::new();
        for record in bundle.manifest.previously_sent_crates() {
            let id = record.id();
            let shipped = self.files.get(&id).is_some_and(|(sha256, _)| *sha256 == record.sha256);
            let is_in_mirror = |layout: &Layout| Ok(file_digest(layout, &id)? == Some(record.sha256));
            if !shipped && !mirror.map_or(Ok(false), is_in_mirror)? {
                missing.push(id);
            }
        }
        Ok(missing.first().cloned().map(|first| CoverageGap::MissingBase {
            file: bundle.file.to_owned(),
            parent: bundle.manifest.parent.as_ref().map(|parent| parent.file.clone()),
            missing: missing.len(),
            first,
        }))
    }
}

/// The state of a package in the mirror: line, file, and checksums equal to the lockfile's.
fn look_up_in_mirror(layout: &Layout, id: &CrateId, locked: &Sha256) -> Result<LookupResult, Error> {
    let gap = match (line_in_mirror(layout, id)?, file_digest(layout, id)?) {
        (Some(line), _) if line.cksum != *locked => CoverageGap::ChecksumMismatch {
            id: id.clone(),
            locked: *locked,
            found: line.cksum,
            location: mirror_index_location(id),
        },
        (Some(_), Some(found)) if found == *locked => return Ok(LookupResult::Complete),
        (Some(_), Some(_)) => CoverageGap::DamagedFile(id.clone()),
        (Some(_), None) if index_only_versions(layout, id).contains(id) => return Ok(LookupResult::IndexOnly),
        (Some(_), None) => CoverageGap::MissingFile(id.clone()),
        (None, Some(found)) if found == *locked => CoverageGap::MissingIndexLine(id.clone()),
        (None, _) => match offered_line(layout, id)? {
            Some(line) if line.cksum == *locked => return Ok(LookupResult::OnlyOffered),
            _ => CoverageGap::Missing(id.clone()),
        },
    };
    Ok(LookupResult::Gap(gap))
}

/// The index line that live mode offered for a package without a line in the mirror.
fn offered_line(layout: &Layout, id: &CrateId) -> Result<Option<IndexLine>, Error> {
    unstored_lines::find_offered_line(layout, id)
        .map_err(|error| Error::Read { path: layout.live_index(), source: error.source })
}

/// The index line of a package in a mirror.
fn line_in_mirror(layout: &Layout, id: &CrateId) -> Result<Option<IndexLine>, Error> {
    let path = layout.index_file(&id.name);
    let text = match fs::read(&path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if is_not_found(&error) => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
    };
    Ok(IndexLine::find_version(&text, &id.name, &id.version))
}

/// The path of a package's index file in a mirror, for problems.
fn mirror_index_location(id: &CrateId) -> String {
    format!("the mirror's index/{}", id.name.index_path())
}

/// The versions of a name that are recorded as left out by a platform filter.
fn index_only_versions(layout: &Layout, id: &CrateId) -> HashSet<CrateId> {
    let text = fs::read_to_string(layout.index_meta_file(&id.name)).unwrap_or_default();
    let left_out = index_meta::parse(&text).into_iter().filter(|record| record.index_only);
    left_out.map(|record| CrateId { name: id.name.clone(), version: record.version }).collect()
}

/// The digest of a crate's file in a mirror; `None` if it is missing.
fn file_digest(layout: &Layout, id: &CrateId) -> Result<Option<Sha256>, Error> {
    let path = layout.crate_file(id);
    match Sha256::of_file(&path) {
        Ok((sha256, _)) => Ok(Some(sha256)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

fn is_not_found(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
