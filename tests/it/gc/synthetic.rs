//! A mirror of many small crates.

use frostmirror::mirror::gc::{Options, preview};
use frostmirror::mirror::layout::Layout;

use super::{assert_records_agree, collect_at};
use crate::bundle_builder::test_time;
use crate::support::synthetic_mirror::SyntheticMirror;

#[test]
fn gc_treats_a_synthetic_mirror_like_an_imported_one() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let made = SyntheticMirror { names: 60, versions: 5, garbage_interval: 3 }.write(&mirror);
    assert_records_agree(&mirror);
    assert_eq!((made.versions, made.garbage), (300, 100));
    let options = Options {
        grace: std::time::Duration::ZERO,
        retire: Vec::new(),
        accept: Vec::new(),
        reject: Vec::new(),
        now: test_time(2000),
    };
    let plan = preview(&Layout::new(&mirror), &options).unwrap();
    assert_eq!((plan.lines.len(), plan.crates().count(), plan.unrecognized.len()), (100, 100, 0));
    assert_eq!(plan.lineages[0].crates, 200);
    assert_eq!(collect_at(&mirror, 2000, 0).crates, 100);
    assert_records_agree(&mirror);
}
