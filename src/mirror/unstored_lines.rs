//! Index lines of crates that live mode offered and that the mirror does not have.
//!
//! Cargo reads the index line of every package in a Cargo.lock, also of packages that it never downloads: those for other
//! platforms, and optional ones that nothing enables (tested with cargo 1.95). The mirror has no such line, because no client
//! requested the crate. So an export adds the lines from live mode's copies of upstream's index files, as index-only lines.
//!
//! - Cargo must not select a crate that it cannot download. If the mirror has a version of a crate, the added lines of that
//!   crate are marked as yanked: cargo accepts them for a Cargo.lock that names them, and never selects them otherwise. If
//!   the mirror has no version, there is nothing else to select, and the lines stay as upstream wrote them.
//! - Each line of a bundle is genuine and replaces an added line. So the time of an added line is a sixtieth of the export's
//!   time since 1970, which is earlier than the time of any bundle. Of two exports, the lines of the later one count.
//! - Nothing is added for a crate that a history names: its loss must be reported.
//! - An export adds at most `MAX_LINES` lines and `MAX_BYTES` bytes. Crates of which the mirror has no version come first,
//!   and of each crate the highest versions. The export names how many crates lack lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::disk;
use super::inventory::{Inventory, InventoryEntry};
use super::layout::Layout;
use super::transaction::Error;
use crate::bundle::format::{MAX_INDEX_ENTRY_SIZE, MAX_LINE_LENGTH};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::index_line::IndexLine;
use crate::upstream::index_file::CachedIndexFile;

/// Maximum number of added lines: each is a row in the snapshot's manifest and in the record of its import.
pub(super) const MAX_LINES: usize = 50_000;
/// Maximum bytes of added lines, which are in memory during the export.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The lines to add to an export.
#[derive(Debug, Default)]
pub(super) struct UnstoredLines {
    /// The index files with added lines: the name of the crate, and the whole text.
    pub(super) files: Vec<(CrateName, String)>,
    /// The added crates.
    pub(super) crates: Vec<InventoryEntry>,
    /// At most this many crates lack lines, because of the limits.
    pub(super) incomplete: usize,
}

impl UnstoredLines {
    /// Finds the lines for a mirror with this inventory. `is_named` tells whether a history names a crate.
    ///
    /// # Errors
    /// A file system operation failed. A copy that is unreadable or corrupt counts as absent.
    pub(super) fn find(
        layout: &Layout,
        inventory: &Inventory,
        is_named: &dyn Fn(&CrateId) -> bool,
        now: Timestamp,
    ) -> Result<UnstoredLines, Error> {
        UnstoredLines::find_within(layout, inventory, is_named, now, MAX_LINES, MAX_BYTES)
    }

    fn find_within(
        layout: &Layout,
        inventory: &Inventory,
        is_named: &dyn Fn(&CrateId) -> bool,
        now: Timestamp,
        max_lines: usize,
        max_bytes: usize,
    ) -> Result<UnstoredLines, Error> {
        let copies = find_copies(layout)?;
        let mut listed: HashMap<String, Vec<&InventoryEntry>> = HashMap::new();
        for entry in &inventory.crates {
            listed.entry(entry.id.name.index_path()).or_default().push(entry);
        }
        let is_stored = |path: &String| listed.get(path).is_some_and(|all| all.iter().any(|one| one.size.is_some()));
        let mut order: Vec<(&String, &PathBuf)> = copies.iter().collect();
        // The sort is stable, so the paths stay sorted.
        order.sort_by_key(|(path, _)| is_stored(path));
        let read_at = Timestamp::from_second(now.as_second().max(0) / 60).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut found = UnstoredLines::default();
        let (mut lines_left, mut bytes_left) = (max_lines, max_bytes);
        for (path, file) in order {
            if lines_left == 0 || bytes_left == 0 {
                found.incomplete += 1;
                continue;
            }
            let known = listed.get(path).map(Vec::as_slice).unwrap_or_default();
            let mut added = read_lines(path, file, known);
            added.retain(|line| !is_named(&line.id));
            if is_stored(path) {
                added = added.iter().filter_map(IndexLine::with_yanked).collect();
            }
            let Some(name) = added.first().map(|line| line.id.name.clone()) else { continue };
            let stored = match known {
                [] => String::new(),
                _ => disk::read_text(&layout.index_file(&name))?.unwrap_or_default(),
            };
            let free = usize::try_from(MAX_INDEX_ENTRY_SIZE).unwrap_or(usize::MAX).saturating_sub(stored.len());
            let limit = bytes_left.min(free);
            let mut bytes = 0;
            let end = added.iter().take(lines_left).take_while(|line| {
                bytes += line.raw.len() + 1;
                bytes <= limit
            });
            let end = end.count();
            found.incomplete += usize::from(end < added.len());
            added.truncate(end);
            if added.is_empty() {
                continue;
            }
            lines_left -= added.len();
            bytes_left -= added.iter().map(|line| line.raw.len() + 1).sum::<usize>();
            found.files.push((name, merge_text(&stored, &added)));
            found.crates.extend(added.into_iter().map(|line| InventoryEntry {
                id: line.id,
                cksum: line.cksum,
                yanked: line.yanked,
                read_at,
                size: None,
            }));
        }
        Ok(found)
    }
}

