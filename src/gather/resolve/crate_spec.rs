//! `NAME[@REQ]`, as `--crate` takes it.

use std::fmt;
use std::str::FromStr;

use semver::VersionReq;

use crate::crate_id::{CrateName, InvalidName, Version};
use crate::gather::input_id::Label;

/// One crate to resolve by itself.
///
/// A whole version means exactly that one, as `cargo install NAME@1.2.3` has it; anything else is a requirement as in
/// Cargo.toml: `@14` is `^14`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrateSpec {
    /// The crate.
    pub name: CrateName,
    /// Which versions of it will do.
    pub req: VersionReq,
    written: String,
    /// The label that the user gives it; without one, its own text identifies it.
    pub label: Option<Label>,
}

/// A text that is not `NAME[@REQ]`.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSpec {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The requirement is none.
    #[error("`{req}` is not a version requirement for `{name}`")]
    Req {
        /// The crate.
        name: CrateName,
        /// What stands behind the `@`.
        req: String,
        /// What semver says of it.
        source: semver::Error,
    },
}

impl FromStr for CrateSpec {
    type Err = InvalidSpec;

    fn from_str(text: &str) -> Result<CrateSpec, InvalidSpec> {
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
            Ok(req) => Ok(CrateSpec { name, req, written: text.to_owned(), label: None }),
            Err(source) => Err(InvalidSpec::Req { req: text.split('@').skip(1).collect(), name, source }),
        }
    }
}

impl fmt::Display for CrateSpec {
    /// As the user wrote it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_version_is_exact_and_a_part_is_not() {
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
    fn what_is_no_spec_is_refused() {
        for text in ["", "@1", "a b", "ripgrep@", "ripgrep@new", "a@1@2", "../x@1"] {
            assert!(text.parse::<CrateSpec>().is_err(), "{text}");
        }
    }
}
