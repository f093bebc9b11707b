//! Import: what a mirror becomes, what it stays, and what the user is told.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::head::Counts;
use frostmirror::mirror::import::ImportOptions;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::link::{LinkState, link_state};
use frostmirror::mirror::{ledger, lines};
use rustix::process::Signal;

use crate::import_bundle::{Make, assert_sound, everything, import, import_with, options, view};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

fn serde() -> Crate {
    Crate::new("Serde", "1.0.100+b").dep("json", "^1")
}

#[test]
fn a_first_import_makes_the_whole_tree() {
    let sandbox = Sandbox::new();
    let bundle = Make::new("a", 1).ship(json()).ship(serde()).write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("deep/mirror");
    let imported = import(&mirror, &bundle).unwrap();
    assert_eq!((imported.crates, imported.crates_new, imported.index_changed, imported.already), (2, 2, 2, false));

    let (json, serde) = (json().pack(), serde().pack());
    let tree = everything(&mirror);
    let paths: Vec<&str> = tree.keys().map(String::as_str).filter(|path| !path.ends_with('/')).collect();
    let record = format!(".frostmirror/ledger/00000001-{}.json", imported.id);
    let expected = [
        ".frostmirror/format",
        &record,
        ".frostmirror/lines/js/on/json",
        ".frostmirror/lines/se/rd/serde",
        ".frostmirror/reserve",
        "crates/Serde-1.0.100+b.crate",
        "crates/index",
        "crates/json-1.0.0.crate",
        "index/js/on/json",
        "index/se/rd/serde",
        "manifest.json",
    ];
    assert_eq!(paths, expected);
    assert_eq!(tree["crates/Serde-1.0.100+b.crate"], serde.bytes);
    assert_eq!(tree["index/se/rd/serde"], format!("{}\n", serde.line).into_bytes());
    assert_eq!(tree["crates/index"], b"../index");
    assert_eq!(fs::metadata(mirror.join("crates/json-1.0.0.crate")).unwrap().mode() & 0o444, 0o444);
    let bytes = (json.bytes.len() + serde.bytes.len()) as u64;
    assert_eq!(imported.counts, Counts { crates: 2, versions: 2, bytes, ..Counts::default() });
    assert_sound(&mirror);

    let layout = Layout::new(&mirror);
    let head = ledger::head(&layout).unwrap().unwrap();
    assert_eq!(head.counts, imported.counts);
    assert_eq!(head.lineages[0].record, ledger::names(&layout).unwrap()[0]);
    let record = ledger::read(&layout, &head.lineages[0].record).unwrap().unwrap();
    assert_eq!((record.file.as_str(), record.manifest.crates.len()), ("one.pkg", 2));
}

#[test]
fn status_says_what_is_recorded() {
    let sandbox = Sandbox::new();
    sandbox
        .run(["status", "--mirror", "mirror"])
        .ok()
        .stdout_has("Crate count: 0\nTotal size: 0 bytes\nLast import: never\n");
    let bundle = Make::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    let size = json().pack().bytes.len();
    let text = format!(
        "Crate count: 1\nTotal size: {size} bytes\nLast import: 2026-09-21T14:30:00+00:00\nToolchains: none\nRustup artifacts: 0 (0 bytes)\nLineage {} (Cargo.lock): bundle number 1 of 2026-09-21T14:13:21Z\nMirror: {}\nIndex link: good\n",
        Make::new("a", 1).lineage(),
        mirror.display()
    );
    let said = sandbox.run(["status", "--mirror", "mirror"]).ok();
    assert_eq!(said.stdout, text);
    let said = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok();
    let first: serde_json::Value = serde_json::from_str(said.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&first["crates"], &first["bytes"]), (&1.into(), &size.into()));
    // The head is lost: the newest record has a copy.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has(&text);
    fs::remove_file(mirror.join("crates/index")).unwrap();
    fs::create_dir(mirror.join("crates/index")).unwrap();
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has("Index link: a copy, not a link");
}

#[test]
fn the_same_bundle_again_changes_nothing_and_says_so() {
    let sandbox = Sandbox::new();
    let bundle = Make::new("a", 1).ship(json()).ship(serde()).write(&sandbox.path(""), "one.pkg");
    let mirror = sandbox.path("mirror");
    import(&mirror, &bundle).unwrap();
    let times = |tree: &Path| -> Vec<_> {
        let paths = everything(tree).into_keys().filter(|path| !path.starts_with(".frostmirror/staging"));
        paths
            .filter(|path| path != ".frostmirror/")
            .map(|path| (fs::symlink_metadata(tree.join(&path)).unwrap().mtime_nsec(), path))
            .collect()
    };
    let before = (everything(&mirror), times(&mirror));
    let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("Verified 2 crates of one.pkg").stderr_has("one.pkg is already imported");
    assert_eq!((everything(&mirror), times(&mirror)), before);

    // Another bundle with nothing new in it is on record all the same.
    let other = Make::new("b", 1).ship(json()).write(&sandbox.path(""), "two.pkg");
    let imported = import(&mirror, &other).unwrap();
    assert_eq!((imported.already, imported.crates_new, imported.index_changed), (false, 0, 0));
    assert_eq!(ledger::names(&Layout::new(&mirror)).unwrap().len(), 2);
    assert_eq!(ledger::head(&Layout::new(&mirror)).unwrap().unwrap().lineages.len(), 2);
}

