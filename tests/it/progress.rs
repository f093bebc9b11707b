//! Progress on a real terminal: its width, its end, and the lines above it.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::sandbox::Sandbox;
use crate::support::terminal::{final_screen, frames};
use crate::support::upstream::{Fault, Upstream};

/// Crates whose downloads end one after the other, the last one after this long.
const LAST_DOWNLOAD: Duration = Duration::from_millis(2400);

fn slow_upstream() -> Upstream {
    let upstream = Upstream::start();
    for number in 1..=4 {
        let name = format!("slow{number}");
        upstream.publish_all(&[(&name, "1.0.0")]);
        upstream.fault_always(&upstream.download_path(&name, "1.0.0"), Fault::Delayed(LAST_DOWNLOAD * number / 4));
    }
    upstream
}

fn sandbox_with_depends(upstream: &Upstream) -> Sandbox {
    let sandbox = Sandbox::new().upstream(upstream).env("TERM", "xterm-256color");
    let wanted: String = (1..=4).map(|number| format!("slow{number} = \"1.0.0\"\n")).collect();
    sandbox.write("depends.toml", format!("[locked]\n{wanted}"));
    sandbox
}

#[test]
fn progress_fits_terminals_of_every_width_and_leaves_nothing_behind() {
    let upstream = slow_upstream();
    std::thread::scope(|scope| {
        for columns in [20, 40, 80, 200] {
            let upstream = &upstream;
            scope.spawn(move || {
                let sandbox = sandbox_with_depends(upstream);
                let (code, output) = sandbox.process(["fetch"]).start_on_terminal(columns).wait();
                assert_eq!(code, 0, "{output}");
                let frames = frames(&output);
                assert!(frames.len() > 5, "{columns}: {frames:?}");
                for frame in &frames {
                    assert!(frame.columns < usize::from(columns), "{columns}: {frame:?}");
                    assert!(frame.text.starts_with(" Downloading "), "{columns}: {frame:?}");
                    assert!(!frame.text.contains("0s left"), "{frame:?}");
                    assert_eq!(frame.text.contains('['), columns > 20, "{frame:?}");
                }
                assert!(!frames[0].text.contains("left"), "nothing is measured yet: {:?}", frames[0]);
                // cargo's label: bold and bright cyan.
                assert!(output.contains("\u{1b}[1m\u{1b}[96m Downloading\u{1b}[0m"), "{output:?}");
                let screen = final_screen(&output, columns.into());
                let drawn = |line: &String| line.contains("Downloading") || line.contains('[');
                assert!(!screen.iter().any(drawn), "{screen:#?}");
                if columns >= 80 {
                    assert!(screen.iter().any(|line| line == "    Resolved 4 crates"), "{screen:#?}");
                    assert!(
                        screen.iter().any(|line| line.starts_with("    Gathered 4 crates (4 downloaded")),
                        "{screen:#?}"
                    );
                }
            });
        }
    });
}

#[test]
fn details_are_printed_above_the_progress() {
    let upstream = slow_upstream();
    let sandbox = sandbox_with_depends(&upstream);
    let (code, output) = sandbox.process(["fetch", "-v"]).start_on_terminal(100).wait();
    assert_eq!(code, 0, "{output}");
    assert!(frames(&output).len() > 5, "{output:?}");
    let screen = final_screen(&output, 100);
    let downloaded: Vec<&String> = screen.iter().filter(|line| line.starts_with("  Downloaded slow")).collect();
    assert_eq!(downloaded.len(), 4, "{screen:#?}");
    assert!(downloaded.iter().all(|line| line.ends_with(" B)") || line.ends_with("iB)")), "{downloaded:?}");
}

#[test]
fn progress_follows_a_resized_terminal() {
    let upstream = slow_upstream();
    let sandbox = sandbox_with_depends(&upstream);
    let running = sandbox.process(["fetch"]).start_on_terminal(200);
    running.wait_until(|output| frames(output).len() > 2);
    running.resize(30);
    let before = frames(&running.output()).len();
    let (code, output) = running.wait();
    assert_eq!(code, 0, "{output}");
    // A drawing may have been under way.
    let after = &frames(&output)[before + 2..];
    assert!(!after.is_empty() && after.iter().all(|frame| frame.columns < 30), "{after:?}");
}

