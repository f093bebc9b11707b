//! Finds reasons why cargo does not use a mirror although the configuration in CARGO_HOME names it. Examples: another
//! configuration file overrides it, cargo is too old, `net.offline`, a variable. Each is a warning: the configuration is
//! right, and the user decides about the rest.
//!
//! `net.git-fetch-with-cli` is not checked: cargo reads neither a sparse index nor a local registry with git.

use crate::client_setup::{CargoSetting, ClientSetup, MirrorLocation, REGISTRY_NAME};
use crate::commands::Context;
use crate::crate_id::Version;
use crate::event::Sink;
use crate::fetch::cargo;
use crate::upstream::cargo_config::CargoConfig;

/// The variable that sets another index for the same registry.
const INDEX_VARIABLE: &str = "CARGO_REGISTRIES_FROSTMIRROR_INDEX";

/// The first cargo that reads a sparse index (cargo's release notes).
const READS_SPARSE: Version = Version::new(1, 68, 0);
/// The first cargo that supports `credential-provider`; older ones send no token for an index (cargo's release notes).
const KNOWS_PROVIDERS: Version = Version::new(1, 74, 0);

/// Warns about settings of cargo that override the written ones, or that forbid the network.
pub(super) fn warn_about_settings(client: &ClientSetup, config: &CargoConfig, context: &Context) {
    let report = &context.reporter;
    for warning in overruled(client, config) {
        report.warning(warning);
    }
    let MirrorLocation::Server(base) = &client.location else { return };
    let index = format!("sparse+{base}/index/");
    if let Some(other) = context.env.var(INDEX_VARIABLE)
        && other.trim_end_matches('/') != index.trim_end_matches('/')
    {
        report
            .warning(format!("the variable {INDEX_VARIABLE} names another index and overrides config.toml; unset it"));
    }
    if config.is_offline() {
        report.warning(
            "`net.offline` is true, in cargo's configuration or as CARGO_NET_OFFLINE: cargo contacts \
             no server, not even the mirror; remove the setting"
                .to_owned(),
        );
    }
}

/// Warns about a cargo that cannot read a server's index.
pub(super) fn warn_about_old_cargo(client: &ClientSetup, context: &Context) {
    if matches!(client.location, MirrorLocation::Server(_))
        && let Some(version) = cargo::version_of(&context.env, &context.cwd)
        && let Some(warning) = too_old(client, &version)
    {
        context.reporter.warning(warning);
    }
}

/// Keys of nearer configuration files that override those that `setup` wrote to CARGO_HOME.
fn overruled(client: &ClientSetup, config: &CargoConfig) -> Vec<String> {
    let settings = client.settings();
    let mut warnings = Vec::new();
    for CargoSetting { key, value } in &settings {
        let Some((other, file)) = config.value(key) else { continue };
        let same = match (other.as_str(), value.as_str()) {
            (Some(other), Some(ours)) => other == ours,
            _ => other.as_bool().is_some() && other.as_bool() == value.as_bool(),
        };
        if !same {
            warnings.push(format!(
                "`{}` in `{}` overrides setup's changes, so cargo does not use the mirror in the folders below it; remove that key there",
                key.join("."),
                file.display()
            ));
        }
    }
    // Cargo prefers a source of that name to the registry.
    for (name, file) in config.keys_of(&["source", REGISTRY_NAME]) {
        if !settings.iter().any(|setting| *setting.key == ["source", REGISTRY_NAME, name.as_str()]) {
            warnings.push(format!(
                "`source.{REGISTRY_NAME}.{name}` in `{}` defines another source with the mirror's name, so cargo does not use the \
                 mirror; remove that key there",
                file.display()
            ));
        }
    }
    warnings
}

/// The warning for a cargo that does not understand the configuration that `setup` wrote for a server.
fn too_old(client: &ClientSetup, version: &Version) -> Option<String> {
    let (needed, why) = if *version < READS_SPARSE {
        (READS_SPARSE, "does not read a server's sparse index")
    } else if client.requires_token && *version < KNOWS_PROVIDERS {
        (KNOWS_PROVIDERS, "sends no token for a server's index")
    } else {
        return None;
    };
    let (major, minor) = (needed.major, needed.minor);
    Some(format!("cargo {version} {why}; use cargo {major}.{minor} or newer, for example after `rustup update stable`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_setup::BaseUrl;

    #[test]
    fn a_cargo_that_cannot_read_the_mirror_is_named_with_the_version_that_can() {
        let mut client = ClientSetup::for_server(BaseUrl::parse("http://h").expect("a good URL"));
        let warning = |client: &ClientSetup, version: &str| too_old(client, &version.parse().expect("a version"));
        assert!(warning(&client, "1.67.1").is_some_and(|text| text.contains("cargo 1.67.1") && text.contains("1.68")));
        assert_eq!(warning(&client, "1.68.0"), None);
        client.requires_token = true;
        assert!(warning(&client, "1.73.0").is_some_and(|text| text.contains("token") && text.contains("1.74")));
        assert_eq!(warning(&client, "1.74.0"), None);
    }
}
