//! Correct digests and false content: each rule is checked, and the problem names the object.

use super::super::*;
use super::fixture::{Item, URL, World, problems};
use super::forged::Forged;
use crate::bundle::format::{BundleKind, FormatVersion, Parent, SkippedPackage};
use crate::digest::Sha256;
use crate::inputs::input_id::InputKind;
use crate::sharded_set::{RegistryId, SetSummary};

fn forged() -> Forged {
    Forged::from(&World::new([1, 2, 4, 9, 19]).full())
}

/// The only problem.
#[track_caller]
fn only_problem(bytes: &[u8]) -> String {
    match problems(bytes, Base::Unknown).as_slice() {
        [problem] => problem.clone(),
        problems => panic!("{problems:#?}"),
    }
}

#[test]
fn each_rule_of_the_manifest_is_checked() {
    type Change = fn(&mut SetManifest);
    let changes: &[(Change, &str)] = &[
        (|m| m.format = FormatVersion(3), "the manifest states a different format than the header"),
        (|m| m.id = "x".to_owned(), "is damaged: its `id` does not match its content"),
        (|m| m.lineage.id = "A".repeat(32), "the manifest has an invalid `lineage.id`"),
        (|m| m.lineage.previous = None, "the manifest has an invalid `lineage.previous`"),
        (|m| m.created = "today".to_owned(), "the manifest has an invalid `created`"),
        (|m| m.index_read = "2026-04-02".to_owned(), "the manifest has an invalid `index_read`"),
        (|m| m.index_read = "1970-01-02T00:00:01Z".to_owned(), "more than one day after its `created`"),
        (|m| m.kind = BundleKind::Delta, "is of a delta, but names no parent"),
        (
            |m| m.parent = Some(Parent { id: "b".repeat(32), file: String::new() }),
            "names a parent, but is not of a delta",
        ),
        (|m| m.targets = vec!["t".repeat(255)], "too many or too long `targets`"),
        (|m| m.toolchains = vec![String::new(); 1025], "too many or too long `toolchains`"),
        (|m| m.tool = "t".repeat(255), "a `tool` that is too long"),
        (|m| m.kind = BundleKind::Snapshot, "is of a snapshot, which this format does not have"),
        (|m| m.fetched = vec![2, 1], "has `fetched` inputs that are duplicated, out of order or not in"),
        (|m| m.fetched = vec![1, 1], "has `fetched` inputs that are duplicated, out of order or not in"),
        (|m| m.fetched = vec![3], "has `fetched` inputs that are duplicated, out of order or not in"),
        (|m| m.repair = true, "has a `set` although it is a repair"),
        (|m| m.set = None, "or none although it is not"),
        (|m| m.lineage.inputs.swap(0, 1), "the input `app-1` has a number that is duplicated, out of order or out"),
        (|m| m.lineage.inputs[0].number = 0, "the input `app-1` has a number that is duplicated, out of order or out"),
        (|m| m.lineage.inputs[2].number = 1_000_000, "the input `app-4` has a number that is duplicated, out of or"),
        (|m| m.lineage.inputs[0].label = "a/b".to_owned(), "the input `a/b` has an invalid label"),
        (
            |m| {
                m.lineage.inputs[0].kind = InputKindName::Known(InputKind::Crate);
                m.lineage.inputs[0].label = "C:\\a".to_owned();
            },
            "has an invalid label",
        ),
        (
            |m| m.lineage.inputs[0].kind = InputKindName::Known(InputKind::RepairList),
            "the input `app-1` has an invalid label",
        ),
        (
            |m| {
                // Digests keep the ratio of compression low.
                let roots = (0..60_000u32).map(|number| Sha256::of(&number.to_le_bytes()).to_string());
                m.lineage.inputs[0].roots = roots.collect();
            },
            "exceed the size limit of a mirror",
        ),
        (
            |m| {
                let mut input = m.lineage.inputs.remove(0);
                m.lineage.inputs = (1..4098)
                    .map(|number| {
                        input.number = number;
                        input.clone()
                    })
                    .collect();
            },
            "has a history with more than 4096 inputs",
        ),
        (
            |m| {
                let skipped = |name: &str| SkippedPackage {
                    name: name.to_owned(),
                    version: "1.0.0".to_owned(),
                    source: "git: x".to_owned(),
                    reason: "--skip".to_owned(),
                };
                m.lineage.inputs[0].skipped_packages = vec![skipped("b"), skipped("a")];
            },
            "the input `app-1` has left-out packages that are duplicated or out of order",
        ),
        (|m| m.registries[0].id = "0".repeat(16), "has a registry whose ID, URL or name is invalid"),
        (|m| m.registries[0].name = "a/b".to_owned(), "has a registry whose ID, URL or name is invalid"),
        (
            |m| {
                let url = "https://user:secret@registry.example/";
                m.registries[0].url = url.to_owned();
                m.registries[0].id = RegistryId::of_url(url).to_string();
            },
            "has a registry whose ID, URL or name is invalid",
        ),
        (|m| m.registries.push(m.registries[0].clone()), "has registries that are duplicated or out of order"),
        (|m| m.registries = vec![m.registries[0].clone(); 257], "has more than 256 registries"),
        (
            |m| m.set.as_mut().expect("a set").before = Some(SetSummary { root: Sha256::of(b""), rows: 1 }),
            "is of a full bundle, but has `set.before`",
        ),
        (|m| m.set.as_mut().expect("a set").after.rows = 16_777_217, "has a set with more than 16777216 rows"),
        (
            |m| {
                m.kind = BundleKind::Delta;
                m.parent = Some(Parent { id: "b".repeat(32), file: String::new() });
                m.set.as_mut().expect("a set").before = Some(SetSummary { root: Sha256::of(b""), rows: 0 });
            },
            "has an empty set as `set.before`, which must be absent",
        ),
        (|m| m.set.as_mut().expect("a set").after.rows = 0, "has sections although its set does not change"),
        (|m| m.set.as_mut().expect("a set").sections.clear(), "or none although it changes"),
        (
            |m| {
                let set = m.set.as_mut().expect("a set");
                let section = set.sections[0];
                let other = |number: u32| CompressedText { sha256: Sha256::of(&number.to_le_bytes()), ..section };
                set.sections = (0..4097).map(other).collect();
            },
            "has more than 4096 sections",
        ),
        (
            |m| {
                let Part { table, entries, bytes } = m.parts[0].clone();
                let other = |number: u32| CompressedText { sha256: Sha256::of(&number.to_le_bytes()), ..table };
                m.parts = (0..8193).map(|number| Part { table: other(number), entries, bytes }).collect();
            },
            "has more than 8192 parts",
        ),
        (|m| m.parts[0].entries = 0, "has a part without entries"),
        (|m| m.parts[0].entries += 1, "has `totals` that are not the sums of its parts"),
        (|m| m.totals.index.entries += 1, "has `totals` that are not the sums of its parts"),
        (|m| m.parts[0].bytes = u64::MAX, "states sizes whose sum overflows 64 bits"),
        (|m| m.totals.dist.bytes = u64::MAX, "states sizes whose sum overflows 64 bits"),
        (|m| m.exceptions = vec![exception(); 2], "has policy exceptions that are duplicated or out of order"),
        (
            |m| {
                let reason = |number: u32| Sha256::of(&number.to_le_bytes()).to_string();
                let exceptions = (0..1025).map(|number| PolicyException { reason: reason(number), ..exception() });
                m.exceptions = exceptions.collect();
            },
            "has more than 1024 policy exceptions",
        ),
        (
            |m| m.exceptions = vec![PolicyException { expires: "2026-13-01".to_owned(), ..exception() }],
            "has a policy exception with an invalid field",
        ),
        (
            |m| m.exceptions = vec![PolicyException { reason: String::new(), ..exception() }],
            "has a policy exception with an invalid field",
        ),
    ];
    let forged = forged();
    assert_eq!(problems(&forged.bytes(), Base::Unknown), [""; 0]);
    assert_eq!(problems(&forged.bytes_with(|m| m.exceptions = vec![exception()]), Base::Unknown), [""; 0]);
    for (change, expected) in changes {
        let bytes = match expected.contains("`id` does") {
            true => forged.bytes_with_json(|json| json.replacen("\"id\"", "\"x\":0,\"id\"", 1)),
            false => forged.bytes_with(change),
        };
        let problem = only_problem(&bytes);
        assert!(problem.contains(expected), "expected `{expected}`: {problem}");
    }
}

