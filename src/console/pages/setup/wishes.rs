//! Which toolchain and which targets the commands name: what the settings say, as far as the mirror has it, or else what
//! the mirror has.

use crate::channel::is_triple;
use crate::mirror::offers::{Offered, Offers};

/// The words of rustup's commands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// The toolchain, as rustup calls it.
    pub(super) toolchain: String,
    /// What it is to build for besides the machine that it is installed on.
    pub(super) targets: Vec<String>,
    /// The machines that it can be installed on.
    pub(super) hosts: Vec<String>,
    /// Why that is not what the settings say.
    pub(super) note: Option<String>,
}

impl Wishes {
    /// What the settings wish for, of what there is.
    pub(super) fn of(toolchain: &str, targets: &[String], offers: &Offers) -> Wishes {
        let named = |one: &&Offered, name: &str| one.names.iter().any(|own| own == name);
        let all = &offers.toolchains;
        let wished = all.iter().find(|one| named(one, toolchain));
        let found = wished.or_else(|| all.iter().find(|one| named(one, "stable"))).or(all.first());
        let Some(offered) = found else {
            // Many mirrors have crates alone: that is said where it matters.
            return Wishes { toolchain: toolchain.to_owned(), targets: Vec::new(), hosts: Vec::new(), note: None };
        };
        let mut notes = Vec::new();
        let name = match wished {
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
        let held = |target: &String| offered.targets.contains(target);
        // A manifest is what a bundle brought, and its words become words of a shell.
        let plain: Vec<String> = offered.targets.iter().filter(|target| is_triple(target)).cloned().collect();
        let chosen: Vec<String> = targets.iter().filter(|target| held(target)).cloned().collect();
        let absent: Vec<&str> = targets.iter().filter(|target| !held(target)).map(String::as_str).collect();
        if !absent.is_empty() {
            let what = absent.join(", ");
            notes.push(format!("The settings name {what}, which this mirror has no standard library for."));
        }
        let chosen = if chosen.is_empty() { plain } else { chosen };
        Wishes {
            toolchain: name,
            // A machine's own standard library comes with its toolchain.
            targets: chosen.into_iter().filter(|target| !offered.hosts.contains_key(target)).collect(),
            hosts: offered.hosts.keys().filter(|host| is_triple(host)).cloned().collect(),
            note: (!notes.is_empty()).then(|| notes.join(" ")),
        }
    }

    /// What rustup-init is told.
    pub(super) fn words(&self) -> String {
        let targets = self.targets.join(",");
        let targets = if targets.is_empty() { targets } else { format!(" --target {targets}") };
        format!("--default-toolchain {}{targets}", self.toolchain)
    }

    /// Which machines of a system are provided for, in a sentence.
    pub(super) fn machines(&self, system: &str, name: &str) -> String {
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

    fn offers() -> Offers {
        let one = |names: &[&str], hosts: &[&str], targets: &[&str]| Offered {
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
        Offers { toolchains, rustup: None }
    }

    fn wishes(toolchain: &str, targets: &[&str]) -> Wishes {
        let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
        Wishes::of(toolchain, &targets, &offers())
    }

    #[test]
    fn what_is_wished_for_is_named_where_there_is_it() {
        let wished = wishes("1.86.0", &[LINUX]);
        assert_eq!((wished.words().as_str(), &wished.note), ("--default-toolchain 1.86.0", &None));
        let wished = wishes("stable", &[LINUX, WASM]);
        assert_eq!(wished.words(), format!("--default-toolchain stable --target {WASM}"));
        assert_eq!(wished.machines("windows", "Windows"), "This mirror has stable for x86_64-pc-windows-msvc.");
        assert_eq!(wished.machines("darwin", "macOS"), "This mirror has stable for no machine with macOS.");
    }

    #[test]
    fn else_what_there_is_is_named_and_told() {
        let other = wishes("nightly", &["riscv64gc-unknown-linux-gnu"]);
        assert_eq!(other.words(), format!("--default-toolchain stable --target {WASM}"), "and nothing of a shell's");
        let note = other.note.expect("a note");
        assert!(note.contains("toolchain nightly,") && note.contains("riscv64gc-unknown-linux-gnu,"), "{note}");
        let none = Wishes::of("nightly", &[WASM.to_owned()], &Offers::default());
        assert_eq!(none.words(), "--default-toolchain nightly");
        assert_eq!(none.note, None);
        assert!(
            none.machines("linux", "Linux").contains("no toolchain yet: these work once a bundle has brought nightly")
        );
    }
}
