//! The whole way of a toolchain into a mirror by a bundle, and rustup with what arrived.

use std::path::{Path, PathBuf};

use frostmirror::bundle::format::DistFileState::Shipped;
use frostmirror::toolchain::{ChannelManifest, digest_path};

use super::user_workflow;
use crate::bundle_builder::BundleBuilder;
use crate::support::crates::Crate;
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, OLD_STABLE, STABLE, WASM, WINDOWS};
use crate::support::rustup::{self, Rustup};
use crate::support::sandbox::Sandbox;

/// A bundle that ships all that upstream has now.
fn write_bundle(dist: &DistServer, sequence: u64, folder: &Path) -> PathBuf {
    let make = BundleBuilder::new("a", sequence).ship(Crate::new("leaf", "1.0.0"));
    let files = dist.all_files();
    let make = files.iter().fold(make, |make, (path, content)| make.dist_file(&path[1..], content, Shipped));
    make.write(folder, &format!("{sequence}.pkg"))
}

#[test]
#[ignore = "needs rustup"]
fn rustup_installs_from_imported_bundles() {
    let version = rustup::local_version();
    let (sandbox, dist) = (Sandbox::new(), DistServer::start());
    dist.publish_rustup(&version, &[LINUX], &rustup::local_binary());
    let import = |sequence: u64| {
        let bundle = write_bundle(&dist, sequence, &sandbox.path(""));
        sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    };
    import(1);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    user_workflow::exercise_rustup(serving.url());
    let disk = sandbox.run(["setup", "--local", "--mirror", "mirror"]).ok().stdout;
    let line = format!("export RUSTUP_DIST_SERVER='file://{}'\n", sandbox.path("mirror").display());
    assert!(disk.contains(&line), "{disk}");
    let rustup = Rustup::for_mirror(serving.url());
    rustup.init(["--default-toolchain", OLD_STABLE.0]).ok();
    user_workflow::update_to_new_release(&rustup, &dist, |_| import(2));
    // The first one again, late: nothing goes back.
    let first = sandbox.path("1.pkg");
    sandbox.run(["import", "--mirror", "mirror", first.to_str().unwrap()]).ok();
    rustup.run(["update"]).ok();
    rustup.tool("rustc", ["+stable", "-V"]).ok().stdout_has("rustc 1.96.0");
}

#[test]
fn fake_manifests_are_read_correctly_by_our_parser() {
    let release = Release::stable(STABLE.0, STABLE.1);
    let built = release.build();
    let manifest = ChannelManifest::parse(built.manifest.as_bytes()).unwrap();
    assert_eq!(manifest.date().to_string(), STABLE.1);
    let files = manifest.files();
    for (package, target) in [("rustc", LINUX), ("cargo", WINDOWS), ("rust-std", WASM), ("rust-src", "*")] {
        let path = release.archive_path(package, target, "xz")[1..].parse().unwrap();
        assert!(files.contains_key(&path), "{path}: {files:?}");
        assert!(built.files.contains_key(&format!("/{}", digest_path(&path))));
    }
    assert!(!manifest.packages()["miri-preview"].build(LINUX).unwrap().available);
}
