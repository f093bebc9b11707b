//! Unpacks one `.crate` as cargo 1.95 unpacks and vendors it, or rejects it. The digest is upstream's; it proves the
//! publisher and says nothing about the content.
//!
//! | in the archive | result |
//! |---|---|
//! | a path that is absolute, has `..`, or is outside `NAME-VERSION/` | rejected by its bytes, before anything is written |
//! | a link, a device, a pipe, a sparse file | rejected, as by cargo after 1.95; only regular files and folders are created |
//! | one path twice | the last entry wins, as in cargo |
//! | two paths that differ only in case | both are unpacked; on a case-insensitive file system the last wins |
//! | a file in place of a folder, or the reverse | rejected, as by cargo |
//! | `\`, and on Windows `:` and reserved names | rejected: they mean another file there |
//! | `.gitignore`, `.gitattributes`, `.git` in any folder | skipped, as by `cargo vendor`: git would apply them |
//! | a decompression bomb | cargo's own limit: the greater of 512 MiB and 20 times the file (registry/mod.rs, `max_unpack_size`) |
//! | very long or very many names, also in extended headers | limited to 4 KiB per path, and a budget for all paths |
//! | a header that states its size twice | rejected: readers differ in which size they use |
//! | `.cargo-ok`, `.cargo-checksum.json` | skipped, as by cargo and `cargo vendor`, which write their own |
//! | setuid, owners, times | ignored; of the mode, only the executable bit is used |

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use tar::EntryType;

use crate::crate_id::CrateId;
use crate::digest::{Hasher, Sha256};

/// The name of cargo's file list of a vendored crate.
pub const CHECKSUM_FILE: &str = ".cargo-checksum.json";

/// The name of the file with which cargo marks an unpacked crate. A crate may not contain it in any folder.
const UNPACKED_MARK: &str = ".cargo-ok";

/// Maximum unpacked bytes of a crate in cargo.
const MAX_UNPACKED: u64 = 512 * 1024 * 1024;
/// Maximum unpacked bytes in cargo per byte of the file, if that is more.
const MAX_RATIO: u64 = 20;
/// Maximum length of a path in bytes.
const MAX_PATH: usize = 4096;
/// Maximum length of a path component in bytes; the limit of every common file system.
const MAX_COMPONENT: usize = 255;
/// Maximum length of an extended header in bytes.
const MAX_EXTENDED: u64 = 64 * 1024;
/// Memory budget in bytes for all paths of a crate; each path counts as its length plus [`PATH_OVERHEAD`].
const NAMES_BUDGET: usize = 32 * 1024 * 1024;
const PATH_OVERHEAD: usize = 200;

/// The unpacked content of a crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnpackReport {
    /// Every file, by its path below `NAME-VERSION/`, with `/` between components.
    pub files: BTreeMap<String, FileEntry>,
    /// Groups of two or more paths that differ only in case; all of them are in `files`.
    pub case_conflicts: Vec<Vec<String>>,
    /// Files that the file system replaced by a file whose name differs only in case.
    pub replaced: Vec<CaseReplacement>,
}

/// An unpacked file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
}

/// A file that a later entry of the archive replaced, because the file system ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseReplacement {
    /// The replaced path.
    pub lost: String,
    /// The path that replaced it.
    pub kept: String,
}

impl UnpackReport {
    /// Total bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }
}

/// Why a crate was not unpacked completely.
#[derive(Debug)]
pub enum Error {
    /// The crate is invalid or unsafe.
    Rejected(Rejection),
    /// A file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The caller requested a stop.
    Stopped,
}

