//! `serve --watch-incoming`: files dropped into a folder, as people and copying programs drop them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use frostmirror::bundle::format::CrateState;
use frostmirror::env::Env;
use frostmirror::event::Silent;
use frostmirror::mirror::incoming::Incoming;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::lock_for_adding;
use frostmirror::server_config::{By, Fixed, Key, Live};
use frostmirror::watch::settle::Pace;
use frostmirror::watch::{self, WatchOptions, Watcher};

use crate::import_bundle::{Make, assert_sound, at, me};
use crate::support::crates::Crate;
use crate::support::sandbox::{Sandbox, Serving};

/// Longer than anything here takes on a machine that is busy with other things.
const LONG: Duration = Duration::from_secs(60);

/// A folder, a mirror, and a place where bundles are made.
struct World {
    sandbox: Sandbox,
}

impl World {
    fn new() -> World {
        let sandbox = Sandbox::new();
        for folder in ["incoming", "made"] {
            fs::create_dir(sandbox.path(folder)).unwrap();
        }
        World { sandbox }
    }

    fn serve(&self) -> Serving {
        self.sandbox.serve(["--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"])
    }

    /// A watcher in this process, with times of its own.
    fn watch(&self, notices: bool, quiet: Duration) -> Watcher {
        let pace = Pace {
            rescan: Duration::from_millis(50),
            quiet,
            quiet_unsure: quiet,
            retry: Duration::from_millis(50),
            retry_at_most: Duration::from_millis(100),
        };
        self.watch_at(notices, pace)
    }

    fn watch_at(&self, notices: bool, pace: Pace) -> Watcher {
        let options = WatchOptions {
            folder: self.incoming(),
            mirror: self.layout(),
            settings: self.settings(),
            pace,
            notices,
            env: Env::default(),
            clock: || at(0),
            sink: Arc::new(Silent),
            tally: Arc::default(),
        };
        watch::start(options).unwrap()
    }

    /// Settings that ask for the folder to be watched, over what the file says.
    fn settings(&self) -> Arc<Live> {
        let mut fixed = Fixed::default();
        fixed.switch(Key::WatchIncoming, By::Flag("--watch-incoming"), true);
        Arc::new(Live::load(&self.sandbox.path("config"), fixed).unwrap())
    }

    fn incoming(&self) -> PathBuf {
        self.sandbox.path("incoming")
    }

    fn made(&self) -> PathBuf {
        self.sandbox.path("made")
    }

    fn layout(&self) -> Layout {
        Layout::new(self.sandbox.path("mirror"))
    }

    /// Makes the `sequence`th bundle of a chain in which each ships one crate and relies on those before.
    fn make(&self, sequence: u64, name: &str) -> PathBuf {
        let mut make = Make::new("a", sequence);
        if sequence > 1 {
            make = make.parent(&format!("{}.pkg", sequence - 1));
        }
        for n in 1..=sequence {
            let state = if n == sequence { CrateState::Shipped } else { CrateState::Sent };
            make = make.with(Crate::new(&format!("crate-{n}"), "1.0.0"), state);
        }
        make.write(&self.made(), name)
    }

    /// Makes a bundle and renames it into the folder.
    fn drop(&self, sequence: u64, name: &str) {
        fs::rename(self.make(sequence, name), self.incoming().join(name)).unwrap();
    }

    fn imports(&self) -> usize {
        ledger::names(&self.layout()).unwrap().len()
    }

    fn recorded(&self) -> Incoming {
        Incoming::read(&self.layout()).unwrap().unwrap_or_default()
    }

    #[track_caller]
    fn until(&self, what: &str, is: impl Fn() -> bool) {
        let until = Instant::now() + LONG;
        while !is() {
            assert!(Instant::now() < until, "{what}: {:?}\n{:?}", self.names(), self.recorded());
            sleep(Duration::from_millis(10));
        }
    }

    /// From then on the system's notices come.
    #[track_caller]
    fn await_first_look(&self) {
        self.until("first look", || Incoming::read(&self.layout()).unwrap().is_some());
    }

