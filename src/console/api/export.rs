//! `/api/export`: snapshots of the mirror with its server's configuration: built, listed, downloaded.
//!
//! Who may read the mirror may download them: they hold the mirror's files, and of the configuration what travels, which
//! is without tokens and passwords.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::CONTENT_DISPOSITION;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::artifact::Kind as Sort;
use crate::console::answer::{Outcome, Refusal, json, json_with, no_content, set};
use crate::console::asked::Asked;
use crate::console::jobs::{Job, Kind};
use crate::console::route::Route;
use crate::console::snapshots::{self, Snapshot};
use crate::console::state::State;
use crate::event::{self, Sink};
use crate::failure::{Failure, printable};
use crate::mirror::lock::{Holder, lock_for_reading};
use crate::mirror::snapshot::{Exported, Options};
use crate::serve::extension;
use crate::server_config;

/// How long an export waits for an import that is at work.
const LOCK_WITHIN: Duration = Duration::from_secs(600);

/// The snapshots that can be downloaded.
#[derive(Serialize, JsonSchema)]
struct Snapshots {
    /// The newest first.
    snapshots: Vec<Snapshot>,
}

/// What an export came to: the outcome of the job.
#[derive(Serialize, JsonSchema)]
struct Built {
    /// The name of the file, which `/api/export/download/FILE` gives.
    file: String,
    /// Bytes of it.
    bytes: u64,
    /// Its digest.
    sha256: String,
    /// The bundle's id.
    id: String,
    /// Crates in it.
    crates: u64,
    /// Histories that go along.
    histories: u64,
    /// Files in crates/ that the index does not name, which stay behind.
    left_behind: u64,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Builds a snapshot of the mirror and its server's configuration, as a job. Its outcome has `file`, `bytes`, `sha256`, \
                 `id`, `crates`, `histories` and `left_behind`.";
    let download = "A snapshot. Ranges are answered, so that a download can be resumed. It holds the mirror's files and the \
                    configuration without tokens and passwords, and is open to whoever may read the mirror.";
    vec![
        Route::post("/api/export", about, build).gives::<Job>(202),
        Route::get("/api/export", "The snapshots that were built here.", list).gives::<Snapshots>(200),
        Route::get("/api/export/download/{filename}", download, give)
            .gives_other(200)
            .gives_other(206)
            .gives_other(304),
        Route::delete(
            "/api/export/{filename}",
            "Deletes a snapshot that was built here. A download that has begun goes on.",
            delete,
        )
        .gives_other(204),
    ]
}

fn list(state: &Arc<State>, _: &Asked) -> Outcome {
    Ok(json(&Snapshots { snapshots: snapshots::list(&state.options.incoming)? }))
}

fn give(state: &Arc<State>, asked: &Asked) -> Outcome {
    let name = asked.place(0);
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, "there is no such snapshot")
            .hint("/api/export lists those that can be downloaded")
    };
    let path = snapshots::path(&state.options.incoming, name).ok_or_else(unknown)?;
    let given = extension::file(&path, &asked.headers, asked.head, "application/octet-stream");
    let given = given.map_err(|error| Failure::io(format!("could not read `{}`", path.display()), error))?;
    let mut response = given.ok_or_else(unknown)?;
    set(&mut response, CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    Ok(response)
}

fn delete(state: &Arc<State>, asked: &Asked) -> Outcome {
    if snapshots::delete(&state.options.incoming, asked.place(0))? {
        return Ok(no_content());
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such snapshot").hint("/api/export lists the snapshots"))
}

fn build(state: &Arc<State>, _: &Asked) -> Outcome {
    let shared = Arc::clone(state);
    let job =
        state.jobs.start(Kind::Export, state.options.clock, &state.options.sink, move |sink| built(&shared, sink))?;
    Ok(json_with(StatusCode::ACCEPTED, &job))
}

fn built(state: &State, sink: &dyn Sink) -> Result<Value, Failure> {
    let options = &state.options;
    let (config, notes) = server_config::travelling(options.settings.folder())?;
    for (name, note) in notes {
        sink.status("Note", format!("left out of {name}: {note}"));
    }
    let now = (options.clock)();
    let me = Holder::this_process("serve", &options.env, now);
    let guard = lock_for_reading(&options.mirror, LOCK_WITHIN, &me, sink)?;
    let folder = snapshots::folder(&options.incoming);
    let Exported { path, size, sha256, manifest, left_behind } =
        guard.snapshot(Options { folder, config, now }, sink)?;
    drop(guard);
    let built = Built {
        file: printable(&path.file_name().unwrap_or_default().to_string_lossy()),
        bytes: size,
        sha256: sha256.to_string(),
        id: manifest.id.clone(),
        crates: manifest.count(Sort::Crate) as u64,
        histories: manifest.carried.len() as u64,
        left_behind,
    };
    sink.status("Exported", format!("{} ({}) to {}", event::crates(built.crates), event::size(size), built.file));
    Ok(serde_json::to_value(built).expect("plain fields are JSON"))
}
