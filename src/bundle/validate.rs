//! Validates a manifest by the rules of the format before its payload is read.
//!
//! Writer and reader use the same rules, so that the writer never creates an unreadable bundle.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::format::{
    Block, BundleKind, CrateState, DistFileState, Encoding, Entry, FormatVersion, HISTORY_WEIGHT_PER_ROW, Lineage,
    MAX_BLOCK_SIZE, MAX_CARRIED_HISTORIES, MAX_CONFIG_SIZE, MAX_FILE_NAME_LENGTH, MAX_HISTORY_WEIGHT,
    MAX_INDEX_ENTRY_SIZE, MAX_INPUTS, MAX_SKIPPED_PACKAGE_TEXT, MAX_STORED_BLOCK_SIZE, MAX_TEXT_LENGTH, Manifest,
    SkippedPackage, history_weight, json_length, max_plain_size,
};
use super::head_rules::{Head, LineagePosition, check_head, is_id, is_time};
use super::invalid_manifest::InvalidManifest;
use crate::crate_id::{CrateName, Version};
use crate::digest::Sha256;
use crate::mirror_file::FileKind;
use crate::safe_path::{SafePath, portability_problem};

/// Checks every rule that only needs the manifest.
pub(super) fn validate(manifest: &Manifest) -> Result<(), InvalidManifest> {
    manifest.blocks.iter().try_for_each(check_encoding)?;
    check_head(&Head {
        format: manifest.format,
        expected_format: FormatVersion::CURRENT,
        id: &manifest.id,
        tool: &manifest.tool,
        created: &manifest.created,
        index_read: &manifest.index_read,
        kind: manifest.kind,
        parent: manifest.parent.as_ref(),
        targets: &manifest.targets,
        toolchains: &manifest.toolchains,
        lineage: LineagePosition::of(&manifest.lineage),
    })?;
    check_texts(manifest)?;
    check_crate_table(manifest)?;
    check_refreshed_crates(manifest)?;
    check_inputs(&manifest.lineage, manifest)?;
    check_dist_files(manifest)?;
    check_carried_histories(manifest)?;
    manifest.blocks.iter().try_for_each(check_block)?;
    check_order(manifest)?;
    check_crate_entries(manifest)?;
    check_unique_paths(manifest)?;
    check_dist_file_entries(manifest)
}

/// Unknown encodings of newer tools are reported first: the rest of such a manifest may follow other rules.
pub(super) fn check_encoding(block: &Block) -> Result<(), InvalidManifest> {
    let Encoding::Unknown(encoding) = &block.encoding else { return Ok(()) };
    let path = block.entries.first().map(|entry| entry.path.to_string()).unwrap_or_default();
    Err(InvalidManifest::UnknownEncoding { path, encoding: encoding.chars().take(80).collect() })
}

/// Texts of the table of crates that end up in records and in every snapshot of the mirror.
fn check_texts(manifest: &Manifest) -> Result<(), InvalidManifest> {
    for record in &manifest.crates {
        let mut texts = [&record.description, &record.license, &record.repository].into_iter().flatten();
        if texts.any(|text| json_length(text) > MAX_TEXT_LENGTH) {
            return invalid_crate(record, "has a description, licence or repository that is too long");
        }
    }
    Ok(())
}

fn check_crate_table(manifest: &Manifest) -> Result<(), InvalidManifest> {
    for pair in manifest.crates.windows(2) {
        if (&pair[0].name, &pair[0].version) >= (&pair[1].name, &pair[1].version) {
            return invalid_crate(&pair[1], "is duplicated or out of order in the table of crates");
        }
    }
    let full = manifest.kind != BundleKind::Delta;
    if let Some(record) = manifest.crates.iter().find(|record| full && record.state == CrateState::Sent) {
        return invalid_crate(record, "is listed as sent before, but the bundle is not a delta");
    }
    let mut folded: Vec<String> = manifest.crates.iter().map(|record| record.id().file_name().to_lowercase()).collect();
    folded.sort_unstable();
    if let Some(pair) = folded.windows(2).find(|pair| pair[0] == pair[1]) {
        let name = pair[0].trim_end_matches(".crate").to_owned();
        return Err(InvalidManifest::Crate { name, rule: "occurs twice in the table of crates, with different case" });
    }
    drop(folded);
    // Names that are equal in lower case would share an index file. Versions of a name are adjacent.
    let mut names: HashMap<String, &CrateName> = HashMap::new();
    for record in &manifest.crates {
        if *names.entry(record.name.as_str().to_lowercase()).or_insert(&record.name) != &record.name {
            return invalid_crate(record, "has a name that occurs in the table of crates with different case");
        }
    }
    Ok(())
}

