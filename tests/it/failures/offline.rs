//! The other side of the gap: bundles, the mirror, the server, a client's configuration.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use frostmirror::event::NullSink;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};

use super::{assert_failure, check_failure};
use crate::support::forged_bundle::{pack_to_path, sample_crates};
use crate::support::sandbox::Sandbox;

/// A machine with a good bundle, `good.pkg`.
fn machine_with_bundle() -> (Sandbox, Vec<u8>) {
    let sandbox = Sandbox::new();
    let bytes = fs::read(pack_to_path(&sample_crates(), &sandbox.path(""))).unwrap();
    sandbox.write("good.pkg", &bytes);
    (sandbox, bytes)
}

#[test]
fn bundle_failures() {
    let (sandbox, bytes) = machine_with_bundle();
    fs::create_dir(sandbox.path("empty")).unwrap();
    let mut flipped = bytes.clone();
    let middle = bytes.len() - 3000;
    flipped[middle] ^= 1;
    let mut head = bytes.clone();
    head[100] ^= 1;
    let mut future = bytes.clone();
    // The format's number stands behind the magic.
    let place = frostmirror::bundle::format::MAGIC.len();
    future[place] = 9;
    let future = crate::support::forged_bundle::fix_header_checksum(future);
    sandbox.write("flipped.pkg", &flipped);
    sandbox.write("head.pkg", &head);
    sandbox.write("cut.pkg", &bytes[..bytes.len() - 3000]);
    sandbox.write("future.pkg", &future);
    sandbox.write("photo.pkg", [0xff, 0xd8, 0xff, 0xe0].repeat(100));
    sandbox.write("nothing.pkg", "");
    for verb in ["verify", "inspect", "import"] {
        let fails = |what: &str, code: i32, file: &str| {
            assert_failure(&sandbox, &format!("{verb}-{what}"), code, &[verb, file])
        };
        fails("missing", 3, "stick/20260402-2130-crates.pkg");
        fails("head", 4, "head.pkg");
        fails("future", 4, "future.pkg");
        fails("photo", 4, "photo.pkg");
        fails("empty-file", 4, "nothing.pkg");
        fails("folder", 3, "empty");
        if verb != "inspect" {
            fails("cut", 4, "cut.pkg");
            fails("flipped", 4, "flipped.pkg");
        }
    }
    assert_failure(&sandbox, "verify-several", 4, &["verify", "good.pkg", "flipped.pkg", "head.pkg"]);
}

#[test]
fn mirror_failures() {
    let (sandbox, _) = machine_with_bundle();
    let layout = Layout::new(sandbox.path("mirror"));
    assert_failure(
        &sandbox,
        "import-base-url",
        3,
        &["import", "good.pkg", "--mirror", "mirror", "--base-url", "mirror.example"],
    );
    sandbox.write("taken", "a file");
    assert_failure(&sandbox, "import-mirror-is-a-file", 3, &["import", "good.pkg", "--mirror", "taken"]);
    let nowhere = ["import", "good.pkg", "--mirror", "/proc/frostmirror"];
    assert_failure(&sandbox, "import-mirror-cannot-be-created", 7, &nowhere);
    assert_failure(&sandbox, "setup-local-no-mirror", 3, &["setup", "--local", "--mirror", "mirror"]);
    sandbox.run(["import", "good.pkg", "--mirror", "mirror"]).ok();
    let me = Holder { pid: 4711, host: "elsewhere".into(), verb: "gc".into(), since: "2026-01-01T00:00:00Z".into() };
    let guard = lock_for_adding(&layout, Duration::ZERO, &me, &NullSink).unwrap();
    assert_failure(&sandbox, "import-locked", 6, &["import", "good.pkg", "--mirror", "mirror", "--lock-timeout", "0"]);
    drop(guard);
    for path in layout.ledger().read_dir().unwrap().map(|entry| entry.unwrap().path()).chain([layout.summary()]) {
        fs::write(path, "{\"imported\":").unwrap();
    }
    assert_failure(&sandbox, "status-records-damaged", 4, &["status", "--mirror", "mirror"]);
    for (name, page) in [("damaged", "{\"format\":"), ("newer", "{\"layout\": 9, \"tool\": \"7.0.0\"}")] {
        fs::write(layout.format(), page).unwrap();
        assert_failure(&sandbox, &format!("import-mirror-{name}"), 4, &["import", "good.pkg", "--mirror", "mirror"]);
        assert_failure(&sandbox, &format!("status-mirror-{name}"), 4, &["status", "--mirror", "mirror"]);
        let serving = sandbox.serve(["--mirror", "mirror"]);
        let log = serving.stop().stderr;
        assert!(log.contains("; the stored files are served, but nothing is imported; "), "{log}");
        let way_out = match name {
            "damaged" => "verify --mirror",
            _ => "use cargo-frostmirror 7.0.0 or later",
        };
        assert!(log.contains(way_out), "{log}");
    }
    // As on a full disk: files cannot grow.
    let args = ["import", "good.pkg", "--mirror", "full"];
    let limited = format!("trap '' XFSZ; ulimit -f 1; exec '{}' {}", crate::support::sandbox::BINARY, args.join(" "));
    let process = crate::support::process::Process::new("sh", &sandbox.path(""))
        .envs([("FROSTMIRROR_HOME", sandbox.frostmirror_home())])
        .args(["-c", &limited]);
    check_failure(&sandbox, "import-full", 7, &args, process);
}

#[test]
fn serve_and_setup_failures() {
    let (sandbox, _) = machine_with_bundle();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_failure(&sandbox, "serve-port-in-use", 3, &["serve", "--bind", &address]);
    assert_failure(&sandbox, "up-port-in-use", 3, &["up", "--bind", &address]);
    assert_failure(&sandbox, "serve-bind", 3, &["serve", "--bind", "8080"]);
    assert_failure(&sandbox, "serve-bind-elsewhere", 3, &["serve", "--bind", "192.0.2.1:80"]);
    assert_failure(&sandbox, "serve-base-url", 3, &["serve", "--bind", "127.0.0.1:0", "--base-url", "http://a b"]);
    assert_failure(&sandbox, "setup-url", 3, &["setup", "--url", "localhost:8080"]);
    assert_failure(&sandbox, "setup-ca-missing", 3, &["setup", "--ca", "ca.pem"]);
    fs::write(sandbox.cargo_home().join("config.toml"), "[http\n").unwrap();
    assert_failure(&sandbox, "setup-config-broken", 3, &["setup", "--write"]);
    assert_failure(&sandbox, "up-nothing-here", 3, &["up", "--bind", "127.0.0.1:0"]);
    let lock = "version = 4\n\n[[package]]\nname = \"zebra\"\nversion = \"1.0.0\"\nsource = \"git+https://example.com/zebra#0123456789abcdef0123456789abcdef01234567\"\n";
    sandbox.write("git.lock", lock);
    fs::remove_file(sandbox.cargo_home().join("config.toml")).unwrap();
    assert_failure(&sandbox, "up-lock-git", 3, &["up", "--bind", "127.0.0.1:0", "--lockfile", "git.lock"]);
    assert_failure(&sandbox, "unknown-verb", 2, &["fetsh"]);
    assert_failure(&sandbox, "unknown-flag", 2, &["fetch", "--lockfiles", "a"]);
}
