//! Through the whole of `fetch`: what upstream, the way to it, and the user's own configuration can be like.

use std::time::{Duration, Instant};

use crate::end_to_end::fixture_registry::{FixtureRegistry, bundle_crates, files_below, owned};
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::forward_proxy::ForwardProxy;
use crate::support::process::write_program;
use crate::support::sandbox::Sandbox;
use crate::support::server_fixture::MirrorTree;
use crate::support::tls::self_signed_authority;
use crate::support::upstream::{Fault, RecordedRequest, Upstream};

const ENGINE_DEPENDS: &str = "[dependencies]\nengine = { version = \"=1.2.0\", features = [\"fast\"] }\n";

/// What that comes to.
const ENGINE_SET: [(&str, &str); 5] =
    [("codegen", "1.0.0"), ("derive-seven", "0.2.0"), ("engine", "1.2.0"), ("gears", "1.0.1"), ("turbo", "0.9.3")];

fn engine_set() -> Vec<(String, String)> {
    owned(&[ENGINE_SET.as_slice(), &[("win-gears", "1.0.0")]].concat())
}

#[track_caller]
fn assert_fetches_engine(sandbox: &Sandbox) -> String {
    sandbox.write("depends.toml", ENGINE_DEPENDS);
    let run = sandbox.run(["fetch"]).ok();
    assert_eq!(bundle_crates(sandbox, &run.path()), engine_set());
    run.stderr
}

#[track_caller]
fn assert_left_nothing(sandbox: &Sandbox) {
    assert!(files_below(&sandbox.path("output")).is_empty());
    assert!(files_below(&sandbox.frostmirror_home().join("history")).is_empty());
}

#[test]
fn transient_failures_are_retried() {
    let world = FixtureRegistry::new();
    let upstream = &world.upstream;
    let path = |name: &str, version: &str| upstream.download_path(name, version);
    upstream.fault("/index/config.json", [Fault::Status(503)]);
    upstream.fault("/index/en/gi/engine", [Fault::Reset]);
    upstream.fault("/index/ge/ar/gears", [Fault::TooManyRequests(1)]);
    upstream.fault(&path("gears", "1.0.1"), [Fault::TooManyRequests(1)]);
    upstream.fault(&path("codegen", "1.0.0"), [Fault::Status(500), Fault::Status(500)]);
    upstream.fault(&path("engine", "1.2.0"), [Fault::Truncated(100)]);
    upstream.fault(&path("win-gears", "1.0.0"), [Fault::Reset]);
    upstream.fault(&path("turbo", "0.9.3"), [Fault::ResetAfter(50)]);
    let begun = Instant::now();
    assert_fetches_engine(&world.sandbox());
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After was not waited for");
    assert_eq!(upstream.request_count(&path("codegen", "1.0.0")), 3);
    assert_eq!(upstream.request_count(&path("gears", "1.0.1")), 2);
    assert_eq!(upstream.request_count(&path("engine", "1.2.0")), 2);
}

#[test]
fn a_stalled_download_ends_after_the_configured_timeout() {
    let world = FixtureRegistry::new();
    let hanging = world.upstream.download_path("turbo", "0.9.3");
    world.upstream.fault(&hanging, [Fault::HangAfter(40)]);
    let sandbox = world.sandbox().env("CARGO_HTTP_TIMEOUT", "1");
    assert_fetches_engine(&sandbox);
    assert_eq!(world.upstream.request_count(&hanging), 2);
    world.upstream.fault_always("/index/config.json", Fault::Hang);
    let other = world.sandbox().env("CARGO_HTTP_TIMEOUT", "1").env("CARGO_NET_RETRY", "0");
    other.write("depends.toml", ENGINE_DEPENDS);
    let begun = Instant::now();
    other.run(["fetch"]).exits(5).stderr_has("config.json");
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_left_nothing(&other);
}

#[test]
fn every_checksum_mismatch_is_reported_as_an_integrity_error() {
    let world = FixtureRegistry::new();
    for (name, version) in [("gears", "1.0.1"), ("turbo", "0.9.3")] {
        world.upstream.fault_always(&world.upstream.download_path(name, version), Fault::WrongBytes);
    }
    world.upstream.remove_crate_file("codegen", "1.0.0");
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", ENGINE_DEPENDS);
    let run = sandbox.run(["fetch"]).exits(4);
    for named in ["gears 1.0.1", "turbo 0.9.3", "codegen 1.0.0"] {
        assert!(run.stderr.contains(named), "{named}\n{}", run.describe());
    }
    assert_left_nothing(&sandbox);
    // Neither the wrong bytes nor what was right is trusted any differently the next time.
    sandbox.run(["fetch"]).exits(4);
}

