//! `init`: depends.toml from one workspace or several.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::Context;
use crate::durable;
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::gather::seed::{self, Seed};
use crate::gather::workspace::{self, Fit, Workspace};
use crate::gather::{depends, lockfile};

/// Words of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take the workspace of this Cargo.toml instead of the one around the current directory (repeatable: merged)
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Vec<PathBuf>,
    /// What to take: exact versions of Cargo.lock, the members' own requirements, or both
    #[arg(long, value_name = "WHAT", default_value = "lock")]
    pub from: From,
    /// The file to write
    #[arg(short, long, value_name = "PATH", default_value = "depends.toml")]
    pub output: PathBuf,
    /// Renew `[locked]` in the file that is there, and keep all else
    #[arg(long, conflicts_with = "force")]
    pub update: bool,
    /// Replace the file that is there
    #[arg(long)]
    pub force: bool,
}

/// What to take from a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// Every crates.io package of Cargo.lock, as `[locked]`
    Lock,
    /// The members' own requirements with their features, as `[dependencies]`
    Direct,
    /// Both
    Both,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if args.update && args.from != From::Lock {
        return Err(Failure::new(Class::Usage, "`--update` renews `[locked]` alone, which is `--from lock`")
            .hint("leave `--from` away, or write a new file with `--force`"));
    }
    let output = context.absolute(&args.output);
    let exists = fs::symlink_metadata(&output).is_ok();
    if exists && !args.update && !args.force {
        return Err(Failure::new(Class::Input, format!("`{}` exists", args.output.display()))
            .doing("could not write the list of dependencies")
            .hint("`--update` renews its `[locked]` table and keeps all else; `--force` replaces it"));
    }

    let old = if exists && args.update { Some(depends::read_text(&output)?) } else { None };
    let seed = gather(args, context)?;
    for foreign in &seed.left_out {
        let (name, version, source) = (&foreign.name, &foreign.version, &foreign.source);
        context.report.warning(format!("{name} {version} is left out: it does not come from crates.io ({source})"));
    }
    let (verb, text) = match &old {
        Some(old) => ("Renewed", seed::renew(old, &output, &seed)?),
        None => ("Wrote", seed.to_toml()),
    };
    durable::write(&output, text.as_bytes())
        .map_err(|source| Failure::io(format!("could not write `{}`", args.output.display()), source))?;
    context.report.status(verb, format!("{} ({})", args.output.display(), contents(&seed)));
    Ok(())
}

fn contents(seed: &Seed) -> String {
    let count = |number: usize, one: &str, more: &str| format!("{number} {}", if number == 1 { one } else { more });
    let direct = seed.direct.as_ref().map(|_| count(seed.direct_count(), "requirement", "requirements"));
    let locked = seed.locked.as_ref().map(|_| count(seed.locked_count(), "locked package", "locked packages"));
    direct.into_iter().chain(locked).collect::<Vec<_>>().join(", ")
}

fn gather(args: &Args, context: &Context) -> Result<Seed, Failure> {
    let mut seed = Seed::default();
    let mut roots = BTreeSet::new();
    for workspace in workspaces(args, context)? {
        // Two manifests of one workspace are one workspace.
        if !roots.insert(workspace.root.clone()) {
            continue;
        }
        if args.from != From::Lock {
            seed.add_direct(&workspace)?;
        }
        if args.from != From::Direct {
            seed.add_lock(&lock(&workspace, context)?);
        }
    }
    if seed.locked_count() + seed.direct_count() == 0 {
        context.report.warning("nothing of crates.io is needed here".to_owned());
    }
    Ok(seed)
}

fn workspaces(args: &Args, context: &Context) -> Result<Vec<Workspace>, Failure> {
    if args.manifest_path.is_empty() {
        let found = workspace::find(&context.cwd, &context.env)?.ok_or_else(|| {
            Failure::new(Class::Input, "neither the current directory nor one above it has a Cargo.toml")
                .doing("could not find a workspace")
                .hint("go to the project, or name its manifest with `--manifest-path`")
        })?;
        return Ok(vec![found]);
    }
    let open = |path: &PathBuf| workspace::open(&context.absolute(path), &context.env).map_err(Failure::from);
    args.manifest_path.iter().map(open).collect()
}

/// The workspace's lock, or what cargo makes of it where it is missing or does not fit.
fn lock(workspace: &Workspace, context: &Context) -> Result<lockfile::Lockfile, Failure> {
    let temporary = |source| Failure::io("could not make a folder for temporary files", source);
    let scratch = tempfile::tempdir().map_err(temporary)?;
    let cargo_home = tempfile::tempdir().map_err(temporary)?;
    write_config(context, cargo_home.path()).map_err(temporary)?;
    let cargo = |folder: &Path, args: &[&str]| run_cargo(context, cargo_home.path(), folder, args);
    let root = workspace.root.display();
    match workspace::fitting_lock(workspace, &context.env, scratch.path(), &cargo) {
        Ok(fitting) => {
            match fitting.fit {
                Fit::AsItStands => {}
                Fit::Missing => {
                    context.report.warning(format!("`{root}` has no Cargo.lock; cargo resolved a copy of it"))
                }
                Fit::Outdated { added, removed } => context.report.warning(format!(
                    "the Cargo.lock of `{root}` does not fit its manifests; cargo brought a copy up to date \
                     (packages: {added} added, {removed} removed)"
                )),
            }
            Ok(fitting.lockfile)
        }
        // Without an index nobody can say whether the lock fits; it is still what the user builds with.
        Err(workspace::Error::Unresolved { words, .. }) if workspace.lockfile.is_some() => {
            context.report.warning(format!(
                "the Cargo.lock of `{root}` is taken as it stands; whether it fits the manifests is not known, for cargo says:\n{words}"
            ));
            let lock = workspace::lock(workspace).map_err(Failure::from)?;
            lock.ok_or_else(|| {
                Failure::new(Class::Input, "the Cargo.lock is gone").doing("could not use the lock file")
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Cargo on a copy, with a home of its own.
fn run_cargo(context: &Context, cargo_home: &Path, folder: &Path, args: &[&str]) -> io::Result<Output> {
    let program = context.env.path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env_clear().envs(context.env.iter());
    command.env("CARGO_HOME", cargo_home).env("CARGO_TERM_COLOR", "never").output()
}

/// The upstream that the environment names counts for this cargo, too.
fn write_config(context: &Context, cargo_home: &Path) -> io::Result<()> {
    let Some(url) = context.env.text("FROSTMIRROR_REGISTRY_URL") else {
        return Ok(());
    };
    let address = format!("sparse+{}/", url.trim_start_matches("sparse+").trim_end_matches('/'));
    let mut config = toml_edit::DocumentMut::new();
    config["source"]["crates-io"]["replace-with"] = toml_edit::value("upstream");
    config["source"]["upstream"]["registry"] = toml_edit::value(address);
    fs::write(cargo_home.join("config.toml"), config.to_string())
}
