//! A lost record of rustup artifacts is rebuilt from the ledger and the files, and missing files are listed.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::DistFileState;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{all_files, import, public_files};
use crate::import_dist_files::{HOST, channel_manifest, component_content, full_bundle, toolchains};
use crate::support::process::Run;
use crate::support::sandbox::Sandbox;

const RECORD: &str = ".frostmirror/artifacts.json";

fn component_path() -> String {
    format!("dist/2026-04-16/cargo-1.95.0-{HOST}.tar.xz")
}

/// A mirror whose history moved from one stable release to the next.
fn mirror_with_moved_channel() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundles = [
        full_bundle("a", 1, "2026-03-05", "1.94.0", "1.28.2").write(&sandbox.path(""), "one.pkg"),
        full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0").write(&sandbox.path(""), "two.pkg"),
    ];
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    (sandbox, mirror)
}

fn verify(sandbox: &Sandbox, more: &[&str]) -> Run {
    sandbox.run(["verify", "--mirror", "mirror"].iter().chain(more))
}

fn delete_record(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn corrupt_record(path: &Path) {
    fs::write(path, "{\"format\":1,").unwrap();
}

#[test]
fn a_lost_or_corrupt_record_is_rebuilt_identically() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    let before = all_files(&mirror);
    for harm in [delete_record, corrupt_record] {
        harm(&mirror.join(RECORD));
        verify(&sandbox, &[])
            .exits(4)
            .stdout_has(&format!("{RECORD}: is missing or is not a valid record of rustup artifacts"));
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("the record of 16 rustup artifacts");
        let after = all_files(&mirror);
        assert_eq!(after[RECORD], before[RECORD]);
        assert_eq!(after["manifest.json"], before["manifest.json"]);
        verify(&sandbox, &[]).ok().stdout_has("OK -- 1 crate, 16 rustup artifacts");
    }
    verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
    // A head that was made while the record was lost is put right too.
    corrupt_record(&mirror.join(RECORD));
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    verify(&sandbox, &["--rebuild-state"]).ok();
    assert_eq!(all_files(&mirror)["manifest.json"], before["manifest.json"]);
    assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
}

