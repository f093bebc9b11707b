//! What the state machine decides, with times made up.

use super::*;

const NAME: &str = "a.pkg";

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn stamp(size: u64, modified: u64) -> Stamp {
    Stamp { size, modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(modified)), number: 1 }
}

fn name() -> &'static OsStr {
    OsStr::new(NAME)
}

fn settle(polled: bool) -> Settle {
    Settle::new(Pace::default(), polled)
}

fn bad() -> Verdict {
    Verdict::Bad("bad".to_owned())
}

fn missing() -> Verdict {
    Verdict::BaseMissing("base".to_owned())
}

impl Settle {
    /// The folder holds this one file.
    fn see(&mut self, stamp: Stamp, now: f64) {
        self.scan(&BTreeMap::from([(OsString::from(NAME), stamp)]), s(now));
    }

    fn is_due(&self, now: f64) -> bool {
        self.due(s(now)) == [NAME]
    }

    /// A trial without time that leaves the file as it was.
    fn try_it(&mut self, stamp: Stamp, verdict: Verdict, now: f64) -> Option<String> {
        let trial = Trial { began: s(now), before: stamp, after: Some(stamp), verdict };
        self.tried(name(), trial, s(now))
    }

    fn standing(&self) -> Standing<'_> {
        self.standings().next().expect("one file").1
    }
}

#[test]
fn what_is_renamed_or_closed_is_tried_at_once() {
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 5.0);
    assert!(!settle.is_due(5.0) && settle.is_due(7.0));
    settle.hint(name(), Hint::Whole, s(5.0));
    assert!(settle.is_due(5.0));
    // On a polled folder too, should a notice come after all.
    settle.polled = true;
    assert!(settle.is_due(5.0));
}

#[test]
fn what_was_there_before_the_start_is_tried_without_any_hint() {
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 0.0);
    assert_eq!(settle.next(), Some(s(2.0)));
    settle.see(stamp(10, 1), 3.0);
    assert!(settle.is_due(3.0));
    assert_eq!(settle.try_it(stamp(10, 1), Verdict::Imported, 3.0), None);
    assert_eq!((settle.standing(), settle.next()), (Standing::Done, None));
}

#[test]
fn a_bad_bundle_is_refused_only_after_its_quiet_time() {
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 5.0);
    settle.hint(name(), Hint::Whole, s(5.0));
    assert_eq!(settle.try_it(stamp(10, 1), bad(), 5.1), None);
    assert_eq!(settle.standing(), Standing::Arriving("bad"));
    assert!(!settle.is_due(6.9) && settle.is_due(7.0));
    assert!(!settle.is_last(name(), s(6.9)) && settle.is_last(name(), s(7.0)));
    assert_eq!(settle.try_it(stamp(10, 1), bad(), 7.0), Some("bad".to_owned()));
    assert_eq!((settle.standing(), settle.next()), (Standing::Refused("bad"), None));
    // Where it could not be moved, it stays refused until it changes.
    settle.see(stamp(10, 1), 100.0);
    assert_eq!(settle.next(), None);
    settle.see(stamp(11, 2), 103.0);
    assert!(settle.is_due(105.0));
}

#[test]
fn a_slow_copy_is_waited_for_as_long_as_it_grows() {
    let mut settle = settle(false);
    for n in 0..20u32 {
        let now = f64::from(n) * 3.0;
        settle.see(stamp(u64::from(n), u64::from(n)), now);
        assert_eq!(settle.standing(), Standing::Arriving("it may still be arriving"));
        // The copy stalls longer than the quiet time of a closed file, and a trial finds it cut.
        if n % 5 == 0 {
            assert_eq!(settle.try_it(stamp(u64::from(n), u64::from(n)), bad(), now + 1.0), None);
        }
    }
    settle.hint(name(), Hint::Whole, s(60.0));
    assert!(settle.is_due(60.0));
}

#[test]
fn a_preallocated_copy_has_its_length_at_once_and_is_not_refused() {
    let mut settle = settle(false);
    settle.see(stamp(1000, 1), 0.0);
    settle.hint(name(), Hint::Written, s(0.0));
    // Writes were told of and no closing: two seconds of silence prove nothing.
    assert!(!settle.is_due(3.0) && !settle.is_last(name(), s(3.0)));
    for n in 1..10u32 {
        settle.hint(name(), Hint::Written, s(f64::from(n) * 5.0));
        assert!(!settle.is_due(f64::from(n) * 5.0 + 4.9));
    }
    assert!(settle.is_due(75.0) && settle.is_last(name(), s(75.0)));
    settle.hint(name(), Hint::Whole, s(75.0));
    assert!(settle.is_due(75.0) && !settle.is_last(name(), s(76.9)) && settle.is_last(name(), s(77.0)));
}

