//! The low-speed limit: a transfer with too few bytes within one time window is cancelled.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::TransportError;

/// Stands for "no limit" without overflowing a clock.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Monitors one transfer.
pub(super) struct LowSpeedMonitor {
    window: Duration,
    min_bytes: u64,
    deadline: Instant,
    received: u64,
}

impl LowSpeedMonitor {
    /// Fewer than `limit` bytes per second over `window` is too slow; 0 for either disables the limit.
    pub(super) fn new(window: Duration, limit: u32) -> LowSpeedMonitor {
        let window = if limit == 0 || window.is_zero() { NO_LIMIT } else { window.min(NO_LIMIT) };
        let least = u64::from(limit).saturating_mul(window.as_secs()).max(1);
        LowSpeedMonitor { window, min_bytes: least, deadline: Instant::now() + window, received: 0 }
    }

    /// Waits for response headers, including the time to connect.
    pub(super) async fn wait_for_head<F: Future>(
        &mut self,
        connect: Duration,
        future: F,
    ) -> Result<F::Output, TransportError> {
        self.deadline += connect.min(NO_LIMIT);
        let result = self.wait(future).await;
        self.reset();
        result
    }

    /// Waits for `future` while the transfer is fast enough.
    pub(super) async fn wait<F: Future>(&mut self, future: F) -> Result<F::Output, TransportError> {
        let mut future = pin!(future);
        loop {
            match timeout_at(self.deadline, &mut future).await {
                Ok(output) => return Ok(output),
                Err(_) if self.received >= self.min_bytes => self.reset(),
                Err(_) => {
                    return Err(TransportError::Slow { received: self.received, seconds: self.window.as_secs_f32() });
                }
            }
        }
    }

    /// Counts received bytes.
    pub(super) fn record(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// Starts a new time window.
    pub(super) fn reset(&mut self) {
        self.deadline = Instant::now() + self.window;
        self.received = 0;
    }
}
