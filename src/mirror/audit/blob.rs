//! Every crate's file against the digest that it must have.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::problem::Fault;
use super::{Blobs, in_parallel};
use crate::crate_id::CrateId;
use crate::digest::{BUFFER, Hasher, Sha256};
use crate::event::{Event, Phase, Sink};
use crate::mirror::layout::Layout;

/// How a crate's file is.
#[derive(Clone, Debug)]
pub(in crate::mirror) enum Blob {
    /// As it must be.
    Good { sha256: Sha256, length: u64 },
    /// Not as it must be.
    Bad { expected: Sha256, fault: Fault, length: u64 },
    /// Nothing says how it must be.
    Unnamed { length: u64 },
}

impl Blob {
    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        match self {
            Blob::Good { length, .. } | Blob::Bad { length, .. } | Blob::Unnamed { length } => *length,
        }
    }
}

/// Digest and length of a file, or what the system says instead.
pub(super) type Digest = Result<(Sha256, u64), String>;

/// Hashes the files of `crates`, other than those that were good `before`; in their order.
pub(super) fn hash_all(layout: &Layout, crates: &[CrateId], before: &Blobs, sink: &dyn Sink) -> Vec<Digest> {
    in_parallel(crates, |id, buffer| {
        let hashed = match before.get(id) {
            Some(Blob::Good { sha256, length }) => Ok((*sha256, *length)),
            _ => digest(&layout.crate_file(id), buffer).map_err(|error| error.to_string()),
        };
        let bytes = hashed.as_ref().map_or(0, |(_, length)| *length);
        sink.event(Event::Advance { phase: Phase::Verifying, items: 1, bytes });
        hashed
    })
}

/// Holds the digests of `crates` against those expected.
pub(super) fn judge_all(
    layout: &Layout,
    crates: Vec<CrateId>,
    digests: Vec<Digest>,
    expected: &HashMap<&CrateId, Sha256>,
) -> Blobs {
    let judged = crates.into_iter().zip(digests).map(|(id, digest)| {
        let judged = judge(digest, expected.get(&id).copied(), || layout.crate_file(&id));
        (id, judged)
    });
    judged.collect()
}

fn judge(hashed: Digest, expected: Option<Sha256>, path: impl Fn() -> PathBuf) -> Blob {
    let Some(expected) = expected else {
        return Blob::Unnamed { length: length_of(&path()) };
    };
    match hashed {
        Ok((sha256, length)) if sha256 == expected => Blob::Good { sha256, length },
        // What was good for another line is read once more: it may have been replaced together with it.
        Ok(_) => match digest(&path(), &mut vec![0; BUFFER]) {
            Ok((sha256, length)) if sha256 == expected => Blob::Good { sha256, length },
            Ok((actual, length)) => Blob::Bad { expected, fault: Fault::Digest { expected, actual }, length },
            Err(error) => unreadable(&path(), expected, error.to_string()),
        },
        Err(why) => unreadable(&path(), expected, why),
    }
}

fn unreadable(path: &Path, expected: Sha256, why: String) -> Blob {
    Blob::Bad { expected, fault: Fault::Unreadable { why }, length: length_of(path) }
}

/// As [`Sha256::of_file`], with a buffer that is used again: small files are many.
fn digest(path: &Path, buffer: &mut [u8]) -> io::Result<(Sha256, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut length = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => return Ok((hasher.finish(), length)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                length += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn length_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |about| about.len())
}
