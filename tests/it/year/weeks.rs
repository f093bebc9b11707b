//! The machines of the year: one on either side of the gap, the stick between them, and the projects on both.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use frostmirror::bundle::format::{BundleKind, CrateState};

use crate::delta::{in_state, manifest};
use crate::support::client::{Client, Project};
use crate::support::crates::index_path;
use crate::support::sandbox::{Sandbox, Serving};
use crate::support::upstream::Upstream;
use crate::support::web;

/// How long crates stay after their lines in the weekly collections, and how long a week is at least.
pub const GRACE: &str = "1s";

/// A Thursday.
const BEGINNING: u64 = 1_790_000_000;

/// Both sides of the gap.
pub struct Year {
    pub upstream: Upstream,
    near: Sandbox,
    far: Sandbox,
    serving: Serving,
    /// Bundles so far.
    written: u64,
    /// The id and the file of each history's newest bundle, and how large its full one was.
    newest: BTreeMap<String, (String, String, u64)>,
    projects: BTreeMap<String, Needs>,
    collected: Option<Instant>,
}

/// What a project depends on, and the lock that was made online.
struct Needs {
    dependencies: Vec<(String, String)>,
    lock: String,
}

impl Year {
    /// A server over an empty mirror, which watches a folder.
    pub fn begin() -> Year {
        let upstream = Upstream::start();
        let near = Sandbox::new().upstream(&upstream);
        let far = Sandbox::new();
        for folder in ["incoming", "mirror"] {
            fs::create_dir(far.path(folder)).unwrap();
        }
        let serving = far.serve(["--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"]);
        Year {
            upstream,
            near,
            far,
            serving,
            written: 0,
            newest: BTreeMap::new(),
            projects: BTreeMap::new(),
            collected: None,
        }
    }

    pub fn mirror(&self) -> PathBuf {
        self.far.path("mirror")
    }

    /// Sets what a project depends on, and resolves it online: its depends.toml and its Cargo.lock.
    pub fn needs(&mut self, project: &str, dependencies: &[(&str, &str)]) {
        let lines: String = dependencies.iter().map(|(name, req)| format!("{name} = {req:?}\n")).collect();
        self.near.write(format!("{project}/depends.toml"), format!("[dependencies]\n{lines}"));
        let owned = dependencies.iter().map(|(name, req)| ((*name).to_owned(), (*req).to_owned())).collect();
        let needs = Needs { dependencies: owned, lock: String::new() };
        let folder = self.near.path(project);
        fs::remove_file(folder.join("Cargo.lock")).ok();
        let lock = Client::of(&self.upstream.index_url()).lock(&needs.project(project).write(&folder));
        self.projects.insert(project.to_owned(), Needs { lock, ..needs });
    }

    /// Fetches for one history; the name of the bundle, which is on the stick. It is as it must be: it verifies, it is
    /// a delta on the one before it where it is to be one, and then it is smaller than the full one.
    #[track_caller]
    pub fn fetch(&mut self, history: &str, words: &[&str]) -> String {
        self.written += 1;
        let time = BEGINNING + self.written * 7 * 24 * 60 * 60;
        let vars = [
            ("SOURCE_DATE_EPOCH", time.to_string()),
            ("FROSTMIRROR_HISTORY", self.near.path(format!("histories/{history}")).display().to_string()),
        ];
        let words = [&["fetch", "-o", "stick"], words].concat();
        let bundle = self.near.process(&words).envs(vars).run().ok().path();
        let file = bundle.file_name().unwrap().to_str().unwrap().to_owned();
        self.near.run(["verify".as_ref(), bundle.as_os_str()]).ok();
        let (said, size) = (manifest(&bundle), bundle.metadata().unwrap().len());
        let full = match self.newest.get(history) {
            None => {
                assert_eq!(said.kind, BundleKind::Full);
                assert!(said.parent.is_none());
                size
            }
            Some((id, parent, full)) => {
                assert_eq!(said.kind, BundleKind::Delta);
                let named = said.parent.as_ref().unwrap();
                assert_eq!((&named.id, &named.file), (id, parent));
                assert!(size * 4 < *full, "{file} has {size} bytes, the full one {full}");
                *full
            }
        };
        self.newest.insert(history.to_owned(), (said.id, file.clone(), full));
        file
    }

    /// The crates that a bundle brings.
    pub fn shipped(&self, bundle: &str) -> Vec<String> {
        in_state(&manifest(&self.near.path("stick").join(bundle)), CrateState::Shipped)
    }

    /// Carries a bundle over and imports it; the mirror is sound after it.
    #[track_caller]
    pub fn import(&self, bundle: &str) {
        self.carry(bundle, &format!("stick/{bundle}"));
        self.far.run(["import", &format!("stick/{bundle}"), "--mirror", "mirror"]).ok();
        self.verify();
    }

    /// Carries a bundle over, and it is refused because that crate is not held.
    #[track_caller]
    pub fn refused(&self, bundle: &str, missing: &str) {
        let words = ["import", &format!("stick/{bundle}"), "--mirror", "mirror"];
        self.carry(bundle, words[1]);
        let parent = manifest(&self.near.path("stick").join(bundle)).parent.unwrap().file;
        self.far.run(words).exits(4).stderr_has(&parent).stderr_has(missing);
        self.verify();
    }

    /// Carries several over, each under another name, and imports the folder.
    #[track_caller]
    pub fn import_folder(&self, bundles: &[(&str, &str)]) {
        for (bundle, name) in bundles {
            self.carry(bundle, &format!("several/{name}"));
        }
        self.far.run(["import", "several", "--mirror", "mirror"]).ok();
        self.verify();
    }

