//! `fetch`: resolve, download, and write one .pkg.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use super::Context;
use crate::client_setup::BaseUrl;
use crate::config::Settings;
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::fetch::history::InputRef;
use crate::fetch::resolve::CrateSpec;
use crate::fetch::workspace;
use crate::fetch::{self, Environment, InputSpec, Mode, Options, Outcome, ToolchainOptions};
use crate::inputs::depends::DependsFile;
use crate::inputs::input_id::Label;
use crate::inputs::lockfile::SkippedPackage;
use crate::inputs::toolchain_file::{self, ToolchainFile};
use crate::toolchain::{self, ToolchainName, is_triple};

mod dry_run;

/// Arguments of `fetch`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Dependency list [default: depends.toml, else Cargo.lock]
    ///
    /// Dependency list. The default is the nearest depends.toml from the current directory up to the workspace root. If there
    /// is none, the workspace's Cargo.lock is used.
    #[arg(short, long, value_name = "PATH", help_heading = "What to fetch")]
    pub config: Option<PathBuf>,
    /// Workspace to fetch, by its Cargo.toml
    ///
    /// Workspace to fetch, by its Cargo.toml. Its Cargo.lock is used; depends.toml only with `-c`.
    #[arg(long, value_name = "PATH", help_heading = "What to fetch")]
    pub manifest_path: Option<PathBuf>,
    /// Cargo.lock to fetch exactly (repeatable)
    ///
    /// Cargo.lock to fetch exactly, without its workspace (repeatable). depends.toml is then used only with `-c`.
    #[arg(long, value_name = "PATH", help_heading = "What to fetch")]
    pub lockfile: Vec<PathBuf>,
    /// Crate or tool to fetch (repeatable)
    ///
    /// Crate or tool to fetch, for `cargo install` with and without `--locked` (repeatable). A full version, such as
    /// `@14.1.1`, means exactly that version, as for `cargo install`; REQ is otherwise a version requirement, such as `@14` or
    /// `@~14.1`. depends.toml is then used only with `-c`.
    #[arg(long = "crate", value_name = "NAME[@REQ]", help_heading = "What to fetch")]
    pub crates: Vec<CrateSpec>,
    /// Repair list to fetch, from `verify --repair-list`
    ///
    /// Repair list to fetch, from `verify --repair-list`. The bundle has exactly the crates and dist files of the list, for a
    /// mirror whose files are damaged.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "What to fetch",
        conflicts_with_all = ["config", "manifest_path", "lockfile", "crates", "incremental", "base", "forget"]
    )]
    pub from_list: Option<PathBuf>,
    /// Label [default: its package, folder or crate]
    ///
    /// Label of the input in the history and in bundles; only with one input. The default is the name of the package or
    /// folder that contains its file; for a crate it is the value of `--crate`.
    #[arg(long, value_name = "NAME", help_heading = "What to fetch", conflicts_with = "from_list")]
    pub label: Option<Label>,
    /// Input of the history to retire (repeatable)
    ///
    /// Input of the history to retire, by its label as `history` lists it (repeatable). Without an option that names an
    /// input, nothing else is fetched.
    #[arg(long, value_name = "INPUT", help_heading = "What to fetch", allow_hyphen_values = true)]
    pub forget: Vec<String>,
    /// Leave git dependencies out
    ///
    /// Leave git dependencies out. The bundle records them, and the offline side needs another source for them. Without this
    /// option, a git dependency is an error.
    #[arg(long, help_heading = "What to fetch")]
    pub skip_git: bool,
    /// Leave this alternate registry out (repeatable)
    ///
    /// Leave packages of this alternate registry out, as `--skip-git` does for git dependencies (repeatable).
    #[arg(long, value_name = "NAME", help_heading = "What to fetch")]
    pub skip_registry: Vec<String>,
    /// Target to fetch toolchains for (repeatable)
    ///
    /// Target to fetch toolchains for (repeatable). It replaces `targets` below `[platforms]` in depends.toml, and
    /// FROSTMIRROR_PLATFORMS. The toolchains are those of `[platforms]`, else of FROSTMIRROR_TOOLCHAIN, else of
    /// rust-toolchain.toml, else `stable`.
    #[arg(long = "target", value_name = "TRIPLE", help_heading = "What to fetch", conflicts_with_all = ["no_toolchain", "from_list"])]
    pub targets: Vec<String>,
    /// Leave toolchains out of this bundle
    ///
    /// Leave toolchains out of this bundle, even if depends.toml or rust-toolchain.toml names them. Toolchains of earlier
    /// bundles stay current.
    #[arg(long, help_heading = "What to fetch")]
    pub no_toolchain: bool,
    /// Retire earlier toolchains, and fetch none
    ///
    /// Retire the toolchains that earlier bundles brought for these inputs, and fetch none. After the import, `gc` removes
    /// their files unless another input needs them.
    #[arg(long, help_heading = "What to fetch", conflicts_with_all = ["no_toolchain", "targets", "from_list"])]
    pub drop_toolchains: bool,
    /// Not supported; its error says where to name toolchains
    #[arg(long = "toolchain", value_name = "NAME", hide = true)]
    pub toolchain: Option<String>,
    /// Write a delta: only files that earlier bundles lack
    ///
    /// Write a delta: only files that earlier bundles lack, according to the history. FROSTMIRROR_MODE=incremental makes this
    /// the default.
    #[arg(long, help_heading = "What to pack")]
    pub incremental: bool,
    /// Last bundle before the first lost one
    ///
    /// Last bundle before the first lost one: its file, its ID or a unique prefix of its ID. The output is a delta that has
    /// everything sent after it. With `none`, it is a full bundle that has everything the history needs.
    #[arg(long, value_name = "FILE|ID|none", help_heading = "What to pack")]
    pub base: Option<String>,
    /// Folder for the bundle
    #[arg(
        short,
        long,
        value_name = "DIR",
        env = "FROSTMIRROR_OUTPUT",
        default_value = "output",
        help_heading = "What to pack"
    )]
    pub output: PathBuf,
    /// Mirror's URL for clients
    ///
    /// Mirror's URL for clients. The bundle's config.toml tells cargo to use it.
    #[arg(
        long,
        value_name = "URL",
        env = "FROSTMIRROR_BASE_URL",
        default_value = "http://localhost:8080",
        help_heading = "What to pack"
    )]
    pub base_url: String,
    /// Print the downloads and their sizes; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Use only the caches; send no request
    #[arg(long)]
    pub offline: bool,
    /// Older mirror or bundle to take files from (repeatable)
    ///
    /// Older mirror or bundle to take files from, if their digests match (repeatable). Every other file is downloaded.
    #[arg(long, value_name = "DIR|FILE")]
    pub reuse: Vec<PathBuf>,
    /// Parallel requests [default: 128 with HTTP/2, else 8]
    ///
    /// Parallel requests. The default is 128 to a server with HTTP/2. Other servers get at most 8.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if let Some(name) = &args.toolchain {
        return Err(Failure::new(ErrorClass::Usage, "`fetch` has no flag `--toolchain`").hint(format!(
            "put `toolchain = {:?}` below `[platforms]` in depends.toml, or set FROSTMIRROR_TOOLCHAIN={}",
            name,
            name.escape_debug()
        )));
    }
    let manifest = args.manifest_path.as_ref().map(|path| context.absolute(path));
    let context = &context.with_usable_toolchain([&context.cwd].into_iter().chain(&manifest).map(PathBuf::as_path));
    let mode = shipping_mode(args, context)?;
    let forget: Vec<InputRef> = args.forget.iter().map(|input| input_ref(input, context)).collect();
    let inputs = match mode {
        Mode::Repair { .. } => Vec::new(),
        Mode::Full | Mode::Incremental { .. } => collect_inputs(args, &forget, context)?,
    };
    let toolchains = toolchain_options(args, &inputs, context)?;
    let base_url = BaseUrl::parse(&args.base_url)?;
    if let Some(warning) = base_url.warning() {
        context.reporter.warning(warning);
    }
    let scratch = context.create_scratch_folder()?;
    let options = Options {
        mode,
        toolchains,
        label: validate_label(args.label.as_ref(), &inputs)?,
        inputs,
        forget,
        history: context.history_folder()?,
        environment: Environment {
            jobs: args.jobs.map(usize::from),
            offline: args.offline,
            skip_git: args.skip_git,
            skip_registries: args.skip_registry.clone(),
            reuse: args.reuse.iter().map(|path| context.absolute(path)).collect(),
            ..context.fetch_environment("fetch", scratch.path())?
        },
        output: context.absolute(&args.output),
        base_url,
        created: bundle_time(context)?,
        is_delivered: None,
    };
    let sink: Arc<dyn Sink> = context.reporter.clone();
    if args.dry_run {
        let estimate = context.run_interruptible(fetch::dry_run(options, sink))?;
        dry_run::report(&estimate, context);
        return Ok(());
    }
    match context.run_interruptible(fetch::fetch(options, sink))? {
        Outcome::Written(written) => {
            if context.reporter.is_json() {
                let skipped = written.skipped_packages.iter().map(|SkippedPackage { package, reason: why }| {
                    json!({
                        "name": package.name, "version": package.version, "source": package.source.to_string(), "why": why,
                    })
                });
                context.reporter.print_json(&json!({
                    "reason": "bundle", "path": written.path, "id": written.id, "size": written.size,
                    "crates": written.crates, "rustup_artifacts": written.dist_files,
                    "left_out": skipped.collect::<Vec<_>>(), "forgotten": written.forgotten,
                }));
            } else {
                context.reporter.print_data(&written.path.display().to_string());
            }
            // The bundle is valid, but it is incomplete, so the run must not report success.
            if !written.unavailable.is_empty() {
                return Err(fetch::Error::Unavailable(written.unavailable).into());
            }
        }
        Outcome::NothingNew if context.reporter.is_json() => {
            context.reporter.print_json(&json!({ "reason": "unchanged" }))
        }
        Outcome::NothingNew if args.from_list.is_some() => {
            context.reporter.status("Unchanged", "the list is empty, so no bundle was written".to_owned());
        }
        Outcome::NothingNew => {
            context.reporter.status("Unchanged", "there is nothing new, so no bundle was written".to_owned())
        }
    }
    Ok(())
}

