//! Prints events: progress bars on a terminal, lines elsewhere, JSON on request. Only this file prints.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;

use crate::env::Env;
use crate::error_report::{Failure, replace_control};
use crate::event::{Event, Phase, Sink};
pub use log::{Level, LogConfig};
pub use log_queue::LogQueue;

mod log;
mod log_queue;

const STATUS: Style = AnsiColor::BrightGreen.on_default().bold();
const WARNING: Style = AnsiColor::BrightYellow.on_default().bold();
const ERROR: Style = AnsiColor::BrightRed.on_default().bold();
const HINT: Style = AnsiColor::BrightCyan.on_default().bold();

/// The verbosity of the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only errors.
    Quiet,
    /// Steps and warnings.
    Normal,
    /// Also details.
    Verbose,
}

/// The output format of the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// Lines on stderr, progress bars on a terminal.
    Human,
    /// One JSON object per line on stdout.
    Json,
}

/// When to use colours. `auto` depends on the terminal and on NO_COLOR.
pub use anstream::ColorChoice;

/// Prints every report of one run.
pub struct Reporter {
    verbosity: Verbosity,
    format: OutputFormat,
    colors: ColorChoice,
    shows_bars: bool,
    active_bars: Mutex<HashMap<Phase, PhaseBar>>,
    cancel_state: AtomicU8,
    /// The first write error of stdout.
    stdout_error: Mutex<Option<io::Error>>,
    /// The log format of a server.
    log: OnceLock<LogConfig>,
}

/// The work is running and can be stopped.
const RUNNING: u8 = 0;
/// The work is committed and can no longer be stopped.
const COMMITTING: u8 = 1;
/// The work was stopped.
const CANCELLED: u8 = 2;

/// A progress bar on the terminal.
struct PhaseBar {
    drawn: ProgressBar,
    /// The unit of its length.
    unit: BarUnit,
    /// Bytes so far, if the length counts items.
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BarUnit {
    Items,
    Bytes,
}

impl Reporter {
    /// Creates a report that prints to this process's stdout and stderr.
    ///
    /// Progress bars are shown on a terminal, unless TERM is `dumb` or CI is set (cargo: util/progress.rs).
    pub fn new(verbosity: Verbosity, format: OutputFormat, colors: ColorChoice, env: &Env) -> Reporter {
        let plain = env.var("TERM") == Some("dumb") || env.var_os("CI").is_some();
        let wanted = match env.var("CARGO_TERM_PROGRESS_WHEN") {
            Some("always") => true,
            Some("never") => false,
            _ => io::stderr().is_terminal() && !plain,
        };
        let bars = wanted && format == OutputFormat::Human && verbosity > Verbosity::Quiet;
        Reporter {
            verbosity,
            format,
            colors,
            shows_bars: bars,
            active_bars: Mutex::default(),
            cancel_state: AtomicU8::new(RUNNING),
            stdout_error: Mutex::default(),
            log: OnceLock::new(),
        }
    }

    /// Starts work that can be stopped.
    pub fn begin_work(&self) {
        self.cancel_state.store(RUNNING, Ordering::Release);
    }

    /// Stops the work. Returns `false` if the work is committed, so that the caller can only wait for its end.
    pub fn cancel_work(&self) -> bool {
        self.transition(CANCELLED)
    }

    fn transition(&self, to: u8) -> bool {
        let turned = self.cancel_state.compare_exchange(RUNNING, to, Ordering::AcqRel, Ordering::Acquire);
        turned.map_or_else(|now| now == to, |_| true)
    }

    /// Turns reports into a server's log. `--quiet` overrides every level, and `--verbose` shows at least details;
    /// `level` is the requested level. Only the first call counts; returns whether this was the first.
    pub fn start_log(&self, level: Option<Level>, json: bool, clock: fn() -> Timestamp) -> bool {
        let level = match self.verbosity {
            Verbosity::Quiet => level.unwrap_or(Level::Error).min(Level::Error),
            Verbosity::Normal => level.unwrap_or(Level::Info),
            Verbosity::Verbose => level.unwrap_or(Level::Debug).max(Level::Debug),
        };
        self.log.set(LogConfig { level, json, clock }).is_ok()
    }

    /// Whether requests are shown, so that reporting them is useful.
    pub fn shows_requests(&self) -> bool {
        self.log.get().is_some_and(|log| log.level >= Level::Info)
    }

    /// Whether an event is shown.
    fn shows(&self, event: &Event) -> bool {
        self.log.get().is_none_or(|log| Level::of_event(event) <= log.level)
    }

