//! Tests of histories over several fetches.

use std::time::Duration;

use super::*;
use crate::crate_id::CrateId;
use crate::event::NullSink;
use crate::index_line::IndexLine;
use crate::inputs::input_id::{InputKind, Label};

fn crate_ref(name: &str, yanked: bool) -> CrateRef {
    CrateRef { id: CrateId::parse(name, "1.0.0").expect("valid"), sha256: Sha256::of(name.as_bytes()), size: 7, yanked }
}

fn input(name: &str, crates: &[&str]) -> InputSet {
    InputSet {
        id: InputId { label: name.to_owned(), kind: InputKind::Depends },
        path: None,
        fetched: String::new(),
        roots: Vec::new(),
        skipped_packages: Vec::new(),
        crates: crates.iter().map(|name| crate_ref(name, false)).collect(),
        toolchain_request: None,
        dist_files: Vec::new(),
    }
}

fn input_ref(name: &str) -> InputRef {
    InputRef { text: name.to_owned(), path: PathBuf::from("/").join(name) }
}

fn bundle(plan: &BundlePlan) -> BundleRecord {
    BundleRecord {
        id: format!("{:032}", plan.sequence),
        file: "x.pkg".to_owned(),
        sequence: plan.sequence,
        created: "2026-01-01T00:00:00Z".to_owned(),
        kind: "full".to_owned(),
        size: 7,
        introduced_dist_files: Vec::new(),
        refreshed: Vec::new(),
        introduced: plan.introduced_crates(&DeltaBase::default()),
    }
}

fn fetch(folder: &Path, today: Vec<InputSet>) -> BundlePlan {
    let mut history = LockedHistory::open(folder, "fetch", &NullSink).expect("open");
    let plan = history.plan(today, &[]).expect("plan");
    let came = plan.introduced_crates(&history.base(None).expect("base"));
    history.record(&plan, [], BundleRecord { introduced: came, ..bundle(&plan) }).expect("record");
    plan
}

fn names(plan: &BundlePlan) -> Vec<String> {
    plan.crates.keys().map(|id| id.name.to_string()).collect()
}

#[test]
fn sent_crates_and_their_index_lines_are_recorded() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let line = |name: &str, yanked: bool| {
        let cksum = Sha256::of(name.as_bytes());
        format!(r#"{{"name":"{name}","vers":"1.0.0","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#)
    };
    let record = |crates: &[&str], lines: &[(&str, bool)], refreshed: &[&str]| {
        let mut history = LockedHistory::open(folder.path(), "fetch", &NullSink).expect("open");
        let plan = history.plan(vec![input("/a", crates)], &[]).expect("plan");
        let parse = |(name, yanked): &(&str, bool)| IndexLine::parse(&line(name, *yanked)).expect("valid");
        let lines: Vec<IndexLine> = lines.iter().map(parse).collect();
        let came = plan.introduced_crates(&history.base(None).expect("base"));
        let refreshed = refreshed.iter().map(|name| crate_ref(name, false)).collect();
        let record = BundleRecord { introduced: came, refreshed, ..bundle(&plan) };
        history.record(&plan, &lines, record).expect("record");
    };
    record(&["x", "y"], &[("x", false), ("y", false)], &[]);
    record(&["y"], &[("y", false)], &[]);
    record(&["y", "z"], &[("x", true), ("z", false)], &["x"]);
    let memory = History::read(folder.path()).expect("read");
    assert_eq!(memory.sent_crates().keys().map(|id| id.name.as_str()).collect::<Vec<_>>(), ["x", "y", "z"]);
    let lines = memory.sent_lines().expect("lines");
    let stored: Vec<(&str, bool)> = lines.values().map(|line| (line.id.name.as_str(), line.yanked)).collect();
    assert_eq!(stored, [("x", true), ("y", false), ("z", false)]);
    let refreshed_count = |base: Option<&DeltaBase>| memory.refreshed_since(base).len();
    let of = |sequence: u64| memory.base(Some(&format!("{sequence:032}"))).expect("base");
    assert_eq!(
        [
            refreshed_count(None),
            refreshed_count(Some(&of(1))),
            refreshed_count(Some(&of(2))),
            refreshed_count(Some(&of(3)))
        ],
        [1, 1, 1, 0]
    );
    fs::write(folder.path().join("lines"), "rot").expect("write");
    assert!(memory.sent_lines().expect("lines").is_empty());
}

