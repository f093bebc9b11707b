//! Can a Cargo.lock be built from a chain of bundles, from a mirror, or from both together?
//!
//! Each package of crates.io in the lock must be there with the lock's checksum: as an entry of a bundle, or as a file and
//! an index line of the mirror. Of unused patches and replaced packages cargo reads the index line alone. A bundle that was sent without a crate relies on an earlier one, or on the mirror; so what
//! it relies on must be among the others, or it cannot be imported at all. A crate that a platform filter left out has an
//! index line and no file, which is all that cargo needs of it on the platforms that the bundle is for; it is counted
//! apart. Packages of git and of other registries no mirror of crates.io can cover.
//!
//! Bundles are believed, because `verify` has checked them before; files of the mirror are hashed here.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::bundle::format::{CrateState, LeftOut, Manifest};
use crate::bundle::shown::shown;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::gather::lockfile::{Foreign, LineOnly, Lockfile};
use crate::index_line::IndexLine;
use crate::mirror::layout::Layout;
use crate::mirror::{ledger, lines, store};

/// What a lock needs and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// Packages of crates.io in the lock.
    pub packages: usize,
    /// Those of them whose file a platform filter left out.
    pub left_out: Vec<CrateId>,
    /// Everything that keeps the lock from being built.
    pub gaps: Vec<Gap>,
}

/// Something that keeps a lock from being built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A package is nowhere.
    Missing(CrateId),
    /// A package has another checksum than in the lock.
    Checksum {
        /// The package.
        id: CrateId,
        /// In the lock.
        locked: Sha256,
        /// What is there.
        found: Sha256,
        /// Where that is.
        place: String,
    },
    /// The package's file is not there, though its index line is.
    NoFile(CrateId),
    /// The package's file has not the digest that its index line states.
    Damaged(CrateId),
    /// The package's file is there, and no index line.
    NoLine(CrateId),
    /// A package whose file cargo does not need has no index line here.
    NoLineOnly(CrateId),
    /// A package of git or of another registry.
    Foreign {
        /// The package.
        package: Foreign,
        /// Why it is not here, where a bundle says that: the input that was fetched without it, and the flag.
        left_out: Option<(String, String)>,
    },
    /// A bundle relies on crates that none of the others and not the mirror has.
    Base {
        /// The bundle.
        file: String,
        /// The file that it builds on.
        parent: Option<String>,
        /// How many crates are missing.
        missing: usize,
        /// The first of them.
        first: CrateId,
    },
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gap::Missing(id) => write!(f, "{id}: is missing"),
            Gap::Checksum { id, locked, found, place } => {
                write!(f, "{id}: the lock has the checksum {locked}, and {place} has {found}")
            }
            Gap::NoFile(id) => write!(f, "{id}: the mirror's index has it, and its file is missing"),
            Gap::Damaged(id) => write!(f, "{id}: its file in the mirror is damaged"),
            Gap::NoLine(id) => write!(f, "{id}: its file is there, and the mirror's index does not have it"),
            Gap::NoLineOnly(id) => {
                write!(f, "{id}: is missing (an unused patch or a replaced package, whose index line cargo reads)")
            }
            Gap::Foreign { package, left_out } => {
                let Foreign { name, version, source, unused_patch } = package;
                let note = if *unused_patch { " (an unused patch that cargo loads nevertheless)" } else { "" };
                write!(f, "{name} {version}: cannot be covered, it comes from {source}{note}")?;
                match left_out {
                    // Both come from a bundle.
                    Some((input, why)) => write!(f, "; `{}` was fetched without it ({})", shown(input), shown(why)),
                    None => Ok(()),
                }
            }
            Gap::Base { file, parent, missing, first } => {
                let parent = parent.as_deref().unwrap_or("an earlier bundle");
                // A file's name comes from the bundle.
                let parent = parent.escape_debug();
                write!(
                    f,
                    "{file}: builds on {parent}, and {missing} of the crates that it relies on {} nowhere, first {first}",
                    if *missing == 1 { "is" } else { "are" }
                )
            }
        }
    }
}

/// A mirror's file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A bundle that was found good.
#[derive(Clone, Copy, Debug)]
pub struct Good<'m> {
    /// Its file, as problems name it.
    pub file: &'m str,
    /// What it says.
    pub manifest: &'m Manifest,
}

