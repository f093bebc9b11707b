//! A server of ours under measurement: how soon it listens, and what it holds after many answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::measure::peak_of;
use crate::Outcome;

/// A running server; it ends with this value.
pub struct ServerProcess {
    child: Child,
    address: String,
    is_tls: bool,
    /// Seconds until it said where it listens.
    pub start_seconds: f64,
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _gone = self.child.kill().is_err() || self.child.wait().is_err();
    }
}

impl ServerProcess {
    /// Starts `command`, which serves on a free port.
    pub fn start(command: &mut Command) -> Outcome<ServerProcess> {
        let started = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
        let ready = started.elapsed().as_secs_f64();
        let reported = line.trim().strip_prefix("listening on ").and_then(|url| url.split_once("://"));
        let address = reported.map(|(_, address)| address.to_owned());
        let is_secured = reported.is_some_and(|(scheme, _)| scheme == "https");
        let served = ServerProcess {
            child,
            address: address.clone().unwrap_or_default(),
            is_tls: is_secured,
            start_seconds: ready,
        };
        address.ok_or_else(|| format!("the server said `{line}`"))?;
        Ok(served)
    }

    /// Its highest resident memory so far, in MiB.
    pub fn peak_memory(&self) -> Outcome<f64> {
        peak_of(self.child.id()).ok_or_else(|| "the server has ended".into())
    }

    /// `http://HOST:PORT`, or `https://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.address)
    }

    /// Ends it as an operator does, and waits for that.
    pub fn stop(&mut self) -> Outcome<()> {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }

    /// Asks for all of `paths` over so many connections; every answer must be good. Gives the seconds that it took.
    pub fn request_all(&self, paths: &[String], connections: usize) -> Outcome<f64> {
        self.request_all_with(paths, connections, "Accept-Encoding: gzip\r\n", |_, _| true)
    }

    /// The same without compression, where each body must be the right one for its path.
    pub fn check(
        &self,
        paths: &[String],
        connections: usize,
        is_right: impl Fn(&str, &[u8]) -> bool + Sync,
    ) -> Outcome<f64> {
        self.request_all_with(paths, connections, "", is_right)
    }

    fn request_all_with(
        &self,
        paths: &[String],
        connections: usize,
        headers: &str,
        is_right: impl Fn(&str, &[u8]) -> bool + Sync,
    ) -> Outcome<f64> {
        let started = Instant::now();
        let shares = paths.chunks(paths.len().div_ceil(connections));
        std::thread::scope(|scope| {
            let asking: Vec<_> =
                shares.map(|share| scope.spawn(|| self.request_chunk(share, headers, &is_right))).collect();
            asking.into_iter().try_for_each(|thread| thread.join().unwrap())
        })?;
        Ok(started.elapsed().as_secs_f64())
    }

    fn request_chunk(
        &self,
        paths: &[String],
        headers: &str,
        is_right: impl Fn(&str, &[u8]) -> bool,
    ) -> Result<(), String> {
        let reported = |error: std::io::Error| format!("asking {}: {error}", self.address);
        let mut stream = BufReader::new(TcpStream::connect(&self.address).map_err(reported)?);
        let mut body = Vec::new();
        for path in paths {
            let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address);
            stream.get_mut().write_all(request.as_bytes()).map_err(reported)?;
            let (mut status, mut length) = (String::new(), None);
            stream.read_line(&mut status).map_err(reported)?;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).map_err(reported)?;
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse::<usize>().ok();
                }
            }
            if !status.contains(" 200 ") {
                return Err(format!("{path}: {status}"));
            }
            body.resize(length.ok_or_else(|| format!("{path}: no length"))?, 0);
            stream.read_exact(&mut body).map_err(reported)?;
            if !is_right(path, &body) {
                return Err(format!("{path}: {} bytes that are not the right ones", body.len()));
            }
        }
        Ok(())
    }
}
