//! Where live mode fetches from: odd registries, proxies of artifacts, other mirrors, itself.

use super::*;
use crate::support::proxy::Proxy;
use crate::support::published::Published;

#[test]
fn a_proxy_of_artifacts_without_validators_and_with_spaces_in_its_lines() {
    let upstream =
        Upstream::builder().without_validators().dl("{base}/artifacts/{prefix}/{crate}/{version}.tgz").start();
    publish(&upstream);
    let text = upstream.index_text("leaf").replace("\":", "\": ").replace(",\"", ", \"");
    upstream.set_index("le/af/leaf", &text);
    let live = Live::before(upstream, "proxy_ttl = \"0s\"\n");
    assert_eq!(live.text("/index/le/af/leaf"), text, "byte for byte");
    assert_eq!(live.text("/index/le/af/leaf"), text);
    let (client, app) = (live.client(), app(&live));
    client.lock(&app);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    live.await_placed(2);
    assert!(text.contains(live.held("le/af/leaf").trim_end()), "the line is kept as it was");
    live.audit().ok();
}

#[test]
fn an_upstream_that_wants_a_token_gets_it_and_nobody_else_sees_it() {
    let upstream = Upstream::builder().token("very-secret").start();
    publish(&upstream);
    let sandbox = Sandbox::new();
    let index = upstream.index_url();
    let config = format!(
        "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{index}\"\ntoken = \"very-secret\"\n"
    );
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    sandbox.write("config/frostmirror.toml", "");
    let serving = start(&sandbox);
    let live = Live { sandbox, upstream, serving };
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    assert!(live.text("/index/config.json").contains("\"dl\""));
    for path in ["/index/config.json", "/api/status", "/api/config", "/metrics", "/config", "/"] {
        assert!(!live.text(path).contains("very-secret"), "{path}");
    }
    let told = live.serving.stop();
    assert!(!told.told().contains("very-secret"), "{}", told.told());
}

#[test]
fn a_mirror_of_a_mirror() {
    let live = Live::new();
    let sandbox = Sandbox::new();
    sandbox.write("config/frostmirror.toml", format!("proxy_index_url = \"{}/index/\"\n", live.serving.url()));
    let serving = start(&sandbox);
    let app = Project::new("app").dep("Mid_Case", "0.3").write(&sandbox.path("app"));
    let client = Client::of(&format!("{}/index/", serving.url()));
    client.lock(&app);
    client.cargo(&app, ["fetch", "--locked"]).ok();
    live.await_placed(2);
    serving.stop();
    sandbox.run(["verify", "--mirror", "mirror"]).ok();
}

#[test]
fn never_itself() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "config/frostmirror.toml",
        "base_url = \"http://mirror.example/rust\"\nproxy_index_url = \"http://mirror.example/rust/index/\"\n",
    );
    let words = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--config-dir", "config", "--live"];
    sandbox.run(words).exits(3).stderr_has("`proxy_index_url` is this server's own address");

    // By a detour that nobody sees from the settings: two mirrors, each the other's upstream.
    let [one, two] = [Sandbox::new(), Sandbox::new()];
    let mirror = Published::at(one.path("mirror"));
    mirror.hold(Crate::new("leaf", "1.0.0"));
    one.write("config/frostmirror.toml", "");
    let first = start(&one);
    two.write("config/frostmirror.toml", format!("proxy_index_url = \"{}/index/\"\n", first.url()));
    let second = start(&two);
    let changes = format!(r#"{{"proxy_index_url": "{}/index/"}}"#, second.url());
    let headers = [("Content-Type", "application/json")];
    assert_eq!(send("POST", &format!("{}/api/config", first.url()), &headers, &changes).status, 200);
    for serving in [&first, &second] {
        let answer = get(&format!("{}/index/le/af/leaf", serving.url()));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert_eq!(get(&format!("{}/index/no/su/nosuch", serving.url())).status, 404);
    }
    assert_eq!(get(&format!("{}/crates/leaf-1.0.0.crate", second.url())).status, 200);
    assert_eq!(get(&format!("{}/crates/leaf-2.0.0.crate", second.url())).status, 404);
}

