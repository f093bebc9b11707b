//! Scripts that configure rustup for a mirror: the variables alone, and a bootstrap that downloads rustup itself.
//!
//! Upstream's own bootstrap requires https, which closed networks seldom have, and does not check its downloads.

use super::{ClientSetup, MirrorLocation, powershell_quoted, sh_quoted};

/// Explains rustup's variables to readers of a script.
const WHY: &str = "\
# rustup reads its server only from the environment: RUSTUP_DIST_SERVER has Rust, RUSTUP_UPDATE_ROOT has rustup itself.
# RUSTUP_BACKTRACK_LIMIT stops it from requesting every earlier nightly if a component is missing.
";

/// A toolchain's profile on a host, if it is not rustup's default; the bootstrap requests it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallProfile {
    /// The toolchain, by one of its names.
    pub toolchain: String,
    /// The host's triple.
    pub host: String,
    /// The profile.
    pub profile: &'static str,
}

impl SmallProfile {
    /// A line of a script's table. A row with shell metacharacters is dropped; no real name has them.
    fn table_line(&self) -> Option<String> {
        let plain = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let columns = [self.toolchain.as_str(), &self.host, self.profile];
        columns.iter().all(plain).then(|| format!("{}\n", columns.join(" ")))
    }
}

impl ClientSetup {
    /// The variables for a POSIX shell, to source or to add to a profile.
    pub fn rustup_env_sh(&self) -> String {
        let lines = self.rustup_environment();
        let lines: String = lines.iter().map(|(name, value)| format!("export {name}={}\n", sh_quoted(value))).collect();
        format!("{WHY}{lines}")
    }

    /// The variables for PowerShell, and the commands that persist them.
    pub fn rustup_env_ps1(&self) -> String {
        let variables = self.rustup_environment();
        let session: String =
            variables.iter().map(|(name, value)| format!("$env:{name} = {}\n", powershell_quoted(value))).collect();
        let persistent: String = variables
            .iter()
            .map(|(name, value)| {
                format!("#     [Environment]::SetEnvironmentVariable('{name}', {}, 'User')\n", powershell_quoted(value))
            })
            .collect();
        format!("{WHY}{session}# For all sessions from now on:\n{persistent}")
    }

    /// The bootstrap for POSIX shells, or `None` if the mirror is not a server.
    pub fn rustup_init_sh(&self, small: &[SmallProfile]) -> Option<String> {
        self.render_bootstrap(include_str!("scripts/rustup-init.sh"), sh_quoted, small)
    }

    /// The bootstrap for PowerShell, or `None` if the mirror is not a server.
    pub fn rustup_init_ps1(&self, small: &[SmallProfile]) -> Option<String> {
        self.render_bootstrap(include_str!("scripts/rustup-init.ps1"), powershell_quoted, small)
    }

    fn render_bootstrap(&self, template: &str, quoted: fn(&str) -> String, small: &[SmallProfile]) -> Option<String> {
        let profiles: String = small.iter().filter_map(SmallProfile::table_line).collect();
        match &self.location {
            MirrorLocation::Server(base) => {
                Some(template.replace("@PROFILES@", &quoted(&profiles)).replace("@BASE@", &quoted(base.as_str())))
            }
            MirrorLocation::Folder(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_setup::BaseUrl;

    #[test]
    fn scripts_name_the_mirror_and_have_no_placeholders_left() {
        let client = ClientSetup::for_server(BaseUrl::parse("https://mirror.example/rust/").expect("a good URL"));
        let small = |toolchain: &str| SmallProfile {
            toolchain: toolchain.to_owned(),
            host: "a-b-c".to_owned(),
            profile: "minimal",
        };
        let small = [small("stable"), small("'; rm"), small("1.86.0")];
        let sh = client.rustup_init_sh(&small).expect("a server has one");
        assert!(sh.starts_with("#!/bin/sh\n") && sh.contains("\nBASE='https://mirror.example/rust'\n"), "{sh}");
        let ps1 = client.rustup_init_ps1(&small).expect("a server has one");
        assert!(ps1.contains("$base = 'https://mirror.example/rust'\n"), "{ps1}");
        for script in [&sh, &ps1] {
            assert!(script.contains("'stable a-b-c minimal\n1.86.0 a-b-c minimal\n'"), "{script}");
            assert!(!script.contains("@BASE") && !script.contains("@PROFILES"));
        }
        let env = client.rustup_env_sh();
        assert!(env.contains("export RUSTUP_DIST_SERVER='https://mirror.example/rust'\n"), "{env}");
        assert!(env.contains("export RUSTUP_UPDATE_ROOT='https://mirror.example/rust/rustup'\n"), "{env}");
        assert!(env.ends_with("export RUSTUP_BACKTRACK_LIMIT='1'\n"), "{env}");
        let env = client.rustup_env_ps1();
        assert!(env.contains("\n$env:RUSTUP_DIST_SERVER = 'https://mirror.example/rust'\n"), "{env}");
        assert!(env.contains("SetEnvironmentVariable('RUSTUP_BACKTRACK_LIMIT', '1', 'User')\n"), "{env}");
    }

    #[test]
    fn a_folder_mirror_has_variables_but_no_bootstrap() {
        let client = ClientSetup {
            location: MirrorLocation::Folder("/srv/m".into()),
            ca: None,
            check_revoke: None,
            requires_token: false,
        };
        assert!(client.rustup_env_sh().contains("RUSTUP_DIST_SERVER='file:///srv/m'\n"));
        assert_eq!((client.rustup_init_sh(&[]), client.rustup_init_ps1(&[])), (None, None));
    }
}