    /// Waits for a file on a shelf. An empty one is no more than a name that was taken for what comes next.
    #[track_caller]
    fn until_there(&self, name: &str) {
        self.until(name, || fs::metadata(self.incoming().join(name)).is_ok_and(|about| about.len() > 0));
    }

    /// Everything in the folder and one below.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.sandbox.snapshot("incoming").into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn renaming_and_closing_are_seen_at_once() {
    let world = World::new();
    // Nothing but the system's notices can make it look again before the test gives up.
    let never = Duration::from_secs(24 * 60 * 60);
    let pace = Pace { rescan: never, quiet: never, quiet_unsure: never, ..Pace::default() };
    let _watcher = world.watch_at(true, pace);
    world.await_first_look();
    world.drop(1, "renamed.pkg");
    world.until_there("done/renamed.pkg");
    fs::copy(world.make(2, "copied.pkg"), world.incoming().join("copied.pkg")).unwrap();
    world.until_there("done/copied.pkg");
}

#[test]
fn what_is_dropped_is_imported_and_moved_away_and_nothing_is_overwritten() {
    let world = World::new();
    let serving = world.serve();
    world.await_first_look();
    world.drop(1, "one.pkg");
    world.until_there("done/one.pkg");
    assert_eq!((world.imports(), world.names().len()), (1, 2));
    assert_sound(world.layout().root());
    // A second of the same name, and the same once more.
    world.drop(2, "one.pkg");
    world.until_there("done/one-2.pkg");
    world.drop(2, "one.pkg");
    world.until_there("done/one-3.pkg");
    assert_eq!(world.imports(), 2);
    world.until("recorded", || world.recorded().done == 3);
    let status = world.sandbox.run(["status", "--mirror", "mirror"]).ok();
    status.stdout_has("Done bundles: 3\nArriving bundles: 0\nWaiting bundles: 0\nFailed bundles: 0\n");
    let run = serving.stop();
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_slow_copy_is_waited_for_and_a_broken_one_is_put_aside_with_its_reason() {
    let world = World::new();
    let _serving = world.serve();
    world.await_first_look();
    let bytes = fs::read(world.make(1, "slow.pkg")).unwrap();
    let slow = world.incoming().join("slow.pkg");
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut copy = File::create(&slow).unwrap();
    copy.write_all(first).unwrap();
    // Broken for good.
    let mut broken = bytes.clone();
    let at = broken.len() - 300;
    broken[at] ^= 1;
    fs::write(world.incoming().join("broken.pkg"), &broken).unwrap();
    fs::write(world.incoming().join("text.pkg"), "hello").unwrap();
    fs::create_dir(world.incoming().join("folder.pkg")).unwrap();
    // A link in a circle, and one that leads nowhere.
    symlink("circle.pkg", world.incoming().join("circle.pkg")).unwrap();
    symlink("nowhere", world.incoming().join("nowhere.pkg")).unwrap();
    for name in [".hidden.pkg", "part.pkg.part", "note.txt"] {
        fs::write(world.incoming().join(name), "x").unwrap();
    }
    world.until_there("failed/broken.pkg");
    world.until_there("failed/text.pkg");
    // The copy is older than both, and not closed.
    assert!(slow.exists());
    let reason = fs::read_to_string(world.incoming().join("failed/broken.pkg.reason.txt")).unwrap();
    assert!(reason.contains("is not good") && reason.contains("hint: copy the bundle again"), "{reason}");
    assert_eq!((world.imports(), world.layout().crates().exists()), (0, false));
    world.until("recorded", || world.recorded().failed_count == 2 && world.recorded().arriving.len() == 1);
    let status = world.sandbox.run(["status", "--mirror", "mirror"]).ok();
    status
        .stdout_has("Arriving bundles: 1\nArriving: slow.pkg: ")
        .stdout_has("Failed bundles: 2\nFailed: broken.pkg: ");
    copy.write_all(rest).unwrap();
    drop(copy);
    world.until_there("done/slow.pkg");
    assert!(!slow.exists());
    assert_eq!(world.imports(), 1);
    let kept: Vec<String> = world.names().into_iter().filter(|name| !name.contains('/')).collect();
    assert_eq!(kept, [".hidden.pkg", "circle.pkg", "note.txt", "nowhere.pkg", "part.pkg.part"]);
    assert!(world.incoming().join("folder.pkg").is_dir());
}

#[test]
fn a_delta_waits_for_its_base_and_status_says_so() {
    let world = World::new();
    let _serving = world.serve();
    world.drop(3, "a.pkg");
    world.drop(2, "b.pkg");
    world.until("waiting", || world.recorded().waiting.len() == 2);
    assert_eq!(world.imports(), 0);
    let status = world.sandbox.run(["status", "--mirror", "mirror"]).ok();
    status.stdout_has("Waiting bundles: 2\nWaiting: a.pkg: the bundle `a.pkg` builds on `2.pkg`");
    let status = world.sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok();
    let first: serde_json::Value = serde_json::from_str(status.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["incoming"]["waiting"][1]["file"], "b.pkg");
    // The base comes by another way.
    let base = world.make(1, "1.pkg");
    world.sandbox.run(["import", base.to_str().unwrap(), "--mirror", "mirror"]).ok();
    world.until_there("done/a.pkg");
    world.until_there("done/b.pkg");
    assert_eq!(world.imports(), 3);
    assert_sound(world.layout().root());
}

#[test]
fn what_was_there_before_the_start_goes_in_the_order_of_its_history() {
    let world = World::new();
    for (sequence, name) in [(3, "a.pkg"), (1, "b.pkg"), (2, "c.pkg")] {
        world.drop(sequence, name);
    }
    let serving = world.serve();
    for name in ["done/a.pkg", "done/b.pkg", "done/c.pkg"] {
        world.until_there(name);
    }
    let said = serving.stop().stderr;
    let places: Vec<_> = ["b", "c", "a"].map(|name| said.find(&format!(" of {name}.pkg"))).into();
    assert!(places[0].is_some() && places[0] < places[1] && places[1] < places[2], "{said}");
    assert!(!said.contains("waits"), "{said}");
    assert_eq!(world.imports(), 3);
}

#[test]
fn two_servers_on_one_folder_import_once() {
    let world = World::new();
    let (one, other) = (world.serve(), world.serve());
    for n in 1..=6 {
        world.drop(n, &format!("{n}.pkg"));
    }
    for n in 1..=6 {
        world.until_there(&format!("done/{n}.pkg"));
    }
    let said = one.stop().stderr + &other.stop().stderr;
    assert_eq!(said.matches("Imported").count(), 6, "{said}");
    assert!(!said.contains("Unchanged") && !said.contains("refused"), "{said}");
    let below = ["done/"].into_iter().map(str::to_owned).chain((1..=6).map(|n| format!("done/{n}.pkg")));
    assert_eq!(world.names(), below.collect::<Vec<_>>());
    assert_eq!(world.imports(), 6);
}

#[test]
fn a_folder_that_cannot_be_changed_is_imported_from_once() {
    let world = World::new();
    // Nobody can move anything into a file; also not who may write everywhere.
    for shelf in ["done", "failed"] {
        fs::write(world.incoming().join(shelf), "a file").unwrap();
    }
    world.drop(1, "one.pkg");
    fs::write(world.incoming().join("bad.pkg"), "bad").unwrap();
    let times = |world: &World| {
        let head = fs::metadata(world.layout().head()).unwrap().modified().unwrap();
        (head, fs::metadata(world.layout().holder()).is_ok())
    };
    let watcher = world.watch(true, Duration::from_millis(100));
    world.until("recorded", || world.recorded().done == 1 && world.recorded().failed_count == 1);
    assert_eq!(world.recorded().failed[0].reason, "`bad.pkg` is not a bundle");
    let before = times(&world);
    sleep(Duration::from_millis(300));
    assert!(watcher.finish(LONG));
    let staging = fs::metadata(world.layout().staging()).unwrap().modified().unwrap();
    // A new start knows the bundle from the ledger.
    let watcher = world.watch(true, Duration::from_millis(100));
    sleep(Duration::from_millis(500));
    world.until("recorded", || world.recorded().done == 1);
    assert!(watcher.finish(LONG));
    assert_eq!((times(&world), world.imports()), (before, 1));
    assert_eq!(fs::metadata(world.layout().staging()).unwrap().modified().unwrap(), staging, "imported twice");
    // Once things can be moved, a bundle that is brought again is.
    fs::remove_file(world.incoming().join("done")).unwrap();
    let _watcher = world.watch(true, Duration::from_millis(100));
    world.until_there("done/one.pkg");
}

#[test]
fn a_folder_without_notices_is_polled() {
    let world = World::new();
    // Far longer than a busy machine pauses between two writes below.
    let _watcher = world.watch(false, Duration::from_secs(2));
    world.until("polled", || world.recorded().polled);
    world.drop(1, "one.pkg");
    world.until_there("done/one.pkg");
    // A copy that has its full length at once, and is written to now and then.
    let bytes = fs::read(world.make(2, "two.pkg")).unwrap();
    let path = world.incoming().join("two.pkg");
    let mut copy = File::create(&path).unwrap();
    copy.set_len(bytes.len() as u64).unwrap();
    for piece in bytes.chunks(bytes.len() / 10) {
        copy.write_all(piece).unwrap();
        sleep(Duration::from_millis(60));
    }
    world.until_there("done/two.pkg");
    assert_eq!((world.imports(), world.incoming().join("failed").exists()), (2, false));
    fs::write(world.incoming().join("bad.pkg"), "bad").unwrap();
    world.until_there("failed/bad.pkg.reason.txt");
}

#[test]
fn what_is_in_the_way_is_waited_for() {
    let world = World::new();
    world.drop(1, "one.pkg");
    // The mirror is in use, and after that its disk refuses.
    let guard = lock_for_adding(&world.layout(), Duration::ZERO, &me(), &Silent).unwrap();
    let _watcher = world.watch(true, Duration::from_millis(100));
    let waits = |why: &str| world.recorded().waiting.iter().any(|one| one.reason.contains(why));
    world.until("locked", || waits("is locked by `test` with pid 1"));
    fs::remove_dir(world.layout().staging()).unwrap();
    fs::write(world.layout().staging(), "in the way").unwrap();
    drop(guard);
    world.until("hindered", || waits("could not empty"));
    assert!(world.incoming().join("one.pkg").exists());
    fs::remove_file(world.layout().staging()).unwrap();
    world.until_there("done/one.pkg");
    world.until("recorded", || world.recorded().waiting.is_empty());
}

#[test]
fn a_folder_that_goes_and_comes_back_is_watched_again() {
    let world = World::new();
    fs::remove_dir(world.incoming()).unwrap();
    let _watcher = world.watch(true, Duration::from_millis(100));
    // Made at the start; then its disk is taken away.
    world.until("made", || world.incoming().is_dir());
    world.until("recorded", || Incoming::read(&world.layout()).unwrap().is_some());
    fs::rename(world.incoming(), world.sandbox.path("away")).unwrap();
    world.until("problem", || world.recorded().problem.is_some());
    assert!(!world.incoming().exists());
    fs::create_dir(world.incoming()).unwrap();
    world.drop(1, "one.pkg");
    world.until_there("done/one.pkg");
    world.until("well again", || world.recorded().problem.is_none());
}

#[test]
fn a_file_that_grows_behind_its_end_is_refused_and_may_be_brought_again() {
    let world = World::new();
    let _watcher = world.watch(true, Duration::from_millis(300));
    let path = world.make(1, "one.pkg");
    let good = fs::read(&path).unwrap();
    append(&path, b"more");
    fs::rename(&path, world.incoming().join("one.pkg")).unwrap();
    // Its name is taken in failed/ before it is moved there; until it is on record it may still be the same file.
    world.until("refused", || world.recorded().failed_count == 1 && !world.incoming().join("one.pkg").exists());
    assert_eq!(world.imports(), 0);
    fs::write(world.incoming().join("one.pkg"), good).unwrap();
    world.until_there("done/one.pkg");
    // A good one of that name ends the alarm.
    world.until("recorded", || (world.recorded().done, world.recorded().failed_count) == (1, 0));
    assert!(world.incoming().join("failed/one.pkg.dismissed.txt").is_file());
}
