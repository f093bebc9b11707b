//! A mirror on a disk that is full to the last block: a collection frees space, and live mode keeps within its limit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lineages::LineageTip;
use frostmirror::mirror::summary::Counts;
use frostmirror::mirror::{ledger, retired};

use crate::bundle_builder::{BundleBuilder, all_files, assert_consistent, import, public_files};
use crate::support::crates::Crate;
use crate::support::http_client::{get, send_request, send_request_with_body};
use crate::support::process::Run;
use crate::support::sandbox::{BINARY, RunningServer, Sandbox};
use crate::support::upstream::Upstream;
use crate::support::wait;

/// Mounts a disk of 68 MB at `mirror`.
const MOUNT_SMALL_DISK: &str = "mkdir -p mirror && mount -t tmpfs -o size=68m none mirror";
/// Fills it, with the smallest pieces at last.
const FILL_DISK: &str =
    "for size in 1M 4k 1; do dd if=/dev/zero of=mirror/filler-$size bs=$size 2>/dev/null || true; done";

/// What must be the same whether a run was killed before or not.
type FinalState = (BTreeMap<String, Vec<u8>>, Counts, Vec<LineageTip>, Vec<retired::Retirement>, Vec<String>);

fn final_state(mirror: &Path) -> FinalState {
    let layout = Layout::new(mirror);
    let head = ledger::read_summary(&layout).unwrap().unwrap();
    let private = all_files(mirror).into_keys().filter(|path| path.starts_with(".frostmirror/")).collect();
    (public_files(mirror), head.counts, head.lineages, retired::read_retirements(&layout).unwrap(), private)
}

/// Runs these words in a shell with a disk of its own; `fm` is the program.
fn run_on_small_disk(sandbox: &Sandbox, script: &str) -> Run {
    let script = format!("{MOUNT_SMALL_DISK} || exit 99; fm() {{ '{BINARY}' \"$@\"; }}; set -e; {script}");
    sandbox.other_program("unshare", ["-rm", "sh", "-c", &script]).run()
}

/// Two bundles: of the crates of the first one the second needs every other version of each name, and half of the names.
fn write_two_bundles(sandbox: &Sandbox) {
    let desk = sandbox.path("");
    let mut first = BundleBuilder::new("a", 1);
    let mut second = BundleBuilder::new("a", 2);
    for number in 0..60 {
        let name = format!("name-{number}");
        for version in ["1.0.0", "1.1.0"] {
            first = first.ship(Crate::new(&name, version).with_extra_bytes(9_000));
        }
        if number % 2 == 0 {
            second = second.ship(Crate::new(&name, "1.1.0").with_extra_bytes(9_000));
        }
    }
    first.write(&desk, "1.pkg");
    second.write(&desk, "2.pkg");
}

#[test]
#[ignore = "needs mounts"]
fn gc_works_on_a_full_disk() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "fm import 1.pkg --mirror mirror; fm import 2.pkg --mirror mirror; {FILL_DISK}
             stat -f -c 'free: %a' mirror
             fm gc --mirror mirror --grace 0
             rm mirror/filler-*; fm verify --mirror mirror; test -e mirror/.frostmirror/reserve && echo 'the reserve is back'"
        ),
    );
    let run = run.ok().stdout_has("free: 0\n").stdout_has("Removed 90 crates").stdout_has("the reserve is back");
    run.stdout_has("OK -- 30 crates");
}

#[test]
#[ignore = "needs mounts"]
fn gc_with_a_grace_period_works_on_a_full_disk_and_the_next_run_frees_space() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "fm import 1.pkg --mirror mirror; fm import 2.pkg --mirror mirror; {FILL_DISK}
             fm gc --mirror mirror; {FILL_DISK}; stat -f -c 'free: %a' mirror
             fm gc --mirror mirror --grace 0; rm mirror/filler-*; fm verify --mirror mirror"
        ),
    );
    run.ok()
        .stdout_has("Removed 0 crates")
        .stdout_has("free: 0\n")
        .stdout_has("Removed 90 crates")
        .stdout_has("OK -- 30");
}

