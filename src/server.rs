//! The mirror over HTTP: a sparse registry for cargo, and the plain files for everyone else.
//!
//! | room | what it does |
//! |---|---|
//! | `listener` | connections: accepted within bounds, ended in good order |
//! | `stall_timeout` | one connection: when it was last of use, and when its client takes nothing |
//! | `tls` | a certificate and its key, taken anew when they change |
//! | `handler` | one request, one answer |
//! | `response` | what an answer is made of |
//! | `budget` | what answers that wait for their clients may hold |
//! | `router` | paths, decoded once and accepted only as normal components |
//! | [`auth`] | who may read |
//! | [`metrics`] | what was done so far, in numbers |
//! | `access_log` | what is reported of a request |
//! | `health` | whether the mirror's folder can be read |
//! | `conditional` | preconditions, ranges and encodings |
//! | `live_response` | what the mirror lacks, where live mode is on |
//! | `registry` | config.json, what is said of a missing crate |
//! | `scripts` | configuration and bootstraps that name the address at which they were asked for |
//! | `file` | files below the mirror's root, streamed |
//! | [`forwarded`] | the address that a client asked a proxy for |
//! | [`fallback`] | how a floor above answers what is no file: pages, an API |
//! | `sendfile` | bodies that are asked for often, which the system sends without copying them |
//! | `file_cache` | small files and index texts, kept in memory as long as they are what is on the disk |
//!
//! Nothing here takes a lock or writes a file. Each request opens its files anew, or looks whether what is in memory is
//! still what is on the disk, so an import is served at once; and a file that is being sent stays the one it was.

pub mod auth;
mod access_log;
mod response;
mod budget;
mod conditional;
pub mod metrics;
pub mod fallback;
mod file;
pub mod forwarded;
mod health;
mod file_cache;
mod listener;
mod live_response;
mod stall_timeout;
mod small_profiles;
mod registry;
mod handler;
mod router;
mod scripts;
mod tls;
mod sendfile;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;

use crate::client_setup::BaseUrl;
use crate::event::Sink;
use crate::live::LiveMirror;
use auth::AccessControl;
use fallback::FallbackHandler;
use metrics::ServerMetrics;

pub use file::OutgoingBody;
pub use listener::{Capacity, capacity};
pub use tls::{Error as TlsError, Tls, Validity};

pub use budget::STALL_TIMEOUT;

/// The address that clients know a server by, as of now; `None`: the Host that each of them asks for.
pub type BaseUrlProvider = Arc<dyn Fn() -> Option<BaseUrl> + Send + Sync>;

/// Whether the forwarding headers of this peer count, as of now.
pub type TrustedProxyCheck = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What is served, and as what.
pub struct ServeOptions {
    /// How long an answer may wait for its client to take anything: [`STALL_TIMEOUT`], or less in tests.
    pub stalled_after: Duration,
    /// The mirror's root. It may be empty, or not be there yet.
    pub mirror: PathBuf,
    /// The address that clients know this server by, which may change while it runs.
    pub base_url: BaseUrlProvider,
    /// Whose forwarding headers say which address clients use.
    pub trusts_proxy: TrustedProxyCheck,
    /// What connections are secured with; `None`: nothing.
    pub tls: Option<Arc<Tls>>,
    /// Where faults of the disk are reported; a client is only told that there was one.
    pub sink: Arc<dyn Sink>,
    /// The clock. A file that was changed a moment ago may change again within the same tick of its time stamp.
    pub clock: fn() -> SystemTime,
    /// Who may read.
    pub access: Arc<AccessControl>,
    /// Where answers and connections are counted.
    pub metrics: Arc<ServerMetrics>,
    /// Whether each request is reported to the sink, which must then take it without waiting for anything.
    pub logs_requests: bool,
    /// Live mode, on or off; `None`: there is none, and what is not held is not there.
    pub live: Option<Arc<LiveMirror>>,
    /// Who answers what is no file of the mirror; `None`: nobody, and there is nothing but files.
    pub fallback: Option<Arc<dyn FallbackHandler>>,
}

/// Why the server could not begin to listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none.
    #[error("`{text}` is not an address to listen on")]
    Address {
        /// The address as it was given.
        text: String,
        /// The cause.
        source: io::Error,
    },
    /// The system does not give the address.
    #[error("could not listen on {address}")]
    Bind {
        /// The address as it was understood.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// Listens on `HOST:PORT`; port 0 takes a free one.
pub async fn bind(address: &str) -> Result<TcpListener, Error> {
    let invalid = |source| Error::Address { text: address.to_owned(), source };
    let found: Vec<SocketAddr> = tokio::net::lookup_host(address).await.map_err(invalid)?.collect();
    let none = || invalid(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    let first = *found.first().ok_or_else(none)?;
    match TcpListener::bind(&found[..]).await {
        Ok(listener) => Ok(listener),
        Err(source) => Err(Error::Bind { address: first, source }),
    }
}

/// Serves until `shutdown` comes: then nothing more is accepted, and what is in flight has half a minute to finish.
///
/// Dropping the future ends all connections at once.
pub async fn serve(listener: TcpListener, options: ServeOptions, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    options.access.set_sink(Arc::clone(&options.sink));
    let server = Arc::new(handler::Server::new(options));
    listener::run(listener, server, shutdown).await;
    Ok(())
}
