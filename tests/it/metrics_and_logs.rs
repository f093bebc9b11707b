//! What operators look at: figures, health, the log. Figures are read as strictly as their format is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bundle_builder::{BundleBuilder, import};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, get};
use crate::support::upstream::Upstream;
use crate::support::wait;

const ADMIN: &str = "admin-0123456789abcdef";
const READER: &str = "reader-0123456789abcdef";

/// Samples by name and labels as they are written: `x_total{kind="index"}`.
type Samples = BTreeMap<String, f64>;

/// Reads the text format 0.0.4: of each family a HELP and a TYPE line, then its samples and no others, nothing twice.
fn parse_metrics(text: &str) -> Samples {
    assert!(text.ends_with('\n') && !text.contains('\r'));
    let mut samples = Samples::new();
    let (mut families, mut helped) = (BTreeSet::new(), None::<String>);
    let mut family: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(is_name(name, true) && families.insert(name.to_owned()), "{line}");
            assert!(!help.trim().is_empty(), "{line}");
            check_escapes(help, false);
            (helped, family) = (Some(name.to_owned()), None);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
            assert_eq!(helped.take().as_deref(), Some(name), "help and type belong together: {line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "counters alone end in _total: {line}");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (name, kind) = family.as_ref().unwrap_or_else(|| panic!("a sample without a family: {line}"));
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(value.is_finite() && (kind != "counter" || value >= 0.0), "{line}");
            let (own, labels) = series.split_once('{').map_or((series, None), |(own, labels)| (own, Some(labels)));
            assert_eq!(own, name, "a sample of another family: {line}");
            if let Some(labels) = labels {
                check_labels(labels.strip_suffix('}').unwrap_or_else(|| panic!("labels do not end: {line}")));
            }
            assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
        }
    }
    assert!(helped.is_none());
    samples
}

fn check_labels(mut text: &str) {
    let mut seen = BTreeSet::new();
    loop {
        let (label, rest) = text.split_once("=\"").unwrap_or_else(|| panic!("no label: {text}"));
        assert!(is_name(label, false) && seen.insert(label), "{label}");
        let end = rest
            .char_indices()
            .scan(false, |escaped, (at, c)| {
                let ends = c == '"' && !*escaped;
                *escaped = c == '\\' && !*escaped;
                Some((at, ends))
            })
            .find_map(|(at, ends)| ends.then_some(at))
            .unwrap_or_else(|| panic!("a value does not end: {rest}"));
        check_escapes(&rest[..end], true);
        match rest[end + 1..].strip_prefix(',') {
            Some(more) => text = more,
            None => return assert_eq!(&rest[end + 1..], ""),
        }
    }
}

/// Names have no other characters; a colon is for rules, and no exporter's.
fn is_name(name: &str, _metric: bool) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    first && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') && !name.starts_with("__")
}

/// A backslash begins `\\` or `\n`, in a label's value `\"` too, and nothing else.
fn check_escapes(text: &str, in_label: bool) {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        assert!(c != '"' || !in_label, "{text}");
        if c == '\\' {
            let next = chars.next();
            assert!(matches!(next, Some('\\' | 'n')) || (in_label && next == Some('"')), "{text}");
        }
    }
}

fn metrics(serving: &RunningServer, extra: &[&str]) -> Samples {
    let reply = get(serving.url(), "/metrics", extra);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    parse_metrics(&reply.text())
}

