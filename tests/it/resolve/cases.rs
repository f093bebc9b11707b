//! Cases of resolution.

use frostmirror::fetch::resolve::{Input, SkipPolicy};

use super::resolver_fixture::{ResolverFixture, crate_names};
use crate::support::crates::Crate;
use crate::support::process::write_program;
use crate::support::upstream::{Fault, Upstream};

const LOCK_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn lock_package(name: &str, version: &str, cksum: &str) -> String {
    format!(
        "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{LOCK_SOURCE}\"\nchecksum = \"{cksum}\"\n\n"
    )
}

/// As crates.io has serde: the derive macro is optional, and newer versions have a part of their own.
fn publish_serde(upstream: &Upstream) {
    for version in ["1.0.100", "1.0.185"] {
        upstream.publish(
            Crate::new("serde", version)
                .dep("serde_derive", &format!("={version}"))
                .optional()
                .feature("derive", &["serde_derive"]),
        );
        upstream.publish(Crate::new("serde_derive", version));
    }
    upstream.publish(
        Crate::new("serde", "1.0.228")
            .dep("serde_core", "=1.0.228")
            .dep("serde_derive", "^1")
            .optional()
            .feature("derive", &["serde_derive"]),
    );
    upstream.publish_all(&[("serde_core", "1.0.228"), ("serde_derive", "1.0.228")]);
}

#[test]
fn an_unpinned_entry_also_locks_the_newest_version() {
    let upstream = Upstream::start();
    publish_serde(&upstream);
    upstream.publish(Crate::new("user", "1.0.0").dep("serde", "^1"));
    let fixture = ResolverFixture::new(&upstream);
    // Together, `user` gets the pinned one; alone it must get what cargo would lock online.
    let found = fixture.resolved_names("[dependencies]\nserde = \"=1.0.100\"\nuser = \"1\"\n");
    assert_eq!(found, ["serde 1.0.100", "serde 1.0.228", "serde_core 1.0.228", "user 1.0.0"]);
}

#[test]
fn a_feature_missing_in_another_pass_does_not_fail_the_resolution() {
    let upstream = Upstream::start();
    publish_serde(&upstream);
    let fixture = ResolverFixture::new(&upstream);
    let found = fixture.resolved_names("[dependencies]\nserde = \"=1.0.100\"\n[dependencies.2]\nserde = { version = \"1\", features = [\"derive\"] }\n");
    let expected = ["serde 1.0.100", "serde 1.0.228", "serde_core 1.0.228", "serde_derive 1.0.228"];
    assert_eq!(found, expected);
}

#[test]
fn every_array_alternative_is_resolved_with_the_other_entries() {
    let upstream = Upstream::start();
    publish_serde(&upstream);
    upstream.publish_all(&[("old", "1.0.0"), ("old", "1.5.0")]);
    upstream.publish(Crate::new("with-old", "1.0.0").dep("serde", ">=1.0.100, <1.0.200"));
    let fixture = ResolverFixture::new(&upstream);
    let found = fixture
        .resolved_names("[dependencies]\nold = \"1\"\nserde = [\"=1.0.100\", \"=1.0.185\", \"1\"]\nwith-old = \"1\"\n");
    for id in ["serde 1.0.100", "serde 1.0.185", "serde 1.0.228", "old 1.5.0", "with-old 1.0.0"] {
        assert!(found.contains(&id.to_owned()), "{id}: {found:?}");
    }
    assert!(!found.contains(&"old 1.0.0".to_owned()));
    assert!(
        fixture.events.text().contains("Conflict [dependencies]: the versions of one crate"),
        "{}",
        fixture.events.text()
    );
}

