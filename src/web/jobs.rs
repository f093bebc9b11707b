//! Jobs outlive their request. One runs at a time; its progress, outcome and last log lines are stored.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use hyper::StatusCode;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::response::ApiError;
use super::visible_text::visible_text;
use crate::error_report::{ErrorClass, Failure};
use crate::event::{Event, Sink};
use crate::server_context::ServerContext;
use crate::units::format_time;

/// Maximum number of stored jobs.
const MAX_JOBS: usize = 20;
/// Maximum number of stored log lines per job, newest first.
const MAX_LINES: usize = 200;

/// A job, as the API reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Job {
    /// The number, which restarts with the server.
    pub(super) id: u64,
    /// The kind.
    pub(super) kind: JobKind,
    /// The state.
    pub(super) state: JobState,
    /// The start time (RFC 3339, UTC).
    pub(super) started: String,
    /// The end time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished: Option<String>,
    /// Whether a stop was requested; the job stops at its next safe point.
    pub(super) stopping: bool,
    /// The progress, if the job counts something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) progress: Option<Progress>,
    /// The newest log lines.
    pub(super) lines: VecDeque<String>,
    /// The outcome of a successful job: an object that depends on the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Value>,
    /// The error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// The hint of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl Job {
    /// The job as this client may see it: readers see no path of the host.
    pub(super) fn visible(mut self, context: &ServerContext, is_admin: bool) -> Job {
        for text in self.lines.iter_mut().chain(&mut self.error).chain(&mut self.hint) {
            *text = visible_text(context, text, is_admin);
        }
        self
    }
}

/// The kind of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobKind {
    /// Removes unreferenced files.
    Gc,
    /// Builds a snapshot.
    Export,
    /// Checks every file of the mirror.
    Verify,
    /// Imports a bundle of the incoming folder.
    Import,
}

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JobState {
    /// The job runs.
    Running,
    /// The job succeeded.
    Done,
    /// The job failed.
    Failed,
    /// The job was cancelled; nothing is left half done.
    Stopped,
}

/// The progress of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Progress {
    /// The current action, a verb: `Exporting`.
    pub(super) phase: String,
    /// Completed items, and their total.
    pub(super) items: u64,
    pub(super) items_total: u64,
    /// Completed bytes, and their total; 0 if unknown.
    pub(super) bytes: u64,
    pub(super) bytes_total: u64,
}

/// The jobs since the server's start.
#[derive(Clone, Default)]
pub(super) struct Jobs(Arc<Mutex<JobTable>>);

/// Whether a job runs, is being cancelled, or can no longer be cancelled.
#[derive(Default)]
struct CancelState(AtomicU8);

const RUNNING: u8 = 0;
const CANCELLED: u8 = 1;
const COMMITTING: u8 = 2;

impl CancelState {
    fn is(&self, what: u8) -> bool {
        self.0.load(Ordering::Acquire) == what
    }

    /// Changes the state; it changes only once. Returns `false` if another state is already set.
    fn transition(&self, to: u8) -> bool {
        let turned = self.0.compare_exchange(RUNNING, to, Ordering::AcqRel, Ordering::Acquire);
        turned.map_or_else(|now| now == to, |_| true)
    }
}

#[derive(Default)]
struct JobTable {
    jobs: VecDeque<Job>,
    last_id: u64,
    /// The cancellation state of the running job.
    cancel_state: Arc<CancelState>,
    /// The number of ended jobs by kind and state.
    ended_counts: BTreeMap<(JobKind, JobState), u64>,
}

impl Jobs {
    /// Starts a job on its own thread. A failure is also reported to `log`, because the client may be gone by then.
    ///
    /// # Errors
    /// 409 if another job runs.
    pub(super) fn start(
        &self,
        kind: JobKind,
        clock: fn() -> Timestamp,
        log: &Arc<dyn Sink>,
        work: impl FnOnce(&dyn Sink) -> Result<Value, Failure> + Send + 'static,
    ) -> Result<Job, ApiError> {
        let (job, course) = self.create(kind, clock)?;
        let (jobs, id, log) = (self.clone(), job.id, Arc::clone(log));
        let spawned = thread::Builder::new().name(format!("job-{id}")).spawn(move || {
            let sink = JobSink { jobs: jobs.clone(), id, cancel_state: course };
            // After a panic, the job must not stay in the running state: no other job could start.
            let done = catch_unwind(AssertUnwindSafe(|| work(&sink)));
            let done = done.unwrap_or_else(|_| {
                Err(Failure::new(ErrorClass::Bug, "the job ended because of a bug: please report it"))
            });
            if let Some(why) = jobs.finish(id, done, clock) {
                log.warning(format!("job {id} failed: {why}"));
            }
        });
        if let Err(error) = spawned {
            self.finish(id, Err(Failure::io("could not start a thread", error)), clock);
        }
        Ok(job)
    }

