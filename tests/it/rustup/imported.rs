//! The whole way of a toolchain into a mirror by a bundle, and rustup with what arrived.

use std::path::{Path, PathBuf};

use frostmirror::bundle::format::ArtifactState::Shipped;
use frostmirror::channel::{ChannelManifest, digest_path};

use super::walk;
use crate::import_bundle::Make;
use crate::support::crates::Crate;
use crate::support::dist::release::Release;
use crate::support::dist::{Dist, LINUX, OLD, STABLE, WASM, WINDOWS};
use crate::support::rustup::{self, Rustup};
use crate::support::sandbox::Sandbox;

/// A bundle that ships all that upstream has now.
fn bundle(dist: &Dist, sequence: u64, folder: &Path) -> PathBuf {
    let make = Make::new("a", sequence).ship(Crate::new("leaf", "1.0.0"));
    let files = dist.all_held();
    let make = files.iter().fold(make, |make, (path, content)| make.artifact(&path[1..], content, Shipped));
    make.write(folder, &format!("{sequence}.pkg"))
}

#[test]
#[ignore = "needs rustup"]
fn rustup_takes_what_bundles_brought() {
    let version = rustup::version();
    let (sandbox, dist) = (Sandbox::new(), Dist::start());
    dist.publish_rustup(&version, &[LINUX], &rustup::bytes());
    let import = |sequence: u64| {
        let bundle = bundle(&dist, sequence, &sandbox.path(""));
        sandbox.run(["import", "--mirror", "mirror", bundle.to_str().unwrap()]).ok();
    };
    import(1);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    walk::everything(serving.url());
    let disk = sandbox.run(["setup", "--local", "--mirror", "mirror"]).ok().stdout;
    let line = format!("export RUSTUP_DIST_SERVER='file://{}'\n", sandbox.path("mirror").display());
    assert!(disk.contains(&line), "{disk}");
    let rustup = Rustup::at(serving.url());
    rustup.init(["--default-toolchain", OLD.0]).ok();
    walk::moves_on(&rustup, &dist, |_| import(2));
    // The first one again, late: nothing goes back.
    let first = sandbox.path("1.pkg");
    sandbox.run(["import", "--mirror", "mirror", first.to_str().unwrap()]).ok();
    rustup.run(["update"]).ok();
    rustup.tool("rustc", ["+stable", "-V"]).ok().stdout_has("rustc 1.96.0");
}

#[test]
fn the_fakes_manifests_are_what_our_own_reader_takes_them_for() {
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
