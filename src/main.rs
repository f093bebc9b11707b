//! The entry point: parses arguments, runs the verb, prints the error and returns the exit code.

use std::process::ExitCode;
use std::sync::Arc;

use frostmirror::cli;
use frostmirror::commands::{Context, InterruptWatch};
use frostmirror::env::Env;
use frostmirror::error_report::Failure;

fn main() -> ExitCode {
    // If run as `cargo frostmirror`, the first argument is our own name; if run directly, it is absent.
    let mut args: Vec<_> = std::env::args_os().collect();
    if args.get(1).is_some_and(|word| word == "frostmirror") {
        args.remove(1);
    }
    let env = Env::from_process();
    let cli = match cli::parse(&args, &env) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let reporter = Arc::new(cli.global.reporter(&env));
    let mut shown_from = None;
    let outcome = std::env::current_dir()
        .map_err(|source| Failure::io("could not find the current directory", source))
        .and_then(|cwd| {
            shown_from = Some(cwd.clone());
            let interrupts = InterruptWatch::start(&reporter);
            cli::run(cli.verb, &Context { env, cwd, reporter: Arc::clone(&reporter), interrupts })
        })
        .and_then(|()| reporter.report_success());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            reporter.report_failure(&failure, shown_from.as_deref());
            failure.exit_code()
        }
    }
}
