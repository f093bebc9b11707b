//! Every chain of redirects of up to four hops, and the credentials that each hop receives.

use std::sync::Arc;

use super::*;

/// The origins of the redirects; requests begin at the first one.
struct RedirectingServers {
    /// Two ports, each with two names; and TLS, with one of these names.
    plain: [Server; 2],
    tls: server::TlsServer,
}

impl RedirectingServers {
    /// Each server redirects `/N/M/…` to origin N's `/M/…`, and answers `/` with 200.
    async fn start() -> RedirectingServers {
        let table = Arc::new(Mutex::new(Vec::<String>::new()));
        let act: Arc<server::Redirecting> = {
            let table = Arc::clone(&table);
            Arc::new(move |head: &str| {
                let path = head.split(' ').nth(1).expect("a path");
                let Some((first, rest)) = path.trim_start_matches('/').split_once('/') else {
                    return (200, String::new());
                };
                // A component that is not a number stays at the same origin.
                match first.parse::<usize>() {
                    Ok(number) => (302, format!("{}/{rest}", table.lock().expect("table")[number])),
                    Err(_) => (307, format!("/{rest}")),
                }
            })
        };
        let plain = async |act: Arc<server::Redirecting>| {
            Server::start(move |head, _| {
                let (status, location) = act(head);
                let headers = if status == 200 { String::new() } else { format!("Location: {location}\r\n") };
                Action::Send(reply(status, &headers, b"end").into())
            })
            .await
        };
        let servers = [plain(act.clone()).await, plain(act.clone()).await];
        let tls = server::TlsServer::start_redirecting(act).await;
        let names = |server: &Server| [server.url(""), server.url("").replace("127.0.0.1", "localhost")];
        let mut origins: Vec<String> = servers.iter().flat_map(names).collect();
        origins.push(tls.url("").trim_end_matches('/').replace("localhost", "127.0.0.1"));
        *table.lock().expect("table") = origins;
        RedirectingServers { plain: servers, tls }
    }

    /// All requests so far: the host with port, and whether the secret was sent.
    fn requests(&self) -> Vec<(String, bool)> {
        let plain = self.plain.iter().flat_map(Server::heads);
        let heads = plain.map(|head| ("http", head)).chain(self.tls.heads().into_iter().map(|head| ("https", head)));
        heads
            .map(|(scheme, head)| {
                let head = head.to_lowercase();
                let host = head.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host").trim().to_owned();
                (format!("{scheme}://{host}"), head.contains("s3cr3t") || head.contains("authorization"))
            })
            .collect()
    }
}

/// Discards a body.
struct DiscardingSink;

impl ChunkSink for DiscardingSink {
    async fn begin(&mut self, _length: Option<u64>, _doubtful: bool) -> io::Result<()> {
        Ok(())
    }

    async fn write_chunk(&mut self, _piece: Bytes) -> io::Result<()> {
        Ok(())
    }
}