fn exception() -> PolicyException {
    PolicyException {
        rule: "licenses".to_owned(),
        registry: "-".to_owned(),
        name: "a".to_owned(),
        version: "1.0.0".to_owned(),
        reason: "approved".to_owned(),
        expires: "2026-12-31".to_owned(),
    }
}

#[test]
fn the_json_of_the_manifest_is_strict_and_unknown_keys_are_ignored() {
    let forged = forged();
    let with = |from: &str, to: &str| forged.bytes_with_json(|json| json.replacen(from, to, 1));
    assert_eq!(problems(&with("\"format\"", "\"later\":[{\"a\":1}],\"format\""), Base::Unknown), [""; 0]);
    for (from, to) in [
        ("\"format\":2", "\"format\":2,\"format\":2"),
        ("\"parts\"", "\"pieces\""),
        ("\"kind\":\"full\"", "\"kind\":\"partial\""),
        ("\"sha256\":\"", "\"sha256\":\"x"),
        ("\"format\":2", "\"format\":-2"),
    ] {
        let problem = only_problem(&with(from, to));
        assert!(problem.starts_with("the manifest of `x.pkg` is malformed: "), "{from}: {problem}");
    }
    let problem = only_problem(&forged.bytes_with_json(|json| json + "{}"));
    assert!(problem.starts_with("the manifest of `x.pkg` is malformed: trailing characters"), "{problem}");
}