#[test]
fn crates_of_other_inputs_stay_in_the_plan() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let first = fetch(folder.path(), vec![input("a", &["x", "shared"])]);
    let second = fetch(folder.path(), vec![input("b", &["shared", "y"])]);
    assert_eq!(second.lineage, first.lineage);
    assert_eq!((first.sequence, second.sequence), (1, 2));
    assert_eq!(second.parent, Some(bundle(&first)));
    assert_eq!(names(&second), ["shared", "x", "y"]);
    let third = fetch(folder.path(), vec![input("a", &["shared"])]);
    assert_eq!(names(&third), ["shared", "y"]);
    assert!(third.has_changes, "a set that shrank is news");
}

#[test]
fn has_changes_only_when_a_set_or_a_yanked_flag_differs() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fetch(folder.path(), vec![input("a", &["x"]), input("b", &["x"])]);
    let history = LockedHistory::open(folder.path(), "fetch", &NullSink).expect("open");
    let plan = |today| history.plan(today, &[]).expect("plan");
    assert!(!plan(vec![input("a", &["x"])]).has_changes);
    assert!(plan(vec![input("a", &["x", "y"])]).has_changes);
    assert!(!plan(vec![input("a", &["x"])]).has_changes, "planning changes nothing");
    let mut yanked = input("a", &[]);
    yanked.crates.push(crate_ref("x", true));
    let now = plan(vec![yanked]);
    assert!(now.has_changes);
    assert!(now.inputs.iter().all(|input| input.crates[0].yanked));
}

#[test]
fn forgetting_an_unknown_input_is_an_error() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fetch(folder.path(), vec![input("a", &["x"]), input("b", &["y"])]);
    let history = LockedHistory::open(folder.path(), "fetch", &NullSink).expect("open");
    let plan = history.plan(Vec::new(), &[input_ref("a")]).expect("plan");
    assert_eq!(names(&plan), ["y"]);
    let error = history.plan(Vec::new(), &[input_ref("c")]).expect_err("unknown");
    assert!(error.to_string().contains("its inputs are: `a (depends.toml)`, `b (depends.toml)`"), "{error}");
}

#[test]
fn conflicting_digests_of_one_version_are_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fetch(folder.path(), vec![input("a", &["x"])]);
    let history = LockedHistory::open(folder.path(), "fetch", &NullSink).expect("open");
    let mut other = input("b", &["x"]);
    other.crates[0].sha256 = Sha256::of(b"something else");
    let error = history.plan(vec![other], &[]).expect_err("conflict");
    assert!(matches!(error, Error::Conflict(conflict) if conflict.input == "a (depends.toml)"));
}

#[test]
fn a_damaged_history_is_refused_and_left_untouched() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fetch(folder.path(), vec![input("a", &["x"])]);
    let path = folder.path().join("lineage.json");
    let good = fs::read_to_string(&path).expect("read");
    for bad in [&good[..good.len() / 2], "", "{}", &good.replace("\"lineage\": \"", "\"lineage\": \"x")] {
        fs::write(&path, bad).expect("write");
        let error = LockedHistory::open(folder.path(), "fetch", &NullSink).expect_err("damaged");
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).expect("read"), bad);
    }
    for (found, newer) in [(4, true), (2, false)] {
        fs::write(&path, good.replace("\"format\": 3", &format!("\"format\": {found}"))).expect("write");
        let error = LockedHistory::open(folder.path(), "fetch", &NullSink).expect_err("another format");
        assert!(
            matches!(error, Error::UnsupportedFormat { found: f, newer: n, .. } if (f, n) == (found, newer)),
            "{error}"
        );
    }
}

#[test]
fn a_second_fetch_waits_for_the_first() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let first = LockedHistory::open(folder.path(), "fetch", &NullSink).expect("open");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| LockedHistory::open(folder.path(), "fetch", &NullSink));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().expect("no panic").is_ok());
    });
}

