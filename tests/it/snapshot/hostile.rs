//! Hostile snapshots.

use frostmirror::artifact::Kind;
use frostmirror::bundle::format::{Carried, CrateRecord, Input, Lineage};
use frostmirror::bundle::open::Bundle;
use frostmirror::digest::Sha256;

use super::*;
use crate::bundle_hostile::{refused, small, streamed};
use crate::support::forge::{Forged, entry};

type Bend = fn(&mut Carried);

/// A small snapshot that brings one history along.
fn snapshot() -> Forged {
    let mut forged = small();
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.carried = vec![carried("a")];
    forged.group(
        &[("depends.toml".to_owned(), String::new()), ("frostmirror.toml".to_owned(), "bind = 1".to_owned())],
        Kind::Config,
    );
    forged
}

fn carried(digit: &str) -> Carried {
    Carried {
        bundle: digit.repeat(32),
        file: "one.pkg".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        index_read: "2026-01-01T00:00:00Z".to_owned(),
        lineage: Lineage { id: digit.repeat(32), sequence: 1, inputs: Vec::new() },
        crates: vec![0, 1],
        artifacts: Vec::new(),
    }
}

#[test]
fn what_only_a_snapshot_has_is_refused_elsewhere_and_held_to_rules_there() {
    assert_eq!(streamed(&snapshot().bytes()), Vec::<String>::new());
    let bent = |bend: &dyn Fn(&mut Forged)| {
        let mut forged = snapshot();
        bend(&mut forged);
        forged.bytes()
    };
    refused(&bent(&|f| f.manifest.kind = BundleKind::Full), &["brings histories along"]);
    let config = |f: &mut Forged| {
        f.manifest.kind = BundleKind::Full;
        f.manifest.carried.clear();
    };
    refused(&bent(&config), &["depends.toml", "only a snapshot"]);
    let read = |f: &mut Forged, text: &str| f.manifest.crates[1].read = Some(text.to_owned());
    refused(&bent(&|f| read(f, "yesterday")), &["bb 0.2.0", "`read`"]);
    let mut full = small();
    read(&mut full, "2026-01-01T00:00:00Z");
    refused(&full.bytes(), &["bb 0.2.0", "no snapshot"]);
    let lines: [(Bend, &str); 6] = [
        (|one| one.lineage.id = "rebuilt".to_owned(), "whose id is none"),
        (|one| one.bundle = "../../../../etc/passwd".to_owned(), "whose id is none"),
        (|one| one.created = "2026".to_owned(), "with a time"),
        (|one| one.crates = vec![0, 2], "not in its table"),
        (|one| one.crates = vec![1, 0], "out of order"),
        (
            |one| {
                one.lineage.inputs = vec![Input {
                    name: "in".to_owned(),
                    roots: Vec::new(),
                    crates: vec![9],
                    artifacts: Vec::new(),
                    left_out: Vec::new(),
                }]
            },
            "positions",
        ),
    ];
    for (bend, said) in lines {
        refused(&bent(&|f| bend(&mut f.manifest.carried[0])), &[said]);
    }
    refused(&bent(&|f| f.manifest.carried.push(carried("a"))), &["a history twice"]);
    refused(&bent(&|f| f.manifest.carried.insert(0, carried("b"))), &["out of order"]);
    refused(&bent(&|f| f.manifest.carried[0].lineage.id = f.manifest.lineage.id.clone()), &["a history twice"]);
    refused(&bent(&|f| f.manifest.crates[0].state = CrateState::Sent), &["a 1.0.0", "relied on"]);
    let large = "#".repeat(1024 * 1024 + 1);
    let mut forged = snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    forged.stored(entry("frostmirror.toml", Kind::Config, large.as_bytes()), large.as_bytes());
    refused(&forged.bytes(), &["frostmirror.toml", "larger than a configuration file"]);
}

#[test]
fn one_bundle_is_of_one_history() {
    let mut forged = snapshot();
    forged.manifest.carried.push(Carried { bundle: "a".repeat(32), ..carried("b") });
    refused(&forged.bytes(), &["one bundle along for two histories"]);
}

#[test]
fn many_histories_are_refused_before_each_record_names_all_of_them() {
    let mut forged = snapshot();
    let id = |n: u32| Sha256::of(&n.to_le_bytes()).to_string()[..32].to_owned();
    let one =
        |id: String| Carried { bundle: id.clone(), lineage: Lineage { id, ..carried("a").lineage }, ..carried("a") };
    forged.manifest.carried = (0..3000).map(id).map(one).collect();
    forged.manifest.carried.sort_by(|a, b| a.bundle.cmp(&b.bundle));
    refused(&forged.bytes(), &["more histories along"]);
}

