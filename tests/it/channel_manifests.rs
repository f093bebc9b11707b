//! Real channel manifests, read and selected from: for every host, every target and every profile.
//!
//! The fixtures are what rustup keeps of a manifest in `lib/rustlib` of a toolchain: upstream's words in its own
//! order, without the table `artifacts`; compressed by brotli.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use frostmirror::toolchain::{
    ChannelManifest, HOSTS, Profile, SelectError, Selection, SelectionRequest, ToolchainName, UnavailableComponent,
    select,
};
use proptest::prelude::*;

use crate::support::process::sysroot;

static STABLE: LazyLock<Vec<u8>> = LazyLock::new(|| fixture("1.95.0"));
static NIGHTLY: LazyLock<Vec<u8>> = LazyLock::new(|| fixture("nightly-2026-05-20"));

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/channel").join(format!("{name}.toml.br"));
    let mut bytes = Vec::new();
    brotli::BrotliDecompress(&mut fs::read(path).unwrap().as_slice(), &mut bytes).unwrap();
    bytes
}

fn stable() -> ChannelManifest {
    ChannelManifest::parse(&STABLE).unwrap()
}

fn selection_request(targets: &[&str], profile: Profile, components: &[&str]) -> SelectionRequest {
    let owned = |args: &[&str]| args.iter().map(|word| (*word).to_owned()).collect();
    SelectionRequest { targets: owned(targets), profile, components: owned(components) }
}

/// As rustup names them in a toolchain's list of components.
fn component_names(selection: &Selection) -> BTreeSet<String> {
    let name = |package: &str, target: &str| match target {
        "*" => package.to_owned(),
        target => format!("{package}-{target}"),
    };
    selection.components.iter().map(|component| name(&component.package, &component.target)).collect()
}

fn selected_packages(selection: &Selection) -> Vec<&str> {
    let mut packages: Vec<&str> = selection.components.iter().map(|component| component.package.as_str()).collect();
    packages.sort_unstable();
    packages
}

fn unavailable_packages(selection: &Selection) -> Vec<&str> {
    selection.unavailable.iter().map(|skipped| skipped.component.as_str()).collect()
}

fn standard_library_targets(manifest: &ChannelManifest) -> Vec<&str> {
    manifest.packages()["rust-std"].targets.keys().map(String::as_str).collect()
}

#[test]
fn a_real_manifest_is_parsed() {
    let stable = stable();
    assert_eq!((stable.release_version(), stable.date().to_string().as_str()), (Some("1.95.0"), "2026-04-16"));
    let nightly = ChannelManifest::parse(&NIGHTLY).unwrap();
    assert_eq!(
        (nightly.release_version(), nightly.date().to_string().as_str()),
        (Some("1.97.0-nightly"), "2026-05-20")
    );
    for manifest in [&stable, &nightly] {
        let hosts: Vec<&str> = manifest.packages()["rust"].targets.keys().map(String::as_str).collect();
        assert_eq!(hosts, HOSTS);
        assert!(standard_library_targets(manifest).len() > 100);
        // All in the release's own folder.
        let folder = format!("dist/{}", manifest.date());
        let files = manifest.files();
        assert!(files.len() > 1000, "{}", files.len());
        assert!(files.keys().all(|path| path.strip_prefix(&folder).is_some_and(|name| !name.contains('/'))));
    }
}

#[test]
fn each_host_gets_the_components_of_its_profile() {
    let stable = stable();
    for host in HOSTS {
        let windows_gnu = host.contains("-windows-gnu");
        let mut expected = vec!["cargo", "rust-std", "rustc"];
        expected.extend(windows_gnu.then_some("rust-mingw"));
        let mut check = |profile, more: &[&'static str]| {
            let selection = select(&stable, &selection_request(&[host], profile, &[])).unwrap();
            expected.extend(more);
            expected.sort_unstable();
            assert_eq!(selected_packages(&selection), expected, "{host} {profile}");
            assert_eq!(
                (selection.hosts.as_slice(), selection.cross_targets.len()),
                ([(*host).to_owned()].as_slice(), 0)
            );
            selection
        };
        assert_eq!(check(Profile::Minimal, &[]).unavailable, []);
        assert_eq!(check(Profile::Default, &["rust-docs", "rustfmt-preview", "clippy-preview"]).unavailable, []);
        // Upstream builds no LLVM tools for this one.
        let ohos = *host == "aarch64-unknown-linux-ohos";
        let mut more = vec!["rust-analyzer-preview", "rust-src", "rust-analysis"];
        more.extend((!ohos).then_some("llvm-tools-preview"));
        let complete = check(Profile::Complete, &more);
        let mut left_out = Vec::from_iter(ohos.then_some("llvm-tools-preview"));
        left_out.extend(["miri-preview", "rustc-codegen-cranelift-preview"]);
        assert_eq!(unavailable_packages(&complete), left_out, "{host}");
    }
}

