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
pub struct Pace {
    /// Between two looks at the folder.
    pub rescan: Duration,
    /// How long a file must have been left alone before it may be refused.
    pub quiet: Duration,
    /// The same where the system tells nothing of changes, or has told of writes and not yet of the file's closing.
    pub quiet_unsure: Duration,
    /// Between two tries of a bundle that something else is in the way of; doubled each time.
    pub retry: Duration,
    /// The longest time between two such tries.
    pub retry_at_most: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            rescan: Duration::from_secs(3),
            quiet: Duration::from_secs(2),
            quiet_unsure: Duration::from_secs(30),
            retry: Duration::from_secs(5),
            retry_at_most: Duration::from_secs(300),
        }
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written to, where the system says.
    pub modified: Option<SystemTime>,
    /// Which file it is, where the system has numbers for that.
    pub number: u64,
}

/// What the system told of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// It is being written to.
    Written,
    /// It was closed after being written to, or renamed into its place.
    Whole,
    /// Something else about it changed, e.g. its permissions.
    Touched,
}

/// What came of a trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was imported, and could not be moved away.
    Imported,
    /// It is no longer there.
    Gone,
    /// It is not a good bundle.
    Bad(String),
    /// What it builds on is not there.
    BaseMissing(String),
    /// The mirror is in use; soon it will not be.
    Busy(String),
    /// Something else is in the way: the disk, a permission.
    Hindered(String),
}

/// A trial, as it is told.
#[derive(Clone, Debug)]
pub struct Trial {
    /// When it began.
    pub began: Duration,
    /// The file before it.
    pub before: Stamp,
    /// The file after it; `None` where it is gone.
    pub after: Option<Stamp>,
    /// What came of it.
    pub verdict: Verdict,
}

