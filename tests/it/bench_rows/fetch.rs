//! Rows that fetch: `lock` and `depends` against a fake upstream with a far continent's latency, `network` against the
//! real crates.io.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::measure::{alternate, cargo, hermetic, timed};
use super::serve::frostmirror_1;
use crate::support::crates::Crate;
use crate::support::upstream::Upstream;
use crate::{Bench, Outcome};

/// Latency of the fake upstream: a request's way over a good line to a far continent's cache.
pub const LATENCY: Duration = Duration::from_millis(40);

impl Bench {
    /// The rows `lock`: HTTP/2 and HTTP/1.1.
    pub fn locks(&self) -> Outcome<()> {
        let upstream = Upstream::builder().tls().latency(LATENCY).start();
        self.lockfile("fetch --lockfile / cargo fetch, HTTP/2", &upstream)?;
        let upstream = Upstream::builder().latency(LATENCY).start();
        self.lockfile("fetch --lockfile / cargo fetch, HTTP/1.1", &upstream)
    }

    /// The same lock, cold caches on both sides.
    fn lockfile(&self, name: &str, upstream: &Upstream) -> Outcome<()> {
        let lock = publish_layers(upstream, 220);
        let project = self.project(&lock)?;
        let ca = self.path("ca.pem");
        let secure = upstream.base_url().starts_with("https");
        if secure {
            fs::write(&ca, upstream.ca_pem())?;
        }
        let http = if secure { format!("[http]\ncainfo = {ca:?}\n") } else { String::new() };
        let row = alternate(
            || {
                let home = self.fresh_folder("ours")?;
                fs::write(home.join("config.toml"), &http)?;
                let mut command = self.frostmirror(&home);
                command.args(["fetch", "--lockfile"]).arg(project.join("Cargo.lock"));
                command.arg("-o").arg(home.join("out")).env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
                timed(&mut command)
            },
            || {
                let home = self.fresh_folder("cargo")?;
                fs::write(home.join("config.toml"), replacement(&upstream.index_url(), &http))?;
                timed(cargo(&home).args(["fetch", "--locked"]).current_dir(&project))
            },
        )?;
        row.print(name, Some(0.6));
        Ok(())
    }

    /// Ten entries of a depends.toml against the older namesake.
    pub fn depends(&self) -> Outcome<()> {
        let name = "fetch of ten entries / frostmirror 1.0.0";
        let other = match frostmirror_1() {
            Ok(other) => other,
            Err(absent) => {
                println!("{name:<44} absent: {absent}");
                return Ok(());
            }
        };
        let upstream = Upstream::builder().latency(LATENCY).start();
        publish_layers(&upstream, 220);
        let depends: String =
            (0..10).fold("[dependencies]\n".to_owned(), |text, n| text + &format!("layer5-{n:03} = \"1\"\n"));
        let row = alternate(
            || {
                let home = self.fresh_folder("ours")?;
                fs::write(home.join("depends.toml"), &depends)?;
                let mut command = self.frostmirror(&home);
                command.args(["fetch", "-c"]).arg(home.join("depends.toml")).arg("-o").arg(home.join("out"));
                command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
                timed(&mut command)
            },
            || {
                let home = self.fresh_folder("other")?;
                fs::write(home.join("depends.toml"), &depends)?;
                fs::write(home.join("config.toml"), replacement(&upstream.index_url(), ""))?;
                let mut command = Command::new(&other);
                hermetic(&mut command, &home);
                command.args(["fetch", "--skip-rustup", "-c"]).arg(home.join("depends.toml"));
                command.arg("-o").arg(home.join("out")).current_dir(&home);
                command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url().trim_start_matches("sparse+"));
                command
                    .env("FROSTMIRROR_DL_URL", format!("{}/api/v1/crates", upstream.base_url().trim_end_matches('/')));
                timed(&mut command)
            },
        )?;
        row.print(name, Some(0.4));
        Ok(())
    }

    /// The project's own lock from the real crates.io.
    pub fn network(&self, root: &Path) -> Outcome<()> {
        let name = "fetch --lockfile / cargo fetch, crates.io";
        if std::env::var_os("FROSTMIRROR_TEST_NETWORK").is_none_or(|value| value != "1") {
            println!("{name:<44} absent: set FROSTMIRROR_TEST_NETWORK=1 for the real crates.io");
            return Ok(());
        }
        let project = self.path("self");
        fs::create_dir_all(project.join("src"))?;
        fs::create_dir_all(project.join("xtask/src"))?;
        for file in ["Cargo.toml", "Cargo.lock", "xtask/Cargo.toml"] {
            fs::copy(root.join(file), project.join(file))?;
        }
        for file in ["src/lib.rs", "src/main.rs", "xtask/src/main.rs"] {
            fs::write(project.join(file), "")?;
        }
        let row = alternate(
            || {
                let home = self.fresh_folder("ours")?;
                let mut command = self.frostmirror(&home);
                command.args(["fetch", "--lockfile"]).arg(project.join("Cargo.lock")).arg("-o").arg(home.join("out"));
                timed(&mut command)
            },
            || {
                let home = self.fresh_folder("cargo")?;
                timed(cargo(&home).args(["fetch", "--locked"]).current_dir(&project))
            },
        )?;
        row.print(name, Some(0.6));
        Ok(())
    }

    /// A project that depends on the topmost layer, with its lock.
    pub fn project(&self, lock: &str) -> Outcome<PathBuf> {
        let project = self.fresh_folder("project")?;
        fs::create_dir_all(project.join("src"))?;
        fs::write(project.join("src/lib.rs"), "")?;
        let mut manifest =
            "[package]\nname = \"bench\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\n".to_owned();
        for name in top_layer() {
            manifest.push_str(&format!("{name} = \"1\"\n"));
        }
        fs::write(project.join("Cargo.toml"), manifest)?;
        let dependencies: Vec<String> = top_layer().collect();
        let quoted: Vec<String> = dependencies.iter().map(|name| format!("\"{name}\"")).collect();
        let root =
            format!("\n[[package]]\nname = \"bench\"\nversion = \"0.0.0\"\ndependencies = [{}]\n", quoted.join(", "));
        fs::write(project.join("Cargo.lock"), format!("{lock}{root}"))?;
        Ok(project)
    }
}