/// Collects on a disk of 12 MB with ten blocks free and no reserve, so that index files change in several parts: once for each
/// checkpoint, with a kill at it, and then to the end. What is there after the kill and at the end is copied out.
fn killed_on_a_full_disk(sandbox: &Sandbox, prepared: &str, checkpoints: &[String]) -> Run {
    let each = format!(
        "mkdir -p mirror; for at in {}; do mount -t tmpfs -o size=12m none mirror
         '{BINARY}' import 1.pkg --mirror mirror; '{BINARY}' import 2.pkg --mirror mirror; {prepared}
         rm -f mirror/.frostmirror/reserve; dd if=/dev/zero of=mirror/filler bs=4k count=10 2>/dev/null
         {FILL_DISK}; rm mirror/filler; stat -f -c 'free: %a' mirror
         FROSTMIRROR_CRASH_AT=$at '{BINARY}' gc --mirror mirror --grace 0; echo \"$at: code $?\"
         cp -a mirror torn-$at; rm torn-$at/filler-*; '{BINARY}' gc --mirror mirror --grace 0 || echo \"$at: not completed\"
         cp -a mirror done-$at; rm done-$at/filler-*; umount mirror; done",
        checkpoints.join(" ")
    );
    sandbox.other_program("unshare", ["-rm", "sh", "-c", &each]).run().ok()
}

#[test]
#[ignore = "needs mounts"]
fn killed_at_any_checkpoint_on_a_full_disk_a_collection_is_completed_by_the_next() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    let undisturbed = sandbox.path("undisturbed");
    for bundle in ["1.pkg", "2.pkg"] {
        import(&undisturbed, &sandbox.path(bundle)).unwrap();
    }
    sandbox.run(["gc", "--mirror", "undisturbed", "--grace", "0"]).ok().stdout_has("Removed 90 crates");
    // The reserve's size differs on another disk.
    let outcome = |name: &str| {
        let (files, counts, lineages, notes, mut private) = final_state(&sandbox.path(name));
        private.retain(|path| path != ".frostmirror/reserve");
        (files, counts, lineages, notes, private)
    };
    let expected = outcome("undisturbed");
    // The first removes manifest.json. Then there are the crates without lines, notes, index files, records, crates, lists.
    let steps = |steps: &[u32]| steps.iter().map(|step| format!("commit:{step}")).collect::<Vec<_>>();
    let all = steps(&[1, 2, 3, 4, 5, 20, 40, 60, 63, 64, 66, 68, 90, 128, 131, 160, 200, 220, 222]);
    let unlisted = steps(&[2, 3, 50, 90, 92]);
    let later = format!("'{BINARY}' gc --mirror mirror --grace 10m");
    for (prepared, checkpoints) in [("", &all), (later.as_str(), &unlisted)] {
        let run = killed_on_a_full_disk(&sandbox, prepared, checkpoints);
        assert_eq!(run.stdout.matches("free: 10\n").count(), checkpoints.len(), "{}", run.describe());
        for at in checkpoints {
            assert!(run.stdout.contains(&format!("{at}: code 134\n")), "no collection passes {at}: {}", run.describe());
            assert!(!run.stdout.contains(&format!("{at}: not completed")), "{}", run.describe());
            assert_consistent(&sandbox.path(format!("torn-{at}")));
            let torn = public_files(&sandbox.path(format!("torn-{at}")));
            for (path, bytes) in expected.0.iter().filter(|(path, _)| path.starts_with("crates/")) {
                assert_eq!(torn.get(path), Some(bytes), "{at}: {path}");
            }
            let done = outcome(&format!("done-{at}"));
            let names = |files: &FinalState| files.0.keys().cloned().collect::<Vec<_>>();
            assert_eq!((names(&done), &done.4), (names(&expected), &expected.4), "{at}");
            assert!(done == expected, "{at}: {:?}", (done.1, done.2, done.3));
            for name in ["torn", "done"] {
                fs::remove_dir_all(sandbox.path(format!("{name}-{at}"))).unwrap();
            }
        }
    }
}