#[test]
fn a_rebuild_does_not_accept_corrupt_files_and_lists_the_needed_ones() {
    let (sandbox, mirror) = mirror_with_moved_channel();
    delete_record(&mirror.join(RECORD));
    fs::write(mirror.join(component_path()), "rot").unwrap();
    delete_record(&mirror.join("dist/channel-rust-stable.toml.sha256"));
    // Superseded files need no copy.
    fs::write(mirror.join("dist/channel-rust-1.94.0.toml"), "rot").unwrap();
    // An older content of a moving path is one that it may have.
    fs::write(mirror.join("dist/channel-rust-stable.toml"), channel_manifest("2026-03-05", "1.94.0")).unwrap();
    let run = verify(&sandbox, &["--rebuild-state", "--repair-list", "list.jsonl"]).exits(4);
    run.stdout_has(&format!("{}: its SHA-256 is ", component_path()))
        .stdout_has("dist/channel-rust-stable.toml.sha256: is missing")
        .stdout_has("dist/channel-rust-1.94.0.toml: nothing names it")
        .stderr_has("2 rustup artifacts in ")
        .stderr_has("2 rustup artifacts are to be fetched again");
    let sha256 = frostmirror::digest::Sha256::of(component_content("2026-04-16", "1.95.0").as_bytes());
    let list = sandbox.read("list.jsonl");
    let path = component_path();
    assert_eq!(list.lines().next(), Some(&*format!(r#"{{"kind":"artifact","path":"{path}","sha256":"{sha256}"}}"#)));
    assert_eq!(list.lines().count(), 2);

    delete_record(&mirror.join("dist/channel-rust-1.94.0.toml"));
    import(&mirror, &sandbox.path("two.pkg")).unwrap();
    verify(&sandbox, &[]).ok();
    assert_eq!(
        public_files(&mirror)["dist/channel-rust-stable.toml"],
        channel_manifest("2026-04-16", "1.95.0").into_bytes()
    );
}

#[test]
fn dist_files_of_a_lost_record_are_kept_until_forgotten() {
    for with_record in [true, false] {
        let (sandbox, mirror) = mirror_with_moved_channel();
        let name = ledger::record_names(&Layout::new(&mirror)).unwrap().swap_remove(1);
        delete_record(&mirror.join(".frostmirror/ledger").join(name));
        if !with_record {
            // Upstream's digests beside them tell what the files are that it had brought. Nothing proves rustup here.
            delete_record(&mirror.join(RECORD));
            let run = verify(&sandbox, &["--rebuild-state"]).exits(4);
            let run = run.stdout_has("rustup/archive/1.29.0/").stdout_has("nothing names it");
            assert!(!run.stdout.replace("rustup/dist/", "").contains("dist/"), "{}", run.stdout);
            assert_eq!(toolchains(&mirror), ["1.94.0", "stable (1.95.0)"]);
            sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
            assert!(mirror.join(component_path()).exists());
            continue;
        }
        verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("the lineages of 6 rustup artifacts are unknown");
        let before = public_files(&mirror);
        sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
        assert_eq!(public_files(&mirror), before);
        verify(&sandbox, &[]).ok();
        // The history's next bundle answers for what it needs, once it is accepted: of number 2 nothing is on record.
        let third = full_bundle("a", 3, "2026-04-16", "1.95.0", "1.29.0").read_at(50);
        let lineage = third.lineage().to_owned();
        import(&mirror, &third.write(&sandbox.path(""), "three.pkg")).unwrap();
        let args = ["gc", "--mirror", "mirror", "--grace", "0", "--forget"];
        let run = sandbox.run(args.into_iter().chain(["rebuilt"])).exits(4);
        let run = run.stderr_has("whose record is lost, was not imported again");
        let confirmed = run.stderr.split_once("--forget ").unwrap().1.split_whitespace().next().unwrap().to_owned();
        let args: Vec<&str> = args.into_iter().chain([confirmed.as_str()]).collect();
        let run = sandbox.run(&args).ok();
        run.stdout_has("  Doubtful: bundle number 3 was imported when the highest number was 1\n");
        assert!(public_files(&mirror).contains_key("dist/channel-rust-1.94.0.toml"));
        sandbox.run(args.into_iter().chain(["--accept", lineage.as_str()])).ok();
        assert!(!public_files(&mirror).contains_key("dist/channel-rust-1.94.0.toml"));
        assert!(mirror.join(component_path()).exists());
        verify(&sandbox, &[]).ok();
    }
}

/// A mirror with two toolchains and a rustup whose digest lies beside it, of which every record is lost.
fn mirror_without_records() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let sha256 = |text: &str| format!("{}  its name\n", frostmirror::digest::Sha256::of(text.as_bytes()));
    let text = channel_manifest("2026-04-16", "1.95.0");
    let (digest, program) = (sha256(&text), sha256("rustup 1.29.0"));
    let bundles = [
        full_bundle("a", 1, "2026-03-05", "1.94.0", "1.29.0").write(&sandbox.path(""), "one.pkg"),
        full_bundle("a", 2, "2026-04-16", "1.95.0", "1.29.0")
            .dist_file("dist/channel-rust-1.95.toml", &text, DistFileState::Shipped)
            .dist_file("dist/channel-rust-1.95.toml.sha256", &digest, DistFileState::Shipped)
            .dist_file(&format!("rustup/archive/1.29.0/{HOST}/rustup-init.sha256"), &program, DistFileState::Shipped)
            .write(&sandbox.path(""), "two.pkg"),
    ];
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    verify(&sandbox, &[]).ok();
    let layout = Layout::new(&mirror);
    ledger::record_names(&layout)
        .unwrap()
        .iter()
        .for_each(|name| delete_record(&mirror.join(".frostmirror/ledger").join(name)));
    delete_record(&mirror.join(RECORD));
    delete_record(&mirror.join("manifest.json"));
    (sandbox, mirror)
}

#[test]
fn toolchains_without_any_record_are_rebuilt_from_their_manifests() {
    let (sandbox, mirror) = mirror_without_records();
    let before = public_files(&mirror);
    verify(&sandbox, &["--rebuild-state"]).ok();
    verify(&sandbox, &[]).ok();
    let all = toolchains(&mirror);
    assert!(all.contains(&"stable (1.95.0)".to_owned()) && all.contains(&"1.94.0".to_owned()), "{all:?}");
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has("stable (1.95.0)");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    let after = public_files(&mirror);
    for path in before.keys().filter(|path| path.starts_with("dist/") || path.starts_with("rustup/")) {
        assert_eq!(after.get(path), before.get(path), "{path}");
    }
    verify(&sandbox, &[]).ok();
    // Nothing is left to restore.
    verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
    // The history's next bundle is imported as usual.
    let third = full_bundle("a", 3, "2026-04-16", "1.95.0", "1.29.0").read_at(50).write(&sandbox.path(""), "three.pkg");
    import(&mirror, &third).unwrap();
    verify(&sandbox, &[]).ok();
}

#[test]
fn corrupt_files_get_no_new_digest_when_all_records_are_lost() {
    let (sandbox, mirror) = mirror_without_records();
    let rot = |path: &str| {
        let mut bytes = fs::read(mirror.join(path)).unwrap();
        bytes[70] ^= 1;
        fs::write(mirror.join(path), bytes).unwrap();
    };
    // Its other names are as they were, so the component is proven all the same.
    rot("dist/channel-rust-stable.toml");
    let old = format!("dist/2026-03-05/cargo-1.94.0-{HOST}.tar.xz");
    fs::write(mirror.join(&old), "rot").unwrap();
    let program = format!("rustup/archive/1.29.0/{HOST}/rustup-init");
    fs::write(mirror.join(&program), "rot").unwrap();
    let mut run = verify(&sandbox, &["--rebuild-state"]).exits(4);
    for path in ["dist/channel-rust-stable.toml", "dist/channel-rust-stable.toml.sha256", &old, &program] {
        run = run.stdout_has(&format!("{path}: nothing names it"));
    }
    assert!(!run.stdout.contains(&component_path()), "{}", run.stdout);
    let record = fs::read_to_string(mirror.join(RECORD)).unwrap();
    for path in ["dist/channel-rust-stable.toml\"", &old, &program] {
        assert!(!record.contains(path), "{path}");
    }
    assert!(record.contains("dist/channel-rust-1.95.0.toml") && record.contains(&component_path()));
}

const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----\n\niQIzBAABCAAdFiEE\n=AbCd\n-----END PGP SIGNATURE-----\n";

#[test]
fn signatures_of_proven_manifests_stay_and_others_are_moved_aside() {
    let (sandbox, mirror) = mirror_without_records();
    let [good, also, text, large, lonely] = [
        "dist/channel-rust-stable.toml.asc",
        "dist/2026-04-16/channel-rust-stable.toml.asc",
        "dist/channel-rust-1.95.0.toml.asc",
        "dist/channel-rust-1.95.toml.asc",
        "dist/channel-rust-nightly.toml.asc",
    ];
    let put = |path: &str, text: &str| fs::write(mirror.join(path), text).unwrap();
    put(good, SIGNATURE);
    put(also, SIGNATURE);
    put(text, "<script>\n");
    put(large, &SIGNATURE.replace("=AbCd", &"A".repeat(64 * 1024)));
    // No manifest is beside it.
    put(lonely, SIGNATURE);
    let run = verify(&sandbox, &["--rebuild-state"]).ok();
    let record = fs::read_to_string(mirror.join(RECORD)).unwrap();
    for path in [good, also] {
        assert!(record.contains(&format!("{path}\"")) && mirror.join(path).is_file(), "{path}");
        assert!(!run.stderr.contains(path), "{}", run.stderr);
    }
    for path in [text, large, lonely] {
        assert!(run.stderr.contains(&format!("`{path}` was moved to .frostmirror/aside")), "{}", run.stderr);
        assert!(!record.contains(path) && !mirror.join(path).exists(), "{path}");
        assert!(mirror.join(".frostmirror/aside").join(path.replace('/', "-")).is_file(), "{path}");
    }
    verify(&sandbox, &[]).ok();
    verify(&sandbox, &["--rebuild-state"]).ok().stderr_has("nothing was lost");
    sandbox.run(["gc", "--mirror", "mirror", "--grace", "0"]).ok();
    assert_eq!(fs::read_to_string(mirror.join(good)).unwrap(), SIGNATURE);
}

#[test]
fn a_signature_that_the_ledger_contradicts_is_moved_aside() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let path = "dist/channel-rust-stable.toml.asc";
    let bundle =
        full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").dist_file(path, SIGNATURE, DistFileState::Shipped);
    let bundle = bundle.write(&sandbox.path(""), "one.pkg");
    import(&mirror, &bundle).unwrap();
    for (rot, stays) in [(false, true), (true, false)] {
        delete_record(&mirror.join(RECORD));
        if rot {
            fs::write(mirror.join(path), SIGNATURE.replace("iQIz", "iQIy")).unwrap();
        }
        let run = verify(&sandbox, &["--rebuild-state"]).ok();
        assert_eq!(
            (mirror.join(path).is_file(), !run.stderr.contains("was moved to")),
            (stays, stays),
            "{}",
            run.stderr
        );
        verify(&sandbox, &[]).ok();
    }
    // The bundle brings it again.
    import(&mirror, &bundle).unwrap();
    assert_eq!(fs::read_to_string(mirror.join(path)).unwrap(), SIGNATURE);
    verify(&sandbox, &[]).ok();
}