/// Why a crate may not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It is not a gzipped tar archive, or exceeds the size limit.
    #[error("its archive cannot be read")]
    Archive(#[source] io::Error),
    /// An entry with an invalid path.
    #[error("its entry `{}` {why}", path.escape_debug())]
    Path {
        /// The path, decoded as far as it is text.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The paths exceed their limits.
    #[error("its paths exceed the memory limit for one crate")]
    Names,
    /// It has no `Cargo.toml`.
    #[error("it has no Cargo.toml")]
    NoManifest,
    /// Its `Cargo.toml` is invalid.
    #[error("its Cargo.toml is invalid: {0}")]
    Manifest(String),
}

/// Unpacks the `.crate` of `id`, a file of `length` bytes, into the empty folder `root`, which stands for its
/// `NAME-VERSION/`. `buffer` is scratch space.
///
/// # Errors
/// See [`Error`]. Files that were already unpacked stay.
pub fn unpack(
    file: impl Read,
    length: u64,
    id: &CrateId,
    root: &Path,
    buffer: &mut [u8],
    stopped: &dyn Fn() -> bool,
) -> Result<UnpackReport, Error> {
    let limit = MAX_UNPACKED.max(length.saturating_mul(MAX_RATIO));
    let plain = LimitedReader { inner: GzDecoder::new(file), remaining: limit, limit };
    let mut archive = tar::Archive::new(plain);
    let mut tree = Unpacker::new(id, root);
    // The name from an extended header before the entry.
    let mut long_name: Option<Vec<u8>> = None;
    // Raw entries, because otherwise the library reads whole extended headers into memory.
    for entry in archive.entries().map_err(unreadable)?.raw(true) {
        if stopped() {
            return Err(Error::Stopped);
        }
        let mut entry = entry.map_err(unreadable)?;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => {
                let mut name = read_extended_header(&mut entry)?;
                // The name ends with a NUL, like C strings.
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                long_name = Some(name);
                continue;
            }
            EntryType::XHeader => {
                if let Some(name) = path_of_extended(&read_extended_header(&mut entry)?)? {
                    long_name = Some(name);
                }
                continue;
            }
            // A global header of the archive; git writes its commit there.
            EntryType::XGlobalHeader => continue,
            _ => {}
        }
        let path = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let is_executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        match kind {
            EntryType::Directory => tree.add_folder(&path)?,
            // Old archives mark folders this way. The tar crate, and therefore cargo, checks the header's format.
            EntryType::Regular if path.ends_with(b"/") && entry.header().as_ustar().is_none() => {
                tree.add_folder(&path)?
            }
            EntryType::Regular => tree.add_file(&path, is_executable, &mut entry, buffer, stopped)?,
            EntryType::Symlink | EntryType::Link => return Err(reject_path(&path, "is a link")),
            _ => return Err(reject_path(&path, "is neither a file nor a folder")),
        }
    }
    Ok(tree.finish())
}

fn unreadable(source: io::Error) -> Error {
    Error::Rejected(Rejection::Archive(source))
}

fn reject_path(path: &[u8], why: &'static str) -> Error {
    let path = String::from_utf8_lossy(path).chars().take(200).collect();
    Error::Rejected(Rejection::Path { path, why })
}

/// Reads the content of an extended header.
fn read_extended_header(entry: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    entry.take(MAX_EXTENDED + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > MAX_EXTENDED {
        return Err(Error::Rejected(Rejection::Names));
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
            b"size" => return Err(reject_path(b"", "has an extended header that states its size a second time")),
            key if key.starts_with(b"GNU.sparse") => return Err(reject_path(b"", "is a sparse file")),
            _ => {}
        }
    }
    Ok(path)
}

/// The state of unpacking one crate.
struct Unpacker<'a> {
    prefix: String,
    root: &'a Path,
    unpacked: UnpackReport,
    /// Every file and folder path; the value is true for folders.
    taken: HashMap<String, bool>,
    /// File paths by their case-folded form.
    folded: HashMap<String, Vec<String>>,
    name_bytes: usize,
    /// How the file system spells a path. Differs from the path only in tests of case-insensitive file systems.
    spelling: fn(&str) -> String,
}