/// Chooses between a full bundle and a delta: from the flags, else from FROSTMIRROR_MODE; a full bundle by default.
fn shipping_mode(args: &Args, context: &Context) -> Result<Mode, Failure> {
    if let Some(list) = &args.from_list {
        return Ok(Mode::Repair { list: context.absolute(list) });
    }
    if args.incremental || args.base.is_some() {
        return Ok(Mode::Incremental { base: args.base.clone() });
    }
    match context.env.var_os("FROSTMIRROR_MODE") {
        None => Ok(Mode::Full),
        Some(mode) if mode == "full" => Ok(Mode::Full),
        Some(mode) if mode == "incremental" => Ok(Mode::Incremental { base: None }),
        Some(mode) => {
            let mode = mode.to_string_lossy().escape_debug().to_string();
            Err(Failure::new(ErrorClass::Input, format!("FROSTMIRROR_MODE has the unknown value `{mode}`"))
                .hint("set it to `full` or `incremental`"))
        }
    }
}

/// Finds an input of the history by its label or by the path of its file.
pub(super) fn input_ref(input: &str, context: &Context) -> InputRef {
    InputRef { text: input.to_owned(), path: normalize_path(Path::new(input), context) }
}

/// A label applies to one input.
fn validate_label(label: Option<&Label>, inputs: &[InputSpec]) -> Result<Option<Label>, Failure> {
    let Some(label) = label else { return Ok(None) };
    match inputs {
        [_] => Ok(Some(label.clone())),
        _ => Err(Failure::new(ErrorClass::Usage, "`--label` needs exactly one input")
            .hint("fetch the inputs one after the other, each with its own label")),
    }
}

