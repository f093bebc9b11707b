//! Cases of resolution.

use frostmirror::gather::resolve::{Input, Skip};

use super::workshop::{Workshop, names};
use crate::support::crates::Crate;
use crate::support::run::write_program;
use crate::support::upstream::{Fault, Upstream};

const LOCK_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn package(name: &str, version: &str, cksum: &str) -> String {
    format!(
        "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"{LOCK_SOURCE}\"\nchecksum = \"{cksum}\"\n\n"
    )
}

/// As crates.io has serde: the derive macro is optional, and newer versions have a part of their own.
fn serde(upstream: &Upstream) {
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
fn an_entry_alone_locks_the_newest_whatever_the_others_pinned() {
    let upstream = Upstream::start();
    serde(&upstream);
    upstream.publish(Crate::new("user", "1.0.0").dep("serde", "^1"));
    let shop = Workshop::new(&upstream);
    // Together, `user` gets the pinned one; alone it must get what cargo would lock online.
    let found = shop.names("[dependencies]\nserde = \"=1.0.100\"\nuser = \"1\"\n");
    assert_eq!(found, ["serde 1.0.100", "serde 1.0.228", "serde_core 1.0.228", "user 1.0.0"]);
}

#[test]
fn a_feature_that_another_pass_did_not_ask_for_is_no_false_failure() {
    let upstream = Upstream::start();
    serde(&upstream);
    let shop = Workshop::new(&upstream);
    let found = shop.names("[dependencies]\nserde = \"=1.0.100\"\n[dependencies.2]\nserde = { version = \"1\", features = [\"derive\"] }\n");
    let expected = ["serde 1.0.100", "serde 1.0.228", "serde_core 1.0.228", "serde_derive 1.0.228"];
    assert_eq!(found, expected);
}

#[test]
fn every_alternative_of_an_array_is_there_and_each_was_combined_with_the_rest() {
    let upstream = Upstream::start();
    serde(&upstream);
    upstream.publish_all(&[("old", "1.0.0"), ("old", "1.5.0")]);
    upstream.publish(Crate::new("with-old", "1.0.0").dep("serde", ">=1.0.100, <1.0.200"));
    let shop = Workshop::new(&upstream);
    let found =
        shop.names("[dependencies]\nold = \"1\"\nserde = [\"=1.0.100\", \"=1.0.185\", \"1\"]\nwith-old = \"1\"\n");
    for id in ["serde 1.0.100", "serde 1.0.185", "serde 1.0.228", "old 1.5.0", "with-old 1.0.0"] {
        assert!(found.contains(&id.to_owned()), "{id}: {found:?}");
    }
    assert!(!found.contains(&"old 1.0.0".to_owned()));
    assert!(
        shop.events.text().contains("Conflict [dependencies]: the versions of one crate"),
        "{}",
        shop.events.text()
    );
}

#[test]
fn elements_that_one_version_satisfies_are_still_combined_with_the_rest_one_at_a_time() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("a", "1.5.0"), ("a", "1.9.0")]);
    // Alone it takes a 1.9.0 and b 2.0.0; beside `<=1.5.0` a 1.5.0, which the whole, with `=1.0.0` too, never sees.
    for (version, needs) in [("1.0.0", "=1.0.0"), ("1.5.0", "<=1.5.0"), ("2.0.0", "=1.9.0")] {
        upstream.publish(Crate::new("b", version).dep("a", needs));
    }
    let shop = Workshop::new(&upstream);
    let found = shop.names("[dependencies]\na = [\"=1.0.0\", \"<=1.5.0\"]\nb = \">=1\"\n");
    assert_eq!(found, ["a 1.0.0", "a 1.5.0", "a 1.9.0", "b 1.5.0", "b 2.0.0"]);
    assert_eq!(shop.events.text(), "");
}

#[test]
fn versions_of_one_crate_that_can_live_together_are_no_conflict() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("syn", "1.0.0"), ("syn", "2.0.0")]);
    let shop = Workshop::new(&upstream);
    assert_eq!(shop.names("[dependencies]\nsyn = [\"1\", \"2\"]\n"), ["syn 1.0.0", "syn 2.0.0"]);
    assert_eq!(shop.events.text(), "");
}