/// Layers of crates, each depending on three of the layer below: a graph as deep as real ones are.
const LAYERS: usize = 6;

fn layer_name(layer: usize, n: usize) -> String {
    format!("layer{layer}-{n:03}")
}

fn top_layer() -> impl Iterator<Item = String> {
    (0..36).map(|n| layer_name(LAYERS - 1, n))
}

/// Publishes about `count` crates and gives their lock.
pub fn publish_layers(upstream: &Upstream, count: usize) -> String {
    let width = count / LAYERS;
    let mut lock = LOCK_HEAD.to_owned();
    for layer in 0..LAYERS {
        for n in 0..width {
            let name = layer_name(layer, n);
            // Sizes as uneven as those of real crates: 4 kB to 250 kB, 60 kB on average.
            let weight = 4_000 + (n * 7919 + layer * 104_729) % 57 * (n % 11 + 1) * 400;
            let below: Vec<String> = if layer == 0 {
                Vec::new()
            } else {
                (0..3).map(|k| layer_name(layer - 1, (n + k * 7) % width)).collect()
            };
            let item =
                below.iter().fold(Crate::new(&name, "1.0.0").with_extra_bytes(weight), |item, dep| item.dep(dep, "^1"));
            let packed = upstream.publish(item);
            lock.push_str(&lock_entry(&name, &packed.cksum, &below));
        }
    }
    lock
}

/// How a Cargo.lock begins.
pub const LOCK_HEAD: &str = "version = 4\n";

/// One package of a Cargo.lock.
pub fn lock_entry(name: &str, cksum: &str, dependencies: &[String]) -> String {
    let mut sorted: Vec<String> = dependencies.iter().map(|name| format!(" \"{name}\",\n")).collect();
    sorted.sort();
    sorted.dedup();
    let dependencies =
        if sorted.is_empty() { String::new() } else { format!("dependencies = [\n{}]\n", sorted.concat()) };
    format!(
        "\n[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{cksum}\"\n{dependencies}"
    )
}

pub fn replacement(index: &str, more: &str) -> String {
    let index = index.trim_start_matches("sparse+");
    format!("[source.crates-io]\nreplace-with = \"bench\"\n[registries.bench]\nindex = \"sparse+{index}\"\n{more}")
}
