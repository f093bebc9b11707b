//! Which of a bundle's rustup artifacts are placed, and in which order: nothing moves back in time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::bundle::format::{ArtifactRecord, ArtifactState, Manifest};
use crate::channel::{self, ChannelManifest, Date};
use crate::digest::{HashingWriter, Sha256};
use crate::mirror::artifacts::{Artifacts, Held, Moving, RELEASE, release_version};
use crate::mirror::import::is_held;
use crate::mirror::layout::Layout;
use crate::mirror::store::{Error, Move, Removal, Staged, Staging, failed};
use crate::safe_path::SafePath;

mod moved;

/// Where the bytes of a digest are that the bundle shipped.
pub(in crate::mirror) enum Content {
    /// They were not held at the entry's path.
    Staged(Staged),
    /// They are in this file of the mirror.
    Held(PathBuf),
}

/// What is to be placed of a bundle's rustup artifacts.
#[derive(Default)]
pub(in crate::mirror) struct Settled {
    /// What manifests name, and rustup itself.
    pub(in crate::mirror) components: Vec<Move>,
    /// Channel manifests with their digests, then rustup's release.
    pub(in crate::mirror) channels: Vec<Move>,
    /// Signatures of what channels were before; they go before the channels come.
    pub(in crate::mirror) removals: Vec<Removal>,
    /// What is held afterwards.
    pub(in crate::mirror) after: Artifacts,
    /// Files that were not held, and their bytes.
    pub(in crate::mirror) new: (u64, u64),
    /// What is shipped and stays out, because the mirror is to have something else there.
    pub(in crate::mirror) left: Vec<SafePath>,
    /// What cannot be used.
    pub(in crate::mirror) unusable: Vec<String>,
    /// What the user should know.
    pub(in crate::mirror) notes: Vec<String>,
}

/// The artifacts that the bundle relies on and that are not held.
pub(in crate::mirror) fn missing(
    layout: &Layout,
    manifest: &Manifest,
    held: &Artifacts,
    rehash: bool,
) -> Result<Vec<SafePath>, Error> {
    let mut missing = Vec::new();
    let tree = Tree { layout, held, rehash, twins: RefCell::default() };
    for record in manifest.artifacts.iter().filter(|record| record.state == ArtifactState::Sent) {
        if !tree.has(record)? && tree.twin(record, manifest)?.is_none() && !tree.has_moved_on(record, manifest) {
            missing.push(record.path.clone());
        }
    }
    Ok(missing)
}

/// Decides what is placed of the artifacts whose `contents` were staged.
pub(in crate::mirror) fn settle(
    layout: &Layout,
    staging: &mut Staging,
    manifest: &Manifest,
    contents: HashMap<Sha256, Content>,
    held: &Artifacts,
    rehash: bool,
    now: Timestamp,
) -> Result<Settled, Error> {
    let mut settled = Settled { after: held.clone(), ..Settled::default() };
    let tree = Tree { layout, held, rehash, twins: RefCell::default() };
    // A bundle may state an earlier time than it was made at, and the clock here may be late: what is doubtful is later
    // than both.
    let now = now.max(manifest.created.parse().unwrap_or(Timestamp::MIN));
    let mut settling = Settling { tree, staging, manifest, contents, used: BTreeSet::new(), now };
    let verdicts = settling.verdicts(&mut settled)?;
    for record in manifest.artifacts.iter().filter(|record| record.state != ArtifactState::Kept) {
        let moving = Moving::of(&record.path);
        let stays_out = match moving.as_ref().and_then(|moving| verdicts.get(moving)) {
            Some(Verdict::Drop) => true,
            // What the mirror is to have there by its own record is in its place, whatever came with it.
            Some(Verdict::Leave) if record.state == ArtifactState::Shipped && settling.tree.is_on_record(record) => {
                false
            }
            // What lies beside a channel manifest is of no use beside another one.
            Some(Verdict::Leave) if matches!(&moving, Some(Moving::Channel(path)) if settling.record(path).is_some()) => {
                true
            }
            Some(Verdict::Leave) => settling.tree.is_file(&record.path),
            _ => false,
        };
        if stays_out {
            if record.state == ArtifactState::Shipped && !settling.tree.has(record)? {
                settled.left.push(record.path.clone());
            }
            continue;
        }
        let read = read(manifest, record);
        if !settling.tree.has(record)? {
            let staged = settling.bytes_of(record)?;
            let replaces = record.path.below(layout.root()).symlink_metadata().is_ok();
            let moved = Move { staged, place: record.path.as_str().into(), replaces };
            match moving {
                Some(_) if !record.path.as_str().starts_with("rustup/dist/") => settled.channels.push(moved),
                _ => settled.components.push(moved),
            }
            settled.new = (settled.new.0 + 1, settled.new.1 + record.size);
        }
        let before = held.0.get(&record.path).filter(|before| before.sha256 == record.sha256);
        let read = before.map_or(read, |before| before.read.max(read));
        settled.after.0.insert(record.path.clone(), Held { sha256: record.sha256, size: record.size, read });
    }
    for signature in settling.stale_signatures(&verdicts) {
        if settling.tree.is_file(&signature) {
            let (staged, _) = settling.staging.create()?;
            settled.removals.push(Removal { staged, place: signature.as_str().into() });
        }
        settled.after.0.remove(&signature);
    }
    settled.notes.extend(settling.left_behind(&verdicts, &settled.after)?);
    if manifest.is_of_1x() {
        settled.notes.extend(settling.lacking());
    }
    // By path a manifest comes before its digest, and all channels before rustup's release.
    for moves in [&mut settled.components, &mut settled.channels] {
        moves.sort_by(|a, b| a.place.cmp(&b.place));
    }
    Ok(settled)
}

