//! The Cargo.lock inside a `.crate`: what `cargo install --locked` builds a tool with.
//!
//! The file is hostile: it is walked, never unpacked. Its entries are only looked at by their raw headers, in a bounded
//! stream, and the one that is read has a bounded size.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::crate_id::CrateId;

/// Plain bytes of a `.crate` that are looked through; cargo itself unpacks no more.
const MAX_PLAIN: u64 = 512 * 1024 * 1024;
/// Bytes of a Cargo.lock that is read.
const MAX_LOCK: u64 = 16 * 1024 * 1024;

/// Why the lock in a `.crate` could not be read.
#[derive(Debug, thiserror::Error)]
#[error("could not read Cargo.lock in `{}`", path.display())]
pub struct Error {
    /// The `.crate`.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: io::Error,
}

/// The text of the Cargo.lock in the `.crate` of `id` at `path`; `None` where none was packaged.
pub fn read(path: &Path, id: &CrateId) -> Result<Option<String>, Error> {
    find(path, id).map_err(|source| Error { path: path.to_owned(), source })
}

fn find(path: &Path, id: &CrateId) -> io::Result<Option<String>> {
    let wanted = format!("{}-{}/Cargo.lock", id.name, id.version);
    let plain = GzDecoder::new(io::BufReader::new(File::open(path)?)).take(MAX_PLAIN);
    let mut archive = tar::Archive::new(plain);
    // Raw: long names and other extensions stay unread, so that they cannot take memory.
    for entry in archive.entries()?.raw(true) {
        let entry = entry?;
        let regular = entry.header().entry_type().is_file();
        if !regular || entry.header().path_bytes().as_ref() != wanted.as_bytes() {
            continue;
        }
        let mut text = String::new();
        entry.take(MAX_LOCK + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_LOCK {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        return Ok(Some(text));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn packed(folder: &Path, entries: &[(&str, tar::EntryType, &[u8])]) -> PathBuf {
        let path = folder.join("tool-1.0.0.crate");
        let file = File::create(&path).expect("create");
        let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, kind, bytes) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            if *kind == tar::EntryType::Symlink {
                header.set_link_name("/etc/passwd").expect("short");
            }
            builder.append_data(&mut header, name, *bytes).expect("append");
        }
        builder.into_inner().and_then(GzEncoder::finish).expect("finish");
        path
    }

    #[test]
    fn only_the_crates_own_regular_lock_is_read() {
        use tar::EntryType::{Regular, Symlink};
        let folder = tempfile::tempdir().expect("temporary folder");
        let id = CrateId::parse("tool", "1.0.0").expect("valid");
        let long = format!("tool-1.0.0/{}", "n".repeat(150));
        let path = packed(
            folder.path(),
            &[
                (&long, Regular, b"x"),
                ("Cargo.lock", Regular, b"not this"),
                ("tool-1.0.0/Cargo.lock", Symlink, b""),
                ("tool-1.0.0/tests/Cargo.lock", Regular, b"nor this"),
                ("tool-1.0.0/Cargo.lock", Regular, b"version = 4\n"),
            ],
        );
        let text = read(&path, &id).expect("read");
        assert_eq!(text.as_deref(), Some("version = 4\n"));
        let other = CrateId::parse("tool", "1.0.1").expect("valid");
        assert_eq!(read(&path, &other).expect("read"), None);
    }

    #[test]
    fn what_is_no_crate_is_an_error_and_a_huge_lock_too() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let id = CrateId::parse("tool", "1.0.0").expect("valid");
        let path = folder.path().join("broken.crate");
        std::fs::write(&path, b"\x1f\x8bnonsense").expect("write");
        assert!(read(&path, &id).is_err());
        let huge = b"#".repeat(usize::try_from(MAX_LOCK + 1).expect("small"));
        let path = packed(folder.path(), &[("tool-1.0.0/Cargo.lock", tar::EntryType::Regular, &huge)]);
        let error = read(&path, &id).expect_err("too large");
        assert!(error.source.to_string().contains("16 MiB"));
    }
}
