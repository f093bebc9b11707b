//! Live mode as the pages show it: whether it is on and where it fetches from, what it was good for so far, and what is wrong.

use super::sentence;
use super::shown::{Moment, count, counted};
use crate::console::state::State;
use crate::event;
use crate::mirror::live::Figures;
use crate::proxy::figures::{Figured, UpstreamHealth};
use crate::serve::counters::{Asked, Counters};

/// Statuses with which a file is given, or known to be at the client's.
const GIVEN: [u16; 3] = [200, 206, 304];

/// Whether live mode is on, and what it makes of its upstreams.
pub(super) struct Standing {
    pub(super) on: bool,
    /// Whether `offline` forbids switching it on.
    pub(super) offline: bool,
    /// Why it is on and asks nobody, as a sentence.
    pub(super) trouble: Option<String>,
    pub(super) upstreams: Vec<Upstream>,
    /// What it brought so far and is held.
    pub(super) brought: Option<String>,
}

/// One of the upstreams.
pub(super) struct Upstream {
    pub(super) name: &'static str,
    pub(super) state: &'static str,
    pub(super) bad: bool,
    pub(super) address: Option<String>,
    pub(super) why: Option<String>,
}

/// The dashboard's card.
pub(super) struct Card {
    pub(super) standing: Standing,
    pub(super) hits: String,
    pub(super) rate: String,
    pub(super) misses: String,
    pub(super) fetched: String,
    pub(super) saved: String,
    pub(super) ahead: String,
    pub(super) ahead_result: String,
    pub(super) stale: Figure,
    pub(super) failures: Figure,
    pub(super) mismatches: Figure,
    pub(super) since: Moment,
}

/// A number that is best when it is none.
pub(super) struct Figure {
    pub(super) count: String,
    pub(super) none: bool,
}

/// What somebody has to look at.
pub(super) struct Alarm {
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) text: String,
}

/// What the mirror gave by itself.
#[derive(Debug, PartialEq, Eq)]
struct Given {
    /// Files that were given and did not have to be fetched for that.
    hits: u64,
    /// Bytes that upstream did not have to send.
    saved: u64,
}

impl Given {
    /// Of the answers about crates and toolchains, which had so many bytes, those that live mode was not needed for.
    fn of(answers: impl Iterator<Item = (Asked, Option<u16>, u64)>, bytes: u64, figured: &Figured) -> Given {
        let files =
            answers.filter(|(asked, status, _)| is_file(*asked) && status.is_some_and(|one| GIVEN.contains(&one)));
        let given: u64 = files.map(|(.., count)| count).sum();
        // A miss is counted before its answer.
        let hits = given.saturating_sub(figured.misses_given);
        // Without a hit nothing was saved: what is over then is the text of refusals.
        Given { hits, saved: if hits == 0 { 0 } else { bytes.saturating_sub(figured.misses_given_bytes) } }
    }

    fn now(counters: &Counters, figured: &Figured) -> Given {
        let bytes = counters.bytes().filter(|(asked, _)| is_file(*asked)).map(|(_, bytes)| bytes).sum();
        Given::of(counters.answers(), bytes, figured)
    }
}

fn is_file(asked: Asked) -> bool {
    matches!(asked, Asked::Crate | Asked::Dist | Asked::Rustup)
}

impl Standing {
    /// `brought`: what the mirror holds of it.
    pub(super) fn of(figured: &Figured, brought: Figures) -> Standing {
        Standing {
            on: figured.on,
            offline: figured.offline,
            trouble: figured.trouble.as_deref().map(sentence),
            upstreams: figured.upstreams.iter().map(Upstream::of).collect(),
            brought: self::brought(brought),
        }
    }
}

/// What live mode brought and the mirror holds; `None`: nothing.
pub(super) fn brought(Figures { crates, artifacts, bytes }: Figures) -> Option<String> {
    (crates + artifacts > 0).then(|| format!("{} ({})", event::contents(crates, artifacts), event::size(bytes)))
}

impl Upstream {
    fn of(health: &UpstreamHealth) -> Upstream {
        Upstream {
            name: name_of(health.of),
            state: match health.state {
                "down" => "down",
                "shaky" => "the last request failed",
                "unasked" => "not asked yet",
                _ => "good",
            },
            bad: matches!(health.state, "shaky" | "down"),
            address: health.address.clone(),
            why: health.why.as_deref().map(sentence),
        }
    }
}

fn name_of(upstream: &str) -> &'static str {
    match upstream {
        "index" => "Index",
        "crates" => "Crates",
        _ => "Toolchains",
    }
}

impl Card {
    /// `None` where live mode is off, and there is nothing of it to tell.
    pub(super) fn of(state: &State, figured: &Figured, brought: Figures) -> Option<Card> {
        let Figured { on, misses, fetches, fetched_bytes, index_requests, stale, failures, mismatches, .. } = *figured;
        let was_on = index_requests + misses + fetches + stale + failures + mismatches > 0;
        if !on && !was_on && brought == Figures::default() {
            return None;
        }
        let Given { hits, saved } = Given::now(&state.options.counters, figured);
        let figure = |number| Figure { count: count(number), none: number == 0 };
        Some(Card {
            standing: Standing::of(figured, brought),
            hits: count(hits),
            rate: rate(hits, misses),
            misses: count(misses),
            fetched: match fetches {
                0 => "nothing was fetched".to_owned(),
                _ => format!("{} from upstream, {}", counted(fetches, "download"), event::size(fetched_bytes)),
            },
            saved: event::size(saved),
            ahead: count(figured.fetched_ahead),
            ahead_result: ahead_result(figured),
            stale: figure(stale),
            failures: figure(failures),
            mismatches: figure(mismatches),
            since: Moment::of(state.started),
        })
    }
}

