//! `fetch`: resolve, download, and write one .pkg.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::client_config::BaseUrl;
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::fetch::{self, Input, Mode, Options, Outcome, Surroundings, Weighed};
use crate::gather::depends::Depends;
use crate::gather::resolve::CrateSpec;
use crate::gather::workspace;

/// Words of `fetch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to mirror; where the default does not exist and a workspace is found, its Cargo.lock is used
    #[arg(short, long, value_name = "PATH", help_heading = "What to fetch")]
    pub config: Option<PathBuf>,
    /// The workspace whose Cargo.lock to mirror
    #[arg(long, value_name = "PATH", help_heading = "What to fetch")]
    pub manifest_path: Option<PathBuf>,
    /// Mirror exactly the packages of this Cargo.lock (repeatable)
    #[arg(long, value_name = "PATH", help_heading = "What to fetch")]
    pub lockfile: Vec<PathBuf>,
    /// Mirror a crate or tool, ready for `cargo install` (repeatable)
    #[arg(long = "crate", value_name = "NAME[@REQ]", help_heading = "What to fetch")]
    pub crates: Vec<CrateSpec>,
    /// Fetch exactly the crates of this repair list, to mend a mirror
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "What to fetch",
        conflicts_with_all = ["config", "manifest_path", "lockfile", "crates", "incremental", "base", "forget"]
    )]
    pub from_list: Option<PathBuf>,
    /// Retire an input of the history, named as `inspect` shows it (repeatable)
    #[arg(long, value_name = "INPUT", help_heading = "What to fetch", allow_hyphen_values = true)]
    pub forget: Vec<String>,
    /// Ship only what the history says was not sent yet [env: FROSTMIRROR_MODE=full|incremental]
    #[arg(long, help_heading = "What to ship")]
    pub incremental: bool,
    /// The newest bundle that arrived, where later ones were lost; makes the bundle a delta on it
    #[arg(long, value_name = "FILE|ID", help_heading = "What to ship")]
    pub base: Option<String>,
    /// Use the crates of an older mirror or bundle where their digest is right (repeatable)
    #[arg(long, value_name = "DIR|FILE", help_heading = "What to ship")]
    pub reuse: Vec<PathBuf>,
    /// Leave git dependencies out, each named in a warning
    #[arg(long, help_heading = "What to fetch")]
    pub skip_git: bool,
    /// Leave packages of this alternate registry out, each named in a warning (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "What to fetch")]
    pub skip_registry: Vec<String>,
    /// Leave toolchains out, even where depends.toml asks for them
    #[arg(long, help_heading = "What to fetch")]
    pub no_toolchain: bool,
    /// Where the bundle goes
    #[arg(
        short,
        long,
        value_name = "DIR",
        env = "FROSTMIRROR_OUTPUT",
        hide_env_values = true,
        default_value = "output"
    )]
    pub output: PathBuf,
    /// Requests under way at once [default: as many as the upstream's protocol bears]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// Show what would be downloaded and what it weighs, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Use the caches alone
    #[arg(long)]
    pub offline: bool,
    /// What the bundle's config.toml tells clients
    #[arg(
        long,
        value_name = "URL",
        env = "FROSTMIRROR_BASE_URL",
        hide_env_values = true,
        default_value = "http://localhost:8080"
    )]
    pub base_url: String,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mode = mode(args, context)?;
    let forget = args.forget.iter().map(|input| known_as(input, context)).collect::<Vec<String>>();
    let inputs = match mode {
        Mode::Repair { .. } => Vec::new(),
        Mode::Full | Mode::Incremental { .. } => inputs(args, &forget, context)?,
    };
    refuse_toolchains(&inputs, args, context)?;
    let scratch = tempfile::tempdir().map_err(|source| Failure::io("could not make a temporary folder", source))?;
    let home = context.home()?;
    let history = context.env.path("FROSTMIRROR_HISTORY");
    let options = Options {
        inputs,
        mode,
        forget,
        history: history.map_or(home.join("history"), |path| context.absolute(&path)),
        surroundings: Surroundings {
            jobs: args.jobs.map(usize::from),
            offline: args.offline,
            skip_git: args.skip_git,
            skip_registries: args.skip_registry.clone(),
            reuse: args.reuse.iter().map(|path| context.absolute(path)).collect(),
            ..context.surroundings(scratch.path())?
        },
        output: context.absolute(&args.output),
        base_url: BaseUrl::parse(&args.base_url)?,
        created: created(context)?,
        delivered: None,
    };
    let sink: Arc<dyn Sink> = context.report.clone();
    if args.dry_run {
        let weighed = context.interruptible(fetch::dry_run(options, sink))?;
        return tell_plan(&weighed, context);
    }
    match context.interruptible(fetch::fetch(options, sink))? {
        Outcome::Written(written) if context.report.is_json() => context.report.json(&json!({
            "reason": "bundle", "path": written.path, "id": written.id, "size": written.size, "crates": written.crates,
        })),
        Outcome::Written(written) => context.report.data(&written.path.display().to_string()),
        Outcome::NothingNew if context.report.is_json() => context.report.json(&json!({ "reason": "unchanged" })),
        Outcome::NothingNew if args.from_list.is_some() => {
            context.report.status("Unchanged", "the list names nothing, so no bundle was written".to_owned());
        }
        Outcome::NothingNew => {
            context.report.status("Unchanged", "there is nothing new, so no bundle was written".to_owned())
        }
    }
    Ok(())
}

