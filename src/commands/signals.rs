//! The shutdown signals: SIGINT of a user, SIGTERM of a supervisor.

use std::io;

/// Listens for signals from its creation on; before that, a signal has the system's default effect.
#[cfg(unix)]
pub struct ShutdownSignals {
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
    pub fn new() -> io::Result<ShutdownSignals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(ShutdownSignals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Listens for signals from its creation on.
#[cfg(not(unix))]
pub struct ShutdownSignals;

#[cfg(not(unix))]
impl ShutdownSignals {
    /// Starts to listen; needs a runtime.
    ///
    /// # Errors
    ///
    /// The system's error.
    pub fn new() -> io::Result<ShutdownSignals> {
        Ok(ShutdownSignals)
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
