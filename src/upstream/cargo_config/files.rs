//! Cargo's configuration files, nearest first.
//!
//! Tables are merged and the nearest file takes precedence, so a lookup searches one file after another. An included
//! file comes after the file that includes it, and later includes take precedence over earlier ones.

use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::error::Error;
use crate::bounded_read::SizeLimit;

/// The limit for a file.
const LIMIT: SizeLimit = SizeLimit { max: 4 << 20, kind: "a configuration file of cargo" };

/// Tables that are kept. All other tables are ignored.
const TABLES: [&str; 9] =
    ["http", "net", "source", "registries", "registry", "credential-alias", "resolver", "term", "unstable"];

/// The files, nearest first.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigFiles(Vec<ConfigFile>);

#[derive(Clone, Debug)]
struct ConfigFile {
    path: PathBuf,
    table: Table,
}

/// A value and its file.
pub(super) struct FoundValue<'a> {
    pub(super) value: &'a Value,
    pub(super) file: &'a Path,
}

impl ConfigFiles {
    /// Reads `.cargo/config.toml` of `cwd` and of every folder above it, then the one in `cargo_home`.
    pub(super) fn read(cwd: &Path, cargo_home: Option<&Path>) -> Result<ConfigFiles, Error> {
        let mut folders: Vec<PathBuf> = cwd.ancestors().map(|folder| folder.join(".cargo")).collect();
        if let Some(home) = cargo_home.filter(|home| !folders.iter().any(|folder| folder == home)) {
            folders.push(home.to_owned());
        }
        let mut files = Vec::new();
        for folder in folders {
            if let Some(path) = find_file(&folder, "config") {
                read_with_includes(&path, true, &mut Vec::new(), &mut files)?;
            }
        }
        Ok(ConfigFiles(files))
    }

    /// Every value of the key, nearest first.
    pub(super) fn values<'a>(&'a self, keys: &'a [&'a str]) -> impl Iterator<Item = FoundValue<'a>> {
        self.0.iter().filter_map(|file| {
            let (first, rest) = keys.split_first()?;
            let value = rest.iter().try_fold(file.table.get(*first)?, |value, key| value.as_table()?.get(*key))?;
            Some(FoundValue { value, file: &file.path })
        })
    }

    /// The value that takes precedence.
    pub(super) fn effective<'a>(&'a self, keys: &[&str]) -> Option<FoundValue<'a>> {
        self.0.iter().find_map(|file| {
            let (first, rest) = keys.split_first()?;
            let value = rest.iter().try_fold(file.table.get(*first)?, |value, key| value.as_table()?.get(*key))?;
            Some(FoundValue { value, file: &file.path })
        })
    }

    /// Names of the tables below a table, e.g. of all registries.
    pub(super) fn table_names(&self, table: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .0
            .iter()
            .filter_map(|file| file.table.get(table)?.as_table())
            .flat_map(|table| table.keys().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl FoundValue<'_> {
    /// The value as text.
    pub(super) fn text(&self, keys: &[&str]) -> Result<&str, Error> {
        let wrong = || Error::InvalidValue { key: keys.join("."), location: self.location(), expected: "a string" };
        self.value.as_str().ok_or_else(wrong)
    }

    /// The file, for messages.
    pub(super) fn location(&self) -> String {
        format!("`{}`", self.file.display())
    }

    /// The folder for relative paths of the file: the parent of its `.cargo`.
    pub(super) fn base_folder(&self) -> &Path {
        self.file.parent().and_then(Path::parent).unwrap_or(Path::new("/"))
    }
}

/// The configuration file in a folder of cargo. As in cargo, the old form without `.toml` takes precedence.
pub(super) fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.toml"))].into_iter().find(|path| path.is_file())
}

/// The table in the file at `path`.
pub(super) fn read_table(path: &Path) -> Result<Table, Error> {
    let text = LIMIT.read_text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.parse::<Table>().map_err(|error| {
        let before = &text[..text.floor_char_boundary(error.span().map_or(0, |span| span.start))];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::Toml { path: path.to_owned(), line, column, message: error.message().to_owned() }
    })
}

fn read_with_includes(
    path: &Path,
    required: bool,
    above: &mut Vec<PathBuf>,
    files: &mut Vec<ConfigFile>,
) -> Result<(), Error> {
    if above.iter().any(|other| other == path) {
        return Err(Error::IncludeCycle { path: path.to_owned() });
    }
    let mut table = match read_table(path) {
        Err(Error::Read(error)) if !required && error.io_kind() == Some(io::ErrorKind::NotFound) => return Ok(()),
        other => other?,
    };
    let includes = match table.remove("include") {
        Some(include) => parse_includes(&include, path)?,
        None => Vec::new(),
    };
    table.retain(|key, _| TABLES.contains(&key));
    files.push(ConfigFile { path: path.to_owned(), table });
    above.push(path.to_owned());
    for include in includes.iter().rev() {
        read_with_includes(&include.path, !include.optional, above, files)?;
    }
    above.pop();
    Ok(())
}

struct Include {
    path: PathBuf,
    optional: bool,
}

/// `include`: a path, or an array of paths and of tables with `path` and `optional`; relative to the file's folder.
fn parse_includes(value: &Value, file: &Path) -> Result<Vec<Include>, Error> {
    let wrong = || Error::InvalidValue {
        key: "include".to_owned(),
        location: format!("`{}`", file.display()),
        expected: "a path, or an array of paths and of tables with `path` and `optional`",
    };
    let folder = file.parent().unwrap_or(Path::new("/"));
    let one = |value: &Value| -> Option<Include> {
        match value {
            Value::String(path) => Some(Include { path: folder.join(path), optional: false }),
            Value::Table(table) => {
                let path = folder.join(table.get("path")?.as_str()?);
                let optional = table.get("optional").map_or(Some(false), Value::as_bool)?;
                Some(Include { path, optional })
            }
            _ => None,
        }
    };
    match value {
        Value::Array(values) => values.iter().map(|value| one(value).ok_or_else(wrong)).collect(),
        Value::String(_) => Ok(one(value).into_iter().collect()),
        _ => Err(wrong()),
    }
}

/// The variable of a key: `CARGO_HTTP_LOW_SPEED_LIMIT` for `http.low-speed-limit`.
pub(super) fn env_var_name(keys: &[&str]) -> String {
    let mut name = "CARGO".to_owned();
    for key in keys {
        name.push('_');
        name.push_str(&key.to_uppercase().replace(['-', '.'], "_"));
    }
    name
}
