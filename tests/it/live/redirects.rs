//! Upstream sends this server elsewhere: to services that a client of the mirror must not read, or reach, through it.

use super::*;
use crate::support::upstream::Fault;

const LEAF: &str = "/crates/leaf-1.1.0.crate";

fn response_text(answer: &WebResponse) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[test]
fn no_byte_of_a_redirect_target_reaches_a_client() {
    let live = LiveServer::new();
    let internal = Upstream::start();
    let secret = b"INTERNAL-ONLY ".repeat(80_000);
    internal.fault_always("/admin/dump", Fault::Body(secret.clone()));
    let dump = format!("{}/admin/dump", internal.base_url());
    let there = live.upstream.download_path("leaf", "1.1.0");
    live.upstream.fault_always(&there, Fault::Redirect(dump.clone()));
    let answer = live.get(LEAF);
    assert_eq!(answer.status, 502, "{:?}", &answer.body[..answer.body.len().min(100)]);
    assert!(!response_text(&answer).contains("INTERNAL"), "{}", response_text(&answer));

    // Nor of what it says when it refuses.
    internal.fault_always("/admin/dump", Fault::StatusText(403, "INTERNAL-ONLY"));
    let answer = live.get(LEAF);
    assert!(answer.status == 502 && !response_text(&answer).contains("INTERNAL"), "{}", response_text(&answer));

    // The same bytes as an index file, and some that look like one.
    for text in [&secret[..], b"{\"vers\":\"1.0.0\",\"SECRET\":\"INTERNAL\"}\n{\"name\":\"x\"}\n", b"INTERNAL\n{\n"] {
        internal.fault_always("/admin/dump", Fault::Body(text.to_vec()));
        live.upstream.fault_always("/index/ot/he/other", Fault::Redirect(dump.clone()));
        live.upstream.fault_always("/index/ot/he/otherer", Fault::Redirect(dump.clone()));
        for name in ["other", "otherer"] {
            let answer = live.get(&format!("/index/ot/he/{name}"));
            assert!(
                matches!(answer.status, 404 | 502) && !response_text(&answer).contains("INTERNAL"),
                "{}",
                response_text(&answer)
            );
        }
        live.upstream.clear_faults();
        live.upstream.fault_always(&there, Fault::Redirect(dump.clone()));
    }
    live.upstream.clear_faults();
    assert_eq!(live.status_of(LEAF), 200);
}

#[test]
fn a_crate_from_a_redirect_is_sent_after_verification() {
    let live = LiveServer::new();
    let cdn = Upstream::start();
    publish_crates(&cdn);
    let there = format!("{}{}", cdn.base_url(), cdn.download_path("leaf", "1.1.0"));
    live.upstream.fault_always(&live.upstream.download_path("leaf", "1.1.0"), Fault::Redirect(there));
    let answer = live.get(LEAF);
    assert_eq!(answer.status, 200);
    live.wait_for_stored_crates(1);
    assert!(live.get(LEAF).body == answer.body);
}

#[test]
fn forbidden_redirect_addresses_are_not_requested() {
    let live = LiveServer::new();
    let there = live.upstream.download_path("leaf", "1.1.0");
    for (host, class) in [
        ("169.254.169.254", "link-local"),
        ("10.0.0.1", "private"),
        ("[::ffff:192.168.1.1]", "private"),
        ("[fe80::1]", "link-local"),
        ("0.0.0.0", "unspecified"),
    ] {
        live.upstream.fault_always(&there, Fault::Redirect(format!("http://{host}/latest/meta-data/")));
        let answer = live.get(LEAF);
        assert_eq!(answer.status, 502, "{host}");
        assert!(
            response_text(&answer).contains(&format!("its host has a {class} address")),
            "{}",
            response_text(&answer)
        );
    }
    // Named by a whole config.json.
    live.upstream.clear_faults();
    live.upstream.fault_always(
        "/index/config.json",
        Fault::Body(br#"{"dl":"http://169.254.169.254/{crate}/{version}"}"#.to_vec()),
    );
    let live = live.restart();
    let answer = live.get(LEAF);
    assert!(answer.status == 502 && response_text(&answer).contains("link-local"), "{}", response_text(&answer));
}

/// A registry that wants a token, and a server in front of it that knows the token.
fn with_a_token(upstream: Upstream) -> LiveServer {
    let sandbox = Sandbox::new().upstream(&upstream).without_env("FROSTMIRROR_REGISTRY_URL");
    let config = format!(
        "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+{}\"\ntoken = \"very-secret\"\n",
        upstream.index_url()
    );
    fs::write(sandbox.cargo_home().join("config.toml"), config).unwrap();
    sandbox.write("config/frostmirror.toml", "");
    let serving = start_live(&sandbox);
    LiveServer { sandbox, upstream, serving }
}

#[test]
fn a_token_of_an_https_registry_is_not_sent_to_an_http_dl() {
    let plain = Upstream::start();
    publish_crates(&plain);
    let upstream = Upstream::builder().tls().token("very-secret").start();
    publish_crates(&upstream);
    upstream.set_dl(&format!("{}/api/v1/crates", plain.base_url()));
    let live = with_a_token(upstream);
    assert_eq!(live.status_of(LEAF), 200);
    assert!(live.upstream.requests().iter().any(|seen| seen.header("authorization") == Some("very-secret")));
    let seen = plain.requests();
    assert_eq!(seen.len(), 1);
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none()), "{seen:?}");
}

#[test]
fn a_registry_that_redirects_gets_the_token_and_the_other_host_does_not() {
    let other = Upstream::start();
    publish_crates(&other);
    let upstream = Upstream::builder().token("very-secret").start();
    publish_crates(&upstream);
    let there = |path: &str| Fault::Redirect(format!("{}{path}", other.base_url()));
    let download = upstream.download_path("leaf", "1.1.0");
    upstream.fault_always("/index/le/af/leaf", there("/index/le/af/leaf"));
    upstream.fault_always(&download, there(&download));
    let live = with_a_token(upstream);
    assert_eq!(live.status_of(LEAF), 200);
    for path in ["/index/le/af/leaf", download.as_str()] {
        let here = live.upstream.requests_to(path);
        assert!(!here.is_empty() && here.iter().all(|seen| seen.header("authorization") == Some("very-secret")));
        let there = other.requests_to(path);
        assert!(!there.is_empty() && there.iter().all(|seen| seen.header("authorization").is_none()), "{there:?}");
    }
}
