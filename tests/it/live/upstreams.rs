//! Where live mode fetches from: odd registries, proxies of artifacts, other mirrors, itself.

use super::*;
use crate::support::forward_proxy::ForwardProxy;
use crate::support::server_fixture::MirrorTree;

#[test]
fn an_artifact_proxy_without_validators_and_with_spaced_json_works() {
    let upstream =
        Upstream::builder().without_validators().dl("{base}/artifacts/{prefix}/{crate}/{version}.tgz").start();
    publish_crates(&upstream);
    let text = upstream.index_text("leaf").replace("\":", "\": ").replace(",\"", ", \"");
    upstream.set_index("le/af/leaf", &text);
    let live = LiveServer::in_front_of(upstream, "proxy_ttl = \"0s\"\n");
    assert_eq!(live.text("/index/le/af/leaf"), text, "byte for byte");
    assert_eq!(live.text("/index/le/af/leaf"), text);
    let (client, app) = (live.client(), write_app(&live));
    client.lock(&app);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    live.wait_for_stored_crates(2);
    assert!(text.contains(live.stored_index_file("le/af/leaf").trim_end()), "the line is kept as it was");
    live.verify().ok();
}

#[test]
fn an_upstream_token_is_sent_only_to_its_registry() {
    let upstream = Upstream::builder().token("very-secret").start();
    publish_crates(&upstream);
    let sandbox = Sandbox::new();
    let index = upstream.index_url();
    let config = format!(
        "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{index}\"\ntoken = \"very-secret\"\n"
    );
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    sandbox.write("config/frostmirror.toml", "");
    let serving = start_live(&sandbox);
    let live = LiveServer { sandbox, upstream, serving };
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    assert!(live.text("/index/config.json").contains("\"dl\""));
    for path in ["/index/config.json", "/api/status", "/api/config", "/metrics", "/config", "/"] {
        assert!(!live.text(path).contains("very-secret"), "{path}");
    }
    let output = live.serving.stop();
    assert!(!output.describe().contains("very-secret"), "{}", output.describe());
}