    /// Whether reports are JSON, so that the data of a verb must be JSON too.
    pub fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    /// The colours of clap's own messages.
    pub fn clap_colors(&self) -> clap::ColorChoice {
        match self.colors {
            ColorChoice::Always | ColorChoice::AlwaysAnsi => clap::ColorChoice::Always,
            ColorChoice::Never => clap::ColorChoice::Never,
            ColorChoice::Auto => clap::ColorChoice::Auto,
        }
    }

    /// Writes the data of a verb to stdout unchanged, and adds a missing line break at the end. With JSON reports it is
    /// an object with the reason `data`.
    pub fn print_data(&self, text: &str) {
        match self.format {
            OutputFormat::Json => self.print_json(&json!({"reason": "data", "text": text})),
            OutputFormat::Human if text.ends_with('\n') => self.write_stdout(text),
            OutputFormat::Human => self.write_stdout(&format!("{text}\n")),
        }
    }

    /// Writes one JSON object to stdout in every format, for verbs whose data is JSON.
    pub fn print_json(&self, object: &serde_json::Value) {
        self.write_stdout(&format!("{object}\n"));
    }

    /// Reports a failure, and closes a JSON report.
    pub fn report_failure(&self, failure: &Failure) {
        self.clear_bars();
        if let Some(log) = self.log.get().filter(|log| log.json) {
            self.write_stderr_raw(&log.message_line(Level::Error, &failure.to_string(), failure.hint.as_deref()));
            if self.format == OutputFormat::Human {
                return;
            }
        }
        if self.format == OutputFormat::Json {
            self.print_json(&json!({
                "reason": "finished",
                "success": false,
                "exit_code": failure.class.code(),
                "error": failure.to_string(),
                "hint": failure.hint,
            }));
            return;
        }
        let mut text = format!("{ERROR}error{ERROR:#}: {failure}\n");
        if let Some(hint) = &failure.hint {
            text.push_str(&format!("\n{HINT}hint{HINT:#}: {}\n", replace_control(hint)));
        }
        self.write_stderr(&text);
    }

