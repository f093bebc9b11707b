//! A mirror of many small crates.

use frostmirror::mirror::gc::{Options, preview};
use frostmirror::mirror::layout::Layout;

use super::{assert_agreement, collect_at};
use crate::import_bundle::at;
use crate::support::synthetic::Synthetic;

#[test]
fn a_made_up_mirror_is_as_good_as_an_imported_one() {
    let folder = tempfile::tempdir().unwrap();
    let mirror = folder.path().join("mirror");
    let made = Synthetic { names: 60, versions: 5, garbage: 3 }.write(&mirror);
    assert_agreement(&mirror);
    assert_eq!((made.versions, made.garbage), (300, 100));
    let options = Options { grace: std::time::Duration::ZERO, forget: Vec::new(), accept: Vec::new(), now: at(2000) };
    let plan = preview(&Layout::new(&mirror), &options).unwrap();
    assert_eq!((plan.lines.len(), plan.crates.len(), plan.strangers.len()), (100, 100, 0));
    assert_eq!(plan.lineages[0].crates, 200);
    assert_eq!(collect_at(&mirror, 2000, 0).crates, 100);
    assert_agreement(&mirror);
}
