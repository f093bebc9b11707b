//! A client's configuration: the text that configures cargo and rustup for a mirror, and its merge into config.toml.
//!
//! The text names the replacement in `[registries]`, not in `[source]`. Cargo's own hints then say `--registry frostmirror`
//! instead of pointing to the internet.

mod config_edit;
mod config_file;
mod scripts;

use std::fmt;
use std::path::{Path, PathBuf};

pub use config_edit::{Change, EditError};
pub use config_file::{Error, PlannedWrite, SetupReport, UndoReport, undo};
pub use scripts::SmallProfile;

/// The mirror's name in cargo's configuration.
pub const REGISTRY_NAME: &str = "frostmirror";

/// The first components of the paths that `serve` answers.
pub const SERVER_PATHS: [&str; 17] = [
    "api",
    "assets",
    "browse",
    "config",
    "crates",
    "deps",
    "dist",
    "guide",
    "healthz",
    "index",
    "manifest.json",
    "metrics",
    "packages",
    "rustup",
    "rustup-init.ps1",
    "rustup-init.sh",
    "setup",
];

/// An invalid base URL, with the reason.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{}` is not a base URL: {reason}", url.escape_debug())]
pub struct InvalidBaseUrl {
    url: String,
    reason: &'static str,
}

/// A mirror's base URL, e.g. `http://mirror.example:8080`: http or https, a host, an optional path, and no trailing slash.
/// It contains no character with a meaning in a shell, in TOML, or in cargo's `dl` templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Parses `url`; drops trailing slashes.
    pub fn parse(url: &str) -> Result<BaseUrl, InvalidBaseUrl> {
        // A query may be a secret.
        let shown = url.split(['?', '#']).next().unwrap_or(url);
        let invalid = |reason| InvalidBaseUrl { url: shown.chars().take(200).collect(), reason };
        let rest = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => rest,
            _ => return Err(invalid("it begins with neither http:// nor https://")),
        };
        match url.chars().find(|char| matches!(char, '?' | '#')) {
            Some('?') => return Err(invalid("it has a query (from `?` on), which a base URL cannot have")),
            Some(_) => return Err(invalid("it has a fragment (from `#` on), which a base URL cannot have")),
            None => {}
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_host(host) {
            return Err(invalid("the scheme must be followed by HOST or HOST:PORT"));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%+@:,=".contains(&b);
        if url.len() > 1024 || !path.bytes().all(plain) {
            return Err(invalid("its path has a character that is not allowed in the path of a base URL"));
        }
        Ok(BaseUrl(url.trim_end_matches('/').to_owned()))
    }

    /// Parses an address on a server as users copy it from a browser or a configuration: the base URL itself, the URL of the
    /// index, or the URL of a page or a file. Everything after the base URL is dropped.
    ///
    /// # Errors
    /// The rest is not a base URL.
    pub fn of_address(address: &str) -> Result<BaseUrl, InvalidBaseUrl> {
        let url = address.strip_prefix("sparse+").unwrap_or(address);
        let url = url.split(['?', '#']).next().unwrap_or(url);
        let Some((scheme, rest)) = url.split_once("://") else { return BaseUrl::parse(url) };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut components: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        if components.last() == Some(&"config.json") {
            components.pop();
        }
        // The index of a server below /index has the address /index/index.
        if components.last() == Some(&"index") {
            components.pop();
        } else if let Some(at) = components.iter().position(|component| SERVER_PATHS.contains(component)) {
            components.truncate(at);
        }
        BaseUrl::parse(format!("{scheme}://{host}/{}", components.join("/")).trim_end_matches('/'))
    }

    /// The server that this URL is probably an address on, if it ends in a path that `serve` answers. Such a path may also be
    /// a prefix that a reverse proxy adds.
    pub fn probable_server(&self) -> Option<BaseUrl> {
        BaseUrl::of_address(&self.0).ok().filter(|server| server != self)
    }

    /// The warning about a base URL that is probably an address on a server.
    pub fn warning(&self) -> Option<String> {
        let server = self.probable_server()?;
        Some(format!(
            "the base URL `{self}` is probably an address on the server `{server}`: clients will use the index \
             `{self}/index/`. If that is wrong, set the base URL to `{server}`"
        ))
    }

    /// The URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same URL with https:// for http://, and the other way round.
    #[must_use]
    pub fn with_other_scheme(&self) -> BaseUrl {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("http", &self.0));
        let other = if scheme.eq_ignore_ascii_case("https") { "http" } else { "https" };
        BaseUrl(format!("{other}://{rest}"))
    }

    /// The host without port and without brackets.
    pub fn host(&self) -> Option<&str> {
        let authority = self.0.split_once("://")?.1.split('/').next()?;
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is only `HOST` or `HOST:PORT`, with a name, an IPv4 address or an IPv6 address in brackets. The program
/// checks a Host header with this before it repeats the value.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let named = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let numbered = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
        None => port.is_empty(),
    };
    named && numbered
}

