//! `import`: imports bundles into a mirror, each all or nothing.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::bundle_path::no_bundle_in_folder;
use super::{Context, settings};
use crate::bundle::file_name::is_bundle_file_name;
use crate::bundle::format::BundleKind;
use crate::bundle::open;
use crate::bundle::sanitize::sanitize_line;
use crate::client_setup::BaseUrl;
use crate::config::{self, settings::ParsedFile};
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::mirror::import::{ImportOptions, ImportReport};
use crate::mirror::import_order::{BundlePosition, sort_for_import};
use crate::mirror::layout::Layout;
use crate::mirror::lock::{Holder, NewMirror, lock_for_adding};
use crate::mirror::missing_reserve;
use crate::mirror::summary::SummaryLoss;
use crate::panics::catch_panic;
use crate::units::{agree, pluralize};
use crate::watcher::failed_bundles;

mod pipe_spool;

use pipe_spool::OpenedBundle;

/// Arguments of `import`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Bundles; DIR: all of its *.pkg files; -: standard input
    ///
    /// Bundles to import, in the order in which they depend on each other. A folder stands for its *.pkg files, and `-` for
    /// standard input.
    #[arg(value_name = "FILE|DIR|-", required = true)]
    pub bundles: Vec<PathBuf>,
    /// Mirror [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror, created if missing. The default is /mirror if it exists, as in a container, else `mirror` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR")]
    pub mirror: Option<PathBuf>,
    /// Snapshot's settings [default: /config, else ~/.frostmirror/config]
    ///
    /// Folder for the frostmirror.toml and depends.toml of a snapshot; other bundles never change them. The default is
    /// /config if it exists, as in a container, else `config` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
    /// Base URL of a static web server; writes index/config.json
    ///
    /// Base URL of a static web server for the mirror. It is written to index/config.json; `serve` needs no such file.
    #[arg(long, value_name = "URL", env = "FROSTMIRROR_BASE_URL")]
    pub base_url: Option<String>,
    /// Seconds to wait for the mirror's lock
    ///
    /// Seconds to wait for another process that changes the mirror. After that time the exit code is 6.
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub lock_timeout: u64,
}

/// Runs the import on its own thread while this thread waits for signals. After a signal the process exits at once, as if
/// killed. The next import completes or rolls back an unfinished transaction.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let (owned_args, own) = (args.clone(), context.clone());
    let importing = async {
        let ended = tokio::task::spawn_blocking(move || import_all(&owned_args, &own)).await;
        ended.unwrap_or_else(|error| {
            Err(Failure::new(ErrorClass::Bug, error).context("the import thread ended unexpectedly"))
        })
    };
    let layout = Layout::new(context.resolve_folder(args.mirror.as_deref(), "/mirror", "mirror")?);
    let imported = context.run_interruptible(importing).map_err(|failure| failure.with_mirror(&layout));
    imported.map_err(|failure| match failure.class {
        ErrorClass::Interrupted => {
            failure.hint("run the same command again; each bundle is either completely imported or not at all")
        }
        _ => failure,
    })
}

fn import_all(args: &Args, context: &Context) -> Result<(), Failure> {
    let layout = Layout::new(context.resolve_folder(args.mirror.as_deref(), "/mirror", "mirror")?);
    let config = context.resolve_folder(args.config_dir.as_deref(), "/config", "config")?;
    let settings = ParsedFile::read(&config)?.settings;
    let base_url = args.base_url.as_deref().map(BaseUrl::parse).transpose()?;
    if let Some(warning) = base_url.as_ref().and_then(BaseUrl::warning) {
        context.reporter.warning(warning);
    }
    let BundleSources { sources, failures: mut refused } = collect_sources(&args.bundles, &layout, context)?;
    let all = sources.len() + refused.len();
    let (mut any, mut changed, mut wrote_config) = (false, false, false);
    let mut sources = VecDeque::from(sources);
    while let Some(source) = sources.pop_front() {
        let name = source.name();
        let options = ImportOptions {
            base_url: base_url.clone(),
            verify_existing: settings.verify_checksums,
            file_name: name.clone(),
            bundle_length: None,
            now: Timestamp::now(),
        };
        let imported = import_one(source, &layout, &config, options, args, context)
            .map_err(|failure| with_bundle_name(failure, &name));
        match imported {
            Ok(imported) => {
                any = true;
                changed |= !imported.already_imported || imported.summary_rewritten;
                wrote_config |= imported.config_json;
                end_alarms(&layout, &name, context);
            }
            // An invalid bundle does not affect the others; a full disk does.
            Err(failure) if all > 1 && is_bundle_fault(&failure, &layout) => {
                report_refused(&mut refused, failure, &layout, context)
            }
            Err(failure) => {
                if !sources.is_empty() {
                    let names: Vec<String> = sources.iter().map(|source| sanitize_line(&source.name())).collect();
                    context.reporter.warning(format!("bundles that were not checked: {}", names.join(", ")));
                }
                return Err(failure);
            }
        }
    }
    if let Some(warning) = missing_reserve(&layout).filter(|_| any) {
        context.reporter.warning(warning);
    }
    if any && settings.prune_on_import {
        settings::collect_after_import(&layout, "import", Duration::from_secs(args.lock_timeout), context)?;
    }
    if let Some(first) = refused.first() {
        let integrity = refused.contains(&ErrorClass::Integrity);
        let class = if integrity { ErrorClass::Integrity } else { *first };
        let (message, others) = match any {
            true => (
                format!(
                    "{} of {} {} not imported",
                    refused.len(),
                    pluralize(all, "bundle"),
                    agree(refused.len(), "was", "were")
                ),
                "; the others were imported",
            ),
            false => (format!("none of {} was imported", pluralize(all, "bundle")), ""),
        };
        return Err(Failure::new(class, message)
            .hint(format!("fix the causes in the warnings above, then run the same command again{others}")));
    }
    let root = layout.root().display();
    match changed || wrote_config {
        true => context.reporter.status("Updated", format!("the mirror `{root}`")),
        false => context.reporter.status("Unchanged", format!("the mirror `{root}`")),
    }
    if let (Some(base_url), true) = (&base_url, wrote_config) {
        let path = layout.index_config();
        let message = format!("`{}`: a static server at {} can serve this mirror", path.display(), base_url.as_str());
        context.reporter.status("Wrote", message);
    }
    Ok(())
}

