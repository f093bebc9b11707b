//! The mirror's on-disk format: this page, all paths, and the version of the layout.
//!
//! ```text
//! mirror/
//!   crates/NAME-VERSION.crate        flat, as published
//!   crates/index -> ../index         so that cargo's local-registry works on crates/ without a server
//!   index/<prefix>/<name>            cargo's index lines, verbatim, sorted by version
//!   index/config.json                for static servers; only if a base URL was given
//!   dist/…  rustup/…                 dist files, at the paths that rustup requests
//!   manifest.json                    summary: counts, lineages, their newest records, the names of their inputs
//!   .frostmirror/                    never served
//!     format                         JSON: version of this layout, and of the tool that created the mirror
//!     lock, holder                   an OS lock, and the process that has it
//!     lines/<prefix>/<name>          the record of every line of index/<prefix>/<name>
//!     pending-lines                  refreshed index lines whose crates are not stored yet, each `READ LINE`
//!     ledger/NNNNNNNN-ID.json        one immutable record per bundle, in the order of import, with the import's warnings;
//!                                    `jumped_from` if numbers of the history were missing before the bundle's
//!     ledger/NNNNNNNN-ID.lost        a rebuild reported that the record of that name is lost
//!     ledger/NNNNNNNN-unnamed.lost   a rebuild reported lost records that nothing names; N is the last record's number
//!     ledger/NNNNNNNN-ID.forgotten   the lineage ID was retired after the record of that number
//!     ledger/NNNNNNNN-ID-KKKKKKKK.accepted  of the lineage ID, of the records up to N only that of number K counts
//!     ledger/NNNNNNNN-ID-KKKKKKKK.rejected  of the lineage ID, the record of number K does not count; no acceptance
//!                                    of that record has an effect; the record may be lost
//!     ledger/NNNNNNNN-ID-RRRRRRRR-KKKKKKKK.rejected  the same of the record of number R, because that of number K was
//!                                    accepted; without effect if that of number K is rejected
//!     ledger/NNNNNNNN-ID-FFFFFFFF-LLLLLLLL.dropped  the records F to L were of the rejected snapshot ID, and a collection
//!                                    removed them
//!     artifacts.json                 digest, length and time of every file below dist/ and rustup/
//!     removals                       pending removals: crates without a line, and dist files without a name, each
//!                                    with the time since when
//!     incoming.json                  last state of the watcher of the incoming folder; can be lost
//!     live/records                   the lineage of live mode: its id, then one JSON line per crate or dist file; append-only
//!     live/partial/                  downloads of live mode, unfinished or waiting for their commit
//!     live/index/…                   upstream's index files with their validators; if they are lost, exports lack index lines
//!                                    of crates without files until clients request them again
//!     live/used                      last request of each file, if live mode's size is limited; can be lost
//!     journal                        JSON: the operations of a transaction in progress, in their order
//!     staging/                       the files that these operations need; otherwise unfinished work, emptied at the next start
//!     reserve                        disk space reserved for a collection, without meaning; can be lost
//!     aside/                         folders with other content in place of a link, import records that a rebuild
//!                                    could not read, crates and index lines that it did not trust, and signatures that
//!                                    it could not verify
//! ```
//!
//! # Invariants
//!
//! - Every line of index/ names a crate whose file is in crates/ with the line's `cksum`, or which lines/ records as
//!   index-only. A reader may look at any time. So a crate is committed before its line, the line of a dependency
//!   before the lines that depend on it (cycles are cut anywhere), and everything before the record.
//! - Files appear by rename from staging/, which is on the same file system; no unfinished file has a public name.
//! - A crate file is never overwritten while its bytes have the recorded digest. A corrupt file counts as not stored,
//!   and an import that contains the crate replaces it.
//! - Every change is a transaction, see below. Its last files are the record in ledger/ and manifest.json.
//! - manifest.json can be lost: the newest record has a copy of the summary as of its import. Only manifest.json shows
//!   whether that record is the newest. So nothing but a rebuild (`mirror::rebuild`) changes a mirror without it. That
//!   includes a folder with crates, index lines or dist files and without .frostmirror. If records are lost too, or
//!   may be lost because manifest.json is, the rebuild keeps the crates that no lineage's newest record names, in a record
//!   of the lineage `rebuilt`.
//! - Removals have the reverse order. The lines of dependents are removed before those of their dependencies, then the
//!   records of these lines. Crates are removed after a grace period in which readers that saw their lines can fetch
//!   them. Until then removals lists each as `TIME NAME-VERSION.crate`. Of dist files, the names that rustup requests
//!   first are removed first, a manifest's digest before the manifest. The files that they name are removed like
//!   crates, and removals lists each as `TIME dist/…`. A collection never removes all files that a served channel
//!   names.
//!
//! # The chain of records
//!
//! A record is a line that states the import and the bundle, and then the bundle's manifest without its blocks, both JSON.
//! For a history that a snapshot included, its entry in the snapshot's `carried` takes the manifest's place. The line
//! begins with `{"sha256":"…",`, the SHA-256 of all bytes of the line after this text. It states the SHA-256 of the
//! manifest in `manifest_sha256`, and the record before it with that record's `sha256` in `previous`; the first record has
//! none. In `bundle` it repeats what most readers need of the manifest; a record whose two parts contradict each other is
//! damaged. manifest.json names the newest record in `newest_record`. So a record whose content was altered does not have
//! its digest. A record that was replaced, removed or inserted contradicts its successor or manifest.json. Such records are
//! not evaluated: the audit names them, a collection removes nothing, and an import of the same bundle moves the altered
//! record to aside/ and writes a new record with the next number. A missing record is no problem if another record of its
//! bundle exists.
//!
//! A file with the content of another record was copied or renamed by hand, and is not evaluated either. manifest.json or a
//! record states the right name with the digest of the content. A rebuild gives the file that name, if no valid record has
//! it, and otherwise moves it to aside/.
//!
//! If manifest.json lacks `newest_record`, the last record counts as the newest while manifest.json counts as many imports
//! as the ledger has records. The next command that changes the mirror writes it again.
//!
//! manifest.json begins with `"sha256"`, the SHA-256 of all bytes of the file after that line. If it has another digest and
//! contradicts the record of a lineage's newest bundle, the record counts.
//!
//! A rebuild moves false records to aside/. For each lost record that manifest.json or another record names, it writes a
//! note `NNNNNNNN-ID.lost`. Without manifest.json, a number in the newest record shows how many other records are lost, and
//! the rebuild writes it to one note. A note states the highest number of a record at that time in `after`, and whether the
//! notes name every lost record that may have been the newest of its lineage in `complete`. The loss ends
//! with a record of the same bundle and a higher number. If only manifest.json was lost, the files of a lost record may still
//! be needed, unless the times in the records of their lines are those of bundles on record. Until then, a collection forgets the lineage `rebuilt` only if an
//! administrator confirms it, which settles all notes before. A record with the name of a lost one replaces the note. If
//! the newest record is damaged or missing, the next record names it as manifest.json does, so that the chain still shows
//! the loss.
//!
//! # Numbers of a history
//!
//! The bundles of a history are numbered without gaps, and each states the id of the bundle before it. A bundle counts as
//! the newest of its history only if a chain of these ids connects it with the bundles on record. Every other bundle may be
//! forged, or from a copy of the history: a number that is too high, a number that comes twice, a lower number that comes
//! later, another predecessor, or a time before that of its predecessor. Such a bundle makes nothing unreferenced until an
//! administrator accepts or rejects one of the candidates, or until all missing bundles have arrived, in any order. The
//! record of a bundle after a gap has `jumped_from`. The bundles that follow a doubtful one share the doubt. Numbers and
//! times prove nothing, because a forger can choose them, but does not know the id of a bundle that is still on its way. A
//! forger who knows the newest bundle can write one that follows it: without signatures, only the genuine bundle with that
//! number reveals it. A base on record explains nothing, because every sender of a bundle knows the ids of earlier ones: a bundle
//! of a fetch with `--base` is accepted like any other.
//!
//! Histories of live mode and of frostmirror 1.x do not count their bundles: their numbers are times, and the later one
//! counts.
//!
//! An administrator decides about the newest bundle after a look at the sender's list. An accepted bundle counts alone of
//! all records so far. The records that do not lead to it by a chain of predecessors and bases are rejected, so that a false one
//! among them leaves nothing. The administrator can confirm a bundle on the other side of a gap with the acceptance. A
//! rejected bundle does not count, so the others are compared as if it had never been imported. A decision covers no bundle
//! that arrived after it, and a plan names every bundle that it rejects. A rejected snapshot is rejected with all histories that
//! it brought. If an accepted bundle is rejected, what its acceptance rejected counts again.
//!
//! A snapshot of some kilobytes can have a thousand histories. Once nothing of a rejected snapshot is stored that no other record
//! explains, a collection removes its records and the notes of their rejection. One note with their numbers remains. They do not
//! count as lost, and as imports neither. They stay while other records are lost, while a file of the snapshot waits for its
//! removal, and while a line that it refreshed is missing.
//!
//! If the record of a false bundle is lost, nothing shows what it stated. Its rejection revokes every needed line whose time no
//! record and not live mode states, and ends the wait for that bundle.
//!
//! A rejected bundle may have replaced content of other bundles, because the later time wins. That content gives way in the
//! next collection. A crate or dist file is removed if a rejected bundle contains it, only rejected bundles state its digest,
//! and no earlier record of a rebuild does, even if others name its path. While bundles of lost records are missing, another
//! bundle on record must have that path with another digest.
//! The record of a line gets the time `REVOKED` if a rejected bundle stated its time, and no other bundle did. It is one second
//! after the earliest time, so the next line from a bundle replaces it. The collection names the bundles to import again, and
//! manifest.json keeps them in `import_again` until they are imported or a later collection finds them unnecessary. An audit names
//! every line with that time.
//!
//! # Lines and their records
//!
//! Index files are merged per version. Stored versions stay and new ones are added. Two lines for one version may have
//! the same `cksum` and the same dependencies. Then the line that was read later from upstream's index stays, and of
//! two read at the same second, the greater text. So the order of imports never changes the result. Another `cksum` or
//! other dependencies for one version is an integrity error.
//!
//! A bundle may refresh the line of a crate that it does not contain. Such a line replaces a stored one by the same
//! rule. If its crate has no line, it waits in pending-lines, because the bundle with the crate may be imported later,
//! or again. Then the waiting line is merged by the same rule. If it states another `cksum` or other dependencies than
//! the bundle with the crate, it is dropped. At most 8 MiB of lines wait; those that were read first are dropped first.
//!
//! For each index file there is one small file with the times when its lines were read. So an import or one cached
//! crate costs the same in a mirror of ten crates and of a million. Each of its lines is `VERSION READ CKSUM
//! LINE-DIGEST held|index-only`. It is replaced before its index file. It then has a second entry for a version whose
//! line is being replaced, so that a kill between the two renames loses nothing. Two bundles may state different lines of one
//! version with the same time. Then both have an entry, because one of the two bundles is false. A line that matches no entry of its
//! version is damaged, and is replaced when a bundle brings it again. A line without any entry (the mirror was copied
//! without its dot folder) counts as read before all others.
//!
//! Such a line proves nothing, and neither does a line whose record a rebuild wrote, with the earliest time, or whose time a
//! collection revoked. A rebuild
//! writes one only if the Cargo.toml in the crate does not contradict the line. A bundle whose line has other dependencies
//! replaces it. Of two lines with records, the crate decides: its Cargo.toml contradicts the false one. An audit compares
//! every line with the Cargo.toml in its crate, and a rebuild moves a false line to aside/. A record without
//! a line is dropped by a rebuild if no import record names its version and no crate file has it.
//!
//! # Dist files
//!
//! Files below `dist/YYYY-MM-DD/` and `rustup/archive/VERSION/` never change. Each channel manifest moves together with
//! its `.sha256` and `.asc`: to a later date in the manifest, and with equal dates to the one read later from upstream.
//! `rustup/release-stable.toml` and `rustup/dist/` move together, to a greater version of rustup. Nothing moves back,
//! whatever the order of imports. Everything that a manifest can name is committed before it, the manifest before its
//! `.sha256`, and `release-stable.toml` last. So a client that still reads the old file finds everything that it names.
//!
//! artifacts.json is written after the files, and before the record.
//!
//! # Live mode
//!
//! Live mode is one more lineage. Its files join the mirror in the same way as those of a bundle: the crate, its line by
//! the same merge, the line's record. Upstream's other lines are never in index/, but an export adds those of the requested names
//! (`mirror::unstored_lines`).
//!
//! Its record is not in the ledger, because it grows with every batch. live/records begins with `{"lineage":"…"}`, the
//! id of 32 hexadecimal digits under which a snapshot includes the lineage. Each batch appends one line per crate or dist
//! file, so one more costs the same in any mirror. Of two lines for one item, the later counts. A line with
//! `"forgotten":true` is of a retired item: live mode added it, and no longer needs it. All other items are current.
//!
//! An incomplete last line is ignored, and the next batch truncates it. Only a collection, an eviction and a rebuild
//! rewrite the file: with one line per item, without retired items whose file is gone, and without damaged lines. If
//! the first line is lost, the id is derived from the first record.
//!
//! Downloads stay in live/partial/ until the batch is committed. The server that writes a file there locks it; an unlocked
//! file is a leftover.
//!
//! # Transactions
//!
//! An import, a batch of live mode, a collection, an eviction and a rebuild are transactions (`mirror::transaction`): they
//! happen completely or not at all. The new files are in staging/. journal names every operation: `put` renames the staged
//! file of a number to a path, `append` cuts a file to a length and appends a staged file, `delete` removes a file, `move`
//! renames a file or folder to an unused path, `folder` removes an empty folder, `link` makes crates/index. Paths are
//! relative to mirror/. Before journal exists, nothing has changed. Once it exists, all its operations happen: the process
//! that takes the lock next repeats them. So no process that changes the mirror sees half a transaction. Readers see files in
//! the order of the invariants above.
//!
//! # A full disk
//!
//! Every addition to a mirror, and every collection, maintains `.frostmirror/reserve`, a fraction of the disk. Its bytes are
//! neither zero nor compressible, so that a copy of the mirror reserves space too. On a nearly full disk, a collection
//! releases it. Without a journal, it removes what needs no new file: the crates that are due and no longer have lines,
//! dist files, and then index files that lose all their lines, with their records and crates. Then it replaces other index
//! files and records in several transactions, each of which frees space for the next. If there is no space for the first of
//! these steps, it removes live/index/ and tries again. It writes manifest.json and restores the reserve at its end. Until
//! then staging/recount marks that the counts in manifest.json are wrong. A rebuild uses the reserve too, because a
//! collection needs the records.
//!
//! # Durability
//!
//! Staged files and the journal are made durable by one sync of the file system. A second sync makes all new names durable,
//! and then the journal is removed. There is never one fsync per file.
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