#[test]
fn an_entry_that_conflicts_is_resolved_apart_and_named() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("native", "0.1.0").links("z"));
    upstream.publish(Crate::new("native", "0.2.0").links("z"));
    upstream.publish(Crate::new("first", "1.0.0").dep("native", "^0.1").dep("shared", "^1"));
    upstream.publish(Crate::new("second", "1.0.0").dep("native", "^0.2").dep("shared", "=1.0.0"));
    upstream.publish_all(&[("shared", "1.0.0"), ("shared", "1.1.0"), ("third", "1.0.0")]);
    let shop = Workshop::new(&upstream);
    let inputs = [shop.depends("[dependencies]\nfirst = \"1\"\nsecond = \"1\"\nthird = \"1\"\n")];
    let resolved = shop.resolve(&inputs).unwrap();
    assert_eq!(
        names(&resolved),
        ["first 1.0.0", "native 0.1.0", "native 0.2.0", "second 1.0.0", "shared 1.0.0", "shared 1.1.0", "third 1.0.0"]
    );
    assert_eq!(resolved.left_out.len(), 1);
    assert!(["first = \"1\"", "second = \"1\""].contains(&resolved.left_out[0].as_str()), "{:?}", resolved.left_out);
    let text = shop.events.text();
    assert!(
        text.contains(&format!("Conflict [dependencies]: `{}` was resolved apart", resolved.left_out[0])),
        "{text}"
    );
}

#[test]
fn groups_are_resolved_apart_from_each_other() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0"), ("a", "1.5.0")]);
    upstream.publish(Crate::new("b", "1.0.0").dep("a", "^1"));
    let shop = Workshop::new(&upstream);
    let found = shop.names("[dependencies]\na = \"=1.0.0\"\n\n[dependencies.2]\na = \"=1.5.0\"\nb = \"1\"\n");
    assert_eq!(found, ["a 1.0.0", "a 1.5.0", "b 1.0.0"]);
    assert_eq!(shop.events.text(), "");
}

#[test]
fn what_cargo_locks_lands_whatever_platform_or_feature_it_is_for() {
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
    let shop = Workshop::new(&upstream);
    let found = shop.names("[dependencies]\nmid = { package = \"Mid\", version = \"1\" }\nyanked-too = \"1\"\n");
    let expected =
        ["Mid 1.0.0+build.5", "Old_Name 1.0.0", "builder 1.0.0", "weak 1.0.0", "win 1.0.0", "yanked-too 1.0.0"];
    assert_eq!(found, expected);
    let with =
        shop.names("[dependencies]\nMid = { version = \"1\", features = [\"never\"], default-features = false }\n");
    assert_eq!(with, ["Mid 1.0.0+build.5", "Old_Name 1.0.0", "builder 1.0.0", "never 1.0.0", "win 1.0.0"]);
}

#[test]
fn each_upstream_file_is_fetched_once_for_all_passes_and_then_conditionally() {
    let upstream = Upstream::start();
    for layer in 0..6 {
        let next = format!("layer{}", layer + 1);
        upstream.publish(Crate::new(&format!("layer{layer}"), "1.0.0").dep(&next, "^1").dep("shared", "^1"));
    }
    upstream.publish_all(&[("layer6", "1.0.0"), ("shared", "1.0.0")]);
    let shop = Workshop::new(&upstream);
    let text: String = (0..6).map(|layer| format!("layer{layer} = \"1\"\n")).collect();
    let depends = format!("[dependencies]\n{text}");
    assert_eq!(shop.names(&depends).len(), 8);
    let mut paths: Vec<String> = upstream.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths.len(), 9, "{paths:?}");
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 9, "{paths:?}");

    upstream.clear_log();
    assert_eq!(shop.names(&depends).len(), 8);
    let again = upstream.requests();
    assert_eq!(again.len(), 9);
    for seen in again.iter().filter(|seen| !seen.path.ends_with("config.json")) {
        assert_eq!((seen.status, seen.header("if-none-match").is_some()), (304, true), "{}", seen.path);
    }
}

