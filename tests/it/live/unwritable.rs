//! A mirror that cannot be written to: its disk is full, or read-only, or another process holds its lock.

use std::collections::BTreeMap;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};

use super::*;
use crate::support::sandbox::BINARY;
use crate::support::wait;

const LARGE: &str = "/crates/large-1.0.0.crate";
const SMALL: &str = "/crates/small-1.0.0.crate";

fn test_holder() -> Holder {
    Holder { pid: 1, host: String::new(), verb: "import".to_owned(), since: String::new() }
}

fn with_two_sizes() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("large", "1.0.0").with_extra_bytes(1_500_000));
    upstream.publish(Crate::new("small", "1.0.0").with_extra_bytes(5_000));
    upstream
}

/// A server that a shell starts, after it has done `before` in the sandbox's desk.
fn start_confined(sandbox: &Sandbox, before: &str) -> RunningServer {
    let script = format!("{before} || exit 99; exec '{BINARY}' serve --bind 127.0.0.1:0 {}", LIVE_ARGS.join(" "));
    RunningServer::start(sandbox.other_program("unshare", ["-rm", "sh", "-c", &script]))
}

/// Requests a file that cannot be stored: the client gets the error before the first byte.
#[track_caller]
fn assert_refused(live: &LiveServer, path: &str) {
    let answer = live.get(path);
    let output = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
    assert!(
        answer.status == 507 && output.starts_with("the mirror could not store"),
        "{path}: {} {output}",
        answer.status
    );
}

/// Waits until the log has this line.
#[track_caller]
fn assert_logged(live: &LiveServer, text: &str) {
    wait::until_with(
        format!("the log contains `{text}`"),
        || live.serving.running().stderr(),
        || live.serving.running().stderr().contains(text),
    );
}

#[test]
fn files_above_the_file_size_limit_are_not_stored() {
    let upstream = with_two_sizes();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    let script =
        format!("trap '' XFSZ; ulimit -f 1000; exec '{BINARY}' serve --bind 127.0.0.1:0 {}", LIVE_ARGS.join(" "));
    let serving = RunningServer::start(sandbox.other_program("sh", ["-c", &script]));
    let live = LiveServer { sandbox, upstream, serving };
    for _ in 0..4 {
        assert_refused(&live, LARGE);
    }
    wait::until_with("four failures are counted", || live.status(), || live.status()["failures"] == 4);
    assert_eq!(live.status()["upstreams"][1]["state"], "good", "that is not upstream's fault");
    assert!(live.stored_files().is_empty() && live.leftover_files().is_empty());
    assert_eq!(live.status_of(SMALL), 200);
    live.wait_for_stored_crates(1);
    assert_logged(&live, "could not fetch large 1.0.0: the mirror could not store large 1.0.0");
    let live = live.restart();
    assert_eq!(live.status_of(LARGE), 200);
    live.wait_for_stored_crates(2);
    live.verify().ok();
}

#[test]
#[ignore = "needs mounts"]
fn a_full_disk_stores_nothing_invalid_and_resumes_when_space_is_free() {
    let upstream = with_two_sizes();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    fs::create_dir(sandbox.path("mirror")).unwrap();
    let before = "mount -t tmpfs -o size=4m none mirror && mkdir mirror/crates mirror/index && head -c 3500000 /dev/zero >mirror/filler";
    let serving = start_confined(&sandbox, before);
    let live = LiveServer { sandbox, upstream, serving };
    // The server's view of the disk.
    let process = live.serving.running().pid();
    let mirror = PathBuf::from(format!("/proc/{process}/root{}", live.sandbox.path("mirror").display()));
    for _ in 0..4 {
        assert_refused(&live, LARGE);
    }
    let partial = || fs::read_dir(mirror.join(".frostmirror/live/partial")).into_iter().flatten().count();
    wait::until("no partial file is left", || partial() == 0);
    assert!(!mirror.join("crates/large-1.0.0.crate").exists());
    assert_eq!(live.status_of(SMALL), 200);
    wait::until_with(
        "the small crate is stored",
        || live.serving.running().stderr(),
        || mirror.join("crates/small-1.0.0.crate").exists(),
    );
    // Storing ends with removed files; that must not free space once the disk is full.
    drop(lock_for_adding(&Layout::new(&mirror), Duration::from_secs(60), &test_holder(), &NullSink).unwrap());

    // No space for the smallest file.
    let rest = live.sandbox.other_program("sh", ["-c", &format!("cat /dev/zero >'{}'", mirror.join("rest").display())]);
    assert_ne!(rest.run().code, 0, "the disk is full");
    live.upstream.publish(Crate::new("late", "1.0.0").with_extra_bytes(20_000));
    assert_refused(&live, "/crates/late-1.0.0.crate");
    assert!(!mirror.join("crates/late-1.0.0.crate").exists());
    assert_eq!(live.status_of("/healthz"), 200);
    assert_eq!(live.status_of(SMALL), 200);

    for file in ["filler", "rest"] {
        fs::remove_file(mirror.join(file)).unwrap();
    }
    for path in [LARGE, SMALL, "/crates/late-1.0.0.crate"] {
        assert_eq!(live.status_of(path), 200, "{path}");
    }
    wait::until_with(
        "all crates are stored",
        || live.serving.running().stderr(),
        || ["large", "small", "late"].iter().all(|name| mirror.join(format!("crates/{name}-1.0.0.crate")).exists()),
    );
    live.sandbox.run(["verify", "--mirror", mirror.to_str().unwrap()]).ok();
}

