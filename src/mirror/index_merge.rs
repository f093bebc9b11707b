//! Merges index lines of two origins into one index file. [`super::layout`] describes the rules. This is a pure
//! function, so that tests can check that the order of imports does not matter.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::index_meta::{IndexLineMeta, REVOKED};
use crate::crate_id::{CrateId, CrateName, Version};
use crate::digest::Sha256;
use crate::index_line::IndexLine;

/// A stored index file and its records; both empty if the file does not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredIndexFile {
    /// The file's text.
    pub text: String,
    /// The records of its lines.
    pub records: Vec<IndexLineMeta>,
}

impl StoredIndexFile {
    /// Removes the line of a version and its records.
    pub(super) fn remove_version(&mut self, version: &Version) {
        let stays = |raw: &&str| IndexLine::parse(raw).map_or(true, |line| line.id.version != *version);
        self.text = self.text.lines().filter(stays).map(|raw| format!("{raw}\n")).collect();
        self.records.retain(|record| record.version != *version);
    }

    /// Whether there is a line or a record of this version.
    pub(super) fn has_version(&self, version: &Version) -> bool {
        self.records.iter().any(|record| record.version == *version)
            || IndexLine::parse_file(&self.text).any(|line| line.id.version == *version)
    }

    /// Whether a bundle or upstream's index stated the line of this version, according to its record. A line without a record
    /// proves nothing, and neither does one whose record a rebuild wrote, which does not know when the line was read.
    pub(super) fn is_attested(&self, version: &Version) -> bool {
        let (versions, _) = valid_stored_lines(self, &BTreeSet::new());
        versions.get(version).is_some_and(|known| known.read_at > REVOKED)
    }
}

/// An index line from a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLine {
    /// The line.
    pub line: IndexLine,
    /// When it was read from upstream's index.
    pub read_at: Timestamp,
    /// Whether the bundle names the crate but never had its file.
    pub index_only: bool,
    /// Whether the line only replaces the line of a stored crate. Without the crate, it waits.
    pub is_refresh: bool,
}

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeResult {
    /// The whole file.
    pub text: String,
    /// Its records.
    pub records: Vec<IndexLineMeta>,
    /// The dependencies of new or changed lines, other than for tests; sorted, by their own names.
    pub dependencies: Vec<String>,
    /// How many stored lines were damaged, and were dropped or replaced.
    pub damaged_lines: usize,
    /// How many versions are now listed with their file and were not recorded so before.
    pub newly_stored: usize,
    /// Refreshed lines whose crate is not stored, each with the time when it was read.
    pub pending: Vec<(IndexLine, Timestamp)>,
}

/// Two contradictory lines for one version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Conflict {
    /// The same crate with another digest.
    #[error("{id} is stored with the checksum {held}, but the bundle has the checksum {incoming}")]
    Checksum {
        /// The crate.
        id: CrateId,
        /// The recorded digest.
        held: Sha256,
        /// The bundle's digest.
        incoming: Sha256,
    },
    /// The same crate with other dependencies.
    #[error("the bundle's index line of {id} has other dependencies than the stored one")]
    Dependencies {
        /// The crate.
        id: CrateId,
    },
    /// Two names that differ only in case share an index file.
    #[error("the bundle has a crate `{incoming}`, but the mirror has `{held}`, which uses the same index file")]
    Name {
        /// The stored name.
        held: CrateName,
        /// The bundle's name.
        incoming: CrateName,
    },
}

/// The line of one version with its record.
struct VersionState {
    line: IndexLine,
    read_at: Timestamp,
    index_only: bool,
    /// Whether the merged file needs a record of it. Only a rebuild records a stored line that has no record.
    is_recorded: bool,
}

/// Merges `incoming` into `stored`.
///
/// # Errors
/// The first [`Conflict`] between the two.
pub fn merge(stored: &StoredIndexFile, incoming: Vec<NewLine>) -> Result<MergeResult, Box<Conflict>> {
    merge_over(stored, incoming, &BTreeSet::new())
}