#[test]
fn overlapping_array_alternatives_are_each_resolved_with_the_other_entries() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("a", "1.5.0"), ("a", "1.9.0")]);
    // Alone it takes a 1.9.0 and b 2.0.0; beside `<=1.5.0` a 1.5.0, which the whole, with `=1.0.0` too, never sees.
    for (version, needs) in [("1.0.0", "=1.0.0"), ("1.5.0", "<=1.5.0"), ("2.0.0", "=1.9.0")] {
        upstream.publish(Crate::new("b", version).dep("a", needs));
    }
    let fixture = ResolverFixture::new(&upstream);
    let found = fixture.resolved_names("[dependencies]\na = [\"=1.0.0\", \"<=1.5.0\"]\nb = \">=1\"\n");
    assert_eq!(found, ["a 1.0.0", "a 1.5.0", "a 1.9.0", "b 1.5.0", "b 2.0.0"]);
    assert_eq!(fixture.events.text(), "");
}

#[test]
fn compatible_versions_of_one_crate_do_not_conflict() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("syn", "1.0.0"), ("syn", "2.0.0")]);
    let fixture = ResolverFixture::new(&upstream);
    assert_eq!(fixture.resolved_names("[dependencies]\nsyn = [\"1\", \"2\"]\n"), ["syn 1.0.0", "syn 2.0.0"]);
    assert_eq!(fixture.events.text(), "");
}

#[test]
fn a_conflicting_entry_is_resolved_separately_and_named() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("native", "0.1.0").links("z"));
    upstream.publish(Crate::new("native", "0.2.0").links("z"));
    upstream.publish(Crate::new("first", "1.0.0").dep("native", "^0.1").dep("shared", "^1"));
    upstream.publish(Crate::new("second", "1.0.0").dep("native", "^0.2").dep("shared", "=1.0.0"));
    upstream.publish_all(&[("shared", "1.0.0"), ("shared", "1.1.0"), ("third", "1.0.0")]);
    let fixture = ResolverFixture::new(&upstream);
    let inputs = [fixture.depends_input("[dependencies]\nfirst = \"1\"\nsecond = \"1\"\nthird = \"1\"\n")];
    let resolved = fixture.resolve(&inputs).unwrap();
    assert_eq!(
        crate_names(&resolved),
        ["first 1.0.0", "native 0.1.0", "native 0.2.0", "second 1.0.0", "shared 1.0.0", "shared 1.1.0", "third 1.0.0"]
    );
    assert_eq!(resolved.conflicting_entries.len(), 1);
    assert!(
        ["first = \"1\"", "second = \"1\""].contains(&resolved.conflicting_entries[0].as_str()),
        "{:?}",
        resolved.conflicting_entries
    );
    let text = fixture.events.text();
    assert!(
        text.contains(&format!(
            "Conflict [dependencies]: `{}` was resolved separately",
            resolved.conflicting_entries[0]
        )),
        "{text}"
    );
}

#[test]
fn groups_are_resolved_separately() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("a", "1.5.0")]);
    upstream.publish(Crate::new("b", "1.0.0").dep("a", "^1"));
    let fixture = ResolverFixture::new(&upstream);
    let found =
        fixture.resolved_names("[dependencies]\na = \"=1.0.0\"\n\n[dependencies.2]\na = \"=1.5.0\"\nb = \"1\"\n");
    assert_eq!(found, ["a 1.0.0", "a 1.5.0", "b 1.0.0"]);
    assert_eq!(fixture.events.text(), "");
}

#[test]
fn crates_of_every_platform_and_feature_in_the_lock_are_included() {
    let upstream = Upstream::start();
    upstream.publish(
        Crate::new("Mid", "1.0.0+build.5")
            .dep("win", "^1")
            .target("cfg(windows)")
            .dep("builder", "^1")
            .kind("build")
            .dep("tests", "^1")
            .kind("dev")
            .dep("never", "^1")
            .optional()
            .dep("weak", "^1")
            .optional()
            .dep("new-name", "^1")
            .package("Old_Name")
            .feature("default", &["weak?/std"])
            .feature("never", &["dep:never"]),
    );
    upstream.publish(Crate::new("weak", "1.0.0").feature("std", &[]));
    upstream.publish_all(&[("win", "1.0.0"), ("builder", "1.0.0"), ("tests", "1.0.0"), ("never", "1.0.0")]);
    upstream.publish_all(&[("Old_Name", "1.0.0"), ("yanked-too", "1.0.0")]);
    upstream.publish(Crate::new("yanked-too", "1.1.0").yanked());
    let fixture = ResolverFixture::new(&upstream);
    let found =
        fixture.resolved_names("[dependencies]\nmid = { package = \"Mid\", version = \"1\" }\nyanked-too = \"1\"\n");
    let expected =
        ["Mid 1.0.0+build.5", "Old_Name 1.0.0", "builder 1.0.0", "weak 1.0.0", "win 1.0.0", "yanked-too 1.0.0"];
    assert_eq!(found, expected);
    let with = fixture.resolved_names(
        "[dependencies]\nMid = { version = \"1\", features = [\"never\"], default-features = false }\n",
    );
    assert_eq!(with, ["Mid 1.0.0+build.5", "Old_Name 1.0.0", "builder 1.0.0", "never 1.0.0", "win 1.0.0"]);
}