/// Holds `lock` against the bundles `chain` and against a mirror; either may be absent. The order of the chain does not
/// matter.
///
/// # Errors
/// A file of the mirror that is there cannot be read.
pub fn closure(lock: &Lockfile, chain: &[Good<'_>], mirror: Option<&Layout>) -> Result<Closure, Error> {
    let offer = Offer::of(chain);
    let mut gaps = Vec::new();
    let mut left_out = Vec::new();
    for package in &lock.line_only {
        gaps.extend(offer.look_up_line(package, mirror)?);
    }
    for package in &lock.packages {
        match offer.look_up(&package.id, &package.checksum, mirror)? {
            Found::Whole => {}
            Found::LeftOut => left_out.push(package.id.clone()),
            Found::Gap(gap) => gaps.push(gap),
        }
    }
    if !lock.foreign.is_empty() {
        let reasons = reasons(chain, mirror)?;
        gaps.extend(lock.foreign.iter().map(|package| {
            let key = (package.name.clone(), package.version.clone(), package.source.for_bundle());
            Gap::Foreign { package: package.clone(), left_out: reasons.get(&key).cloned() }
        }));
    }
    for bundle in chain {
        gaps.extend(offer.missing_base(bundle, mirror)?);
    }
    Ok(Closure { packages: lock.packages.len() + lock.line_only.len(), left_out, gaps })
}

/// A foreign package by name, version and source.
type ForeignKey = (String, String, String);

/// Why packages are not here that some input needs: the input's name and the reason, by package. Bundles say it, and the
/// records of those that the mirror took in; the newest record counts.
fn reasons(chain: &[Good<'_>], mirror: Option<&Layout>) -> Result<HashMap<ForeignKey, (String, String)>, Error> {
    let mut reasons = HashMap::new();
    let mut take = |manifest: &Manifest| {
        for (input, LeftOut { name, version, source, why }) in manifest.left_out() {
            let key = (name.clone(), version.clone(), source.clone());
            reasons.entry(key).or_insert_with(|| (input.to_owned(), why.clone()));
        }
    };
    chain.iter().rev().for_each(|bundle| take(bundle.manifest));
    if let Some(layout) = mirror {
        let unreadable = |error: store::Error| Error::Read { path: layout.ledger(), source: error.source };
        for name in ledger::names(layout).map_err(unreadable)?.iter().rev() {
            if let Some(record) = ledger::read(layout, name).map_err(unreadable)? {
                take(&record.manifest);
            }
        }
    }
    Ok(reasons)
}

/// How a package is found.
enum Found {
    Whole,
    LeftOut,
    Gap(Gap),
}

/// What the bundles bring.
struct Offer<'m> {
    /// Files, with the bundle that has them.
    shipped: HashMap<CrateId, (Sha256, &'m str)>,
    /// Index lines of crates whose files are elsewhere.
    sent: HashMap<CrateId, (Sha256, &'m str)>,
    left_out: HashMap<CrateId, (Sha256, &'m str)>,
}

impl<'m> Offer<'m> {
    fn of(chain: &[Good<'m>]) -> Offer<'m> {
        let mut offer = Offer { shipped: HashMap::new(), sent: HashMap::new(), left_out: HashMap::new() };
        for Good { file, manifest } in chain {
            for record in &manifest.crates {
                let kind = match record.state {
                    CrateState::Shipped => &mut offer.shipped,
                    CrateState::Sent => &mut offer.sent,
                    CrateState::IndexOnly => &mut offer.left_out,
                    CrateState::Kept => continue,
                };
                kind.insert(record.id(), (record.sha256, file));
            }
        }
        offer
    }

    fn look_up(&self, id: &CrateId, locked: &Sha256, mirror: Option<&Layout>) -> Result<Found, Error> {
        let differs = |(found, file): &(Sha256, &str)| Gap::Checksum {
            id: id.clone(),
            locked: *locked,
            found: *found,
            place: (*file).to_owned(),
        };
        let named = [&self.shipped, &self.sent, &self.left_out].into_iter().find_map(|kind| kind.get(id));
        if let Some(other) = named.filter(|(found, _)| found != locked) {
            return Ok(Found::Gap(differs(other)));
        }
        if self.shipped.contains_key(id) {
            return Ok(Found::Whole);
        }
        let found = match mirror {
            Some(layout) => in_mirror(layout, id, locked)?,
            None => Found::Gap(Gap::Missing(id.clone())),
        };
        Ok(match found {
            // The bundle brings the line that the mirror lacks.
            Found::Gap(Gap::NoLine(_)) if self.sent.contains_key(id) => Found::Whole,
            Found::Gap(Gap::Missing(_)) if self.left_out.contains_key(id) => Found::LeftOut,
            found => found,
        })
    }

    /// What is wrong with the index line of a package whose file cargo does not need.
    fn look_up_line(&self, package: &LineOnly, mirror: Option<&Layout>) -> Result<Option<Gap>, Error> {
        let LineOnly { id, checksum } = package;
        let in_bundle = [&self.shipped, &self.sent, &self.left_out].into_iter().find_map(|kind| kind.get(id));
        let found = match (in_bundle, mirror) {
            (Some((found, file)), _) => Some((*found, (*file).to_owned())),
            (None, Some(layout)) => line_in_mirror(layout, id)?.map(|line| (line.cksum, place_in_mirror(id))),
            (None, None) => None,
        };
        Ok(match (found, checksum) {
            (None, _) => Some(Gap::NoLineOnly(id.clone())),
            (Some((found, place)), Some(locked)) if found != *locked => {
                Some(Gap::Checksum { id: id.clone(), locked: *locked, found, place })
            }
            (Some(_), _) => None,
        })
    }

    /// What a bundle relies on and is nowhere.
    fn missing_base(&self, bundle: &Good<'_>, mirror: Option<&Layout>) -> Result<Option<Gap>, Error> {
        let mut missing: Vec<CrateId> = Vec::new();
        for record in bundle.manifest.relied_on() {
            let id = record.id();
            let shipped = self.shipped.get(&id).is_some_and(|(sha256, _)| *sha256 == record.sha256);
            let held = |layout: &Layout| Ok(file_digest(layout, &id)? == Some(record.sha256));
            if !shipped && !mirror.map_or(Ok(false), held)? {
                missing.push(id);
            }
        }
        Ok(missing.first().cloned().map(|first| Gap::Base {
            file: bundle.file.to_owned(),
            parent: bundle.manifest.parent.as_ref().map(|parent| parent.file.clone()),
            missing: missing.len(),
            first,
        }))
    }
}

/// How a mirror holds a package: line, file, and both as the lock has them.
fn in_mirror(layout: &Layout, id: &CrateId, locked: &Sha256) -> Result<Found, Error> {
    let gap = match (line_in_mirror(layout, id)?, file_digest(layout, id)?) {
        (Some(line), _) if line.cksum != *locked => {
            Gap::Checksum { id: id.clone(), locked: *locked, found: line.cksum, place: place_in_mirror(id) }
        }
        (Some(_), Some(found)) if found == *locked => return Ok(Found::Whole),
        (Some(_), Some(_)) => Gap::Damaged(id.clone()),
        (Some(_), None) if left_out_versions(layout, id).contains(id) => return Ok(Found::LeftOut),
        (Some(_), None) => Gap::NoFile(id.clone()),
        (None, Some(found)) if found == *locked => Gap::NoLine(id.clone()),
        (None, _) => Gap::Missing(id.clone()),
    };
    Ok(Found::Gap(gap))
}

/// The index line of a package in a mirror.
fn line_in_mirror(layout: &Layout, id: &CrateId) -> Result<Option<IndexLine>, Error> {
    let path = layout.index_file(&id.name);
    let text = match fs::read(&path) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if is_absence(&error) => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
    };
    Ok(IndexLine::find(&text, &id.name, &id.version))
}

/// Where a package's index line is in a mirror, as problems name it.
fn place_in_mirror(id: &CrateId) -> String {
    format!("the mirror's index/{}", id.name.index_path())
}

/// The versions of a name that are recorded as left out by a platform filter.
fn left_out_versions(layout: &Layout, id: &CrateId) -> HashSet<CrateId> {
    let text = fs::read_to_string(layout.line_records(&id.name)).unwrap_or_default();
    let left_out = lines::parse(&text).into_iter().filter(|record| record.index_only);
    left_out.map(|record| CrateId { name: id.name.clone(), version: record.version }).collect()
}

/// The digest of a crate's file in a mirror; `None` where it is not there.
fn file_digest(layout: &Layout, id: &CrateId) -> Result<Option<Sha256>, Error> {
    let path = layout.crate_file(id);
    match Sha256::of_file(&path) {
        Ok((sha256, _)) => Ok(Some(sha256)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