/// The crates of earlier bundles whose lines are included.
fn check_refreshed_crates(manifest: &Manifest) -> Result<(), InvalidManifest> {
    if manifest.refreshed_crates.is_empty() {
        return Ok(());
    }
    if manifest.kind == BundleKind::Snapshot {
        return Err(InvalidManifest::Manifest("refreshes index lines, but is a snapshot"));
    }
    let mut names: HashMap<String, &CrateName> =
        manifest.crates.iter().map(|record| (record.name.as_str().to_lowercase(), &record.name)).collect();
    let mut last: Option<(&CrateName, &Version)> = None;
    for one in &manifest.refreshed_crates {
        let key = (&one.name, &one.version);
        let found = manifest.crates.binary_search_by(|record| (&record.name, &record.version).cmp(&key)).ok();
        let record = found.and_then(|at| manifest.crates.get(at));
        let known_spelling = *names.entry(one.name.as_str().to_lowercase()).or_insert(&one.name);
        let rules = [
            (last.is_none_or(|last| last < key), "is duplicated or out of order in the table of refreshed crates"),
            (
                record.is_none_or(|record| record.state == CrateState::Kept),
                "is in the table of refreshed crates, but the table of crates has its index line too",
            ),
            (
                record.is_none_or(|record| record.sha256 == one.sha256),
                "has different digests in the tables of crates and of refreshed crates",
            ),
            (
                *known_spelling == one.name,
                "is in the table of refreshed crates, but the bundle also has its name with different case",
            ),
        ];
        if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(InvalidManifest::Crate { name: one.id().to_string(), rule });
        }
        last = Some(key);
    }
    Ok(())
}

fn invalid_crate(record: &super::format::CrateRecord, rule: &'static str) -> Result<(), InvalidManifest> {
    Err(InvalidManifest::Crate { name: record.id().to_string(), rule })
}

const POSITIONS_RULE: &str = "has row numbers that are out of range or out of order";

fn check_inputs(lineage: &Lineage, manifest: &Manifest) -> Result<(), InvalidManifest> {
    let rows = (manifest.crates.len() + manifest.dist_files.len()) as u64;
    if lineage.inputs.len() > MAX_INPUTS {
        return Err(InvalidManifest::Manifest("has a history with more than 4096 inputs"));
    }
    let most = MAX_HISTORY_WEIGHT.saturating_add(rows.saturating_mul(HISTORY_WEIGHT_PER_ROW));
    if history_weight(lineage, "", rows) > most {
        return Err(InvalidManifest::Manifest("has a history whose inputs exceed the size limit of a mirror"));
    }
    for input in &lineage.inputs {
        if !are_positions(&input.crates, &input.dist_files, manifest) {
            return Err(invalid_input(&input.name, POSITIONS_RULE));
        }
        check_skipped_packages(&input.name, &input.skipped_packages)?;
    }
    Ok(())
}

/// The error of the input `name`.
pub(super) fn invalid_input(name: &str, rule: &'static str) -> InvalidManifest {
    InvalidManifest::Input { name: name.chars().take(200).collect(), rule }
}

/// The packages that the input `name` left out.
pub(super) fn check_skipped_packages(name: &str, packages: &[SkippedPackage]) -> Result<(), InvalidManifest> {
    if !packages.is_sorted_by(|one, next| one < next) {
        return Err(invalid_input(name, "has left-out packages that are duplicated or out of order"));
    }
    let mut texts = packages.iter().flat_map(|one| [&one.name, &one.version, &one.source, &one.reason]);
    if texts.any(|text| text.is_empty() || text.len() > MAX_SKIPPED_PACKAGE_TEXT) {
        return Err(invalid_input(name, "has a left-out package with an empty or too long field"));
    }
    Ok(())
}

