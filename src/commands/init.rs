//! `init`: writes depends.toml from one or more workspaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Context;
use crate::diagnostics::shell_quote;
use crate::durable;
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::fetch;
use crate::fetch::init::{self, WorkspaceDependencies};
use crate::fetch::workspace::{self, Workspace};
use crate::inputs::depends::{self, DependsFile};
use crate::inputs::lockfile::Lockfile;
use crate::inputs::toolchain_file;
use crate::terminal::Reporter;
use crate::units::pluralize;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Cargo.toml of a workspace to list (repeatable)
    ///
    /// Cargo.toml of a workspace to list, instead of the one around the current directory. Several workspaces are merged into
    /// one list.
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Vec<PathBuf>,
    /// Source
    ///
    /// Source of the list.
    #[arg(long, value_name = "SOURCE", default_value = "lock")]
    pub from: InitSource,
    /// Output file [default: depends.toml in the workspace root]
    ///
    /// Output file. The default is depends.toml in the workspace root; with `--manifest-path` it is depends.toml in the
    /// current directory.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Update `[locked]` in the existing file, and keep the rest
    ///
    /// Update `[locked]` in the existing file, and keep the rest, comments included. It needs `--from lock`.
    #[arg(long, conflicts_with = "force")]
    pub update: bool,
    /// Replace the existing file
    ///
    /// Replace the existing file. Without `--update` or `--force`, an existing file is an error and stays as it is.
    #[arg(long)]
    pub force: bool,
}

/// The default file name.
const DEFAULT_OUTPUT: &str = "depends.toml";

/// The source in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum InitSource {
    /// Every crates.io package of Cargo.lock, as `[locked]`
    Lock,
    /// The members' own requirements with their features, as `[dependencies]`
    Direct,
    /// Both
    Both,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.update && args.from != InitSource::Lock {
        return Err(Failure::new(ErrorClass::Usage, "`--update` only updates `[locked]`, so it needs `--from lock`")
            .hint("omit `--from`, or write a new file with `--force`"));
    }
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && args.update {
        return Err(Failure::new(ErrorClass::Usage, "`--update` needs a file, and `-o -` is stdout")
            .hint("give the file to update with `-o PATH`"));
    }
    if let Some(output) = args.output.as_ref().filter(|_| !to_stdout) {
        check_existing(output, args, context)?;
    }
    let manifests = args.manifest_path.iter().map(|path| context.absolute(path));
    let folders: Vec<PathBuf> = std::iter::once(context.cwd.clone()).chain(manifests).collect();
    let context = &context.with_usable_toolchain(folders.iter().map(PathBuf::as_path));
    let workspaces = open_workspaces(args, context)?;
    let named = match (&args.output, workspaces.as_slice()) {
        (Some(output), _) => output.clone(),
        (None, [found]) if args.manifest_path.is_empty() => output_beside_manifest(&found.root, context),
        (None, _) => PathBuf::from(DEFAULT_OUTPUT),
    };
    let exists = !to_stdout && check_existing(&named, args, context)?;
    let output = context.absolute(&named);

    let old = if exists && args.update { Some(depends::read_text(&output)?) } else { None };
    let seed = collect_dependencies(args, workspaces, context)?;
    for foreign in &seed.skipped {
        context.reporter.warning(format!("left out: {foreign}, which is not from crates.io"));
    }
    if to_stdout {
        context.reporter.print_data(&seed.to_toml());
        return Ok(());
    }
    let (verb, text) = match &old {
        Some(old) => ("Renewed", init::update_locked(old, &output, &seed)?),
        None => ("Wrote", seed.to_toml()),
    };
    durable::write(&output, text.as_bytes())
        .map_err(|source| Failure::io(format!("could not write `{}`", named.display()), source))?;
    context.reporter.status(verb, format!("{} ({})", named.display(), describe_contents(&seed)));
    if let Some(old) = &old {
        report_removed(old, &text, &output, context);
    }
    if !seed.skipped.is_empty() {
        context.reporter.warning(format!(
            "the workspace does not build from `{}` alone: it also needs {}, which a comment in the file names",
            named.display(),
            pluralize(seed.skipped.len(), "package")
        ));
    }
    Ok(())
}

/// Reports the versions that an update removes from `[locked]`.
fn report_removed(old: &str, new: &str, output: &Path, context: &Context) {
    let (Ok(old), Ok(new)) = (DependsFile::parse(old, output), DependsFile::parse(new, output)) else { return };
    let removed: Vec<String> =
        old.locked.iter().filter(|id| !new.locked.contains(id)).map(ToString::to_string).collect();
    if !removed.is_empty() {
        context.reporter.status("Removed", format!("{} from `[locked]`", removed.join(", ")));
    }
}

