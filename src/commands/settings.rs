//! Finds `frostmirror.toml` for the verbs, and merges it with flags and environment variables.

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

/// Variable that forbids requests to upstream.
const OFFLINE_VARIABLE: &str = "FROSTMIRROR_OFFLINE";

/// The folder of the configuration.
pub(super) fn config_folder(flag: Option<&Path>, context: &Context) -> Result<PathBuf, Failure> {
    context.resolve_folder(flag, "/config", "config")
}

/// Reads the `frostmirror.toml` that verbs without `--config-dir` use.
pub(super) fn read_default(context: &Context) -> Result<ParsedFile, Failure> {
    Ok(ParsedFile::read(&config_folder(context.env.path("FROSTMIRROR_CONFIG_DIR").as_deref(), context)?)?)
}

/// The source of a value that a flag or a variable can set. Clap does not report it; if both have the same value, either
/// answer is right.
pub(super) fn value_source(flag: &'static str, variable: &'static str, value: &str, context: &Context) -> Source {
    if context.env.var(variable) == Some(value) { Source::Variable(variable) } else { Source::Flag(flag) }
}

/// Applies the switches that the environment sets.
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
            return Err(Failure::new(ErrorClass::Input, format!("{variable} has the invalid value `{word}`"))
                .hint("set it to `1`, `true`, `yes` or `on`, or to `0`, `false`, `no` or `off`"));
        }
    };
    fixed.set_bool(key, Source::Variable(variable), on);
    Ok(())
}

/// Refuses settings that `up` does not support if ignoring them would remove a protection.
pub(super) fn refuse_unsupported(settings: &Settings) -> Result<(), Failure> {
    let key = match settings {
        Settings { auth_required: true, .. } => "auth_required",
        Settings { tls_cert: Some(_), .. } => "tls_cert",
        _ => return Ok(()),
    };
    Err(Failure::new(
        ErrorClass::Input,
        format!("`up` serves only this machine over plain HTTP, and does not support `{key}`"),
    )
    .context("could not apply frostmirror.toml")
    .hint("run `serve`, which supports it, or set FROSTMIRROR_CONFIG_DIR to another folder"))
}

/// Collects garbage after an import if `prune_on_import` is set.
pub(super) fn collect_after_import(
    layout: &Layout,
    verb: &'static str,
    timeout: Duration,
    context: &Context,
) -> Result<(), Failure> {
    let now = Timestamp::now();
    let holder = Holder::this_process(verb, &context.env, now);
    gc::collect_with_defaults(layout, timeout, &holder, now, context.reporter.as_ref())
        .map_err(|error| Failure::from(error).context("the import is complete, but the mirror was not pruned"))
}
