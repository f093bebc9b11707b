//! `help`: the help of a verb, or a topic that concerns all verbs.

use super::Context;
use crate::env::{TERMINAL_VARIABLES, VARIABLES};
use crate::error_report::{Failure, exit_codes};

/// Line width of a topic, for any terminal.
const WIDTH: usize = 80;

/// Arguments of `help`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Verb or topic [default: the list of verbs]
    // The command line adds the possible values, because it knows the verbs.
    #[arg(index = 1, value_name = "VERB|TOPIC", hide_possible_values = true)]
    pub topic: Option<String>,
    /// Subcommand of the verb
    #[arg(index = 2)]
    pub subcommand: Option<String>,
}

/// A topic: a table that applies to all verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The exit codes.
    ExitCodes,
    /// The environment variables.
    Environment,
    /// The options that every verb accepts.
    GlobalOptions,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Topic; 3] = [Topic::ExitCodes, Topic::Environment, Topic::GlobalOptions];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Topic::ExitCodes => "exit-codes",
            Topic::Environment => "environment",
            Topic::GlobalOptions => "global-options",
        }
    }

    /// One line about it.
    pub fn about(self) -> &'static str {
        match self {
            Topic::ExitCodes => "Meaning of the exit codes",
            Topic::Environment => "Environment variables and their defaults",
            Topic::GlobalOptions => "Options that every verb accepts",
        }
    }

    fn find(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// The text; `command` is the whole command line.
    pub fn text(self, command: &clap::Command) -> String {
        match self {
            Topic::ExitCodes => exit_codes_text(),
            Topic::Environment => environment_text(),
            Topic::GlobalOptions => global_options_text(command),
        }
    }
}

impl Args {
    /// The arguments that print the help of the verb; `None` for a topic.
    pub fn verb_args(&self) -> Option<Vec<String>> {
        let names: Vec<&String> = self.topic.iter().chain(&self.subcommand).collect();
        match names.as_slice() {
            [topic] if Topic::find(topic).is_some() => None,
            names => Some(names.iter().map(|name| (*name).clone()).chain(["--help".to_owned()]).collect()),
        }
    }
}

/// Prints a topic; `command` is the whole command line.
pub fn run(args: &Args, command: &clap::Command, context: &Context) -> Result<(), Failure> {
    if let Some(topic) = args.topic.as_deref().and_then(Topic::find) {
        context.reporter.print_data(&topic.text(command));
    }
    Ok(())
}

/// The list of topics, for the help of `help`.
pub fn list_topics() -> String {
    let width = Topic::ALL.iter().map(|topic| topic.name().len()).max().unwrap_or_default();
    let lines = Topic::ALL.iter().map(|topic| format!("  {:width$}  {}", topic.name(), topic.about()));
    format!("Topics:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn exit_codes_text() -> String {
    let lines = exit_codes().map(|(code, meaning)| format!("  {code:>3}  {}\n", wrap(meaning, WIDTH - 7, 7)));
    format!("Exit codes:\n{}", lines.collect::<String>())
}

fn environment_text() -> String {
    let variables = VARIABLES.iter().map(|variable| {
        let about = wrap(&variable.about.replace('`', ""), WIDTH - 6, 6);
        let default = wrap(&format!("[default: {}]", variable.default.replace('`', "")), WIDTH - 6, 6);
        format!("  {} ({})\n      {about}\n      {default}\n", variable.name, variable.verbs)
    });
    let about = wrap("An option overrides its variable. An empty variable counts as unset.", WIDTH, 0);
    let cargo = format!(
        "Like cargo, all verbs follow {}, and without them [term] of cargo's configuration. Verbs with a network follow cargo's variables for proxies, \
         certificates and registries. `cargo frostmirror guide fetching` describes them.",
        TERMINAL_VARIABLES.join(", ")
    );
    let cargo = wrap(&cargo, WIDTH, 0);
    format!(
        "Environment variables, with the verbs that use them:\n{}\n{about}\n\n{cargo}\n",
        variables.collect::<String>()
    )
}

fn global_options_text(command: &clap::Command) -> String {
    let globals = command.get_arguments().filter(|arg| arg.is_global_set()).cloned();
    let mut shown = clap::Command::new("global-options")
        .disable_help_flag(true)
        .help_template("{all-args}")
        .term_width(WIDTH)
        .args(globals);
    shown.render_long_help().to_string().trim_end().to_owned()
}

/// Breaks `text` into lines of at most `width` characters. Every line but the first is indented.
fn wrap(text: &str, width: usize, indent: usize) -> String {
    let mut wrapped = String::new();
    let mut columns = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let separator = match columns {
            0 => String::new(),
            _ if columns + 1 + length <= width => " ".to_owned(),
            _ => {
                columns = 0;
                format!("\n{}", " ".repeat(indent))
            }
        };
        columns += length + usize::from(separator == " ");
        wrapped += &separator;
        wrapped += word;
    }
    wrapped
}
