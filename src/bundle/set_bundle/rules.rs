//! The rules of a manifest with sections and parts. Writer and reader use them, so that no unreadable bundle is written.

use std::collections::BTreeSet;

use super::super::format::{
    BundleKind, FormatVersion, MAX_HISTORY_WEIGHT, MAX_INPUTS, MAX_NAME_LENGTH, input_weight, json_length,
};
use super::super::head_rules::{Head, LineagePosition, check_head};
use super::super::invalid_manifest::InvalidManifest;
use super::super::validate::{check_skipped_packages, invalid_input};
use super::compressed_text::CompressedText;
use super::manifest::{
    InputKindName, MAX_EXCEPTION_TEXT, MAX_EXCEPTIONS, MAX_PARTS, MAX_REGISTRIES, MAX_SECTIONS, MAX_URL_LENGTH,
    NumberedInput, PolicyException, RegistryRecord, SetLineage, SetManifest, StatedSet,
};
use crate::inputs::input_id::{InputKind, Label};
use crate::sharded_set::{MAX_INPUT, MAX_ROWS, RegistryId, RowRules};

/// Checks every rule that only needs the manifest.
pub(super) fn check(manifest: &SetManifest) -> Result<(), InvalidManifest> {
    let lineage = &manifest.lineage;
    check_head(&Head {
        format: manifest.format,
        expected_format: FormatVersion::SET,
        id: &manifest.id,
        tool: &manifest.tool,
        created: &manifest.created,
        index_read: &manifest.index_read,
        kind: manifest.kind,
        parent: manifest.parent.as_ref(),
        targets: &manifest.targets,
        toolchains: &manifest.toolchains,
        lineage: LineagePosition { id: &lineage.id, sequence: lineage.sequence, previous: lineage.previous.as_deref() },
    })?;
    check_lineage(lineage)?;
    let numbers: BTreeSet<u32> = lineage.inputs.iter().map(|input| input.number).collect();
    let is_fetched_valid = manifest.fetched.is_sorted_by(|one, next| one < next)
        && manifest.fetched.iter().all(|number| numbers.contains(number));
    let rules = [
        (manifest.kind != BundleKind::Snapshot, "is of a snapshot, which this format does not have"),
        (is_fetched_valid, "has `fetched` inputs that are duplicated, out of order or not in `lineage.inputs`"),
        (manifest.set.is_some() != manifest.repair, "has a `set` although it is a repair, or none although it is not"),
        (manifest.parts.len() <= MAX_PARTS, "has more than 8192 parts"),
        (manifest.exceptions.len() <= MAX_EXCEPTIONS, "has more than 1024 policy exceptions"),
        (
            manifest.exceptions.is_sorted_by(|one, next| one < next),
            "has policy exceptions that are duplicated or out of order",
        ),
        (manifest.exceptions.iter().all(is_exception), "has a policy exception with an invalid field"),
    ];
    if let Some((_, rule)) = rules.iter().find(|(holds, _)| !holds) {
        return Err(InvalidManifest::Manifest(rule));
    }
    check_registries(&manifest.registries)?;
    if let Some(set) = &manifest.set {
        check_set(set, manifest.kind)?;
    }
    check_parts(manifest)
}

fn check_lineage(lineage: &SetLineage) -> Result<(), InvalidManifest> {
    if lineage.inputs.len() > MAX_INPUTS {
        return Err(InvalidManifest::Manifest("has a history with more than 4096 inputs"));
    }
    let weight = lineage.inputs.iter().map(|input| input_weight(&input.label, &input.roots, &input.skipped_packages));
    if weight.sum::<u64>() > MAX_HISTORY_WEIGHT {
        return Err(InvalidManifest::Manifest("has a history whose inputs exceed the size limit of a mirror"));
    }
    let mut last = 0;
    for input in &lineage.inputs {
        if input.number <= last || input.number > MAX_INPUT {
            return Err(invalid_input(&input.label, "has a number that is duplicated, out of order or out of range"));
        }
        last = input.number;
        if !has_valid_label(input) {
            return Err(invalid_input(&input.label, "has an invalid label"));
        }
        check_skipped_packages(&input.label, &input.skipped_packages)?;
    }
    Ok(())
}