    /// Drops a bundle into the folder that the server watches, and waits until it is done.
    #[track_caller]
    pub fn drop_in(&self, bundle: &str) {
        self.carry(bundle, &format!("on-its-way/{bundle}"));
        let (done, failed) = ("incoming/done", "incoming/failed");
        fs::rename(self.far.path("on-its-way").join(bundle), self.far.path("incoming").join(bundle)).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !self.far.path(done).join(bundle).exists() {
            assert!(Instant::now() < until, "{}", self.serving.running().stderr());
            assert!(!self.far.path(failed).join(bundle).exists(), "{}", self.serving.running().stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.verify();
    }

    fn carry(&self, bundle: &str, to: &str) {
        self.far.write(to, fs::read(self.near.path("stick").join(bundle)).unwrap());
    }

    /// The audit finds nothing.
    #[track_caller]
    fn verify(&self) {
        self.far.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- ");
    }

    /// Collects; the last line begins so. The mirror is sound after it.
    #[track_caller]
    pub fn collect(&mut self, grace: &str, removed: &str) {
        let run = self.far.run(["gc", "--grace", grace, "--mirror", "mirror"]).ok();
        assert!(run.stdout.lines().last().unwrap().starts_with(removed), "expected {removed}\n{}", run.told());
        self.collected = Some(Instant::now());
        self.verify();
    }

    /// Waits until what the last collection let wait is due.
    pub fn await_grace(&self) {
        // Times are recorded to the nanosecond, and a collection reads its clock as it begins.
        let due = self.collected.unwrap() + Duration::from_millis(1100);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    /// A project builds with the lock that was made online and with one resolved from the mirror, each in a clean home,
    /// and what it says when it runs is that it has these dependencies.
    #[track_caller]
    pub fn builds(&self, project: &str, has: &[&str]) {
        self.builds_either(project, has, has);
    }

    /// The same, where the two locks differ.
    #[track_caller]
    pub fn builds_either(&self, project: &str, locked: &[&str], resolved: &[&str]) {
        let needs = &self.projects[project];
        for (lock, has) in [(Some(&needs.lock), locked), (None, resolved)] {
            let folder = self.far.path("projects").join(project);
            if folder.exists() {
                fs::remove_dir_all(&folder).unwrap();
            }
            let written = needs.project(project).write(&folder);
            let client = self.client();
            match lock {
                Some(lock) => fs::write(folder.join("Cargo.lock"), lock).unwrap(),
                None => drop(client.lock(&written)),
            }
            let run = client.cargo(&written, ["run", "--locked", "--quiet"]).ok();
            assert_eq!(run.stdout.lines().collect::<Vec<_>>(), has, "{project}");
        }
    }

    /// What a tool prints that cargo installs from the mirror; `None` where cargo cannot find it.
    #[track_caller]
    pub fn installs(&self, tool: &str) -> Option<String> {
        let (client, root) = (self.client(), self.far.path("tools"));
        let words = ["install", tool, "--debug", "--root", root.to_str().unwrap()];
        let run = client.cargo(&self.far.path(""), words);
        if run.code != 0 {
            assert!(run.stderr.contains("could not find"), "{}", run.told());
            return None;
        }
        let said = std::process::Command::new(root.join("bin").join(tool)).output().unwrap();
        fs::remove_dir_all(root).unwrap();
        Some(String::from_utf8(said.stdout).unwrap())
    }

    fn client(&self) -> Client {
        Client::new().config(&self.far.run(["setup", "--url", self.serving.url()]).ok().stdout)
    }

    /// The versions of a crate that the index lists, and whether each is yanked.
    pub fn yanked(&self, name: &str) -> Vec<(String, bool)> {
        let answer = web::get(&format!("{}/index/{}", self.serving.url(), index_path(name)));
        if answer.status == 404 {
            return Vec::new();
        }
        assert_eq!(answer.status, 200, "{}", answer.head);
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (line["vers"].as_str().unwrap().to_owned(), line["yanked"].as_bool().unwrap())
        };
        String::from_utf8(answer.body).unwrap().lines().map(line).collect()
    }

    /// Whether the index lists that version.
    pub fn lists(&self, name: &str, version: &str) -> bool {
        self.yanked(name).iter().any(|(listed, _)| listed == version)
    }

    /// Whether the crate's file is served.
    pub fn serves(&self, name: &str, version: &str) -> bool {
        let answer = web::get(&format!("{}/crates/{name}-{version}.crate", self.serving.url()));
        assert!([200, 404].contains(&answer.status), "{}", answer.head);
        answer.status == 200
    }

    /// The sequence of the newest bundle of each history that the mirror's head knows.
    pub fn sequences(&self) -> Vec<u64> {
        let head: serde_json::Value = serde_json::from_str(&self.far.read("mirror/manifest.json")).unwrap();
        let lineages = head["lineages"].as_array().unwrap();
        lineages.iter().map(|lineage| lineage["sequence"].as_u64().unwrap()).collect()
    }
}

impl Needs {
    /// A program that prints which version it has of each dependency.
    fn project(&self, name: &str) -> Project {
        let print = |(name, _): &(String, String)| format!("println!(\"{name} {{}}\", {name}::VERSION);\n");
        let main: String = self.dependencies.iter().map(print).collect();
        let project = Project::new(name).main(&format!("fn main() {{\n{main}}}\n"));
        self.dependencies.iter().fold(project, |project, (name, req)| project.dep(name, req))
    }
}
