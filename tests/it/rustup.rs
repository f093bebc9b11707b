//! The real rustup with our fake upstream, with a mirror that we serve, with the same mirror on disk, and by our scripts.

mod bootstrap;
mod imported;
pub mod user_workflow;

use std::fs;

use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, LINUX, NIGHTLY, OLD_STABLE, RUSTUP, STABLE, WASM};
use crate::support::http_client::{get, send_request};
use crate::support::rustup::{self, Rustup};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::{Fault, Upstream};

/// A sandbox whose `mirror` has what upstream has, with rustup in the version of this machine.
fn mirror_of_upstream() -> (Sandbox, DistServer) {
    let version = rustup::local_version();
    let (sandbox, dist) = (Sandbox::new(), DistServer::start());
    dist.publish_rustup(&version, &[LINUX], &rustup::local_binary());
    dist.write_to(&sandbox.path("mirror"));
    (sandbox, dist)
}

#[test]
#[ignore = "needs rustup"]
fn rustup_installs_from_the_fake_upstream() {
    let dist = DistServer::start();
    let rustup = Rustup::for_mirror(dist.url());
    dist.publish_rustup(&rustup::local_version(), &[LINUX], b"never asked for");
    rustup.init(["--default-toolchain", "stable"]).ok().stderr_lacks("missing parent");
    rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
    rustup.run(["toolchain", "install", "1.86", "--profile", "default", "-t", WASM, "-c", "rust-src"]).ok();
    assert!(rustup.toolchain("1.86").join("lib/rustlib/src/rust/library/std/src/lib.rs").is_file());
    rustup.run(["toolchain", "install", &format!("nightly-{}", NIGHTLY.1), "-c", "miri"]).ok();
    let archives = |ending: &str| dist.requests().iter().filter(|seen| seen.path.ends_with(ending)).count();
    assert!(archives(".tar.xz") > 10 && archives(".tar.gz") == 0, "rustup prefers xz");
    // What is marked unavailable is refused by its name, and old archives are gzipped alone.
    rustup.run(["component", "add", "miri"]).exits(1).stderr_has("'miri'").stderr_has("unavailable");
    dist.publish(&Release::stable("1.20.0", "2017-08-31").gz_only());
    rustup.run(["toolchain", "install", "1.20.0", "--no-self-update"]).ok();
    assert!(archives(".tar.gz") > 2);
}

#[test]
#[ignore = "needs rustup"]
fn the_fake_upstream_supports_ranges_and_faults() {
    let dist = DistServer::with_builder(Upstream::builder());
    let release = Release::stable(STABLE.0, STABLE.1).with_extra_bytes(300_000);
    let built = dist.publish(&release);
    let path = release.archive_path("rustc", LINUX, "xz");
    let archive = &built.files[&path];
    let url = format!("{}{path}", dist.url());
    let range = |from: usize| send_request("GET", &url, &[("Range", &format!("bytes={from}-"))]);

    let rest = range(100_000);
    assert_eq!((rest.status, &rest.body[..]), (206, &archive[100_000..]));
    assert!(rest.head.contains(&format!("content-range: bytes 100000-{}/{}", archive.len() - 1, archive.len())));
    assert_eq!(range(archive.len()).status, 416);
    assert_eq!(dist.requests_to(&path)[0].header("range"), Some("bytes=100000-"));
    dist.fault(&path, [Fault::IgnoreRange, Fault::Truncated(1000), Fault::WrongBytes, Fault::Status(404)]);
    let whole = range(100_000);
    assert_eq!((whole.status, whole.body.len()), (200, archive.len()));
    assert_eq!(get(&url).body, archive[..1000]);
    assert!(get(&url).body.iter().zip(archive).all(|(wrong, right)| wrong != right));
    assert_eq!(get(&url).status, 404);

    // Between two requests upstream publishes: the digest is of the old manifest, the manifest is a new one.
    let stable = format!("{}/dist/channel-rust-stable.toml", dist.url());
    let was = get(&format!("{stable}.sha256")).body;
    dist.publish_after("/dist/channel-rust-stable.toml.sha256", &Release::stable("1.96.0", "2026-05-28"));
    assert_eq!(get(&format!("{stable}.sha256")).body, was);
    assert!(String::from_utf8(get(&stable).body).unwrap().contains("1.96.0"));
    assert_ne!(get(&format!("{stable}.sha256")).body, was);
    let rustup = Rustup::for_mirror(dist.url());
    dist.fault_always("/dist/channel-rust-stable.toml.sha256", Fault::Body(was));
    rustup.init(["--default-toolchain", "stable"]).exits(1);
}

