//! Hostile snapshots.

use frostmirror::bundle::format::{CarriedHistory, CrateRecord, Input, Lineage};
use frostmirror::bundle::open::Bundle;
use frostmirror::digest::Sha256;
use frostmirror::mirror_file::FileKind;

use super::*;
use crate::bundle_builder::all_files;
use crate::bundle_hostile::{assert_refused, small_bundle, streaming_problems};
use crate::support::forged_bundle::{ForgedBundle, entry};
use crate::support::wait;

type ModifyCarried = fn(&mut CarriedHistory);

/// A small snapshot that brings one history along.
fn small_snapshot() -> ForgedBundle {
    let mut forged = small_bundle();
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.carried_histories = vec![carried_history("a")];
    forged.add_text_block(
        &[("depends.toml".to_owned(), String::new()), ("frostmirror.toml".to_owned(), "bind = 1".to_owned())],
        FileKind::Config,
    );
    forged
}

fn carried_history(digit: &str) -> CarriedHistory {
    CarriedHistory {
        bundle: digit.repeat(32),
        file: "one.pkg".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        index_read: "2026-01-01T00:00:00Z".to_owned(),
        lineage: Lineage { id: digit.repeat(32), sequence: 1, previous: None, inputs: Vec::new() },
        crates: vec![0, 1],
        dist_files: Vec::new(),
    }
}

#[test]
fn snapshot_only_fields_are_validated_and_refused_in_other_bundles() {
    assert_eq!(streaming_problems(&small_snapshot().bytes()), Vec::<String>::new());
    let bent = |bend: &dyn Fn(&mut ForgedBundle)| {
        let mut forged = small_snapshot();
        bend(&mut forged);
        forged.bytes()
    };
    assert_refused(&bent(&|f| f.manifest.kind = BundleKind::Full), &["carries other histories"]);
    let config = |f: &mut ForgedBundle| {
        f.manifest.kind = BundleKind::Full;
        f.manifest.carried_histories.clear();
    };
    assert_refused(&bent(&config), &["depends.toml", "not a snapshot"]);
    let read = |f: &mut ForgedBundle, text: &str| f.manifest.crates[1].read_at = Some(text.to_owned());
    assert_refused(&bent(&|f| read(f, "yesterday")), &["bb 0.2.0", "`read`"]);
    let mut full = small_bundle();
    read(&mut full, "2026-01-01T00:00:00Z");
    assert_refused(&full.bytes(), &["bb 0.2.0", "not a snapshot"]);
    let lines: [(ModifyCarried, &str); 7] = [
        (|one| one.lineage.id = "rebuilt".to_owned(), "an invalid id"),
        (|one| one.bundle = "../../../../etc/passwd".to_owned(), "an invalid id"),
        (|one| one.lineage.sequence = 0, "an invalid `lineage.sequence`: the first bundle of a history has number 1"),
        (|one| one.created = "2026".to_owned(), "an invalid time"),
        (|one| one.crates = vec![0, 2], "out of range"),
        (|one| one.crates = vec![1, 0], "out of order"),
        (
            |one| {
                one.lineage.inputs = vec![Input {
                    name: "in".to_owned(),
                    roots: Vec::new(),
                    crates: vec![9],
                    dist_files: Vec::new(),
                    skipped_packages: Vec::new(),
                }]
            },
            "row numbers",
        ),
    ];
    for (bend, expected) in lines {
        assert_refused(&bent(&|f| bend(&mut f.manifest.carried_histories[0])), &[expected]);
    }
    assert_refused(
        &bent(&|f| f.manifest.carried_histories.push(carried_history("a"))),
        &["duplicated or out of order"],
    );
    assert_refused(&bent(&|f| f.manifest.carried_histories.insert(0, carried_history("b"))), &["out of order"]);
    assert_refused(
        &bent(&|f| f.manifest.carried_histories[0].lineage.id = f.manifest.lineage.id.clone()),
        &["duplicated or out of order"],
    );
    assert_refused(&bent(&|f| f.manifest.crates[0].state = CrateState::Sent), &["a 1.0.0", "sent before"]);
    let large = "#".repeat(1024 * 1024 + 1);
    let mut forged = small_snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    forged.add_stored_block(entry("frostmirror.toml", FileKind::Config, large.as_bytes()), large.as_bytes());
    assert_refused(&forged.bytes(), &["frostmirror.toml", "size limit of a configuration file"]);
}

#[test]
fn a_bundle_claimed_by_two_histories_is_refused() {
    let mut forged = small_snapshot();
    forged.manifest.carried_histories.push(CarriedHistory { bundle: "a".repeat(32), ..carried_history("b") });
    assert_refused(&forged.bytes(), &["one bundle for two histories"]);
}

