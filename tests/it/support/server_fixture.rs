//! A mirror laid out by hand, and a client that speaks HTTP byte by byte; for tests of the server alone.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::crates::{Crate, PackedCrate, index_path};

/// A mirror's tree.
pub struct MirrorTree(PathBuf);

/// A manifest.json without any import: a mirror without the file has lost its records, and changes nothing.
const EMPTY_SUMMARY: &str = r#"{"format":1,"tool":"test","crates":0,"versions":0,"bytes":0,"imports":0,"lineages":[]}"#;

impl MirrorTree {
    /// The mirror at `root`, which need not be there yet.
    pub fn at(root: impl Into<PathBuf>) -> MirrorTree {
        MirrorTree(root.into())
    }

    /// The mirror's root.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Holds a crate, as an import does: the file first, then its line, both by rename; and the link to the index.
    pub fn add_crate(&self, item: Crate) -> PackedCrate {
        let packed = item.pack();
        self.write_file(&format!("crates/{}-{}.crate", packed.name, packed.version), &packed.bytes);
        let path = format!("index/{}", index_path(&packed.name));
        let mut text = fs::read_to_string(self.0.join(&path)).unwrap_or_default();
        text.push_str(&packed.line);
        text.push('\n');
        self.write_file(&path, text.as_bytes());
        let link = self.0.join("crates/index");
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink("../index", link).unwrap();
        }
        if !self.0.join("manifest.json").exists() {
            self.write_file("manifest.json", EMPTY_SUMMARY.as_bytes());
        }
        packed
    }

    /// Puts a file in its place by rename.
    pub fn write_file(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(path);
        let staging = self.0.join(".frostmirror/staging");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::create_dir_all(&staging).unwrap();
        fs::write(staging.join("new"), bytes).unwrap();
        fs::rename(staging.join("new"), &path).unwrap();
        path
    }
}

/// One connection to a server.
pub struct RawConnection(BufReader<TcpStream>);

/// An answer, as it came.
#[derive(Debug)]
pub struct RawReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl RawConnection {
    /// Connects to `http://HOST:PORT`.
    pub fn connect(url: &str) -> RawConnection {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        RawConnection(BufReader::with_capacity(1 << 20, stream))
    }

    /// How long an answer may take; 20 seconds at first.
    pub fn timeout(&mut self, timeout: Duration) -> &mut RawConnection {
        self.0.get_mut().set_read_timeout(Some(timeout)).unwrap();
        self
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut RawConnection {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends a request; `extra` are whole header lines.
    pub fn request(&mut self, method: &str, path: &str, extra: &[&str]) -> &mut RawConnection {
        let lines: String = extra.iter().map(|line| format!("{line}\r\n")).collect();
        self.send(format!("{method} {path} HTTP/1.1\r\nHost: mirror.test\r\n{lines}\r\n"))
    }

    /// Status and headers of the next answer.
    pub fn read_head(&mut self) -> RawReply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let status = line.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {line:?}")).parse().unwrap();
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        RawReply { status, headers, body: Vec::new() }
    }

    /// The next answer, to a request that was no HEAD.
    pub fn read_reply(&mut self) -> RawReply {
        let mut reply = self.read_head();
        if ![204, 304].contains(&reply.status) {
            let length = reply.header("content-length").expect("content-length").parse().unwrap();
            reply.body = self.read_bytes(length);
        }
        reply
    }

    /// So many bytes.
    pub fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Everything until the server closes; an end in the middle counts too.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _reset = self.0.read_to_end(&mut bytes).is_err();
        bytes
    }

    /// What one read gives.
    pub fn read_once(&mut self) -> Vec<u8> {
        let bytes = self.0.fill_buf().unwrap().to_vec();
        self.0.consume(bytes.len());
        bytes
    }
}

impl RawReply {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(stored, _)| stored == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A GET on a connection of its own.
pub fn get(url: &str, path: &str, extra: &[&str]) -> RawReply {
    RawConnection::connect(url).request("GET", path, extra).read_reply()
}

/// A HEAD on a connection of its own.
pub fn head(url: &str, path: &str, extra: &[&str]) -> RawReply {
    RawConnection::connect(url).request("HEAD", path, extra).read_head()
}