#[test]
#[ignore = "needs mounts"]
fn gc_works_on_a_full_disk_without_reserved_space() {
    for (grace, removed) in [("--grace 0", "Removed 90 crates"), ("", "Removed 0 crates")] {
        // Not one block is free, and the reserve has none.
        let sandbox = Sandbox::new();
        write_two_bundles(&sandbox);
        let run = run_on_small_disk(
            &sandbox,
            &format!(
                "fm import 1.pkg --mirror mirror; fm import 2.pkg --mirror mirror; : >mirror/.frostmirror/reserve; {FILL_DISK}
                 stat -f -c 'free: %a' mirror
                 fm gc --mirror mirror {grace}
                 rm mirror/filler-*; fm gc --mirror mirror --grace 0; fm verify --mirror mirror; fm status --mirror mirror"
            ),
        );
        let run = run.ok().stdout_has("free: 0\n").stdout_has(removed).stdout_has("OK -- 30 crates");
        run.stderr_lacks("no space reserved");
    }
}

#[test]
#[ignore = "needs mounts"]
fn gc_on_a_full_disk_removes_cached_index_files_if_nothing_else_frees_space() {
    let sandbox = Sandbox::new();
    // Every name keeps a version, so that its index file must be rewritten.
    let version = |version: &str| Crate::new("serde", version);
    BundleBuilder::new("a", 1).ship(version("1.0.0")).ship(version("1.1.0")).write(&sandbox.path(""), "1.pkg");
    BundleBuilder::new("a", 2).ship(version("1.1.0")).write(&sandbox.path(""), "2.pkg");
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "fm import 1.pkg --mirror mirror; fm import 2.pkg --mirror mirror; : >mirror/.frostmirror/reserve
             mkdir -p mirror/.frostmirror/live/index/x; head -c 100000 /dev/zero >mirror/.frostmirror/live/index/x/file
             {FILL_DISK}; stat -f -c 'free: %a' mirror
             fm gc --mirror mirror --grace 0; rm mirror/filler-*; fm verify --mirror mirror"
        ),
    );
    run.ok().stdout_has("free: 0\n").stdout_has("Removed 1 crate").stdout_has("OK -- 1 crate");
}

#[test]
#[ignore = "needs mounts"]
fn a_copied_mirror_has_reserved_space_and_a_tiny_disk_is_reported() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "fm import 1.pkg --mirror mirror/m; fm import 2.pkg --mirror mirror/m
             cp -a --sparse=always mirror/m mirror/copy; rm -r mirror/m; {FILL_DISK}; stat -f -c 'free: %a' mirror
             fm gc --mirror mirror/copy --grace 0; rm mirror/filler-*; fm verify --mirror mirror/copy"
        ),
    );
    run.ok().stdout_has("free: 0\n").stdout_has("Removed 90 crates").stderr_lacks("no space reserved");
    for (kib, is_reported) in [(300, true), (1024, false)] {
        BundleBuilder::new("b", 1).ship(Crate::new("json", "1.0.0")).write(&sandbox.path(""), "small.pkg");
        let script = format!(
            "mkdir -p tiny && mount -t tmpfs -o size={kib}k none tiny && '{BINARY}' import small.pkg --mirror tiny/m &&
             '{BINARY}' status --mirror tiny/m"
        );
        let run = sandbox.other_program("unshare", ["-rm", "sh", "-c", &script]).run().ok();
        let expected = if is_reported { 2 } else { 0 };
        assert_eq!(run.stderr.matches("has no space reserved for `gc`").count(), expected, "{kib}: {}", run.describe());
        assert!(!is_reported || run.stderr.contains("free 512"), "{}", run.describe());
    }
}

#[test]
#[ignore = "needs mounts"]
fn gc_works_on_a_mirror_created_on_a_full_disk() {
    let sandbox = Sandbox::new();
    let script = format!(
        "mkdir -p mirror/.frostmirror/staging mirror/crates mirror/index; {FILL_DISK}; fm gc --mirror mirror; rm mirror/filler-*; fm verify --mirror mirror"
    );
    run_on_small_disk(&sandbox, &script).ok().stdout_has("Removed 0 crates");
}

