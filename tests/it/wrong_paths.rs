//! Paths that name the wrong thing are refused, and each hint works as typed.

use std::fs;
use std::path::Path;

use frostmirror::bundle::format::CrateState;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;

use crate::bundle_builder::{BundleBuilder, all_files, import};
use crate::support::client::Project;
use crate::support::crates::Crate;
use crate::support::http_client::send_request;
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

fn write_bundle(sandbox: &Sandbox, number: u64, name: &str) {
    let crate_name = format!("crate{number}");
    BundleBuilder::new("a", number).ship(Crate::new(&crate_name, "1.0.0")).write(&sandbox.path(""), name);
}

/// A project of cargo, which has a folder crates/ as a mirror has.
fn write_project(sandbox: &Sandbox, folder: &str) {
    sandbox.write(format!("{folder}/Cargo.toml"), "[workspace]\nmembers = [\"crates/*\"]\n");
    sandbox.write(format!("{folder}/crates/one/Cargo.toml"), "");
    // FROSTMIRROR_HOME has this name in a home directory.
    sandbox.write(format!("{folder}/.frostmirror/cache/x"), "");
}

#[test]
fn list_and_status_refuse_a_given_path_without_a_mirror() {
    let sandbox = Sandbox::new();
    write_project(&sandbox, "project");
    fs::create_dir(sandbox.path("empty")).unwrap();
    for verb in ["list", "status"] {
        for folder in ["absent", "project", "empty"] {
            let run = sandbox.run([verb, "--mirror", folder]).exits(3);
            assert_eq!(run.stdout, "", "{verb} {folder}");
            run.stderr_has(&format!("no mirror is at `{}`", sandbox.path(folder).display()));
        }
        // The default mirror is created by the first import.
        sandbox.run([verb]).ok().stdout_has("Crate count: 0\n");
    }
}

#[test]
fn no_mirror_is_created_among_other_files() {
    let sandbox = Sandbox::new();
    write_project(&sandbox, "project");
    write_bundle(&sandbox, 1, "1.pkg");
    let before = all_files(&sandbox.path("project"));
    let run = sandbox.run(["import", "1.pkg", "--mirror", "project"]).exits(3);
    run.stderr_has("project` is not empty and is not a mirror").stderr_has("hint: ");
    sandbox.run(["serve", "--mirror", "project", "--bind", "127.0.0.1:0"]).exits(3).stderr_has("is not a mirror");
    sandbox.run(["gc", "--mirror", "project"]).exits(3);
    assert_eq!(all_files(&sandbox.path("project")), before);
    sandbox.write("fresh/lost+found/x", "");
    sandbox.run(["import", "1.pkg", "--mirror", "fresh"]).ok();
    // A mirror without its internal files is still one.
    fs::remove_dir_all(sandbox.path("fresh/.frostmirror")).unwrap();
    fs::remove_file(sandbox.path("fresh/manifest.json")).unwrap();
    sandbox.run(["import", "1.pkg", "--mirror", "fresh"]).exits(4).stderr_has("fresh --rebuild-state`");
    sandbox.run(["verify", "--rebuild-state", "--mirror", "fresh"]).ok();
    sandbox.run(["import", "1.pkg", "--mirror", "fresh"]).ok();
}

#[test]
fn the_server_refuses_overlapping_folders() {
    let sandbox = Sandbox::new();
    let serve = |mirror: &str, incoming: &str| {
        sandbox.run(["serve", "--mirror", mirror, "--incoming", incoming, "--watch-incoming", "--bind", "127.0.0.1:0"])
    };
    for (mirror, incoming) in [("x", "x"), ("x", "x/in"), ("x/mirror", "x"), ("x", "y/../x/./in")] {
        serve(mirror, incoming).exits(3).stderr_has("overlap").stderr_has("`--incoming`");
    }
    #[cfg(unix)]
    {
        fs::create_dir(sandbox.path("real")).unwrap();
        std::os::unix::fs::symlink("real", sandbox.path("link")).unwrap();
        serve("real/mirror", "link").exits(3).stderr_has("overlap");
    }
    assert!(!sandbox.path("x").exists());
}

#[test]
fn up_refuses_overlapping_folders() {
    for (mirror, incoming) in [("x", "x"), ("x", "x/in"), ("x/mirror", "x")] {
        let sandbox = Sandbox::new().env("FROSTMIRROR_MIRROR", mirror).env("FROSTMIRROR_INCOMING", incoming);
        let run = sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(3).stderr_has("overlap");
        run.stderr_has("hint: set FROSTMIRROR_MIRROR").stderr_lacks("--mirror");
        assert!(!sandbox.path("x").exists());
    }
    let sandbox = Sandbox::new().env("FROSTMIRROR_MIRROR", "project");
    write_project(&sandbox, "project");
    let run = sandbox.run(["up", "--bind", "127.0.0.1:0"]).exits(3).stderr_has("is not a mirror");
    run.stderr_has("hint: set FROSTMIRROR_MIRROR").stderr_lacks("--mirror");
}

