//! Manifests, their digests and names, and rustup's: what belongs together, and what does not.

use super::*;

const MANIFEST: &str = "/dist/channel-rust-stable.toml";

fn plan_has(plan: &DownloadPlan, path: &str) -> bool {
    plan.files.contains_key(&path.parse().unwrap())
}

#[test]
fn an_alias_is_included_only_if_upstream_serves_the_same_manifest() {
    let bench = DownloadFixture::new();
    // 1.95.1 is out: the name without its patch is that one's, and `stable` of this server still 1.95.0.
    let newer = Release::stable("1.95.1", "2026-04-30").build();
    for end in ["", ".sha256"] {
        let path = format!("/dist/channel-rust-1.95.toml{end}");
        bench.dist.put_file(&path, newer.files[&path].clone());
    }
    bench.dist.remove_file("/dist/channel-rust-1.95.0.toml.sha256");
    bench.dist.remove_file("/dist/2026-04-16/channel-rust-stable.toml.sha256");
    bench.dist.remove_file("/dist/channel-rust-stable.toml.asc");
    let plan = bench.fetch(&[minimal_stable()]).unwrap();
    for name in ["dist/channel-rust-1.95.toml", "dist/channel-rust-1.95.0.toml"] {
        assert!(!plan_has(&plan, name) && !plan_has(&plan, &format!("{name}.sha256")), "{name}");
    }
    assert!(!plan_has(&plan, "dist/channel-rust-stable.toml.asc"));
    let dated = "dist/2026-04-16/channel-rust-stable.toml";
    let digest = &plan.files[&format!("{dated}.sha256").parse().unwrap()];
    let line = format!("{}  channel-rust-stable.toml\n", Sha256::of(&bench.upstream_file(dated)));
    assert_eq!(read_bytes(digest.bytes.as_ref().unwrap()), line.as_bytes());
    assert!(plan_has(&plan, dated) && plan_has(&plan, &format!("{dated}.asc")));
}

#[test]
fn a_manifest_dated_in_the_future_is_refused() {
    let bench = DownloadFixture::new();
    let on = |date: &str| {
        bench.dist.publish(&Release::stable("1.99.0", date));
        // The clock of these tests says 2026-06-01.
        bench.fetch(&[minimal_stable()])
    };
    on("2026-06-03").expect("clocks differ, and a day begins earlier elsewhere");
    let error = on("2026-06-04").unwrap_err();
    assert!(matches!(error, Error::FutureManifest { .. }), "{error}");
    assert!(error.to_string().contains("dated 2026-06-04, but today is 2026-06-01"), "{error}");
    assert_eq!(Failure::from(error).class.code(), 4);
    // Nor is it what is used without network.
    let kept = block_on(bench.offline_downloader().plan(&[minimal_stable()])).unwrap();
    assert_eq!(kept.toolchains, ["stable 1.99.0 (2026-06-03)"]);
}

#[test]
fn four_names_of_one_release_give_one_set_of_files() {
    let bench = DownloadFixture::new();
    let alone = bench.fetch(&[minimal_stable()]).unwrap();
    let names = ["stable", "1.95", "1.95.0", "stable-2026-04-16"];
    let plan = bench.fetch(&[toolchain_request(&names, &[LINUX], Profile::Minimal, &[])]).unwrap();
    assert_matches_upstream(&bench, &plan);
    assert_eq!(plan.files, alone.files);
    let expected = ["1.95 1.95.0 (2026-04-16)", "1.95.0 (2026-04-16)", "stable 1.95.0 (2026-04-16)"];
    assert_eq!(plan.toolchains[..3], expected);
    assert_eq!(plan.toolchains[3], "stable-2026-04-16 1.95.0 (2026-04-16)");
}

#[test]
fn a_release_published_between_requests_is_fetched_again_completely() {
    let newer = Release::stable("1.96.0", "2026-05-28");
    for path in [format!("{MANIFEST}.sha256"), MANIFEST.to_owned(), format!("{MANIFEST}.asc")] {
        let bench = DownloadFixture::new();
        bench.dist.publish_after(&path, &newer);
        let plan = bench.fetch(&[minimal_stable()]).unwrap();
        assert_matches_upstream(&bench, &plan);
        assert_eq!(plan.toolchains, ["stable 1.96.0 (2026-05-28)"], "{path}");
        assert_eq!(bench.dist.request_count(MANIFEST), 2, "{path}");
        assert!(archive_names(plan.files.keys()).iter().all(|name| name.contains("1.96.0")));
    }
    // Between two names of it: the second knows the newer one, and both are asked again.
    let bench = DownloadFixture::new();
    let other = Release::stable("1.95.0", "2026-04-17");
    let own = "/dist/2026-04-16/channel-rust-stable.toml.sha256";
    bench.dist.publish_after(own, &other);
    let plan = bench.fetch(&[toolchain_request(&["1.95", "stable"], &[LINUX], Profile::Minimal, &[])]).unwrap();
    assert_eq!(plan.toolchains, ["1.95 1.95.0 (2026-04-17)", "stable 1.95.0 (2026-04-17)"]);
}