    /// Closes the JSON report of a successful run.
    ///
    /// # Errors
    ///
    /// Data could not be written to stdout. Incomplete data is not a success.
    pub fn report_success(&self) -> Result<(), Failure> {
        self.clear_bars();
        if let Some(source) = self.stdout_error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Failure::io("could not write to stdout", source));
        }
        if self.format == OutputFormat::Json {
            self.print_json(&json!({"reason": "finished", "success": true, "exit_code": 0}));
        }
        Ok(())
    }

    fn write_stdout(&self, text: &str) {
        // A closed pipe (`| head`) is not a failure.
        if let Err(error) = anstream::AutoStream::new(io::stdout().lock(), self.colors).write_all(text.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.stdout_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn write_stderr(&self, text: &str) {
        let write = || {
            let _gone = anstream::AutoStream::new(io::stderr().lock(), self.colors).write_all(text.as_bytes()).is_err();
        };
        // Progress bars do not wait for a terminal or a pipe that accepts no data.
        let bar = self.lock_bars().values().next().map(|bar| bar.drawn.clone());
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Writes one line of JSON in a single write.
    fn write_stderr_raw(&self, line: &str) {
        let _gone = io::stderr().lock().write_all(line.as_bytes()).is_err();
    }

    fn lock_bars(&self) -> MutexGuard<'_, HashMap<Phase, PhaseBar>> {
        self.active_bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear_bars(&self) {
        for (_, bar) in self.lock_bars().drain() {
            bar.drawn.finish_and_clear();
        }
    }

    fn draw_event(&self, event: Event) {
        match event {
            Event::Status { verb, message } => {
                self.write_stderr(&format!("{STATUS}{verb:>12}{STATUS:#} {}\n", replace_control(&message)));
            }
            Event::Warning(message) => {
                self.write_stderr(&format!("{WARNING}warning{WARNING:#}: {}\n", replace_control(&message)))
            }
            Event::Detail(message) if self.shows_details() => {
                self.write_stderr(&format!("{:>12} {}\n", "", replace_control(&message)))
            }
            Event::Detail(_) => {}
            Event::Request(request) => {
                self.write_stderr(&format!("{STATUS}{:>12}{STATUS:#} {}\n", "Request", log::request_text(&request)));
            }
            Event::Begin { phase, items, bytes } => self.begin_bar(phase, items, bytes),
            Event::Advance { phase, items, bytes } => self.advance_bar(phase, items, bytes),
            Event::End { phase } => {
                if let Some(bar) = self.lock_bars().remove(&phase) {
                    bar.drawn.finish_and_clear();
                }
            }
        }
    }

    fn shows_details(&self) -> bool {
        self.log.get().map_or(self.verbosity >= Verbosity::Verbose, |log| log.level >= Level::Debug)
    }

    fn begin_bar(&self, phase: Phase, items: u64, bytes: u64) {
        if !self.shows_bars {
            return;
        }
        let bar = PhaseBar::new(phase, items, bytes, ProgressDrawTarget::stderr_with_hz(10));
        bar.drawn.enable_steady_tick(Duration::from_millis(200));
        self.lock_bars().insert(phase, bar);
    }

    fn advance_bar(&self, phase: Phase, items: u64, bytes: u64) {
        if let Some(bar) = self.lock_bars().get_mut(&phase) {
            bar.advance(items, bytes);
        }
    }
}

impl PhaseBar {
    /// If bytes are known, they give a better bar and a better estimate.
    fn new(phase: Phase, items: u64, bytes: u64, target: ProgressDrawTarget) -> PhaseBar {
        let (unit, length, shape) = if bytes > 0 {
            let shape = "{prefix:>12.bright.green.bold} [{bar:26}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
            (BarUnit::Bytes, bytes, shape)
        } else {
            (BarUnit::Items, items, "{prefix:>12.bright.green.bold} [{bar:26}] {pos}/{len}{msg}, {eta} left")
        };
        let drawn = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(shape) {
            drawn.set_style(style.progress_chars("=> "));
        }
        drawn.set_prefix(phase.verb());
        PhaseBar { drawn, unit, bytes: 0 }
    }

    fn advance(&mut self, items: u64, bytes: u64) {
        if self.unit == BarUnit::Bytes {
            self.drawn.inc(bytes);
            return;
        }
        self.drawn.inc(items);
        if bytes > 0 {
            self.bytes += bytes;
            self.drawn.set_message(format!(" ({})", HumanBytes(self.bytes)));
        }
    }
}

impl Sink for Reporter {
    fn is_cancelled(&self) -> bool {
        self.cancel_state.load(Ordering::Acquire) == CANCELLED
    }

    fn enter_commit(&self) -> bool {
        self.transition(COMMITTING)
    }

    fn event(&self, event: Event) {
        if !self.shows(&event) {
            return;
        }
        if let Some(log) = self.log.get().filter(|log| log.json) {
            if let Some(line) = log.event_line(&event) {
                self.write_stderr_raw(&line);
            }
            return;
        }
        match self.format {
            OutputFormat::Json => {
                if let Some(object) = event_json(&event) {
                    self.print_json(&object);
                }
            }
            OutputFormat::Human if self.verbosity > Verbosity::Quiet => self.draw_event(event),
            OutputFormat::Human => {}
        }
    }
}

fn event_json(event: &Event) -> Option<serde_json::Value> {
    match event {
        Event::Status { verb, message } => Some(json!({"reason": "status", "verb": verb, "message": message})),
        Event::Warning(message) => Some(json!({"reason": "warning", "message": message})),
        Event::Detail(message) => Some(json!({"reason": "detail", "message": message})),
        Event::Begin { phase, items, bytes } => {
            Some(json!({"reason": "begin", "phase": phase.verb().to_lowercase(), "items": items, "bytes": bytes}))
        }
        Event::Advance { .. } => None,
        Event::Request(request) => {
            let mut fields = log::request_fields(request);
            fields.insert("reason".to_owned(), json!("request"));
            Some(serde_json::Value::Object(fields))
        }
        Event::End { phase } => Some(json!({"reason": "end", "phase": phase.verb().to_lowercase()})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_bar_counts_in_the_unit_of_its_length() {
        // The total bytes of the crates are unknown in advance, so the bar shows the bytes so far.
        let mut crates = PhaseBar::new(Phase::Downloading, 178, 0, ProgressDrawTarget::hidden());
        crates.advance(0, 1_365_095);
        assert_eq!((crates.drawn.position(), crates.drawn.length()), (0, Some(178)));
        crates.advance(1, 0);
        crates.advance(0, 2048);
        assert_eq!((crates.drawn.position(), crates.drawn.message().as_str()), (1, " (1.30 MiB)"));
        let mut entries = PhaseBar::new(Phase::Packing, 3, 4096, ProgressDrawTarget::hidden());
        entries.advance(2, 4000);
        assert_eq!((entries.drawn.position(), entries.drawn.length()), (4000, Some(4096)));
    }
}
