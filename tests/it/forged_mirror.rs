//! A mirror whose files were altered alike: the crate, its index line and the record of the line agree, and only the
//! import records show the truth.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;
use frostmirror::bundle::format::DistFileState::Shipped;
use frostmirror::crate_id::CrateId;
use frostmirror::digest::Sha256;
use frostmirror::mirror::import::ImportOptions;
use frostmirror::mirror::layout::Layout;

use crate::bundle_builder::{BundleBuilder, all_files, import, import_with, options, public_files};
use crate::import_dist_files::full_bundle;
use crate::support::crates::{Crate, PackedCrate};
use crate::support::sandbox::Sandbox;

const JSON: &str = "crates/json-1.0.0.crate";

fn json() -> Crate {
    Crate::new("json", "1.0.0")
}

/// A mirror of one bundle with two versions of a crate.
fn mirror_of_one(sandbox: &Sandbox) -> PathBuf {
    let mirror = sandbox.path("mirror");
    let bundle = BundleBuilder::new("a", 1).ship(json()).ship(Crate::new("json", "1.1.0"));
    import(&mirror, &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();
    mirror
}

/// Writes other bytes of the same length as the crate's file, and the line and the record of the line that fit.
fn forge_crate(mirror: &Path) {
    let layout = Layout::new(mirror);
    let id = CrateId::parse("json", "1.0.0").unwrap();
    let mut bytes = fs::read(layout.crate_file(&id)).unwrap();
    bytes.reverse();
    fs::write(layout.crate_file(&id), &bytes).unwrap();
    let (right, forged) = (json().pack().cksum, Sha256::of(&bytes).to_string());
    let text = fs::read_to_string(layout.index_file(&id.name)).unwrap();
    let line = |text: &str| Sha256::of(text.lines().next().unwrap().as_bytes()).to_string();
    let after = text.replace(&right, &forged);
    fs::write(layout.index_file(&id.name), &after).unwrap();
    let records = fs::read_to_string(layout.index_meta_file(&id.name)).unwrap();
    let records = records.replace(&right, &forged).replace(&line(&text), &line(&after));
    fs::write(layout.index_meta_file(&id.name), records).unwrap();
}

/// Adds a version that no bundle had, with its line and the record of the line.
fn add_version(mirror: &Path, name: &str, version: &str) {
    let layout = Layout::new(mirror);
    let packed = Crate::new(name, version).pack();
    let id = CrateId::parse(name, version).unwrap();
    fs::write(layout.crate_file(&id), &packed.bytes).unwrap();
    let record = format!("{version} 2026-01-01T00:00:00Z {} {} held", packed.cksum, Sha256::of(packed.line.as_bytes()));
    for (path, line) in [(layout.index_file(&id.name), &packed.line), (layout.index_meta_file(&id.name), &record)] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let before = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{before}{line}\n")).unwrap();
    }
}

/// Without the folders.
fn files(all: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    all.iter().filter(|(path, _)| !path.ends_with('/')).map(|(path, bytes)| (path.clone(), bytes.clone())).collect()
}

fn assert_restored(sandbox: &Sandbox, before: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(files(&public_files(&sandbox.path("mirror"))), files(before));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn the_repair_list_has_the_digest_of_the_import_record() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    forge_crate(&mirror);
    let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).exits(4);
    run.stdout_has("index/js/on/json: has a different checksum for json 1.0.0 than the ledger's 00000001-")
        .stdout_has(&format!("{JSON}: its SHA-256 is "))
        .stderr_has("--rebuild-state");
    let list = sandbox.read("list.jsonl");
    let cksum = json().pack().cksum;
    assert_eq!(
        list,
        format!("{{\"kind\":\"crate\",\"name\":\"json\",\"version\":\"1.0.0\",\"sha256\":\"{cksum}\"}}\n")
    );
}

#[test]
fn an_import_replaces_what_the_import_record_contradicts() {
    for verify_existing in [true, false] {
        for is_repair in [false, true] {
            let sandbox = Sandbox::new();
            let mirror = mirror_of_one(&sandbox);
            let before = public_files(&mirror);
            forge_crate(&mirror);
            let bundle = match is_repair {
                true => BundleBuilder::new("a", 2).repair().ship(json()).write(&sandbox.path(""), "repair.pkg"),
                false => sandbox.path("one.pkg"),
            };
            let imported =
                import_with(&mirror, &bundle, &ImportOptions { verify_existing, ..options(&bundle) }).unwrap();
            assert_eq!((imported.crates_new, imported.crates_repaired), (0, 1));
            assert_restored(&sandbox, &before);
        }
    }
    let sandbox = Sandbox::new();
    forge_crate(&mirror_of_one(&sandbox));
    let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("the mirror's index stated another checksum of json 1.0.0 than the import records")
        .stderr_has("Replaced 1 crate whose stored file came from another bundle or was altered");
}

