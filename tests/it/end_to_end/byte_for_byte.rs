//! What upstream has is what the mirror serves, byte for byte; what was damaged on the way is not let in.

use std::fs;
use std::path::Path;

use super::fixture_registry::{EVERY_FORM, FixtureRegistry, bundle_crates, every_form_set, files_below, owned};
use crate::support::crates::index_path;
use crate::support::http_client::get;

#[test]
fn every_depends_toml_form_is_mirrored_byte_for_byte() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", EVERY_FORM);
    let bundle = sandbox.run(["fetch"]).ok().path();
    assert_eq!(bundle.parent(), Some(sandbox.path("output").as_path()));
    let count = every_form_set().len();
    let verified = sandbox.run(["verify".as_ref(), bundle.as_os_str()]).ok();
    assert_eq!(verified.line(), format!("OK -- {count} crates, 0 rustup artifacts"));
    assert_eq!(bundle_crates(&sandbox, &bundle), owned(&every_form_set()));
    sandbox.run(["import".as_ref(), bundle.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has(&format!("Crate count: {count}\n"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    for name in world.published.iter().map(|one| one.name.as_str()) {
        let stored: String = world
            .published
            .iter()
            .filter(|one| one.name == name && every_form_set().contains(&(name, &one.version)))
            .map(|one| format!("{}\n", one.line))
            .collect();
        let answer = get(&format!("{}/index/{}", serving.url(), index_path(name)));
        match stored.is_empty() {
            true => assert_eq!(answer.status, 404, "{name}"),
            false => assert_eq!(String::from_utf8(answer.body).unwrap(), stored, "{name}"),
        }
    }
    for one in &world.published {
        let existing = every_form_set().contains(&(&one.name, &one.version));
        let version = one.version.replace('+', "%2B");
        for path in [format!("{}-{version}.crate", one.name), format!("{}/{version}/download", one.name)] {
            let answer = get(&format!("{}/crates/{path}", serving.url()));
            assert_eq!(answer.status, if existing { 200 } else { 404 }, "{path}");
            assert!(!existing || answer.body == one.bytes, "{path}");
        }
    }
    serving.stop().ok();
}

#[test]
fn a_corrupt_bundle_is_refused_and_leaves_the_mirror_unchanged() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", "[dependencies]\nengine = \"=1.0.0\"\n");
    let first = sandbox.run(["fetch"]).ok().path();
    sandbox.run(["import".as_ref(), first.as_os_str()]).ok();
    let mirror = sandbox.frostmirror_home().join("mirror");
    let before = sandbox.read_tree(&mirror);
    sandbox.write("depends.toml", "[dependencies]\nengine = { version = \"1\", features = [\"fast\"] }\n");
    let bundle = fs::read(sandbox.run(["fetch"]).ok().path()).unwrap();
    let turbo = &world.packed("turbo", "0.9.3").bytes;
    let inside = bundle.windows(turbo.len()).position(|window| window == turbo).expect("stored as it is");
    let last = bundle.len() - 1;
    let places = [
        ("a crate", inside + turbo.len() / 2, "crates/turbo-0.9.3.crate"),
        ("the header", 9, ""),
        ("the manifest", 200, ""),
        ("the last byte", last, ""),
    ];
    for (what, place, named) in places {
        let mut damaged = bundle.clone();
        damaged[place] ^= 0x20;
        let path = sandbox.write("damaged.pkg", &damaged);
        let refused = |path: &Path| {
            let run = sandbox.run(["import".as_ref(), path.as_os_str()]).exits(4).stderr_has(named);
            assert!(run.stderr.contains("damaged.pkg"), "{what}\n{}", run.describe());
            assert!(sandbox.read_tree(&mirror) == before, "{what} changed the mirror");
        };
        refused(&path);
        let verified = sandbox.run(["verify", "damaged.pkg"]).exits(4);
        assert!(format!("{}{}", verified.stdout, verified.stderr).contains(named), "{what}\n{}", verified.describe());
        sandbox.write("damaged.pkg", &bundle[..place]);
        sandbox.run(["import", "damaged.pkg"]).exits(4);
        assert!(sandbox.read_tree(&mirror) == before, "{what} cut changed the mirror");
    }
    let whole = sandbox.write("whole.pkg", &bundle);
    sandbox.run(["import".as_ref(), whole.as_os_str()]).ok();
    assert!(mirror.join("crates/turbo-0.9.3.crate").is_file());
}

#[test]
fn a_corrupt_record_is_skipped_for_the_one_before_it() {
    let world = FixtureRegistry::new();
    let sandbox = world.sandbox();
    for name in ["leaf", "plus"] {
        sandbox.write("depends.toml", format!("[dependencies]\n{name} = \"*\"\n"));
        let bundle = sandbox.run(["fetch"]).ok().path();
        sandbox.run(["import".as_ref(), bundle.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
    }
    let imports = |code| {
        let run = sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).exits(code);
        let status: serde_json::Value = serde_json::from_str(run.stdout.lines().next().unwrap()).unwrap();
        status["imports"].as_u64().unwrap()
    };
    assert_eq!(imports(0), 2);
    let mut records = files_below(&sandbox.path("mirror/.frostmirror/ledger"));
    for path in [sandbox.path("mirror/manifest.json"), records.pop().unwrap()] {
        fs::write(path, "rotten").unwrap();
    }
    assert_eq!(imports(4), 1);
}