#[test]
fn a_mirror_or_a_folder_in_place_of_a_bundle_has_a_hint_that_works() {
    let sandbox = Sandbox::new();
    write_bundle(&sandbox, 1, "1.pkg");
    fs::create_dir(sandbox.path("my bundles")).unwrap();
    fs::copy(sandbox.path("1.pkg"), sandbox.path("my bundles/real.pkg")).unwrap();
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.run(["import", "1.pkg", "--mirror", "my mirror"]).ok();
    for (verb, command) in [("verify", "verify"), ("list", "list"), ("inspect", "status"), ("diff", "status")] {
        let run = |folder| match verb {
            "diff" => sandbox.run([verb, "1.pkg", folder]).exits(3),
            _ => sandbox.run([verb, folder]).exits(3),
        };
        run("my mirror")
            .stderr_has("`my mirror` is a mirror, not a bundle")
            .stderr_has(&format!("hint: run `cargo frostmirror {command} --mirror 'my mirror'`"));
        sandbox.run([command, "--mirror", "my mirror"]).ok();
        run("my bundles")
            .stderr_has("`my bundles` is a folder, not a bundle")
            .stderr_has("such as 'my bundles/real.pkg'");
        run("empty").stderr_has("hint: no bundle (*.pkg) is in that folder").stderr_lacks("crates.pkg");
    }
    sandbox.run(["import", "my mirror"]).exits(3).stderr_has("is a mirror, not a folder with bundles");
}

#[test]
fn a_folder_with_invalid_bundles_only_says_that_none_was_imported() {
    let sandbox = Sandbox::new();
    for name in ["a.pkg", "b.pkg"] {
        sandbox.write(format!("bad/{name}"), "hello");
    }
    let run = sandbox.run(["import", "bad", "--mirror", "mirror"]).exits(4).stderr_lacks("others were imported");
    run.stderr_has("none of 2 bundles was imported").stderr_has("hint: fix the causes in the warnings above");
    write_bundle(&sandbox, 1, "1.pkg");
    let run = sandbox.run(["import", "bad", "1.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has("2 of 3 bundles were not imported")
        .stderr_has("the others were imported")
        .stderr_lacks("errors above");
}

#[test]
fn an_invalid_argument_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    write_bundle(&sandbox, 1, "1.pkg");
    write_bundle(&sandbox, 2, "2.pkg");
    sandbox.write("bad.pkg", "hello");
    let make = BundleBuilder::new("b", 2).parent("gone.pkg").with_crate(Crate::new("x", "1.0.0"), CrateState::Sent);
    make.write(&sandbox.path(""), "orphan.pkg");
    let run = sandbox.run(["import", "1.pkg", "bad.pkg", "orphan.pkg", "2.pkg", "--mirror", "mirror"]).exits(4);
    run.stderr_has("could not import bad.pkg")
        .stderr_has("could not import orphan.pkg")
        .stderr_has("hint: import `gone.pkg`")
        .stderr_has("2 of 4 bundles were not imported");
    assert_eq!(ledger::record_names(&Layout::new(&mirror)).unwrap().len(), 2);
    // A typing error is corrected before anything is imported.
    let run = sandbox.run(["import", "1.pkg", "bad.pkg", "absent.pkg", "--mirror", "other"]).exits(3);
    run.stderr_has("`absent.pkg` does not exist; nothing was imported");
    assert!(!sandbox.path("other").exists());
}

#[test]
fn an_invalid_bundle_is_graver_than_a_missing_one() {
    let sandbox = Sandbox::new();
    write_bundle(&sandbox, 1, "1.pkg");
    sandbox.write("bad.pkg", "hello");
    for files in [["bad.pkg", "absent.pkg", "1.pkg"], ["absent.pkg", "1.pkg", "bad.pkg"]] {
        let run = sandbox.run([["verify"].as_slice(), &files].concat()).exits(4);
        run.stdout_has("bad.pkg: ").stdout_has("absent.pkg: ").stdout_has("1.pkg: OK").stderr_has("2 of 3 bundles");
    }
    sandbox.run(["verify", "1.pkg", "absent.pkg"]).exits(3);
}

#[test]
fn a_second_import_says_that_nothing_changed() {
    let sandbox = Sandbox::new();
    write_bundle(&sandbox, 1, "1.PKG");
    fs::create_dir(sandbox.path("in")).unwrap();
    fs::rename(sandbox.path("1.PKG"), sandbox.path("in/1.PKG")).unwrap();
    sandbox.run(["import", "in", "--mirror", "mirror"]).ok().stderr_has("Updated the mirror");
    let run = sandbox.run(["import", "in", "--mirror", "mirror"]).ok().stderr_lacks("Updated");
    run.stderr_has("1.PKG is already imported, and nothing changed").stderr_has("Unchanged the mirror");
}

#[test]
fn hints_name_the_mirror_and_work_in_a_shell() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("my mirror");
    for number in [1, 3] {
        write_bundle(&sandbox, number, &format!("{number}.pkg"));
    }
    let lineage = BundleBuilder::new("a", 1).lineage().to_owned();
    sandbox.run(["import", "1.pkg", "--mirror", "my mirror"]).ok();
    let flag = format!("--mirror '{}'", mirror.display());
    let accept = format!("`cargo frostmirror gc {flag} --accept {lineage}");
    sandbox.run(["import", "3.pkg", "--mirror", "./x/../my mirror"]).ok().stderr_has(&accept);
    sandbox.run(["gc", "--dry-run", "--mirror", "my mirror"]).ok().stdout_has(&accept);
    sandbox
        .run(["status", "--mirror", "my mirror"])
        .ok()
        .stdout_has(&format!("`cargo frostmirror gc {flag} --dry-run`"));
    let unknown = sandbox.run(["gc", "--forget", "ffff", "--mirror", "my mirror"]).exits(3);
    unknown.stderr_has(&format!("`cargo frostmirror gc {flag} --dry-run`"));
    let short = sandbox.run(["gc", "--forget", &lineage[..3], "--mirror", "my mirror"]).exits(3);
    short.stderr_has("is too short: the id of a lineage needs at least 4 digits").stderr_has(&lineage);
    // A record outlives a move of the mirror, so it does not name the path.
    let names = ledger::record_names(&Layout::new(&mirror)).unwrap();
    let record = ledger::read_record(&Layout::new(&mirror), names.last().unwrap()).unwrap().unwrap();
    assert!(record.warnings[0].contains("gc --mirror DIR --accept"), "{:?}", record.warnings);
}

