//! Errors of `mirror`: class and hint.

use std::path::Path;

use super::{Class, Failure, hint_of_io};
use crate::mirror::{audit, export, gc, import, layout, live, lock, snapshot, status, store};

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        let hint = match error.full_mirror() {
            Some(root) => Some(make_room(root)),
            None => hint_of_io(&error.source),
        };
        Failure { hint, ..Failure::new(Class::Disk, error) }
    }
}

/// What to do about a mirror whose disk is full.
fn make_room(root: &Path) -> String {
    format!(
        "run `cargo frostmirror gc --mirror {}`, which works on a full disk, or free some space there; then run the same command again",
        root.display()
    )
}

impl From<layout::Error> for Failure {
    fn from(error: layout::Error) -> Failure {
        match error {
            layout::Error::Newer { ref tool, .. } => {
                let hint = format!("use cargo-frostmirror {tool} or later on this mirror");
                Failure::new(Class::Integrity, error).hint(hint)
            }
            layout::Error::Unreadable { .. } => Failure::new(Class::Integrity, error)
                .hint("restore the file from a copy of the mirror, or import all bundles into a new one"),
            layout::Error::Io { ref source, .. } => {
                let hint = hint_of_io(source);
                Failure { hint, ..Failure::new(Class::Disk, error) }
            }
        }
    }
}

impl From<lock::Error> for Failure {
    fn from(error: lock::Error) -> Failure {
        match error {
            lock::Error::Held { waited, .. } => Failure::new(Class::Locked, error).hint(format!(
                "waited {} s; wait for that process to end, or give it longer with `--lock-timeout SECS`",
                waited.as_secs()
            )),
            lock::Error::Stopped { .. } => Failure::new(Class::Interrupted, error),
            lock::Error::Absent { .. } => {
                let hint = "give the mirror's folder with `--mirror DIR`, or import a bundle first; a copy that lost its folder \
                            .frostmirror is repaired by `cargo frostmirror verify --mirror DIR --rebuild-state`";
                Failure::new(Class::Input, error).hint(hint)
            }
            lock::Error::Layout(error) => error.into(),
            lock::Error::Unfinished(error) => (*error).into(),
            lock::Error::Io { ref source, .. } => {
                let hint = hint_of_io(source);
                Failure { hint, ..Failure::new(Class::Disk, error) }
            }
        }
    }
}

impl From<live::Error> for Failure {
    fn from(error: live::Error) -> Failure {
        use live::Error as E;
        match error {
            E::Store(error) => error.into(),
            E::Torn { .. } => Failure::new(Class::Disk, error).hint(
                "what is left is whole and served; once the disk is well, the next change of the mirror does the rest",
            ),
            E::Random(_) => Failure::new(Class::Disk, error),
        }
    }
}

impl From<status::Error> for Failure {
    fn from(error: status::Error) -> Failure {
        match error {
            status::Error::NoFolder { .. } => {
                Failure::new(Class::Input, error).hint("give the mirror's folder; a bundle is shown by `inspect`")
            }
            status::Error::Layout(error) => error.into(),
            status::Error::Store(error) => error.into(),
            status::Error::Damaged(_) => Failure::new(Class::Integrity, error)
                .hint("check the disk; `cargo frostmirror verify --mirror DIR --rebuild-state` makes them anew from what is there"),
        }
    }
}

