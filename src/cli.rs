//! The command line: verbs and global flags. `command()` is what completions, man pages and help tests are made from.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, StyledStr};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, ValueHint};

use crate::commands;
use crate::commands::Context;
use crate::commands::examples::examples_of;
use crate::commands::help::Topic;
use crate::env::Env;
use crate::error_report::{ErrorClass, Failure};
use crate::terminal::{ColorChoice, OutputFormat, Reporter, Verbosity};
use crate::upstream::cargo_config::{TermSettings, When};

/// Bring Rust across an air gap
///
/// Online, it resolves what projects need with cargo, downloads it, and packs one checked file, a bundle (.pkg). Offline, it
/// verifies the bundle, imports it into a mirror, and serves the mirror to cargo, rustup and a browser.
///
/// Run it as `cargo frostmirror VERB` or `cargo-frostmirror VERB`. The manual is `cargo frostmirror guide`.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-frostmirror",
    bin_name = "cargo frostmirror",
    version,
    styles = clap_cargo::style::CLAP_STYLING,
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
    ///
    /// When to use colors. The default is CARGO_TERM_COLOR, else `term.color` of cargo's configuration, else `auto`.
    #[arg(long, global = true, value_name = "WHEN")]
    pub color: Option<ColorWhen>,
    /// Format of reports
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub message_format: MessageFormat,
}

