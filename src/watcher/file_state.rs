//! When a file of the incoming folder is to be tried, and what follows from the trial: a state machine that knows
//! neither files nor clocks. It is fed with what was seen, and with the time since the watcher's start.
//!
//! Length proves nothing, because a preallocated copy has its full length at once; and no system says "complete". So a
//! file may be tried early, as a whole bundle proves itself by its digests. Only the other verdict needs patience: a
//! bundle is refused if size and time stayed the same during the trial and for a quiet time before it; until then
//! it is arriving.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::time::{Duration, SystemTime};

/// How long to wait for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two looks at the folder.
    pub rescan_interval: Duration,
    /// How long a file must have been left alone before it may be refused.
    pub quiet_period: Duration,
    /// The same where the system tells nothing of changes, or has told of writes and not yet of the file's closing.
    pub unsure_quiet_period: Duration,
    /// Between two tries of a bundle that something else is in the way of; doubled each time.
    pub first_retry_delay: Duration,
    /// The longest time between two such tries.
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

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written to, where the system says.
    pub modified: Option<SystemTime>,
    /// Which file it is, where the system has numbers for that.
    pub inode: u64,
}

/// What the system told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeHint {
    /// It is being written to.
    Writing,
    /// It was closed after being written to, or renamed into its place.
    Complete,
    /// Something else about it changed, e.g. its permissions.
    Touched,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was imported, and could not be moved away.
    Imported,
    /// It is no longer there.
    Gone,
    /// It is not a good bundle.
    Invalid(String),
    /// What it builds on is not there.
    BaseMissing(String),
    /// The mirror is in use; soon it will not be.
    MirrorLocked(String),
    /// Something else is in the way: the disk, a permission.
    Blocked(String),
}

/// A trial, as it is told.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub began: Duration,
    /// The file before it.
    pub before: FileStamp,
    /// The file after it; `None` where it is gone.
    pub after: Option<FileStamp>,
    /// What came of it.
    pub outcome: Outcome,
}

/// How a file is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileStatus<'a> {
    /// Not complete yet, or not tried.
    Arriving(&'a str),
    /// To be imported once something else has happened.
    Waiting(&'a str),
    /// Refused, and still in its place.
    Rejected(&'a str),
    /// Imported, and still in its place.
    Done,
}

#[derive(Debug)]
enum State {
    New,
    Arriving { reason: String },
    BaseMissing { reason: String, is_woken: bool },
    Blocked { reason: String, tries: u32, retry_at: Duration },
    Rejected { reason: String },
    Done,
}

#[derive(Debug)]
struct TrackedFile {
    stamp: FileStamp,
    /// Since when it has been so.
    unchanged_since: Duration,
    /// The system said that it is whole.
    is_complete: bool,
    /// The system told of writes, and not of its closing.
    is_being_written: bool,
    state: State,
}

/// The files of one incoming folder.
#[derive(Debug)]
pub struct FileStates {
    timing: Timing,
    /// The system tells nothing of changes in this folder.
    pub is_polling: bool,
    files: BTreeMap<OsString, TrackedFile>,
}

impl FileStates {
    /// Nothing seen yet.
    pub fn new(timing: Timing, polled: bool) -> FileStates {
        FileStates { timing, is_polling: polled, files: BTreeMap::new() }
    }

    /// Takes in everything that is in the folder now.
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

    /// Takes in what the system told of a file that was seen.
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

    /// The files to be tried now.
    pub fn due_files(&self, now: Duration) -> Vec<OsString> {
        let due = self.files.iter().filter(|(_, file)| self.due_at(file).is_some_and(|at| at <= now));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// When the next file is to be tried, as far as is known now.
    pub fn next_due(&self) -> Option<Duration> {
        self.files.values().filter_map(|file| self.due_at(file)).min()
    }

    /// Whether a trial of this file that begins now can refuse it.
    pub fn can_reject(&self, name: &OsStr, now: Duration) -> bool {
        self.files.get(name).is_some_and(|file| now >= file.unchanged_since + self.quiet_period(file))
    }

    /// Takes in what came of a trial. Where the file is refused, says why; it is then to be moved away, and stays
    /// refused where that cannot be done.
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
            Outcome::BaseMissing(reason) => State::BaseMissing { reason, is_woken: false },
            Outcome::MirrorLocked(reason) => State::Blocked { reason, tries, retry_at: now + timing.quiet_period / 2 },
            Outcome::Blocked(reason) => {
                let pause =
                    timing.first_retry_delay.saturating_mul(2u32.saturating_pow(tries)).min(timing.max_retry_delay);
                State::Blocked { reason, tries: tries + 1, retry_at: now + pause }
            }
            Outcome::Imported | Outcome::Gone => State::Done,
        };
        None
    }

    /// Drops a file that was moved away.
    pub fn remove(&mut self, name: &OsStr) {
        self.files.remove(name);
    }

    /// The mirror has changed: what waits for its base is tried again.
    pub fn mirror_changed(&mut self) {
        for file in self.files.values_mut() {
            if let State::BaseMissing { is_woken: woken, .. } = &mut file.state {
                *woken = true;
            }
        }
    }

    /// Every file and how it stands, by name.
    pub fn statuses(&self) -> impl Iterator<Item = (&OsStr, FileStatus<'_>)> {
        self.files.iter().map(|(name, file)| {
            let status = match &file.state {
                State::New => FileStatus::Arriving("it may still be arriving"),
                State::Arriving { reason } => FileStatus::Arriving(reason),
                State::BaseMissing { reason, .. } | State::Blocked { reason, .. } => FileStatus::Waiting(reason),
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