#[test]
fn two_histories_add_up_and_the_later_reading_of_a_line_stays() {
    let sandbox = Sandbox::new();
    let old = Make::new("a", 1).read(10).ship(json()).ship(Crate::new("json", "2.0.0"));
    let new = Make::new("b", 1).read(20).ship(json().yanked()).ship(serde());
    let (old, new) = (old.write(&sandbox.path(""), "old.pkg"), new.write(&sandbox.path(""), "new.pkg"));
    let mut views = Vec::new();
    for (n, order) in [[&old, &new], [&new, &old]].iter().enumerate() {
        let mirror = sandbox.path(format!("mirror{n}"));
        for bundle in order {
            import(&mirror, bundle).unwrap();
            assert_sound(&mirror);
        }
        let counts = ledger::head(&Layout::new(&mirror)).unwrap().unwrap().counts;
        assert_eq!(counts, Counts::of_tree(&Layout::new(&mirror)).unwrap());
        assert_eq!((counts.crates, counts.versions), (2, 3));
        views.push(view(&mirror));
    }
    let expected = format!("{}\n{}\n", json().yanked().pack().line, Crate::new("json", "2.0.0").pack().line);
    assert_eq!(views[0]["index/js/on/json"], expected.into_bytes());
    assert_eq!(views[0], views[1]);
}

#[test]
fn a_contradiction_is_refused_and_named() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &Make::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg")).unwrap();
    let before = everything(&mirror);
    let other_bytes = json().file("src/more.rs", "// more");
    let other_deps = Crate::new("json", "1.0.0").dep("x", "^1");
    let other_deps = json().line(&other_deps.clone().cksum(&json().pack().cksum).pack().line);
    let other_case = Crate::new("JSON", "1.0.1");
    for (crate_, said) in [
        (other_bytes, "json 1.0.0 is held with the checksum"),
        (other_deps, "json 1.0.0 has other dependencies"),
        (other_case, "a crate `JSON`, and the mirror holds `json`"),
    ] {
        Make::new("b", 2).ship(Crate::new("fine", "1.0.0")).ship(crate_).write(&sandbox.path(""), "two.pkg");
        sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).exits(4).stderr_has(said).stderr_has("two.pkg");
        assert_eq!(everything(&mirror), before);
    }
}

#[test]
fn a_delta_needs_what_it_relies_on_by_content() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let make = || Make::new("a", 2).parent("first.pkg").with(json(), CrateState::Sent).ship(serde());
    let delta = make().with(Crate::new("kept", "1.0.0"), CrateState::Kept).write(&sandbox.path(""), "delta.pkg");
    let refused = || sandbox.run(["import", "delta.pkg", "--mirror", "mirror"]).exits(4);
    refused().stderr_has("first.pkg").stderr_has("json 1.0.0");
    assert!(!mirror.join("crates").exists());
    import(&mirror, &Make::new("b", 1).ship(json()).write(&sandbox.path(""), "other.pkg")).unwrap();
    // There, but rotten.
    let file = mirror.join("crates/json-1.0.0.crate");
    let good = fs::read(&file).unwrap();
    fs::write(&file, vec![0; good.len()]).unwrap();
    let before = everything(&mirror);
    refused().stderr_has("json 1.0.0");
    assert_eq!(everything(&mirror), before);
    fs::write(&file, good).unwrap();
    import(&mirror, &delta).unwrap();
    assert_sound(&mirror);
    assert!(!mirror.join("index/ke/pt/kept").exists());
}

