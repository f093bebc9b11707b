//! Downloads whose pieces are passed on as they come, before anybody knows whether the whole is right.

use std::future::Future;
use std::io;

use bytes::Bytes;
use reqwest::{Method, StatusCode};

use crate::digest::{Hasher, Sha256};

use super::address::shown;
use super::failing::{Error, Tries, Trouble};
use super::resume::is_the_rest;
use super::targets::Chosen;
use super::{Client, Request};

/// Who takes the pieces.
pub trait Taker: Send {
    /// A body begins, of `length` bytes where that is announced. Whatever was taken before is void: the download began anew.
    /// Until the whole is found right, a `doubtful` body may be another file, of a service that only this machine can reach
    /// say; nobody else must see of it.
    fn begin(&mut self, length: Option<u64>, doubtful: bool) -> impl Future<Output = io::Result<()>> + Send;

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
        let mut relay = Relay { hasher: Hasher::new(), held: 0, doubtful: false, decodes: false };
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
        let taken = |source| Trouble::last(Error::Taken { url: shown(request.url), source });
        // A second round begins with nothing, a third one decodes, and it ends in any case.
        loop {
            if relay.decodes {
                // How far the body was decoded says nothing of how far it was sent.
                relay.held = 0;
            }
            let from = relay.held;
            let mut incoming = self.send(Method::GET, request, "identity", from).await?;
            match incoming.response.status() {
                StatusCode::OK => {
                    if relay.decodes {
                        let codings = incoming.codings()?;
                        incoming.decode(&codings);
                    }
                    let length = incoming.announced();
                    if length.is_some_and(|length| length > limit) {
                        return Err(Trouble::last(Error::TooLarge { url: incoming.address, limit }));
                    }
                    let doubtful = incoming.is_encoded() || incoming.chosen == Chosen::ByUpstream;
                    *relay = Relay { hasher: Hasher::new(), held: 0, doubtful, decodes: relay.decodes };
                    taker.begin(length, doubtful).await.map_err(taken)?;
                }
                // The rest of what others have seen the beginning of does not come from anywhere else.
                StatusCode::PARTIAL_CONTENT
                    if is_the_rest(incoming.response.headers(), from)
                        && (relay.doubtful || incoming.chosen != Chosen::ByUpstream) =>
                {
                    incoming.follows(from);
                }
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => {
                    incoming.drain().await;
                    relay.held = 0;
                    continue;
                }
                _ => return Err(incoming.refusal().await),
            }
            let kept = relay.held;
            while let Some(chunk) = incoming.chunk(limit).await? {
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
                if relay.decodes || incoming.codings()?.is_empty() {
                    return Err(incoming.mismatch(expected, actual));
                }
                // Many servers call a file's own compression an encoding. This one means it.
                relay.decodes = true;
            }
        }
    }
}

/// What was taken so far.
struct Relay {
    hasher: Hasher,
    held: u64,
    /// What the taker was told of the body.
    doubtful: bool,
    /// Whether the body is decoded, as its `Content-Encoding` says.
    decodes: bool,
}
