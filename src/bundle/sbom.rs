//! A bundle as a CycloneDX 1.5 document (software bill of materials), from its manifest only.
//!
//! Source of the form: the CycloneDX specification's JSON schema (bom-1.5.schema.json). Crates are identified by package
//! URLs of the type `cargo` (package-url/purl-spec). A manifest does not record dependencies between crates, so the document
//! has no `dependencies`. Other data is in properties whose names begin with `cargo-frostmirror:`.
//!
//! The same manifest always gives the same document: its serial number is derived from the bundle's ID.

use serde_json::{Map, Value, json};

use super::compare::Comparison;
use super::describe::configuration_entries;
use super::format::{CrateRecord, CrateState, DistFileRecord, DistFileState, Entry, Manifest};
use crate::digest::Sha256;

mod license;

/// The prefix of our own property names.
const PROPERTY_PREFIX: &str = "cargo-frostmirror:";

/// Everything in the bundle in the file `file`: every crate of its set, with where its bytes are, every rustup
/// artifact, and the configuration in a snapshot.
pub fn bundle_document(manifest: &Manifest, file: &str) -> Value {
    let mut components: Vec<Value> = manifest.crates.iter().map(|record| crate_component(record, Vec::new())).collect();
    components.extend(manifest.dist_files.iter().map(|record| dist_file_component(record, Vec::new())));
    components.extend(configuration_entries(manifest).map(file_component));
    let mut properties = bundle_properties(manifest);
    properties.extend(manifest.toolchains.iter().map(|toolchain| property("toolchain", toolchain)));
    properties.extend(manifest.targets.iter().map(|target| property("target", target)));
    document(&serial_number(&[&manifest.id]), manifest, file, properties, components)
}

/// Lists the additions of the new bundle of a comparison, in the file `file`: every version that the old one lacks. Removals
/// and changes are properties of the document.
pub fn comparison_document(comparison: &Comparison<'_>, file: &str) -> Value {
    let changed = |record, change| crate_component(record, vec![property("change", change)]);
    let mut components: Vec<Value> = comparison.added.iter().map(|record| changed(record, "added")).collect();
    for updated in &comparison.updated {
        components.extend(updated.new.iter().map(|record| changed(record, "updated")));
    }
    let dist_files = &comparison.dist_files;
    for (records, change) in [(&dist_files.added, "added"), (&dist_files.changed, "updated")] {
        components.extend(records.iter().map(|record| dist_file_component(record, vec![property("change", change)])));
    }
    components.sort_by(|a, b| a["bom-ref"].as_str().cmp(&b["bom-ref"].as_str()));
    let mut properties = bundle_properties(comparison.new);
    properties.push(property("compared-with", &comparison.old.id));
    properties.extend(comparison.all_removed().map(|record| property("removed", &package_url(record))));
    properties.extend(dist_files.removed.iter().map(|record| property("removed", &file_ref(record))));
    for one in &comparison.changed {
        let how =
            one.changes.iter().map(|change| property(&format!("changed:{}", change.name()), &package_url(one.new)));
        properties.extend(how);
    }
    document(&serial_number(&[&comparison.old.id, &comparison.new.id]), comparison.new, file, properties, components)
}

fn document(serial: &str, manifest: &Manifest, file: &str, properties: Vec<Value>, components: Vec<Value>) -> Value {
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": serial,
        "version": 1,
        "metadata": {
            "timestamp": manifest.created,
            "tools": {
                "components": [{
                    "type": "application",
                    "name": "cargo-frostmirror",
                    "version": env!("CARGO_PKG_VERSION"),
                }],
            },
            "component": {
                "type": "file",
                "bom-ref": format!("bundle:{}", manifest.id),
                "name": file,
                "version": manifest.id,
            },
            "properties": properties,
        },
        "components": components,
    })
}

/// The common properties of every bundle.
fn bundle_properties(manifest: &Manifest) -> Vec<Value> {
    let mut properties = vec![
        property("bundle", &manifest.id),
        property("kind", &manifest.kind.to_string()),
        property("written-by", &manifest.tool),
        property("lineage", &manifest.lineage.id),
        property("sequence", &manifest.lineage.sequence.to_string()),
        property("index-read", &manifest.index_read),
    ];
    properties.extend(manifest.parent.iter().map(|parent| property("parent", &parent.id)));
    properties
}

