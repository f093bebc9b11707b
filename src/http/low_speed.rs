//! How slow a transfer may be: fewer bytes than the limit allows within one window of time, and it is given up.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::TransportError;

/// Longer than anybody waits; stands for "no limit" without overflowing a clock.
const NO_LIMIT: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The watch over one transfer.
pub(super) struct LowSpeedMonitor {
    window: Duration,
    min_bytes: u64,
    deadline: Instant,
    received: u64,
}

impl LowSpeedMonitor {
    /// Fewer than `limit` bytes a second over `window` is too slow; a limit or window of 0 means that nothing is.
    pub(super) fn new(window: Duration, limit: u32) -> LowSpeedMonitor {
        let window = if limit == 0 || window.is_zero() { NO_LIMIT } else { window.min(NO_LIMIT) };
        let least = u64::from(limit).saturating_mul(window.as_secs()).max(1);
        LowSpeedMonitor { window, min_bytes: least, deadline: Instant::now() + window, received: 0 }
    }

    /// Waits for the head of an answer, for which a connection may have to be made first.
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

    /// Waits for `future` as long as the pace holds.
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

    /// Counts bytes that have come.
    pub(super) fn record(&mut self, bytes: u64) {
        self.received += bytes;
    }

    /// Begins a new window of time.
    pub(super) fn reset(&mut self) {
        self.deadline = Instant::now() + self.window;
        self.received = 0;
    }
}
