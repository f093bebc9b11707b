//! The scripts that the server hands out: run for real by dash with the real rustup, and held against mistakes.

use std::fs;

use super::mirror_of_upstream;
use crate::support::dist::{DistServer, LINUX, STABLE};
use crate::support::http_client::{get, send_request};
use crate::support::process::{Process, Run, write_program};
use crate::support::rustup::Rustup;
use crate::support::sandbox::Sandbox;

/// What stands at `url`, as text; the answer must be 200.
#[track_caller]
fn get_text(url: &str) -> String {
    let answer = get(url);
    let body = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200, "{url}: {body}");
    assert!(answer.head.contains("content-type: text/plain; charset=utf-8"), "{}", answer.head);
    body
}

/// Where a program of this machine lies.
fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs the bootstrap at `url` with dash, on a machine whose only variables are those of its homes.
#[track_caller]
fn run_bootstrap(url: &str, rustup: &Rustup, vars: &[(&str, &str)], args: &[&str]) -> Run {
    let script = get_text(&format!("{url}/rustup-init.sh"));
    let shell = find_program("dash").unwrap_or_else(|| "/bin/sh".into());
    let run = rustup.process(shell).args(["-s", "--"]).args(args).envs(vars.iter().copied());
    run.stdin(script.as_bytes()).run()
}

/// A machine without a configured mirror.
fn new_machine(url: &str) -> Rustup {
    let mut rustup = Rustup::for_mirror(url);
    for name in ["RUSTUP_DIST_SERVER", "RUSTUP_UPDATE_ROOT", "RUSTUP_BACKTRACK_LIMIT"] {
        rustup.without_env(name);
    }
    rustup
}

#[test]
#[ignore = "needs rustup"]
fn the_bootstrap_installs_rust_only_from_the_mirror() {
    let (sandbox, _dist) = mirror_of_upstream();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let mut rustup = new_machine(serving.url());
    let args = ["-y", "--no-modify-path", "--profile", "minimal", "--default-toolchain", "stable", "-c", "clippy"];
    let run = run_bootstrap(serving.url(), &rustup, &[], &args).ok();
    run.stderr_has("/api/setup/rustup-env.sh");
    rustup.tool("rustc", ["-V"]).ok().stdout_has(&format!("rustc {}", STABLE.0));
    rustup.tool("cargo-clippy", [""; 0]).ok();
    assert_eq!(fs::read_dir(rustup.path("tmp")).unwrap().count(), 0, "nothing is left behind");

    // Later sessions: the variables from the server, sourced.
    let env = get_text(&format!("{}/api/setup/rustup-env.sh", serving.url()));
    fs::write(rustup.path("env.sh"), env).unwrap();
    rustup.env("PATH", &format!("{}:/usr/bin:/bin", rustup.path("cargo/bin").display()));
    let line = format!(". {} && rustup update && rustup toolchain install 1.86", rustup.path("env.sh").display());
    rustup.process("/bin/sh").args(["-euc", &line]).run().ok().stdout_has("unchanged");
}

#[test]
#[ignore = "needs rustup, wget and openssl"]
fn the_bootstrap_works_with_wget_and_openssl() {
    boots_with(&["wget", "openssl"]);
}

#[test]
#[ignore = "needs rustup, curl and shasum"]
fn the_bootstrap_works_with_curl_and_shasum() {
    // shasum is a script of perl's.
    boots_with(&["curl", "shasum", "perl"]);
}

#[test]
#[ignore = "needs rustup and wget"]
fn the_bootstrap_works_with_wget_and_sha256sum() {
    boots_with(&["wget", "sha256sum"]);
}