#[test]
fn a_listed_but_missing_crate_is_an_upstream_error() {
    let world = FixtureRegistry::new();
    world.upstream.remove_crate_file("win-gears", "1.0.0");
    let sandbox = world.sandbox();
    sandbox.write("depends.toml", ENGINE_DEPENDS);
    sandbox.run(["fetch"]).exits(5).stderr_has("win-gears 1.0.0");
    assert_left_nothing(&sandbox);
}

#[test]
fn a_failing_index_fails_the_run_and_is_not_a_missing_crate() {
    let world = FixtureRegistry::new();
    world.upstream.fault_always("/index/wi/n-/win-gears", Fault::Status(500));
    let sandbox = world.sandbox().env("CARGO_NET_RETRY", "0");
    sandbox.write("depends.toml", ENGINE_DEPENDS);
    sandbox.run(["fetch"]).exits(5).stderr_has("win-gears").stderr_lacks("no matching package");
    assert_left_nothing(&sandbox);
}

#[test]
fn the_users_source_replacement_and_token_are_used() {
    let corp = Upstream::builder().token("Bearer s3cret").start();
    let engine = Crate::new("solo", "1.0.0");
    corp.publish(engine);
    let config = format!(
        "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{}\"\n",
        corp.index_url()
    );
    let with = |token: &dyn Fn(Sandbox) -> Sandbox| {
        let sandbox = token(Sandbox::new());
        std::fs::write(sandbox.cargo_home().join("config.toml"), &config).unwrap();
        sandbox.write("depends.toml", "[dependencies]\nsolo = \"1\"\n");
        let run = sandbox.run(["fetch"]);
        assert!(!run.stderr.contains("s3cret") && !run.stdout.contains("s3cret"), "{}", run.describe());
        let all = sandbox.read_tree("../frostmirror");
        let leaked = |bytes: &Vec<u8>| bytes.windows(6).any(|window| window == b"s3cret");
        assert!(!all.values().any(leaked), "the token was written to disk");
        run
    };
    with(&|sandbox| sandbox.env("CARGO_REGISTRIES_CORP_TOKEN", "Bearer s3cret")).ok().stderr_has("`corp`");
    with(&|sandbox| {
        let text = "[registries.corp]\ntoken = \"Bearer s3cret\"\n";
        std::fs::write(sandbox.cargo_home().join("credentials.toml"), text).unwrap();
        sandbox
    })
    .ok();
    with(&|sandbox| sandbox).exits(5).stderr_has("CARGO_REGISTRIES_CORP_TOKEN");
    with(&|sandbox| sandbox.env("CARGO_REGISTRIES_CORP_TOKEN", "Bearer wrong")).exits(5).stderr_has("401");
}

/// Runs `fetch` of one crate from a registry that wants a token.
fn fetch_with_token(corp: &Upstream) {
    let sandbox = Sandbox::new()
        .upstream(corp)
        .without_env("FROSTMIRROR_REGISTRY_URL")
        .env("CARGO_REGISTRIES_CORP_TOKEN", "very-secret");
    let config = format!(
        "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{}\"\n",
        corp.index_url()
    );
    std::fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    sandbox.write("depends.toml", "[dependencies]\nsolo = \"1\"\n");
    let run = sandbox.run(["fetch"]).ok();
    assert!(!run.describe().contains("very-secret"), "{}", run.describe());
}

fn sends_token(seen: &RecordedRequest) -> bool {
    seen.header("authorization").is_some()
}

#[test]
fn fetch_does_not_send_a_token_to_the_host_that_a_registry_redirects_to() {
    let solo = Crate::new("solo", "1.0.0");
    let (corp, other) = (Upstream::builder().token("very-secret").start(), Upstream::start());
    corp.publish(solo.clone());
    other.publish(solo);
    let download = corp.download_path("solo", "1.0.0");
    for path in ["/index/so/lo/solo", download.as_str()] {
        corp.fault_always(path, Fault::Redirect(format!("{}{path}", other.base_url())));
    }
    fetch_with_token(&corp);
    for path in ["/index/so/lo/solo", download.as_str()] {
        assert!(corp.request_count(path) > 0 && corp.requests_to(path).iter().all(sends_token), "{path}");
        assert!(other.request_count(path) > 0 && !other.requests_to(path).iter().any(sends_token), "{path}");
    }
}