#[test]
fn index_files_are_fetched_once_for_all_passes_and_then_revalidated() {
    let upstream = Upstream::start();
    for layer in 0..6 {
        let next = format!("layer{}", layer + 1);
        upstream.publish(Crate::new(&format!("layer{layer}"), "1.0.0").dep(&next, "^1").dep("shared", "^1"));
    }
    upstream.publish_all(&[("layer6", "1.0.0"), ("shared", "1.0.0")]);
    let fixture = ResolverFixture::new(&upstream);
    let text: String = (0..6).map(|layer| format!("layer{layer} = \"1\"\n")).collect();
    let depends = format!("[dependencies]\n{text}");
    assert_eq!(fixture.resolved_names(&depends).len(), 8);
    let mut paths: Vec<String> = upstream.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths.len(), 9, "{paths:?}");
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 9, "{paths:?}");

    upstream.clear_log();
    assert_eq!(fixture.resolved_names(&depends).len(), 8);
    let again = upstream.requests();
    assert_eq!(again.len(), 9);
    for seen in again.iter().filter(|seen| !seen.path.ends_with("config.json")) {
        assert_eq!((seen.status, seen.header("if-none-match").is_some()), (304, true), "{}", seen.path);
    }
}

#[test]
fn an_upstream_failure_is_reported_with_its_cause() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("top", "1.0.0").dep("below", "^1"));
    upstream.publish_all(&[("below", "1.0.0")]);
    upstream.fault_always("/index/be/lo/below", Fault::Status(500));
    let fixture = ResolverFixture::new(&upstream);
    let message = fixture.failure_text(&[fixture.depends_input("[dependencies]\ntop = \"1\"\nbelow = \"1\"\n")]);
    assert!(message.starts_with("5: could not read the index"), "{message}");
    assert!(message.contains("`below`") && message.contains("HTTP 500"), "{message}");
    assert!(!message.contains("no matching package"), "{message}");
    // One answer a run, however many passes asked: first try and one retry.
    assert_eq!(upstream.request_count("/index/be/lo/below"), 2);
    upstream.clear_faults();
    assert_eq!(fixture.resolved_names("[dependencies]\ntop = \"1\"\n").len(), 2);
}

#[test]
fn cargos_message_names_the_unresolvable_crate_without_internal_paths() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0").feature("real", &[]));
    upstream.publish(Crate::new("b", "1.0.0").dep("gone", "^1"));
    let fixture = ResolverFixture::new(&upstream);
    let text = "[dependencies]\na = { version = \"1\", features = [\"unreal\"] }\nb = \"1\"\nnope = \"1\"\n\n[dependencies.7]\na = \"9\"\n";
    let message = fixture.failure_text(&[fixture.depends_input(text)]);
    assert!(message.starts_with("3: `a` has no feature `unreal`\n --> /project/depends.toml:2:34\n"), "{message}");
    for expected in [
        "features = [\"unreal\"] }\n  |                                  ^^^^^^^^\n",
        "error: no matching package named `gone` found\n --> /project/depends.toml:3:5\n",
        "error: no matching package named `nope` found\n --> /project/depends.toml:4:1\n",
        "error: failed to select a version for the requirement `a = \"^9\"`\n --> /project/depends.toml:7:5\n",
    ] {
        assert!(message.contains(expected), "{expected}\n---\n{message}");
    }
    for ours in ["127.0.0.1", "frostmirror-", "/tmp", "Updating"] {
        assert!(!message.contains(ours), "{ours}\n---\n{message}");
    }
}