#[test]
fn each_rule_of_a_section_is_checked_and_the_line_is_named() {
    let forged = forged();
    let with = |from: &str, to: &str| {
        let mut forged = forged.clone();
        let changed = forged.sections[0].replacen(from, to, 1);
        assert_ne!(changed, forged.sections[0], "{from}");
        forged.sections[0] = changed;
        only_problem(&forged.bytes())
    };
    let prefix = "could not apply the changes of `x.pkg`: ";
    for (from, to, expected) in [
        ("\t1,4", "\t1,3", "names the input 3, which the bundle does not list"),
        ("\t1\t1,4", "\t4\t1,4", "states that bundle 4 introduced its row, but this is bundle 3"),
        ("+c\t", "-c\t", "has a wrong number of fields"),
        ("@\t0\t", "@\t1\t", "line 1 of section 1 of the changes does not name a shard of this set"),
    ] {
        let problem = with(from, to);
        assert!(problem.starts_with(prefix) && problem.contains(expected), "{from}: {problem}");
    }
    let mut without = forged.clone();
    without.manifest.registries.clear();
    let problem = only_problem(&without.bytes());
    let expected = format!("names the registry {}, which the bundle does not list", RegistryId::of_url(URL));
    assert!(problem.starts_with(prefix) && problem.ends_with(&expected), "{problem}");
    // Another result than the stated one.
    let problem = only_problem(&forged.bytes_with(|m| m.set.as_mut().expect("a set").after.root = Sha256::of(b"x")));
    assert!(problem.starts_with(&format!("{prefix}the changed set is ")), "{problem}");
}

#[test]
fn unknown_kinds_and_encodings_name_the_tool_that_wrote_them() {
    let forged = forged();
    let prefix = "`x.pkg` was written by cargo-frostmirror 9.9.9; ";
    // The label breaks a rule too, and the newer kind counts.
    let input = forged.bytes_with(|manifest| {
        manifest.lineage.inputs[0].kind = InputKindName::Unknown("registry".to_owned());
        manifest.lineage.inputs[0].label = "a/b".to_owned();
    });
    let expected = "the input `a/b` has the kind `registry`, which this version does not know";
    assert_eq!(only_problem(&input), format!("{prefix}{expected}"));
    let number = forged.bytes_with_json(|json| json.replacen("\"kind\":\"lockfile\"", "\"kind\":7", 1));
    assert!(only_problem(&number).starts_with("the manifest of `x.pkg` is malformed"));
    let mut row = forged.clone();
    row.sections[0] = row.sections[0].replacen("+c\t", "+module\t", 1);
    let problem = only_problem(&row.bytes());
    let expected = " of section 1 of the changes has the kind `module`, which this version does not know";
    assert!(problem.starts_with(&format!("{prefix}line ")) && problem.ends_with(expected), "{problem}");
    for (from, to, expected) in [
        ("\"kind\":\"dist\"", "\"kind\":\"git\"", "` has the kind `git`, which this version does not know"),
        ("\"stored\"", "\"zstd\"", "` has the encoding `zstd`, which this version cannot decode"),
    ] {
        let mut entry = forged.clone();
        // The order is broken too, and the newer kind counts.
        let mut lines: Vec<&str> = forged.parts[0].table.split_inclusive('\n').collect();
        lines.rotate_left(1);
        entry.parts[0].table = lines.concat().replacen(from, to, 1);
        let problem = only_problem(&entry.bytes());
        assert!(problem.starts_with(&format!("{prefix}part 1: `")) && problem.contains(expected), "{problem}");
    }
}

