//! Which toolchain and which targets the commands name: what the settings say, as far as the mirror has it, or else what
//! the mirror has.

use crate::mirror::toolchains::{AvailableToolchain, AvailableToolchains};
use crate::toolchain::is_triple;

/// The words of rustup's commands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ToolchainChoice {
    /// The toolchain, as rustup calls it.
    pub(super) toolchain: String,
    /// What it is to build for besides the machine that it is installed on.
    pub(super) targets: Vec<String>,
    /// The machines that it can be installed on.
    pub(super) hosts: Vec<String>,
    /// Why that is not what the settings say.
    pub(super) note: Option<String>,
}

impl ToolchainChoice {
    /// What the settings wish for, of what there is.
    pub(super) fn select(toolchain: &str, targets: &[String], available: &AvailableToolchains) -> ToolchainChoice {
        let named = |one: &&AvailableToolchain, name: &str| one.names.iter().any(|own| own == name);
        let all = &available.toolchains;
        let requested = all.iter().find(|one| named(one, toolchain));
        let found = requested.or_else(|| all.iter().find(|one| named(one, "stable"))).or(all.first());
        let Some(offered) = found else {
            // Many mirrors have crates alone: that is said where it matters.
            return ToolchainChoice {
                toolchain: toolchain.to_owned(),
                targets: Vec::new(),
                hosts: Vec::new(),
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
                    "The settings name the toolchain {toolchain}, which this mirror does not hold: the commands name {name}."
                ));
                name
            }
        };
        let is_available = |target: &String| offered.targets.contains(target);
        // A manifest is what a bundle brought, and its words become words of a shell.
        let valid_targets: Vec<String> = offered.targets.iter().filter(|target| is_triple(target)).cloned().collect();
        let chosen: Vec<String> = targets.iter().filter(|target| is_available(target)).cloned().collect();
        let unavailable: Vec<&str> =
            targets.iter().filter(|target| !is_available(target)).map(String::as_str).collect();
        if !unavailable.is_empty() {
            let what = unavailable.join(", ");
            notes.push(format!("The settings name {what}, which this mirror has no standard library for."));
        }
        let chosen = if chosen.is_empty() { valid_targets } else { chosen };
        ToolchainChoice {
            toolchain: name,
            // A machine's own standard library comes with its toolchain.
            targets: chosen.into_iter().filter(|target| !offered.hosts.contains_key(target)).collect(),
            hosts: offered.hosts.keys().filter(|host| is_triple(host)).cloned().collect(),
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        }
    }

    /// What rustup-init is told.
    pub(super) fn rustup_init_args(&self) -> String {
        let targets = self.targets.join(",");
        let targets = if targets.is_empty() { targets } else { format!(" --target {targets}") };
        format!("--default-toolchain {}{targets}", self.toolchain)
    }

    /// Which machines of a system are provided for, in a sentence.
    pub(super) fn describe_hosts(&self, system: &str, name: &str) -> String {
        let of: Vec<&str> =
            self.hosts.iter().map(String::as_str).filter(|host| host.split('-').any(|part| part == system)).collect();
        match (of.is_empty(), self.hosts.is_empty()) {
            (false, _) => format!("This mirror has {} for {}.", self.toolchain, of.join(", ")),
            (true, false) => format!("This mirror has {} for no machine with {name}.", self.toolchain),
            (true, true) => {
                format!("This mirror holds no toolchain yet: these work once a bundle has brought {}.", self.toolchain)
            }
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
        ToolchainChoice::select(toolchain, &targets, &available())
    }

    #[test]
    fn the_configured_toolchain_is_chosen_if_available() {
        let wished = choose("1.86.0", &[LINUX]);
        assert_eq!((wished.rustup_init_args().as_str(), &wished.note), ("--default-toolchain 1.86.0", &None));
        let wished = choose("stable", &[LINUX, WASM]);
        assert_eq!(wished.rustup_init_args(), format!("--default-toolchain stable --target {WASM}"));
        assert_eq!(wished.describe_hosts("windows", "Windows"), "This mirror has stable for x86_64-pc-windows-msvc.");
        assert_eq!(wished.describe_hosts("darwin", "macOS"), "This mirror has stable for no machine with macOS.");
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
        let none = ToolchainChoice::select("nightly", &[WASM.to_owned()], &AvailableToolchains::default());
        assert_eq!(none.rustup_init_args(), "--default-toolchain nightly");
        assert_eq!(none.note, None);
        assert!(
            none.describe_hosts("linux", "Linux")
                .contains("no toolchain yet: these work once a bundle has brought nightly")
        );
    }
}
