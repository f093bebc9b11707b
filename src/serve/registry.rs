//! The sparse registry: config.json from the request, index text with digests and gzip, and what a missing crate's
//! answer says.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::file::{Held, Stamp};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::index_line::RegistryConfig;
use crate::safe_path::SafePath;

/// Index files above this many bytes are streamed as they are, without a digest. crates.io has a handful.
pub(super) const MAX_TEXT: u64 = 4 * 1024 * 1024;
/// Texts below this many bytes are not worth compressing.
const MIN_GZIP: usize = 512;
/// Bytes of compressed text and keys that are remembered.
const MAX_REMEMBERED: usize = 32 * 1024 * 1024;

/// The registry's config.json.
pub(super) fn config_json(base: &str) -> String {
    RegistryConfig::of_mirror(base).render()
}

/// What cargo shows to a user whose crate is not here. Cargo cuts such texts at 512 characters.
pub(super) fn missing_crate(id: &CrateId) -> String {
    let CrateId { name, version } = id;
    let told = format!(
        "{name} {version} is not in this mirror; on the connected side add `{name} = \"{version}\"` under [locked] in \
         depends.toml (or run `cargo frostmirror fetch --crate {name}@={version}`) and import the next bundle here\n"
    );
    if told.len() < 512 {
        return told;
    }
    format!("{name} {version} is not in this mirror; on the connected side add it to the next bundle\n")
}

/// One index file as it is served.
pub(super) struct IndexText {
    /// Strong entity tag of the plain form: the digest of its bytes.
    pub etag: String,
    /// The compressed form, where it is of use.
    pub gzip: Option<Bytes>,
    /// The plain form, where it had to be read anyway.
    pub plain: Option<Bytes>,
}

impl IndexText {
    /// The entity tag of the compressed form.
    pub fn gzip_etag(&self) -> String {
        format!("{}-gz\"", self.etag.trim_end_matches('"'))
    }
}

/// Digests and compressed forms of index files, remembered by the file's stamp, within a bound.
#[derive(Default)]
pub(super) struct IndexCache(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    files: HashMap<SafePath, (Stamp, Known)>,
    bytes: usize,
}

#[derive(Clone)]
struct Known {
    etag: String,
    gzip: Gzip,
}

#[derive(Clone)]
enum Gzip {
    /// Nobody asked for it.
    Untried,
    /// It is no smaller.
    Useless,
    Made(Bytes),
}

impl IndexCache {
    /// What is to be said about an index file of at most [`MAX_TEXT`] bytes. Reads it where it is not known yet.
    pub fn text(&self, path: &SafePath, held: &Held, gzip: bool, now: SystemTime) -> io::Result<IndexText> {
        let known = self.known(path, &held.stamp).filter(|known| !gzip || !matches!(known.gzip, Gzip::Untried));
        if let Some(Known { etag, gzip }) = known {
            let gzip = if let Gzip::Made(bytes) = gzip { Some(bytes) } else { None };
            return Ok(IndexText { etag, gzip, plain: None });
        }
        let plain = read(held)?;
        let digest = Sha256::of(&plain).to_string();
        let known = Known {
            etag: format!("\"{}\"", &digest[..32]),
            gzip: if gzip { compress(&plain)? } else { Gzip::Untried },
        };
        if held.stamp.is_settled(now) {
            self.remember(path.clone(), held.stamp.clone(), known.clone());
        }
        let gzip = if let Gzip::Made(bytes) = known.gzip { Some(bytes) } else { None };
        Ok(IndexText { etag: known.etag, gzip, plain: Some(plain) })
    }

    fn known(&self, path: &SafePath, stamp: &Stamp) -> Option<Known> {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, known) = remembered.files.get(path)?;
        (of == stamp).then(|| known.clone())
    }

    fn remember(&self, path: SafePath, stamp: Stamp, known: Known) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weight = weight(&path, &known);
        if remembered.bytes + weight > MAX_REMEMBERED {
            // Starting over is rare (some ten thousand files), simple, and cheap: each is made anew when asked for.
            *remembered = Remembered::default();
        }
        remembered.bytes += weight;
        if let Some((_, replaced)) = remembered.files.get(&path) {
            remembered.bytes -= self::weight(&path, replaced);
        }
        remembered.files.insert(path, (stamp, known));
    }
}