    /// Requests a job to stop at its next safe point.
    ///
    /// # Errors
    /// 404 if it is unknown, 409 if it has ended or can no longer be cancelled.
    pub(super) fn stop(&self, id: u64) -> Result<Job, ApiError> {
        let mut table = self.lock();
        let JobTable { jobs, cancel_state: course, .. } = &mut *table;
        let Some(job) = jobs.iter_mut().find(|job| job.id == id) else { return Err(ApiError::job_not_found()) };
        if job.state != JobState::Running {
            return Err(ApiError::new(StatusCode::CONFLICT, format!("job {id} has already ended")));
        }
        if !course.transition(CANCELLED) {
            let error = format!("job {id} can no longer be cancelled");
            return Err(ApiError::new(StatusCode::CONFLICT, error).with_hint("wait until it ends"));
        }
        job.stopping = true;
        Ok(job.clone())
    }

    /// A stored job.
    pub(super) fn get(&self, id: u64) -> Option<Job> {
        self.lock().jobs.iter().find(|job| job.id == id).cloned()
    }

    /// The stored jobs, newest first.
    pub(super) fn list(&self) -> Vec<Job> {
        self.lock().jobs.iter().rev().cloned().collect()
    }

    /// The running job.
    pub(super) fn running_id(&self) -> Option<u64> {
        self.lock().jobs.iter().find(|job| job.state == JobState::Running).map(|job| job.id)
    }

    /// The number of ended jobs by kind and state.
    pub(super) fn ended_counts(&self) -> Vec<(JobKind, JobState, u64)> {
        self.lock().ended_counts.iter().map(|((kind, state), count)| (*kind, *state, *count)).collect()
    }

    fn create(&self, kind: JobKind, clock: fn() -> Timestamp) -> Result<(Job, Arc<CancelState>), ApiError> {
        let mut table = self.lock();
        if let Some(other) = table.jobs.iter().find(|job| job.state == JobState::Running) {
            let error = format!("job {} is running, and only one can run at a time", other.id);
            let hint = format!("/api/jobs/{} shows its progress; send the request again when it has ended", other.id);
            return Err(ApiError::new(StatusCode::CONFLICT, error).with_hint(hint));
        }
        table.last_id += 1;
        let job = Job {
            id: table.last_id,
            kind,
            state: JobState::Running,
            started: format_time(clock()),
            finished: None,
            stopping: false,
            progress: None,
            lines: VecDeque::new(),
            outcome: None,
            error: None,
            hint: None,
        };
        table.cancel_state = Arc::default();
        table.jobs.push_back(job.clone());
        if table.jobs.len() > MAX_JOBS {
            table.jobs.pop_front();
        }
        Ok((job, Arc::clone(&table.cancel_state)))
    }

    /// Records the outcome of a job, or its error.
    fn finish(&self, id: u64, done: Result<Value, Failure>, clock: fn() -> Timestamp) -> Option<String> {
        let mut table = self.lock();
        let JobTable { jobs, ended_counts: ended, .. } = &mut *table;
        if let Some(job) = jobs.iter_mut().find(|job| job.id == id) {
            job.finished = Some(format_time(clock()));
            job.progress = None;
            // A job that completed before it noticed the cancellation counts as done.
            match done {
                Ok(outcome) => (job.state, job.outcome) = (JobState::Done, Some(outcome)),
                Err(failure) => {
                    let stopped = job.stopping && failure.class == ErrorClass::Interrupted;
                    job.state = if stopped { JobState::Stopped } else { JobState::Failed };
                    job.error = Some(failure.one_line());
                    job.hint = failure.hint;
                }
            }
            *ended.entry((job.kind, job.state)).or_default() += 1;
            return job.error.clone().filter(|_| job.state == JobState::Failed);
        }
        None
    }

    fn update(&self, id: u64, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.lock().jobs.iter_mut().find(|job| job.id == id) {
            change(job);
        }
    }

    fn lock(&self) -> MutexGuard<'_, JobTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Log lines of a job are added to the table.
struct JobSink {
    jobs: Jobs,
    id: u64,
    cancel_state: Arc<CancelState>,
}

impl Sink for JobSink {
    fn is_cancelled(&self) -> bool {
        self.cancel_state.is(CANCELLED)
    }