fn are_positions(crates: &[u32], artifacts: &[u32], manifest: &Manifest) -> bool {
    [(crates, manifest.crates.len()), (artifacts, manifest.dist_files.len())].iter().all(|(positions, length)| {
        let ascending = positions.windows(2).all(|pair| pair[0] < pair[1]);
        ascending && positions.last().is_none_or(|last| (*last as usize) < *length)
    })
}

/// The table of dist files.
fn check_dist_files(manifest: &Manifest) -> Result<(), InvalidManifest> {
    let snapshot = manifest.kind == BundleKind::Snapshot;
    let full = manifest.kind != BundleKind::Delta;
    let mut last: Option<&SafePath> = None;
    for record in &manifest.dist_files {
        let path = &record.path;
        let portability = portability_problem(path);
        let rules = [
            (
                matches!(FileKind::from_path(path), Some(FileKind::Dist | FileKind::Rustup)),
                "is not a path of a rustup artifact",
            ),
            (
                !path.components().any(|part| part.starts_with('.')),
                "has a hidden name (with a leading dot), which is never served",
            ),
            (portability.is_none(), portability.unwrap_or_default()),
            (last.is_none_or(|last| last < path), "is duplicated or out of order in the table of rustup artifacts"),
            (!(full && record.state == DistFileState::Sent), "is listed as sent before, but the bundle is not a delta"),
            (record.read_at.is_none() || snapshot, "has a `read` time, but the bundle is not a snapshot"),
            (
                record.read_at.as_deref().is_none_or(is_time),
                "has an invalid `read`: a UTC time such as 2026-04-02T21:30:00Z is required",
            ),
        ];
        if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(InvalidManifest::Entry { path: path.clone(), rule });
        }
        last = Some(path);
    }
    check_distinct(manifest.dist_files.iter().map(|record| &record.path))
}

/// Shipped dist files must have matching entries.
fn check_dist_file_entries(manifest: &Manifest) -> Result<(), InvalidManifest> {
    let mut carried: HashMap<Sha256, u64> = HashMap::new();
    for entry in manifest.entries().filter(|entry| matches!(entry.kind, FileKind::Dist | FileKind::Rustup)) {
        let stated = manifest.dist_files.binary_search_by(|record| record.path.cmp(&entry.path)).ok();
        let stated = stated.map(|at| &manifest.dist_files[at]);
        if stated.is_none_or(|record| {
            (record.state, record.sha256, record.size) != (DistFileState::Shipped, entry.sha256, entry.size)
        }) {
            let rule = "has no matching row as shipped in the table of rustup artifacts";
            return Err(InvalidManifest::Entry { path: entry.path.clone(), rule });
        }
        carried.insert(entry.sha256, entry.size);
    }
    let shipped = manifest.dist_files.iter().filter(|record| record.state == DistFileState::Shipped);
    for record in shipped {
        if carried.get(&record.sha256) != Some(&record.size) {
            let rule = "is listed as shipped, but no entry has its digest and size";
            return Err(InvalidManifest::Entry { path: record.path.clone(), rule });
        }
    }
    Ok(())
}