/// Returns whether the output file exists; an error unless it may. Its folder must exist.
fn check_existing(output: &Path, args: &Args, context: &Context) -> Result<bool, Failure> {
    let path = context.absolute(output);
    if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
        let cause = format!("the folder `{}` does not exist", folder.display());
        return Err(Failure::new(ErrorClass::Input, cause)
            .context(format!("could not write `{}`", output.display()))
            .hint(format!("create it with `mkdir -p {}`, or choose another path", shell_quote(folder))));
    }
    let exists = fs::symlink_metadata(context.absolute(output)).is_ok();
    if exists && !args.update && !args.force {
        return Err(Failure::new(ErrorClass::Input, format!("`{}` exists", output.display()))
            .context("could not write the list of dependencies")
            .hint("use `--update` to update its `[locked]` table, or `--force` to replace it"));
    }
    Ok(exists)
}

/// The output path beside a workspace's manifest, relative to the current directory if that is shorter.
fn output_beside_manifest(root: &Path, context: &Context) -> PathBuf {
    if *root == context.cwd { PathBuf::from(DEFAULT_OUTPUT) } else { root.join(DEFAULT_OUTPUT) }
}

fn describe_contents(seed: &WorkspaceDependencies) -> String {
    let direct = seed.direct.as_ref().map(|_| pluralize(seed.direct_count(), "requirement"));
    let locked = seed.locked.as_ref().map(|_| pluralize(seed.locked_count(), "locked package"));
    let toolchains = seed.platforms.as_ref().map(|all| pluralize(all.toolchain.len(), "toolchain"));
    direct.into_iter().chain(locked).chain(toolchains).collect::<Vec<_>>().join(", ")
}

fn collect_dependencies(
    args: &Args,
    workspaces: Vec<Workspace>,
    context: &Context,
) -> Result<WorkspaceDependencies, Failure> {
    let mut seed = WorkspaceDependencies::default();
    let mut roots = BTreeSet::new();
    for workspace in workspaces {
        // Two manifests of one workspace count as one workspace.
        if !roots.insert(workspace.root.clone()) {
            continue;
        }
        // `--update` changes only `[locked]`.
        if !args.update {
            add_toolchain(&mut seed, &workspace, context);
        }
        if args.from != InitSource::Lock {
            seed.add_members(&workspace)?;
        }
        if args.from != InitSource::Direct {
            seed.add_lockfile(&resolve_lockfile(&workspace, context)?);
        }
    }
    if seed.locked_count() + seed.direct_count() == 0 {
        context.reporter.warning("this workspace needs no crate from crates.io".to_owned());
    }
    Ok(seed)
}

/// An unusable toolchain file is a warning, not an error: the list of crates is the same.
fn add_toolchain(seed: &mut WorkspaceDependencies, workspace: &Workspace, context: &Context) {
    match toolchain_file::read_nearest(&workspace.root) {
        Ok(Some(file)) => {
            if let Some(reason) = file.why_not_mirrored() {
                context.reporter.warning(format!("{reason}; `[platforms]` is left out"));
                return;
            }
            context.reporter.status("Using", format!("`{}` for `[platforms]`", file.path.display()));
            seed.add_toolchain(&file);
        }
        Ok(None) => {}
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            context.reporter.warning(format!("{error}{}; `[platforms]` is left out", cause.trim_end()));
        }
    }
}

fn open_workspaces(args: &Args, context: &Context) -> Result<Vec<Workspace>, Failure> {
    if args.manifest_path.is_empty() {
        let found = workspace::find(&context.cwd, &context.env)?.ok_or_else(|| {
            Failure::new(ErrorClass::Input, "neither the current directory nor one above it has a Cargo.toml")
                .context("could not find a workspace")
                .hint("run this in the project, or give its manifest with `--manifest-path`")
        })?;
        return Ok(vec![found]);
    }
    let open = |path: &PathBuf| workspace::open(&context.absolute(path), &context.env).map_err(Failure::from);
    args.manifest_path.iter().map(open).collect()
}

/// The workspace's lockfile, or the one that cargo resolves if it is missing or outdated.
fn resolve_lockfile(workspace: &Workspace, context: &Context) -> Result<Lockfile, Failure> {
    let scratch = context.create_scratch_folder()?;
    let environment = context.fetch_environment("init", scratch.path())?;
    let sink: Arc<dyn Sink> = Arc::<Reporter>::clone(&context.reporter);
    let failure = match context.run_interruptible(fetch::lock_workspace(workspace, &environment, sink)) {
        Ok(lock) => return Ok(lock),
        Err(failure) => failure,
    };
    match workspace::read_lockfile(workspace)? {
        // Without an index, cargo cannot check the lockfile; the user still builds with it.
        Some(own) if failure.class == ErrorClass::Network => {
            context.reporter.warning(format!(
                "the Cargo.lock of `{}` is used unchanged, because cargo could not check it against the manifests: {failure}",
                workspace.root.display()
            ));
            Ok(own)
        }
        _ => Err(failure),
    }
}