#[test]
fn locked_versions_are_used_unchanged() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("syn", "1.0.109").dep("not-asked", "^1"));
    upstream.publish(Crate::new("syn", "2.0.90").yanked());
    let fixture = ResolverFixture::new(&upstream);
    let found = fixture.resolved_names("[locked]\nsyn = [\"1.0.109\", \"2.0.90\"]\n");
    assert_eq!(found, ["syn 1.0.109", "syn 2.0.90"]);
    let message = fixture.failure_text(&[fixture.depends_input("[locked]\nsyn = \"1.0.110\"\nnope = \"1.0.0\"\n")]);
    assert!(message.starts_with("3: "), "{message}");
    assert!(message.contains("no syn 1.0.110") && message.contains("it has 2.0.90, 1.0.109"), "{message}");
    assert!(message.contains("no nope 1.0.0") && message.contains("does not have the crate"), "{message}");
}

#[test]
fn a_lockfile_is_used_exactly_and_its_checksums_must_match_the_index() {
    let upstream = Upstream::start();
    let old = upstream.publish(Crate::new("a", "1.0.0").dep("b", "^1").yanked());
    upstream.publish(Crate::new("a", "1.1.0"));
    let b = upstream.publish(Crate::new("b", "1.0.0+x"));
    let fixture = ResolverFixture::new(&upstream);
    for version in [3, 4] {
        let text = format!(
            "version = {version}\n\n{}{}",
            lock_package("a", "1.0.0", &old.cksum),
            lock_package("b", "1.0.0+x", &b.cksum)
        );
        let resolved = fixture.resolve(&[fixture.lock_input(&text)]).unwrap();
        assert_eq!(crate_names(&resolved), ["a 1.0.0", "b 1.0.0+x"]);
        assert_eq!(resolved.inputs[0].id.to_string(), "project (Cargo.lock)");
        assert_eq!(resolved.inputs[0].ids.len(), 2);
    }
    let wrong = format!("version = 4\n\n{}", lock_package("a", "1.0.0", &b.cksum));
    let message = fixture.failure_text(&[fixture.lock_input(&wrong)]);
    assert!(message.starts_with("4: "), "{message}");
    assert!(message.contains(&old.cksum) && message.contains(&b.cksum) && message.contains("a 1.0.0"), "{message}");
}

#[test]
fn packages_from_other_sources_are_named_and_not_requested() {
    let upstream = Upstream::start();
    let a = upstream.publish(Crate::new("a", "1.0.0"));
    let of_git = upstream.publish(Crate::new("of-git", "1.0.0"));
    upstream.publish(Crate::new("of-corp", "1.0.0"));
    let text = format!(
        "version = 4\n\n{}\
         [[package]]\nname = \"of-corp\"\nversion = \"1.0.0\"\nsource = \"sparse+https://corp.invalid/index/\"\nchecksum = \"{}\"\n\n\
         [[package]]\nname = \"of-git\"\nversion = \"1.0.0\"\nsource = \"git+https://corp.invalid/r?branch=main#{}\"\n",
        lock_package("a", "1.0.0", &a.cksum),
        of_git.cksum,
        "0".repeat(40)
    );
    let mut fixture = ResolverFixture::new(&upstream);
    let message = fixture.failure_text(&[fixture.lock_input(&text)]);
    assert!(
        message.starts_with("3: ") && message.contains("of-git 1.0.0") && message.contains("of-corp 1.0.0"),
        "{message}"
    );
    fixture.skip.git = true;
    let reported = fixture.failure_text(&[fixture.lock_input(&text)]);
    assert!(!reported.contains("of-git 1.0.0") && reported.contains("of-corp 1.0.0"), "{reported}");
    fixture.skip = SkipPolicy { git: true, registries: vec!["sparse+https://corp.invalid/index".to_owned()] };
    assert_eq!(crate_names(&fixture.resolve(&[fixture.lock_input(&text)]).unwrap()), ["a 1.0.0"]);
    let warnings = fixture.events.text();
    assert!(warnings.contains("of-git 1.0.0") && warnings.contains("of-corp 1.0.0"), "{warnings}");
    assert_eq!(upstream.request_count("/index/of/-g/of-git") + upstream.request_count("/index/of/-c/of-corp"), 0);
}

