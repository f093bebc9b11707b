//! Content of a rejected bundle gives way where other bundles need the same crate or path, and they restore it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::DistFileState::Shipped;
use frostmirror::bundle::format::{CrateState, DistFileState};
use frostmirror::bundle::open::Bundle;
use frostmirror::digest::Sha256;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use super::assert_records_agree;
use crate::bundle_builder::{BundleBuilder, import, public_files};
use crate::import_dist_files::{HOST, channel_manifest, full_bundle, read_text};
use crate::live_store::store_crates;
use crate::snapshot::export;
use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

const STABLE: &str = "dist/channel-rust-stable.toml";
const DATE: &str = "2026-04-16";
const RELEASE: &str = "1.95.0";

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

/// The same crate, whose index line has another field.
fn json_with(field: &str, value: &str) -> Crate {
    let line = json().pack().line;
    json().line(&format!("{},\"{field}\":\"{value}\"}}", line.strip_suffix('}').unwrap()))
}

fn json_with_time() -> Crate {
    json_with("pubtime", "2026-01-01T00:00:00Z")
}

/// The id of the bundle in a file.
pub fn bundle_id(path: &Path) -> String {
    Bundle::open(fs::File::open(path).unwrap(), "x.pkg").unwrap().manifest().id.clone()
}

/// The argument that rejects the bundle in a file.
pub fn rejection(path: &Path) -> String {
    let bundle = Bundle::open(fs::File::open(path).unwrap(), "x.pkg").unwrap();
    format!("{}@{}", bundle.manifest().lineage.id, bundle.manifest().id)
}

fn reject(sandbox: &Sandbox, argument: &str) -> Run {
    sandbox.run(["gc", "--grace", "0", "--reject", argument, "--mirror", "mirror"]).ok()
}

fn import_again(sandbox: &Sandbox, file: &str) {
    sandbox.run(["import", file, "--mirror", "mirror"]).ok().stderr_lacks("already imported");
    sandbox.run(["import", file, "--mirror", "mirror"]).ok().stderr_has("already imported");
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    run.stdout_lacks("To reset").stdout_lacks("Import again").stdout_has("Removed 0 crates, freed 0 bytes");
    assert_records_agree(&sandbox.path("mirror"));
}

/// The public files of a mirror of these bundles alone.
pub fn reference(sandbox: &Sandbox, bundles: &[&PathBuf]) -> BTreeMap<String, Vec<u8>> {
    let mirror = sandbox.path("reference");
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let files = public_files(&mirror);
    fs::remove_dir_all(mirror).unwrap();
    files
}

/// The genuine release with other bytes at each of its mutable paths. Upstream was read later.
fn forged_names() -> BundleBuilder {
    let text = format!("{}# forged\n", channel_manifest(DATE, RELEASE));
    let digest = format!("{}  forged\n", Sha256::of(text.as_bytes()));
    let names = [
        STABLE.to_owned(),
        format!("dist/channel-rust-{RELEASE}.toml"),
        format!("dist/{DATE}/channel-rust-stable.toml"),
    ];
    let make = full_bundle("evil", 1, DATE, RELEASE, "1.29.0").read_at(100);
    let make = names.iter().fold(make, |make, name| {
        make.dist_file(name, &text, Shipped).dist_file(&format!("{name}.sha256"), &digest, Shipped)
    });
    make.dist_file("rustup/release-stable.toml", "version = \"99.0.0\"\n# forged\n", Shipped).dist_file(
        &format!("rustup/dist/{HOST}/rustup-init"),
        "forged",
        Shipped,
    )
}