/// Merges `incoming` into `stored`, whose lines of the versions `false_lines` are false: an incoming line of the same crate
/// file replaces each of them, whatever its dependencies.
///
/// # Errors
/// The first [`Conflict`] between the two.
pub(super) fn merge_over(
    stored: &StoredIndexFile,
    incoming: Vec<NewLine>,
    false_lines: &BTreeSet<Version>,
) -> Result<MergeResult, Box<Conflict>> {
    let (mut versions, damaged) = valid_stored_lines(stored, false_lines);
    let mut recorded: BTreeMap<&Version, Sha256> = BTreeMap::new();
    for record in &stored.records {
        recorded.entry(&record.version).or_insert(record.cksum);
    }
    // The crate of a line without a record counts as stored.
    let was_held = |version: &Version| match recorded.contains_key(version) {
        true => stored.records.iter().any(|r| r.version == *version && !r.index_only),
        false => false_lines.contains(version),
    };
    let mut needs = Vec::new();
    let mut replaced = Vec::new();
    let mut rivals: Vec<IndexLineMeta> = stored.records.clone();
    let mut newly_stored = 0;
    let mut pending = Vec::new();
    for NewLine { line, read_at: read, index_only, is_refresh: refresh } in incoming {
        if let Some(other) = versions.values().next().filter(|known| known.line.id.name != line.id.name) {
            return Err(Box::new(Conflict::Name { held: other.line.id.name.clone(), incoming: line.id.name }));
        }
        let version = line.id.version.clone();
        let before = versions.get(&version).map(|known| known.line.cksum);
        if let Some(held) = before.or_else(|| recorded.get(&version).copied()).filter(|held| *held != line.cksum) {
            return Err(Box::new(Conflict::Checksum { id: line.id, held, incoming: line.cksum }));
        }
        match versions.get_mut(&version) {
            // The index has no line without a crate.
            None if refresh && !recorded.contains_key(&version) && !false_lines.contains(&version) => {
                pending.push((line, read));
            }
            None => {
                // A damaged line is replaced, and the record of its file stays as it is.
                let index_only = if refresh { !was_held(&version) } else { index_only };
                needs.extend(dependency_names(&line));
                newly_stored += usize::from(!index_only && !was_held(&version));
                versions.insert(version, VersionState { line, read_at: read, index_only, is_recorded: true });
            }
            Some(known) => {
                if !known.line.is_consistent_with(&line) {
                    return Err(Box::new(Conflict::Dependencies { id: line.id }));
                }
                newly_stored += usize::from(known.index_only && !index_only);
                known.index_only &= index_only;
                if read == known.read_at && known.line.raw != line.raw {
                    let other = VersionState { line: line.clone(), read_at: read, index_only, is_recorded: true };
                    rivals.extend([meta_of(known), meta_of(&other)]);
                }
                if (read, &line.raw) > (known.read_at, &known.line.raw) {
                    if known.line.raw != line.raw {
                        needs.extend(dependency_names(&line));
                        replaced.extend(known.is_recorded.then(|| meta_of(known)));
                    }
                    (known.line, known.read_at, known.is_recorded) = (line, read, true);
                }
            }
        }
    }
    needs.sort_unstable();
    needs.dedup();
    let mut text = String::new();
    let mut records = Vec::new();
    for known in versions.values() {
        text.push_str(&known.line.raw);
        text.push('\n');
        let current = meta_of(known);
        // The time of the current line, which stays valid until the new file is renamed into place.
        let mut of_version: Vec<IndexLineMeta> =
            replaced.iter().filter(|old: &&IndexLineMeta| old.version == current.version).cloned().collect();
        for rival in rivals.iter().filter(|rival| rival.is_rival_of(&current)) {
            if of_version.iter().all(|one| !one.is_of_same_line(rival)) {
                of_version.push(IndexLineMeta { index_only: current.index_only, ..rival.clone() });
            }
        }
        records.append(&mut of_version);
        records.extend(known.is_recorded.then_some(current));
    }
    Ok(MergeResult { text, records, dependencies: needs, damaged_lines: damaged, newly_stored, pending })
}