#[test]
fn a_manifest_that_never_matches_its_digest_is_refused() {
    let bench = DownloadFixture::new();
    let newer = Release::stable("1.96.0", "2026-05-28").build();
    bench.dist.put_file(MANIFEST, newer.files[MANIFEST].clone());
    let failure = assert_failure(bench.plan(&[minimal_stable()]), 4, "channel-rust-stable.toml.sha256");
    assert!(failure.hint.is_some_and(|hint| hint.contains("publishing")));
    assert_eq!(bench.dist.request_count(MANIFEST), 4);
    for text in ["<html>please log in</html>", ""] {
        let bench = DownloadFixture::new();
        bench.dist.put_file(&format!("{MANIFEST}.sha256"), text);
        assert_failure(bench.plan(&[minimal_stable()]), 4, "does not begin with a SHA-256");
    }
    // Nothing of it is taken for the last good state.
    assert_failure(fetch_with(&bench.offline_downloader(), &[minimal_stable()]), 5, "channel-rust-stable.toml");
}

#[test]
fn an_invalid_manifest_with_a_matching_digest_is_refused() {
    let bench = DownloadFixture::new();
    let text = "<html>";
    bench.dist.put_file(MANIFEST, text);
    bench.dist.put_file(&format!("{MANIFEST}.sha256"), Sha256::of(text.as_bytes()).to_string());
    assert_failure(bench.plan(&[minimal_stable()]), 4, "could not read the channel manifest of `stable`");
    let text = String::from_utf8(Release::stable("1.95.0", "2026-04-16").build().files[MANIFEST].clone()).unwrap();
    let text = text.replace("https://static.rust-lang.org/dist/2026-04-16/cargo", "https://evil.example/dist/cargo");
    bench.dist.put_file(&format!("{MANIFEST}.sha256"), Sha256::of(text.as_bytes()).to_string());
    bench.dist.put_file(MANIFEST, text);
    assert_failure(bench.plan(&[minimal_stable()]), 4, "could not select the components of `stable`");
}

#[test]
fn a_missing_toolchain_is_named() {
    let bench = DownloadFixture::new();
    for name in ["1.94.0", "nightly-2026-04-26", "beta"] {
        let failure =
            assert_failure(bench.plan(&[toolchain_request(&[name], &[LINUX], Profile::Minimal, &[])]), 3, name);
        assert!(failure.hint.is_some());
    }
    bench.dist.fault_always(&format!("{MANIFEST}.sha256"), Fault::Status(500));
    assert_failure(bench.plan(&[minimal_stable()]), 5, "HTTP 500");
}

#[test]
fn a_rustup_release_between_requests_is_detected() {
    let bench = DownloadFixture::new();
    let newer = DistServer::start();
    newer.publish_rustup("9.9.10", &[LINUX, WINDOWS], b"#!/bin/sh\necho newer\n");
    let files: Vec<(String, Vec<u8>)> = newer
        .all_files()
        .into_iter()
        .filter(|(path, _)| path.starts_with("/rustup/"))
        .map(|(path, bytes)| (path, bytes.to_vec()))
        .collect();
    bench.dist.fault("/rustup/release-stable.toml", [Fault::PublishAfter(files)]);
    let plan = bench.fetch(&[minimal_stable()]).unwrap();
    assert_matches_upstream(&bench, &plan);
    assert!(plan_has(&plan, &format!("rustup/archive/9.9.10/{LINUX}/rustup-init")));
    assert!(plan.files.keys().all(|path| !path.as_str().contains("9.9.9/")));
    assert_eq!(bench.dist.request_count("/rustup/release-stable.toml"), 2);
}

#[test]
fn inconsistent_rustup_versions_are_refused() {
    let bench = DownloadFixture::new();
    bench.dist.put_file(&format!("/rustup/dist/{LINUX}/rustup-init.sha256"), Sha256::of(b"other").to_string());
    assert_failure(bench.plan(&[minimal_stable()]), 4, "have different digests");
    assert_eq!(bench.dist.request_count("/rustup/release-stable.toml"), 4);
    bench.dist.remove_file(&format!("/rustup/dist/{LINUX}/rustup-init.sha256"));
    assert_failure(bench.plan(&[minimal_stable()]), 4, "does not exist, although rustup 9.9.9 is the current version");
    // For a host that rustup was never built for, Rust is carried all the same.
    bench.dist.remove_file(&format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init.sha256"));
    let plan = bench.fetch(&[minimal_stable()]).unwrap();
    assert!(plan.files.keys().all(|path| !path.as_str().starts_with("rustup/")));
    assert!(bench.events.warnings().concat().contains(&format!("rustup-init for {LINUX}")));
    assert_eq!(fetch_with(&bench.offline_downloader(), &[minimal_stable()]).unwrap(), plan);
    bench.dist.remove_file("/rustup/release-stable.toml");
    assert_failure(bench.plan(&[minimal_stable()]), 5, "/rustup/release-stable.toml does not exist");
}
