//! `/metrics`: the server's figures in the text format of Prometheus, version 0.0.4.
//!
//! Counters begin at 0 with each start. What is said of the mirror is read anew each time, from its head, which is one small file
//! whatever it holds.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::header::CACHE_CONTROL;

use super::answer::{Outcome, set, typed};
use super::arrivals::{self, Arrivals};
use super::asked::Asked;
use super::jobs::{Kind, Standing};
use super::route::Route;
use super::state::State;
use crate::mirror::status::Status;
use crate::proxy::figures::Figured;
use crate::serve::counters::Counters;
use crate::watch::Tally;

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page of figures, which the API's description leaves out: it is no JSON.
pub(super) fn routes() -> Vec<Route> {
    vec![Route::page("/metrics", "The server's figures, for Prometheus.", metrics)]
}

fn metrics(state: &Arc<State>, _: &Asked) -> Outcome {
    let mut text = Text::default();
    server(&mut text, state);
    requests(&mut text, &state.options.counters);
    work(&mut text, state);
    incoming(&mut text, &state.options.tally, arrivals::now(&state.options).ok().as_ref());
    live(&mut text, &state.options.proxy.figures());
    mirror(&mut text, Status::read(&state.options.mirror).ok().as_ref());
    let mut response = typed(FORMAT, text.0.into_bytes());
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

fn server(text: &mut Text, state: &State) {
    text.gauge("build_info", "The version of the server, as a label.");
    text.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("start_time_seconds", "When the server started, in seconds since 1970.");
    text.sample("start_time_seconds", &[], seconds(state.started));
    if let Some(validity) = state.options.tls.as_ref().and_then(|tls| tls.validity()) {
        text.gauge(
            "tls_certificate_not_before_timestamp_seconds",
            "When the TLS certificate becomes valid, in seconds since 1970.",
        );
        text.sample("tls_certificate_not_before_timestamp_seconds", &[], seconds(validity.from));
        text.gauge(
            "tls_certificate_not_after_timestamp_seconds",
            "When the TLS certificate expires, in seconds since 1970.",
        );
        text.sample("tls_certificate_not_after_timestamp_seconds", &[], seconds(validity.to));
    }
}

fn requests(text: &mut Text, counters: &Counters) {
    text.counter("requests_total", "Requests that were answered, by what was asked for and the status of the answer.");
    for (asked, status, count) in counters.answers() {
        let status = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
        text.sample("requests_total", &[("kind", asked.as_str()), ("status", &status)], count);
    }
    text.counter("response_bytes_total", "Bytes of the bodies of answers as they began, by what was asked for.");
    for (asked, bytes) in counters.bytes() {
        text.sample("response_bytes_total", &[("kind", asked.as_str())], bytes);
    }
    let counted: [(&str, &str, &AtomicU64); 4] = [
        ("hot_cache_hits_total", "Answers that were in memory.", &counters.hot_hits),
        ("hot_cache_misses_total", "Requests for files that were looked for on the disk.", &counters.hot_misses),
        ("connections_total", "Connections that were accepted.", &counters.connections),
        (
            "log_lines_dropped_total",
            "Lines of the log that were dropped because nobody took them.",
            &counters.lines_dropped,
        ),
    ];
    for (name, help, counter) in counted {
        text.counter(name, help);
        text.sample(name, &[], counter.load(Relaxed));
    }
    text.gauge("open_connections", "Connections that are open.");
    text.sample("open_connections", &[], counters.open_connections.load(Relaxed));
}

fn work(text: &mut Text, state: &State) {
    text.counter("uploads_total", "Bundles that were uploaded, by how that ended.");
    for (result, count) in [("done", &state.uploaded.done), ("failed", &state.uploaded.failed)] {
        text.sample("uploads_total", &[("result", result)], count.load(Relaxed));
    }
    text.counter("jobs_total", "Jobs that have ended, by what they did and how they ended.");
    for (kind, standing, count) in state.jobs.ended() {
        text.sample("jobs_total", &[("kind", word_of(kind)), ("result", result_of(standing))], count);
    }
    text.gauge("jobs_running", "Jobs that are at work.");
    text.sample("jobs_running", &[], u64::from(state.jobs.running().is_some()));
}

fn incoming(text: &mut Text, tally: &Tally, arrivals: Option<&Arrivals>) {
    text.counter("imports_total", "Bundles of the incoming folder that were tried to the end, by how that ended.");
    for (result, count) in [("done", &tally.imported), ("failed", &tally.refused)] {
        text.sample("imports_total", &[("result", result)], count.load(Relaxed));
    }
    text.gauge("watcher_failed", "Whether a bug ended the watcher, so that the server must be restarted.");
    text.sample("watcher_failed", &[], tally.failed.load(Relaxed).into());
    let Some(arrivals) = arrivals else { return };
    text.gauge("watching", "Whether bundles in the incoming folder are imported by themselves.");
    let failed = tally.failed.load(Relaxed);
    text.sample("watching", &[], (arrivals.watching && !failed).into());
    text.gauge(
        "incoming_bundles",
        "Bundles that are not in the mirror: on their way, waiting for another one, or refused.",
    );
    let (arriving, waiting) = (arrivals.arriving.len() as u64, arrivals.waiting.len() as u64);
    for (state, count) in [("arriving", arriving), ("waiting", waiting), ("failed", arrivals.failed_total)] {
        text.sample("incoming_bundles", &[("state", state)], count);
    }
}

fn live(text: &mut Text, figured: &Figured) {
    text.gauge("live", "Whether live mode is on.");
    text.sample("live", &[], figured.on.into());
    let counted = [
        ("live_index_requests_total", "Index files that upstream was asked for.", figured.index_requests),
        ("live_misses_total", "Files that a client asked for and that were not held.", figured.misses),
        ("live_fetches_total", "Files that upstream was asked for.", figured.fetches),
        ("live_fetched_bytes_total", "Bytes of the files that came whole and right.", figured.fetched_bytes),
        ("live_mismatches_total", "Files that came with other bytes than they must have.", figured.mismatches),
        ("live_failures_total", "Files that did not come, though upstream should have them.", figured.failures),
        ("live_abandoned_total", "Downloads that ended because every client had left.", figured.abandoned),
        ("live_stale_total", "Answers from an older copy, because upstream gave none.", figured.stale),
        ("live_placed_total", "Files that were placed in the mirror.", figured.placed),
        ("live_not_placed_total", "Batches of files that could not be placed.", figured.not_placed),
        ("live_crates_used_bytes_total", "Bytes of fetched crates that a client requested.", figured.crates_used_bytes),
        ("live_ahead_total", "Crates that were fetched before a client requested them.", figured.fetched_ahead),
        ("live_ahead_bytes_total", "Bytes that upstream sent of those.", figured.fetched_ahead_bytes),
        ("live_ahead_used_total", "Prefetched crates that a client requested afterwards.", figured.ahead_used),
        ("live_ahead_used_bytes_total", "Bytes of those.", figured.ahead_used_bytes),
        ("live_ahead_wasted_total", "Prefetched crates that no client requested in time.", figured.ahead_wasted),
        ("live_ahead_wasted_bytes_total", "Bytes that upstream sent of those.", figured.ahead_wasted_bytes),
    ];
    for (name, help, value) in counted {
        text.counter(name, help);
        text.sample(name, &[], value);
    }
    if !figured.upstreams.is_empty() {
        text.gauge("live_upstream_up", "Whether an upstream of live mode is asked; 0: it is left alone for a while.");
    }
    for upstream in &figured.upstreams {
        text.sample("live_upstream_up", &[("of", upstream.of)], u64::from(upstream.state != "down"));
    }
}

fn mirror(text: &mut Text, status: Option<&Status>) {
    text.gauge(
        "mirror_readable",
        "Whether the state of the mirror can be read; where not, there are no figures of it.",
    );
    text.sample("mirror_readable", &[], status.is_some().into());
    let Some(status) = status else { return };
    let counts = &status.counts;
    let gauges = [
        ("mirror_crates", "Names of crates in the mirror.", counts.crates),
        ("mirror_versions", "Files of crates in the mirror.", counts.versions),
        ("mirror_crate_bytes", "Bytes of the files of crates.", counts.bytes),
        ("mirror_rustup_artifacts", "Files of rustup and of toolchains in the mirror.", counts.artifacts),
        ("mirror_rustup_artifact_bytes", "Bytes of the files of rustup and of toolchains.", counts.artifact_bytes),
        ("mirror_imports", "Imports on record.", status.imports),
        (
            "mirror_doubtful_histories",
            "Histories of which it is doubtful which bundle is the newest.",
            status.doubts.len() as u64,
        ),
    ];
    for (name, help, value) in gauges {
        text.gauge(name, help);
        text.sample(name, &[], value);
    }
    if let Some(last) = status.last_import {
        text.gauge("last_import_timestamp_seconds", "When the newest import was done, in seconds since 1970.");
        text.sample("last_import_timestamp_seconds", &[], seconds(last));
    }
}

fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Gc => "gc",
        Kind::Export => "export",
        Kind::Verify => "verify",
        Kind::Import => "import",
    }
}

