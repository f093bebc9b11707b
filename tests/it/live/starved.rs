//! A mirror that cannot be written to: its disk is full, or read-only, or somebody else holds its lock.

use std::collections::BTreeMap;

use frostmirror::event::Silent;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};

use super::*;
use crate::support::sandbox::BINARY;

const LARGE: &str = "/crates/large-1.0.0.crate";
const SMALL: &str = "/crates/small-1.0.0.crate";

fn me() -> Holder {
    Holder { pid: 1, host: String::new(), verb: "import".to_owned(), since: String::new() }
}

fn sizes() -> Upstream {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("large", "1.0.0").weighing(1_500_000));
    upstream.publish(Crate::new("small", "1.0.0").weighing(5_000));
    upstream
}

/// A server that a shell starts, after it has done `before` in the sandbox's desk.
fn confined(sandbox: &Sandbox, before: &str) -> Serving {
    let words = format!("{before} || exit 99; exec '{BINARY}' serve --bind 127.0.0.1:0 {}", LIVE.join(" "));
    Serving::of(sandbox.process_of("unshare", ["-rm", "sh", "-c", &words]))
}

/// Asks for a file that cannot be kept: the client is told before the first byte.
#[track_caller]
fn assert_refused(live: &Live, path: &str) {
    let answer = live.get(path);
    let told = String::from_utf8_lossy(&answer.body[..answer.body.len().min(200)]).into_owned();
    assert!(answer.status == 507 && told.starts_with("the mirror could not keep"), "{path}: {} {told}", answer.status);
}

