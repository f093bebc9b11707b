//! The Client Setup page: commands and files that configure cargo and rustup for this server at the requested address. They
//! name the toolchain and targets of the settings, as far as the mirror has them.

mod toolchain_choice;

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;

use self::toolchain_choice::ToolchainChoice;
use super::{Frame, render_page};
use crate::client_setup::{BaseUrl, ClientSetup};
use crate::web::auth::is_loopback_name;
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult};
use crate::web::state::WebState;

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    frame: Frame,
    /// Whether the address only works on this machine.
    loopback: bool,
    /// The untrusted proxy of the request, if any.
    untrusted_proxy: Option<String>,
    /// Why the commands differ from the settings.
    note: Option<String>,
    groups: Vec<ClientGroup>,
}

/// A kind of client.
struct ClientGroup {
    id: &'static str,
    name: &'static str,
    about: String,
    blocks: Vec<TextBlock>,
    files: Vec<DownloadLink>,
}

/// A text to copy.
struct TextBlock {
    id: &'static str,
    name: &'static str,
    about: &'static str,
    text: String,
}

/// A file to download.
struct DownloadLink {
    href: &'static str,
    name: &'static str,
    label: &'static str,
}

pub(super) fn show(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    render_page("/setup", state, request, |frame| {
        let base = BaseUrl::parse(&request.origin.base).map_err(|invalid| {
            ApiError::new(StatusCode::BAD_REQUEST, invalid.to_string())
                .with_hint("open the page by the server's name, or start `serve` with --base-url")
        })?;
        let host = base.as_str().split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let settings = state.context.settings.current();
        let available = state.context.toolchains();
        let toolchain = settings.toolchain.first().map_or_else(|| "stable".to_owned(), ToString::to_string);
        let choice = ToolchainChoice::select(&toolchain, &settings.targets, &available);
        let groups = groups(&base, state.options.access.requires_reader_token(), &choice);
        let untrusted_proxy = request.origin.untrusted_proxy.then(|| request.origin.peer.ip().to_string());
        Ok(SetupPage { frame, loopback: is_loopback_name(host), untrusted_proxy, note: choice.note, groups })
    })
}

fn groups(base: &BaseUrl, wants_token: bool, choice: &ToolchainChoice) -> Vec<ClientGroup> {
    let client = ClientSetup { requires_token: wants_token, ..ClientSetup::for_server(base.clone()) };
    let config = client.cargo_config();
    vec![
        cargo_group(base, &client, &config),
        unix_group("linux", "rustup on Linux", "~/.profile", base, &client, choice),
        unix_group("macos", "rustup on macOS", "~/.zprofile", base, &client, choice),
        powershell_group(base, &client, choice),
        docker_group(&client, &config),
        ci_group(base),
    ]
}

fn cargo_group(base: &BaseUrl, client: &ClientSetup, config: &str) -> ClientGroup {
    let no_revoke = ClientSetup { check_revoke: Some(false), ..client.clone() };
    let flag = if client.requires_token { " --auth-required" } else { "" };
    let revoke_lines: String = no_revoke.cargo_config().chars().skip(config.chars().count()).collect();
    ClientGroup {
        id: "cargo",
        name: "cargo",
        about: format!(
            "cargo then downloads from here instead of crates.io; Cargo.toml and Cargo.lock stay unchanged. It \
             takes cargo 1.68 or newer; cargo vendor obeys these lines only with --respect-source-config.{}",
            if client.requires_token {
                " This server asks its readers for a token: with these lines in place, cargo login --registry frostmirror \
                 takes it."
            } else {
                ""
            }
        ),
        blocks: vec![
            TextBlock {
                id: "cargo-config",
                name: "config.toml",
                about: "For one project in .cargo/config.toml beside its Cargo.toml; for a user in $CARGO_HOME/config.toml, \
                        which is ~/.cargo/config.toml unless that variable is set.",
                text: config.to_owned(),
            },
            TextBlock {
                id: "cargo-add",
                name: "Add it from a shell",
                about: "For a user without these lines; a file must not have them twice.",
                text: format!(
                    "mkdir -p \"${{CARGO_HOME:-$HOME/.cargo}}\"\n\
                     curl -fsS '{base}/api/setup/cargo-config' >> \"${{CARGO_HOME:-$HOME/.cargo}}/config.toml\"\n"
                ),
            },
            TextBlock {
                id: "cargo-tool",
                name: "Add it with cargo-frostmirror",
                about: "Merges it into the existing file; cargo frostmirror setup --undo reverts it.",
                text: format!("cargo frostmirror setup --url '{base}'{flag} --write\n"),
            },
            TextBlock {
                id: "cargo-revoke",
                name: "Windows, where the server has TLS",
                about: "There cargo fails, because it requires certificate revocation lists, which a closed network lacks. \
                        These lines keep it from asking:",
                text: revoke_lines.trim_start().to_owned(),
            },
        ],
        files: vec![
            DownloadLink { href: "./api/setup/cargo-config", name: "config.toml", label: "config.toml" },
            DownloadLink {
                href: "./api/setup/cargo-config?check_revoke=false",
                name: "config.toml",
                label: "config.toml without revocation checks",
            },
        ],
    }
}

