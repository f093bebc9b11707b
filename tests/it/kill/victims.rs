//! Who is killed: commands that change a mirror or copy it out, each with the mirror that it finds.

use std::fs;
use std::path::{Path, PathBuf};

use frostmirror::bundle::format::CrateState;

use crate::bundle_builder::BundleBuilder;
use crate::support::crates::Crate;
use crate::support::sandbox::Sandbox;

/// A command to be killed.
pub struct Victim {
    pub name: &'static str,
    /// The mirror that it finds; each round has a copy.
    pub prepared_mirror: PathBuf,
    /// Its words; the mirror is called `mirror`, and the folder that an export makes `out`.
    pub args: Vec<String>,
    /// Whether a crate whose line was there a moment ago may be gone.
    pub removes_crates: bool,
}

/// The name of a crate that every mirror here has in version 1.0.0, and keeps.
pub fn kept_crate_name(n: usize) -> String {
    format!("steady-{n:03}")
}

/// All of them. Another one is a line here: what it is called, which bundles its mirror holds, and its words.
pub fn all_victims(sandbox: &Sandbox, names: usize) -> Vec<Victim> {
    let folder = sandbox.path("bundles");
    fs::create_dir(&folder).unwrap();
    write_bundles(&folder, names);
    let lineage = BundleBuilder::new("b", 1).lineage().to_owned();
    let victim = |(name, stored, terms, takes_away): (&'static str, &[&str], &[&str], bool)| {
        let place = format!("prepared-{}", stored.join("-"));
        if !sandbox.path(&place).exists() {
            for bundle in stored {
                sandbox.run(["import", &format!("bundles/{bundle}.pkg"), "--mirror", &place]).ok();
            }
        }
        let terms = [terms, &["--mirror", "mirror", "--lock-timeout", "0"]].concat();
        let terms = terms.into_iter().map(str::to_owned).collect();
        Victim { name, prepared_mirror: sandbox.path(place), args: terms, removes_crates: takes_away }
    };
    let full = ["import", "bundles/other.pkg", "--base-url", "http://mirror.example"];
    let delta = ["import", "bundles/delta.pkg"];
    [
        ("import of a full bundle", &["full"][..], &full[..], false),
        ("import of a delta", &["full"], &delta, false),
        ("gc", &["full", "delta"], &["gc", "--grace", "0"], true),
        ("gc with grace", &["full", "delta"], &["gc", "--grace", "10m"], false),
        ("export local-registry", &["full", "delta"], &["export", "local-registry", "out"], false),
        ("export vendor", &["full", "delta"], &["export", "vendor", "out"], false),
        ("export snapshot", &["full", "other"], &["export", "snapshot", "-o", "out"], false),
        ("gc of a lineage", &["full", "other", "delta"], &["gc", "--grace", "0", "--forget", &lineage], true),
    ]
    .map(victim)
    .into()
}

/// A full bundle, a delta on it that needs less of it and brings more, and a full one of another history.
fn write_bundles(folder: &Path, names: usize) {
    let all = |of: &'static str, versions: &'static [&'static str]| {
        let each = move |n: usize| versions.iter().map(move |version| chained_crate(of, n, version));
        (0..names).flat_map(each)
    };
    let ship = |make: BundleBuilder, crates: &mut dyn Iterator<Item = Crate>| crates.fold(make, BundleBuilder::ship);
    let full = ship(BundleBuilder::new("a", 1), &mut all("steady", &["1.0.0", "1.0.1", "1.1.0"]));
    ship(full, &mut all("fading", &["1.0.0"])).write(folder, "full.pkg");
    let delta = ship(BundleBuilder::new("a", 2).parent("full.pkg"), &mut all("steady", &["1.2.0", "2.0.0"]));
    let delta = ship(delta, &mut all("fresh", &["1.0.0", "1.0.1"]));
    all("steady", &["1.0.0"])
        .fold(delta, |make, one| make.with_crate(one, CrateState::Sent))
        .write(folder, "delta.pkg");
    let other = ship(BundleBuilder::new("b", 1), &mut all("steady", &["1.0.2", "3.0.0"]));
    ship(other, &mut all("foreign", &["1.0.0", "1.0.1"])).write(folder, "other.pkg");
}

/// Crates need each other, so that index files have an order.
fn chained_crate(of: &str, n: usize, version: &str) -> Crate {
    let item = Crate::new(&format!("{of}-{n:03}"), version).with_extra_bytes(500 + n * 37 % 3000);
    if n == 0 { item } else { item.dep(&format!("{of}-{:03}", n / 2), "*") }
}