/// The mirror's location for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorLocation {
    /// A server: `serve`, or any web server with the mirror's files.
    Server(BaseUrl),
    /// The mirror's folder on this machine, absolute; no server is needed.
    Folder(PathBuf),
}

/// The contents of a client's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSetup {
    /// The mirror's location.
    pub location: MirrorLocation,
    /// CA certificates (PEM), absolute path: `http.cainfo`, and SSL_CERT_FILE for rustup.
    pub ca: Option<PathBuf>,
    /// `http.check-revoke`: Windows checks revocation lists, which a closed network cannot provide.
    pub check_revoke: Option<bool>,
    /// Whether the mirror requires a read token; cargo then needs a credential provider.
    pub requires_token: bool,
}

/// A key of config.toml with its intended value.
#[derive(Clone, Debug)]
pub struct CargoSetting {
    /// The key's path, outermost first.
    pub key: &'static [&'static str],
    /// The intended value.
    pub value: toml_edit::Value,
}

impl ClientSetup {
    /// A client of the server at `base`, with default options.
    pub fn for_server(base: BaseUrl) -> ClientSetup {
        ClientSetup { location: MirrorLocation::Server(base), ca: None, check_revoke: None, requires_token: false }
    }

    /// The keys that make cargo use the mirror, in printing order.
    pub fn settings(&self) -> Vec<CargoSetting> {
        let mut settings =
            vec![CargoSetting { key: &["source", "crates-io", "replace-with"], value: REGISTRY_NAME.into() }];
        match &self.location {
            MirrorLocation::Server(base) => {
                let index = format!("sparse+{base}/index/");
                settings.push(CargoSetting { key: &["registries", REGISTRY_NAME, "index"], value: index.into() });
                if self.requires_token {
                    // Without this key cargo refuses such a registry, whatever token it has (cargo's credential-provider).
                    let provider = "cargo:token";
                    settings.push(CargoSetting {
                        key: &["registries", REGISTRY_NAME, "credential-provider"],
                        value: provider.into(),
                    });
                }
            }
            MirrorLocation::Folder(mirror) => {
                let crates = path_text(&mirror.join("crates"));
                settings.push(CargoSetting { key: &["source", REGISTRY_NAME, "local-registry"], value: crates.into() });
            }
        }
        if let Some(ca) = &self.ca {
            settings.push(CargoSetting { key: &["http", "cainfo"], value: path_text(ca).into() });
        }
        if let Some(check) = self.check_revoke {
            settings.push(CargoSetting { key: &["http", "check-revoke"], value: check.into() });
        }
        settings
    }

    /// Only cargo's configuration.
    pub fn cargo_config(&self) -> String {
        let mut text = String::new();
        let mut table: &[&str] = &[];
        for setting in self.settings() {
            let (key, parent) = setting.key.split_last().expect("a key's path is never empty");
            if parent != table {
                let gap = if text.is_empty() { "" } else { "\n" };
                text.push_str(&format!("{gap}[{}]\n", parent.join(".")));
                table = parent;
            }
            text.push_str(&format!("{key} = {}\n", setting.value));
        }
        text
    }

    /// The variables that make rustup use the mirror. rustup can only be configured by its environment, and both variables
    /// must be set. The limit bounds rustup's search for older nightlies if today's lacks a component. Without it rustup
    /// would try every day since 2014, because days that a mirror lacks do not count against rustup's own limit.
    pub fn rustup_environment(&self) -> Vec<(&'static str, String)> {
        let base = match &self.location {
            MirrorLocation::Server(base) => base.to_string(),
            MirrorLocation::Folder(mirror) => file_url(&path_text(mirror), cfg!(windows)),
        };
        let mut variables = vec![("RUSTUP_UPDATE_ROOT", format!("{base}/rustup")), ("RUSTUP_DIST_SERVER", base)];
        variables.reverse();
        variables.push(("RUSTUP_BACKTRACK_LIMIT", "1".to_owned()));
        if let Some(ca) = &self.ca {
            variables.push(("SSL_CERT_FILE", path_text(ca)));
        }
        variables
    }