fn result_of(standing: Standing) -> &'static str {
    match standing {
        Standing::Running => "running",
        Standing::Done => "done",
        Standing::Failed => "failed",
        Standing::Stopped => "stopped",
    }
}

fn seconds(time: jiff::Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}

/// Families of samples, one after the other.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Begins a family whose values only grow.
    fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    /// Begins a family whose values are as they are.
    fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _memory = write!(self.0, "# HELP frostmirror_{name} {help}\n# TYPE frostmirror_{name} {kind}\n").is_ok();
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        self.0.push_str("frostmirror_");
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if place == 0 { '{' } else { ',' };
            let _memory = write!(self.0, "{before}{label}=\"{text}\"").is_ok();
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _memory = writeln!(self.0, "{end} {value}").is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_in_the_format_is_escaped() {
        let mut text = Text::default();
        text.gauge("x", "a \\ and\na line");
        text.sample("x", &[("one", "a\"b\\c\nd"), ("two", "")], 7);
        text.sample("x", &[], 0);
        assert_eq!(
            text.0,
            "# HELP frostmirror_x a \\\\ and\\na line\n# TYPE frostmirror_x gauge\n\
             frostmirror_x{one=\"a\\\"b\\\\c\\nd\",two=\"\"} 7\nfrostmirror_x 0\n"
        );
    }
}