#[test]
fn requests_are_counted() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let bundle = BundleBuilder::new("one", 1).ship(Crate::new("leaf", "1.0.0")).ship(Crate::new("leaf", "1.1.0"));
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path("made"), "one.pkg")).unwrap();
    // Only files that are old enough are cached.
    let sandbox = sandbox.env("FROSTMIRROR_CLOCK_AHEAD", "1");
    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--watch-incoming"]);
    let paths = [
        "/index/le/af/leaf",
        "/index/le/af/leaf",
        "/index/no/ne/none",
        "/crates/leaf-1.0.0.crate",
        "/crates/leaf/1.1.0/download",
        "/dist/channel-rust-stable.toml",
        "/rustup/release-stable.toml",
        "/index/config.json",
        "/rustup-init.sh",
        "/api/status",
        "/nothing",
        "/healthz",
    ];
    for path in paths {
        get(serving.url(), path, &[]);
    }
    get(serving.url(), "/", &["Accept: text/html"]);
    let samples = metrics(&serving, &[]);
    let value = |name: &str| samples.get(&format!("frostmirror_{name}")).copied();
    let count = |kind: &str, status: u16| {
        value(&format!("requests_total{{kind=\"{kind}\",status=\"{status}\"}}")).unwrap_or_default()
    };
    for (kind, status, wanted) in [
        ("index", 200, 2.0),
        ("index", 404, 1.0),
        ("crate", 200, 2.0),
        ("dist", 404, 1.0),
        ("rustup", 404, 1.0),
        ("config", 200, 1.0),
        ("script", 200, 1.0),
        ("api", 200, 1.0),
        ("page", 200, 1.0),
        ("other", 404, 1.0),
        ("other", 200, 1.0),
    ] {
        assert_eq!(count(kind, status), wanted, "{kind} {status}: {samples:#?}");
    }
    let files = ["leaf-1.0.0.crate", "leaf-1.1.0.crate"].map(|file| sandbox.path("mirror/crates").join(file));
    let bytes: u64 = files.iter().map(|file| file.metadata().unwrap().len()).sum();
    #[allow(clippy::cast_precision_loss, reason = "two small files")]
    let bytes = bytes as f64;
    assert_eq!(value("response_bytes_total{kind=\"crate\"}"), Some(bytes));
    assert_eq!((value("hot_cache_hits_total"), value("mirror_crate_bytes")), (Some(1.0), Some(bytes)));
    assert_eq!(value("hot_cache_misses_total"), Some(6.0));
    assert!(value("open_connections").unwrap() >= 1.0 && value("connections_total").unwrap() >= 14.0);
    assert_eq!(
        (value("mirror_crates"), value("mirror_versions"), value("mirror_imports")),
        (Some(1.0), Some(2.0), Some(1.0))
    );
    assert!(value("last_import_timestamp_seconds").unwrap() > 1_790_000_000.0);
    assert_eq!((value("mirror_readable"), value("watching"), value("jobs_running")), (Some(1.0), Some(1.0), Some(0.0)));
    assert_eq!((value("log_lines_dropped_total"), value("mirror_rustup_artifacts")), (Some(0.0), Some(0.0)));

    // A bundle that is uploaded and imported, one that is refused, and one that waits for its base.
    let next = BundleBuilder::new("two", 1).ship(Crate::new("next", "1.0.0")).write(&sandbox.path("made"), "next.pkg");
    let late = BundleBuilder::new("three", 2)
        .parent("base.pkg")
        .with_crate(Crate::new("gone", "1.0.0"), frostmirror::bundle::format::CrateState::Sent);
    let late = late.write(&sandbox.path("made"), "late.pkg");
    let upload = |name: &str, bytes: &[u8]| {
        let length = bytes.len();
        let head = format!("PUT /api/incoming/{name} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        let mut wire = RawConnection::connect(serving.url());
        wire.send(head);
        wire.send(bytes).read_reply().status
    };
    assert_eq!(upload("next.pkg", &fs::read(next).unwrap()), 201);
    assert_eq!(upload("bad.pkg", &vec![b'x'; 100_000]), 201);
    assert_eq!(upload("late.pkg", &fs::read(late).unwrap()), 201);
    assert_eq!(upload("empty.pkg", b""), 400);
    let is = |name: &str, wanted: f64| metrics(&serving, &[]).get(&format!("frostmirror_{name}")) == Some(&wanted);
    wait::until("one import is counted", || is("imports_total{result=\"done\"}", 1.0));
    wait::until("one refused bundle is counted", || {
        is("imports_total{result=\"failed\"}", 1.0) && is("incoming_bundles{state=\"failed\"}", 1.0)
    });
    wait::until("one waiting bundle is counted", || is("incoming_bundles{state=\"waiting\"}", 1.0));
    assert!(is("uploads_total{result=\"done\"}", 3.0) && is("uploads_total{result=\"failed\"}", 1.0));
    assert!(is("mirror_crates", 2.0));
    let job = "POST /api/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(RawConnection::connect(serving.url()).send(job).read_reply().status, 202);
    wait::until("one completed job is counted", || is("jobs_total{kind=\"verify\",result=\"done\"}", 1.0));
}

