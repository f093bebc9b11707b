//! The verbs, one file each. A verb turns its arguments into library options, makes one call and reports the outcome.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::env::Env;
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink as _;
use crate::fetch::Environment;
use crate::fetch::substitute_toolchain;
use crate::process_lock::LockOwner;
use crate::scratch::ScratchFolder;
use crate::terminal::Reporter;
pub use signals::InterruptWatch;

mod bundle_path;
pub mod completions;
pub mod diff;
pub mod examples;
pub mod export;
pub mod fetch;
pub mod gc;
pub mod guide;
pub mod help;
pub mod history;
pub mod import;
pub mod init;
pub mod inspect;
pub mod list;
pub mod man;
pub mod serve;
mod settings;
pub mod setup;
mod signals;
pub mod status;
pub mod up;
pub mod verify;

/// Maximum time that a finished run waits for its tasks and worker threads. They own temporary files.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Likewise after an interrupt. A worker thread may be reading from a pipe, which never ends.
const INTERRUPTED_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// The ambient state (environment, current directory, stdio), read once at the start.
#[derive(Clone)]
pub struct Context {
    /// The environment variables.
    pub env: Env,
    /// The current directory, absolute.
    pub cwd: PathBuf,
    /// Receives reports; also writes data to stdout.
    pub reporter: Arc<Reporter>,
    /// Ends the process at SIGINT and SIGTERM.
    pub interrupts: InterruptWatch,
}

/// CARGO_HOME, found as cargo finds it in `cwd`.
pub fn cargo_home(env: &Env, cwd: &Path) -> Option<PathBuf> {
    match env.path("CARGO_HOME") {
        Some(home) => Some(absolute(cwd, &home)),
        None => Some(env.path("HOME").or_else(home::home_dir)?.join(".cargo")),
    }
}

