//! Prints events: progress bars on a terminal, lines elsewhere, JSON on request. Only this file prints.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use serde_json::json;

use crate::bundle::sanitize::{escape_json, sanitize_to_length};
use crate::diagnostics::highlight;
use crate::env::Env;
use crate::error_report::{Failure, replace_control};
use crate::event::{Event, Phase, Sink};
use crate::upstream::cargo_config::{TermSettings, When};
pub use log::{Level, LogConfig};
pub use log_queue::LogQueue;
use progress::Bars;

mod log;
mod log_queue;
mod progress;

const STATUS: Style = AnsiColor::BrightGreen.on_default().bold();
const WARNING: Style = AnsiColor::BrightYellow.on_default().bold();
const ERROR: Style = AnsiColor::BrightRed.on_default().bold();
/// Also for progress and for waits, as in cargo.
const HINT: Style = AnsiColor::BrightCyan.on_default().bold();
/// The verb of a status line about a wait for another process.
const WAITING_VERB: &str = "Blocking";
/// Interval between two drawings of the progress.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);
/// The width if neither a setting nor the terminal states one.
const DEFAULT_WIDTH: usize = 80;
/// Maximum number of characters of a line that is no warning; others chose some of them.
const MAX_LINE_CHARS: usize = 4000;

/// The verbosity of the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only errors.
    Quiet,
    /// Steps and warnings.
    Normal,
    /// Also details: each crate and file by name (`-v`).
    Verbose,
    /// Also requests, waits and the output of cargo (`-vv`).
    VeryVerbose,
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
    screen: Arc<Screen>,
    cancel_state: AtomicU8,
    /// Whether another thread is about to end the process.
    is_exiting: AtomicBool,
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

/// Maximum time in which another thread reports an interrupt and ends the process.
const MAX_EXIT_TIME: Duration = Duration::from_secs(5);

/// Standard error, with a progress line at its end.
struct Screen {
    colors: ColorChoice,
    shows_progress: bool,
    /// `term.progress.width` of cargo's configuration.
    fixed_width: Option<usize>,
    bars: Mutex<Bars>,
    /// Signaled when the last phase ends.
    ended: Condvar,
    /// Columns of the progress line on the screen; 0 if there is none. It is locked before `bars`, and while anything
    /// is written.
    drawn_columns: Mutex<usize>,
}

