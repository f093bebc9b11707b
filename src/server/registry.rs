//! The sparse registry: config.json, and the messages for missing files.

use crate::crate_id::CrateId;
use crate::index_line::RegistryConfig;
use crate::safe_path::SafePath;
use crate::toolchain::{DistPath, ToolchainName};

/// Larger index files are streamed as they are, without a digest, in bytes. crates.io has a handful of them.
pub(super) const MAX_INDEX_FILE: u64 = 4 * 1024 * 1024;

/// The registry's config.json.
pub(super) fn config_json(base: &str, auth_required: bool) -> String {
    RegistryConfig { auth_required, ..RegistryConfig::for_mirror(base) }.render()
}

/// The message that cargo shows for a missing crate. Cargo truncates such texts at 512 characters.
pub(super) fn missing_crate_message(id: &CrateId) -> String {
    let CrateId { name, version } = id;
    let reported = format!(
        "{name} {version} is not in this mirror; on the connected side add `{name} = \"{version}\"` below [locked] in depends.toml (or run `cargo frostmirror fetch --crate {name}@={version}`) and import the next bundle here\n"
    );
    if reported.len() < 512 {
        return reported;
    }
    format!("{name} {version} is not in this mirror; on the connected side add it to the next bundle\n")
}

/// The file that names the newest rustup; a bundle with a toolchain has it.
const RUSTUP_RELEASE: &str = "rustup/release-stable.toml";

/// The message for a missing dist file. rustup does not show it, but other clients do.
pub(super) fn missing_file_message(path: &SafePath) -> String {
    if let Some(text) = never_mirrored_reason(path) {
        return format!("{text}\n");
    }
    let (what, add) = match DistPath::parse(path) {
        Some(DistPath::Toolchain(name)) => {
            if let Err(error) = name.parse::<ToolchainName>() {
                return format!("not in this mirror: {error}\n");
            }
            (format!("the toolchain {name} is not in this mirror"), format!("\"{name}\" to `toolchain`"))
        }
        Some(DistPath::Component { component: "rust-std", target: Some(target), .. }) => {
            (format!("the standard library for {target} is not in this mirror"), format!("\"{target}\" to `targets`"))
        }
        Some(DistPath::Component { component, target, .. }) => {
            let machine = target.map(|target| format!(" for {target}")).unwrap_or_default();
            let add = match target {
                Some(target) => {
                    format!("\"{component}\" to `components` (or a larger `profile`) and \"{target}\" to `targets`")
                }
                None => format!("\"{component}\" to `components`"),
            };
            (format!("the component {component}{machine} of that release is not in this mirror"), add)
        }
        Some(DistPath::Rustup(triple)) => {
            (format!("rustup for {triple} is not in this mirror"), format!("\"{triple}\" to `targets`"))
        }
        None if path.as_str() == RUSTUP_RELEASE => {
            ("rustup is not in this mirror".to_owned(), "a toolchain, such as \"stable\", to `toolchain`".to_owned())
        }
        None => return "not in this mirror\n".to_owned(),
    };
    format!(
        "{what}; on the connected side add {add} under [platforms] in depends.toml if it is not listed yet, then fetch the next bundle and import it here\n"
    )
}

