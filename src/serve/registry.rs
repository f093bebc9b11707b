//! The sparse registry: config.json from the request, and what a missing crate's answer says.

use crate::crate_id::CrateId;
use crate::index_line::RegistryConfig;

/// Index files above this many bytes are streamed as they are, without a digest. crates.io has a handful.
pub(super) const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// The registry's config.json.
pub(super) fn config_json(base: &str, auth_required: bool) -> String {
    RegistryConfig { auth_required, ..RegistryConfig::of_mirror(base) }.render()
}

/// What cargo shows to a user whose crate is not here. Cargo cuts such texts at 512 characters.
pub(super) fn missing_crate(id: &CrateId) -> String {
    let CrateId { name, version } = id;
    let told = format!(
        "{name} {version} is not in this mirror; on the connected side add `{name} = \"{version}\"` under [locked] in \
         depends.toml (or run `cargo frostmirror fetch --crate {name}@={version}`) and import the next bundle here\n"
    );
    if told.len() < 512 {
        return told;
    }
    format!("{name} {version} is not in this mirror; on the connected side add it to the next bundle\n")
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
    fn the_hint_fits_into_what_cargo_shows() {
        let id = CrateId::parse("itoa", "1.0.11").expect("id");
        assert!(missing_crate(&id).starts_with("itoa 1.0.11 is not in this mirror; on the connected side add "));
        let long = CrateId::parse(&"a".repeat(64), &format!("1.0.0-{}", "b".repeat(144))).expect("id");
        assert!(missing_crate(&long).len() < 512);
    }
}
