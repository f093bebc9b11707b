//! Files that the mirror lacks, if live mode is on: index entries merged from two sources, and files during their
//! download.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Body as _;
use hyper::header::{ACCEPT_RANGES, CACHE_CONTROL, RETRY_AFTER, VIA};
use hyper::{HeaderMap, Response, StatusCode};

use super::conditional::{self, RequestedRange, Validators};
use super::content_type::ContentHeaders;
use super::file::{OpenFile, OutgoingBody};
use super::file_cache::Derived;
use super::handler::Server;
use super::response::{RequestMeta, internal_error, set_header, text_response};
use super::router::FileRoute;
use crate::live::error::LOOP_STATUS;
use crate::live::{FetchOutcome, LiveError, LiveMirror, SharedDownload};

impl Server {
    /// Live mode, if it is on and the request does not originate from this server itself, directly or through other
    /// mirrors.
    pub(super) fn live_for_request(&self, headers: &HeaderMap) -> Option<&Arc<LiveMirror>> {
        let live = Some(&self.options.live).filter(|live| live.is_enabled())?;
        let is_own = headers.get_all(VIA).iter().any(|via| live.is_loop(via.to_str().unwrap_or_default()));
        (!is_own).then_some(live)
    }

    /// The response to a request for a crate or a dist file that this server sent itself: its upstream leads back to it.
    pub(super) fn loop_response(&self, file: &FileRoute, headers: &HeaderMap) -> Option<Response<OutgoingBody>> {
        let live =
            Some(&self.options.live).filter(|live| live.is_enabled() && !matches!(file, FileRoute::Index(..)))?;
        let is_own = headers.get_all(VIA).iter().any(|via| live.is_own_request(via.to_str().unwrap_or_default()));
        let status = StatusCode::from_u16(LOOP_STATUS).ok().filter(|_| is_own)?;
        Some(text_response(status, "this server sent the request to itself\n"))
    }

    /// A crate's index entry, merged from the stored and the upstream one; `None` if the file is none, or if live mode was
    /// disabled meanwhile.
    pub(super) async fn live_index_response(
        self: &Arc<Self>,
        proxy: &Arc<LiveMirror>,
        file: &Arc<FileRoute>,
        meta: &Arc<RequestMeta>,
    ) -> Option<Response<OutgoingBody>> {
        let FileRoute::Index(name, _) = &**file else { return None };
        let generation = proxy.settings_generation();
        let upstream = proxy.lookup_index(name).await?;
        let (server, proxy, route, requested) =
            (Arc::clone(self), Arc::clone(proxy), Arc::clone(file), Arc::clone(meta));
        let answer = move || {
            let source = server.open_file(route.path())?;
            let text = source.as_ref().map(read_text).transpose()?;
            let view = match proxy.index_view(&upstream, text.as_deref()) {
                Ok(offered) => offered,
                Err(refusal) => return Ok(error_response(&refusal)),
            };
            let Some(text) = view.text else {
                let why = match view.is_excluded {
                    true => {
                        "not available from this mirror: its setting `allow`, `deny` or `min_age` excludes this crate\n"
                    }
                    false => "neither this mirror nor its upstream has this crate\n",
                };
                return Ok(text_response(StatusCode::NOT_FOUND, why));
            };
            let gzip = conditional::accepts_gzip(&requested.headers);
            let now = (server.options.file_clock)();
            let from = Derived {
                source: source.as_ref(),
                fresh_until: view.fresh_until,
                settings_generation: generation,
                wants_gzip: gzip,
                now,
            };
            let cached = server.file_cache.insert_derived(&route, text, from)?;
            Ok(requested.cached_response(&cached).unwrap_or_else(internal_error))
        };
        let answered = tokio::task::spawn_blocking(answer).await;
        Some(answered.unwrap_or_else(|_| Ok(internal_error())).unwrap_or_else(|error: io::Error| {
            self.context.sink.warning(format!("could not read the index lines of {name}: {error}"));
            internal_error()
        }))
    }

    /// A missing file, fetched from upstream; `None` if there is nothing to fetch, or live mode was disabled meanwhile.
    pub(super) async fn fetch_missing(
        self: &Arc<Self>,
        proxy: &Arc<LiveMirror>,
        file: &Arc<FileRoute>,
        meta: &Arc<RequestMeta>,
    ) -> Option<Response<OutgoingBody>> {
        let outcome = match &**file {
            FileRoute::Crate(_, Some(id)) => proxy.fetch_crate(id).await?,
            FileRoute::Other(path) => proxy.fetch_dist_file(path).await?,
            FileRoute::Crate(_, None) | FileRoute::Index(..) => return None,
        };
        let response = match outcome {
            FetchOutcome::Stored => self.local_response(file, meta, true).await?,
            FetchOutcome::Downloading(shared_download) => {
                download_response(&shared_download, meta, ContentHeaders::of(file)).await
            }
            FetchOutcome::Failed(refusal) => error_response(&refusal),
        };
        if response.status().is_success() {
            proxy.record_fetched_response(response.size_hint().exact().unwrap_or(0));
        }
        Some(response)
    }
}

fn read_text(source: &OpenFile) -> io::Result<String> {
    let mut bytes = Vec::new();
    (&source.file).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file that is being downloaded, or the requested range of it. It has no entity tag yet, because that depends on the
/// stored file's metadata.
async fn download_response(
    download: &SharedDownload,
    meta: &RequestMeta,
    headers: ContentHeaders,
) -> Response<OutgoingBody> {
    let started = match download.wait_started().await {
        Ok(begun) => begun,
        Err(refusal) => return error_response(&refusal),
    };
    // A range of a file of unknown length is answered after the download. So is a client that could not distinguish a
    // truncated file from a complete one.
    let length = match started.length {
        None if meta.is_http_10 || conditional::has_range(&meta.headers) => match download.wait_length().await {
            Ok(length) => Some(length),
            Err(refusal) => return error_response(&refusal),
        },
        length => length,
    };
    let known = Validators { etag: "", modified: None::<SystemTime> };
    let part = match length {
        Some(length) if !meta.is_head => conditional::requested_range(&meta.headers, length, &known),
        _ => RequestedRange::Full,
    };
    let body = |start: u64, wanted: Option<u64>| {
        let end = wanted.filter(|_| part != RequestedRange::Full).map(|wanted| start + wanted);
        Ok(OutgoingBody::from_stream(wanted, download.stream(started, start, end)))
    };
    let response = meta.part_response(part, headers.content_type, length, body);
    let mut response = response.unwrap_or_else(|_: io::Error| internal_error());
    if part == RequestedRange::Unsatisfiable {
        return response;
    }
    set_header(&mut response, ACCEPT_RANGES, "bytes");
    set_header(&mut response, CACHE_CONTROL, headers.cache_control);
    response
}

fn error_response(refusal: &LiveError) -> Response<OutgoingBody> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = text_response(status, &format!("{}\n", refusal.text));
    if let Some(after) = refusal.retry_after {
        set_header(&mut response, RETRY_AFTER, &after.as_secs().max(1).to_string());
    }
    response
}
