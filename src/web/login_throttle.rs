//! Limits login attempts per client.
//!
//! Each address has a few failures and regains one every few seconds. An IPv6 address stands for its /64 network, since one
//! client can use all of it. Without any left, even the right token is refused.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of failures in a row.
const MAX_FAILURES: u32 = 10;
/// How long a failure counts.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(6);
/// Maximum number of stored addresses.
const MAX_ADDRESSES: usize = 4096;

/// The failures of the last minute.
#[derive(Default)]
pub(super) struct LoginThrottle(Mutex<HashMap<IpAddr, Instant>>);

impl LoginThrottle {
    /// Returns whether a client may try now, or how long it must wait.
    pub(super) fn check(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let recovers_at = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&client_network(client)).copied();
        let latest = now + RECOVERY_INTERVAL * (MAX_FAILURES - 1);
        match recovers_at {
            Some(recovers_at) if recovers_at > latest => Err(recovers_at - latest),
            _ => Ok(()),
        }
    }

    /// Records a failed login.
    pub(super) fn record_failure(&self, client: IpAddr, now: Instant) {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_ADDRESSES {
            clients.retain(|_, recovers_at| *recovers_at > now);
            // In a distributed attack, the address with the fewest recent failures is dropped.
            if clients.len() >= MAX_ADDRESSES
                && let Some(first) =
                    clients.iter().min_by_key(|(_, recovers_at)| **recovers_at).map(|(client, _)| *client)
            {
                clients.remove(&first);
            }
        }
        let recovers_at = clients.entry(client_network(client)).or_insert(now);
        *recovers_at = (*recovers_at).max(now) + RECOVERY_INTERVAL;
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

    #[test]
    fn failures_are_counted_and_expire() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        let client: IpAddr = "10.0.0.1".parse().expect("address");
        for _ in 0..MAX_FAILURES {
            assert_eq!(throttle.check(client, now), Ok(()));
            throttle.record_failure(client, now);
        }
        assert_eq!(throttle.check(client, now), Err(RECOVERY_INTERVAL));
        assert_eq!(throttle.check("10.0.0.2".parse().expect("address"), now), Ok(()), "another client");
        assert_eq!(throttle.check(client, now + RECOVERY_INTERVAL), Ok(()));
        throttle.record_failure(client, now + RECOVERY_INTERVAL);
        assert!(throttle.check(client, now + RECOVERY_INTERVAL).is_err(), "one came back, and no more");
        assert_eq!(throttle.check(client, now + RECOVERY_INTERVAL * (MAX_FAILURES + 1)), Ok(()));
    }

    #[test]
    fn ipv6_networks_count_as_one_client_and_memory_is_bounded() {
        let (throttle, now) = (LoginThrottle::default(), Instant::now());
        for n in 0..MAX_FAILURES {
            throttle.record_failure(format!("2001:db8::{n:x}").parse().expect("address"), now);
        }
        assert!(throttle.check("2001:db8::ffff".parse().expect("address"), now).is_err());
        assert!(throttle.check("2001:db8:0:1::1".parse().expect("address"), now).is_ok());
        for n in 0..2 * u32::try_from(MAX_ADDRESSES).expect("few") {
            throttle.record_failure(IpAddr::V4(n.into()), now);
        }
        assert!(throttle.0.lock().expect("lock").len() <= MAX_ADDRESSES);
        assert!(
            throttle.check("2001:db8::ffff".parse().expect("address"), now).is_err(),
            "who failed often stays known"
        );
    }
}
