//! Mirrors that lost files of their state, one or two at a time: every command either works or names the way out, and the
//! way out loses no crate.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{BundleBuilder, import, public_files, test_time};
use crate::live_store::{adding, fetched_crate};
use crate::support::crates::Crate;
use crate::support::http_client::get;
use crate::support::sandbox::Sandbox;

/// The bundles of `mirror_of_two`, and one more.
const BUNDLES: [&str; 3] = ["a.pkg", "b.pkg", "c.pkg"];

fn write_bundles(sandbox: &Sandbox) {
    for history in ["a", "b", "c"] {
        let bundle = BundleBuilder::new(history, 1).ship(Crate::new(&format!("crate-{history}"), "1.0.0"));
        bundle.write(&sandbox.path(""), &format!("{history}.pkg"));
    }
}

/// A mirror of two bundles of two histories, for a static server.
fn mirror_of_two(sandbox: &Sandbox) -> PathBuf {
    write_bundles(sandbox);
    let mirror = sandbox.path("mirror");
    for bundle in &BUNDLES[..2] {
        sandbox.run(["import", bundle, "--mirror", "mirror", "--base-url", "http://mirror.example"]).ok();
    }
    mirror
}

fn remove(path: &Path) {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies the mirror to `copy`.
fn fresh_copy(sandbox: &Sandbox) {
    sandbox.other_program("sh", ["-c", "rm -rf copy snapshot registry; cp -a mirror copy"]).run().ok();
}

const PRIVATE: &str = ".frostmirror";
const SUMMARY: &str = "manifest.json";
const LEDGER: &str = ".frostmirror/ledger";
const CONFIG: &str = "index/config.json";

/// The exit codes of `import`, `gc`, `verify`, `verify --rebuild-state`, `status`, `export snapshot`, `export local-registry`,
/// and whether live mode stores a batch.
type Row = (&'static [&'static str], [i32; 7], bool);

const TABLE: &[Row] = &[
    (&[CONFIG], [0, 0, 0, 0, 0, 0, 0], true),
    (&[PRIVATE], [0, 4, 4, 0, 4, 4, 4], true),
    (&[SUMMARY], [4, 4, 4, 0, 4, 4, 4], false),
    (&[LEDGER], [0, 4, 4, 0, 4, 4, 0], true),
    (&[PRIVATE, SUMMARY], [4, 4, 4, 0, 4, 4, 4], false),
    (&[PRIVATE, CONFIG], [0, 4, 4, 0, 4, 4, 4], true),
    (&[SUMMARY, LEDGER], [4, 4, 4, 0, 4, 4, 4], false),
    (&[SUMMARY, CONFIG], [4, 4, 4, 0, 4, 4, 4], false),
    (&[LEDGER, CONFIG], [0, 4, 4, 0, 4, 4, 0], true),
    // Files without lines. Their bundles restore the lines.
    (&[PRIVATE, SUMMARY, "index"], [4, 4, 4, 4, 4, 4, 4], false),
    (&[PRIVATE, SUMMARY, "crates/index"], [4, 4, 4, 0, 4, 4, 4], false),
];

#[test]
fn every_command_works_or_names_the_way_out() {
    for (lost, codes, live_stores) in TABLE {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_two(&sandbox);
        lost.iter().for_each(|path| remove(&mirror.join(path)));
        let commands: [&[&str]; 7] = [
            &["import", "c.pkg"],
            &["gc", "--grace", "0"],
            &["verify"],
            &["verify", "--rebuild-state"],
            &["status"],
            &["export", "snapshot", "-o", "snapshot"],
            &["export", "local-registry", "registry"],
        ];
        for (args, code) in commands.iter().zip(codes) {
            fresh_copy(&sandbox);
            let run = sandbox.run(args.iter().chain(&["--mirror", "copy"]));
            assert_eq!(run.code, *code, "{lost:?}: {}", run.describe());
            let says = |text: &str| assert!(run.stderr.contains(text), "{lost:?}: {text}\n{}", run.describe());
            let is_lost = |path: &str| lost.contains(&path);
            if *code == 4 && args != &["verify", "--rebuild-state"] {
                says("copy --rebuild-state`");
                // Where manifest.json names the lost record, the hint is about that record.
                let is_named = args[0] == "verify" || !is_lost(PRIVATE) && ["gc", "export"].contains(&args[0]);
                if is_lost(SUMMARY) || !is_named {
                    says("import the newest bundle of each history again");
                }
            }
            if *code == 4 && ["import", "gc", "status", "export"].contains(&args[0]) && is_lost(SUMMARY) {
                says(if is_lost(PRIVATE) && ["gc", "export"].contains(&args[0]) {
                    ".frostmirror` is missing, although the mirror has crates"
                } else {
                    "manifest.json` is missing, although the mirror has "
                });
            }
            if *code == 4 && is_lost(PRIVATE) && args[0] != "verify" {
                assert!(!sandbox.path("copy/.frostmirror").exists(), "{lost:?} {args:?}: nothing is changed");
            }
            assert!(!sandbox.path("snapshot").exists() || *code == 0, "{lost:?}");
        }
        fresh_copy(&sandbox);
        let copy = sandbox.path("copy");
        let fetched = fetched_crate(&copy, &Crate::new("live", "1.0.0").pack(), 50);
        let stored = adding(&copy).store_live(vec![fetched], Vec::new(), Vec::new(), test_time(60), &NullSink);
        assert_eq!(stored.is_ok(), *live_stores, "{lost:?}: {stored:?}");
    }
}

