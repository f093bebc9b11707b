//! False changes: each rule is checked, and the error names section and line, or shard.

use std::io;

use super::super::build::build;
use super::super::edit::{SetChange, edit};
use super::super::limits::MAX_ROWS;
use super::super::store::SetRef;
use super::super::summary::SetSummary;
use super::super::tests::{MemoryStore, apply, registry, row, rows, sections};
use super::*;

#[test]
fn false_changes_are_refused_and_the_error_names_them() {
    let store = MemoryStore::default();
    let (old, new) = (build(rows(0..8), &store).unwrap(), build(rows(0..9), &store).unwrap());
    let digest = new.digests()[0];
    let message = |text: String| {
        let change = SetChange { before: old.summary(), after: new.summary() };
        apply(&old, &store, &change, [Ok(text.into_bytes())], &MemoryStore::default()).expect_err("false").to_string()
    };
    let header = format!("@\t0\t{digest}\n");
    let key = |number| row(number, 0).key().text().text;
    for (text, expected) in [
        (String::new(), "section 1 of the changes is empty or larger than 4 MiB".to_owned()),
        (header.clone(), "line 1 of section 1 of the changes follows a shard without changes".to_owned()),
        (
            format!("+{}\n", row(8, 0).text()),
            "line 1 of section 1 of the changes has a change before the first shard".into(),
        ),
        (format!("{header}?\n"), "line 2 of section 1 of the changes is neither a shard nor a change".to_owned()),
        (
            header.replacen('0', "1", 1),
            "line 1 of section 1 of the changes does not name a shard of this set".to_owned(),
        ),
        (
            header.replacen('0', "00", 1),
            "line 1 of section 1 of the changes does not name a shard of this set".to_owned(),
        ),
        (
            format!("{header}+{}\n{header}", row(8, 0).text()),
            "line 3 of section 1 of the changes names a shard that is duplicated or out of order".to_owned(),
        ),
        (
            format!("{header}-{}\n", key(12)),
            "the changes remove or change crate-4 1.0.0 in shard 0, which does not have it".to_owned(),
        ),
        (
            format!("{header}-{}\n", key(4).replacen("crate", "Crate", 1)),
            "the changes remove or change Crate-1 1.1.0 in shard 0, which does not have it".into(),
        ),
        (
            format!("{header}+{}\n", row(4, 0).text()),
            "the changes replace crate-1 1.1.0 in shard 0 by itself".to_owned(),
        ),
        (
            format!("{header}+{}\n", row(4, 1).text()),
            "the changes repeat the row of crate-1 1.1.0 in shard 0, although only its inputs differ".to_owned(),
        ),
        (format!("{header}~{}\t1,40\n", key(4)), "the changes replace crate-1 1.1.0 in shard 0 by itself".to_owned()),
        (
            format!("{header}~{}\t1,40\n", key(12)),
            "the changes remove or change crate-4 1.0.0 in shard 0, which does not have it".to_owned(),
        ),
        (
            format!("{header}~{}\t1,040\n", key(4)),
            "line 2 of section 1 of the changes is not in the canonical form".to_owned(),
        ),
        (
            format!("{header}~{}\t2,1\n", key(4)),
            "line 2 of section 1 of the changes has an invalid list of inputs".to_owned(),
        ),
        (
            format!("{header}~{}\t1\t2\n", key(4)),
            "line 2 of section 1 of the changes has a wrong number of fields".to_owned(),
        ),
        (
            format!("{header}~{}\n", key(4)),
            "line 2 of section 1 of the changes has a wrong number of fields".to_owned(),
        ),
        (
            format!("{header}+{}\n", row(8, 4).text()),
            format!("the changed shard 0 has the SHA-256 {}, but the changes state {digest}", {
                let other = rows(0..8).into_iter().chain([row(8, 4)]);
                build(other, &MemoryStore::default()).unwrap().digests()[0]
            }),
        ),
    ] {
        assert_eq!(message(text), expected);
    }
    // Changes without an end or for another set.
    let none: [io::Result<Vec<u8>>; 0] = [];
    let change = SetChange { before: old.summary(), after: new.summary() };
    let error = apply(&old, &store, &change, none, &MemoryStore::default()).expect_err("no changes").to_string();
    assert_eq!(error, "the bundle states 9 as the number of rows of the changed set, but there are 8");
    let other = build(rows(100..109), &MemoryStore::default()).expect("valid");
    let error = apply(&other, &store, &change, [Ok(header.clone().into_bytes())], &store).expect_err("another set");
    assert!(matches!(error, Error::OtherSet { .. }), "{error}");
    let unreadable = [Err(io::Error::other("unplugged"))];
    let error = apply(&old, &store, &change, unreadable, &store).expect_err("unreadable").to_string();
    assert_eq!(error, "could not read section 1 of the changes");
    let huge = SetChange { after: SetSummary { rows: MAX_ROWS + 1, ..new.summary() }, ..change };
    let error = apply(&old, &store, &huge, [Ok(header.into_bytes())], &store).expect_err("huge");
    assert!(matches!(error, Error::TooManyRows(_)), "{error}");
    // All rows in one shard, by a false number of rows.
    let many = build(rows(0..30_000), &store).expect("valid");
    let small = SetChange { before: many.summary(), after: SetSummary { rows: 1, ..new.summary() } };
    let none: [io::Result<Vec<u8>>; 0] = [];
    let error = apply(&many, &store, &small, none, &MemoryStore::default()).expect_err("too large");
    assert_eq!(error.to_string(), "shard 0 of the set is larger than 4 MiB");
}