/// The line that live mode last offered for a crate that the mirror does not have; `None` if it never did.
///
/// # Errors
/// A file system operation failed.
pub fn find_offered_line(layout: &Layout, id: &CrateId) -> Result<Option<IndexLine>, Error> {
    let path = id.name.index_path();
    let newest = registry_folders(layout)?.into_iter().map(|folder| folder.join(&path));
    let newest = newest.filter_map(|file| Some((modified(&file)?, file))).max();
    let copy = newest.and_then(|(_, file)| CachedIndexFile::read(&file)).and_then(|copy| copy.file);
    Ok(copy.and_then(|file| file.find_line(&id.name, &id.version)))
}

/// Live mode's copies of upstream's index files, by their paths in an index. If several upstreams were used, the last
/// written copy of a file counts.
fn find_copies(layout: &Layout) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut newest: BTreeMap<String, (SystemTime, PathBuf)> = BTreeMap::new();
    for folder in registry_folders(layout)? {
        let files = disk::list(&folder, 3)?.into_iter().filter(|entry| entry.kind.is_file());
        for path in files.map(|entry| entry.path).filter(|path| disk::is_index_path(path)) {
            let file = folder.join(&path);
            let Some(time) = modified(&file) else { continue };
            let one = newest.entry(path).or_insert_with(|| (time, file.clone()));
            if time > one.0 {
                *one = (time, file);
            }
        }
    }
    Ok(newest.into_iter().map(|(path, (_, file))| (path, file)).collect())
}

/// The folders of live mode's upstreams.
fn registry_folders(layout: &Layout) -> Result<Vec<PathBuf>, Error> {
    let folders = disk::read_folder(&layout.live_index())?.into_iter().filter(|(_, kind)| kind.is_dir());
    Ok(folders.map(|(name, _)| layout.live_index().join(name)).collect())
}

fn modified(file: &Path) -> Option<SystemTime> {
    file.metadata().and_then(|about| about.modified()).ok()
}

/// The lines of a copy that the mirror's index, which lists `known`, can have in addition; the highest version first. All have
/// the same name: that of the listed versions, or of the highest one.
fn read_lines(path: &str, file: &Path, known: &[&InventoryEntry]) -> Vec<IndexLine> {
    let Some(copy) = CachedIndexFile::read(file).and_then(|copy| copy.file) else { return Vec::new() };
    let folded = |id: &CrateId| id.file_name().to_lowercase();
    let mut taken: HashSet<String> = known.iter().map(|entry| folded(&entry.id)).collect();
    let is_valid = |line: &IndexLine| line.id.name.index_path() == path && line.raw.len() <= MAX_LINE_LENGTH;
    let mut lines: Vec<IndexLine> = IndexLine::parse_file(copy.text()).filter(is_valid).collect();
    lines.sort_by(|one, next| next.id.version.cmp(&one.id.version));
    let name = known.first().map(|entry| entry.id.name.clone()).or_else(|| Some(lines.first()?.id.name.clone()));
    lines.retain(|line| Some(&line.id.name) == name.as_ref() && taken.insert(folded(&line.id)));
    lines
}