impl<'a> Unpacker<'a> {
    fn new(id: &CrateId, root: &'a Path) -> Unpacker<'a> {
        Unpacker {
            prefix: format!("{}-{}", id.name, id.version),
            root,
            unpacked: UnpackReport::default(),
            taken: HashMap::new(),
            folded: HashMap::new(),
            name_bytes: 0,
            spelling: str::to_owned,
        }
    }

    /// The path below the crate's own folder, without `.` and double slashes; empty for that folder.
    fn path_in_crate(&mut self, path: &[u8]) -> Result<String, Error> {
        self.name_bytes += path.len() + PATH_OVERHEAD;
        if path.len() > MAX_PATH || self.name_bytes > NAMES_BUDGET {
            return Err(Error::Rejected(Rejection::Names));
        }
        let text = std::str::from_utf8(path).map_err(|_| reject_path(path, "is not UTF-8"))?;
        let below = match text.strip_prefix(self.prefix.as_str()) {
            Some("") => return Ok(String::new()),
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        let below = below.ok_or_else(|| reject_path(path, "is outside of the crate's own folder"))?;
        let mut components = Vec::new();
        // Cargo reads paths as the system does, which ignores `.` and empty components.
        for component in below.split('/').filter(|component| !matches!(*component, "" | ".")) {
            if let Some(why) = component_fault(component, cfg!(windows)) {
                return Err(reject_path(path, why));
            }
            components.push(component);
        }
        Ok(components.join("/"))
    }

    fn add_folder(&mut self, path: &[u8]) -> Result<(), Error> {
        let below = self.path_in_crate(path)?;
        if below.is_empty() || is_omitted(&below) {
            return Ok(());
        }
        self.claim_folders(&below, path)?;
        self.make_folder(&below, path)
    }

    fn make_folder(&self, below: &str, path: &[u8]) -> Result<(), Error> {
        let folder = self.on_disk(below);
        fs::create_dir_all(&folder).map_err(|source| match source.kind() {
            // On a case-insensitive file system, that file may have another spelling.
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => reject_path(path, NEEDS_FOLDER),
            _ => write_failed(path, folder.clone())(source),
        })
    }

    fn add_file(
        &mut self,
        path: &[u8],
        is_executable: bool,
        entry: &mut impl Read,
        buffer: &mut [u8],
        stopped: &dyn Fn() -> bool,
    ) -> Result<(), Error> {
        let below = self.path_in_crate(path)?;
        if below.is_empty() {
            return Err(reject_path(path, IS_FOLDER));
        }
        if is_omitted(&below) {
            return Ok(());
        }
        if let Some((folder, _)) = below.rsplit_once('/') {
            self.claim_folders(folder, path)?;
            self.make_folder(folder, path)?;
        }
        if self.taken.insert(below.clone(), false) == Some(true) {
            return Err(reject_path(path, IS_FOLDER));
        }
        let path_on_disk = self.on_disk(&below);
        let mut file = self.create_file(&below, &path_on_disk, is_executable, path)?;
        let mut hasher = Hasher::new();
        let mut size = 0;
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
            size += n as u64;
            file.write_all(&buffer[..n]).map_err(write_failed(path, path_on_disk.clone()))?;
        }
        self.unpacked.files.insert(below, FileEntry { sha256: hasher.finish(), size });
        Ok(())
    }

    /// Creates a new file. It replaces an earlier entry with this path, or with a name that the file system considers
    /// equal.
    fn create_file(
        &mut self,
        below: &str,
        path_on_disk: &Path,
        is_executable: bool,
        path: &[u8],
    ) -> Result<File, Error> {
        let spellings = self.folded.entry(below.to_lowercase()).or_default();
        let again = spellings.iter().any(|spelling| spelling == below);
        let created = match create(path_on_disk, is_executable) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !again {
                    // An earlier entry had this name, and a later one may have removed it already.
                    let lost = spellings.iter().position(|spelling| self.unpacked.files.contains_key(spelling));
                    let lost =
                        lost.ok_or_else(|| reject_path(path, "has the name of another entry on this file system"))?;
                    let lost = spellings.remove(lost);
                    self.unpacked.files.remove(&lost);
                    self.taken.remove(&lost);
                    self.unpacked.replaced.push(CaseReplacement { lost, kept: below.to_owned() });
                }
                fs::remove_file(path_on_disk).map_err(|_| reject_path(path, IS_FOLDER))?;
                create(path_on_disk, is_executable)
            }
            created => created,
        };
        if !again {
            spellings.push(below.to_owned());
        }
        created.map_err(write_failed(path, path_on_disk.to_owned()))
    }

    /// Records the names of a folder and its parents.
    fn claim_folders(&mut self, below: &str, path: &[u8]) -> Result<(), Error> {
        let ends = below.match_indices('/').map(|(at, _)| at).chain([below.len()]);
        for end in ends {
            let folder = &below[..end];
            match self.taken.get(folder) {
                Some(true) => {}
                Some(false) => return Err(reject_path(path, NEEDS_FOLDER)),
                None => {
                    self.name_bytes += folder.len() + PATH_OVERHEAD;
                    self.taken.insert(folder.to_owned(), true);
                }
            }
        }
        Ok(())
    }

    fn on_disk(&self, below: &str) -> PathBuf {
        let mut path = self.root.to_owned();
        path.extend((self.spelling)(below).split('/'));
        path
    }

    fn finish(self) -> UnpackReport {
        let mut case_conflicts: Vec<Vec<String>> =
            self.folded.into_values().filter(|spellings| spellings.len() > 1).collect();
        case_conflicts.iter_mut().for_each(|spellings| spellings.sort());
        case_conflicts.sort();
        UnpackReport { case_conflicts, ..self.unpacked }
    }
}

