//! File system events of a folder, if the system sends any. Events are only a reason to scan.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::event_queue::EventQueue;
use super::file_state::ChangeHint;

/// The event source of one folder; dropping it ends the events.
pub(super) struct FsEvents {
    _watcher: RecommendedWatcher,
}

impl FsEvents {
    /// Sends the events of `folder` to `mailbox`.
    ///
    /// # Errors
    /// The system's error, e.g. too many watches.
    pub(super) fn watch(folder: &Path, mailbox: &Arc<EventQueue>) -> notify::Result<FsEvents> {
        let events = Arc::clone(mailbox);
        let top = folder.to_owned();
        let mut watcher = notify::recommended_watcher(move |event| enqueue(event, &top, &events))?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(FsEvents { _watcher: watcher })
    }
}

fn enqueue(event: notify::Result<Event>, folder: &Path, mailbox: &EventQueue) {
    let Ok(event) = event else {
        mailbox.request_scan();
        return;
    };
    if event.need_rescan() {
        mailbox.request_scan();
    }
    let Some(hint) = hint_of(&event.kind) else { return };
    for path in direct_children(event.paths, folder) {
        if let Some(name) = path.file_name() {
            mailbox.push(name.to_owned(), hint);
        }
    }
}

/// The paths that are directly in the folder.
fn direct_children(paths: Vec<PathBuf>, folder: &Path) -> impl Iterator<Item = PathBuf> {
    paths.into_iter().filter(move |path| path.parent() == Some(folder))
}

fn hint_of(kind: &EventKind) -> Option<ChangeHint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(ChangeHint::Complete),
        EventKind::Modify(ModifyKind::Data(_)) => Some(ChangeHint::Writing),
        // The watcher itself opens and reads files, so these events say nothing.
        EventKind::Access(_) => None,
        _ => Some(ChangeHint::Touched),
    }
}

/// Whether the file system sends no events for changes by other machines or by the program behind a user-space file
/// system.
#[cfg(target_os = "linux")]
pub(super) fn is_silent(folder: &Path) -> bool {
    /// Magic numbers of network and user-space file systems (Linux: include/uapi/linux/magic.h, and fs/ceph, fs/smb).
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
    // If the query fails, assume none: that only lengthens the delay.
    rustix::fs::statfs(folder).map_or(true, |about| {
        // The type is signed on some platforms, and some of the numbers set the sign bit.
        let number = i128::from(about.f_type) & 0xffff_ffff;
        SILENT.iter().any(|silent| i128::from(*silent) == number)
    })
}

/// Whether the file system sends no events for changes by other machines; not known on this system.
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

    /// Waits until the queue has `hint` for `name`.
    fn await_hint(mailbox: &EventQueue, name: &str, hint: ChangeHint) {
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
    fn closes_and_renames_are_reported_but_not_in_subfolders() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let top = folder.path().join("in");
        fs::create_dir_all(top.join("done")).expect("folder");
        let mailbox = Arc::new(EventQueue::default());
        let _notices = FsEvents::watch(&top, &mailbox).expect("watched");
        fs::write(top.join("done/x.pkg"), "x").expect("write");
        fs::write(top.join("a.pkg"), "x").expect("write");
        await_hint(&mailbox, "a.pkg", ChangeHint::Complete);
        fs::write(folder.path().join("b.pkg"), "x").expect("write");
        fs::rename(folder.path().join("b.pkg"), top.join("b.pkg")).expect("rename");
        await_hint(&mailbox, "b.pkg", ChangeHint::Complete);
        assert!(!mailbox.take().hints.contains_key(OsStr::new("x.pkg")));
        assert!(!is_silent(&top));
    }

    #[test]
    fn overflows_and_errors_request_a_scan() {
        let mailbox = EventQueue::default();
        let top = Path::new("/in");
        enqueue(Ok(Event::new(EventKind::Access(AccessKind::Any))), top, &mailbox);
        assert!(!mailbox.take().is_urgent);
        enqueue(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)), top, &mailbox);
        assert!(mailbox.take().is_urgent);
        enqueue(Err(notify::Error::generic("lost")), top, &mailbox);
        assert!(mailbox.take().is_urgent);
    }
}