#[test]
fn offline_resolution_uses_the_cache_and_never_claims_a_crate_is_missing() {
    let upstream = Upstream::start();
    publish_serde(&upstream);
    let mut fixture = ResolverFixture::new(&upstream);
    let plain = "[dependencies]\nserde = \"=1.0.100\"\n";
    assert_eq!(fixture.resolved_names(plain), ["serde 1.0.100"]);
    upstream.clear_log();
    fixture.offline = true;
    assert_eq!(fixture.resolved_names(plain), ["serde 1.0.100"]);
    // The newest needs a name that was never fetched: cargo must not fall back to 1.0.185.
    let message = fixture.failure_text(&[fixture.depends_input("[dependencies]\nserde = \"1\"\n")]);
    assert!(
        message.starts_with("5: ") && message.contains("`serde_core`") && message.contains("--offline"),
        "{message}"
    );
    assert!(upstream.requests().is_empty());
}

#[test]
fn user_proxies_and_cargo_settings_do_not_reach_the_child_cargo() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let mut fixture = ResolverFixture::new(&upstream);
    for name in ["http_proxy", "https_proxy", "ALL_PROXY", "CARGO_HTTP_PROXY"] {
        fixture = fixture.env(name, "http://127.0.0.1:9");
    }
    for (name, value) in [
        ("CARGO_NET_OFFLINE", "true"),
        ("CARGO_HOME", "/nowhere"),
        ("CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "git"),
        ("RUSTFLAGS", "--nonsense"),
    ] {
        fixture = fixture.env(name, value);
    }
    assert_eq!(fixture.resolved_names("[dependencies]\na = \"1\"\n"), ["a 1.0.0"]);
}

#[test]
fn the_token_is_sent_with_every_request_to_its_registry() {
    let upstream = Upstream::builder().token("secret-token").start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let fixture = ResolverFixture::new(&upstream).token("secret-token");
    assert_eq!(fixture.resolved_names("[dependencies]\na = \"1\"\n"), ["a 1.0.0"]);
    let tokens: Vec<bool> =
        upstream.requests().iter().map(|seen| seen.header("authorization") == Some("secret-token")).collect();
    assert_eq!(tokens, [false, true, true], "the first request for config.json has no token, as with cargo");

    let without = ResolverFixture::new(&upstream);
    let message = without.failure_text(&[without.depends_input("[dependencies]\na = \"1\"\n")]);
    assert!(message.starts_with("5: ") && message.contains("CARGO_REGISTRIES_NAME_TOKEN"), "{message}");
}

#[test]
fn rust_version_is_respected_as_in_the_users_cargo() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0").rust_version("1.56"));
    upstream.publish(Crate::new("a", "1.1.0").rust_version("1.999"));
    let depends = "[dependencies]\na = \"1\"\n";
    assert_eq!(ResolverFixture::new(&upstream).resolved_names(depends), ["a 1.0.0"]);
    let allowing = ResolverFixture::new(&upstream).env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "allow");
    assert_eq!(allowing.resolved_names(depends), ["a 1.1.0"]);
}

