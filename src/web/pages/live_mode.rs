//! The pages' view of live mode: its state, its upstreams, its benefit so far, and its problems.

use super::format::{DisplayTime, format_count, format_quantity, sentence};
use crate::event;
use crate::live::metrics::{MetricsSnapshot, UpstreamHealth};
use crate::mirror::live::LiveTotals;
use crate::server::metrics::{RequestKind, ServerMetrics};
use crate::web::state::WebState;

/// Statuses of a successful file response, including 304.
const SERVED_STATUSES: [u16; 3] = [200, 206, 304];

/// The state of live mode and its upstreams.
pub(super) struct LiveStatus {
    pub(super) on: bool,
    /// Whether `offline` forbids live mode.
    pub(super) offline: bool,
    /// Why live mode is on but sends no requests, as a sentence.
    pub(super) trouble: Option<String>,
    pub(super) upstreams: Vec<UpstreamRow>,
    /// The stored files that it fetched.
    pub(super) stored: Option<String>,
}

/// An upstream.
pub(super) struct UpstreamRow {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    pub(super) bad: bool,
    pub(super) address: Option<String>,
    pub(super) why: Option<String>,
}

/// The dashboard's card.
pub(super) struct LiveCard {
    pub(super) status: LiveStatus,
    pub(super) savings: Savings,
    pub(super) rate: String,
    pub(super) ahead_result: String,
    pub(super) metrics: MetricsSnapshot,
    pub(super) since: DisplayTime,
}

/// A problem that needs attention.
pub(super) struct Alarm {
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) text: String,
}

/// Requests that the mirror answered without upstream.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Savings {
    /// Files served without a fetch.
    pub(super) hits: u64,
    /// Bytes that upstream did not have to send.
    pub(super) saved: u64,
}

impl Savings {
    /// Computes the hits from the responses for crates and toolchains, and their bytes.
    fn compute(
        answers: impl Iterator<Item = (RequestKind, Option<u16>, u64)>,
        bytes: u64,
        metrics: &MetricsSnapshot,
    ) -> Savings {
        let files = answers.filter(|(requested, status, _)| {
            is_mirror_file(*requested) && status.is_some_and(|one| SERVED_STATUSES.contains(&one))
        });
        let served: u64 = files.map(|(.., count)| count).sum();
        // A miss is counted before its response.
        let hits = served.saturating_sub(metrics.served_misses);
        // Without a hit nothing was saved: the remaining bytes are error messages.
        Savings { hits, saved: if hits == 0 { 0 } else { bytes.saturating_sub(metrics.served_miss_bytes) } }
    }

    fn current(counters: &ServerMetrics, metrics: &MetricsSnapshot) -> Savings {
        let bytes = counters.bytes().filter(|(requested, _)| is_mirror_file(*requested)).map(|(_, bytes)| bytes).sum();
        Savings::compute(counters.responses(), bytes, metrics)
    }
}

fn is_mirror_file(kind: RequestKind) -> bool {
    matches!(kind, RequestKind::Crate | RequestKind::Dist | RequestKind::Rustup)
}

impl LiveStatus {
    /// `totals`: the files that it stored; `None` if its records cannot be read.
    pub(super) fn new(metrics: &MetricsSnapshot, totals: Option<LiveTotals>) -> LiveStatus {
        LiveStatus {
            on: metrics.is_enabled,
            offline: metrics.offline,
            trouble: metrics.config_error.as_deref().map(sentence),
            upstreams: metrics.upstreams.iter().map(UpstreamRow::new).collect(),
            stored: describe_totals(totals),
        }
    }
}

/// The stored files that live mode fetched; `None` if there are none.
pub(super) fn describe_totals(totals: Option<LiveTotals>) -> Option<String> {
    let Some(LiveTotals { crates, dist_files: artifacts, bytes }) = totals else {
        return Some("an unknown number of files, because its records cannot be read".to_owned());
    };
    (crates + artifacts > 0)
        .then(|| format!("{} ({})", event::format_contents(crates, artifacts), event::format_size(bytes)))
}

