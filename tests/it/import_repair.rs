//! Bundles that mend: each file that a repair list can name heals alone, and none of them says done where nothing was.

use std::fs;
use std::path::Path;

use frostmirror::bundle::format::DistFileState::{Kept, Shipped};
use frostmirror::bundle::open::open_any;
use frostmirror::event::{Event, Sink};
use frostmirror::mirror::import::Error;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_adding;

use crate::bundle_builder::{BundleBuilder, import, import_with, options, public_files, test_holder};
use crate::import_dist_files::full_bundle;
use crate::support::sandbox::Sandbox;

/// Warnings of the import.
#[derive(Default)]
struct WarningRecorder(std::sync::Mutex<Vec<String>>);

impl Sink for WarningRecorder {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

fn import_warnings(mirror: &Path, bundle: &Path) -> Vec<String> {
    let warnings = WarningRecorder::default();
    let reader = Box::new(fs::File::open(bundle).unwrap());
    let opened = open_any(reader, "repair.pkg", mirror.parent().unwrap()).unwrap();
    let mut guard =
        lock_for_adding(&Layout::new(mirror), std::time::Duration::ZERO, &test_holder(), &warnings).unwrap();
    guard.import(opened, &options(bundle), &warnings).unwrap();
    warnings.0.into_inner().unwrap()
}

/// A bundle that ships `path` alone, as it is in `before`.
fn repair_bundle_with(number: u64, path: &str, content: &[u8]) -> BundleBuilder {
    BundleBuilder::new("a", number).repair().dist_file(path, content, Shipped)
}

#[test]
fn each_dist_file_can_be_repaired_alone_without_a_warning() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0")
        .dist_file("rustup/dist/x86_64-unknown-linux-gnu/rustup-init.sha256", "0", Shipped)
        .dist_file("dist/channel-rust-stable.toml.asc", "signed", Shipped);
    import(&mirror, &bundle.write(&folder, "one.pkg")).unwrap();
    let before = public_files(&mirror);
    let artifacts: Vec<&String> = before
        .keys()
        .filter(|path| !path.ends_with('/') && (path.starts_with("dist/") || path.starts_with("rustup/")))
        .collect();
    assert_eq!(artifacts.len(), 12);
    for (number, path) in (2..).zip(artifacts) {
        let repair = repair_bundle_with(number, path, &before[path]).write(&folder, "repair.pkg");
        // More than there was, other bytes of the same length, and nothing at all.
        let mut other = before[path].clone();
        other[0] ^= 1;
        for rot in [Some([&before[path][..], b"x"].concat()), Some(other), None] {
            match rot {
                Some(rot) => fs::write(mirror.join(path), rot).unwrap(),
                None => fs::remove_file(mirror.join(path)).unwrap(),
            }
            assert_eq!(import_warnings(&mirror, &repair), Vec::<String>::new(), "{path}");
            assert_eq!(public_files(&mirror), before, "{path}");
        }
    }
}

#[test]
fn a_repair_replaces_corrupt_files_even_without_rehashing() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg")).unwrap();
    let before = public_files(&mirror);
    let path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    fs::write(mirror.join(path), vec![b'x'; before[path].len()]).unwrap();
    let repair = repair_bundle_with(2, path, &before[path]).write(&folder, "repair.pkg");
    let trusting = frostmirror::mirror::import::ImportOptions { verify_existing: false, ..options(&repair) };
    import_with(&mirror, &repair, &trusting).unwrap();
    assert_eq!(public_files(&mirror), before);
}

#[test]
fn a_repair_bundle_that_cannot_repair_anything_fails() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg")).unwrap();
    let path = "dist/channel-rust-stable.toml.sha256";
    let old = fs::read(mirror.join(path)).unwrap();
    let repair = repair_bundle_with(2, path, &old).write(&folder, "repair.pkg");
    // Nothing was lost: that is as good as done.
    import(&mirror, &repair).unwrap();
    import(&mirror, &full_bundle("b", 1, "2026-05-28", "1.96.0", "1.29.0").read_at(9).write(&folder, "two.pkg"))
        .unwrap();
    let before = public_files(&mirror);
    let refused =
        import(&mirror, &repair_bundle_with(2, path, &old).dist_file("dist/x", "x", Kept).write(&folder, "late.pkg"))
            .unwrap_err();
    assert!(matches!(refused, Error::NothingRepaired { .. }), "{refused}");
    assert_eq!(public_files(&mirror), before);
}

#[test]
fn the_audit_names_the_bundle_of_a_missing_channel_file() {
    for path in ["dist/channel-rust-stable.toml", "dist/channel-rust-stable.toml.sha256", "rustup/release-stable.toml"]
    {
        let sandbox = Sandbox::new();
        let mirror = sandbox.path("mirror");
        let bundle = full_bundle("a", 1, "2026-04-16", "1.95.0", "1.29.0");
        import(&mirror, &bundle.write(&sandbox.path(""), "one.pkg")).unwrap();
        fs::remove_file(mirror.join(path)).unwrap();
        let run = sandbox.run(["verify", "--mirror", "mirror"]).exits(4).stdout_has(path);
        run.stderr_has("hint: import `one.pkg` (number 1, id ");
        sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
        sandbox.run(["verify", "--mirror", "mirror"]).ok();
    }
}