/// How much the bundle is to ship: the words, else FROSTMIRROR_MODE, else all of it.
fn mode(args: &Args, context: &Context) -> Result<Mode, Failure> {
    if let Some(list) = &args.from_list {
        return Ok(Mode::Repair { list: context.absolute(list) });
    }
    if args.incremental || args.base.is_some() {
        return Ok(Mode::Incremental { base: args.base.clone() });
    }
    match context.env.os("FROSTMIRROR_MODE") {
        None => Ok(Mode::Full),
        Some(mode) if mode == "full" => Ok(Mode::Full),
        Some(mode) if mode == "incremental" => Ok(Mode::Incremental { base: None }),
        Some(mode) => {
            let mode = mode.to_string_lossy().escape_debug().to_string();
            Err(Failure::new(Class::Input, format!("FROSTMIRROR_MODE is `{mode}`"))
                .hint("it is `full` or `incremental`"))
        }
    }
}

/// How the history knows an input that the user names: `--crate NAME` as it is, else an absolute path.
fn known_as(input: &str, context: &Context) -> String {
    if input.starts_with("--") { input.to_owned() } else { one_path(Path::new(input), context).display().to_string() }
}

/// The absolute path of an input. The history knows an input by its path, so that a path has one spelling: without `.`,
/// and with the folders that `..` really leads to.
pub(super) fn one_path(path: &Path, context: &Context) -> PathBuf {
    let path: PathBuf = context.absolute(path).components().collect();
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// What the words ask for: lockfiles and crates stand alone unless a depends.toml is named too; without any of them
/// depends.toml counts where it is there, and else the workspace. What is to be forgotten is not fetched, and nothing
/// else need be.
fn inputs(args: &Args, forget: &[String], context: &Context) -> Result<Vec<Input>, Failure> {
    let mut inputs: Vec<Input> = args.config.iter().map(|path| Input::Depends(one_path(path, context))).collect();
    inputs.extend(args.lockfile.iter().map(|path| Input::Lockfile(one_path(path, context))));
    inputs.extend(args.crates.iter().cloned().map(Input::Crate));
    if let Some(manifest) = &args.manifest_path {
        inputs.push(Input::Workspace(workspace::open(&context.absolute(manifest), &context.env)?));
    }
    if inputs.is_empty() && forget.is_empty() {
        inputs.push(default_input(context)?);
    }
    Ok(inputs)
}

/// depends.toml in the current directory, else the workspace around it.
pub(super) fn default_input(context: &Context) -> Result<Input, Failure> {
    let depends = context.cwd.join("depends.toml");
    if depends.exists() {
        return Ok(Input::Depends(depends));
    }
    match workspace::find(&context.cwd, &context.env)? {
        Some(found) => {
            let manifest = found.root.join("Cargo.toml");
            let file = found.lockfile.as_ref().unwrap_or(&manifest);
            context.report.status("Using", format!("`{}`; there is no depends.toml here", file.display()));
            Ok(Input::Workspace(found))
        }
        None => Err(Failure::new(Class::Input, "there is no depends.toml here, and no Cargo.toml here or above")
            .doing("found nothing to fetch")
            .hint("run this in a cargo project, write a depends.toml (`cargo frostmirror init` makes one), or name what to fetch with `-c`, `--lockfile` or `--crate`")),
    }
}

/// Toolchains that were asked for and are not mirrored are no success; that there are none is told.
fn refuse_toolchains(inputs: &[Input], args: &Args, context: &Context) -> Result<(), Failure> {
    if args.no_toolchain {
        return Ok(());
    }
    for input in inputs {
        if let Input::Depends(path) = input
            && Depends::read(path)?.platforms.is_some()
        {
            return Err(fetch::Error::Toolchains(path.clone()).into());
        }
    }
    let asked =
        ["FROSTMIRROR_TOOLCHAIN", "FROSTMIRROR_PLATFORMS"].into_iter().find(|name| context.env.os(name).is_some());
    if let Some(name) = asked {
        return Err(Failure::new(Class::Input, format!("{name} is set, and this version mirrors crates alone"))
            .hint("`--no-toolchain` leaves toolchains out"));
    }
    context.report.status("Fetching", "crates alone, no toolchain".to_owned());
    Ok(())
}

/// The time that the bundle states: SOURCE_DATE_EPOCH where it is set, else now
/// (reproducible-builds.org, SOURCE_DATE_EPOCH: seconds since 1970, decimal).
pub(super) fn created(context: &Context) -> Result<Timestamp, Failure> {
    let Some(epoch) = context.env.text("SOURCE_DATE_EPOCH") else { return Ok(Timestamp::now()) };
    let time = epoch.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| {
        Failure::new(Class::Input, format!("SOURCE_DATE_EPOCH is `{}`", epoch.escape_debug()))
            .hint("it is a number of seconds since 1970; unset it to use the clock")
    })
}

