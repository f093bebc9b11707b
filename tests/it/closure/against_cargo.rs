//! The closure proof against the real cargo: it says OK exactly where `cargo metadata --locked` and `cargo fetch --locked`
//! succeed offline. Projects and damage are made up at random; FROSTMIRROR_CLOSURE_PROJECTS sets the number of projects
//! (4 without it) and FROSTMIRROR_CLOSURE_SEED the seed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::client::{Client, Project};
use crate::support::crates::{Crate, index_path};
use crate::support::sandbox::Sandbox;
use crate::support::upstream::Upstream;

/// What may be wrong with a mirror that once had all of a lock.
const DAMAGE_KINDS: [&str; 5] =
    ["nothing", "a line is gone", "a file is gone", "a file is altered", "a line is of a new version"];

/// A small generator (SplitMix64), so that a seed gives the same projects on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

fn env_number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn publish(upstream: &Upstream) {
    for version in ["1.0.0", "1.1.0", "2.0.0+x"] {
        upstream.publish(Crate::new("leaf", version));
        upstream.publish(Crate::new("Mixed", version).dep("leaf", "^1"));
    }
    upstream.publish(Crate::new("windows", "1.0.0").dep("leaf", "^2").target("cfg(windows)"));
    upstream.publish(Crate::new("maybe", "1.0.0").dep("leaf", "^2").optional().feature("more", &["leaf"]));
    upstream.publish(Crate::new("tested", "1.0.0").dep("windows", "^1").kind("dev").dep("leaf", "^1").kind("build"));
    upstream.publish(Crate::new("lone", "1.0.0"));
    upstream.publish(Crate::new("lone", "1.1.0"));
}

/// A project with dependencies of every kind, and with what else makes cargo look at a source.
fn project(random: &mut Random, sandbox: &Sandbox, n: u64) -> (PathBuf, String) {
    let mut project = Project::new("app");
    let mut about = Vec::new();
    for name in ["Mixed", "windows", "maybe", "tested"] {
        let table = match random.below(6) {
            0 => continue,
            1 => "dev-dependencies".to_owned(),
            2 => "target.'cfg(any())'.dependencies".to_owned(),
            3 => "build-dependencies".to_owned(),
            _ => "dependencies".to_owned(),
        };
        let optional = table == "dependencies" && random.flip();
        about.push(format!("{table}.{name}{}", if optional { " optional" } else { "" }));
        project = project.table(&format!("[{table}.{name}]\nversion = \"1\"\noptional = {optional}"));
    }
    let local = |version: &str| format!("[package]\nname = \"leaf\"\nversion = \"{version}\"\nedition = \"2021\"\n");
    let elsewhere = "sparse+http://127.0.0.1:9/index/";
    let (table, version) = match random.below(6) {
        0 => ("[replace]\n\"leaf:1.1.0\" = { path = \"local\" }".to_owned(), "1.1.0"),
        1 => ("[patch.crates-io]\nleaf = { path = \"local\" }".to_owned(), "1.2.0"),
        2 => ("[patch.crates-io]\nleaf = { path = \"local\" }".to_owned(), "9.0.0"),
        3 => (format!("[patch.\"{elsewhere}\"]\nlone = \"=1.0.0\""), "1.0.0"),
        4 => (format!("[patch.\"{elsewhere}\"]\nleaf = \"=1.0.0\""), "1.0.0"),
        _ => (String::new(), "1.0.0"),
    };
    about.push(table.replace('\n', " "));
    let project = project.table(&table).file("build.rs", "fn main() {}");
    let project = project.file("local/Cargo.toml", &local(version)).file("local/src/lib.rs", "");
    (project.write(&sandbox.path(format!("app-{n}"))), about.join(", "))
}

/// Packages of crates.io that a lock names in any way.
fn named_packages(lock: &str) -> Vec<(String, String)> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let blocks = lock.split("\n[[").filter(|block| block.contains("registry+"));
    blocks.filter_map(|block| Some((value(block, "name")?, value(block, "version")?))).collect()
}