/// Waits until the operator is told this.
#[track_caller]
fn assert_told(live: &Live, text: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while !live.serving.running().stderr().contains(text) {
        assert!(Instant::now() < until, "{}", live.serving.running().stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn files_larger_than_the_system_allows_are_not_kept_and_others_are() {
    let upstream = sizes();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    let words = format!("trap '' XFSZ; ulimit -f 1000; exec '{BINARY}' serve --bind 127.0.0.1:0 {}", LIVE.join(" "));
    let serving = Serving::of(sandbox.process_of("sh", ["-c", &words]));
    let live = Live { sandbox, upstream, serving };
    for _ in 0..4 {
        assert_refused(&live, LARGE);
    }
    let until = Instant::now() + Duration::from_secs(60);
    while live.figures()["failures"] != 4 {
        assert!(Instant::now() < until, "{}", live.figures());
    }
    assert_eq!(live.figures()["upstreams"][1]["state"], "good", "that is not upstream's fault");
    assert!(live.placed().is_empty() && live.debris().is_empty());
    assert_eq!(live.status_of(SMALL), 200);
    live.await_placed(1);
    assert_told(&live, "did not get large 1.0.0: the mirror could not keep large 1.0.0");
    let live = live.restart();
    assert_eq!(live.status_of(LARGE), 200);
    live.await_placed(2);
    live.audit().ok();
}

#[test]
#[ignore = "needs mounts"]
fn a_full_disk_keeps_nothing_bad_and_goes_on_when_there_is_room() {
    let upstream = sizes();
    let sandbox = Sandbox::new().upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    fs::create_dir(sandbox.path("mirror")).unwrap();
    let before = "mount -t tmpfs -o size=4m none mirror && head -c 3500000 /dev/zero >mirror/filler";
    let serving = confined(&sandbox, before);
    let live = Live { sandbox, upstream, serving };
    // The server's view of the disk.
    let process = live.serving.running().pid();
    let mirror = PathBuf::from(format!("/proc/{process}/root{}", live.sandbox.path("mirror").display()));
    for _ in 0..4 {
        assert_refused(&live, LARGE);
    }
    let partial = || fs::read_dir(mirror.join(".frostmirror/live/partial")).into_iter().flatten().count();
    let until = Instant::now() + Duration::from_secs(60);
    while partial() > 0 {
        assert!(Instant::now() < until, "debris");
    }
    assert!(!mirror.join("crates/large-1.0.0.crate").exists());
    assert_eq!(live.status_of(SMALL), 200);
    let until = Instant::now() + Duration::from_secs(60);
    while !mirror.join("crates/small-1.0.0.crate").exists() {
        assert!(Instant::now() < until, "{}", live.serving.running().stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Placing ends with files being removed; that must not make room again once the disk is full.
    drop(lock_for_adding(&Layout::new(&mirror), Duration::from_secs(60), &me(), &Silent).unwrap());

    // No room for the smallest thing.
    let rest = live.sandbox.process_of("sh", ["-c", &format!("cat /dev/zero >'{}'", mirror.join("rest").display())]);
    assert_ne!(rest.run().code, 0, "the disk is full");
    live.upstream.publish(Crate::new("late", "1.0.0").weighing(20_000));
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
    let until = Instant::now() + Duration::from_secs(60);
    while ["large", "small", "late"].iter().any(|name| !mirror.join(format!("crates/{name}-1.0.0.crate")).exists()) {
        assert!(Instant::now() < until, "{}", live.serving.running().stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    live.sandbox.run(["verify", "--mirror", mirror.to_str().unwrap()]).ok();
}

#[test]
#[ignore = "needs mounts"]
fn a_mirror_that_is_read_only_serves_what_it_holds_and_says_what_is_wrong() {
    let live = Live::before(sizes(), "");
    assert_eq!(live.status_of(SMALL), 200);
    live.await_placed(1);
    let Live { sandbox, upstream, serving } = live;
    serving.stop().ok();
    let before = contents(&sandbox);
    let mount = "mount --bind mirror mirror && mount -o remount,bind,ro mirror";
    let serving = confined(&sandbox, mount);
    let live = Live { sandbox, upstream, serving };
    assert_eq!(live.status_of(SMALL), 200);
    assert_eq!(live.status_of("/index/la/rg/large"), 200);
    let answer = live.get(LARGE);
    assert_eq!(answer.status, 507, "{}", String::from_utf8_lossy(&answer.body));
    assert!(String::from_utf8_lossy(&answer.body).contains("could not keep large 1.0.0"), "{:?}", answer.body);
    assert_eq!(live.status_of("/healthz"), 200);
    assert_told(&live, "did not get large 1.0.0: the mirror could not keep large 1.0.0");
    assert_told(&live, "Read-only");
    assert_eq!(contents(&live.sandbox), before);
    let live = live.restart();
    assert_eq!(live.status_of(LARGE), 200);
    live.await_placed(2);
    live.audit().ok();
}

fn contents(sandbox: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    sandbox.snapshot("mirror")
}

#[test]
fn clients_are_served_while_somebody_else_holds_the_lock_and_all_is_placed_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = workload(&upstream, 10, &folder.path().join("app"));
    let live = Live::before(upstream, "");
    let layout = Layout::new(live.sandbox.path("mirror"));
    let guard = lock_for_adding(&layout, Duration::from_secs(60), &me(), &Silent).unwrap();
    for _ in 0..2 {
        live.client().cargo(&app, ["fetch", "--locked"]).ok();
    }
    assert!(live.placed().is_empty(), "nobody writes without the lock");
    assert_eq!(live.upstream.downloads().len(), 10, "the second client has what came for the first");
    drop(guard);
    live.await_placed(10);
    live.audit().ok();
    live.client().cargo(&app, ["fetch", "--locked"]).ok();
    assert_eq!(live.upstream.downloads().len(), 10);
}

#[test]
fn an_import_of_the_same_crates_at_the_same_time_ends_in_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let app = workload(&upstream, 16, &folder.path().join("app"));
    let live = Live::before(upstream, "");
    let lock = app.join("Cargo.lock");
    let bundle = live.sandbox.run(["fetch", "--lockfile", lock.to_str().unwrap(), "-o", "out"]).ok().path();
    let importing = live.sandbox.process(["import", "--mirror", "mirror"]).args([&bundle]).start();
    let clients: Vec<Client> = (0..3).map(|_| live.client()).collect();
    let running: Vec<_> = clients.iter().map(|client| client.process(&app, ["fetch", "--locked"]).start()).collect();
    for one in running {
        one.wait(Duration::from_secs(60)).ok();
    }
    importing.wait(Duration::from_secs(60)).ok();
    live.await_placed(16);
    live.audit().ok();
    let Live { sandbox, upstream, serving } = live;
    serving.stop().ok();
    drop(upstream);
    let offline = sandbox.serve(["--mirror", "mirror"]);
    Client::of(&format!("{}/index/", offline.url())).cargo(&app, ["fetch", "--locked"]).ok();
}