#[test]
fn progress_is_shown_only_on_terminals_or_on_request() {
    let upstream = slow_upstream();
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str], bool);
    let cases: [Case; 9] = [
        (&[], &[], true),
        (&[], &["-q"], false),
        (&[], &["--message-format", "json"], false),
        (&[("TERM", "dumb")], &[], false),
        (&[("CI", "1")], &[], false),
        (&[("CI", "1"), ("CARGO_TERM_PROGRESS_WHEN", "always")], &[], true),
        (&[("CARGO_TERM_PROGRESS_WHEN", "never")], &[], false),
        (&[("CARGO_TERM_PROGRESS_WIDTH", "30")], &[], true),
        (&[("NO_COLOR", "1")], &[], true),
    ];
    std::thread::scope(|scope| {
        for (vars, flags, shown) in cases {
            let upstream = &upstream;
            scope.spawn(move || {
                let sandbox = sandbox_with_depends(upstream);
                let process = sandbox.process(["fetch"]).args(flags).envs(vars.iter().copied());
                let (code, output) = process.start_on_terminal(120).wait();
                assert_eq!(code, 0, "{output}");
                assert_eq!(output.contains("Downloading"), shown, "{vars:?} {flags:?}: {output:?}");
                let widest = frames(&output).iter().map(|frame| frame.columns).max();
                assert_eq!(widest.is_some(), shown, "{vars:?} {flags:?}: {output:?}");
                if vars == [("CARGO_TERM_PROGRESS_WIDTH", "30")] {
                    assert!(widest.is_some_and(|columns| columns < 30), "{output:?}");
                }
                let is_styled = output.replace("\u{1b}[K", "").contains('\u{1b}');
                assert_eq!(
                    is_styled,
                    !flags.contains(&"-q")
                        && !flags.contains(&"json")
                        && vars != [("NO_COLOR", "1")]
                        && vars != [("TERM", "dumb")],
                    "{vars:?} {flags:?}: {output:?}"
                );
            });
        }
    });
    let sandbox = sandbox_with_depends(&upstream);
    let run = sandbox.process(["fetch", "-o", "one"]).run().ok();
    assert!(!run.stderr.contains("Downloading") && !run.stderr.contains('\r'), "{}", run.describe());
    let always = [("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "60")];
    let config = "[term.progress]\nwhen = \"always\"\nwidth = 60\n";
    for (vars, config) in
        [(&always[..], ""), (&[], config), (&always[1..], "[term.progress]\nwhen = \"always\"\nwidth = 90\n")]
    {
        let sandbox = sandbox_with_depends(&upstream);
        sandbox.write(".cargo/config.toml", config);
        let run = sandbox.process(["fetch", "-o", "two"]).envs(vars.iter().copied()).run().ok();
        let frames = frames(&run.stderr);
        assert!(!frames.is_empty() && frames.iter().all(|frame| frame.columns < 60), "{}", run.describe());
    }
}

#[test]
fn an_interrupt_removes_the_progress() {
    let upstream = Upstream::start();
    upstream.publish_all(&[("slow", "1.0.0")]);
    upstream.fault_always(&upstream.download_path("slow", "1.0.0"), Fault::Hang);
    let sandbox = Sandbox::new().upstream(&upstream).env("TERM", "xterm-256color");
    sandbox.write("depends.toml", "[locked]\nslow = \"1.0.0\"\n");
    let running = sandbox.process(["fetch"]).start_on_terminal(80);
    running.wait_until(|output| frames(output).len() > 2 || output.contains(" Downloading ["));
    running.signal(Signal::INT);
    let (code, output) = running.wait();
    assert_eq!(code, 130, "{output:?}");
    let screen = final_screen(&output, 80);
    assert!(!screen.iter().any(|line| line.contains("Downloading")), "{screen:#?}");
    assert!(screen.iter().any(|line| line == "error: interrupted"), "{screen:#?}");
}