#[test]
fn rows_name_only_what_the_bundle_lists() {
    let store = MemoryStore::default();
    let (old, new) = (build(rows(0..8), &store).unwrap(), build(rows(0..9), &store).unwrap());
    let text = sections(&old, &new, &store, MAX_SECTION_SIZE).0.concat();
    let change = SetChange { before: old.summary(), after: new.summary() };
    let message = |text: &str, rules: RowRules| {
        let changes = ChangeReader::new([Ok(text.as_bytes().to_vec())], new.rows(), &rules);
        super::super::edit::apply(&old, &store, &change, changes, &MemoryStore::default())
            .map_err(|error| error.to_string())
    };
    assert_eq!(message(&text, RowRules::new([1, 40], [], 1)), Ok(new.clone()));
    let unknown_input = message(&text, RowRules::new([1], [], 1)).expect_err("input");
    assert_eq!(unknown_input, "line 2 of section 1 of the changes names the input 40, which the bundle does not list");
    let later = message(&text, RowRules::new([1, 40], [], 0)).expect_err("number");
    let expected = "line 2 of section 1 of the changes states that bundle 1 introduced its row, but this is bundle 0";
    assert_eq!(later, expected);
    let header = text.split_inclusive('\n').next().expect("a shard");
    let reassigned = format!("{header}~{}\t3\n", row(4, 0).key().text().text);
    let unknown_input = message(&reassigned, RowRules::new([1, 40], [], 1)).expect_err("input");
    assert_eq!(unknown_input, "line 2 of section 1 of the changes names the input 3, which the bundle does not list");
    // The rows 0 to 2 are of another registry. Removing one is no statement about it.
    let elsewhere = format!("{header}+{}\n", row(0, 4).text());
    let unknown = message(&elsewhere, RowRules::new([1, 40], [], 2)).expect_err("registry");
    let expected =
        format!("line 2 of section 1 of the changes names the registry {}, which the bundle does not list", registry());
    assert_eq!(unknown, expected);
    let removed = format!("{header}-{}\n", row(0, 0).key().text().text);
    let error = message(&removed, RowRules::new([], [], 0)).expect_err("another set");
    assert!(error.starts_with("the changed shard 0 has the SHA-256 "), "{error}");
}