impl UpstreamRow {
    fn new(health: &UpstreamHealth) -> UpstreamRow {
        UpstreamRow {
            name: upstream_name(health.service),
            state: match health.state {
                "down" => "down",
                "shaky" => "the last request failed",
                "unasked" => "not used yet",
                _ => "good",
            },
            bad: matches!(health.state, "shaky" | "down"),
            address: health.address.clone(),
            why: health.reason.as_deref().map(sentence),
        }
    }
}

fn upstream_name(upstream: &str) -> &'static str {
    match upstream {
        "index" => "Index",
        "crates" => "Crates",
        _ => "Toolchains",
    }
}

impl LiveCard {
    /// `None` if live mode is off and never fetched anything.
    pub(super) fn new(state: &WebState, metrics: &MetricsSnapshot, totals: LiveTotals) -> Option<LiveCard> {
        let MetricsSnapshot { misses, fetches, index_requests, stale_responses, failures, mismatches, .. } = *metrics;
        let was_on = index_requests + misses + fetches + stale_responses + failures + mismatches > 0;
        if !metrics.is_enabled && !was_on && totals == LiveTotals::default() {
            return None;
        }
        let savings = Savings::current(&state.options.server_metrics, metrics);
        Some(LiveCard {
            status: LiveStatus::new(metrics, Some(totals)),
            rate: hit_rate(savings.hits, misses),
            savings,
            ahead_result: ahead_result(metrics),
            metrics: metrics.clone(),
            since: DisplayTime::Known(state.started),
        })
    }
}

/// The hit rate in percent.
fn hit_rate(hits: u64, misses: u64) -> String {
    match (hits, hits + misses) {
        (_, 0) => "no requests yet".to_owned(),
        // A rate just below 100 % is rounded down.
        (hits, all) => format!("{} % of the requests", u128::from(hits) * 100 / u128::from(all)),
    }
}

/// The outcome of prefetched crates.
fn ahead_result(figured: &MetricsSnapshot) -> String {
    let MetricsSnapshot {
        prefetched: fetched_ahead,
        fetched_ahead_bytes,
        prefetch_hits: ahead_used,
        ahead_used_bytes,
        ..
    } = *figured;
    if fetched_ahead == 0 {
        return "no crate was prefetched".to_owned();
    }
    format!(
        "{}; {} ({}) used, {} ({}) wasted",
        event::format_size(fetched_ahead_bytes),
        format_count(ahead_used),
        event::format_size(ahead_used_bytes),
        format_count(figured.ahead_wasted),
        event::format_size(figured.ahead_wasted_bytes)
    )
}

