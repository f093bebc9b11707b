//! The identity of an input of a history: its kind and its label, never a path. A fresh checkout in another folder, as
//! on a CI machine, is the same input, and a bundle does not reveal folder names of the fetching machine.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounded_read::read_at_most;

/// Maximum length of a label in characters.
const MAX_LABEL_CHARS: usize = 64;
/// Maximum bytes of a Cargo.toml that are read for the package's name.
const MAX_MANIFEST: u64 = 1 << 20;
/// Unicode letters without a visible glyph.
const INVISIBLE_LETTERS: [char; 4] = ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}'];
/// Allowed characters of a label besides letters and digits.
const ALLOWED_PUNCTUATION: &str = " -_.+@#";

/// The name of an input: short, printable, and without path components.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(String);

/// An invalid label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a label: a label has 1 to {MAX_LABEL_CHARS} letters, digits, spaces or characters of `-_.+@#`, and begins with a letter or a digit", text.chars().take(100).collect::<String>().escape_debug())]
pub struct InvalidLabel {
    text: String,
}

/// The kind of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputKind {
    /// A depends.toml.
    Depends,
    /// A Cargo.lock, or the workspace that it belongs to.
    Lockfile,
    /// A `--crate`.
    Crate,
    /// A `--crate` with a label of the user.
    #[serde(rename = "labelled-crate")]
    LabelledCrate,
    /// A repair list, which is never stored in a history.
    #[serde(rename = "list")]
    RepairList,
}

/// The identity of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InputId {
    /// Its name; for a `--crate`, its argument.
    pub label: String,
    /// Its kind.
    pub kind: InputKind,
}

impl FromStr for Label {
    type Err = InvalidLabel;

