//! Reads a crate's description, licence and repository from the manifest in its `.crate`.
//!
//! The files match upstream's digests, but their publishers may have put anything inside. So decompression is limited,
//! nothing is written to disk, and invalid data is ignored: the texts are only displayed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

use crate::crate_id::CrateId;
use crate::parallel;

/// Maximum number of decompressed bytes to search for the manifest; packagers put it near the front.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024;
/// Maximum size of the manifest in bytes.
const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;
/// Maximum number of archive entries to search.
const MAX_ENTRIES: usize = 50_000;
/// Maximum number of characters of each text.
const MAX_TEXT_CHARS: usize = 300;
/// Number of threads: decompression dominates, and more threads would wait for the disk.
const THREADS: usize = 2;

/// A crate's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageMetadata {
    /// `package.description`.
    pub description: Option<String>,
    /// `package.license`, else `file: NAME` of `package.license-file`.
    pub license: Option<String>,
    /// `package.repository`.
    pub repository: Option<String>,
}

/// The metadata of these crates, in their order; `None` for an unreadable file or one without metadata.
pub fn read_all_metadata(crates: &[(CrateId, PathBuf)]) -> Vec<Option<PackageMetadata>> {
    parallel::map(crates, THREADS, |(id, path), _| read_metadata(id, path))
}

/// The text of the Cargo.toml of the crate in the file at `path`; `None` if the file cannot be read or has no such text.
pub fn read_manifest(id: &CrateId, path: &Path) -> Option<String> {
    manifest_text(File::open(path).ok()?, id)
}

/// The metadata of the crate in the file at `path`.
pub fn read_metadata(id: &CrateId, path: &Path) -> Option<PackageMetadata> {
    let text = read_manifest(id, path)?;
    let package = toml::from_str::<CargoToml>(&text).ok()?.package;
    let license = package.license.to_line().or_else(|| Some(format!("file: {}", package.license_file.to_line()?)));
    Some(PackageMetadata {
        description: package.description.to_line(),
        license,
        repository: package.repository.to_line(),
    })
}

/// The text of the Cargo.toml of the crate that `file` returns; `None` if it has no such text. Reads no further than needed.
pub fn manifest_text(file: impl Read, id: &CrateId) -> Option<String> {
    let wanted = format!("{}-{}/Cargo.toml", id.name, id.version);
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(MAX_UNPACKED_BYTES));
    // Raw entries, because extensions such as long names are read into memory completely; no manifest needs them.
    for entry in archive.entries().ok()?.raw(true).take(MAX_ENTRIES) {
        let entry = entry.ok()?;
        // Links are not regular files, and other spellings of the path are ignored.
        if !entry.header().entry_type().is_file() || *entry.path_bytes() != *wanted.as_bytes() {
            continue;
        }
        if entry.size() > MAX_MANIFEST_BYTES {
            return None;
        }
        let mut text = String::new();
        entry.take(MAX_MANIFEST_BYTES).read_to_string(&mut text).ok()?;
        return Some(text);
    }
    None
}

#[derive(Deserialize)]
struct CargoToml {
    package: Package,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    #[serde(default)]
    description: LenientText,
    #[serde(default)]
    license: LenientText,
    #[serde(default)]
    license_file: LenientText,
    #[serde(default)]
    repository: LenientText,
}

/// A string; other types count as absent.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum LenientText {
    Text(String),
    Other(serde::de::IgnoredAny),
    #[default]
    Absent,
}