impl GlobalArgs {
    /// Builds the reporter for these flags. A flag overrides `[term]` of cargo's configuration and its variables. These
    /// override NO_COLOR and terminal detection, as in cargo.
    pub fn reporter(&self, term: &TermSettings, env: &Env) -> Reporter {
        let loudness = match self {
            GlobalArgs { quiet: true, .. } => Verbosity::Quiet,
            GlobalArgs { verbose: 1, .. } => Verbosity::Verbose,
            GlobalArgs { verbose: 2.., .. } => Verbosity::VeryVerbose,
            _ if term.quiet == Some(true) => Verbosity::Quiet,
            _ if term.verbose == Some(true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let colors = match (self.color, term.color) {
            (Some(ColorWhen::Always), _) | (None, Some(When::Always)) => ColorChoice::Always,
            (Some(ColorWhen::Never), _) | (None, Some(When::Never)) => ColorChoice::Never,
            (Some(ColorWhen::Auto), _) | (None, Some(When::Auto) | None) => ColorChoice::Auto,
        };
        let form = match self.message_format {
            MessageFormat::Human => OutputFormat::Human,
            MessageFormat::Json => OutputFormat::Json,
        };
        Reporter::new(loudness, form, colors, term, env)
    }
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MessageFormat {
    /// Data on stdout, reports and progress bars on stderr
    Human,
    /// One JSON object per line on stdout
    Json,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write depends.toml from a workspace
    ///
    /// Write depends.toml, the list of crates that `fetch` reads, from a workspace. Without one, `fetch` uses the workspace's
    /// Cargo.lock, so a single project needs no list.
    ///
    /// No other file of the workspace is changed. If Cargo.lock is missing or outdated, cargo resolves a copy of the
    /// workspace. Git dependencies and crates of alternate registries are left out, and a warning names each.
    Init(commands::init::Args),
    /// Resolve and download what projects need, and write one .pkg
    ///
    /// Resolve and download what projects need, and write one bundle (.pkg). Its path is printed on stdout.
    ///
    /// The exit code is 0 only if the resolved set builds offline. Otherwise `fetch` names what is missing. It also names
    /// packages that `--skip-git` or `--skip-registry` left out, and then exits 0. Every file is checked against upstream's
    /// digest. The history records the bundle, so that the next one can be a delta.
    ///
    /// If rust-toolchain.toml pins a toolchain that is not installed, run `cargo-frostmirror fetch`. With `cargo frostmirror
    /// fetch`, rustup installs that toolchain first, or fails.
    Fetch(commands::fetch::Args),
    /// Check bundles, a mirror, or whether a Cargo.lock builds from them
    ///
    /// Check bundles, a mirror, or whether a Cargo.lock builds from them. Every byte is read. Only `--rebuild-state` changes a
    /// sound mirror. If a command that changed the mirror was killed, `verify` completes it first.
    ///
    /// It prints one line that begins with OK, or every problem. With a problem, the exit code is 4.
    Verify(commands::verify::Args),
    /// Show a bundle's manifest without reading its payload
    ///
    /// Show a bundle's manifest without reading its payload: its history, inputs, crates, toolchains and sizes. The manifest
    /// is what the bundle declares; `verify` checks its contents against it.
    Inspect(commands::inspect::Args),
    /// Compare two bundles
    ///
    /// Compare the manifests of two bundles: which crates and toolchains the newer one adds, updates and removes.
    Diff(commands::diff::Args),
    /// Verify bundles and import them into a mirror, all or nothing
    ///
    /// Verify bundles and import them into a mirror. Each bundle is imported as a whole or not at all; a killed import leaves
    /// the mirror as it was. A running server serves the new crates at once.
    ///
    /// An import never removes a file; `gc` does.
    Import(commands::import::Args),
    /// Serve a mirror to cargo, rustup and a browser
    ///
    /// Serve a mirror to cargo, rustup and a browser, until SIGINT or SIGTERM. It prints one line with its address when it is
    /// ready. Everyone who reaches the port can read. Only requests from this machine can write, unless there is a token.
    ///
    /// Options override environment variables, and these override frostmirror.toml.
    Serve(commands::serve::Args),
    /// Fetch, import and serve for this machine alone
    ///
    /// Fetch what a project needs, import it into the default mirror, serve it on 127.0.0.1, and print cargo's configuration.
    /// The next run reuses the files of the last one. Without a network, it serves what the mirror has.
    ///
    /// It mirrors crates and no toolchains. It has its own history, and writes no bundle to `output`.
    Up(commands::up::Args),
    /// Show what a mirror contains
    ///
    /// Show what a mirror contains: the number of crates, their size, the last import, toolchains, and waiting and rejected
    /// bundles.
    Status(commands::status::Args),
    /// List the crates of a mirror or a bundle
    ///
    /// List the crates of a mirror or a bundle: when it was created, the number and size of its crates, then one name and
    /// version per line.
    List(commands::list::Args),
    /// Remove files from a mirror that no history needs
    ///
    /// Remove files from a mirror that the newest bundle of no history needs. It prints the plan first. A killed run leaves a
    /// consistent mirror, and the next run does the rest.
    Gc(commands::gc::Args),
    /// List inputs and sent bundles; forget or label an input
    ///
    /// List the inputs and sent bundles of the history, or change an input. The history is the record on the connected side:
    /// what was sent, and for which inputs. FROSTMIRROR_HISTORY chooses another one.
    #[command(disable_help_subcommand = true)]
    History(commands::history::Args),
    /// Export a mirror as one .pkg, or its crates as a cargo source
    ///
    /// Export a mirror as one .pkg, or its crates as a folder that cargo builds from without a server. Imports wait until the
    /// export is complete.
    #[command(disable_help_subcommand = true)]
    Export(commands::export::Args),
    /// Print or write cargo's and rustup's configuration for a mirror
    ///
    /// Print the configuration of cargo and rustup for a mirror, or write cargo's part of it. Nothing is written without
    /// `--write`. A server shows the same lines on its page /setup, for machines without this program.
    Setup(commands::setup::Args),
    /// Print a chapter of the user's guide
    ///
    /// Print a chapter of the user's guide as text of 80 columns. Every server shows the same guide at /guide.
    Guide(commands::guide::Args),
    /// Print a completion script for a shell
    #[command(long_about = commands::completions::ABOUT)]
    Completions(commands::completions::Args),
    /// Print a man page, or write all of them into a folder
    ///
    /// Print the man page cargo-frostmirror(1), or write the pages of all verbs into a folder.
    Man(commands::man::Args),
    /// Print the help of a verb, or a topic
    #[command(long_about = format!("Print the help of a verb, or a topic that concerns all verbs.\n\n{}", commands::help::list_topics()))]
    Help(commands::help::Args),
}

/// The whole command line, for completions, man pages and help tests.
pub fn command() -> clap::Command {
    let command = Cli::command();
    let globals: Vec<clap::Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    let verbs = command.get_subcommands().map(|verb| verb.get_name().to_owned());
    let names: Vec<String> = verbs.chain(Topic::ALL.map(|topic| topic.name().to_owned())).collect();
    let command = command
        .after_help(after_help("guide", "help exit-codes"))
        .after_long_help(after_long_help("guide", "help exit-codes", &[]))
        .mut_args(complete_arg)
        .mut_subcommands(|verb| complete_verb(verb, &[], &globals));
    command.mut_subcommand("help", |help| {
        help.mut_arg("topic", |topic| topic.value_parser(PossibleValuesParser::new(names)))
    })
}

/// Completes the help of a verb: examples, references instead of the global options, and variables in the long help only.
fn complete_verb(verb: clap::Command, above: &[&str], globals: &[clap::Arg]) -> clap::Command {
    let name = verb.get_name().to_owned();
    let path: Vec<&str> = above.iter().copied().chain([name.as_str()]).collect();
    let hidden = globals.iter().map(|arg| arg.clone().hide_short_help(true).hide_long_help(true));
    let (options, codes) = ("help global-options", "help exit-codes");
    let verb = match without_summary(verb.get_about(), verb.get_long_about()) {
        Some(details) => verb.long_about(details),
        None => verb,
    };
    verb.mut_args(complete_arg)
        .args(hidden)
        .after_help(after_help(options, codes))
        .after_long_help(after_long_help(options, codes, &path))
        .mut_subcommands(|form| complete_verb(form, &path, globals))
}

/// The long help without its first paragraph, if that is the short help. The other paragraphs are complete without it.
fn without_summary(short: Option<&StyledStr>, long: Option<&StyledStr>) -> Option<String> {
    let (short, long) = (short?.to_string(), long?.to_string());
    long.strip_prefix(&short)?.strip_prefix("\n\n").map(str::to_owned)
}

/// Moves the variable into the long help, so that the short help has one line per option. Tells completions which values are
/// folders and URLs.
fn complete_arg(arg: clap::Arg) -> clap::Arg {
    let hint = match arg.get_value_names() {
        Some([name]) if name == "DIR" => ValueHint::DirPath,
        Some([name]) if name == "URL" => ValueHint::Url,
        _ => arg.get_value_hint(),
    };
    let takes_value = arg.get_action().takes_values();
    let arg = if takes_value { arg.value_hint(hint) } else { arg };
    let arg = match without_summary(arg.get_help(), arg.get_long_help()) {
        Some(details) if details.contains(". ") || details.contains("\n\n") => arg.long_help(details),
        // A fragment has no full stop, as in the short help.
        Some(details) => arg.long_help(details.trim_end_matches('.').to_owned()),
        None => arg,
    };
    let Some(variable) = arg.get_env().map(|name| name.to_string_lossy().into_owned()) else { return arg };
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    arg.hide_env(true).hide_env_values(true).long_help(format!("{help}\n\n[env: {variable}]"))
}

fn after_help(first: &str, second: &str) -> String {
    format!("See also: cargo frostmirror {first}\n          cargo frostmirror {second}")
}

fn after_long_help(first: &str, second: &str, path: &[&str]) -> String {
    let examples = examples_of(path).iter().map(|example| {
        let command = example.command.replace('\n', "\n    ");
        format!("  {}\n    {command}", example.about)
    });
    format!("{}\n\nEXAMPLES:\n{}", after_help(first, second), examples.collect::<Vec<_>>().join("\n\n"))
}

/// Parses the command line. Prints help and usage errors at once, in the requested format and colors if these can be
/// recognized. The error is the exit code.
pub fn parse(args: &[OsString], term: &TermSettings, env: &Env) -> Result<Cli, ExitCode> {
    let reporter = scan_global_args(args).reporter(term, env);
    let cli = parse_args(args, env, &reporter)?;
    let Verb::Help(help) = &cli.verb else { return Ok(cli) };
    let Some(verb) = help.verb_args() else { return Ok(cli) };
    // As in cargo, `help VERB` prints the same as `VERB --help`.
    let args: Vec<OsString> = args.iter().take(1).cloned().chain(verb.into_iter().map(Into::into)).collect();
    parse_args(&args, env, &reporter)
}

fn parse_args(args: &[OsString], env: &Env, reporter: &Reporter) -> Result<Cli, ExitCode> {
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
        Verb::Verify(args) => commands::verify::run(&args, context).map_err(mention_lock_timeout),
        Verb::Inspect(args) => commands::inspect::run(&args, context),
        Verb::Diff(args) => commands::diff::run(&args, context),
        Verb::Import(args) => commands::import::run(&args, context).map_err(mention_lock_timeout),
        Verb::Serve(args) => commands::serve::run(&args, context),
        Verb::Up(args) => commands::up::run(&args, context),
        Verb::Status(args) => commands::status::run(&args, context),
        Verb::List(args) => commands::list::run(&args, context),
        Verb::Gc(args) => commands::gc::run(&args, context).map_err(mention_lock_timeout),
        Verb::History(args) => commands::history::run(&args, context),
        Verb::Export(args) => commands::export::run(&args, context).map_err(mention_lock_timeout),
        Verb::Setup(args) => commands::setup::run(&args, context),
        Verb::Guide(args) => commands::guide::run(&args, context),
        Verb::Completions(args) => commands::completions::run(&args, command(), context),
        Verb::Man(args) => commands::man::run(&args, command(), context),
        Verb::Help(args) => commands::help::run(&args, &command(), context),
    }
}

/// Adds `--lock-timeout` to the hint about a locked mirror, for the verbs that have this option.
fn mention_lock_timeout(failure: Failure) -> Failure {
    match (failure.class, &failure.hint) {
        (ErrorClass::Locked, Some(hint)) => {
            let hint = format!("{hint}, or wait longer with `--lock-timeout SECS`");
            failure.hint(hint)
        }
        _ => failure,
    }
}
