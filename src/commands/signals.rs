//! The signals that ask a process to end: SIGINT of a user, SIGTERM of whatever supervises it.

use std::io;

/// Listens from its making on; until then a signal ends the process as the system would.
#[cfg(unix)]
pub struct ShutdownSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl ShutdownSignals {
    /// Begins to listen; within a runtime.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn new() -> io::Result<ShutdownSignals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(ShutdownSignals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens from its making on.
#[cfg(not(unix))]
pub struct ShutdownSignals;

#[cfg(not(unix))]
impl ShutdownSignals {
    /// Begins to listen; within a runtime.
    ///
    /// # Errors
    ///
    /// What the system said.
    pub fn new() -> io::Result<ShutdownSignals> {
        Ok(ShutdownSignals)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