/// The absolute path of an input in canonical spelling: without `.`, and with `..` resolved through links.
pub(super) fn normalize_path(path: &Path, context: &Context) -> PathBuf {
    let path: PathBuf = context.absolute(path).components().collect();
    if !path.components().any(|part| part == Component::ParentDir) {
        return path;
    }
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// Collects the requested inputs. `--lockfile` and `--crate` exclude depends.toml unless it is named too. Without any of
/// them, depends.toml is used if it exists, else the workspace. A run that only retires inputs fetches nothing.
fn collect_inputs(args: &Args, forget: &[InputRef], context: &Context) -> Result<Vec<InputSpec>, Failure> {
    let mut inputs =
        input_files(args.config.as_deref(), &args.lockfile, &args.crates, args.manifest_path.as_deref(), context)?;
    if inputs.is_empty() && forget.is_empty() {
        match find_default_input(context)? {
            Some(input) => inputs.push(input),
            // The base requests what the history recorded.
            None if args.base.is_some() => {}
            None => return Err(no_default_input()),
        }
    }
    Ok(inputs)
}

/// The inputs that the arguments name.
pub(super) fn input_files(
    depends: Option<&Path>,
    lockfiles: &[PathBuf],
    crates: &[CrateSpec],
    manifest: Option<&Path>,
    context: &Context,
) -> Result<Vec<InputSpec>, Failure> {
    let mut inputs = Vec::new();
    if let Some(path) = depends {
        inputs.push(InputSpec::Depends(DependsFile::read(&normalize_path(path, context))?));
    }
    inputs.extend(lockfiles.iter().map(|path| InputSpec::Lockfile(normalize_path(path, context))));
    inputs.extend(crates.iter().cloned().map(InputSpec::Crate));
    if let Some(manifest) = manifest {
        inputs.push(InputSpec::Workspace(workspace::open(&context.absolute(manifest), &context.env)?));
    }
    Ok(inputs)
}

/// The nearest depends.toml between the current directory and the workspace root, else the workspace.
pub(super) fn default_input(context: &Context) -> Result<InputSpec, Failure> {
    find_default_input(context)?.ok_or_else(no_default_input)
}

fn no_default_input() -> Failure {
    Failure::new(ErrorClass::Input, "there is no depends.toml here, and no Cargo.toml here or above")
        .context("found nothing to fetch")
        .hint("run this in a cargo project or beside a depends.toml, or name one: `--manifest-path PATH`, `--lockfile PATH` or `-c PATH`")
}

fn find_default_input(context: &Context) -> Result<Option<InputSpec>, Failure> {
    let here = context.cwd.join("depends.toml");
    if here.exists() {
        return Ok(Some(InputSpec::Depends(DependsFile::read(&here)?)));
    }
    let manifest = context.cwd.ancestors().find(|folder| folder.join("Cargo.toml").is_file());
    let Some(package) = manifest else { return Ok(None) };
    let up_to = |top: &Path| {
        let folders = context.cwd.ancestors().take_while(|folder| folder.starts_with(top));
        folders.map(|folder| folder.join("depends.toml")).find(|path| path.exists())
    };
    // If the package's folder has one, cargo need not locate the workspace.
    if let Some(depends) = up_to(package) {
        return Ok(Some(read_and_report(&depends, context)?));
    }
    let found = workspace::open(package, &context.env)?;
    // The workspace root need not be above the package.
    let root_file = Some(found.root.join("depends.toml")).filter(|path| path.exists());
    if let Some(depends) = up_to(&found.root).or(root_file) {
        return Ok(Some(read_and_report(&depends, context)?));
    }
    let manifest = found.root.join("Cargo.toml");
    let file = found.lockfile.as_ref().unwrap_or(&manifest);
    context.reporter.status("Using", format!("`{}`; the workspace has no depends.toml", file.display()));
    Ok(Some(InputSpec::Workspace(found)))
}

fn read_and_report(depends: &Path, context: &Context) -> Result<InputSpec, Failure> {
    context.reporter.status("Using", format!("`{}`", depends.display()));
    Ok(InputSpec::Depends(DependsFile::read(depends)?))
}

/// The toolchain files of inputs that name no toolchains themselves, by the input's file. Reports each one.
fn toolchain_files(inputs: &[InputSpec], context: &Context) -> BTreeMap<PathBuf, ToolchainFile> {
    let mut pins = BTreeMap::new();
    for input in inputs {
        let (file, folder) = match input {
            InputSpec::Depends(depends) if depends.platforms.is_none() => (depends.path.clone(), depends.path.parent()),
            InputSpec::Workspace(found) => (found.root.join("Cargo.lock"), Some(found.root.as_path())),
            InputSpec::Depends(_) | InputSpec::Lockfile(_) | InputSpec::Crate(_) => continue,
        };
        match folder.map_or(Ok(None), toolchain_file::read_nearest) {
            Ok(Some(pin)) => {
                if let Some(reason) = pin.why_not_mirrored() {
                    context.reporter.warning(format!("{reason}; no toolchain is included"));
                } else if let Some(toolchain) = &pin.toolchain {
                    let path = pin.path.display();
                    let how = "`--no-toolchain` leaves it out";
                    context.reporter.status("Using", format!("the toolchain {toolchain} of `{path}`; {how}"));
                    pins.insert(file, pin);
                }
            }
            Ok(None) => {}
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                context.reporter.warning(format!("{error}{}; no toolchain is included", cause.trim_end()));
            }
        }
    }
    pins
}