/// How many of a hundred files were there.
fn rate(hits: u64, misses: u64) -> String {
    match (hits, hits + misses) {
        (_, 0) => "nothing was asked for".to_owned(),
        // What is nearly all is not all.
        (hits, all) => format!("{} % of what was asked for", u128::from(hits) * 100 / u128::from(all)),
    }
}

/// What became of crates that were fetched before a client requested them.
fn ahead_result(figured: &Figured) -> String {
    let Figured { fetched_ahead, fetched_ahead_bytes, ahead_used, ahead_used_bytes, .. } = *figured;
    if fetched_ahead == 0 {
        return "no crate was fetched before a client requested it".to_owned();
    }
    format!(
        "{}; {} ({}) used, {} ({}) wasted",
        event::size(fetched_ahead_bytes),
        count(ahead_used),
        event::size(ahead_used_bytes),
        count(figured.ahead_wasted),
        event::size(figured.ahead_wasted_bytes)
    )
}

/// What is wrong, the worst first.
pub(super) fn alarms(figured: &Figured) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    let mut add = |id, title: String, text| alarms.push(Alarm { id, title, text });
    if figured.mismatches > 0 {
        let files = counted(figured.mismatches, "file");
        add(
            "mismatch",
            "Upstream sent other bytes than its index promises".to_owned(),
            format!(
                "{files} since the start of the server. Nothing of that was kept, and no client was given it as whole. Upstream, \
                 or something on the way to it, alters files: the log names them."
            ),
        );
    }
    if let Some(trouble) = &figured.trouble {
        let text = format!("{} What is held is served; what is not cannot be had.", sentence(trouble));
        add("live-trouble", "Live mode can ask nobody".to_owned(), text);
    }
    for upstream in figured.upstreams.iter().filter(|upstream| upstream.state == "down") {
        let (id, of) = match upstream.of {
            "index" => ("index-down", "the index"),
            "crates" => ("crates-down", "crates"),
            _ => ("dist-down", "toolchains"),
        };
        let why = upstream.why.as_deref().map(sentence).unwrap_or_default();
        let text = format!("{why} What is held is served; upstream is asked again from time to time.");
        add(id, format!("The upstream of {of} is down"), text.trim().to_owned());
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hits, and bytes saved, of answers with 5000 bytes.
    fn given(answers: &[(Asked, Option<u16>, u64)], misses_given: u64, misses_given_bytes: u64) -> (u64, u64) {
        let figured = Figured { misses_given, misses_given_bytes, ..Figured::default() };
        let Given { hits, saved } = Given::of(answers.iter().copied(), 5000, &figured);
        (hits, saved)
    }

    #[test]
    fn hits_are_what_was_given_without_a_miss() {
        let answers = [
            (Asked::Crate, Some(200), 10),
            (Asked::Crate, Some(206), 2),
            (Asked::Crate, Some(304), 1),
            (Asked::Dist, Some(200), 4),
            (Asked::Rustup, Some(200), 3),
            // None of these is a file of the mirror that was given.
            (Asked::Index, Some(200), 1000),
            (Asked::Page, Some(200), 1000),
            (Asked::Crate, Some(404), 50),
            (Asked::Crate, None, 50),
        ];
        assert_eq!(given(&answers, 0, 0), (20, 5000));
        assert_eq!(given(&answers, 8, 1200), (12, 3800));
        // Never less than nothing: what is on its way is a miss already.
        assert_eq!(given(&answers, 21, 1000), (0, 0));
        assert_eq!(given(&answers, 1, 9000), (19, 0));
        assert_eq!(given(&[(Asked::Crate, Some(404), 9)], 0, 0), (0, 0));
    }

    #[test]
    fn shares_of_hits_do_not_flatter() {
        assert_eq!(rate(0, 0), "nothing was asked for");
        assert_eq!(rate(0, 3), "0 % of what was asked for");
        assert_eq!(rate(999, 1), "99 % of what was asked for");
        assert_eq!(rate(3, 0), "100 % of what was asked for");
    }

    #[test]
    fn what_was_fetched_ahead_is_shown_with_what_was_wasted() {
        assert_eq!(ahead_result(&Figured::default()), "no crate was fetched before a client requested it");
        let figured = Figured {
            fetched_ahead: 12,
            fetched_ahead_bytes: 500,
            ahead_used: 9,
            ahead_used_bytes: 400,
            ahead_wasted: 2,
            ahead_wasted_bytes: 60,
            ..Figured::default()
        };
        assert_eq!(ahead_result(&figured), "500 B; 9 (400 B) used, 2 (60 B) wasted");
    }

    #[test]
    fn what_is_wrong_is_said_the_worst_first() {
        assert!(alarms(&Figured { on: true, stale: 3, failures: 2, ..Figured::default() }).is_empty());
        let health =
            |of, state, why: Option<&str>| UpstreamHealth { of, address: None, state, why: why.map(str::to_owned) };
        let upstreams = vec![
            health("index", "shaky", Some("reset")),
            health("crates", "down", Some("connection refused")),
            health("dist", "good", None),
        ];
        let figured = Figured { on: true, mismatches: 2, upstreams, ..Figured::default() };
        let told: Vec<(&str, String)> =
            alarms(&figured).into_iter().map(|one| (one.id, one.title + ": " + &one.text)).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].1.contains("its index promises: 2 files since"), "{told:?}");
        assert!(told[1].1.starts_with("The upstream of crates is down: Connection refused. What is held"), "{told:?}");
        let figured = Figured { on: true, trouble: Some("no network".to_owned()), ..Figured::default() };
        assert!(alarms(&figured)[0].text.starts_with("No network. "));
    }
}
