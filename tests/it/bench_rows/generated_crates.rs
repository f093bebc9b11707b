//! Bundles of many small crates, made by our own writer, as a fetch would have left them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::{BundleKind, CrateRecord, CrateState, Input, Lineage, Parent, short_id};
use frostmirror::bundle::pack::{self, PackPlan};
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::event::NullSink;
use frostmirror::mirror_file::{FileKind, FileSource, MirrorFile};
use jiff::{SignedDuration, Timestamp};

use crate::Outcome;

/// When the first bundle of every lineage was made; each is a week after the one before it.
const FIRST_BUNDLE_TIME: &str = "2026-04-02T21:30:00Z";

/// A crate whose bytes and line can be made again at any time.
#[derive(Clone)]
pub struct GeneratedCrate {
    /// What it is called.
    pub id: CrateId,
    sha256: Sha256,
    size: u64,
}

/// `names` crates with this end of their names, with `versions` versions each.
pub fn generate_crates(end: &str, names: usize, versions: usize) -> Vec<GeneratedCrate> {
    let names = (0..names).map(|n| format!("{}-{end}", four_letters(n)));
    names.flat_map(|name| (0..versions).map(move |n| GeneratedCrate::new(&name, &format!("1.{n}.0")))).collect()
}

/// Four letters, so that names spread over folders as they do on crates.io.
fn four_letters(n: usize) -> String {
    (0..4)
        .scan(n, |rest, _| {
            let letter = char::from(b'a' + u8::try_from(*rest % 26).unwrap());
            *rest /= 26;
            Some(letter)
        })
        .collect()
}

impl GeneratedCrate {
    fn new(name: &str, version: &str) -> GeneratedCrate {
        let id = CrateId::parse(name, version).unwrap();
        let bytes = crate_bytes(&id);
        GeneratedCrate { sha256: Sha256::of(&bytes), size: bytes.len() as u64, id }
    }

    /// Its index line, with as many dependencies as a small crate has.
    fn line(&self) -> String {
        let CrateId { name, version } = &self.id;
        let dep = |name: &str, kind: &str| {
            format!(
                r#"{{"name":"{name}","req":"^1.0","features":["std"],"optional":false,"default_features":true,"target":null,"kind":"{kind}"}}"#
            )
        };
        let deps = [dep("aaaa-bulk", "normal"), dep("baaa-bulk", "normal"), dep("caaa-bulk", "dev")].join(",");
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[{deps}],"cksum":"{}","features":{{"default":["std"],"std":[]}},"yanked":false,"rust_version":"1.60","v":2}}"#,
            self.sha256
        )
    }

    fn crate_record(&self, state: CrateState) -> CrateRecord {
        CrateRecord {
            name: self.id.name.clone(),
            version: self.id.version.clone(),
            sha256: self.sha256,
            size: self.size,
            state,
            yanked: false,
            read_at: None,
            description: Some("A crate that was made up to see how a mirror grows with their number".to_owned()),
            license: Some("MIT OR Apache-2.0".to_owned()),
            repository: Some("https://git.example/made/up".to_owned()),
        }
    }
}

/// Half a KiB to four KiB that do not shrink.
fn crate_bytes(id: &CrateId) -> Vec<u8> {
    let mut state = id
        .to_string()
        .bytes()
        .fold(0x9e37_79b9_7f4a_7c15_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let length = 512 + usize::try_from(state >> 40).unwrap() % 3584;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A history and its newest bundle.
pub struct GeneratedHistory {
    id: String,
    sequence: u64,
    parent: Option<Parent>,
}

impl GeneratedHistory {
    /// One that has made nothing yet.
    pub fn new(name: &str) -> GeneratedHistory {
        GeneratedHistory { id: short_id(&Sha256::of(name.as_bytes())), sequence: 0, parent: None }
    }

    /// A full bundle of these crates.
    pub fn full(&mut self, items: &[GeneratedCrate], folder: &Path) -> Outcome<PathBuf> {
        self.write(BundleKind::Full, items, (&[], CrateState::Sent), folder)
    }

    /// A delta that ships `news` and names `others` as sent (with their lines) or as kept for another input.
    pub fn delta(
        &mut self,
        news: &[GeneratedCrate],
        others: (&[GeneratedCrate], CrateState),
        folder: &Path,
    ) -> Outcome<PathBuf> {
        self.write(BundleKind::Delta, news, others, folder)
    }

    fn write(
        &mut self,
        kind: BundleKind,
        news: &[GeneratedCrate],
        (others, state): (&[GeneratedCrate], CrateState),
        folder: &Path,
    ) -> Outcome<PathBuf> {
        std::fs::create_dir_all(folder)?;
        self.sequence += 1;
        let week = i64::try_from(self.sequence)? * 7 * 24;
        let created = FIRST_BUNDLE_TIME.parse::<Timestamp>()? + SignedDuration::from_hours(week);
        let mut named: Vec<(&GeneratedCrate, CrateState)> =
            news.iter().map(|item| (item, CrateState::Shipped)).collect();
        named.extend(others.iter().map(|item| (item, state)));
        named.sort_by(|(a, _), (b, _)| (&a.id.name, &a.id.version).cmp(&(&b.id.name, &b.id.version)));
        let positions = |kept: bool| -> Outcome<Vec<u32>> {
            let of_input = named.iter().enumerate().filter(|(_, (_, state))| (*state == CrateState::Kept) == kept);
            Ok(of_input.map(|(at, _)| u32::try_from(at)).collect::<Result<_, _>>()?)
        };
        let input = |name: &str, crates| Input {
            name: name.to_owned(),
            roots: Vec::new(),
            crates,
            dist_files: Vec::new(),
            skipped_packages: Vec::new(),
        };
        let mut inputs = vec![input("a/Cargo.lock", positions(false)?)];
        inputs.extend(Some(positions(true)?).filter(|kept| !kept.is_empty()).map(|kept| input("b/Cargo.lock", kept)));
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        let mut files = Vec::new();
        for (item, state) in &named {
            if *state != CrateState::Kept {
                writeln!(texts.entry(item.id.name.index_path()).or_default(), "{}", item.line())?;
            }
            if *state == CrateState::Shipped {
                files.push(bundle_file(
                    &format!("crates/{}", item.id.file_name()),
                    FileKind::Crate,
                    crate_bytes(&item.id),
                )?);
            }
        }
        for (place, text) in texts {
            files.push(bundle_file(&format!("index/{place}"), FileKind::Index, text.into_bytes())?);
        }
        let previous = self.parent.as_ref().map(|parent| parent.id.clone());
        let plan = PackPlan {
            created,
            kind,
            repair: false,
            parent: self.parent.take().filter(|_| kind == BundleKind::Delta),
            lineage: Lineage { id: self.id.clone(), sequence: self.sequence, previous, inputs },
            dist_files: Vec::new(),
            carried_histories: Vec::new(),
            refreshed_crates: Vec::new(),
            targets: Vec::new(),
            toolchains: Vec::new(),
            index_read: created,
            crates: named.iter().map(|(item, state)| item.crate_record(*state)).collect(),
            files,
        };
        let written = pack::write(plan, folder, &NullSink)?;
        let id = written.id.clone();
        let path = written.publish(&|_| false)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.parent = Some(Parent { id, file });
        Ok(path)
    }
}

fn bundle_file(path: &str, kind: FileKind, bytes: Vec<u8>) -> Outcome<(MirrorFile, FileSource)> {
    let (size, sha256) = (bytes.len() as u64, Sha256::of(&bytes));
    Ok((MirrorFile { path: path.parse()?, size, sha256, kind }, FileSource::Memory(bytes)))
}
