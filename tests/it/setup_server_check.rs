//! `setup` contacts the server, and warns if cargo cannot use it, with the command that corrects this.

use std::fs;

use crate::support::crates::Crate;
use crate::support::process::Run;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::MirrorTree;
use crate::support::tls::{CertificateAuthority, self_signed_authority};

const LOOPBACK: &[&str] = &["127.0.0.1", "localhost"];

fn sandbox_with_mirror() -> Sandbox {
    let sandbox = Sandbox::new().without_env("no_proxy").without_env("http_proxy").without_env("https_proxy");
    MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("leaf", "1.0.0"));
    sandbox
}

/// Serves the mirror over TLS, with a certificate for `names`; `ca.pem` has its authority.
fn serve_tls(sandbox: &Sandbox, names: &[&str]) -> RunningServer {
    let authority = CertificateAuthority::new();
    let (certificate, key) = authority.issue(names);
    sandbox.write("ca.pem", authority.pem());
    sandbox.write("cert.pem", certificate);
    sandbox.write("key.pem", key);
    sandbox.serve(["--mirror", "mirror", "--tls-cert", "cert.pem", "--tls-key", "key.pem"])
}

/// The command between backticks in the warning, without the program's name, and with `file` for `FILE`.
fn hinted_args(run: &Run, file: &str) -> Vec<String> {
    let warning = run.stderr.split("warning: ").last().unwrap_or_default();
    let command = warning.split('`').find_map(|part| part.strip_prefix("cargo frostmirror "));
    let command = command.unwrap_or_else(|| panic!("no command: {}", run.describe()));
    command.split(' ').map(|arg| if arg == "FILE" { file } else { arg }.to_owned()).collect()
}

/// `setup --write` writes, and warns that cargo cannot use the server.
#[track_caller]
fn assert_warns(sandbox: &Sandbox, args: &[&str]) -> Run {
    let args: Vec<&str> = ["setup", "--write"].iter().chain(args).copied().collect();
    let run = sandbox.run(args).ok().stderr_has("warning: cargo cannot use the mirror at");
    assert!(sandbox.cargo_home().join("config.toml").exists());
    run
}

/// The command of the warning succeeds, and cargo's configuration then names `url`.
#[track_caller]
fn assert_hint_works(sandbox: &Sandbox, warned: &Run, url: &str) {
    sandbox.run(hinted_args(warned, "ca.pem")).ok().stderr_lacks("cargo cannot use");
    let text = fs::read_to_string(sandbox.cargo_home().join("config.toml")).unwrap();
    assert!(text.contains(&format!("index = \"sparse+{url}/index/\"")), "{text}");
}

#[test]
fn an_unknown_certificate_authority_is_reported_with_the_option_that_adds_it() {
    let sandbox = sandbox_with_mirror();
    let serving = serve_tls(&sandbox, LOOPBACK);
    let url = serving.url();
    let run = assert_warns(&sandbox, &["--url", url, "--check-revoke", "false"]);
    let run = run.stderr_has("an unknown certificate authority signed the certificate");
    let run = run.stderr_has(&format!("`cargo frostmirror setup --url {url} --ca FILE --check-revoke false --write`"));
    assert_hint_works(&sandbox, &run, url);
    // The new configuration would lack the certificate that the old one names.
    assert_warns(&sandbox, &["--url", url]).stderr_has("--ca FILE");
    let other = sandbox.write("other.pem", CertificateAuthority::new().pem());
    let run = assert_warns(&sandbox, &["--url", url, "--ca", "other.pem"]);
    run.stderr_has(&format!("no certificate in `{}` has signed", other.display()));
}

#[test]
fn a_self_signed_authority_is_accepted_as_the_certificate_of_the_server() {
    let sandbox = sandbox_with_mirror();
    let (certificate, key) = self_signed_authority(LOOPBACK);
    sandbox.write("ca.pem", &certificate);
    sandbox.write("key.pem", key);
    let serving = sandbox.serve(["--mirror", "mirror", "--tls-cert", "ca.pem", "--tls-key", "key.pem"]);
    let run = assert_warns(&sandbox, &["--url", serving.url()]).stderr_has("--ca FILE --write");
    assert_hint_works(&sandbox, &run, serving.url());
    sandbox.run(["setup", "--url", serving.url(), "--ca", "ca.pem"]).ok().stderr_lacks("warning");
}

