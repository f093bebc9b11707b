//! Requests the index of a server as cargo would, and says why cargo cannot use it as configured: a wrong scheme, an
//! unknown certificate authority, a missing token, no server, or a server that is no mirror.

use std::time::Duration;

use serde::Deserialize;

use super::args::Args;
use crate::client_setup::{BaseUrl, ClientSetup, shell_argument};
use crate::commands::Context;
use crate::error_report::Failure;
use crate::event::Sink;
use crate::http::{self, CertificateFault, Client, Request, Settings};

/// Timeout of the connection, and of a response without data.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest config.json of an index, in bytes.
const MAX_CONFIG_BYTES: u64 = 64 * 1024;

/// What keeps cargo from using the server.
#[derive(Debug)]
pub(super) struct Obstacle {
    cause: String,
    hint: String,
}

impl Obstacle {
    /// The obstacle as a warning.
    pub(super) fn into_warning(self, base: &BaseUrl) -> String {
        format!("cargo cannot use the mirror at `{base}`: {}; {}", self.cause, self.hint)
    }
}

/// The part of an index's config.json that cargo needs.
#[derive(Deserialize)]
struct IndexConfig {
    #[serde(rename = "dl")]
    _download_url: String,
}

/// Requests the index at `base` with the HTTP settings of the user's cargo. A certificate that only this program cannot
/// check is a warning.
///
/// # Errors
/// A signal interrupted the request. The inner error is the [`Obstacle`].
pub(super) fn check_server(
    base: &BaseUrl,
    client: &ClientSetup,
    args: &Args,
    mut settings: Settings,
    context: &Context,
) -> Result<Result<(), Obstacle>, Failure> {
    if let Some(ca) = &client.ca {
        settings.cainfo = Some(ca.clone());
    }
    settings.retries = 0;
    settings.connect_timeout = settings.connect_timeout.min(TIMEOUT);
    settings.low_speed_timeout = settings.low_speed_timeout.min(TIMEOUT);
    let probe = ServerProbe { base, setup: client, args, settings: &settings, context };
    context.run_interruptible(async { Ok::<_, Failure>(probe.run().await) })
}

struct ServerProbe<'a> {
    base: &'a BaseUrl,
    setup: &'a ClientSetup,
    args: &'a Args,
    settings: &'a Settings,
    context: &'a Context,
}

