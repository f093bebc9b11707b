//! Decides when to try a file of the incoming folder and what follows from the attempt. It is a state machine without
//! access to files or clocks. Its inputs are observations and the time since the watcher's start.
//!
//! The length of a file proves nothing, because a preallocated copy has its full length at once. No operating system
//! reports "complete" for all copies. So the watcher may try a file early, because digests prove a complete bundle.
//! Only a rejection needs a delay. The watcher rejects a bundle if its size and time did not change during the attempt
//! and for a quiet period before it. Until then the bundle counts as arriving.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime};

/// Delays and intervals.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Time between two scans of the folder.
    pub rescan_interval: Duration,
    /// How long a file must be unchanged before it may be rejected.
    pub quiet_period: Duration,
    /// The same if the system sends no events, or has reported writes but not yet the closing of the file.
    pub unsure_quiet_period: Duration,
    /// Delay before the first retry of a blocked bundle; it doubles with each retry.
    pub first_retry_delay: Duration,
    /// The longest delay between two retries.
    pub max_retry_delay: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            rescan_interval: Duration::from_secs(3),
            quiet_period: Duration::from_secs(2),
            unsure_quiet_period: Duration::from_secs(30),
            first_retry_delay: Duration::from_secs(5),
            max_retry_delay: Duration::from_secs(300),
        }
    }
}

/// Identifies one state of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Its length in bytes.
    pub size: u64,
    /// Time of the last write, if the system has it.
    pub modified: Option<SystemTime>,
    /// The file's number, if the system has one.
    pub inode: u64,
}

/// The kind of a file system event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeHint {
    /// A program writes to the file.
    Writing,
    /// The file was closed after writes, or was renamed to its name.
    Complete,
    /// Something else changed, e.g. its permissions.
    Touched,
}

/// Why a valid bundle is not imported now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// The cause, in one line.
    pub reason: String,
    /// The next step for the operator, in one line.
    pub hint: Option<String>,
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Imported, but the file could not be moved away.
    Imported,
    /// The file no longer exists.
    Gone,
    /// The bundle is invalid.
    Invalid(String),
    /// The base of the delta is missing.
    BaseMissing(Obstacle),
    /// Another process has locked the mirror, which is temporary.
    MirrorLocked(Obstacle),
    /// Another obstacle, such as the disk or a permission.
    Blocked(Obstacle),
}

/// An attempt to import a file.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Start time.
    pub began: Duration,
    /// The file's stamp before the attempt.
    pub before: FileStamp,
    /// The file's stamp after the attempt; `None` if it no longer exists.
    pub after: Option<FileStamp>,
    /// The result.
    pub outcome: Outcome,
}

