//! `NAME[@REQ]`, the argument of `--crate`.

use std::fmt;
use std::str::FromStr;

use semver::VersionReq;

use crate::crate_id::{CrateName, InvalidCrateName, Version};
use crate::inputs::input_id::Label;

/// One crate to resolve on its own.
///
/// A full version means exactly that version, as in `cargo install NAME@1.2.3`; anything else is a requirement as in
/// Cargo.toml: `@14` is `^14`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateSpec {
    /// The crate.
    pub name: CrateName,
    /// The version requirement.
    pub req: VersionReq,
    text: String,
    /// The label of the user; without one, its own text identifies it.
    pub label: Option<Label>,
}

/// A text that is not `NAME[@REQ]`.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCrateSpec {
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidCrateName),
    /// The requirement is invalid.
    #[error("`{}` is not a version requirement for `{name}`", req.escape_debug())]
    Req {
        /// The crate.
        name: CrateName,
        /// The text after the `@`.
        req: String,
        /// The error of semver.
        source: semver::Error,
    },
}

impl FromStr for CrateSpec {
    type Err = InvalidCrateSpec;

    fn from_str(text: &str) -> Result<CrateSpec, InvalidCrateSpec> {
        let (name, req) = match text.split_once('@') {
            Some((name, req)) => (name, Some(req)),
            None => (text, None),
        };
        let name: CrateName = name.parse()?;
        let req = match req {
            None => Ok(VersionReq::STAR),
            Some(exact) if exact.parse::<Version>().is_ok() => format!("={exact}").parse(),
            Some(req) => req.parse(),
        };
        match req {
            Ok(req) => Ok(CrateSpec { name, req, text: text.to_owned(), label: None }),
            Err(source) => {
                let req = text.split_once('@').map_or_else(String::new, |(_, req)| req.chars().take(80).collect());
                Err(InvalidCrateSpec::Req { req, name, source })
            }
        }
    }
}

impl fmt::Display for CrateSpec {
    /// As the user wrote it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_version_is_exact_and_a_partial_one_is_caret() {
        let req = |text: &str| {
            let spec: CrateSpec = text.parse().expect(text);
            assert_eq!(spec.to_string(), text);
            spec.req.to_string()
        };
        assert_eq!(req("ripgrep"), "*");
        assert_eq!(req("ripgrep@14"), "^14");
        assert_eq!(req("ripgrep@14.1.0"), "=14.1.0");
        assert_eq!(req("ripgrep@~14.1"), "~14.1");
    }

    #[test]
    fn an_invalid_requirement_is_quoted_as_typed() {
        for (text, quoted) in [("a@b c d@x", "b c d@x"), ("a@", ""), ("a@1@2", "1@2"), ("a@\u{1b}[1m", "\\u{1b}[1m")] {
            let error = text.parse::<CrateSpec>().expect_err(text).to_string();
            assert_eq!(error, format!("`{quoted}` is not a version requirement for `a`"));
        }
        let error = "a b".parse::<CrateSpec>().expect_err("a blank").to_string();
        assert!(error.starts_with("`a b` is not a crate name"), "{error}");
    }

    #[test]
    fn invalid_specs_are_refused() {
        for text in ["", "@1", "a b", "ripgrep@", "ripgrep@new", "a@1@2", "../x@1"] {
            assert!(text.parse::<CrateSpec>().is_err(), "{text}");
        }
    }
}