/// What becomes of the files that move together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// They are newer than what is held, or the same.
    Take,
    /// What is held is newer.
    Leave,
    /// They are of no use, and are never placed.
    Drop,
}

/// The files that are there.
struct Tree<'a> {
    layout: &'a Layout,
    held: &'a Artifacts,
    rehash: bool,
    /// Where the bytes of a digest are that were looked for; a bundle may name one digest at a great many paths.
    twins: RefCell<HashMap<Sha256, Option<PathBuf>>>,
}

impl Tree<'_> {
    fn path(&self, path: &SafePath) -> PathBuf {
        path.below(self.layout.root())
    }

    fn is_file(&self, path: &SafePath) -> bool {
        self.path(path).symlink_metadata().is_ok_and(|there| there.is_file())
    }

    /// Whether the mirror is to have the record's bytes at its path.
    fn is_on_record(&self, record: &ArtifactRecord) -> bool {
        self.held.0.get(&record.path).is_some_and(|held| held.sha256 == record.sha256)
    }

    /// Whether the record's bytes are at its path. What is not on record is hashed in any case.
    fn has(&self, record: &ArtifactRecord) -> Result<bool, Error> {
        let path = self.path(&record.path);
        is_held(&path, Some(record.size), &record.sha256, self.rehash || !self.is_on_record(record))
            .map_err(failed("read", &path))
    }

    /// Whether the record is of something that has moved on since the bundle was made: its bytes are gone for good, and
    /// nobody will want them here again.
    fn has_moved_on(&self, record: &ArtifactRecord, manifest: &Manifest) -> bool {
        let leading: SafePath = match Moving::of(&record.path) {
            Some(Moving::Channel(path)) => path.parse().expect("it is a file's own path, or the beginning of one"),
            // What is not there is not newer.
            Some(Moving::Release) if self.is_file(&record.path) => RELEASE.parse().expect("a plain path"),
            Some(Moving::Release) | None => return false,
        };
        let Ok(at) = manifest.artifacts.binary_search_by(|other| other.path.cmp(&leading)) else { return false };
        let (ours, held) = (&manifest.artifacts[at], self.held.0.get(&leading));
        held.is_some_and(|held| held.sha256 != ours.sha256 && held.read > read(manifest, ours))
            && self.is_file(&leading)
    }

    /// Another file that has the record's bytes, which are not at its own path: rustup itself stands at two paths.
    fn twin(&self, record: &ArtifactRecord, manifest: &Manifest) -> Result<Option<PathBuf>, Error> {
        if Moving::of(&record.path).is_none() {
            return Ok(None);
        }
        if let Some(found) = self.twins.borrow().get(&record.sha256) {
            return Ok(found.clone());
        }
        let mut found = None;
        for other in manifest.artifacts.iter().filter(|other| other.sha256 == record.sha256) {
            if self.has(other)? {
                found = Some(self.path(&other.path));
                break;
            }
        }
        self.twins.borrow_mut().insert(record.sha256, found.clone());
        Ok(found)
    }
}