fn crate_component(record: &CrateRecord, mut properties: Vec<Value>) -> Value {
    let purl = package_url(record);
    let mut component = Map::new();
    let mut put = |key: &str, value: Value| drop(component.insert(key.to_owned(), value));
    put("type", json!("library"));
    put("bom-ref", json!(purl));
    put("name", json!(record.name));
    put("version", json!(record.version));
    if let Some(description) = &record.description {
        put("description", json!(description));
    }
    put("hashes", hashes(&record.sha256));
    if let Some(license) = &record.license {
        let stated = match license::is_expression(license) {
            true => json!({"expression": license}),
            false => json!({"license": {"name": license}}),
        };
        put("licenses", json!([stated]));
    }
    put("purl", json!(purl));
    properties.push(property("state", state_name(record.state)));
    if record.size > 0 || record.state == CrateState::Shipped {
        properties.push(property("size", &record.size.to_string()));
    }
    if record.yanked {
        properties.push(property("yanked", "true"));
    }
    match &record.repository {
        Some(url) if is_repository_url(url) => put("externalReferences", json!([{"type": "vcs", "url": url}])),
        Some(text) => properties.push(property("repository", text)),
        None => {}
    }
    put("properties", Value::Array(properties));
    Value::Object(component)
}

fn file_component(entry: &Entry) -> Value {
    json!({
        "type": "file",
        "bom-ref": format!("file:{}", entry.path),
        "name": entry.path,
        "hashes": hashes(&entry.sha256),
        "properties": [property("size", &entry.size.to_string())],
    })
}

fn dist_file_component(record: &DistFileRecord, mut properties: Vec<Value>) -> Value {
    let state = match record.state {
        DistFileState::Shipped => "shipped",
        DistFileState::Sent => "sent",
        DistFileState::Kept => "kept",
    };
    properties.push(property("state", state));
    properties.push(property("size", &record.size.to_string()));
    json!({
        "type": "file",
        "bom-ref": file_ref(record),
        "name": record.path,
        "hashes": hashes(&record.sha256),
        "properties": properties,
    })
}

fn file_ref(record: &DistFileRecord) -> String {
    format!("file:{}", record.path)
}

fn hashes(sha256: &Sha256) -> Value {
    json!([{"alg": "SHA-256", "content": sha256}])
}

fn property(name: &str, value: &str) -> Value {
    json!({"name": format!("{PROPERTY_PREFIX}{name}"), "value": value})
}

fn state_name(state: CrateState) -> &'static str {
    match state {
        CrateState::Shipped => "shipped",
        CrateState::Sent => "sent",
        CrateState::IndexOnly => "index-only",
        CrateState::Kept => "kept",
    }
}

/// The crate's package URL. Of the characters in names and versions, only `+` must be encoded.
fn package_url(record: &CrateRecord) -> String {
    format!("pkg:cargo/{}@{}", record.name, record.version.to_string().replace('+', "%2B"))
}

/// A serial number derived from `ids`: a UUID of version 8, for custom schemes (RFC 9562, 5.8).
fn serial_number(ids: &[&str]) -> String {
    let digest = Sha256::of(ids.join(" ").as_bytes());
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest.as_bytes()[..16]);
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let parts = [&uuid[..4], &uuid[4..6], &uuid[6..8], &uuid[8..10], &uuid[10..]].map(digits);
    format!("urn:uuid:{}", parts.join("-"))
}

/// Whether a repository is a valid IRI reference that a reader may follow: an allowed scheme, then only URL characters (RFC
/// 3986, 2).
fn is_repository_url(text: &str) -> bool {
    let schemes = ["https://", "http://", "git://", "ssh://", "git+https://", "git+ssh://"];
    let Some(rest) = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)) else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?#%".contains(&byte);
    let encoded = |(at, _)| {
        let digits = rest.as_bytes().get(at + 1..at + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    !name.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && rest.bytes().all(plain)
        && rest.matches('#').count() < 2
        && rest.split(['/', '?', '#']).next().is_none_or(|authority| authority.matches('@').count() < 2)
        && rest.match_indices('%').all(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_is_a_uuid_that_follows_from_the_ids() {
        for ids in [&["a"][..], &["b"], &["a", "b"], &["b", "a"], &[""]] {
            let serial = serial_number(ids);
            let parts: Vec<&str> = serial.strip_prefix("urn:uuid:").expect("a URN").split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{serial}");
            assert!(parts[2].starts_with('8') && parts[3].starts_with(['8', '9', 'a', 'b']), "{serial}");
        }
        assert_eq!(serial_number(&["a", "b"]), serial_number(&["a", "b"]));
        assert_ne!(serial_number(&["a", "b"]), serial_number(&["b", "a"]));
    }

    #[test]
    fn only_valid_urls_are_accepted_as_repositories() {
        for good in [
            "https://github.com/serde-rs/serde",
            "http://h:80/a%20b?c=d#e",
            "git://git.example/x.git",
            "ssh://git@h/x",
            "https://h/?a@b:c",
        ] {
            assert!(is_repository_url(good), "{good}");
        }
        for bad in [
            "",
            "github.com/a/b",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://h/a b",
            "https://h/\u{202e}",
            "https://h/%zz",
            "https://h/%2",
            "https://h/#a#b",
            "https://h:x/",
            "https://a@b@c/",
            "https://h/<script>",
            "git@github.com:a/b.git",
        ] {
            assert!(!is_repository_url(bad), "{bad}");
        }
    }
}