#[test]
fn each_target_gets_only_its_standard_library() {
    let stable = stable();
    let targets = standard_library_targets(&stable);
    let mut without = Vec::new();
    for target in targets.iter().filter(|target| !HOSTS.contains(target)) {
        for profile in Profile::ALL {
            let selection = select(&stable, &selection_request(&[target], profile, &["rust-src", "clippy"])).unwrap();
            assert_eq!(
                (selection.hosts.len(), selection.cross_targets.as_slice()),
                (0, [(*target).to_owned()].as_slice())
            );
            if selection.components.is_empty() {
                assert_eq!(unavailable_packages(&selection), ["rust-std"]);
                without.push(*target);
            } else {
                let expected = format!("rust-std-{target}");
                assert_eq!(
                    (component_names(&selection), selection.unavailable),
                    (BTreeSet::from([expected]), Vec::new())
                );
            }
        }
    }
    without.dedup();
    assert_eq!((targets.len(), without.len()), (114, 6), "{without:?}");
}

#[test]
fn all_hosts_and_targets_can_be_selected_at_once() {
    let stable = stable();
    let targets = standard_library_targets(&stable);
    for (profile, files, left_out) in [
        (Profile::Minimal, 32 + 32 + 4 + 108, 6),
        (Profile::Default, 176 + 2 * 32 + 12, 6),
        (Profile::Complete, 348, 71),
    ] {
        let selection = select(&stable, &selection_request(&targets, profile, &[])).unwrap();
        assert_eq!((selection.components.len(), selection.unavailable.len()), (files, left_out), "{profile}");
        assert_eq!((selection.hosts.len(), selection.cross_targets.len()), (32, 82));
        assert!(selection.components.is_sorted_by(|a, b| a.path < b.path));
        for component in &selection.components {
            // Twenty hosts have the documentation of another, which is one file for all of them.
            if component.package == "rust-docs" {
                assert!(component.path.as_str().starts_with("dist/2026-04-16/rust-docs-1.95.0-"));
                continue;
            }
            // File names have no `-preview`, and those of `*` no target.
            let package = component.package.trim_end_matches("-preview");
            let expected = match component.target.as_str() {
                "*" => format!("dist/2026-04-16/{package}-1.95.0.tar.xz"),
                target => format!("dist/2026-04-16/{package}-1.95.0-{target}.tar.xz"),
            };
            assert_eq!(component.path.as_str(), expected);
        }
    }
    let extras = ["clippy", "rust-src", "llvm-tools", "rust-analyzer", "miri", "rustc-dev", "rust-mingw"];
    for manifest in [&stable, &ChannelManifest::parse(&NIGHTLY).unwrap()] {
        let targets = standard_library_targets(manifest);
        for profile in Profile::ALL {
            let plain = component_names(&select(manifest, &selection_request(&targets, profile, &[])).unwrap());
            let more = select(manifest, &selection_request(&targets, profile, &extras)).unwrap();
            assert!(component_names(&more).is_superset(&plain));
            assert!(
                component_names(&more).contains("rust-src")
                    && component_names(&more).contains("clippy-preview-x86_64-apple-darwin")
            );
            // Known, but for four hosts only.
            assert_eq!(more.unavailable.iter().filter(|skipped| skipped.component == "rust-mingw").count(), 28);
        }
    }
}

#[test]
fn each_host_gets_rust_std_for_each_listed_target() {
    let targets = ["x86_64-unknown-linux-gnu", "wasm32-unknown-unknown", "x86_64-pc-windows-gnu", "wasm32-wasip1"];
    let selection = select(&stable(), &selection_request(&targets, Profile::Minimal, &["rust-src", "miri"])).unwrap();
    let expected = [
        "cargo-x86_64-pc-windows-gnu",
        "cargo-x86_64-unknown-linux-gnu",
        "rust-mingw-x86_64-pc-windows-gnu",
        "rust-src",
        "rust-std-wasm32-unknown-unknown",
        "rust-std-wasm32-wasip1",
        "rust-std-x86_64-pc-windows-gnu",
        "rust-std-x86_64-unknown-linux-gnu",
        "rustc-x86_64-pc-windows-gnu",
        "rustc-x86_64-unknown-linux-gnu",
    ];
    assert_eq!(component_names(&selection), expected.map(str::to_owned).into());
    let miri = |target: &str| UnavailableComponent { component: "miri-preview".to_owned(), target: target.to_owned() };
    assert_eq!(selection.unavailable, [miri("x86_64-pc-windows-gnu"), miri("x86_64-unknown-linux-gnu")]);
    assert_eq!(selection.hosts, ["x86_64-pc-windows-gnu", "x86_64-unknown-linux-gnu"]);
    assert_eq!(selection.cross_targets, ["wasm32-unknown-unknown", "wasm32-wasip1"]);
}

