//! Reports that wait to be written: whoever reports waits for nobody, and where the one that takes the lines is too slow, lines
//! are dropped and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Report;
use crate::event::{Event, Sink};
use crate::serve::counters::Counters;

/// Reports that may wait; each has a kilobyte or so.
const MOST: usize = 4096;
/// How often it is said that lines were dropped.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A sink that hands what it takes to a thread of its own, which hands it to the report.
pub struct Queue {
    waiting: SyncSender<Line>,
    report: Arc<Report>,
    counters: Arc<Counters>,
}

enum Line {
    Event(Event),
    /// Everything before this is to be written, and then this is to be told.
    Flush(Sender<()>),
}

impl Queue {
    /// A queue before this report.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn begin(report: Arc<Report>, counters: Arc<Counters>) -> std::io::Result<Arc<Queue>> {
        let (waiting, lines) = sync_channel(MOST);
        let (writer, counted) = (Arc::clone(&report), Arc::clone(&counters));
        thread::Builder::new().name("log".to_owned()).spawn(move || write(&lines, writer.as_ref(), &counted))?;
        Ok(Arc::new(Queue { waiting, report, counters }))
    }

    /// Waits until what was reported is written, but no longer than `patience`.
    pub fn flush(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let (done, told) = channel();
        while Instant::now() < until {
            if self.waiting.try_send(Line::Flush(done.clone())).is_ok() {
                let _late = told.recv_timeout(until.saturating_duration_since(Instant::now())).is_err();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Sink for Queue {
    fn event(&self, event: Event) {
        if self.report.takes(&event) && self.waiting.try_send(Line::Event(event)).is_err() {
            self.counters.lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn stopped(&self) -> bool {
        self.report.stopped()
    }

    fn settle(&self) -> bool {
        self.report.settle()
    }
}

fn write(lines: &Receiver<Line>, to: &dyn Sink, counters: &Counters) {
    let (mut said, mut when) = (0, None::<Instant>);
    let mut say = |at_once: bool| {
        let dropped = counters.lines_dropped.load(Ordering::Relaxed);
        if dropped > said && (at_once || when.is_none_or(|when| when.elapsed() >= SAY_EVERY)) {
            to.warning(format!("{} lines of the log were dropped: who takes them is too slow", dropped - said));
            (said, when) = (dropped, Some(Instant::now()));
        }
    };
    while let Ok(line) = lines.recv() {
        match line {
            Line::Event(event) => {
                to.event(event);
                say(false);
            }
            Line::Flush(done) => {
                say(true);
                // Who has waited long enough is gone.
                let _gone = done.send(()).is_err();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A taker that takes nothing until it is told to.
    #[derive(Default)]
    struct Slow {
        shut: Mutex<()>,
        taken: Mutex<Vec<Event>>,
    }

    impl Sink for Slow {
        fn event(&self, event: Event) {
            let _open = self.shut.lock().expect("sound");
            self.taken.lock().expect("sound").push(event);
        }
    }

    #[test]
    fn who_reports_never_waits_and_what_is_lost_is_told() {
        let (slow, counters) = (Arc::new(Slow::default()), Arc::new(Counters::default()));
        let report = Arc::new(Report::new(
            super::super::Loudness::Normal,
            super::super::Form::Human,
            super::super::ColorChoice::Never,
            &crate::env::Env::default(),
        ));
        let (waiting, lines) = sync_channel(MOST);
        let queue = Queue { waiting, report, counters: Arc::clone(&counters) };
        let (to, counted) = (Arc::clone(&slow), Arc::clone(&counters));
        let shut = slow.shut.lock().expect("sound");
        let writer = thread::spawn(move || write(&lines, to.as_ref(), &counted));
        for number in 0..2 * MOST {
            queue.warning(number.to_string());
        }
        let dropped = counters.lines_dropped.load(Ordering::Relaxed);
        assert!((MOST as u64 - 1..=MOST as u64).contains(&dropped), "{dropped}");
        queue.flush(Duration::from_millis(50));
        drop(shut);
        queue.flush(Duration::from_secs(20));
        drop(queue);
        writer.join().expect("ends with its queue");
        let taken = slow.taken.lock().expect("sound");
        let told =
            |event: &Event| matches!(event, Event::Warning(text) if text.contains("lines of the log were dropped"));
        assert_eq!(
            taken.len() as u64 - taken.iter().filter(|event| told(event)).count() as u64,
            2 * MOST as u64 - dropped
        );
        assert!(taken.iter().any(told));
    }
}
