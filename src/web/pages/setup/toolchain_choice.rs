//! Selects the toolchain and targets that the commands name: those of the settings if the mirror has them, else the mirror's
//! own.

use crate::mirror::toolchains::{AvailableToolchain, AvailableToolchains};
use crate::toolchain::is_triple;

/// The arguments of rustup's commands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ToolchainChoice {
    /// The toolchain's name for rustup.
    pub(super) toolchain: String,
    /// The targets besides the host.
    pub(super) targets: Vec<String>,
    /// The hosts that it can be installed on.
    pub(super) hosts: Vec<String>,
    /// Whether live mode fetches toolchains that the mirror lacks.
    pub(super) is_live: bool,
    /// Why the choice differs from the settings.
    pub(super) note: Option<String>,
}

impl ToolchainChoice {
    /// Selects from the available toolchains according to the settings.
    pub(super) fn select(
        toolchain: &str,
        targets: &[String],
        available: &AvailableToolchains,
        is_live: bool,
    ) -> ToolchainChoice {
        let named = |one: &&AvailableToolchain, name: &str| one.names.iter().any(|own| own == name);
        let all = &available.toolchains;
        let requested = all.iter().find(|one| named(one, toolchain));
        let found = requested.or_else(|| all.iter().find(|one| named(one, "stable"))).or(all.first());
        let Some(offered) = found else {
            // Many mirrors only have crates: `describe_hosts` reports that.
            return ToolchainChoice {
                toolchain: toolchain.to_owned(),
                targets: Vec::new(),
                hosts: Vec::new(),
                is_live,
                note: None,
            };
        };
        let mut notes = Vec::new();
        let name = match requested {
            Some(_) => toolchain.to_owned(),
            None => {
                let stable = offered.names.iter().find(|name| *name == "stable").or(offered.names.first());
                let name = stable.unwrap_or(&offered.name).clone();
                notes.push(format!(
                    "The settings name the toolchain {toolchain}, which this mirror lacks, so the commands below use {name}."
                ));
                name
            }
        };
        let is_available = |target: &String| offered.targets.contains(target);
        // A bundle supplied the manifest, and its names become shell arguments.
        let valid_targets: Vec<String> = offered.targets.iter().filter(|target| is_triple(target)).cloned().collect();
        let chosen: Vec<String> = targets.iter().filter(|target| is_available(target)).cloned().collect();
        let unavailable: Vec<&str> =
            targets.iter().filter(|target| !is_available(target)).map(String::as_str).collect();
        if !unavailable.is_empty() {
            let what = unavailable.join(", ");
            notes.push(format!("The settings name {what}, but this mirror lacks that standard library."));
        }
        let chosen = if chosen.is_empty() { valid_targets } else { chosen };
        ToolchainChoice {
            toolchain: name,
            // A host's own standard library is part of its toolchain.
            targets: chosen.into_iter().filter(|target| !offered.hosts.contains_key(target)).collect(),
            hosts: offered.hosts.keys().filter(|host| is_triple(host)).cloned().collect(),
            is_live,
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        }
    }

    /// The arguments of rustup-init.
    pub(super) fn rustup_init_args(&self) -> String {
        let targets = self.targets.join(",");
        let targets = if targets.is_empty() { targets } else { format!(" --target {targets}") };
        format!("--default-toolchain {}{targets}", self.toolchain)
    }

    /// The supported hosts of a system, in a sentence.
    pub(super) fn describe_hosts(&self, system: &str, name: &str) -> String {
        let of: Vec<&str> =
            self.hosts.iter().map(String::as_str).filter(|host| host.split('-').any(|part| part == system)).collect();
        match (of.is_empty(), self.hosts.is_empty(), self.is_live) {
            (false, ..) => format!("This mirror has {} for {}.", self.toolchain, of.join(", ")),
            (true, _, true) => format!("Live mode fetches {} for {name} when rustup requests it.", self.toolchain),
            (true, false, false) => format!("This mirror has no {} for {name}.", self.toolchain),
            (true, true, false) => format!(
                "This mirror has no toolchain yet. These commands work after the import of a bundle with {}.",
                self.toolchain
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: &str = "x86_64-unknown-linux-gnu";
    const WASM: &str = "wasm32-unknown-unknown";

    fn available() -> AvailableToolchains {
        let one = |names: &[&str], hosts: &[&str], targets: &[&str]| AvailableToolchain {
            name: names[0].to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            date: "2026-04-16".to_owned(),
            hosts: hosts.iter().map(|host| ((*host).to_owned(), None)).collect(),
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            components: Vec::new(),
        };
        let toolchains = vec![
            one(&["1.86.0"], &[LINUX], &[LINUX]),
            one(
                &["1.95.0", "stable"],
                &[LINUX, "x86_64-pc-windows-msvc"],
                &[LINUX, WASM, "x86_64-pc-windows-msvc", "a;b"],
            ),
        ];
        AvailableToolchains { toolchains, rustup: None }
    }

    fn choose(toolchain: &str, targets: &[&str]) -> ToolchainChoice {
        let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
        ToolchainChoice::select(toolchain, &targets, &available(), false)
    }

    #[test]
    fn the_configured_toolchain_is_chosen_if_available() {
        let wished = choose("1.86.0", &[LINUX]);
        assert_eq!((wished.rustup_init_args().as_str(), &wished.note), ("--default-toolchain 1.86.0", &None));
        let wished = choose("stable", &[LINUX, WASM]);
        assert_eq!(wished.rustup_init_args(), format!("--default-toolchain stable --target {WASM}"));
        assert_eq!(wished.describe_hosts("windows", "Windows"), "This mirror has stable for x86_64-pc-windows-msvc.");
        assert_eq!(wished.describe_hosts("darwin", "macOS"), "This mirror has no stable for macOS.");
    }

    #[test]
    fn otherwise_an_available_toolchain_is_chosen_with_a_note() {
        let other = choose("nightly", &["riscv64gc-unknown-linux-gnu"]);
        assert_eq!(
            other.rustup_init_args(),
            format!("--default-toolchain stable --target {WASM}"),
            "and nothing of a shell's"
        );
        let note = other.note.expect("a note");
        assert!(note.contains("toolchain nightly,") && note.contains("riscv64gc-unknown-linux-gnu,"), "{note}");
        let none = ToolchainChoice::select("nightly", &[WASM.to_owned()], &AvailableToolchains::default(), false);
        assert_eq!(none.rustup_init_args(), "--default-toolchain nightly");
        assert_eq!(none.note, None);
        let text = none.describe_hosts("linux", "Linux");
        assert!(
            text.contains("no toolchain yet. These commands work after the import of a bundle with nightly."),
            "{text}"
        );
        let live = ToolchainChoice { is_live: true, ..none };
        assert_eq!(
            live.describe_hosts("linux", "Linux"),
            "Live mode fetches nightly for Linux when rustup requests it."
        );
    }
}
