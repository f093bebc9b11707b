//! Manifests, their digests and names, and rustup's: what belongs together, and what does not.

use super::*;

const MANIFEST: &str = "/dist/channel-rust-stable.toml";

fn has(plan: &Plan, path: &str) -> bool {
    plan.artifacts.contains_key(&path.parse().unwrap())
}

#[test]
fn an_alias_counts_only_where_upstream_says_the_same() {
    let bench = Bench::new();
    // 1.95.1 is out: the name without its patch is that one's, and `stable` of this server still 1.95.0.
    let newer = Release::stable("1.95.1", "2026-04-30").build();
    for end in ["", ".sha256"] {
        let path = format!("/dist/channel-rust-1.95.toml{end}");
        bench.dist.put(&path, newer.files[&path].clone());
    }
    bench.dist.take_away("/dist/channel-rust-1.95.0.toml.sha256");
    bench.dist.take_away("/dist/2026-04-16/channel-rust-stable.toml.sha256");
    bench.dist.take_away("/dist/channel-rust-stable.toml.asc");
    let plan = bench.fetch(&[minimal()]).unwrap();
    for name in ["dist/channel-rust-1.95.toml", "dist/channel-rust-1.95.0.toml"] {
        assert!(!has(&plan, name) && !has(&plan, &format!("{name}.sha256")), "{name}");
    }
    assert!(!has(&plan, "dist/channel-rust-stable.toml.asc"));
    let dated = "dist/2026-04-16/channel-rust-stable.toml";
    let digest = &plan.artifacts[&format!("{dated}.sha256").parse().unwrap()];
    let line = format!("{}  channel-rust-stable.toml\n", Sha256::of(&bench.upstreams(dated)));
    assert_eq!(bytes_of(digest.bytes.as_ref().unwrap()), line.as_bytes());
    assert!(has(&plan, dated) && has(&plan, &format!("{dated}.asc")));
}

#[test]
fn a_manifest_of_a_day_to_come_is_refused() {
    let bench = Bench::new();
    let on = |date: &str| {
        bench.dist.publish(&Release::stable("1.99.0", date));
        // The clock of these tests says 2026-06-01.
        bench.fetch(&[minimal()])
    };
    on("2026-06-03").expect("clocks differ, and a day begins earlier elsewhere");
    let error = on("2026-06-04").unwrap_err();
    assert!(matches!(error, Error::Ahead { .. }), "{error}");
    assert!(error.to_string().contains("dated 2026-06-04, and today is 2026-06-01"), "{error}");
    assert_eq!(Failure::from(error).class.code(), 4);
    // Nor is it what is used without network.
    let kept = run(bench.offline().plan(&[minimal()])).unwrap();
    assert_eq!(kept.toolchains, ["stable 1.99.0 (2026-06-03)"]);
}

#[test]
fn four_names_of_one_release_are_one_set_of_files() {
    let bench = Bench::new();
    let alone = bench.fetch(&[minimal()]).unwrap();
    let names = ["stable", "1.95", "1.95.0", "stable-2026-04-16"];
    let plan = bench.fetch(&[order(&names, &[LINUX], Profile::Minimal, &[])]).unwrap();
    is_upstreams(&bench, &plan);
    assert_eq!(plan.artifacts, alone.artifacts);
    let expected = ["1.95 1.95.0 (2026-04-16)", "1.95.0 (2026-04-16)", "stable 1.95.0 (2026-04-16)"];
    assert_eq!(plan.toolchains[..3], expected);
    assert_eq!(plan.toolchains[3], "stable-2026-04-16 1.95.0 (2026-04-16)");
}

#[test]
fn what_upstream_publishes_meanwhile_is_seen_and_asked_for_again_as_a_whole() {
    let newer = Release::stable("1.96.0", "2026-05-28");
    for path in [format!("{MANIFEST}.sha256"), MANIFEST.to_owned(), format!("{MANIFEST}.asc")] {
        let bench = Bench::new();
        bench.dist.publish_after(&path, &newer);
        let plan = bench.fetch(&[minimal()]).unwrap();
        is_upstreams(&bench, &plan);
        assert_eq!(plan.toolchains, ["stable 1.96.0 (2026-05-28)"], "{path}");
        assert_eq!(bench.dist.count(MANIFEST), 2, "{path}");
        assert!(archives(plan.artifacts.keys()).iter().all(|name| name.contains("1.96.0")));
    }
    // Between two names of it: the second knows the newer one, and both are asked again.
    let bench = Bench::new();
    let other = Release::stable("1.95.0", "2026-04-17");
    let own = "/dist/2026-04-16/channel-rust-stable.toml.sha256";
    bench.dist.publish_after(own, &other);
    let plan = bench.fetch(&[order(&["1.95", "stable"], &[LINUX], Profile::Minimal, &[])]).unwrap();
    assert_eq!(plan.toolchains, ["1.95 1.95.0 (2026-04-17)", "stable 1.95.0 (2026-04-17)"]);
}