#[test]
fn a_polled_folder_needs_more_patience_to_refuse_and_none_to_import() {
    let mut settle = settle(true);
    settle.see(stamp(10, 1), 0.0);
    assert!(settle.is_due(2.0));
    assert_eq!(settle.try_it(stamp(10, 1), bad(), 3.0), None);
    assert!(!settle.is_due(29.0));
    // Written in place without a change of length.
    settle.see(stamp(10, 2), 29.0);
    assert_eq!(settle.try_it(stamp(10, 2), bad(), 58.9), None);
    assert_eq!(settle.try_it(stamp(10, 2), bad(), 59.0), Some("bad".to_owned()));
}

#[test]
fn a_file_that_changes_during_its_trial_is_arriving_whatever_was_found() {
    for verdict in [bad(), Verdict::Imported, missing()] {
        let mut settle = settle(false);
        settle.see(stamp(10, 1), 0.0);
        let trial = Trial { began: s(40.0), before: stamp(10, 1), after: Some(stamp(10, 2)), verdict };
        assert_eq!(settle.tried(name(), trial, s(50.0)), None);
        assert!(matches!(settle.standing(), Standing::Arriving(_)));
        assert!(!settle.is_due(51.9) && settle.is_due(52.0));
    }
    // The trial was of a later state than the last look had.
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 0.0);
    assert_eq!(settle.try_it(stamp(10, 2), bad(), 40.0), None);
    assert!(!settle.is_last(name(), s(41.0)));
}

#[test]
fn a_delta_waits_in_its_place_until_the_mirror_changes() {
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 0.0);
    settle.try_it(stamp(10, 1), missing(), 2.0);
    assert_eq!((settle.standing(), settle.next()), (Standing::Waiting("base"), None));
    settle.mirror_changed();
    assert!(settle.is_due(2.0));
    settle.try_it(stamp(10, 1), missing(), 3.0);
    assert_eq!(settle.next(), None);
    // Another file takes its name.
    settle.see(Stamp { number: 2, ..stamp(10, 1) }, 100.0);
    assert!(settle.is_due(102.0));
}

#[test]
fn what_is_hindered_is_tried_again_ever_more_seldom() {
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 0.0);
    let mut now = 2.0;
    for pause in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
        assert_eq!(settle.try_it(stamp(10, 1), Verdict::Hindered("full".to_owned()), now), None);
        assert_eq!(settle.standing(), Standing::Waiting("full"));
        assert_eq!(settle.next(), Some(s(now + pause)));
        now += pause;
    }
    // Permissions were changed: that may be all that it needed.
    settle.hint(name(), Hint::Touched, s(now + 1.0));
    assert!(settle.is_due(now + 1.0));
    // A mirror in use is free soon, however long it has been so.
    for n in 0..50 {
        let now = now + 2.0 + f64::from(n);
        settle.try_it(stamp(10, 1), Verdict::Busy("held".to_owned()), now);
        assert_eq!(settle.next(), Some(s(now + 1.0)));
    }
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut settle = settle(false);
    settle.see(stamp(10, 1), 0.0);
    let trial = Trial { began: s(2.0), before: stamp(10, 1), after: None, verdict: bad() };
    assert_eq!(settle.tried(name(), trial, s(2.0)), None);
    assert_eq!(settle.standings().count(), 0);
    settle.see(stamp(10, 1), 3.0);
    // Moved away by us, while another of its name came.
    let trial = Trial { began: s(5.0), before: stamp(10, 1), after: Some(stamp(9, 9)), verdict: Verdict::Gone };
    assert_eq!(settle.tried(name(), trial, s(5.0)), None);
    assert_eq!(settle.standings().count(), 0);
    settle.see(stamp(9, 9), 6.0);
    settle.scan(&BTreeMap::new(), s(7.0));
    assert_eq!(settle.standings().count(), 0);
    settle.hint(name(), Hint::Whole, s(8.0));
    assert_eq!(settle.next(), None);
}
