//! The entry point: parses arguments, runs the verb, prints the error and returns the exit code.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use frostmirror::cli;
use frostmirror::commands::{Context, InterruptWatch, cargo_home};
use frostmirror::env::Env;
use frostmirror::error_report::Failure;
use frostmirror::event::Sink as _;
use frostmirror::upstream::cargo_config::TermSettings;

fn main() -> ExitCode {
    // If run as `cargo frostmirror`, the first argument is our own name; if run directly, it is absent.
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|word| word == "frostmirror") {
        args.remove(1);
    }
    let env = Env::from_process();
    let cwd = std::env::current_dir();
    // Without a current directory, only the variables and the file of CARGO_HOME count.
    let term_cwd = cwd.as_deref().unwrap_or(Path::new("/"));
    let term = TermSettings::read(term_cwd, cargo_home(&env, term_cwd).as_deref(), &env);
    let cli = match cli::parse(&args, &term, &env) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let reporter = Arc::new(cli.global.reporter(&term, &env));
    let shown_from = cwd.as_ref().ok().cloned();
    let outcome = cwd
        .map_err(|source| Failure::io("could not find the current directory", source))
        .and_then(|cwd| {
            let interrupts = InterruptWatch::start(&reporter);
            for warning in term.warnings {
                reporter.warning(warning);
            }
            cli::run(cli.verb, &Context { env, cwd, reporter: Arc::clone(&reporter), interrupts })
        })
        .and_then(|()| reporter.report_success());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            reporter.wait_for_exit();
            reporter.report_failure(&failure, shown_from.as_deref());
            failure.exit_code()
        }
    }
}