#[test]
fn too_many_histories_are_refused() {
    let mut forged = small_snapshot();
    let id = |n: u32| Sha256::of(&n.to_le_bytes()).to_string()[..32].to_owned();
    let one = |id: String| CarriedHistory {
        bundle: id.clone(),
        lineage: Lineage { id, ..carried_history("a").lineage },
        ..carried_history("a")
    };
    forged.manifest.carried_histories = (0..3000).map(id).map(one).collect();
    forged.manifest.carried_histories.sort_by(|a, b| a.bundle.cmp(&b.bundle));
    assert_refused(&forged.bytes(), &["more than 1024 histories"]);
}

#[test]
fn claims_of_a_snapshot_about_a_bundle_do_not_replace_that_bundle() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    let make = BundleBuilder::new("a", 3).ship(Crate::new("needed", "1.0.0"));
    let lineage = make.lineage().to_owned();
    let bundle = make.write(&folder, "a3.pkg");
    let manifest = Bundle::open(fs::File::open(&bundle).unwrap(), "a3.pkg").unwrap().manifest().clone();
    let mut forged = small_snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    // Only the snapshot itself names the crate, so that nothing keeps it.
    forged.manifest.crates.push(CrateRecord { state: CrateState::Kept, ..manifest.crates[0].clone() });
    forged.manifest.carried_histories = vec![CarriedHistory {
        bundle: manifest.id,
        created: manifest.created.clone(),
        lineage: Lineage { id: lineage, sequence: 3, previous: Some("f".repeat(32)), inputs: Vec::new() },
        ..carried_history("a")
    }];
    let (path, mirror) = (folder.join("forged.pkg"), sandbox.path("mirror"));
    fs::write(&path, forged.bytes()).unwrap();
    import(&mirror, &path).unwrap();
    import(&mirror, &bundle).unwrap();
    run_gc(&mirror, &[]);
    assert!(mirror.join("crates/needed-1.0.0.crate").exists());
    assert!(import(&mirror, &bundle).unwrap().already_imported);
    assert_clean(&mirror);
}

#[test]
fn the_name_of_a_carried_file_does_not_control_the_terminal() {
    let sandbox = Sandbox::new();
    let mut forged = small_snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    forged.manifest.carried_histories[0].file = "\u{1b}[2J\nOK.pkg".to_owned();
    forged.manifest.carried_histories[0].lineage.inputs = vec![Input {
        name: "\u{1b}[2J".to_owned(),
        roots: Vec::new(),
        crates: vec![0],
        dist_files: Vec::new(),
        skipped_packages: Vec::new(),
    }];
    let path = sandbox.path("forged.pkg");
    fs::write(&path, forged.bytes()).unwrap();
    let path = path.to_str().unwrap();
    fs::create_dir(sandbox.path("none")).unwrap();
    for args in [
        vec!["inspect", path],
        vec!["verify", path],
        vec!["import", path, "--mirror", "mirror", "--config-dir", "none"],
        vec!["gc", "--mirror", "mirror", "--dry-run"],
        vec!["status", "--mirror", "mirror"],
        vec!["export", "snapshot", "--mirror", "mirror", "-o", "out", "--config-dir", "none"],
    ] {
        let run = sandbox.run(args.clone()).ok();
        let output = format!("{}{}", run.stdout, run.stderr);
        assert!(!output.contains("\u{1b}[2J"), "{args:?}: {output:?}");
        assert!(!output.lines().any(|line| line.starts_with("OK.pkg")), "{args:?}: {output:?}");
    }
}

/// What a snapshot must not change: everything that another server may say about how this one runs.
const HOSTILE_SETTINGS: &str = "proxy_mode = true\noffline = false\nproxy_index_url = \"http://UPSTREAM/index/\"\n\
                        proxy_dist_url = \"http://UPSTREAM\"\nverify_checksums = false\nmin_age = \"0\"\nprune_on_import = true\n\
                        admin_token_file = \"/etc/hostname\"\nbind = \"0.0.0.0:1\"\ntargets = [\"wasm32-wasip1\"]\n";