fn unix_group(
    id: &'static str,
    name: &'static str,
    profile: &'static str,
    base: &BaseUrl,
    client: &ClientSetup,
    choice: &ToolchainChoice,
) -> ClientGroup {
    let (system, init_args) =
        (if id == "linux" { ("linux", "Linux") } else { ("darwin", "macOS") }, choice.rustup_init_args());
    let ids =
        if id == "linux" { ["linux-new", "linux-env", "linux-keep"] } else { ["macos-new", "macos-env", "macos-keep"] };
    ClientGroup {
        id,
        name,
        about: format!("Toolchains come from here too. {}", choice.describe_hosts(system.0, system.1)),
        blocks: vec![
            TextBlock {
                id: ids[0],
                name: "Install rustup",
                about: "Detects this machine's triple, checks the download, and asks before it installs.",
                text: format!("curl -fsS '{base}/rustup-init.sh' | sh -s -- {init_args}\n"),
            },
            TextBlock { id: ids[1], name: "Use it in this shell", about: "", text: export_lines(client) },
            TextBlock {
                id: ids[2],
                name: "Keep it for every later shell",
                about: "rustup only reads its server from the environment.",
                text: format!("curl -fsS '{base}/api/setup/rustup-env.sh' >> {profile}\n"),
            },
        ],
        files: vec![
            DownloadLink { href: "./api/setup/rustup-env.sh", name: "rustup-env.sh", label: "rustup-env.sh" },
            DownloadLink { href: "./rustup-init.sh", name: "rustup-init.sh", label: "rustup-init.sh" },
        ],
    }
}

fn powershell_group(base: &BaseUrl, client: &ClientSetup, choice: &ToolchainChoice) -> ClientGroup {
    let kept = client.rustup_environment().into_iter();
    let kept: String = kept
        .map(|(name, value)| format!("[Environment]::SetEnvironmentVariable('{name}', '{value}', 'User')\n"))
        .collect();
    let session = client.rustup_environment().into_iter();
    let session: String = session.map(|(name, value)| format!("$env:{name} = '{value}'\n")).collect();
    ClientGroup {
        id: "powershell",
        name: "Windows (PowerShell)",
        about: format!(
            "For Windows PowerShell 5.1 and PowerShell 7. Programs need the build tools of Visual Studio, or a -gnu toolchain. {}",
            choice.describe_hosts("windows", "Windows")
        ),
        blocks: vec![
            TextBlock {
                id: "ps-new",
                name: "Install rustup in PowerShell",
                about: "",
                text: format!(
                    "Invoke-RestMethod '{base}/rustup-init.ps1' -OutFile rustup-init.ps1\n\
                     powershell -ExecutionPolicy Bypass -File rustup-init.ps1 {}\n",
                    choice.rustup_init_args()
                ),
            },
            TextBlock { id: "ps-env", name: "Use it in this session", about: "", text: session },
            TextBlock { id: "ps-keep", name: "Keep it for every later session", about: "", text: kept },
            TextBlock {
                id: "ps-cargo",
                name: "Point cargo here",
                about: "For a user without these lines.",
                text: format!(
                    "$home_of_cargo = if ($env:CARGO_HOME) {{ $env:CARGO_HOME }} else {{ \"$HOME\\.cargo\" }}\n\
                     New-Item -ItemType Directory -Force $home_of_cargo | Out-Null\n\
                     Invoke-RestMethod '{base}/api/setup/cargo-config?check_revoke=false' | Add-Content \
                     \"$home_of_cargo\\config.toml\"\n"
                ),
            },
        ],
        files: vec![
            DownloadLink { href: "./api/setup/rustup-env.ps1", name: "rustup-env.ps1", label: "rustup-env.ps1" },
            DownloadLink { href: "./rustup-init.ps1", name: "rustup-init.ps1", label: "rustup-init.ps1" },
        ],
    }
}