#[test]
fn the_guide_lists_every_metric_and_no_other() {
    let upstream = Upstream::start();
    let sandbox = Sandbox::new().upstream(&upstream);
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let bundle = BundleBuilder::new("one", 1).ship(Crate::new("leaf", "1.0.0")).write(&sandbox.path("made"), "one.pkg");
    import(&sandbox.path("mirror"), &bundle).unwrap();
    let serving = sandbox.serve(["--mirror", "mirror", "--incoming", "incoming", "--watch-incoming", "--live"]);
    let text = get(serving.url(), "/metrics", &[]).text();
    let samples = parse_metrics(&text);
    assert_eq!(samples.get("frostmirror_live"), Some(&1.0));
    for of in ["index", "crates", "dist"] {
        assert_eq!(samples.get(&format!("frostmirror_live_upstream_up{{of=\"{of}\"}}")), Some(&1.0), "{of}");
    }
    assert!(!text.contains("last_audit"), "no audit has ended");
    let job = "POST /api/verify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(RawConnection::connect(serving.url()).send(job).read_reply().status, 202);
    wait::until("an audit has ended", || metrics(&serving, &[]).contains_key("frostmirror_last_audit_problems"));
    let text = get(serving.url(), "/metrics", &[]).text();
    let mut families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE frostmirror_")?.split(' ').next()).collect();
    // This server has no certificate.
    for name in ["tls_certificate_not_before_timestamp_seconds", "tls_certificate_not_after_timestamp_seconds"] {
        assert!(families.insert(name), "{name}");
    }
    let reference = frostmirror::guide::Chapter::find("reference").expect("a chapter").source;
    let (_, table) = reference.split_once("| name (with `frostmirror_` before it) |").expect("the table of metrics");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let named: BTreeSet<&str> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter_map(|name| name.split('{').next()).collect();
    assert_eq!(named, families);
}

