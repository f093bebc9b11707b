//! One `.crate`, unpacked as cargo would, or refused. That its digest is upstream's only says who made it.
//!
//! | attack | answer |
//! |---|---|
//! | a path that is absolute, climbs, or lies outside `NAME-VERSION/` | refused by its bytes, before anything is made |
//! | a symbolic or hard link, a device, a pipe, a sparse file | refused; nothing but regular files and folders is ever made |
//! | a link for a later entry to write through | none is made, and files are made anew or not at all |
//! | one path twice, or two that differ only in case | refused: whose bytes would it be? |
//! | `\` and `:`, which climb on Windows | refused; `cargo package` refuses them as well |
//! | a bomb | cargo's own limit: the greater of 512 MiB and 20 times the file (registry/mod.rs, `max_unpack_size`) |
//! | endless names, in extended headers or by their number | 4 KiB a path, and a budget for all of them |
//! | a header that states its size twice | refused: readers differ in what they believe |
//! | `.cargo-ok`, `.cargo-checksum.json` | passed over, as by cargo and `cargo vendor`, which write their own |
//! | setuid, foreign owners, times | not taken over; of the mode only whether it can be run |

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::EntryType;

use crate::crate_id::CrateId;
use crate::digest::{Hasher, Sha256};

/// The name of cargo's list of a vendored crate's files.
pub const CHECKSUMS: &str = ".cargo-checksum.json";

/// The name of cargo's mark that a crate was unpacked, which no crate may bring along, in whatever folder.
const MARK: &str = ".cargo-ok";

/// Plain bytes that cargo unpacks of any crate.
const MAX_PLAIN: u64 = 512 * 1024 * 1024;
/// Plain bytes that cargo unpacks for each byte of the file, where that is more.
const MAX_RATIO: u64 = 20;
/// Bytes of a path.
const MAX_PATH: usize = 4096;
/// Bytes of a component; the limit of every common file system.
const MAX_COMPONENT: usize = 255;
/// Bytes of an extended header.
const MAX_EXTENDED: u64 = 64 * 1024;
/// What all paths of a crate may take of memory; each counts as its bytes and [`PATH_OVERHEAD`].
const NAMES_BUDGET: usize = 32 * 1024 * 1024;
const PATH_OVERHEAD: usize = 200;

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// The digest of every file, by its path below `NAME-VERSION/`, with `/` between components.
    pub files: BTreeMap<String, Sha256>,
    /// Their bytes.
    pub bytes: u64,
}

/// A crate that was not unpacked, or not to its end.
#[derive(Debug)]
pub enum Error {
    /// Nothing that may be unpacked.
    Refused(Refused),
    /// A file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody wants it any more.
    Stopped,
}

/// Why a crate may not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not a gzipped tar archive, or is larger than it may be.
    #[error("its archive cannot be read")]
    Archive(#[source] io::Error),
    /// A path in it.
    #[error("its entry `{}` {why}", path.escape_debug())]
    Path {
        /// The path, as far as it is text.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Too many names, or too long ones.
    #[error("it has more paths, or longer ones, than any crate needs")]
    Names,
    /// It has no `Cargo.toml`.
    #[error("it has no Cargo.toml")]
    NoManifest,
    /// Its `Cargo.toml` is of no use.
    #[error("its Cargo.toml cannot be used: {0}")]
    Manifest(String),
}

/// Unpacks the `.crate` of `id`, a file of `length` bytes, into the empty folder `root`, which stands for its
/// `NAME-VERSION/`. `buffer` is for use meanwhile.
///
/// # Errors
/// See [`Error`]. What was unpacked until then stays.
pub fn unpack(
    file: impl Read,
    length: u64,
    id: &CrateId,
    root: &Path,
    buffer: &mut [u8],
    stopped: &dyn Fn() -> bool,
) -> Result<Unpacked, Error> {
    let limit = MAX_PLAIN.max(length.saturating_mul(MAX_RATIO));
    let plain = Limited { inner: GzDecoder::new(file), left: limit, limit };
    let mut archive = tar::Archive::new(plain);
    let mut tree = Tree::new(id, root);
    // Of an extended header that comes before its entry.
    let mut long_name: Option<Vec<u8>> = None;
    // Raw, because else extended headers are read into memory whole.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        if stopped() {
            return Err(Error::Stopped);
        }
        let mut entry = entry.map_err(unreadable)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                let mut name = extended(&mut entry)?;
                // It ends with a NUL, as texts in C do.
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                long_name = Some(name);
                continue;
            }
            EntryType::XHeader => {
                if let Some(name) = path_of_extended(&extended(&mut entry)?)? {
                    long_name = Some(name);
                }
                continue;
            }
            // Of the archive as a whole; git writes its commit there.
            EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let runs = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        match kind {
            EntryType::Directory => tree.folder(&path)?,
            EntryType::Regular => tree.file(&path, runs, &mut entry, buffer, stopped)?,
            EntryType::Symlink | EntryType::Link => return Err(refused(&path, "is a link")),
            _ => return Err(refused(&path, "is neither a file nor a folder")),
        }
    }
    Ok(tree.unpacked)
}

fn unreadable(source: io::Error) -> Error {
    Error::Refused(Refused::Archive(source))
}

fn refused(path: &[u8], why: &'static str) -> Error {
    let path = String::from_utf8_lossy(path).chars().take(200).collect();
    Error::Refused(Refused::Path { path, why })
}

