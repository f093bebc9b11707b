//! `crates/index`, a relative link to `../index`, so that cargo's local-registry works on `crates/` without a server.
//!
//! A copy made by a tool that follows links has a real folder there. That folder works on the day of the copy, and then
//! hides every crate that is imported later. So each import checks and restores the link.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::guard::WriteGuard;
use super::layout::Layout;
use super::transaction::{Error, LINK_TARGET, Transaction, failed, make_link, means_unsupported};
use crate::index_line::IndexLine;

/// The state of `crates/index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The correct link.
    Good,
    /// The path does not exist; also if there is no mirror yet.
    Missing,
    /// A link with another target.
    WrongTarget(PathBuf),
    /// A real folder or file, which is or will become outdated.
    NotALink,
    /// Missing, because the file system has no symbolic links. Only an import detects this.
    Unsupported,
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkState::Good => f.write_str("good"),
            LinkState::Missing => f.write_str("missing"),
            LinkState::WrongTarget(target) => write!(f, "a link to {}, not to {LINK_TARGET}", target.display()),
            LinkState::NotALink => {
                write!(f, "a copy, not a link to {LINK_TARGET}: it does not show crates that are imported later")
            }
            LinkState::Unsupported => f.write_str("not possible: this file system has no symbolic links"),
        }
    }
}

/// The state of `crates/index` of this mirror. Reads one link.
pub fn link_state(layout: &Layout) -> LinkState {
    let link = layout.index_link();
    match fs::read_link(&link) {
        Ok(target) if target == Path::new(LINK_TARGET) => LinkState::Good,
        Ok(target) => LinkState::WrongTarget(target),
        Err(_) if link.symlink_metadata().is_ok() => LinkState::NotALink,
        Err(_) => LinkState::Missing,
    }
}

/// The result of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreResult {
    /// The state afterwards.
    pub state: LinkState,
    /// The state before.
    pub previous: LinkState,
    /// The new path of a folder that had lines which the index lacks.
    pub moved_to: Option<PathBuf>,
}

/// Restores the link in one transaction. A folder in its place is moved away, and removed only if the index contains all its
/// lines. Only after the index is committed.
pub(super) fn restore(guard: &WriteGuard) -> Result<RestoreResult, Error> {
    let layout = &guard.layout;
    let link = layout.index_link();
    let previous = link_state(layout);
    match previous {
        LinkState::Good => return Ok(RestoreResult { state: LinkState::Good, previous, moved_to: None }),
        LinkState::Missing if !is_supported(guard) => {
            return Ok(RestoreResult { state: LinkState::Unsupported, previous, moved_to: None });
        }
        LinkState::Missing | LinkState::Unsupported | LinkState::WrongTarget(_) | LinkState::NotALink => {}
    }
    let mut tx = Transaction::begin(guard, "the restored link crates/index")?;
    let mut moved_to = None;
    match previous {
        LinkState::WrongTarget(_) => tx.delete(&link)?,
        LinkState::NotALink => moved_to = Some(tx.rename_aside(&link, "crates-index")?),
        LinkState::Good | LinkState::Missing | LinkState::Unsupported => {}
    }
    tx.link_index()?;
    tx.commit()?;
    if let Some(copy) = moved_to.take_if(|copy| index_covers(copy, &layout.index())) {
        fs::remove_dir_all(&copy).map_err(failed("remove", &copy))?;
        // Succeeds only if the folder is empty.
        let _kept = fs::remove_dir(layout.moved_aside()).is_err();
    }
    let state = match link_state(layout) {
        LinkState::Missing => LinkState::Unsupported,
        state => state,
    };
    Ok(RestoreResult { state, previous, moved_to })
}

/// Whether the mirror's file system supports links, which only an attempt shows.
pub(super) fn is_supported(guard: &WriteGuard) -> bool {
    let probe = guard.layout.private().join("link-probe");
    let made = match make_link(&probe) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => !means_unsupported(&error),
        _ => true,
    };
    let _was_none = fs::remove_file(&probe).is_err();
    made
}

/// Whether `index` lists every version in `copy` with the same checksum. An entry that is unreadable or not an index
/// file counts as not covered; `config.json` is ignored.
fn index_covers(copy: &Path, index: &Path) -> bool {
    let Ok(entries) = fs::read_dir(copy) else {
        return false;
    };
    for entry in entries {
        let Ok((entry, kind)) = entry.and_then(|entry| entry.file_type().map(|kind| (entry, kind))) else {
            return false;
        };
        let counterpart = index.join(entry.file_name());
        let within = if kind.is_dir() {
            index_covers(&entry.path(), &counterpart)
        } else {
            entry.file_name() == "config.json" || kind.is_file() && index_has_lines(&entry.path(), &counterpart)
        };
        if !within {
            return false;
        }
    }
    true
}

fn index_has_lines(copy: &Path, index: &Path) -> bool {
    let (Ok(copy), Ok(index)) = (fs::read_to_string(copy), fs::read_to_string(index)) else {
        return false;
    };
    let index_lines: Vec<IndexLine> = IndexLine::parse_file(&index).collect();
    copy.lines().filter(|line| !line.is_empty()).all(|line| {
        IndexLine::parse(line)
            .is_ok_and(|line| index_lines.iter().any(|other| other.id == line.id && other.cksum == line.cksum))
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn line(version: &str, yanked: bool) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(r#"{{"name":"a","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#)
    }

    fn mirror(index: &str) -> (tempfile::TempDir, Layout) {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        for path in [layout.index().join("1"), layout.crates(), layout.private()] {
            fs::create_dir_all(path).expect("folder");
        }
        fs::write(layout.index().join("1/a"), index).expect("write");
        (folder, layout)
    }

    #[test]
    fn a_missing_or_wrong_link_is_restored() {
        let (_folder, layout) = mirror("");
        assert_eq!(link_state(&layout), LinkState::Missing);
        assert_eq!(restore(&WriteGuard::for_test(&layout)).expect("restored").state, LinkState::Good);
        assert!(layout.index_link().join("1/a").exists());
        fs::remove_file(layout.index_link()).expect("removed");
        std::os::unix::fs::symlink("/etc", layout.index_link()).expect("link");
        let restored = restore(&WriteGuard::for_test(&layout)).expect("restored");
        assert_eq!(restored.previous, LinkState::WrongTarget("/etc".into()));
        assert_eq!(link_state(&layout), LinkState::Good);
        assert!(Path::new("/etc").is_dir());
    }

    #[test]
    fn a_stale_copy_is_removed_and_one_with_unknown_lines_is_moved_aside() {
        let (_folder, layout) = mirror(&format!("{}\n{}\n", line("1.0.0", true), line("1.0.1", false)));
        for (copy, kept) in [(line("1.0.0", false), false), (line("3.0.0", false), true), ("garbage".to_owned(), true)]
        {
            match fs::remove_file(layout.index_link()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => panic!("{e}"),
                _ => {}
            }
            fs::create_dir_all(layout.index_link().join("1")).expect("folder");
            fs::write(layout.index_link().join("1/a"), &copy).expect("write");
            fs::write(layout.index_link().join("config.json"), "{}").expect("write");
            assert_eq!(link_state(&layout), LinkState::NotALink);
            let restored = restore(&WriteGuard::for_test(&layout)).expect("restored");
            assert_eq!((restored.state, restored.previous), (LinkState::Good, LinkState::NotALink));
            assert_eq!(restored.moved_to.is_some(), kept, "{copy}");
            if let Some(aside) = restored.moved_to {
                assert_eq!(fs::read_to_string(aside.join("1/a")).expect("read"), copy);
            }
        }
    }
}