/// The problems, most severe first.
pub(super) fn alarms(metrics: &MetricsSnapshot) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut add = |id, title: String, text| alarms.push(Alarm { id, title, text });
    if metrics.mismatches > 0 {
        let files = format_quantity(metrics.mismatches, "file");
        add(
            "mismatch",
            "Files from upstream do not match its index".to_owned(),
            format!(
                "{files} since the server started. The server discarded them, and no client received a complete one. Upstream, or a proxy before it, alters files: the log names them."
            ),
        );
    }
    if let Some(trouble) = &metrics.config_error {
        let text = format!("{} Stored files are served; other files are unavailable.", sentence(trouble));
        add("live-trouble", "Live mode cannot reach upstream".to_owned(), text);
    }
    if let Some(trouble) = metrics.disk_problem() {
        add("live-disk", "The disk of the mirror is full".to_owned(), sentence(&trouble));
    }
    for upstream in metrics.upstreams.iter().filter(|upstream| upstream.state == "down") {
        let (id, of) = match upstream.service {
            "index" => ("index-down", "the index"),
            "crates" => ("crates-down", "crates"),
            _ => ("dist-down", "toolchains"),
        };
        let why = upstream.reason.as_deref().map(sentence).unwrap_or_default();
        let text = format!("{why} Stored files are served; the server retries upstream from time to time.");
        add(id, format!("The upstream of {of} is down"), text.trim().to_owned());
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hits and saved bytes for responses with 5000 bytes.
    fn savings(answers: &[(RequestKind, Option<u16>, u64)], misses_given: u64, misses_given_bytes: u64) -> (u64, u64) {
        let figured = MetricsSnapshot {
            served_misses: misses_given,
            served_miss_bytes: misses_given_bytes,
            ..MetricsSnapshot::default()
        };
        let Savings { hits, saved } = Savings::compute(answers.iter().copied(), 5000, &figured);
        (hits, saved)
    }

    #[test]
    fn unreadable_records_are_not_no_files() {
        assert_eq!(describe_totals(Some(LiveTotals::default())), None);
        assert!(describe_totals(None).is_some_and(|text| text.contains("its records cannot be read")));
    }

    #[test]
    fn hits_are_served_files_without_misses() {
        let answers = [
            (RequestKind::Crate, Some(200), 10),
            (RequestKind::Crate, Some(206), 2),
            (RequestKind::Crate, Some(304), 1),
            (RequestKind::Dist, Some(200), 4),
            (RequestKind::Rustup, Some(200), 3),
            // None of these responses is a file of the mirror.
            (RequestKind::Index, Some(200), 1000),
            (RequestKind::Page, Some(200), 1000),
            (RequestKind::Crate, Some(404), 50),
            (RequestKind::Crate, None, 50),
        ];
        assert_eq!(savings(&answers, 0, 0), (20, 5000));
        assert_eq!(savings(&answers, 8, 1200), (12, 3800));
        // Never below zero: a file in transit is already counted as a miss.
        assert_eq!(savings(&answers, 21, 1000), (0, 0));
        assert_eq!(savings(&answers, 1, 9000), (19, 0));
        assert_eq!(savings(&[(RequestKind::Crate, Some(404), 9)], 0, 0), (0, 0));
    }

    #[test]
    fn hit_rates_are_rounded_down() {
        assert_eq!(hit_rate(0, 0), "no requests yet");
        assert_eq!(hit_rate(0, 3), "0 % of the requests");
        assert_eq!(hit_rate(999, 1), "99 % of the requests");
        assert_eq!(hit_rate(3, 0), "100 % of the requests");
    }

    #[test]
    fn what_was_fetched_ahead_is_shown_with_what_was_wasted() {
        assert_eq!(ahead_result(&MetricsSnapshot::default()), "no crate was prefetched");
        let figured = MetricsSnapshot {
            prefetched: 12,
            fetched_ahead_bytes: 500,
            prefetch_hits: 9,
            ahead_used_bytes: 400,
            ahead_wasted: 2,
            ahead_wasted_bytes: 60,
            ..MetricsSnapshot::default()
        };
        assert_eq!(ahead_result(&figured), "500 B; 9 (400 B) used, 2 (60 B) wasted");
    }

    #[test]
    fn alarms_are_listed_worst_first() {
        assert!(
            alarms(&MetricsSnapshot {
                is_enabled: true,
                stale_responses: 3,
                failures: 2,
                ..MetricsSnapshot::default()
            })
            .is_empty()
        );
        let health = |of, state, why: Option<&str>| UpstreamHealth {
            service: of,
            address: None,
            state,
            reason: why.map(str::to_owned),
        };
        let upstreams = vec![
            health("index", "shaky", Some("reset")),
            health("crates", "down", Some("connection refused")),
            health("dist", "good", None),
        ];
        let figured = MetricsSnapshot { is_enabled: true, mismatches: 2, upstreams, ..MetricsSnapshot::default() };
        let reported: Vec<(&str, String)> =
            alarms(&figured).into_iter().map(|one| (one.id, one.title + ": " + &one.text)).collect();
        assert_eq!(reported.len(), 2, "{reported:?}");
        assert!(reported[0].1.contains("do not match its index: 2 files since"), "{reported:?}");
        assert!(
            reported[1].1.starts_with("The upstream of crates is down: Connection refused. Stored files"),
            "{reported:?}"
        );
        let figured = MetricsSnapshot {
            is_enabled: true,
            config_error: Some("no network".to_owned()),
            ..MetricsSnapshot::default()
        };
        assert!(alarms(&figured)[0].text.starts_with("No network. "));
        let full = Some("2026-04-16T10:00:00Z".to_owned());
        let figured = MetricsSnapshot { is_enabled: true, disk_full_since: full, ..MetricsSnapshot::default() };
        assert!(alarms(&figured)[0].text.starts_with("The disk of the mirror is full since 2026-04-16T10:00:00Z, "));
    }
}