#[test]
fn a_rebuild_moves_a_contradicted_crate_aside() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    let before = public_files(&mirror);
    forge_crate(&mirror);
    let forged = fs::read(mirror.join(JSON)).unwrap();
    let rebuild = ["verify", "--mirror", "mirror", "--rebuild-state", "--repair-list", "list.jsonl"];
    let run = sandbox.run(rebuild).exits(4);
    run.stderr_has("the index stated other checksums than the import records for json 1.0.0")
        .stderr_lacks("were lost")
        .stderr_lacks("gc --forget")
        .stdout_has("index/js/on/json: the line of json 1.0.0 is missing, but bundle number 1 (`one.pkg`, id ");
    assert!(sandbox.read("list.jsonl").contains(&json().pack().cksum));
    assert!(!mirror.join(JSON).exists());
    assert_eq!(fs::read(mirror.join(".frostmirror/aside/json-1.0.0.crate")).unwrap(), forged);
    assert!(mirror.join("crates/json-1.1.0.crate").exists());
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_restored(&sandbox, &before);
}

#[test]
fn a_crate_that_no_import_brought_is_reported_and_moved_aside() {
    for name in ["json", "other"] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_one(&sandbox);
        let before = public_files(&mirror);
        add_version(&mirror, name, "6.6.6");
        let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).exits(4);
        run.stdout_has(&format!("for {name} 6.6.6, which no import on record added")).stderr_has("--rebuild-state");
        assert_eq!(sandbox.read("list.jsonl"), "");
        let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
        run.stderr_has(&format!("no import on record added {name} 6.6.6: "))
            .stderr_has("FILE --mirror /")
            .stderr_lacks("were lost");
        let aside = mirror.join(format!(".frostmirror/aside/{name}-6.6.6.crate"));
        assert_eq!(fs::read(&aside).unwrap(), Crate::new(name, "6.6.6").pack().bytes);
        let line = fs::read_to_string(aside.with_extension("crate.line")).unwrap();
        assert_eq!(line.trim_end(), Crate::new(name, "6.6.6").pack().line);
        assert_restored(&sandbox, &before);
    }
}

#[test]
fn a_bundle_after_an_invented_version_names_the_way_out() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    add_version(&mirror, "other", "1.0.0");
    let genuine = Crate::new("other", "1.0.0").dep("json", "^1");
    BundleBuilder::new("a", 2).ship(genuine).write(&sandbox.path(""), "two.pkg");
    let run = sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has("contradicts the mirror")
        .stderr_has("no import record shows which bundle brought the stored crate")
        .stderr_has("hint: run `cargo frostmirror verify --mirror ");
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn no_bundle_replaces_a_crate_that_the_import_record_proves() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    let before = all_files(&mirror);
    BundleBuilder::new("b", 1).ship(json().dep("evil", "^1")).write(&sandbox.path(""), "other.pkg");
    let run = sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has("contradicts the mirror").stderr_has("(`one.pkg`, id ");
    assert_eq!(all_files(&mirror), before);
}

/// Replaces the line of json 1.0.0, and makes its record fit.
fn replace_line(mirror: &Path, new: &str) {
    let layout = Layout::new(mirror);
    let name = CrateId::parse("json", "1.0.0").unwrap().name;
    let text = fs::read_to_string(layout.index_file(&name)).unwrap();
    let line = text.lines().next().unwrap();
    assert_ne!(line, new);
    fs::write(layout.index_file(&name), text.replace(line, new)).unwrap();
    let digest = |line: &str| Sha256::of(line.as_bytes()).to_string();
    let records = layout.index_meta_file(&name);
    let altered = fs::read_to_string(&records).unwrap().replace(&digest(line), &digest(new));
    fs::write(records, altered).unwrap();
}

