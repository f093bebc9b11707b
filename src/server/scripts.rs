//! Configuration and scripts generated for clients; they contain the address by which the client reached the server.

use crate::client_setup::{self, BaseUrl, ClientSetup, SmallProfile};
use crate::mirror::toolchains::AvailableToolchains;
use crate::toolchain::Profile;

/// A script generated for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// `/rustup-init.sh`: installs rustup with a POSIX shell.
    InitSh,
    /// `/rustup-init.ps1`: installs rustup with PowerShell.
    InitPs1,
    /// `/api/setup/rustup-env.sh`: rustup's environment variables.
    EnvSh,
    /// `/api/setup/rustup-env.ps1`: rustup's environment variables, for PowerShell.
    EnvPs1,
    /// `/api/setup/cargo-config`: lines for cargo's config.toml.
    CargoConfig,
}

/// The script with this path, given as components.
pub(super) fn script_for_path(path: &[&str]) -> Option<Script> {
    Some(match path {
        ["rustup-init.sh"] => Script::InitSh,
        ["rustup-init.ps1"] => Script::InitPs1,
        ["api", "setup", "rustup-env.sh"] => Script::EnvSh,
        ["api", "setup", "rustup-env.ps1"] => Script::EnvPs1,
        ["api", "setup", "cargo-config"] => Script::CargoConfig,
        _ => return None,
    })
}

impl Script {
    /// Whether the script depends on the content of the mirror.
    pub fn is_bootstrap(self) -> bool {
        matches!(self, Script::InitSh | Script::InitPs1)
    }

    /// The script for clients of `base`; the error text if the request is invalid. The address becomes shell code here,
    /// so it is validated once more. A bootstrap script knows which toolchains have a `small` profile.
    pub fn render(
        self,
        base: &str,
        query: Option<&str>,
        wants_token: bool,
        small: &[SmallProfile],
    ) -> Result<String, String> {
        let mut client = ClientSetup::for_server(BaseUrl::parse(base).map_err(|invalid| format!("{invalid}\n"))?);
        client.requires_token = wants_token;
        if self == Script::CargoConfig {
            client.check_revoke = check_revoke(query)?;
        }
        let unserved = || "a mirror on disk has no installation script; use the address of a server\n".to_owned();
        match self {
            Script::InitSh => client.rustup_init_sh(small).ok_or_else(unserved),
            Script::InitPs1 => client.rustup_init_ps1(small).ok_or_else(unserved),
            Script::EnvSh => Ok(client.rustup_env_sh()),
            Script::EnvPs1 => Ok(client.rustup_env_ps1()),
            Script::CargoConfig => Ok(client.cargo_config()),
        }
    }
}

/// The toolchains whose stored components do not cover rustup's default profile: a bootstrap script must request a smaller
/// profile for them.
pub(super) fn small_profiles(available: &AvailableToolchains) -> Vec<SmallProfile> {
    let mut small = Vec::new();
    for toolchain in &available.toolchains {
        for (host, profile) in &toolchain.hosts {
            if let Some(profile) = profile.filter(|profile| *profile < Profile::default()) {
                small.extend(toolchain.names.iter().map(|name| SmallProfile {
                    toolchain: name.clone(),
                    host: host.clone(),
                    profile: profile.as_str(),
                }));
            }
        }
    }
    small
}

/// The value of `?check_revoke=`. Other parameters are ignored; they may be meant for a reverse proxy.
fn check_revoke(query: Option<&str>) -> Result<Option<bool>, String> {
    let mut values = query.unwrap_or_default().split('&').filter_map(|pair| pair.strip_prefix("check_revoke="));
    match values.next_back() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err("`check_revoke` must be true or false\n".to_owned()),
    }
}

/// The text at `/` if no web pages are served.
pub(super) fn landing_page(base: &str, closed: bool, live: bool) -> String {
    let lines = match BaseUrl::parse(base) {
        Ok(base) => ClientSetup { requires_token: closed, ..ClientSetup::for_server(base) }.cargo_config(),
        Err(_) => client_setup::cargo_config(base),
    };
    let holds = match live {
        true => "It fetches missing files from upstream.",
        false => "It serves only imported crates.",
    };
    let (flag, login) = match closed {
        true => (" --auth-required", "\nReading requires a token: cargo login --registry frostmirror\n"),
        false => ("", ""),
    };
    format!(
        "This is a mirror of crates.io, served by cargo-frostmirror. {holds}\n\nTo use it, put this into \
         $CARGO_HOME/config.toml, or run `cargo frostmirror setup --write --url {base}{flag}`:\n\n{lines}{login}\n\
         If the mirror has toolchains, this installs rustup and Rust:\n\n    \
         curl -fsS {base}/rustup-init.sh | sh\n\nand on Windows, in PowerShell:\n\n    \
         Invoke-RestMethod {base}/rustup-init.ps1 | Invoke-Expression\n\nIf rustup is already installed, \
         {base}/api/setup/rustup-env.sh or {base}/api/setup/rustup-env.ps1 configures it for this mirror.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_base_url_gives_no_script() {
        for base in ["http://a'b", "http://a/$(x)", "http://a b", "http://a\nb", "javascript:x", ""] {
            for script in [Script::InitSh, Script::InitPs1, Script::EnvSh, Script::EnvPs1, Script::CargoConfig] {
                assert!(script.render(base, None, false, &[]).is_err(), "{base:?}");
            }
        }
        assert!(
            Script::EnvSh.render("http://h:1", None, false, &[]).is_ok_and(|text| text.contains("'http://h:1/rustup'"))
        );
    }

    #[test]
    fn check_revoke_is_written_only_on_request() {
        let text = |query| Script::CargoConfig.render("http://h", query, false, &[]);
        assert!(text(None).is_ok_and(|text| !text.contains("revoke")));
        assert!(text(Some("x=1&check_revoke=false")).is_ok_and(|text| text.contains("[http]\ncheck-revoke = false\n")));
        assert!(text(Some("check_revoke=true")).is_ok_and(|text| text.contains("check-revoke = true\n")));
        assert!(text(Some("check_revoke=no")).is_err());
    }
}
