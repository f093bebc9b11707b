//! `setup`: prints, writes or removes a client's configuration.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::Context;
use crate::bundle::sanitize::sanitize_line;
use crate::client_setup::{self, BaseUrl, Change, ClientSetup, MirrorLocation, PlannedWrite, is_frostmirror_source};
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::mirror::index_link::{LinkState, link_state};
use crate::mirror::layout::Layout;
use crate::mirror::toolchains::AvailableToolchains;
use crate::toolchain::Profile;
use crate::upstream::cargo_config::CargoConfig;

mod args;
mod checks;
mod probe;

pub use args::{Args, Shell};

use probe::Obstacle;

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.undo {
        return undo_config(context);
    }
    let client = build_client(args, context)?;
    if let MirrorLocation::Folder(mirror) = &client.location {
        report_profiles(&Layout::new(mirror), context);
    }
    if let Some(shell) = args.env {
        let variables = match shell {
            Shell::Sh => client.rustup_env_sh(),
            Shell::Powershell => client.rustup_env_ps1(),
        };
        context.reporter.print_data(&variables);
        return Ok(());
    }
    if let MirrorLocation::Folder(mirror) = &client.location
        && !Layout::new(mirror).index().is_dir()
    {
        return print_rustup_only(&client, mirror, args, context);
    }
    let config = CargoConfig::read(&context.cwd, context.cargo_home().as_deref(), &context.env);
    if args.write {
        let plan = PlannedWrite::new(&require_cargo_home(context)?, &client)?;
        let config = match config {
            Ok(config) => Some(config),
            Err(error) => {
                let what = "could not check whether cargo's configuration uses the mirror";
                context.reporter.warning(format!("{what}: {error}"));
                None
            }
        };
        // Checked before the write, so that an interrupt changes nothing.
        let obstacle = find_obstacle(&client, args, config.as_ref(), Some(&plan), context)?;
        write_config(plan, context)?;
        // What was just written counts, too.
        if let Ok(config) = CargoConfig::read(&context.cwd, context.cargo_home().as_deref(), &context.env) {
            checks::warn_about_settings(&client, &config, context);
        }
        checks::warn_about_old_cargo(&client, context);
        if let Some((base, obstacle)) = obstacle {
            context.reporter.warning(obstacle.into_warning(base));
        }
        return Ok(());
    }
    context.reporter.print_data(&client.setup_text());
    if let Some((base, obstacle)) = find_obstacle(&client, args, config.ok().as_ref(), None, context)? {
        context.reporter.warning(obstacle.into_warning(base));
    }
    Ok(())
}

/// What keeps cargo from using the server; `None` without a server or with `--offline`.
fn find_obstacle<'c>(
    client: &'c ClientSetup,
    args: &Args,
    config: Option<&CargoConfig>,
    plan: Option<&PlannedWrite>,
    context: &Context,
) -> Result<Option<(&'c BaseUrl, Obstacle)>, Failure> {
    let MirrorLocation::Server(base) = &client.location else { return Ok(None) };
    if args.offline {
        return Ok(None);
    }
    let mut settings = config.map(CargoConfig::http_settings).unwrap_or_default();
    // The check must not use a certificate that the new configuration lacks.
    if let Some((_, file)) = config.and_then(|config| config.value(&["http", "cainfo"]))
        && plan.is_some_and(|plan| plan.removes_ca(file))
        && context.env.var("CARGO_HTTP_CAINFO").is_none()
    {
        settings.cainfo = None;
    }
    let checked = probe::check_server(base, client, args, settings, context)?;
    Ok(checked.err().map(|obstacle| (base, obstacle)))
}

/// rustup-init installs its own default profile, which the mirror may have only in part.
fn report_profiles(layout: &Layout, context: &Context) {
    let available = AvailableToolchains::read(layout).unwrap_or_default();
    if let Some(profile) = available.common_profile().filter(|profile| *profile < Profile::default()) {
        context.reporter.status(
            "Note",
            format!("some toolchains here have only the profile `{profile}`: run rustup with `--profile {profile}`"),
        );
    }
}

/// Handles a mirror with toolchains but no crates: cargo cannot use it, and rustup needs only environment variables.
fn print_rustup_only(client: &ClientSetup, mirror: &Path, args: &Args, context: &Context) -> Result<(), Failure> {
    if args.write {
        return Err(Failure::new(ErrorClass::Input, "it has toolchains but no crates")
            .context(format!("could not point cargo at the mirror `{}`", mirror.display()))
            .hint("run `cargo frostmirror setup --local` to print the environment variables for rustup"));
    }
    context
        .reporter
        .warning(format!("the mirror `{}` has toolchains but no crates, so cargo cannot use it", mirror.display()));
    context.reporter.print_data(&client.rustup_text());
    Ok(())
}

fn build_client(args: &Args, context: &Context) -> Result<ClientSetup, Failure> {
    let place = if args.local {
        MirrorLocation::Folder(local_mirror(args, context)?)
    } else {
        MirrorLocation::Server(parse_server_url(args, context)?)
    };
    let ca = args.ca.as_deref().map(|ca| check_ca_file(ca, context)).transpose()?;
    Ok(ClientSetup { location: place, ca, check_revoke: args.check_revoke, requires_token: args.auth_required })
}

