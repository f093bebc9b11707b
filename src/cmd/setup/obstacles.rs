//! What keeps cargo from a mirror although its configuration names it: `net.offline`, a proxy, a variable, a server that is
//! not there. Each is a warning: the configuration is right, and the rest is the user's to decide.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::client_config::{BaseUrl, Client, Place};
use crate::cmd::Context;
use crate::event::Sink;
use crate::gather::cargo_config::CargoConfig;

/// How long a server may take to accept a connection.
const CONNECTS_WITHIN: Duration = Duration::from_secs(2);

/// The variable that names another index for the same registry.
const INDEX_VARIABLE: &str = "CARGO_REGISTRIES_FROSTMIRROR_INDEX";

/// Warns of what stands between cargo and the server that was configured.
pub(super) fn report(client: &Client, context: &Context) {
    let Place::Server(base) = &client.place else { return };
    let report = &context.report;
    let index = format!("sparse+{base}/index/");
    if let Some(other) = context.env.text(INDEX_VARIABLE)
        && other.trim_end_matches('/') != index.trim_end_matches('/')
    {
        report
            .warning(format!("the variable {INDEX_VARIABLE} names another index, and wins over config.toml; unset it"));
    }
    let config = match CargoConfig::read(&context.cwd, context.cargo_home().as_deref(), &context.env) {
        Ok(config) => config,
        Err(error) => {
            report
                .warning(format!("cargo's configuration cannot be checked for what keeps it from the server: {error}"));
            return;
        }
    };
    if config.offline() {
        report.warning(
            "`net.offline` is true, in cargo's configuration or as CARGO_NET_OFFLINE: cargo asks no server, the mirror \
             neither; remove it"
                .to_owned(),
        );
    }
    let Some((scheme, host, port)) = parts(base) else { return };
    if let Some(proxy) = config.http().proxy.applies_to(scheme, host) {
        report.warning(format!(
            "cargo asks the proxy of {} for `{base}`; if the mirror is not behind it, add `{host}` to the variable NO_PROXY",
            proxy.origin
        ));
    } else if let Err(error) = connect(host, port) {
        report.warning(format!(
            "no server answers at `{base}` ({error}); start `cargo-frostmirror serve` there, or check the address"
        ));
    }
}

/// Scheme, host without brackets, and port.
fn parts(base: &BaseUrl) -> Option<(&'static str, &str, u16)> {
    let (scheme, rest) = base.as_str().split_once("://")?;
    let (scheme, implied) = if scheme.eq_ignore_ascii_case("https") { ("https", 443) } else { ("http", 80) };
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = port.strip_prefix(':').filter(|port| !port.is_empty());
    Some((scheme, host, port.map_or(Some(implied), |port| port.parse().ok())?))
}

fn connect(host: &str, port: u16) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECTS_WITHIN) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_parts() {
        for (url, wanted) in [
            ("http://h", ("http", "h", 80)),
            ("HTTPS://h/m", ("https", "h", 443)),
            ("http://h:8080/m", ("http", "h", 8080)),
            ("https://[::1]:8443", ("https", "::1", 8443)),
            ("http://[::1]", ("http", "::1", 80)),
        ] {
            assert_eq!(parts(&BaseUrl::parse(url).expect(url)), Some(wanted), "{url}");
        }
    }
}
