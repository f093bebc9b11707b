//! What a name that moves on leaves behind: a signature of what was there, and targets that only the release before had.

use std::collections::{BTreeMap, BTreeSet};

use super::{Settling, Verdict};
use crate::channel::{self, ChannelManifest, Date};
use crate::mirror::artifacts::{Artifacts, Moving, RELEASE, channel_manifest, release_version};
use crate::mirror::store::Error;
use crate::safe_path::SafePath;

/// The packages without which nobody can work on a target, or for it.
const NEEDED: [&str; 3] = ["cargo", "rust-std", "rustc"];

/// Targets that a warning names; the rest is counted.
const NAMED: usize = 8;

impl Settling<'_> {
    /// Signatures that are held and were made for other bytes than their manifest has from now on.
    pub(super) fn stale_signatures(&self, verdicts: &BTreeMap<Moving, Verdict>) -> Vec<SafePath> {
        let moved = self.moved_channels(verdicts).map(|path| channel::signature_path(&path));
        let is_stale = |signature: &SafePath| {
            self.record(signature.as_str()).is_none() && self.tree.held.0.contains_key(signature)
        };
        moved.filter(is_stale).collect()
    }

    /// Targets that what moves had and has no more, for which its clients find nothing; one sentence each. Another
    /// history may have brought them, and this one knows nothing of its wishes.
    pub(super) fn left_behind(
        &self,
        verdicts: &BTreeMap<Moving, Verdict>,
        after: &Artifacts,
    ) -> Result<Vec<String>, Error> {
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for path in self.moved_channels(verdicts) {
            let Some(record) = self.record(path.as_str()) else { continue };
            // One after the other: a hostile manifest takes much memory while it is read.
            let before = self.held(&path)?.and_then(|(text, _)| carried(&text, self.tree.held));
            let now = self.text(record)?.and_then(|text| carried(&text, after));
            let (Some((before, had)), Some((now, has))) = (before, now) else { continue };
            let lost: BTreeSet<&str> = had.difference(&has).map(|(_, target)| target.as_str()).collect();
            if !lost.is_empty() {
                let what = format!(
                    "from the release of {before} to that of {now}, of which the mirror does not have for {} what it has of the former",
                    listed(&lost)
                );
                told.entry(what).or_default().push(format!("`{path}`"));
            }
        }
        let mut notes: Vec<String> = told
            .into_iter()
            .map(|(what, paths)| {
                let (paths, moves) = (paths.join(", "), if paths.len() == 1 { "moves" } else { "move" });
                format!(
                    "{paths} {moves} {what}: fetch it for these targets too, or machines of theirs cannot install it"
                )
            })
            .collect();
        notes.extend(self.hosts_left_behind(verdicts, after)?);
        Ok(notes)
    }

    fn hosts_left_behind(
        &self,
        verdicts: &BTreeMap<Moving, Verdict>,
        after: &Artifacts,
    ) -> Result<Option<String>, Error> {
        let release: SafePath = RELEASE.parse().expect("a plain path");
        let record = self.record(RELEASE).filter(|_| verdicts.get(&Moving::Release) == Some(&Verdict::Take));
        let (Some(record), Some((before, _))) = (record, self.held(&release)?) else { return Ok(None) };
        let now = self.text(record)?.and_then(|text| release_version(&text));
        let (Some(before), Some(now)) = (release_version(&before), now) else { return Ok(None) };
        let hosts = |held: &Artifacts, version: &_| -> BTreeSet<String> {
            let folder = format!("rustup/archive/{version}/");
            let below = held.0.keys().filter_map(|path| path.as_str().strip_prefix(&folder));
            below.filter_map(|path| Some(path.split_once('/')?.0.to_owned())).collect()
        };
        let (had, has) = (hosts(self.tree.held, &before), hosts(after, &now));
        let lost: BTreeSet<&str> = had.difference(&has).map(String::as_str).collect();
        Ok((before != now && !lost.is_empty()).then(|| {
            format!(
                "rustup moves from {before} to {now}, which the mirror does not have for {}: fetch toolchains for these \
                 hosts too, or rustup cannot update itself there",
                listed(&lost)
            )
        }))
    }

    /// The channels whose manifest is another one from now on. A folder of a day keeps what it has, but for mistakes.
    fn moved_channels(&self, verdicts: &BTreeMap<Moving, Verdict>) -> impl Iterator<Item = SafePath> {
        let taken = verdicts.iter().filter(|(_, verdict)| **verdict == Verdict::Take);
        taken.filter_map(|(moving, _)| {
            let Moving::Channel(path) = moving else { return None };
            let record = self.record(path)?;
            let held = self.tree.held.0.get(&record.path)?;
            (channel_manifest(&record.path).is_some() && held.sha256 != record.sha256).then(|| record.path.clone())
        })
    }
}

/// The date of the manifest `text`, and what it names of the needed packages and is held, by package and target.
fn carried(text: &[u8], held: &Artifacts) -> Option<(Date, BTreeSet<(String, String)>)> {
    let manifest = ChannelManifest::parse(text).ok()?;
    let packages = manifest.packages().iter().filter(|(name, _)| NEEDED.contains(&name.as_str()));
    let builds = packages.flat_map(|(name, package)| package.targets.iter().map(move |build| (name, build)));
    let is_held = |path: &SafePath| held.0.contains_key(path);
    let carried = builds
        .filter(|(_, (_, build))| build.available && build.file().is_ok_and(|(path, _)| is_held(&path)))
        .map(|(name, (target, _))| (name.clone(), target.clone()))
        .collect();
    Some((manifest.date(), carried))
}

fn listed(targets: &BTreeSet<&str>) -> String {
    let shown = targets.iter().take(NAMED).map(|target| format!("`{}`", target.escape_debug()));
    let more = match targets.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    shown.collect::<Vec<_>>().join(", ") + &more
}
