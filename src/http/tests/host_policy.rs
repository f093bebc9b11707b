//! Hosts that upstream chooses, and that only this machine or its network can reach.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::http::host_policy::Lookup;

/// Resolves these names, and no others.
fn fake_lookup(answers: &[(&str, &str)]) -> Lookup {
    let answers: HashMap<String, IpAddr> =
        answers.iter().map(|(name, address)| ((*name).to_owned(), address.parse().expect("address"))).collect();
    Arc::new(move |name| {
        let found = answers.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into());
        Box::pin(async move { found.map(|address| vec![address]) })
    })
}

/// A client of the registry at `url`.
fn client_of(url: &str, lookup: &Lookup) -> Client {
    let settings = Settings { configured_urls: vec![url.to_owned()], ..settings() };
    Client::with_lookup(&settings, Arc::clone(lookup)).expect("client")
}

#[tokio::test]
async fn redirects_reach_only_hosts_of_the_upstreams_class() {
    let cdn = Server::start(|_, _| Action::Send(reply(200, "", b"cdn").into())).await;
    let upstream = Server::start(|head, _| {
        let to = head.split(' ').nth(1).and_then(|path| path.strip_prefix("/to/")).expect("a path").to_owned();
        Action::Send(reply(302, &format!("Location: http://{to}\r\n"), b"").into())
    })
    .await;
    let lookup = fake_lookup(&[
        ("registry.test", "127.0.0.1"),
        ("cdn.test", "127.0.0.1"),
        ("cdn.test.", "127.0.0.1"),
        ("intranet.test", "10.0.0.1"),
        ("metadata.test", "169.254.169.254"),
        ("v6.test", "fe80::1"),
        ("nothing.test", "0.0.0.0"),
    ]);
    let base = upstream.url("").replace("127.0.0.1", "registry.test");
    let client = client_of(&base, &lookup);
    let ask = async |to: &str| {
        let url = format!("{base}/to/{to}");
        client.get(&Request::new(&url), 100).await
    };
    let port = cdn.url("").rsplit(':').next().expect("port").to_owned();
    for host in ["cdn.test", "127.0.0.1", "CDN.test."] {
        let answer =
            ask(&format!("{host}:{port}/a")).await.unwrap_or_else(|error| panic!("{host}: {}", error_chain(&error)));
        assert_eq!(answer.body, &b"cdn"[..]);
    }
    for (host, class) in [
        ("intranet.test", "private"),
        ("metadata.test", "link-local"),
        ("v6.test", "link-local"),
        ("nothing.test", "unspecified"),
        ("169.254.169.254", "link-local"),
        ("10.1.2.3", "private"),
        ("[::ffff:10.1.2.3]", "private"),
        ("[fd00::1]", "private"),
        ("0", "unspecified"),
    ] {
        let error = ask(&format!("{host}:{port}/a")).await.expect_err(host);
        assert!(matches!(error, Error::ForbiddenHost { .. }), "{host}: {error:?}");
        assert!(error_chain(&error).contains(&format!("has a {class} address")), "{}", error_chain(&error));
    }
    assert_eq!(cdn.heads().len(), 3);
}

#[tokio::test]
async fn the_dl_url_of_config_json_is_checked_like_a_redirect() {
    let inner = Server::start(|_, _| Action::Send(reply(200, "", b"INTERNAL").into())).await;
    // The configured registry is in another network than this machine.
    let lookup = fake_lookup(&[("crates.test", "10.0.0.1"), ("evil.test", "127.0.0.1")]);
    let client = client_of("https://crates.test/index/", &lookup);
    let target = DownloadTarget::new();
    for host in ["127.0.0.1", "localhost", "evil.test", "[::ffff:127.0.0.1]"] {
        let url = inner.url("/admin").replace("127.0.0.1", host);
        let request = Request::new(&url);
        let error = client.download(&request, &target.path(), Sha256::of(b""), 100, &|_| {}).await.expect_err(host);
        assert!(matches!(error, Error::ForbiddenHost { .. }), "{host}: {error:?}");
    }
    assert_eq!(inner.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn internal_addresses_are_rejected_behind_a_proxy_too() {
    let proxy = Server::start(|head, _| match head.starts_with("GET http://crates.test/") {
        true => {
            let to = head.split("/to/").nth(1).and_then(|rest| rest.split(' ').next()).expect("a path");
            Action::Send(reply(302, &format!("Location: http://{to}\r\n"), b"").into())
        }
        false => Action::Send(reply(200, "", b"proxied").into()),
    })
    .await;
    let mut settings = Settings { configured_urls: vec!["http://crates.test/".to_owned()], ..settings() };
    settings.proxy = ProxySettings::of_env(&Env::from_vars([("http_proxy", proxy.url("").as_str())]));
    let client = Client::with_lookup(&settings, fake_lookup(&[])).expect("client");
    let ask = async |to: &str| {
        let url = format!("http://crates.test/to/{to}");
        client.get(&Request::new(&url), 100).await
    };
    assert_eq!(ask("cdn.test/a").await.expect("a name is the proxy's to resolve").body, &b"proxied"[..]);
    for host in ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"] {
        let error = ask(&format!("{host}/a")).await.expect_err(host);
        assert!(matches!(error, Error::ForbiddenHost { .. }), "{host}: {error:?}");
    }
}

#[tokio::test]
async fn bodies_of_internal_services_are_not_quoted() {
    let inner = Server::start(|_, _| Action::Send(reply(403, PLAIN, b"INTERNAL-ONLY").into())).await;
    let there = inner.url("/admin");
    let upstream = Server::start(move |head, _| match head.starts_with("GET /own") {
        true => Action::Send(reply(403, PLAIN, b"quota exceeded").into()),
        false => Action::Send(reply(302, &format!("Location: {there}\r\n"), b"").into()),
    })
    .await;
    let client = client_of(&upstream.url("/"), &fake_lookup(&[]));
    let error = client.get(&Request::new(&upstream.url("/a")), 100).await.expect_err("refused");
    assert!(
        error_chain(&error).contains("HTTP 403") && !error_chain(&error).contains("INTERNAL"),
        "{}",
        error_chain(&error)
    );
    let error = client.get(&Request::new(&upstream.url("/own")), 100).await.expect_err("refused");
    assert!(error_chain(&error).contains("quota exceeded"), "{}", error_chain(&error));
}
