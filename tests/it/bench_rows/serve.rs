//! Rows `serve`: requests a second, and a cold `cargo fetch`, beside nginx and beside the older namesake on one tree.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::measure::{Comparison, alternate, cargo, hermetic, median, on_path, peak_of, timed};
use crate::support::upstream::Upstream;
use crate::{Bench, Outcome};

/// How often each side answers, and for how many seconds.
const ROUNDS: usize = 5;
const SECONDS: usize = 3;
/// Connections that ask at once.
const CONNECTIONS: usize = 32;
/// MiB that ours may hold at the end of it.
const MAX_MEMORY_MIB: f64 = 64.0;

/// The requests: a name, the path, a header, and the goals against nginx and against frostmirror 1.0.0.
const REQUEST_ROWS: [(&str, &str, Option<&str>, f64); 4] = [
    ("index text of 35 kB", "/index/se/rv/served", None, 0.9),
    ("index text of 35 kB, gzip accepted", "/index/se/rv/served", Some("Accept-Encoding: gzip"), 0.9),
    ("crate of 10 kB", "/crates/small-1.0.0.crate", None, 0.8),
    ("crate of 300 kB", "/crates/large-1.0.0.crate", None, 0.7),
];
const MIN_RATIO_TO_1: f64 = 1.8;

/// A server on loopback; it ends with this value.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: nginx takes its workers along, which it cannot when it is killed.
        let requested = kill_process(Pid::from_child(&self.child), Signal::TERM).is_ok();
        let until = Instant::now() + Duration::from_secs(5);
        while requested && Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = self.child.kill().is_err() || self.child.wait().is_err();
    }
}

impl Bench {
    /// The rows `serve`.
    pub fn serving(&self) -> Outcome<()> {
        let tree = self.create_served_tree()?;
        match on_path("wrk") {
            Some(wrk) => self.requests_per_second_rows(&wrk, &tree)?,
            None => println!("{:<44} absent: wrk is not on PATH (apt-get install wrk)", "serve, requests a second"),
        }
        self.cold_fetch()
    }

    /// One index file and two crates, as old as a file must be to be kept in memory.
    pub(super) fn create_served_tree(&self) -> Outcome<PathBuf> {
        let tree = self.fresh_folder("served")?;
        for folder in ["index/se/rv", "crates"] {
            fs::create_dir_all(tree.join(folder))?;
        }
        let line = |n: usize| {
            let dep = r#"{"name":"served_derive","req":"^1.0","features":[],"optional":true,"default_features":true,"target":null,"kind":"normal"}"#;
            let digest = frostmirror::digest::Sha256::of(n.to_string().as_bytes());
            format!(
                "{{\"name\":\"served\",\"vers\":\"1.0.{n}\",\"deps\":[{dep}],\"cksum\":\"{digest}\",\"features\":{{}},\"yanked\":false}}\n"
            )
        };
        fs::write(tree.join("index/se/rv/served"), (0..125).map(line).collect::<String>())?;
        for (name, length) in [("small", 10_000), ("large", 300_000)] {
            let noise: Vec<u8> = (0u32..length).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
            fs::write(tree.join(format!("crates/{name}-1.0.0.crate")), noise)?;
        }
        std::thread::sleep(Duration::from_secs(3));
        Ok(tree)
    }

    fn requests_per_second_rows(&self, wrk: &Path, tree: &Path) -> Outcome<()> {
        let ours = self.start_ours(tree)?;
        for (name, other, goals) in [
            ("nginx", self.start_nginx(tree)?, None),
            ("frostmirror 1.0.0", self.start_frostmirror_1(tree)?, Some(MIN_RATIO_TO_1)),
        ] {
            let other = match other {
                Ok(other) => other,
                Err(why) => {
                    println!("{:<44} absent: {why}", format!("serve / {name}"));
                    continue;
                }
            };
            for (what, path, header, goal) in REQUEST_ROWS {
                let ask = |server: &Server, seconds| requests_per_second(wrk, server, path, header, seconds);
                let mut row = Comparison { ours: Vec::new(), theirs: Vec::new() };
                ask(&ours, 1)?;
                ask(&other, 1)?;
                for _ in 0..ROUNDS {
                    row.ours.push(ask(&ours, SECONDS)?);
                    row.theirs.push(ask(&other, SECONDS)?);
                }
                print_rates(&format!("{what} / {name}"), &row, goals.unwrap_or(goal));
            }
        }
        let peak = peak_of(ours.child.id()).ok_or("the server has ended")?;
        let verdict = if peak <= MAX_MEMORY_MIB { "met" } else { "missed" };
        println!("{:<44} {peak:>8.1} MiB {:>48} {verdict}", "serve under that load: peak", MAX_MEMORY_MIB);
        Ok(())
    }