#[test]
fn an_imported_configuration_cannot_enable_outbound_access() {
    let upstream = crate::support::upstream::Upstream::start();
    let mut forged = small_bundle();
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.carried_histories = vec![carried_history("a")];
    let hostile = HOSTILE_SETTINGS.replace("UPSTREAM", &upstream.addr().to_string());
    forged.add_text_block(&[("frostmirror.toml".to_owned(), hostile)], FileKind::Config);
    for (args, own) in [(vec![], "min_age = \"14d\"\n"), (vec!["--offline"], "")] {
        let sandbox = Sandbox::new();
        sandbox.write("config/frostmirror.toml", own);
        sandbox.write("snapshot.pkg", forged.bytes());
        fs::create_dir(sandbox.path("incoming")).unwrap();
        let flags = ["--mirror", "m", "--incoming", "incoming", "--config-dir", "config", "--watch-incoming"];
        let serving = sandbox.serve(flags.iter().chain(&args));
        fs::rename(sandbox.path("snapshot.pkg"), sandbox.path("incoming/snapshot.pkg")).unwrap();
        wait::until_with(
            "the snapshot is imported",
            || serving.running().stderr(),
            || sandbox.path("incoming/done/snapshot.pkg").exists(),
        );
        let named = "frostmirror.toml: `proxy_mode`, `offline`, `proxy_index_url`, `proxy_dist_url`, `verify_checksums`, \
                     `min_age`, `prune_on_import`, `admin_token_file`, `bind` (";
        // The log is written by a thread of its own.
        wait::until_with(
            "the log names the settings that are not applied",
            || serving.running().stderr(),
            || serving.running().stderr().contains(named),
        );
        for path in ["/index/to/ki/tokio", "/crates/tokio-1.0.0.crate", "/dist/channel-rust-stable.toml"] {
            assert_eq!(crate::support::http_client::get(&format!("{}{path}", serving.url())).status, 404, "{path}");
        }
        assert_eq!(upstream.requests().len(), 0, "{:?}", upstream.requests());
        let text = sandbox.read("config/frostmirror.toml");
        assert_eq!(text, format!("{own}targets = [\"wasm32-wasip1\"]\n"));
        serving.stop().ok();
        // A restart with the imported file sends no request either.
        let again = sandbox.serve(flags.iter().chain(&args));
        assert_eq!(crate::support::http_client::get(&format!("{}/index/to/ki/tokio", again.url())).status, 404);
        assert_eq!(upstream.requests().len(), 0, "{:?}", upstream.requests());
    }
}

/// A crate's position in the tables of [`write_statement`].
const NEEDED: u32 = 2;

/// Writes a snapshot that states `carried` about a history, and names the crate `needed` without having it.
fn write_statement(path: &Path, needed: &CrateRecord, carried: CarriedHistory) {
    let mut forged = small_snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    forged.manifest.crates.push(CrateRecord { state: CrateState::Kept, ..needed.clone() });
    forged.manifest.carried_histories = vec![carried];
    fs::write(path, forged.bytes()).unwrap();
}

fn manifest_of(path: &Path) -> Manifest {
    Bundle::open(fs::File::open(path).unwrap(), "x.pkg").unwrap().manifest().clone()
}

/// What a genuine snapshot would state about this bundle, with the tables of [`write_statement`].
fn statement(manifest: &Manifest) -> CarriedHistory {
    CarriedHistory {
        bundle: manifest.id.clone(),
        file: "a3.pkg".to_owned(),
        created: manifest.created.clone(),
        index_read: manifest.index_read.clone(),
        lineage: Lineage { inputs: Vec::new(), ..manifest.lineage.clone() },
        crates: vec![NEEDED],
        dist_files: Vec::new(),
    }
}

/// Changes of a statement, and how they are reported.
const FALSE_STATEMENTS: [(ModifyCarried, &str); 6] = [
    (|one| one.crates.clear(), "a set of items without needed 1.0.0"),
    (|one| one.crates = vec![1, NEEDED], "bb 0.2.0, which the other statement lacks"),
    (|one| one.created = "2026-01-01T00:00:00Z".to_owned(), "the time 2026-01-01T00:00:00Z instead of "),
    (|one| one.lineage.sequence = 9, "the number 9 instead of 3"),
    (|one| one.lineage.previous = Some("e".repeat(32)), "the predecessor eeee"),
    (|one| one.lineage.id = "e".repeat(32), "the lineage eeee"),
];

