//! How a floor above answers what is no file of the mirror: pages for people, an API for machines.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};

use super::answer::Asked;
use super::file::{Content, Held, open_trusted};

/// Where a request came from, and as what it asked for this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The other end of the connection; behind a proxy, the proxy.
    pub peer: SocketAddr,
    /// The `HOST[:PORT]` that was asked for, which names no other thing than that.
    pub host: String,
    /// The address of this server as its clients know it, without a slash at the end.
    pub base: String,
    /// Whether the peer is a proxy that nobody trusts, and says that clients know another address.
    pub untrusted_proxy: bool,
}

/// What answers beyond the mirror's files.
pub trait Extension: Send + Sync {
    /// Whether who sends these headers may read where readers need a token, for a reason of the extension's own.
    fn knows(&self, headers: &HeaderMap) -> bool;

    /// Why the server cannot do its work, for `/healthz`: a line for anybody, which names no path.
    fn fault(&self) -> Option<&'static str>;

    /// The answer to a request; `None` where this is nothing that it knows. The body is the extension's to bound.
    ///
    /// It is asked for every path that cannot be a file of the mirror, whatever the method, and decides itself who may ask.
    fn answer<'a>(
        &'a self,
        request: Request<Incoming>,
        at: At,
    ) -> Pin<Box<dyn Future<Output = Option<Response<Content>>> + Send + 'a>>;
}

/// A file outside of the mirror, whose path the caller vouches for; HEAD, conditions and ranges are obeyed. `None` where there is
/// no such file. Call it where reading may block.
///
/// # Errors
/// The file system's.
pub fn file(path: &Path, headers: &HeaderMap, head: bool, kind: &str) -> io::Result<Option<Response<Content>>> {
    let held: Option<Held> = open_trusted(path)?;
    let asked = Asked { head, is_old: false, headers: headers.clone(), account: None };
    held.map(|held| asked.part_of(held, kind, "no-cache")).transpose()
}