    /// The complete configuration as one text. The whole text is valid TOML, so it can be appended to a config.toml; the
    /// shell commands are in comments.
    pub fn setup_text(&self) -> String {
        format!(
            "# For cargo, in $CARGO_HOME/config.toml (~/.cargo/config.toml unless that is set):\n\n{}\n{}{}",
            self.cargo_config(),
            self.cargo_notes(),
            self.rustup_text()
        )
    }

    /// Additional notes for users of cargo.
    fn cargo_notes(&self) -> &'static str {
        match self.location {
            MirrorLocation::Server(_) => {
                "# This needs cargo 1.68 or newer. `cargo vendor` follows it only as\n\
                 # `cargo vendor --respect-source-config`.\n\n"
            }
            MirrorLocation::Folder(_) => {
                "# `cargo vendor` follows this only as `cargo vendor --respect-source-config`.\n\n"
            }
        }
    }

    /// The part for rustup.
    pub fn rustup_text(&self) -> String {
        let variables = self.rustup_environment();
        let sh: String =
            variables.iter().map(|(name, value)| format!("#     export {name}={}\n", sh_quoted(value))).collect();
        let powershell: String = variables
            .iter()
            .map(|(name, value)| format!("#     $env:{name} = {}\n", powershell_quoted(value)))
            .collect();
        format!(
            "# For rustup, if the mirror has toolchains, in the environment of a POSIX shell:\n#\n{sh}#\n\
             # or of PowerShell:\n#\n{powershell}"
        )
    }
}

/// cargo's configuration for the mirror at `base_url`, in the recommended form. The text is valid TOML whatever the URL is.
/// Callers check URLs from users with [`BaseUrl::parse`] first.
pub fn cargo_config(base_url: &str) -> String {
    ClientSetup::for_server(BaseUrl(base_url.trim_end_matches('/').to_owned())).cargo_config()
}

/// Whether `setup` wrote the replacement of crates-io by the source of this name. This tool fills such a mirror, so it is
/// never an upstream.
pub fn is_frostmirror_source(replacement: &str) -> bool {
    replacement == REGISTRY_NAME
}

/// A path as text for a configuration. Callers refuse paths that are not UTF-8.
fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// An absolute path as a file URL; rustup reads such a mirror without a server. A Windows path becomes `file:///C:/…`, a
/// share becomes `file://server/share/…`, without the prefix of a verbatim path.
fn file_url(path: &str, windows: bool) -> String {
    let text = if windows { path.replace('\\', "/") } else { path.to_owned() };
    let share = |text: &str| windows.then(|| text.strip_prefix("//").map(str::to_owned)).flatten();
    let (host, text) = match text.strip_prefix("//?/").filter(|_| windows) {
        Some(verbatim) => match verbatim.strip_prefix("UNC/") {
            Some(share) => ("", share.to_owned()),
            None => ("/", verbatim.to_owned()),
        },
        None => match share(&text) {
            Some(share) => ("", share),
            None if text.starts_with('/') => ("", text),
            None => ("/", text),
        },
    };
    let mut url = format!("file://{host}");
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~:".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

/// `text` as one argument of a shell command, quoted only if necessary.
pub fn shell_argument(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@%,".contains(&byte);
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => sh_quoted(text),
    }
}

