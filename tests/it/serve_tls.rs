//! The server over TLS: the real cargo, HTTP/2, certificates that change, and files that are none.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crate::bundle_builder::BundleBuilder;
use crate::support::client::{Client, Project};
use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::MirrorTree;
use crate::support::tls::CertificateAuthority;
use crate::support::wait;

/// `openssl x509 -req -signkey KEY` without an extension file.
const VERSION_1: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBIzCBywIUbXTYPBpyAnDc5+SsbJoCjRB3D/YwCgYIKoZIzj0EAwIwFDESMBAG\n\
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDA1MzAyMVoYDzIxMjYxMTA2MDUzMDIx\n\
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AATFt8cFksqDLr9/75lBrWyi7mE0zzO5OSUb5plgRCxNz6ypNUzfYPaGT1fmmL0N\n\
p5GL7Nko0kcKkT9Hz9P5UDZ2MAoGCCqGSM49BAMCA0cAMEQCIC6Ruw9kcBBJ8RTz\n\
ltPzZWaxv+3CWSwRdSS7yUTYUgduAiAKaOSdvpyersgkNrX9tHS/0a3VPH5/9IM8\n\
DEwk70eJpA==\n\
-----END CERTIFICATE-----\n";
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// A certificate and its key, put in their places by rename.
fn write_certificate(sandbox: &Sandbox, authority: &CertificateAuthority) {
    let (certificate, key) = authority.issue(&NAMES);
    for (name, text) in [("cert.pem", certificate), ("key.pem", key)] {
        let new = sandbox.write("new.pem", text);
        fs::rename(new, sandbox.path(name)).unwrap();
    }
}

fn start_server(authority: &CertificateAuthority) -> (Sandbox, MirrorTree, RunningServer) {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    for n in 0..60 {
        mirror.add_crate(Crate::new(&format!("leaf{n}"), "1.0.0").with_extra_bytes(n * 2_000));
    }
    write_certificate(&sandbox, authority);
    let serving = sandbox.serve(["--mirror", "mirror", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    (sandbox, mirror, serving)
}

/// A cargo with the configuration that `setup` prints, which trusts this authority alone.
fn client(sandbox: &Sandbox, serving: &RunningServer, authority: &CertificateAuthority) -> Client {
    let printed = sandbox.run(["setup", "--url", serving.url()]).ok().stdout;
    let ca = sandbox.write("ca.pem", authority.pem());
    Client::new().config(&printed).env("CARGO_HTTP_CAINFO", ca.to_str().unwrap())
}

fn write_app(sandbox: &Sandbox) -> PathBuf {
    (0..60)
        .fold(Project::new("app").dep("leaf", "1"), |app, n| app.dep(&format!("leaf{n}"), "1"))
        .write(&sandbox.path("app"))
}

/// A client that trusts this authority alone, and offers both versions of HTTP, or only the older one.
fn http_client(authority: &CertificateAuthority, http2: bool) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    let pem = authority.pem();
    let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { Vec::new() };
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(config).build().unwrap()
}

fn block_on<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

/// One GET.
fn get(url: &str, authority: &CertificateAuthority, http2: bool) -> Result<(reqwest::Version, String), reqwest::Error> {
    block_on(async {
        let answer = http_client(authority, http2).get(url).send().await?.error_for_status()?;
        Ok((answer.version(), answer.text().await?))
    })
}

#[test]
fn a_bundle_is_uploaded_over_http_2() {
    const ADMIN: &str = "admin-0123456789abcdef";
    let authority = CertificateAuthority::new();
    let sandbox = Sandbox::new();
    write_certificate(&sandbox, &authority);
    fs::create_dir_all(sandbox.path("made")).unwrap();
    let large = Crate::new("large", "1.0.0").with_extra_bytes(6_000_000);
    let bundle = BundleBuilder::new("one", 1).ship(large).write(&sandbox.path("made"), "one.pkg");
    let folders = ["--mirror", "mirror", "--incoming", "incoming", "--config-dir", "config"];
    let args = ["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--watch-incoming", "--admin-token", ADMIN];
    let serving = sandbox.serve(folders.iter().chain(&args));
    let bytes = fs::read(bundle).unwrap();
    assert!(bytes.len() > 3_000_000, "more than any window that is open at first: {}", bytes.len());
    let to = |name: &str| format!("{}/api/incoming/{name}", serving.url());
    let upload = |token: &'static str, name: &str| {
        let request = http_client(&authority, true).put(to(name)).bearer_auth(token).body(bytes.clone());
        block_on(async { request.send().await.map(|answer| (answer.version(), answer.status().as_u16())) })
    };
    // An unauthorized request is refused before its body is read, by an answer or by the end of the stream.
    assert!(upload("admin-0123456789abcdeg", "two.pkg").is_ok_and(|(_, status)| status == 401));
    assert_eq!(upload(ADMIN, "one.pkg").unwrap(), (reqwest::Version::HTTP_2, 201));
    let stored = sandbox.path("mirror/crates/large-1.0.0.crate");
    wait::until_with("the uploaded bundle is imported", || serving.running().stderr(), || stored.exists());
    assert!(!sandbox.path("incoming/two.pkg").exists());
}