#[test]
fn an_index_only_crate_is_recorded_as_such_until_its_file_comes() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let filtered = Make::new("a", 1).read(5).ship(serde()).with(json(), CrateState::IndexOnly);
    let whole = Make::new("b", 1).read(1).ship(json());
    let (filtered, whole) = (filtered.write(&sandbox.path(""), "one.pkg"), whole.write(&sandbox.path(""), "two.pkg"));
    import(&mirror, &filtered).unwrap();
    assert!(!mirror.join("crates/json-1.0.0.crate").exists());
    assert_sound(&mirror);
    let index_only = || {
        let text = fs::read_to_string(mirror.join(".frostmirror/lines/js/on/json")).unwrap();
        lines::parse(&text)[0].index_only
    };
    assert!(index_only());
    import(&mirror, &whole).unwrap();
    assert!(!index_only());
    import(
        &mirror,
        &Make::new("a", 2).read(9).with(json(), CrateState::IndexOnly).write(&sandbox.path(""), "three.pkg"),
    )
    .unwrap();
    assert!(!index_only());
    assert_sound(&mirror);
}

#[test]
fn a_rotten_file_is_replaced_and_trusted_only_when_told_to() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let large = || Crate::new("large", "1.0.0").weighing(300_000);
    let bundle = Make::new("a", 1).ship(json()).ship(large()).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &bundle).unwrap();
    let good = everything(&mirror);
    let file = mirror.join("crates/large-1.0.0.crate");
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.len() > 200_000);
    for at in [0, 100_000, bytes.len() - 1] {
        let mut rotten = bytes.clone();
        rotten[at] ^= 1;
        fs::write(&file, &rotten).unwrap();
        let trusting = ImportOptions { rehash_held: false, ..options(&bundle) };
        assert!(import_with(&mirror, &bundle, &trusting).unwrap().already);
        let imported = import(&mirror, &bundle).unwrap();
        assert_eq!((imported.crates_new, imported.crates_mended, imported.already), (0, 1, false));
        assert_eq!(everything(&mirror), good);
    }
    fs::write(&file, b"short").unwrap();
    fs::remove_file(mirror.join("crates/json-1.0.0.crate")).unwrap();
    let imported = import(&mirror, &bundle).unwrap();
    assert_eq!((imported.crates_new, imported.crates_mended), (1, 1));
    assert_eq!(
        view(&mirror).len(),
        good.keys().filter(|path| !path.starts_with(".f") && *path != "manifest.json").count()
    );
    assert_sound(&mirror);
}

#[test]
fn the_index_has_a_config_only_where_a_base_url_is_given() {
    let sandbox = Sandbox::new();
    Make::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    let config = sandbox.path("mirror/index/config.json");
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok().stderr_lacks("base-url").stderr_lacks("config.json");
    assert!(!config.exists());
    let said = sandbox.run(["import", "one.pkg", "--mirror", "mirror", "--base-url", "http://h:1/m/"]).ok();
    assert!(!said.stderr.contains("--base-url"), "{}", said.stderr);
    let text = r#"{"dl":"http://h:1/m/crates/{crate}-{version}.crate","api":"http://h:1/m"}"#;
    assert_eq!(fs::read_to_string(&config).unwrap(), format!("{text}\n"));
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_eq!(fs::read_to_string(&config).unwrap(), format!("{text}\n"));
    sandbox.run(["import", "one.pkg", "--mirror", "mirror", "--base-url", "h:1"]).exits(3).stderr_has("h:1");
}

#[test]
fn the_link_is_put_back_by_every_import() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundle = Make::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &bundle).unwrap();
    let link = mirror.join("crates/index");
    fs::remove_file(&link).unwrap();
    fs::create_dir_all(link.join("js/on")).unwrap();
    fs::copy(mirror.join("index/js/on/json"), link.join("js/on/json")).unwrap();
    assert_eq!(link_state(&Layout::new(&mirror)), LinkState::Stale);
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok().stderr_has("it is a link to ../index again");
    assert_eq!(link_state(&Layout::new(&mirror)), LinkState::Good);
    assert!(!mirror.join(".frostmirror/aside").exists());
}