impl ServerProbe<'_> {
    async fn run(&self) -> Result<(), Obstacle> {
        let client = Client::new(self.settings).map_err(|error| self.unusable_settings(error))?;
        let error = match get_index_config(&client, self.base.as_str()).await {
            Ok(response) if is_index_config(&response) => return Ok(()),
            Ok(response) if response.status == 200 => {
                return Err(self.not_a_mirror("the file is not the configuration of an index"));
            }
            Ok(response) => return Err(self.not_a_mirror(&format!("HTTP {}", response.status))),
            Err(http::Error::Status { status: 401, .. }) if self.setup.requires_token => return Ok(()),
            Err(http::Error::Status { status: 401, .. }) => return Err(self.token_required()),
            Err(http::Error::Certificate { source, .. }) => return self.check_certificate_error(source),
            Err(error) => error,
        };
        let other = self.base.with_other_scheme();
        // A proxy also answers for a server that does not run, and the default port of the other scheme may be of
        // another server.
        let is_proxied = [self.base, &other].into_iter().any(|base| self.proxy(base).is_some());
        let is_other_protocol =
            matches!(error, http::Error::Transport { .. } | http::Error::Status { status: 400, .. });
        match get_index_config(&client, other.as_str()).await {
            Ok(response) if is_index_config(&response) => Err(self.wrong_scheme(&other, false)),
            Err(http::Error::Certificate { .. }) if is_other_protocol => {
                Err(self.wrong_scheme(&other, self.setup.ca.is_none()))
            }
            Ok(_) | Err(http::Error::Status { .. }) if is_other_protocol && !is_proxied => {
                Err(self.wrong_scheme(&other, false))
            }
            _ => Err(self.no_answer(&error)),
        }
    }

    /// Where the proxy for `base` was set.
    fn proxy(&self, base: &BaseUrl) -> Option<String> {
        let scheme = if base.as_str().to_ascii_lowercase().starts_with("https") { "https" } else { "http" };
        Some(self.settings.proxy.proxy_for(scheme, base.host()?)?.origin.clone())
    }

    fn wrong_scheme(&self, other: &BaseUrl, needs_ca: bool) -> Obstacle {
        let command = self.command(other, needs_ca.then_some("FILE"), false);
        let mut hint = format!("run `{command}`");
        if needs_ca {
            hint.push_str(CA_FILE);
        }
        let cause = format!("the server answers at `{other}`, but not at `{}`", self.base);
        Obstacle { cause, hint }
    }

    fn token_required(&self) -> Obstacle {
        let hint = format!("run `{}`, then `cargo login --registry frostmirror`", self.command(self.base, None, true));
        Obstacle { cause: "the server requires a read token".to_owned(), hint }
    }

    fn not_a_mirror(&self, why: &str) -> Obstacle {
        let base = self.base;
        Obstacle {
            cause: format!("the server has no index at `{base}/index/config.json`: {why}"),
            hint: "check the URL: it ends before `/index`; for a mirror on a static web server, import a bundle with \
                   `cargo frostmirror import --base-url URL`"
                .to_owned(),
        }
    }

    /// The error of a server whose certificate this program rejects. Cargo's TLS library accepts some of them.
    fn check_certificate_error(&self, fault: CertificateFault) -> Result<(), Obstacle> {
        use CertificateFault as F;
        let cause = format!("the certificate of the server is not trusted: {fault}");
        match fault {
            F::Expired { .. } | F::NotValidYet { .. } | F::Revoked => {
                let failure = Failure::from(http::Error::Certificate { url: self.base.to_string(), source: fault });
                Err(Obstacle { cause, hint: failure.hint.unwrap_or_default() })
            }
            F::WrongName { ref names, .. } if !names.is_empty() => Err(Obstacle {
                cause,
                hint:
                    "give a URL with a name that is in the certificate, or ask the server's operator for a certificate \
                       with this name"
                        .to_owned(),
            }),
            F::UnknownIssuer | F::BadSignature => Err(self.unknown_authority()),
            // OpenSSL accepts the host in the subject instead of the subjectAltName, for example, and rustls does not.
            _ if self.setup.ca.is_some() => {
                self.context.reporter.warning(format!(
                    "could not check the certificate of `{}`: {fault}; cargo checks it at its first request",
                    self.base
                ));
                Ok(())
            }
            _ => Err(self.unknown_authority()),
        }
    }

    fn unknown_authority(&self) -> Obstacle {
        let cause = match &self.setup.ca {
            Some(ca) => format!("no certificate in `{}` has signed the certificate of the server", ca.display()),
            None => "an unknown certificate authority signed the certificate of the server".to_owned(),
        };
        let hint = format!("run `{}`{CA_FILE}", self.command(self.base, Some("FILE"), false));
        Obstacle { cause, hint }
    }

    fn no_answer(&self, error: &http::Error) -> Obstacle {
        let base = self.base;
        let proxy = self.proxy(base);
        let through = proxy.as_ref().map_or_else(String::new, |origin| format!(" through the proxy of {origin}"));
        let cause = match error {
            http::Error::Status { .. } => format!("the server answered with {}{through}", error.cause()),
            _ => format!("no server answers{through}: {}", error.cause()),
        };
        let hint = match (proxy, base.host()) {
            (Some(_), Some(host)) => {
                format!("if the mirror is not behind the proxy, add `{host}` to the variable NO_PROXY")
            }
            _ => "start `cargo frostmirror serve` there, or correct the URL; `--offline` omits this check".to_owned(),
        };
        Obstacle { cause, hint }
    }

    fn unusable_settings(&self, error: http::Error) -> Obstacle {
        let Failure { cause, hint, .. } = Failure::from(error);
        let hint = hint.unwrap_or_else(|| "correct cargo's configuration".to_owned());
        Obstacle { cause: crate::error_chain::one_line(cause.as_ref()), hint }
    }

    /// The command line of this run with a correction.
    fn command(&self, url: &BaseUrl, ca: Option<&str>, auth_required: bool) -> String {
        let args = self.args;
        let mut command = format!("cargo frostmirror setup --url {}", shell_argument(url.as_str()));
        let given = args.ca.as_deref().map(|ca| shell_argument(&ca.to_string_lossy()));
        if let Some(ca) = ca.map(str::to_owned).or(given) {
            command.push_str(&format!(" --ca {ca}"));
        }
        if let Some(check) = args.check_revoke {
            command.push_str(&format!(" --check-revoke {check}"));
        }
        for (flag, is_given) in [("--auth-required", args.auth_required || auth_required), ("--write", args.write)] {
            if is_given {
                command.push_str(&format!(" {flag}"));
            }
        }
        command
    }
}

/// The end of a hint that names `--ca FILE`.
const CA_FILE: &str =
    ", where FILE has the certificate (PEM) that signed the server's, or the server's own if it is self-signed";

fn is_index_config(response: &http::Response) -> bool {
    response.status == 200 && serde_json::from_slice::<IndexConfig>(&response.body).is_ok()
}

async fn get_index_config(client: &Client, base: &str) -> Result<http::Response, http::Error> {
    client.get(&Request::new(&format!("{base}/index/config.json")), MAX_CONFIG_BYTES).await
}
