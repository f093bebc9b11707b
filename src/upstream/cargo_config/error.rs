//! Why the configuration of cargo is invalid.

use std::path::PathBuf;

use crate::bounded_read;

/// The configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file exists but cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// A file is not TOML.
    #[error("`{path}` is not valid TOML: line {line}, column {column}: {message}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// The parser's message. Never the line itself, which may contain a token.
        message: String,
    },
    /// A file includes itself.
    #[error("`{path}` is included by a file that it includes itself")]
    IncludeCycle {
        /// The file.
        path: PathBuf,
    },
    /// A value has the wrong type.
    #[error("`{key}` in {location} must be {expected}")]
    InvalidValue {
        /// The key, with dots.
        key: String,
        /// The file or the variable.
        location: String,
        /// The expected type.
        expected: &'static str,
    },
    /// A replacement is not defined.
    #[error("crates.io is replaced with `{name}` in `{file}`, but no source or registry of that name is configured")]
    UnknownSource {
        /// The name.
        name: String,
        /// The file with the replacement.
        file: PathBuf,
    },
    /// A chain of replacements is circular.
    #[error("the replacement of crates.io in `{file}` leads back to `{name}`")]
    SourceCycle {
        /// The name that occurs twice.
        name: String,
        /// The file that starts the chain.
        file: PathBuf,
    },
    /// An address cannot be an upstream.
    #[error("`{url}` ({location}) is not an http or https address")]
    InvalidAddress {
        /// The address without credentials.
        url: String,
        /// The file or the variable with the address.
        location: String,
    },
    /// An address of a registry has a part that it cannot have. The part may be a secret, so no address is shown.
    #[error("the address of a registry in {location} has {part}, which such an address cannot have")]
    UnsupportedPart {
        /// The part, with its article.
        part: &'static str,
        /// The file or the variable with the address.
        location: String,
    },
    /// Only an external program can provide a token.
    #[error(
        "the token for the registry `{registry}` comes from the credential provider `{provider}`, which this program cannot run"
    )]
    CredentialProvider {
        /// The registry's name.
        registry: String,
        /// The provider as configured.
        provider: String,
        /// The variable that can contain the token instead.
        variable: String,
    },
}