/// How a file is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Not complete yet, or not tried.
    Arriving(&'a str),
    /// To be imported once something else has happened.
    Waiting(&'a str),
    /// Refused, and still in its place.
    Refused(&'a str),
    /// Imported, and still in its place.
    Done,
}

#[derive(Debug)]
enum State {
    New,
    Arriving { reason: String },
    BaseMissing { reason: String, woken: bool },
    Hindered { reason: String, tries: u32, again: Duration },
    Refused { reason: String },
    Done,
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    /// Since when it has been so.
    since: Duration,
    /// The system said that it is whole.
    whole: bool,
    /// The system told of writes, and not of its closing.
    open: bool,
    state: State,
}

/// The files of one incoming folder.
#[derive(Debug)]
pub struct Settle {
    pace: Pace,
    /// The system tells nothing of changes in this folder.
    pub polled: bool,
    files: BTreeMap<OsString, File>,
}

impl Settle {
    /// Nothing seen yet.
    pub fn new(pace: Pace, polled: bool) -> Settle {
        Settle { pace, polled, files: BTreeMap::new() }
    }

    /// Takes in everything that is in the folder now.
    pub fn scan(&mut self, seen: &BTreeMap<OsString, Stamp>, now: Duration) {
        self.files.retain(|name, _| seen.contains_key(name));
        for (name, stamp) in seen {
            match self.files.get_mut(name) {
                Some(file) if file.stamp == *stamp => {}
                Some(file) => file.changed(*stamp, now),
                None => {
                    let file = File { stamp: *stamp, since: now, whole: false, open: false, state: State::New };
                    self.files.insert(name.clone(), file);
                }
            }
        }
    }

    /// Takes in what the system told of a file that was seen.
    pub fn hint(&mut self, name: &OsStr, hint: Hint, now: Duration) {
        let Some(file) = self.files.get_mut(name) else { return };
        match hint {
            Hint::Written => {
                (file.since, file.whole, file.open) = (now, false, true);
                file.state = State::New;
            }
            Hint::Whole => {
                (file.since, file.whole, file.open) = (now, true, false);
                file.state = State::New;
            }
            Hint::Touched => {
                if let State::Hindered { again, .. } = &mut file.state {
                    *again = now;
                }
            }
        }
    }

    /// The files to be tried now.
    pub fn due(&self, now: Duration) -> Vec<OsString> {
        let due = self.files.iter().filter(|(_, file)| self.due_at(file).is_some_and(|at| at <= now));
        due.map(|(name, _)| name.clone()).collect()
    }

    /// When the next file is to be tried, as far as is known now.
    pub fn next(&self) -> Option<Duration> {
        self.files.values().filter_map(|file| self.due_at(file)).min()
    }

    /// Whether a trial of this file that begins now can refuse it.
    pub fn is_last(&self, name: &OsStr, now: Duration) -> bool {
        self.files.get(name).is_some_and(|file| now >= file.since + self.quiet(file))
    }

    /// Takes in what came of a trial. Where the file is refused, says why; it is then to be moved away, and stays
    /// refused where that cannot be done.
    pub fn tried(&mut self, name: &OsStr, trial: Trial, now: Duration) -> Option<String> {
        let Some(after) = trial.after.filter(|_| trial.verdict != Verdict::Gone) else {
            self.files.remove(name);
            return None;
        };
        let last = self.is_last(name, trial.began);
        let pace = self.pace;
        let file = self.files.get_mut(name)?;
        if after != trial.before || after != file.stamp {
            file.changed(after, now);
            return None;
        }
        let tries = match &file.state {
            State::Hindered { tries, .. } => *tries,
            _ => 0,
        };
        file.state = match trial.verdict {
            Verdict::Bad(reason) if last => {
                file.state = State::Refused { reason: reason.clone() };
                return Some(reason);
            }
            Verdict::Bad(reason) => State::Arriving { reason },
            Verdict::BaseMissing(reason) => State::BaseMissing { reason, woken: false },
            Verdict::Busy(reason) => State::Hindered { reason, tries, again: now + pace.quiet / 2 },
            Verdict::Hindered(reason) => {
                let pause = pace.retry.saturating_mul(2u32.saturating_pow(tries)).min(pace.retry_at_most);
                State::Hindered { reason, tries: tries + 1, again: now + pause }
            }
            Verdict::Imported | Verdict::Gone => State::Done,
        };
        None
    }

    /// Drops a file that was moved away.
    pub fn forget(&mut self, name: &OsStr) {
        self.files.remove(name);
    }

    /// The mirror has changed: what waits for its base is tried again.
    pub fn mirror_changed(&mut self) {
        for file in self.files.values_mut() {
            if let State::BaseMissing { woken, .. } = &mut file.state {
                *woken = true;
            }
        }
    }

    /// Every file and how it stands, by name.
    pub fn standings(&self) -> impl Iterator<Item = (&OsStr, Standing<'_>)> {
        self.files.iter().map(|(name, file)| {
            let standing = match &file.state {
                State::New => Standing::Arriving("it may still be arriving"),
                State::Arriving { reason } => Standing::Arriving(reason),
                State::BaseMissing { reason, .. } | State::Hindered { reason, .. } => Standing::Waiting(reason),
                State::Refused { reason } => Standing::Refused(reason),
                State::Done => Standing::Done,
            };
            (name.as_os_str(), standing)
        })
    }

    fn quiet(&self, file: &File) -> Duration {
        if file.open || (self.polled && !file.whole) { self.pace.quiet_unsure } else { self.pace.quiet }
    }

    fn due_at(&self, file: &File) -> Option<Duration> {
        match &file.state {
            State::New if file.whole => Some(file.since),
            State::New if file.open => Some(file.since + self.quiet(file)),
            State::New => Some(file.since + self.pace.quiet),
            State::Arriving { .. } => Some(file.since + self.quiet(file)),
            State::BaseMissing { woken: true, .. } => Some(Duration::ZERO),
            State::Hindered { again, .. } => Some(*again),
            State::BaseMissing { .. } | State::Refused { .. } | State::Done => None,
        }
    }
}

impl File {
    fn changed(&mut self, stamp: Stamp, now: Duration) {
        (self.stamp, self.since, self.whole) = (stamp, now, false);
        self.state = State::New;
    }
}

#[cfg(test)]
mod tests;
