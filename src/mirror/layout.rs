//! The mirror's format on disk: this page, every path of it, and the version of the layout.
//!
//! ```text
//! mirror/
//!   crates/NAME-VERSION.crate        flat, as published
//!   crates/index -> ../index         so that cargo's local-registry works on crates/ without a server
//!   index/<prefix>/<name>            cargo's index lines, verbatim, sorted by version
//!   index/config.json                for static servers; only where a base URL was given
//!   dist/…  rustup/…                 what rustup asks for, at rustup's own paths
//!   manifest.json                    a small head: counts, lineages, their newest records, the names of their inputs
//!   .frostmirror/                    never served
//!     format                         JSON: version of this layout, and of the tool that began the mirror
//!     lock, holder                   an OS lock, and who holds it
//!     lines/<prefix>/<name>          what is recorded of every line of index/<prefix>/<name>
//!     pending-lines                  refreshed index lines whose crates are not here yet, each `READ LINE`
//!     ledger/NNNNNNNN-ID.json        one immutable record a bundle, in the order of import, with the import's warnings
//!     ledger/NNNNNNNN-ID.forgotten   the lineage ID was let go after the record of that number
//!     ledger/NNNNNNNN-ID-KKKKKKKK.accepted  of the lineage ID, of the records up to N only that of number K counts
//!     artifacts.json                 digest, length and time of every file below dist/ and rustup/
//!     removals                       crates whose lines are gone, and rustup artifacts that lost their names, each
//!                                    with the time since when
//!     incoming.json                  what the watcher of the incoming folder last saw; can be lost
//!     live/records                   one JSON line a crate or rustup artifact that live mode brought; only appended to
//!     live/forgotten                 the same lines of what was let go: known as brought, and no more current
//!     live/counts                    the numbers of live/records; can be lost
//!     live/placing                   what is being placed by live mode: there from before the first rename to the end
//!     live/partial/                  what live mode downloads, and what arrived and waits for its placement
//!     live/index/…                   upstream's index files with their validators; can be lost
//!     live/used                      when files were last asked for, where live mode's size is limited; can be lost
//!     live/id                        32 hexadecimal digits: the lineage under which a snapshot carries what live mode brought
//!     staging/                       unfinished work; emptied at the next start
//!     reserve                        room on the disk for a collection, where there is no other; can be lost
//!     aside/                         folders that stood where a link belongs, where they held something of their own,
//!                                    records of imports that a rebuild could not read, and signatures that it could
//!                                    not vouch for
//! ```
//!
//! # What must hold
//!
//! - Every line of index/ names a crate whose file is in crates/ with the line's `cksum`, or is recorded as
//!   index-only in lines/. A reader may look at any instant, so a crate comes before its line, the line of a
//!   dependency before the lines that depend on it (cycles are cut anywhere), and everything before the record.
//! - Files appear by rename from staging/, which is on the same file system; nothing unfinished has a public name.
//! - A crate's file is never overwritten while its bytes have the digest on record. One whose bytes have rotted counts
//!   as not held, and an import that ships it replaces it.
//! - The record in ledger/ is the commit. Whatever was placed without one is completed when the same bundle is imported
//!   again. staging/placing is there from the first rename to the commit: where an import finds it, the one before was
//!   killed, and the counts of the head are taken anew from the tree.
//! - manifest.json can be lost: the newest record holds a copy of the head as of its import. Where records are lost too,
//!   a rebuild (`mirror::rebuild`) keeps the crates that no lineage's newest record names in one of lineage `rebuilt`.
//! - What is removed goes in the reverse order: the lines of dependents before those of what they depend on; then the
//!   records of these lines; and the crates when a reader who saw their lines has had the time to fetch them. Until then
//!   they stand in removals, each as `TIME NAME-VERSION.crate`. Of rustup artifacts, the names that rustup asks for first
//!   go first, a manifest's digest before the manifest; what they name goes as crates do, and stands in removals as
//!   `TIME dist/…`. Of a channel that is served, a collection never removes all that it names.
//!
//! # Lines and their records
//!
//! Index files are merged per version: what is held stays, what is new is added, and of two lines for one version with
//! the same `cksum` and the same dependencies the one read later from upstream's index stays (of two read at the same
//! second, the greater text), so the order of imports never changes the outcome. Another `cksum` or other dependencies
//! for one version is an integrity error.
//!
//! A bundle may refresh the line of a crate that it does not ship. Such a line replaces a held one by the same rule. Where its
//! crate has no line, it waits in pending-lines: the bundle that brings the crate may be imported later, or again. Then the
//! waiting line is merged by the same rule, unless it states another `cksum` or other dependencies than the bundle that
//! ships the crate; it is dropped then. At most 8 MiB of lines wait; those that were read first go first.
//!
//! To know when a held line was read there is one small file for each index file, so that an import or one cached crate
//! costs the same in a mirror of ten crates and of a million. Each of its lines is
//! `VERSION READ CKSUM LINE-DIGEST held|index-only`. It is replaced before its index file is; it then has a second entry
//! for a version whose line is being replaced, so that a kill between the two renames loses nothing. A line that no
//! entry of its version fits is damaged, and is replaced when a bundle brings it again. A line without any entry (the
//! tree was copied without its dot folder) counts as read before all others.
//!
//! # Rustup artifacts
//!
//! What lies below `dist/YYYY-MM-DD/` and `rustup/archive/VERSION/` stays as it is. Channel manifests, each with its
//! `.sha256` and `.asc`, move as one: to a later date in the manifest, and of two with one date to the one read later from
//! upstream. `rustup/release-stable.toml` and `rustup/dist/` move as one: to a greater version of rustup. Nothing moves
//! back, whatever the order of imports. Everything that a manifest can name is placed before it, the manifest before its
//! `.sha256`, and `release-stable.toml` last: a client that still reads the old one finds all that it names.
//!
//! artifacts.json is written after the files, and before the record.
//!
//! # Live mode
//!
//! What live mode brings becomes part of the tree as what a bundle brings does: the crate, its line by the same merge, the
//! line's record. Upstream's other lines are never in index/. Instead of a record in the ledger each crate has one line in
//! live/records, so that one more costs the same in any mirror. A last line there that was not written whole counts as none
//! and is cut off by the next. Of two lines for one crate or path the later counts.
//!
//! live/placing says all that a batch places, and is durable before the first rename; the files stay in live/partial/ until
//! the batch is done. Whoever takes the lock next and finds it does the same again from the beginning, which changes nothing
//! where it was done: so nobody who changes the mirror sees half a batch. A file in live/partial/ is locked by the server
//! that writes it; one that nobody has locked and that live/placing does not name is debris.
//!
//! What goes from live/records, because it was let go or the cache has its limit, is in live/forgotten first.
//!
//! # A full disk
//!
//! Whatever adds to a mirror keeps `.frostmirror/reserve`, a part of the disk. Where the disk is short of room, a collection
//! gives it up, removes the crates that are due and have no lines any more, and then replaces index files and records in parts,
//! each of which makes room for the next. It takes the reserve back at its end.
//!
//! # Durability
//!
//! Staged files are made durable by one sync of the file system, then renamed; the names are made durable in bulk, the
//! crates' before the index's, the index's before the record's. Never one fsync after another.
//!
//! # Versions
//!
//! - 1: the first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::crate_id::{CrateId, CrateName};
use crate::durable;

