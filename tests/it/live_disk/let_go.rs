//! What live mode brought, in collections, audits and rebuilds; what is let go of it, and what goes because it is too much.

use frostmirror::mirror::audit::audit;
use frostmirror::mirror::gc::{self, Evicted, Live, Options};
use frostmirror::mirror::lock::lock_for_collecting;
use frostmirror::mirror::status::Status;
use jiff::Timestamp;

use super::*;
use crate::gc::{collect, collect_at};
use crate::support::sandbox::Sandbox;

const SIGABRT: i32 = 128 + 6;

fn live_row(mirror: &Path, forget: &[&str]) -> Option<Live> {
    let forget = forget.iter().map(|word| (*word).to_owned()).collect();
    let options = Options { grace: Duration::ZERO, forget, accept: Vec::new(), now: at(100) };
    gc::preview(&Layout::new(mirror), &options).unwrap().live
}

fn evict(mirror: &Path, cap: u64, used: &[(&str, i64)]) -> Evicted {
    let used: BTreeMap<String, Timestamp> =
        used.iter().map(|(path, second)| ((*path).to_owned(), at(*second))).collect();
    let mut guard = lock_for_collecting(&Layout::new(mirror), Duration::ZERO, &me(), &Silent).unwrap();
    guard.evict_live(cap, &used, at(200), &Silent).unwrap()
}

fn problems(mirror: &Path) -> Vec<String> {
    audit(&Layout::new(mirror), &Silent).unwrap().problems.iter().map(ToString::to_string).collect()
}

fn listed(mirror: &Path) -> BTreeSet<String> {
    held(mirror).1
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_live_mode_brought_stays_until_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    imported(folder.path(), &mirror);
    place(&mirror, &[Crate::new("json", "1.0.0"), Crate::new("live", "1.0.0").dep("json", "^1")], 10);
    let bytes = figures(&mirror).bytes;
    let status = Status::read(&Layout::new(&mirror)).unwrap();
    assert_eq!((status.live.crates, status.live.bytes, status.counts.versions), (2, bytes, 3));
    let row = Live { crates: 2, artifacts: 0, bytes, forgotten: false };
    assert_eq!(live_row(&mirror, &[]), Some(row.clone()));
    assert_eq!(collect_at(&mirror, 20, 0).crates, 0);
    assert_eq!(live_row(&mirror, &["live"]), Some(Live { forgotten: true, ..row }));

    // Its line goes, its crate waits; it came with live mode, and is no stranger.
    let collected = collect(&mirror, 30, 600, &["live"]).unwrap();
    assert_eq!((collected.lines, collected.crates, collected.waiting), (1, 0, 1));
    assert_eq!(listed(&mirror), names(&["json-1.0.0", "serde-1.0.0"]));
    assert_eq!(figures(&mirror), Figures::default());
    assert_eq!(live::forgotten(&Layout::new(&mirror)).unwrap().len(), 2);
    assert_agreement(&mirror);
    let collected = collect_at(&mirror, 700, 600);
    assert_eq!((collected.crates, collected.waiting), (1, 0));
    assert_agreement(&mirror);
    // What a bundle brought too is still there, and is still known.
    let forgotten = live::forgotten(&Layout::new(&mirror)).unwrap();
    assert_eq!(forgotten.iter().map(|one| one.what.to_string()).collect::<Vec<_>>(), ["json 1.0.0"]);
    assert_eq!(live_row(&mirror, &[]), None);

    // It comes again, and counts again.
    place(&mirror, &[Crate::new("live", "1.0.0").dep("json", "^1")], 800);
    collect_at(&mirror, 900, 0);
    assert!(listed(&mirror).contains("live-1.0.0"));
    assert_agreement(&mirror);
}

#[test]
fn a_mirror_that_live_mode_alone_feeds_is_collected_too() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    place(&mirror, &[Crate::new("a", "1.0.0")], 1);
    place_artifacts(&mirror, release(&mirror, "2026-04-16", "1.95.0", 1), 1);
    collect_at(&mirror, 2, 0);
    assert_eq!(listed(&mirror), names(&["a-1.0.0"]));
    assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"]);
    assert_agreement(&mirror);
    collect(&mirror, 3, 0, &["live"]).unwrap();
    assert!(view(&mirror).keys().all(|path| path.ends_with('/') || path == "crates/index"), "{:?}", view(&mirror));
    assert_eq!(live::forgotten(&Layout::new(&mirror)).unwrap(), []);
    assert_agreement(&mirror);
}

#[test]
fn the_least_recently_used_go_first_and_nothing_that_a_bundle_names() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    imported(folder.path(), &mirror);
    let of = |name: &str| Crate::new(name, "1.0.0").weighing(20_000);
    place(&mirror, &[of("old"), of("older")], 10);
    place(&mirror, &[of("new"), Crate::new("serde", "1.0.0").dep("json", "^1")], 20);
    let component = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    place_artifacts(&mirror, release(&mirror, "2026-04-16", "1.95.0", 15), 15);
    assert_agreement(&mirror);
    assert_eq!(evict(&mirror, u64::MAX, &[]).crates, 0);

    let evicted = evict(&mirror, 45_000, &[("crates/older-1.0.0.crate", 50)]);
    assert_eq!((evicted.crates, evicted.artifacts), (2, 1), "{evicted:?}");
    assert!(evicted.left <= 40_500);
    assert!(!mirror.join(&component).exists(), "it was placed before `new` was");
    assert!(!mirror.join("crates/old-1.0.0.crate").exists());
    assert_eq!(listed(&mirror), names(&["json-1.0.0", "older-1.0.0", "serde-1.0.0"]));
    assert_eq!(live::forgotten(&Layout::new(&mirror)).unwrap(), []);
    assert!(!mirror.join("index/ne").exists(), "no empty folder is left");
    assert_agreement(&mirror);
    figures(&mirror);

    // Manifests and what a bundle names stay, whatever the limit.
    evict(&mirror, 0, &[]);
    assert_eq!(listed(&mirror), names(&["json-1.0.0", "serde-1.0.0"]));
    assert_eq!(toolchains(&mirror), ["stable (2026-04-16)"]);
    assert!(records(&mirror).contains_key("crates/serde-1.0.0.crate"));
    assert_agreement(&mirror);
    assert_eq!(collect_at(&mirror, 300, 0).crates, 0);
}