#[test]
fn metrics_need_read_access_and_health_does_not() {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.write("config/readers", format!("{READER}\n"));
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", ADMIN]);
    assert_eq!(get(serving.url(), "/metrics", &[]).status, 401);
    for line in [
        format!("Authorization: {READER}"),
        format!("Authorization: Bearer {READER}"),
        format!("Authorization: Bearer {ADMIN}"),
    ] {
        metrics(&serving, &[&line]);
    }
    assert_eq!(get(serving.url(), "/healthz", &[]).text(), "ok\n");
    // A mirror that disappeared is unhealthy, and has no metrics instead of zeros.
    fs::rename(sandbox.path("mirror"), sandbox.path("away")).unwrap();
    fs::write(sandbox.path("mirror"), "a file").unwrap();
    let ill = get(serving.url(), "/healthz", &[]);
    assert_eq!(ill.status, 503);
    assert!(!ill.text().trim().is_empty() && !ill.text().contains('/'), "{}", ill.text());
    let samples = metrics(&serving, &[&format!("Authorization: {READER}")]);
    assert_eq!(samples.get("frostmirror_mirror_readable"), Some(&0.0));
    assert!(!samples.contains_key("frostmirror_mirror_crates"));
    fs::remove_file(sandbox.path("mirror")).unwrap();
    assert_eq!(get(serving.url(), "/healthz", &[]).status, 503);
    fs::rename(sandbox.path("away"), sandbox.path("mirror")).unwrap();
    assert_eq!(get(serving.url(), "/healthz", &[]).status, 200);
    fs::set_permissions(sandbox.path("mirror"), fs::Permissions::from_mode(0o000)).unwrap();
    let readable = fs::read_dir(sandbox.path("mirror")).is_ok();
    // Whom no mode keeps out, it does not keep out of anything.
    assert_eq!(get(serving.url(), "/healthz", &[]).status, if readable { 200 } else { 503 });
    fs::set_permissions(sandbox.path("mirror"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_missing_mirror_is_healthy_before_the_first_import() {
    let sandbox = Sandbox::new();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let health = || get(serving.url(), "/healthz", &[]).status;
    assert_eq!(health(), 200);
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let bundle = BundleBuilder::new("one", 1).ship(Crate::new("leaf", "1.0.0"));
    import(&sandbox.path("mirror"), &bundle.write(&sandbox.path("made"), "one.pkg")).unwrap();
    assert_eq!(health(), 200);
    fs::rename(sandbox.path("mirror"), sandbox.path("away")).unwrap();
    assert_eq!(health(), 503, "it was there, and went");
}

/// A server of one crate, and what it has said of requests when it ends.
fn server_log(env: &[(&str, &str)], flags: &[&str], requests: &[&str]) -> String {
    let mut sandbox = Sandbox::new();
    for (name, value) in env {
        sandbox = sandbox.env(name, value);
    }
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    let process = sandbox.process(["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror"]).args(flags);
    let serving = RunningServer::start(process);
    for request in requests {
        RawConnection::connect(serving.url()).send(request).read_head();
    }
    let run = serving.stop().ok();
    assert!(run.stdout.starts_with("listening on "), "{}", run.describe());
    run.stderr
}

const REQUEST_LINE: &str =
    "GET /index/le/af/leaf?token=hunter22 HTTP/1.1\r\nHost: me\r\nUser-Agent: cargo/1.95 (\"x\")\r\n\r\n";

#[test]
fn each_request_is_logged_in_one_line() {
    let absent = "GET /crates/none-1.0.0.crate HTTP/1.1\r\nHost: me\r\n\r\n";
    let page = "HEAD /nothing HTTP/1.1\r\nHost: me\r\n\r\n";
    let log = server_log(&[], &[], &[REQUEST_LINE, absent, page]);
    let lines: Vec<&str> = log.lines().filter_map(|line| line.trim_start().strip_prefix("Request ")).collect();
    let [plain, absent, page] = lines.as_slice() else { panic!("{log}") };
    let fields: Vec<&str> = plain.split(' ').collect();
    let [time, peer, "GET", "/index/le/af/leaf", "200", bytes, seconds, agent @ ..] = fields.as_slice() else {
        panic!("{plain}")
    };
    assert!(time.parse::<jiff::Timestamp>().is_ok() && peer.starts_with("127.0.0.1:"), "{plain}");
    assert!(bytes.parse::<u64>().unwrap() > 100 && seconds.parse::<f64>().unwrap() < 60.0, "{plain}");
    assert_eq!(agent.join(" "), r#""cargo/1.95 (\"x\")""#);
    assert!(absent.contains(" GET /crates/none-1.0.0.crate 404 ") && absent.ends_with(" - missing"), "{absent}");
    assert!(page.contains(" HEAD /nothing 404 ") && page.ends_with(" -"), "{page}");
}

#[test]
fn json_log_lines_are_valid_and_complete() {
    let config = "POST /api/config HTTP/1.1\r\nHost: me\r\nContent-Length: 0\r\n\r\n";
    let log = server_log(&[], &["--log-format", "json"], &[REQUEST_LINE, config]);
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    for line in &lines {
        assert!(line["time"].as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()), "{line}");
        assert!(line["level"] == "info" || line["level"] == "warn", "{line}");
        assert_ne!(line["message"].is_string(), line["method"].is_string(), "{line}");
    }
    let output =
        |start: &str| lines.iter().any(|line| line["message"].as_str().is_some_and(|text| text.starts_with(start)));
    assert!(output("Serving ") && output("Stopping "), "{log}");
    let requests: Vec<&Value> = lines.iter().filter(|line| line["method"].is_string()).collect();
    let [plain, config] = requests.as_slice() else { panic!("{log}") };
    assert_eq!((&plain["path"], &plain["status"]), (&"/index/le/af/leaf".into(), &200.into()));
    assert_eq!((&plain["user_agent"], &plain["missing"]), (&"cargo/1.95 (\"x\")".into(), &false.into()));
    assert!(plain["seconds"].is_f64() && plain["bytes"].is_u64() && plain["peer"].is_string());
    assert_eq!((&config["method"], &config["path"]), (&"POST".into(), &"/api/config".into()));

    // The key of frostmirror.toml, and a failure at the start.
    let sandbox = Sandbox::new();
    sandbox.write("config/frostmirror.toml", "log_format = 'json'\nbind = 'nowhere.invalid:1'\n");
    let failed = sandbox.run(["serve", "--config-dir", "config", "--mirror", "mirror", "--incoming", "incoming"]);
    let lines: Vec<Value> = failed.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.first().map(|line| &line["level"]), Some(&"warn".into()), "{}", failed.describe());
    let last = lines.last().unwrap();
    assert!(last["level"] == "error" && last["message"].as_str().unwrap().contains("nowhere.invalid"), "{last}");
    sandbox.run(["serve", "--log-format", "xml"]).exits(2);
}

#[test]
fn rust_log_filters_the_log() {
    let requests = [REQUEST_LINE];
    for (env, flags, wanted) in [
        (Some("warn"), &[][..], false),
        (Some("off"), &[], false),
        (Some("frostmirror=error"), &[], false),
        (Some("info"), &[], true),
        (Some("debug,frostmirror=warn"), &[], false),
        (Some("hyper=off"), &[], true),
        (Some("DEBUG"), &["--log-format", "json"], true),
        (Some("warn"), &["--log-format", "json"], false),
        (None, &["-q"], false),
        (Some("trace"), &["-q"], false),
        (None, &["-v"], true),
    ] {
        let env: Vec<(&str, &str)> = env.into_iter().map(|value| ("RUST_LOG", value)).collect();
        let log = server_log(&env, flags, &requests);
        assert_eq!(log.contains("/index/le/af/leaf"), wanted, "{env:?} {flags:?}: {log}");
        assert!(wanted || log.is_empty(), "{env:?} {flags:?}: {log}");
        assert!(!log.contains("unknown level"), "{env:?}: {log}");
    }
    let log = server_log(&[("RUST_LOG", "lo\u{1b}ud")], &[], &requests);
    assert!(
        log.contains("warning: RUST_LOG: unknown level `lo\u{fffd}ud`") && log.contains("/index/le/af/leaf"),
        "{log}"
    );
}

#[test]
fn the_log_contains_no_secrets_and_no_forged_lines() {
    let requests = [
        format!(
            "GET /api/status?token={READER} HTTP/1.1\r\nHost: me\r\nAuthorization: Bearer {READER}\r\nCookie: frostmirror-session={READER}\r\nReferer: http://me/?{READER}\r\n\r\n"
        ),
        format!(
            "GET http://me:{READER}@me/index/le/af/leaf?{READER} HTTP/1.1\r\nHost: me\r\nX-Forwarded-For: {READER}\r\n\r\n"
        ),
        format!(
            "POST /api/login HTTP/1.1\r\nHost: me\r\nContent-Type: application/json\r\nContent-Length: 35\r\n\r\n{{\"token\":\"{READER}\"}}"
        ),
        "GET /a%0d%0aRequest%20forged HTTP/1.1\r\nHost: me\r\nUser-Agent: a\tb\u{85}\u{202e}\"\\ Request\r\n\r\n"
            .to_owned(),
        format!("GET /{} HTTP/1.1\r\nHost: me\r\nUser-Agent: {}\r\n\r\n", "x".repeat(5000), "y".repeat(5000)),
    ];
    let requests: Vec<&str> = requests.iter().map(String::as_str).collect();
    for flags in [
        &["--admin-token", ADMIN][..],
        &["--admin-token", ADMIN, "--log-format", "json"],
        &["--admin-token", ADMIN, "-v"],
    ] {
        let log = server_log(&[], flags, &requests);
        assert!(!log.contains(READER) && !log.contains(ADMIN), "{log}");
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!log.contains(acts), "{log:?}");
        let lines = log.lines().filter(|line| line.contains("127.0.0.1:") && !line.contains("listening"));
        assert_eq!(lines.clone().count(), requests.len(), "{log}");
        assert!(lines.clone().all(|line| line.len() < 2000), "{log}");
        assert!(log.contains("/a%0d%0aRequest%20forged"), "{log}");
    }
}

#[test]
fn a_log_that_is_not_read_does_not_block_the_server() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    // A pipe without a reader's hand on it: full after 64 KiB.
    let script = "exec \"$0\" serve --bind 127.0.0.1:0 --mirror mirror 2>pipe";
    fs::create_dir_all(sandbox.path("")).unwrap();
    let pipe = sandbox.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let holder = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let process = sandbox.other_program("sh", ["-c", script, crate::support::sandbox::BINARY]);
    let serving = RunningServer::start(process);
    let mut wire = RawConnection::connect(serving.url());
    let began = Instant::now();
    for _ in 0..8000 {
        assert_eq!(wire.request("GET", "/index/le/af/leaf", &[]).read_reply().status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    let dropped = metrics(&serving, &[])["frostmirror_log_lines_dropped_total"];
    assert!(dropped > 1000.0, "{dropped}");
    // The server ends although no process reads its output.
    serving.stop().ok();
    drop(holder);
}
