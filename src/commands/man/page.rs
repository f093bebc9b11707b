//! One man page as roff, in the order of sections that man-pages(7) asks for.

use clap::{Arg, ArgAction, Command};

use crate::commands::examples::{Example, examples_of};
use crate::env::{TERMINAL_VARIABLES, VARIABLES};
use crate::error_report::exit_codes;

/// The name of the program's own page.
const PROGRAM: &str = "cargo-frostmirror";

/// A file that verbs read or write.
struct File {
    path: &'static str,
    about: &'static str,
    /// The verbs that use it.
    verbs: &'static [&'static str],
}

const FILES: &[File] = &[
    File {
        path: "depends.toml",
        about: "The dependency list, from the current directory up to the workspace root.",
        verbs: &["init", "fetch", "up"],
    },
    File { path: "Cargo.lock", about: "The exact versions of a workspace.", verbs: &["init", "fetch", "up", "verify"] },
    File {
        path: "output/YYYYMMDD-HHMM-crates.pkg",
        about: "A bundle. Its name has the time in UTC.",
        verbs: &["fetch", "verify", "inspect", "diff", "import", "list"],
    },
    File {
        path: "snapshot-YYYYMMDD-HHMM.pkg",
        about: "A snapshot: a bundle with a whole mirror and its settings.",
        verbs: &["export", "verify", "inspect", "import"],
    },
    File {
        path: "~/.frostmirror/",
        about: "State and caches, unless FROSTMIRROR_HOME names another folder.",
        verbs: &["fetch", "up", "verify", "import", "serve", "status", "list", "gc", "history", "export", "setup"],
    },
    File {
        path: "~/.frostmirror/cache/",
        about: "Downloaded files. They can be deleted at any time; `fetch` then downloads them again.",
        verbs: &["fetch", "up"],
    },
    File {
        path: "~/.frostmirror/history/",
        about: "The history of sent bundles and their inputs. Keep it: deltas depend on it.",
        verbs: &["fetch", "history"],
    },
    File {
        path: "/mirror/, ~/.frostmirror/mirror/",
        about: "The default mirror: the first one if it exists, else the second.",
        verbs: &["import", "serve", "up", "status", "list", "gc", "export", "setup"],
    },
    File {
        path: "/incoming/, ~/.frostmirror/incoming/",
        about: "The default incoming folder. Imported bundles move to done/, invalid ones to failed/.",
        verbs: &["serve", "up"],
    },
    File {
        path: "/config/, ~/.frostmirror/config/",
        about: "The default folder of settings, with frostmirror.toml and depends.toml.",
        verbs: &["fetch", "import", "serve", "up", "export"],
    },
    File {
        path: "$CARGO_HOME/config.toml",
        about: "Cargo's configuration: `setup --write` changes it, and `fetch` and live mode follow it.",
        verbs: &["setup", "fetch", "up", "serve"],
    },
    File {
        path: "~/.zfunc/_cargo-frostmirror, ~/.config/fish/conf.d/frostmirror.fish",
        about: "Places where zsh and fish look for the script.",
        verbs: &["completions"],
    },
    File { path: "~/.local/share/man/man1/", about: "A folder where man(1) looks for pages.", verbs: &["man"] },
];

/// The pages that a verb's page refers to, and the chapter of the guide.
fn related(verb: &str) -> (&'static [&'static str], Option<&'static str>) {
    match verb {
        "init" => (&["fetch"], Some("fetching")),
        "fetch" => (&["init", "history", "verify", "diff", "import"], Some("fetching")),
        "verify" => (&["inspect", "diff", "import", "fetch"], Some("approving")),
        "inspect" => (&["diff", "list", "verify"], Some("approving")),
        "diff" => (&["inspect", "verify"], Some("approving")),
        "import" => (&["verify", "serve", "gc", "status"], Some("operating")),
        "serve" => (&["import", "setup", "status", "gc"], Some("operating")),
        "up" => (&["fetch", "serve", "setup"], Some("building")),
        "status" | "list" => (&["status", "list", "inspect", "verify"], Some("operating")),
        "gc" => (&["import", "status", "history"], Some("operating")),
        "history" => (&["fetch", "gc"], Some("fetching")),
        "export" => (&["import", "setup"], Some("operating")),
        "setup" => (&["serve", "export"], Some("building")),
        "guide" => (&["help", "man"], None),
        "completions" | "man" | "help" => (&["completions", "guide", "help", "man"], None),
        _ => (&[], None),
    }
}

/// The name of a verb's page, without its section.
pub(super) fn page_name(path: &[&str]) -> String {
    [&[PROGRAM], path].concat().join("-")
}

