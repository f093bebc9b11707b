//! Rows `live`: what a mirror costs that fetches what it lacks. Many clients on an empty one, a cold `cargo fetch` through it
//! beside one without it, and files that are held.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::fetch::{LATENCY, publish_layers, replacement};
use super::measure::{Comparison, alternate, cargo, hermetic, on_path, timed};
use super::serve::{Server, free_address, frostmirror_1, print_rates, requests_per_second, start_server};
use super::server_process::ServerProcess;
use crate::support::crates::{Crate, index_path};
use crate::support::tls::CertificateAuthority;
use crate::support::upstream::Upstream;
use crate::{Bench, Outcome};

/// Crates of the soak, its clients, and the MiB that the server may hold at its end.
const CRATES: usize = 2_000;
const CLIENTS: usize = 32;
const MAX_MEMORY_MIB: f64 = 100.0;

/// How often each side serves stored files, and for how many seconds.
const ROUNDS: usize = 5;
const SECONDS: usize = 2;

/// What a fetch through an empty mirror may take of one without.
const MAX_COLD_RATIO: f64 = 1.1;

impl Bench {
    /// The rows `live`.
    pub fn live(&self) -> Outcome<()> {
        self.soak()?;
        self.fetch_through_empty_mirror()?;
        match on_path("wrk") {
            Some(wrk) => self.serve_stored_files(&wrk),
            None => {
                println!("{:<44} absent: wrk is not on PATH (apt-get install wrk)", "live, requests a second");
                Ok(())
            }
        }
    }