fn sh_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn powershell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ClientSetup {
        ClientSetup::for_server(BaseUrl::parse("http://mirror.example:8080/").expect("a good URL"))
    }

    #[test]
    fn cargo_config_names_the_mirror_as_a_registry() {
        assert_eq!(
            cargo_config("http://mirror.example:8080/"),
            "[source.crates-io]\nreplace-with = \"frostmirror\"\n\n\
             [registries.frostmirror]\nindex = \"sparse+http://mirror.example:8080/index/\"\n"
        );
        assert_eq!(server().cargo_config(), cargo_config("http://mirror.example:8080"));
        assert!(is_frostmirror_source(REGISTRY_NAME) && !is_frostmirror_source("corp"));
    }

    #[test]
    fn the_setup_text_is_valid_toml_with_all_options() {
        let client = ClientSetup {
            location: MirrorLocation::Folder("/srv/it's \"here\"/mirror".into()),
            ca: Some("/etc/our ca.pem".into()),
            check_revoke: Some(false),
            requires_token: false,
        };
        let page = client.setup_text();
        let read: toml::Table = page.parse().expect("valid TOML");
        assert_eq!(read["source"]["frostmirror"]["local-registry"].as_str(), Some("/srv/it's \"here\"/mirror/crates"));
        assert_eq!(read["http"]["cainfo"].as_str(), Some("/etc/our ca.pem"));
        assert_eq!(read["http"]["check-revoke"].as_bool(), Some(false));
        assert!(read.get("registries").is_none(), "never both forms: {page}");
        assert!(page.contains("export RUSTUP_DIST_SERVER='file:///srv/it%27s%20%22here%22/mirror'\n"), "{page}");
        assert!(page.contains("$env:SSL_CERT_FILE = '/etc/our ca.pem'\n"), "{page}");
    }

    #[test]
    fn all_rustup_variables_are_listed() {
        assert_eq!(
            server().rustup_environment(),
            [
                ("RUSTUP_DIST_SERVER", "http://mirror.example:8080".to_owned()),
                ("RUSTUP_UPDATE_ROOT", "http://mirror.example:8080/rustup".to_owned()),
                ("RUSTUP_BACKTRACK_LIMIT", "1".to_owned()),
            ]
        );
        assert_eq!(sh_quoted("a'b"), r"'a'\''b'");
        assert_eq!(powershell_quoted("a'b"), "'a''b'");
    }

    #[test]
    fn file_urls_of_every_system() {
        for (path, windows, url) in [
            ("/srv/mirror", false, "file:///srv/mirror"),
            ("/srv/my mirror/größe 100%#?", false, "file:///srv/my%20mirror/gr%C3%B6%C3%9Fe%20100%25%23%3F"),
            (r"/srv/back\slash", false, "file:///srv/back%5Cslash"),
            (r"C:\Users\Jo Doe\mirror", true, "file:///C:/Users/Jo%20Doe/mirror"),
            (r"\\server\share\mirror", true, "file://server/share/mirror"),
            (r"\\?\D:\mirror", true, "file:///D:/mirror"),
            (r"\\?\UNC\server\share", true, "file://server/share"),
        ] {
            assert_eq!(file_url(path, windows), url);
        }
    }

    #[test]
    fn an_address_on_a_server_is_recognized() {
        let server = |url: &str| BaseUrl::parse(url).expect("url").probable_server().map(|server| server.to_string());
        for path in ["/index/", "/setup", "/crates", "/api/status", "/index/config.json"] {
            assert_eq!(server(&format!("https://m{path}")).as_deref(), Some("https://m"), "{path}");
        }
        assert_eq!(server("https://m/rust/index").as_deref(), Some("https://m/rust"));
        assert_eq!((server("https://m"), server("https://m/rust/")), (None, None));
        let warning = BaseUrl::parse("https://m/index/").expect("url").warning().expect("a warning");
        assert!(
            warning.contains("the index `https://m/index/index/`") && warning.ends_with("to `https://m`"),
            "{warning}"
        );
    }

    #[test]
    fn base_urls_good_and_bad() {
        for good in ["http://a", "https://a.b:443/rust/crates", "HTTP://[::1]:80", "http://127.0.0.1:8080///"] {
            assert!(BaseUrl::parse(good).is_ok_and(|url| !url.as_str().ends_with('/')), "{good}");
        }
        for bad in [
            "",
            "a.b:80",
            "ftp://a",
            "http://",
            "http:///x",
            "http://a b",
            "http://a/\"",
            "http://a/'x",
            "http://a/\n",
            "http://u:p@a/",
            "http://a:99999",
            "http://a:",
            "http://a/?q",
            "http://a/#f",
            "http://a/{crate}",
            "http://a/$(x)",
            "http://a/`x`",
            "file:///x",
            "sparse+http://a",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad:?}");
        }
        for (bad, part) in [("http://a/?token=secret#x", "a query"), ("http://a/#secret?", "a fragment")] {
            let error = BaseUrl::parse(bad).expect_err("refused").to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
    }
}
