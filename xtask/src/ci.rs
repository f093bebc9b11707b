//! `cargo xtask ci`: every check, cheapest first, with its time; the first failure ends it.
//!
//! Nothing is compiled twice: lints and docs share their metadata, and the check of generated files builds the binary
//! as the tests do (with the features that dev-dependencies switch on).

use std::time::Instant;

use crate::{TaskResult, cargo, generated, needs, run, tools};

/// A check by its name.
type Step = (&'static str, fn() -> TaskResult);

// The tests come last, so that what they say is what one sees.
const STEPS: &[Step] = &[
    ("fmt", || run(&mut cargo(&["fmt", "--all", "--", "--check"]))),
    ("clippy", || run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))),
    ("doc", || run(cargo(&["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "--deny warnings"))),
    ("gen --check", generated::check_files),
    ("tools", tools::install_missing),
    ("test", || test(&[])),
];

// One run of each test binary: ignored tests are those that need a tool, and are left out by name without it.
const TESTS: &[&str] = &["test", "--workspace", "--locked"];

/// Runs every check.
pub fn run_all() -> TaskResult {
    let start = Instant::now();
    for (name, step) in STEPS {
        eprintln!("==> {name}");
        let start = Instant::now();
        let outcome = step();
        let seconds = start.elapsed().as_secs_f64();
        outcome.map_err(|problem| format!("step `{name}` failed after {seconds:.1} s\n{problem}"))?;
        eprintln!("==> {name}: passed in {seconds:.1} s");
    }
    needs::report(&needs::unmet()?);
    eprintln!("==> ci: all {} steps passed in {:.1} s", STEPS.len(), start.elapsed().as_secs_f64());
    Ok(())
}

/// Runs all tests whose tools are on this machine, and names the others; `args` go to `cargo test`.
pub fn test(args: &[&str]) -> TaskResult {
    let unmet = needs::unmet()?;
    needs::report(&unmet);
    let skips = unmet.iter().flat_map(|unmet| &unmet.tests).flat_map(|name| ["--skip", name.as_str()]);
    let (for_cargo, for_tests) = args.split_at(args.iter().position(|arg| *arg == "--").unwrap_or(args.len()));
    let for_tests = for_tests.get(1..).unwrap_or_default();
    run(cargo(TESTS).args(for_cargo).args(["--", "--include-ignored"]).args(skips).args(for_tests))
}
