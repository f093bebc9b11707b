//! IDs that a user gives by their beginning: of a lineage, or of a bundle.

/// Minimum number of digits of a prefix. A shorter one could match by accident.
pub const MIN_ID_PREFIX: usize = 4;

/// Whether `given` is the ID, or a prefix of it that is long enough.
pub fn matches_id(given: &str, id: &str) -> bool {
    id == given || given.len() >= MIN_ID_PREFIX && id.starts_with(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_prefixes_do_not_match() {
        for (given, matches) in [("", false), ("9f8", false), ("9f86", true), ("9f86d0", true), ("9f87", false)] {
            assert_eq!(matches_id(given, "9f86d0"), matches, "{given}");
        }
        assert!(matches_id("abc", "abc") && !matches_id("abcd", "abc"));
    }
}
