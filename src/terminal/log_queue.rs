//! A queue of reports to write. Reporting never blocks: if the reader of the log is too slow, lines are dropped and
//! counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::Reporter;
use crate::event::{Event, Sink};
use crate::server::metrics::ServerMetrics;
use crate::units::pluralize;

/// Maximum number of queued reports; each has about one kilobyte.
const CAPACITY: usize = 4096;
/// Minimum interval between messages about dropped lines.
const DROP_WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// A sink that passes its reports to a separate thread, which writes them.
pub struct LogQueue {
    sender: SyncSender<QueueItem>,
    reporter: Arc<Reporter>,
    counters: Arc<ServerMetrics>,
}

enum QueueItem {
    Event(Event),
    /// A marker: the thread reports it after everything before it was written.
    Flush(Sender<()>),
}

impl LogQueue {
    /// Creates a queue before this report.
    ///
    /// # Errors
    /// The system cannot create a thread.
    pub fn start(report: Arc<Reporter>, counters: Arc<ServerMetrics>) -> std::io::Result<Arc<LogQueue>> {
        let (sender, lines) = sync_channel(CAPACITY);
        let (writer, counted) = (Arc::clone(&report), Arc::clone(&counters));
        thread::Builder::new().name("log".to_owned()).spawn(move || write_queued(&lines, writer.as_ref(), &counted))?;
        Ok(Arc::new(LogQueue { sender, reporter: report, counters }))
    }

    /// Waits until the reports are written, at most for `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let until = Instant::now() + timeout;
        let (done, written) = channel();
        while Instant::now() < until {
            if self.sender.try_send(QueueItem::Flush(done.clone())).is_ok() {
                let _late = written.recv_timeout(until.saturating_duration_since(Instant::now())).is_err();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Sink for LogQueue {
    fn event(&self, event: Event) {
        if self.reporter.shows(&event) && self.sender.try_send(QueueItem::Event(event)).is_err() {
            self.counters.dropped_log_lines.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn is_cancelled(&self) -> bool {
        self.reporter.is_cancelled()
    }

    fn enter_commit(&self) -> bool {
        self.reporter.enter_commit()
    }
}

fn write_queued(lines: &Receiver<QueueItem>, sink: &dyn Sink, counters: &ServerMetrics) {
    let (mut reported, mut reported_at) = (0, None::<Instant>);
    let mut report_dropped = |immediately: bool| {
        let dropped = counters.dropped_log_lines.load(Ordering::Relaxed);
        if dropped > reported && (immediately || reported_at.is_none_or(|when| when.elapsed() >= DROP_WARNING_INTERVAL))
        {
            sink.warning(format!(
                "dropped {} of the log, because the reader of the log is too slow",
                pluralize(dropped - reported, "line")
            ));
            (reported, reported_at) = (dropped, Some(Instant::now()));
        }
    };
    while let Ok(line) = lines.recv() {
        match line {
            QueueItem::Event(event) => {
                sink.event(event);
                report_dropped(false);
            }
            QueueItem::Flush(done) => {
                report_dropped(true);
                // A receiver after its timeout is gone.
                let _gone = done.send(()).is_err();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A writer that blocks until it is released.
    #[derive(Default)]
    struct BlockedSink {
        gate: Mutex<()>,
        events: Mutex<Vec<Event>>,
    }

    impl Sink for BlockedSink {
        fn event(&self, event: Event) {
            let _open = self.gate.lock().expect("sound");
            self.events.lock().expect("sound").push(event);
        }
    }

    #[test]
    fn a_full_queue_never_blocks_and_reports_the_dropped_lines() {
        let (slow, counters) = (Arc::new(BlockedSink::default()), Arc::new(ServerMetrics::default()));
        let report = Arc::new(Reporter::new(
            super::super::Verbosity::Normal,
            super::super::OutputFormat::Human,
            super::super::ColorChoice::Never,
            &crate::upstream::cargo_config::TermSettings::default(),
            &crate::env::Env::default(),
        ));
        let (waiting, lines) = sync_channel(CAPACITY);
        let queue = LogQueue { sender: waiting, reporter: report, counters: Arc::clone(&counters) };
        let (to, counted) = (Arc::clone(&slow), Arc::clone(&counters));
        let shut = slow.gate.lock().expect("sound");
        let writer = thread::spawn(move || write_queued(&lines, to.as_ref(), &counted));
        for number in 0..2 * CAPACITY {
            queue.warning(number.to_string());
        }
        let dropped = counters.dropped_log_lines.load(Ordering::Relaxed);
        assert!((CAPACITY as u64 - 1..=CAPACITY as u64).contains(&dropped), "{dropped}");
        queue.flush(Duration::from_millis(50));
        drop(shut);
        queue.flush(Duration::from_secs(20));
        drop(queue);
        writer.join().expect("ends with its queue");
        let taken = slow.events.lock().expect("sound");
        let is_drop_warning =
            |event: &Event| matches!(event, Event::Warning(text) if text.contains(" of the log, because the reader"));
        assert_eq!(
            taken.len() as u64 - taken.iter().filter(|event| is_drop_warning(event)).count() as u64,
            2 * CAPACITY as u64 - dropped
        );
        assert!(taken.iter().any(is_drop_warning));
    }
}
