//! What the system says of changes in a folder, as far as it says anything. Never the truth, only a reason to look.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::mailbox::Mailbox;
use super::settle::Hint;

/// The system's notices of one folder; they end with this value.
pub(super) struct Notices {
    _watcher: RecommendedWatcher,
}

impl Notices {
    /// Has notices of `folder` sent to `mailbox`.
    ///
    /// # Errors
    /// The system's, e.g. that it watches too much already.
    pub(super) fn of(folder: &Path, mailbox: &Arc<Mailbox>) -> notify::Result<Notices> {
        let to = Arc::clone(mailbox);
        let top = folder.to_owned();
        let mut watcher = notify::recommended_watcher(move |event| deliver(event, &top, &to))?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(Notices { _watcher: watcher })
    }
}

fn deliver(event: notify::Result<Event>, folder: &Path, mailbox: &Mailbox) {
    let Ok(event) = event else {
        mailbox.look();
        return;
    };
    if event.need_rescan() {
        mailbox.look();
    }
    let Some(hint) = hint(&event.kind) else { return };
    for path in in_folder(event.paths, folder) {
        if let Some(name) = path.file_name() {
            mailbox.hint(name.to_owned(), hint);
        }
    }
}

/// Files directly in the folder.
fn in_folder(paths: Vec<PathBuf>, folder: &Path) -> impl Iterator<Item = PathBuf> {
    paths.into_iter().filter(move |path| path.parent() == Some(folder))
}

fn hint(kind: &EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(Hint::Whole),
        EventKind::Modify(ModifyKind::Data(_)) => Some(Hint::Written),
        // That it is opened or read is nothing new; we do that ourselves.
        EventKind::Access(_) => None,
        _ => Some(Hint::Touched),
    }
}

/// Whether the system says nothing of what other machines, or a program behind the file system, change in `folder`.
#[cfg(target_os = "linux")]
pub(super) fn is_silent(folder: &Path) -> bool {
    /// The numbers of network and user-space file systems (Linux: include/uapi/linux/magic.h, and fs/ceph, fs/smb).
    const SILENT: &[u64] = &[
        0x6969,      // nfs
        0x517b,      // smbfs
        0xff53_4d42, // cifs
        0xfe53_4d42, // smb2
        0x0102_1997, // 9p
        0x6573_5546, // fuse, and virtiofs with it
        0x00c3_6400, // ceph
        0x5346_414f, // afs
        0x6b41_4653, // kafs
        0x7375_7245, // coda
        0x786f_4256, // vboxsf
        0xaad7_aaea, // panfs
        0x0bd0_0bd0, // lustre
        0x4750_4653, // gpfs
    ];
    // Where it cannot be asked, more patience does no harm.
    rustix::fs::statfs(folder).map_or(true, |about| {
        // The type is signed on some machines, and some of the numbers have the sign's bit.
        let number = i128::from(about.f_type) & 0xffff_ffff;
        SILENT.iter().any(|silent| i128::from(*silent) == number)
    })
}

/// Whether the system says nothing of what other machines change in `folder`; this system is not asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_silent(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::time::{Duration, Instant};

    use notify::event::Flag;

    use super::*;

    /// Waits until `name` has got `hint`.
    fn await_hint(mailbox: &Mailbox, name: &str, hint: Hint) {
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            mailbox.wait(Duration::from_millis(20));
            if mailbox.take().hints.get(OsStr::new(name)) == Some(&hint) {
                return;
            }
        }
        panic!("no {hint:?} of {name} came");
    }

    #[test]
    fn closing_and_renaming_are_told_and_folders_below_are_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let top = folder.path().join("in");
        fs::create_dir_all(top.join("done")).expect("folder");
        let mailbox = Arc::new(Mailbox::default());
        let _notices = Notices::of(&top, &mailbox).expect("watched");
        fs::write(top.join("done/x.pkg"), "x").expect("write");
        fs::write(top.join("a.pkg"), "x").expect("write");
        await_hint(&mailbox, "a.pkg", Hint::Whole);
        fs::write(folder.path().join("b.pkg"), "x").expect("write");
        fs::rename(folder.path().join("b.pkg"), top.join("b.pkg")).expect("rename");
        await_hint(&mailbox, "b.pkg", Hint::Whole);
        assert!(!mailbox.take().hints.contains_key(OsStr::new("x.pkg")));
        assert!(!is_silent(&top));
    }

    #[test]
    fn an_overflow_and_a_failure_are_reasons_to_look() {
        let mailbox = Mailbox::default();
        let top = Path::new("/in");
        deliver(Ok(Event::new(EventKind::Access(AccessKind::Any))), top, &mailbox);
        assert!(!mailbox.take().urgent);
        deliver(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), top, &mailbox);
        assert!(mailbox.take().urgent);
        deliver(Err(notify::Error::generic("lost")), top, &mailbox);
        assert!(mailbox.take().urgent);
    }
}
