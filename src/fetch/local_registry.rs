//! A sparse registry on 127.0.0.1 for the child cargo: it serves the run's single snapshot of the index.
//!
//! So only this program's client handles proxy, authorities, token and retries, and every pass of cargo sees the same
//! index. The address has a secret in its path, so other users of this machine get no data. There are no downloads:
//! `cargo generate-lockfile` only reads index files.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use crate::crate_id::CrateName;
use crate::fetch::index_snapshot::{self, IndexSnapshot};
use crate::random;
use crate::upstream::index_file::IndexFile;

/// The running server. It stops when this value is dropped.
pub struct LocalRegistry {
    address: String,
    failure: SharedFailure,
    task: AbortHandle,
}

type SharedFailure = Arc<Mutex<Option<Arc<index_snapshot::Error>>>>;

impl LocalRegistry {
    /// Starts the server on a free port.
    pub async fn start(index: IndexSnapshot) -> io::Result<LocalRegistry> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let secret = format!("/{}/", random::hex(16)?);
        let address = format!("http://127.0.0.1:{port}{secret}");
        let failure = SharedFailure::default();
        let site = Arc::new(RegistryHandler {
            index,
            config_json: format!(r#"{{"dl":"{address}dl"}}"#),
            secret,
            failure: Arc::clone(&failure),
        });
        let task = tokio::spawn(accept_connections(listener, site)).abort_handle();
        Ok(LocalRegistry { address, failure, task })
    }

    /// The index address, with its trailing slash and without `sparse+`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The first upstream failure during cargo's requests: the probable cause of a failed resolution.
    pub fn first_failure(&self) -> Option<Arc<index_snapshot::Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for LocalRegistry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct RegistryHandler {
    index: IndexSnapshot,
    config_json: String,
    secret: String,
    failure: SharedFailure,
}

async fn accept_connections(listener: TcpListener, site: Arc<RegistryHandler>) {
    // The connections end with the server: it owns their task set.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(serve_connection(stream, Arc::clone(&site)));
            }
            // Most likely out of file descriptors: cargo waits, and so does this server.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, site: Arc<RegistryHandler>) {
    // Cargo has two connections and waits for every answer, so a delayed segment would delay the resolution.
    let _slower: io::Result<()> = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.handle(request.uri().path()).await) }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    // cargo may close its connections in any way when it ends.
    drop(served);
}

impl RegistryHandler {
    async fn handle(&self, path: &str) -> Response<Full<Bytes>> {
        let Some(path) = path.strip_prefix(&self.secret) else {
            return response(StatusCode::NOT_FOUND, Bytes::new());
        };
        if path == "config.json" {
            return response(StatusCode::OK, Bytes::from(self.config_json.clone()));
        }
        let name: Option<CrateName> = path.rsplit('/').next().and_then(|name| name.parse().ok());
        let Some(name) = name.filter(|name| name.index_path() == path) else {
            return response(StatusCode::NOT_FOUND, Bytes::new());
        };
        match self.index.file(&name).await {
            Ok(Some(file)) => response(StatusCode::OK, Bytes::from_owner(IndexFileBytes(file))),
            Ok(None) => response(StatusCode::NOT_FOUND, Bytes::new()),
            Err(error) => {
                let body = Bytes::from(error.to_string());
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                response(StatusCode::SERVICE_UNAVAILABLE, body)
            }
        }
    }
}

fn response(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

/// An index file as response bytes, without a copy.
struct IndexFileBytes(Arc<IndexFile>);

impl AsRef<[u8]> for IndexFileBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.text().as_bytes()
    }
}
