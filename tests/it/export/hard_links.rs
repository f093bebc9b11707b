//! Hard links on one file system, copies between two.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{EXPORT_KINDS, corrupt_copy, export_args, mirror};
use crate::support::sandbox::Sandbox;

fn device_and_inode(path: impl AsRef<Path>) -> (u64, u64) {
    let about = fs::metadata(path).unwrap();
    (about.dev(), about.ino())
}

#[test]
fn crates_are_hard_linked_and_index_files_copied() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    sandbox
        .run(export_args("local-registry", "registry"))
        .ok()
        .stderr_has("Exported 3 crates (")
        .stderr_has("hard links)");
    let registry = sandbox.path("registry");
    for name in ["Json-1.0.0.crate", "Json-1.1.0.crate", "serde-1.0.0+meta.1.crate"] {
        assert_eq!(device_and_inode(mirror.join("crates").join(name)), device_and_inode(registry.join(name)), "{name}");
    }
    for name in ["index/js/on/json", "index/se/rd/serde", "index/wi/no/winonly"] {
        assert_ne!(device_and_inode(mirror.join(name)), device_and_inode(registry.join(name)), "{name}");
        assert_eq!(fs::read(mirror.join(name)).unwrap(), fs::read(registry.join(name)).unwrap(), "{name}");
    }
    assert_eq!(fs::read_dir(&registry).unwrap().count(), 4);

    // The mirror mends by rename, so that a link keeps what it had.
    let good = fs::read(registry.join("Json-1.0.0.crate")).unwrap();
    corrupt_copy(&mirror.join("crates/Json-1.0.0.crate"));
    sandbox.run(["import", "one.pkg", "--mirror", "mirror"]).ok();
    assert_eq!(fs::read(mirror.join("crates/Json-1.0.0.crate")).unwrap(), good);
    assert_eq!(fs::read(registry.join("Json-1.0.0.crate")).unwrap(), good);
}

#[test]
fn a_symlink_in_the_mirror_is_neither_linked_nor_followed() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let (inside, outside) = (mirror.join("crates/Json-1.0.0.crate"), sandbox.path("elsewhere"));
    fs::rename(&inside, &outside).unwrap();
    std::os::unix::fs::symlink(&outside, &inside).unwrap();
    for form in EXPORT_KINDS {
        sandbox.run(export_args(form, "out")).exits(4).stderr_has("crates/Json-1.0.0.crate is not a file");
        assert!(!sandbox.path("out").exists());
    }
}

#[test]
#[ignore = "needs two file systems"]
fn across_file_systems_everything_is_copied() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    assert_ne!(device_and_inode(other.path()).0, device_and_inode(&mirror).0, "/dev/shm is no file system of its own");
    let folder = other.path().join("registry");
    let args = ["export", "local-registry", folder.to_str().unwrap(), "--mirror", "mirror"];
    sandbox
        .run(args)
        .ok()
        .stderr_has(", copies) to")
        .stderr_has("because hard links failed: Invalid cross-device link");
    let name = "Json-1.0.0.crate";
    assert_eq!(fs::read(folder.join(name)).unwrap(), fs::read(mirror.join("crates").join(name)).unwrap());
    // A copy is checked as a link is.
    fs::remove_dir_all(&folder).unwrap();
    corrupt_copy(&mirror.join("crates").join(name));
    sandbox.run(args).exits(4).stderr_has("crates/Json-1.0.0.crate");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}