impl From<audit::Error> for Failure {
    fn from(error: audit::Error) -> Failure {
        match error {
            audit::Error::Absent { .. } => {
                Failure::new(Class::Input, error).hint("`cargo frostmirror import` makes one; check the path")
            }
            audit::Error::Stopped => Failure::new(Class::Interrupted, error),
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
            E::Stopped => Failure::new(Class::Interrupted, error),
            E::Bad { .. } => Failure::new(Class::Integrity, error)
                .hint("copy the bundle again, and compare both copies with `cargo frostmirror verify`"),
            E::Conflicts { .. } => Failure::new(Class::Integrity, error)
                .hint("upstream never changes a published version: find out which of the two was tampered with"),
            E::MissingBase { ref parent, .. } => {
                let hint = match parent {
                    Some(parent) => format!("import {parent} first; where it is lost, fetch with `--base` and the newest bundle that arrived"),
                    None => "import the earlier bundles first; where they are lost, fetch with `--base` and the newest bundle that arrived"
                        .to_owned(),
                };
                Failure::new(Class::Integrity, error).hint(hint)
            }
            E::NothingMended { .. } => Failure::new(Class::Integrity, error).hint(
                "audit the mirror again with `cargo frostmirror verify --mirror DIR`; what it still names is in its new list",
            ),
            E::Time { .. } => Failure::new(Class::Integrity, error),
            E::TooManyHistories { .. } => Failure::new(Class::Integrity, error)
                .hint("retire a history that nobody needs with `cargo frostmirror gc --forget LINEAGE`; `gc --dry-run` lists them"),
            E::NoSpace { ref root, .. } => {
                let hint = make_room(root);
                Failure::new(Class::Disk, error).hint(hint)
            }
            E::Torn { .. } => {
                let hint = "what is left is whole and served; import the same bundle again once the disk is well";
                Failure::new(Class::Disk, error).hint(hint)
            }
        }
    }
}

impl From<gc::Error> for Failure {
    fn from(error: gc::Error) -> Failure {
        use gc::Error as E;
        match error {
            E::Lock(error) => error.into(),
            E::Layout(error) => error.into(),
            // It is a collection that found no room.
            E::Store(error) => {
                let hint = hint_of_io(&error.source);
                Failure { hint, ..Failure::from(error) }
            }
            E::Record { .. } | E::LostRecord { .. } => Failure::new(Class::Integrity, error).hint(
                "import the bundle that it is of once more, or restore that file from a copy of the mirror; where neither can be had, \
                 `cargo frostmirror verify --mirror DIR --rebuild-state` keeps everything that was on record",
            ),
            E::NoLineage { ref word, .. } if word == "live" => Failure::new(Class::Input, error)
                .hint("live mode is no lineage, and brought nothing that could be forgotten: leave out `live`"),
            E::NotNewest { .. } => Failure::new(Class::Input, error).hint(
                "run `cargo frostmirror gc --dry-run` and compare the id of the newest bundle before you accept it",
            ),
            E::NoLineage { .. } | E::Ambiguous { .. } => Failure::new(Class::Input, error).hint(
                "`cargo frostmirror gc --dry-run` shows every lineage; give its id, or at least its first 4 digits",
            ),
        }
    }
}

impl From<snapshot::Error> for Failure {
    fn from(error: snapshot::Error) -> Failure {
        use snapshot::Error as E;
        match error {
            E::Ledger(error) => error.into(),
            E::Store(error) => error.into(),
            E::Damaged { .. } | E::Rotten { .. } => Failure::new(Class::Integrity, error).hint(FIND_DAMAGE),
            E::Empty { .. } => Failure::new(Class::Input, error).hint("import a bundle first, or check the path"),
            E::InMirror { .. } => Failure::new(Class::Input, error).hint("name a folder elsewhere with `--output DIR`"),
            E::Pack(error) => error.into(),
            E::Read(_) | E::Unsound { .. } => {
                Failure::new(Class::Integrity, error).hint("check the disk, and run the same command again")
            }
        }
    }
}

/// What finds out how far damage goes.
const FIND_DAMAGE: &str = "`cargo frostmirror verify --mirror DIR --repair-list FILE` finds everything that is wrong, and lists what must be fetched again";

impl From<export::Error> for Failure {
    fn from(error: export::Error) -> Failure {
        use export::Error as E;
        match error {
            E::Target { why, .. } => {
                let hint = match why {
                    export::Obstacle::NotEmpty => {
                        "nothing is ever overwritten: name a folder that is not there yet, or empty this one"
                    }
                    export::Obstacle::MountPoint => "name a folder in it",
                    _ => "name a folder that is not there yet",
                };
                Failure::new(Class::Input, error).hint(hint)
            }
            E::Rotten { .. } | E::Damaged { .. } => Failure::new(Class::Integrity, error).hint(FIND_DAMAGE),
            E::Store(error) => error.into(),
            E::Write { ref source, .. } => {
                let hint = hint_of_io(source);
                Failure { hint, ..Failure::new(Class::Disk, error) }
            }
            E::Stopped => {
                Failure::new(Class::Interrupted, error).hint("nothing is left of it; run the same command again")
            }
        }
    }
}