#[test]
#[ignore = "needs mounts"]
fn a_full_disk_error_suggests_gc() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    BundleBuilder::new("b", 1)
        .ship(Crate::new("new", "1.0.0").with_extra_bytes(200_000))
        .write(&sandbox.path(""), "new.pkg");
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "fm import 1.pkg --mirror mirror; {FILL_DISK}; set +e; fm import new.pkg --mirror mirror; echo \"code $?\""
        ),
    );
    let hint = format!("hint: run `cargo frostmirror gc --mirror {}`", sandbox.path("mirror").display());
    run.ok().stdout_has("code 7").stderr_has(&hint);
}

/// Imports a first bundle and a second one, and fills the disk beside the mirror.
fn full_disk_script() -> String {
    format!(
        "fm import 1.pkg --mirror mirror/m; fm import 2.pkg --mirror mirror/m; {FILL_DISK}
         stat -f -c 'free: %a' mirror"
    )
}

#[test]
#[ignore = "needs mounts"]
fn a_rebuild_works_on_a_full_disk_and_gc_afterwards() {
    // manifest.json, and both it and the newest record.
    for lost in ["mirror/m/manifest.json", "mirror/m/manifest.json mirror/m/.frostmirror/ledger/00000002-*"] {
        let sandbox = Sandbox::new();
        write_two_bundles(&sandbox);
        let run = run_on_small_disk(
            &sandbox,
            &format!(
                "{}; rm {lost}; {FILL_DISK}; set +e
                 fm import 2.pkg --mirror mirror/m; echo \"import: $?\"
                 fm gc --mirror mirror/m; echo \"gc: $?\"
                 set -e; fm verify --rebuild-state --mirror mirror/m
                 test $(stat -c %s mirror/m/.frostmirror/reserve) -gt 700000 && echo 'the reserve is back'; {FILL_DISK}
                 fm gc --grace 0 --mirror mirror/m; rm mirror/filler-*; fm verify --mirror mirror/m",
                full_disk_script()
            ),
        );
        let run = run.ok().stdout_has("free: 0\n").stdout_has("import: 4\n").stdout_has("gc: 4\n");
        run.stderr_has("Rebuilt manifest.json").stdout_has("the reserve is back").stdout_has("OK -- ");
    }
}

#[test]
#[ignore = "needs mounts"]
fn a_rebuild_without_reserved_space_says_to_free_some() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "{}; rm mirror/m/manifest.json mirror/m/.frostmirror/reserve; {FILL_DISK}; set +e
             fm verify --rebuild-state --mirror mirror/m; echo \"rebuild: $?\"
             set -e; rm mirror/filler-4k; fm verify --rebuild-state --mirror mirror/m; fm verify --mirror mirror/m",
            full_disk_script().replace("1M 4k", "4k")
        ),
    );
    run.ok()
        .stdout_has("rebuild: 7\n")
        .stderr_has("hint: free some space on that disk and run the same command again")
        .stdout_has("OK -- ");
}

#[test]
#[ignore = "needs mounts"]
fn an_import_on_a_full_disk_names_what_works_there() {
    let sandbox = Sandbox::new();
    write_two_bundles(&sandbox);
    let new = BundleBuilder::new("b", 1).ship(Crate::new("new", "1.0.0").with_extra_bytes(200_000));
    new.write(&sandbox.path(""), "new.pkg");
    // gc refuses to run without the record.
    let run = run_on_small_disk(
        &sandbox,
        &format!(
            "{}; rm mirror/m/.frostmirror/ledger/00000002-*; {FILL_DISK}; set +e
             fm import new.pkg --mirror mirror/m; echo \"import: $?\"
             set -e; fm verify --rebuild-state --mirror mirror/m; fm gc --mirror mirror/m",
            full_disk_script()
        ),
    );
    let mirror = sandbox.path("mirror/m");
    run.ok().stdout_has("import: 7\n").stderr_has(&format!(
        "hint: free some space there, or run `cargo frostmirror verify --mirror {} --rebuild-state`, which works on a full disk",
        mirror.display()
    ));
    // A first import: there is no mirror, and gc has nothing to remove.
    for script in [
        "fm import 1.pkg --mirror mirror/new".to_owned(),
        "mkdir -p mirror/new/.frostmirror; fm import 1.pkg --mirror mirror/new".to_owned(),
    ] {
        let fill = "dd if=/dev/zero of=mirror/filler bs=1M count=67 2>/dev/null";
        let run = run_on_small_disk(&sandbox, &format!("{fill}; set +e; {script}; echo \"import: $?\""));
        run.ok()
            .stdout_has("import: 7\n")
            .stderr_has("hint: free some space on that disk, or give a folder on a larger disk with `--mirror`")
            .stderr_lacks("cargo frostmirror gc");
    }
}