#[test]
fn a_mistyped_name_is_refused_with_the_nearest_one() {
    let stable = stable();
    for (wrong, right) in [
        ("x86_64-unknown-linux-gun", Some("x86_64-unknown-linux-gnu")),
        ("X86_64-PC-Windows-MSVC", Some("x86_64-pc-windows-msvc")),
        ("x86-64-unknown-linux-musl", Some("x86_64-unknown-linux-musl")),
        ("wasm32-unknown-unknwon", Some("wasm32-unknown-unknown")),
        ("z80", None),
    ] {
        let error =
            select(&stable, &selection_request(&["x86_64-apple-darwin", wrong], Profile::Minimal, &[])).unwrap_err();
        assert_eq!(error.to_string(), format!("Rust 1.95.0 has no target `{wrong}`"));
        let SelectError::UnknownTriple { suggestion: near, .. } = error else { panic!("{error:?}") };
        assert_eq!(near.as_deref(), right);
    }
    for (wrong, right) in [
        ("clipy", Some("clippy")),
        ("rust-scr", Some("rust-src")),
        ("rustfmt-prview", Some("rustfmt-preview")),
        ("x", None),
    ] {
        let error =
            select(&stable, &selection_request(&["x86_64-apple-darwin"], Profile::Minimal, &[wrong])).unwrap_err();
        let SelectError::UnknownComponent { suggestion: near, .. } = error else { panic!("{error:?}") };
        assert_eq!(near.as_deref(), right);
    }
}

#[test]
fn a_manifest_has_alias_paths() {
    let aliases = |manifest: &ChannelManifest, name: &str| {
        let toolchain: ToolchainName = name.parse().unwrap();
        let paths: Vec<String> = manifest.alias_paths(&toolchain).into_iter().map(String::from).collect();
        paths.iter().map(|path| path.strip_prefix("dist/").unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (long, short) = ("channel-rust-1.95.0.toml", "channel-rust-1.95.toml");
    let dated = "2026-04-16/channel-rust-stable.toml";
    let stable = stable();
    assert_eq!(aliases(&stable, "stable"), [long, short, dated]);
    assert_eq!(aliases(&stable, "stable-2026-04-16"), [long, short]);
    assert_eq!(aliases(&stable, "1.95"), [long, dated]);
    assert_eq!(aliases(&stable, "1.95.0"), [short, dated]);
    let nightly = ChannelManifest::parse(&NIGHTLY).unwrap();
    assert_eq!(aliases(&nightly, "nightly"), ["2026-05-20/channel-rust-nightly.toml"]);
    assert_eq!(aliases(&nightly, "nightly-2026-05-20"), [""; 0]);
}

/// What rustup wrote down as installed is what would have been selected, for every toolchain of this machine.
#[test]
#[ignore = "needs rustup"]
fn the_selection_matches_what_rustup_installs() {
    let rustlib = |toolchain: &Path| toolchain.join("lib/rustlib");
    let folder = sysroot().parent().unwrap();
    let toolchains: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let installed = toolchains.iter().filter(|path| rustlib(path).join("multirust-channel-manifest.toml").is_file());
    let mut tried = 0;
    for toolchain in installed {
        let name = toolchain.file_name().unwrap().to_str().unwrap();
        let Some(host) = HOSTS.iter().find(|host| name.ends_with(*host)) else { continue };
        let bytes = fs::read(rustlib(toolchain).join("multirust-channel-manifest.toml")).unwrap();
        let manifest = ChannelManifest::parse(&bytes).unwrap();
        let listed = fs::read_to_string(rustlib(toolchain).join("components")).unwrap();
        let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
        let of = |profile, targets: &[&str], extras: &[&str]| {
            component_names(&select(&manifest, &selection_request(targets, profile, extras)).unwrap())
        };
        // The largest profile that is all there; what is beyond it was added by name.
        let profile = Profile::ALL.into_iter().rev().find(|profile| of(*profile, &[host], &[]).is_subset(&listed));
        let profile = profile.unwrap_or_else(|| panic!("{name} has less than the minimal profile: {listed:?}"));
        let plain = of(profile, &[host], &[]);
        let (mut targets, mut extras) = (vec![*host], Vec::new());
        for added in listed.difference(&plain) {
            match added.strip_prefix("rust-std-") {
                Some(target) => targets.push(target),
                None => extras.push(added.strip_suffix(host).map_or(added.as_str(), |name| name.trim_end_matches('-'))),
            }
        }
        assert_eq!(of(profile, &targets, &extras), listed, "{name}");
        tried += 1;
    }
    assert!(tried > 0, "no toolchain of rustup is in {}", folder.display());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Damaged in one place, a manifest is refused or means something else; it never makes a panic.
    #[test]
    fn a_corrupt_manifest_never_panics(at in 0usize..1_000_000, cut in 0usize..100, junk in "\\PC{0,8}|[\\[\\]\".=\n*]{0,8}") {
        let mut bytes = STABLE.clone();
        let at = at.min(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, junk.bytes());
        if let Ok(manifest) = ChannelManifest::parse(&bytes) {
            let targets = [&["wasm32-unknown-unknown"], HOSTS].concat();
            if let Ok(selection) = select(&manifest, &selection_request(&targets, Profile::Complete, &[])) {
                prop_assert!(selection.components.iter().all(|one| one.path.as_str().starts_with("dist/")));
            }
        }
    }
}