impl LenientText {
    /// The text as one shortened line without control characters.
    fn to_line(&self) -> Option<String> {
        let LenientText::Text(text) = self else { return None };
        let clean: String =
            text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
        let line = clean.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let mut short: String = line.chars().take(MAX_TEXT_CHARS).collect();
        if short.len() < line.len() {
            short.pop();
            short.push('…');
        }
        (!short.is_empty()).then_some(short)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn id() -> CrateId {
        CrateId::parse("a", "1.0.0").expect("a crate")
    }

    /// A `.crate` with these files, in a temporary folder.
    fn write_crate_file(files: &[(&str, tar::EntryType, &[u8])]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a-1.0.0.crate");
        let file = File::create(&path).expect("a file");
        let mut builder = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
        for (name, kind, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            // Written by hand, because the library refuses invalid entries.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *content).expect("memory");
        }
        builder.into_inner().and_then(GzEncoder::finish).and_then(|mut file| file.flush()).expect("written");
        (folder, path)
    }

    fn read_manifest(toml: &str) -> Option<PackageMetadata> {
        let (_folder, path) = write_crate_file(&[
            ("a-1.0.0/src/lib.rs", tar::EntryType::Regular, b"//!"),
            ("a-1.0.0/Cargo.toml", tar::EntryType::Regular, toml.as_bytes()),
        ]);
        read_metadata(&id(), &path)
    }

    #[test]
    fn metadata_is_read_from_the_packaged_manifest() {
        let about = read_manifest(
            "[package]\nname = \"a\"\ndescription = \"\"\"\nOne\n  two \\u001b[31m\"\"\"\nlicense-file = \"LICENSE\"\nrepository = \"r\"\n",
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = PackageMetadata {
            description: text("One two [31m"),
            license: text("file: LICENSE"),
            repository: text("r"),
        };
        assert_eq!(about, Some(expected));
        let both = read_manifest(
            "[package]\nlicense = \"MIT\"\nlicense-file = \"LICENSE\"\ndescription = { workspace = true }\n",
        );
        assert_eq!(both, Some(PackageMetadata { license: text("MIT"), ..PackageMetadata::default() }));
        let long = read_manifest(&format!("[package]\ndescription = \"{}\"\n", "ä".repeat(5000)))
            .and_then(|about| about.description);
        assert_eq!(long.map(|text| (text.chars().count(), text.ends_with("ä…"))), Some((300, true)));
    }

    #[test]
    fn malformed_metadata_is_ignored() {
        let toml = b"[package]\nlicense = \"MIT\"\n";
        let (_f, path) = write_crate_file(&[("a-1.0.0/Cargo.toml", tar::EntryType::Symlink, b"")]);
        assert_eq!(read_metadata(&id(), &path), None);
        for name in
            ["a-1.0.0/../a-1.0.0/Cargo.toml", "/a-1.0.0/Cargo.toml", "a-1.0.0/sub/Cargo.toml", "b-1.0.0/Cargo.toml"]
        {
            let (_f, path) = write_crate_file(&[(name, tar::EntryType::Regular, toml)]);
            assert_eq!(read_metadata(&id(), &path), None, "{name}");
        }
        let (_f, path) = write_crate_file(&[("a-1.0.0/Cargo.toml", tar::EntryType::Regular, &b" ".repeat(2_000_000))]);
        assert_eq!(read_metadata(&id(), &path), None);
        // After more data than is searched.
        let far = vec![0; usize::try_from(MAX_UNPACKED_BYTES).expect("64 MiB") + 1];
        let (_f, path) = write_crate_file(&[
            ("a-1.0.0/a", tar::EntryType::Regular, &far),
            ("a-1.0.0/Cargo.toml", tar::EntryType::Regular, toml),
        ]);
        assert_eq!(read_metadata(&id(), &path), None);
        assert_eq!(read_manifest("[package"), None);
        assert_eq!(read_metadata(&id(), Path::new("/nonexistent/a.crate")), None);
    }

    #[test]
    fn results_keep_the_order_of_the_crates() {
        let (_f, good) =
            write_crate_file(&[("a-1.0.0/Cargo.toml", tar::EntryType::Regular, b"[package]\nlicense = \"MIT\"\n")]);
        let crates: Vec<(CrateId, PathBuf)> =
            (0..20).map(|n| (id(), if n % 3 == 0 { good.clone() } else { PathBuf::from("/nonexistent") })).collect();
        let is_found: Vec<bool> = read_all_metadata(&crates).iter().map(Option::is_some).collect();
        assert_eq!(is_found, (0..20).map(|n| n % 3 == 0).collect::<Vec<_>>());
        assert_eq!(read_all_metadata(&[]), []);
    }
}
