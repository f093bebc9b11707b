//! `/api/incoming`: the folder that bundles are dropped into, a way to drop one from afar, and what can be done about
//! bundles that lie there.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};
use schemars::JsonSchema;
use serde::Serialize;

use crate::bundle::shown::shown;
use crate::console::answer::{Outcome, Refusal, json, json_with, no_content};
use crate::console::arrivals::{self, Arrivals};
use crate::console::asked::Asked;
use crate::console::jobs::{Job, Kind};
use crate::console::route::{Coming, Route};
use crate::console::state::{State, Uploaded as Uploads};
use crate::console::upload::{self, Pace, Wanted};
use crate::failure::Failure;
use crate::watch::refused;
use crate::watch::single::{self, Single};

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
    /// The job that imports it, where that was requested and the server does not watch the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
    /// What to do where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A refused bundle that is tried again.
#[derive(Serialize, JsonSchema)]
struct Retried {
    /// Its name in the incoming folder.
    file: String,
    /// Whether it is going to be imported by itself.
    watching: bool,
    /// The job that imports it, where the server does not watch the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
    /// What to do where there is no such job.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let upload = "Uploads a bundle. It is streamed, may have any size and come without one, and appears in the incoming folder when \
                  it is whole. A file of that name is never replaced.";
    let import = "Imports a bundle of the incoming folder, as a job, on a server that does not watch the folder. The bundle moves to \
                  done/, or to failed/ where it is invalid. The outcome has `file`.";
    let retry = "Moves a refused bundle back into the incoming folder. A server that does not watch it imports it at once, as a job.";
    let dismiss = "Ends the alarm over a refused bundle, which stays in failed/.";
    vec![
        Route::get("/api/incoming", "The incoming folder: what arrives, waits, was refused and was imported.", state)
            .gives::<Arrivals>(200),
        Route::put("/api/incoming/{filename}", upload, put)
            .query("import", "`true`: imports the bundle at once, as a job, where the server does not watch the folder")
            .takes_bytes()
            .gives::<Uploaded>(201),
        Route::post("/api/incoming/{filename}/import", import, import_now).gives::<Job>(202),
        Route::post("/api/incoming/failed/{filename}/retry", retry, retry_refused).gives::<Retried>(202),
        Route::post("/api/incoming/failed/{filename}/dismiss", dismiss, dismiss_refused).gives_other(204),
        Route::delete("/api/incoming/failed/{filename}", "Deletes a refused bundle and its reason.", delete_refused)
            .gives_other(204),
    ]
}

fn state(state: &Arc<State>, asked: &Asked) -> Outcome {
    let arrivals = arrivals::now(&state.options)?;
    Ok(json(&if asked.is_admin(state) { arrivals } else { arrivals.for_reader(&state.options) }))
}

fn put(state: Arc<State>, asked: Asked, body: Incoming) -> Coming {
    Box::pin(async move {
        let wanted = wanted(&state, &asked)?;
        asked.only(&["import"])?;
        let import = asked.flag("import")?;
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
        let (job, hint) = match (watching, import) {
            (true, _) => (None, None),
            (false, true) => begun(start(&state, OsString::from(&file), true)),
            (false, false) => {
                let hint = format!(
                    "the server does not watch the folder: POST /api/incoming/{file}/import, or start `serve` with --watch-incoming"
                );
                (None, Some(hint))
            }
        };
        let (bytes, sha256) = (received.bytes, received.sha256.to_string());
        Ok(json_with(StatusCode::CREATED, &Uploaded { file, bytes, sha256, watching, job, hint }))
    })
}

/// Begins to import a bundle. `whole`: nobody writes into its file any more.
fn start(state: &Arc<State>, name: OsString, whole: bool) -> Result<Job, Refusal> {
    let shared = Arc::clone(state);
    let file = shown(&name.to_string_lossy());
    state.jobs.start(Kind::Import, state.options.clock, &state.options.sink, move |sink| {
        let options = &shared.options;
        let single = Single {
            folder: options.incoming.clone(),
            name,
            whole,
            mirror: options.mirror.clone(),
            settings: Arc::clone(&options.settings),
            env: options.env.clone(),
            clock: options.clock,
            log: Arc::clone(&options.sink),
            tally: Arc::clone(&options.tally),
        };
        let imported = single.import(sink);
        update_record(&shared)?;
        imported.map(|()| serde_json::json!({ "file": file }))
    })
}

/// A job that was begun, or why not and what to do then.
fn begun(job: Result<Job, Refusal>) -> (Option<Job>, Option<String>) {
    match job {
        Ok(job) => (Some(job), None),
        Err(refusal) => (None, Some(format!("{}; then POST /api/incoming/FILE/import", refusal.error))),
    }
}

fn is_watching(state: &State) -> bool {
    state.options.settings.current().watch_incoming
}

/// A watcher keeps its record itself.
fn update_record(state: &State) -> Result<(), Failure> {
    if is_watching(state) { Ok(()) } else { single::record(&state.options.mirror, &state.options.incoming) }
}

fn import_now(state: &Arc<State>, asked: &Asked) -> Outcome {
    if is_watching(state) {
        return Err(Refusal::new(StatusCode::CONFLICT, "the server watches the incoming folder")
            .hint("it imports every whole bundle by itself; /api/incoming says what it waits for"));
    }
    let name = single::find(&state.options.incoming, asked.place(0)).ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "the incoming folder has no such bundle")
            .hint("/api/incoming lists the bundles under `files`")
    })?;
    Ok(json_with(StatusCode::ACCEPTED, &start(state, name, false)?))
}

fn retry_refused(state: &Arc<State>, asked: &Asked) -> Outcome {
    let name = refused::retry(&state.options.incoming, asked.place(0)).map_err(refusal)?;
    update_record(state)?;
    let (file, watching) = (shown(&name.to_string_lossy()), is_watching(state));
    let (job, hint) = if watching { (None, None) } else { begun(start(state, name, true)) };
    Ok(json_with(StatusCode::ACCEPTED, &Retried { file, watching, job, hint }))
}

fn dismiss_refused(state: &Arc<State>, asked: &Asked) -> Outcome {
    refused::dismiss(&state.options.incoming, asked.place(0)).map_err(refusal)?;
    update_record(state)?;
    Ok(no_content())
}

fn delete_refused(state: &Arc<State>, asked: &Asked) -> Outcome {
    refused::delete(&state.options.incoming, asked.place(0)).map_err(refusal)?;
    update_record(state)?;
    Ok(no_content())
}

fn refusal(error: refused::Error) -> Refusal {
    use refused::Error as E;
    match error {
        E::Unknown => Refusal::new(StatusCode::NOT_FOUND, error.to_string())
            .hint("/api/incoming lists refused bundles under `failed` and `dismissed`"),
        E::Ambiguous => {
            Refusal::new(StatusCode::CONFLICT, error.to_string()).hint("rename or remove them in failed/ on the server")
        }
        E::Deleted => Refusal::new(StatusCode::CONFLICT, error.to_string()).hint("upload the bundle again"),
        E::Taken(_) => Refusal::new(StatusCode::CONFLICT, error.to_string())
            .hint("nothing is replaced: import or remove that file first"),
        E::Io { path, source } => Failure::io(format!("could not change `{}`", path.display()), source).into(),
    }
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
