//! Exports cargo's `directory` source: every crate unpacked below `NAME-VERSION/`, with `.cargo-checksum.json`.
//!
//! Cargo reads every manifest of such a folder before it builds anything, and trusts each manifest's name and version.
//! So the export skips and reports a crate whose manifest is unreadable or names another crate. It does the same with a
//! crate that cannot be unpacked. Other crates are not affected.
//!
//! The folder can be committed to git. It contains no files from crates that git would apply. Its own `.gitignore` and
//! `.gitattributes` make git keep every file byte by byte, whatever the enclosing repository configures.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use self::unpack::{CaseReplacement, Rejection, UnpackReport};
use super::crates::{check_stopped, corrupt_crate, for_each_crate, missing_crate, read_inventory};
use super::error::{Error, write_failed};
use super::output_dir::OutputDir;
use super::report::{CaseConflict, ExportReport, SkippedCrate};
use crate::crate_id::Version;
use crate::digest::{HashingReader, Sha256};
use crate::durable::checkpoint;
use crate::event::Sink;
use crate::mirror::inventory::InventoryEntry;
use crate::mirror::layout::Layout;
use crate::mirror::transaction::failed;

pub mod unpack;

/// Maximum size of a manifest in bytes.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// Re-includes files that another `.gitignore` excludes: a crate's Cargo.lock, `target`, `build`.
const GITIGNORE: &str = "# Every file belongs here: cargo checks them all.\n!*\n";
/// Prevents git from converting files, as `core.autocrlf` or a filter does.
const GITATTRIBUTES: &str = "* -text -ident -filter -working-tree-encoding -export-ignore -export-subst\n";

/// See [`ReadGuard::export_vendor`](crate::mirror::lock::ReadGuard::export_vendor).
pub(super) fn export(layout: &Layout, folder: &Path, sink: &dyn Sink) -> Result<ExportReport, Error> {
    let target = OutputDir::create(folder, layout)?;
    let inventory = read_inventory(layout, sink, &mut |_, _| Ok(()))?;
    checkpoint("export:read");
    let (skipped, case_conflicts) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let bytes = for_each_crate(&inventory.stored().collect::<Vec<_>>(), sink, |existing, buffer| {
        let root = target.path().join(format!("{}-{}", existing.id.name, existing.id.version));
        fs::create_dir(&root).map_err(write_failed(&root))?;
        match unpack_crate(layout, existing, &root, buffer, sink)? {
            Ok(unpacked) => {
                for CaseReplacement { lost, kept } in &unpacked.replaced {
                    let id = &existing.id;
                    sink.warning(format!(
                        "`{lost}` of {id} was replaced by `{kept}`: this file system ignores case (the later file wins, as in cargo)"
                    ));
                }
                if !unpacked.case_conflicts.is_empty() {
                    let paths = unpacked.case_conflicts.concat();
                    case_conflicts
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(CaseConflict { id: existing.id.clone(), paths });
                }
                Ok(unpacked.total_bytes())
            }
            Err(why) => {
                fs::remove_dir_all(&root).map_err(write_failed(&root))?;
                skipped
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(SkippedCrate { id: existing.id.clone(), reason: why });
                Ok(0)
            }
        }
    })?;
    for (name, text) in [(".gitignore", GITIGNORE), (".gitattributes", GITATTRIBUTES)] {
        let path = target.path().join(name);
        fs::write(&path, text).map_err(write_failed(&path))?;
    }
    let mut skipped = skipped.into_inner().unwrap_or_else(PoisonError::into_inner);
    skipped.sort_by(|a, b| a.id.cmp(&b.id));
    let mut case_conflicts = case_conflicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    case_conflicts.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(ExportReport {
        folder: target.publish(sink)?,
        crates: (inventory.stored().count() - skipped.len()) as u64,
        bytes,
        index_only: (inventory.crates.len() - inventory.stored().count()) as u64,
        hard_linked: 0,
        link_failure: None,
        skipped,
        case_conflicts,
    })
}