/// The stored lines that match their record, by version, without the `false_lines`; and the number of those that do not match.
fn valid_stored_lines(
    stored: &StoredIndexFile,
    false_lines: &BTreeSet<Version>,
) -> (BTreeMap<Version, VersionState>, usize) {
    let mut versions = BTreeMap::new();
    let mut damaged = 0;
    for raw in stored.text.lines().filter(|raw| !raw.is_empty()) {
        let Ok(line) = IndexLine::parse(raw) else {
            damaged += 1;
            continue;
        };
        if false_lines.contains(&line.id.version) {
            continue;
        }
        let digest = Sha256::of(raw.as_bytes());
        let mut recorded = stored.records.iter().filter(|record| record.version == line.id.version).peekable();
        let unknown = recorded.peek().is_none();
        // The same line may be recorded with two times; the later one counts.
        let matching = recorded.filter(|record| record.line_sha256 == digest).max_by_key(|record| record.read_at);
        let (read, index_only) = match matching {
            Some(record) => (record.read_at, record.index_only),
            None if unknown => (Timestamp::MIN, false),
            None => {
                damaged += 1;
                continue;
            }
        };
        versions
            .insert(line.id.version.clone(), VersionState { line, read_at: read, index_only, is_recorded: !unknown });
    }
    (versions, damaged)
}

fn meta_of(version: &VersionState) -> IndexLineMeta {
    IndexLineMeta {
        version: version.line.id.version.clone(),
        read_at: version.read_at,
        cksum: version.line.cksum,
        line_sha256: Sha256::of(version.line.raw.as_bytes()),
        index_only: version.index_only,
    }
}

