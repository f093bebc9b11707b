//! The doorstep: arguments in, one call, the failure told, the exit code out.

use std::process::ExitCode;
use std::sync::Arc;

use frostmirror::cli;
use frostmirror::cmd::Context;
use frostmirror::env::Env;
use frostmirror::failure::Failure;

fn main() -> ExitCode {
    // Run as `cargo frostmirror`, the first word is our own name; run directly, it is not there.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "frostmirror") {
        words.remove(1);
    }
    let env = Env::of_process();
    let cli = match cli::parse(&words, &env) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let report = Arc::new(cli.global.report(&env));
    let outcome = std::env::current_dir()
        .map_err(|source| Failure::io("could not find the current directory", source))
        .and_then(|cwd| cli::run(cli.verb, &Context { env, cwd, report: Arc::clone(&report) }))
        .and_then(|()| report.finished());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.failed(&failure);
            failure.exit_code()
        }
    }
}
