//! The mirror over HTTP: a sparse registry for cargo, and the plain files for everyone else.
//!
//! | room | what it does |
//! |---|---|
//! | `listen` | connections: accepted within bounds, ended in good order |
//! | `patient` | one connection: when it was last of use, and when its client takes nothing |
//! | `tls` | a certificate and its key, taken anew when they change |
//! | `respond` | one request, one answer |
//! | `answer` | what an answer is made of |
//! | `budget` | what answers that wait for their clients may hold |
//! | `route` | paths, decoded once and accepted only as normal components |
//! | [`access`] | who may read |
//! | [`counters`] | what was done so far, in numbers |
//! | `access_log` | what is reported of a request |
//! | `health` | whether the mirror's folder can be read |
//! | `conditions` | preconditions, ranges and encodings |
//! | `live` | what the mirror lacks, where live mode is on |
//! | `registry` | config.json, what is said of a missing crate |
//! | `scripts` | configuration and bootstraps that name the address at which they were asked for |
//! | `file` | files below the mirror's root, streamed |
//! | [`forwarded`] | the address that a client asked a proxy for |
//! | [`extension`] | how a floor above answers what is no file: pages, an API |
//! | `twin` | bodies that are asked for often, which the system sends without copying them |
//! | `hot` | small files and index texts, kept in memory as long as they are what is on the disk |
//!
//! Nothing here takes a lock or writes a file. Each request opens its files anew, or looks whether what is in memory is
//! still what is on the disk, so an import is served at once; and a file that is being sent stays the one it was.

pub mod access;
mod access_log;
mod answer;
mod budget;
mod conditions;
pub mod counters;
pub mod extension;
mod file;
pub mod forwarded;
mod health;
mod hot;
mod listen;
mod live;
mod patient;
mod profiles;
mod registry;
mod respond;
mod route;
mod scripts;
mod tls;
mod twin;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpListener;

use crate::client_config::BaseUrl;
use crate::event::Sink;
use crate::proxy::Proxy;
use access::Access;
use counters::Counters;
use extension::Extension;

pub use file::Content;
pub use listen::{Capacity, capacity};
pub use tls::{Error as TlsError, Tls, Validity};

pub use budget::STALLED_AFTER;

/// The address that clients know a server by, as of now; `None`: the Host that each of them asks for.
pub type BaseUrlNow = Arc<dyn Fn() -> Option<BaseUrl> + Send + Sync>;

/// Whether the forwarding headers of this peer count, as of now.
pub type TrustsProxy = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// What is served, and as what.
pub struct ServeOptions {
    /// How long an answer may wait for its client to take anything: [`STALLED_AFTER`], or less in tests.
    pub stalled_after: Duration,
    /// The mirror's root. It may be empty, or not be there yet.
    pub mirror: PathBuf,
    /// The address that clients know this server by, which may change while it runs.
    pub base_url: BaseUrlNow,
    /// Whose forwarding headers say which address clients use.
    pub trusts_proxy: TrustsProxy,
    /// What connections are secured with; `None`: nothing.
    pub tls: Option<Arc<Tls>>,
    /// Where faults of the disk are reported; a client is only told that there was one.
    pub sink: Arc<dyn Sink>,
    /// The clock. A file that was changed a moment ago may change again within the same tick of its time stamp.
    pub clock: fn() -> SystemTime,
    /// Who may read.
    pub access: Arc<Access>,
    /// Where answers and connections are counted.
    pub counters: Arc<Counters>,
    /// Whether each request is reported to the sink, which must then take it without waiting for anything.
    pub requests: bool,
    /// Live mode, on or off; `None`: there is none, and what is not held is not there.
    pub proxy: Option<Arc<Proxy>>,
    /// Who answers what is no file of the mirror; `None`: nobody, and there is nothing but files.
    pub extension: Option<Arc<dyn Extension>>,
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
    options.access.tell(Arc::clone(&options.sink));
    let server = Arc::new(respond::Server::new(options));
    listen::run(listener, server, shutdown).await;
    Ok(())
}
