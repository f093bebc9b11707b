//! Whether the server can do its work: whether the mirror's folder can be read.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a look at the folder may take; a network file system that is gone may never answer.
const WITHIN: Duration = Duration::from_secs(5);

/// What a look came to. The words are for anybody, and name no path.
type Looked = Result<(), &'static str>;

const SILENT: Looked = Err("the mirror's folder does not answer\n");

/// The health of one mirror.
///
/// A folder that was never there is that of a mirror into which nothing was imported yet, and its server does what it can:
/// that is good health. One that was there and went is not.
pub(super) struct Health {
    mirror: PathBuf,
    /// Whether the folder was there at any time.
    seen: AtomicBool,
    /// Since when somebody looks. One look at a time: those at a file system that is gone never end, and take a thread each.
    looking: Mutex<Option<Instant>>,
    looked: watch::Sender<Looked>,
    /// How long who asks waits.
    within: Duration,
}

impl Health {
    pub(super) fn of(mirror: PathBuf) -> Arc<Health> {
        let seen = AtomicBool::new(mirror.is_dir());
        Arc::new(Health { mirror, seen, looking: Mutex::default(), looked: watch::Sender::new(Ok(())), within: WITHIN })
    }

    /// Looks at the mirror's folder: whether it is there and lets itself be listed.
    pub(super) async fn now(self: Arc<Self>) -> Looked {
        self.by(|health| health.look()).await
    }

    /// The same by another way to look. Who comes while somebody looks gets what that one finds.
    async fn by(self: Arc<Self>, look: impl FnOnce(&Health) -> Looked + Send + 'static) -> Looked {
        let mut answers = self.looked.subscribe();
        let since = {
            let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
            let since = *looking;
            looking.get_or_insert_with(Instant::now);
            since
        };
        match since {
            None => {
                let health = Arc::clone(&self);
                drop(spawn_blocking(move || {
                    let looked = look(&health);
                    // First, so that who comes after the answer looks anew.
                    *health.looking.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    let _before = health.looked.send_replace(looked).is_ok();
                }));
            }
            Some(since) if since.elapsed() >= self.within => return SILENT,
            Some(_) => {}
        }
        match timeout(self.within, answers.changed()).await {
            Ok(Ok(())) => *answers.borrow(),
            _ => SILENT,
        }
    }

    fn look(&self) -> Looked {
        let first = fs::read_dir(&self.mirror).and_then(|mut entries| entries.next().transpose());
        match first {
            Ok(_) => {
                self.seen.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound if !self.seen.load(Ordering::Relaxed) => Ok(()),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Err("the mirror's folder is not there\n"),
                io::ErrorKind::PermissionDenied => Err("the mirror's folder may not be read\n"),
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
    async fn a_folder_that_went_is_bad_and_one_that_never_was_is_not() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mirror = folder.path().join("mirror");
        let health = Health::of(mirror.clone());
        assert_eq!(Arc::clone(&health).now().await, Ok(()), "nothing was imported yet");
        fs::create_dir(&mirror).expect("folder");
        assert_eq!(Arc::clone(&health).now().await, Ok(()));
        fs::remove_dir(&mirror).expect("removed");
        assert!(Arc::clone(&health).now().await.is_err(), "it went");
        fs::write(&mirror, "").expect("write");
        assert!(Arc::clone(&health).now().await.is_err());
        assert!(Health::of(mirror).now().await.is_err(), "a file is no folder that is yet to come");
        let there = Health::of(folder.path().to_owned());
        folder.close().expect("removed");
        assert!(there.now().await.is_err(), "it was there at the start");
    }

    #[tokio::test]
    async fn a_folder_that_does_not_answer_takes_one_thread() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut health = Health::of(folder.path().to_owned());
        Arc::get_mut(&mut health).expect("nobody else has it").within = Duration::from_millis(200);
        let looks = Arc::new(AtomicUsize::new(0));
        let (answer, hung) = mpsc::channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        let look = || {
            let (looks, hung) = (Arc::clone(&looks), Arc::clone(&hung));
            move |_: &Health| {
                looks.fetch_add(1, Ordering::SeqCst);
                hung.lock().expect("sound").recv().map_err(|_| "gone")
            }
        };
        let asked: Vec<_> = (0..20).map(|_| tokio::spawn(Arc::clone(&health).by(look()))).collect();
        for one in asked {
            assert_eq!(one.await.expect("answered"), SILENT);
        }
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        answer.send(()).expect("somebody looks");
        while health.looking.lock().expect("sound").is_some() {
            std::thread::yield_now();
        }
        assert_eq!(health.now().await, Ok(()), "it answers again");
    }
}