    /// Two clients ask for each file at about the same time; each is fetched once.
    fn soak(&self) -> Outcome<()> {
        let upstream = Upstream::start();
        let (paths, right) = publish_flat(&upstream);
        let home = self.fresh_folder("soak")?;
        let mut server = ServerProcess::start(&mut self.live_server(&home, &upstream))?;
        let twice = [paths.as_slice(), paths.as_slice()].concat();
        let seconds = server.check(&twice, CLIENTS, |path, body| right[path] == *body)?;
        let peak_of_answers = server.peak_memory()?;
        let tree = home.join("mirror");
        let placed = Instant::now();
        while count_files(&tree.join("crates"))? < CRATES || count_files(&tree.join(".frostmirror/live/partial"))? > 0 {
            if placed.elapsed() > Duration::from_secs(120) {
                return Err(format!("{} of {CRATES} crates are placed", count_files(&tree.join("crates"))?).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let peak = server.peak_memory()?.max(peak_of_answers);
        server.stop()?;
        timed(self.frostmirror(&home).args(["verify", "--mirror"]).arg(&tree))?;
        let mut requested: HashMap<String, usize> = HashMap::new();
        for seen in upstream.requests() {
            *requested.entry(seen.path).or_default() += 1;
        }
        if let Some((path, times)) = requested.iter().find(|(_, times)| **times > 1) {
            return Err(format!("upstream was asked {times} times for {path}").into());
        }
        let name = format!("live, {CLIENTS} clients, {CRATES} crates, empty mirror");
        println!("{name:<44} {seconds:>8.3} s; {} requests upstream, each once", requested.len());
        let verdict = if peak <= MAX_MEMORY_MIB { "met" } else { "missed" };
        println!("{:<44} {peak:>8.1} MiB {MAX_MEMORY_MIB:>48} {verdict}", "live, under that load: peak");
        Ok(())
    }

    /// A cold `cargo fetch --locked` of more than 200 packages through an empty mirror, and one that asks upstream itself.
    fn fetch_through_empty_mirror(&self) -> Outcome<()> {
        // Over plain HTTP cargo asks for one file after the other, so that like is held against like; and the mixed case, where
        // upstream speaks HTTP/2 and the mirror has no certificate.
        let upstream = Upstream::builder().tls().latency(LATENCY).start();
        self.cold_fetch_ratio("live, cold cargo fetch of 216, HTTP/2", &upstream, true)?;
        self.cold_fetch_ratio("the same, HTTP/2 upstream, mirror plain", &upstream, false)?;
        let upstream = Upstream::builder().http1().latency(LATENCY).start();
        self.cold_fetch_ratio("live, cold cargo fetch of 216, HTTP/1.1", &upstream, false)?;
        self.cold_fetch_against_1("live, cold cargo fetch / frostmirror 1.0.0", &upstream)
    }

    fn cold_fetch_ratio(&self, name: &str, upstream: &Upstream, secured_too: bool) -> Outcome<()> {
        let project = self.project(&publish_layers(upstream, 220))?;
        let direct = || {
            let home = self.fresh_folder("direct")?;
            let secure = trust_settings(&home, upstream)?;
            cold_fetch(&project, &home, &upstream.index_url(), &secure)
        };
        let ours = || match secured_too {
            true => self.cold_fetch_through_ours_tls(&project, upstream),
            false => self.cold_fetch_through_ours(&project, upstream),
        };
        alternate(ours, direct)?.print(name, Some(MAX_COLD_RATIO));
        Ok(())
    }

    fn cold_fetch_through_ours(&self, project: &Path, upstream: &Upstream) -> Outcome<f64> {
        let server = ServerProcess::start(&mut self.live_server(&self.fresh_folder("live")?, upstream))?;
        cold_fetch(project, &self.fresh_folder("client")?, &format!("{}/index/", server.url()), "")
    }

    /// The same over TLS, and so over HTTP/2.
    fn cold_fetch_through_ours_tls(&self, project: &Path, upstream: &Upstream) -> Outcome<f64> {
        let (home, client) = (self.fresh_folder("live")?, self.fresh_folder("client")?);
        let authority = CertificateAuthority::new();
        let (certificate, key) = authority.issue(&["127.0.0.1"]);
        let ca: PathBuf = client.join("ca.pem");
        for (path, text) in
            [(home.join("cert.pem"), certificate), (home.join("key.pem"), key), (ca.clone(), authority.pem())]
        {
            fs::write(path, text)?;
        }
        let mut command = self.live_server(&home, upstream);
        command.arg("--tls-cert").arg(home.join("cert.pem")).arg("--tls-key").arg(home.join("key.pem"));
        let server = ServerProcess::start(&mut command)?;
        cold_fetch(project, &client, &format!("{}/index/", server.url()), &format!("[http]\ncainfo = {ca:?}\n"))
    }

    /// The same through frostmirror 1.0.0, which must be slower.
    fn cold_fetch_against_1(&self, name: &str, upstream: &Upstream) -> Outcome<()> {
        let program = match frostmirror_1().and_then(|program| check_namespaces().map(|()| program)) {
            Ok(program) => program,
            Err(why) => {
                println!("{name:<44} absent: {why}");
                return Ok(());
            }
        };
        let project = self.project(&publish_layers(&Upstream::start(), 220))?;
        let other = || {
            let server = self.live_1(&program, upstream)?;
            cold_fetch(&project, &self.fresh_folder("client")?, &format!("http://{}/index/", server.address), "")
        };
        alternate(|| self.cold_fetch_through_ours(&project, upstream), other)?.print(name, Some(1.0));
        Ok(())
    }

    /// Stored files, with live mode on and off.
    fn serve_stored_files(&self, wrk: &Path) -> Outcome<()> {
        const HELD: [(&str, &str); 3] = [
            ("live on / off, index text of 35 kB", "/index/se/rv/served"),
            ("live on / off, crate of 10 kB", "/crates/small-1.0.0.crate"),
            ("live on / off, crate of 300 kB", "/crates/large-1.0.0.crate"),
        ];
        let tree = self.create_served_tree()?;
        let upstream = Upstream::start();
        upstream.set_index("se/rv/served", &fs::read_to_string(tree.join("index/se/rv/served"))?);
        let address = free_address()?;
        let mut command = self.frostmirror(&self.fresh_folder("on")?);
        command.args(["serve", "-q", "--live", "--bind", &address, "--mirror"]).arg(&tree);
        command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
        let (on, off) = (start_server(&mut command, address)?, self.start_ours(&tree)?);
        for (name, path) in HELD {
            let ask = |server: &Server, seconds| requests_per_second(wrk, server, path, None, seconds);
            let mut row = Comparison { ours: Vec::new(), theirs: Vec::new() };
            ask(&on, 1)?;
            ask(&off, 1)?;
            for _ in 0..ROUNDS {
                row.ours.push(ask(&on, SECONDS)?);
                row.theirs.push(ask(&off, SECONDS)?);
            }
            print_rates(name, &row, 1.0);
        }
        let request_count = upstream.requests().len();
        // config.json, and the index file once.
        if request_count > 2 {
            return Err(format!("upstream received {request_count} requests for stored files").into());
        }
        Ok(())
    }

    /// A server with live mode on and an empty mirror in `home`.
    fn live_server(&self, home: &Path, upstream: &Upstream) -> Command {
        let mut command = self.frostmirror(home);
        command.args(["serve", "-q", "--live", "--bind", "127.0.0.1:0", "--mirror"]).arg(home.join("mirror"));
        command.arg("--incoming").arg(home.join("incoming")).arg("--config-dir").arg(home.join("config"));
        command.env("FROSTMIRROR_REGISTRY_URL", upstream.index_url());
        if upstream.base_url().starts_with("https") {
            let ca = self.path("live-ca.pem");
            fs::write(&ca, upstream.ca_pem()).expect("a folder of our own");
            command.env("SSL_CERT_FILE", ca);
        }
        command
    }

    /// Frostmirror 1.0.0 with its proxy mode on. It reads `/config/frostmirror.toml` and nothing else, so it is given a view
    /// of the file system that has one.
    fn live_1(&self, program: &Path, upstream: &Upstream) -> Outcome<Server> {
        let (home, root, address) = (self.fresh_folder("older")?, self.fresh_folder("root")?, free_address()?);
        let base = upstream.base_url();
        fs::create_dir(root.join("config"))?;
        fs::write(
            root.join("config/frostmirror.toml"),
            format!(
                "proxy_mode = true\nproxy_index_url = \"{base}/index\"\nproxy_dl_url = \"{base}/api/v1/crates\"\n\
                 proxy_dist_url = \"{base}\"\n"
            ),
        )?;
        // It would pass on upstream's, and its clients would go there.
        fs::create_dir_all(home.join("mirror/index"))?;
        let config = format!("{{\"dl\":\"http://{address}/crates\",\"api\":\"http://{address}\"}}");
        fs::write(home.join("mirror/index/config.json"), config)?;
        let mut command = Command::new("unshare");
        hermetic(&mut command, &home);
        command.args(["--map-root-user", "--mount", "sh", "-c", CONFINED_RUN_SCRIPT, "sh"]).arg(&root).arg(program);
        command.args(["serve", "--bind", &address, "--base-url", &format!("http://{address}"), "--mirror"]);
        command.arg(home.join("mirror")).arg("--incoming").arg(&home).env("RUST_LOG", "off");
        start_server(&mut command, address)
    }
}

/// Runs a program with everything of `/` but `/config` below another root. The mounts end with it.
const CONFINED_RUN_SCRIPT: &str = r#"
root=$1; shift
for entry in /*; do
    name=${entry#/}
    if [ "$name" = config ]; then continue; fi
    if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
    elif [ -d "$entry" ]; then mkdir "$root/$name" && mount --rbind "$entry" "$root/$name" || exit 1
    fi
done
exec chroot "$root" "$@"
"#;

/// Whether this system lets a bench have a view of its own.
fn check_namespaces() -> Result<(), String> {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "true"]);
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err("frostmirror 1.0.0 reads /config, and this system does not allow a private /config".to_owned()),
    }
}

/// The configuration with which a cargo of `home` trusts `upstream`.
fn trust_settings(home: &Path, upstream: &Upstream) -> Outcome<String> {
    if !upstream.base_url().starts_with("https") {
        return Ok(String::new());
    }
    let ca: PathBuf = home.join("ca.pem");
    fs::write(&ca, upstream.ca_pem())?;
    Ok(format!("[http]\ncainfo = {ca:?}\n"))
}

fn cold_fetch(project: &Path, home: &Path, index: &str, more: &str) -> Outcome<f64> {
    fs::write(home.join("config.toml"), replacement(index, more))?;
    timed(cargo(home).args(["fetch", "--locked", "--quiet"]).current_dir(project))
}

/// Publishes the soak's crates, of 1 kB to 300 kB; the paths that clients ask for, and the right answer to each.
fn publish_flat(upstream: &Upstream) -> (Vec<String>, HashMap<String, Vec<u8>>) {
    let (mut paths, mut right) = (Vec::new(), HashMap::new());
    for n in 0..CRATES {
        // Most crates are small: the cube of an even spread.
        let spread = (n * 7919 % CRATES) as f64 / CRATES as f64;
        #[allow(clippy::cast_possible_truncation, reason = "at most 300,000")]
        let weight = (spread.powi(3) * 299_000.0) as usize;
        let packed = Crate::new(&format!("soak-{n:04}"), "1.0.0").with_extra_bytes(weight + 600).pack();
        let line = format!("{}\n", packed.line);
        let index = index_path(&packed.name);
        upstream.set_index(&index, &line);
        // Not among what is published, which is looked through for each request.
        upstream.put_file(&format!("/api/v1/crates/{}/1.0.0/download", packed.name), packed.bytes.clone());
        let (index, file) = (format!("/index/{index}"), format!("/crates/{}-1.0.0.crate", packed.name));
        paths.extend([index.clone(), file.clone()]);
        right.extend([(index, line.into_bytes()), (file, packed.bytes)]);
    }
    (paths, right)
}

/// How many files a folder has; none where it is not there.
fn count_files(folder: &Path) -> Outcome<usize> {
    match fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file())).count()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}