#[test]
fn a_failed_snapshot_leaves_no_folder() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    write_bundle(&sandbox, 1, "1.pkg");
    import(&mirror, &sandbox.path("1.pkg")).unwrap();
    fs::write(mirror.join("crates/crate1-1.0.0.crate"), "damaged").unwrap();
    let export = || sandbox.run(["export", "snapshot", "-o", "new/below", "--mirror", "mirror"]).exits(4);
    export().stderr_has(&format!("verify --mirror {}", mirror.display()));
    assert!(!sandbox.path("new").exists());
    // A folder that existed before stays.
    fs::create_dir(sandbox.path("new")).unwrap();
    export();
    assert!(sandbox.path("new").is_dir() && !sandbox.path("new/below").exists());
}

#[test]
fn status_explains_why_it_counts_more_crates_than_verify() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    for number in [1, 2] {
        let name = format!("{number}.pkg");
        write_bundle(&sandbox, number, &name);
        import(&mirror, &sandbox.path(&name)).unwrap();
    }
    sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_lacks("Awaiting deletion");
    sandbox.run(["gc", "--grace", "1h", "--mirror", "mirror"]).ok();
    sandbox.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- 1 crate");
    let run = sandbox.run(["status", "--mirror", "mirror"]).ok();
    run.stdout_has("Crate count: 2\n").stdout_has("Awaiting deletion: 1 (counted above");
    // The pages and the API label the same difference.
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let page = |path: &str| {
        let url = format!("{}{path}", serving.url());
        String::from_utf8(send_request("GET", &url, &[("Accept", "text/html")]).body).unwrap()
    };
    assert!(page("/").contains("<b>2</b> <small>of 1 name; 1 version awaiting deletion</small>"), "{}", page("/"));
    assert!(page("/browse").contains("1 crate in the index"), "{}", page("/browse"));
    let status: serde_json::Value = serde_json::from_str(&page("/api/status")).unwrap();
    assert_eq!((&status["crates"], &status["awaiting_deletion"]), (&2.into(), &1.into()));
}

