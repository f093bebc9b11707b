//! The command line: verbs and global flags. `command()` is what completions, man pages and help tests are made from.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::commands;
use crate::commands::Context;
use crate::env::Env;
use crate::error_report::{EXIT_CODES, ErrorClass, Failure};
use crate::terminal::{ColorChoice, OutputFormat, Reporter, Verbosity};

/// Bring Rust across an air gap.
///
/// Online: resolve with cargo, download, and pack one checked .pkg. Offline: verify it, import it into a mirror, and
/// serve that mirror to cargo and rustup. The manual is `cargo frostmirror guide`.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-frostmirror",
    bin_name = "cargo frostmirror",
    version,
    styles = clap_cargo::style::CLAP_STYLING,
    after_help = EXIT_CODES,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// The global options.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb accepts.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Name each crate and file (-v), and each HTTP request (-vv)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Print errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colors
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<ColorWhen>,
    /// Output format: text, or one JSON object per line on stdout
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub message_format: MessageFormat,
}

impl GlobalArgs {
    /// Builds the reporter for these flags. `--color` overrides CARGO_TERM_COLOR, which overrides NO_COLOR and terminal
    /// detection. Without a flag, CARGO_TERM_QUIET and CARGO_TERM_VERBOSE apply, as in cargo.
    pub fn reporter(&self, env: &Env) -> Reporter {
        let loudness = match self {
            GlobalArgs { quiet: true, .. } => Verbosity::Quiet,
            GlobalArgs { verbose: 1, .. } => Verbosity::Verbose,
            GlobalArgs { verbose: 2.., .. } => Verbosity::VeryVerbose,
            _ if env.var("CARGO_TERM_QUIET") == Some("true") => Verbosity::Quiet,
            _ if env.var("CARGO_TERM_VERBOSE") == Some("true") => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let when = self.color.or_else(|| ColorWhen::from_str(env.var("CARGO_TERM_COLOR")?, true).ok());
        let colors = match when {
            Some(ColorWhen::Always) => ColorChoice::Always,
            Some(ColorWhen::Never) => ColorChoice::Never,
            Some(ColorWhen::Auto) | None => ColorChoice::Auto,
        };
        let form = match self.message_format {
            MessageFormat::Human => OutputFormat::Human,
            MessageFormat::Json => OutputFormat::Json,
        };
        Reporter::new(loudness, form, colors, env)
    }
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// If the output is a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Text with progress bars
    Human,
    /// One JSON object per line
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write depends.toml from a workspace
    #[command(after_help = EXIT_CODES)]
    Init(commands::init::Args),
    /// Resolve, download, and write one .pkg
    #[command(after_help = EXIT_CODES)]
    Fetch(commands::fetch::Args),
    /// Check bundles or a mirror, or whether a Cargo.lock can be built from them
    #[command(after_help = EXIT_CODES)]
    Verify(commands::verify::Args),
    /// Show the contents of a bundle's manifest
    #[command(after_help = EXIT_CODES)]
    Inspect(commands::inspect::Args),
    /// Compare two bundles
    #[command(after_help = EXIT_CODES)]
    Diff(commands::diff::Args),
    /// Verify bundles and import them into a mirror, all or nothing
    #[command(after_help = EXIT_CODES)]
    Import(commands::import::Args),
    /// Serve a mirror to cargo and rustup
    #[command(after_help = EXIT_CODES)]
    Serve(commands::serve::Args),
    /// Fetch, import and serve on this machine
    #[command(after_help = EXIT_CODES)]
    Up(commands::up::Args),
    /// Show the contents of a mirror
    #[command(after_help = EXIT_CODES)]
    Status(commands::status::Args),
    /// List the crates of a mirror or a bundle
    #[command(after_help = EXIT_CODES)]
    List(commands::list::Args),
    /// Remove files from a mirror that no history needs
    #[command(after_help = EXIT_CODES)]
    Gc(commands::gc::Args),
    /// List the inputs and sent bundles of the history; forget or label an input
    #[command(after_help = format!("{}\n\n{EXIT_CODES}", commands::history::EXAMPLES), disable_help_subcommand = true)]
    History(commands::history::Args),
    /// Export a mirror as one .pkg, or its crates as a folder that cargo builds from
    #[command(after_help = EXIT_CODES, disable_help_subcommand = true)]
    Export(commands::export::Args),
    /// Print the configuration of cargo and rustup for a mirror, or write cargo's part
    #[command(after_help = EXIT_CODES)]
    Setup(commands::setup::Args),
    /// Print a chapter of the user's guide
    #[command(after_help = EXIT_CODES)]
    Guide(commands::guide::Args),
    /// Print a completion script
    #[command(after_help = EXIT_CODES)]
    Completions(commands::completions::Args),
    /// Print the man page, or write all of them into a folder
    #[command(after_help = EXIT_CODES)]
    Man(commands::man::Args),
}

/// The whole command line, for completions, man pages and help tests.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the command line. Prints help and usage errors at once, in the requested format and colors if these can be
/// recognized. The error is the exit code.
pub fn parse(args: &[OsString], env: &Env) -> Result<Cli, ExitCode> {
    let args = &expand_help_verb(args);
    let globals = scan_global_args(args);
    let reporter = globals.reporter(env);
    let parsed = ignore_empty_variables(command(), env).color(reporter.clap_colors()).try_get_matches_from(args);
    let error = match parsed.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches)) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    let help = !error.use_stderr();
    if reporter.is_json() && !help {
        let text = error.to_string();
        let text = text.trim().trim_start_matches("error: ");
        reporter.report_failure(&Failure::new(ErrorClass::Usage, text), None);
    } else {
        // If stderr is closed, the error cannot be reported.
        let _gone = error.print().is_err();
    }
    Err(ExitCode::from(if help { 0 } else { ErrorClass::Usage.code() }))
}

