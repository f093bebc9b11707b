//! Files that become invalid when a name moves on: signatures of the previous content, and targets that only the
//! previous release had.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decision, Planner};
use crate::mirror::dist_files::{
    DistFiles, MutableName, RUSTUP_RELEASE_PATH, channel_of_manifest, parse_rustup_version,
};
use crate::mirror::transaction::Error;
use crate::safe_path::SafePath;
use crate::toolchain::{self, ChannelManifest, Date};

/// The packages that every target requires, as a host or as a target.
const REQUIRED_PACKAGES: [&str; 3] = ["cargo", "rust-std", "rustc"];

/// Maximum number of targets that a warning names; it counts the others.
const MAX_NAMED: usize = 8;

impl Planner<'_> {
    /// Stored signatures of manifests that are replaced.
    pub(super) fn stale_signatures(&self, verdicts: &BTreeMap<MutableName, Decision>) -> Vec<SafePath> {
        let moved = self.replaced_channels(verdicts).map(|path| toolchain::signature_path(&path));
        let is_stale = |signature: &SafePath| {
            self.find_record(signature.as_str()).is_none() && self.stored.recorded.0.contains_key(signature)
        };
        moved.filter(is_stale).collect()
    }

    /// Warnings about targets that a moved channel no longer has, one sentence each. Another history may have added
    /// them, and this bundle does not know that.
    pub(super) fn dropped_targets(
        &self,
        verdicts: &BTreeMap<MutableName, Decision>,
        after: &DistFiles,
    ) -> Result<Vec<String>, Error> {
        let mut changes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in self.replaced_channels(verdicts) {
            let Some(record) = self.find_record(path.as_str()) else { continue };
            // One manifest at a time, because a hostile manifest uses much memory while it is parsed.
            let before = self.read_stored(&path)?.and_then(|(text, _)| stored_builds(&text, self.stored.recorded));
            let now = self.read_small(record)?.and_then(|text| stored_builds(&text, after));
            let (Some((before, had)), Some((now, has))) = (before, now) else { continue };
            let lost: BTreeSet<&str> = had.difference(&has).map(|(_, target)| target.as_str()).collect();
            if !lost.is_empty() {
                let what = format!(
                    "from the release of {before} to that of {now}, and the mirror lacks required packages of the new release for {}",
                    format_targets(&lost)
                );
                changes.entry(what).or_default().push(format!("`{path}`"));
            }
        }
        let mut notes: Vec<String> = changes
            .into_iter()
            .map(|(what, paths)| {
                let (paths, moves) = (paths.join(", "), if paths.len() == 1 { "moves" } else { "move" });
                format!(
                    "{paths} {moves} {what}: fetch it for these targets too, otherwise such machines cannot install it"
                )
            })
            .collect();
        notes.extend(self.dropped_hosts(verdicts, after)?);
        Ok(notes)
    }

    fn dropped_hosts(
        &self,
        verdicts: &BTreeMap<MutableName, Decision>,
        after: &DistFiles,
    ) -> Result<Option<String>, Error> {
        let release: SafePath = RUSTUP_RELEASE_PATH.parse().expect("a plain path");
        let record = self
            .find_record(RUSTUP_RELEASE_PATH)
            .filter(|_| verdicts.get(&MutableName::RustupRelease) == Some(&Decision::Accept));
        let (Some(record), Some((before, _))) = (record, self.read_stored(&release)?) else { return Ok(None) };
        let now = self.read_small(record)?.and_then(|text| parse_rustup_version(&text));
        let (Some(before), Some(now)) = (parse_rustup_version(&before), now) else { return Ok(None) };
        let hosts = |existing: &DistFiles, version: &_| -> BTreeSet<String> {
            let folder = format!("rustup/archive/{version}/");
            let below = existing.0.keys().filter_map(|path| path.as_str().strip_prefix(&folder));
            below.filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect()
        };
        let (had, has) = (hosts(self.stored.recorded, &before), hosts(after, &now));
        let lost: BTreeSet<&str> = had.difference(&has).map(String::as_str).collect();
        Ok((before != now && !lost.is_empty()).then(|| {
            format!(
                "rustup moves from {before} to {now}, which the mirror lacks for {}: fetch toolchains for these hosts too, \
                 otherwise rustup cannot update itself there",
                format_targets(&lost)
            )
        }))
    }

    /// The channels whose manifest is replaced. A dated folder keeps its content, apart from mistakes.
    fn replaced_channels(&self, verdicts: &BTreeMap<MutableName, Decision>) -> impl Iterator<Item = SafePath> {
        let taken = verdicts.iter().filter(|(_, verdict)| **verdict == Decision::Accept);
        taken.filter_map(|(moving, _)| {
            let MutableName::Channel(path) = moving else { return None };
            let record = self.find_record(path)?;
            let existing = self.stored.recorded.0.get(&record.path)?;
            (channel_of_manifest(&record.path).is_some() && existing.sha256 != record.sha256)
                .then(|| record.path.clone())
        })
    }
}

/// The date of the manifest `text`, and its required packages that are stored, by package and target.
fn stored_builds(text: &[u8], stored: &DistFiles) -> Option<(Date, BTreeSet<(String, String)>)> {
    let manifest = ChannelManifest::parse(text).ok()?;
    let packages = manifest.packages().iter().filter(|(name, _)| REQUIRED_PACKAGES.contains(&name.as_str()));
    let builds = packages.flat_map(|(name, package)| package.targets.iter().map(move |build| (name, build)));
    let is_held = |path: &SafePath| stored.0.contains_key(path);
    let carried = builds
        .filter(|(_, (_, build))| build.available && build.file().is_ok_and(|(path, _)| is_held(&path)))
        .map(|(name, (target, _))| (name.clone(), target.clone()))
        .collect();
    Some((manifest.date(), carried))
}

fn format_targets(targets: &BTreeSet<&str>) -> String {
    let shown = targets.iter().take(MAX_NAMED).map(|target| format!("`{}`", target.escape_debug()));
    let more = match targets.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.collect::<Vec<_>>().join(", ") + &more
}
