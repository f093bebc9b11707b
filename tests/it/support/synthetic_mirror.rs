//! A large mirror, written as imports would have left it, without packing anything.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use frostmirror::bundle::format::{
    BundleKind, CrateRecord, CrateState, FormatVersion, Input, Lineage, Manifest, short_id,
};
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger::{Record, RecordRef};
use frostmirror::mirror::lineages::LineageTip;
use frostmirror::mirror::summary::{Counts, ImportTotals, MirrorSummary};

const TIME: &str = "2026-04-02T21:30:00Z";

/// A mirror fed by one history: its first bundle brought everything, its second needs less.
pub struct SyntheticMirror {
    /// Names in the index.
    pub names: usize,
    /// Versions of each.
    pub versions: usize,
    /// One of so many versions is needed by the first bundle alone; 0: none is.
    pub garbage_interval: usize,
}

/// What was written.
pub struct WrittenMirror {
    /// Crates.
    pub versions: usize,
    /// Crates that the second bundle does not need.
    pub garbage: usize,
}

impl SyntheticMirror {
    /// Writes it to `root`.
    pub fn write(&self, root: &Path) -> WrittenMirror {
        let layout = Layout::new(root);
        for folder in [layout.crates(), layout.index(), layout.ledger(), layout.index_meta(), layout.staging()] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(layout.format(), r#"{"layout":1,"tool":"0.1.0"}"#).unwrap();
        std::os::unix::fs::symlink("../index", layout.index_link()).unwrap();
        let (mut records, mut bytes) = (Vec::new(), 0);
        for name in (0..self.names).map(|n| format!("{}-made-up", four_letters(n))) {
            let (mut text, mut lines) = (String::new(), String::new());
            for version in (0..self.versions).map(|n| format!("1.{n}.0")) {
                let id = CrateId::parse(&name, &version).unwrap();
                let content = format!("the bytes of {id}");
                let cksum = Sha256::of(content.as_bytes());
                let line = line(&name, &version, &cksum);
                writeln!(lines, "{version} {TIME} {cksum} {} held", Sha256::of(line.as_bytes())).unwrap();
                writeln!(text, "{line}").unwrap();
                fs::write(layout.crate_file(&id), &content).unwrap();
                bytes += content.len() as u64;
                records.push(record(id, cksum, content.len() as u64));
            }
            let name = name.parse().unwrap();
            for (path, text) in [(layout.index_file(&name), text), (layout.index_meta_file(&name), lines)] {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let all = records.len();
        let counts = Counts { crates: self.names as u64, versions: all as u64, bytes, ..Counts::default() };
        self.import(&layout, 1, records.clone(), counts);
        let mut n = 0;
        records.retain(|_| {
            n += 1;
            self.garbage_interval == 0 || n % self.garbage_interval != 0
        });
        let garbage = all - records.len();
        self.import(&layout, 2, records, counts);
        WrittenMirror { versions: all, garbage }
    }

    fn import(&self, layout: &Layout, sequence: u64, mut crates: Vec<CrateRecord>, counts: Counts) {
        crates.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
        let bundle_id = |number: u64| short_id(&Sha256::of(format!("bundle {number}").as_bytes()));
        let id = bundle_id(sequence);
        let lineage = Lineage {
            id: short_id(&Sha256::of(b"made up")),
            sequence,
            previous: (sequence > 1).then(|| bundle_id(sequence - 1)),
            inputs: vec![Input {
                name: "Cargo.lock".to_owned(),
                roots: Vec::new(),
                dist_files: Vec::new(),
                skipped_packages: Vec::new(),
                crates: (0..u32::try_from(crates.len()).unwrap()).collect(),
            }],
        };
        let name = format!("{sequence:08}-{id}.json");
        let newest = LineageTip {
            id: lineage.id.clone(),
            sequence,
            bundle: id.clone(),
            created: TIME.to_owned(),
            record: name.clone(),
            chain_start: 1,
            chain_created: TIME.to_owned(),
            chain_follows: None,
            gap_after: None,
            inputs: vec!["Cargo.lock".to_owned()],
            more_inputs: 0,
        };
        let head = MirrorSummary {
            format: 1,
            tool: "cargo-frostmirror 0.1.0".to_owned(),
            counts,
            toolchains: Vec::new(),
            last_import: Some(TIME.to_owned()),
            imports: sequence,
            lineages: vec![newest],
            ..MirrorSummary::default()
        };
        let manifest = Manifest {
            id,
            format: FormatVersion::CURRENT,
            tool: head.tool.clone(),
            created: TIME.to_owned(),
            kind: BundleKind::Full,
            repair: false,
            parent: None,
            targets: Vec::new(),
            toolchains: Vec::new(),
            index_read: TIME.to_owned(),
            crates,
            dist_files: Vec::new(),
            lineage,
            carried_histories: Vec::new(),
            refreshed_crates: Vec::new(),
            blocks: Vec::new(),
        };
        let previous: Option<MirrorSummary> =
            fs::read(layout.summary()).ok().map(|text| serde_json::from_slice(&text).unwrap());
        let totals = ImportTotals { counts, imports: sequence };
        let file = format!("{sequence}.pkg");
        let previous = previous.and_then(|summary| summary.newest_record);
        let record = Record { previous, ..Record::new(TIME.to_owned(), file, totals, manifest) };
        let (text, sha256) = record.render();
        let head = MirrorSummary { newest_record: Some(RecordRef { record: name.clone(), sha256 }), ..head };
        fs::write(layout.summary(), serde_json::to_vec_pretty(&head).unwrap()).unwrap();
        fs::write(layout.ledger().join(name), text).unwrap();
    }
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

fn line(name: &str, version: &str, cksum: &Sha256) -> String {
    format!(
        r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{"default":["std"],"std":[]}},"yanked":false,"rust_version":"1.60","v":2}}"#
    )
}

fn record(id: CrateId, sha256: Sha256, size: u64) -> CrateRecord {
    CrateRecord {
        name: id.name,
        version: id.version,
        sha256,
        size,
        state: CrateState::Shipped,
        yanked: false,
        read_at: None,
        description: Some("A crate that was made up to see how a mirror grows with their number".to_owned()),
        license: Some("MIT OR Apache-2.0".to_owned()),
        repository: Some("https://git.example/made/up".to_owned()),
    }
}
