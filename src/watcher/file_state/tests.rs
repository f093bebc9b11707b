//! Decisions of the state machine at simulated times.

use super::*;

const NAME: &str = "a.pkg";

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn stamp(size: u64, modified: u64) -> FileStamp {
    FileStamp { size, modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)), inode: 1 }
}

fn name() -> &'static OsStr {
    OsStr::new(NAME)
}

fn file_states(polled: bool) -> FileStates {
    FileStates::new(Timing::default(), polled)
}

fn bad() -> Outcome {
    Outcome::Invalid("bad".to_owned())
}

fn obstacle(reason: &str) -> Obstacle {
    Obstacle { reason: reason.to_owned(), hint: None }
}

fn missing() -> Outcome {
    Outcome::BaseMissing(obstacle("base"))
}

impl FileStates {
    /// The folder contains only this file.
    fn see_file(&mut self, stamp: FileStamp, now: f64) {
        self.update(&BTreeMap::from([(OsString::from(NAME), stamp)]), s(now));
    }

    fn is_due(&self, now: f64) -> bool {
        self.due_files(s(now)) == [NAME]
    }

    /// An instant attempt that does not change the file.
    fn attempt(&mut self, stamp: FileStamp, verdict: Outcome, now: f64) -> Option<String> {
        let trial = Attempt { began: s(now), before: stamp, after: Some(stamp), outcome: verdict };
        self.record_attempt(name(), trial, s(now))
    }

    fn status(&self) -> FileStatus<'_> {
        self.statuses().next().expect("one file").1
    }
}

#[test]
fn renamed_and_closed_files_are_due_immediately() {
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 5.0);
    assert!(!files.is_due(5.0) && files.is_due(7.0));
    files.apply_hint(name(), ChangeHint::Complete, s(5.0));
    assert!(files.is_due(5.0));
    // Events may arrive for a polled folder too.
    files.is_polling = true;
    assert!(files.is_due(5.0));
}

#[test]
fn existing_files_are_imported_without_events() {
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 0.0);
    assert_eq!(files.next_due(), Some(s(2.0)));
    files.see_file(stamp(10, 1), 3.0);
    assert!(files.is_due(3.0));
    assert_eq!(files.attempt(stamp(10, 1), Outcome::Imported, 3.0), None);
    assert_eq!((files.status(), files.next_due()), (FileStatus::Done, None));
}

#[test]
fn an_invalid_bundle_is_rejected_only_after_the_quiet_period() {
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 5.0);
    files.apply_hint(name(), ChangeHint::Complete, s(5.0));
    assert_eq!(files.attempt(stamp(10, 1), bad(), 5.1), None);
    assert_eq!(files.status(), FileStatus::Arriving("bad"));
    assert!(!files.is_due(6.9) && files.is_due(7.0));
    assert!(!files.can_reject(name(), s(6.9)) && files.can_reject(name(), s(7.0)));
    assert_eq!(files.attempt(stamp(10, 1), bad(), 7.0), Some("bad".to_owned()));
    assert_eq!((files.status(), files.next_due()), (FileStatus::Rejected("bad"), None));
    // If it could not be moved, it stays rejected until it changes.
    files.see_file(stamp(10, 1), 100.0);
    assert_eq!(files.next_due(), None);
    files.see_file(stamp(11, 2), 103.0);
    assert!(files.is_due(105.0));
}

#[test]
fn a_growing_file_is_waited_for() {
    let mut files = file_states(false);
    for n in 0..20u32 {
        let now = f64::from(n) * 3.0;
        files.see_file(stamp(u64::from(n), u64::from(n)), now);
        assert_eq!(files.status(), FileStatus::Arriving("it may be incomplete"));
        // The copy pauses longer than the quiet period of a closed file, and an attempt finds it truncated.
        if n % 5 == 0 {
            assert_eq!(files.attempt(stamp(u64::from(n), u64::from(n)), bad(), now + 1.0), None);
        }
    }
    files.apply_hint(name(), ChangeHint::Complete, s(60.0));
    assert!(files.is_due(60.0));
}

