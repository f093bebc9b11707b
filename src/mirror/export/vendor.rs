//! For cargo's `directory` source: every crate unpacked below `NAME-VERSION/`, with `.cargo-checksum.json`.
//!
//! Cargo reads every manifest of such a folder before it builds anything, and takes each crate for what its manifest
//! says. So a crate whose manifest cannot be read, or claims to be another crate, is refused here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::target::Target;
use super::unpack::{self, Refused};
use super::{Error, Exported, for_each, go_on, holdings, missing, rotten, written};
use crate::crate_id::Version;
use crate::digest::{HashingReader, Sha256};
use crate::durable::checkpoint;
use crate::event::Sink;
use crate::mirror::holdings::Holding;
use crate::mirror::layout::Layout;
use crate::mirror::store::failed;

/// Bytes of a manifest.
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;

/// See [`ReadGuard::export_vendor`](crate::mirror::lock::ReadGuard::export_vendor).
pub(super) fn export(layout: &Layout, folder: &Path, sink: &dyn Sink) -> Result<Exported, Error> {
    let target = Target::begin(folder, layout)?;
    let holdings = holdings(layout, sink, &mut |_, _| Ok(()))?;
    checkpoint("export:read");
    let bytes = for_each(&holdings.held().collect::<Vec<_>>(), sink, |held, buffer| {
        let root = target.path().join(format!("{}-{}", held.id.name, held.id.version));
        fs::create_dir(&root).map_err(written(&root))?;
        one(layout, held, &root, buffer, sink)
    })?;
    Ok(Exported {
        folder: target.place(sink)?,
        crates: holdings.held().count() as u64,
        bytes,
        index_only: (holdings.crates.len() - holdings.held().count()) as u64,
        linked: 0,
        no_links: None,
    })
}

/// Cargo's `.cargo-checksum.json` (sources/directory.rs): it hashes the files listed before it builds the crate, and
/// compares `package` with the lockfile.
#[derive(Serialize)]
struct Checksums<'a> {
    files: &'a BTreeMap<String, Sha256>,
    package: Sha256,
}

/// Unpacks one crate into `root`, hashing its file on the way; bytes of what was unpacked.
fn one(layout: &Layout, held: &Holding, root: &Path, buffer: &mut [u8], sink: &dyn Sink) -> Result<u64, Error> {
    let path = layout.crate_file(&held.id);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(held)),
        file => file.map_err(failed("read", &path))?,
    };
    let length = file.metadata().map_err(failed("read", &path))?.len();
    let mut file = HashingReader::new(file);
    let stopped = || sink.stopped();
    let unpacked = unpack::unpack(&mut file, length, &held.id, root, buffer, &stopped);
    // The archive may end before its file does, and the digest is that of the file.
    loop {
        go_on(sink)?;
        match file.read(buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read", &path)(error).into()),
        }
    }
    // What is rotten is told as rotten, whatever it looked like when it was unpacked.
    let (actual, _, _) = file.finish();
    if actual != held.cksum {
        return Err(rotten(held, actual));
    }
    let refused = |source| Error::Refused { id: held.id.clone(), source };
    let unpacked = unpacked.map_err(|error| match error {
        unpack::Error::Refused(why) => refused(why),
        unpack::Error::Write { path, source } => Error::Write { path, source },
        unpack::Error::Stopped => Error::Stopped,
    })?;
    check_manifest(held, root).map_err(refused)?;
    let text = serde_json::to_vec(&Checksums { files: &unpacked.files, package: held.cksum })
        .expect("texts and digests are JSON");
    let path = root.join(unpack::CHECKSUMS);
    fs::write(&path, text).map_err(written(&path))?;
    Ok(unpacked.bytes)
}

/// Whether cargo will take the crate for the one that it is.
fn check_manifest(held: &Holding, root: &Path) -> Result<(), Refused> {
    #[derive(Deserialize)]
    struct CargoToml {
        // The oldest crates call it so.
        #[serde(alias = "project")]
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let mut text = String::new();
    let file = File::open(root.join("Cargo.toml")).map_err(|_| Refused::NoManifest)?;
    file.take(MAX_MANIFEST + 1).read_to_string(&mut text).map_err(Refused::Archive)?;
    if text.len() as u64 > MAX_MANIFEST {
        return Err(Refused::Manifest("it is larger than 4 MiB".to_owned()));
    }
    let CargoToml { package } =
        toml::from_str(&text).map_err(|why| Refused::Manifest(why.message().chars().take(200).collect()))?;
    let version: Option<Version> = package.version.trim().parse().ok();
    if package.name == held.id.name.as_str() && version.as_ref() == Some(&held.id.version) {
        return Ok(());
    }
    let claimed = format!("{} {}", package.name, package.version);
    Err(Refused::Manifest(format!("it is the manifest of `{}`", claimed.chars().take(200).collect::<String>())))
}