/// Adds a dependency to the line of json 1.0.0. Its record is altered alike, or removed with those of the other lines.
fn alter_line(mirror: &Path, has_record: bool) {
    replace_line(mirror, &json().dep("evil", "^1").cksum(&json().pack().cksum).pack().line);
    if !has_record {
        fs::remove_file(mirror.join(".frostmirror/lines/js/on/json")).unwrap();
    }
}

/// json 1.0.0 with a file that is no archive, so that the crate does not show whether its line is false.
fn opaque(has_dependency: bool) -> PackedCrate {
    let shape = if has_dependency { json().dep("evil", "^1") } else { json() };
    let bytes = b"no archive".to_vec();
    let cksum = Sha256::of(&bytes).to_string();
    let line = shape.cksum(&cksum).pack().line;
    PackedCrate { name: "json".to_owned(), version: "1.0.0".to_owned(), bytes, cksum, line }
}

#[test]
fn a_line_with_a_fitting_record_is_compared_with_its_crate() {
    let line = json().pack().line;
    let dependency = |kind: &str| json().dep("evil", "^1").kind(kind).cksum(&json().pack().cksum).pack().line;
    for (altered, fault) in [
        (dependency("normal"), "its dependency `evil` is not in the Cargo.toml of the crate"),
        (dependency("dev"), "its dev-dependency `evil` is not in the Cargo.toml of the crate"),
        (
            line.replace(r#""features":{}"#, r#""features":{"evil":[]}"#),
            "its features differ from those in the Cargo.toml",
        ),
        (line.replace(r#""features":{}"#, r#""features":{},"features2":{"evil":[]},"v":2"#), "its features differ"),
        (
            line.replace(r#""yanked":"#, r#""links":"evil","yanked":"#),
            "its `links` differs from that in the Cargo.toml",
        ),
        (
            line.replace(r#""yanked":"#, r#""rust_version":"1.99","yanked":"#),
            "its `rust_version` differs from that in the",
        ),
    ] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_one(&sandbox);
        let before = public_files(&mirror);
        replace_line(&mirror, &altered);
        let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list"]).exits(4);
        assert_eq!(run.stdout.lines().count(), 1, "{}", run.describe());
        let run = run.stdout_has(&format!("index/js/on/json: the line of json 1.0.0 is false: {fault}"));
        run.stderr_has("--rebuild-state`, which moves false crates and index lines aside, and rebuilds lost records; then import `one.pkg`");
        assert!(sandbox.read("list").contains(&json().pack().cksum));
        let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).exits(4);
        run.stderr_has("index lines contradict the Cargo.toml in the crates of json 1.0.0: these lines were moved to");
        let aside = fs::read_to_string(mirror.join(".frostmirror/aside/json-1.0.0.crate.line")).unwrap();
        assert_eq!(aside.trim_end(), altered);
        sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
        assert_restored(&sandbox, &before);
    }
}

#[test]
fn the_record_of_a_rebuild_is_no_source_of_a_crate() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let other = || Crate::new("other", "1.0.0");
    let one = BundleBuilder::new("a", 1).ship_packed(opaque(false)).ship(other());
    import(&mirror, &one.write(&sandbox.path(""), "one.pkg")).unwrap();
    let two = BundleBuilder::new("a", 2).with_crate(other(), CrateState::Sent).parent("one.pkg");
    import(&mirror, &two.write(&sandbox.path(""), "two.pkg")).unwrap();
    // A lost record may need the crate, so the rebuild writes a record that keeps it.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    sandbox
        .run(["verify", "--mirror", "mirror", "--rebuild-state"])
        .ok()
        .stderr_has("they are kept as lineage `rebuilt`");
    replace_line(&mirror, &opaque(true).line);
    let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("the stored index line of json 1.0.0 was altered after its import");
    assert_eq!(fs::read_to_string(mirror.join("index/js/on/json")).unwrap(), format!("{}\n", opaque(false).line));
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_rebuild_moves_a_line_aside_that_contradicts_its_crate() {
    for has_ledger in [true, false] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_one(&sandbox);
        let before = public_files(&mirror);
        alter_line(&mirror, false);
        if !has_ledger {
            fs::remove_dir_all(mirror.join(".frostmirror/ledger")).unwrap();
        }
        let fault = "index/js/on/json: the line of json 1.0.0 is false: its dependency `evil` is not in the Cargo.toml";
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has(fault);
        run.stdout_has("has no record of the line of json 1.1.0").stdout_lacks("the line of json 1.1.0 is false");
        let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).exits(4);
        let run = run.stderr_has("contradict the Cargo.toml in the crates of json 1.0.0: these lines were moved to");
        if has_ledger {
            run.stderr_has("Import `one.pkg` (number 1, id ").stdout_has("but its index line is missing");
        }
        let aside = fs::read_to_string(mirror.join(".frostmirror/aside/json-1.0.0.crate.line")).unwrap();
        assert!(aside.contains("evil"));
        assert!(!fs::read_to_string(mirror.join("index/js/on/json")).unwrap().contains("evil"));
        assert_eq!(fs::read(mirror.join(JSON)).unwrap(), before[JSON]);
        sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
        assert_restored(&sandbox, &before);
    }
}

#[test]
fn a_bundle_replaces_a_line_that_contradicts_its_crate() {
    for (has_record, is_repair) in [(false, false), (true, false), (true, true)] {
        let sandbox = Sandbox::new();
        let mirror = mirror_of_one(&sandbox);
        let before = public_files(&mirror);
        alter_line(&mirror, has_record);
        let file = if is_repair { "repair.pkg" } else { "one.pkg" };
        if is_repair {
            BundleBuilder::new("a", 2).repair().ship(json()).write(&sandbox.path(""), file);
        }
        let run = sandbox.run(["import", file, "--mirror", "mirror"]).ok();
        run.stderr_has("the stored index line of json 1.0.0 was false: its dependency `evil` is not in the Cargo.toml")
            .stderr_has("differing dependencies of the stored line: `evil ^1`; of the new one: none");
        assert_eq!(files(&public_files(&mirror)), files(&before));
        if !has_record {
            // The record of the other line is lost too.
            sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
        }
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn a_line_that_was_altered_after_its_import_gives_way_to_the_only_bundle_that_has_the_crate() {
    for has_other_bundle in [false, true] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let one = BundleBuilder::new("a", 1).ship_packed(opaque(false)).write(&sandbox.path(""), "one.pkg");
        import(&mirror, &one).unwrap();
        if has_other_bundle {
            let other = BundleBuilder::new("b", 1).ship_packed(opaque(false)).write(&sandbox.path(""), "other.pkg");
            import(&mirror, &other).unwrap();
        }
        let before = public_files(&mirror);
        replace_line(&mirror, &opaque(true).line);
        let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]);
        if has_other_bundle {
            run.exits(4).stderr_has("other.pkg").stderr_has("one of the two is false");
        } else {
            run.ok().stderr_has("the stored index line of json 1.0.0 was altered after its import");
            assert_restored(&sandbox, &before);
        }
    }
}