/// Runs the bootstrap where no other program downloads or hashes.
#[track_caller]
fn boots_with(others: &[&str]) {
    let (sandbox, _dist) = mirror_of_upstream();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let tools = ["mktemp", "rm", "chmod", "uname", "getconf", "cut", "ldd", "cat", "bash", "sh", "env"];
    let rustup = new_machine(serving.url());
    let bin = rustup.path("bin");
    fs::create_dir(&bin).unwrap();
    for name in others {
        assert!(find_program(name).is_some(), "there is no {name} on this machine");
    }
    for (name, path) in tools.iter().chain(others).filter_map(|name| Some((name, find_program(name)?))) {
        std::os::unix::fs::symlink(path, bin.join(name)).unwrap();
    }
    let args = ["-y", "--no-modify-path", "--profile", "minimal", "--default-toolchain", "none"];
    run_bootstrap(serving.url(), &rustup, &[("PATH", bin.to_str().unwrap())], &args).ok();
    rustup.run(["--version"]).ok().stdout_has("rustup ");
}

#[test]
fn the_bootstrap_never_runs_a_corrupt_installer() {
    let (sandbox, dist) = (Sandbox::new(), DistServer::start());
    let marked = sandbox.path("was-run");
    let program =
        format!("#!/bin/sh\necho \"$RUSTUP_DIST_SERVER $RUSTUP_UPDATE_ROOT $*\" > {}\nexit 7\n", marked.display());
    dist.publish_rustup("9.9.9", &[LINUX], program.as_bytes());
    let mirror = sandbox.path("mirror");
    dist.write_to(&mirror);
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let script = sandbox.write("init.sh", get_text(&format!("{}/rustup-init.sh", serving.url())));
    let run = |vars: &[(&str, &str)], terms: &[&str]| {
        let shell = find_program("dash").unwrap_or_else(|| "/bin/sh".into());
        let path = [("PATH", "/usr/bin:/bin"), ("FROSTMIRROR_TRIPLE", LINUX)];
        let process = Process::with_empty_env(shell, &sandbox.path("")).args([&script]).args(terms);
        process.envs(path).envs(vars.iter().copied()).run()
    };
    let init = mirror.join("rustup/dist").join(LINUX).join("rustup-init");
    let digest = init.with_file_name("rustup-init.sha256");
    let url = format!("{}/rustup/dist/{LINUX}/rustup-init", serving.url());

    // Variables, words and the exit code are passed on.
    run(&[], &["-y", "--default-toolchain", "two words"]).exits(7);
    let base = serving.url();
    assert_eq!(
        fs::read_to_string(&marked).unwrap(),
        format!("{base} {base}/rustup -y --default-toolchain two words\n")
    );
    fs::remove_file(&marked).unwrap();

    let right = fs::read(&digest).unwrap();
    let damaged = [program.as_bytes(), b"#"].concat();
    fs::write(&init, damaged).unwrap();
    run(&[], &["-y"]).exits(1).stderr_has(&url).stderr_has("damaged and was not run");
    fs::write(&init, &program).unwrap();
    for wrong in ["", "x", "ABC", &"a".repeat(63), &format!("{}\n", "g".repeat(64)), "<html>\nno\n</html>\n"] {
        fs::write(&digest, wrong).unwrap();
        run(&[], &["-y"]).exits(1).stderr_has(".sha256 is");
    }
    fs::remove_file(&digest).unwrap();
    run(&[], &["-y"]).exits(1).stderr_has(&url).stderr_has("add that triple to the next bundle");
    fs::write(&digest, right).unwrap();
    let other = format!("{}/rustup/dist/s390x-unknown-linux-gnu/rustup-init", serving.url());
    run(&[("FROSTMIRROR_TRIPLE", "s390x-unknown-linux-gnu")], &["-y"]).exits(1).stderr_has(&other);
    run(&[("FROSTMIRROR_TRIPLE", "../../x; rm -rf")], &["-y"]).exits(1).stderr_has("is not a triple");
    run(&[], &[]).exits(1).stderr_has("pass -y");
    assert!(!marked.exists(), "none of these was run");
    run(&[], &["-vy"]).exits(7);
}

