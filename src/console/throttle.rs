//! How often a client may try to log in.
//!
//! Each address has a few failures to spare and gets one back every few seconds; an IPv6 address stands for its whole
//! network of 64 bits, which one client can fill. Without any left, no token is looked at, not even the right one.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row that nobody minds.
const SPARE: u32 = 10;
/// How long one failure counts.
const EVERY: Duration = Duration::from_secs(6);
/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 4096;

/// The failures of the last minute.
#[derive(Default)]
pub(super) struct Throttle(Mutex<HashMap<IpAddr, Instant>>);

impl Throttle {
    /// Whether a client may try now; else how long it has to wait.
    pub(super) fn may_try(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let forgiven = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key(client)).copied();
        let latest = now + EVERY * (SPARE - 1);
        match forgiven {
            Some(forgiven) if forgiven > latest => Err(forgiven - latest),
            _ => Ok(()),
        }
    }

    /// A token was wrong.
    pub(super) fn failed(&self, client: IpAddr, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_ADDRESSES {
            all.retain(|_, forgiven| *forgiven > now);
            // A crowd from everywhere: who failed the least lately is forgotten.
            if all.len() >= MAX_ADDRESSES
                && let Some(first) = all.iter().min_by_key(|(_, forgiven)| **forgiven).map(|(client, _)| *client)
            {
                all.remove(&first);
            }
        }
        let forgiven = all.entry(key(client)).or_insert(now);
        *forgiven = (*forgiven).max(now) + EVERY;
    }
}

fn key(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_forgiven() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let client: IpAddr = "10.0.0.1".parse().expect("address");
        for _ in 0..SPARE {
            assert_eq!(throttle.may_try(client, now), Ok(()));
            throttle.failed(client, now);
        }
        assert_eq!(throttle.may_try(client, now), Err(EVERY));
        assert_eq!(throttle.may_try("10.0.0.2".parse().expect("address"), now), Ok(()), "another client");
        assert_eq!(throttle.may_try(client, now + EVERY), Ok(()));
        throttle.failed(client, now + EVERY);
        assert!(throttle.may_try(client, now + EVERY).is_err(), "one came back, and no more");
        assert_eq!(throttle.may_try(client, now + EVERY * (SPARE + 1)), Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_crowd_has_a_bound() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..SPARE {
            throttle.failed(format!("2001:db8::{n:x}").parse().expect("address"), now);
        }
        assert!(throttle.may_try("2001:db8::ffff".parse().expect("address"), now).is_err());
        assert!(throttle.may_try("2001:db8:0:1::1".parse().expect("address"), now).is_ok());
        for n in 0..2 * u32::try_from(MAX_ADDRESSES).expect("few") {
            throttle.failed(IpAddr::V4(n.into()), now);
        }
        assert!(throttle.0.lock().expect("lock").len() <= MAX_ADDRESSES);
        assert!(
            throttle.may_try("2001:db8::ffff".parse().expect("address"), now).is_err(),
            "who failed often stays known"
        );
    }
}
