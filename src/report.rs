//! Draws events: bars on a terminal, lines elsewhere, JSON on request. The only file that prints.

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
use crate::event::{Event, Phase, Sink};
use crate::failure::{Failure, printable};
pub use log::{Level, Log};
pub use queue::Queue;

mod log;
mod queue;

const STATUS: Style = AnsiColor::BrightGreen.on_default().bold();
const WARNING: Style = AnsiColor::BrightYellow.on_default().bold();
const ERROR: Style = AnsiColor::BrightRed.on_default().bold();
const HINT: Style = AnsiColor::BrightCyan.on_default().bold();

/// How loud the reports are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Errors only.
    Quiet,
    /// Steps and warnings.
    Normal,
    /// Details too.
    Verbose,
}

/// How reports look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Lines on stderr, bars on a terminal.
    Human,
    /// One JSON object a line on stdout.
    Json,
}

/// When to use colours; `auto` asks the terminal and NO_COLOR.
pub use anstream::ColorChoice;

/// Draws every report of one run.
pub struct Report {
    loudness: Loudness,
    form: Form,
    colors: ColorChoice,
    bars: bool,
    running: Mutex<HashMap<Phase, Bar>>,
    course: AtomicU8,
    /// The first thing that stdout did not take.
    lost: Mutex<Option<io::Error>>,
    /// How a server's reports are written.
    log: OnceLock<Log>,
}

/// Work goes on, and may be stopped.
const GOING: u8 = 0;
/// Work is as good as done.
const SETTLED: u8 = 1;
/// Work was stopped.
const STOPPED: u8 = 2;

/// A bar on the terminal.
struct Bar {
    drawn: ProgressBar,
    /// What its length counts.
    unit: Unit,
    /// Bytes so far, where the length counts items.
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Items,
    Bytes,
}

impl Report {
    /// A report that draws on this process's stdout and stderr.
    ///
    /// Bars are drawn on a terminal, unless TERM is `dumb` or CI is set (cargo: util/progress.rs).
    pub fn new(loudness: Loudness, form: Form, colors: ColorChoice, env: &Env) -> Report {
        let plain = env.text("TERM") == Some("dumb") || env.os("CI").is_some();
        let wanted = match env.text("CARGO_TERM_PROGRESS_WHEN") {
            Some("always") => true,
            Some("never") => false,
            _ => io::stderr().is_terminal() && !plain,
        };
        let bars = wanted && form == Form::Human && loudness > Loudness::Quiet;
        Report {
            loudness,
            form,
            colors,
            bars,
            running: Mutex::default(),
            course: AtomicU8::new(GOING),
            lost: Mutex::default(),
            log: OnceLock::new(),
        }
    }

    /// Work begins that may be stopped.
    pub fn begin_work(&self) {
        self.course.store(GOING, Ordering::Release);
    }

    /// Stops the work; `false` where it is as good as done, and only its end is left to wait for.
    pub fn stop_work(&self) -> bool {
        self.turn(STOPPED)
    }

    fn turn(&self, to: u8) -> bool {
        let turned = self.course.compare_exchange(GOING, to, Ordering::AcqRel, Ordering::Acquire);
        turned.map_or_else(|now| now == to, |_| true)
    }

    /// From now on reports are a server's log. Quiet is quieter than any level, verbose means details at least; `level` is what
    /// was asked for beside that. The first word counts; whether this was it.
    pub fn log(&self, level: Option<Level>, json: bool, clock: fn() -> Timestamp) -> bool {
        let level = match self.loudness {
            Loudness::Quiet => level.unwrap_or(Level::Error).min(Level::Error),
            Loudness::Normal => level.unwrap_or(Level::Info),
            Loudness::Verbose => level.unwrap_or(Level::Debug).max(Level::Debug),
        };
        self.log.set(Log { level, json, clock }).is_ok()
    }

    /// Whether requests are shown, so that it is worth reporting them.
    pub fn takes_requests(&self) -> bool {
        self.log.get().is_some_and(|log| log.level >= Level::Info)
    }

    /// Whether an event is shown.
    fn takes(&self, event: &Event) -> bool {
        self.log.get().is_none_or(|log| Level::of(event) <= log.level)
    }

    /// Whether reports are JSON, so that a verb's data must be too.
    pub fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// The colours of the command line's own messages.
    pub fn clap_colors(&self) -> clap::ColorChoice {
        match self.colors {
            ColorChoice::Always | ColorChoice::AlwaysAnsi => clap::ColorChoice::Always,
            ColorChoice::Never => clap::ColorChoice::Never,
            ColorChoice::Auto => clap::ColorChoice::Auto,
        }
    }

    /// Writes a verb's data to stdout as it is; a line break is added where it has none. With JSON reports it is an
    /// object with the reason `data`.
    pub fn data(&self, text: &str) {
        match self.form {
            Form::Json => self.json(&json!({"reason": "data", "text": text})),
            Form::Human if text.ends_with('\n') => self.out(text),
            Form::Human => self.out(&format!("{text}\n")),
        }
    }

    /// Writes one JSON object to stdout, whatever the form; for verbs whose data is JSON.
    pub fn json(&self, object: &serde_json::Value) {
        self.out(&format!("{object}\n"));
    }

