//! A forger of bundles: good ones to begin with, and any manifest over any bytes, with every digest made to fit.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{
    Block, BundleKind, CrateRecord, CrateState, Encoding, Entry, FormatVersion, Input, Lineage, MAGIC, Manifest,
    StoredBytes,
};
use frostmirror::bundle::pack::{self, PackPlan, UnpublishedBundle};
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror_file::{FileKind, FileSource, MirrorFile};

/// The time that forged bundles state.
pub const CREATED: &str = "2026-04-02T21:30:00Z";

/// A crate with made-up bytes, and its index line.
#[derive(Clone)]
pub struct FakeCrate {
    pub id: CrateId,
    pub bytes: Vec<u8>,
}

impl FakeCrate {
    /// A crate of `size` bytes that do not shrink and differ from crate to crate.
    pub fn new(name: &str, version: &str, size: usize) -> FakeCrate {
        let id = CrateId::parse(name, version).expect("a crate");
        let mut state = id
            .to_string()
            .bytes()
            .fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut bytes = Vec::with_capacity(size + 8);
        while bytes.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(size);
        FakeCrate { id, bytes }
    }

    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }

    pub fn line(&self) -> String {
        format!(
            r#"{{"name":"{}","vers":"{}","deps":[],"cksum":"{}","features":{{}},"yanked":false}}"#,
            self.id.name,
            self.id.version,
            self.sha256()
        )
    }

    pub fn record(&self) -> CrateRecord {
        CrateRecord {
            name: self.id.name.clone(),
            version: self.id.version.clone(),
            sha256: self.sha256(),
            size: self.bytes.len() as u64,
            state: CrateState::Shipped,
            yanked: false,
            read_at: None,
            description: None,
            license: None,
            repository: None,
        }
    }
}

/// An entry of `content` at `path`.
pub fn entry(path: &str, kind: FileKind, content: &[u8]) -> Entry {
    Entry { path: path.parse().expect("a safe path"), size: content.len() as u64, sha256: Sha256::of(content), kind }
}

/// Index files of these crates: path and text, in the order of their paths.
pub fn index_files(crates: &[FakeCrate]) -> Vec<(String, String)> {
    let mut files = std::collections::BTreeMap::<String, String>::new();
    for one in crates {
        let text = files.entry(format!("index/{}", one.id.name.index_path())).or_default();
        text.push_str(&one.line());
        text.push('\n');
    }
    files.into_iter().collect()
}

/// A plan for these crates; they are sorted first. Their bytes are put as files into `folder`.
pub fn bundle_plan(crates: &[FakeCrate], folder: &Path) -> PackPlan {
    let mut crates = crates.to_vec();
    crates.sort_by(|a, b| a.id.cmp(&b.id));
    let mut files = Vec::new();
    for one in &crates {
        let from = folder.join(one.id.file_name());
        fs::write(&from, &one.bytes).expect("a file");
        files.push((dist_artifact(one.id.crate_path().as_str(), FileKind::Crate, &one.bytes), FileSource::File(from)));
    }
    for (path, text) in index_files(&crates) {
        files.push((dist_artifact(&path, FileKind::Index, text.as_bytes()), FileSource::Memory(text.into_bytes())));
    }
    let config = b"[source.crates-io]\n".to_vec();
    files.push((dist_artifact("config.toml", FileKind::Config, &config), FileSource::Memory(config)));
    let time = CREATED.parse().expect("a time");
    PackPlan {
        created: time,
        kind: BundleKind::Full,
        repair: false,
        parent: None,
        lineage: lineage(crates.len()),
        dist_files: Vec::new(),
        carried_histories: Vec::new(),
        refreshed_crates: Vec::new(),
        targets: vec!["x86_64-unknown-linux-gnu".to_owned()],
        toolchains: Vec::new(),
        index_read: time,
        crates: crates.iter().map(FakeCrate::record).collect(),
        files,
    }
}

fn dist_artifact(path: &str, kind: FileKind, content: &[u8]) -> MirrorFile {
    let Entry { path, size, sha256, kind } = entry(path, kind, content);
    MirrorFile { path, size, sha256, kind }
}

pub fn lineage(crates: usize) -> Lineage {
    let crates = (0..u32::try_from(crates).expect("few crates")).collect();
    let input = Input {
        name: "/project/depends.toml".to_owned(),
        roots: vec!["a = \"1\"".to_owned()],
        crates,
        dist_files: Vec::new(),
        skipped_packages: Vec::new(),
    };
    Lineage { id: "0123456789abcdef0123456789abcdef".to_owned(), sequence: 1, previous: None, inputs: vec![input] }
}

/// The crates of an ordinary small bundle.
pub fn sample_crates() -> Vec<FakeCrate> {
    vec![
        FakeCrate::new("a", "1.0.0", 3000),
        FakeCrate::new("a", "1.10.0", 100),
        FakeCrate::new("a", "1.9.0", 70_000),
        FakeCrate::new("Foo-Bar", "0.1.0+b.1", 500),
        FakeCrate::new("zz", "2.0.0-rc.1", 0),
    ]
}

/// Packs these crates.
pub fn pack(crates: &[FakeCrate], folder: &Path) -> UnpublishedBundle {
    let files = folder.join("files");
    fs::create_dir_all(&files).expect("a folder");
    pack::write(bundle_plan(crates, &files), folder, &NullSink).expect("a bundle")
}

/// Packs these crates and gives the path of the bundle.
pub fn pack_to_path(crates: &[FakeCrate], folder: &Path) -> PathBuf {
    pack(crates, folder).publish(&|_| false).expect("a name")
}

