//! `serve --watch-incoming`: files dropped into a folder, as people and copying programs drop them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use frostmirror::bundle::format::CrateState;
use frostmirror::config::{Key, Overrides, SettingsStore, Source};
use frostmirror::env::Env;
use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::ledger;
use frostmirror::mirror::lock::lock_for_adding;
use frostmirror::mirror::watcher_state::WatcherState;
use frostmirror::server_context::ServerContext;
use frostmirror::watcher::file_state::Timing;
use frostmirror::watcher::{self, Watcher, WatcherOptions};

use crate::bundle_builder::{BundleBuilder, assert_consistent, test_holder, test_time};
use crate::support::crates::Crate;
use crate::support::http_client::get;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::wait;

/// Longer than anything here takes on a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A folder, a mirror, and a place where bundles are made.
struct WatchFixture {
    sandbox: Sandbox,
}

impl WatchFixture {
    fn new() -> WatchFixture {
        let sandbox = Sandbox::new();
        for folder in ["incoming", "made"] {
            fs::create_dir(sandbox.path(folder)).unwrap();
        }
        WatchFixture { sandbox }
    }

    fn serve(&self) -> RunningServer {
        self.sandbox.serve(["--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"])
    }

    /// A watcher in this process, with times of its own.
    fn start_watcher(&self, notices: bool, quiet: Duration) -> Watcher {
        let pace = Timing {
            rescan_interval: Duration::from_millis(50),
            quiet_period: quiet,
            unsure_quiet_period: quiet,
            first_retry_delay: Duration::from_millis(50),
            max_retry_delay: Duration::from_millis(100),
        };
        self.start_watcher_with_timing(notices, pace)
    }

    fn start_watcher_with_timing(&self, notices: bool, pace: Timing) -> Watcher {
        let options = WatcherOptions {
            context: ServerContext {
                mirror: self.layout(),
                incoming: self.incoming(),
                settings: self.watch_settings(),
                env: Env::default(),
                clock: || test_time(0),
                sink: Arc::new(NullSink),
                toolchains: Arc::default(),
            },
            timing: pace,
            uses_fs_events: notices,
            import_counters: Arc::default(),
        };
        watcher::start(options).unwrap()
    }

    /// Settings that ask for the folder to be watched, over what the file says.
    fn watch_settings(&self) -> Arc<SettingsStore> {
        let mut fixed = Overrides::default();
        fixed.set_bool(Key::WatchIncoming, Source::Flag("--watch-incoming"), true);
        Arc::new(SettingsStore::load(&self.sandbox.path("config"), fixed).unwrap())
    }

    fn incoming(&self) -> PathBuf {
        self.sandbox.path("incoming")
    }

    fn bundle_folder(&self) -> PathBuf {
        self.sandbox.path("made")
    }

    fn layout(&self) -> Layout {
        Layout::new(self.sandbox.path("mirror"))
    }

    /// Makes the `sequence`th bundle of a chain in which each ships one crate and relies on those before.
    fn write_bundle(&self, sequence: u64, name: &str) -> PathBuf {
        let mut make = BundleBuilder::new("a", sequence);
        if sequence > 1 {
            make = make.parent(&format!("{}.pkg", sequence - 1));
        }
        for n in 1..=sequence {
            let state = if n == sequence { CrateState::Shipped } else { CrateState::Sent };
            make = make.with_crate(Crate::new(&format!("crate-{n}"), "1.0.0"), state);
        }
        make.write(&self.bundle_folder(), name)
    }

    /// Makes a bundle and renames it into the folder.
    fn drop_bundle(&self, sequence: u64, name: &str) {
        fs::rename(self.write_bundle(sequence, name), self.incoming().join(name)).unwrap();
    }

    fn import_count(&self) -> usize {
        ledger::record_names(&self.layout()).unwrap().len()
    }

    fn watcher_state(&self) -> WatcherState {
        WatcherState::read(&self.layout()).unwrap().unwrap_or_default()
    }