#[test]
fn a_snapshot_that_contradicts_another_about_a_bundle_is_refused() {
    for (change, difference) in FALSE_STATEMENTS {
        let sandbox = Sandbox::new();
        let folder = sandbox.path("");
        let source = sandbox.path("source");
        let bundle = BundleBuilder::new("a", 3).ship(Crate::new("needed", "1.0.0")).write(&folder, "a3.pkg");
        import(&source, &bundle).unwrap();
        let genuine = folder.join("genuine.pkg");
        fs::rename(export(&source, &sandbox.path("out")).path, &genuine).unwrap();
        let manifest = manifest_of(&bundle);
        let (mut carried, forged) = (statement(&manifest), folder.join("forged.pkg"));
        change(&mut carried);
        write_statement(&forged, &manifest.crates[0], carried);
        fs::create_dir(sandbox.path("none")).unwrap();
        for (first, second) in [(&genuine, &forged), (&forged, &genuine)] {
            let mirror = sandbox.path("mirror");
            import(&mirror, first).unwrap();
            let before = all_files(&mirror);
            let [known, refused] = [first, second].map(|path| path.file_name().unwrap().to_str().unwrap());
            let run = sandbox.run(["import", refused, "--mirror", "mirror", "--config-dir", "none"]).exits(4);
            let id = manifest_of(first).id;
            let run = run
                .stderr_has(&format!(
                    "the snapshot `{refused}` contradicts the snapshot `{known}`, id {id}, about bundle "
                ))
                .stderr_has(&format!("{}: it states ", manifest.id))
                .stderr_has(&format!("--reject snapshot@{id}`, and import `{refused}` again"));
            if refused == "forged.pkg" {
                run.stderr_has(difference);
            }
            assert_eq!(all_files(&mirror), before);
            if known == "forged.pkg" {
                sandbox.run(["gc", "--mirror", "mirror", "--reject", &format!("snapshot@{id}")]).ok();
                sandbox.run(["import", refused, "--mirror", "mirror", "--config-dir", "none"]).ok();
                run_gc(&mirror, &[]);
                assert!(mirror.join("crates/needed-1.0.0.crate").exists(), "{difference}");
                assert_clean(&mirror);
            }
            fs::remove_dir_all(mirror).unwrap();
        }
    }
}

#[test]
fn a_snapshot_that_contradicts_the_bundle_itself_is_refused() {
    for (change, difference) in FALSE_STATEMENTS {
        let sandbox = Sandbox::new();
        let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
        let bundle = BundleBuilder::new("a", 3).ship(Crate::new("needed", "1.0.0")).write(&folder, "a3.pkg");
        let manifest = manifest_of(&bundle);
        let mut carried = statement(&manifest);
        write_statement(&folder.join("genuine.pkg"), &manifest.crates[0], carried.clone());
        change(&mut carried);
        write_statement(&folder.join("forged.pkg"), &manifest.crates[0], carried);
        fs::create_dir(sandbox.path("none")).unwrap();
        import(&mirror, &bundle).unwrap();
        let run = sandbox.run(["import", "forged.pkg", "--mirror", "mirror", "--config-dir", "none"]).exits(4);
        run.stderr_has(difference)
            .stderr_has(&format!("contradicts bundle {}, which was imported as `a3.pkg`: it states ", manifest.id))
            .stderr_has("hint: delete `forged.pkg`");
        sandbox.run(["import", "genuine.pkg", "--mirror", "mirror", "--config-dir", "none"]).ok();
        // A false statement that came first gives way to the bundle itself.
        let other = sandbox.path("other");
        import(&other, &folder.join("forged.pkg")).unwrap();
        import(&other, &bundle).unwrap();
        assert!(import(&other, &bundle).unwrap().already_imported, "{difference}");
        import(&other, &folder.join("genuine.pkg")).unwrap();
        run_gc(&other, &[]);
        assert!(other.join("crates/needed-1.0.0.crate").exists(), "{difference}");
    }
}

#[test]
fn the_own_record_of_a_bundle_takes_a_falsely_joined_chain_apart() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let mut ids = Vec::new();
    for number in 1..=4 {
        let bundle = BundleBuilder::new("a", number).ship(Crate::new(&format!("c{number}"), "1.0.0"));
        let bundle = bundle.write(&folder, &format!("{number}.pkg"));
        import(&mirror, &bundle).unwrap();
        ids.push(manifest_of(&bundle).id);
    }
    let other = BundleBuilder::new("a", 3).previous(&ids[1]).ship(Crate::new("needed", "1.0.0"));
    let other = other.write(&folder, "other.pkg");
    let manifest = manifest_of(&other);
    let mut carried = statement(&manifest);
    (carried.lineage.sequence, carried.lineage.previous) = (5, Some(ids[3].clone()));
    carried.created = "2027-01-01T00:00:00Z".to_owned();
    write_statement(&folder.join("forged.pkg"), &manifest.crates[0], carried);
    import(&mirror, &folder.join("forged.pkg")).unwrap();
    assert_eq!(summary(&mirror).contested, []);
    sandbox.run(["import", "other.pkg", "--mirror", "mirror"]).ok().stderr_has("--reject");
    let numbers = |mirror: &Path| {
        let summary = summary(mirror);
        let tips = summary.contested.iter().chain(&summary.lineages);
        tips.filter(|tip| tip.id == manifest.lineage.id).map(|tip| tip.sequence).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mirror), [3, 4]);
    run_gc(&mirror, &[]);
    assert!(mirror.join("crates/c4-1.0.0.crate").exists());
    assert_eq!(numbers(&mirror), [3, 4]);
    assert_clean(&mirror);
    fs::remove_file(mirror.join("manifest.json")).unwrap();
    sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
    assert_eq!(numbers(&mirror), [3, 4]);
}