    /// A cold `cargo fetch --locked` of more than 200 packages.
    fn cold_fetch(&self) -> Outcome<()> {
        let upstream = Upstream::builder().start();
        let (project, tree) = self.project_and_mirror(&upstream)?;
        let ours = self.start_ours(&tree)?;
        let home = || memory_folder();
        let ours_fetches =
            || fetch(&project, home()?.path(), &format!("index = \"sparse+http://{}/index/\"", ours.address));
        match self.start_nginx(&tree)? {
            Ok(nginx) => {
                write_config(&tree, &nginx.address)?;
                let replacement = format!("index = \"sparse+http://{}/index/\"", nginx.address);
                let row = alternate(ours_fetches, || fetch(&project, home()?.path(), &replacement))?;
                row.print("cold cargo fetch of 216 / nginx", Some(1.05));
            }
            Err(why) => println!("{:<44} absent: {why}", "cold cargo fetch of 216 / nginx"),
        }
        let row = alternate(ours_fetches, || {
            fetch(&project, home()?.path(), &format!("local-registry = {:?}", tree.join("crates")))
        })?;
        row.print("cold cargo fetch of 216 / local-registry", Some(1.35));
        match self.start_frostmirror_1(&tree)? {
            Ok(older) => {
                link_download_names(&tree)?;
                let replacement = format!("index = \"sparse+http://{}/index/\"", older.address);
                let row = alternate(ours_fetches, || fetch(&project, home()?.path(), &replacement))?;
                row.print("cold cargo fetch of 216 / frostmirror 1.0.0", Some(1.0));
            }
            Err(why) => println!("{:<44} absent: {why}", "cold cargo fetch of 216 / frostmirror 1.0.0"),
        }
        Ok(())
    }

    /// A project, and the mirror that our own fetch and import make for its lock.
    fn project_and_mirror(&self, upstream: &Upstream) -> Outcome<(PathBuf, PathBuf)> {
        let (lock, home) = (super::fetch::publish_layers(upstream, 220), self.fresh_folder("ours")?);
        let (project, tree) = (self.project(&lock)?, home.join("mirror"));
        let mut command = self.frostmirror(&home);
        command.args(["fetch", "--lockfile"]).arg(project.join("Cargo.lock")).arg("-o").arg(home.join("out"));
        timed(command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url()))?;
        let mut command = self.frostmirror(&home);
        command.arg("import").arg("--mirror").arg(&tree);
        for entry in fs::read_dir(home.join("out"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "pkg") {
                command.arg(path);
            }
        }
        timed(&mut command)?;
        let link = tree.join("crates/index");
        if link.symlink_metadata().is_err() {
            symlink("../index", link)?;
        }
        std::thread::sleep(Duration::from_secs(3));
        Ok((project, tree))
    }

    pub(super) fn start_ours(&self, tree: &Path) -> Outcome<Server> {
        let mut command = self.frostmirror(&self.fresh_folder("server")?);
        let address = free_address()?;
        command.args(["serve", "-q", "--bind", &address, "--mirror"]).arg(tree);
        start_server(&mut command, address)
    }

    /// nginx with one worker; `Err` says why there is none.
    fn start_nginx(&self, tree: &Path) -> Outcome<Result<Server, String>> {
        let sbin = PathBuf::from("/usr/sbin/nginx");
        let Some(nginx) = on_path("nginx").or(sbin.is_file().then_some(sbin)) else {
            return Ok(Err("nginx is not installed (apt-get install nginx)".to_owned()));
        };
        let (home, address) = (self.fresh_folder("nginx")?, free_address()?);
        let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("  {name}_temp_path {}/{name};\n", home.display()))
            .concat();
        // Without a user of its own, the worker may not read a folder that only its owner may enter.
        let user = if rustix::process::getuid().is_root() { "user root;\n" } else { "" };
        let text = format!(
            "{user}worker_processes 1;\ndaemon off;\npid {home}/pid;\nerror_log {home}/error;\nevents {{ worker_connections 1024; }}\n\
             http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 100000000;\n  gzip off;\n\
             \x20 open_file_cache max=10000 inactive=60s;\n  open_file_cache_valid 60s;\n  default_type application/octet-stream;\n\
             {scratch}  server {{ listen {address}; root {tree}; }}\n}}\n",
            home = home.display(),
            tree = tree.display(),
        );
        fs::write(home.join("nginx.conf"), text)?;
        let mut command = Command::new(nginx);
        command.arg("-c").arg(home.join("nginx.conf")).arg("-p").arg(&home).arg("-e").arg(home.join("error"));
        Ok(Ok(start_server(&mut command, address)?))
    }

    /// The binary that FROSTMIRROR_1 names, or `frostmirror` on PATH; `Err` says that there is none.
    fn start_frostmirror_1(&self, tree: &Path) -> Outcome<Result<Server, String>> {
        let program = match frostmirror_1() {
            Ok(program) => program,
            Err(why) => return Ok(Err(why)),
        };
        let (home, address) = (self.fresh_folder("older")?, free_address()?);
        let mut command = Command::new(program);
        hermetic(&mut command, &home);
        command.args(["serve", "--bind", &address, "--base-url", &format!("http://{address}"), "--mirror"]);
        command.arg(tree).arg("--incoming").arg(&home).env("RUST_LOG", "off");
        Ok(Ok(start_server(&mut command, address)?))
    }
}