/// The toolchain request of flags, environment and frostmirror.toml, in that order.
fn toolchain_options(args: &Args, inputs: &[InputSpec], context: &Context) -> Result<ToolchainOptions, Failure> {
    let split_list = |name: &str| {
        let text = context.env.var(name)?;
        Some(text.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect::<Vec<_>>())
    };
    let (platforms, names) = (split_list("FROSTMIRROR_PLATFORMS"), split_list("FROSTMIRROR_TOOLCHAIN"));
    for (what, triple) in args
        .targets
        .iter()
        .map(|triple| ("--target", triple))
        .chain(platforms.iter().flatten().map(|triple| ("FROSTMIRROR_PLATFORMS", triple)))
    {
        if !is_triple(triple) {
            return Err(Failure::new(
                ErrorClass::Input,
                format!("{what} contains `{}`, which is not a target triple", triple.escape_debug()),
            )
            .hint("give a target triple, such as `x86_64-unknown-linux-gnu`; `rustc --print target-list` lists them"));
        }
    }
    let mut default_toolchains: Vec<ToolchainName> = Vec::new();
    for name in names.iter().flatten() {
        default_toolchains.push(name.parse().map_err(|error| {
            Failure::new(ErrorClass::Input, error)
                .context("could not read FROSTMIRROR_TOOLCHAIN")
                .hint("use channel names separated by commas, such as `stable`, `1.86.0` or `nightly-2026-04-25`")
        })?);
    }
    let always = platforms.is_some() || names.is_some() || !args.targets.is_empty();
    let is_skipped = args.no_toolchain || args.from_list.is_some();
    let is_without = is_skipped || args.drop_toolchains;
    // A toolchain from the environment overrides the project's.
    let pins =
        if is_without || !default_toolchains.is_empty() { BTreeMap::new() } else { toolchain_files(inputs, context) };
    let has_platforms = |input: &InputSpec| matches!(input, InputSpec::Depends(depends) if depends.platforms.is_some());
    let is_requested = !is_without && (always || !pins.is_empty() || inputs.iter().any(has_platforms));
    // Without a toolchain request, frostmirror.toml is not read.
    let settings = if is_requested { super::settings::read_default(context)?.settings } else { Settings::default() };
    if default_toolchains.is_empty() {
        default_toolchains = settings.toolchain;
    }
    let upstream = context.env.var("FROSTMIRROR_DIST_URL");
    if is_requested && upstream.is_none() && context.env.var_os("RUSTUP_DIST_SERVER").is_some() {
        let note =
            "RUSTUP_DIST_SERVER has no effect here: set FROSTMIRROR_DIST_URL to fetch toolchains from another server";
        context.reporter.status("Note", note.to_owned());
    }
    let upstream = upstream.unwrap_or(toolchain::UPSTREAM_DIST_URL);
    Ok(ToolchainOptions {
        skip: is_skipped,
        drop_recorded: args.drop_toolchains,
        include_without_platforms: always,
        targets: args.targets.clone(),
        default_targets: platforms.filter(|all| !all.is_empty()).unwrap_or(settings.targets),
        default_toolchains,
        pins,
        upstream: parse_dist_url(upstream)?,
    })
}