#[test]
fn a_preallocated_copy_is_not_rejected() {
    let mut files = file_states(false);
    files.see_file(stamp(1000, 1), 0.0);
    files.apply_hint(name(), ChangeHint::Writing, s(0.0));
    // The system reported writes and no closing: two seconds without a change prove nothing.
    assert!(!files.is_due(3.0) && !files.can_reject(name(), s(3.0)));
    for n in 1..10u32 {
        files.apply_hint(name(), ChangeHint::Writing, s(f64::from(n) * 5.0));
        assert!(!files.is_due(f64::from(n) * 5.0 + 4.9));
    }
    assert!(files.is_due(75.0) && files.can_reject(name(), s(75.0)));
    files.apply_hint(name(), ChangeHint::Complete, s(75.0));
    assert!(files.is_due(75.0) && !files.can_reject(name(), s(76.9)) && files.can_reject(name(), s(77.0)));
}

#[test]
fn a_polled_folder_delays_rejection_but_not_import() {
    let mut files = file_states(true);
    files.see_file(stamp(10, 1), 0.0);
    assert!(files.is_due(2.0));
    assert_eq!(files.attempt(stamp(10, 1), bad(), 3.0), None);
    assert!(!files.is_due(29.0));
    // The file was overwritten with the same length.
    files.see_file(stamp(10, 2), 29.0);
    assert_eq!(files.attempt(stamp(10, 2), bad(), 58.9), None);
    assert_eq!(files.attempt(stamp(10, 2), bad(), 59.0), Some("bad".to_owned()));
}

#[test]
fn a_file_that_changes_during_an_attempt_is_arriving() {
    for verdict in [bad(), Outcome::Imported, missing()] {
        let mut files = file_states(false);
        files.see_file(stamp(10, 1), 0.0);
        let trial = Attempt { began: s(40.0), before: stamp(10, 1), after: Some(stamp(10, 2)), outcome: verdict };
        assert_eq!(files.record_attempt(name(), trial, s(50.0)), None);
        assert!(matches!(files.status(), FileStatus::Arriving(_)));
        assert!(!files.is_due(51.9) && files.is_due(52.0));
    }
    // The attempt was of a later state than the last scan.
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 0.0);
    assert_eq!(files.attempt(stamp(10, 2), bad(), 40.0), None);
    assert!(!files.can_reject(name(), s(41.0)));
}

#[test]
fn a_delta_without_its_base_waits_for_a_mirror_change() {
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 0.0);
    files.attempt(stamp(10, 1), missing(), 2.0);
    assert_eq!((files.status(), files.next_due()), (FileStatus::Waiting(&obstacle("base")), None));
    files.mirror_changed();
    assert!(files.is_due(2.0));
    files.attempt(stamp(10, 1), missing(), 3.0);
    assert_eq!(files.next_due(), None);
    // Another file takes its name.
    files.see_file(FileStamp { inode: 2, ..stamp(10, 1) }, 100.0);
    assert!(files.is_due(102.0));
}

#[test]
fn blocked_imports_back_off() {
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 0.0);
    let mut now = 2.0;
    for pause in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
        assert_eq!(files.attempt(stamp(10, 1), Outcome::Blocked(obstacle("full")), now), None);
        assert_eq!(files.status(), FileStatus::Waiting(&obstacle("full")));
        assert_eq!(files.next_due(), Some(s(now + pause)));
        now += pause;
    }
    // A change of permissions may remove the obstacle.
    files.apply_hint(name(), ChangeHint::Touched, s(now + 1.0));
    assert!(files.is_due(now + 1.0));
    // A locked mirror is retried without a growing delay.
    for n in 0..50 {
        let now = now + 2.0 + f64::from(n);
        files.attempt(stamp(10, 1), Outcome::MirrorLocked(obstacle("locked")), now);
        assert_eq!(files.next_due(), Some(s(now + 1.0)));
    }
}

#[test]
fn missing_files_are_forgotten() {
    let mut files = file_states(false);
    files.see_file(stamp(10, 1), 0.0);
    let trial = Attempt { began: s(2.0), before: stamp(10, 1), after: None, outcome: bad() };
    assert_eq!(files.record_attempt(name(), trial, s(2.0)), None);
    assert_eq!(files.statuses().count(), 0);
    files.see_file(stamp(10, 1), 3.0);
    // The watcher moved the file away, and another file of that name arrived.
    let trial = Attempt { began: s(5.0), before: stamp(10, 1), after: Some(stamp(9, 9)), outcome: Outcome::Gone };
    assert_eq!(files.record_attempt(name(), trial, s(5.0)), None);
    assert_eq!(files.statuses().count(), 0);
    files.see_file(stamp(9, 9), 6.0);
    files.update(&BTreeMap::new(), s(7.0));
    assert_eq!(files.statuses().count(), 0);
    files.apply_hint(name(), ChangeHint::Complete, s(8.0));
    assert_eq!(files.next_due(), None);
}
