//! How a floor above answers what is no file of the mirror: pages for people, an API for machines.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response};

use super::file::{OpenFile, OutgoingBody, open_trusted};
use super::response::RequestMeta;

/// Where a request came from, and as what it asked for this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOrigin {
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
pub trait FallbackHandler: Send + Sync {
    /// Whether who sends these headers may read where readers need a token, for a reason of the extension's own.
    fn is_authenticated(&self, headers: &HeaderMap) -> bool;

    /// Why the server cannot do its work, for `/healthz`: a line for anybody, which names no path.
    fn health_error(&self) -> Option<&'static str>;

    /// The answer to a request; `None` where this is nothing that it knows. The body is the extension's to bound.
    ///
    /// It is asked for every path that cannot be a file of the mirror, whatever the method, and decides itself who may ask.
    fn handle<'a>(
        &'a self,
        request: Request<Incoming>,
        at: RequestOrigin,
    ) -> Pin<Box<dyn Future<Output = Option<Response<OutgoingBody>>> + Send + 'a>>;
}

/// A file outside of the mirror, whose path the caller vouches for; HEAD, conditions and ranges are obeyed. `None` where there is
/// no such file. Call it where reading may block.
///
/// # Errors
/// The file system's.
pub fn file_response(
    path: &Path,
    headers: &HeaderMap,
    is_head: bool,
    kind: &str,
) -> io::Result<Option<Response<OutgoingBody>>> {
    let held: Option<OpenFile> = open_trusted(path)?;
    let asked = RequestMeta { is_head, is_http_10: false, headers: headers.clone(), budget: None };
    held.map(|held| asked.file_response(held, kind, "no-cache")).transpose()
}
