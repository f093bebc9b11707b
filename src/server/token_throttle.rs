//! Limits wrong tokens per client, in logins and in `Authorization` headers alike.
//!
//! Each address has a few failures and regains one every few seconds. An IPv6 address stands for its /64 network, since one
//! client can use all of it. Without any left, even the right token is refused: otherwise the answer would tell it from
//! the wrong ones. The check and the record of a failure are one step, so concurrent requests gain no attempts.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::digest::Sha256;
use crate::units::pluralize;

/// Maximum number of failures in a row.
const MAX_FAILURES: u32 = 10;
/// How long a failure counts.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(6);
/// Maximum number of stored addresses.
const MAX_ADDRESSES: usize = 4096;

/// Too many wrong tokens came from the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// How long the client must wait before the next attempt.
    pub wait: Duration,
}

impl Throttled {
    /// The value of Retry-After: whole seconds after which an attempt is possible.
    pub fn retry_after(self) -> u64 {
        self.wait.as_secs() + 1
    }

    /// The message for the client, without a full stop.
    pub const MESSAGE: &'static str = "too many wrong tokens from this address";

    /// The hint for the client, without a full stop.
    pub fn hint(self) -> String {
        format!("try again in {}", pluralize(self.retry_after(), "second"))
    }
}

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// An accepted token.
    Right,
    /// A wrong token.
    Wrong(Sha256),
}

/// The failures of one address.
struct Failures {
    /// When they have all expired.
    recovers_at: Instant,
    /// The last wrong tokens, at most [`MAX_FAILURES`]. The same one again does not count, because it is no new guess: a
    /// client keeps sending its expired token, and a browser or a proxy a token of another service.
    tokens: VecDeque<Sha256>,
}

/// The failures of the last minute.
#[derive(Default)]
pub(super) struct TokenThrottle(Mutex<HashMap<IpAddr, Failures>>);

impl TokenThrottle {
    /// Admits an attempt of a client, and records it if it is a failure.
    ///
    /// # Errors
    /// The client must wait, whatever it sent.
    pub(super) fn admit(&self, client: IpAddr, attempt: Attempt, now: Instant) -> Result<(), Throttled> {
        let client = client_network(client);
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clients.get(&client);
        let latest = now + RECOVERY_INTERVAL * (MAX_FAILURES - 1);
        if let Some(failures) = known
            && failures.recovers_at > latest
        {
            return Err(Throttled { wait: failures.recovers_at - latest });
        }
        let token = match attempt {
            Attempt::Right => return Ok(()),
            Attempt::Wrong(token) if known.is_some_and(|failures| failures.tokens.contains(&token)) => return Ok(()),
            Attempt::Wrong(token) => token,
        };
        if clients.len() >= MAX_ADDRESSES {
            clients.retain(|_, failures| failures.recovers_at > now);
            // In a distributed attack, the address with the fewest recent failures is dropped.
            if clients.len() >= MAX_ADDRESSES
                && let Some(first) =
                    clients.iter().min_by_key(|(_, failures)| failures.recovers_at).map(|(client, _)| *client)
            {
                clients.remove(&first);
            }
        }
        let failures = clients.entry(client).or_insert_with(|| Failures { recovers_at: now, tokens: VecDeque::new() });
        failures.recovers_at = failures.recovers_at.max(now) + RECOVERY_INTERVAL;
        if failures.tokens.len() >= MAX_FAILURES as usize {
            failures.tokens.pop_front();
        }
        failures.tokens.push_back(token);
        Ok(())
    }
}

fn client_network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("address")
    }

    fn wrong(text: &str) -> Attempt {
        Attempt::Wrong(Sha256::of(text.as_bytes()))
    }

    #[test]
    fn failures_are_counted_and_expire() {
        let (throttle, now) = (TokenThrottle::default(), Instant::now());
        let client = address("10.0.0.1");
        for n in 0..MAX_FAILURES {
            assert_eq!(throttle.admit(client, Attempt::Right, now), Ok(()));
            assert_eq!(throttle.admit(client, wrong(&n.to_string()), now), Ok(()));
        }
        for attempt in [Attempt::Right, wrong("another"), wrong("0")] {
            assert_eq!(throttle.admit(client, attempt, now), Err(Throttled { wait: RECOVERY_INTERVAL }));
        }
        assert_eq!(throttle.admit(address("10.0.0.2"), Attempt::Right, now), Ok(()), "another client");
        let later = now + RECOVERY_INTERVAL;
        assert_eq!(throttle.admit(client, wrong("x"), later), Ok(()), "refused attempts are not counted");
        assert!(throttle.admit(client, Attempt::Right, later).is_err(), "one came back, and no more");
        let much_later = now + RECOVERY_INTERVAL * (MAX_FAILURES + 1);
        assert_eq!(throttle.admit(client, Attempt::Right, much_later), Ok(()));
    }

    #[test]
    fn a_repeated_token_counts_once() {
        let (throttle, now) = (TokenThrottle::default(), Instant::now());
        let client = address("10.0.0.1");
        for _ in 0..3 * MAX_FAILURES {
            assert_eq!(throttle.admit(client, wrong("expired"), now), Ok(()));
            assert_eq!(throttle.admit(client, wrong("of another service"), now), Ok(()));
        }
        assert_eq!(throttle.admit(client, Attempt::Right, now), Ok(()), "other clients behind the same address");
        let guesses: Vec<bool> =
            (0..2 * MAX_FAILURES).map(|n| throttle.admit(client, wrong(&n.to_string()), now).is_ok()).collect();
        assert_eq!(guesses.iter().filter(|admitted| **admitted).count(), 8, "{guesses:?}");
        // The memory of tokens is bounded, whatever a client sends over time.
        let mut later = now;
        for n in 0..5 * MAX_FAILURES {
            later += 2 * RECOVERY_INTERVAL;
            throttle.admit(client, wrong(&format!("slow {n}")), later).expect("recovered");
        }
        assert_eq!(throttle.0.lock().expect("lock")[&client].tokens.len(), MAX_FAILURES as usize);
    }

    #[test]
    fn concurrent_requests_gain_no_attempts() {
        let (throttle, now) = (TokenThrottle::default(), Instant::now());
        let client = address("10.0.0.1");
        let guess = |n: u32| {
            let throttle = &throttle;
            move || (0..100).filter(|m| throttle.admit(client, wrong(&format!("{n} {m}")), now).is_ok()).count()
        };
        let admitted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(guess(n))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(admitted, MAX_FAILURES as usize);
    }

    #[test]
    fn ipv6_networks_count_as_one_client_and_memory_is_bounded() {
        let (throttle, now) = (TokenThrottle::default(), Instant::now());
        for n in 0..MAX_FAILURES {
            throttle.admit(address(&format!("2001:db8::{n:x}")), wrong(&n.to_string()), now).expect("admitted");
        }
        assert!(throttle.admit(address("2001:db8::ffff"), Attempt::Right, now).is_err());
        assert!(throttle.admit(address("2001:db8:0:1::1"), Attempt::Right, now).is_ok());
        for n in 0..2 * u32::try_from(MAX_ADDRESSES).expect("few") {
            throttle.admit(IpAddr::V4(n.into()), wrong("x"), now).expect("admitted");
        }
        assert!(throttle.0.lock().expect("lock").len() <= MAX_ADDRESSES);
        let frequent = throttle.admit(address("2001:db8::ffff"), Attempt::Right, now);
        assert!(frequent.is_err(), "an address with many failures is kept");
    }
}