fn docker_group(client: &ClientSetup, config: &str) -> ClientGroup {
    let variables = client.rustup_environment().into_iter();
    let variables: Vec<String> = variables.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    ClientGroup {
        id: "docker",
        name: "Docker",
        about: "For an image that has Rust already, as the official one does. Where it keeps cargo's home elsewhere, change \
                CARGO_HOME."
            .to_owned(),
        blocks: vec![TextBlock {
            id: "dockerfile",
            name: "Dockerfile",
            about: "",
            text: format!(
                "# syntax=docker/dockerfile:1\nFROM rust:1\nENV CARGO_HOME=/usr/local/cargo \\\n    {}\n\
                 COPY <<'END' /usr/local/cargo/config.toml\n{config}END\n",
                variables.join(" \\\n    ")
            ),
        }],
        files: Vec::new(),
    }
}

fn ci_group(base: &BaseUrl) -> ClientGroup {
    let steps = [
        format!("eval \"$(curl -fsS '{base}/api/setup/rustup-env.sh')\""),
        format!(
            "command -v rustup || curl -fsS '{base}/rustup-init.sh' | sh -s -- -y --profile minimal --default-toolchain none"
        ),
        "export PATH=\"$HOME/.cargo/bin:$PATH\" CARGO_HOME=\"$HOME/.cargo\"".to_owned(),
        "mkdir -p \"$CARGO_HOME\"".to_owned(),
        format!("curl -fsS '{base}/api/setup/cargo-config' > \"$CARGO_HOME/config.toml\""),
        "cargo build --locked".to_owned(),
    ];
    let lines = |indent: &str| steps.iter().map(|step| format!("{indent}{step}\n")).collect::<String>();
    ClientGroup {
        id: "ci",
        name: "CI",
        about:
            "One step before the build; it installs nothing that the image has already. rustup then installs what the \
                project's rust-toolchain.toml names."
                .to_owned(),
        blocks: vec![
            TextBlock {
                id: "ci-actions",
                name: "GitHub Actions, Forgejo, Gitea",
                about: "",
                text: format!(
                    "jobs:\n  build:\n    runs-on: self-hosted\n    steps:\n      - uses: actions/checkout@v4\n      \
                     - run: |\n{}",
                    lines("          ")
                ),
            },
            TextBlock {
                id: "ci-gitlab",
                name: "GitLab",
                about: "",
                text: format!("build:\n  script:\n    - |\n{}", lines("      ")),
            },
        ],
        files: Vec::new(),
    }
}

/// rustup's variables for a POSIX shell. A server URL contains no quote.
fn export_lines(client: &ClientSetup) -> String {
    client.rustup_environment().into_iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::toolchains::AvailableToolchains;

    #[test]
    fn every_block_names_this_server_and_has_a_unique_id() {
        let base = BaseUrl::parse("https://mirror.example/rust").expect("a good URL");
        let groups = groups(&base, false, &ToolchainChoice::select("stable", &[], &AvailableToolchains::default()));
        let blocks: Vec<&TextBlock> = groups.iter().flat_map(|group| &group.blocks).collect();
        for block in blocks.iter().filter(|block| block.id != "cargo-revoke") {
            assert!(block.text.contains("https://mirror.example/rust"), "{}", block.id);
            assert!(block.text.ends_with('\n'), "{}", block.id);
        }
        let revoke = blocks.iter().find(|block| block.id == "cargo-revoke").expect("there");
        assert_eq!(revoke.text, "[http]\ncheck-revoke = false\n");
        let mut ids: Vec<&str> =
            blocks.iter().map(|block| block.id).chain(groups.iter().map(|group| group.id)).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
    }
}
