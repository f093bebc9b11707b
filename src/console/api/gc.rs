//! `/api/gc`: what no history needs any more, shown at once or removed as a job.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::console::answer::{Outcome, Refusal, json, json_with};
use crate::console::asked::Asked;
use crate::console::jobs::{Job, Kind};
use crate::console::route::Route;
use crate::console::state::State;
use crate::event::{self, Sink};
use crate::failure::{Class, Failure};
use crate::mirror::gc::{self, Options, Told};
use crate::mirror::lock::{Holder, lock_for_collecting};
use crate::units::duration;

/// How long a collection waits for an import that is at work.
const LOCK_WITHIN: Duration = Duration::from_secs(600);

/// How to collect. What the query says counts more.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Wishes {
    /// Only show the plan.
    dry_run: bool,
    /// How long a crate stays after its index line went, for clients that saw that: 0, 90s, 10m (as it is without), 2h, 7d.
    grace: Option<String>,
    /// Histories to let go, each by its id or the beginning of it.
    forget: Vec<String>,
    /// Histories whose newest bundle is accepted although it is doubtful, each by its id or the beginning of it. `ID@BUNDLE` accepts
    /// that bundle only.
    accept: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let about = "Removes what no history needs any more, as a job. Its outcome has `lines`, `crates`, `artifacts`, `bytes`, `waiting` \
                 and `artifacts_waiting`. With `dry_run=true` the plan is the answer, and nothing is changed.";
    let collect = Route::post("/api/gc", about, collect)
        .query("dry_run", "true: only show the plan")
        .query("grace", "how long a crate stays after its index line went: 0, 90s, 10m (as it is without), 2h, 7d")
        .query("forget", "a history to let go, by its id or the beginning of it; may be given several times")
        .query("accept", "a history whose newest bundle is accepted although it is doubtful, by its id or the beginning of it; `ID@BUNDLE` accepts that bundle only; may be given several times")
        .may_take::<Wishes>()
        .gives::<Told<'_>>(200)
        .gives::<Job>(202);
    vec![collect]
}

fn collect(state: &Arc<State>, asked: &Asked) -> Outcome {
    // A misspelled `dry_run` must not become a collection.
    asked.only(&["dry_run", "grace", "forget", "accept"])?;
    let wishes: Wishes = if asked.body.is_empty() { Wishes::default() } else { asked.json()? };
    let grace = asked.value("grace").or(wishes.grace.as_deref()).map_or(Ok(gc::GRACE), duration);
    let grace = grace.map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, "`grace` is no duration").hint(why))?;
    let all = |word: &str, wished: Vec<String>| -> Vec<String> {
        let given = asked.query.iter().filter(|(name, _)| name == word).map(|(_, value)| value.clone());
        given.chain(wished).collect()
    };
    let (forget, accept) = (all("forget", wishes.forget), all("accept", wishes.accept));
    let options = Options { grace, forget, accept, now: (state.options.clock)() };
    if asked.flag("dry_run")? || wishes.dry_run {
        return Ok(json(&gc::preview(&state.options.mirror, &options).map_err(Failure::from)?.told(true)));
    }
    let shared = Arc::clone(state);
    let job = state
        .jobs
        .start(Kind::Gc, state.options.clock, &state.options.sink, move |sink| collected(&shared, &options, sink))?;
    Ok(json_with(StatusCode::ACCEPTED, &job))
}

fn collected(state: &State, options: &Options, sink: &dyn Sink) -> Result<Value, Failure> {
    let me = Holder::this_process("serve", &state.options.env, options.now);
    let mut guard = lock_for_collecting(&state.options.mirror, LOCK_WITHIN, &me, sink)?;
    let plan = guard.plan(options)?;
    // From here on it is done to its end: half a collection is of no use to anybody.
    if !sink.settle() {
        return Err(Failure::new(Class::Interrupted, "stopped before anything was removed"));
    }
    let collected = plan.execute(sink)?;
    let freed = event::size(collected.bytes);
    sink.status("Removed", format!("{}, freed {freed}", event::crates(collected.crates)));
    Ok(serde_json::to_value(collected).expect("plain fields are JSON"))
}
