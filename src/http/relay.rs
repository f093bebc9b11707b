//! Downloads whose pieces are passed on as they come, before anybody knows whether the whole is right.

use std::future::Future;
use std::io;

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::digest::{Hasher, Sha256};

use super::address::shown;
use super::failing::{Error, Tries, Trouble};
use super::resume::is_the_rest;
use super::{Client, Request};

/// Who takes the pieces.
pub trait Taker: Send {
    /// A body begins, of `length` bytes where that is announced. Whatever was taken before is void: the download began anew.
    fn begin(&mut self, length: Option<u64>) -> impl Future<Output = io::Result<()>> + Send;

    /// The next piece.
    fn take(&mut self, piece: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

impl Client {
    /// Downloads piece by piece to `taker`, hashing on the way; the number of bytes. A download that breaks off goes on where
    /// it was, as long as upstream gives parts of its files; else it begins anew. Attempts are counted from the first on.
    ///
    /// Only when this returns `Ok` is what was taken what it should be.
    ///
    /// # Errors
    ///
    /// As for [`Client::download`]; [`Error::Taken`] is what the taker says.
    pub async fn relay(
        &self,
        request: &Request<'_>,
        expected: Sha256,
        limit: u64,
        taker: &mut impl Taker,
    ) -> Result<u64, Error> {
        let inner = &self.inner;
        let mut tries = Tries::new(inner.retries, inner.first_backoff, &inner.waits);
        let mut relay = Relay { hasher: Hasher::new(), held: 0 };
        loop {
            match self.try_relay(request, expected, limit, taker, &mut relay).await {
                Ok(()) => return Ok(relay.held),
                Err(trouble) => tries.wait_after(trouble).await?,
            }
        }
    }

    async fn try_relay(
        &self,
        request: &Request<'_>,
        expected: Sha256,
        limit: u64,
        taker: &mut impl Taker,
        relay: &mut Relay,
    ) -> Result<(), Trouble> {
        let url = request.url;
        let taken = |source| Trouble::last(Error::Taken { url: shown(url), source });
        // A second round begins with nothing, and ends in any case.
        loop {
            let from = relay.held;
            let mut incoming = self.send(Method::GET, request, "identity", from).await?;
            match incoming.response.status() {
                StatusCode::OK => {
                    let length = incoming.announced();
                    if length.is_some_and(|length| length > limit) {
                        return Err(Trouble::last(Error::TooLarge { url: shown(url), limit }));
                    }
                    *relay = Relay { hasher: Hasher::new(), held: 0 };
                    taker.begin(length).await.map_err(taken)?;
                }
                StatusCode::PARTIAL_CONTENT if is_the_rest(incoming.response.headers(), from) => incoming.follows(from),
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                    incoming.drain().await;
                    relay.held = 0;
                    continue;
                }
                _ => return Err(incoming.refusal(url).await),
            }
            let kept = relay.held;
            while let Some(chunk) = incoming.chunk(url, limit).await? {
                relay.hasher.update(&chunk);
                relay.held += chunk.len() as u64;
                taker.take(chunk).await.map_err(taken)?;
            }
            let actual = relay.hasher.clone().finish();
            if actual == expected {
                return Ok(());
            }
            relay.held = 0;
            // Two halves may have been of two files; upstream's word is only what came in one piece.
            if kept == 0 {
                let error = Error::Checksum { url: shown(url), expected, actual };
                return Err(if incoming.end_is_known { Trouble::last(error) } else { Trouble::again(error) });
            }
        }
    }
}

/// What was taken so far.
struct Relay {
    hasher: Hasher,
    held: u64,
}