/// The fields that only a snapshot has.
fn check_carried_histories(manifest: &Manifest) -> Result<(), InvalidManifest> {
    let snapshot = manifest.kind == BundleKind::Snapshot;
    if let Some(record) = manifest.crates.iter().find(|record| record.read_at.is_some() && !snapshot) {
        return invalid_crate(record, "has a `read` time, but the bundle is not a snapshot");
    }
    if let Some(record) = manifest.crates.iter().find(|record| record.read_at.as_deref().is_some_and(|at| !is_time(at)))
    {
        return invalid_crate(record, "has an invalid `read`: a UTC time such as 2026-04-02T21:30:00Z is required");
    }
    if !manifest.carried_histories.is_empty() && !snapshot {
        return Err(InvalidManifest::Manifest("carries other histories, but is not a snapshot"));
    }
    if manifest.carried_histories.len() > MAX_CARRIED_HISTORIES {
        return Err(InvalidManifest::Manifest("carries more than 1024 histories"));
    }
    let mut last: Option<(&str, &str)> = None;
    let mut bundles: HashSet<&str> = HashSet::from([manifest.lineage.id.as_str()]);
    for one in &manifest.carried_histories {
        let (id, bundle) = (one.lineage.id.as_str(), one.bundle.as_str());
        let rules = [
            (json_length(&one.file) <= MAX_FILE_NAME_LENGTH, "carries a history with a file name that is too long"),
            (is_id(id) && is_id(&one.bundle), "carries a history with an invalid id, or a bundle with one"),
            (
                id != manifest.lineage.id && last.is_none_or(|last| last < (id, bundle)),
                "has carried histories that are duplicated or out of order",
            ),
            (
                LineagePosition::of(&one.lineage).has_valid_number(),
                "carries a history with an invalid `lineage.sequence`: the first bundle of a history has number 1, and a number that is a time is before the year 10000",
            ),
            (
                LineagePosition::of(&one.lineage).has_valid_predecessor(),
                "carries a history with an invalid `lineage.previous`: number 1 has none, and each later bundle states the id \
                 of the one before it",
            ),
            // A bundle belongs to one history, which names its record.
            (bundles.insert(bundle), "carries one bundle for two histories"),
            (
                is_time(&one.created) && is_time(&one.index_read),
                "carries a history with an invalid time: a UTC time such as 2026-04-02T21:30:00Z is required",
            ),
            (
                are_positions(&one.crates, &one.dist_files, manifest),
                "carries a history with row numbers that are out of range or out of order",
            ),
        ];
        if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(InvalidManifest::Manifest(rule));
        }
        check_inputs(&one.lineage, manifest)?;
        last = Some((id, bundle));
    }
    Ok(())
}

pub(super) fn check_block(block: &Block) -> Result<(), InvalidManifest> {
    let Some(first) = block.entries.first() else {
        return Err(InvalidManifest::Manifest("has a block without entries"));
    };
    let broken = |rule| Err(InvalidManifest::Entry { path: first.path.clone(), rule });
    let Some(plain) = block.plain_size() else {
        return broken("is in a block whose sizes overflow 64 bits");
    };
    match (&block.encoding, &block.stored) {
        (Encoding::Stored, None) if block.entries.len() == 1 => Ok(()),
        (Encoding::Stored, None) => broken("is in an uncompressed block that has several entries"),
        (Encoding::Stored, Some(_)) => broken("is in an uncompressed block that states a compressed size"),
        (Encoding::Brotli, None) => broken("is in a compressed block that lacks its stored size and digest"),
        (Encoding::Brotli, Some(_)) if plain > MAX_BLOCK_SIZE => broken("is in a compressed block that is too large"),
        (Encoding::Brotli, Some(stored)) if stored.size > MAX_STORED_BLOCK_SIZE => {
            broken("is in a compressed block that is too large")
        }
        (Encoding::Brotli, Some(stored)) if plain > max_plain_size(stored.size) => {
            broken("has a compression ratio that is too high for text")
        }
        (Encoding::Brotli, Some(_)) if block.entries.iter().any(|entry| entry.kind == FileKind::Crate) => {
            broken("is in a compressed block that contains a crate; crates are never compressed")
        }
        (Encoding::Brotli, Some(_)) => Ok(()),
        // Reported before all other problems.
        (Encoding::Unknown(_), _) => broken("is stored in an unknown encoding"),
    }
}

fn check_order(manifest: &Manifest) -> Result<(), InvalidManifest> {
    let mut last: Option<&Entry> = None;
    let mut end = 0u64;
    for block in &manifest.blocks {
        let overflow = || InvalidManifest::Manifest("states sizes whose sum overflows 64 bits");
        end = block.stored_size().and_then(|size| end.checked_add(size)).ok_or_else(overflow)?;
        for entry in &block.entries {
            let broken = |rule| Err(InvalidManifest::Entry { path: entry.path.clone(), rule });
            check_entry(entry, &entry.path, manifest.kind)?;
            if let Some(last) = last {
                match (last.kind, &last.path).cmp(&(entry.kind, &entry.path)) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return broken("occurs twice in the bundle"),
                    std::cmp::Ordering::Greater => return broken("is out of order"),
                }
            }
            last = Some(entry);
        }
    }
    // Readers count offsets from the file's start, including header and manifest.
    if end > i64::MAX as u64 {
        return Err(InvalidManifest::Manifest("states sizes whose sum overflows 64 bits"));
    }
    Ok(())
}