/// Dismisses the alarms of the incoming folder about invalid bundles that this one replaces. The import is already complete,
/// so a failure is a warning.
fn end_alarms(layout: &Layout, name: &str, context: &Context) {
    match failed_bundles::dismiss_replaced(layout, OsStr::new(name)) {
        Ok(0) => {}
        Ok(count) => {
            let bundles = pluralize(count, "invalid bundle");
            context
                .reporter
                .status("Dismissed", format!("{bundles} named {} in the incoming folder", sanitize_line(name)));
        }
        Err(failure) => {
            context.reporter.warning(format!("could not dismiss the alarm about {}: {failure}", sanitize_line(name)))
        }
    }
}

fn with_bundle_name(failure: Failure, name: &str) -> Failure {
    match failure.context {
        None => failure.context(format!("could not import {name}")),
        Some(_) => failure,
    }
}

/// Returns whether the bundle itself is at fault, and not the mirror or its disk.
fn is_bundle_fault(failure: &Failure, layout: &Layout) -> bool {
    matches!(failure.class, ErrorClass::Integrity | ErrorClass::Input | ErrorClass::Bug)
        && layout.check_format().is_ok()
        && matches!(SummaryLoss::find(layout), Ok(None))
}

fn report_refused(refused: &mut Vec<ErrorClass>, failure: Failure, layout: &Layout, context: &Context) {
    refused.push(failure.class);
    context.reporter.warning(match &failure.hint {
        Some(hint) => format!("{failure}\n\nhint: {}", layout.fill_in(hint)),
        None => failure.to_string(),
    });
}

/// The bundles of the arguments.
#[derive(Default)]
struct BundleSources {
    sources: Vec<BundleSource>,
    /// The classes of unreadable bundles, already reported.
    failures: Vec<ErrorClass>,
}

/// A bundle and its source.
enum BundleSource {
    File {
        path: PathBuf,
        /// The path as the user typed it.
        shown: PathBuf,
    },
    Stdin,
}

impl BundleSource {
    fn name(&self) -> String {
        match self {
            BundleSource::File { path, .. } => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }
            BundleSource::Stdin => "standard input".to_owned(),
        }
    }

    /// Opens the bundle. A pipe is read completely first, so that no import locks the mirror and waits for a pipe.
    fn open(&self, layout: &Layout) -> Result<OpenedBundle, Failure> {
        let name = self.name();
        // The decompressed form of a 1.x bundle is as large as its contents, and so is a spooled pipe. Both go to unnamed
        // files on the mirror's disk.
        let spool = layout.root().ancestors().find(|folder| folder.is_dir()).unwrap_or(layout.root());
        let (path, shown) = match self {
            BundleSource::Stdin => return pipe_spool::spool_pipe(io::stdin(), &name, spool),
            BundleSource::File { path, shown } => (path, shown),
        };
        let failure_context = || format!("could not read `{}`", shown.display());
        let file = File::open(path).map_err(|source| match Failure::io(failure_context(), source) {
            failure if failure.hint.is_none() => failure.hint("check the path of the bundle"),
            failure => failure,
        })?;
        let about = file.metadata().map_err(|source| Failure::io(failure_context(), source))?;
        if !about.is_file() && !about.is_dir() {
            return pipe_spool::spool_pipe(file, &name, spool);
        }
        let length = about.is_file().then_some(about.len());
        let reader: Box<dyn Read> = Box::new(file);
        let bundle = catch_panic(|| open::open_any(reader, &name, spool))??;
        Ok(OpenedBundle { bundle, file_length: length })
    }
}