/// Rewrites `help VERB` to `VERB --help`, as cargo does. `help` is not a verb, so that lists and completions do not name all
/// verbs twice.
fn expand_help_verb(args: &[OsString]) -> Vec<OsString> {
    match args {
        [program, help, verb @ ..] if help == "help" => {
            [std::slice::from_ref(program), verb, &["--help".into()]].concat()
        }
        _ => args.to_vec(),
    }
}

/// Treats an empty variable as unset, like all other reads of variables.
fn ignore_empty_variables(command: clap::Command, env: &Env) -> clap::Command {
    let is_empty = |name: &OsStr| env.iter().any(|(key, value)| key == name && value.is_empty());
    let drop_empty_env = |arg: clap::Arg| if arg.get_env().is_some_and(is_empty) { arg.env(None::<&str>) } else { arg };
    command.mut_args(drop_empty_env).mut_subcommands(|verb| ignore_empty_variables(verb, env))
}

/// Finds the global flags in arguments that may not parse; ignores unrecognized ones.
fn scan_global_args(args: &[OsString]) -> GlobalArgs {
    let value_of = |flag: &str| {
        let args: Vec<&str> = args.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").collect();
        let pairs = args.iter().zip(args.iter().skip(1).chain(std::iter::once(&"")));
        let values = pairs.filter_map(|(word, next)| match word.strip_prefix(flag)? {
            "" => Some((*next).to_owned()),
            rest => rest.strip_prefix('=').map(str::to_owned),
        });
        values.last()
    };
    GlobalArgs {
        verbose: 0,
        quiet: false,
        color: value_of("--color").and_then(|value| ColorWhen::from_str(&value, true).ok()),
        message_format: value_of("--message-format")
            .and_then(|value| MessageFormat::from_str(&value, true).ok())
            .unwrap_or(MessageFormat::Human),
    }
}

/// Runs the verb.
pub fn run(verb: Verb, context: &Context) -> Result<(), Failure> {
    match verb {
        Verb::Init(args) => commands::init::run(&args, context),
        Verb::Fetch(args) => commands::fetch::run(&args, context),
        Verb::Verify(args) => commands::verify::run(&args, context),
        Verb::Inspect(args) => commands::inspect::run(&args, context),
        Verb::Diff(args) => commands::diff::run(&args, context),
        Verb::Import(args) => commands::import::run(&args, context),
        Verb::Serve(args) => commands::serve::run(&args, context),
        Verb::Up(args) => commands::up::run(&args, context),
        Verb::Status(args) => commands::status::run(&args, context),
        Verb::List(args) => commands::list::run(&args, context),
        Verb::Gc(args) => commands::gc::run(&args, context),
        Verb::History(args) => commands::history::run(&args, context),
        Verb::Export(args) => commands::export::run(&args, context),
        Verb::Setup(args) => commands::setup::run(&args, context),
        Verb::Guide(args) => commands::guide::run(&args, context),
        Verb::Completions(args) => commands::completions::run(&args, command(), context),
        Verb::Man(args) => commands::man::run(&args, command(), context),
    }
}