impl Reporter {
    /// Creates a report that prints to this process's stdout and stderr.
    ///
    /// Progress is shown on a terminal, unless TERM is `dumb` or CI is set. `term.progress` of cargo's configuration
    /// counts as in cargo (cargo: util/progress.rs).
    pub fn new(
        verbosity: Verbosity,
        format: OutputFormat,
        colors: ColorChoice,
        term: &TermSettings,
        env: &Env,
    ) -> Reporter {
        let plain = env.var("TERM") == Some("dumb") || env.var_os("CI").is_some();
        let wanted = match term.progress {
            Some(When::Always) => true,
            Some(When::Never) => false,
            Some(When::Auto) | None => io::stderr().is_terminal() && !plain,
        };
        let screen = Screen {
            colors,
            shows_progress: wanted && format == OutputFormat::Human && verbosity > Verbosity::Quiet,
            fixed_width: term.width,
            bars: Mutex::default(),
            ended: Condvar::new(),
            drawn_columns: Mutex::default(),
        };
        Reporter {
            verbosity,
            format,
            colors,
            screen: Arc::new(screen),
            cancel_state: AtomicU8::new(RUNNING),
            is_exiting: AtomicBool::new(false),
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

    /// Stops the work even if it is committed: the process is about to exit. Nothing is reported afterwards but the
    /// failure.
    pub fn abort_work(&self) {
        self.is_exiting.store(true, Ordering::Release);
        self.cancel_state.store(CANCELLED, Ordering::Release);
    }

    /// Waits for the end of the process if [`Reporter::abort_work`] announced it. The aborted work fails, and the thread that
    /// aborted it reports why.
    pub fn wait_for_exit(&self) {
        if self.is_exiting.load(Ordering::Acquire) {
            thread::sleep(MAX_EXIT_TIME);
        }
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
            Verbosity::VeryVerbose => Level::Trace,
        };
        self.log.set(LogConfig { level, json, clock }).is_ok()
    }

    /// Whether requests are shown, so that reporting them is useful.
    pub fn shows_requests(&self) -> bool {
        self.log.get().is_some_and(|log| log.level >= Level::Info)
    }

    /// Whether an event is shown. The same rule holds for text and JSON.
    fn shows(&self, event: &Event) -> bool {
        if let Some(log) = self.log.get() {
            return Level::of_event(event) <= log.level;
        }
        let least = match event {
            Event::Detail { .. } => Verbosity::Verbose,
            Event::Trace { .. } | Event::HttpRequest(_) => Verbosity::VeryVerbose,
            _ => Verbosity::Normal,
        };
        self.verbosity >= least
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
        self.write_stdout(&format!("{}\n", escape_json(&object.to_string())));
    }

    /// Reports a failure, and closes a JSON report. Positions in files are shown relative to `cwd`, as cargo shows them.
    pub fn report_failure(&self, failure: &Failure, cwd: Option<&Path>) {
        self.clear_bars();
        let mut message = failure.to_string();
        if let Some(cwd) = cwd {
            message = message.replace(&format!("--> {}/", cwd.display()), "--> ");
        }
        if let Some(log) = self.log.get().filter(|log| log.json) {
            self.write_stderr_raw(&log.message_line(Level::Error, &message, failure.hint.as_deref()));
            if self.format == OutputFormat::Human {
                return;
            }
        }
        if self.format == OutputFormat::Json {
            self.print_json(&json!({
                "reason": "finished",
                "success": false,
                "exit_code": failure.class.code(),
                "error": message,
                "hint": failure.hint,
            }));
            return;
        }
        // One failure may list several errors, as cargo does.
        let message = highlight(&message).replace("\n\nerror: ", &format!("\n\n{ERROR}error{ERROR:#}: "));
        let mut text = format!("{ERROR}error{ERROR:#}: {message}\n");
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
        // On a terminal, the text would continue the progress line.
        let drawn = self.screen.shows_progress.then(|| self.screen.lock_output());
        let _guard = drawn.map(|mut drawn| {
            self.screen.erase(&mut drawn);
            drawn
        });
        // A closed pipe (`| head`) is not a failure.
        if let Err(error) = anstream::AutoStream::new(io::stdout().lock(), self.colors).write_all(text.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.stdout_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn write_stderr(&self, text: &str) {
        self.screen.write(text);
    }

    /// Writes one line of JSON in a single write.
    fn write_stderr_raw(&self, line: &str) {
        let _gone = io::stderr().lock().write_all(line.as_bytes()).is_err();
    }

    fn clear_bars(&self) {
        self.screen.lock_bars().clear();
        self.screen.redraw();
    }

    fn draw_event(&self, event: Event) {
        match event {
            Event::Status { verb, message } => {
                let style = if verb == WAITING_VERB { HINT } else { STATUS };
                self.write_stderr(&format!("{style}{verb:>12}{style:#} {}\n", one_line(&message)));
            }
            Event::Warning(message) => {
                self.write_stderr(&format!("{WARNING}warning{WARNING:#}: {}\n", highlight(&replace_control(&message))))
            }
            Event::Detail { verb, message } => {
                self.write_stderr(&format!("{STATUS}{verb:>12}{STATUS:#} {}\n", one_line(&message)))
            }
            Event::Trace { verb, message } => {
                self.write_stderr(&format!("{verb:>12} {}\n", one_line(&message)));
            }
            Event::HttpRequest(request) => {
                self.write_stderr(&format!("{:>12} {}\n", "HTTP", one_line(&request.to_string())));
            }
            Event::Request(request) => {
                self.write_stderr(&format!("{STATUS}{:>12}{STATUS:#} {}\n", "Request", log::request_text(&request)));
            }
            Event::Begin { phase, items, bytes } => Screen::begin(&self.screen, phase, items, bytes),
            Event::Advance { phase, items, bytes } => self.screen.lock_bars().advance(phase, items, bytes),
            Event::End { phase } => self.screen.end(phase),
        }
    }
}

impl Screen {
    fn begin(screen: &Arc<Screen>, phase: Phase, items: u64, bytes: u64) {
        if !screen.shows_progress {
            return;
        }
        let mut bars = screen.lock_bars();
        bars.begin(phase, items, bytes, Instant::now());
        if !bars.has_drawing_thread {
            let drawer = Arc::clone(screen);
            let thread = thread::Builder::new().name("progress".to_owned()).spawn(move || drawer.draw_until_empty());
            // Without a thread there is no progress line, and the work goes on.
            bars.has_drawing_thread = thread.is_ok();
        }
    }

    fn end(&self, phase: Phase) {
        let mut bars = self.lock_bars();
        bars.end(phase);
        let is_empty = bars.is_empty();
        drop(bars);
        if is_empty {
            self.ended.notify_all();
            self.redraw();
        }
    }

    fn draw_until_empty(&self) {
        loop {
            let bars = self.lock_bars();
            let waited = self.ended.wait_timeout_while(bars, DRAW_INTERVAL, |bars| !bars.is_empty());
            let (mut bars, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if bars.is_empty() {
                bars.has_drawing_thread = false;
                return;
            }
            drop(bars);
            self.redraw();
        }
    }

    /// Replaces the progress line by its current state, or removes it if no phase is active. Without progress it does not
    /// wait for a log that no process reads.
    fn redraw(&self) {
        if !self.shows_progress {
            return;
        }
        let mut drawn = self.lock_output();
        let mut text = self.erase_sequence(&drawn);
        *drawn = self.push_bar(&mut text);
        self.write_raw(&text);
    }

    /// Removes the progress line until it is drawn again.
    fn erase(&self, drawn: &mut usize) {
        let text = self.erase_sequence(drawn);
        *drawn = 0;
        self.write_raw(&text);
    }

    /// Writes a complete line above the progress line, in a single write, so that nothing flickers. Reports of progress
    /// do not wait for a terminal or a pipe that accepts no data.
    fn write(&self, line: &str) {
        let mut drawn = self.lock_output();
        let mut text = self.erase_sequence(&drawn);
        text.push_str(&self.colored(line));
        *drawn = self.push_bar(&mut text);
        self.write_raw(&text);
    }

    /// Appends the progress line; returns the number of its columns.
    fn push_bar(&self, text: &mut String) -> usize {
        if !self.shows_progress {
            return 0;
        }
        let Some(line) = self.lock_bars().line(Instant::now(), self.width()) else { return 0 };
        text.push_str(&self.colored(&format!("{HINT}{}{HINT:#}{}", line.label, line.rest)));
        line.columns()
    }

    /// Erases the progress line, which wrapped if the terminal became narrower.
    fn erase_sequence(&self, drawn_columns: &usize) -> String {
        match drawn_columns.saturating_sub(1) / self.width().max(1) {
            _ if *drawn_columns == 0 => String::new(),
            0 => "\r\x1b[K".to_owned(),
            rows => format!("\r\x1b[{rows}A\x1b[J"),
        }
    }

    fn width(&self) -> usize {
        self.fixed_width.or_else(terminal_width).unwrap_or(DEFAULT_WIDTH)
    }

    /// The text with its styles, or without them.
    fn colored(&self, text: &str) -> String {
        let choice = match self.colors {
            ColorChoice::Auto => anstream::AutoStream::choice(&io::stderr()),
            choice => choice,
        };
        match choice {
            ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
            _ => text.to_owned(),
        }
    }

    fn write_raw(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        // The styles were removed above if the user wants none; this only translates them on old Windows.
        let stream = anstream::AutoStream::new(io::stderr().lock(), ColorChoice::Always);
        let _gone = { stream }.write_all(text.as_bytes()).is_err();
    }

    fn lock_bars(&self) -> MutexGuard<'_, Bars> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_output(&self) -> MutexGuard<'_, usize> {
        self.drawn_columns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The columns of the terminal on stderr. Some terminals, such as that of script(1), state columns but no rows.
#[cfg(unix)]
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The columns of the terminal on stderr.
#[cfg(not(unix))]
fn terminal_width() -> Option<usize> {
    Some(usize::from(terminal_size::terminal_size_of(io::stderr())?.0.0))
}

/// A report on one line, of a limited length: others chose some of the names in it.
fn one_line(text: &str) -> String {
    sanitize_to_length(text, MAX_LINE_CHARS)
}

impl Sink for Reporter {
    fn is_cancelled(&self) -> bool {
        self.cancel_state.load(Ordering::Acquire) == CANCELLED
    }

    fn enter_commit(&self) -> bool {
        self.transition(COMMITTING)
    }

    fn event(&self, event: Event) {
        // The user ended the work; further reports of its parts are noise.
        if !self.shows(&event) || self.is_cancelled() {
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
            OutputFormat::Human => self.draw_event(event),
        }
    }
}

fn event_json(event: &Event) -> Option<serde_json::Value> {
    match event {
        Event::Status { verb, message } => Some(json!({"reason": "status", "verb": verb, "message": message})),
        Event::Warning(message) => Some(json!({"reason": "warning", "message": message})),
        Event::Detail { verb, message } => Some(json!({"reason": "detail", "verb": verb, "message": message})),
        Event::Trace { verb, message } => Some(json!({"reason": "trace", "verb": verb, "message": message})),
        Event::HttpRequest(request) => {
            let mut fields = log::http_request_fields(request);
            fields.insert("reason".to_owned(), json!("http-request"));
            Some(serde_json::Value::Object(fields))
        }
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