#[test]
fn an_upstream_over_tls_and_http2_with_an_authority_of_its_own() {
    let upstream = Upstream::builder().tls().start();
    publish(&upstream);
    let live = Live::before(upstream, "");
    assert_eq!(live.status_of("/crates/leaf-1.1.0.crate"), 200);
    assert!(live.upstream.requests().iter().any(|seen| seen.version == hyper::Version::HTTP_2));
}

/// An upstream by a name that the proxy alone knows, and the way to it.
fn behind_a_proxy() -> (Upstream, Proxy) {
    let upstream = Upstream::builder().tls().host("crates.test").start();
    publish(&upstream);
    let proxy = Proxy::with_password("me", "hunter2");
    proxy.map(&format!("crates.test:{}", upstream.addr().port()), upstream.addr());
    (upstream, proxy)
}

/// A server in front of it, with what the sandbox says besides.
fn in_front_of(upstream: Upstream, sandbox: Sandbox) -> Live {
    let sandbox = sandbox.upstream(&upstream);
    sandbox.write("config/frostmirror.toml", "");
    Live { serving: start(&sandbox), sandbox, upstream }
}

#[test]
fn upstream_is_asked_through_the_proxy_that_cargo_would_take() {
    let (upstream, proxy) = behind_a_proxy();
    let sandbox = Sandbox::new().env("https_proxy", &proxy.url_with("me", "hunter2"));
    let by_environment = in_front_of(upstream, sandbox);
    // What cargo's configuration names goes before that.
    let (upstream, other) = behind_a_proxy();
    let sandbox = Sandbox::new().env("https_proxy", "http://127.0.0.1:9");
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    let config = format!("[http]\nproxy = \"{}\"\n", other.url_with("me", "hunter2"));
    fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    let by_cargo = in_front_of(upstream, sandbox);
    for (live, proxy) in [(by_environment, proxy), (by_cargo, other)] {
        let (client, app) = (live.client(), app(&live));
        client.lock(&app);
        client.cargo(&app, ["fetch", "--locked"]).ok();
        let asked = proxy.asked();
        assert!(asked.iter().any(|one| one.method == "CONNECT" && one.status == 200), "{asked:?}");
        assert!(asked.iter().all(|one| one.target.starts_with("crates.test:")), "{asked:?}");
        live.await_placed(2);
        for path in ["/api/status", "/api/config", "/metrics", "/config", "/"] {
            assert!(!live.text(path).contains("hunter2"), "{path}");
        }
        let told = live.serving.stop();
        assert!(!told.told().contains("hunter2"), "{}", told.told());
    }
}

#[test]
fn a_proxy_that_refuses_is_upstreams_trouble_and_its_password_is_told_to_nobody() {
    let (upstream, proxy) = behind_a_proxy();
    let live = in_front_of(upstream, Sandbox::new().env("https_proxy", &proxy.url_with("me", "hunter3")));
    for _ in 0..3 {
        let answer = live.get("/index/le/af/leaf");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 502, "{body}");
        assert!(!body.contains("hunter") && body.contains("proxy"), "{body}");
    }
    live.await_told("the upstream of the index is down");
    let told = live.serving.stop();
    assert!(!told.told().contains("hunter"), "{}", told.told());
}

#[test]
fn no_network_where_cargo_forbids_it() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.cargo_home()).unwrap();
    fs::write(sandbox.cargo_home().join("config.toml"), "[net]\noffline = true\n").unwrap();
    let words = ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--live"];
    sandbox.run(words).exits(3).stderr_has("cargo's `net.offline` forbids it");
    // Off, that is nobody's concern.
    sandbox.serve(["--mirror", "mirror"]).stop().ok();
}