/// Every path of at most four hops over the five origins.
fn redirect_paths() -> Vec<Vec<usize>> {
    let mut ways: Vec<Vec<usize>> = vec![Vec::new()];
    let mut longest = ways.clone();
    for _ in 0..4 {
        longest = longest
            .iter()
            .flat_map(|way| (0..5).map(move |next| way.iter().copied().chain([next]).collect()))
            .collect();
        ways.extend(longest.iter().cloned());
    }
    ways
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_reach_only_their_own_origin_over_four_hops() {
    let web = RedirectingServers::start().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let cainfo = folder.path().join("ca.pem");
    std::fs::write(&cainfo, &web.tls.authority).expect("file");
    let client = Client::new(&Settings { cainfo: Some(cainfo), multiplexing: false, ..settings() }).expect("client");
    let own = web.plain[0].url("");
    let token = Secret::new("Basic s3cr3t");
    let ways = redirect_paths();
    assert_eq!(ways.len(), 1 + 5 + 25 + 125 + 625);
    for way in &ways {
        let path: String = way.iter().map(|number| format!("/{number}")).collect();
        let url = format!("{own}{path}/");
        let request = Request { authorization: Some(&token), ..Request::new(&url) };
        match client.get(&request, 100).await {
            Ok(answer) => assert_eq!(answer.body, &b"end"[..], "{way:?}"),
            Err(error) => panic!("{way:?}: {}", error_chain(&error)),
        }
    }
    let seen = web.requests();
    assert_eq!(seen.len(), ways.iter().map(|way| way.len() + 1).sum::<usize>());
    for (origin, has_token) in &seen {
        assert_eq!(*has_token, *origin == own, "{origin}");
    }
    let origins: std::collections::BTreeSet<&String> = seen.iter().map(|(origin, _)| origin).collect();
    assert_eq!(origins.len(), 5);

    // Credentials in the URL, with every kind of request.
    let with_password = own.replace("http://", "http://user:s3cr3t@");
    let target = DownloadTarget::new();
    let (file, digest) = (target.path(), Sha256::of(b"end"));
    for way in ways.iter().filter(|way| way.len() == 3) {
        let path: String = way.iter().map(|number| format!("/{number}")).collect();
        let url = format!("{with_password}{path}/x/");
        let request = Request::new(&url);
        client.length(&request).await.expect("a length");
        std::fs::remove_file(&file).ok();
        client.download(&request, &file, digest, 100, &|_| {}).await.expect("whole");
        let url = format!("{own}{path}/");
        let request = Request { authorization: Some(&token), ..Request::new(&url) };
        std::fs::remove_file(&file).ok();
        client.download(&request, &file, digest, 100, &|_| {}).await.expect("whole");
        client.download_to_sink(&request, digest, 100, &mut DiscardingSink).await.expect("whole");
    }
    let seen = web.requests();
    assert!(seen.iter().all(|(origin, has_token)| *has_token == (*origin == own)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_https_never_goes_over_http() {
    let web = RedirectingServers::start().await;
    let folder = tempfile::tempdir().expect("temporary folder");
    let cainfo = folder.path().join("ca.pem");
    std::fs::write(&cainfo, &web.tls.authority).expect("file");
    let client = Client::new(&Settings { cainfo: Some(cainfo), multiplexing: false, ..settings() }).expect("client");
    let own = web.tls.url("").trim_end_matches('/').replace("localhost", "127.0.0.1");
    let token = Secret::new("s3cr3t");
    for way in ["/", "/0/", "/0/4/", "/4/", "/4/0/1/4/", "/x/", "/2/3/4/x/"] {
        let url = format!("{own}{way}");
        let request = Request { authorization: Some(&token), ..Request::new(&url) };
        client.get(&request, 100).await.unwrap_or_else(|error| panic!("{way}: {}", error_chain(&error)));
    }
    for (origin, has_token) in web.requests() {
        assert_eq!(has_token, origin == own, "{origin}");
    }
}

#[tokio::test]
async fn errors_name_both_ends_of_a_redirect() {
    let cdn = Server::start(|_, _| Action::Send(reply(403, PLAIN, b"expired").into())).await;
    let there = cdn.url("/signed?signature=s3cr3t");
    let server =
        Server::start(move |_, _| Action::Send(reply(302, &format!("Location: {there}\r\n"), b"").into())).await;
    let error = get(&server.url("/a")).await.expect_err("refused");
    let expected =
        format!("{} (redirected to {}) was answered with HTTP 403: expired", server.url("/a"), cdn.url("/signed"));
    assert_eq!(error_chain(&error), expected);
    for (location, why) in
        [("file:///etc/passwd", "not an http or https address"), ("http://[x/", "not a valid address")]
    {
        let server =
            Server::start(move |_, _| Action::Send(reply(301, &format!("Location: {location}\r\n"), b"").into())).await;
        let error = get(&server.url("/a")).await.expect_err("not followed");
        assert!(
            matches!(error, Error::Redirect { .. }) && error_chain(&error).contains(why),
            "{}",
            error_chain(&error)
        );
        assert_eq!(server.heads().len(), 1, "nothing is tried again");
    }
    let server = Server::start(|_, _| Action::Send(reply(302, "", b"no location").into())).await;
    assert!(error_chain(&get(&server.url("/a")).await.expect_err("nowhere")).contains("HTTP 302"));
}