#[test]
fn a_bundle_is_found_by_its_id_or_by_a_file_name_that_only_it_has() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fetch(folder.path(), vec![input("a", &["x"])]);
    let base = |name: &str| History::read(folder.path()).expect("read").base(Some(name));
    let found = base("somewhere/x.pkg").expect("found");
    assert!(found.is_newest && found.has_crate(&crate_ref("x", false).id, Sha256::of(b"x")));
    assert!(!found.has_crate(&crate_ref("x", false).id, Sha256::of(b"y")));
    assert!(base("y.pkg").expect_err("unknown").to_string().contains("has no bundle `y.pkg`"));
    fetch(folder.path(), vec![input("a", &["x", "y"])]);
    assert!(base("x.pkg").expect_err("two").to_string().contains("has more than one bundle `x.pkg`"));
    let first = base(&format!("{:032}", 1)).expect("found");
    assert!(!first.is_newest && first.has_crate(&crate_ref("x", false).id, Sha256::of(b"x")));
    assert!(!first.has_crate(&crate_ref("y", false).id, Sha256::of(b"y")), "it came later");
}

#[test]
fn unknown_sizes_are_taken_from_earlier_bundles() {
    let folder = tempfile::tempdir().expect("temporary folder");
    fetch(folder.path(), vec![input("a", &["x"])]);
    let mut today = input("a", &["x", "y"]);
    today.crates.iter_mut().for_each(|existing| existing.size = 0);
    let plan = History::read(folder.path()).expect("read").plan(vec![today], &[]).expect("plan");
    assert_eq!(plan.crates.values().map(|existing| existing.size).collect::<Vec<_>>(), [7, 0]);
}

#[test]
fn an_input_is_found_by_its_label_its_shown_name_or_its_path() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = |label: &str, kind, path: &str| InputSet {
        id: InputId { label: label.to_owned(), kind },
        path: Some(PathBuf::from(path)),
        ..input(label, &["x"])
    };
    let both =
        vec![file("app", InputKind::Depends, "/1/depends.toml"), file("app", InputKind::Lockfile, "/1/Cargo.lock")];
    fetch(folder.path(), both);
    let mut history = LockedHistory::open(folder.path(), "fetch", &NullSink).expect("open");
    assert!(matches!(history.forget(&input_ref("app")), Err(Error::AmbiguousInput { names, .. }) if names.len() == 2));
    let shown = history.find_input(&input_ref("app (Cargo.lock)")).expect("shown");
    assert_eq!(shown.id.kind, InputKind::Lockfile);
    let by_path = history.find_input(&input_ref("1/depends.toml")).expect("its file");
    assert_eq!(by_path.id.kind, InputKind::Depends);
    let label: Label = "web".parse().expect("label");
    history.relabel(&input_ref("app (Cargo.lock)"), &label).expect("relabel");
    assert!(matches!(history.relabel(&input_ref("app"), &label).expect("another kind").1.kind, InputKind::Depends));
    history.forget(&input_ref("web (depends.toml)")).expect("forget");
    let left: Vec<String> =
        History::read(folder.path()).expect("read").inputs().iter().map(|one| one.id.to_string()).collect();
    assert_eq!(left, ["web (Cargo.lock)"]);
    assert!(matches!(history.forget(&input_ref("app")), Err(Error::UnknownInput { .. })));
}

#[test]
fn a_label_is_refused_while_its_other_file_exists() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (old, new) = (folder.path().join("old.lock"), folder.path().join("new.lock"));
    for path in [&old, &new] {
        fs::write(path, b"x").expect("write");
    }
    let mut known = input("a", &["x"]);
    known.path = Some(old.clone());
    fetch(folder.path(), vec![known.clone()]);
    let refused = |path: &Path| History::read(folder.path()).expect("read").check_label(&known.id, path).is_err();
    assert!(refused(&new) && !refused(&old));
    fs::remove_file(&old).expect("remove");
    assert!(!refused(&new), "a checkout that was moved");
}

#[test]
fn a_label_is_refused_while_the_other_workspace_exists_without_a_lock() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let workspace = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("folder");
        fs::write(path.join("Cargo.toml"), b"[package]").expect("write");
        path.join("Cargo.lock")
    };
    let (old, new) = (workspace("old"), workspace("new"));
    let mut known = input("svc", &["x"]);
    known.path = Some(old.clone());
    fetch(folder.path(), vec![known.clone()]);
    let refused = |path: &Path| History::read(folder.path()).expect("read").check_label(&known.id, path).is_err();
    assert!(refused(&new) && !refused(&old));
    assert!(!refused(&folder.path().join("new/../old/Cargo.lock")), "the same workspace");
    fs::remove_file(old.with_file_name("Cargo.toml")).expect("remove");
    assert!(!refused(&new), "the other workspace is gone");
}