#[test]
fn each_rule_of_a_table_is_checked_and_the_path_is_named() {
    let forged = forged();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut forged = forged.clone();
        let mut lines: Vec<String> = forged.parts[0].table.lines().map(str::to_owned).collect();
        change(&mut lines);
        forged.parts[0].table = lines.into_iter().map(|line| line + "\n").collect();
        assert_ne!(forged.parts[0].table, self::forged().parts[0].table);
        only_problem(&forged.bytes())
    };
    let replace = |from: &str, to: &str| {
        with(&|lines: &mut Vec<String>| {
            let line = lines.iter_mut().find(|line| line.contains(from)).unwrap_or_else(|| panic!("{from}"));
            *line = line.replacen(from, to, 1);
        })
    };
    let mut cut = forged.clone();
    cut.parts[0].table.pop();
    let lines = forged.parts[0].table.lines().count();
    let problem = only_problem(&cut.bytes());
    assert_eq!(problem, format!("part 1: line {lines} is not a block: it has no line break at its end"));
    let other_registry = format!("r/{}/", RegistryId::of_url(URL));
    for (found, expected) in [
        (replace("\"entries\":[{", "\"entries\":[]}{"), "part 1: line 1 is not a block: "),
        (replace("crates/crate-0-1.1.0.crate", "../x"), "part 1: line "),
        (replace("crates/crate-0-1.1.0.crate", "crates/x"), "`crates/x` has a path that does not fit its kind"),
        (replace("crates/crate-0-1.1.0.crate", "crates/x.crate"), "`crates/x.crate` is not the path of a crate"),
        (replace("crates/crate-0-1.1.0.crate", "crates/crate-0-1.01.0.crate"), "is not the path of a crate"),
        (replace("index/cr/at/crate-0", "index/cr/aa/crate-0"), "`index/cr/aa/crate-0` is not the path of an index"),
        (replace("index/cr/at/crate-0", "index/Cr/at/crate-0"), "is not the path of an index file"),
        (replace(&other_registry, "r/0000000000000000/"), "is of a registry that the manifest does not list"),
        (replace(&other_registry, "r/x/"), "is not below the folder of a registry"),
        (replace("dist/2026", "rustup/2026"), "has a path that does not fit its kind"),
        (replace("dist/2026-01-10/", "dist/.x/"), "has a hidden component"),
        (replace("dist/2026-01-10/", "dist/nul/"), "has a name that Windows reserves for a device"),
        (replace("\"MIT\"", &format!("\"{}\"", "M".repeat(2047))), "licence or repository that is too long"),
        (
            replace("\"kind\":\"dist\"", "\"kind\":\"dist\",\"license\":\"MIT\""),
            "has a description, licence or repository, but is not a crate",
        ),
        (
            replace("\"kind\":\"dist\"", "\"kind\":\"dist\",\"refreshed\":true"),
            "is refreshed, but is not an index file",
        ),
        (replace("config.toml", "depends.toml"), "is a mirror's configuration, but the bundle is not a snapshot"),
        (with(&|lines| lines.swap(0, 1)), "is out of order"),
        (with(&|lines| lines.rotate_left(1)), "is out of order"),
        (with(&|lines| lines.insert(0, lines[0].clone())), "occurs twice in the bundle, or differs from another"),
        (
            with(&|lines| lines.insert(1, lines[0].replacen("crate-", "CRATE-", 1))),
            "occurs twice in the bundle, or differs from another entry only in case",
        ),
        (
            with(&|lines| {
                let line = lines.iter().position(|line| line.contains("dist/2026-01-10/")).expect("a file");
                let file = lines[line].replacen("dist/2026-01-10/file-9.tar.xz", "dist/2026-01-10", 1);
                lines.insert(line, file);
            }),
            "is below a path that is a file",
        ),
        (with(&|lines| drop(lines.pop())), "part 1: it has other sums of entries or bytes than the manifest states"),
    ] {
        assert!(found.starts_with("part 1: ") && found.contains(expected), "expected `{expected}`: {found}");
    }
    let block = |lines: &mut Vec<String>| {
        let line = lines.iter_mut().find(|line| line.contains("\"brotli\"")).expect("index text");
        let end = line.find("]}").expect("entries");
        let entry = line[line.find("[{").expect("entries") + 1..end].split("},").next().expect("one").to_owned();
        let entry = entry.trim_end_matches('}').to_owned() + "}";
        // Digests keep the ratio of compression low.
        let digest = entry.split('"').find(|field| field.parse::<Sha256>().is_ok()).expect("a digest");
        for number in 0..2048u32 {
            let other = Sha256::of(&number.to_le_bytes()).to_string();
            let other = entry.replacen(digest, &other, 1).replacen("\"size\":", "\"size\":0,\"real\":", 1);
            line.insert_str(end, &format!(",{other}"));
        }
    };
    let found = with(&block);
    assert!(found.contains("is in a block with more than 2048 entries"), "{found}");
}