#[test]
fn what_a_snapshot_says_of_a_bundle_does_not_stand_for_the_bundle() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    let make = Make::new("a", 3).ship(Crate::new("needed", "1.0.0"));
    let lineage = make.lineage().to_owned();
    let bundle = make.write(&folder, "a3.pkg");
    let manifest = Bundle::open(fs::File::open(&bundle).unwrap(), "a3.pkg").unwrap().manifest().clone();
    let mut forged = snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    // Only the snapshot itself names the crate, so that nothing keeps it.
    forged.manifest.crates.push(CrateRecord { state: CrateState::Kept, ..manifest.crates[0].clone() });
    forged.manifest.carried = vec![Carried {
        bundle: manifest.id,
        created: manifest.created.clone(),
        lineage: Lineage { id: lineage, sequence: 3, inputs: Vec::new() },
        ..carried("a")
    }];
    let (path, mirror) = (folder.join("forged.pkg"), sandbox.path("mirror"));
    fs::write(&path, forged.bytes()).unwrap();
    import(&mirror, &path).unwrap();
    import(&mirror, &bundle).unwrap();
    collect(&mirror, &[]);
    assert!(mirror.join("crates/needed-1.0.0.crate").exists());
    assert!(import(&mirror, &bundle).unwrap().already);
    assert_clean(&mirror);
}

#[test]
fn the_name_of_a_carried_file_does_not_steer_the_terminal() {
    let sandbox = Sandbox::new();
    let mut forged = snapshot();
    forged.manifest.blocks.pop();
    forged.payload.pop();
    forged.manifest.carried[0].file = "\u{1b}[2J\nOK.pkg".to_owned();
    forged.manifest.carried[0].lineage.inputs = vec![Input {
        name: "\u{1b}[2J".to_owned(),
        roots: Vec::new(),
        crates: vec![0],
        artifacts: Vec::new(),
        left_out: Vec::new(),
    }];
    let path = sandbox.path("forged.pkg");
    fs::write(&path, forged.bytes()).unwrap();
    let path = path.to_str().unwrap();
    fs::create_dir(sandbox.path("none")).unwrap();
    for words in [
        vec!["inspect", path],
        vec!["verify", path],
        vec!["import", path, "--mirror", "mirror", "--config-dir", "none"],
        vec!["gc", "--mirror", "mirror", "--dry-run"],
        vec!["status", "--mirror", "mirror"],
        vec!["export", "snapshot", "--mirror", "mirror", "-o", "out", "--config-dir", "none"],
    ] {
        let run = sandbox.run(words.clone()).ok();
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(!said.contains("\u{1b}[2J"), "{words:?}: {said:?}");
        assert!(!said.lines().any(|line| line.starts_with("OK.pkg")), "{words:?}: {said:?}");
    }
}

/// What a snapshot must not change: everything that another server may say about how this one runs.
const TAKEOVER: &str = "proxy_mode = true\noffline = false\nproxy_index_url = \"http://UPSTREAM/index/\"\n\
                        proxy_dist_url = \"http://UPSTREAM\"\nverify_checksums = false\nmin_age = \"0\"\nprune_on_import = true\n\
                        admin_token_file = \"/etc/hostname\"\nbind = \"0.0.0.0:1\"\ntargets = [\"wasm32-wasip1\"]\n";

#[test]
fn an_imported_configuration_opens_no_way_out() {
    let upstream = crate::support::upstream::Upstream::start();
    let mut forged = small();
    forged.manifest.kind = BundleKind::Snapshot;
    forged.manifest.carried = vec![carried("a")];
    let hostile = TAKEOVER.replace("UPSTREAM", &upstream.addr().to_string());
    forged.group(&[("frostmirror.toml".to_owned(), hostile)], Kind::Config);
    for (words, own) in [(vec![], "min_age = \"14d\"\n"), (vec!["--offline"], "")] {
        let sandbox = Sandbox::new();
        sandbox.write("config/frostmirror.toml", own);
        sandbox.write("snapshot.pkg", forged.bytes());
        fs::create_dir(sandbox.path("incoming")).unwrap();
        let flags = ["--mirror", "m", "--incoming", "incoming", "--config-dir", "config", "--watch-incoming"];
        let serving = sandbox.serve(flags.iter().chain(&words));
        fs::rename(sandbox.path("snapshot.pkg"), sandbox.path("incoming/snapshot.pkg")).unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while !sandbox.path("incoming/done/snapshot.pkg").exists() {
            assert!(std::time::Instant::now() < until, "{}", serving.running().stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        let named = "frostmirror.toml: `proxy_mode`, `offline`, `proxy_index_url`, `proxy_dist_url`, `verify_checksums`, \
                     `min_age`, `prune_on_import`, `admin_token_file`, `bind` (";
        // The log is written by a thread of its own.
        while !serving.running().stderr().contains(named) {
            assert!(std::time::Instant::now() < until, "{}", serving.running().stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        for path in ["/index/to/ki/tokio", "/crates/tokio-1.0.0.crate", "/dist/channel-rust-stable.toml"] {
            assert_eq!(crate::support::web::get(&format!("{}{path}", serving.url())).status, 404, "{path}");
        }
        assert_eq!(upstream.requests().len(), 0, "{:?}", upstream.requests());
        let text = sandbox.read("config/frostmirror.toml");
        assert_eq!(text, format!("{own}targets = [\"wasm32-wasip1\"]\n"));
        serving.stop().ok();
        // Another start with the file that the import left asks nobody either.
        let again = sandbox.serve(flags.iter().chain(&words));
        assert_eq!(crate::support::web::get(&format!("{}/index/to/ki/tokio", again.url())).status, 404);
        assert_eq!(upstream.requests().len(), 0, "{:?}", upstream.requests());
    }
}