#[test]
fn a_refreshed_line_replaces_one_that_contradicts_its_crate() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    alter_line(&mirror, false);
    let bundle = BundleBuilder::new("a", 2).ship(Crate::new("new", "1.0.0")).refresh(json().yanked());
    bundle.write(&sandbox.path(""), "two.pkg");
    sandbox.run(["import", "two.pkg", "--mirror", "mirror"]).ok().stderr_has("json 1.0.0 was false");
    let text = fs::read_to_string(mirror.join("index/js/on/json")).unwrap();
    assert_eq!(text.lines().next(), Some(json().yanked().pack().line.as_str()));
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_bundle_whose_line_contradicts_the_crate_is_refused() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    let before = all_files(&mirror);
    let mut forged = json().pack();
    forged.line = json().dep("evil", "^1").cksum(&forged.cksum).pack().line;
    BundleBuilder::new("b", 1).ship_packed(forged).write(&sandbox.path(""), "forged.pkg");
    let run = sandbox.run(["import", "forged.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has("the bundle's index line of json 1.0.0 is false: its dependency `evil` is not in the Cargo.toml")
        .stderr_has("hint: `forged.pkg` was altered or is not from your sender")
        .stderr_lacks("--reject");
    assert_eq!(all_files(&mirror), before);
}

#[test]
fn a_line_that_nothing_proves_gives_way_to_that_of_a_bundle() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let one = BundleBuilder::new("a", 1).ship_packed(opaque(false)).write(&sandbox.path(""), "one.pkg");
    import(&mirror, &one).unwrap();
    let before = public_files(&mirror);
    // A recorded line does not give way.
    BundleBuilder::new("b", 1).ship_packed(opaque(true)).write(&sandbox.path(""), "other.pkg");
    let run = sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has(
        "has other dependencies than the stored one (differing dependencies of the stored line: none; of the",
    )
    .stderr_has("bundle number 1 (`one.pkg`, id ")
    .stderr_has("--reject ");
    fs::write(mirror.join("index/js/on/json"), format!("{}\n", opaque(true).line)).unwrap();
    fs::remove_file(mirror.join(".frostmirror/lines/js/on/json")).unwrap();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    let run = sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    run.stderr_has("no bundle on record stated the stored index line of json 1.0.0").stderr_has("`evil ^1`");
    assert_restored(&sandbox, &before);
}

