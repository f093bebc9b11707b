//! The Client Setup page: commands and files that configure cargo and rustup for this server at the requested address. They
//! name the toolchain and targets of the settings, as far as the mirror has them.

mod toolchain_choice;

use std::sync::Arc;

use askama::Template;
use hyper::StatusCode;

use self::toolchain_choice::ToolchainChoice;
use super::frame::{Frame, render_page};
use crate::client_setup::{BaseUrl, ClientSetup};
use crate::web::auth::is_loopback_name;
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult};
use crate::web::state::WebState;

/// The groups of clients: the anchor, and the name.
const GROUPS: [(&str, &str); 6] = [
    ("cargo", "cargo"),
    ("linux", "rustup on Linux"),
    ("macos", "rustup on macOS"),
    ("powershell", "Windows (PowerShell)"),
    ("docker", "Docker"),
    ("ci", "CI"),
];

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    frame: Frame,
    /// A server URL, which contains no quote and no character with a meaning in a shell.
    base: BaseUrl,
    /// Whether the address only works on this machine.
    loopback: bool,
    /// The untrusted proxy of the request, if any.
    untrusted_proxy: Option<String>,
    client: ClientSetup,
    choice: ToolchainChoice,
    groups: [(&'static str, &'static str); 6],
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
        let choice =
            ToolchainChoice::select(&toolchain, &settings.targets, &available, state.options.live.is_enabled());
        Ok(SetupPage {
            loopback: is_loopback_name(host),
            untrusted_proxy: request.origin.untrusted_proxy.then(|| request.origin.peer.ip().to_string()),
            client: ClientSetup {
                requires_token: state.options.access.requires_reader_token(),
                ..ClientSetup::for_server(base.clone())
            },
            choice,
            groups: GROUPS,
            base,
            frame,
        })
    })
}

impl SetupPage {
    /// The lines that keep cargo from checking revocation lists.
    fn revocation_lines(&self) -> String {
        let without = ClientSetup { check_revoke: Some(false), ..self.client.clone() };
        without.cargo_config().replacen(&self.client.cargo_config(), "", 1).trim_start().to_owned()
    }

    /// The steps of a CI job.
    fn ci_steps(&self) -> [String; 6] {
        let base = &self.base;
        [
            format!("eval \"$(curl -fsS '{base}/api/setup/rustup-env.sh')\""),
            format!(
                "command -v rustup || curl -fsS '{base}/rustup-init.sh' | sh -s -- -y --profile minimal --default-toolchain none"
            ),
            "export PATH=\"$HOME/.cargo/bin:$PATH\" CARGO_HOME=\"$HOME/.cargo\"".to_owned(),
            "mkdir -p \"$CARGO_HOME\"".to_owned(),
            format!("curl -fsS '{base}/api/setup/cargo-config' > \"$CARGO_HOME/config.toml\""),
            "cargo build --locked".to_owned(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::toolchains::AvailableToolchains;

    #[test]
    fn every_block_names_this_server_and_has_a_unique_id() {
        let base = BaseUrl::parse("https://mirror.example/rust").expect("a good URL");
        let frame = Frame {
            here: "/setup",
            title: "",
            root: String::new(),
            scripts: &[],
            version: "",
            base: base.to_string(),
            admin: false,
            reads: true,
            session: false,
            token: false,
            closed: false,
        };
        let page = SetupPage {
            frame,
            loopback: false,
            untrusted_proxy: None,
            client: ClientSetup::for_server(base.clone()),
            choice: ToolchainChoice::select("stable", &[], &AvailableToolchains::default(), false),
            groups: GROUPS,
            base,
        };
        let page = page.render().expect("a page");
        let blocks: Vec<(&str, &str)> = page
            .split("<code id=\"")
            .skip(1)
            .map(|rest| rest.split("</code>").next().and_then(|block| block.split_once("\">")).expect("a block"))
            .collect();
        assert_eq!(blocks.len(), 17, "{blocks:?}");
        for (id, text) in blocks.iter().filter(|(id, _)| *id != "cargo-revoke") {
            assert!(text.contains("https://mirror.example/rust"), "{id}: {text}");
            assert!(text.ends_with('\n') && !text.starts_with(char::is_whitespace), "{id}: {text:?}");
        }
        let revoke = blocks.iter().find(|(id, _)| *id == "cargo-revoke").expect("there");
        assert_eq!(revoke.1, "[http]\ncheck-revoke = false\n");
        let mut ids: Vec<&str> = blocks.iter().map(|(id, _)| *id).chain(GROUPS.iter().map(|(id, _)| *id)).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
    }
}