#[test]
fn a_mirror_can_use_another_mirror_as_upstream() {
    let live = LiveServer::new();
    let sandbox = Sandbox::new();
    sandbox.write("config/frostmirror.toml", format!("proxy_index_url = \"{}/index/\"\n", live.serving.url()));
    let serving = start_live(&sandbox);
    let app = Project::new("app").dep("Mid_Case", "0.3").write(&sandbox.path("app"));
    let client = Client::with_index(&format!("{}/index/", serving.url()));
    client.lock(&app);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    live.wait_for_stored_crates(2);
    serving.stop();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn a_mirror_is_never_its_own_upstream() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "config/frostmirror.toml",
        "base_url = \"http://mirror.example/rust\"\nproxy_index_url = \"http://mirror.example/rust/index/\"\n",
    );
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config", "--live"];
    sandbox.run(args).exits(3).stderr_has("`proxy_index_url` is this server's own address");

    // A loop that only the answer shows.
    let own = Sandbox::new();
    own.write("config/frostmirror.toml", "");
    let serving = start_live(&own);
    let changes = format!(r#"{{"proxy_index_url": "{}/index/"}}"#, serving.url());
    let headers = [("Content-Type", "application/json")];
    assert_eq!(
        send_request_with_body("POST", &format!("{}/api/config", serving.url()), &headers, &changes).status,
        200
    );
    for name in ["nosuch", "another"] {
        let answer = get(&format!("{}/index/{}/{}/{name}", serving.url(), &name[..2], &name[2..4]));
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!((answer.status, body.as_str()), (502, "live mode is on, but its upstream is this server itself\n"));
    }
    let status = String::from_utf8_lossy(&get(&format!("{}/api/status", serving.url())).body).into_owned();
    let problem = "its upstream is this server itself: set `proxy_index_url` to the address of another server";
    assert!(status.contains(problem) && !status.contains("\"good\""), "{status}");
    let output = serving.stop().describe();
    assert_eq!(output.matches(problem).count(), 1, "{output}");

    // A loop that no setting shows: two mirrors, each the other's upstream.
    let [one, two] = [Sandbox::new(), Sandbox::new()];
    let mirror = MirrorTree::at(one.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    one.write("config/frostmirror.toml", "");
    let first = start_live(&one);
    two.write("config/frostmirror.toml", format!("proxy_index_url = \"{}/index/\"\n", first.url()));
    let second = start_live(&two);
    let changes = format!(r#"{{"proxy_index_url": "{}/index/"}}"#, second.url());
    assert_eq!(send_request_with_body("POST", &format!("{}/api/config", first.url()), &headers, &changes).status, 200);
    for serving in [&first, &second] {
        let answer = get(&format!("{}/index/le/af/leaf", serving.url()));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(get(&format!("{}/index/no/su/nosuch", serving.url())).status, 404);
    }
    assert_eq!(get(&format!("{}/crates/leaf-1.0.0.crate", second.url())).status, 200);
    assert_eq!(get(&format!("{}/crates/leaf-2.0.0.crate", second.url())).status, 404);
}

#[test]
fn an_upstream_over_tls_and_http2_with_a_private_ca_works() {
    let upstream = Upstream::builder().tls().start();
    publish_crates(&upstream);
    let live = LiveServer::in_front_of(upstream, "");
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    assert!(live.upstream.requests().iter().any(|seen| seen.version == hyper::Version::HTTP_2));
}

/// An upstream by a name that the proxy alone knows, and the way to it.
fn behind_a_proxy() -> (Upstream, ForwardProxy) {
    let upstream = Upstream::builder().tls().host("crates.test").start();
    publish_crates(&upstream);
    let proxy = ForwardProxy::with_password("me", "hunter2");
    proxy.map(&format!("crates.test:{}", upstream.addr().port()), upstream.addr());
    (upstream, proxy)
}

/// A server in front of it, with what the sandbox says besides.
fn live_in_front_of(upstream: Upstream, sandbox: Sandbox) -> LiveServer {
    let sandbox = sandbox.upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    LiveServer { serving: start_live(&sandbox), sandbox, upstream }
}

#[test]
fn upstream_is_reached_through_the_proxy_that_cargo_would_use() {
    let (upstream, proxy) = behind_a_proxy();
    let sandbox = Sandbox::new().env("https_proxy", &proxy.url_with("me", "hunter2"));
    let by_environment = live_in_front_of(upstream, sandbox);
    // What cargo's configuration names goes before that.
    let (upstream, other) = behind_a_proxy();
    let sandbox = Sandbox::new().env("https_proxy", "http://127.0.0.1:9");
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    let config = format!("[http]\nproxy = \"{}\"\n", other.url_with("me", "hunter2"));
    fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    let by_cargo = live_in_front_of(upstream, sandbox);
    for (live, proxy) in [(by_environment, proxy), (by_cargo, other)] {
        let (client, app) = (live.client(), write_app(&live));
        client.lock(&app);
        client.cargo(&app, ["fetch", "--locked"]).ok();
        let requested = proxy.requests();
        assert!(requested.iter().any(|one| one.method == "CONNECT" && one.status == 200), "{requested:?}");
        assert!(requested.iter().all(|one| one.target.starts_with("crates.test:")), "{requested:?}");
        live.wait_for_stored_crates(2);
        for path in ["/api/status", "/api/config", "/metrics", "/config", "/"] {
            assert!(!live.text(path).contains("hunter2"), "{path}");
        }
        let output = live.serving.stop();
        assert!(!output.describe().contains("hunter2"), "{}", output.describe());
    }
}

#[test]
fn a_refusing_proxy_is_an_upstream_error_without_its_password() {
    let (upstream, proxy) = behind_a_proxy();
    let live = live_in_front_of(upstream, Sandbox::new().env("https_proxy", &proxy.url_with("me", "hunter3")));
    for _ in 0..3 {
        let answer = live.get("/index/le/af/leaf");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 502, "{body}");
        assert!(!body.contains("hunter") && body.contains("proxy"), "{body}");
    }
    live.wait_for_log("the upstream of the index is down");
    let output = live.serving.stop();
    assert!(!output.describe().contains("hunter"), "{}", output.describe());
}

#[test]
fn cargos_offline_setting_is_respected() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    fs::write(sandbox.cargo_home().join("config.toml"), "[net]\noffline = true\n").unwrap();
    let args = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--live"];
    sandbox.run(args).exits(3).stderr_has("cargo's `net.offline` forbids it");
    // Switched off, live mode ignores that.
    sandbox.serve(["--mirror", "mirror"]).stop().ok();
}

#[test]
fn a_server_that_would_download_from_itself_says_so() {
    let live = LiveServer::new();
    let own = live.url("");
    let download = format!("{own}/crates/{{crate}}-{{version}}.crate");
    live.change_settings(&format!(r#"{{"proxy_dl_url": "{download}", "proxy_dist_url": "{own}"}}"#));
    let problems = || {
        let status: Value = serde_json::from_str(&live.text("/api/status")).unwrap();
        status["problems"].to_string()
    };
    let loop_of = |what: &str, key: &str| {
        format!("the upstream of {what} is this server itself: set `{key}` to the address of another server")
    };
    for (path, what, key) in [
        ("/crates/leaf-1.1.0.crate", "crates", "proxy_dl_url"),
        ("/dist/channel-rust-stable.toml", "toolchains", "proxy_dist_url"),
    ] {
        // More than the failures after which an upstream counts as down.
        for _ in 0..4 {
            let answer = live.get(path);
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            let named = "the upstream of this server is the server itself, which its operator must change";
            assert!(answer.status == 502 && body.contains(named), "{path}: {} {body}", answer.status);
        }
        assert!(problems().contains(&loop_of(what, key)), "{}", problems());
        live.wait_for_log(&loop_of(what, key));
        let real = match key {
            "proxy_dl_url" => format!("{}/api/v1/crates", live.upstream.base_url()),
            _ => live.upstream.base_url().to_owned(),
        };
        live.change_settings(&format!(r#"{{"{key}": "{real}"}}"#));
        assert!(!problems().contains("this server itself"), "{}", problems());
    }
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
}