#[test]
fn two_parts_keep_one_order() {
    let forged = forged();
    let mut twice = forged.clone();
    twice.parts.push(twice.parts[0].clone());
    twice.manifest.parts.push(twice.manifest.parts[0].clone());
    let found = only_problem(&twice.bytes_with(|m| {
        let entries = m.parts[0].entries;
        m.totals.config.entries += entries;
    }));
    assert!(found.starts_with("part 2: `") && found.ends_with("` is out of order"), "{found}");
    let mut sums = forged;
    sums.manifest.totals.dist.bytes += 1;
    assert_eq!(only_problem(&sums.bytes()), "the sums of all entries differ from `totals` in the manifest");
}

/// The problems of a full bundle whose set has `rows` and whose files are those of `files`.
fn mismatch(rows: &[(u32, Item)], files: &[(u32, Item)]) -> Vec<String> {
    let mut sender = World::new([]);
    sender.items = files.iter().cloned().collect();
    let shipped = Forged::from(&sender.full());
    let mut stated = World::new([]);
    stated.items = rows.iter().cloned().collect();
    let mut forged = Forged::from(&stated.full());
    forged.parts = shipped.parts;
    forged.manifest.parts = shipped.manifest.parts;
    forged.manifest.totals = shipped.manifest.totals;
    problems(&forged.bytes(), Base::Unknown)
}

