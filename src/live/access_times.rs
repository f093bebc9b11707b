//! When files of the mirror were last requested, used if live mode's size is limited: the least recently requested
//! files are evicted first.
//!
//! Responses from the memory cache are not recorded. A file that is only ever served from there looks unused; if it is
//! evicted, it is fetched again. The times survive a restart, except for the last minutes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::durable;
use crate::safe_path::SafePath;

/// Maximum number of files with a recorded time; a larger mirror has a less exact order.
const MAX_FILES: usize = 500_000;

/// The access times.
#[derive(Default)]
pub(super) struct AccessTimes(Mutex<Times>);

#[derive(Default)]
struct Times {
    by_path: BTreeMap<String, Timestamp>,
    is_dirty: bool,
}

impl AccessTimes {
    /// Reads the times that an earlier process saved at `path`. An unreadable file counts as empty.
    pub(super) fn read(path: &Path) -> AccessTimes {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let of = text.lines().filter_map(|line| {
            let (second, path) = line.split_once(' ')?;
            let path: SafePath = path.parse().ok()?;
            Some((path.into(), Timestamp::from_second(second.parse().ok()?).ok()?))
        });
        AccessTimes(Mutex::new(Times { by_path: of.take(MAX_FILES).collect(), is_dirty: false }))
    }

    /// Records that the file was requested.
    pub(super) fn record(&self, path: &SafePath, now: Timestamp) {
        let mut times = self.times();
        times.is_dirty = true;
        let has_space = times.by_path.len() < MAX_FILES;
        match times.by_path.get_mut(path.as_str()) {
            Some(time) => *time = now,
            None if has_space => {
                times.by_path.insert(path.as_str().to_owned(), now);
            }
            None => {}
        }
    }

    /// All recorded times.
    pub(super) fn all(&self) -> BTreeMap<String, Timestamp> {
        self.times().by_path.clone()
    }

    /// Saves the times at `path` for the next process if they changed. Omits files that no longer exist, according to
    /// `exists`.
    ///
    /// # Errors The file system's.
    pub(super) fn write(&self, path: &Path, exists: impl Fn(&str) -> bool) -> io::Result<()> {
        let mut text = String::new();
        {
            let mut times = self.times();
            if !std::mem::take(&mut times.is_dirty) {
                return Ok(());
            }
            times.by_path.retain(|path, _| exists(path));
            for (path, time) in &times.by_path {
                writeln!(text, "{} {path}", time.as_second()).expect("writing to memory cannot fail");
            }
        }
        durable::write(path, text.as_bytes())
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_times_survive_a_restart_and_damaged_lines() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let file = folder.path().join("used");
        let used = AccessTimes::read(&file);
        let path = |text: &str| text.parse::<SafePath>().expect("path");
        let at = |second| Timestamp::from_second(second).expect("time");
        used.record(&path("crates/a-1.0.0.crate"), at(10));
        used.record(&path("crates/b-1.0.0.crate"), at(20));
        used.record(&path("crates/a-1.0.0.crate"), at(30));
        used.write(&file, |path| !path.contains("b-1")).expect("written");
        let mut text = std::fs::read_to_string(&file).expect("text");
        assert_eq!(text, "30 crates/a-1.0.0.crate\n");
        text.push_str("x crates/c-1.0.0.crate\n40 ../up\n50");
        std::fs::write(&file, text).expect("write");
        let again = AccessTimes::read(&file).all();
        assert_eq!(again, BTreeMap::from([("crates/a-1.0.0.crate".to_owned(), at(30))]));
    }
}