#[test]
fn the_bootstrap_detects_the_host_triple() {
    let (sandbox, dist) = (Sandbox::new(), DistServer::start());
    dist.write_to(&sandbox.path("mirror"));
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let script = sandbox.write("init.sh", get_text(&format!("{}/rustup-init.sh", serving.url())));
    for (system, cpu, bits, ldd, triple) in [
        ("Linux", "x86_64", "64", "glibc", "x86_64-unknown-linux-gnu"),
        ("Linux", "x86_64", "64", "musl libc (x86_64)", "x86_64-unknown-linux-musl"),
        ("Linux", "x86_64", "32", "glibc", "i686-unknown-linux-gnu"),
        ("Linux", "i686", "32", "glibc", "i686-unknown-linux-gnu"),
        ("Linux", "aarch64", "64", "glibc", "aarch64-unknown-linux-gnu"),
        ("Linux", "aarch64", "64", "musl", "aarch64-unknown-linux-musl"),
        ("Linux", "aarch64", "32", "glibc", "armv7-unknown-linux-gnueabihf"),
        ("Linux", "armv7l", "32", "glibc", "armv7-unknown-linux-gnueabihf"),
        ("Linux", "riscv64", "64", "glibc", "riscv64gc-unknown-linux-gnu"),
        ("Linux", "s390x", "64", "glibc", "s390x-unknown-linux-gnu"),
        ("Linux", "ppc64le", "64", "glibc", "powerpc64le-unknown-linux-gnu"),
        ("Linux", "loongarch64", "64", "glibc", "loongarch64-unknown-linux-gnu"),
        ("Darwin", "x86_64", "64", "", "x86_64-apple-darwin"),
        ("Darwin", "arm64", "64", "", "aarch64-apple-darwin"),
        ("FreeBSD", "amd64", "64", "", "x86_64-unknown-freebsd"),
        ("NetBSD", "amd64", "64", "", "x86_64-unknown-netbsd"),
        ("SunOS", "i86pc", "64", "", "x86_64-unknown-illumos"),
        ("Linux", "mips", "32", "glibc", ""),
        ("MINGW64_NT-10.0", "x86_64", "64", "", ""),
        ("SunOS", "sun4v", "64", "", ""),
    ] {
        let bin = sandbox.path("bin");
        let tool = |name: &str, text: &str| {
            write_program(&bin.join(name), format!("#!/bin/sh\n{text}\n").as_bytes());
        };
        let kind = if cpu == "i86pc" { "illumos" } else { system };
        tool("uname", &format!("case $1 in -s) echo {system} ;; -m) echo {cpu} ;; -o) echo {kind} ;; esac"));
        tool("getconf", &format!("echo {bits}"));
        tool("ldd", &format!("echo '{ldd}' >&2; exit 1"));
        tool("sysctl", "exit 1");
        // Nothing is downloaded: only the requests matter.
        tool("curl", "for word; do url=$word; done; echo \"asked $url\" >&2; exit 22");
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let run =
            Process::with_empty_env("/bin/sh", &sandbox.path("")).args([&script]).envs([("PATH", path)]).run().exits(1);
        match triple {
            "" => drop(run.stderr_has(&format!("({system} {cpu}) is unknown"))),
            triple => {
                drop(run.stderr_has(&format!("asked {}/rustup/dist/{triple}/rustup-init.sha256\n", serving.url())))
            }
        }
    }
}

#[test]
fn every_script_is_syntactically_valid() {
    let sandbox = Sandbox::new();
    sandbox.write("mirror/crates/x", "");
    let serving = sandbox.serve(["--mirror", "mirror", "--base-url", "https://mirror.example/rust"]);
    for path in ["rustup-init.sh", "api/setup/rustup-env.sh"] {
        let script = get_text(&format!("{}/{path}", serving.url()));
        assert!(script.contains("'https://mirror.example/rust'") && !script.contains('@') || path.contains("init"));
        let file = sandbox.write("script.sh", &script);
        for shell in ["sh", "dash", "bash", "busybox"].iter().filter_map(|name| find_program(name)) {
            let args: &[&str] = if shell.ends_with("busybox") { &["sh", "-n"] } else { &["-n"] };
            Process::new(shell, &sandbox.path("")).args(args).args([&file]).run().ok();
        }
    }
    for path in ["rustup-init.ps1", "api/setup/rustup-env.ps1"] {
        let script = get_text(&format!("{}/{path}", serving.url()));
        assert!(script.contains("= 'https://mirror.example/rust'\n"), "{script}");
        assert!(script.is_ascii(), "Windows PowerShell reads files without a mark as the system's own encoding");
    }
}

