//! A check that is stopped says nothing, instead of half.

use std::sync::atomic::{AtomicUsize, Ordering};

use frostmirror::event::{Event, NullSink, Sink};
use frostmirror::mirror::audit::{Error, audit};
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::lock_for_adding;
use jiff::Timestamp;

use crate::bundle_builder::{BundleBuilder, import, test_holder};
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

/// Wants the end after so many files.
struct StopAfter(AtomicUsize);

impl Sink for StopAfter {
    fn event(&self, event: Event) {
        if let Event::Advance { .. } = event {
            // Several threads report at once, and every file counts.
            let count = |left: usize| left.checked_sub(1);
            let _at_zero = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count).is_err();
        }
    }

    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

#[test]
fn a_cancelled_audit_or_rebuild_reports_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let mirror = sandbox.path("mirror");
    let many =
        (0..50).fold(BundleBuilder::new("one", 1), |make, n| make.ship(Crate::new(&format!("crate{n}"), "1.0.0")));
    import(&mirror, &many.write(&sandbox.path(""), "one.pkg")).unwrap();
    let layout = Layout::new(&mirror);
    for files in [0, 1, 20, 99] {
        let stopped = audit(&layout, &StopAfter(AtomicUsize::new(files))).unwrap_err();
        assert!(matches!(stopped, Error::Stopped), "{files}: {stopped}");
    }
    assert!(audit(&layout, &StopAfter(AtomicUsize::new(1000))).unwrap().problems.is_empty());
    // Records that are rebuilt from an incomplete scan would lack crates.
    let records = layout.index_meta();
    let before = sandbox.read_tree("mirror");
    assert!(records.is_dir());
    let mut guard = lock_for_adding(&layout, std::time::Duration::ZERO, &test_holder(), &NullSink).unwrap();
    let stopped = guard.rebuild(Timestamp::UNIX_EPOCH, &StopAfter(AtomicUsize::new(20)));
    assert!(stopped.is_err());
    drop(guard);
    assert_eq!(sandbox.read_tree("mirror"), before);
    assert!(audit(&layout, &NullSink).unwrap().problems.is_empty());
}