const NEEDS_FOLDER: &str = "needs a folder, but a file has that name";
const IS_FOLDER: &str = "is a file, but a folder has that name";

fn component_fault(component: &str, windows: bool) -> Option<&'static str> {
    match component {
        ".." => Some("leaves its folder through `..`"),
        _ if component.len() > MAX_COMPONENT => Some("has a component of more than 255 bytes"),
        _ if component.contains(['\0', '\\']) => Some("has a NUL or a backslash"),
        _ if windows && component.contains(':') => Some("has a colon, which Windows does not allow"),
        _ if windows && is_reserved_by_windows(component) => Some("has a name that Windows reserves"),
        _ => None,
    }
}

/// Device names, with any extension (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
fn is_reserved_by_windows(component: &str) -> bool {
    let stem = component.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered =
        |device: &str| stem.strip_prefix(device).is_some_and(|number| matches!(number.as_bytes(), [b'1'..=b'9']));
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$") || numbered("com") || numbered("lpt")
}

/// Whether cargo or `cargo vendor` skips this file or folder.
fn is_omitted(below: &str) -> bool {
    let name = below.rsplit('/').next().unwrap_or_default();
    // Git treats these spellings as its own folder, and refuses to add them.
    let is_git = |component: &str| {
        let plain = component.trim_end_matches(['.', ' ']).to_ascii_lowercase();
        plain == ".git" || plain == "git~1"
    };
    below == CHECKSUM_FILE
        || matches!(name, UNPACKED_MARK | ".gitignore" | ".gitattributes")
        || below.split('/').any(is_git)
}

/// Converts a system error for a file. A name that the file system cannot store is the crate's fault.
fn write_failed(path: &[u8], path_on_disk: PathBuf) -> impl FnOnce(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            reject_path(path, "has a name that this file system does not allow")
        }
        _ => Error::Write { path: path_on_disk, source },
    }
}

/// Creates a file that must not exist yet, with the default permissions of a file or an executable.
#[cfg(unix)]
fn create(path: &Path, runs: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create_new(true).mode(if runs { 0o777 } else { 0o666 }).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// A reader that fails beyond its limit.
struct LimitedReader<R> {
    inner: R,
    remaining: u64,
    limit: u64,
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.remaining = self.remaining.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} bytes, which is also cargo's limit", self.limit))
        })?;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
