//! A pseudo-terminal for our binary, and what a person would see on it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::process::Process;
use super::wait;

/// A process whose stdout and stderr are a terminal.
pub struct TerminalProcess {
    child: Child,
    controller: OwnedFd,
    output: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

/// One drawing of the progress line: its columns, and its text without styles.
#[derive(Clone, Debug)]
pub struct Frame {
    pub columns: usize,
    pub text: String,
}

impl Process {
    /// Starts it on a terminal of `columns` columns.
    pub fn start_on_terminal(self, columns: u16) -> TerminalProcess {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let terminal = ioctl_tiocgptpeer(&controller, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        set_columns(&controller, columns);
        let mut command = self.into_command();
        command.stdin(Stdio::null()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
        let child = command.spawn().unwrap();
        // Otherwise the terminal stays open in this process, and reading from it never ends.
        drop(command);
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut reading, received) = (File::from(controller.try_clone().unwrap()), Arc::clone(&output));
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            // After the last process closed the terminal, reading fails.
            while let Ok(length @ 1..) = reading.read(&mut buffer) {
                received.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        TerminalProcess { child, controller, output, reader: Some(reader) }
    }
}

impl TerminalProcess {
    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Changes the number of columns.
    pub fn resize(&self, columns: u16) {
        set_columns(&self.controller, columns);
    }

    /// Everything that was written so far, with all control sequences.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits until `condition` holds for the output.
    #[track_caller]
    pub fn wait_until(&self, condition: impl Fn(&str) -> bool) {
        wait::until_with(
            "the terminal shows the expected output",
            || format!("{:?}", self.output()),
            || condition(&self.output()),
        );
    }

    /// Waits for the end; the exit code and everything that was written.
    #[track_caller]
    pub fn wait(mut self) -> (i32, String) {
        let until = Instant::now() + Duration::from_secs(120);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "it does not end: {:?}", self.output());
            thread::sleep(Duration::from_millis(5));
        }
        self.reader.take().unwrap().join().unwrap();
        (self.child.wait().unwrap().code().unwrap_or(-1), self.output())
    }
}

impl Drop for TerminalProcess {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

fn set_columns(terminal: &OwnedFd, columns: u16) {
    // Like script(1), it states no rows.
    tcsetwinsize(terminal, Winsize { ws_row: 0, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// The drawings of the progress line: what follows the last line break before it is erased.
pub fn frames(output: &str) -> Vec<Frame> {
    let parts: Vec<&str> = output.split("\r\u{1b}").collect();
    let drawn = parts.iter().take(parts.len().saturating_sub(1));
    let texts = drawn.map(|part| anstream::adapter::strip_str(part.rsplit('\n').next().unwrap_or(part)).to_string());
    // The rest of the erasing sequence begins a part.
    let texts = texts.map(|text| text.trim_start_matches("[K").trim_start_matches("[J").to_owned());
    texts.filter(|text| !text.is_empty()).map(|text| Frame { columns: text.chars().count(), text }).collect()
}

/// The lines that stay on a terminal of `columns` columns at the end. Knows the control sequences that we use.
pub fn final_screen(output: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut chars = output.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                column = 0;
            }
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['), "an unknown sequence");
                let mut argument = String::new();
                let end = loop {
                    match chars.next().unwrap() {
                        end if end.is_ascii_alphabetic() => break end,
                        other => argument.push(other),
                    }
                };
                match end {
                    'm' => {}
                    'K' => lines[row].truncate(column),
                    'J' => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    'A' => row -= argument.parse::<usize>().unwrap(),
                    other => panic!("an unknown sequence: {argument}{other}"),
                }
            }
            char => {
                if column == columns {
                    row += 1;
                    column = 0;
                }
                while lines.len() <= row {
                    lines.push(Vec::new());
                }
                let line = &mut lines[row];
                while line.len() <= column {
                    line.push(' ');
                }
                line[column] = char;
                column += 1;
            }
        }
        while lines.len() <= row {
            lines.push(Vec::new());
        }
    }
    let lines = lines.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned());
    lines.collect()
}
