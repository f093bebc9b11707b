//! Whether the server can work: whether the mirror's folder can be read.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Timeout of a check; a network file system that is gone may never answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Result of a check. The text is public, and names no path.
type HealthCheck = Result<(), &'static str>;

const TIMED_OUT: HealthCheck = Err("the mirror's disk does not respond\n");

/// The health of one mirror.
///
/// A missing directory is healthy until the first import; one that disappears is not.
pub(super) struct MirrorHealth {
    mirror: PathBuf,
    /// Whether the folder ever existed.
    has_existed: AtomicBool,
    /// Start of the current check. Only one runs at a time: a check of a network file system that is gone never ends,
    /// and occupies a thread.
    check_started: Mutex<Option<Instant>>,
    result: watch::Sender<HealthCheck>,
    /// How long a caller waits.
    timeout: Duration,
}

impl MirrorHealth {
    pub(super) fn new(mirror: PathBuf) -> Arc<MirrorHealth> {
        let seen = AtomicBool::new(mirror.is_dir());
        Arc::new(MirrorHealth {
            mirror,
            has_existed: seen,
            check_started: Mutex::default(),
            result: watch::Sender::new(Ok(())),
            timeout: CHECK_TIMEOUT,
        })
    }

    /// Checks that the mirror's folder exists and can be listed.
    pub(super) async fn check(self: Arc<Self>) -> HealthCheck {
        self.check_with(|health| health.probe()).await
    }

    /// Runs the given check. Callers during a running check share its result.
    async fn check_with(
        self: Arc<Self>,
        probe: impl FnOnce(&MirrorHealth) -> HealthCheck + Send + 'static,
    ) -> HealthCheck {
        let mut answers = self.result.subscribe();
        let since = {
            let mut looking = self.check_started.lock().unwrap_or_else(PoisonError::into_inner);
            let since = *looking;
            looking.get_or_insert_with(Instant::now);
            since
        };
        match since {
            None => {
                let health = Arc::clone(&self);
                drop(spawn_blocking(move || {
                    let looked = probe(&health);
                    // Cleared first, so that a caller after the result starts a new check.
                    *health.check_started.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    let _before = health.result.send_replace(looked).is_ok();
                }));
            }
            Some(since) if since.elapsed() >= self.timeout => return TIMED_OUT,
            Some(_) => {}
        }
        match timeout(self.timeout, answers.changed()).await {
            Ok(Ok(())) => *answers.borrow(),
            _ => TIMED_OUT,
        }
    }

    fn probe(&self) -> HealthCheck {
        let first = fs::read_dir(&self.mirror).and_then(|mut entries| entries.next().transpose());
        match first {
            Ok(_) => {
                self.has_existed.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound if !self.has_existed.load(Ordering::Relaxed) => Ok(()),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Err("the mirror's folder does not exist\n"),
                io::ErrorKind::PermissionDenied => Err("the server has no permission to read the mirror's folder\n"),
                _ => Err("the mirror's folder cannot be read\n"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::sync::mpsc;

    #[tokio::test]
    async fn a_missing_mirror_is_healthy_until_it_has_existed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mirror = folder.path().join("mirror");
        let health = MirrorHealth::new(mirror.clone());
        assert_eq!(Arc::clone(&health).check().await, Ok(()), "nothing was imported yet");
        fs::create_dir(&mirror).expect("folder");
        assert_eq!(Arc::clone(&health).check().await, Ok(()));
        fs::remove_dir(&mirror).expect("removed");
        assert!(Arc::clone(&health).check().await.is_err(), "it went");
        fs::write(&mirror, "").expect("write");
        assert!(Arc::clone(&health).check().await.is_err());
        assert!(MirrorHealth::new(mirror).check().await.is_err(), "a file is not a missing folder");
        let there = MirrorHealth::new(folder.path().to_owned());
        folder.close().expect("removed");
        assert!(there.check().await.is_err(), "it existed at the start");
    }

    #[tokio::test]
    async fn checks_of_a_hanging_folder_use_one_thread() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut health = MirrorHealth::new(folder.path().to_owned());
        Arc::get_mut(&mut health).expect("the only reference").timeout = Duration::from_millis(200);
        let looks = Arc::new(AtomicUsize::new(0));
        let (answer, hung) = mpsc::channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        let look = || {
            let (looks, hung) = (Arc::clone(&looks), Arc::clone(&hung));
            move |_: &MirrorHealth| {
                looks.fetch_add(1, Ordering::SeqCst);
                hung.lock().expect("sound").recv().map_err(|_| "gone")
            }
        };
        let requested: Vec<_> = (0..20).map(|_| tokio::spawn(Arc::clone(&health).check_with(look()))).collect();
        for one in requested {
            assert_eq!(one.await.expect("answered"), TIMED_OUT);
        }
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        answer.send(()).expect("a check is running");
        while health.check_started.lock().expect("sound").is_some() {
            std::thread::yield_now();
        }
        assert_eq!(health.check().await, Ok(()), "it answers again");
    }
}
