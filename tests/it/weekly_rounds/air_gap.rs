//! The machines of the year: one on either side of the gap, the stick between them, and the projects on both.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use frostmirror::bundle::format::{BundleKind, CrateState};

use crate::delta::{crates_in_state, read_manifest};
use crate::support::client::{Client, Project};
use crate::support::crates::index_path;
use crate::support::http_client;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::upstream::Upstream;
use crate::support::wait;

/// How long crates stay after their lines in the weekly collections, and how long a week is at least.
pub const GRACE: &str = "1s";

/// A Thursday.
const START_TIME: u64 = 1_790_000_000;

/// Both sides of the gap.
pub struct AirGap {
    pub upstream: Upstream,
    connected: Sandbox,
    offline: Sandbox,
    serving: RunningServer,
    /// Bundles so far.
    bundle_count: u64,
    /// The id and the file of each history's newest bundle, and how large its full one was.
    newest_bundles: BTreeMap<String, (String, String, u64)>,
    projects: BTreeMap<String, ProjectNeeds>,
    last_gc: Option<Instant>,
}

/// What a project depends on, and the lock that was made online.
struct ProjectNeeds {
    dependencies: Vec<(String, String)>,
    lock: String,
}

impl AirGap {
    /// A server over an empty mirror, which watches a folder.
    pub fn start() -> AirGap {
        let upstream = Upstream::start();
        let near = Sandbox::new().upstream(&upstream);
        let far = Sandbox::new();
        for folder in ["incoming", "mirror"] {
            fs::create_dir(far.path(folder)).unwrap();
        }
        let serving = far.serve(["--mirror", "mirror", "--watch-incoming", "--incoming", "incoming"]);
        AirGap {
            upstream,
            connected: near,
            offline: far,
            serving,
            bundle_count: 0,
            newest_bundles: BTreeMap::new(),
            projects: BTreeMap::new(),
            last_gc: None,
        }
    }

    pub fn mirror(&self) -> PathBuf {
        self.offline.path("mirror")
    }

    /// Sets what a project depends on, and resolves it online: its depends.toml and its Cargo.lock.
    pub fn set_dependencies(&mut self, project: &str, dependencies: &[(&str, &str)]) {
        let lines: String = dependencies.iter().map(|(name, req)| format!("{name} = {req:?}\n")).collect();
        self.connected.write(format!("{project}/depends.toml"), format!("[dependencies]\n{lines}"));
        let owned = dependencies.iter().map(|(name, req)| ((*name).to_owned(), (*req).to_owned())).collect();
        let needs = ProjectNeeds { dependencies: owned, lock: String::new() };
        let folder = self.connected.path(project);
        fs::remove_file(folder.join("Cargo.lock")).ok();
        let lock = Client::with_index(&self.upstream.index_url()).lock(&needs.project(project).write(&folder));
        self.projects.insert(project.to_owned(), ProjectNeeds { lock, ..needs });
    }

    /// Fetches for one history; the name of the bundle, which is on the stick. The bundle must verify, and be
    /// a delta on the one before it where it is to be one, and then it is smaller than the full one.
    #[track_caller]
    pub fn fetch(&mut self, history: &str, args: &[&str]) -> String {
        self.bundle_count += 1;
        let time = START_TIME + self.bundle_count * 7 * 24 * 60 * 60;
        let vars = [
            ("SOURCE_DATE_EPOCH", time.to_string()),
            ("FROSTMIRROR_HISTORY", self.connected.path(format!("histories/{history}")).display().to_string()),
        ];
        let args = [&["fetch", "-o", "stick"], args].concat();
        let bundle = self.connected.process(&args).envs(vars).run().ok().path();
        let file = bundle.file_name().unwrap().to_str().unwrap().to_owned();
        self.connected.run(["verify".as_ref(), bundle.as_os_str()]).ok();
        let (contents, size) = (read_manifest(&bundle), bundle.metadata().unwrap().len());
        let full = match self.newest_bundles.get(history) {
            None => {
                assert_eq!(contents.kind, BundleKind::Full);
                assert!(contents.parent.is_none());
                size
            }
            Some((id, parent, full)) => {
                assert_eq!(contents.kind, BundleKind::Delta);
                let named = contents.parent.as_ref().unwrap();
                assert_eq!((&named.id, &named.file), (id, parent));
                assert!(size * 4 < *full, "{file} has {size} bytes, the full one {full}");
                *full
            }
        };
        self.newest_bundles.insert(history.to_owned(), (contents.id, file.clone(), full));
        file
    }

    /// The crates that a bundle brings.
    pub fn shipped_crates(&self, bundle: &str) -> Vec<String> {
        crates_in_state(&read_manifest(&self.connected.path("stick").join(bundle)), CrateState::Shipped)
    }

    /// Carries a bundle over and imports it; the mirror is sound after it.
    #[track_caller]
    pub fn import(&self, bundle: &str) {
        self.copy_across(bundle, &format!("stick/{bundle}"));
        self.offline.run(["import", &format!("stick/{bundle}"), "--mirror", "mirror"]).ok();
        self.verify();
    }

    /// Carries a bundle over, and it is refused because that crate is not held.
    #[track_caller]
    pub fn assert_refused(&self, bundle: &str, missing: &str) {
        let script = ["import", &format!("stick/{bundle}"), "--mirror", "mirror"];
        self.copy_across(bundle, script[1]);
        let parent = read_manifest(&self.connected.path("stick").join(bundle)).parent.unwrap().file;
        self.offline.run(script).exits(4).stderr_has(&parent).stderr_has(missing);
        self.verify();
    }

