//! What every form of an export needs: the mirror, its lock, and a run that a signal cancels.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::commands::Context;
use crate::error_report::{ErrorClass, Failure};
use crate::mirror::layout::Layout;
use crate::mirror::lock::{Holder, ReadGuard, lock_for_reading};

/// The mirror to export.
#[derive(Debug, clap::Args)]
pub struct SourceArgs {
    /// Mirror to export [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror to export. The default is /mirror if it exists, as in a container, else `mirror` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR")]
    pub mirror: Option<PathBuf>,
    /// Seconds to wait for the mirror's lock
    ///
    /// Seconds to wait for another process that changes the mirror. After that time the exit code is 6.
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub lock_timeout: u64,
}

impl SourceArgs {
    pub(super) fn layout(&self, context: &Context) -> Result<Layout, Failure> {
        Ok(Layout::new(context.resolve_folder(self.mirror.as_deref(), "/mirror", "mirror")?))
    }

    /// Locks the mirror against changes during the export.
    pub(super) fn lock(&self, layout: &Layout, context: &Context) -> Result<ReadGuard, Failure> {
        let holder = Holder::this_process("export", &context.env, Timestamp::now());
        let timeout = Duration::from_secs(self.lock_timeout);
        let locked = lock_for_reading(layout, timeout, &holder, context.reporter.as_ref());
        locked.map_err(|error| Failure::from(error).with_mirror(layout))
    }
}

/// Runs `work` on its own thread while this thread waits for signals. After a signal it waits for the cancelled work, which
/// removes its partial output.
pub(super) fn run_cancellable<T: Send, E: Into<Failure> + Send>(
    context: &Context,
    work: impl FnOnce() -> Result<T, E> + Send,
) -> Result<T, Failure> {
    let (done, result) = oneshot::channel();
    std::thread::scope(|scope| {
        let waiting = async {
            scope.spawn(move || {
                // The receiver is gone if the work was cancelled.
                let _unheard = done.send(work()).is_err();
            });
            match result.await {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(Failure::new(ErrorClass::Bug, "the export thread ended unexpectedly")),
            }
        };
        context.run_interruptible(waiting)
    })
    .map_err(|failure| match failure.class {
        ErrorClass::Interrupted => failure.hint("no partial files remain; run the same command again"),
        _ => failure,
    })
}
