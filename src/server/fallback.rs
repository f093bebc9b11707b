//! The interface through which a higher layer serves everything but the mirror's files: pages and an API.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;

use hyper::{HeaderMap, Request, Response};

use super::content_type::{ContentHeaders, NO_CACHE};
use super::file::{OpenFile, OutgoingBody, open_trusted};
use super::request_body::IncomingBody;
use super::response::RequestMeta;

/// Where a request came from, and how it addressed this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOrigin {
    /// The other end of the connection; behind a proxy, the proxy.
    pub peer: SocketAddr,
    /// The client's address: the one that a trusted proxy reports, otherwise the peer's.
    pub client: IpAddr,
    /// The validated `HOST[:PORT]` of the request.
    pub host: String,
    /// The base URL of this server as its clients know it, without a trailing slash.
    pub base: String,
    /// Whether the peer is an untrusted proxy that reports another address.
    pub untrusted_proxy: bool,
}

/// Handles requests for everything but the mirror's files.
pub trait FallbackHandler: Send + Sync {
    /// Whether the handler's own authentication (such as a session) allows these headers to read.
    fn is_authenticated(&self, headers: &HeaderMap) -> bool;

    /// Why the server cannot work, for `/healthz`: one public line that names no path.
    fn health_error(&self) -> Option<&'static str>;

    /// The response to a request for a path, given by its decoded components; `None` if the handler does not know the
    /// path. The handler limits how much of the body it reads; it may drop the body unread.
    ///
    /// It is called for every path that cannot be a file of the mirror, with any method, and checks access itself.
    fn handle<'a>(
        &'a self,
        path: Vec<String>,
        request: Request<IncomingBody>,
        at: RequestOrigin,
    ) -> Pin<Box<dyn Future<Output = Option<Response<OutgoingBody>>> + Send + 'a>>;
}

/// The response with a file outside of the mirror, whose path the caller has validated. It respects HEAD, preconditions
/// and ranges. `None` if there is no such file. Call it where blocking is allowed.
///
/// # Errors The file system's.
pub fn file_response(
    path: &Path,
    headers: &HeaderMap,
    is_head: bool,
    content_type: &'static str,
) -> io::Result<Option<Response<OutgoingBody>>> {
    let stored: Option<OpenFile> = open_trusted(path)?;
    let headers_of_file = ContentHeaders { content_type, cache_control: NO_CACHE };
    let requested = RequestMeta { is_head, is_http_10: false, headers: headers.clone(), budget: None };
    stored.map(|stored| requested.file_response(stored, headers_of_file)).transpose()
}