#[test]
#[ignore = "needs shellcheck"]
fn shellcheck_finds_nothing_in_the_scripts() {
    let sandbox = Sandbox::new();
    sandbox.write("mirror/crates/x", "");
    let serving = sandbox.serve(["--mirror", "mirror", "--base-url", "https://mirror.example/rust"]);
    for path in ["rustup-init.sh", "api/setup/rustup-env.sh"] {
        let file = sandbox.write("script.sh", get_text(&format!("{}/{path}", serving.url())));
        Process::new("shellcheck", &sandbox.path("")).args(["-s", "sh"]).args([&file]).run().ok();
    }
}

#[test]
#[ignore = "needs pwsh"]
fn powershell_reads_its_scripts() {
    let sandbox = Sandbox::new();
    sandbox.write("mirror/crates/x", "");
    let serving = sandbox.serve(["--mirror", "mirror", "--base-url", "https://mirror.example/rust"]);
    for path in ["rustup-init.ps1", "api/setup/rustup-env.ps1"] {
        let file = sandbox.write("script.ps1", get_text(&format!("{}/{path}", serving.url())));
        let parse = format!(
            "$errors = $null; $null = [System.Management.Automation.Language.Parser]::ParseFile('{}', [ref]$null, \
             [ref]$errors); $errors; exit $errors.Count",
            file.display()
        );
        Process::new("pwsh", &sandbox.path("")).args(["-NoProfile", "-Command", &parse]).run().ok();
    }
}

#[test]
fn scripts_contain_the_requested_host_and_no_injected_code() {
    let sandbox = Sandbox::new();
    sandbox.write("mirror/crates/x", "");
    sandbox.write("config/frostmirror.toml", "trusted_proxies = []\n");
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config"]);
    let paths = ["rustup-init.sh", "rustup-init.ps1", "api/setup/rustup-env.sh", "api/setup/rustup-env.ps1"];
    for path in paths {
        let url = format!("{}/{path}", serving.url());
        let requested = send_request("GET", &url, &[("Host", "rust.example:81")]);
        assert!(String::from_utf8(requested.body).unwrap().contains("'http://rust.example:81'\n"), "{path}");
        for host in ["a'b", "a;id", "$(id)", "`id`", "a b", "a\"", "a/b", "a\\b", "[::1", "a:b", "a'\u{fc}", ""] {
            let answer = send_request("GET", &url, &[("Host", host)]);
            assert_eq!(answer.status, 400, "{path} for {host:?}");
        }
        // The headers of an untrusted proxy are ignored.
        let forwarded = [("X-Forwarded-Host", "evil"), ("Forwarded", "host=evil"), ("X-Forwarded-Proto", "https")];
        let answer = send_request("GET", &url, &forwarded);
        assert!(!String::from_utf8(answer.body).unwrap().contains("evil"));
        assert_eq!((send_request("HEAD", &url, &[]).status, send_request("POST", &url, &[]).status), (200, 405));
        assert_eq!(get(&format!("{url}/")).status, 404);
    }
    let config = format!("{}/api/setup/cargo-config", serving.url());
    let plain: toml::Table = get_text(&config).parse().unwrap();
    let index = plain["registries"]["frostmirror"]["index"].as_str().unwrap();
    assert_eq!(index, format!("sparse+{}/index/", serving.url()));
    assert!(plain.get("http").is_none());
    let quiet: toml::Table = get_text(&format!("{config}?check_revoke=false")).parse().unwrap();
    assert_eq!(quiet["http"]["check-revoke"].as_bool(), Some(false));
    assert_eq!(get(&format!("{config}?check_revoke=perhaps")).status, 400);
}