    /// Tells of a failure, and closes a JSON report.
    pub fn failed(&self, failure: &Failure) {
        self.clear();
        if let Some(log) = self.log.get().filter(|log| log.json) {
            self.err_as_it_is(&log.message(Level::Error, &failure.to_string(), failure.hint.as_deref()));
            if self.form == Form::Human {
                return;
            }
        }
        if self.form == Form::Json {
            self.json(&json!({
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
            text.push_str(&format!("\n{HINT}hint{HINT:#}: {}\n", printable(hint)));
        }
        self.err(&text);
    }

    /// Closes a JSON report of a run that went well.
    ///
    /// # Errors
    ///
    /// Data that could not be written to stdout: half a file is no success.
    pub fn finished(&self) -> Result<(), Failure> {
        self.clear();
        if let Some(source) = self.lost.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Failure::io("could not write to stdout", source));
        }
        if self.form == Form::Json {
            self.json(&json!({"reason": "finished", "success": true, "exit_code": 0}));
        }
        Ok(())
    }

    fn out(&self, text: &str) {
        // A reader that went away (`| head`) is no failure of ours.
        if let Err(error) = anstream::AutoStream::new(io::stdout().lock(), self.colors).write_all(text.as_bytes())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }

    fn err(&self, text: &str) {
        let write = || {
            let _gone = anstream::AutoStream::new(io::stderr().lock(), self.colors).write_all(text.as_bytes()).is_err();
        };
        // Nobody who wants to look at the bars waits for a terminal or a pipe that takes nothing.
        let bar = self.bars().values().next().map(|bar| bar.drawn.clone());
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// A line for machines, in one write.
    fn err_as_it_is(&self, line: &str) {
        let _gone = io::stderr().lock().write_all(line.as_bytes()).is_err();
    }

    fn bars(&self) -> MutexGuard<'_, HashMap<Phase, Bar>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        for (_, bar) in self.bars().drain() {
            bar.drawn.finish_and_clear();
        }
    }

    fn draw(&self, event: Event) {
        match event {
            Event::Status { verb, message } => {
                self.err(&format!("{STATUS}{verb:>12}{STATUS:#} {}\n", printable(&message)));
            }
            Event::Warning(message) => self.err(&format!("{WARNING}warning{WARNING:#}: {}\n", printable(&message))),
            Event::Detail(message) if self.shows_details() => {
                self.err(&format!("{:>12} {}\n", "", printable(&message)))
            }
            Event::Detail(_) => {}
            Event::Request(request) => {
                self.err(&format!("{STATUS}{:>12}{STATUS:#} {}\n", "Request", log::request_text(&request)));
            }
            Event::Begin { phase, items, bytes } => self.begin(phase, items, bytes),
            Event::Advance { phase, items, bytes } => self.advance(phase, items, bytes),
            Event::End { phase } => {
                if let Some(bar) = self.bars().remove(&phase) {
                    bar.drawn.finish_and_clear();
                }
            }
        }
    }

    fn shows_details(&self) -> bool {
        self.log.get().map_or(self.loudness >= Loudness::Verbose, |log| log.level >= Level::Debug)
    }

    fn begin(&self, phase: Phase, items: u64, bytes: u64) {
        if !self.bars {
            return;
        }
        let bar = Bar::new(phase, items, bytes, ProgressDrawTarget::stderr_with_hz(10));
        bar.drawn.enable_steady_tick(Duration::from_millis(200));
        self.bars().insert(phase, bar);
    }

    fn advance(&self, phase: Phase, items: u64, bytes: u64) {
        if let Some(bar) = self.bars().get_mut(&phase) {
            bar.advance(items, bytes);
        }
    }
}

impl Bar {
    /// Bytes make the better bar and the better estimate where they are known.
    fn new(phase: Phase, items: u64, bytes: u64, target: ProgressDrawTarget) -> Bar {
        let (unit, length, shape) = if bytes > 0 {
            let shape = "{prefix:>12.bright.green.bold} [{bar:26}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
            (Unit::Bytes, bytes, shape)
        } else {
            (Unit::Items, items, "{prefix:>12.bright.green.bold} [{bar:26}] {pos}/{len}{msg}, {eta} left")
        };
        let drawn = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(shape) {
            drawn.set_style(style.progress_chars("=> "));
        }
        drawn.set_prefix(phase.verb());
        Bar { drawn, unit, bytes: 0 }
    }

    fn advance(&mut self, items: u64, bytes: u64) {
        if self.unit == Unit::Bytes {
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

impl Sink for Report {
    fn stopped(&self) -> bool {
        self.course.load(Ordering::Acquire) == STOPPED
    }

    fn settle(&self) -> bool {
        self.turn(SETTLED)
    }

    fn event(&self, event: Event) {
        if !self.takes(&event) {
            return;
        }
        if let Some(log) = self.log.get().filter(|log| log.json) {
            if let Some(line) = log.line(&event) {
                self.err_as_it_is(&line);
            }
            return;
        }
        match self.form {
            Form::Json => {
                if let Some(object) = as_json(&event) {
                    self.json(&object);
                }
            }
            Form::Human if self.loudness > Loudness::Quiet => self.draw(event),
            Form::Human => {}
        }
    }
}

fn as_json(event: &Event) -> Option<serde_json::Value> {
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
    fn a_bar_counts_what_its_length_counts() {
        // Nobody knows beforehand how many bytes the crates have; while they come, bytes are told of besides.
        let mut crates = Bar::new(Phase::Downloading, 178, 0, ProgressDrawTarget::hidden());
        crates.advance(0, 1_365_095);
        assert_eq!((crates.drawn.position(), crates.drawn.length()), (0, Some(178)));
        crates.advance(1, 0);
        crates.advance(0, 2048);
        assert_eq!((crates.drawn.position(), crates.drawn.message().as_str()), (1, " (1.30 MiB)"));
        let mut entries = Bar::new(Phase::Packing, 3, 4096, ProgressDrawTarget::hidden());
        entries.advance(2, 4000);
        assert_eq!((entries.drawn.position(), entries.drawn.length()), (4000, Some(4096)));
    }
}
