//! `[term]` of the user's cargo configuration: how much is printed, and how.
//!
//! Every verb reads it, so a configuration that is unreadable must not stop a verb that needs nothing else from it. A
//! verb that reads the rest of the configuration reports that error.

use std::path::Path;

use super::files::ConfigFiles;
use super::{ConfigValues, Error};
use crate::env::Env;

/// Cargo's settings for the terminal, each from its variable, such as `CARGO_TERM_QUIET`, else from the nearest file.
/// `None` if it is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TermSettings {
    /// `term.quiet`.
    pub quiet: Option<bool>,
    /// `term.verbose`.
    pub verbose: Option<bool>,
    /// `term.color`.
    pub color: Option<When>,
    /// `term.progress.when`.
    pub progress: Option<When>,
    /// `term.progress.width`, in columns.
    pub width: Option<usize>,
    /// Warnings about values that are ignored because they are invalid.
    pub warnings: Vec<String>,
}

/// `auto`, `always` or `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As the terminal requires.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl TermSettings {
    /// Reads the files as cargo does in `cwd`, an absolute path, and the variables.
    pub fn read(cwd: &Path, cargo_home: Option<&Path>, env: &Env) -> TermSettings {
        let files = ConfigFiles::read(cwd, cargo_home).unwrap_or_default();
        let values = ConfigValues { files: &files, env, cwd };
        let mut warnings = Vec::new();
        TermSettings {
            quiet: valid(values.bool("term", "quiet"), &mut warnings),
            verbose: valid(values.bool("term", "verbose"), &mut warnings),
            color: valid(values.when(&["term", "color"]), &mut warnings),
            progress: valid(values.when(&["term", "progress", "when"]), &mut warnings),
            width: valid(values.number_at(&["term", "progress", "width"]), &mut warnings)
                .and_then(|width| usize::try_from(width).ok()),
            warnings,
        }
    }
}

/// The value, if it is set and valid. An invalid one is ignored with a warning.
fn valid<T>(value: Result<Option<T>, Error>, warnings: &mut Vec<String>) -> Option<T> {
    value.unwrap_or_else(|error| {
        warnings.push(format!("{error}; the value is ignored"));
        None
    })
}

impl ConfigValues<'_> {
    fn when(&self, keys: &[&str]) -> Result<Option<When>, Error> {
        let Some(set) = self.value(keys)? else { return Ok(None) };
        match set.value.as_str() {
            "auto" => Ok(Some(When::Auto)),
            "always" => Ok(Some(When::Always)),
            "never" => Ok(Some(When::Never)),
            _ => Err(Error::InvalidValue {
                key: keys.join("."),
                location: set.location,
                expected: "`auto`, `always` or `never`",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, vars: &[(&str, &str)]) -> TermSettings {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::create_dir(folder.path().join(".cargo")).expect("make");
        std::fs::write(folder.path().join(".cargo/config.toml"), text).expect("write");
        let mut read = TermSettings::read(folder.path(), None, &Env::from_vars(vars.iter().copied()));
        let root = folder.path().display().to_string();
        read.warnings.iter_mut().for_each(|warning| *warning = warning.replace(&root, "ROOT"));
        read
    }

    #[test]
    fn variables_override_the_files() {
        let text =
            "[term]\nquiet = true\nverbose = false\ncolor = 'always'\nprogress.when = 'never'\nprogress.width = 70\n";
        let of_files = TermSettings {
            quiet: Some(true),
            verbose: Some(false),
            color: Some(When::Always),
            progress: Some(When::Never),
            width: Some(70),
            warnings: Vec::new(),
        };
        assert_eq!(read(text, &[]), of_files);
        let vars = [("CARGO_TERM_QUIET", "false"), ("CARGO_TERM_PROGRESS_WIDTH", "90"), ("CARGO_TERM_COLOR", "auto")];
        let expected = TermSettings { quiet: Some(false), width: Some(90), color: Some(When::Auto), ..of_files };
        assert_eq!(read(text, &vars), expected);
        assert_eq!(read("", &[]), TermSettings::default());
    }

    #[test]
    fn invalid_values_are_ignored_with_a_warning_and_broken_files_without_one() {
        let found = read("[term]\ncolor = 'blue'\nquiet = 'yes'\n", &[("CARGO_TERM_PROGRESS_WHEN", "often")]);
        assert_eq!(
            found.warnings,
            [
                "`term.quiet` in `ROOT/.cargo/config.toml` must be `true` or `false`; the value is ignored",
                "`term.color` in `ROOT/.cargo/config.toml` must be `auto`, `always` or `never`; the value is ignored",
                "`term.progress.when` in the variable CARGO_TERM_PROGRESS_WHEN must be `auto`, `always` or `never`; the value is ignored",
            ]
        );
        assert_eq!(TermSettings { warnings: Vec::new(), ..found }, TermSettings::default());
        assert_eq!(read("[term\n", &[]), TermSettings::default());
    }
}
