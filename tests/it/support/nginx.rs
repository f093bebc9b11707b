//! A real nginx before the server, as operators set it up.

use std::env;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::{Process, RunningProcess};
use super::wait;

/// A running nginx.
pub struct Nginx {
    url: String,
    _process: RunningProcess,
    _root: TempDir,
}

impl Nginx {
    /// An nginx whose one server has these lines (`location …`).
    pub fn start(server: &str) -> Nginx {
        Nginx::start_with(|_| server.to_owned())
    }

    /// The same, with lines that follow from the address that it will have.
    pub fn start_with(server: impl FnOnce(&str) -> String) -> Nginx {
        let program = find_nginx();
        let root = TempDir::with_prefix("frostmirror-nginx-").unwrap();
        let folder = root.path().display();
        // Nginx cannot take port 0 and tell what it got. The system does not give a port again for a while.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("http://127.0.0.1:{port}");
        let server = server(&url);
        let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("    {name}_temp_path {folder}/{name};\n"))
            .concat();
        let config = format!(
            "daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\nhttp {{\n    \
             access_log off;\n    client_max_body_size 0;\n{paths}    server {{\n        listen 127.0.0.1:{port};\n{server}\n    }}\n}}\n"
        );
        fs::write(root.path().join("nginx.conf"), config).unwrap();
        let args = ["-p", root.path().to_str().unwrap(), "-c", "nginx.conf", "-e", "error.log"];
        let process = Process::new(&program, root.path()).args(args).start();
        let output = || fs::read_to_string(root.path().join("error.log")).unwrap_or_default();
        wait::until_with("nginx accepts connections", output, || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Nginx { url, _process: process, _root: root }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }
}

fn find_nginx() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    let mut files = folders.map(|folder| folder.join("nginx"));
    files.find(|file| file.is_file()).expect("there is no nginx on this machine (Debian: apt-get install nginx)")
}
