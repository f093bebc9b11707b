//! Credential providers: the source of a registry's token (the cargo book, "Registry Authentication").
//!
//! Of cargo's own providers, `cargo:token` and `cargo:token-from-stdout` are supported. The others are built into
//! cargo, or use a protocol with it.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::files::ConfigFiles;
use super::{Error, FoundValue};
use crate::env::{Env, NO_TOOLCHAIN_INSTALL};
use crate::http::Secret;

/// Reads tokens from the environment, the credentials and the configuration.
pub(super) const TOKEN: &str = "cargo:token";
/// Runs a program that prints the token.
const FROM_STDOUT: &str = "cargo:token-from-stdout";
/// Maximum size of a token in bytes.
const MAX_TOKEN: u64 = 64 * 1024;

/// The provider of a token that is not in the environment, the credentials or the configuration. As in cargo, it is
/// only used if the registry requires a token.
#[derive(Clone, Debug)]
pub enum Provider {
    /// A program that prints the token.
    Program(TokenProgram),
    /// A provider that only cargo can use.
    CargoOnly {
        /// The key of the provider, with the file.
        key: String,
        /// The provider as configured.
        provider: String,
    },
}

/// A program that prints a token.
#[derive(Clone, Debug)]
pub struct TokenProgram {
    /// The key of the provider, with the file.
    pub key: String,
    command: Vec<String>,
    index: String,
    registry: Option<String>,
    env: Env,
}

/// A provider as configured: its arguments, and the key with the file.
pub(super) struct Configured {
    pub(super) args: Vec<String>,
    pub(super) key: String,
}

impl Configured {
    /// The provider of a key: one string that is split at spaces, or an array.
    pub(super) fn read(found: &FoundValue<'_>, keys: &[&str], files: &ConfigFiles) -> Result<Configured, Error> {
        let args = words_of(found.value).ok_or_else(|| wrong(found, keys, "a string or an array of strings"))?;
        let key = format!("`{}` in {}", keys.join("."), found.location());
        Ok(Configured { args: aliased(args, files)?, key })
    }

    /// The providers for every registry, in order of use. Files add to each other, and later entries take precedence.
    pub(super) fn global(files: &ConfigFiles) -> Result<Vec<Configured>, Error> {
        let keys = ["registry", "global-credential-providers"];
        let mut providers = Vec::new();
        for found in files.values(&keys) {
            let entries = found.value.as_array().ok_or_else(|| wrong(&found, &keys, "an array of strings"))?;
            for entry in entries.iter().rev() {
                let text = entry.as_str().ok_or_else(|| wrong(&found, &keys, "an array of strings"))?;
                let args = aliased(split(text), files)?;
                providers.push(Configured { args, key: format!("`{}` in {}", keys.join("."), found.location()) });
            }
        }
        Ok(providers)
    }

    /// Its name, for example `cargo:token`.
    pub(super) fn name(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }

    /// Whether it is a program that prints the token.
    pub(super) fn is_program(&self) -> bool {
        self.name() == FROM_STDOUT && self.args.len() > 1
    }

    /// The supported kind of provider; `None` for `cargo:token`.
    pub(super) fn provider(self, index: &str, registry: Option<&str>, env: &Env) -> Option<Provider> {
        match self.args.as_slice() {
            [name, ..] if name == TOKEN => None,
            [name, command @ ..] if name == FROM_STDOUT && !command.is_empty() => {
                Some(Provider::Program(TokenProgram {
                    command: command.to_vec(),
                    key: self.key,
                    index: format!("sparse+{index}"),
                    registry: registry.map(str::to_owned),
                    env: env.clone(),
                }))
            }
            args => Some(Provider::CargoOnly { provider: args.join(" "), key: self.key }),
        }
    }
}

impl TokenProgram {
    /// The program, for error messages.
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Runs the program with the user's environment, stdin and stderr, and returns the single line that it prints.
    /// Dropping the future stops it.
    ///
    /// # Errors
    /// It does not start, fails, or does not print exactly one line.
    pub async fn token(&self) -> io::Result<Secret> {
        let mut command = Command::new(self.program());
        command.args(self.command.iter().skip(1).map(|arg| arg.replace("{index_url}", &self.index)));
        command.env_clear().envs(self.env.iter()).env("CARGO_REGISTRY_INDEX_URL", &self.index);
        command.env("CARGO", self.env.var_os("CARGO").unwrap_or("cargo".as_ref()));
        // The program may run cargo.
        command.envs(NO_TOOLCHAIN_INSTALL);
        if let Some(registry) = &self.registry {
            command.env("CARGO_REGISTRY_NAME_OPT", registry);
        }
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut text = String::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(MAX_TOKEN).read_to_string(&mut text).await?;
        }
        let status = child.wait().await?;
        if !status.success() {
            return Err(io::Error::other(format!("it failed: {status}")));
        }
        match text.lines().collect::<Vec<_>>().as_slice() {
            [token] if !token.is_empty() => Ok(Secret::new(*token)),
            _ => Err(io::Error::other("it must print exactly one line, the token")),
        }
    }
}

/// The provider that `[credential-alias]` defines for a name without arguments.
fn aliased(args: Vec<String>, files: &ConfigFiles) -> Result<Vec<String>, Error> {
    let [name] = args.as_slice() else { return Ok(args) };
    let keys = ["credential-alias", name.as_str()];
    // An alias cannot replace a built-in provider of cargo.
    match files.effective(&keys).filter(|_| !name.starts_with("cargo:")) {
        Some(found) => words_of(found.value).ok_or_else(|| wrong(&found, &keys, "a string or an array of strings")),
        None => Ok(args),
    }
}

fn words_of(value: &toml::Value) -> Option<Vec<String>> {
    match value {
        toml::Value::String(text) => Some(split(text)),
        toml::Value::Array(args) => args.iter().map(|word| word.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn wrong(found: &FoundValue<'_>, keys: &[&str], expected: &'static str) -> Error {
    Error::InvalidValue { key: keys.join("."), location: found.location(), expected }
}