#[test]
fn upstreams_failure_is_told_as_what_it_is() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("top", "1.0.0").dep("below", "^1"));
    upstream.publish_all(&[("below", "1.0.0")]);
    upstream.always("/index/be/lo/below", Fault::Status(500));
    let shop = Workshop::new(&upstream);
    let told = shop.failure(&[shop.depends("[dependencies]\ntop = \"1\"\nbelow = \"1\"\n")]);
    assert!(told.starts_with("5: could not read the index"), "{told}");
    assert!(told.contains("`below`") && told.contains("HTTP 500"), "{told}");
    assert!(!told.contains("no matching package"), "{told}");
    // One answer a run, however many passes asked: first try and one retry.
    assert_eq!(upstream.count("/index/be/lo/below"), 2);
    upstream.heal();
    assert_eq!(shop.names("[dependencies]\ntop = \"1\"\n").len(), 2);
}

#[test]
fn cargos_own_words_name_what_cannot_be_resolved_and_nothing_of_ours() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0").feature("real", &[]));
    upstream.publish(Crate::new("b", "1.0.0").dep("gone", "^1"));
    let shop = Workshop::new(&upstream);
    let text = "[dependencies]\na = { version = \"1\", features = [\"unreal\"] }\nb = \"1\"\nnope = \"1\"\n\n[dependencies.7]\na = \"9\"\n";
    let told = shop.failure(&[shop.depends(text)]);
    assert!(told.starts_with("3: could not resolve"), "{told}");
    for said in [
        "`a = { version = \"1\", features = [\"unreal\"] }` ([dependencies] in `/project/depends.toml`) cannot be resolved",
        "feature `unreal`",
        "`b = \"1\"`",
        "no matching package named `gone` found",
        "no matching package named `nope` found",
        "`a = \"9\"` ([dependencies.7] in",
    ] {
        assert!(told.contains(said), "{said}\n---\n{told}");
    }
    for ours in ["127.0.0.1", "frostmirror-", "/tmp", "Updating"] {
        assert!(!told.contains(ours), "{ours}\n---\n{told}");
    }
}

#[test]
fn locked_versions_are_taken_as_they_stand() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("syn", "1.0.109").dep("not-asked", "^1"));
    upstream.publish(Crate::new("syn", "2.0.90").yanked());
    let shop = Workshop::new(&upstream);
    let found = shop.names("[locked]\nsyn = [\"1.0.109\", \"2.0.90\"]\n");
    assert_eq!(found, ["syn 1.0.109", "syn 2.0.90"]);
    let told = shop.failure(&[shop.depends("[locked]\nsyn = \"1.0.110\"\nnope = \"1.0.0\"\n")]);
    assert!(told.starts_with("3: "), "{told}");
    assert!(told.contains("no syn 1.0.110") && told.contains("it has 2.0.90, 1.0.109"), "{told}");
    assert!(told.contains("no nope 1.0.0") && told.contains("does not know the crate"), "{told}");
}

#[test]
fn a_lockfile_is_taken_exactly_and_its_checksums_must_be_the_indexs() {
    let upstream = Upstream::start();
    let old = upstream.publish(Crate::new("a", "1.0.0").dep("b", "^1").yanked());
    upstream.publish(Crate::new("a", "1.1.0"));
    let b = upstream.publish(Crate::new("b", "1.0.0+x"));
    let shop = Workshop::new(&upstream);
    for version in [3, 4] {
        let text = format!(
            "version = {version}\n\n{}{}",
            package("a", "1.0.0", &old.cksum),
            package("b", "1.0.0+x", &b.cksum)
        );
        let resolved = shop.resolve(&[shop.lock(&text)]).unwrap();
        assert_eq!(names(&resolved), ["a 1.0.0", "b 1.0.0+x"]);
        assert_eq!(resolved.inputs[0].id.to_string(), "project (Cargo.lock)");
        assert_eq!(resolved.inputs[0].ids.len(), 2);
    }
    let wrong = format!("version = 4\n\n{}", package("a", "1.0.0", &b.cksum));
    let told = shop.failure(&[shop.lock(&wrong)]);
    assert!(told.starts_with("4: "), "{told}");
    assert!(told.contains(&old.cksum) && told.contains(&b.cksum) && told.contains("a 1.0.0"), "{told}");
}