#[test]
fn responses_have_strict_transport_security() {
    let authority = CertificateAuthority::new();
    let (sandbox, mirror, serving) = start_server(&authority);
    let output = |url: String| {
        let answer = block_on(http_client(&authority, true).get(url).send()).unwrap();
        answer.headers().get("strict-transport-security").map(|value| value.to_str().unwrap().to_owned())
    };
    for path in ["/", "/api/status", "/index/le/af/leaf", "/crates/leaf-1.0.0.crate", "/nothing"] {
        assert_eq!(output(format!("{}{path}", serving.url())).as_deref(), Some("max-age=2592000"), "{path}");
    }
    serving.stop().ok();
    // Without TLS it would shut out everybody.
    let plain = sandbox.serve(["--mirror", "mirror"]);
    let reply = crate::support::server_fixture::get(plain.url(), "/api/status", &[]);
    assert_eq!((reply.status, reply.header("strict-transport-security")), (200, None));
    drop(mirror);
}

#[test]
fn cargo_works_over_tls() {
    let authority = CertificateAuthority::new();
    let (sandbox, _mirror, serving) = start_server(&authority);
    assert!(serving.url().starts_with("https://127.0.0.1:"), "{}", serving.url());
    let client = client(&sandbox, &serving, &authority);
    let app = write_app(&sandbox);
    client.lock(&app);
    client.clear_caches();
    client.cargo(&app, ["fetch", "--locked"]).ok();
    client.cargo(&app, ["info", "leaf", "--registry", "frostmirror"]).ok().stdout_has("1.0.0");

    // Both versions of HTTP have the same to say, and the address in it is one of TLS.
    let config = format!("{}/index/config.json", serving.url());
    let (second, text) = get(&config, &authority, true).unwrap();
    let (first, same) = get(&config, &authority, false).unwrap();
    assert_eq!((first, second, &text), (reqwest::Version::HTTP_11, reqwest::Version::HTTP_2, &same));
    assert!(text.contains(&format!("{}/crates/", serving.url())), "{text}");

    // Who does not trust the authority, and who speaks no TLS, gets nothing; and the server goes on.
    client.clear_caches();
    let untrusting = client
        .env("CARGO_HTTP_CAINFO", sandbox.write("other.pem", CertificateAuthority::new().pem()).to_str().unwrap());
    untrusting.cargo(&app, ["fetch", "--locked"]).exits(101);
    let plain = crate::support::server_fixture::RawConnection::connect(&serving.url().replace("https", "http"))
        .request("GET", "/", &[])
        .read_to_end();
    assert!(!plain.starts_with(b"HTTP/1.1 2"));
    assert!(get(&config, &authority, true).is_ok());
    serving.stop().ok();
}