#[test]
#[ignore = "needs mounts"]
fn a_read_only_mirror_serves_stored_files_and_reports_the_error() {
    let live = LiveServer::in_front_of(with_two_sizes(), "");
    assert_eq!(live.status_of(SMALL), 200);
    live.wait_for_stored_crates(1);
    let LiveServer { sandbox, upstream, serving } = live;
    serving.stop().ok();
    let before = served_contents(&sandbox);
    let mount = "mount --bind mirror mirror && mount -o remount,bind,ro mirror";
    let serving = start_confined(&sandbox, mount);
    let live = LiveServer { sandbox, upstream, serving };
    assert_eq!(live.status_of(SMALL), 200);
    assert_eq!(live.status_of("/index/la/rg/large"), 200);
    let answer = live.get(LARGE);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert_eq!(answer.status, 500, "{text}");
    assert!(text.contains("could not store large 1.0.0: the mirror is on a read-only file system"), "{text}");
    assert_logged(&live, "live mode cannot store the files that it fetches, because this server may not write to `");
    assert_eq!(live.status_of("/healthz"), 200);
    assert_logged(&live, "could not fetch large 1.0.0: the mirror could not store large 1.0.0");
    assert_logged(&live, "Read-only");
    assert_eq!(served_contents(&live.sandbox), before);
    let live = live.restart();
    assert_eq!(live.status_of(LARGE), 200);
    live.wait_for_stored_crates(2);
    live.verify().ok();
}

fn served_contents(sandbox: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    sandbox.read_tree("mirror")
}

#[test]
fn clients_are_served_while_the_mirror_is_locked_and_files_are_stored_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = publish_workload(&upstream, 10, &folder.path().join("app"));
    let live = LiveServer::in_front_of(upstream, "");
    let layout = Layout::new(live.sandbox.path("mirror"));
    let guard = lock_for_adding(&layout, Duration::from_secs(60), &test_holder(), &NullSink).unwrap();
    for _ in 0..2 {
        live.client().cargo(&app, ["fetch", "--locked"]).ok();
    }
    assert!(live.stored_files().is_empty(), "nothing is written without the lock");
    assert_eq!(live.upstream.downloads().len(), 10, "the second client has what came for the first");
    drop(guard);
    live.wait_for_stored_crates(10);
    live.verify().ok();
    live.client().cargo(&app, ["fetch", "--locked"]).ok();
    assert_eq!(live.upstream.downloads().len(), 10);
}

#[test]
fn a_concurrent_import_of_the_same_crates_gives_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = publish_workload(&upstream, 16, &folder.path().join("app"));
    let live = LiveServer::in_front_of(upstream, "");
    let lock = app.join("Cargo.lock");
    let bundle = live.sandbox.run(["fetch", "--lockfile", lock.to_str().unwrap(), "-o", "out"]).ok().path();
    let importing = live.sandbox.process(["import", "--mirror", "mirror"]).args([&bundle]).start();
    let clients: Vec<Client> = (0..3).map(|_| live.client()).collect();
    let running: Vec<_> = clients.iter().map(|client| client.process(&app, ["fetch", "--locked"]).start()).collect();
    for one in running {
        one.wait(Duration::from_secs(60)).ok();
    }
    importing.wait(Duration::from_secs(60)).ok();
    live.wait_for_stored_crates(16);
    live.verify().ok();
    let LiveServer { sandbox, upstream, serving } = live;
    serving.stop().ok();
    drop(upstream);
    let offline = sandbox.serve(["--mirror", "mirror"]);
    Client::with_index(&format!("{}/index/", offline.url())).cargo(&app, ["fetch", "--locked"]).ok();
}