/// The version of the layout that this tool writes, and the newest that it can read.
pub const LAYOUT: u32 = 1;

/// The entries of a mirror's folder, and those that systems put into a new folder.
const TOP_LEVEL_NAMES: &[&str] =
    &["crates", "index", "dist", "rustup", "manifest.json", ".frostmirror", "lost+found", ".DS_Store"];

/// The paths of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

/// This tool cannot use the mirror.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A newer tool created the mirror.
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
    #[error("`{}` is damaged: it does not state the version of the mirror's layout", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The parse error.
        source: serde_json::Error,
    },
    /// A file system operation failed.
    #[error("could not read or write `{}`", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error.
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

    /// The path of a crate file.
    pub fn crate_file(&self, id: &CrateId) -> PathBuf {
        self.crates().join(id.file_name())
    }

    /// The root of the index.
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// The path of a crate's index file.
    pub fn index_file(&self, name: &CrateName) -> PathBuf {
        self.index().join(name.index_path())
    }

    /// The index's `config.json`, which only static servers need on disk.
    pub fn index_config(&self) -> PathBuf {
        self.index().join("config.json")
    }

    /// The link to the index in crates/.
    pub fn index_link(&self) -> PathBuf {
        self.crates().join("index")
    }

    /// The summary, `manifest.json`.
    pub fn summary(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// The folder that is never served.
    pub fn private(&self) -> PathBuf {
        self.root.join(".frostmirror")
    }

    /// The root of the line records.
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

    /// The list of pending removals.
    pub fn pending_deletions(&self) -> PathBuf {
        self.private().join("removals")
    }

    /// The refreshed index lines whose crates are not stored yet.
    pub fn pending_lines(&self) -> PathBuf {
        self.private().join("pending-lines")
    }

    /// The record of every dist file.
    pub fn dist_files(&self) -> PathBuf {
        self.private().join("artifacts.json")
    }

    /// The last state of the watcher.
    pub fn watcher_state(&self) -> PathBuf {
        self.private().join("incoming.json")
    }

    /// The folder of live mode's internal files.
    pub fn live(&self) -> PathBuf {
        self.private().join("live")
    }

    /// The record of live mode's lineage.
    pub fn live_records(&self) -> PathBuf {
        self.live().join("records")
    }

    /// The folder of live mode's downloads.
    pub fn live_partial(&self) -> PathBuf {
        self.live().join("partial")
    }

    /// The last request of each file.
    pub fn live_access_times(&self) -> PathBuf {
        self.live().join("used")
    }

    /// The folder of upstream's index files.
    pub fn live_index(&self) -> PathBuf {
        self.live().join("index")
    }

    /// The journal of a transaction in progress.
    pub fn journal(&self) -> PathBuf {
        self.private().join("journal")
    }

    /// The folder of unfinished work.
    pub fn staging(&self) -> PathBuf {
        self.private().join("staging")
    }

    /// Disk space reserved for a collection.
    pub fn reserve(&self) -> PathBuf {
        self.private().join("reserve")
    }

    /// The folder of entries that were moved away because they blocked a path of the mirror.
    pub fn moved_aside(&self) -> PathBuf {
        self.private().join("aside")
    }

    /// The file whose OS lock is the mirror's lock.
    pub fn lock(&self) -> PathBuf {
        self.private().join("lock")
    }

    /// The process that has the lock. A separate file, because on Windows other processes cannot read a locked file.
    pub fn holder(&self) -> PathBuf {
        self.private().join("holder")
    }

    /// Whether the folder is a mirror: it has internal files of one, its summary, or its index. `.frostmirror` alone is not
    /// enough, because the folder of caches and histories in a home directory has that name too. Stored files are enough
    /// if nothing else is in the folder: a mirror may have lost its records.
    ///
    /// # Errors
    /// A file system operation failed; a missing file is not an error.
    pub fn is_mirror(&self) -> io::Result<bool> {
        // An unreadable folder may be a mirror.
        let exists = |path: &Path| durable::if_exists(fs::symlink_metadata(path)).map(|about| about.is_some());
        let private = [self.format(), self.ledger(), self.index_meta(), self.live(), self.watcher_state()];
        for mark in private.into_iter().chain([self.summary(), self.index_link()]) {
            if exists(&mark)? {
                return Ok(true);
            }
        }
        // Cargo workspaces have a folder crates/ too, but no index.
        if exists(&self.crates())? && exists(&self.index())? {
            return Ok(true);
        }
        Ok(self.find_stored_files()?.is_some() && self.has_only_own_names()?)
    }

    /// Whether the folder has no files of others: it is missing, or a mirror, or all its entries have names that a mirror
    /// uses or that the system creates.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn can_be_mirror(&self) -> io::Result<bool> {
        Ok(self.has_only_own_names()? || self.is_mirror()?)
    }

    /// Whether the folder is missing, or all its entries have names that a mirror uses or that the system creates.
    fn has_only_own_names(&self) -> io::Result<bool> {
        let entries = match fs::read_dir(&self.root) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            entries => entries?,
        };
        for entry in entries {
            if !entry?.file_name().to_str().is_some_and(|name| TOP_LEVEL_NAMES.contains(&name)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the served folders have, in words: crates, index lines or rustup artifacts. `None` if they have none of these.
    /// Stops at the first file that it finds.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub(super) fn find_stored_files(&self) -> io::Result<Option<&'static str>> {
        let any = |folder: PathBuf, is_ours: fn(&str) -> bool| -> io::Result<bool> {
            for entry in entries(&folder)? {
                if entry?.file_name().to_str().is_some_and(is_ours) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let is_date = |name: &str| name.len() == 10 && name.parse::<jiff::civil::Date>().is_ok();
        let is_channel = |name: &str| name.starts_with("channel-rust-") && name.ends_with(".toml");
        if any(self.crates(), |name| CrateId::from_file_name(name).is_some())? {
            return Ok(Some("crates"));
        }
        if has_index_file(&self.index(), "", 2)? {
            return Ok(Some("index lines"));
        }
        let has_toolchain = any(self.root.join("dist"), is_date)? || any(self.root.join("dist"), is_channel)?;
        let is_rustup = |name: &str| ["release-stable.toml", "archive", "dist"].contains(&name);
        Ok((has_toolchain || any(self.root.join("rustup"), is_rustup)?).then_some("rustup artifacts"))
    }

    /// The text of a hint with the path of this mirror for its placeholder DIR, quoted for a shell if necessary.
    pub fn fill_in(&self, hint: &str) -> String {
        let path = self.root.to_string_lossy();
        let is_plain = |char: char| char.is_alphanumeric() || "/._-+:@%,=\\".contains(char);
        let path = match path.chars().all(is_plain) {
            true => path.into_owned(),
            false => format!("'{}'", path.replace('\'', r"'\''")),
        };
        hint.replace("--mirror DIR", &format!("--mirror {path}"))
    }

    /// Checks whether this process may add files to the mirror, which may not exist yet.
    ///
    /// # Errors
    /// The path to which it may not write, and the reason.
    pub fn check_writable(&self) -> Result<(), (PathBuf, io::Error)> {
        let folders = [self.private(), self.staging(), self.live_partial(), self.crates(), self.index()];
        for path in folders.into_iter().chain([self.root.clone(), self.lock()]) {
            durable::check_writable(&path).map_err(|error| (path, error))?;
        }
        Ok(())
    }

    /// The file with the layout's version.
    pub fn format(&self) -> PathBuf {
        self.private().join("format")
    }

    /// Returns an error for a mirror that a newer tool created. A mirror that does not exist or has no version yet is
    /// accepted.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Unreadable`], or a failed file system operation.
    pub fn check_format(&self) -> Result<(), Error> {
        self.read_format().map(drop)
    }

    /// Like [`Layout::check_format`], and writes the version into a mirror that has none. Requires the lock.
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

    /// Moves a damaged file with the layout's version aside. The next process that takes the lock writes it again. Returns
    /// whether it was damaged.
    ///
    /// # Errors
    /// [`Error::Newer`], or a failed file system operation.
    pub fn move_damaged_format_aside(&self) -> Result<bool, Error> {
        match self.read_format() {
            Err(Error::Unreadable { path, .. }) => {
                let failed = |source| Error::Io { path: path.clone(), source };
                durable::make_folder(&self.moved_aside()).map_err(failed)?;
                fs::rename(&path, self.moved_aside().join("format")).map_err(failed)?;
                Ok(true)
            }
            read => read.map(|_| false),
        }
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

/// The entries of a folder; none if it does not exist.
fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    Ok(durable::if_exists(fs::read_dir(folder))?.into_iter().flatten())
}

/// Whether a file below `folder`, at most `depth` folders deeper, has the path of an index file. `above` is the path of
/// `folder` in the index.
fn has_index_file(folder: &Path, above: &str, depth: usize) -> io::Result<bool> {
    for entry in entries(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name().to_string_lossy().into_owned(), entry.file_type()?);
        let path = if above.is_empty() { name.clone() } else { format!("{above}/{name}") };
        let is_index_file = kind.is_file() && name.parse::<CrateName>().is_ok_and(|name| name.index_path() == path);
        if is_index_file || kind.is_dir() && depth > 0 && has_index_file(&entry.path(), &path, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
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