/// The page of `command`, which has been built. `path` is empty for the program itself.
pub(super) fn render(command: &Command, path: &[&str]) -> String {
    let name = page_name(path);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut page = Page { text: ".\\\" Written by `cargo frostmirror man`.\n".to_owned() };
    let title = escape(&name.to_uppercase());
    page.line(&format!(".TH {title} 1 \"\" \"{PROGRAM} {}\" \"Cargo subcommands\"", env!("CARGO_PKG_VERSION")));
    // Names of options and variables are not broken, and text is not stretched.
    page.line(".nh\n.ad l");
    page.section("NAME");
    page.line(&format!("{} \\- {}", escape(&name), inline(&about)));
    page.section("SYNOPSIS");
    page.synopsis(command);
    page.section("DESCRIPTION");
    page.paragraphs(&description(command));
    page.options(command, path);
    page.exit_status();
    page.environment(path);
    page.files(path);
    page.examples(examples_of(path));
    page.see_also(command, path);
    page.text
}

/// The long description, else the short one.
fn description(command: &Command) -> String {
    command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default()
}

struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {title}"));
    }

    /// A term, which is roff, and its text.
    fn item(&mut self, term: &str, text: &str) {
        self.line(".TP");
        self.line(term);
        self.paragraphs_in_item(text);
    }

    /// Text with blank lines between its paragraphs. Lines that are indented are printed as they are.
    fn paragraphs(&mut self, text: &str) {
        self.blocks(text, ".PP");
    }

    fn paragraphs_in_item(&mut self, text: &str) {
        self.blocks(text, ".IP");
    }

    fn blocks(&mut self, text: &str, separator: &str) {
        for (at, block) in text.split("\n\n").enumerate() {
            if at > 0 {
                self.line(separator);
            }
            let mut literal = false;
            for line in block.lines() {
                let indented = line.starts_with("  ");
                if indented != literal {
                    self.line(if indented { ".RS 4\n.nf" } else { ".fi\n.RE" });
                    literal = indented;
                }
                let line = if indented { escape(line.trim_start()) } else { inline(line) };
                self.line(&protect(&line));
            }
            if literal {
                self.line(".fi\n.RE");
            }
        }
    }

    fn synopsis(&mut self, command: &Command) {
        let usage = command.clone().render_usage().to_string();
        for (at, form) in usage.trim_start_matches("Usage:").trim().lines().enumerate() {
            if at > 0 {
                self.line(".br");
            }
            let terms: Vec<&str> = form.split_whitespace().collect();
            let is_name = |word: &&&str| word.starts_with(|first: char| first.is_ascii_lowercase());
            let count = terms.iter().take_while(is_name).count();
            let (name, rest) = terms.split_at(count);
            self.line(format!("\\fB{}\\fR {}", escape(&name.join(" ")), escape(&rest.join(" "))).trim_end());
        }
    }

    fn options(&mut self, command: &Command, path: &[&str]) {
        let is_shown = |arg: &&Arg| !arg.is_hide_set() && (path.is_empty() || !arg.is_global_set());
        let shown: Vec<&Arg> = command.get_arguments().filter(is_shown).collect();
        self.section("OPTIONS");
        let (mut positional, options): (Vec<&Arg>, Vec<&Arg>) = shown.iter().partition(|arg| arg.is_positional());
        positional.sort_by_key(|arg| arg.get_index());
        for arg in positional.into_iter().chain(options.iter().copied().filter(|arg| arg.get_help_heading().is_none()))
        {
            self.option(arg);
        }
        let mut headings: Vec<&str> = options.iter().filter_map(|arg| arg.get_help_heading()).collect();
        headings.dedup();
        let mut done: Vec<&str> = Vec::new();
        for heading in headings {
            if done.contains(&heading) {
                continue;
            }
            done.push(heading);
            self.line(&format!(".SS {}", escape(heading)));
            for arg in options.iter().filter(|arg| arg.get_help_heading() == Some(heading)) {
                self.option(arg);
            }
        }
        if !path.is_empty() {
            self.line(".PP");
            let about = format!("The options that every verb accepts are described in {}.", reference(PROGRAM));
            self.line(&about);
        }
        if command.has_subcommands() {
            self.section(if path.is_empty() { "VERBS" } else { "SUBCOMMANDS" });
            for verb in command.get_subcommands() {
                let path: Vec<&str> = path.iter().copied().chain([verb.get_name()]).collect();
                let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
                self.item(&reference(&page_name(&path)), &about);
            }
        }
    }

    fn option(&mut self, arg: &Arg) {
        let names = arg.get_value_names().unwrap_or_default();
        let values: Vec<String> = names.iter().map(|name| format!("\\fI{}\\fR", escape(name))).collect();
        let mut term = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("\\fB\\-{short}\\fR, \\fB\\-\\-{}\\fR", escape(long)),
            (Some(short), None) => format!("\\fB\\-{short}\\fR"),
            (None, Some(long)) => format!("\\fB\\-\\-{}\\fR", escape(long)),
            (None, None) => String::new(),
        };
        if arg.is_positional() {
            term = values.join(" ");
        } else if arg.get_action().takes_values() && !values.is_empty() {
            term = format!("{term} {}", values.join(" "));
        }
        if matches!(arg.get_action(), ArgAction::Count) {
            term += "...";
        }
        let mut text = match arg.get_action() {
            ArgAction::Help => "Print help".to_owned(),
            _ => arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default(),
        };
        text += &possible_values(arg);
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if !defaults.is_empty() && arg.get_action().takes_values() {
            text += &format!("\n\n[default: {}]", defaults.join(", "));
        }
        self.item(&term, &text);
    }

    fn exit_status(&mut self) {
        self.section("EXIT STATUS");
        for (code, meaning) in exit_codes() {
            self.item(&format!("\\fB{code}\\fR"), meaning);
        }
    }

    fn environment(&mut self, path: &[&str]) {
        self.section("ENVIRONMENT");
        let is_read = |verbs: &str| match path {
            [] => true,
            ["completions" | "guide" | "help" | "man", ..] => false,
            [verb, ..] => verbs == "all" || verbs.split(", ").any(|name| name == *verb),
        };
        for variable in VARIABLES.iter().filter(|variable| is_read(variable.verbs)) {
            let text = format!("{} [default: {}]", variable.about, variable.default);
            self.item(&format!("\\fB{}\\fR", escape(variable.name)), &text);
        }
        self.item(
            &TERMINAL_VARIABLES.map(|name| format!("\\fB{}\\fR", escape(name))).join(", "),
            "The same as for cargo(1).",
        );
    }

    fn files(&mut self, path: &[&str]) {
        self.section("FILES");
        let is_used = |file: &&File| path.first().is_none_or(|verb| file.verbs.contains(verb));
        let used: Vec<&File> = FILES.iter().filter(is_used).collect();
        if used.is_empty() {
            self.line("This verb reads and writes no files.");
        }
        for file in used {
            self.item(&format!("\\fI{}\\fR", escape(file.path)), file.about);
        }
    }

    fn examples(&mut self, examples: &[Example]) {
        self.section("EXAMPLES");
        for (at, example) in examples.iter().enumerate() {
            if at > 0 {
                self.line(".PP");
            }
            self.line(&protect(&inline(example.about)));
            self.line(".PP\n.RS 4\n.nf");
            for line in example.command.lines() {
                self.line(&protect(&escape(line)));
            }
            self.line(".fi\n.RE");
        }
    }

    fn see_also(&mut self, command: &Command, path: &[&str]) {
        self.section("SEE ALSO");
        let (verbs, chapter) = path.first().map_or((&[] as &[&str], None), |verb| related(verb));
        let own = page_name(path);
        let mut pages: Vec<String> = match path {
            [] => command.get_subcommands().map(|verb| page_name(&[verb.get_name()])).collect(),
            [_] => vec![PROGRAM.to_owned()],
            [above @ .., _] => vec![PROGRAM.to_owned(), page_name(above)],
        };
        if !path.is_empty() {
            pages.extend(command.get_subcommands().map(|form| page_name(&[path, &[form.get_name()]].concat())));
            pages.extend(verbs.iter().map(|verb| page_name(&[verb])));
        }
        pages.retain(|page| *page != own);
        pages.push("cargo".to_owned());
        self.line(&pages.iter().map(|page| reference(page)).collect::<Vec<_>>().join(",\n"));
        self.line(".PP");
        let guide = match chapter {
            Some(chapter) => format!("The chapter `{chapter}` of the guide: `cargo frostmirror guide {chapter}`."),
            None => "The guide: `cargo frostmirror guide`.".to_owned(),
        };
        self.line(&inline(&guide));
    }
}

/// The possible values as text: one paragraph each if they have descriptions, else one for all.
fn possible_values(arg: &Arg) -> String {
    if arg.is_hide_possible_values_set() || !arg.get_action().takes_values() {
        return String::new();
    }
    let values = arg.get_possible_values();
    match values.iter().map(|value| Some((value.get_name(), value.get_help()?))).collect::<Option<Vec<_>>>() {
        Some(described) => described.iter().map(|(name, help)| format!("\n\n- `{name}`: {help}")).collect(),
        None => {
            let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
            format!("\n\n[possible values: {}]", names.join(", "))
        }
    }
}

/// A reference to a page of section 1.
fn reference(page: &str) -> String {
    format!("\\fB{}\\fR(1)", escape(page))
}

/// Text with `code` in bold.
fn inline(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { format!("\\fB{}\\fR", escape(part)) } else { escape(part) }).collect()
}

/// Escapes the characters that roff changes in running text.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '"' => escaped.push_str("\\(dq"),
            '`' => escaped.push_str("\\(ga"),
            '~' => escaped.push_str("\\(ti"),
            '^' => escaped.push_str("\\(ha"),
            char => escaped.push(char),
        }
    }
    escaped
}

/// A line that begins with a dot is text, not a request.
fn protect(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}