    #[track_caller]
    fn wait_until(&self, what: &str, is: impl Fn() -> bool) {
        wait::until_with(what, || format!("{:?}\n{:?}", self.incoming_names(), self.watcher_state()), is);
    }

    /// From then on the system's notices come.
    #[track_caller]
    fn wait_for_first_scan(&self) {
        self.wait_until("first look", || WatcherState::read(&self.layout()).unwrap().is_some());
    }

    /// Waits for a file in done/ or failed/. An empty one only reserves the name for the next file.
    #[track_caller]
    fn wait_for_file(&self, name: &str) {
        self.wait_until(name, || fs::metadata(self.incoming().join(name)).is_ok_and(|about| about.len() > 0));
    }

    /// Everything in the folder and one below.
    fn incoming_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.sandbox.read_tree("incoming").into_keys().map(|path| path.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn append_bytes(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

fn flip_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn renamed_and_closed_files_are_detected_at_once() {
    let world = WatchFixture::new();
    // Nothing but the system's notices can make it look again before the test gives up.
    let never = Duration::from_secs(24 * 60 * 60);
    let pace = Timing { rescan_interval: never, quiet_period: never, unsure_quiet_period: never, ..Timing::default() };
    let _watcher = world.start_watcher_with_timing(true, pace);
    world.wait_for_first_scan();
    world.drop_bundle(1, "renamed.pkg");
    world.wait_for_file("done/renamed.pkg");
    fs::copy(world.write_bundle(2, "copied.pkg"), world.incoming().join("copied.pkg")).unwrap();
    world.wait_for_file("done/copied.pkg");
}

#[test]
fn dropped_bundles_are_imported_and_moved_without_overwriting() {
    let world = WatchFixture::new();
    let serving = world.serve();
    world.wait_for_first_scan();
    world.drop_bundle(1, "one.pkg");
    world.wait_for_file("done/one.pkg");
    assert_eq!((world.import_count(), world.incoming_names().len()), (1, 2));
    assert_consistent(world.layout().root());
    // A second of the same name, and the same once more.
    world.drop_bundle(2, "one.pkg");
    world.wait_for_file("done/one-2.pkg");
    world.drop_bundle(2, "one.pkg");
    world.wait_for_file("done/one-3.pkg");
    assert_eq!(world.import_count(), 2);
    world.wait_until("recorded", || world.watcher_state().done == 3);
    let status = world.sandbox.run(["status", "--mirror", "mirror"]).ok();
    status.stdout_has("Done bundles: 3\nArriving bundles: 0\nWaiting bundles: 0\nFailed bundles: 0\n");
    let run = serving.stop();
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[test]
fn a_slow_copy_is_awaited_and_a_truncated_one_rejected_with_the_reason() {
    let world = WatchFixture::new();
    let _serving = world.serve();
    world.wait_for_first_scan();
    let bytes = fs::read(world.write_bundle(1, "slow.pkg")).unwrap();
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
    world.wait_for_file("failed/broken.pkg");
    world.wait_for_file("failed/text.pkg");
    // The copy is older than both, and not closed.
    assert!(slow.exists());
    let reason = fs::read_to_string(world.incoming().join("failed/broken.pkg.reason.txt")).unwrap();
    assert!(reason.contains("is invalid") && reason.contains("hint: copy the bundle again"), "{reason}");
    assert_eq!((world.import_count(), world.layout().crates().exists()), (0, false));
    world.wait_until("recorded", || {
        world.watcher_state().failed_count == 2 && world.watcher_state().arriving.len() == 1
    });
    let status = world.sandbox.run(["status", "--mirror", "mirror"]).ok();
    status
        .stdout_has("Arriving bundles: 1\nArriving: slow.pkg: ")
        .stdout_has("Failed bundles: 2\nFailed: broken.pkg: ");
    copy.write_all(rest).unwrap();
    drop(copy);
    world.wait_for_file("done/slow.pkg");
    assert!(!slow.exists());
    assert_eq!(world.import_count(), 1);
    let kept: Vec<String> = world.incoming_names().into_iter().filter(|name| !name.contains('/')).collect();
    assert_eq!(kept, [".hidden.pkg", "circle.pkg", "note.txt", "nowhere.pkg", "part.pkg.part"]);
    assert!(world.incoming().join("folder.pkg").is_dir());
}

#[test]
fn a_delta_waits_for_its_base_and_status_shows_it() {
    let world = WatchFixture::new();
    let serving = world.serve();
    world.drop_bundle(3, "a.pkg");
    world.drop_bundle(2, "b.pkg");
    world.wait_until("waiting", || world.watcher_state().waiting.len() == 2);
    assert_eq!(world.import_count(), 0);
    let status = world.sandbox.run(["status", "--mirror", "mirror"]).ok();
    let status = status.stdout_lacks("--mirror DIR");
    status.stdout_has("Waiting bundles: 2\nWaiting: a.pkg: the bundle `a.pkg` needs 2 files");
    let status = world.sandbox.run(["status", "--mirror", "mirror", "--message-format", "json"]).ok();
    let first: serde_json::Value = serde_json::from_str(status.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["incoming"]["waiting"][1]["file"], "b.pkg");
    // Each place that shows the waiting bundle names the way out.
    let way_out = "`cargo frostmirror fetch --base none` on the connected side";
    let text = |path: &str| String::from_utf8(get(&format!("{}{path}", serving.url())).body).unwrap();
    let folder: serde_json::Value = serde_json::from_str(&text("/api/incoming")).unwrap();
    assert!(folder["waiting"][1]["hint"].as_str().is_some_and(|hint| hint.contains(way_out)), "{folder}");
    let page = text("/packages");
    assert!(page.contains(way_out), "{page}");
    world.sandbox.run(["status", "--mirror", "mirror"]).ok().stdout_has(way_out);
    let log = serving.running().stderr();
    assert!(log.contains(way_out), "{log}");
    // The base comes by another way.
    let base = world.write_bundle(1, "1.pkg");
    world.sandbox.run(["import", base.to_str().unwrap(), "--mirror", "mirror"]).ok();
    world.wait_for_file("done/a.pkg");
    world.wait_for_file("done/b.pkg");
    assert_eq!(world.import_count(), 3);
    assert_consistent(world.layout().root());
}

#[test]
fn a_damaged_delta_without_its_base_is_rejected() {
    let world = WatchFixture::new();
    let _watcher = world.start_watcher(true, Duration::from_millis(300));
    world.drop_bundle(3, "waits.pkg");
    let path = world.write_bundle(2, "damaged.pkg");
    flip_last_byte(&path);
    fs::rename(&path, world.incoming().join("damaged.pkg")).unwrap();
    world.wait_for_file("failed/damaged.pkg");
    world.wait_for_file("failed/damaged.pkg.reason.txt");
    let reason = fs::read_to_string(world.incoming().join("failed/damaged.pkg.reason.txt")).unwrap();
    assert!(reason.contains("the bundle `damaged.pkg` is invalid"), "{reason}");
    world.wait_until("waiting", || world.watcher_state().waiting.len() == 1);
    assert_eq!(world.import_count(), 0);
}

#[test]
fn bundles_present_at_start_are_imported_in_history_order() {
    let world = WatchFixture::new();
    for (sequence, name) in [(3, "a.pkg"), (1, "b.pkg"), (2, "c.pkg")] {
        world.drop_bundle(sequence, name);
    }
    let serving = world.serve();
    for name in ["done/a.pkg", "done/b.pkg", "done/c.pkg"] {
        world.wait_for_file(name);
    }
    let output = serving.stop().stderr;
    let places: Vec<_> = ["b", "c", "a"].map(|name| output.find(&format!(" of {name}.pkg"))).into();
    assert!(places[0].is_some() && places[0] < places[1] && places[1] < places[2], "{output}");
    assert!(!output.contains("waits"), "{output}");
    assert_eq!(world.import_count(), 3);
}

#[test]
fn two_servers_on_one_folder_import_each_bundle_once() {
    let world = WatchFixture::new();
    let (one, other) = (world.serve(), world.serve());
    for n in 1..=6 {
        world.drop_bundle(n, &format!("{n}.pkg"));
    }
    for n in 1..=6 {
        world.wait_for_file(&format!("done/{n}.pkg"));
    }
    let output = one.stop().stderr + &other.stop().stderr;
    assert_eq!(output.matches("Imported").count(), 6, "{output}");
    assert!(!output.contains("Unchanged") && !output.contains("rejected"), "{output}");
    let below = ["done/"].into_iter().map(str::to_owned).chain((1..=6).map(|n| format!("done/{n}.pkg")));
    assert_eq!(world.incoming_names(), below.collect::<Vec<_>>());
    assert_eq!(world.import_count(), 6);
}

#[test]
fn bundles_that_cannot_be_moved_are_imported_once() {
    let world = WatchFixture::new();
    // Nothing can be moved into a file, not even by root.
    for folder in ["done", "failed"] {
        fs::write(world.incoming().join(folder), "a file").unwrap();
    }
    world.drop_bundle(1, "one.pkg");
    fs::write(world.incoming().join("bad.pkg"), "bad").unwrap();
    let times = |world: &WatchFixture| {
        let head = fs::metadata(world.layout().summary()).unwrap().modified().unwrap();
        (head, fs::metadata(world.layout().holder()).is_ok())
    };
    let watcher = world.start_watcher(true, Duration::from_millis(100));
    world.wait_until("recorded", || world.watcher_state().done == 1 && world.watcher_state().failed_count == 1);
    assert_eq!(world.watcher_state().failed[0].reason, "`bad.pkg` is not a bundle");
    let before = times(&world);
    // Three polls of the watcher in which nothing may happen: no event marks their end. The same holds below.
    sleep(Duration::from_millis(300));
    assert!(watcher.finish(TIMEOUT));
    let staging = fs::metadata(world.layout().staging()).unwrap().modified().unwrap();
    // A new start knows the bundle from the ledger.
    let watcher = world.start_watcher(true, Duration::from_millis(100));
    sleep(Duration::from_millis(500));
    world.wait_until("recorded", || world.watcher_state().done == 1);
    assert!(watcher.finish(TIMEOUT));
    assert_eq!((times(&world), world.import_count()), (before, 1));
    assert_eq!(fs::metadata(world.layout().staging()).unwrap().modified().unwrap(), staging, "imported twice");
    // Once things can be moved, a bundle that is brought again is.
    fs::remove_file(world.incoming().join("done")).unwrap();
    let _watcher = world.start_watcher(true, Duration::from_millis(100));
    world.wait_for_file("done/one.pkg");
}

#[test]
fn without_file_system_events_the_folder_is_polled() {
    let world = WatchFixture::new();
    // Far longer than a busy machine pauses between two writes below.
    let _watcher = world.start_watcher(false, Duration::from_secs(2));
    world.wait_until("polled", || world.watcher_state().is_polling);
    world.drop_bundle(1, "one.pkg");
    world.wait_for_file("done/one.pkg");
    // A copy that has its full length at once, and is written to now and then.
    let bytes = fs::read(world.write_bundle(2, "two.pkg")).unwrap();
    let path = world.incoming().join("two.pkg");
    let mut copy = File::create(&path).unwrap();
    copy.set_len(bytes.len() as u64).unwrap();
    for piece in bytes.chunks(bytes.len() / 10) {
        copy.write_all(piece).unwrap();
        sleep(Duration::from_millis(60));
    }
    world.wait_for_file("done/two.pkg");
    assert_eq!((world.import_count(), world.incoming().join("failed").exists()), (2, false));
    fs::write(world.incoming().join("bad.pkg"), "bad").unwrap();
    world.wait_for_file("failed/bad.pkg.reason.txt");
}

#[test]
fn a_bundle_waits_while_the_mirror_is_locked_or_unwritable() {
    let world = WatchFixture::new();
    world.drop_bundle(1, "one.pkg");
    // The mirror is in use, and after that its disk refuses.
    let guard = lock_for_adding(&world.layout(), Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let _watcher = world.start_watcher(true, Duration::from_millis(100));
    let waits = |why: &str| world.watcher_state().waiting.iter().any(|one| one.reason.contains(why));
    world.wait_until("locked", || waits("is locked by `test` with pid 1"));
    fs::remove_dir(world.layout().staging()).unwrap();
    fs::write(world.layout().staging(), "in the way").unwrap();
    drop(guard);
    world.wait_until("hindered", || waits("could not empty"));
    assert!(world.incoming().join("one.pkg").exists());
    fs::remove_file(world.layout().staging()).unwrap();
    world.wait_for_file("done/one.pkg");
    world.wait_until("recorded", || world.watcher_state().waiting.is_empty());
}

#[test]
fn a_bundle_waits_until_a_lost_summary_is_rebuilt() {
    let world = WatchFixture::new();
    let first = world.write_bundle(1, "1.pkg");
    world.sandbox.run(["import", first.to_str().unwrap(), "--mirror", "mirror"]).ok();
    fs::remove_file(world.layout().summary()).unwrap();
    world.drop_bundle(2, "two.pkg");
    let _watcher = world.start_watcher(true, Duration::from_millis(100));
    let waits = |why: &str| world.watcher_state().waiting.iter().any(|one| one.reason.contains(why));
    world.wait_until("hindered", || waits("manifest.json` is missing"));
    assert!(world.incoming().join("two.pkg").exists() && !world.layout().summary().exists());
    world.sandbox.run(["verify", "--rebuild-state", "--mirror", "mirror"]).ok();
    world.wait_for_file("done/two.pkg");
    world.sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_recreated_folder_is_watched_again() {
    let world = WatchFixture::new();
    fs::remove_dir(world.incoming()).unwrap();
    let _watcher = world.start_watcher(true, Duration::from_millis(100));
    // Made at the start; then its disk is taken away.
    world.wait_until("made", || world.incoming().is_dir());
    world.wait_until("recorded", || WatcherState::read(&world.layout()).unwrap().is_some());
    fs::rename(world.incoming(), world.sandbox.path("away")).unwrap();
    world.wait_until("problem", || world.watcher_state().problem.is_some());
    assert!(!world.incoming().exists());
    fs::create_dir(world.incoming()).unwrap();
    world.drop_bundle(1, "one.pkg");
    world.wait_for_file("done/one.pkg");
    world.wait_until("well again", || world.watcher_state().problem.is_none());
}

#[test]
fn a_bundle_with_trailing_bytes_is_rejected_and_can_be_dropped_again() {
    let world = WatchFixture::new();
    let _watcher = world.start_watcher(true, Duration::from_millis(300));
    let path = world.write_bundle(1, "one.pkg");
    let good = fs::read(&path).unwrap();
    append_bytes(&path, b"more");
    fs::rename(&path, world.incoming().join("one.pkg")).unwrap();
    // Its name is taken in failed/ before it is moved there; until it is on record it may still be the same file.
    world.wait_until("refused", || {
        world.watcher_state().failed_count == 1 && !world.incoming().join("one.pkg").exists()
    });
    assert_eq!(world.import_count(), 0);
    fs::write(world.incoming().join("one.pkg"), good).unwrap();
    world.wait_for_file("done/one.pkg");
    // A good one of that name ends the alarm.
    world.wait_until("recorded", || (world.watcher_state().done, world.watcher_state().failed_count) == (1, 0));
    assert!(world.incoming().join("failed/one.pkg.dismissed.txt").is_file());
}