#[test]
fn changes_are_in_order_and_below_their_shard() {
    let store = MemoryStore::default();
    let (old, new) = (build(rows(0..600), &store).unwrap(), build(rows(6..606), &store).unwrap());
    let text = sections(&old, &new, &store, MAX_SECTION_SIZE).0.concat();
    let change = SetChange { before: old.summary(), after: new.summary() };
    let receive = |texts: &[String]| {
        let texts = texts.iter().map(|text| Ok(text.clone().into_bytes()));
        apply(&old, &store, &change, texts, &MemoryStore::default()).map_err(|error| error.to_string())
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_change = |line: &str| !line.starts_with('@');
    let at = lines.windows(2).position(|pair| pair.iter().all(|line| is_change(line))).expect("two changes of a shard");
    let header = *lines[..at].iter().rfind(|line| !is_change(line)).expect("their shard");
    let mut swapped = lines.clone();
    swapped.swap(at, at + 1);
    let message = receive(&[swapped.concat()]).expect_err("out of order");
    assert!(message.starts_with(&format!("line {} of section 1 of the changes is for ", at + 2)), "{message}");
    assert!(message.ends_with(", which is out of order"), "{message}");
    // A shard may continue in the next section under the same line, but under no other.
    let (first, second) = (lines[..=at].concat(), lines[at + 1..].concat());
    assert_eq!(receive(&[first.clone(), format!("{header}{second}")]), Ok(new.clone()));
    let message = receive(&[first.clone(), second.clone()]).expect_err("without the shard");
    assert_eq!(message, "line 1 of section 2 of the changes has a change before the first shard");
    let (number, digest) = header.trim_end().rsplit_once('\t').expect("three fields");
    let other = format!("{number}\t{}\n", Sha256::of(digest.as_bytes()));
    for (one, next) in [(header, other.as_str()), (other.as_str(), header)] {
        let message = receive(&[first.replace(header, one), format!("{next}{second}")]).expect_err("two digests");
        assert_eq!(message, "line 1 of section 2 of the changes names a shard that is duplicated or out of order");
    }
    let message = receive(&[format!("{first}{header}{second}")]).expect_err("repeated within a section");
    assert!(message.ends_with("names a shard that is duplicated or out of order"), "{message}");
    let next = lines.iter().skip(1).position(|line| !is_change(line)).expect("a second shard") + 1;
    let message = receive(&[format!("{}{}", lines[0], lines[next..].concat())]).expect_err("without changes");
    assert_eq!(message, "line 2 of section 1 of the changes follows a shard without changes");
    // The first shard's changes below the name of another one.
    let next = *lines.iter().rfind(|line| !is_change(line)).expect("a shard");
    let message = receive(&[text.replacen(lines[0], next, 1)]).expect_err("another shard");
    assert!(message.starts_with("line 2 of section 1 of the changes is for "), "{message}");
    assert!(message.ends_with(", which belongs in another shard"), "{message}");
}

#[test]
fn a_shard_that_the_changes_leave_out_is_found_by_the_root() {
    let store = MemoryStore::default();
    let old = build(rows(0..600), &store).unwrap();
    let puts = (0..600).step_by(10).map(|number| Change::Put(row(number, 5)));
    let new = edit(SetRef::new(&old, &store), puts, &store).unwrap();
    let text = sections(&old, &new, &store, MAX_SECTION_SIZE).0.concat();
    let shards: Vec<&str> = text.split_inclusive('@').collect();
    assert!(shards.len() > 3 && shards[0] == "@");
    let end = text.len() - shards[shards.len() - 1].len() - 1;
    let change = SetChange { before: old.summary(), after: new.summary() };
    let incomplete = [Ok(text.as_bytes()[..end].to_vec())];
    let error = apply(&old, &store, &change, incomplete, &MemoryStore::default()).expect_err("incomplete");
    assert!(matches!(error, Error::SetResult { expected, .. } if expected == new.summary()), "{error}");
}