    /// Carries several over, each under another name, and imports the folder.
    #[track_caller]
    pub fn import_folder(&self, bundles: &[(&str, &str)]) {
        for (bundle, name) in bundles {
            self.copy_across(bundle, &format!("several/{name}"));
        }
        self.offline.run(["import", "several", "--mirror", "mirror"]).ok();
        self.verify();
    }

    /// Drops a bundle into the folder that the server watches, and waits until it is done.
    #[track_caller]
    pub fn drop_into_incoming(&self, bundle: &str) {
        self.copy_across(bundle, &format!("on-its-way/{bundle}"));
        let (done, failed) = ("incoming/done", "incoming/failed");
        fs::rename(self.offline.path("on-its-way").join(bundle), self.offline.path("incoming").join(bundle)).unwrap();
        let log = || self.serving.running().stderr();
        wait::until_with(format!("`{bundle}` is imported"), log, || {
            assert!(!self.offline.path(failed).join(bundle).exists(), "{}", log());
            self.offline.path(done).join(bundle).exists()
        });
        self.verify();
    }

    fn copy_across(&self, bundle: &str, to: &str) {
        self.offline.write(to, fs::read(self.connected.path("stick").join(bundle)).unwrap());
    }

    /// The audit finds nothing.
    #[track_caller]
    fn verify(&self) {
        self.offline.run(["verify", "--mirror", "mirror"]).ok().stdout_has("OK -- ");
    }

    /// Collects; the last line begins so. The mirror is sound after it.
    #[track_caller]
    pub fn run_gc(&mut self, grace: &str, removed: &str) {
        let run = self.offline.run(["gc", "--grace", grace, "--mirror", "mirror"]).ok();
        assert!(run.stdout.lines().last().unwrap().starts_with(removed), "expected {removed}\n{}", run.describe());
        self.last_gc = Some(Instant::now());
        self.verify();
    }

    /// Waits until what the last collection let wait is due.
    pub fn wait_for_grace_period(&self) {
        // Times are recorded to the nanosecond, and a collection reads its clock as it begins.
        let due = self.last_gc.unwrap() + Duration::from_millis(1100);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }

    /// A project builds with the lock that was made online and with one resolved from the mirror, each in a clean home,
    /// and what it says when it runs is that it has these dependencies.
    #[track_caller]
    pub fn assert_builds(&self, project: &str, has: &[&str]) {
        self.assert_builds_with(project, has, has);
    }

    /// The same, where the two locks differ.
    #[track_caller]
    pub fn assert_builds_with(&self, project: &str, locked: &[&str], resolved: &[&str]) {
        let needs = &self.projects[project];
        for (lock, has) in [(Some(&needs.lock), locked), (None, resolved)] {
            let folder = self.offline.path("projects").join(project);
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
    pub fn install_and_run(&self, tool: &str) -> Option<String> {
        let (client, root) = (self.client(), self.offline.path("tools"));
        let args = ["install", tool, "--debug", "--root", root.to_str().unwrap()];
        let run = client.cargo(&self.offline.path(""), args);
        if run.code != 0 {
            assert!(run.stderr.contains("could not find"), "{}", run.describe());
            return None;
        }
        let output = std::process::Command::new(root.join("bin").join(tool)).output().unwrap();
        fs::remove_dir_all(root).unwrap();
        Some(String::from_utf8(output.stdout).unwrap())
    }

    fn client(&self) -> Client {
        Client::new().config(&self.offline.run(["setup", "--url", self.serving.url()]).ok().stdout)
    }

    /// The versions of a crate that the index lists, and whether each is yanked.
    pub fn versions_and_yanks(&self, name: &str) -> Vec<(String, bool)> {
        let answer = http_client::get(&format!("{}/index/{}", self.serving.url(), index_path(name)));
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
    pub fn is_listed(&self, name: &str, version: &str) -> bool {
        self.versions_and_yanks(name).iter().any(|(listed, _)| listed == version)
    }

    /// Whether the crate's file is served.
    pub fn is_served(&self, name: &str, version: &str) -> bool {
        let answer = http_client::get(&format!("{}/crates/{name}-{version}.crate", self.serving.url()));
        assert!([200, 404].contains(&answer.status), "{}", answer.head);
        answer.status == 200
    }

    /// The sequence of the newest bundle of each history that the mirror's head knows.
    pub fn newest_sequences(&self) -> Vec<u64> {
        let head: serde_json::Value = serde_json::from_str(&self.offline.read("mirror/manifest.json")).unwrap();
        let lineages = head["lineages"].as_array().unwrap();
        lineages.iter().map(|lineage| lineage["sequence"].as_u64().unwrap()).collect()
    }
}

impl ProjectNeeds {
    /// A program that prints which version it has of each dependency.
    fn project(&self, name: &str) -> Project {
        let print = |(name, _): &(String, String)| format!("println!(\"{name} {{}}\", {name}::VERSION);\n");
        let main: String = self.dependencies.iter().map(print).collect();
        let project = Project::new(name).main(&format!("fn main() {{\n{main}}}\n"));
        self.dependencies.iter().fold(project, |project, (name, req)| project.dep(name, req))
    }
}
