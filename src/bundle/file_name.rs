//! Bundle file names: `YYYYMMDD-HHMM-crates.pkg`, in UTC; the second one of a minute has `-2` before `-crates`. A snapshot
//! is `snapshot-YYYYMMDD-HHMM.pkg`, and the second one of a minute ends in `-2`.

use std::ffi::OsStr;
use std::path::Path;

use jiff::Timestamp;

use super::format::BundleKind;

/// Whether a file of this name counts as a bundle: `*.pkg` in any case, and not hidden, because many copy programs hide unfinished
/// files.
pub fn is_bundle_file_name(name: &OsStr) -> bool {
    !name.as_encoded_bytes().starts_with(b".")
        && Path::new(name).extension().is_some_and(|end| end.eq_ignore_ascii_case("pkg"))
}

/// The file name for a bundle of this kind and time, the first one that is not `taken`.
pub fn unique_file_name(kind: BundleKind, created: Timestamp, is_taken: &dyn Fn(&str) -> bool) -> String {
    // The time is UTC by definition, so no time zone database is needed.
    let minute = created.strftime("%Y%m%d-%H%M").to_string();
    let name = |number: &str| match kind {
        BundleKind::Full | BundleKind::Delta => format!("{minute}{number}-crates.pkg"),
        BundleKind::Snapshot => format!("snapshot-{minute}{number}.pkg"),
    };
    let first = name("");
    if !is_taken(&first) {
        return first;
    }
    let mut number = 2u64;
    loop {
        let name = name(&format!("-{number}"));
        if !is_taken(&name) {
            return name;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_unfinished_files_are_not_bundles() {
        let is = |name: &str| is_bundle_file_name(OsStr::new(name));
        assert!(is("a.pkg") && is("20260402-2130-crates.pkg") && is("20260402-2130-CRATES.PKG") && is("a.Pkg"));
        assert!(!is(".a.pkg") && !is("a.pkg.part") && !is(".pkg") && !is("pkg") && !is("a.pkg~") && !is(".A.PKG"));
    }

    #[test]
    fn names_use_utc_and_later_ones_of_a_minute_are_numbered() {
        let created: Timestamp = "2026-04-02T23:30:59+02:00".parse().expect("a time");
        assert_eq!(unique_file_name(BundleKind::Full, created, &|_| false), "20260402-2130-crates.pkg");
        assert_eq!(
            unique_file_name(BundleKind::Full, created, &|name| name == "20260402-2130-crates.pkg"),
            "20260402-2130-2-crates.pkg"
        );
        assert_eq!(
            unique_file_name(BundleKind::Full, created, &|name| !name.contains("-11-")),
            "20260402-2130-11-crates.pkg"
        );
        assert_eq!(unique_file_name(BundleKind::Snapshot, created, &|_| false), "snapshot-20260402-2130.pkg");
        let second = unique_file_name(BundleKind::Snapshot, created, &|name| name == "snapshot-20260402-2130.pkg");
        assert_eq!(second, "snapshot-20260402-2130-2.pkg");
    }
}
