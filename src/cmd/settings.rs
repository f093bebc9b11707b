//! `frostmirror.toml` as the verbs use it: found, put under what flags and the environment say, and obeyed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::Context;
use crate::failure::{Class, Failure};
use crate::mirror::gc;
use crate::mirror::layout::Layout;
use crate::mirror::lock::Holder;
use crate::server_config::settings::Given;
use crate::server_config::{By, Fixed, Key, Settings};

/// Variable that switches live mode on or off.
const PROXY_MODE: &str = "FROSTMIRROR_PROXY_MODE";

/// Variable that says whether the server may never use the network for itself.
const OFFLINE: &str = "FROSTMIRROR_OFFLINE";

/// The folder of the configuration.
pub(super) fn folder(flag: Option<&Path>, context: &Context) -> Result<PathBuf, Failure> {
    context.directory(flag, "/config", "config")
}

/// What the `frostmirror.toml` says that verbs without `--config-dir` find.
pub(super) fn found(context: &Context) -> Result<Given, Failure> {
    Ok(Given::read(&folder(context.env.path("FROSTMIRROR_CONFIG_DIR").as_deref(), context)?)?)
}

/// What gave the word of a flag that the variable gives too: the parser does not tell, and where both say the same it makes
/// no difference.
pub(super) fn by(flag: &'static str, variable: &'static str, value: &str, context: &Context) -> By {
    if context.env.text(variable) == Some(value) { By::Variable(variable) } else { By::Flag(flag) }
}

/// Fixes the switches that the environment sets.
pub(super) fn fix_switches(fixed: &mut Fixed, context: &Context) -> Result<(), Failure> {
    fix_switch(fixed, Key::ProxyMode, PROXY_MODE, context)?;
    fix_switch(fixed, Key::Offline, OFFLINE, context)
}

fn fix_switch(fixed: &mut Fixed, key: Key, variable: &'static str, context: &Context) -> Result<(), Failure> {
    let Some(word) = context.env.os(variable) else { return Ok(()) };
    let on = match word.to_str().map(str::to_ascii_lowercase).as_deref() {
        Some("1" | "true" | "yes" | "on") => true,
        Some("0" | "false" | "no" | "off") => false,
        _ => {
            let word = word.to_string_lossy().escape_debug().to_string();
            return Err(Failure::new(Class::Input, format!("{variable} is `{word}`"))
                .hint("it is `1`, `true`, `yes` or `on`, or `0`, `false`, `no` or `off`"));
        }
    };
    fixed.switch(key, By::Variable(variable), on);
    Ok(())
}

/// Refuses what a laptop's own server does not do, where that would open what is meant to be closed.
pub(super) fn refuse_unheeded(settings: &Settings) -> Result<(), Failure> {
    let key = match settings {
        Settings { auth_required: true, .. } => "auth_required",
        Settings { tls_cert: Some(_), .. } => "tls_cert",
        _ => return Ok(()),
    };
    Err(Failure::new(
        Class::Input,
        format!("`up` serves this machine alone, over plain HTTP, and does not obey `{key}`"),
    )
    .doing("could not serve as frostmirror.toml says")
    .hint("run `serve`, which obeys it, or let `up` use another folder with FROSTMIRROR_CONFIG_DIR"))
}

/// Collects garbage after an import, as `prune_on_import` asks.
pub(super) fn prune(layout: &Layout, verb: &'static str, timeout: Duration, context: &Context) -> Result<(), Failure> {
    let now = Timestamp::now();
    let me = Holder::this_process(verb, &context.env, now);
    gc::prune(layout, timeout, &me, now, context.report.as_ref())
        .map_err(|error| Failure::from(error).doing("all is imported, but the mirror was not pruned"))
}
