//! Rows `toolchain`: a release of 1 GiB from an upstream on loopback.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use frostmirror::event::NullSink;
use frostmirror::http::{Client, Settings};
use frostmirror::toolchain::{Profile, SelectionRequest};
use frostmirror::upstream::dist::{DistDownloader as Downloader, DownloadPlan, ToolchainRequest};

use super::measure::{alternate, peak_memory, timed};
use crate::support::dist::release::Release;
use crate::support::dist::{DistServer, RUSTUP};
use crate::support::upstream::Upstream;
use crate::{Bench, Outcome};

const RELEASE: &str = "1.95.0";
const HOSTS: [&str; 8] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "i686-pc-windows-msvc",
    "i686-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-gnu",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
];
const GIB: usize = 1024 * 1024 * 1024;
/// Most memory in MiB.
const MAX_MEMORY_MIB: f64 = 100.0;

impl Bench {
    /// Downloaded, fetched whole, imported, and what that holds in memory.
    pub fn toolchains(&self) -> Outcome<()> {
        let dist = DistServer::with_builder(Upstream::builder());
        let release = Release::stable(RELEASE, "2026-04-16").hosts(&HOSTS).cross_targets(&[]);
        dist.publish(&release.with_extra_bytes(GIB / HOSTS.len()).gz_only());
        dist.publish_rustup(RUSTUP, &HOSTS, b"#!/bin/sh\n");
        let order = ToolchainRequest {
            toolchains: vec!["stable".parse()?],
            selection: SelectionRequest {
                targets: HOSTS.map(str::to_owned).to_vec(),
                profile: Profile::Minimal,
                components: Vec::new(),
            },
        };
        let plan = download(dist.url(), &self.fresh_folder("first")?, &order)?.0;
        let paths: Vec<String> = plan.files.keys().map(ToString::to_string).collect();
        let bytes: u64 = plan.files.values().filter_map(|needed| needed.size).sum();
        println!("toolchains: {} files, {} MiB", paths.len(), bytes / 1024 / 1024);

        let by_curl = |folder: &Path| -> Outcome<f64> {
            let mut list = String::new();
            for path in &paths {
                list.push_str(&format!("url = \"{}/{path}\"\noutput = \"{}\"\n", dist.url(), path.replace('/', "_")));
            }
            fs::write(folder.join("list"), list)?;
            let started = Instant::now();
            timed(Command::new("curl").args(["-fsS", "-K", "list"]).current_dir(folder))?;
            let digests = "find . -type f -print0 | xargs -0 openssl dgst -sha256";
            timed(Command::new("sh").args(["-c", digests]).current_dir(folder))?;
            Ok(started.elapsed().as_secs_f64())
        };
        alternate(
            || Ok(download(dist.url(), &self.fresh_folder("ours")?, &order)?.1),
            || by_curl(&self.fresh_folder("curl")?),
        )?
        .print("download of 1 GiB / curl + openssl", Some(1.3));

        let fetch = |home: &Path| -> Outcome<Command> {
            let targets: Vec<String> = HOSTS.iter().map(|host| format!("\"{host}\"")).collect();
            let platforms = format!("[platforms]\ntargets = [{}]\nprofile = \"minimal\"\n", targets.join(", "));
            fs::write(home.join("depends.toml"), platforms)?;
            let mut command = self.frostmirror(home);
            command.current_dir(home).arg("fetch").arg("-o").arg(home.join("out"));
            command.env("FROSTMIRROR_DIST_URL", dist.url()).env("FROSTMIRROR_HOME", home.join("state"));
            Ok(command)
        };
        alternate(
            || self.in_fresh_folder("fetch", |home| timed(&mut fetch(home)?)),
            || self.in_fresh_folder("curl", by_curl),
        )?
        .print("fetch, pack, verify of 1 GiB / curl + openssl", Some(2.2));
        let home = self.fresh_folder("fetch")?;
        let peak = peak_memory(&mut fetch(&home)?)?;
        println!("{:<44} {peak:>7.0} MiB {:>39} {MAX_MEMORY_MIB:>6}", "fetch, pack, verify of 1 GiB: peak", "");
        let bundle: PathBuf = fs::read_dir(home.join("out"))?.next().ok_or("no bundle was written")??.path();

        let import = |mirror: &Path| {
            let mut command = self.frostmirror(&home);
            command.arg("import").arg(&bundle).arg("--mirror").arg(mirror);
            command
        };
        alternate(
            || {
                self.in_fresh_folder("mirror", |mirror| {
                    let started = Instant::now();
                    timed(&mut import(mirror))?;
                    timed(Command::new("sync").arg("-f").arg(mirror))?;
                    Ok(started.elapsed().as_secs_f64())
                })
            },
            || {
                self.in_fresh_folder("copy", |copy| {
                    let started = Instant::now();
                    timed(Command::new("cp").arg(&bundle).arg(copy.join("copy.pkg")))?;
                    timed(Command::new("sync").arg("-f").arg(copy))?;
                    timed(Command::new("openssl").args(["dgst", "-sha256"]).arg(&bundle))?;
                    Ok(started.elapsed().as_secs_f64())
                })
            },
        )?
        .print("import of 1 GiB / cp + openssl, synced", Some(2.0));
        let peak = peak_memory(&mut import(&self.fresh_folder("mirror")?))?;
        println!("{:<44} {peak:>7.0} MiB {:>39} {MAX_MEMORY_MIB:>6}", "import of 1 GiB: peak", "");
        Ok(())
    }
}

impl Bench {
    /// Does `work` in a fresh folder, and removes it: each has a GiB or two.
    fn in_fresh_folder(&self, name: &str, work: impl FnOnce(&Path) -> Outcome<f64>) -> Outcome<f64> {
        let folder = self.fresh_folder(name)?;
        let seconds = work(&folder);
        fs::remove_dir_all(&folder)?;
        seconds
    }
}

/// The download alone, in this process, and its seconds.
fn download(url: &str, home: &Path, order: &ToolchainRequest) -> Outcome<(DownloadPlan, f64)> {
    let downloader = Downloader {
        client: Client::new(&Settings::default())?,
        server_url: url.to_owned(),
        cache: home.join("cache"),
        jobs: 8,
        offline: false,
        now: jiff::Timestamp::now(),
        verb: "fetch",
        sink: Arc::new(NullSink),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let started = Instant::now();
    let plan = runtime.block_on(async {
        let mut plan = downloader.plan(std::slice::from_ref(order)).await?;
        downloader.fetch(&mut plan, &|_, _| true).await?;
        Ok::<_, frostmirror::upstream::dist::Error>(plan)
    })?;
    Ok((plan, started.elapsed().as_secs_f64()))
}