    fn from_str(text: &str) -> Result<Label, InvalidLabel> {
        let is_letter = |c: char| c.is_alphanumeric() && !INVISIBLE_LETTERS.contains(&c);
        let good = text.chars().next().is_some_and(is_letter)
            && text.chars().count() <= MAX_LABEL_CHARS
            && text.chars().all(|c| is_letter(c) || ALLOWED_PUNCTUATION.contains(c))
            && !text.ends_with(' ');
        if good { Ok(Label(text.to_owned())) } else { Err(InvalidLabel { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for Label {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Label, InvalidLabel> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> String {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Label {
    /// The default label of the file at `path`: the name of the package whose Cargo.toml is beside it, otherwise the
    /// name of its folder. If the file name is not `usual`, it is added.
    pub fn of_file(path: &Path, default_name: &str) -> Label {
        Label::derive(package_name_in(path.parent().unwrap_or(Path::new("/"))), path, default_name)
    }

    /// Likewise from the path alone; nothing is read.
    pub fn of_path(path: &Path, default_name: &str) -> Label {
        Label::derive(None, path, default_name)
    }

    fn derive(package: Option<String>, path: &Path, default_name: &str) -> Label {
        let folder_name = || Some(path.parent()?.file_name()?.to_string_lossy().into_owned());
        let mut name = package.or_else(folder_name).unwrap_or_default();
        if path.file_name().is_some_and(|file| file != default_name) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            name = if name.is_empty() { stem.into_owned() } else { format!("{name}-{stem}") };
        }
        Label::sanitized(&name)
    }

    /// The label that is closest to `name`.
    fn sanitized(name: &str) -> Label {
        let mut text = String::new();
        for c in name.chars().take(MAX_LABEL_CHARS) {
            let good = c.is_alphanumeric() && !INVISIBLE_LETTERS.contains(&c) || ALLOWED_PUNCTUATION.contains(c);
            text.push(if good { c } else { '-' });
        }
        let text = text.trim_matches(|c: char| ALLOWED_PUNCTUATION.contains(c));
        text.parse().unwrap_or_else(|_| Label("unnamed".to_owned()))
    }
}

/// The name of the package whose manifest is in `folder`. An unreadable manifest gives none; cargo reports it.
fn package_name_in(folder: &Path) -> Option<String> {
    let bytes = read_at_most(&folder.join("Cargo.toml"), MAX_MANIFEST).ok()??;
    let manifest: toml::Table = str::from_utf8(&bytes).ok()?.parse().ok()?;
    Some(manifest.get("package")?.get("name")?.as_str()?.to_owned())
}

impl InputKind {
    /// The user's name for it.
    pub fn display_name(self) -> &'static str {
        match self {
            InputKind::Depends => "depends.toml",
            InputKind::Lockfile => "Cargo.lock",
            InputKind::Crate | InputKind::LabelledCrate => "crate",
            InputKind::RepairList => "repair list",
        }
    }
}

impl InputId {
    /// A depends.toml or a Cargo.lock.
    pub fn of_file(kind: InputKind, label: &Label) -> InputId {
        InputId { label: label.0.clone(), kind }
    }

    /// A `--crate`: identified by its own text, or by the label of the user.
    pub fn of_crate(spec: &impl fmt::Display, label: Option<&Label>) -> InputId {
        match label {
            Some(label) => InputId { label: label.0.clone(), kind: InputKind::LabelledCrate },
            None => InputId { label: spec.to_string(), kind: InputKind::Crate },
        }
    }

    /// Whether `text` matches this input: its label, or its full displayed form.
    pub fn matches(&self, text: &str) -> bool {
        text == self.label || text == self.to_string()
    }
}

impl fmt::Display for InputId {
    /// The displayed form in bundles and messages: `app (Cargo.lock)`, `--crate NAME@REQ`, `tools (crate)`. It is
    /// unique for each identity.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            InputKind::Crate => write!(f, "--crate {}", self.label),
            kind => write!(f, "{} ({})", self.label, kind.display_name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_with_path_or_control_characters_are_refused() {
        for good in ["app", "a", "My app 2", "a-b_c.d+e@f#1", "プロジェクト", "9"] {
            assert_eq!(good.parse::<Label>().expect(good).to_string(), good);
        }
        let long = "a".repeat(MAX_LABEL_CHARS + 1);
        for bad in [
            "",
            " ",
            " a",
            "a ",
            "-a",
            ".",
            "..",
            "a/b",
            "a\\b",
            "C:x",
            "a\nb",
            "a\u{1b}[1m",
            "a\u{202e}b",
            "\u{3164}",
            "a (Cargo.lock)",
            &long,
        ] {
            assert!(bad.parse::<Label>().is_err(), "{bad:?}");
            assert!(Label::sanitized(bad).to_string().parse::<Label>().is_ok(), "{bad:?}");
        }
    }

    #[test]
    fn the_default_label_is_the_package_or_folder_name() {
        let root = tempfile::tempdir().expect("temporary folder");
        let folder = root.path().join("check out");
        std::fs::create_dir(&folder).expect("make");
        let label = |file: &str, usual: &str| Label::of_file(&folder.join(file), usual).to_string();
        assert_eq!(label("depends.toml", "depends.toml"), "check out");
        assert_eq!(label("linux.toml", "depends.toml"), "check out-linux");
        std::fs::write(folder.join("Cargo.toml"), "[workspace]\n").expect("write");
        assert_eq!(label("Cargo.lock", "Cargo.lock"), "check out");
        std::fs::write(folder.join("Cargo.toml"), "[package]\nname = \"app\"\n").expect("write");
        assert_eq!(label("Cargo.lock", "Cargo.lock"), "app");
        std::fs::write(folder.join("Cargo.toml"), "[package]\nname = \"../../etc\"\n").expect("write");
        assert_eq!(label("Cargo.lock", "Cargo.lock"), "etc");
        assert_eq!(Label::of_file(Path::new("/depends.toml"), "depends.toml").to_string(), "unnamed");
    }

    #[test]
    fn display_form_names_the_kind() {
        let file = |kind| InputId::of_file(kind, &Label::sanitized("app")).to_string();
        assert_eq!(file(InputKind::Depends), "app (depends.toml)");
        assert_eq!(file(InputKind::Lockfile), "app (Cargo.lock)");
        assert_eq!(InputId::of_crate(&"app@1", None).to_string(), "--crate app@1");
        assert_eq!(InputId::of_crate(&"app@1", Some(&Label::sanitized("tools"))).to_string(), "tools (crate)");
    }
}
