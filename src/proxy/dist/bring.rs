//! What belongs together, from upstream into the mirror: asked for as a whole, checked, placed as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::flight::{Errand, Flight, Landed};
use super::super::placing::Parcel;
use super::super::refusal::Refusal;
use super::super::upstreams::guarded;
use super::super::{Proxy, Running};
use super::unit::Unit;
use crate::channel::{Date, Toolchain, digest_path};
use crate::digest::Sha256;
use crate::gather::toolchains::{Error, MAX_DIGEST, MAX_FILE, Source, Texts, stated};
use crate::http;
use crate::mirror::live::PartialFile;
use crate::safe_path::SafePath;

/// What came of asking upstream.
pub(super) struct Brought {
    /// The digest that upstream states for the leader.
    pub(super) sha256: Option<Sha256>,
}

/// What upstream says.
enum Said {
    /// It has none.
    Absent,
    /// What is held, or what was brought the last time.
    Same(Option<Sha256>),
    /// These texts, and this file besides where its bytes are not held.
    New { texts: Texts, program: Option<(SafePath, Sha256)>, sha256: Option<Sha256> },
}

/// What is here of a unit.
struct Here {
    /// The digest that is stated for the leader, where both are held.
    stated: Option<Sha256>,
    /// The current release of rustup.
    release: Option<Vec<u8>>,
}

impl Proxy {
    /// Asks upstream for a unit, and places what is new. `seen` is the digest that upstream had the last time; where the
    /// mirror rightly did not take that, it is not brought again.
    ///
    /// # Errors
    /// Upstream has none, gives none, or gives what does not belong together; the disk did not take it.
    pub(super) async fn bring(
        self: &Arc<Self>,
        running: &Running,
        unit: &Unit,
        seen: Option<Sha256>,
        anew: bool,
    ) -> Result<Brought, Refusal> {
        match self.try_bring(running, unit, seen, anew).await {
            // Upstream may have published between the digest and the file. Texts were asked for again already.
            Err(refusal) if refusal.is_mismatch() && unit.moves() => self.try_bring(running, unit, seen, anew).await,
            other => other,
        }
    }

    async fn try_bring(
        self: &Arc<Self>,
        running: &Running,
        unit: &Unit,
        seen: Option<Sha256>,
        anew: bool,
    ) -> Result<Brought, Refusal> {
        let here = self.here(unit).await;
        let known: Vec<Sha256> = match (here.stated, anew) {
            (Some(held), false) => [Some(held), seen].into_iter().flatten().collect(),
            _ => Vec::new(),
        };
        let upstreams = &running.upstreams;
        let read = (self.options.clock)();
        let source = Source { client: upstreams.client.clone(), base: upstreams.dist.clone(), now: read };
        let asked = async {
            match said(&source, unit, &known, &here).await {
                Err(Error::NoToolchain { .. } | Error::NoRustup { .. }) => Ok(Said::Absent),
                other => other,
            }
        };
        let (texts, program, sha256) = match guarded(&upstreams.of_dist, &unit.to_string(), asked, wire_of).await? {
            Said::Absent => return Err(Refusal::absent(format!("upstream does not have {unit}"))),
            Said::Same(sha256) => return Ok(Brought { sha256 }),
            Said::New { texts, program, sha256 } => (texts, program, sha256),
        };
        self.figures.fetches.fetch_add(texts.len() as u64, Relaxed);
        let mut parcel = Vec::new();
        if let Some((path, sha256)) = program {
            let url = source.url(&path);
            let errand = Errand { what: path.to_string(), url, token: None, sha256, limit: MAX_FILE, gate: None };
            self.figures.fetches.fetch_add(1, Relaxed);
            let (_, pilot) = Flight::prepare(self.options.mirror.clone());
            let landed = pilot.fly(&upstreams.client, &upstreams.of_dist, &errand).await?;
            parcel.push((path, sha256, read, landed));
        }
        for (path, text) in texts {
            let landed = self.landed_text(text.clone()).await;
            let landed = landed.map_err(|error| Refusal::not_kept(path.as_str(), &error))?;
            parcel.push((path, Sha256::of(&text), read, landed));
        }
        self.figures.bytes.fetch_add(parcel.iter().map(|(_, _, _, landed)| landed.size).sum(), Relaxed);
        let (sender, placed) = oneshot::channel();
        let done = Box::new(move |good| {
            let _nobody_waits_any_more = sender.send(good).is_err();
        });
        self.placer.place(Parcel::Artifacts(parcel), done);
        match placed.await {
            Ok(true) => Ok(Brought { sha256 }),
            _ => Err(Refusal::not_kept(&unit.to_string(), &io::Error::other("it could not be placed"))),
        }
    }

    /// Writes a text to a file that can be placed.
    async fn landed_text(&self, text: Bytes) -> io::Result<Landed> {
        let mirror = self.options.mirror.clone();
        let written = tokio::task::spawn_blocking(move || {
            let file = PartialFile::create(&mirror).map_err(io::Error::other)?;
            let mut out = file.file();
            out.write_all(&text)?;
            io::Result::Ok(Landed { file, size: text.len() as u64 })
        });
        written.await.map_err(io::Error::other)?
    }

