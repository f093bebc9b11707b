//! Commits, rollbacks and completions after a kill, on a few files.

use super::apply::Commit;
use super::*;
use crate::event::NullSink;

fn tree(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("list") {
        let path = entry.expect("entry").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.push((name.clone(), String::new()));
            found.extend(tree(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            found.push((name, fs::read_to_string(&path).expect("read")));
        }
    }
    found.sort();
    found
}

/// A mirror with a few files.
fn mirror() -> (tempfile::TempDir, WriteGuard) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let layout = Layout::new(folder.path());
    for (path, text) in [
        ("index/1/a", "old"),
        ("index/1/b", "to remove"),
        ("crates/b-1.0.0.crate", "b"),
        (".frostmirror/live/records", "first\npart"),
        (".frostmirror/staging/leftover", "x"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("folder")).expect("folder");
        fs::write(path, text).expect("write");
    }
    (folder, WriteGuard::for_test(&layout))
}

/// One operation of every kind, added in the wrong order.
fn changes(guard: &WriteGuard) -> Transaction<'_> {
    let layout = &guard.layout;
    let mut tx = Transaction::begin(guard, "a test").expect("staging");
    tx.put_bytes(&layout.summary(), b"summary").expect("staged");
    tx.put_bytes(&layout.index().join("se/rd/serde"), b"line").expect("staged");
    tx.put_reduced(&layout.index().join("1/a"), b"less").expect("staged");
    tx.append(&layout.live_records(), 6, b"second\n").expect("staged");
    tx.delete(&layout.crates().join("b-1.0.0.crate")).expect("staged");
    tx.delete(&layout.index().join("1/b")).expect("staged");
    tx.delete(&layout.index().join("1/absent")).expect("staged");
    tx.put_bytes(&layout.crates().join("serde-1.0.0.crate"), b"crate").expect("staged");
    tx
}

#[track_caller]
fn assert_changed(guard: &WriteGuard) {
    let layout = &guard.layout;
    let text = |path: &str| fs::read_to_string(layout.root().join(path)).ok();
    let content = [
        ("index/1/a", Some("less")),
        ("index/1/b", None),
        ("crates/b-1.0.0.crate", None),
        ("index/se/rd/serde", Some("line")),
        ("crates/serde-1.0.0.crate", Some("crate")),
        (".frostmirror/live/records", Some("first\nsecond\n")),
        ("manifest.json", Some("summary")),
    ];
    for (path, expected) in content {
        assert_eq!(text(path).as_deref(), expected, "{path}");
    }
    assert!(!layout.journal().exists());
    assert_eq!(fs::read_dir(layout.staging()).expect("list").count(), 0);
}

#[test]
fn operations_have_the_order_of_their_paths() {
    let (_folder, guard) = mirror();
    let layout = &guard.layout;
    let mut tx = changes(&guard);
    tx.operations.sort_by_key(|(rank, _)| *rank);
    let paths: Vec<&str> = tx.operations.iter().map(|(_, operation)| operation.path().as_str()).collect();
    let expected = [
        "index/1/a",
        "index/1/b",
        "index/1/absent",
        "crates/b-1.0.0.crate",
        "crates/serde-1.0.0.crate",
        "index/se/rd/serde",
        ".frostmirror/live/records",
        "manifest.json",
    ];
    assert_eq!(paths, expected);
    assert!(tx.put_bytes(&layout.root().join("../outside"), b"").is_err());
    assert!(tx.delete(Path::new("/etc/passwd")).is_err());
}

#[test]
fn a_commit_makes_every_change() {
    let (_folder, guard) = mirror();
    changes(&guard).commit().expect("committed");
    assert_changed(&guard);
}

#[test]
fn a_failed_operation_rolls_everything_back() {
    let (folder, guard) = mirror();
    let layout = &guard.layout;
    // The summary is the last operation, and a folder cannot be replaced by a file.
    fs::create_dir(layout.summary()).expect("folder");
    // An incomplete line is not restored.
    fs::write(layout.live_records(), "first\n").expect("write");
    fs::remove_file(layout.staging().join("leftover")).expect("removed");
    let before = tree(folder.path());
    let error = changes(&guard).commit().expect_err("the summary is a folder");
    assert!(!error.is_unfinished(), "{error}");
    assert_eq!(tree(folder.path()), before);
}

