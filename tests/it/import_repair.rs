//! Bundles that mend: each file that a repair list can name heals alone, and none of them says done where nothing was.

use std::fs;
use std::path::Path;

use frostmirror::bundle::format::ArtifactState::{Kept, Shipped};
use frostmirror::bundle::open::open_any;
use frostmirror::event::{Event, Sink};
use frostmirror::mirror::import::Error;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_adding;

use crate::import_artifacts::whole;
use crate::import_bundle::{Make, import, import_with, me, options, view};
use crate::support::sandbox::Sandbox;

/// What is told while it imports.
#[derive(Default)]
struct Warnings(std::sync::Mutex<Vec<String>>);

impl Sink for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

fn warnings_of(mirror: &Path, bundle: &Path) -> Vec<String> {
    let warnings = Warnings::default();
    let reader = Box::new(fs::File::open(bundle).unwrap());
    let opened = open_any(reader, "repair.pkg", mirror.parent().unwrap()).unwrap();
    let mut guard = lock_for_adding(&Layout::new(mirror), std::time::Duration::ZERO, &me(), &warnings).unwrap();
    guard.import(opened, &options(bundle), &warnings).unwrap();
    warnings.0.into_inner().unwrap()
}

/// A bundle that ships `path` alone, as it is in `before`.
fn only(number: u64, path: &str, content: &[u8]) -> Make {
    Make::new("a", number).repair().artifact(path, content, Shipped)
}

#[test]
fn each_file_heals_alone_and_without_a_warning() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    let bundle = whole("a", 1, "2026-04-16", "1.95.0", "1.29.0")
        .artifact("rustup/dist/x86_64-unknown-linux-gnu/rustup-init.sha256", "0", Shipped)
        .artifact("dist/channel-rust-stable.toml.asc", "signed", Shipped);
    import(&mirror, &bundle.write(&folder, "one.pkg")).unwrap();
    let before = view(&mirror);
    let artifacts: Vec<&String> = before
        .keys()
        .filter(|path| !path.ends_with('/') && (path.starts_with("dist/") || path.starts_with("rustup/")))
        .collect();
    assert_eq!(artifacts.len(), 12);
    for (number, path) in (2..).zip(artifacts) {
        let repair = only(number, path, &before[path]).write(&folder, "repair.pkg");
        // More than there was, other bytes of the same length, and nothing at all.
        let mut other = before[path].clone();
        other[0] ^= 1;
        for rot in [Some([&before[path][..], b"x"].concat()), Some(other), None] {
            match rot {
                Some(rot) => fs::write(mirror.join(path), rot).unwrap(),
                None => fs::remove_file(mirror.join(path)).unwrap(),
            }
            assert_eq!(warnings_of(&mirror, &repair), Vec::<String>::new(), "{path}");
            assert_eq!(view(&mirror), before, "{path}");
        }
    }
}

#[test]
fn rot_heals_where_what_is_held_is_trusted_otherwise() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg")).unwrap();
    let before = view(&mirror);
    let path = "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz";
    fs::write(mirror.join(path), vec![b'x'; before[path].len()]).unwrap();
    let repair = only(2, path, &before[path]).write(&folder, "repair.pkg");
    let trusting = frostmirror::mirror::import::ImportOptions { rehash_held: false, ..options(&repair) };
    import_with(&mirror, &repair, &trusting).unwrap();
    assert_eq!(view(&mirror), before);
}

#[test]
fn one_that_can_mend_nothing_is_no_success() {
    let sandbox = Sandbox::new();
    let (folder, mirror) = (sandbox.path(""), sandbox.path("mirror"));
    import(&mirror, &whole("a", 1, "2026-04-16", "1.95.0", "1.29.0").write(&folder, "one.pkg")).unwrap();
    let path = "dist/channel-rust-stable.toml.sha256";
    let old = fs::read(mirror.join(path)).unwrap();
    let repair = only(2, path, &old).write(&folder, "repair.pkg");
    // Nothing was lost: that is as good as done.
    import(&mirror, &repair).unwrap();
    import(&mirror, &whole("b", 1, "2026-05-28", "1.96.0", "1.29.0").read(9).write(&folder, "two.pkg")).unwrap();
    let before = view(&mirror);
    let refused =
        import(&mirror, &only(2, path, &old).artifact("dist/x", "x", Kept).write(&folder, "late.pkg")).unwrap_err();
    assert!(matches!(refused, Error::NothingMended { .. }), "{refused}");
    assert_eq!(view(&mirror), before);
}