/// The URL without a trailing slash. It may contain credentials, which are never printed.
fn parse_dist_url(address: &str) -> Result<String, Failure> {
    let (before, rest) = match address.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.split('/').next().unwrap_or(rest);
            let has_credentials = host.rfind('@').map_or("", |at| &rest[..=at]);
            (format!("{scheme}://{has_credentials}"), format!("{scheme}://{}", &rest[has_credentials.len()..]))
        }
        None => (String::new(), address.to_owned()),
    };
    let url = BaseUrl::parse(&rest).map_err(|error| {
        Failure::new(ErrorClass::Input, error)
            .context("could not use FROSTMIRROR_DIST_URL")
            .hint("use a value as for RUSTUP_DIST_SERVER, for example https://static.rust-lang.org")
    })?;
    let (_, place) = url.as_str().split_once("://").unwrap_or_default();
    Ok(format!("{before}{place}"))
}

/// The time recorded in the bundle: SOURCE_DATE_EPOCH if set, else now (reproducible-builds.org: seconds since 1970,
/// decimal).
pub(super) fn bundle_time(context: &Context) -> Result<Timestamp, Failure> {
    let Some(epoch) = context.env.var("SOURCE_DATE_EPOCH") else { return Ok(Timestamp::now()) };
    let time = epoch.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| {
        Failure::new(ErrorClass::Input, format!("SOURCE_DATE_EPOCH has the invalid value `{}`", epoch.escape_debug()))
            .hint("set it to seconds since 1970, or unset it to use the clock")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_the_dist_url_hide_its_credentials() {
        for (given, taken) in [
            ("https://dist.example/a/", "https://dist.example/a"),
            ("http://me:p%40ss@dist.example:8080", "http://me:p%40ss@dist.example:8080"),
            ("https://static.rust-lang.org", "https://static.rust-lang.org"),
        ] {
            assert_eq!(parse_dist_url(given).expect("good"), taken);
        }
        for bad in ["ftp://me:secret@dist.example", "https://me:secret@", "dist.example", "http://me:secret@a b/"] {
            let reported = format!("{:?}", parse_dist_url(bad).expect_err("bad"));
            assert!(!reported.contains("secret"), "{reported}");
        }
    }
}