#[test]
#[ignore = "needs mounts"]
fn live_mode_keeps_its_size_limit_on_a_full_disk() {
    let sandbox = Sandbox::new();
    let upstream = Upstream::start();
    for number in 0..8 {
        upstream.publish(Crate::new(&format!("big-{number}"), "1.0.0").with_extra_bytes(400_000));
    }
    let sandbox = sandbox.upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    let script = format!(
        "{MOUNT_SMALL_DISK} || exit 99; exec '{BINARY}' serve --bind 127.0.0.1:0 --mirror mirror --incoming incoming --config-dir config --live"
    );
    let serving = RunningServer::start(sandbox.other_program("unshare", ["-rm", "sh", "-c", &script]));
    let root = format!("/proc/{}/root{}", serving.running().pid(), sandbox.path("mirror").display());
    let mirror = Path::new(&root);
    let placed = || {
        let names = fs::read_dir(mirror.join("crates")).into_iter().flatten().flatten();
        names.filter(|one| one.path().extension().is_some_and(|end| end == "crate")).count()
    };
    let until = |what: &str, is: &dyn Fn() -> bool| {
        wait::until_with(what, || format!("{} crates are stored; {}", placed(), serving.running().stderr()), is);
    };
    let crate_at = |number: usize| format!("{}/crates/big-{number}-1.0.0.crate", serving.url());
    for number in 0..6 {
        assert_eq!(get(&crate_at(number)).status, 200);
    }
    until("six crates are stored", &|| placed() == 6 && !mirror.join(".frostmirror/journal").exists());
    for size in [1 << 20, 4096, 1] {
        let mut file = fs::File::create(mirror.join(format!("filler-{size}"))).unwrap();
        while std::io::Write::write_all(&mut file, &vec![0; size]).is_ok() {}
    }
    let answer = get(&crate_at(6));
    let output = String::from_utf8_lossy(&answer.body).into_owned();
    let reason = "the mirror could not store big-6 1.0.0: its disk is full; ask its operator to free space\n";
    assert_eq!((answer.status, output.as_str()), (507, reason));
    let problems = || {
        let answer = get(&format!("{}/api/status", serving.url()));
        let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        status["problems"].to_string()
    };
    assert!(problems().contains("live mode: the disk of the mirror is full since 20"), "{}", problems());
    let page = send_request("GET", &format!("{}/", serving.url()), &[("Accept", "text/html")]);
    let dashboard = String::from_utf8(page.body).unwrap();
    assert!(dashboard.contains("The disk of the mirror is full since 20"), "{dashboard}");
    // The limit is lowered, and the next download that finds no space frees some.
    let headers = [("Content-Type", "application/json")];
    let set = send_request_with_body(
        "POST",
        &format!("{}/api/config", serving.url()),
        &headers,
        r#"{"proxy_cache_max": 1700000}"#,
    );
    assert_eq!(set.status, 200);
    until("the log reports an eviction", &|| {
        get(&crate_at(6));
        serving.running().stderr().contains("Evicted")
    });
    until("the crate is served", &|| get(&crate_at(6)).status == 200);
    until("the problem has ended", &|| !problems().contains("disk"));
    serving.stop().ok();
}