#[test]
fn packages_of_elsewhere_are_named_and_never_looked_for_here() {
    let upstream = Upstream::start();
    let a = upstream.publish(Crate::new("a", "1.0.0"));
    let of_git = upstream.publish(Crate::new("of-git", "1.0.0"));
    upstream.publish(Crate::new("of-corp", "1.0.0"));
    let text = format!(
        "version = 4\n\n{}\
         [[package]]\nname = \"of-corp\"\nversion = \"1.0.0\"\nsource = \"sparse+https://corp.invalid/index/\"\nchecksum = \"{}\"\n\n\
         [[package]]\nname = \"of-git\"\nversion = \"1.0.0\"\nsource = \"git+https://corp.invalid/r?branch=main#{}\"\n",
        package("a", "1.0.0", &a.cksum),
        of_git.cksum,
        "0".repeat(40)
    );
    let mut shop = Workshop::new(&upstream);
    let told = shop.failure(&[shop.lock(&text)]);
    assert!(told.starts_with("3: ") && told.contains("of-git 1.0.0") && told.contains("of-corp 1.0.0"), "{told}");
    shop.skip.git = true;
    let told = shop.failure(&[shop.lock(&text)]);
    assert!(!told.contains("of-git 1.0.0") && told.contains("of-corp 1.0.0"), "{told}");
    shop.skip = Skip { git: true, registries: vec!["sparse+https://corp.invalid/index".to_owned()] };
    assert_eq!(names(&shop.resolve(&[shop.lock(&text)]).unwrap()), ["a 1.0.0"]);
    let warnings = shop.events.text();
    assert!(warnings.contains("of-git 1.0.0") && warnings.contains("of-corp 1.0.0"), "{warnings}");
    assert_eq!(upstream.count("/index/of/-g/of-git") + upstream.count("/index/of/-c/of-corp"), 0);
}

#[test]
fn without_network_the_cache_decides_and_an_unknown_name_is_never_called_absent() {
    let upstream = Upstream::start();
    serde(&upstream);
    let mut shop = Workshop::new(&upstream);
    let plain = "[dependencies]\nserde = \"=1.0.100\"\n";
    assert_eq!(shop.names(plain), ["serde 1.0.100"]);
    upstream.clear_log();
    shop.offline = true;
    assert_eq!(shop.names(plain), ["serde 1.0.100"]);
    // The newest needs a name that was never fetched: cargo must not fall back to 1.0.185.
    let told = shop.failure(&[shop.depends("[dependencies]\nserde = \"1\"\n")]);
    assert!(told.starts_with("5: ") && told.contains("`serde_core`") && told.contains("--offline"), "{told}");
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_proxy_of_the_users_and_their_cargo_settings_do_not_reach_the_child() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let mut shop = Workshop::new(&upstream);
    for name in ["http_proxy", "https_proxy", "ALL_PROXY", "CARGO_HTTP_PROXY"] {
        shop = shop.env(name, "http://127.0.0.1:9");
    }
    for (name, value) in [
        ("CARGO_NET_OFFLINE", "true"),
        ("CARGO_HOME", "/nowhere"),
        ("CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "git"),
        ("RUSTFLAGS", "--nonsense"),
    ] {
        shop = shop.env(name, value);
    }
    assert_eq!(shop.names("[dependencies]\na = \"1\"\n"), ["a 1.0.0"]);
}

#[test]
fn the_token_goes_to_every_request_of_a_registry_that_wants_it() {
    let upstream = Upstream::builder().token("secret-token").start();
    upstream.publish_all(&[("a", "1.0.0")]);
    let shop = Workshop::new(&upstream).token("secret-token");
    assert_eq!(shop.names("[dependencies]\na = \"1\"\n"), ["a 1.0.0"]);
    let tokens: Vec<bool> =
        upstream.requests().iter().map(|seen| seen.header("authorization") == Some("secret-token")).collect();
    assert_eq!(tokens, [false, true, true], "config.json is asked for without it first, as cargo does");

    let without = Workshop::new(&upstream);
    let told = without.failure(&[without.depends("[dependencies]\na = \"1\"\n")]);
    assert!(told.starts_with("5: ") && told.contains("CARGO_REGISTRIES_NAME_TOKEN"), "{told}");
}

#[test]
fn versions_for_a_newer_compiler_are_taken_as_the_users_cargo_takes_them() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("a", "1.0.0").rust_version("1.56"));
    upstream.publish(Crate::new("a", "1.1.0").rust_version("1.999"));
    let depends = "[dependencies]\na = \"1\"\n";
    assert_eq!(Workshop::new(&upstream).names(depends), ["a 1.0.0"]);
    let allowing = Workshop::new(&upstream).env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "allow");
    assert_eq!(allowing.names(depends), ["a 1.1.0"]);
}