/// The binary that FROSTMIRROR_1 names, or `frostmirror` on PATH.
pub(super) fn frostmirror_1() -> Result<PathBuf, String> {
    let named = std::env::var_os("FROSTMIRROR_1").map(PathBuf::from);
    let absent = || "frostmirror 1.0.0 is neither in FROSTMIRROR_1 nor on PATH".to_owned();
    named.or_else(|| on_path("frostmirror")).ok_or_else(absent)
}

/// A port that was free a moment ago.
pub(super) fn free_address() -> Outcome<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

pub(super) fn start_server(command: &mut Command, address: String) -> Outcome<Server> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut server = Server { child, address };
    let begun = Instant::now();
    while TcpStream::connect(&server.address).is_err() {
        if begun.elapsed() > Duration::from_secs(20) || server.child.try_wait()?.is_some() {
            return Err(format!("{command:?} does not listen").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}

/// The counts of wrk; one unsuccessful answer ends the benchmark.
pub(super) fn requests_per_second(
    wrk: &Path,
    server: &Server,
    path: &str,
    header: Option<&str>,
    seconds: usize,
) -> Outcome<f64> {
    let mut command = Command::new(wrk);
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")]);
    if let Some(header) = header {
        command.args(["-H", header]);
    }
    let output = command.arg(format!("http://{}{path}", server.address)).output()?;
    let text = String::from_utf8(output.stdout)?;
    if !output.status.success() || text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    Ok(rate.ok_or("wrk tells no rate")?.trim().parse()?)
}

/// Here more is better.
pub(super) fn print_rates(name: &str, row: &Comparison, goal: f64) {
    let mut ratios = row.ratios();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
    let verdict = match () {
        () if low >= goal => "met",
        () if high < goal => "missed",
        () => "within the spread",
    };
    println!(
        "{name:<44} {:>6.0} r/s {:>6.0} r/s {:>8.3} {low:>8.3}-{high:<8.3} {goal:>6} {verdict}",
        median(&row.ours),
        median(&row.theirs),
        median(&ratios),
    );
}

/// Where disks count for nothing, as long as the system has such a place.
fn memory_folder() -> Outcome<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

fn fetch(project: &Path, home: &Path, source: &str) -> Outcome<f64> {
    let (kind, source) = match source.strip_prefix("index = ") {
        Some(index) => ("registry", format!("registry = {index}")),
        None => ("local", source.to_owned()),
    };
    let text = format!("[source.crates-io]\nreplace-with = \"{kind}\"\n[source.{kind}]\n{source}\n");
    fs::write(home.join("config.toml"), text)?;
    timed(cargo(home).args(["fetch", "--locked", "--quiet"]).current_dir(project))
}

/// The names under which frostmirror 1.0.0 has its clients ask for crates, which it serves as plain files.
fn link_download_names(tree: &Path) -> Outcome<()> {
    for entry in fs::read_dir(tree.join("crates"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix("-1.0.0.crate"));
        if let Some(name) = name {
            let folder = tree.join("crates").join(name).join("1.0.0");
            fs::create_dir_all(&folder)?;
            fs::hard_link(&path, folder.join("download"))?;
        }
    }
    Ok(())
}

/// What a server of plain files needs; ours makes its own for each client.
fn write_config(tree: &Path, address: &str) -> Outcome<()> {
    let dl = format!("http://{address}/crates/{{crate}}-{{version}}.crate");
    let text = format!("{{\"dl\":\"{dl}\",\"api\":\"http://{address}\"}}");
    Ok(fs::write(tree.join("index/config.json"), text)?)
}