    fn enter_commit(&self) -> bool {
        self.cancel_state.transition(COMMITTING)
    }

    fn event(&self, event: Event) {
        self.jobs.update(self.id, |job| {
            let line = match event {
                Event::Status { verb, message } => format!("{verb} {message}"),
                Event::Warning(message) => format!("warning: {message}"),
                Event::Detail { .. } | Event::Trace { .. } | Event::HttpRequest(_) | Event::Request(_) => return,
                Event::Begin { phase, items, bytes } => {
                    let phase = phase.verb().to_owned();
                    job.progress = Some(Progress { phase, items: 0, items_total: items, bytes: 0, bytes_total: bytes });
                    return;
                }
                Event::Advance { items, bytes, .. } => {
                    if let Some(progress) = &mut job.progress {
                        progress.items += items;
                        progress.bytes += bytes;
                    }
                    return;
                }
                Event::End { .. } => {
                    job.progress = None;
                    return;
                }
            };
            job.lines.push_back(line);
            if job.lines.len() > MAX_LINES {
                job.lines.pop_front();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn log() -> Arc<dyn Sink> {
        Arc::new(crate::event::NullSink)
    }

    fn clock() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn wait_until_ended(jobs: &Jobs, id: u64) -> Job {
        for _ in 0..12_000 {
            let job = jobs.get(id).expect("remembered");
            if job.state != JobState::Running {
                return job;
            }
            thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("job {id} does not end");
    }

    #[test]
    fn a_job_can_be_stopped_before_its_commit_only() {
        let jobs = Jobs::default();
        let stopped = jobs.start(JobKind::Verify, clock, &log(), |sink| {
            while !sink.is_cancelled() {
                thread::yield_now();
            }
            assert!(!sink.enter_commit(), "it is to stop");
            Err(Failure::new(ErrorClass::Interrupted, "stopped"))
        });
        let id = stopped.expect("begun").id;
        assert!(jobs.stop(id).expect("told").stopping && jobs.stop(id).is_ok());
        assert_eq!(wait_until_ended(&jobs, id).state, JobState::Stopped);
        assert_eq!(jobs.stop(id).expect_err("over").status, StatusCode::CONFLICT);
        assert_eq!(jobs.stop(99).expect_err("unknown").status, StatusCode::NOT_FOUND);

        let ((settled, wait), (go, last)) = (mpsc::channel(), mpsc::channel::<()>());
        let late = jobs.start(JobKind::Gc, clock, &log(), move |sink| {
            settled.send(sink.enter_commit()).expect("the test waits");
            last.recv().expect("told to go");
            Ok(Value::from(sink.is_cancelled()))
        });
        let id = late.expect("begun").id;
        assert_eq!(wait.recv(), Ok(true));
        assert_eq!(jobs.stop(id).expect_err("too late").status, StatusCode::CONFLICT);
        go.send(()).expect("still there");
        let late = wait_until_ended(&jobs, id);
        assert_eq!((late.state, late.outcome, late.stopping), (JobState::Done, Some(Value::from(false)), false));
    }

    #[test]
    fn only_one_job_runs_at_a_time() {
        let jobs = Jobs::default();
        let (go, wait) = mpsc::channel::<()>();
        let first = jobs.start(JobKind::Gc, clock, &log(), move |sink| {
            sink.warning("careful".to_owned());
            wait.recv().expect("told to go");
            Ok(Value::from(1))
        });
        let first = first.expect("begun");
        let refused = jobs.start(JobKind::Verify, clock, &log(), |_| Ok(Value::Null)).expect_err("another is at work");
        assert_eq!(refused.status, StatusCode::CONFLICT);
        go.send(()).expect("still there");
        let first = wait_until_ended(&jobs, first.id);
        assert_eq!((first.state, first.outcome), (JobState::Done, Some(Value::from(1))));
        assert_eq!(first.lines, ["warning: careful"]);
        let second = jobs.start(JobKind::Verify, clock, &log(), |_| panic!("on purpose")).expect("begun");
        let second = wait_until_ended(&jobs, second.id);
        assert_eq!(second.state, JobState::Failed);
        for _ in 0..2 * MAX_JOBS {
            let job = jobs.start(JobKind::Export, clock, &log(), |_| Ok(Value::Null)).expect("begun");
            wait_until_ended(&jobs, job.id);
        }
        assert_eq!(jobs.list().len(), MAX_JOBS);
    }
}