/// The server's URL. Users also copy the URL of the index from a configuration, or that of a page from a browser.
fn parse_server_url(args: &Args, context: &Context) -> Result<BaseUrl, Failure> {
    let base = BaseUrl::of_address(&args.url)?;
    if base.as_str() != args.url.trim_end_matches('/') {
        let address = sanitize_line(&args.url);
        context.reporter.status("Note", format!("`{address}` is an address on a server; its server is `{base}`"));
    }
    Ok(base)
}

/// The mirror for `--local`; an error unless cargo can read all of its crates.
fn local_mirror(args: &Args, context: &Context) -> Result<PathBuf, Failure> {
    let requested = args.mirror.clone().or_else(|| context.env.path("FROSTMIRROR_MIRROR"));
    let mirror = config_path(&context.resolve_folder(requested.as_deref(), "/mirror", "mirror")?)?;
    let layout = Layout::new(&mirror);
    let refused = |why: String| {
        Failure::new(ErrorClass::Input, why)
            .context(format!("could not use the mirror `{}` without a server", mirror.display()))
    };
    if !layout.index().is_dir() {
        if ["dist", "rustup"].iter().any(|folder| mirror.join(folder).is_dir()) {
            return Ok(mirror);
        }
        let hint = layout.fill_in("import a bundle first: `cargo frostmirror import FILE --mirror DIR`");
        return Err(refused("it has no index".to_owned()).hint(hint));
    }
    let resolved = |path: &Path| fs::canonicalize(path).ok();
    match link_state(&layout) {
        LinkState::Good => Ok(mirror),
        // A link with another spelling of the same target works as well.
        LinkState::WrongTarget(_) if resolved(&layout.index_link()) == resolved(&layout.index()) => Ok(mirror),
        state => Err(refused(format!("its crates/index is {state}"))
            .hint("import any bundle to restore the link, or replace it with a link to ../index")),
    }
}

fn check_ca_file(ca: &Path, context: &Context) -> Result<PathBuf, Failure> {
    let path = config_path(&context.absolute(ca))?;
    let failure_context = || format!("could not use the certificates in `{}`", path.display());
    let text = fs::read(&path).map_err(|source| {
        let failure = Failure::io(failure_context(), source).hint("give a file with certificates in PEM format");
        Failure { class: ErrorClass::Input, ..failure }
    })?;
    if !String::from_utf8_lossy(&text).contains("CERTIFICATE-----") {
        let why = "the file contains no certificate";
        return Err(Failure::new(ErrorClass::Input, why)
            .context(failure_context())
            .hint("give a file with the certificate authority's certificates in PEM format"));
    }
    Ok(path)
}

/// Normalizes a path for a configuration: UTF-8, without `.` and `..`.
fn config_path(path: &Path) -> Result<PathBuf, Failure> {
    let has_dot_components = path.components().any(|part| part == Component::ParentDir);
    let path = if has_dot_components {
        fs::canonicalize(path).unwrap_or(path.to_path_buf())
    } else {
        path.components().collect()
    };
    if path.to_str().is_none() {
        let why = format!("the path `{}` is not UTF-8", path.display());
        return Err(Failure::new(ErrorClass::Input, why)
            .hint("move the folder to a path that is UTF-8: cargo's configuration cannot name others"));
    }
    Ok(path)
}

fn write_config(plan: PlannedWrite, context: &Context) -> Result<(), Failure> {
    let report = &context.reporter;
    let written = plan.apply()?;
    if written.is_legacy {
        let path = written.path.display();
        report
            .warning(format!("cargo reads `{path}` instead of the config.toml beside it, so setup changes that file"));
    }
    if written.changes.is_empty() {
        report.status("Unchanged", format!("`{}` already has these settings", written.path.display()));
        return Ok(());
    }
    for change in &written.changes {
        report_change(change, context);
    }
    let replaced = written.changes.iter().find(|change| change.dotted() == "source.crates-io.replace-with");
    if let Some(was) = replaced.and_then(|change| change.before.as_deref())
        && !is_frostmirror_source(was.trim_matches(['"', '\'']))
    {
        report.warning(format!("crates.io was replaced by {was} before; `cargo frostmirror setup --undo` restores it"));
    }
    report.status("Wrote", written.path.display().to_string());
    Ok(())
}

fn report_change(change: &Change, context: &Context) {
    let key = change.dotted();
    let (verb, message) = match (&change.after, &change.before) {
        (Some(wrote), Some(was)) => ("Set", format!("{key} = {wrote} (was {was})")),
        (Some(wrote), None) => ("Set", format!("{key} = {wrote}")),
        (None, Some(was)) => ("Removed", format!("{key} (was {was})")),
        (None, None) => ("Removed", key),
    };
    context.reporter.status(verb, message);
}

fn undo_config(context: &Context) -> Result<(), Failure> {
    let report = &context.reporter;
    let undone = client_setup::undo(&require_cargo_home(context)?)?;
    let path = undone.path.display();
    for key in &undone.kept_keys {
        report.warning(format!("{key} was changed since setup wrote it, and stays as it is in `{path}`"));
    }
    let (verb, message) = match (undone.has_changed, undone.was_removed) {
        (false, _) => ("Unchanged", format!("{path} contains no changes by setup")),
        (true, true) => ("Removed", format!("{path}, which did not exist before setup")),
        (true, false) => ("Restored", path.to_string()),
    };
    report.status(verb, message);
    Ok(())
}

fn require_cargo_home(context: &Context) -> Result<PathBuf, Failure> {
    context.cargo_home().ok_or_else(|| {
        Failure::new(ErrorClass::Input, "the home directory is unknown")
            .context("could not find cargo's configuration")
            .hint("set CARGO_HOME to a folder")
    })
}