#[test]
fn fetch_does_not_send_the_token_of_an_https_registry_to_an_http_dl() {
    let solo = Crate::new("solo", "1.0.0");
    let (corp, plain) = (Upstream::builder().tls().token("very-secret").start(), Upstream::start());
    corp.publish(solo.clone());
    plain.publish(solo);
    corp.set_dl(&format!("{}/api/v1/crates", plain.base_url()));
    fetch_with_token(&corp);
    assert!(corp.requests().iter().any(sends_token));
    assert_eq!(plain.downloads().len(), 1);
    assert!(!plain.requests().iter().any(sends_token), "{:?}", plain.requests());
}

#[test]
fn a_program_gives_the_token_where_the_registry_demands_one() {
    let corp = Upstream::builder().token("Bearer s3cret").start();
    corp.publish(Crate::new("solo", "1.0.0"));
    let open = Upstream::start();
    open.publish(Crate::new("solo", "1.0.0"));
    let with = |upstream: &Upstream, script: &str, provider: &str| {
        let sandbox = Sandbox::new();
        let index = upstream.index_url();
        write_program(
            &sandbox.path("token.sh"),
            format!("#!/bin/sh\necho run $* $CARGO_REGISTRY_NAME_OPT >> log\n{script}\n").as_bytes(),
        );
        let program = sandbox.path("token.sh");
        let provider = provider.replace("PROGRAM", program.to_str().unwrap());
        let config = format!(
            "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{index}\"\n{provider}\n"
        );
        std::fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
        sandbox.write("depends.toml", "[dependencies]\nsolo = \"1\"\n");
        let run = sandbox.run(["fetch"]);
        assert!(!run.describe().contains("s3cret"), "{}", run.describe());
        let log = std::fs::read_to_string(sandbox.path("log")).unwrap_or_default();
        (run, log, index)
    };
    let own = "credential-provider = [\"cargo:token-from-stdout\", \"PROGRAM\", \"{index_url}\"]";
    let global =
        "[registry]\nglobal-credential-providers = [\"cargo:token\", \"cargo:token-from-stdout PROGRAM {index_url}\"]";
    for provider in [own, global] {
        let (run, log, index) = with(&corp, "echo 'Bearer s3cret'", provider);
        run.ok();
        assert_eq!(log, format!("run sparse+{index} corp\n"), "it is run once, as cargo runs it");
        // A registry that demands no token is not told one.
        let (run, log, _) = with(&open, "exit 1", provider);
        run.ok();
        assert_eq!(log, "");
    }
    for script in ["echo 'Bearer s3cret'; exit 3", "true", "echo one; echo two"] {
        let (run, _, _) = with(&corp, script, own);
        run.exits(3)
            .stderr_has("printed no token for the registry")
            .stderr_has("registries.corp.credential-provider")
            .stderr_has("hint:");
    }
    let libsecret = "[registry]\nglobal-credential-providers = [\"cargo:libsecret\"]";
    let (run, _, _) = with(&corp, "", libsecret);
    let run = run.exits(3).stderr_has("`cargo:libsecret`").stderr_has("`registry.global-credential-providers` in");
    run.stderr_has("hint: set CARGO_REGISTRIES_CORP_TOKEN");
    with(&open, "", libsecret).0.ok();
}

#[test]
fn a_dl_that_names_files_of_this_machine_is_taken_as_cargo_takes_it() {
    let upstream = Upstream::start();
    let packed = upstream.publish(Crate::new("solo", "1.0.0"));
    let sandbox = Sandbox::new().upstream(&upstream);
    let file = sandbox.write("my crates/solo-1.0.0.crate", &packed.bytes);
    let folder = file.parent().unwrap().to_str().unwrap().replace(' ', "%20");
    upstream.set_dl(&format!("file://{folder}/{{crate}}-{{version}}.crate"));
    let app = Project::new("app").dep("solo", "1").write(&sandbox.path("app"));
    Client::with_index(&upstream.index_url()).cargo(&app, ["fetch"]).ok();
    sandbox.write("depends.toml", "[dependencies]\nsolo = \"1\"\n");
    sandbox.run(["fetch", "--dry-run"]).ok().stdout_has(&packed.bytes.len().to_string());
    sandbox.run(["fetch", "-o", "good"]).ok();
    assert!(upstream.downloads().is_empty());
    std::fs::remove_dir_all(sandbox.frostmirror_home()).unwrap();
    sandbox.write("my crates/solo-1.0.0.crate", "other bytes");
    sandbox.run(["fetch"]).exits(4).stderr_has("SHA-256");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    sandbox.run(["fetch"]).exits(3).stderr_has("solo-1.0.0.crate").stderr_has("hint:");
    std::fs::remove_dir(&file).unwrap();
    sandbox.run(["fetch"]).exits(3).stderr_has("solo-1.0.0.crate").stderr_has("hint:");
    assert_left_nothing(&sandbox);
}