#[test]
fn the_other_scheme_is_named_with_the_command_that_uses_it() {
    let sandbox = sandbox_with_mirror();
    let serving = serve_tls(&sandbox, LOOPBACK);
    let plain = serving.url().replace("https://", "http://");
    let run = assert_warns(&sandbox, &["--url", &plain]);
    let run = run.stderr_has(&format!("the server answers at `{}`, but not at `{plain}`", serving.url()));
    assert_hint_works(&sandbox, &run, serving.url());
    let run = assert_warns(&sandbox, &["--url", &plain, "--ca", "ca.pem"]).stderr_has("--ca ca.pem --write");
    assert_hint_works(&sandbox, &run, serving.url());
    serving.stop().ok();

    let serving = sandbox.serve(["--mirror", "mirror"]);
    let secure = serving.url().replace("http://", "https://");
    let run = assert_warns(&sandbox, &["--url", &secure]);
    let run = run.stderr_has(&format!("the server answers at `{}`, but not at `{secure}`", serving.url()));
    assert_hint_works(&sandbox, &run, serving.url());
}

#[test]
fn a_certificate_for_another_name_is_reported_with_its_names() {
    let sandbox = sandbox_with_mirror();
    let serving = serve_tls(&sandbox, &["mirror.example"]);
    let run = assert_warns(&sandbox, &["--url", serving.url(), "--ca", "ca.pem"]);
    run.stderr_has("mirror.example").stderr_has("give a URL with a name that is in the certificate");
}

#[test]
fn a_server_that_does_not_answer_is_reported_unless_the_check_is_omitted() {
    let sandbox = sandbox_with_mirror();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let url = serving.url().to_owned();
    serving.stop().ok();
    let run = assert_warns(&sandbox, &["--url", &url]).stderr_has("no server answers: connection refused");
    let run = run.stderr_has("start `cargo frostmirror serve` there");
    run.stderr_has("`--offline` omits this check");
    sandbox.run(["setup", "--url", &url, "--offline", "--write"]).ok().stderr_lacks("warning");
}

#[test]
fn a_server_that_requires_a_token_is_reported_with_the_option_for_it() {
    let sandbox = sandbox_with_mirror();
    sandbox.write("config/frostmirror.toml", "auth_required = true\nread_token_file = 'readers'\n");
    sandbox.write("config/readers", "reader-0123456789abcdef\n");
    let token = "admin-0123456789abcdef";
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", token]);
    let run = assert_warns(&sandbox, &["--url", serving.url()]).stderr_has("the server requires a read token");
    let run = run.stderr_has("--auth-required --write`, then `cargo login --registry frostmirror`");
    assert_hint_works(&sandbox, &run, serving.url());
}

#[test]
fn a_server_without_a_mirror_at_the_url_is_reported() {
    let sandbox = sandbox_with_mirror();
    let serving = sandbox.serve(["--mirror", "mirror"]);
    let below = format!("{}/elsewhere", serving.url());
    let run = assert_warns(&sandbox, &["--url", &below]);
    run.stderr_has(&format!("no index at `{below}/index/config.json`: HTTP 404")).stderr_has("check the URL");
}

#[test]
fn printing_warns_of_the_same_and_still_prints() {
    let sandbox = sandbox_with_mirror();
    let serving = serve_tls(&sandbox, LOOPBACK);
    let plain = serving.url().replace("https://", "http://");
    let run = sandbox.run(["setup", "--url", &plain]).ok().stdout_has(&format!("sparse+{plain}/index/"));
    let run = run.stderr_has(&format!("warning: cargo cannot use the mirror at `{plain}`: the server answers at"));
    run.stderr_has(&format!("run `cargo frostmirror setup --url {} --ca FILE`", serving.url()));
    sandbox.run(["setup", "--url", serving.url()]).ok().stderr_has("unknown certificate authority");
    sandbox.run(["setup", "--url", serving.url(), "--ca", "ca.pem"]).ok().stderr_lacks("warning");
    for quiet in [&["--offline"][..], &["--env", "sh"]] {
        sandbox.run(["setup", "--url", &plain].iter().chain(quiet)).ok().stderr_lacks("warning");
    }
}