fn damage(mirror: &Path, how: &str, (name, version): &(String, String)) {
    let line = mirror.join("index").join(index_path(name));
    let file = mirror.join(format!("crates/{name}-{version}.crate"));
    let of_version = format!("\"vers\":\"{version}\"");
    let lines = || fs::read_to_string(&line).unwrap();
    match how {
        "nothing" => {}
        "a line is gone" => {
            let rest = lines()
                .lines()
                .filter(|line| !line.contains(&of_version))
                .map(|line| format!("{line}\n"))
                .collect::<String>();
            fs::write(&line, rest).unwrap();
        }
        "a line is of a new version" => fs::write(&line, lines().replace(&of_version, "\"vers\":\"1.7.7\"")).unwrap(),
        // A package that `[replace]` replaces, or an unused patch, may have come without its file.
        "a file is gone" => fs::remove_file(&file).unwrap(),
        "a file is altered" => fs::write(&file, "altered").unwrap(),
        other => panic!("{other}"),
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (source, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match source.symlink_metadata().unwrap() {
            about if about.is_symlink() => std::os::unix::fs::symlink(fs::read_link(&source).unwrap(), target).unwrap(),
            about if about.is_dir() => copy_tree(&source, &target),
            _ => drop(fs::copy(&source, &target).unwrap()),
        }
    }
}

/// Whether cargo finds all of a project in a mirror that is served, or on disk where it is not; and what it says otherwise.
fn cargo_succeeds(sandbox: &Sandbox, project: &Path, mirror: &Path, served: bool) -> (bool, String) {
    let serving = served.then(|| sandbox.serve(["--mirror", mirror.to_str().unwrap()]));
    let client = match &serving {
        Some(serving) => Client::with_index(&format!("{}/index/", serving.url())),
        None => Client::new().config(&format!(
            "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nlocal-registry = \"{}\"\n",
            mirror.join("crates").display()
        )),
    };
    for args in [&["metadata", "--locked", "--format-version", "1"][..], &["fetch", "--locked"]] {
        let run = client.cargo(project, args);
        if run.code != 0 {
            return (false, run.stderr);
        }
    }
    (true, String::new())
}

#[test]
fn verify_closure_agrees_with_cargo() {
    let upstream = Upstream::start();
    publish(&upstream);
    let seed = env_number("FROSTMIRROR_CLOSURE_SEED", 20_261_129);
    let mut outcomes = [0, 0];
    for n in 0..env_number("FROSTMIRROR_CLOSURE_PROJECTS", 4) {
        let mut random = Random(seed.wrapping_add(n));
        let sandbox = Sandbox::new().upstream(&upstream);
        let (project, about) = project(&mut random, &sandbox, n);
        Client::with_index(&upstream.index_url()).lock(&project);
        let path = project.join("Cargo.lock");
        if random.below(5) == 0 {
            // A git patch that is not used; where it was is not reachable from the far side.
            let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
            if !manifest.contains("[patch.crates-io]") {
                let git = "http://127.0.0.1:9/far";
                let table = format!("{manifest}\n[patch.crates-io]\nfar = {{ git = \"{git}\" }}\n");
                fs::write(project.join("Cargo.toml"), table).unwrap();
                let commit = "0123456789012345678901234567890123456789";
                let lock = fs::read_to_string(&path).unwrap();
                let unused = format!(
                    "\n[[patch.unused]]\nname = \"far\"\nversion = \"0.1.0\"\nsource = \"git+{git}#{commit}\"\n"
                );
                fs::write(&path, lock + &unused).unwrap();
            }
        }
        let lock = fs::read_to_string(&path).unwrap();
        let packages = named_packages(&lock);
        let args = ["fetch", "--skip-git", "--lockfile", path.to_str().unwrap(), "-o", "out"];
        let run = sandbox.run(args);
        if packages.is_empty() {
            run.exits(3).stderr_has("needs no crate from crates.io");
            continue;
        }
        let bundle = run.ok().path();
        sandbox.run(["import", bundle.to_str().unwrap(), "--mirror", "whole"]).ok();
        for (round, how) in DAMAGE_KINDS.iter().enumerate() {
            let mirror = sandbox.path(format!("mirror-{round}"));
            copy_tree(&sandbox.path("whole"), &mirror);
            let victim = random.pick(&packages).clone();
            damage(&mirror, how, &victim);
            let (succeeds, args) = cargo_succeeds(&sandbox, &project, &mirror, n % 2 == 1);
            let mirror = mirror.to_str().unwrap();
            let proof = sandbox.run(["verify", "--mirror", mirror, "--closure", path.to_str().unwrap()]);
            assert!([0, 4].contains(&proof.code), "{}", proof.describe());
            assert_eq!(
                proof.code == 0,
                succeeds,
                "project {n} of seed {seed} ({about}), {how}: {victim:?}\n{}\ncargo: {args}\n{lock}",
                proof.describe()
            );
            outcomes[usize::from(succeeds)] += 1;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 2), "the cases are all alike: {outcomes:?}");
}
