//! Serves the mirror over HTTP: a sparse registry for cargo, and plain files for all other clients.
//!
//! | module | purpose |
//! |---|---|
//! | `listener` | accepts connections within limits and shuts them down in order |
//! | `stall_timeout` | one connection: its last activity, and the timeout for stalled writes |
//! | `tls` | a certificate and its key, reloaded when they change |
//! | `handler` | answers one request |
//! | `response` | builds responses |
//! | `budget` | limits the memory and open files of responses that wait for their clients |
//! | `router` | request paths, decoded once and accepted only as normal components |
//! | [`auth`] | read access |
//! | `token_throttle` | limits wrong tokens per client |
//! | [`metrics`] | counters |
//! | `access_log` | the log line of a request |
//! | `health` | whether the mirror's folder can be read |
//! | `conditional` | preconditions, ranges and encodings |
//! | `content` | content types and caching of clients |
//! | `live_response` | files that the mirror lacks, if live mode is on |
//! | `registry` | config.json, and the message for a missing crate |
//! | `scripts` | configuration and bootstrap scripts that contain the server's address |
//! | `file` | files below the mirror's root, streamed |
//! | [`forwarded`] | the address that a client requested from a reverse proxy |
//! | [`fallback`] | the interface through which a higher layer serves pages and an API |
//! | `request_body` | a request's body, and what happens to one that is not read to its end |
//! | `sendfile` | popular bodies, sent with sendfile(2) |
//! | `file_cache` | small files and index entries, cached while they match the disk |
//!
//! Nothing here takes a lock or writes a file. Each request opens its files again, or checks that the cached copy still
//! matches the disk. So an import is visible at once, and a file that is being sent does not change.

mod token_throttle;
pub mod auth;
mod access_log;
mod response;
mod response_budget;
mod conditional;
mod content_type;
pub mod metrics;
pub mod fallback;
mod file;
mod request_body;
pub mod forwarded;
mod health;
mod file_cache;
mod listener;
mod capacity;
mod options;
mod port_owner;
mod live_response;
mod stall_timeout;
mod registry;
mod handler;
mod router;
mod scripts;
mod tls;
mod sendfile;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::server_context::ServerContext;

pub use capacity::{Capacity, capacity};
pub use file::OutgoingBody;
pub use options::ServeOptions;
pub use port_owner::PortOwner;
pub use request_body::IncomingBody;
pub use response::set_header;
pub use tls::{Error as TlsError, Tls, Validity};

pub use response_budget::STALL_TIMEOUT;

/// Why the server could not start to listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not a valid address.
    #[error("`{text}` is not an address to listen on")]
    Address {
        /// The address as given.
        text: String,
        /// The cause.
        source: io::Error,
    },
    /// The system refused the address.
    #[error("could not listen on {address}")]
    Bind {
        /// The parsed address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
        /// The process that listens there, if it is known.
        owner: Option<PortOwner>,
    },
}

/// Listens on `HOST:PORT`. Port 0 selects a free port.
pub async fn bind(address: &str) -> Result<TcpListener, Error> {
    let invalid = |source| Error::Address { text: address.to_owned(), source };
    let found: Vec<SocketAddr> = tokio::net::lookup_host(address).await.map_err(invalid)?.collect();
    let none = || invalid(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    let first = *found.first().ok_or_else(none)?;
    match TcpListener::bind(&found[..]).await {
        Ok(listener) => Ok(listener),
        Err(source) => {
            let is_in_use = source.kind() == io::ErrorKind::AddrInUse;
            let owner = if is_in_use { port_owner::find_port_owner(first.port()) } else { None };
            Err(Error::Bind { address: first, source, owner })
        }
    }
}

/// Serves until `shutdown` completes. Then it accepts no more connections, and open requests have 30 seconds to finish.
///
/// Dropping the future closes all connections at once.
pub async fn serve(
    listener: TcpListener,
    context: ServerContext,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) {
    options.access.set_sink(Arc::clone(&context.sink));
    listener::run(listener, Arc::new(handler::Server::new(context, options)), shutdown).await;
}