#[test]
fn the_way_out_loses_no_crate() {
    for (lost, codes, _) in TABLE {
        for imports_first in [false, true] {
            let sandbox = Sandbox::new();
            let mirror = mirror_of_two(&sandbox);
            let served = public_files(&mirror);
            lost.iter().for_each(|path| remove(&mirror.join(path)));
            let run = |args: &[&str]| sandbox.run(args.iter().chain(&["--mirror", "mirror"]));
            if imports_first {
                run(&["import", "c.pkg"]).exits(codes[0]);
            }
            run(&["verify", "--rebuild-state"]).exits(codes[3]);
            let kept = || {
                let now = public_files(&mirror);
                let is_crate = |path: &&String| path.starts_with("crates/") && path.ends_with(".crate");
                let crates = served.keys().filter(is_crate);
                crates.for_each(|path| assert_eq!(now.get(path), served.get(path), "{lost:?} {path}"));
            };
            kept();
            run(&["gc", "--grace", "0"]).ok();
            kept();
            for bundle in BUNDLES {
                run(&["import", bundle]).ok();
            }
            run(&["gc", "--forget", "rebuilt", "--grace", "0"]);
            kept();
            run(&["verify"]).ok().stdout_has("OK -- 3 crates");
            run(&["status"]).ok().stdout_has("Crate count: 3\n");
            run(&["export", "snapshot", "-o", "snapshot"]).ok();
        }
    }
}

#[test]
fn a_folder_of_another_program_is_no_mirror_that_lost_its_records() {
    let sandbox = Sandbox::new();
    write_bundles(&sandbox);
    // A local registry, and a program's own folder dist/.
    sandbox.write("registry/index/se/rd/serde", "{}");
    sandbox.write("registry/serde-1.0.0.crate", "x");
    sandbox.write("web/dist/app.js", "x");
    sandbox.write("web/dist/2026/app.js", "x");
    sandbox.write("other/crates/serde-1.0.0.crate", "x");
    sandbox.write("other/README.md", "x");
    for folder in ["registry", "other"] {
        sandbox.run(["import", "a.pkg", "--mirror", folder]).exits(3).stderr_has("is not empty and is not a mirror");
        sandbox.run(["verify", "--mirror", folder]).exits(3).stderr_has("no mirror is at");
    }
    sandbox.run(["verify", "--mirror", "web"]).exits(3).stderr_has("no mirror is at");
    sandbox.run(["import", "a.pkg", "--mirror", "web"]).ok();
}

#[test]
fn a_rebuild_without_manifest_json_names_the_newest_bundle_of_each_history() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_two(&sandbox);
    // Number 2 needs the same crate as number 1, so its loss leaves no trace in the index.
    let later = BundleBuilder::new("b", 2).ship(Crate::new("crate-b", "1.0.0"));
    let lineage = later.lineage().to_owned();
    import(&mirror, &later.write(&sandbox.path(""), "b2.pkg")).unwrap();
    let layout = Layout::new(&mirror);
    let names = ledger::record_names(&layout).unwrap();
    fs::remove_file(layout.ledger().join(names.last().unwrap())).unwrap();
    fs::remove_file(layout.summary()).unwrap();
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    let id = names[1].trim_end_matches(".json").split_once('-').unwrap().1;
    let run = run
        .stderr_has("manifest.json was lost, and only it shows whether records of newer imports are lost too")
        .stderr_has("Import the newest bundle of each history again with `cargo frostmirror import FILE --mirror /")
        .stderr_has(&format!(
            "the newest bundle on record of lineage {lineage} (Cargo.lock) is bundle number 1, `b.pkg`"
        ))
        .stderr_has(&format!("with the id {id}"))
        .stderr_has("`a.pkg`");
    assert_eq!(run.stderr.matches("the newest bundle on record of lineage").count(), 2, "{}", run.describe());
    sandbox.run(["import", "b2.pkg", "--mirror", "mirror"]).ok().stderr_lacks("already imported");
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    // With manifest.json, a rebuild knows what is lost.
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    run.stderr_lacks("manifest.json was lost");
}