#[test]
fn a_missing_or_old_cargo_is_reported_with_a_hint() {
    let upstream = Upstream::start();
    let fixture = ResolverFixture::new(&upstream).env("CARGO", "/nowhere/cargo");
    let message = fixture.failure_text(&[]);
    assert!(
        message.starts_with("3: ") && message.contains("/nowhere/cargo") && message.contains("rustup"),
        "{message}"
    );
    #[cfg(unix)]
    {
        let old = fixture.path("cargo-of-old");
        write_program(&old, b"#!/bin/sh\necho 'cargo 1.60.0 (d1fd9fe 2022-03-01)'\n");
        let fixture = fixture.env("CARGO", old.to_str().unwrap());
        let reported = fixture.failure_text(&[]);
        assert!(
            reported.starts_with("3: ") && reported.contains("1.60.0") && reported.contains("1.70.0"),
            "{reported}"
        );
    }
}

#[test]
fn a_crate_is_resolved_freshly_and_with_its_own_lock() {
    let upstream = Upstream::start();
    let old = upstream.publish(Crate::new("lib", "1.0.0"));
    upstream.publish(Crate::new("lib", "1.1.0"));
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"tool\"\nversion = \"2.0.0\"\ndependencies = [\"lib\"]\n\n{}\n\
         dependencies = [\"of-git\"]\n\n[[package]]\nname = \"of-git\"\nversion = \"1.0.0\"\nsource = \"git+https://corp.invalid/r#{}\"\n",
        lock_package("lib", "1.0.0", &old.cksum).trim_end(),
        "0".repeat(40)
    );
    upstream.publish(Crate::new("tool", "2.0.0").dep("lib", "^1").bin("fn main() {}").with_lockfile(&lock));
    upstream.publish(Crate::new("tool", "3.0.0").bin("fn main() {}"));
    let fixture = ResolverFixture::new(&upstream);
    let inputs = [Input::Crate("tool@2".parse().unwrap())];
    let resolved = fixture.resolve(&inputs).unwrap();
    assert_eq!(crate_names(&resolved), ["lib 1.0.0", "lib 1.1.0", "tool 2.0.0"]);
    assert_eq!(resolved.inputs[0].id.to_string(), "--crate tool@2");
    assert!(fixture.events.text().contains("warning: left out: of-git 1.0.0"), "{}", fixture.events.text());

    let message = fixture.failure_text(&[Input::Crate("tool@9".parse().unwrap())]);
    assert!(message.starts_with("3: ") && message.contains("`tool@9` (--crate tool@9)"), "{message}");
}

#[test]
fn invalid_index_lines_are_skipped_as_in_cargo() {
    let upstream = Upstream::start();
    // The newest version needs a crate that is gone from the registry: cargo says so rather than going back.
    upstream.publish(Crate::new("odd", "1.0.0"));
    let text = format!("garbage\n\n{}\n{{\"vers\":1}}\n", upstream.index_text("odd").trim());
    upstream.set_index("3/o/odd", &text);
    let fixture = ResolverFixture::new(&upstream);
    assert_eq!(fixture.resolved_names("[dependencies]\nodd = \"1\"\n"), ["odd 1.0.0"]);
}

#[test]
fn versions_for_a_pinned_toolchain_are_included_beside_the_newest() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("tool", "1.0.0").rust_version("1.40"));
    upstream.publish(Crate::new("tool", "1.1.0").rust_version("1.60"));
    upstream.publish(Crate::new("tool", "1.2.0").rust_version("1.80"));
    let fixture = ResolverFixture::new(&upstream);
    let depends = "[dependencies]\ntool = \"1\"\n";
    assert_eq!(fixture.resolved_names(depends), ["tool 1.2.0"]);
    let pinned =
        |toolchains: &str| fixture.resolved_names(&format!("{depends}[platforms]\ntoolchain = {toolchains}\n"));
    assert_eq!(pinned("\"stable\""), ["tool 1.2.0"]);
    assert_eq!(pinned("[\"1.86\", \"1.70.0\", \"stable\"]"), ["tool 1.1.0", "tool 1.2.0"]);
    // Editions that these know not are no obstacle.
    assert_eq!(pinned("\"1.50.0\""), ["tool 1.0.0", "tool 1.2.0"]);
    assert_eq!(pinned("\"1.30.0\""), ["tool 1.2.0"]);
}