/// Cargo's `.cargo-checksum.json` (sources/directory.rs). Cargo hashes the listed files before it builds the crate, and
/// compares `package` with the lockfile.
///
/// Files whose paths differ only in case are not listed. A clone of the folder on Windows or macOS has only one of
/// them, and cargo refuses to build a crate that lacks a listed file. `Cargo.toml` is listed anyway, because it must be
/// certain which of two such files cargo uses.
#[derive(Serialize)]
struct Checksums<'a> {
    files: BTreeMap<&'a str, Sha256>,
    package: Sha256,
}

/// Unpacks one crate into `root`, and hashes its file in the same pass. The inner error is the crate's own fault.
fn unpack_crate(
    layout: &Layout,
    entry: &InventoryEntry,
    root: &Path,
    buffer: &mut [u8],
    sink: &dyn Sink,
) -> Result<Result<UnpackReport, Rejection>, Error> {
    let path = layout.crate_file(&entry.id);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing_crate(entry)),
        file => file.map_err(failed("read", &path))?,
    };
    let length = file.metadata().map_err(failed("read", &path))?.len();
    let mut file = HashingReader::new(file);
    let stopped = || sink.is_cancelled();
    let unpacked = unpack::unpack(&mut file, length, &entry.id, root, buffer, &stopped);
    // The archive may end before its file does, and the digest covers the file.
    loop {
        check_stopped(sink)?;
        match file.read(buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", &path)(error).into()),
        }
    }
    // A digest mismatch is reported in preference to an unpacking error.
    let (actual, _, _) = file.finish();
    if actual != entry.cksum {
        return Err(corrupt_crate(entry, actual));
    }
    let unpacked = match unpacked {
        Ok(unpacked) => unpacked,
        Err(unpack::Error::Rejected(why)) => return Ok(Err(why)),
        Err(unpack::Error::Write { path, source }) => return Err(Error::Write { path, source }),
        Err(unpack::Error::Stopped) => return Err(Error::Stopped),
    };
    if let Err(why) = check_manifest(entry, root) {
        return Ok(Err(why));
    }
    let case_conflicts: HashSet<&String> = unpacked.case_conflicts.iter().flatten().collect();
    let listed = unpacked.files.iter().filter(|(path, _)| *path == "Cargo.toml" || !case_conflicts.contains(path));
    let files = listed.map(|(path, file)| (path.as_str(), file.sha256)).collect();
    let text = serde_json::to_vec(&Checksums { files, package: entry.cksum }).expect("texts and digests are JSON");
    let path = root.join(unpack::CHECKSUM_FILE);
    fs::write(&path, text).map_err(write_failed(&path))?;
    Ok(Ok(unpacked))
}

/// Checks that the manifest states the crate's name and version.
fn check_manifest(entry: &InventoryEntry, root: &Path) -> Result<(), Rejection> {
    #[derive(Deserialize)]
    struct CargoToml {
        // The oldest crates use this name.
        #[serde(alias = "project")]
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let mut text = String::new();
    let file = File::open(root.join("Cargo.toml")).map_err(|_| Rejection::NoManifest)?;
    file.take(MAX_MANIFEST + 1).read_to_string(&mut text).map_err(Rejection::Archive)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(Rejection::Manifest("it is larger than 4 MiB".to_owned()));
    }
    let CargoToml { package } =
        toml::from_str(&text).map_err(|why| Rejection::Manifest(why.message().chars().take(200).collect()))?;
    let version: Option<Version> = package.version.trim().parse().ok();
    if package.name == entry.id.name.as_str() && version.as_ref() == Some(&entry.id.version) {
        return Ok(());
    }
    let claimed = format!("{} {}", package.name, package.version);
    Err(Rejection::Manifest(format!("it is the manifest of `{}`", claimed.chars().take(200).collect::<String>())))
}