/// A label never shows a path. That of a `--crate` is its argument.
fn has_valid_label(input: &NumberedInput) -> bool {
    let is_argument = |text: &str| {
        !text.is_empty()
            && json_length(text) <= MAX_NAME_LENGTH
            && !text.contains(['/', '\\'])
            && !text.contains(char::is_control)
    };
    let InputKindName::Known(kind) = input.kind else { return false };
    match kind {
        InputKind::Depends | InputKind::Lockfile | InputKind::LabelledCrate => input.label.parse::<Label>().is_ok(),
        InputKind::Crate => is_argument(&input.label),
        InputKind::RepairList => false,
    }
}

fn check_registries(registries: &[RegistryRecord]) -> Result<(), InvalidManifest> {
    let is_valid = |registry: &RegistryRecord| {
        let url = registry.url.as_str();
        let authority = url.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        registry.id == RegistryId::of_url(url).to_string()
            && url.len() <= MAX_URL_LENGTH
            && url.bytes().all(|byte| byte.is_ascii_graphic())
            && authority.is_some_and(|authority| !authority.is_empty() && !authority.contains('@'))
            && registry.name.parse::<Label>().is_ok()
    };
    let rules = [
        (registries.len() <= MAX_REGISTRIES, "has more than 256 registries"),
        (registries.is_sorted_by(|one, next| one.id < next.id), "has registries that are duplicated or out of order"),
        (registries.iter().all(is_valid), "has a registry whose ID, URL or name is invalid"),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(InvalidManifest::Manifest(rule)),
        None => Ok(()),
    }
}

fn check_set(set: &StatedSet, kind: BundleKind) -> Result<(), InvalidManifest> {
    let rows = set.before.map_or(0, |before| before.rows).max(set.after.rows);
    let rules = [
        (rows <= MAX_ROWS, "has a set with more than 16777216 rows"),
        (kind != BundleKind::Full || set.before.is_none(), "is of a full bundle, but has `set.before`"),
        (set.before.is_none_or(|before| before.rows > 0), "has an empty set as `set.before`, which must be absent"),
        (set.sections.len() <= MAX_SECTIONS, "has more than 4096 sections"),
        (
            set.sections.iter().all(CompressedText::has_valid_sizes),
            "has a section that is empty, too large or whose compression ratio is too high",
        ),
        (
            set.sections.is_empty() == set.before.map_or(set.after.rows == 0, |before| before == set.after),
            "has sections although its set does not change, or none although it changes",
        ),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(InvalidManifest::Manifest(rule)),
        None => Ok(()),
    }
}

fn check_parts(manifest: &SetManifest) -> Result<(), InvalidManifest> {
    let entries = manifest.parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.entries));
    let totals = manifest.totals.sum();
    let rules = [
        (
            manifest.parts.iter().all(|part| part.table.has_valid_sizes()),
            "has a table that is empty, too large or whose compression ratio is too high",
        ),
        (manifest.parts.iter().all(|part| part.entries > 0), "has a part without entries"),
        // Readers count offsets from the file's start, including header and manifest.
        (
            manifest.payload_size().is_some_and(|size| size <= i64::MAX as u64 / 2) && totals.is_some(),
            "states sizes whose sum overflows 64 bits",
        ),
        (totals.is_some_and(|sum| Some(sum.entries) == entries), "has `totals` that are not the sums of its parts"),
    ];
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, rule)) => Err(InvalidManifest::Manifest(rule)),
        None => Ok(()),
    }
}

fn is_exception(exception: &PolicyException) -> bool {
    let PolicyException { rule, registry, name, version, reason, expires } = exception;
    let texts = [rule, registry, name, version, reason, expires];
    texts.into_iter().all(|text| !text.is_empty() && text.len() <= MAX_EXCEPTION_TEXT)
        && (registry == "-" || registry.parse::<RegistryId>().is_ok())
        && crate::crate_id::CrateId::parse(name, version).is_ok()
        && expires.parse::<jiff::civil::Date>().is_ok_and(|date| date.to_string() == *expires)
}

/// What the rows of the manifest's set may name.
pub(super) fn row_rules(manifest: &SetManifest) -> RowRules {
    let inputs = manifest.lineage.inputs.iter().map(|input| input.number);
    RowRules::new(inputs, registry_ids(manifest), manifest.lineage.sequence)
}

/// The IDs of the manifest's registries.
pub(super) fn registry_ids(manifest: &SetManifest) -> BTreeSet<RegistryId> {
    manifest.registries.iter().filter_map(|registry| registry.id.parse().ok()).collect()
}