fn dependency_names(line: &IndexLine) -> impl Iterator<Item = String> {
    line.deps.iter().filter(|dep| !dep.dev).map(|dep| dep.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(version: &str, extra: &str) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}}{extra}}}"#)
    }

    fn new_line(raw: &str, read: i64, index_only: bool) -> NewLine {
        let line = IndexLine::parse(raw).expect("a line");
        NewLine { line, read_at: Timestamp::from_second(read).expect("time"), index_only, is_refresh: false }
    }

    fn to_stored(merged: MergeResult) -> StoredIndexFile {
        StoredIndexFile { text: merged.text, records: merged.records }
    }

    fn merged(lines: &[NewLine]) -> StoredIndexFile {
        lines.iter().fold(StoredIndexFile::default(), |before, line| {
            to_stored(merge(&before, vec![line.clone()]).expect("no conflict"))
        })
    }

    #[test]
    fn versions_are_sorted_as_versions_and_kept_verbatim() {
        let lines = ["10.0.0", "9.0.0", "9.0.0-rc.1"].map(|version| raw(version, r#", "yanked" : false"#));
        let file = merged(&lines.each_ref().map(|line| new_line(line, 1, false)));
        assert_eq!(file.text, format!("{}\n{}\n{}\n", lines[2], lines[1], lines[0]));
    }

    #[test]
    fn the_line_read_later_wins_in_any_order() {
        let old = new_line(&raw("1.0.0", ""), 1, false);
        let new = new_line(&raw("1.0.0", r#","yanked":true"#), 2, false);
        for order in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
            assert_eq!(merged(&order).text, format!("{}\n", new.line.raw));
        }
        // The old line again, read later: un-yanked.
        let again = NewLine { read_at: Timestamp::from_second(3).expect("time"), ..old };
        assert_eq!(merged(&[new, again.clone()]).text, format!("{}\n", again.line.raw));
    }

    #[test]
    fn conflicts_are_found() {
        let before = merged(&[new_line(&raw("1.0.0", ""), 1, false)]);
        let other = raw("1.0.0", "").replace(&Sha256::of(b"1.0.0").to_string(), &Sha256::of(b"").to_string());
        assert!(
            matches!(merge(&before, vec![new_line(&other, 2, false)]), Err(c) if matches!(*c, Conflict::Checksum { .. }))
        );
        let dep = r#""deps":[{"name":"b","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}]"#;
        let deps = raw("1.0.0", "").replace(r#""deps":[]"#, dep);
        assert!(
            matches!(merge(&before, vec![new_line(&deps, 2, false)]), Err(c) if matches!(*c, Conflict::Dependencies { .. }))
        );
        let name = raw("2.0.0", "").replace(r#""a""#, r#""A""#);
        assert!(
            matches!(merge(&before, vec![new_line(&name, 2, false)]), Err(c) if matches!(*c, Conflict::Name { .. }))
        );
    }

    #[test]
    fn a_refresh_replaces_a_stored_line_and_adds_none() {
        let refreshed = NewLine { is_refresh: true, ..new_line(&raw("1.0.0", r#","yanked":true"#), 2, true) };
        assert_eq!(merged(std::slice::from_ref(&refreshed)), StoredIndexFile::default());
        for index_only in [false, true] {
            let before = merged(&[new_line(&raw("1.0.0", ""), 1, index_only)]);
            let after = merge(&before, vec![refreshed.clone()]).expect("no conflict");
            assert_eq!((after.text, after.newly_stored), (format!("{}\n", refreshed.line.raw), 0));
            assert_eq!(after.records.last().map(|record| record.index_only), Some(index_only));
            // The line is damaged, and its record states its former content.
            let torn = StoredIndexFile { text: "x\n".to_owned(), records: before.records };
            let after = merge(&torn, vec![refreshed.clone()]).expect("no conflict");
            assert_eq!((after.text, after.newly_stored), (format!("{}\n", refreshed.line.raw), 0));
            assert_eq!(after.records.last().map(|record| record.index_only), Some(index_only));
        }
        // A line that was read before the stored one does not replace it.
        let newer = merged(&[new_line(&raw("1.0.0", ""), 3, false)]);
        assert_eq!(merge(&newer, vec![refreshed]).expect("no conflict").text, newer.text);
    }

    #[test]
    fn a_damaged_line_is_replaced_but_its_checksum_still_binds() {
        let line = new_line(&raw("1.0.0", ""), 1, false);
        let mut file = merged(std::slice::from_ref(&line));
        file.text = file.text.replace(r#""deps":[]"#, r#""deps":null"#);
        let mended = merge(&file, vec![line.clone()]).expect("no conflict");
        assert_eq!((mended.text, mended.damaged_lines), (format!("{}\n", line.line.raw), 1));
        let other = raw("1.0.0", "").replace(&Sha256::of(b"1.0.0").to_string(), &Sha256::of(b"").to_string());
        assert!(
            matches!(merge(&file, vec![new_line(&other, 2, false)]), Err(c) if matches!(*c, Conflict::Checksum { .. }))
        );
    }

    #[test]
    fn a_kill_between_metadata_and_index_keeps_read_times() {
        let old = new_line(&raw("1.0.0", r#","yanked":true"#), 2, false);
        let before = merged(std::slice::from_ref(&old));
        let new = merge(&before, vec![new_line(&raw("1.0.0", ""), 3, false)]).expect("no conflict");
        // The records were renamed into place, the lines were not.
        let torn = StoredIndexFile { text: before.text.clone(), records: new.records };
        let older = new_line(&raw("1.0.0", r#","v":1"#), 1, false);
        assert_eq!(merge(&torn, vec![older]).expect("no conflict").text, before.text);
    }

    #[test]
    fn a_line_without_metadata_counts_as_the_oldest() {
        let bare = StoredIndexFile { text: format!("{}\n", raw("1.0.0", "")), records: Vec::new() };
        let new = new_line(&raw("1.0.0", r#","yanked":false"#), -1_000_000_000, false);
        assert_eq!(merge(&bare, vec![new.clone()]).expect("no conflict").text, format!("{}\n", new.line.raw));
    }

    #[test]
    fn a_merge_records_no_line_that_has_no_record() {
        let bare = StoredIndexFile { text: format!("{}\n", raw("1.0.0", "")), records: Vec::new() };
        let after = merge(&bare, vec![new_line(&raw("1.1.0", ""), 5, false)]).expect("no conflict");
        assert_eq!(after.text.lines().count(), 2);
        let versions: Vec<String> = after.records.iter().map(|record| record.version.to_string()).collect();
        assert_eq!(versions, ["1.1.0"]);
        let bare = to_stored(after);
        let after = merge(&bare, vec![new_line(&raw("1.0.0", ""), 5, false)]).expect("no conflict");
        assert_eq!(after.records.len(), 2);
    }

    #[test]
    fn an_incoming_line_replaces_a_false_one_of_the_same_crate() {
        let evil = r#""deps":[{"name":"evil","req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}]"#;
        let altered = raw("1.0.0", "").replace(r#""deps":[]"#, evil);
        let false_lines = BTreeSet::from(["1.0.0".parse().expect("a version")]);
        let recorded = |read_at| {
            let line = IndexLine::parse(&altered).expect("a line");
            meta_of(&VersionState { line, read_at, index_only: false, is_recorded: true })
        };
        let later = Timestamp::from_second(9).expect("time");
        for (records, is_attested) in [
            (Vec::new(), false),
            (vec![recorded(Timestamp::MIN)], false),
            (vec![recorded(REVOKED)], false),
            (vec![recorded(later)], true),
        ] {
            let stored = StoredIndexFile { text: format!("{altered}\n"), records };
            assert_eq!(stored.is_attested(&"1.0.0".parse().expect("a version")), is_attested);
            for is_refresh in [false, true] {
                let genuine = NewLine { is_refresh, ..new_line(&raw("1.0.0", ""), 1, is_refresh) };
                let conflict = merge(&stored, vec![genuine.clone()]).expect_err("other dependencies");
                assert!(matches!(*conflict, Conflict::Dependencies { .. }), "{conflict}");
                let after = merge_over(&stored, vec![genuine.clone()], &false_lines).expect("no conflict");
                assert_eq!(after.text, format!("{}\n", genuine.line.raw));
                assert_eq!((after.damaged_lines, after.newly_stored, after.pending.len()), (0, 0, 0));
                let record = after.records.last().expect("a record");
                assert_eq!((record.read_at, record.index_only), (genuine.read_at, false));
            }
        }
    }

    proptest! {
        #[test]
        fn the_order_never_matters(
            lines in proptest::collection::vec((0usize..4, 0usize..3, 1i64..4, any::<bool>()), 1..9),
            seed in any::<u64>(),
        ) {
            let lines: Vec<NewLine> = lines
                .into_iter()
                .map(|(version, extra, read, index_only)| {
                    let extra = ["", r#","yanked":true"#, r#","yanked":false"#][extra];
                    new_line(&raw(["1.0.0", "1.0.1", "1.0.1+b", "2.0.0"][version], extra), read, index_only)
                })
                .collect();
            let mut shuffled = lines.clone();
            let mut state = seed;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(i, usize::try_from(state >> 33).expect("31 bits") % (i + 1));
            }
            let (one, other) = (merged(&lines), merged(&shuffled));
            prop_assert_eq!(&one.text, &other.text);
            // Records of replaced lines may remain; the records of current lines are equal.
            let standing = |file: &StoredIndexFile| -> Vec<(Sha256, Timestamp, bool)> {
                let (versions, damaged) = valid_stored_lines(file, &BTreeSet::new());
                assert_eq!(damaged, 0);
                versions.values().map(|known| (Sha256::of(known.line.raw.as_bytes()), known.read_at, known.index_only)).collect()
            };
            prop_assert_eq!(standing(&one), standing(&other));
        }
    }
}