/// The text of an index file with the stored and the added lines, by version.
fn merge_text(stored: &str, added: &[IndexLine]) -> String {
    let mut lines: BTreeMap<Version, &str> =
        added.iter().map(|line| (line.id.version.clone(), line.raw.as_str())).collect();
    for raw in stored.lines() {
        if let Ok(line) = IndexLine::parse(raw) {
            lines.insert(line.id.version, raw);
        }
    }
    lines.values().flat_map(|line| [*line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::digest::Sha256;
    use crate::upstream::index_file::IndexFile;

    fn raw(name: &str, version: &str) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":false}}{}"#,
            "\n"
        )
    }

    /// A mirror whose live mode has copies of these index files.
    fn mirror_with_copies(copies: &[(&str, &[&str])]) -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        for (name, versions) in copies {
            let text: String = versions.iter().map(|version| raw(name, version)).collect();
            let file = Some(Arc::new(IndexFile::new(text.as_bytes())));
            let path = layout
                .live_index()
                .join("0123456789abcdef")
                .join(name.parse::<CrateName>().expect("a name").index_path());
            let above = path.parent().expect("a folder").to_owned();
            std::fs::create_dir_all(&above).expect("folder");
            CachedIndexFile { etag: None, last_modified: None, file }.write(&path, &above).expect("written");
        }
        (folder, layout)
    }

    fn stored(name: &str, version: &str) -> InventoryEntry {
        InventoryEntry {
            id: CrateId::parse(name, version).expect("a crate"),
            cksum: Sha256::of(version.as_bytes()),
            yanked: false,
            read_at: Timestamp::UNIX_EPOCH,
            size: Some(1),
        }
    }

    fn ids(found: &UnstoredLines) -> Vec<(String, bool)> {
        found.crates.iter().map(|entry| (entry.id.to_string(), entry.yanked)).collect()
    }

    #[test]
    fn lines_are_marked_only_beside_a_stored_version_and_never_replace_it() {
        let (_folder, layout) = mirror_with_copies(&[("aa", &["1.0.0", "1.1.0", "2.0.0"]), ("bb", &["1.0.0"])]);
        std::fs::create_dir_all(layout.index().join("2")).expect("folder");
        std::fs::write(layout.index().join("2/aa"), raw("aa", "1.1.0")).expect("written");
        let mut inventory = Inventory::default();
        inventory.add_crates(vec![stored("aa", "1.1.0")]);
        let now = Timestamp::from_second(1_767_225_600).expect("a time");
        let found = UnstoredLines::find(&layout, &inventory, &|id| id.to_string() == "aa 2.0.0", now).expect("read");
        assert_eq!(ids(&found), [("bb 1.0.0".to_owned(), false), ("aa 1.0.0".to_owned(), true)]);
        let (_, text) = &found.files[1];
        let lines: Vec<IndexLine> = IndexLine::parse_file(text).collect();
        assert_eq!(lines.iter().map(|line| line.yanked).collect::<Vec<_>>(), [true, false]);
        assert_eq!(format!("{}\n", lines[1].raw), raw("aa", "1.1.0"));
        assert!(
            found.crates.iter().all(|entry| entry.read_at.to_string().starts_with("1970-12") && entry.size.is_none())
        );
        let offered = |text: &str| {
            let (name, version) = text.split_once(' ').expect("two words");
            find_offered_line(&layout, &CrateId::parse(name, version).expect("a crate")).expect("read")
        };
        assert!(offered("bb 1.0.0").is_some_and(|line| !line.yanked));
        assert_eq!((offered("bb 1.0.1"), offered("cc 1.0.0")), (None, None));
    }

    #[test]
    fn limits_keep_the_highest_versions_of_crates_that_are_not_stored() {
        let copies: &[(&str, &[&str])] =
            &[("aa", &["1.0.0", "1.1.0"]), ("bb", &["1.0.0", "1.1.0", "1.2.0"]), ("cc", &["1.0.0"])];
        let (_folder, layout) = mirror_with_copies(copies);
        let mut inventory = Inventory::default();
        inventory.add_crates(vec![stored("aa", "1.0.0")]);
        std::fs::create_dir_all(layout.index().join("2")).expect("folder");
        std::fs::write(layout.index().join("2/aa"), raw("aa", "1.0.0")).expect("written");
        let find = |max_lines, max_bytes| {
            UnstoredLines::find_within(&layout, &inventory, &|_| false, Timestamp::UNIX_EPOCH, max_lines, max_bytes)
                .expect("read")
        };
        let names = |found: &UnstoredLines| ids(found).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        let all = find(10, 10_000);
        assert_eq!(
            (names(&all), all.incomplete),
            (["bb 1.2.0", "bb 1.1.0", "bb 1.0.0", "cc 1.0.0", "aa 1.1.0"].map(str::to_owned).to_vec(), 0)
        );
        let few = find(2, 10_000);
        assert_eq!((names(&few), few.incomplete), (["bb 1.2.0", "bb 1.1.0"].map(str::to_owned).to_vec(), 3));
        let small = find(10, raw("bb", "1.2.0").len() + 1);
        assert_eq!((names(&small), small.incomplete), (vec!["bb 1.2.0".to_owned()], 3));
        // A corrupt copy counts as absent.
        std::fs::write(layout.live_index().join("0123456789abcdef/2/cc"), "{}\n").expect("written");
        assert!(!names(&find(10, 10_000)).contains(&"cc 1.0.0".to_owned()));
    }
}
