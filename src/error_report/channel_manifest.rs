//! Classes and hints for the errors of channel manifests.

use crate::toolchain::{ComponentFileError, ManifestError, SelectError};

use super::{ErrorClass, Failure};

/// Maximum number of components in a hint. A release has about twelve.
const MAX_LISTED_COMPONENTS: usize = 20;

const CORRUPT_MANIFEST_HINT: &str = "upstream, or a proxy before it, sent an invalid channel manifest; run the same command again later, or try another toolchain";

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Failure {
        let hint = match &error {
            ManifestError::UnsupportedVersion(_) => {
                "releases of that format cannot be mirrored; choose another toolchain"
            }
            _ => CORRUPT_MANIFEST_HINT,
        };
        Failure::new(ErrorClass::Integrity, error).context("could not read the channel manifest").hint(hint)
    }
}

impl From<ComponentFileError> for Failure {
    fn from(error: ComponentFileError) -> Failure {
        Failure::new(ErrorClass::Integrity, error).hint(CORRUPT_MANIFEST_HINT)
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Failure {
        let (class, hint) = match &error {
            SelectError::UnknownTriple { suggestion: Some(near), .. } => {
                (ErrorClass::Input, format!("did you mean `{near}`?"))
            }
            SelectError::UnknownTriple { suggestion: None, .. } => (
                ErrorClass::Input,
                "`rustc --print target-list` lists all targets; tier 3 targets have no files".to_owned(),
            ),
            // rustup writes single hosts this way.
            SelectError::UnknownComponent { component, .. } if component.starts_with("rust-std-") => {
                let triple = component.trim_start_matches("rust-std-").escape_debug();
                (ErrorClass::Input, format!("add `{triple}` to `targets`: every target includes its standard library"))
            }
            SelectError::UnknownComponent { suggestion: Some(near), .. } => {
                (ErrorClass::Input, format!("did you mean `{near}`?"))
            }
            SelectError::UnknownComponent { available: known, .. } => {
                let known: Vec<String> =
                    known.iter().take(MAX_LISTED_COMPONENTS).map(|name| format!("`{}`", name.escape_debug())).collect();
                (ErrorClass::Input, format!("choose one of {}", known.join(", ")))
            }
            SelectError::NoProfile(_)
            | SelectError::NoPackage { .. }
            | SelectError::InvalidFile { .. }
            | SelectError::ConflictingDigests(_) => (ErrorClass::Integrity, CORRUPT_MANIFEST_HINT.to_owned()),
        };
        Failure::new(class, error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_an_input_error_and_a_damaged_manifest_is_not() {
        let release = || "Rust 1.95.0".to_owned();
        let near = || Some("rust-src".to_owned());
        let known = || vec!["clippy".to_owned(), "miri".to_owned()];
        let component = |near| SelectError::UnknownComponent {
            component: "rust-scr".into(),
            release: release(),
            suggestion: near,
            available: known(),
        };
        let failure = Failure::from(component(near()));
        assert_eq!(failure.class.code(), 3);
        assert_eq!(failure.to_string(), "Rust 1.95.0 has no component `rust-scr`");
        assert_eq!(failure.hint.as_deref(), Some("did you mean `rust-src`?"));
        assert!(Failure::from(component(None)).hint.is_some_and(|hint| hint == "choose one of `clippy`, `miri`"));
        let std = "rust-std-wasm32-unknown-unknown".to_owned();
        let std = SelectError::UnknownComponent {
            component: std,
            release: release(),
            suggestion: near(),
            available: known(),
        };
        let hint = Failure::from(std).hint.unwrap_or_default();
        assert!(hint.contains("`wasm32-unknown-unknown` to `targets`"), "{hint}");
        let triple = |near| SelectError::UnknownTriple { triple: "x".into(), release: release(), suggestion: near };
        assert_eq!(Failure::from(triple(None)).class.code(), 3);
        assert_eq!(Failure::from(ManifestError::NotUtf8).class.code(), 4);
        let damaged = SelectError::InvalidFile {
            package: "cargo".into(),
            target: "t".into(),
            source: ComponentFileError::Missing,
        };
        assert_eq!(Failure::from(damaged).class.code(), 4);
    }
}
