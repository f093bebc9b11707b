//! `/metrics`: the server's metrics in the text format of Prometheus, version 0.0.4.
//!
//! Counters start at 0 with each start. The mirror's metrics are read on each request, from its summary, which is one small
//! file for any mirror size.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::header::CACHE_CONTROL;

use super::incoming::{self, IncomingFolder};
use super::jobs::{JobKind, JobState};
use super::request::WebRequest;
use super::response::{HandlerResult, set_header, with_content_type};
use super::router::Route;
use super::state::WebState;
use crate::live::metrics::MetricsSnapshot;
use crate::mirror::status::Status;
use crate::server::metrics::ServerMetrics;
use crate::watcher::ImportCounters;

const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics route, which the OpenAPI document omits: it is not JSON.
pub(super) fn routes() -> Vec<Route> {
    vec![Route::page("/metrics", "The server's metrics for Prometheus.", metrics)]
}

fn metrics(state: &Arc<WebState>, _: &WebRequest) -> HandlerResult {
    let mut text = MetricsText::default();
    server_metrics(&mut text, state);
    request_metrics(&mut text, &state.options.server_metrics);
    job_metrics(&mut text, state);
    incoming_metrics(&mut text, &state.options.import_counters, incoming::read(&state.context).ok().as_ref());
    live_metrics(&mut text, &state.options.live.metrics_snapshot());
    mirror_metrics(&mut text, Status::read(&state.context.mirror).ok().as_ref());
    let mut response = with_content_type(PROMETHEUS_CONTENT_TYPE, text.0.into_bytes());
    set_header(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

fn server_metrics(text: &mut MetricsText, state: &WebState) {
    text.gauge("build_info", "The version of the server, as a label.");
    text.sample("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge_value(
        "start_time_seconds",
        "When the server started, in seconds since 1970.",
        unix_seconds(state.started),
    );
    if let Some(validity) = state.options.tls.as_ref().and_then(|tls| tls.validity()) {
        text.gauge_value(
            "tls_certificate_not_before_timestamp_seconds",
            "When the TLS certificate becomes valid, in seconds since 1970.",
            unix_seconds(validity.from),
        );
        text.gauge_value(
            "tls_certificate_not_after_timestamp_seconds",
            "When the TLS certificate expires, in seconds since 1970.",
            unix_seconds(validity.to),
        );
    }
}

fn request_metrics(text: &mut MetricsText, counters: &ServerMetrics) {
    text.counter("requests_total", "Completed requests, by kind and status.");
    for (kind, status, count) in counters.responses() {
        let status = status.map_or_else(|| "other".to_owned(), |status| status.to_string());
        text.sample("requests_total", &[("kind", kind.as_str()), ("status", &status)], count);
    }
    text.counter("response_bytes_total", "Declared bytes of response bodies, by kind.");
    for (kind, bytes) in counters.bytes() {
        text.sample("response_bytes_total", &[("kind", kind.as_str())], bytes);
    }
    let counted: [(&str, &str, &AtomicU64); 4] = [
        ("hot_cache_hits_total", "Responses from the memory cache.", &counters.cache_hits),
        ("hot_cache_misses_total", "Requests for files that were not in the memory cache.", &counters.cache_misses),
        ("connections_total", "Accepted connections.", &counters.total_connections),
        ("log_lines_dropped_total", "Log lines dropped because the output was blocked.", &counters.dropped_log_lines),
    ];
    for (name, help, counter) in counted {
        text.counter_value(name, help, counter.load(Relaxed));
    }
    text.gauge_value("open_connections", "Open connections.", counters.open_connections.load(Relaxed));
}

fn job_metrics(text: &mut MetricsText, state: &WebState) {
    text.counter("uploads_total", "Uploads, by result.");
    for (result, count) in [("done", &state.upload_counts.done), ("failed", &state.upload_counts.failed)] {
        text.sample("uploads_total", &[("result", result)], count.load(Relaxed));
    }
    text.counter("jobs_total", "Ended jobs, by kind and result.");
    for (kind, job_state, count) in state.jobs.ended_counts() {
        text.sample("jobs_total", &[("kind", kind_label(kind)), ("result", result_label(job_state))], count);
    }
    text.gauge_value("jobs_running", "Running jobs.", u64::from(state.jobs.running_id().is_some()));
    if let Some(audit) = state.last_audit.get() {
        text.gauge_value("last_audit_problems", "Problems that the last audit found.", audit.problems_total);
        let help = "When the last audit ended, in seconds since 1970.";
        text.gauge_value("last_audit_timestamp_seconds", help, unix_seconds(audit.finished));
    }
}

fn incoming_metrics(text: &mut MetricsText, tally: &ImportCounters, folder: Option<&IncomingFolder>) {
    text.counter("imports_total", "Completed import attempts of the incoming folder, by result.");
    for (result, count) in [("done", &tally.imported), ("failed", &tally.rejected)] {
        text.sample("imports_total", &[("result", result)], count.load(Relaxed));
    }
    let failed = tally.watcher_failed.load(Relaxed);
    text.gauge_value("watcher_failed", "Whether a bug ended the watcher; the server needs a restart.", failed.into());
    let Some(folder) = folder else { return };
    let watching = folder.watching && !failed;
    text.gauge_value("watching", "Whether the server imports bundles of the incoming folder.", watching.into());
    text.gauge("incoming_bundles", "Bundles that are not imported: incomplete, waiting for another one, or rejected.");
    let (arriving, waiting) = (folder.arriving.len() as u64, folder.waiting.len() as u64);
    for (state, count) in [("arriving", arriving), ("waiting", waiting), ("failed", folder.failed_total)] {
        text.sample("incoming_bundles", &[("state", state)], count);
    }
}

fn live_metrics(text: &mut MetricsText, snapshot: &MetricsSnapshot) {
    text.gauge_value("live", "Whether live mode is on.", snapshot.is_enabled.into());
    let counted = [
        ("live_index_requests_total", "Index requests to upstream.", snapshot.index_requests),
        ("live_misses_total", "Requested files that were not stored.", snapshot.misses),
        ("live_fetches_total", "File requests to upstream.", snapshot.fetches),
        ("live_fetched_bytes_total", "Bytes of valid downloads.", snapshot.fetched_bytes),
        ("live_mismatches_total", "Downloads with a checksum mismatch.", snapshot.mismatches),
        ("live_failures_total", "Failed downloads of files that upstream lists.", snapshot.failures),
        ("live_abandoned_total", "Downloads cancelled because every client disconnected.", snapshot.abandoned),
        ("live_stale_total", "Responses from a stale copy, because upstream failed.", snapshot.stale_responses),
        ("live_placed_total", "Files stored in the mirror.", snapshot.stored),
        ("live_not_placed_total", "Batches of files that could not be stored.", snapshot.store_failures),
        (
            "live_crates_used_bytes_total",
            "Bytes of fetched crates that a client requested.",
            snapshot.crates_used_bytes,
        ),
        ("live_ahead_total", "Prefetched crates.", snapshot.prefetched),
        ("live_ahead_bytes_total", "Bytes that upstream sent of those.", snapshot.fetched_ahead_bytes),
        ("live_ahead_used_total", "Prefetched crates that a client requested afterwards.", snapshot.prefetch_hits),
        ("live_ahead_used_bytes_total", "Bytes of those.", snapshot.ahead_used_bytes),
        ("live_ahead_wasted_total", "Prefetched crates that no client requested in time.", snapshot.ahead_wasted),
        ("live_ahead_wasted_bytes_total", "Bytes that upstream sent of those.", snapshot.ahead_wasted_bytes),
    ];
    for (name, help, value) in counted {
        text.counter_value(name, help, value);
    }
    if !snapshot.upstreams.is_empty() {
        text.gauge(
            "live_upstream_up",
            "Whether an upstream of live mode is in use; 0 while it is suspended after failures.",
        );
    }
    for upstream in &snapshot.upstreams {
        text.sample("live_upstream_up", &[("of", upstream.service)], u64::from(upstream.state != "down"));
    }
}

fn mirror_metrics(text: &mut MetricsText, status: Option<&Status>) {
    let readable = status.filter(|status| status.summary_loss.is_none());
    text.gauge_value(
        "mirror_readable",
        "Whether the mirror's state is readable; if not, its metrics are missing.",
        readable.is_some().into(),
    );
    let Some(status) = readable else { return };
    let counts = &status.counts;
    let gauges = [
        ("mirror_crates", "Crate names in the mirror.", counts.crates),
        ("mirror_versions", "Crate files in the mirror.", counts.versions),
        ("mirror_crate_bytes", "Bytes of crate files.", counts.bytes),
        ("mirror_rustup_artifacts", "Dist files in the mirror.", counts.dist_files),
        ("mirror_rustup_artifact_bytes", "Bytes of dist files.", counts.dist_file_bytes),
        ("mirror_imports", "Recorded imports.", status.imports),
        ("mirror_lost_records", "Import records that the mirror lost.", status.lost_records),
        ("mirror_doubtful_histories", "Histories whose newest bundle is doubtful.", status.doubts.len() as u64),
    ];
    for (name, help, value) in gauges {
        text.gauge_value(name, help, value);
    }
    if let Some(last) = status.last_import {
        text.gauge("last_import_timestamp_seconds", "Time of the newest import, in seconds since 1970.");
        text.sample("last_import_timestamp_seconds", &[], unix_seconds(last));
    }
}

fn kind_label(kind: JobKind) -> &'static str {
    match kind {
        JobKind::Gc => "gc",
        JobKind::Export => "export",
        JobKind::Verify => "verify",
        JobKind::Import => "import",
    }
}

fn result_label(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Stopped => "stopped",
    }
}

fn unix_seconds(time: jiff::Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or(0)
}

/// A text of metric families.
#[derive(Default)]
struct MetricsText(String);

impl MetricsText {
    /// Starts a counter family.
    fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    /// A counter without labels.
    fn counter_value(&mut self, name: &str, help: &str, value: u64) {
        self.counter(name, help);
        self.sample(name, &[], value);
    }

    /// A gauge without labels.
    fn gauge_value(&mut self, name: &str, help: &str, value: u64) {
        self.gauge(name, help);
        self.sample(name, &[], value);
    }

    /// Starts a gauge family.
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
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if index == 0 { '{' } else { ',' };
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
    fn special_characters_are_escaped() {
        let mut text = MetricsText::default();
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
