//! The entries of a depends.toml in its own words.

use crate::inputs::depends::{DependsFile, Entry, Requirement};

/// The entries of `[dependencies]` and the groups, as the user wrote them.
pub(super) fn requested_entries(depends: &DependsFile) -> Vec<String> {
    let entries = depends.groups.iter().flat_map(|group| &group.entries);
    entries.flat_map(|entry| entry.alternatives.iter().map(|one| format_entry(entry, one))).collect()
}

/// An entry in the form of depends.toml.
pub(super) fn format_entry(entry: &Entry, one: &Requirement) -> String {
    let mut parts = Vec::new();
    if entry.package.as_str() != entry.key {
        parts.push(format!("package = \"{}\"", entry.package));
    }
    parts.push(format!("version = \"{}\"", one.version));
    if !one.default_features {
        parts.push("default-features = false".to_owned());
    }
    if !one.features.is_empty() {
        let features: Vec<String> = one.features.iter().map(|name| format!("\"{name}\"")).collect();
        parts.push(format!("features = [{}]", features.join(", ")));
    }
    match parts.as_slice() {
        [_] => format!("{} = \"{}\"", entry.key, one.version),
        parts => format!("{} = {{ {} }}", entry.key, parts.join(", ")),
    }
}