#[test]
fn a_new_certificate_is_loaded_and_an_invalid_one_ignored() {
    let authority = CertificateAuthority::new();
    let (sandbox, _mirror, serving) = start_server(&authority);
    let health = format!("{}/healthz", serving.url());
    assert!(get(&health, &authority, true).is_ok());
    sandbox.write("cert.pem", "half a certi");
    wait::until("the log reports the invalid certificate", || serving.running().stderr().contains("the old one stays"));
    assert!(get(&health, &authority, true).is_ok());
    let next = CertificateAuthority::new();
    write_certificate(&sandbox, &next);
    wait::until("the new certificate is served", || get(&health, &next, true).is_ok());
    assert!(get(&health, &authority, true).is_err());
}

#[test]
fn an_invalid_certificate_and_key_pair_is_refused() {
    let sandbox = Sandbox::new();
    let authority = CertificateAuthority::new();
    write_certificate(&sandbox, &authority);
    sandbox.write("other.pem", authority.issue(&NAMES).1);
    sandbox.write("text.pem", "no PEM\n");
    let serve = |certificate: &str, key: &str| {
        let args =
            ["serve", "--bind", "127.0.0.1:0", "--mirror", "mirror", "--tls-cert", certificate, "--tls-key", key];
        sandbox.run(args).exits(3).stderr_has("hint:")
    };
    serve("cert.pem", "other.pem").stderr_has("cannot be used with the certificate");
    serve("cert.pem", "text.pem").stderr_has("contains no private key");
    serve("text.pem", "key.pem").stderr_has("contains no certificate");
    serve("key.pem", "cert.pem").stderr_has("contains no certificate");
    let old = sandbox.write("old.pem", VERSION_1);
    serve("old.pem", "key.pem").stderr_has(&format!("the certificate in `{}` cannot be used", old.display()));
    serve("old.pem", "key.pem").stderr_has("version 1").stderr_has("openssl req -x509");
    serve("none.pem", "key.pem").stderr_has("none.pem`");
    sandbox.run(["serve", "--bind", "127.0.0.1:0", "--tls-cert", "cert.pem"]).exits(2).stderr_has("--tls-key");
}

#[test]
fn an_invalid_certificate_is_warned_of_and_measured() {
    for (from, to, warned) in [
        (2020, 2021, Some("the TLS certificate expired at 2021-01-01T00:00:00Z")),
        (2990, 3000, Some("the TLS certificate is not valid before 2990-01-01T00:00:00Z")),
        (2020, 3000, None),
    ] {
        let sandbox = Sandbox::new();
        let (certificate, key) = CertificateAuthority::new().pair_of_years(&NAMES, from, to);
        sandbox.write("cert.pem", certificate);
        sandbox.write("key.pem", key);
        let serving = sandbox.serve(["--mirror", "mirror", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
        // No client that judges certificates would ask it.
        let get = |path: &str| {
            let url = format!("{}{path}", serving.url());
            let _is_there_already = rustls::crypto::ring::default_provider().install_default().is_err();
            let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
            block_on(async {
                client.get(url).header("Accept", "text/html").send().await.unwrap().text().await.unwrap()
            })
        };
        let metrics = get("/metrics");
        let second = |year: i32| {
            jiff::civil::date(i16::try_from(year).unwrap(), 1, 1)
                .to_zoned(jiff::tz::TimeZone::UTC)
                .unwrap()
                .timestamp()
                .as_second()
        };
        for line in [
            format!("frostmirror_tls_certificate_not_before_timestamp_seconds {}\n", second(from)),
            format!("frostmirror_tls_certificate_not_after_timestamp_seconds {}\n", second(to)),
        ] {
            assert!(metrics.contains(&line), "{line}: {metrics}");
        }
        let (status, page) = (get("/api/status"), get("/"));
        assert!(get("/healthz").contains("ok"), "files are served all the same");
        let run = serving.stop().ok();
        match warned {
            Some(warned) => {
                assert!(status.contains(warned) && page.contains("Clients reject the TLS certificate"), "{status}");
                let reported = run.stderr.matches(warned).count();
                assert_eq!(reported, 1, "{}", run.stderr);
                assert!(run.stderr.contains("cert.pem"), "{}", run.stderr);
            }
            None => assert!(!status.contains("certificate") && !run.stderr.contains("certificate"), "{}", run.stderr),
        }
    }
}
