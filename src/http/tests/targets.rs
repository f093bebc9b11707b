//! Hosts that upstream chooses, and that only this machine or its network can reach.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::http::targets::Lookup;

/// Resolves these names, and no others.
fn names(answers: &[(&str, &str)]) -> Lookup {
    let answers: HashMap<String, IpAddr> =
        answers.iter().map(|(name, address)| ((*name).to_owned(), address.parse().expect("address"))).collect();
    Arc::new(move |name| {
        let found = answers.get(&name).copied().ok_or_else(|| io::ErrorKind::NotFound.into());
        Box::pin(async move { found.map(|address| vec![address]) })
    })
}

/// A client of the registry at `url`.
fn client_of(url: &str, lookup: &Lookup) -> Client {
    let settings = Settings { configured: vec![url.to_owned()], ..settings() };
    Client::with_lookup(&settings, Arc::clone(lookup)).expect("client")
}

#[tokio::test]
async fn a_redirect_goes_to_hosts_of_upstreams_own_kind_and_no_others() {
    let cdn = Server::start(|_, _| Act::Send(reply(200, "", b"cdn").into())).await;
    let upstream = Server::start(|head, _| {
        let to = head.split(' ').nth(1).and_then(|path| path.strip_prefix("/to/")).expect("a path").to_owned();
        Act::Send(reply(302, &format!("Location: http://{to}\r\n"), b"").into())
    })
    .await;
    let lookup = names(&[
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
        let answer = ask(&format!("{host}:{port}/a")).await.unwrap_or_else(|error| panic!("{host}: {}", told(&error)));
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
        assert!(matches!(error, Error::Target { .. }), "{host}: {error:?}");
        assert!(told(&error).contains(&format!("has a {class} address")), "{}", told(&error));
    }
    assert_eq!(cdn.heads().len(), 3);
}

#[tokio::test]
async fn a_download_address_of_upstreams_is_checked_as_a_redirect_is() {
    let inner = Server::start(|_, _| Act::Send(reply(200, "", b"INTERNAL").into())).await;
    // The configured registry is in another network than this machine.
    let lookup = names(&[("crates.test", "10.0.0.1"), ("evil.test", "127.0.0.1")]);
    let client = client_of("https://crates.test/index/", &lookup);
    let target = Target::new();
    for host in ["127.0.0.1", "localhost", "evil.test", "[::ffff:127.0.0.1]"] {
        let url = inner.url("/admin").replace("127.0.0.1", host);
        let request = Request::new(&url);
        let error = client.download(&request, &target.path(), Sha256::of(b""), 100, &|_| {}).await.expect_err(host);
        assert!(matches!(error, Error::Target { .. }), "{host}: {error:?}");
    }
    assert_eq!(inner.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn behind_a_proxy_addresses_of_this_machine_and_its_network_are_refused_too() {
    let proxy = Server::start(|head, _| match head.starts_with("GET http://crates.test/") {
        true => {
            let to = head.split("/to/").nth(1).and_then(|rest| rest.split(' ').next()).expect("a path");
            Act::Send(reply(302, &format!("Location: http://{to}\r\n"), b"").into())
        }
        false => Act::Send(reply(200, "", b"proxied").into()),
    })
    .await;
    let mut settings = Settings { configured: vec!["http://crates.test/".to_owned()], ..settings() };
    settings.proxy = ProxySettings::of_env(&Env::of([("http_proxy", proxy.url("").as_str())]));
    let client = Client::with_lookup(&settings, names(&[])).expect("client");
    let ask = async |to: &str| {
        let url = format!("http://crates.test/to/{to}");
        client.get(&Request::new(&url), 100).await
    };
    assert_eq!(ask("cdn.test/a").await.expect("a name is the proxy's to resolve").body, &b"proxied"[..]);
    for host in ["127.0.0.1", "localhost", "10.0.0.1", "169.254.169.254", "[::1]"] {
        let error = ask(&format!("{host}/a")).await.expect_err(host);
        assert!(matches!(error, Error::Target { .. }), "{host}: {error:?}");
    }
}

#[tokio::test]
async fn what_a_service_that_upstream_chose_says_is_not_quoted() {
    let inner = Server::start(|_, _| Act::Send(reply(403, "", b"INTERNAL-ONLY").into())).await;
    let there = inner.url("/admin");
    let upstream = Server::start(move |head, _| match head.starts_with("GET /own") {
        true => Act::Send(reply(403, "", b"quota exceeded").into()),
        false => Act::Send(reply(302, &format!("Location: {there}\r\n"), b"").into()),
    })
    .await;
    let client = client_of(&upstream.url("/"), &names(&[]));
    let error = client.get(&Request::new(&upstream.url("/a")), 100).await.expect_err("refused");
    assert!(told(&error).contains("HTTP 403") && !told(&error).contains("INTERNAL"), "{}", told(&error));
    let error = client.get(&Request::new(&upstream.url("/own")), 100).await.expect_err("refused");
    assert!(told(&error).contains("quota exceeded"), "{}", told(&error));
}