#[test]
fn letting_go_killed_anywhere_is_completed_by_the_next_collection() {
    let sandbox = Sandbox::new();
    let mut passed = 0;
    for checkpoint in gc::CHECKPOINTS.iter().chain(&["written:counts"]) {
        let mirror = sandbox.path("mirror");
        imported(&sandbox.path(""), &mirror);
        place(&mirror, &[Crate::new("live", "1.0.0").dep("json", "^1"), Crate::new("zeta", "1.0.0")], 10);
        let words = ["gc", "--mirror", "mirror", "--forget", "live", "--grace", "0"];
        let died = sandbox.process(words).envs([("FROSTMIRROR_CRASH_AT", checkpoint)]).run();
        passed += usize::from(died.code == SIGABRT);
        assert_sound(&mirror);
        figures(&mirror);
        sandbox.run(words).ok();
        assert_eq!(listed(&mirror), names(&["json-1.0.0", "serde-1.0.0"]), "{checkpoint}");
        assert_agreement(&mirror);
        assert_eq!(live::forgotten(&Layout::new(&mirror)).unwrap(), []);
        fs::remove_dir_all(&mirror).unwrap();
    }
    assert_eq!(passed, gc::CHECKPOINTS.len() + 1);
}

#[test]
fn an_audit_holds_the_records_against_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    place(&mirror, &[Crate::new("a", "1.0.0"), Crate::new("b", "1.0.0")], 1);
    let path = format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz");
    place_artifacts(&mirror, vec![artifact(&mirror, &path, b"cargo", 1)], 1);
    assert_agreement(&mirror);
    let layout = Layout::new(&mirror);

    // A record without a line, or without a file, is what must be fetched again.
    let line = fs::read(mirror.join("index/1/a")).unwrap();
    let lines = fs::read(layout.lines().join("1/a")).unwrap();
    fs::remove_file(mirror.join("index/1/a")).unwrap();
    fs::remove_file(layout.lines().join("1/a")).unwrap();
    fs::remove_file(mirror.join("crates/b-1.0.0.crate")).unwrap();
    let found = audit(&layout, &Silent).unwrap();
    let repairs: Vec<String> = found.repairs.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(repairs, ["a 1.0.0", "b 1.0.0"]);
    let told = problems(&mirror).join("\n");
    assert!(told.contains("index/1/a: the line of a 1.0.0 is missing, which live/records names"), "{told}");
    fs::write(mirror.join("index/1/a"), line).unwrap();
    fs::write(layout.lines().join("1/a"), lines).unwrap();
    place(&mirror, &[Crate::new("b", "1.0.0")], 2);
    assert_agreement(&mirror);

    // A log that was left behind says what mends it; the lock does.
    fs::write(layout.live_placing(), "damaged").unwrap();
    let told = problems(&mirror).join("\n");
    assert!(told.contains(".frostmirror/live/placing: live mode was killed"), "{told}");
    drop(adding(&mirror));
    assert_agreement(&mirror);

    // Numbers and lines that are none are made anew, and nothing is lost by that.
    fs::write(layout.live_counts(), r#"{"crates":9,"artifacts":0,"bytes":1}"#).unwrap();
    let text = fs::read_to_string(layout.live_records()).unwrap();
    fs::write(layout.live_records(), text.replacen("\"name\":\"a\"", "\"name\":7", 1)).unwrap();
    let told = problems(&mirror).join("\n");
    assert!(told.contains("live/records: line 1 is no record") && told.contains("live/counts: says"), "{told}");
    let rebuilt = adding(&mirror).rebuild(at(50), &Silent).unwrap();
    assert_eq!((rebuilt.kept, rebuilt.audit.problems.len()), (Some(1), 0), "{:?}", rebuilt.audit.problems);
    assert!(rebuilt.live && !adding(&mirror).rebuild(at(55), &Silent).unwrap().live);
    figures(&mirror);
    collect_at(&mirror, 60, 0);
    assert_eq!(listed(&mirror), names(&["a-1.0.0", "b-1.0.0"]));

    // Without any records the crates are kept as those of lost imports are.
    fs::remove_dir_all(layout.live()).unwrap();
    fs::remove_file(layout.artifacts()).unwrap();
    let rebuilt = adding(&mirror).rebuild(at(70), &Silent).unwrap();
    assert_eq!(rebuilt.kept, Some(2));
    collect_at(&mirror, 80, 0);
    assert_eq!(listed(&mirror), names(&["a-1.0.0", "b-1.0.0"]));
}
