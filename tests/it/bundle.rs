//! Good bundles: what is packed comes out again, the same bytes from the same inputs, under names that are free.

use std::fs;
use std::io::{self, Cursor};

use frostmirror::bundle::format::Entry;
use frostmirror::bundle::open::{Bundle, EntryVisitor, NullVisitor};
use frostmirror::bundle::pack;
use frostmirror::bundle::verify::verify;
use frostmirror::event::NullSink;
use tempfile::tempdir;

use crate::support::forged_bundle::{self, ForgedBundle};

/// Collects every entry.
#[derive(Default)]
struct CollectingVisitor(Vec<(String, Vec<u8>, bool)>);

impl EntryVisitor for CollectingVisitor {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        self.0.push((entry.path.to_string(), Vec::new(), false));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(bytes.len() <= 64 * 1024, "a piece of {} bytes", bytes.len());
        self.0.last_mut().expect("begun").1.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, entry: &Entry, good: bool) -> io::Result<()> {
        let last = self.0.last_mut().expect("begun");
        assert_eq!(last.0, entry.path.as_str());
        last.2 = good;
        Ok(())
    }
}

#[test]
fn packed_entries_are_read_back() {
    let folder = tempdir().expect("a folder");
    let crates = forged_bundle::sample_crates();
    let path = forged_bundle::pack_to_path(&crates, folder.path());
    let bundle = Bundle::open(fs::File::open(&path).expect("the bundle"), "x.pkg").expect("it opens");
    assert_eq!(bundle.manifest().crates.len(), 5);
    let mut collected = CollectingVisitor::default();
    let streamed = bundle.stream(&mut collected).expect("it streams");
    assert_eq!(streamed.problems, []);
    assert!(collected.0.iter().all(|(_, _, good)| *good));
    for one in &crates {
        let path = one.id.crate_path().to_string();
        let found = collected.0.iter().find(|(entry, _, _)| *entry == path).expect("the crate");
        assert_eq!(found.1, one.bytes);
    }
    for (path, text) in forged_bundle::index_files(&crates) {
        let found = collected.0.iter().find(|(entry, _, _)| *entry == path).expect("the index file");
        assert_eq!(found.1.len(), text.len());
    }
    let verdict = verify(&path, folder.path(), &NullSink).expect("it verifies");
    assert_eq!(verdict.problems, []);
    assert_eq!(verdict.manifest, streamed.manifest);
}

#[test]
fn an_unmodified_forged_bundle_is_valid() {
    let bytes = ForgedBundle::from_crates(&forged_bundle::sample_crates()).bytes();
    let streamed =
        Bundle::open(Cursor::new(bytes), "x.pkg").expect("it opens").stream(&mut NullVisitor).expect("it streams");
    assert_eq!(streamed.problems, []);
}

#[test]
fn equal_inputs_give_equal_bytes() {
    let folder = tempdir().expect("a folder");
    let crates = forged_bundle::sample_crates();
    let mut turned = crates.clone();
    turned.reverse();
    let first = forged_bundle::pack(&crates, folder.path());
    let second = forged_bundle::pack(&turned, folder.path());
    assert_eq!((first.sha256, &first.id), (second.sha256, &second.id));
    assert_eq!(fs::read(first.path()).expect("first"), fs::read(second.path()).expect("second"));
    assert_eq!(first.size, fs::metadata(first.path()).expect("its size").len());
}

#[test]
fn bundle_names_are_unique_and_no_temporary_file_remains() {
    let folder = tempdir().expect("a folder");
    let crates = forged_bundle::sample_crates();
    let first = forged_bundle::pack_to_path(&crates, folder.path());
    let written = forged_bundle::pack(&crates, folder.path());
    let third = forged_bundle::pack(&crates, folder.path());
    let second = written.publish(&|name| name.contains("-2-")).expect("a name");
    let third = third.publish(&|_| false).expect("a name");
    let names: Vec<_> =
        [first, second, third].iter().map(|path| path.file_name().expect("a name").to_owned()).collect();
    assert_eq!(names, ["20260402-2130-crates.pkg", "20260402-2130-3-crates.pkg", "20260402-2130-2-crates.pkg"]);
    drop(forged_bundle::pack(&crates, folder.path()));
    let left = fs::read_dir(folder.path()).expect("a list").count();
    assert_eq!(left, 3 + 1, "three bundles and the folder of files");
}

#[test]
fn a_file_that_differs_from_the_plan_is_named_and_nothing_is_written() {
    let folder = tempdir().expect("a folder");
    let files = folder.path().join("files");
    let out = folder.path().join("out");
    fs::create_dir_all(&files).expect("a folder");
    fs::create_dir_all(&out).expect("a folder");
    let shorter: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes.truncate(10);
    let longer: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes.push(0);
    let other: &dyn Fn(&mut Vec<u8>) = &|bytes| bytes[7] ^= 1;
    for change in [shorter, longer, other] {
        let plan = forged_bundle::bundle_plan(&forged_bundle::sample_crates(), &files);
        let victim = files.join("a-1.9.0.crate");
        let mut bytes = fs::read(&victim).expect("the victim");
        change(&mut bytes);
        fs::write(&victim, bytes).expect("changed");
        let error = pack::write(plan, &out, &NullSink).expect_err("a changed file");
        let text = error.to_string();
        assert!(text.contains("a-1.9.0.crate") && text.contains("crates/a-1.9.0.crate"), "{text}");
        assert_eq!(fs::read_dir(&out).expect("a list").count(), 0);
    }
}

#[test]
fn temporary_files_of_dead_processes_are_removed_and_of_running_ones_kept() {
    let folder = tempdir().expect("a folder");
    let dead = folder.path().join(".frostmirror-Xy12z3.part");
    fs::write(&dead, b"half a bundle").expect("a leftover");
    let living = forged_bundle::pack(&forged_bundle::sample_crates(), folder.path());
    let later = forged_bundle::pack(&forged_bundle::sample_crates(), folder.path());
    assert!(!dead.exists());
    assert!(living.path().exists() && later.path().exists());
}

#[test]
fn an_invalid_plan_is_not_written() {
    let folder = tempdir().expect("a folder");
    let mut plan = forged_bundle::bundle_plan(&forged_bundle::sample_crates(), folder.path());
    plan.files.retain(|(artifact, _)| artifact.path.as_str() != "crates/a-1.9.0.crate");
    let error = pack::write(plan, folder.path(), &NullSink).expect_err("a missing file");
    let source = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(source, "a 1.9.0 is listed as shipped, but has no entry");
}