fn absolute(cwd: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in cwd.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(resolved.components().next_back(), Some(Component::Normal(_)))
                    && !resolved.is_symlink() =>
            {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    resolved
}

impl Context {
    /// Resolves `path` against the current directory, and removes `.` and `..`. `..` after a symbolic link stays, because
    /// it is the parent of the link's target.
    pub fn absolute(&self, path: &Path) -> PathBuf {
        absolute(&self.cwd, path)
    }

    /// FROSTMIRROR_HOME: state, download cache, history and the default mirror. Default: `~/.frostmirror`.
    pub fn home(&self) -> Result<PathBuf, Failure> {
        if let Some(home) = self.env.path("FROSTMIRROR_HOME") {
            return Ok(self.absolute(&home));
        }
        let home = self.env.path("HOME").or_else(home::home_dir).ok_or_else(|| {
            Failure::new(ErrorClass::Input, "the home directory is unknown")
                .context("could not find the folder for state and caches")
                .hint("set FROSTMIRROR_HOME to a folder")
        })?;
        Ok(home.join(".frostmirror"))
    }

    /// CARGO_HOME, found as cargo finds it.
    pub fn cargo_home(&self) -> Option<PathBuf> {
        cargo_home(&self.env, &self.cwd)
    }

    /// A folder of the offline side. The flag comes first (clap also fills it from the environment). Then follows
    /// `container_path` if it exists (in the container image), then `name` below FROSTMIRROR_HOME.
    ///
    /// # Errors
    /// No home directory is known, or the path is a file.
    pub fn resolve_folder(&self, flag: Option<&Path>, container_path: &str, name: &str) -> Result<PathBuf, Failure> {
        let path = match flag {
            Some(path) => self.absolute(path),
            None if Path::new(container_path).is_dir() => PathBuf::from(container_path),
            None => self.home()?.join(name),
        };
        if path.is_file() {
            let hint = match name {
                "mirror" => "give the mirror's folder; a bundle is shown by `inspect`, and imported by `import`",
                _ => "give a folder, or leave it out for the default",
            };
            let failure = Failure::new(ErrorClass::Input, format!("`{}` is not a folder", path.display()));
            return Err(failure.context(format!("could not use the {name} folder")).hint(hint));
        }
        Ok(path)
    }

    /// The folder of the history of sent bundles: FROSTMIRROR_HISTORY. Default: `history` below FROSTMIRROR_HOME.
    pub fn history_folder(&self) -> Result<PathBuf, Failure> {
        match self.env.path("FROSTMIRROR_HISTORY") {
            Some(path) => Ok(self.absolute(&path)),
            None => Ok(self.home()?.join("history")),
        }
    }

    /// The parent of scratch folders, below FROSTMIRROR_HOME.
    fn scratch_base(&self) -> Result<PathBuf, Failure> {
        Ok(self.home()?.join("scratch"))
    }

    /// Creates a folder for files that last as long as this process. Removes those of killed processes.
    pub fn create_scratch_folder(&self) -> Result<ScratchFolder, Failure> {
        let base = self.scratch_base()?;
        let failed = |source: std::io::Error| {
            let is_wrong_path = source.kind() == std::io::ErrorKind::NotADirectory;
            let failure = Failure::io(format!("could not make a scratch folder in `{}`", base.display()), source);
            match failure.hint {
                Some(_) if !is_wrong_path => failure,
                _ => failure.hint("set FROSTMIRROR_HOME to a folder that this user may write to"),
            }
        };
        let report_wait = |owner: &LockOwner| {
            self.reporter.status("Blocking", format!("waiting for {owner}, which uses `{}`", base.display()));
        };
        ScratchFolder::create(&base, &report_wait).map_err(failed)
    }

    /// Removes the scratch folders of killed processes, for verbs that create none.
    pub fn remove_abandoned_scratch(&self) {
        if let Ok(base) = self.scratch_base() {
            ScratchFolder::remove_abandoned(&base);
        }
    }

    /// The folder for the decompressed copy of a legacy bundle. It need not exist; only an unnamed file is created there.
    pub fn spool_folder(&self) -> Result<PathBuf, Failure> {
        self.scratch_base()
    }

    /// Creates a runtime for verbs that use the network.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime, Failure> {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|source| Failure::io("could not start the network threads", source))
    }

    /// Creates a runtime for verbs that serve. One processor stays free for disks, imports and the kernel's network work.
    /// More threads only wake each other for small responses, which is slower.
    pub fn server_runtime(&self) -> Result<tokio::runtime::Runtime, Failure> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(processors.saturating_sub(1).max(1))
            .enable_all()
            .build()
            .map_err(|source| Failure::io("could not start the network threads", source))
    }

    /// The environment of a fetch, without limits. `scratch` is a folder that is removed when the run ends.
    pub fn fetch_environment(&self, verb: &'static str, scratch: &Path) -> Result<Environment, Failure> {
        Ok(Environment {
            verb,
            home: self.home()?,
            cwd: self.cwd.clone(),
            cargo_home: self.cargo_home(),
            scratch: scratch.to_owned(),
            env: self.env.clone(),
            now: Timestamp::now(),
            jobs: None,
            offline: false,
            skip_git: false,
            skip_registries: Vec::new(),
            reuse: Vec::new(),
        })
    }

    /// Returns a context in which cargo runs in `folders` even if one of them pins a toolchain that does not run here.
    /// Another toolchain replaces it, and a status line names it.
    pub fn with_usable_toolchain<'f>(&self, folders: impl IntoIterator<Item = &'f Path>) -> Context {
        let substitute =
            folders.into_iter().find_map(|folder| substitute_toolchain::find_substitute(folder, &self.env));
        let Some(substitute) = substitute else { return self.clone() };
        let (toolchain, reason) = (&substitute.toolchain, substitute.reason());
        self.reporter.status("Using", format!("the toolchain {toolchain} to run cargo: {reason}"));
        Context { env: self.env.with("RUSTUP_TOOLCHAIN", toolchain), ..self.clone() }
    }

    /// Runs `work` until it completes or SIGINT or SIGTERM cancels it. Dropping the work ends its child processes and
    /// removes its partial files. The tasks that it spawned have ended too when this returns, unless one takes too long.
    pub fn run_interruptible<T, E: Into<Failure>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let runtime = self.runtime()?;
        let mut signals = self.interrupts.handle_signals();
        let outcome = runtime.block_on(async {
            self.reporter.begin_work();
            tokio::pin!(work);
            loop {
                tokio::select! {
                    // An interrupt may also be the cause of a failure of the work.
                    biased;
                    // Work that can no longer be cancelled completes shortly, so the loop continues.
                    () = signals.next() => if self.reporter.cancel_work() {
                        return Err(Failure::new(ErrorClass::Interrupted, "interrupted")
                            .hint("run the same command again to continue; downloaded files are kept"));
                    },
                    done = &mut work => return done.map_err(Into::into),
                }
            }
        });
        drop(signals);
        // A task that still exists when the process exits leaves its temporary files behind.
        let is_interrupted = matches!(&outcome, Err(failure) if failure.class == ErrorClass::Interrupted);
        runtime.shutdown_timeout(if is_interrupted { INTERRUPTED_SHUTDOWN_TIMEOUT } else { SHUTDOWN_TIMEOUT });
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::terminal::{ColorChoice, OutputFormat, Verbosity};
    use crate::upstream::cargo_config::TermSettings;

    /// Counts its end, which takes a while.
    struct Guard(Arc<AtomicUsize>);

    impl Drop for Guard {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(200));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn the_tasks_of_a_run_end_before_it_returns() {
        let env = Env::from_vars(Vec::<(String, String)>::new());
        let term = TermSettings::default();
        let reporter = Reporter::new(Verbosity::Quiet, OutputFormat::Human, ColorChoice::Never, &term, &env);
        let cwd = PathBuf::from("/");
        let context = Context { env, cwd, reporter: Arc::new(reporter), interrupts: InterruptWatch::default() };
        let ended = Arc::new(AtomicUsize::new(0));
        let (of_task, of_thread) = (Guard(Arc::clone(&ended)), Guard(Arc::clone(&ended)));
        let outcome = context.run_interruptible(async move {
            // A server that runs until the runtime ends, and a thread that is busy with a file.
            tokio::spawn(async move {
                let _guard = of_task;
                std::future::pending::<()>().await;
            });
            tokio::task::spawn_blocking(move || drop(of_thread));
            Ok::<_, Failure>(())
        });
        assert!(outcome.is_ok());
        assert_eq!(ended.load(Ordering::SeqCst), 2);
    }
}
