//! What the mirror lacks, where live mode is on: index texts of two origins, and files that are on their way.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::SystemTime;

use hyper::body::Body as _;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, VIA, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Response, StatusCode};

use super::answer::{ASK_AGAIN, Asked, BINARY, FOR_EVER, TEXT, broken, described, set, told, unsatisfiable};
use super::conditions::{self, Part, Validators};
use super::file::{Content, Held};
use super::hot::{Headers, Made};
use super::respond::{Server, type_of};
use super::route::Target;
use crate::crate_id::CrateName;
use crate::proxy::{Flight, Miss, Proxy, Refusal};
use crate::safe_path::SafePath;

impl Server {
    /// Live mode, where it is on and the request does not come from this very server, by whatever detour.
    pub(super) fn proxy_for(&self, headers: &HeaderMap) -> Option<&Arc<Proxy>> {
        let proxy = self.options.proxy.as_ref().filter(|proxy| proxy.is_on())?;
        let is_own = headers.get_all(VIA).iter().any(|via| proxy.comes_back(via.to_str().unwrap_or_default()));
        (!is_own).then_some(proxy)
    }

    /// A crate's index lines, held and upstream's; `None` where live mode was switched off meanwhile.
    pub(super) async fn offered(
        self: &Arc<Self>,
        proxy: &Arc<Proxy>,
        name: &CrateName,
        path: SafePath,
        asked: &Arc<Asked>,
    ) -> Option<Response<Content>> {
        let generation = proxy.generation();
        let upstreamed = proxy.ask(name).await?;
        let (server, proxy, asked) = (Arc::clone(self), Arc::clone(proxy), Arc::clone(asked));
        let answer = move || {
            let held = server.open(&path)?;
            let text = held.as_ref().map(read).transpose()?;
            let offered = match proxy.offered(&upstreamed, text.as_deref()) {
                Ok(offered) => offered,
                Err(refusal) => return Ok(refused(&refusal)),
            };
            let Some(text) = offered.text else {
                let why = match offered.withheld {
                    true => "not offered by this mirror: `allow`, `deny` or `min_age` of its settings leaves it out\n",
                    false => "not in this mirror, nor upstream\n",
                };
                return Ok(told(StatusCode::NOT_FOUND, why));
            };
            let gzip = conditions::accepts_gzip(&asked.headers);
            let now = (server.options.clock)();
            let from = Made { held: held.as_ref(), until: offered.until, generation, gzip, now };
            let kept = server.hot.made(&path, text, from, Headers { kind: TEXT, caching: ASK_AGAIN })?;
            Ok(asked.at_hand(&kept).unwrap_or_else(broken))
        };
        let answered = tokio::task::spawn_blocking(answer).await;
        Some(answered.unwrap_or_else(|_| Ok(broken())).unwrap_or_else(|error: io::Error| {
            self.options.sink.warning(format!("could not read the index lines of {name}: {error}"));
            broken()
        }))
    }

    /// A file that is not held, from upstream; `None` where there is nothing to fetch, or live mode was switched off meanwhile.
    pub(super) async fn fetched(
        self: &Arc<Self>,
        proxy: &Arc<Proxy>,
        target: &Arc<Target>,
        asked: &Arc<Asked>,
    ) -> Option<Response<Content>> {
        let (miss, kind, caching) = match &**target {
            Target::Crate(_, Some(id)) => (proxy.fetch_crate(id).await?, BINARY, FOR_EVER),
            Target::File(path) => (proxy.fetch_artifact(path).await?, type_of(path), ASK_AGAIN),
            _ => return None,
        };
        let response = match miss {
            Miss::Held => self.held(target, asked, true).await,
            Miss::Coming(flight) => coming(&flight, asked, kind, caching).await,
            Miss::Refused(refusal) => refused(&refusal),
        };
        if response.status().is_success() {
            proxy.gives_late(response.size_hint().exact().unwrap_or(0));
        }
        Some(response)
    }
}

fn read(held: &Held) -> io::Result<String> {
    let mut bytes = Vec::new();
    (&held.file).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file that is on its way, or the range of it that is asked for. There is no entity tag yet: what it will be is the file
/// system's to say.
async fn coming(flight: &Flight, asked: &Asked, kind: &str, caching: &str) -> Response<Content> {
    let begun = match flight.begun().await {
        Ok(begun) => begun,
        Err(refusal) => return refused(&refusal),
    };
    // A range of a file whose length nobody has said is answered when the file is there, and so is who could not tell a file
    // that breaks off from a whole one.
    let length = match begun.length {
        None if asked.is_old || conditions::wants_part(&asked.headers) => match flight.length().await {
            Ok(length) => Some(length),
            Err(refusal) => return refused(&refusal),
        },
        length => length,
    };
    let known = Validators { etag: "", modified: None::<SystemTime> };
    let part = match length {
        Some(length) if !asked.head => conditions::part(&asked.headers, length, &known),
        _ => Part::Whole,
    };
    let mut response = match part {
        Part::Whole => {
            let body =
                if asked.head { Content::default() } else { Content::coming(length, flight.bytes(begun, 0, None)) };
            let mut response = Response::new(body);
            match length {
                Some(length) => described(&mut response, kind, length),
                None => {
                    set(&mut response, CONTENT_TYPE, kind);
                    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
                }
            }
            response
        }
        Part::Bytes { start, length: wanted } => {
            let pieces = flight.bytes(begun, start, Some(start + wanted));
            let mut response = Response::new(Content::coming(Some(wanted), pieces));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            described(&mut response, kind, wanted);
            let whole = length.unwrap_or_default();
            set(&mut response, CONTENT_RANGE, &format!("bytes {start}-{}/{whole}", start + wanted - 1));
            response
        }
        Part::Unsatisfiable => return unsatisfiable(length.unwrap_or_default()),
    };
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CACHE_CONTROL, caching);
    response
}

fn refused(refusal: &Refusal) -> Response<Content> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = told(status, &format!("{}\n", refusal.text));
    if let Some(after) = refusal.retry_after {
        set(&mut response, RETRY_AFTER, &after.as_secs().max(1).to_string());
    }
    response
}