    async fn here(&self, unit: &Unit) -> Here {
        let (root, unit) = (self.options.mirror.root().to_owned(), unit.clone());
        let read = move || {
            let text = |path: &SafePath| small(&path.below(&root));
            let held = unit.leader().below(&root).is_file();
            let stated = unit.digest().filter(|_| held).and_then(|path| stated(&text(&path)?));
            let release = text(&Unit::Release.leader());
            Here { stated, release }
        };
        tokio::task::spawn_blocking(read).await.unwrap_or(Here { stated: None, release: None })
    }
}

/// A small text, where it is there.
fn small(path: &std::path::Path) -> Option<Vec<u8>> {
    let length = fs::metadata(path).ok()?.len();
    (length <= 64 * 1024).then(|| fs::read(path).ok()).flatten()
}

/// Asks for what belongs together, again where upstream publishes just then.
async fn said(source: &Source, unit: &Unit, known: &[Sha256], here: &Here) -> Result<Said, Error> {
    match unit {
        Unit::Channel { toolchain, .. } => source.settled(|| channel(source, unit, toolchain, known)).await,
        Unit::Release => {
            let rustup = source.rustup(&BTreeSet::new()).await?;
            let (path, text) = rustup.release;
            Ok(match here.release.as_deref() == Some(&text[..]) {
                true => Said::Same(None),
                false => Said::New { texts: Texts::from([(path, text)]), program: None, sha256: None },
            })
        }
        Unit::Installer(host) => {
            let mut rustup = source.rustup(&BTreeSet::from([host.clone()])).await?;
            let Some(mut installer) = rustup.hosts.remove(host) else { return Ok(Said::Absent) };
            let (leader, sha256) = (unit.leader(), installer.sha256);
            let is_here = known.contains(&sha256);
            if is_here && here.release.as_deref() == Some(&rustup.release.1[..]) {
                return Ok(Said::Same(Some(sha256)));
            }
            let beside = digest_path(&leader);
            let digest = installer.texts.remove(&beside);
            let texts = Texts::from_iter([rustup.release].into_iter().chain(digest.map(|digest| (beside, digest))));
            Ok(Said::New { texts, program: (!is_here).then_some((leader, sha256)), sha256: Some(sha256) })
        }
        Unit::Archived(..) => {
            let leader = unit.leader();
            let beside = digest_path(&leader);
            let Some(digest) = source.text(&beside, MAX_DIGEST).await? else { return Ok(Said::Absent) };
            let what = || Error::Unsettled { what: format!("`{beside}` does not begin with a SHA-256") };
            let sha256 = stated(&digest).ok_or_else(what)?;
            let texts = Texts::from([(beside.clone(), digest)]);
            Ok(Said::New { texts, program: Some((leader, sha256)), sha256: Some(sha256) })
        }
    }
}

async fn channel(source: &Source, unit: &Unit, toolchain: &Toolchain, known: &[Sha256]) -> Result<Said, Error> {
    let leader = unit.leader();
    if !known.is_empty() {
        let (_, sha256) = source.manifest_digest(toolchain, &leader).await?;
        if known.contains(&sha256) {
            return Ok(Said::Same(Some(sha256)));
        }
    }
    let (_, texts) = source.manifest(toolchain, &leader).await?;
    let sha256 = texts.get(&leader).map(|text| Sha256::of(text));
    Ok(Said::New { texts, program: None, sha256 })
}

/// The manifests in which a component of that day may be named, the likeliest first: those of the release that its name
/// states, then those of all channels.
pub(super) fn may_name(release: Option<&str>, date: Date) -> Vec<Unit> {
    let of_release = release.and_then(|release| release.parse::<Toolchain>().ok());
    let of_release = of_release.filter(|toolchain| toolchain.date().is_none());
    let channel = of_release.as_ref().map(|toolchain| toolchain.channel().to_string());
    let words = channel.iter().map(String::as_str).chain(["stable", "beta", "nightly"]);
    let mut units: Vec<Unit> = Vec::new();
    for toolchain in words.filter_map(|word| word.parse().ok()).chain(of_release) {
        let unit = Unit::dated(toolchain, date);
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    units
}

/// What of the wire lies below an error of the dist server.
fn wire_of(error: &Error) -> Option<&http::Error> {
    match error {
        Error::Network { source, .. } => Some(source),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_where_to_look_first() {
        let date: Date = "2026-04-16".parse().expect("a day");
        let names = |release| {
            let units = may_name(release, date);
            units
                .iter()
                .map(|unit| unit.leader().as_str().replace("dist/2026-04-16/channel-rust-", ""))
                .collect::<Vec<_>>()
        };
        assert_eq!(names(Some("1.95.0")), ["stable.toml", "beta.toml", "nightly.toml", "1.95.0.toml"]);
        assert_eq!(names(Some("nightly")), ["nightly.toml", "stable.toml", "beta.toml"]);
        assert_eq!(names(Some("9x")), ["stable.toml", "beta.toml", "nightly.toml"]);
        assert_eq!(names(None), ["stable.toml", "beta.toml", "nightly.toml"]);
    }
}
