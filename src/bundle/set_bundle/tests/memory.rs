//! Texts that are small in transit and large in memory are refused before they are unpacked.

use super::super::*;
use super::fixture::{World, problems};
use super::forged::Forged;
use crate::bundle::format::MAX_BLOCK_SIZE;

fn forged() -> Forged {
    Forged::from(&World::new([1, 4, 9]).full())
}

#[test]
fn a_section_or_table_over_its_limits_is_refused_by_the_manifest() {
    let forged = forged();
    for (plain, stored) in [(MAX_BLOCK_SIZE + 1, 1_000_000), (4_000_000, 100), (0, 10), (100, u64::MAX)] {
        let found = problems(
            &forged.bytes_with(|manifest| {
                let section = &mut manifest.set.as_mut().expect("a set").sections[0];
                (section.plain, section.stored) = (plain, stored);
            }),
            Base::Unknown,
        );
        let expected = "the manifest of `x.pkg` breaks a rule of the format: the manifest has a section that is empty, too \
                        large or whose compression ratio is too high";
        assert_eq!(found, [expected]);
        let found = problems(
            &forged.bytes_with(|manifest| {
                let table = &mut manifest.parts[0].table;
                (table.plain, table.stored) = (plain, stored);
            }),
            Base::Unknown,
        );
        let expected = "the manifest of `x.pkg` breaks a rule of the format: the manifest has a table that is empty, too \
                        large or whose compression ratio is too high";
        assert_eq!(found, [expected]);
    }
}

#[test]
fn decompression_stops_at_the_stated_length() {
    let mut forged = forged();
    forged.sections[0] = " ".repeat(1_000_000);
    let found = problems(
        &forged.bytes_with(|manifest| manifest.set.as_mut().expect("a set").sections[0].plain = 60_000),
        Base::Unknown,
    );
    assert_eq!(found, ["section 1 of the changes of `x.pkg` is invalid: it decodes to more bytes than stated"]);
}

#[test]
fn a_manifest_of_many_values_or_of_spaces_is_refused() {
    let forged = forged();
    let values =
        |json: String| json.replacen(r#""targets":["#, &format!(r#""targets":[{}"#, r#""","#.repeat(900_000)), 1);
    // Noise keeps the ratio of compression low.
    let noise: String =
        (0..60_000u32).map(|number| crate::digest::Sha256::of(&number.to_le_bytes()).to_string()).collect();
    let found = problems(
        &forged.bytes_with_json(|json| values(json).replacen('{', &format!("{{\"noise\":\"{noise}\","), 1)),
        Base::Unknown,
    );
    assert_eq!(found, ["the manifest of `x.pkg` is damaged: it has too many values"]);
    let found = problems(
        &forged.bytes_with_json(|json| json.replacen(',', &format!(",{}", " ".repeat(7_000_000)), 1)),
        Base::Unknown,
    );
    assert_eq!(found, ["the header of `x.pkg` is damaged: the manifest's compression ratio is too high"]);
    let found = problems(
        &forged.bytes_with_json(|json| json.replacen(',', &format!(",{}", " ".repeat(9_000_000)), 1)),
        Base::Unknown,
    );
    assert_eq!(found, ["the header of `x.pkg` is damaged: the manifest is too long"]);
}