#[test]
fn folders_and_standard_input_are_imported() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("in")).unwrap();
    // By their history, not by their names or times.
    Make::new("a", 1).read(3).ship(json()).write(&sandbox.path("in"), "z.pkg");
    let newer = Make::new("a", 2).read(2).parent("z.pkg").with(json(), CrateState::Sent).ship(serde());
    newer.write(&sandbox.path("in"), "a.pkg");
    sandbox.write("in/note.txt", "not a bundle");
    sandbox.write("in/.c.pkg", "not copied to its end");
    let run = sandbox.run(["import", "in", "--mirror", "mirror"]).ok();
    let (first, second) = (run.stderr.find("of z.pkg"), run.stderr.find("of a.pkg"));
    assert!(first.is_some() && first < second, "{}", run.stderr);
    let bytes = fs::read(sandbox.path("in/z.pkg")).unwrap();
    let run = sandbox.process(["import", "-", "--mirror", "piped"]).stdin(&bytes).run().ok();
    run.stderr_has("Imported 1 crate ");
    assert_sound(&sandbox.path("piped"));
    // Words are put in order too; `a.pkg` builds on `z.pkg`.
    let run = sandbox.run(["import", "in/a.pkg", "in/z.pkg", "--mirror", "words"]).ok();
    assert!(run.stderr.find("of z.pkg") < run.stderr.find("of a.pkg"), "{}", run.stderr);
    assert_sound(&sandbox.path("words"));
    // What cannot be read twice stays where it was named.
    let piped = sandbox.process(["import", "in/a.pkg", "-", "--mirror", "late"]).stdin(&bytes).run();
    piped.exits(4).stderr_has("builds on `z.pkg`");
    sandbox.process(["import", "-", "in/a.pkg", "--mirror", "late"]).stdin(&bytes).run().ok();
    // A word that is no bundle is told of before anything is changed.
    sandbox.run(["import", "in/z.pkg", "none.pkg", "--mirror", "unchanged"]).exits(3).stderr_has("none.pkg");
    assert!(!sandbox.path("unchanged").exists());
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(["import", "empty", "--mirror", "mirror"]).exits(3).stderr_has("empty` is empty");
    sandbox.write("stick/output/20260402-2130-crates.pkg", "");
    let above = sandbox.run(["import", "stick", "--mirror", "mirror"]).exits(3);
    above.stderr_has("no bundle (*.pkg) is in").stderr_has("stick/output`, which has bundles in it");
    sandbox.run(["import", "none.pkg", "--mirror", "mirror"]).exits(3).stderr_has("none.pkg");
}

#[test]
fn one_that_is_interrupted_says_so() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let running = sandbox.process(["import", "fifo", "--mirror", "mirror"]).start();
    // This is open as soon as the import reads.
    let writing = fs::File::options().write(true).open(&fifo).unwrap();
    running.signal(Signal::INT);
    let run = running.wait(Duration::from_secs(60)).exits(130).stderr_has("interrupted");
    run.stderr_has("hint: run the same command again");
    drop(writing);
}

#[test]
fn what_this_version_cannot_do_is_said() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    import(&mirror, &Make::new("a", 1).ship(json()).write(&sandbox.path(""), "first.pkg")).unwrap();
    fs::write(mirror.join(".frostmirror/format"), r#"{"layout":9,"tool":"4.5.6"}"#).unwrap();
    Make::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    sandbox
        .run(["import", "one.pkg", "--mirror", "mirror"])
        .exits(4)
        .stderr_has("layout 9")
        .stderr_has("4.5.6 or later");
    sandbox.run(["status", "--mirror", "mirror"]).exits(4).stderr_has("layout 9");
}

#[test]
fn a_bundle_of_frostmirror_1_is_imported() {
    let sandbox = Sandbox::new();
    let bundle = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/bundles/frostmirror-1.0.0.pkg");
    let said = sandbox.run(["import", bundle, "--mirror", "mirror"]).ok();
    assert_sound(&sandbox.path("mirror"));
    let head = ledger::head(&Layout::new(sandbox.path("mirror"))).unwrap().unwrap();
    assert!(head.counts.versions > 0 && head.counts.crates > 0, "{}", said.stderr);
    sandbox.run(["import", bundle, "--mirror", "mirror"]).ok().stderr_has("is already imported");
}

#[test]
fn static_servers_are_mentioned_only_where_a_base_url_is_given() {
    let sandbox = Sandbox::new();
    Make::new("a", 1).ship(json()).write(&sandbox.path(""), "one.pkg");
    Make::new("a", 2).ship(json()).ship(serde()).write(&sandbox.path(""), "two.pkg");
    let run = |words: &[&str]| sandbox.run(["import", "--mirror", "mirror"].iter().chain(words)).ok();
    let lacks = |run: &crate::support::run::Run| {
        for word in ["config.json", "static"] {
            assert!(!run.stderr.contains(word) && !run.stdout.contains(word), "{}", run.told());
        }
    };
    let config = sandbox.path("mirror/index/config.json");
    lacks(&run(&["one.pkg"]));
    assert!(!config.exists());
    let url = ["--base-url", "http://static.example/rust"];
    let wrote =
        format!("Wrote `{}`: a static server at http://static.example/rust can serve this mirror", config.display());
    run(&["one.pkg", url[0], url[1]]).stderr_has(&wrote);
    let text = fs::read_to_string(&config).unwrap();
    // The file is as it must be already: nothing was written, and nothing is said of it.
    lacks(&run(&["two.pkg", url[0], url[1]]));
    lacks(&run(&["two.pkg"]));
    assert_eq!(fs::read_to_string(&config).unwrap(), text);
    run(&["two.pkg", url[0], "http://other.example"]).stderr_has("Wrote ").stderr_has("http://other.example can");
}
