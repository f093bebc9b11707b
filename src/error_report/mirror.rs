//! Classes and hints for the errors of `mirror`.

use std::path::Path;

use super::{ErrorClass, Failure, io_hint};
use crate::bundle::sanitize::sanitize_line;
use crate::mirror::layout::Layout;
use crate::mirror::ledger::{CarryingSnapshot, ChainFaultKind};
use crate::mirror::lineages::REBUILT_LINEAGE;
use crate::mirror::summary::SummaryLoss;
use crate::mirror::{audit, export, gc, import, layout, lock, snapshot, status, transaction};

impl Failure {
    /// Replaces the placeholder in the hint by the path of the mirror, so that its commands work as typed.
    #[must_use]
    pub fn with_mirror(mut self, layout: &Layout) -> Failure {
        self.hint = self.hint.map(|hint| layout.fill_in(&hint));
        self
    }
}

impl Failure {
    /// The failure of a rebuild. On a full disk, the hint is not to run a rebuild.
    pub fn from_rebuild(error: import::Error) -> Failure {
        let full = match &error {
            import::Error::Store(error) if error.full_mirror().is_some() => io_hint(&error.source),
            _ => None,
        };
        let failure = Failure::from(error);
        Failure { hint: full.or(failure.hint), ..failure }
    }
}

impl From<transaction::Error> for Failure {
    fn from(error: transaction::Error) -> Failure {
        let hint = match error.full_mirror() {
            _ if error.is_unfinished() => Some(
                "the mirror is consistent and still served; repair the disk, and the next command that changes the mirror \
                 completes the update"
                    .to_owned(),
            ),
            Some(root) => Some(disk_full_hint(root)),
            None => io_hint(&error.source),
        };
        Failure { hint, ..Failure::new(ErrorClass::Disk, error) }
    }
}

/// The hint for a mirror that lost records. Audits, commands that change the mirror, and exports use the same.
pub const LOST_STATE_HINT: &str = "run `cargo frostmirror verify --mirror DIR --rebuild-state`, which keeps every file. \
     Then import the newest bundle of each history again, because its record may be lost";

/// The hint for a mirror on a full disk. It names only what works in the state of the mirror.
fn disk_full_hint(root: &Path) -> String {
    let layout = Layout::new(root);
    layout.fill_in(match gc::SpaceAdvice::for_mirror(&layout) {
        gc::SpaceAdvice::LargerDisk => {
            "free some space on that disk, or give a folder on a larger disk with `--mirror`; then run the same command again"
        }
        gc::SpaceAdvice::Collect => {
            "run `cargo frostmirror gc --mirror DIR`, which works on a full disk, or free some space there; then run the \
             same command again"
        }
        gc::SpaceAdvice::CollectWithoutReserve => {
            "free some space on that disk, because none is reserved for `gc`; then run `cargo frostmirror gc --mirror DIR`, which \
             frees more and reserves some, and the same command again"
        }
        gc::SpaceAdvice::RebuildFirst => {
            "free some space there, or run `cargo frostmirror verify --mirror DIR --rebuild-state`, which works on a full \
             disk, and then `cargo frostmirror gc --mirror DIR`; then run the same command again"
        }
        gc::SpaceAdvice::OtherFiles => {
            "free some space on that disk; then run the same command again, which first completes the interrupted command"
        }
        gc::SpaceAdvice::Unreadable => {
            "free some space on that disk; then run the same command again. `cargo frostmirror gc --mirror DIR --dry-run` names \
             the file of the mirror that cannot be read"
        }
    })
}

