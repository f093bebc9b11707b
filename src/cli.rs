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
    /// How to report.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags that every verb takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Say more (repeatable)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<ColorWhen>,
    /// How to report: for people, or one JSON object a line on stdout
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub message_format: MessageFormat,
}

impl GlobalArgs {
    /// The report that these flags ask for. `--color` beats CARGO_TERM_COLOR, which beats NO_COLOR and the terminal;
    /// CARGO_TERM_QUIET and CARGO_TERM_VERBOSE count where no flag is given, as with cargo.
    pub fn reporter(&self, env: &Env) -> Reporter {
        let loudness = match self {
            GlobalArgs { quiet: true, .. } => Verbosity::Quiet,
            GlobalArgs { verbose: 1.., .. } => Verbosity::Verbose,
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

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// How to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Lines and bars
    Human,
    /// One JSON object a line
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
    /// Check bundles, audit a mirror, or hold a Cargo.lock against either: every problem
    #[command(after_help = EXIT_CODES)]
    Verify(commands::verify::Args),
    /// Show what a bundle's manifest says
    #[command(after_help = EXIT_CODES)]
    Inspect(commands::inspect::Args),
    /// Show what a bundle changes against another
    #[command(after_help = EXIT_CODES)]
    Diff(commands::diff::Args),
    /// Verify bundles and place them in a mirror, all or nothing
    #[command(after_help = EXIT_CODES)]
    Import(commands::import::Args),
    /// Serve a mirror to cargo and rustup
    #[command(after_help = EXIT_CODES)]
    Serve(commands::serve::Args),
    /// Fetch, import and serve on this machine
    #[command(after_help = EXIT_CODES)]
    Up(commands::up::Args),
    /// Say what a mirror holds
    #[command(after_help = EXIT_CODES)]
    Status(commands::status::Args),
    /// List the crates that a mirror or a bundle holds
    #[command(after_help = EXIT_CODES)]
    List(commands::list::Args),
    /// Remove from a mirror what no history needs any more
    #[command(after_help = EXIT_CODES)]
    Gc(commands::gc::Args),
    /// List the inputs of the history and the bundles that were sent; forget or label an input
    #[command(after_help = format!("{}\n\n{EXIT_CODES}", commands::history::EXAMPLES), disable_help_subcommand = true)]
    History(commands::history::Args),
    /// Copy a mirror out: whole as one .pkg, or its crates as a folder that cargo builds from
    #[command(after_help = EXIT_CODES, disable_help_subcommand = true)]
    Export(commands::export::Args),
    /// Print the configuration of cargo and rustup for a mirror, or write cargo's
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

/// Reads the command line. What is no command line, and help, is told here and now, in the form and the colours that were
/// asked for as far as the words can be made out; the exit code.
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
        reporter.report_failure(&Failure::new(ErrorClass::Usage, text));
    } else {
        // Nobody is left to be told that this cannot be told.
        let _gone = error.print().is_err();
    }
    Err(ExitCode::from(if help { 0 } else { ErrorClass::Usage.code() }))
}

/// `help VERB`, as cargo has it, in place of `VERB --help`. It is no verb, so that no list and no completion has all verbs
/// twice.
fn expand_help_verb(args: &[OsString]) -> Vec<OsString> {
    match args {
        [program, help, verb @ ..] if help == "help" => {
            [std::slice::from_ref(program), verb, &["--help".into()]].concat()
        }
        _ => args.to_vec(),
    }
}

/// An empty variable counts as absent, as it does wherever a variable is read.
fn ignore_empty_variables(command: clap::Command, env: &Env) -> clap::Command {
    let is_empty = |name: &OsStr| env.iter().any(|(key, value)| key == name && value.is_empty());
    let drop_empty_env = |arg: clap::Arg| if arg.get_env().is_some_and(is_empty) { arg.env(None::<&str>) } else { arg };
    command.mut_args(drop_empty_env).mut_subcommands(|verb| ignore_empty_variables(verb, env))
}

/// The global flags among words that may not be a command line; what cannot be made out is as if it were not there.
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

/// Does what the command line says.
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