/// A bundle that can be bent: its manifest, and the stored bytes of each block.
#[derive(Clone)]
pub struct ForgedBundle {
    pub manifest: Manifest,
    pub payload: Vec<Vec<u8>>,
}

impl ForgedBundle {
    /// A good bundle of these crates: each crate a block, the index in one brotli block, the configuration in another.
    pub fn from_crates(crates: &[FakeCrate]) -> ForgedBundle {
        let mut crates = crates.to_vec();
        crates.sort_by(|a, b| a.id.cmp(&b.id));
        let manifest = Manifest {
            id: String::new(),
            format: FormatVersion::CURRENT,
            tool: "cargo-frostmirror 0.1.0".to_owned(),
            created: CREATED.to_owned(),
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            targets: Vec::new(),
            toolchains: Vec::new(),
            index_read: CREATED.to_owned(),
            crates: crates.iter().map(FakeCrate::record).collect(),
            dist_files: Vec::new(),
            lineage: lineage(crates.len()),
            carried_histories: Vec::new(),
            refreshed_crates: Vec::new(),
            blocks: Vec::new(),
        };
        let mut forged = ForgedBundle { manifest, payload: Vec::new() };
        let mut by_path = crates.clone();
        by_path.sort_by_key(|one| one.id.crate_path());
        for one in &by_path {
            forged.add_stored_block(entry(one.id.crate_path().as_str(), FileKind::Crate, &one.bytes), &one.bytes);
        }
        forged.add_text_block(&index_files(&crates), FileKind::Index);
        forged.add_text_block(&[("config.toml".to_owned(), "[source]\n".to_owned())], FileKind::Config);
        forged
    }

    /// Adds a block that is stored as it is.
    pub fn add_stored_block(&mut self, entry: Entry, bytes: &[u8]) {
        self.manifest.blocks.push(Block { encoding: Encoding::Stored, stored: None, entries: vec![entry] });
        self.payload.push(bytes.to_vec());
    }

    /// Adds a brotli block of these texts.
    pub fn add_text_block(&mut self, files: &[(String, String)], kind: FileKind) {
        let entries = files.iter().map(|(path, text)| entry(path, kind, text.as_bytes())).collect();
        let plain: String = files.iter().map(|(_, text)| text.as_str()).collect();
        self.add_brotli_block(entries, &brotli(plain.as_bytes()));
    }

    /// Adds a brotli block of these stored bytes.
    pub fn add_brotli_block(&mut self, entries: Vec<Entry>, bytes: &[u8]) {
        let stored = StoredBytes { size: bytes.len() as u64, sha256: Sha256::of(bytes) };
        self.manifest.blocks.push(Block { encoding: Encoding::Brotli, stored: Some(stored), entries });
        self.payload.push(bytes.to_vec());
    }

    /// Replaces the index by these files.
    pub fn with_index(mut self, files: &[(&str, String)]) -> ForgedBundle {
        let at = self.block_position(FileKind::Index);
        let (block, bytes) = {
            let files: Vec<(String, String)> =
                files.iter().map(|(path, text)| ((*path).to_owned(), text.clone())).collect();
            self.add_text_block(&files, FileKind::Index);
            (self.manifest.blocks.pop().expect("pushed"), self.payload.pop().expect("pushed"))
        };
        self.manifest.blocks[at] = block;
        self.payload[at] = bytes;
        self
    }

    /// The first block of this kind.
    pub fn block_position(&self, kind: FileKind) -> usize {
        self.manifest.blocks.iter().position(|block| block.entries[0].kind == kind).expect("a block of the kind")
    }

    /// The bundle's bytes, with a fitting id and fitting digests of the manifest.
    pub fn bytes(&self) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        manifest.assign_id();
        let json = serde_json::to_string(&manifest).expect("JSON");
        assemble(json, &self.payload.concat())
    }

    /// The bundle's bytes after an edit of the manifest's JSON; the id is made to fit again.
    pub fn bytes_with(&self, edit: impl FnOnce(String) -> String) -> Vec<u8> {
        let mut manifest = self.manifest.clone();
        manifest.assign_id();
        let json = serde_json::to_string(&manifest).expect("JSON");
        assemble(seal(&edit(json)), &self.payload.concat())
    }
}

/// Gives a manifest's JSON, which begins with an id, the id that fits.
pub fn seal(json: &str) -> String {
    let rest = &json[7 + 32..];
    let id = Sha256::of(format!("{{\"id\":\"{}{rest}", "0".repeat(32)).as_bytes()).to_string();
    format!("{{\"id\":\"{}{rest}", &id[..32])
}

/// Header, manifest and payload.
pub fn assemble(json: impl AsRef<[u8]>, payload: &[u8]) -> Vec<u8> {
    let json = json.as_ref();
    let stored = brotli(json);
    let plain = json.len() as u64;
    [&header(1, "0.1.0", stored.len() as u64, plain, &Sha256::of(&stored))[..], &stored, payload].concat()
}

/// Any header, with a fitting checksum.
pub fn header(format: u32, tool: &str, stored: u64, plain: u64, sha256: &Sha256) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&format.to_le_bytes());
    bytes.extend_from_slice(tool.as_bytes());
    bytes.resize(36, 0);
    bytes.extend_from_slice(&stored.to_le_bytes());
    bytes.extend_from_slice(&plain.to_le_bytes());
    bytes.extend_from_slice(sha256.as_bytes());
    fix_header_checksum(bytes)
}

/// Gives the first 84 bytes of a header the checksum that fits.
pub fn fix_header_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(84);
    let check = Sha256::of(&bytes);
    bytes.extend_from_slice(&check.as_bytes()[..12]);
    bytes
}

/// One brotli stream.
pub fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 65536, 5, 22);
    encoder.write_all(plain).expect("memory");
    encoder.into_inner()
}
