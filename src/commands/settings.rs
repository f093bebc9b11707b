//! `frostmirror.toml` as the verbs use it: found, put under what flags and the environment say, and obeyed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::Context;
use crate::config::settings::ParsedFile;
use crate::config::{Key, Overrides, Settings, Source};
use crate::error_report::{ErrorClass, Failure};
use crate::mirror::gc;
use crate::mirror::layout::Layout;
use crate::mirror::lock::Holder;

/// Variable that switches live mode on or off.
const PROXY_MODE_VARIABLE: &str = "FROSTMIRROR_PROXY_MODE";

/// Variable that says whether the server may never use the network for itself.
const OFFLINE_VARIABLE: &str = "FROSTMIRROR_OFFLINE";

/// The folder of the configuration.
pub(super) fn config_folder(flag: Option<&Path>, context: &Context) -> Result<PathBuf, Failure> {
    context.resolve_folder(flag, "/config", "config")
}

/// What the `frostmirror.toml` says that verbs without `--config-dir` find.
pub(super) fn read_default(context: &Context) -> Result<ParsedFile, Failure> {
    Ok(ParsedFile::read(&config_folder(context.env.path("FROSTMIRROR_CONFIG_DIR").as_deref(), context)?)?)
}

/// What gave the word of a flag that the variable gives too: the parser does not tell, and where both say the same it makes
/// no difference.
pub(super) fn value_source(flag: &'static str, variable: &'static str, value: &str, context: &Context) -> Source {
    if context.env.var(variable) == Some(value) { Source::Variable(variable) } else { Source::Flag(flag) }
}

/// Fixes the switches that the environment sets.
pub(super) fn apply_switch_variables(fixed: &mut Overrides, context: &Context) -> Result<(), Failure> {
    apply_switch_variable(fixed, Key::ProxyMode, PROXY_MODE_VARIABLE, context)?;
    apply_switch_variable(fixed, Key::Offline, OFFLINE_VARIABLE, context)
}

fn apply_switch_variable(
    fixed: &mut Overrides,
    key: Key,
    variable: &'static str,
    context: &Context,
) -> Result<(), Failure> {
    let Some(word) = context.env.var_os(variable) else { return Ok(()) };
    let on = match word.to_str().map(str::to_ascii_lowercase).as_deref() {
        Some("1" | "true" | "yes" | "on") => true,
        Some("0" | "false" | "no" | "off") => false,
        _ => {
            let word = word.to_string_lossy().escape_debug().to_string();
            return Err(Failure::new(ErrorClass::Input, format!("{variable} is `{word}`"))
                .hint("it is `1`, `true`, `yes` or `on`, or `0`, `false`, `no` or `off`"));
        }
    };
    fixed.set_bool(key, Source::Variable(variable), on);
    Ok(())
}

/// Refuses what a laptop's own server does not do, where that would open what is meant to be closed.
pub(super) fn refuse_unsupported(settings: &Settings) -> Result<(), Failure> {
    let key = match settings {
        Settings { auth_required: true, .. } => "auth_required",
        Settings { tls_cert: Some(_), .. } => "tls_cert",
        _ => return Ok(()),
    };
    Err(Failure::new(
        ErrorClass::Input,
        format!("`up` serves this machine alone, over plain HTTP, and does not obey `{key}`"),
    )
    .context("could not serve as frostmirror.toml says")
    .hint("run `serve`, which obeys it, or let `up` use another folder with FROSTMIRROR_CONFIG_DIR"))
}

/// Collects garbage after an import, as `prune_on_import` asks.
pub(super) fn collect_after_import(
    layout: &Layout,
    verb: &'static str,
    timeout: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let now = Timestamp::now();
    let holder = Holder::this_process(verb, &context.env, now);
    gc::collect_with_defaults(layout, timeout, &holder, now, context.reporter.as_ref())
        .map_err(|error| Failure::from(error).context("all is imported, but the mirror was not pruned"))
}