fn import_one(
    source: BundleSource,
    layout: &Layout,
    config: &Path,
    options: ImportOptions,
    args: &Args,
    context: &Context,
) -> Result<ImportReport, Failure> {
    context.reporter.detail("Reading", format!("`{}`", options.file_name));
    let OpenedBundle { bundle, file_length: length } = source.open(layout)?;
    if bundle.manifest().kind == BundleKind::Snapshot {
        // Checked before any change: with an unreadable configuration, the user must repair that file first.
        config::check_files(config)?;
    }
    let options = ImportOptions { bundle_length: length, ..options };
    let holder = Holder::this_process("import", &context.env, options.now);
    let new = NewMirror::before_lock(layout);
    let mut guard =
        lock_for_adding(layout, Duration::from_secs(args.lock_timeout), &holder, context.reporter.as_ref())?;
    let imported = match catch_panic(|| guard.import(bundle, &options, context.reporter.as_ref())) {
        Ok(Ok(imported)) => imported,
        Ok(Err(error)) => {
            new.discard(guard);
            return Err(error.into());
        }
        Err(panic) => {
            new.discard(guard);
            return Err(panic.into());
        }
    };
    drop(guard);
    let restored = config::restore_files(config, &imported.config, context.reporter.as_ref());
    restored.map_err(|error| {
        Failure::from(error).context("the bundle is imported, but the configuration was not restored")
    })?;
    Ok(imported)
}

/// The bundles of the arguments in the order of their histories, whatever their names and the argument order: the shell
/// sorts `X-2-crates.pkg` before `X-crates.pkg`. Bundles that cannot be read twice keep their position.
fn collect_sources(args: &[PathBuf], layout: &Layout, context: &Context) -> Result<BundleSources, Failure> {
    let mut found = BundleSources::default();
    if let [arg] = args
        && !context.absolute(arg).is_dir()
    {
        let stdin = arg == Path::new("-");
        found.sources.push(if stdin {
            BundleSource::Stdin
        } else {
            BundleSource::File { path: context.absolute(arg), shown: arg.clone() }
        });
        return Ok(found);
    }
    // A path that does not exist is probably a typing error, so nothing is imported before it is corrected.
    let missing: Vec<String> = args
        .iter()
        .filter(|arg| *arg != Path::new("-") && !context.absolute(arg).exists())
        .map(|arg| format!("`{}`", arg.display()))
        .collect();
    if !missing.is_empty() {
        let verb = if missing.len() == 1 { "does" } else { "do" };
        let message = format!("{} {verb} not exist; nothing was imported", missing.join(", "));
        return Err(Failure::new(ErrorClass::Input, message).hint("check the paths of the bundles"));
    }
    let mut run = Vec::new();
    for word in args {
        let path = context.absolute(word);
        let piped = word == Path::new("-");
        if !piped && path.is_dir() {
            run.append(&mut ordered_bundles_in(word, args.len() == 1, layout, &mut found, context)?);
        } else if !piped && (path.is_file() || !path.exists()) {
            let source = BundleSource::File { path, shown: word.clone() };
            match source.open(layout) {
                Ok(opened) => run.push((BundlePosition::from_manifest(opened.bundle.manifest()), source)),
                Err(failure) => {
                    report_refused(&mut found.failures, with_bundle_name(failure, &source.name()), layout, context);
                }
            }
        } else {
            found.sources.extend(sort_for_import(std::mem::take(&mut run)));
            found.sources.push(if piped {
                BundleSource::Stdin
            } else {
                BundleSource::File { path, shown: word.clone() }
            });
        }
    }
    found.sources.extend(sort_for_import(run));
    Ok(found)
}

/// The bundles in a folder with their positions. Reports the unreadable ones. If the folder is the only argument and has
/// one file, which is unreadable, that is the error.
fn ordered_bundles_in(
    folder: &Path,
    is_only: bool,
    layout: &Layout,
    found: &mut BundleSources,
    context: &Context,
) -> Result<Vec<(BundlePosition, BundleSource)>, Failure> {
    let failure_context = || format!("could not list `{}`", folder.display());
    let mut places = Vec::new();
    let mut unreadable = Vec::new();
    for entry in fs::read_dir(context.absolute(folder)).map_err(|source| Failure::io(failure_context(), source))? {
        let path = entry.map_err(|source| Failure::io(failure_context(), source))?.path();
        if path.file_name().is_some_and(is_bundle_file_name) && path.is_file() {
            let shown = folder.join(path.file_name().unwrap_or_default());
            let source = BundleSource::File { path, shown };
            match source.open(layout) {
                Ok(opened) => places.push((BundlePosition::from_manifest(opened.bundle.manifest()), source)),
                Err(failure) => unreadable.push(with_bundle_name(failure, &source.name())),
            }
        }
    }
    match (places.len(), unreadable.len()) {
        (0, 0) => {
            return Err(no_bundle_in_folder(folder, &context.absolute(folder)));
        }
        (0, 1) if is_only => return unreadable.pop().map_or(Ok(places), Err),
        _ => {}
    }
    for failure in unreadable {
        report_refused(&mut found.failures, failure, layout, context);
    }
    Ok(places)
}