/// Why no bundle contains a file, whatever `[platforms]` says. Neither rustup nor cargo requests such files.
fn never_mirrored_reason(path: &SafePath) -> Option<&'static str> {
    let file = path.components().last()?;
    let is_manifest = file.starts_with("channel-rust-");
    let ends = |ends: &[&str]| ends.iter().any(|end| file.ends_with(end));
    if path.components().next() != Some("dist") {
        return ends(&[".asc"]).then_some(
            "signatures of rustup are not mirrored; rustup does not request them, and the .sha256 file beside rustup-init has its checksum",
        );
    }
    if is_manifest && ends(&[".asc"]) {
        return Some(
            "the signature of this channel manifest is not in this mirror; bundles include it if upstream has one. rustup does not request it: it checks the .sha256 file",
        );
    }
    if is_manifest {
        return None;
    }
    if ends(&[".asc", ".sha256"]) {
        return Some(
            "signatures and checksums of single components are not mirrored; the channel manifest has the checksum of each, \
             and rustup checks it",
        );
    }
    let is_combined = matches!(DistPath::parse(path), Some(DistPath::Component { component: "rust", .. }));
    if is_combined || (file.starts_with("rust-") && ends(&[".msi", ".pkg", ".exe"])) {
        return Some(
            "combined installers are not mirrored; install the same toolchain with rustup: run /rustup-init.sh or /rustup-init.ps1 of this server",
        );
    }
    if ends(&["-src.tar.gz", "-src.tar.xz"]) && matches!(file.split('-').next(), Some("rustc" | "cargo")) {
        return Some(
            "source archives of the compiler are not mirrored; the component rust-src has the standard library",
        );
    }
    if ends(&[".tar.gz", ".tar.zst"]) {
        return Some("components are mirrored only as .tar.xz, the format that rustup requests");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dl_names_the_files_of_the_static_tree() {
        let config: serde_json::Value = serde_json::from_str(&config_json("http://h:1/p", false)).expect("JSON");
        assert_eq!(config["dl"], "http://h:1/p/crates/{crate}-{version}.crate");
        assert_eq!(config["api"], "http://h:1/p");
    }

    #[test]
    fn missing_dist_files_name_the_setting_that_adds_them() {
        let said = |path: &str| missing_file_message(&path.parse().expect("safe"));
        for (path, says) in [
            (
                "dist/channel-rust-beta.toml.sha256",
                "the toolchain beta is not in this mirror; on the connected side add \"beta\" to `toolchain` under [platforms]",
            ),
            (
                "dist/2026-04-16/rust-std-1.95.0-wasm32-unknown-unknown.tar.xz",
                "add \"wasm32-unknown-unknown\" to `targets`",
            ),
            ("dist/2026-04-25/miri-nightly-x86_64-unknown-linux-gnu.tar.xz", "add \"miri\" to `components`"),
            ("dist/2026-04-25/rust-src-nightly.tar.xz", "add \"rust-src\" to `components` under"),
            ("rustup/dist/aarch64-apple-darwin/rustup-init", "rustup for aarch64-apple-darwin is not"),
            (
                "rustup/release-stable.toml",
                "rustup is not in this mirror; on the connected side add a toolchain, such as \"stable\", to `toolchain` under",
            ),
            ("rustup/banana.toml", "not in this mirror\n"),
            (
                "dist/channel-rust-banana.toml",
                "not in this mirror: `banana` is not a toolchain name such as `stable`, `1.86.0` or `nightly-2026-04-25`\n",
            ),
            ("dist/2026-04-25/channel-rust-1.86.0.toml", "`1.86.0-2026-04-25` is not a toolchain name"),
            ("dist/channel-rust-1.86.toml", "the toolchain 1.86 is not in this mirror; on the connected side add"),
            ("dist/channel-rust-stable.toml.asc", "the signature of this channel manifest is not in this mirror"),
            (
                "dist/2026-04-16/channel-rust-beta.toml.asc",
                "the signature of this channel manifest is not in this mirror",
            ),
            (
                "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz.sha256",
                "the channel manifest has the checksum",
            ),
            (
                "dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.xz.asc",
                "the channel manifest has the checksum",
            ),
            ("dist/2026-04-16/cargo-1.95.0-x86_64-unknown-linux-gnu.tar.gz", "mirrored only as .tar.xz"),
            ("dist/2026-04-16/rust-1.95.0-x86_64-unknown-linux-gnu.tar.xz", "combined installers are not mirrored"),
            ("dist/2026-04-25/rust-nightly-x86_64-unknown-linux-gnu.tar.gz", "combined installers are not mirrored"),
            ("dist/2026-04-16/rust-1.95.0-x86_64-pc-windows-msvc.msi", "combined installers are not mirrored"),
            ("dist/2026-04-16/rustc-1.95.0-src.tar.xz", "source archives of the compiler are not mirrored"),
            ("rustup/dist/x86_64-unknown-linux-gnu/rustup-init.asc", "signatures of rustup are not mirrored"),
        ] {
            assert!(said(path).contains(says), "{}", said(path));
        }
    }

    #[test]
    fn the_hint_fits_cargos_limit_of_512_characters() {
        let id = CrateId::parse("itoa", "1.0.11").expect("id");
        assert!(
            missing_crate_message(&id).starts_with("itoa 1.0.11 is not in this mirror; on the connected side add ")
        );
        let long = CrateId::parse(&"a".repeat(64), &format!("1.0.0-{}", "b".repeat(144))).expect("id");
        assert!(missing_crate_message(&long).len() < 512);
    }
}