#[test]
fn files_of_a_rejected_bundle_are_removed_and_restored_by_the_next_import() {
    for is_forged_first in [false, true] {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("");
        let genuine = full_bundle("a", 1, DATE, RELEASE, "1.29.0").write(&folder, "genuine.pkg");
        let forged = forged_names().write(&folder, "forged.pkg");
        let expected = reference(&sandbox, &[&genuine]);
        let mirror = sandbox.path("mirror");
        let order = if is_forged_first { [&forged, &genuine] } else { [&genuine, &forged] };
        order.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        assert!(read_text(&mirror, STABLE).contains("# forged"));
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_lacks("Import again");
        let term = rejection(&forged);
        let id = bundle_id(&genuine);
        let plan = sandbox.run(["gc", "--dry-run", "--reject", &term, "--mirror", "mirror"]).ok();
        plan.stdout_has(&format!("Import again: genuine.pkg (bundle number 1, id {id}), which restores "));
        assert!(read_text(&mirror, STABLE).contains("# forged"));
        let args = ["gc", "--grace", "1h", "--reject", &term, "--mirror", "mirror", "--message-format", "json"];
        let run = sandbox.run(args).ok();
        let line = run.stdout.lines().find(|line| line.contains(r#""reason":"collected""#)).unwrap();
        let report: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(report["import_again"][0]["file"], "genuine.pkg");
        for (path, bytes) in public_files(&mirror) {
            assert!(!String::from_utf8_lossy(&bytes).contains("forged"), "{path} is served");
        }
        sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has(STABLE).stdout_has("genuine.pkg");
        import_again(&sandbox, "genuine.pkg");
        assert_eq!(public_files(&mirror), expected);
    }
}

#[test]
fn a_rebuild_does_not_expect_the_files_of_a_rejected_bundle() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let genuine = full_bundle("a", 1, DATE, RELEASE, "1.29.0").write(&folder, "genuine.pkg");
    let forged = forged_names().write(&folder, "forged.pkg");
    let mirror = sandbox.path("mirror");
    [&genuine, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    reject(&sandbox, &rejection(&forged));
    fs::remove_file(mirror.join(".frostmirror/artifacts.json")).unwrap();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state", "--repair-list", "list.jsonl"]).exits(4);
    let list = sandbox.read("list.jsonl");
    let digest = Sha256::of(channel_manifest(DATE, RELEASE).as_bytes()).to_string();
    assert!(list.contains(&digest), "{list}");
    import_again(&sandbox, "genuine.pkg");
}

#[test]
fn files_that_both_bundles_state_stay() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    full_bundle("a", 1, DATE, RELEASE, "1.29.0").write(&folder, "genuine.pkg");
    let copy = full_bundle("evil", 1, DATE, RELEASE, "1.29.0").read_at(100).write(&folder, "copy.pkg");
    for file in ["genuine.pkg", "copy.pkg"] {
        import(&sandbox.path("mirror"), &sandbox.path(file)).unwrap();
    }
    let before = public_files(&sandbox.path("mirror"));
    let recorded = sandbox.read("mirror/.frostmirror/artifacts.json");
    reject(&sandbox, &rejection(&copy)).stdout_has("which restores 1 index line\n");
    assert_eq!(public_files(&sandbox.path("mirror")), before);
    assert_ne!(sandbox.read("mirror/.frostmirror/artifacts.json"), recorded, "the earlier time counts again");
    sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("may be that of a rejected bundle");
    import_again(&sandbox, "genuine.pkg");
    assert_eq!(public_files(&sandbox.path("mirror")), before);
}

/// Bundles of the crate `json` with changed lines, none of which contradicts the crate.
fn forged_lines() -> [(BundleBuilder, &'static str); 4] {
    let make = || BundleBuilder::new("evil", 1).read_at(100);
    [
        (make().ship(json().yanked()), r#""yanked":true"#),
        (make().refresh(json().yanked()).ship(Crate::new("other", "1.0.0")), r#""yanked":true"#),
        (make().ship(json_with("pubtime", "2027-01-01T00:00:00Z")), "2027"),
        (make().with_crate(json().yanked(), CrateState::IndexOnly), r#""yanked":true"#),
    ]
}

fn json_line(mirror: &Path) -> String {
    read_text(mirror, "index/js/on/json")
}

#[test]
fn a_line_of_a_rejected_bundle_gives_way_to_any_other() {
    for (case, (forged, difference)) in forged_lines().into_iter().enumerate() {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("");
        let genuine = BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg");
        let newer = BundleBuilder::new("b", 1).read_at(5).ship(json_with_time()).write(&folder, "newer.pkg");
        let forged = forged.write(&folder, "forged.pkg");
        let expected = reference(&sandbox, &[&genuine, &newer]);
        let mirror = sandbox.path("mirror");
        [&genuine, &newer, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
        assert!(json_line(&mirror).contains(difference), "{case}: {}", json_line(&mirror));
        let run = reject(&sandbox, &rejection(&forged));
        run.stdout_has("To reset: 1 index line from a rejected bundle")
            .stdout_has(&format!(
                "Import again: newer.pkg (bundle number 1, id {}), which restores 1 index line\n",
                bundle_id(&newer)
            ))
            .stdout_lacks("genuine.pkg (");
        // Everything names the line until a bundle replaces it.
        sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Import again: newer.pkg (");
        sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has("Import again: newer.pkg (");
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4);
        run.stdout_has("json 1.0.0 may be that of a rejected bundle")
            .stderr_has(&format!("gc --mirror {} --dry-run", mirror.display()));
        if case % 2 == 0 {
            sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"]).ok().stderr_lacks("already imported");
        }
        import_again(&sandbox, "newer.pkg");
        assert_eq!(public_files(&mirror), expected, "{case}");
    }
}

#[test]
fn a_line_that_another_bundle_stated_with_the_same_time_stays() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let genuine = BundleBuilder::new("a", 1).read_at(5).ship(json()).write(&folder, "genuine.pkg");
    let forged = BundleBuilder::new("evil", 1).read_at(5).ship(json()).write(&folder, "forged.pkg");
    let mirror = sandbox.path("mirror");
    [&genuine, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let before = sandbox.read("mirror/.frostmirror/lines/js/on/json");
    reject(&sandbox, &rejection(&forged)).stdout_lacks("To reset").stdout_lacks("Import again");
    assert_eq!(sandbox.read("mirror/.frostmirror/lines/js/on/json"), before);
    sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"]).ok().stderr_has("already imported");
}

#[test]
fn of_two_lines_with_one_time_that_of_the_rejected_bundle_gives_way() {
    for is_forged_first in [false, true] {
        for forged_is_greater in [false, true] {
            let sandbox = Sandbox::new();
            let folder = sandbox.path("");
            let [lesser, greater] = [json(), json().yanked()];
            assert!(lesser.clone().pack().line < greater.clone().pack().line);
            let (of_genuine, of_forged) = if forged_is_greater { (lesser, greater) } else { (greater, lesser) };
            let genuine = BundleBuilder::new("a", 1).read_at(5).ship(of_genuine).write(&folder, "genuine.pkg");
            let forged = BundleBuilder::new("evil", 1).read_at(5).ship(of_forged).write(&folder, "forged.pkg");
            let expected = reference(&sandbox, &[&genuine]);
            let mirror = sandbox.path("mirror");
            let order = if is_forged_first { [&forged, &genuine] } else { [&genuine, &forged] };
            order.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
            // A third import must not forget that there are two lines.
            let other = BundleBuilder::new("b", 1).ship(Crate::new("json", "1.1.0")).write(&folder, "other.pkg");
            import(&mirror, &other).unwrap();
            order.iter().for_each(|bundle| assert!(import(&mirror, bundle).unwrap().already_imported));
            reject(&sandbox, &rejection(&forged)).stdout_has("Import again: genuine.pkg ");
            import_again(&sandbox, "genuine.pkg");
            let line = String::from_utf8(expected["index/js/on/json"].clone()).unwrap();
            assert_eq!(json_line(&mirror).lines().next(), line.lines().next(), "{is_forged_first} {forged_is_greater}");
        }
    }
}

#[test]
fn a_waiting_line_of_a_rejected_bundle_is_dropped() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let mirror = sandbox.path("mirror");
    let refreshing = BundleBuilder::new("b", 1).read_at(7).refresh(json_with_time());
    let refreshing = refreshing.ship(Crate::new("other", "1.0.0")).write(&folder, "refreshing.pkg");
    let forged = BundleBuilder::new("evil", 1).read_at(100).refresh(json().yanked()).ship(Crate::new("evil", "1.0.0"));
    let forged = forged.write(&folder, "forged.pkg");
    [&refreshing, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    assert!(sandbox.read("mirror/.frostmirror/pending-lines").contains("\"yanked\":true"));
    reject(&sandbox, &rejection(&forged)).stdout_has("Import again: refreshing.pkg ");
    assert_eq!(sandbox.read("mirror/.frostmirror/pending-lines"), "");
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Import again: refreshing.pkg ");
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has("Import again: refreshing.pkg ");
    import_again(&sandbox, "refreshing.pkg");
    import(&mirror, &BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg")).unwrap();
    assert!(json_line(&mirror).contains("pubtime"), "{}", json_line(&mirror));
}

#[test]
fn a_crate_that_only_a_rejected_bundle_states_is_removed_although_its_name_is_needed() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let mirror = sandbox.path("mirror");
    let evil = json().file("evil.rs", "").dep("other", "^1");
    let forged =
        BundleBuilder::new("evil", 1).ship(evil).ship(Crate::new("other", "1.0.0")).write(&folder, "forged.pkg");
    import(&mirror, &forged).unwrap();
    let genuine = BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg");
    // It names the crate for another input, so nothing compares the checksums.
    let naming = BundleBuilder::new("a", 2).with_crate(json(), CrateState::Kept).ship(Crate::new("b", "1.0.0"));
    import(&mirror, &naming.write(&folder, "naming.pkg")).unwrap();
    reject(&sandbox, &rejection(&forged)).stdout_has("No bundle on record restores 1 replaced item (json 1.0.0)");
    let files = public_files(&mirror);
    assert!(!files.contains_key("crates/json-1.0.0.crate") && !files.contains_key("index/js/on/json"));
    import(&mirror, &genuine).unwrap();
    assert!(json_line(&mirror).contains(&json().pack().cksum));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn the_content_of_a_rejected_snapshot_gives_way() {
    for is_hidden in [false, true] {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("");
        let genuine = full_bundle("a", 1, DATE, RELEASE, "1.29.0").ship(json()).write(&folder, "genuine.pkg");
        let other = sandbox.path("other");
        import(&other, &genuine).unwrap();
        let terms = if is_hidden {
            // The snapshot has no history but the genuine one.
            alter_line(&other);
            Vec::new()
        } else {
            let forged = forged_names().ship(json().yanked()).write(&folder, "forged.pkg");
            import(&other, &forged).unwrap();
            vec![rejection(&forged)]
        };
        let snapshot = export(&other, &sandbox.path("out")).path;
        let id = bundle_id(&snapshot);
        for term in terms.into_iter().chain([format!("snapshot@{}", &id[..8])]) {
            let mirror = sandbox.path("mirror");
            import(&mirror, &genuine).unwrap();
            let before = public_files(&mirror);
            import(&mirror, &snapshot).unwrap();
            assert!(json_line(&mirror).contains(r#""yanked":true"#), "{}", json_line(&mirror));
            let run = reject(&sandbox, &term).stdout_has("Import again: genuine.pkg (bundle number 1, id ");
            if term.starts_with("snapshot") {
                run.stdout_has(&format!("id {id}, with its histories\n"));
            }
            import_again(&sandbox, "genuine.pkg");
            assert_eq!(public_files(&mirror), before, "{term}");
            if term.starts_with("snapshot") {
                assert!(!import(&mirror, &snapshot).unwrap().already_imported, "a rejected snapshot is new again");
            }
            fs::remove_dir_all(mirror).unwrap();
        }
    }
}

/// Yanks the crate `json` in a mirror, with the record of the line.
fn alter_line(mirror: &Path) {
    let (path, records) = (mirror.join("index/js/on/json"), mirror.join(".frostmirror/lines/js/on/json"));
    let line = json().yanked().pack().line;
    fs::write(path, format!("{line}\n")).unwrap();
    let record = format!("1.0.0 2027-01-01T00:00:00Z {} {} held\n", json().pack().cksum, Sha256::of(line.as_bytes()));
    fs::write(records, record).unwrap();
}

#[test]
fn a_snapshot_is_named_as_the_source_of_its_histories() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let genuine = BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg");
    import(&sandbox.path("other"), &genuine).unwrap();
    let snapshot = export(&sandbox.path("other"), &sandbox.path("out")).path;
    let mirror = sandbox.path("mirror");
    import(&mirror, &snapshot).unwrap();
    let before = public_files(&mirror);
    let forged = BundleBuilder::new("evil", 1).read_at(9000).ship(json().yanked()).write(&folder, "forged.pkg");
    import(&mirror, &forged).unwrap();
    let name = snapshot.file_name().unwrap().to_str().unwrap();
    let run = reject(&sandbox, &rejection(&forged));
    run.stdout_has(&format!(
        "Import again: {name} (snapshot, id {}), which restores 1 index line\n",
        bundle_id(&snapshot)
    ));
    import_again(&sandbox, snapshot.to_str().unwrap());
    assert_eq!(public_files(&mirror), before);
}

#[test]
fn a_bundle_of_a_forgotten_lineage_can_be_rejected() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let genuine = BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg");
    let forged = BundleBuilder::new("evil", 1).read_at(100).ship(json().yanked()).write(&folder, "forged.pkg");
    let mirror = sandbox.path("mirror");
    [&genuine, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let term = rejection(&forged);
    let lineage = term.split_once('@').unwrap().0;
    sandbox.run(["gc", "--grace", "0", "--forget", lineage, "--mirror", "mirror"]).ok().stdout_lacks("To reset");
    assert!(json_line(&mirror).contains(r#""yanked":true"#));
    reject(&sandbox, &term).stdout_has("Import again: genuine.pkg ");
    import_again(&sandbox, "genuine.pkg");
    assert!(json_line(&mirror).contains(r#""yanked":false"#));
    let run = sandbox.run(["gc", "--reject", "snapshot@ffff", "--mirror", "mirror"]).exits(3);
    run.stderr_has("no bundle on record in lineage `snapshot` has an id that starts with `ffff`");
}

#[test]
fn a_rejection_and_new_imports_in_any_order_leave_no_trace_of_a_false_bundle() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for order in orders {
        for again in [[0, 1], [1, 0]] {
            let sandbox = Sandbox::new();
            let folder = sandbox.path("");
            let older = full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").ship(json()).write(&folder, "0.pkg");
            let newer = full_bundle("b", 1, DATE, RELEASE, "1.29.0").read_at(5).ship(json_with_time());
            let newer = newer.write(&folder, "1.pkg");
            let forged = forged_names().ship(json().yanked()).write(&folder, "2.pkg");
            let expected = reference(&sandbox, &[&older, &newer]);
            let mirror = sandbox.path("mirror");
            order.iter().for_each(|at| drop(import(&mirror, &folder.join(format!("{at}.pkg"))).unwrap()));
            reject(&sandbox, &rejection(&forged));
            again.iter().for_each(|at| drop(import(&mirror, &folder.join(format!("{at}.pkg"))).unwrap()));
            assert_eq!(public_files(&mirror), expected, "{order:?} {again:?}");
            assert_records_agree(&mirror);
        }
    }
}

#[test]
fn a_run_after_a_killed_one_completes_the_rejection() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let genuine = full_bundle("a", 1, DATE, RELEASE, "1.29.0").ship(json()).write(&folder, "genuine.pkg");
    let forged = forged_names().ship(json().yanked()).write(&folder, "forged.pkg");
    let expected = reference(&sandbox, &[&genuine]);
    let mirror = sandbox.path("mirror");
    [&genuine, &forged].iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    // On a full disk, the note is written before the files are removed.
    let lineage = rejection(&forged).split_once('@').unwrap().0.to_owned();
    fs::write(mirror.join(format!(".frostmirror/ledger/00000002-{lineage}-00000002.rejected")), "{}").unwrap();
    let run = sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    run.stdout_has("Import again: genuine.pkg (").stdout_has(" which restores 2 index lines and 8 files\n");
    import_again(&sandbox, "genuine.pkg");
    assert_eq!(public_files(&mirror), expected);
}

#[test]
fn a_line_of_a_rejected_live_history_gives_way() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("");
    let genuine = BundleBuilder::new("a", 1).ship(json()).write(&folder, "genuine.pkg");
    let other = sandbox.path("other");
    import(&other, &genuine).unwrap();
    store_crates(&other, &[json().yanked()], 100);
    let snapshot = export(&other, &sandbox.path("out")).path;
    let manifest = Bundle::open(fs::File::open(&snapshot).unwrap(), "x.pkg").unwrap().manifest().clone();
    let live = manifest.carried_histories.iter().find(|one| one.bundle != bundle_id(&genuine)).unwrap();
    let mirror = sandbox.path("mirror");
    import(&mirror, &genuine).unwrap();
    let before = public_files(&mirror);
    import(&mirror, &snapshot).unwrap();
    assert!(json_line(&mirror).contains(r#""yanked":true"#));
    let run = reject(&sandbox, &format!("{}@{}", live.lineage.id, live.bundle));
    run.stdout_has("To reset: 1 index line ").stdout_has("Import again: genuine.pkg ");
    import_again(&sandbox, "genuine.pkg");
    assert_eq!(public_files(&mirror), before);
}

fn bb(number: u64) -> Crate {
    Crate::new(&format!("bb{number}"), "1.0.0")
}

/// Imports `a1`, `b1` and `b2`, and loses the records of both bundles of `b`.
fn import_and_lose_b(sandbox: &Sandbox) -> PathBuf {
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundles = [
        BundleBuilder::new("a", 1).ship(json()).write(&folder, "a1.pkg"),
        BundleBuilder::new("b", 1).ship(bb(1)).write(&folder, "b1.pkg"),
    ];
    let delta = BundleBuilder::new("b", 2).based_on(&bundle_id(&bundles[1])).with_crate(bb(1), CrateState::Sent);
    let delta = delta.ship(bb(2)).dist_file(COMPONENT, "genuine", Shipped).write(&folder, "b2.pkg");
    bundles.iter().chain([&delta]).for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let layout = Layout::new(&mirror);
    for name in &ledger::record_names(&layout).unwrap()[1..] {
        fs::remove_file(layout.ledger().join(name)).unwrap();
    }
    mirror
}

const COMPONENT: &str = "dist/2026-03-05/cargo-1.94.0-x86_64-unknown-linux-gnu.tar.xz";

#[test]
fn files_of_lost_records_survive_the_rejection_of_a_bundle_that_lists_them() {
    for state in [CrateState::Sent, CrateState::Shipped] {
        for is_rebuilt_first in [true, false] {
            let sandbox = Sandbox::new();
            let mirror = import_and_lose_b(&sandbox);
            let rebuild = || drop(sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok());
            if is_rebuilt_first {
                rebuild();
            }
            let of_files = if state == CrateState::Sent { DistFileState::Sent } else { Shipped };
            let base = bundle_id(&sandbox.path("a1.pkg"));
            let forged = BundleBuilder::new("a", 2).based_on(&base).read_at(100);
            let forged = forged.with_crate(bb(1), state).with_crate(bb(2), state);
            let forged = forged.ship(Crate::new("evil", "1.0.0")).dist_file(COMPONENT, "genuine", of_files);
            let forged = forged.write(&sandbox.path(""), "forged.pkg");
            import(&mirror, &forged).unwrap();
            if !is_rebuilt_first {
                rebuild();
            }
            let run = reject(&sandbox, &rejection(&forged)).stdout_lacks("evil 1.0.0, ").stdout_lacks("(evil");
            for path in ["crates/bb1-1.0.0.crate", "crates/bb2-1.0.0.crate", COMPONENT] {
                assert!(mirror.join(path).exists(), "{path} {state:?} {is_rebuilt_first}: {}", run.describe());
            }
            sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has("may be that of a rejected bundle");
            sandbox.run(["import", "b2.pkg", "--mirror", "mirror"]).ok();
            sandbox.run(["import", "a1.pkg", "--mirror", "mirror"]).ok();
            sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
            assert!(mirror.join("crates/bb1-1.0.0.crate").exists());
        }
    }
}

#[test]
fn forged_files_give_way_to_other_bundles_while_records_are_lost() {
    let sandbox = Sandbox::new();
    let mirror = import_and_lose_b(&sandbox);
    sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    let folder = sandbox.path("");
    let genuine = full_bundle("c", 1, DATE, RELEASE, "1.29.0").write(&folder, "genuine.pkg");
    let forged = forged_names().write(&folder, "forged.pkg");
    for bundle in [&genuine, &forged] {
        import(&mirror, bundle).unwrap();
    }
    assert!(read_text(&mirror, STABLE).contains("# forged"));
    reject(&sandbox, &rejection(&forged)).stdout_has("Import again: genuine.pkg ");
    assert!(!mirror.join(STABLE).exists());
    sandbox.run(["import", "genuine.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}
