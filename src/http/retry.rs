//! When a failed request is tried again: the number of attempts, and the wait before the next one.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use reqwest::header::{self, HeaderMap};

use super::error::{AttemptError, Error};
use super::observer::Observer;
use super::observer::RetryReport;
use super::proxy::ProxySettings;
use super::settings::Settings;

/// The longest wait that a server can request.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How often a client tries, and what it reports.
pub(super) struct RetryPolicy {
    retries: u32,
    pub(super) first_backoff: Duration,
    pub(super) observer: Observer,
    pub(super) proxies: ProxySettings,
}

impl RetryPolicy {
    pub(super) fn new(settings: &Settings) -> RetryPolicy {
        RetryPolicy {
            retries: settings.retries,
            first_backoff: settings.first_backoff,
            observer: settings.observer.clone(),
            proxies: settings.proxy.clone(),
        }
    }
}

/// Counts attempts and determines the wait before the next one.
pub(super) struct RetryState<'c> {
    attempts: u32,
    policy: &'c RetryPolicy,
}

impl RetryState<'_> {
    pub(super) fn new(policy: &RetryPolicy) -> RetryState<'_> {
        RetryState { attempts: 0, policy }
    }

    /// Waits before the next attempt, or returns the error if there is none.
    pub(super) async fn wait_after(&mut self, failure: AttemptError) -> Result<(), Error> {
        let RetryPolicy { retries, first_backoff, observer, proxies } = self.policy;
        self.attempts += 1;
        if !failure.is_retryable || self.attempts > *retries {
            let mut error = failure.error;
            if let Error::Status { attempts, .. } | Error::Transport { attempts, .. } = &mut error {
                *attempts = self.attempts;
            }
            if let Error::Transport { url, proxy, .. } = &mut error {
                *proxy = proxies.used_for(url).map(Box::new);
            }
            return Err(error);
        }
        let backoff = backoff(*first_backoff, self.attempts);
        let pause = failure.retry_after.map_or(backoff, |pause| pause.min(MAX_RETRY_AFTER).max(backoff));
        observer.report_retry(RetryReport {
            object: failure.error.url().to_owned(),
            cause: failure.cause(),
            attempt: self.attempts + 1,
            max_attempts: retries + 1,
            pause,
            is_first: true,
        });
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Restarts the count: the last attempt made progress.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// 1, 3, 9, then 10 times the first wait, each with 50% jitter, so that clients do not return all at once.
pub(super) fn backoff(first: Duration, attempts: u32) -> Duration {
    let times = 3u32.saturating_pow(attempts.saturating_sub(1)).min(10);
    let chance = RandomState::new().hash_one(attempts) % 1000;
    first.saturating_mul(times).mul_f64(0.5 + chance as f64 / 1000.0)
}

/// The Retry-After of a response: seconds, or a date, which is compared with the server's own clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}