#[test]
fn a_rebuild_without_manifest_json_keeps_what_a_lost_bundle_may_need() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    // Number 2 no longer needs `old`, and number 3 needs it again.
    for (number, crates) in [(1, &["old", "new"][..]), (2, &["new"]), (3, &["old", "new"])] {
        let ship = |bundle: BundleBuilder, name: &&str| bundle.ship(Crate::new(name, "1.0.0"));
        let bundle = crates.iter().fold(BundleBuilder::new("a", number), ship);
        import(&mirror, &bundle.write(&sandbox.path(""), &format!("{number}.pkg"))).unwrap();
    }
    let layout = Layout::new(&mirror);
    let newest = ledger::record_names(&layout).unwrap().pop().unwrap();
    fs::remove_file(layout.ledger().join(newest)).unwrap();
    fs::remove_file(layout.summary()).unwrap();
    let run = sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    run.stderr_has("a lost record may need 1 crate, which the newest bundles on record do not need");
    sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok();
    assert!(mirror.join("crates/old-1.0.0.crate").exists());
    sandbox.run(["import", "3.pkg", "--mirror", "mirror"]).ok();
    sandbox.forget_rebuilt();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 2 crates");
}

#[test]
fn the_status_of_a_mirror_with_an_altered_record_is_a_problem() {
    for (at, is_newest) in [(0, false), (1, true)] {
        let sandbox = Sandbox::new();
        let layout = Layout::new(mirror_of_two(&sandbox));
        sandbox.run(["status", "--mirror", "mirror"]).ok();
        let name = ledger::record_names(&layout).unwrap().remove(at);
        let path = layout.ledger().join(&name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen(".pkg", ".pkx", 1)).unwrap();
        let run = sandbox.run(["status", "--mirror", "mirror"]).exits(4);
        let run =
            run.stderr_has("has faulty records").stderr_has(&format!("the record `{name}` is damaged or was altered"));
        run.stderr_has("hint: import the bundle of that file again");
        let run = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).exits(4);
        run.stdout_has("is damaged or was altered");
        let serving = sandbox.serve(["--mirror", "mirror"]);
        let answer = get(&format!("{}/api/status", serving.url()));
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["healthy"], false, "{body} {is_newest}");
        let log = serving.stop().stderr;
        assert!(log.contains(&name) && log.contains("import the bundle of that file again"), "{log}");
        // The hint works.
        sandbox.run(["import", BUNDLES[at], "--mirror", "mirror"]).ok();
        sandbox.run(["status", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn the_status_of_a_mirror_without_manifest_json_is_a_problem() {
    for (lost, crates) in [(&[SUMMARY][..], 2), (&[SUMMARY, LEDGER], 2), (&[SUMMARY, PRIVATE], 2), (&[LEDGER], 2)] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_two(&sandbox);
        lost.iter().for_each(|path| remove(&mirror.join(path)));
        let run = sandbox.run(["status", "--mirror", "mirror"]).exits(4);
        run.stdout_has(&format!("Crate count: {crates}\n")).stdout_has("Last import: ");
        let run = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).exits(4);
        run.stdout_has("\"problems\":[\"");
        sandbox.run(["list", "--mirror", "mirror"]).ok().stdout_has("Crate count: 2\n").stdout_lacks("Total size: 0");

        let is_summary_lost = lost.contains(&SUMMARY);
        let serving = sandbox.serve(["--mirror", "mirror"]);
        let status = get(&format!("{}/api/status", serving.url()));
        let body: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        assert_eq!(
            (body["healthy"].as_bool(), body["crates"].as_u64()),
            (Some(false), Some(crates)),
            "{lost:?}: {body}"
        );
        let problem = body["problems"][0].as_str().unwrap();
        assert!(
            problem.contains(if is_summary_lost { "manifest.json` is missing" } else { "the ledger lacks 2 records" }),
            "{lost:?}: {problem}"
        );
        // Clients are served, so a restart would not help.
        for path in ["/healthz", "/index/cr/at/crate-a", "/crates/crate-b-1.0.0.crate"] {
            assert_eq!(get(&format!("{}{path}", serving.url())).status, 200, "{lost:?} {path}");
        }
        let metrics = get(&format!("{}/metrics", serving.url()));
        let metrics = String::from_utf8(metrics.body).unwrap();
        let has = |sample: &str| metrics.lines().any(|line| line == format!("frostmirror_{sample}"));
        assert!(has(if is_summary_lost { "mirror_readable 0" } else { "mirror_readable 1" }), "{lost:?}: {metrics}");
        assert_eq!(has("mirror_lost_records 2"), !is_summary_lost, "{lost:?}: {metrics}");
        let page = get(&format!("{}/", serving.url()));
        let page = String::from_utf8(page.body).unwrap();
        assert!(!page.contains("The mirror is empty"), "{lost:?}");
        let run = serving.stop().ok();
        run.stderr_has(if is_summary_lost { "but nothing is imported; run `" } else { "the ledger lacks 2 records" })
            .stderr_has("--rebuild-state`");
    }
}

#[test]
fn an_export_without_an_index_file_is_refused() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_two(&sandbox);
    for lost in ["index/cr/at/crate-a", "index"] {
        remove(&mirror.join(lost));
        for args in [&["snapshot", "-o", "snapshot"][..], &["local-registry", "registry"], &["vendor", "vendor"]] {
            let run = sandbox.run(["export"].iter().chain(args).chain(&["--mirror", "mirror"])).exits(4);
            run.stderr_has("index/cr/at/crate-a is missing, but its lines are recorded")
                .stderr_has("--repair-list FILE`");
        }
    }
}
