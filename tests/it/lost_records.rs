//! Lost records of imports are reported by the next import, and a rebuild names the bundles to import again.

use std::fs;
use std::path::PathBuf;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

fn write_bundle(sandbox: &Sandbox, number: u64) -> PathBuf {
    let name = format!("crate{number}");
    let make = BundleBuilder::new("a", number).ship(Crate::new(&name, "1.0.0"));
    make.write(&sandbox.path(""), &format!("{number}.pkg"))
}

#[test]
fn a_rebuild_after_the_loss_of_all_records_and_another_import_succeeds() {
    for later in [2, 3] {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        import(&mirror, &write_bundle(&sandbox, 1)).unwrap();
        fs::remove_dir_all(mirror.join(".frostmirror")).unwrap();
        write_bundle(&sandbox, later);
        let run = sandbox.run(["import", &format!("{later}.pkg"), "--mirror", "mirror"]).ok();
        run.stderr_has("the ledger lacks 1 record of earlier imports: run `cargo frostmirror verify --mirror ")
            .stderr_has("/mirror --rebuild-state`");
        let run = sandbox.run(["verify", "--mirror", "mirror", "--rebuild-state"]).ok();
        assert!(run.stdout.starts_with("OK -- 2 crates"), "{}", run.describe());
        let run = if later == 3 {
            run.stderr_has("the record of bundle number 1 of lineage")
        } else {
            run.stderr_has("1 record of imports cannot be rebuilt")
        };
        run.stderr_has("gc --forget rebuilt --mirror");
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
        let run = sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
        run.stderr_lacks("the ledger lacks").stderr_lacks("already imported");
        sandbox.run(["gc", "--forget", "rebuilt", "--grace", "0", "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}

#[test]
fn an_import_of_the_lost_bundle_restores_its_record() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let bundles = [1, 2].map(|number| write_bundle(&sandbox, number));
    bundles.iter().for_each(|bundle| drop(import(&mirror, bundle).unwrap()));
    let layout = Layout::new(&mirror);
    let name = ledger::record_names(&layout).unwrap().pop().unwrap();
    fs::remove_file(layout.ledger().join(name)).unwrap();
    sandbox.run(["import", "2.pkg", "--mirror", "mirror"]).ok().stderr_lacks("the ledger lacks");
    sandbox.run(["gc", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_refused_delta_names_the_missing_bundles_and_the_base_of_a_new_fetch() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let delta = |sent: &str, number: u64| {
        let make =
            BundleBuilder::new("a", number).parent("gone.pkg").with_crate(Crate::new(sent, "1.0.0"), CrateState::Sent);
        make.write(&sandbox.path(""), "delta.pkg");
        sandbox.run(["import", "delta.pkg", "--mirror", "mirror"]).exits(4)
    };
    delta("lost", 4)
        .stderr_has("needs 1 file that the mirror lacks, first lost 1.0.0: bundles number 1 to 3 of its history are not imported")
        .stderr_has("hint: import `gone.pkg` and the other bundles number 1 to 3 first; if they are lost, repeat the fetch")
        .stderr_has("without `--incremental` and `--base`");
    for number in [1, 2, 5, 7] {
        import(&mirror, &write_bundle(&sandbox, number)).unwrap();
    }
    let second = ledger::read_summary(&Layout::new(&mirror)).unwrap().unwrap();
    let second = second.contested.iter().find(|tip| tip.sequence == 2).unwrap().bundle.clone();
    let base = format!("`cargo frostmirror fetch --base {second}`, the id of number 2 (`2.pkg`)");
    delta("lost", 9)
        .stderr_has("bundles number 3 to 4, 6 and 8 of its history are not imported, among them its base `gone.pkg`")
        .stderr_has(&base);
    delta("lost", 4)
        .stderr_has("its base `gone.pkg` is not imported (bundle number 3 of its history)")
        .stderr_has(&base);
}