#[test]
fn a_private_ca_is_trusted_as_in_cargo() {
    let world = FixtureRegistry::with_upstream(Upstream::builder().tls().start());
    let url = world.upstream.index_url();
    let unconfigured = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", &url);
    unconfigured.write("depends.toml", ENGINE_DEPENDS);
    unconfigured.run(["fetch"]).exits(5).stderr_has("CARGO_HTTP_CAINFO");
    // A path in a configuration file is seen from the folder that has the `.cargo`.
    let sandbox = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", &url);
    sandbox.write("certs/ca.pem", world.upstream.ca_pem());
    sandbox.write(".cargo/config.toml", "[http]\ncainfo = \"certs/ca.pem\"\n");
    sandbox.write("depends.toml", ENGINE_DEPENDS);
    let seen = || world.upstream.requests().iter().filter(|seen| seen.version == hyper::Version::HTTP_2).count();
    let before = seen();
    assert_fetches_engine(&sandbox);
    assert!(seen() > before, "HTTP/2 was offered");
    assert_fetches_engine(&Sandbox::new().upstream(&world.upstream));
}

#[test]
fn a_self_signed_authority_is_trusted_as_in_cargo() {
    let sandbox = Sandbox::new();
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    let (certificate, key) = self_signed_authority(&["localhost", "127.0.0.1"]);
    let file = sandbox.write("cert.pem", certificate);
    let file = file.to_str().unwrap();
    sandbox.write("key.pem", key);
    let serving = sandbox.serve(["--mirror", "mirror", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    let index = format!("{}/index/", serving.url());
    let project = Project::new("app").dep("leaf", "1").write(&sandbox.path("app"));
    let client = Client::with_index(&index).env("CARGO_HTTP_CAINFO", file);
    client.cargo(&project, ["fetch"]).ok();
    for variable in ["CARGO_HTTP_CAINFO", "SSL_CERT_FILE"] {
        let near = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", &index).env(variable, file);
        near.run(["fetch", "--crate", "leaf"]).ok().stderr_has("Packed 1 crate ");
    }
    let unconfigured = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", &index).env("CARGO_NET_RETRY", "0");
    let run = unconfigured.run(["fetch", "--crate", "leaf"]).exits(5);
    run.stderr_has("it belongs to a certificate authority (CA:TRUE)")
        .stderr_has("set CARGO_HTTP_CAINFO or SSL_CERT_FILE to a file that contains it")
        .stderr_has("-addext basicConstraints=critical,CA:FALSE`")
        .stderr_lacks("CaUsed");
}

#[test]
fn proxy_and_no_proxy_variables_are_respected() {
    let world = FixtureRegistry::with_upstream(Upstream::builder().tls().host("crates.test").start());
    let proxy = ForwardProxy::with_password("me", "pass");
    proxy.map(&format!("crates.test:{}", world.upstream.addr().port()), world.upstream.addr());
    let sandbox = Sandbox::new().upstream(&world.upstream).env("https_proxy", &proxy.url_with("me", "pass"));
    assert_fetches_engine(&sandbox);
    let requested = proxy.requests();
    assert!(requested.iter().any(|one| one.method == "CONNECT" && one.status == 200), "{requested:?}");
    assert!(
        requested.iter().all(|one| one.target.starts_with("crates.test:")),
        "cargo's own requests pass it by: {requested:?}"
    );
    let unknown = Sandbox::new().upstream(&world.upstream).env("https_proxy", &proxy.url()).env("CARGO_NET_RETRY", "0");
    unknown.write("depends.toml", ENGINE_DEPENDS);
    unknown.run(["fetch"]).exits(5).stderr_has("proxy").stderr_lacks("me:pass");

    // The proxy's refusal, and what to do about it; a retry does not help.
    let refused = |proxy_url: &str| {
        let count = proxy.requests().len();
        let sandbox = Sandbox::new().upstream(&world.upstream).env("https_proxy", proxy_url);
        sandbox.write("depends.toml", ENGINE_DEPENDS);
        let run = sandbox.run(["fetch"]).exits(5).stderr_has("user name and password (HTTP 407)");
        assert_eq!(proxy.requests().len(), count + 1, "{}", run.describe());
        run.stderr_lacks("Retrying").stderr_lacks("check that the proxy runs")
    };
    refused(&proxy.url()).stderr_has("hint: write the proxy's user name and password into the variable https_proxy");
    let wrong = refused(&proxy.url_with("me", "secret"));
    wrong.stderr_has("hint: correct the user name and password in the variable https_proxy").stderr_lacks("secret");
    let closed = ForwardProxy::start();
    let sandbox = Sandbox::new().upstream(&world.upstream).env("https_proxy", &closed.url());
    sandbox.write("depends.toml", ENGINE_DEPENDS);
    let run =
        sandbox.run(["fetch"]).exits(5).stderr_has("it answered CONNECT with HTTP 403").stderr_has("NO_PROXY=HOST");
    run.stderr_lacks("Retrying");

    let near = FixtureRegistry::new();
    let count = proxy.requests().len();
    let sandbox = near.sandbox().env("http_proxy", &proxy.url()).env("no_proxy", "127.0.0.1");
    assert_fetches_engine(&sandbox);
    assert_eq!(proxy.requests().len(), count, "NO_PROXY was not heeded");
}

#[test]
fn dl_markers_and_unusual_names_and_versions_work() {
    let dl = "{base}/get/{prefix}/{lowerprefix}/{crate}/{version}/{sha256-checksum}.tgz";
    for builder in [Upstream::builder().dl(dl), Upstream::builder().http1().without_validators()] {
        let world = FixtureRegistry::with_upstream(builder.start());
        let sandbox = world.sandbox();
        sandbox.write("depends.toml", "[dependencies]\nMixed_Case = \"1\"\nplus = \"1\"\n[locked]\nleaf = \"0.3.1\"\n");
        let bundle = sandbox.run(["fetch"]).ok().path();
        let expected = [("Mixed_Case", "1.0.0"), ("leaf", "0.3.1"), ("plus", "1.0.0+build.7")];
        assert_eq!(bundle_crates(&sandbox, &bundle), owned(&expected));
        assert!(world.upstream.requests().iter().all(|seen| seen.status == 200 || seen.status == 404));
    }
}

#[test]
fn a_lock_with_a_yanked_version_is_fetched_unchanged() {
    let world = FixtureRegistry::new();
    world.upstream.yank("leaf", "0.3.1", false);
    let lock = world.lockfile_of(&Project::new("app").dep("leaf", "0.3").dep("plus", "1"));
    world.upstream.yank("leaf", "0.3.1", true);
    let sandbox = world.sandbox();
    sandbox.write("Cargo.lock", lock);
    let bundle = sandbox.run(["fetch", "--lockfile", "Cargo.lock"]).ok().path();
    assert_eq!(bundle_crates(&sandbox, &bundle), owned(&[("leaf", "0.3.1"), ("plus", "1.0.0+build.7")]));
    sandbox.run(["inspect".as_ref(), bundle.as_os_str()]).ok().stdout_has("yanked");
}

#[test]
fn an_http_address_of_a_tls_server_is_explained() {
    let upstream = Upstream::builder().tls().start();
    let address = upstream.index_url().replace("https://", "http://");
    let sandbox = Sandbox::new().env("FROSTMIRROR_REGISTRY_URL", &address).env("CARGO_NET_RETRY", "0");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
    sandbox.run(["fetch"]).exits(5).stderr_has("hint: the server does not answer with HTTP; it probably expects https");
}

#[test]
fn an_unusable_home_is_reported_with_its_variable() {
    let sandbox = Sandbox::new().env("FROSTMIRROR_HOME", "/dev/null/home");
    sandbox.write("depends.toml", "[dependencies]\nleaf = \"1\"\n");
    sandbox.run(["fetch", "--offline"]).stderr_has("FROSTMIRROR_HOME");
}
