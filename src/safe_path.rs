//! A relative path that stays below the root it is joined to.
//!
//! Every path from a bundle or a request is validated here once. Refused are: the empty path, absolute paths, `.` and `..`,
//! empty components, backslashes and colons (separators and streams on Windows), control characters, components that end in
//! a dot or a space (Windows drops both), and long names. The limits leave space for derived names such as `PATH.sha256`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Maximum length of a component in bytes: 255, the limit of every common file system, minus the space for
/// [`SafePath::with_suffix`].
pub const MAX_COMPONENT: usize = 240;
/// Maximum length of the whole path in bytes.
pub const MAX_PATH: usize = 1000;

/// A relative path of normal components, separated by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SafePath(String);

/// The reason why a path was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unsafe path `{}`: {reason}", path.escape_debug())]
pub struct UnsafePath {
    path: String,
    reason: &'static str,
}

/// Device names of Windows: a file with such a name and any extension opens the device (Microsoft: Naming Files, Paths, and
/// Namespaces).
const WINDOWS_DEVICE_NAMES: &[&str] = &[
    "con", "prn", "aux", "nul", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt0",
    "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "conin$", "conout$",
];

/// Why the name of a file below `dist/` or `rustup/` is not portable; `None` if it is.
///
/// Upstream's own names are plain ASCII. Non-ASCII letters have two encodings, which macOS treats as one name.
pub fn portability_problem(path: &SafePath) -> Option<&'static str> {
    let text = path.as_str();
    if !text.is_ascii() {
        return Some("has a name with a letter beyond ASCII, which can be spelled in two ways");
    }
    if text.contains(['<', '>', '"', '|', '?', '*']) {
        return Some("has a character that no file name on Windows can have");
    }
    let is_device = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part).trim_end_matches(' ').to_ascii_lowercase();
        WINDOWS_DEVICE_NAMES.contains(&stem.as_str())
    };
    path.components().any(is_device).then_some("has a name that Windows reserves for a device")
}

impl SafePath {
    /// The path as text, with `/` between components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path below `root`.
    pub fn below(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.components());
        path
    }

    /// The components, outermost first; there is always at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The path in lower case, as a case-insensitive file system compares it. Two entries of one bundle must not share it.
    pub fn case_folded(&self) -> String {
        self.0.to_lowercase()
    }

    /// The path with a suffix of at most 15 bytes: `.sha256`, `.asc`. The result is always valid, but it may exceed the
    /// length limit of parsed paths.
    pub fn with_suffix(&self, suffix: &'static str) -> SafePath {
        debug_assert!(suffix.len() <= 15 && find_component_fault(suffix).is_none(), "`{suffix}` is no ending");
        SafePath(format!("{}{suffix}", self.0))
    }

    /// The rest after `prefix/`, if this path begins with it.
    pub fn strip_prefix(&self, prefix: &str) -> Option<&str> {
        self.0.strip_prefix(prefix)?.strip_prefix('/')
    }
}

impl FromStr for SafePath {
    type Err = UnsafePath;

    fn from_str(path: &str) -> Result<SafePath, UnsafePath> {
        match find_fault(path) {
            None => Ok(SafePath(path.to_owned())),
            Some(reason) => Err(UnsafePath { path: path.chars().take(200).collect(), reason }),
        }
    }
}

fn find_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.len() > MAX_PATH {
        return Some("it is longer than 1000 bytes");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    path.split('/').find_map(find_component_fault)
}

fn find_component_fault(component: &str) -> Option<&'static str> {
    if component.is_empty() {
        return Some("it has an empty component");
    }
    if component == "." || component == ".." {
        return Some("a component is `.` or `..`");
    }
    if component.len() > MAX_COMPONENT {
        return Some("a component is longer than 240 bytes");
    }
    if component.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
        return Some("it has a control character, a backslash or a colon");
    }
    if component.ends_with(['.', ' ']) {
        return Some("a component ends in a dot or a space");
    }
    None
}

impl TryFrom<String> for SafePath {
    type Error = UnsafePath;

    fn try_from(path: String) -> Result<SafePath, UnsafePath> {
        path.parse()
    }
}

impl From<SafePath> for String {
    fn from(path: SafePath) -> String {
        path.0
    }
}

impl fmt::Display for SafePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_windows_or_macos_cannot_store_are_detected() {
        let fault = |path: &str| portability_problem(&path.parse().expect("safe"));
        for path in [
            "dist/2026-04-16/rust-std-1.95.0-x86_64-unknown-linux-gnu.tar.xz",
            "rustup/archive/1.28.1/x86_64-pc-windows-msvc/rustup-init.exe",
            "dist/console/common.aux1/com10",
        ] {
            assert_eq!(fault(path), None, "{path}");
        }
        for path in
            ["dist/NUL", "dist/con.tar.xz", "dist/aux/x", "rustup/Com1.toml.sha256", "dist/lpt9 .x", "dist/CONIN$"]
        {
            assert_eq!(fault(path), Some("has a name that Windows reserves for a device"), "{path}");
        }
        for path in ["dist/caf\u{e9}", "dist/cafe\u{301}", "dist/com\u{b9}"] {
            assert!(fault(path).is_some_and(|why| why.contains("beyond ASCII")), "{path}");
        }
        assert!(fault("dist/a?b").is_some_and(|why| why.contains("on Windows")));
    }

    #[test]
    fn ordinary_paths_are_accepted() {
        for path in
            ["crates/a-1.0.0.crate", "index/se/rd/serde", "dist/2026-01-01/x.tar.xz", "crates/z-1.0.0+b.1.crate"]
        {
            assert_eq!(path.parse::<SafePath>().map(String::from), Ok(path.to_owned()));
        }
    }

    #[test]
    fn unsafe_paths_are_refused() {
        let long = "a".repeat(MAX_COMPONENT + 1);
        for path in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:x",
            "a\0b",
            "a\nb",
            "a./b",
            "a /b",
            &long,
        ] {
            assert!(path.parse::<SafePath>().is_err(), "{path:?}");
        }
    }

    #[test]
    fn limits_leave_space_for_suffixes() {
        let component: SafePath = format!("dist/{}", "a".repeat(MAX_COMPONENT)).parse().expect("just fits");
        assert_eq!(component.with_suffix(".sha256").components().next_back().map(str::len), Some(247));
        let whole = format!("{}{}", "abc/".repeat(MAX_PATH / 4 - 1), "abcd");
        assert_eq!(whole.parse::<SafePath>().expect("just fits").as_str().len(), MAX_PATH);
        let refused = format!("{whole}e").parse::<SafePath>().expect_err("too long").to_string();
        assert!(refused.ends_with("it is longer than 1000 bytes"), "{refused}");
    }

    proptest! {
        #[test]
        fn accepted_paths_stay_below_the_root(path in "\\PC{0,40}|[./a\\\\:]{0,12}") {
            if let Ok(safe) = path.parse::<SafePath>() {
                let root = Path::new("/srv/of/it");
                let joined = safe.below(root);
                prop_assert!(joined.starts_with(root) && joined != root);
                let normal = |c: std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
                prop_assert!(joined.strip_prefix(root).expect("below").components().all(normal));
            }
        }
    }
}
