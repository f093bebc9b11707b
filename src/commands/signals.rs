//! The shutdown signals: SIGINT of a user, SIGTERM of a supervisor.
//!
//! From the start of the process on, one thread waits for them. It passes a signal to the part of a verb that handles
//! signals itself. If there is none, it reports the interrupt and exits at once, as if the process was killed; whatever
//! changes files survives that.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::error_report::{ErrorClass, Failure};
use crate::terminal::Reporter;

/// Maximum time for the report of an interrupt.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// Waits for signals. Cheap to clone.
#[derive(Clone, Default)]
pub struct InterruptWatch {
    handler: Arc<Mutex<Option<UnboundedSender<()>>>>,
}

/// Receives the signals while it exists.
pub struct ShutdownRequests {
    receiver: UnboundedReceiver<()>,
    watch: InterruptWatch,
}

impl InterruptWatch {
    /// Starts the thread. If the system refuses it, signals have the system's default effect.
    pub fn start(reporter: &Arc<Reporter>) -> InterruptWatch {
        let watch = InterruptWatch::default();
        let (of_thread, reporter) = (watch.clone(), Arc::clone(reporter));
        let (ready, is_ready) = std::sync::mpsc::channel();
        let wait = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
            runtime.block_on(async {
                let Ok(mut signals) = ShutdownSignals::new() else { return };
                let _gone = ready.send(()).is_err();
                loop {
                    signals.next().await;
                    of_thread.pass_on(&reporter);
                }
            });
        };
        if thread::Builder::new().name("signals".to_owned()).spawn(wait).is_ok() {
            // A thread that fails drops its end.
            let _failed = is_ready.recv().is_err();
        }
        watch
    }

    /// Receives the signals instead of an exit, until the returned value is dropped. One part of a verb at a time does
    /// this.
    pub fn handle_signals(&self) -> ShutdownRequests {
        let (sender, receiver) = unbounded_channel();
        *self.lock() = Some(sender);
        ShutdownRequests { receiver, watch: self.clone() }
    }

    fn pass_on(&self, reporter: &Arc<Reporter>) {
        let handler = self.lock();
        if handler.as_ref().is_some_and(|handler| handler.send(()).is_ok()) {
            return;
        }
        reporter.abort_work();
        let (done, is_done) = std::sync::mpsc::channel();
        let reporter = Arc::clone(reporter);
        let report = move || {
            let failure = Failure::new(ErrorClass::Interrupted, "interrupted");
            reporter.report_failure(&failure.hint("run the same command again"), None);
            let _gone = done.send(()).is_err();
        };
        // A pager that accepts no data must not keep the process alive.
        if thread::Builder::new().spawn(report).is_ok() {
            let _blocked = is_done.recv_timeout(REPORT_TIMEOUT).is_err();
        }
        std::process::exit(ErrorClass::Interrupted.code().into());
    }

    fn lock(&self) -> MutexGuard<'_, Option<UnboundedSender<()>>> {
        self.handler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ShutdownRequests {
    /// Waits for the next signal.
    pub async fn next(&mut self) {
        if self.receiver.recv().await.is_none() {
            // Another part receives them now.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for ShutdownRequests {
    fn drop(&mut self) {
        *self.watch.lock() = None;
    }
}

/// Listens for signals from its creation on; before that, a signal has the system's default effect.
#[cfg(unix)]
struct ShutdownSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl ShutdownSignals {
    /// Starts to listen; needs a runtime.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn new() -> io::Result<ShutdownSignals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(ShutdownSignals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens for signals from its creation on.
#[cfg(not(unix))]
struct ShutdownSignals;

#[cfg(not(unix))]
impl ShutdownSignals {
    /// Starts to listen; needs a runtime.
    ///
    /// # Errors
    ///
    /// The system's error.
    fn new() -> io::Result<ShutdownSignals> {
        Ok(ShutdownSignals)
    }

    /// Waits for the next signal.
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
