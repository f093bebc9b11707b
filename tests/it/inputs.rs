//! What users give: depends.toml, Cargo.lock, workspaces; and `init`, which makes the first from the others.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::error_report::{ErrorClass, Failure};
use frostmirror::inputs::depends::DependsFile;
use frostmirror::toolchain::Profile;

mod cargo_config;
mod discovery;
mod init;
mod waits;

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/depends").join(folder);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension() == Some(OsStr::new("toml"))).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_valid_fixture_is_parsed() {
    for path in fixtures("good") {
        if let Err(error) = DependsFile::read(&path) {
            panic!("{error}");
        }
    }
}

#[test]
fn all_entry_forms_can_be_mixed() {
    let path = fixtures("good").into_iter().find(|path| path.ends_with("every-form.toml")).unwrap();
    let depends = DependsFile::read(&path).unwrap();
    let groups: Vec<(Option<&str>, Vec<String>)> = depends
        .groups
        .iter()
        .map(|group| {
            let entries = group.entries.iter().map(|entry| {
                let wanted = entry.alternatives.iter().map(|requirement| {
                    let defaults = if requirement.default_features { "" } else { " no-default" };
                    format!("{}{defaults} [{}]", requirement.version, requirement.features.join(" "))
                });
                format!("{}={}: {}", entry.key, entry.package, wanted.collect::<Vec<_>>().join(" | "))
            });
            (group.number.as_deref(), entries.collect())
        })
        .collect();
    let expected: Vec<(Option<&str>, Vec<&str>)> = vec![
        (
            None,
            vec![
                "anyhow=anyhow: 1 []",
                "tokio=tokio: 1 [rt-multi-thread net]",
                "reqwest=reqwest: 0.12 no-default [rustls-tls]",
                "serde=serde: =1.0.100 [] | 1 [derive]",
                "json1=serde_json: =1.0.100 []",
                "serde_json=serde_json: >=1.0.101, <2 []",
                "regex=regex: 1.10 [unicode c++17]",
            ],
        ),
        (Some("2"), vec!["axum=axum: 0.6 []", "hyper=hyper: 0.14 [server http1]"]),
        (Some("10"), vec!["rand=rand: 0.7 [] | 0.8 []"]),
    ];
    let expected: Vec<(Option<&str>, Vec<String>)> = expected
        .into_iter()
        .map(|(number, entries)| (number, entries.into_iter().map(str::to_owned).collect()))
        .collect();
    assert_eq!(groups, expected);
    let locked: Vec<String> = depends.locked.iter().map(ToString::to_string).collect();
    assert_eq!(
        locked,
        ["itoa 1.0.11", "openssl-src 110.0.0", "openssl-src 110.0.0+1.1.0f", "syn 1.0.109", "syn 2.0.90"]
    );
    let platforms = depends.platforms.unwrap();
    assert_eq!(platforms.targets.len(), 3);
    let toolchains: Vec<String> = platforms.toolchain.iter().map(ToString::to_string).collect();
    assert_eq!(toolchains, ["stable", "1.86.0", "nightly-2026-04-25"]);
    assert_eq!(platforms.profile, Some(Profile::Default));
    assert_eq!(platforms.components, ["rust-src"]);
}

/// Run with SNAPSHOTS=overwrite to renew the texts.
#[test]
fn every_invalid_fixture_reports_line_column_and_expectation() {
    for path in fixtures("bad") {
        let Err(error) = DependsFile::read(&path) else { panic!("{} is accepted", path.display()) };
        let failure = Failure::from(error);
        assert_eq!(failure.class, ErrorClass::Input, "{}", path.display());
        let hint = failure.hint.as_ref().map(|hint| format!("\nhint: {hint}\n")).unwrap_or_default();
        let text = format!("error: {failure}\n{hint}");
        let text = text.replace(path.to_str().unwrap(), "depends.toml");
        let expected =
            snapbox::Data::read_from(&path.with_extension("stderr"), Some(snapbox::data::DataFormat::Text)).raw();
        snapbox::assert_data_eq!(text, expected);
    }
}