/// The version of the layout that this tool writes, and the newest that it can handle.
pub const LAYOUT: u32 = 1;

/// The paths of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

/// A mirror that this tool cannot use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A newer tool began it.
    #[error("the mirror `{}` has layout {layout}; this is cargo-frostmirror {}, which reads up to layout {LAYOUT}", root.display(), env!("CARGO_PKG_VERSION"))]
    Newer {
        /// The mirror.
        root: PathBuf,
        /// Its layout.
        layout: u32,
        /// The version of the tool that wrote it.
        tool: String,
    },
    /// The version of the layout cannot be read.
    #[error("`{}` does not say which layout the mirror has", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file system refused.
    #[error("could not read or write `{}`", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Format {
    layout: u32,
    tool: String,
}

impl Layout {
    /// The mirror at `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Layout {
        Layout { root: root.into() }
    }

    /// The mirror's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of `.crate` files.
    pub fn crates(&self) -> PathBuf {
        self.root.join("crates")
    }

    /// One crate's file.
    pub fn crate_file(&self, id: &CrateId) -> PathBuf {
        self.crates().join(id.file_name())
    }

    /// The root of the index.
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// One crate's index file.
    pub fn index_file(&self, name: &CrateName) -> PathBuf {
        self.index().join(name.index_path())
    }

    /// The index's `config.json`, which only static servers need on disk.
    pub fn index_config(&self) -> PathBuf {
        self.index().join("config.json")
    }

    /// The link to the index inside of crates/.
    pub fn index_link(&self) -> PathBuf {
        self.crates().join("index")
    }

    /// The head.
    pub fn summary(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// The folder that is never served.
    pub fn private(&self) -> PathBuf {
        self.root.join(".frostmirror")
    }

    /// The root of the lines' records.
    pub fn index_meta(&self) -> PathBuf {
        self.private().join("lines")
    }

    /// The records of one crate's lines.
    pub fn index_meta_file(&self, name: &CrateName) -> PathBuf {
        self.index_meta().join(name.index_path())
    }

    /// The folder of import records.
    pub fn ledger(&self) -> PathBuf {
        self.private().join("ledger")
    }

    /// The list of crates that wait for their removal.
    pub fn pending_deletions(&self) -> PathBuf {
        self.private().join("removals")
    }

    /// The refreshed index lines whose crates are not here yet.
    pub fn pending_lines(&self) -> PathBuf {
        self.private().join("pending-lines")
    }

    /// What is recorded of every rustup artifact.
    pub fn dist_files(&self) -> PathBuf {
        self.private().join("artifacts.json")
    }

    /// What the watcher of the incoming folder last saw.
    pub fn watcher_state(&self) -> PathBuf {
        self.private().join("incoming.json")
    }

    /// The folder of live mode's own files.
    pub fn live(&self) -> PathBuf {
        self.private().join("live")
    }

    /// One line for all that live mode brought.
    pub fn live_records(&self) -> PathBuf {
        self.live().join("records")
    }

    /// One line for all that live mode brought and that was let go.
    pub fn live_retired(&self) -> PathBuf {
        self.live().join("forgotten")
    }

    /// The numbers of live mode's records.
    pub fn live_counts(&self) -> PathBuf {
        self.live().join("counts")
    }

    /// What live mode is placing.
    pub fn live_journal(&self) -> PathBuf {
        self.live().join("placing")
    }

    /// The folder of what live mode downloads.
    pub fn live_partial(&self) -> PathBuf {
        self.live().join("partial")
    }

    /// When files were last asked for.
    pub fn live_access_times(&self) -> PathBuf {
        self.live().join("used")
    }

    /// The folder of upstream's index files.
    pub fn live_index(&self) -> PathBuf {
        self.live().join("index")
    }

    /// The lineage under which a snapshot carries what live mode brought.
    pub fn live_lineage_id(&self) -> PathBuf {
        self.live().join("id")
    }

    /// The folder of unfinished work.
    pub fn staging(&self) -> PathBuf {
        self.private().join("staging")
    }

    /// Room on the disk that only a collection may use.
    pub fn reserve(&self) -> PathBuf {
        self.private().join("reserve")
    }

    /// The folder of things that stood where something of ours belongs.
    pub fn moved_aside(&self) -> PathBuf {
        self.private().join("aside")
    }

    /// The file whose OS lock is the mirror's lock.
    pub fn lock(&self) -> PathBuf {
        self.private().join("lock")
    }

    /// Who holds the lock. A file of its own: on Windows a locked file cannot be read by others.
    pub fn holder(&self) -> PathBuf {
        self.private().join("holder")
    }

    /// The file with the layout's version.
    pub fn format(&self) -> PathBuf {
        self.private().join("format")
    }

    /// Refuses a mirror that a newer tool began. One that does not exist, or has no version yet, is fine.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Unreadable`], or the file system's.
    pub fn check_format(&self) -> Result<(), Error> {
        self.read_format().map(drop)
    }

    /// Refuses a mirror that a newer tool began, and writes the version into one that has none. Under the lock only.
    pub(super) fn ensure_format(&self) -> Result<(), Error> {
        if self.read_format()?.is_some() {
            return Ok(());
        }
        let format = Format { layout: LAYOUT, tool: env!("CARGO_PKG_VERSION").to_owned() };
        let text = serde_json::to_vec(&format).expect("two plain fields are JSON");
        let staged = durable::make_folder(&self.staging());
        let written = staged.and_then(|()| durable::write_via(&self.staging(), &self.format(), &text));
        written.map_err(|source| Error::Io { path: self.format(), source })
    }

    fn read_format(&self) -> Result<Option<Format>, Error> {
        let path = self.format();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        let format: Format = serde_json::from_slice(&text).map_err(|source| Error::Unreadable { path, source })?;
        if format.layout > LAYOUT {
            return Err(Error::Newer { root: self.root.clone(), layout: format.layout, tool: format.tool });
        }
        Ok(Some(format))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_lowercase_in_the_index_alone() {
        let layout = Layout::new("/m");
        let id = CrateId::parse("Foo-Bar", "1.0.0+b").expect("valid");
        assert_eq!(layout.crate_file(&id), Path::new("/m/crates/Foo-Bar-1.0.0+b.crate"));
        assert_eq!(layout.index_file(&id.name), Path::new("/m/index/fo/o-/foo-bar"));
        assert_eq!(layout.index_meta_file(&id.name), Path::new("/m/.frostmirror/lines/fo/o-/foo-bar"));
    }

    #[test]
    fn a_newer_layout_names_the_tool_that_reads_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        layout.check_format().expect("none yet");
        fs::create_dir(layout.private()).expect("folder");
        layout.ensure_format().expect("written");
        layout.ensure_format().expect("kept");
        fs::write(layout.format(), r#"{"layout":2,"tool":"7.8.9","novel":1}"#).expect("write");
        let error = layout.check_format().expect_err("newer");
        assert!(matches!(&error, Error::Newer { layout: 2, tool, .. } if tool == "7.8.9"), "{error}");
        fs::write(layout.format(), "").expect("write");
        assert!(matches!(layout.check_format(), Err(Error::Unreadable { .. })));
    }
}