impl From<layout::Error> for Failure {
    fn from(error: layout::Error) -> Failure {
        match error {
            layout::Error::Newer { ref tool, .. } => {
                let hint = format!("use cargo-frostmirror {tool} or later on this mirror");
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            layout::Error::Unreadable { ref path, .. } => {
                let root = path.ancestors().nth(2).unwrap_or(path);
                let hint = "write the file again with `cargo frostmirror verify --mirror DIR --rebuild-state`";
                let hint = Layout::new(root).fill_in(hint);
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            layout::Error::Io { ref source, .. } => {
                let hint = io_hint(source);
                Failure { hint, ..Failure::new(ErrorClass::Disk, error) }
            }
        }
    }
}

impl From<lock::Error> for Failure {
    fn from(error: lock::Error) -> Failure {
        match error {
            lock::Error::Locked { waited, .. } => Failure::new(ErrorClass::Locked, error)
                .hint(format!("waited {} s; run the same command again when that process has ended", waited.as_secs())),
            lock::Error::Stopped { .. } => Failure::new(ErrorClass::Interrupted, error),
            lock::Error::NoMirror { .. } => {
                let hint = "give the mirror's folder with `--mirror`, or import a bundle first";
                Failure::new(ErrorClass::Input, error).hint(hint)
            }
            lock::Error::RecordsLost { .. } => Failure::new(ErrorClass::Integrity, error).hint(LOST_STATE_HINT),
            lock::Error::Occupied { .. } => Failure::new(ErrorClass::Input, error)
                .hint("give the folder of a mirror, or a new or empty folder, with `--mirror`"),
            lock::Error::Layout(error) => error.into(),
            lock::Error::RecoveryFailed(error) => error.into(),
            lock::Error::Io { ref source, .. } => {
                let hint = io_hint(source).or_else(|| {
                    let cannot_create = "give a folder that can be created, or an existing one, with `--mirror`";
                    (source.kind() == std::io::ErrorKind::NotFound).then(|| cannot_create.to_owned())
                });
                Failure { hint, ..Failure::new(ErrorClass::Disk, error) }
            }
        }
    }
}

impl From<status::Error> for Failure {
    fn from(error: status::Error) -> Failure {
        match error {
            status::Error::NotADirectory { .. } => Failure::new(ErrorClass::Input, error)
                .hint("give the mirror's folder; `cargo frostmirror inspect` shows a bundle"),
            status::Error::Layout(error) => error.into(),
            status::Error::Store(error) => error.into(),
        }
    }
}

impl From<audit::Error> for Failure {
    fn from(error: audit::Error) -> Failure {
        match error {
            audit::Error::NoMirror { .. } => Failure::new(ErrorClass::Input, error)
                .hint("check the path; `cargo frostmirror import` creates a mirror"),
            audit::Error::Stopped => Failure::new(ErrorClass::Interrupted, error),
            audit::Error::Layout(error) => error.into(),
            audit::Error::Store(error) => error.into(),
        }
    }
}

impl From<import::Error> for Failure {
    fn from(error: import::Error) -> Failure {
        use import::Error as E;
        match error {
            E::Open(error) => error.into(),
            E::Store(error) => error.into(),
            E::SummaryLost(error) => error.into(),
            E::Stopped => Failure::new(ErrorClass::Interrupted, error),
            E::Invalid { .. } => Failure::new(ErrorClass::Integrity, error)
                .hint("copy the bundle again, and compare both copies with `cargo frostmirror verify`"),
            E::Conflicts { ref sources, .. } => {
                let hint = sources.hint();
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            E::FalseStatement { ref file, ref contradiction } => {
                let hint = contradiction.hint(file);
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            E::MissingBase { ref bundles, .. } => {
                let hint = bundles.hint();
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            E::NothingRepaired { .. } => Failure::new(ErrorClass::Integrity, error).hint(
                "audit the mirror again with `cargo frostmirror verify --mirror DIR`; its new list has the files that are still missing",
            ),
            E::InvalidTime { .. } => Failure::new(ErrorClass::Integrity, error),
            E::TooManyHistories { ref snapshot, has_doubtful, .. } => {
                let hint = too_many_histories_hint(snapshot.as_ref(), has_doubtful);
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            E::NoSpace { ref root, .. } => {
                let hint = disk_full_hint(root);
                Failure::new(ErrorClass::Disk, error).hint(hint)
            }
        }
    }
}

impl From<SummaryLoss> for Failure {
    fn from(loss: SummaryLoss) -> Failure {
        Failure::new(ErrorClass::Integrity, loss).hint(LOST_STATE_HINT)
    }
}

impl From<gc::Error> for Failure {
    fn from(error: gc::Error) -> Failure {
        use gc::Error as E;
        match error {
            E::Lock(error) => error.into(),
            E::Layout(error) => error.into(),
            // The error comes from a garbage collection on a full disk.
            E::Store(error) => {
                let hint = io_hint(&error.source);
                Failure { hint, ..Failure::from(error) }
            }
            E::LostRecords { .. } => Failure::new(ErrorClass::Integrity, error).hint(LOST_RECORDS_HINT),
            E::Untrusted { fault: ChainFaultKind::Copied { .. }, .. } => {
                Failure::new(ErrorClass::Integrity, error).hint(COPIED_RECORD_HINT)
            }
            E::Record { .. } | E::LostRecord { .. } | E::Untrusted { .. } => {
                Failure::new(ErrorClass::Integrity, error).hint(LOST_RECORD_HINT)
            }
            E::SummaryLost(error) => error.into(),
            E::RebuiltNeeded { ref bundle, .. } => {
                let hint = format!(
                    "first import every bundle that you still have again with `cargo frostmirror import FILE --mirror DIR`; then \
                     `cargo frostmirror gc --forget rebuilt@{bundle} --mirror DIR` ends the protection of files for lost records for \
                     good: files that no bundle on record needs are garbage in this run and in every later one. With `--dry-run -v`, \
                     it lists what it would remove"
                );
                Failure::new(ErrorClass::Integrity, error).hint(hint)
            }
            E::NotRebuilt => Failure::new(ErrorClass::Input, error).hint(
                "run `cargo frostmirror verify --mirror DIR --rebuild-state`, which records these files as that lineage; then run \
                 `cargo frostmirror gc --forget rebuilt --mirror DIR`",
            ),
            E::NoLiveFiles { .. } | E::LiveHasNoBundle { .. } | E::OwnLiveLineage { .. } => {
                let hint = live_lineage_hint(&error);
                Failure::new(ErrorClass::Input, error).hint(hint)
            }
            E::NoLineage { option, ref value, ref word, ref known } if known.is_empty() || word == REBUILT_LINEAGE => {
                let hint = without_option(option, value);
                Failure::new(ErrorClass::Input, error).hint(hint)
            }
            E::NotNewest { .. } => Failure::new(ErrorClass::Input, error).hint(
                "`cargo frostmirror gc --mirror DIR --dry-run` says how to check the newest bundle; reject it with `--reject` if it is \
                 false",
            ),
            E::NoBundle { .. } | E::AmbiguousBundle { .. } | E::NoBundleGiven { .. } => {
                Failure::new(ErrorClass::Input, error).hint(
                    "`cargo frostmirror gc --mirror DIR --dry-run` shows the IDs of doubtful bundles; give at least 4 digits of each",
                )
            }
            E::NoLineage { .. } | E::Ambiguous { .. } | E::TooShort { .. } => Failure::new(ErrorClass::Input, error).hint(
                "`cargo frostmirror gc --mirror DIR --dry-run` shows every lineage; give its ID, or at least its first 4 digits",
            ),
        }
    }
}

/// The hint for an option that names live mode, and means no lineage.
fn live_lineage_hint(error: &gc::Error) -> String {
    use gc::Error as E;
    match error {
        E::NoLiveFiles { imported, .. } if !imported.is_empty() => {
            let options = imported.iter().map(|tip| format!(" --forget {}", sanitize_line(&tip.id)));
            format!("run `cargo frostmirror gc --mirror DIR{}`", options.collect::<String>())
        }
        E::NoLiveFiles { value, .. } => without_option("--forget", value),
        E::LiveHasNoBundle { option: "--forget", .. } | E::OwnLiveLineage { option: "--forget", .. } => {
            "run `cargo frostmirror gc --mirror DIR --forget live`".to_owned()
        }
        E::LiveHasNoBundle { option, value } | E::OwnLiveLineage { option, value, .. } => without_option(option, value),
        _ => String::new(),
    }
}

/// The hint to leave out an option that names nothing in this mirror.
fn without_option(option: &str, value: &str) -> String {
    format!("run the same command without `{option} {}`", sanitize_line(value))
}

impl From<snapshot::Error> for Failure {
    fn from(error: snapshot::Error) -> Failure {
        use snapshot::Error as E;
        match error {
            E::Ledger(error) => error.into(),
            E::Store(error) => error.into(),
            E::Damaged { .. } | E::Corrupt { .. } => Failure::new(ErrorClass::Integrity, error).hint(FIND_DAMAGE_HINT),
            E::SummaryLost(_) => Failure::new(ErrorClass::Integrity, error).hint(LOST_STATE_HINT),
            E::Empty { .. } => Failure::new(ErrorClass::Input, error).hint("import a bundle first, or check the path"),
            E::InMirror { .. } => {
                Failure::new(ErrorClass::Input, error).hint("choose another folder with `--output DIR`")
            }
            E::Pack(error) => error.into(),
            E::Read(_) | E::Invalid { .. } => {
                Failure::new(ErrorClass::Integrity, error).hint("check the disk, and run the same command again")
            }
        }
    }
}

/// The hint for the file of an import record that was copied, renamed or overwritten.
pub const COPIED_RECORD_HINT: &str = "run `cargo frostmirror verify --mirror DIR --rebuild-state`, which gives renamed records \
     their names back, and moves copies to .frostmirror/aside";

/// The hint for a lost, altered or damaged import record, whose file name contains the id of its bundle.
pub const LOST_RECORD_HINT: &str = "import the bundle of that file again, or restore the file from a copy of the mirror; if neither exists, \
     `cargo frostmirror verify --mirror DIR --rebuild-state` keeps everything that was on record";

/// The hint for a mirror with the problems of this status.
pub fn records_hint(status: &status::Status) -> &'static str {
    if status.has_lost_records() { LOST_STATE_HINT } else { LOST_RECORD_HINT }
}

/// The hint for lost records whose names are unknown.
const LOST_RECORDS_HINT: &str = "import the newest bundles of each history again, or restore the ledger from a copy of the mirror; then \
     `cargo frostmirror verify --mirror DIR --rebuild-state` keeps everything that was on record";

/// The hint for damage of unknown extent.
const FIND_DAMAGE_HINT: &str = "run `cargo frostmirror verify --mirror DIR --repair-list FILE`: it finds all damage, names the bundles to import again, and \
     lists the files to fetch if you no longer have these bundles";

impl From<export::Error> for Failure {
    fn from(error: export::Error) -> Failure {
        use export::Error as E;
        match error {
            E::Target { why, .. } => {
                let hint = match why {
                    export::Obstacle::NotEmpty => {
                        "existing files are never overwritten: choose a new folder, or empty this one"
                    }
                    export::Obstacle::MountPoint => "choose a folder below it",
                    _ => "choose a new folder",
                };
                Failure::new(ErrorClass::Input, error).hint(hint)
            }
            E::Corrupt { .. } | E::Damaged { .. } => Failure::new(ErrorClass::Integrity, error).hint(FIND_DAMAGE_HINT),
            E::SummaryLost(_) => Failure::new(ErrorClass::Integrity, error).hint(LOST_STATE_HINT),
            E::Store(error) => error.into(),
            E::Write { ref source, .. } => {
                let hint = io_hint(source);
                Failure { hint, ..Failure::new(ErrorClass::Disk, error) }
            }
            E::Stopped => {
                Failure::new(ErrorClass::Interrupted, error).hint("no partial files remain; run the same command again")
            }
        }
    }
}
/// Advice about the limit of histories: the steps that remove many come first.
fn too_many_histories_hint(snapshot: Option<&CarryingSnapshot>, has_doubtful: bool) -> String {
    const GC: &str = "cargo frostmirror gc --mirror DIR";
    let mut steps = Vec::new();
    if let Some(CarryingSnapshot { id, histories }) = snapshot {
        steps.push(format!(
            "one snapshot brought {histories} of them: if it is false, run `{GC} --reject snapshot@{id}`, which removes \
             them all"
        ));
    }
    if has_doubtful {
        steps.push(format!("`{GC} --dry-run` says how to decide about doubtful bundles, each of which counts"));
    }
    steps.push(format!("retire an unused history with `{GC} --forget LINEAGE`; `{GC} --dry-run` lists them"));
    steps.join("; otherwise ")
}
