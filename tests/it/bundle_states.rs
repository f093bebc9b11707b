//! Rules of a manifest about what is not shipped: packages that were left out, and the states of crates.

use frostmirror::bundle::format::LeftOut;
use frostmirror::bundle::verify::verify;
use frostmirror::event::Silent;

use crate::support::forge::{FakeCrate, Forged};

fn small() -> Forged {
    Forged::of(&[FakeCrate::new("a", "1.0.0", 60), FakeCrate::new("bb", "0.2.0", 40)])
}

/// What is wrong with a bundle; nothing where it is good.
fn problems(forged: &Forged) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pkg");
    std::fs::write(&path, forged.bytes()).unwrap();
    match verify(&path, folder.path(), &Silent) {
        Ok(verdict) => verdict.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        }
    }
}

#[test]
fn packages_that_were_left_out_are_sorted_and_short() {
    let left_out = |name: &str, why: &str| LeftOut {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        source: "git: https://example.org/x".to_owned(),
        why: why.to_owned(),
    };
    let leaving = |all: &[LeftOut]| {
        let mut forged = small();
        forged.manifest.lineage.inputs[0].left_out = all.to_vec();
        problems(&forged)
    };
    let (a, b) = (left_out("a", "x"), left_out("b", &"y".repeat(1024)));
    assert_eq!(leaving(&[a.clone(), b.clone()]), "");
    for (all, why) in [
        (vec![b, a.clone()], "out of order"),
        (vec![a.clone(), a], "left out twice"),
        (vec![left_out("a", "")], "empty or too long"),
        (vec![left_out("a", &"y".repeat(1025))], "empty or too long"),
    ] {
        let told = leaving(&all);
        assert!(told.contains("depends.toml") && told.contains(why), "{told}");
    }
}