#[test]
fn a_missing_or_old_cargo_is_told_with_what_to_do() {
    let upstream = Upstream::start();
    let shop = Workshop::new(&upstream).env("CARGO", "/nowhere/cargo");
    let told = shop.failure(&[]);
    assert!(told.starts_with("3: ") && told.contains("/nowhere/cargo") && told.contains("rustup"), "{told}");
    #[cfg(unix)]
    {
        let old = shop.path("cargo-of-old");
        write_program(&old, b"#!/bin/sh\necho 'cargo 1.60.0 (d1fd9fe 2022-03-01)'\n");
        let shop = shop.env("CARGO", old.to_str().unwrap());
        let told = shop.failure(&[]);
        assert!(told.starts_with("3: ") && told.contains("1.60.0") && told.contains("1.70.0"), "{told}");
    }
}

#[test]
fn a_crate_brings_its_fresh_resolution_and_the_lock_inside_it() {
    let upstream = Upstream::start();
    let old = upstream.publish(Crate::new("lib", "1.0.0"));
    upstream.publish(Crate::new("lib", "1.1.0"));
    let lock = format!(
        "version = 4\n\n[[package]]\nname = \"tool\"\nversion = \"2.0.0\"\ndependencies = [\"lib\"]\n\n{}\n\
         dependencies = [\"of-git\"]\n\n[[package]]\nname = \"of-git\"\nversion = \"1.0.0\"\nsource = \"git+https://corp.invalid/r#{}\"\n",
        package("lib", "1.0.0", &old.cksum).trim_end(),
        "0".repeat(40)
    );
    upstream.publish(Crate::new("tool", "2.0.0").dep("lib", "^1").bin("fn main() {}").with_lockfile(&lock));
    upstream.publish(Crate::new("tool", "3.0.0").bin("fn main() {}"));
    let shop = Workshop::new(&upstream);
    let inputs = [Input::Crate("tool@2".parse().unwrap())];
    let resolved = shop.resolve(&inputs).unwrap();
    assert_eq!(names(&resolved), ["lib 1.0.0", "lib 1.1.0", "tool 2.0.0"]);
    assert_eq!(resolved.inputs[0].id.to_string(), "--crate tool@2");
    assert!(shop.events.text().contains("warning: left out: of-git 1.0.0"), "{}", shop.events.text());

    let told = shop.failure(&[Input::Crate("tool@9".parse().unwrap())]);
    assert!(told.starts_with("3: ") && told.contains("`tool@9` (--crate tool@9)"), "{told}");
}

#[test]
fn odd_lines_and_absent_crates_are_as_cargo_has_them() {
    let upstream = Upstream::start();
    // The newest version needs a crate that is gone from the registry: cargo says so rather than going back.
    upstream.publish(Crate::new("odd", "1.0.0"));
    let text = format!("garbage\n\n{}\n{{\"vers\":1}}\n", upstream.index_text("odd").trim());
    upstream.set_index("3/o/odd", &text);
    let shop = Workshop::new(&upstream);
    assert_eq!(shop.names("[dependencies]\nodd = \"1\"\n"), ["odd 1.0.0"]);
}

#[test]
fn what_a_pinned_compiler_can_build_comes_beside_the_newest() {
    let upstream = Upstream::start();
    upstream.publish(Crate::new("tool", "1.0.0").rust_version("1.40"));
    upstream.publish(Crate::new("tool", "1.1.0").rust_version("1.60"));
    upstream.publish(Crate::new("tool", "1.2.0").rust_version("1.80"));
    let shop = Workshop::new(&upstream);
    let depends = "[dependencies]\ntool = \"1\"\n";
    assert_eq!(shop.names(depends), ["tool 1.2.0"]);
    let pinned = |toolchains: &str| shop.names(&format!("{depends}[platforms]\ntoolchain = {toolchains}\n"));
    assert_eq!(pinned("\"stable\""), ["tool 1.2.0"]);
    assert_eq!(pinned("[\"1.86\", \"1.70.0\", \"stable\"]"), ["tool 1.1.0", "tool 1.2.0"]);
    // Editions that these know not are no obstacle.
    assert_eq!(pinned("\"1.50.0\""), ["tool 1.0.0", "tool 1.2.0"]);
    assert_eq!(pinned("\"1.30.0\""), ["tool 1.2.0"]);
}