/// Checks an entry alone. `path` is its path in its registry.
pub(super) fn check_entry(entry: &Entry, path: &SafePath, bundle: BundleKind) -> Result<(), InvalidManifest> {
    let rules = [
        (FileKind::from_path(path) == Some(entry.kind), "has a path that does not fit its kind"),
        (entry.kind != FileKind::Index || entry.size > 0, "is an empty index file"),
        (
            entry.kind != FileKind::Config || entry.size <= MAX_CONFIG_SIZE,
            "exceeds the size limit of a configuration file",
        ),
        (
            entry.kind != FileKind::Config || path.as_str() == "config.toml" || bundle == BundleKind::Snapshot,
            "is a mirror's configuration, but the bundle is not a snapshot",
        ),
        (
            entry.kind != FileKind::Index || entry.size <= MAX_INDEX_ENTRY_SIZE,
            "exceeds the size limit of an index file",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(InvalidManifest::Entry { path: entry.path.clone(), rule }),
        None => Ok(()),
    }
}

/// Shipped crates and crate entries must be the same set, with the same digests and sizes.
///
/// Both are sorted, but differently (`1.10.0` follows `1.9.0` only as a version), so that one is looked up in the other.
fn check_crate_entries(manifest: &Manifest) -> Result<(), InvalidManifest> {
    let entries: Vec<&Entry> = manifest.entries().take_while(|entry| entry.kind == FileKind::Crate).collect();
    let mut shipped = 0;
    for record in manifest.crates.iter().filter(|record| record.state == CrateState::Shipped) {
        let path = record.id().crate_path();
        let Ok(found) = entries.binary_search_by(|entry| entry.path.cmp(&path)) else {
            return invalid_crate(record, "is listed as shipped, but has no entry");
        };
        if entries[found].sha256 != record.sha256 || entries[found].size != record.size {
            let rule = "differs in digest or size from its row in the table of crates";
            return Err(InvalidManifest::Entry { path, rule });
        }
        shipped += 1;
    }
    if shipped == entries.len() {
        return Ok(());
    }
    let mut paths: Vec<SafePath> = manifest
        .crates
        .iter()
        .filter(|record| record.state == CrateState::Shipped)
        .map(|record| record.id().crate_path())
        .collect();
    paths.sort_unstable();
    match entries.iter().find(|entry| paths.binary_search(&entry.path).is_err()) {
        Some(entry) => Err(InvalidManifest::Entry {
            path: entry.path.clone(),
            rule: "is not listed as shipped in the table of crates",
        }),
        None => Ok(()),
    }
}

/// No two paths may be equal on a case-insensitive file system, and none may be a folder of another.
fn check_unique_paths(manifest: &Manifest) -> Result<(), InvalidManifest> {
    check_distinct(manifest.entries().map(|entry| &entry.path))
}

fn check_distinct<'m>(paths: impl Iterator<Item = &'m SafePath>) -> Result<(), InvalidManifest> {
    let mut folded: Vec<(Cow<'_, str>, &SafePath)> = paths.map(|path| (fold_case(path.as_str()), path)).collect();
    folded.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = folded.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(InvalidManifest::Entry {
            path: pair[1].1.clone(),
            rule: "differs from another entry only in case",
        });
    }
    for (path, original) in &folded {
        for (end, _) in path.match_indices('/') {
            if folded.binary_search_by(|(other, _)| other.as_ref().cmp(&path[..end])).is_ok() {
                return Err(InvalidManifest::Entry {
                    path: (*original).clone(),
                    rule: "is below a path that is a file",
                });
            }
        }
    }
    Ok(())
}

fn fold_case(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(path.to_lowercase())
    }
}