fn weight(path: &SafePath, known: &Known) -> usize {
    let compressed = if let Gzip::Made(bytes) = &known.gzip { bytes.len() } else { 0 };
    compressed + path.as_str().len() + 256
}

/// The bytes of an index file. More than it had when it was opened are not read.
pub(super) fn read(held: &Held) -> io::Result<Bytes> {
    let mut text = Vec::new();
    (&held.file).take(held.stamp.size).read_to_end(&mut text)?;
    if text.len() as u64 != held.stamp.size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.into())
}

fn compress(plain: &[u8]) -> io::Result<Gzip> {
    if plain.len() < MIN_GZIP {
        return Ok(Gzip::Useless);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    encoder.write_all(plain)?;
    let mut bytes = encoder.finish()?;
    bytes.shrink_to_fit();
    Ok(if bytes.len() < plain.len() { Gzip::Made(bytes.into()) } else { Gzip::Useless })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::file;
    use std::time::Duration;

    #[test]
    fn dl_names_the_files_of_the_static_tree() {
        let config: serde_json::Value = serde_json::from_str(&config_json("http://h:1/p")).expect("JSON");
        assert_eq!(config["dl"], "http://h:1/p/crates/{crate}-{version}.crate");
        assert_eq!(config["api"], "http://h:1/p");
    }

    #[test]
    fn the_hint_fits_into_what_cargo_shows() {
        let id = CrateId::parse("itoa", "1.0.11").expect("id");
        assert!(missing_crate(&id).starts_with("itoa 1.0.11 is not in this mirror; on the connected side add "));
        let long = CrateId::parse(&"a".repeat(64), &format!("1.0.0-{}", "b".repeat(144))).expect("id");
        assert!(missing_crate(&long).len() < 512);
    }

    #[test]
    fn texts_are_remembered_by_their_stamp_and_within_the_bound() {
        let folder = tempfile::tempdir().expect("folder");
        let path: SafePath = "index/x".parse().expect("path");
        std::fs::create_dir(folder.path().join("index")).expect("folder");
        let put = |text: &str| {
            std::fs::write(folder.path().join("new"), text).expect("write");
            std::fs::rename(folder.path().join("new"), folder.path().join("index/x")).expect("rename");
        };
        let cache = IndexCache::default();
        let later = SystemTime::now() + Duration::from_secs(60);
        let ask = |gzip, now| {
            let held = file::open(folder.path(), &path).expect("open").expect("there");
            cache.text(&path, &held, gzip, now).expect("text")
        };
        put(&"line\n".repeat(1000));
        let young = ask(false, SystemTime::now());
        assert!(young.plain.is_some() && ask(false, later).plain.is_some(), "a young file is not remembered");
        assert!(ask(false, later).plain.is_none(), "now it is");
        let compressed = ask(true, later);
        assert!(compressed.gzip.is_some_and(|bytes| bytes.len() < 200));
        assert!(ask(true, later).plain.is_none());
        put("short\n");
        let short = ask(true, later);
        assert!(short.gzip.is_none() && short.etag != young.etag);

        let held = file::open(folder.path(), &path).expect("open").expect("there");
        for n in 0..200_000 {
            let known = Known { etag: String::new(), gzip: Gzip::Useless };
            cache.remember(format!("index/{n}").parse().expect("path"), held.stamp.clone(), known);
        }
        let remembered = cache.0.lock().expect("lock");
        assert!(remembered.bytes <= MAX_REMEMBERED && remembered.files.len() > 1000);
        assert_eq!(remembered.bytes, remembered.files.iter().map(|(p, (_, k))| weight(p, k)).sum::<usize>());
        assert_eq!(read(&held).expect("read"), "short\n");
    }
}
