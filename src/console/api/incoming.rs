//! `/api/incoming`: the folder that bundles are dropped into, and a way to drop one from afar.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use schemars::JsonSchema;
use serde::Serialize;

use crate::console::answer::{Outcome, Refusal, json, json_with};
use crate::console::arrivals::{self, Arrivals};
use crate::console::asked::Asked;
use crate::console::route::{Coming, Route};
use crate::console::state::{State, Uploaded as Uploads};
use crate::console::upload::{self, Pace, Wanted};

/// A bundle that was uploaded.
#[derive(Serialize, JsonSchema)]
struct Uploaded {
    /// Its name in the incoming folder.
    file: String,
    /// Bytes of it.
    bytes: u64,
    /// Its digest, to be held against that of the file that was sent.
    sha256: String,
    /// Whether it is going to be imported by itself.
    watching: bool,
    /// What to do where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Uploads a bundle. It is streamed, may have any size and come without one, and appears in the incoming folder when \
                 it is whole. A file of that name is never replaced.";
    vec![
        Route::get("/api/incoming", "The incoming folder: what arrives, waits, was refused and was imported.", state)
            .gives::<Arrivals>(200),
        Route::put("/api/incoming/{filename}", about, put).takes_bytes().gives::<Uploaded>(201),
    ]
}

fn state(state: &Arc<State>, _: &Asked) -> Outcome {
    Ok(json(&arrivals::now(&state.options)?))
}

fn put(state: Arc<State>, asked: Asked, body: Incoming) -> Coming {
    Box::pin(async move {
        let wanted = wanted(&state, &asked)?;
        let Ok(_turn) = state.uploads.try_acquire() else {
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "several uploads are under way already")
                .hint("send it again when one of them is done"));
        };
        let file = wanted.name.clone();
        let received = upload::receive(body, wanted, Pace::default()).await;
        let Uploads { done, failed } = &state.uploaded;
        let counter = if received.is_ok() { done } else { failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let received = received?;
        let watching = state.options.settings.current().watch_incoming;
        let hint = (!watching).then(|| {
            "nobody watches the folder: start `serve` with --watch-incoming, or run `cargo frostmirror import` on the file"
                .to_owned()
        });
        let (bytes, sha256) = (received.bytes, received.sha256.to_string());
        Ok(json_with(StatusCode::CREATED, &Uploaded { file, bytes, sha256, watching, hint }))
    })
}

/// Whether what the headers say can be taken.
fn wanted(state: &State, asked: &Asked) -> Result<Wanted, Refusal> {
    let name = asked.place(0).to_owned();
    if !upload::is_name(&name) {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "that is no name for a bundle")
            .hint("it ends in .pkg, does not begin with a dot, has no path in it, and no more than 200 bytes"));
    }
    if asked.headers.contains_key(CONTENT_ENCODING) || asked.headers.contains_key(CONTENT_RANGE) {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a bundle is sent whole and as it is")
            .hint("leave out Content-Encoding and Content-Range"));
    }
    let length = asked.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let watching = state.options.settings.current().watch_incoming;
    // The watcher waits for a folder that is not there: a disk may be missing, whose place must stay free.
    Ok(Wanted { folder: state.options.incoming.clone(), make_folder: !watching, name, length })
}