struct Settling<'a> {
    tree: Tree<'a>,
    staging: &'a mut Staging,
    manifest: &'a Manifest,
    contents: HashMap<Sha256, Content>,
    /// What was staged and has a place by now.
    used: BTreeSet<Sha256>,
    /// The latest time that it may be.
    now: Timestamp,
}

impl Settling<'_> {
    /// A staged file with the record's bytes, for it alone.
    fn bytes_of(&mut self, record: &ArtifactRecord) -> Result<Staged, Error> {
        let from = match self.contents.get(&record.sha256) {
            Some(Content::Staged(staged)) if self.used.insert(record.sha256) => return Ok(*staged),
            // Its own file was renamed only in the plan: the staged one is still there.
            Some(Content::Staged(staged)) => self.staging.path(*staged),
            Some(Content::Held(path)) => path.clone(),
            None => {
                let gone = || failed("read", &self.tree.path(&record.path))(io::ErrorKind::NotFound.into());
                self.tree.twin(record, self.manifest)?.ok_or_else(gone)?
            }
        };
        let (staged, file) = self.staging.create()?;
        let mut out = HashingWriter::new(&file);
        let copied = File::open(&from).and_then(|mut file| io::copy(&mut file, &mut out)).and_then(|_| out.flush());
        copied.map_err(failed("copy", &from))?;
        if out.finish().0 != record.sha256 {
            return Err(failed("copy", &from)(io::Error::other("its bytes changed while they were copied")));
        }
        Ok(staged)
    }

    /// The bytes of a small file of the bundle; `None` where neither the bundle nor the mirror has them, or where they
    /// are more than any such file has.
    fn text(&self, record: &ArtifactRecord) -> Result<Option<Vec<u8>>, Error> {
        if record.size > channel::MAX_SIZE as u64 {
            return Ok(None);
        }
        let path = match self.contents.get(&record.sha256) {
            Some(Content::Staged(staged)) => self.staging.path(*staged),
            Some(Content::Held(path)) => path.clone(),
            None if self.tree.has(record)? => self.tree.path(&record.path),
            // Another history's bundle has moved on what this one relies on; what never moves still has the bytes.
            None => match self.tree.twin(record, self.manifest)? {
                Some(twin) => twin,
                None => return Ok(None),
            },
        };
        fs::read(&path).map(Some).map_err(failed("read", &path))
    }

    fn record(&self, path: &str) -> Option<&ArtifactRecord> {
        let records = &self.manifest.artifacts;
        let found = records.binary_search_by(|record| record.path.as_str().cmp(path)).ok().map(|at| &records[at]);
        found.filter(|record| record.state != ArtifactState::Kept)
    }

    /// What rustup lacks in a bundle of frostmirror 1.x, beside what is told of single files.
    fn lacking(&self) -> Vec<String> {
        let has = |is: &dyn Fn(&str) -> bool| self.manifest.artifacts.iter().any(|record| is(record.path.as_str()));
        let mut lacking = Vec::new();
        let programs = has(&|path| path.starts_with("rustup/dist/"));
        if programs && !has(&|path| path.starts_with("rustup/archive/")) {
            let what = "the bundle has rustup itself and no copy of it below `rustup/archive/`, from which rustup updates itself";
            lacking.push(what.to_owned());
        }
        let digests = |path: &str| path.starts_with("rustup/dist/") && path.ends_with(".sha256");
        if programs && !has(&digests) {
            let what = "the bundle has rustup itself without its `.sha256`, by which installers check it";
            lacking.push(what.to_owned());
        }
        let manifests = |path: &str| path.starts_with("dist/channel-rust-") && path.ends_with(".toml");
        if has(&|path| path.starts_with("dist/")) && !has(&manifests) {
            let what = "the bundle has components of toolchains and no channel manifest, without which rustup cannot find them";
            lacking.push(what.to_owned());
        }
        lacking
    }

    /// For everything that moves, whether the bundle's is placed.
    fn verdicts(&self, settled: &mut Settled) -> Result<BTreeMap<Moving, Verdict>, Error> {
        let mut verdicts = BTreeMap::new();
        let mut dates: HashMap<Sha256, Option<Date>> = HashMap::new();
        for record in self.manifest.artifacts.iter().filter(|record| record.state != ArtifactState::Kept) {
            let Some(moving) = Moving::of(&record.path).filter(|moving| !verdicts.contains_key(moving)) else {
                continue;
            };
            let verdict = match &moving {
                Moving::Channel(path) => self.channel(path, &mut dates, settled)?,
                Moving::Release => self.release(record, settled)?,
            };
            verdicts.insert(moving, verdict);
        }
        settled.notes.extend(self.ahead(&verdicts, &dates));
        Ok(verdicts)
    }

    /// What is taken and is dated later than today; it is no reason to refuse the bundle, since a clock may be wrong.
    fn ahead(&self, verdicts: &BTreeMap<Moving, Verdict>, dates: &HashMap<Sha256, Option<Date>>) -> Vec<String> {
        let mut ahead: BTreeMap<Date, Vec<String>> = BTreeMap::new();
        for (moving, verdict) in verdicts {
            let Moving::Channel(path) = moving else { continue };
            let date = self.record(path).and_then(|record| *dates.get(&record.sha256)?);
            if let Some(date) = date.filter(|date| *verdict == Verdict::Take && date.is_far_ahead_of(self.now)) {
                ahead.entry(date).or_default().push(format!("`{path}`"));
            }
        }
        let told = |(date, paths): (Date, Vec<String>)| {
            let (paths, are) = (paths.join(", "), if paths.len() == 1 { "is" } else { "are" });
            format!(
                "{paths} {are} dated {date}, and it is {} here: one of the two is wrong. No earlier one takes the place of \
                 this one; if its date is wrong, remove it from the mirror, and import a bundle with the right one",
                self.now.strftime("%Y-%m-%d")
            )
        };
        ahead.into_iter().map(told).collect()
    }

    fn channel(
        &self,
        path: &str,
        dates: &mut HashMap<Sha256, Option<Date>>,
        settled: &mut Settled,
    ) -> Result<Verdict, Error> {
        let Some(record) = self.record(path) else {
            let beside = ["sha256", "asc"].map(|end| self.record(&format!("{path}.{end}")));
            // One that mends has what was lost alone.
            if !beside.into_iter().flatten().all(|record| self.tree.is_on_record(record)) {
                settled.notes.push(format!("the bundle has a digest or a signature of `{path}`, and no such file"));
            }
            return Ok(Verdict::Leave);
        };
        let text = self.text(record)?;
        if text.is_none() && self.tree.has_moved_on(record, self.manifest) {
            return Ok(Verdict::Leave);
        }
        let date = dates.entry(record.sha256).or_insert_with(|| date_of(text.as_deref()));
        let Some(date) = *date else {
            return Ok(self.unusable(format!("`{path}` is no channel manifest"), settled));
        };
        let beside = self.record(&format!("{path}.sha256"));
        match beside {
            // The mirror is to have both, and is given what it has lost.
            None if self.tree.is_on_record(record)
                && self.tree.held.0.contains_key(&channel::digest_path(&record.path)) => {}
            None => settled.notes.push(format!("`{path}` came without its `.sha256`, and rustup does not use it so")),
            Some(digest) => {
                let says = match self.text(digest)? {
                    None if self.tree.has_moved_on(digest, self.manifest) => return Ok(Verdict::Leave),
                    says => says.unwrap_or_default(),
                };
                if says.get(..64) != Some(record.sha256.to_string().as_bytes()) {
                    let verdict = self.unusable(format!("`{path}.sha256` is not the digest of `{path}`"), settled);
                    if verdict == Verdict::Drop {
                        return Ok(verdict);
                    }
                }
            }
        }
        if self.tree.has(record)? {
            return Ok(Verdict::Take);
        }
        let Some((there, held)) = self.held(&record.path)? else {
            return Ok(Verdict::Take);
        };
        let held_date = if there.len() > channel::MAX_SIZE { None } else { date_of(Some(&there)) };
        let actual = Sha256::of(&there);
        if record.sha256 == held.sha256 && actual != held.sha256 {
            // It rotted, and may well be read all the same.
            return Ok(Verdict::Take);
        }
        // What rustup does not use never takes the place of what it does. The record counts: a digest that rotted is no
        // reason to move back.
        let digest = channel::digest_path(&record.path);
        let usable = self.tree.held.0.contains_key(&digest);
        let ours = (beside.is_some(), Some(date), read(self.manifest, record), record.sha256);
        let newer = ours > (usable, held_date, held.read, held.sha256);
        if let Some(held_date) = held_date.filter(|held| !newer && date < *held && held.is_far_ahead_of(self.now)) {
            settled.notes.push(format!(
                "`{path}` stays, which is dated {held_date}, and the bundle has that of {date}: if {held_date} is no date \
                 that a release can have, remove the file from the mirror and import the bundle once more"
            ));
        }
        Ok(if newer { Verdict::Take } else { Verdict::Leave })
    }

    fn release(&self, record: &ArtifactRecord, settled: &mut Settled) -> Result<Verdict, Error> {
        let release: SafePath = RELEASE.parse().expect("a plain path");
        let Some(stated) = self.record(RELEASE) else {
            let records = self.manifest.artifacts.iter().filter(|record| record.state != ArtifactState::Kept);
            let mut rustup = records.filter(|record| Moving::of(&record.path) == Some(Moving::Release));
            if !rustup.all(|record| self.tree.is_on_record(record)) {
                let what =
                    format!("the bundle has rustup itself and no `{RELEASE}`, without which rustup's updates fail");
                settled.notes.push(what);
            }
            let held = self.tree.held.0.get(&record.path);
            let newer = held.is_none_or(|held| held.read < read(self.manifest, record));
            return Ok(if newer && !self.tree.is_file(&release) { Verdict::Take } else { Verdict::Leave });
        };
        let text = self.text(stated)?;
        if text.is_none() && self.tree.has_moved_on(stated, self.manifest) {
            return Ok(Verdict::Leave);
        }
        let Some(version) = text.and_then(|text| release_version(&text)) else {
            return Ok(self.unusable(format!("`{RELEASE}` names no version of rustup"), settled));
        };
        let Some((there, held)) = self.held(&release)? else {
            return Ok(Verdict::Take);
        };
        let newer = (Some(version), read(self.manifest, stated)) >= (release_version(&there), held.read);
        Ok(if newer { Verdict::Take } else { Verdict::Leave })
    }

    /// What becomes of something that rustup cannot use: the bundle is refused, but for those of frostmirror 1.x, of which
    /// the rest is placed.
    fn unusable(&self, what: String, settled: &mut Settled) -> Verdict {
        if !self.manifest.is_of_1x() {
            settled.unusable.push(what);
            return Verdict::Leave;
        }
        settled.notes.push(format!("{what}; it is left out"));
        Verdict::Drop
    }

    /// The bytes of a small file of the mirror, and what is on record of it.
    fn held(&self, path: &SafePath) -> Result<Option<(Vec<u8>, Held)>, Error> {
        if !self.tree.is_file(path) {
            return Ok(None);
        }
        let place = self.tree.path(path);
        let mut text = Vec::new();
        let file = File::open(&place).map(|file| file.take(channel::MAX_SIZE as u64 + 1));
        file.and_then(|mut file| file.read_to_end(&mut text)).map_err(failed("read", &place))?;
        let unknown = || Held { sha256: Sha256::of(&text), size: text.len() as u64, read: Timestamp::MIN };
        let held = self.tree.held.0.get(path).copied().unwrap_or_else(unknown);
        Ok(Some((text, held)))
    }
}

fn date_of(text: Option<&[u8]>) -> Option<Date> {
    ChannelManifest::parse(text?).ok().map(|manifest| manifest.date())
}

/// When the record's bytes were read from upstream; the manifest's times were checked when it was opened.
fn read(manifest: &Manifest, record: &ArtifactRecord) -> Timestamp {
    manifest.artifact_read(record).parse().unwrap_or(Timestamp::MIN)
}

/// Opens the file at `path` to be compared with what passes; `None` where something else is to be staged for it.
pub(in crate::mirror) fn comparable(path: &Path, size: u64) -> Result<Option<File>, Error> {
    match path.symlink_metadata() {
        Ok(there) if there.is_dir() => return Err(failed("replace", path)(io::ErrorKind::IsADirectory.into())),
        Ok(there) if there.is_file() && there.len() == size => {}
        _ => return Ok(None),
    }
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed("read", path)(source)),
    }
}