/// The content of an extended header.
fn extended(entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    entry.take(MAX_EXTENDED + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_EXTENDED {
        return Err(Error::Refused(Refused::Names));
    }
    Ok(content)
}

/// The path that a POSIX extended header gives the next entry.
fn path_of_extended(content: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut path = None;
    for extension in tar::PaxExtensions::new(content) {
        let extension = extension.map_err(unreadable)?;
        match extension.key_bytes() {
            b"path" => path = Some(extension.value_bytes().to_vec()),
            b"size" => return Err(refused(b"", "has an extended header that states its size once more")),
            key if key.starts_with(b"GNU.sparse") => return Err(refused(b"", "is a sparse file")),
            _ => {}
        }
    }
    Ok(path)
}

/// What was unpacked of one crate so far.
struct Tree<'a> {
    prefix: String,
    root: &'a Path,
    unpacked: Unpacked,
    /// Every file and every folder as a file system without case would call it, and whether it is a folder.
    taken: HashMap<String, bool>,
    names: usize,
}

impl<'a> Tree<'a> {
    fn new(id: &CrateId, root: &'a Path) -> Tree<'a> {
        let taken = HashMap::from([(CHECKSUMS.to_owned(), false)]);
        let prefix = format!("{}-{}", id.name, id.version);
        Tree { prefix, root, unpacked: Unpacked::default(), taken, names: 0 }
    }

    /// The path below the crate's own folder; empty for that folder.
    fn below<'p>(&mut self, path: &'p [u8]) -> Result<&'p str, Error> {
        self.names += path.len() + PATH_OVERHEAD;
        if path.len() > MAX_PATH || self.names > NAMES_BUDGET {
            return Err(Error::Refused(Refused::Names));
        }
        let text = std::str::from_utf8(path).map_err(|_| refused(path, "is not UTF-8"))?;
        let text = text.strip_suffix('/').unwrap_or(text);
        let below = match text.strip_prefix(self.prefix.as_str()) {
            Some("") => return Ok(""),
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        let below = below.ok_or_else(|| refused(path, "is not in the crate's own folder"))?;
        match below.split('/').find_map(fault) {
            Some(why) => Err(refused(path, why)),
            None => Ok(below),
        }
    }

    fn folder(&mut self, path: &[u8]) -> Result<(), Error> {
        let below = self.below(path)?;
        if below.is_empty() {
            return Ok(());
        }
        self.take_folders(below, path)?;
        let folder = self.on_disk(below);
        fs::create_dir_all(&folder).map_err(|source| Error::Write { path: folder, source })
    }

    fn file(
        &mut self,
        path: &[u8],
        runs: bool,
        entry: &mut impl Read,
        buffer: &mut [u8],
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let below = self.below(path)?;
        if below.is_empty() || path.ends_with(b"/") {
            return Err(refused(path, "is a file where a folder is to be"));
        }
        let (folder, name) = below.rsplit_once('/').unwrap_or(("", below));
        if name == MARK || below == CHECKSUMS {
            return Ok(());
        }
        if !folder.is_empty() {
            self.take_folders(folder, path)?;
        }
        if self.taken.insert(below.to_lowercase(), false).is_some() {
            return Err(refused(path, "is there already, perhaps with other capital letters"));
        }
        let place = self.on_disk(below);
        let failed = |source| Error::Write { path: place.clone(), source };
        if !folder.is_empty() {
            fs::create_dir_all(self.on_disk(folder)).map_err(failed)?;
        }
        let mut file = create(&place, runs).map_err(failed)?;
        let mut hasher = Hasher::new();
        loop {
            if stopped() {
                return Err(Error::Stopped);
            }
            let n = match entry.read(buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            hasher.update(&buffer[..n]);
            self.unpacked.bytes += n as u64;
            file.write_all(&buffer[..n]).map_err(failed)?;
        }
        self.unpacked.files.insert(below.to_owned(), hasher.finish());
        Ok(())
    }

    /// Takes the names of a folder and of those above it. Folders may differ in case: they hold each other's files.
    fn take_folders(&mut self, below: &str, path: &[u8]) -> Result<(), Error> {
        let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
        for end in ends {
            let folded = below[..end].to_lowercase();
            match self.taken.get(&folded) {
                Some(true) => {}
                Some(false) => return Err(refused(path, "needs a folder where a file is")),
                None => {
                    self.names += folded.len() + PATH_OVERHEAD;
                    self.taken.insert(folded, true);
                }
            }
        }
        Ok(())
    }

    fn on_disk(&self, below: &str) -> PathBuf {
        let mut path = self.root.to_owned();
        path.extend(below.split('/'));
        path
    }
}

fn fault(component: &str) -> Option<&'static str> {
    match component {
        "" | "." | ".." => Some("climbs or stands still"),
        _ if component.len() > MAX_COMPONENT => Some("has a component of more than 255 bytes"),
        _ if component.contains(['\0', '\\', ':']) => Some("has a NUL, a backslash or a colon"),
        _ => None,
    }
}

/// A file that was not there before, with an ordinary one's permissions, or a program's.
#[cfg(unix)]
fn create(path: &Path, runs: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(if runs { 0o777 } else { 0o666 }).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// A reader that fails where there is more than its limit.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} bytes, which cargo refuses too", self.limit))
        })?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