#[test]
fn a_dry_run_rejects_the_paths_that_a_run_rejects() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("leaf", "1.0.0"));
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
    sandbox.write("file", "");
    fs::create_dir(sandbox.path("empty")).unwrap();
    for (args, code, text) in [
        (&["--reuse", "absent"][..], 3, "could not use the source given with `--reuse`"),
        (&["--reuse", "file/absent"], 7, "could not use the source given with `--reuse`"),
        (&["--reuse", "empty"], 3, "neither `crates/` nor a file"),
        (&["-o", "file/out"], 7, "could not write to"),
        (&["--from-list", "absent"], 3, "could not read the repair list"),
        (&["--base", "absent.pkg"], 3, "absent.pkg"),
        (&["-c", "absent.toml"], 3, "absent.toml"),
        (&["--lockfile", "absent.lock"], 3, "absent.lock"),
        (&["--manifest-path", "absent/Cargo.toml"], 3, "absent"),
    ] {
        let before = upstream.requests().len();
        for mode in [&["fetch"][..], &["fetch", "--dry-run"]] {
            let run = sandbox.run(mode.iter().chain(args)).exits(code).stderr_has(text).stderr_has("hint:");
            assert_eq!(run.stdout, "", "{args:?}");
        }
        assert_eq!(upstream.requests().len(), before, "{args:?}");
    }
    sandbox.run(["fetch", "--dry-run"]).ok().stdout_has("leaf 1.0.0");
    assert!(!sandbox.path("output").exists());
}

#[test]
fn a_bundle_or_another_binary_file_is_no_text() {
    let sandbox = Sandbox::new();
    write_bundle(&sandbox, 1, "1.pkg");
    // The name of a bundle may be lost.
    fs::copy(sandbox.path("1.pkg"), sandbox.path("copy")).unwrap();
    sandbox.write("photo", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    sandbox.run(["import", "1.pkg", "--mirror", "mirror"]).ok();
    for (args, kind) in [
        (&["fetch", "--lockfile"][..], "a Cargo.lock"),
        (&["fetch", "-c"], "a depends.toml"),
        (&["fetch", "--from-list"], "a repair list"),
        (&["verify", "--mirror", "mirror", "--closure"], "a Cargo.lock"),
    ] {
        for (file, is_bundle) in [("1.pkg", true), ("copy", true), ("photo", false)] {
            let run = sandbox.run(args.iter().copied().chain([file])).exits(3);
            let path = sandbox.path(file);
            let run = run.stderr_has(&format!("`{}` is a binary file, not {kind}", path.display()));
            match is_bundle {
                true => {
                    run.stderr_has(&format!("it is a bundle: `cargo frostmirror verify {}` checks it", path.display()))
                }
                false => run.stderr_lacks("bundle").stderr_has("check that this is the file you meant"),
            };
        }
    }
    sandbox.run(["verify", "copy"]).ok();
    // A folder, with the file that was meant and without.
    sandbox.write("project/Cargo.lock", "version = 4\n");
    let lock = sandbox.path("project/Cargo.lock");
    let run = sandbox.run(["fetch", "--lockfile", "project"]).exits(3);
    run.stderr_has(&format!("give the file in that folder: {}", lock.display()));
    sandbox.run(["fetch", "--lockfile", "mirror"]).exits(3).stderr_has("that folder has no Cargo.lock");
    let run = sandbox.run(["fetch", "--from-list", "project"]).exits(3);
    run.stderr_has("give the repair list that").stderr_lacks("move it away");
    let run = sandbox.run(["fetch", "--manifest-path", "project/Cargo.lock"]).exits(3);
    run.stderr_has("give the path of a Cargo.toml; `--lockfile` takes a Cargo.lock");
}

#[cfg(unix)]
#[test]
fn a_cargo_that_does_not_start_is_named_with_the_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    sandbox.write("depends.toml", "[dependencies]\nserde = \"1\"\n");
    Project::new("app").write(&sandbox.path("app"));
    let write = |name: &str, content: &str, mode: u32| {
        let path = sandbox.write(format!("bin/{name}"), content);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    let folder = sandbox.path("bin");
    let closed = write("cargo", "#!/bin/sh\n", 0o644);
    let (foreign, lost) = (write("foreign", "\u{1}\u{2}\u{3}\u{4}", 0o755), write("lost", "#!/nope\n", 0o755));
    for args in [&["fetch", "-c", "depends.toml"][..], &["fetch", "--manifest-path", "app/Cargo.toml"]] {
        let fails = |name: &str, value: &Path, shown: &Path, hint: &str| {
            let run = sandbox.process(args).envs([(name, value)]).run().exits(3);
            run.stderr_has(&format!("could not run `{}`\n", shown.display())).stderr_has(hint);
        };
        let chmod = format!("make it executable with `chmod +x {}`, or set the variable CARGO", closed.display());
        fails("PATH", &folder, &closed, &chmod);
        fails("CARGO", &closed, &closed, &chmod);
        fails("CARGO", &folder, &folder, "a folder is no program");
        fails("CARGO", &foreign, &foreign, "check that this file is a program for this machine");
        fails("CARGO", &lost, &lost, "the interpreter or the loader that it names does not");
        fails("PATH", &sandbox.path("app"), Path::new("cargo"), "install Rust with rustup");
    }
}