#[test]
fn a_manifest_that_never_fits_its_digest_is_refused() {
    let bench = Bench::new();
    let newer = Release::stable("1.96.0", "2026-05-28").build();
    bench.dist.put(MANIFEST, newer.files[MANIFEST].clone());
    let failure = fails(bench.plan(&[minimal()]), 4, "channel-rust-stable.toml.sha256");
    assert!(failure.hint.is_some_and(|hint| hint.contains("publishing")));
    assert_eq!(bench.dist.count(MANIFEST), 4);
    for text in ["<html>please log in</html>", ""] {
        let bench = Bench::new();
        bench.dist.put(&format!("{MANIFEST}.sha256"), text);
        fails(bench.plan(&[minimal()]), 4, "does not begin with a SHA-256");
    }
    // Nothing of it is taken for the last good state.
    fails(fetch_with(&bench.offline(), &[minimal()]), 5, "channel-rust-stable.toml");
}

#[test]
fn a_manifest_that_fits_its_digest_may_still_be_none() {
    let bench = Bench::new();
    let text = "<html>";
    bench.dist.put(MANIFEST, text);
    bench.dist.put(&format!("{MANIFEST}.sha256"), Sha256::of(text.as_bytes()).to_string());
    fails(bench.plan(&[minimal()]), 4, "could not read the channel manifest of `stable`");
    let text = String::from_utf8(Release::stable("1.95.0", "2026-04-16").build().files[MANIFEST].clone()).unwrap();
    let text = text.replace("https://static.rust-lang.org/dist/2026-04-16/cargo", "https://evil.example/dist/cargo");
    bench.dist.put(&format!("{MANIFEST}.sha256"), Sha256::of(text.as_bytes()).to_string());
    bench.dist.put(MANIFEST, text);
    fails(bench.plan(&[minimal()]), 4, "could not select what is wanted of `stable`");
}

#[test]
fn a_toolchain_that_is_not_there_is_named() {
    let bench = Bench::new();
    for name in ["1.94.0", "nightly-2026-04-26", "beta"] {
        let failure = fails(bench.plan(&[order(&[name], &[LINUX], Profile::Minimal, &[])]), 3, name);
        assert!(failure.hint.is_some());
    }
    bench.dist.always(&format!("{MANIFEST}.sha256"), Fault::Status(500));
    fails(bench.plan(&[minimal()]), 5, "HTTP 500");
}

#[test]
fn a_release_of_rustup_between_two_requests_is_seen() {
    let bench = Bench::new();
    let newer = Dist::start();
    newer.publish_rustup("9.9.10", &[LINUX, WINDOWS], b"#!/bin/sh\necho newer\n");
    let files: Vec<(String, Vec<u8>)> = newer
        .all_held()
        .into_iter()
        .filter(|(path, _)| path.starts_with("/rustup/"))
        .map(|(path, bytes)| (path, bytes.to_vec()))
        .collect();
    bench.dist.fault("/rustup/release-stable.toml", [Fault::Republished(files)]);
    let plan = bench.fetch(&[minimal()]).unwrap();
    is_upstreams(&bench, &plan);
    assert!(has(&plan, &format!("rustup/archive/9.9.10/{LINUX}/rustup-init")));
    assert!(plan.artifacts.keys().all(|path| !path.as_str().contains("9.9.9/")));
    assert_eq!(bench.dist.count("/rustup/release-stable.toml"), 2);
}

#[test]
fn two_versions_of_rustup_that_stay_are_refused() {
    let bench = Bench::new();
    bench.dist.put(&format!("/rustup/dist/{LINUX}/rustup-init.sha256"), Sha256::of(b"other").to_string());
    fails(bench.plan(&[minimal()]), 4, "have different digests");
    assert_eq!(bench.dist.count("/rustup/release-stable.toml"), 4);
    bench.dist.take_away(&format!("/rustup/dist/{LINUX}/rustup-init.sha256"));
    fails(bench.plan(&[minimal()]), 4, "is not there, though rustup 9.9.9 is the current one");
    // For a host that rustup was never built for, Rust is carried all the same.
    bench.dist.take_away(&format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init.sha256"));
    let plan = bench.fetch(&[minimal()]).unwrap();
    assert!(plan.artifacts.keys().all(|path| !path.as_str().starts_with("rustup/")));
    assert!(bench.heard.warnings().concat().contains(&format!("rustup-init for {LINUX}")));
    assert_eq!(fetch_with(&bench.offline(), &[minimal()]).unwrap(), plan);
    bench.dist.take_away("/rustup/release-stable.toml");
    fails(bench.plan(&[minimal()]), 5, "/rustup/release-stable.toml is not there");
}