#[test]
fn files_and_lines_are_compared_with_rows() {
    let item = |number, content| (number, Item::new(number, content));
    let rows = [item(1, 0), item(2, 0), item(9, 0)];
    assert_eq!(mismatch(&rows, &rows), [""; 0]);
    assert_eq!(
        mismatch(&rows[1..], &rows),
        [
            "crates/crate-0-1.1.0.crate: the bundle's set has no row for this file",
            "index/cr/at/crate-0: line 1 is for crate-0 1.1.0, which the bundle does not contain",
        ]
    );
    assert_eq!(
        mismatch(&rows[..2], &rows),
        ["dist/2026-01-10/file-9.tar.xz: the bundle's set has no row for this file"]
    );
    // Another file and line for the same crate.
    let changed = [item(1, 3), item(2, 0), item(9, 3)];
    assert_eq!(
        mismatch(&rows, &changed),
        [
            "crates/crate-0-1.1.0.crate: its digest or size differs from its row in the bundle's set",
            "index/cr/at/crate-0: line 1 has a different checksum for crate-0 1.1.0 than the manifest",
            "dist/2026-01-10/file-9.tar.xz: its digest or size differs from its row in the bundle's set",
        ]
    );
    // A yank that the set does not know.
    let yanked = [item(1, 2), item(2, 0), item(9, 0)];
    let expected = "index/cr/at/crate-0: line 1 is another line for crate-0 1.1.0 than the set states";
    assert_eq!(mismatch(&rows, &yanked), [expected]);
    // A full bundle has everything.
    assert_eq!(
        mismatch(&rows, &rows[1..]),
        [
            "crate-0 1.1.0: the bundle is full, but has no file for this row",
            "crate-0 1.1.0: the bundle has no index line for this crate",
        ]
    );
    assert_eq!(
        mismatch(&rows, &rows[..2]),
        ["dist/2026-01-10/file-9.tar.xz: the bundle is full, but has no file for this row"]
    );
    let mut file_of_line_only = Item::new(31, 0);
    if let crate::sharded_set::Row::Crate(row) = &mut file_of_line_only.row {
        assert!(std::mem::take(&mut row.is_index_only));
    }
    assert_eq!(
        mismatch(&[item(31, 0)], &[(31, file_of_line_only)]),
        ["crates/crate-10-1.1.0.crate: the row of this crate in the bundle's set is index-only"]
    );
}

#[test]
fn refreshed_lines_are_of_crates_that_the_set_lacks() {
    let item = |number| (number, Item::new(number, 0));
    let refreshed = |rows: &[(u32, Item)], text: Option<&dyn Fn(&str) -> String>| {
        let mut world = World::new([]);
        world.items = rows.iter().cloned().collect();
        let mut files = world.files();
        let lines = super::fixture::packed_files([Item::new(7, 0), Item::new(8, 0)].iter());
        let mut line = lines.into_iter().find(|file| file.file.0.kind == crate::mirror_file::FileKind::Index);
        let line = line.as_mut().expect("an index file");
        if let (Some(text), crate::mirror_file::FileSource::Memory(bytes)) = (text, &line.file.1) {
            let text = text(std::str::from_utf8(bytes).expect("text"));
            *line = super::fixture::packed_file(
                line.file.0.path.as_str(),
                crate::mirror_file::FileKind::Index,
                text.into_bytes(),
            );
        }
        line.details.is_refreshed = true;
        let is_same = |file: &PackedFile| file.file.0.path == line.file.0.path;
        files.retain(|file| !is_same(file));
        files.push(line.clone());
        problems(&world.full_with(files), Base::Unknown)
    };
    assert_eq!(refreshed(&[item(1)], None), [""; 0]);
    let path = "index/cr/at/crate-2";
    let swap = |text: &str| text.split_inclusive('\n').rev().collect::<String>();
    assert_eq!(
        refreshed(&[item(1)], Some(&swap)),
        [format!("{path}: line 2 is for crate-2 1.1.0, which is out of order")]
    );
    let double = |text: &str| text.split_inclusive('\n').take(1).collect::<String>().repeat(2);
    assert_eq!(refreshed(&[item(1)], Some(&double)), [format!("{path}: line 2 is a second line for crate-2 1.1.0")]);
    assert_eq!(
        refreshed(&[item(1), item(7)], None),
        [format!("{path}: line 1 is for crate-2 1.1.0, which the set has, although the entry is refreshed")]
    );
}

#[test]
fn a_changed_line_needs_its_line_and_an_unchanged_one_does_not() {
    let mut world = World::new(0..40);
    world.full();
    let base = world.list.clone();
    let known = Base::Known(&base, &world.store);
    // Other inputs alone, and a yank.
    let mut next = World::new(0..40);
    next.items.insert(1, Item::new(1, 1));
    let delta = next.delta(&base, []);
    assert_eq!(problems(&delta, known), [""; 0]);
    next.items.insert(4, Item::new(4, 2));
    let delta = next.delta(&base, []);
    assert_eq!(problems(&delta, known), ["crate-1 1.1.0: the bundle has no index line for this crate"]);
    let delta = next.delta(&base, [4]);
    assert_eq!(problems(&delta, known), [""; 0]);
    // Without the base nothing is known of it.
    let delta = next.delta(&base, []);
    assert_eq!(problems(&delta, Base::Unknown), [""; 0]);
}