#[test]
fn a_journal_is_completed_after_any_number_of_operations_and_in_the_middle_of_a_rollback() {
    for done in 0..=16 {
        let (_folder, guard) = mirror();
        let layout = &guard.layout;
        let mut tx = changes(&guard);
        tx.operations.sort_by_key(|(rank, _)| *rank);
        let operations: Vec<Operation> = tx.operations.drain(..).map(|(_, operation)| operation).collect();
        let text = serde_json::to_vec(&Journal { what: "a test".to_owned(), operations: operations.clone() });
        fs::write(layout.journal(), text.expect("JSON")).expect("write");
        let mut commit = Commit::new(layout, &tx.staging, true);
        for (number, operation) in operations.iter().enumerate().take(done) {
            commit.apply_one(number, operation).expect("applied");
        }
        // Above the number of operations, all are applied, and some rolled back again.
        commit.applied.drain(..(done.saturating_sub(operations.len())).min(commit.applied.len()));
        if done > operations.len() {
            commit.created_folders.clear();
            commit.rollback(&operations).expect("rolled back");
        }
        drop(tx);
        assert_eq!(recover(&guard, &NullSink).expect("completed"), Recovery::Completed);
        assert_changed(&guard);
        assert_eq!(recover(&guard, &NullSink).expect("nothing left"), Recovery::Nothing);
    }
}

#[cfg(unix)]
#[test]
fn a_folder_in_place_of_the_link_is_moved_once_whatever_step_a_kill_interrupts() {
    for done in 0..=2 {
        for is_rolled_back in [false, true] {
            let (_folder, guard) = mirror();
            let layout = &guard.layout;
            fs::create_dir_all(layout.index_link().join("1")).expect("folder");
            fs::write(layout.index_link().join("1/a"), "copy").expect("write");
            let mut tx = Transaction::begin(&guard, "a test").expect("staging");
            let aside = tx.rename_aside(&layout.index_link(), "crates-index").expect("a path");
            tx.link_index().expect("a path");
            tx.operations.sort_by_key(|(rank, _)| *rank);
            let operations: Vec<Operation> = tx.operations.drain(..).map(|(_, operation)| operation).collect();
            let text = serde_json::to_vec(&Journal { what: "a test".to_owned(), operations: operations.clone() });
            fs::write(layout.journal(), text.expect("JSON")).expect("write");
            let mut commit = Commit::new(layout, &tx.staging, true);
            for (number, operation) in operations.iter().enumerate().take(done) {
                commit.apply_one(number, operation).expect("applied");
            }
            if is_rolled_back {
                commit.rollback(&operations).expect("rolled back");
                assert_eq!(fs::read_to_string(layout.index_link().join("1/a")).expect("the folder"), "copy");
            }
            drop(tx);
            assert_eq!(recover(&guard, &NullSink).expect("completed"), Recovery::Completed);
            assert_eq!(fs::read_to_string(aside.join("1/a")).expect("the folder"), "copy");
            assert_eq!(fs::read_link(layout.index_link()).expect("a link"), Path::new(LINK_TARGET));
            assert_eq!(fs::read_dir(layout.moved_aside()).expect("list").count(), 1);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_journal_cannot_leave_the_mirror() {
    let (folder, guard) = mirror();
    let layout = &guard.layout;
    let outside = tempfile::tempdir().expect("temporary folder");
    fs::write(outside.path().join("file"), "stays").expect("write");
    std::os::unix::fs::symlink(outside.path(), folder.path().join("dist")).expect("link");
    fs::write(layout.journal(), r#"{"what":"x","operations":[{"delete":"dist/file"}]}"#).expect("write");
    recover(&guard, &NullSink).expect_err("the folder is a link");
    assert!(outside.path().join("file").exists());
    fs::write(layout.journal(), r#"{"what":"x","operations":[{"delete":"../x"}]}"#).expect("write");
    assert_eq!(recover(&guard, &NullSink).expect("removed"), Recovery::Lost);
}

#[test]
fn a_journal_without_its_staged_files_is_reported() {
    let (_folder, guard) = mirror();
    let layout = &guard.layout;
    fs::write(layout.journal(), r#"{"what":"x","operations":[{"put":[7,"crates/a-1.0.0.crate"]}]}"#).expect("write");
    assert_eq!(recover(&guard, &NullSink).expect("removed"), Recovery::Lost);
    assert!(!layout.journal().exists());
}