#[test]
#[ignore = "needs rustup"]
fn rustup_needs_only_a_served_mirror() {
    let (sandbox, dist) = mirror_of_upstream();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    user_workflow::exercise_rustup(serving.url());
    // A slash at the end of the variable makes two of one in every request.
    let mut rustup = Rustup::for_mirror(serving.url());
    rustup.env("RUSTUP_DIST_SERVER", &format!("{}/", serving.url()));
    rustup.env("RUSTUP_UPDATE_ROOT", &format!("{}//rustup/", serving.url()));
    rustup.init(["--default-toolchain", OLD_STABLE.0]).ok();
    rustup.run(["update"]).ok();
    user_workflow::update_to_new_release(&rustup, &dist, |dist| dist.write_to(&sandbox.path("mirror")));
}

#[test]
#[ignore = "needs rustup"]
fn rustup_installs_from_a_mirror_on_disk() {
    let (sandbox, dist) = mirror_of_upstream();
    let odd = sandbox.path("Jo's größter mirror 100%");
    fs::rename(sandbox.path("mirror"), &odd).unwrap();
    fs::create_dir_all(odd.join("index")).unwrap();
    fs::create_dir_all(odd.join("crates")).unwrap();
    std::os::unix::fs::symlink("../index", odd.join("crates/index")).unwrap();
    // Exactly what setup prints is what a person would paste.
    let page = sandbox.run(["setup", "--local", "--mirror", odd.to_str().unwrap()]).ok().stdout;
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name}: {page}")).trim_matches('\'').to_owned()
    };
    let base = value("export RUSTUP_DIST_SERVER=");
    assert!(base.starts_with("file:///") && base.ends_with("/Jo%27s%20gr%C3%B6%C3%9Fter%20mirror%20100%25"), "{base}");
    assert_eq!(value("export RUSTUP_UPDATE_ROOT="), format!("{base}/rustup"));
    assert_eq!(value("export RUSTUP_BACKTRACK_LIMIT="), "1");
    user_workflow::exercise_rustup(&base);
    let rustup = Rustup::for_mirror(&base);
    rustup.init(["--default-toolchain", "stable"]).ok();
    user_workflow::update_to_new_release(&rustup, &dist, |dist| dist.write_to(&odd));
}

#[test]
#[ignore = "needs rustup"]
fn rustup_does_not_search_older_nightlies_for_a_missing_component() {
    let dist = DistServer::start();
    let rustup = Rustup::for_mirror(dist.url());
    dist.publish_rustup(&rustup::local_version(), &[LINUX], b"never asked for");
    rustup.init(["--default-toolchain", "none"]).ok();
    dist.publish(&Release::nightly("1.97.0-nightly", "2026-05-01").unavailable("clippy-preview", LINUX));
    dist.clear_log();
    rustup.run(["toolchain", "install", "nightly", "-c", "clippy"]).exits(1).stderr_has("clippy");
    // Without the limit that our scripts set it asks for every day since 2014.
    assert!(dist.requests().len() < 10, "{} requests", dist.requests().len());
}

#[test]
fn only_toolchain_files_are_served_and_with_ranges() {
    let (sandbox, dist) = (Sandbox::new(), DistServer::start());
    dist.write_to(&sandbox.path("mirror"));
    sandbox.write("mirror/.frostmirror/ledger/x", "secret");
    sandbox.write("mirror/notes/x", "secret");
    sandbox.write("beside", "secret");
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let url = |path: &str| format!("{}{path}", serving.url());
    let release = Release::stable(STABLE.0, STABLE.1);
    for path in [
        release.archive_path("rustc", LINUX, "xz"),
        release.archive_path("rust-src", "*", "gz"),
        "/dist/channel-rust-stable.toml".to_owned(),
        "/dist/channel-rust-1.95.toml.sha256".to_owned(),
        "/dist/channel-rust-stable.toml.asc".to_owned(),
        "/rustup/release-stable.toml".to_owned(),
        format!("/rustup/archive/{RUSTUP}/{LINUX}/rustup-init"),
        "/rustup/dist/x86_64-pc-windows-msvc/rustup-init.exe.sha256".to_owned(),
    ] {
        let right = dist.file(&path).unwrap_or_else(|| panic!("{path}"));
        for spelled in [path.clone(), format!("/{path}"), path.replace('/', "//")] {
            assert_eq!(get(&url(&spelled)).body, right, "{spelled}");
        }
        let head = send_request("HEAD", &url(&path), &[]);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert!(head.head.contains(&format!("content-length: {}", right.len())), "{}", head.head);
        let part = send_request("GET", &url(&path), &[("Range", "bytes=7-")]);
        assert_eq!((part.status, &part.body[..]), (206, &right[7..]), "{path}");
    }
    for path in [
        "/dist",
        "/dist/",
        "/dist/2026-04-16/",
        "/rustup/dist/",
        "/dist/channel-rust-1.20.0.toml.sha256",
        "/dist/../.frostmirror/ledger/x",
        "/dist/%2e%2e/.frostmirror/ledger/x",
        "/dist/..%2f..%2fbeside",
        "/dist//%2fetc/passwd",
        "/.frostmirror/ledger/x",
        "/notes/x",
        "/rustup/../../beside",
    ] {
        assert_eq!(get(&url(path)).status, 404, "{path}");
    }
}
