//! The other side of the gap: bundles, the mirror, the server, a client's configuration.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use frostmirror::event::Silent;
use frostmirror::mirror::layout::Layout;
use frostmirror::mirror::lock::{Holder, lock_for_adding};

use super::{check, fails};
use crate::support::forge::{packed, some_crates};
use crate::support::sandbox::Sandbox;

/// A machine with a good bundle, `good.pkg`.
fn machine() -> (Sandbox, Vec<u8>) {
    let sandbox = Sandbox::new();
    let bytes = fs::read(packed(&some_crates(), &sandbox.path(""))).unwrap();
    sandbox.write("good.pkg", &bytes);
    (sandbox, bytes)
}

#[test]
fn bundles() {
    let (sandbox, bytes) = machine();
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
    let future = crate::support::forge::reseal(future);
    sandbox.write("flipped.pkg", &flipped);
    sandbox.write("head.pkg", &head);
    sandbox.write("cut.pkg", &bytes[..bytes.len() - 3000]);
    sandbox.write("future.pkg", &future);
    sandbox.write("photo.pkg", [0xff, 0xd8, 0xff, 0xe0].repeat(100));
    sandbox.write("nothing.pkg", "");
    for verb in ["verify", "inspect", "import"] {
        let fails = |what: &str, code: i32, file: &str| fails(&sandbox, &format!("{verb}-{what}"), code, &[verb, file]);
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
    fails(&sandbox, "verify-several", 4, &["verify", "good.pkg", "flipped.pkg", "head.pkg"]);
}

#[test]
fn the_mirror() {
    let (sandbox, _) = machine();
    let layout = Layout::new(sandbox.path("mirror"));
    fails(
        &sandbox,
        "import-base-url",
        3,
        &["import", "good.pkg", "--mirror", "mirror", "--base-url", "mirror.example"],
    );
    sandbox.write("taken", "a file");
    fails(&sandbox, "import-mirror-is-a-file", 3, &["import", "good.pkg", "--mirror", "taken"]);
    fails(&sandbox, "setup-local-no-mirror", 3, &["setup", "--local", "--mirror", "mirror"]);
    sandbox.run(["import", "good.pkg", "--mirror", "mirror"]).ok();
    let me = Holder { pid: 4711, host: "elsewhere".into(), verb: "gc".into(), since: "2026-01-01T00:00:00Z".into() };
    let guard = lock_for_adding(&layout, Duration::ZERO, &me, &Silent).unwrap();
    fails(&sandbox, "import-locked", 6, &["import", "good.pkg", "--mirror", "mirror", "--lock-timeout", "0"]);
    drop(guard);
    for path in layout.ledger().read_dir().unwrap().map(|entry| entry.unwrap().path()).chain([layout.head()]) {
        fs::write(path, "{\"imported\":").unwrap();
    }
    fails(&sandbox, "status-records-damaged", 4, &["status", "--mirror", "mirror"]);
    for (name, page) in [("damaged", "{\"format\":"), ("newer", "{\"layout\": 9, \"tool\": \"7.0.0\"}")] {
        fs::write(layout.format(), page).unwrap();
        fails(&sandbox, &format!("import-mirror-{name}"), 4, &["import", "good.pkg", "--mirror", "mirror"]);
        fails(&sandbox, &format!("status-mirror-{name}"), 4, &["status", "--mirror", "mirror"]);
    }
    // As a full disk looks: files cannot grow any more.
    let words = ["import", "good.pkg", "--mirror", "full"];
    let limited = format!("trap '' XFSZ; ulimit -f 1; exec '{}' {}", crate::support::sandbox::BINARY, words.join(" "));
    let process = crate::support::run::Process::new("sh", &sandbox.path(""))
        .envs([("FROSTMIRROR_HOME", sandbox.frostmirror_home())])
        .args(["-c", &limited]);
    check(&sandbox, "import-full", 7, &words, process);
}

#[test]
fn servers_and_clients() {
    let (sandbox, _) = machine();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(&sandbox, "serve-port-in-use", 3, &["serve", "--bind", &address]);
    fails(&sandbox, "up-port-in-use", 3, &["up", "--bind", &address]);
    fails(&sandbox, "serve-bind", 3, &["serve", "--bind", "8080"]);
    fails(&sandbox, "serve-bind-elsewhere", 3, &["serve", "--bind", "192.0.2.1:80"]);
    fails(&sandbox, "serve-base-url", 3, &["serve", "--bind", "127.0.0.1:0", "--base-url", "http://a b"]);
    fails(&sandbox, "setup-url", 3, &["setup", "--url", "localhost:8080"]);
    fails(&sandbox, "setup-ca-missing", 3, &["setup", "--ca", "ca.pem"]);
    fs::write(sandbox.cargo_home().join("config.toml"), "[http\n").unwrap();
    fails(&sandbox, "setup-config-broken", 3, &["setup", "--write"]);
    fails(&sandbox, "up-nothing-here", 3, &["up", "--bind", "127.0.0.1:0"]);
    fails(&sandbox, "unknown-verb", 2, &["fetsh"]);
    fails(&sandbox, "unknown-flag", 2, &["fetch", "--lockfiles", "a"]);
}