fn tell_plan(weighed: &Weighed, context: &Context) -> Result<(), Failure> {
    let (count, bytes, unknown) = weighed.to_download();
    if context.report.is_json() {
        for planned in &weighed.crates {
            context.report.json(&json!({
                "reason": "planned", "name": planned.id.name, "version": planned.id.version,
                "size": planned.size, "held": planned.held,
            }));
        }
        context.report.json(&json!({
            "reason": "plan", "crates": weighed.crates.len(), "to_download": count, "bytes": bytes, "of_unknown_size": unknown,
        }));
        return Ok(());
    }
    let mut lines = String::new();
    for planned in &weighed.crates {
        let size = planned.size.map_or("?".to_owned(), |size| size.to_string());
        let held = if planned.held { "  (in the cache)" } else { "" };
        lines.push_str(&format!("{:>12} {}{held}\n", size, planned.id));
    }
    context.report.data(&lines);
    let unknown = if unknown > 0 { format!(" and {unknown} of unknown size") } else { String::new() };
    let all = match weighed.crates.len() {
        1 => "1 crate".to_owned(),
        all => format!("{all} crates"),
    };
    context
        .report
        .status("Planned", format!("{all}; {count} to download, {bytes} bytes{unknown}; nothing was written"));
    Ok(())
}
