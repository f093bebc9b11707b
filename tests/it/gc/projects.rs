//! Real projects, real fetches: files that any of them needs stay; others are removed.

use super::{assert_records_agree, stored_and_indexed_crates};
use crate::end_to_end::fixture_registry::FixtureRegistry;
use crate::support::sandbox::Sandbox;

fn fetch(sandbox: &Sandbox, args: &[&str]) -> std::path::PathBuf {
    let bundle = sandbox.run(["fetch", "-o", "out"].iter().chain(args)).ok().path();
    sandbox.path(bundle)
}

fn import(at: &Sandbox, bundle: &std::path::Path) {
    at.run(["import".as_ref(), bundle.as_os_str(), "--mirror".as_ref(), "mirror".as_ref()]).ok();
}

const GC_ARGS: [&str; 5] = ["gc", "--grace", "0", "--mirror", "mirror"];

#[test]
fn projects_of_one_and_two_lineages_survive_gc_of_each_other() {
    let world = FixtureRegistry::new();
    let (here, there, offline) = (world.sandbox(), world.sandbox(), Sandbox::new());
    here.write("one.toml", "[dependencies]\nengine = \"1\"\nleaf = \"0.3\"\n");
    here.write("two.toml", "[dependencies]\nnative = \"1\"\n[locked]\nleaf = \"0.3.1\"\n");
    there.write("three.toml", "[dependencies]\nplus = \"1\"\ngears = \"1\"\n");
    // Two inputs of one history, and another history.
    for (sandbox, config) in [(&here, "one.toml"), (&here, "two.toml"), (&there, "three.toml")] {
        import(&offline, &fetch(sandbox, &["-c", config]));
        let before = stored_and_indexed_crates(&offline.path("mirror"));
        offline.run(GC_ARGS).ok().stdout_has("Removed 0 crates, freed 0 bytes\n");
        assert_eq!(stored_and_indexed_crates(&offline.path("mirror")), before);
    }
    let mirror = offline.path("mirror");
    let (files, _) = stored_and_indexed_crates(&mirror);
    for needed in ["engine-1.2.0", "leaf-0.3.0", "leaf-0.3.1", "native-1.0.0", "plus-1.0.0+build.7", "gears-1.0.1"] {
        assert!(files.contains(needed), "{needed}: {files:?}");
    }

    // The first project drops its engine; the other history still needs the gears.
    here.write("one.toml", "[dependencies]\nleaf = \"0.3\"\n");
    import(&offline, &fetch(&here, &["-c", "one.toml"]));
    assert_eq!(stored_and_indexed_crates(&mirror).0, files, "an import takes nothing away");
    let run = offline.run(GC_ARGS).ok();
    let gone: Vec<&str> = ["derive-seven-0.2.0", "engine-1.2.0", "win-gears-1.0.0"].to_vec();
    assert!(run.stdout.contains(&format!("Removed {} crates", gone.len())), "{}", run.describe());
    let (after, listed) = stored_and_indexed_crates(&mirror);
    let expected: std::collections::BTreeSet<String> =
        files.iter().filter(|name| !gone.contains(&name.as_str())).cloned().collect();
    assert_eq!((after, listed), (expected.clone(), expected), "a yanked one that is needed stays");
    assert_records_agree(&mirror);
}
