//! Exports share the mirror's lock among themselves, and exclude writers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding, lock_for_reading};

use super::{EXPORT_KINDS, export_args, mirror};
use crate::bundle_builder::{all_files, test_holder};
use crate::support::process::{Process, Run};
use crate::support::sandbox::Sandbox;

#[test]
fn exports_and_imports_wait_for_each_other() {
    let sandbox = Sandbox::new();
    let layout = Layout::new(mirror(&sandbox));
    let importing = lock_for_adding(&layout, Duration::ZERO, &test_holder(), &NullSink).unwrap();
    for form in EXPORT_KINDS {
        let run = sandbox.run(export_args(form, "out").into_iter().chain(["--lock-timeout", "0"])).exits(6);
        run.stderr_has("locked by `test` with pid 1 on here");
        assert!(!sandbox.path("out").exists());
    }
    drop(importing);

    let other = Holder { verb: "export".to_owned(), ..test_holder() };
    let exporting = lock_for_reading(&layout, Duration::ZERO, &other, &NullSink).unwrap();
    sandbox.run(export_args("vendor", "out")).ok();
    let import = ["import", "one.pkg", "--mirror", "mirror", "--lock-timeout", "0"];
    sandbox.run(import).exits(6).stderr_has("is locked by");
    drop(exporting);
    sandbox.run(import).ok();
}

/// Runs an export while the mirror is on a read-only file system; `None` where this machine does not let us make one.
fn export_read_only_mirror(sandbox: &Sandbox, form: &str) -> Option<Run> {
    let mount = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99; exec \"$@\"";
    let binary = env!("CARGO_BIN_EXE_cargo-frostmirror");
    let root = sandbox.path("");
    if !Path::new("/usr/bin/unshare").exists() {
        return None;
    }
    let args = ["-rm", "sh", "-c", mount, "mirror", binary, "export", form, form, "--mirror", "mirror"];
    let run = Process::new("/usr/bin/unshare", &root).args(args).run();
    let refused = run.code == 99 || run.stderr.starts_with("unshare:");
    (!refused).then_some(run)
}

#[test]
fn a_read_only_mirror_is_exported_with_and_without_a_lock_file() {
    let sandbox = Sandbox::new();
    let mirror = mirror(&sandbox);
    for lock_file in [true, false] {
        if !lock_file {
            fs::remove_file(mirror.join(".frostmirror/lock")).unwrap();
        }
        let before = all_files(&mirror);
        for form in EXPORT_KINDS {
            let run = match export_read_only_mirror(&sandbox, form) {
                Some(run) => run,
                None => sandbox.run(export_args(form, form)),
            };
            run.ok().stderr_has("Exported 3 crates");
            fs::remove_dir_all(sandbox.path(form)).unwrap();
        }
        assert_eq!(all_files(&mirror), before);
    }
}