/// The listed status of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileStatus<'a> {
    /// Incomplete or not tried yet.
    Arriving(&'a str),
    /// The import waits for another event.
    Waiting(&'a Obstacle),
    /// Rejected, but still in the folder.
    Rejected(&'a str),
    /// Imported, but still in the folder.
    Done,
}

#[derive(Debug)]
enum State {
    New,
    Arriving { reason: String },
    BaseMissing { obstacle: Obstacle, is_woken: bool },
    Blocked { obstacle: Obstacle, tries: u32, retry_at: Duration },
    Rejected { reason: String },
    Done,
}

#[derive(Debug)]
struct TrackedFile {
    stamp: FileStamp,
    /// Time of the last change.
    unchanged_since: Duration,
    /// The system reported that the file was closed.
    is_complete: bool,
    /// The system reported writes and not yet the closing of the file.
    is_being_written: bool,
    state: State,
}

/// The files of an incoming folder.
#[derive(Debug)]
pub struct FileStates {
    timing: Timing,
    /// Whether the system sends no events for this folder.
    pub is_polling: bool,
    files: BTreeMap<OsString, TrackedFile>,
}

impl FileStates {
    /// Creates an empty state.
    pub fn new(timing: Timing, polled: bool) -> FileStates {
        FileStates { timing, is_polling: polled, files: BTreeMap::new() }
    }

    /// Updates the state from a scan of the folder.
    pub fn update(&mut self, seen: &BTreeMap<OsString, FileStamp>, now: Duration) {
        self.files.retain(|name, _| seen.contains_key(name));
        for (name, stamp) in seen {
            match self.files.get_mut(name) {
                Some(file) if file.stamp == *stamp => {}
                Some(file) => file.reset(*stamp, now),
                None => {
                    let file = TrackedFile {
                        stamp: *stamp,
                        unchanged_since: now,
                        is_complete: false,
                        is_being_written: false,
                        state: State::New,
                    };
                    self.files.insert(name.clone(), file);
                }
            }
        }
    }

    /// Applies an event of a known file.
    pub fn apply_hint(&mut self, name: &OsStr, hint: ChangeHint, now: Duration) {
        let Some(file) = self.files.get_mut(name) else { return };
        match hint {
            ChangeHint::Writing => {
                (file.unchanged_since, file.is_complete, file.is_being_written) = (now, false, true);
                file.state = State::New;
            }
            ChangeHint::Complete => {
                (file.unchanged_since, file.is_complete, file.is_being_written) = (now, true, false);
                file.state = State::New;
            }
            ChangeHint::Touched => {
                if let State::Blocked { retry_at: again, .. } = &mut file.state {
                    *again = now;
                }
            }
        }
    }

    /// The files to try now.
    pub fn due_files(&self, now: Duration) -> Vec<OsString> {
        let due = self.files.iter().filter(|(_, file)| self.due_at(file).is_some_and(|at| at <= now));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// When the next known file is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.files.values().filter_map(|file| self.due_at(file)).min()
    }

    /// Whether an attempt that starts now can reject this file.
    pub fn can_reject(&self, name: &OsStr, now: Duration) -> bool {
        self.files.get(name).is_some_and(|file| now >= file.unchanged_since + self.quiet_period(file))
    }

    /// Records the result of an attempt. Returns the reason if the file is rejected; the caller then moves it away. If
    /// the move fails, the file stays rejected.
    pub fn record_attempt(&mut self, name: &OsStr, attempt: Attempt, now: Duration) -> Option<String> {
        let Some(after) = attempt.after.filter(|_| attempt.outcome != Outcome::Gone) else {
            self.files.remove(name);
            return None;
        };
        let can_reject = self.can_reject(name, attempt.began);
        let timing = self.timing;
        let file = self.files.get_mut(name)?;
        if after != attempt.before || after != file.stamp {
            file.reset(after, now);
            return None;
        }
        let tries = match &file.state {
            State::Blocked { tries, .. } => *tries,
            _ => 0,
        };
        file.state = match attempt.outcome {
            Outcome::Invalid(reason) if can_reject => {
                file.state = State::Rejected { reason: reason.clone() };
                return Some(reason);
            }
            Outcome::Invalid(reason) => State::Arriving { reason },
            Outcome::BaseMissing(obstacle) => State::BaseMissing { obstacle, is_woken: false },
            Outcome::MirrorLocked(obstacle) => {
                State::Blocked { obstacle, tries, retry_at: now + timing.quiet_period / 2 }
            }
            Outcome::Blocked(obstacle) => {
                let pause =
                    timing.first_retry_delay.saturating_mul(2u32.saturating_pow(tries)).min(timing.max_retry_delay);
                State::Blocked { obstacle, tries: tries + 1, retry_at: now + pause }
            }
            Outcome::Imported | Outcome::Gone => State::Done,
        };
        None
    }

    /// Removes a file that was moved away.
    pub fn remove(&mut self, name: &OsStr) {
        self.files.remove(name);
    }

    /// Makes files that wait for their base due again, after a change of the mirror.
    pub fn mirror_changed(&mut self) {
        for file in self.files.values_mut() {
            if let State::BaseMissing { is_woken: woken, .. } = &mut file.state {
                *woken = true;
            }
        }
    }

    /// Every file with its status, by name.
    pub fn statuses(&self) -> impl Iterator<Item = (&OsStr, FileStatus<'_>)> {
        self.files.iter().map(|(name, file)| {
            let status = match &file.state {
                State::New => FileStatus::Arriving("it may be incomplete"),
                State::Arriving { reason } => FileStatus::Arriving(reason),
                State::BaseMissing { obstacle, .. } | State::Blocked { obstacle, .. } => FileStatus::Waiting(obstacle),
                State::Rejected { reason } => FileStatus::Rejected(reason),
                State::Done => FileStatus::Done,
            };
            (name.as_os_str(), status)
        })
    }

    fn quiet_period(&self, file: &TrackedFile) -> Duration {
        if file.is_being_written || (self.is_polling && !file.is_complete) {
            self.timing.unsure_quiet_period
        } else {
            self.timing.quiet_period
        }
    }

    fn due_at(&self, file: &TrackedFile) -> Option<Duration> {
        match &file.state {
            State::New if file.is_complete => Some(file.unchanged_since),
            State::New if file.is_being_written => Some(file.unchanged_since + self.quiet_period(file)),
            State::New => Some(file.unchanged_since + self.timing.quiet_period),
            State::Arriving { .. } => Some(file.unchanged_since + self.quiet_period(file)),
            State::BaseMissing { is_woken: true, .. } => Some(Duration::ZERO),
            State::Blocked { retry_at: again, .. } => Some(*again),
            State::BaseMissing { .. } | State::Rejected { .. } | State::Done => None,
        }
    }
}

impl TrackedFile {
    fn reset(&mut self, stamp: FileStamp, now: Duration) {
        (self.stamp, self.unchanged_since, self.is_complete) = (stamp, now, false);
        self.state = State::New;
    }
}

#[cfg(test)]
mod tests;
