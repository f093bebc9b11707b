//! The process that listens on a port, as far as this process may know it.

use std::fmt;

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortOwner {
    /// The name of its program, as the system shows it.
    program: String,
    pid: u32,
}

impl fmt::Display for PortOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` with pid {}", self.program, self.pid)
    }
}

/// The process that listens on `port`; `None` if it belongs to another user, or if this system does not say.
#[cfg(target_os = "linux")]
pub fn find_port_owner(port: u16) -> Option<PortOwner> {
    use std::fs;
    let mut sockets = Vec::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let table = fs::read_to_string(path).unwrap_or_default();
        let inodes = table.lines().filter_map(|line| listening_inode(line, port));
        sockets.extend(inodes.map(|inode| format!("socket:[{inode}]")));
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        if targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str())) {
            let comm = fs::read_to_string(process.path().join("comm")).ok()?;
            let cmdline = fs::read(process.path().join("cmdline")).unwrap_or_default();
            return Some(PortOwner { program: program_name(comm.trim_end_matches('\n'), &cmdline), pid });
        }
    }
    None
}

/// The process that listens on `port`; this system does not say.
#[cfg(not(target_os = "linux"))]
pub fn find_port_owner(_: u16) -> Option<PortOwner> {
    None
}

/// The name of a program. The kernel cuts `comm` to 15 bytes (proc_pid_comm(5)); the first argument of `cmdline` then has
/// the whole name, unless the process has replaced it.
#[cfg(target_os = "linux")]
fn program_name(comm: &str, cmdline: &[u8]) -> String {
    const MAX_COMM: usize = 15;
    const MAX_NAME: usize = 100;
    let argument = cmdline.split(|byte| *byte == 0).next().unwrap_or_default();
    let argument = String::from_utf8_lossy(argument);
    let name = argument.rsplit('/').next().unwrap_or_default();
    match comm.len() >= MAX_COMM && name.starts_with(comm) {
        true => name.chars().take(MAX_NAME).collect(),
        false => comm.to_owned(),
    }
}

/// The inode of the socket in a line of /proc/net/tcp (proc_pid_net(5)), if it listens on `port`.
#[cfg(target_os = "linux")]
fn listening_inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let (_, local_port) = fields.nth(1)?.rsplit_once(':')?;
    let state = fields.nth(1)?;
    let is_it = state == LISTEN && u16::from_str_radix(local_port, 16) == Ok(port);
    fields.nth(5).filter(|_| is_it)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("address").port();
        let owner = find_port_owner(port).expect("this process");
        assert_eq!(owner.pid, std::process::id());
        let own = std::env::current_exe().expect("path");
        let own = own.file_name().expect("name").to_string_lossy().into_owned();
        assert!(own.starts_with(&owner.program) && !owner.program.is_empty(), "{owner:?}");
        drop(listener);
        assert_eq!(find_port_owner(port).filter(|owner| owner.pid == std::process::id()), None);
    }

    #[test]
    fn a_cut_name_is_completed_from_the_command_line() {
        let cut = "cargo-frostmirr";
        assert_eq!(program_name(cut, b"/usr/bin/cargo-frostmirror\0frostmirror\0serve\0"), "cargo-frostmirror");
        assert_eq!(program_name(cut, b"cargo-frostmirror\0"), "cargo-frostmirror");
        assert_eq!(program_name("nginx", b"nginx: master process /usr/sbin/nginx\0"), "nginx");
        assert_eq!(program_name("python3", b"/usr/bin/python3\0-m\0http.server\0"), "python3");
        assert_eq!(program_name(cut, b"something else\0"), cut);
        assert_eq!(program_name(cut, b""), cut);
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 40000 1";
        assert_eq!(listening_inode(line, 8080), Some("40000"));
        assert_eq!(listening_inode(line, 8081), None);
        assert_eq!(listening_inode(&line.replace(" 0A ", " 01 "), 8080), None);
        assert_eq!(listening_inode("  sl  local_address rem_address   st", 8080), None);
    }
}