#[test]
fn a_record_of_a_version_that_never_existed_is_dropped() {
    for has_summary in [true, false] {
        for version in ["1.0.3", "6.1.0"] {
            let sandbox = Sandbox::new();
            let mirror = mirror_of_one(&sandbox);
            let records = mirror.join(".frostmirror/lines/js/on/json");
            let before = fs::read_to_string(&records).unwrap();
            let old = if version == "1.0.3" { "1.0.0 " } else { "1.1.0 " };
            fs::write(&records, before.replace(old, &format!("{version} "))).unwrap();
            if !has_summary {
                fs::remove_file(mirror.join("manifest.json")).unwrap();
            }
            let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).exits(4);
            run.stdout_has(&format!(
                ".frostmirror/lines/js/on/json: has a record of json {version}, but no index line"
            ))
            .stderr_has("--rebuild-state`");
            assert_eq!(sandbox.read("list.jsonl"), "");
            let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
            run.stderr_has("records of index lines were dropped").stderr_has(&format!("json {version}"));
            assert!(!fs::read_to_string(&records).unwrap().contains(version));
            sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 2 crates");
            sandbox.run(["gc", "--grace", "0", "--mirror", "mirror"]).ok().stdout_has("Removed 0 crates");
            sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
            sandbox.run(["verify", "--mirror", "mirror"]).ok();
        }
    }
}

#[test]
fn a_dist_file_that_the_import_record_contradicts_is_listed_and_replaced() {
    let path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundle = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0");
    import(&mirror, &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();
    let before = public_files(&mirror);
    let records = mirror.join(".frostmirror/artifacts.json");
    let (right, forged) = (Sha256::of(&before[path]).to_string(), Sha256::of(b"forged").to_string());
    fs::write(mirror.join(path), b"forged").unwrap();
    let text = fs::read_to_string(&records).unwrap();
    let size = format!("\"size\":{}", before[path].len());
    let at = text.find(path).unwrap();
    let (head, tail) = text.split_at(at);
    fs::write(&records, format!("{head}{}", tail.replacen(&right, &forged, 1).replacen(&size, "\"size\":6", 1)))
        .unwrap();
    let run = sandbox.run(["verify", "--mirror", "mirror", "--repair-list", "list.jsonl"]).exits(4);
    run.stdout_has(&format!("{path}: is recorded with a digest that no import record states; {right} is right"));
    assert!(sandbox.read("list.jsonl").contains(&right));
    let repair = BundleBuilder::new("a", 2).repair().dist_file(path, &before[path], Shipped);
    import(&mirror, &repair.write(&sandbox.path(""), "repair.pkg")).unwrap();
    assert_restored(&sandbox, &before);
}

#[test]
fn unrecognized_crates_do_not_count() {
    let sandbox = Sandbox::new();
    let mirror = mirror_of_one(&sandbox);
    let summary = fs::read(mirror.join("manifest.json")).unwrap();
    for name in ["other-1.0.0", "json-6.6.6"] {
        fs::write(mirror.join(format!("crates/{name}.crate")), "x").unwrap();
    }
    let audit = |more: &[&str]| {
        let run = sandbox.run(["verify", "--mirror", "mirror"].iter().chain(more)).exits(4);
        let expected =
            ["json-6.6.6", "other-1.0.0"].map(|name| format!("crates/{name}.crate: no index line names it\n"));
        assert_eq!(run.stdout, expected.concat(), "{more:?}");
        run.stderr_lacks("were lost");
    };
    audit(&[]);
    audit(&["--rebuild-state"]);
    assert_eq!(fs::read(mirror.join("manifest.json")).unwrap(), summary);
    // Counted again.
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    audit(&["--rebuild-state"]);
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    audit(&[]);
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    audit(&[]);
}
