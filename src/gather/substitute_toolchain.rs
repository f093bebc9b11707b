//! Which toolchain of this machine runs cargo where a project pins one that cannot: it is not installed, or its cargo is
//! too old. Cargo only resolves here, so that another toolchain serves; the pinned one is never installed for that.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::crate_id::Version;
use crate::env::Env;
use crate::gather::cargo::MIN_CARGO_VERSION;
use crate::gather::toolchain_file;

/// A toolchain that takes the place of a pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubstituteToolchain {
    /// Its name, as RUSTUP_TOOLCHAIN takes it.
    pub toolchain: String,
    /// The toolchain file that pins the other one.
    pub pin: PathBuf,
    /// The pinned cargo, where it is installed and too old.
    pub too_old: Option<Version>,
}

/// What takes the place of the toolchain that a folder is pinned to, or the folder of a manifest; `None` where that one runs, where nothing is pinned,
/// where RUSTUP_TOOLCHAIN chooses, and where there is no other one.
pub fn find_substitute(folder: &Path, env: &Env) -> Option<SubstituteToolchain> {
    let folder = if folder.is_dir() { folder } else { folder.parent()? };
    if env.var_os("RUSTUP_TOOLCHAIN").is_some() {
        return None;
    }
    let pin = toolchain_file::find_nearest_path(folder)?;
    let pinned = cargo_version(folder, env);
    if pinned.as_ref().is_some_and(|version| *version >= MIN_CARGO_VERSION) {
        return None;
    }
    let runs = |toolchain: &String| {
        cargo_version(folder, &env.with("RUSTUP_TOOLCHAIN", toolchain))
            .is_some_and(|version| version >= MIN_CARGO_VERSION)
    };
    let toolchain = installed_toolchains(folder, env).into_iter().find(runs)?;
    Some(SubstituteToolchain { toolchain, pin, too_old: pinned })
}

/// The version of the cargo that runs in `folder`, together with its rustc; `None` where one of them does not start.
fn cargo_version(folder: &Path, env: &Env) -> Option<Version> {
    let cargo = env.path("CARGO").unwrap_or_else(|| PathBuf::from("cargo"));
    let rustc = env.path("RUSTC").unwrap_or_else(|| PathBuf::from("rustc"));
    run_for_stdout(&rustc, &["--version"], folder, env)?;
    run_for_stdout(&cargo, &["--version"], folder, env)?.split_whitespace().nth(1)?.parse().ok()
}

/// The toolchains that rustup has: the default one, those of the stable channel, the others.
fn installed_toolchains(folder: &Path, env: &Env) -> Vec<String> {
    let list = run_for_stdout(Path::new("rustup"), &["toolchain", "list"], folder, env).unwrap_or_default();
    // `stable-x86_64-unknown-linux-gnu (active, default)`
    let mut toolchains: Vec<(u8, String)> = list
        .lines()
        .filter_map(|line| {
            let (name, marks) = line.split_once(' ').unwrap_or((line, ""));
            let rank = match () {
                () if marks.contains("default") => 0,
                () if name.starts_with("stable") => 1,
                () => 2,
            };
            (!name.is_empty()).then(|| (rank, name.to_owned()))
        })
        .collect();
    toolchains.sort_by_key(|(rank, _)| *rank);
    toolchains.into_iter().map(|(_, name)| name).collect()
}

/// What a program says on stdout where it succeeds.
fn run_for_stdout(program: &Path, args: &[&str], folder: &Path, env: &Env) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env_clear().envs(env.iter()).stdin(Stdio::null());
    let output = command.env("RUSTUP_AUTO_INSTALL", "0").output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;

    /// A machine whose rustup has toolchains called by their versions; `list` is what it says of them.
    struct Machine {
        root: tempfile::TempDir,
        env: Env,
    }

    impl Machine {
        fn new(list: &str) -> Machine {
            let root = tempfile::tempdir().expect("a folder");
            let bin = root.path().join("bin");
            fs::create_dir_all(root.path().join("project/src")).expect("folders");
            fs::create_dir(&bin).expect("a folder");
            // As rustup's proxies: the toolchain is RUSTUP_TOOLCHAIN's or the file's, and must be in the list.
            let proxy = format!(
                "#!/bin/sh\n[ \"$RUSTUP_AUTO_INSTALL\" = 0 ] || exit 9\n\
                 t=${{RUSTUP_TOOLCHAIN:-$(cat {0}/project/rust-toolchain)}}\n\
                 grep -q \"^$t\" {0}/list || exit 1\necho \"cargo ${{t#v}} (0 1)\"\n",
                root.path().display()
            );
            let lister = format!("#!/bin/sh\ncat {}/list\n", root.path().display());
            for (name, text) in [("cargo", &proxy), ("rustc", &proxy), ("rustup", &lister)] {
                write_program(&bin.join(name), text);
            }
            fs::write(root.path().join("list"), list).expect("a list");
            let env = Env::from_vars([("PATH", format!("{}:/usr/bin:/bin", bin.display()))]);
            Machine { root, env }
        }

        fn pinned_to(&self, name: &str) -> Option<(String, Option<String>)> {
            fs::write(self.root.path().join("project/rust-toolchain"), name).expect("a pin");
            let found = find_substitute(&self.root.path().join("project/src"), &self.env)?;
            assert_eq!(found.pin, self.root.path().join("project/rust-toolchain"));
            Some((found.toolchain, found.too_old.map(|version| version.to_string())))
        }
    }

    /// Written by another process: a file that this one has open for writing cannot be run, and children inherit it.
    fn write_program(path: &Path, text: &str) {
        let mut shell = Command::new("/bin/sh");
        let shell = shell.args(["-c", "cat >\"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).stdin(Stdio::piped());
        let mut child = shell.spawn().expect("a shell");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        assert!(child.wait().expect("waited").success());
    }

    #[test]
    fn an_unusable_pinned_toolchain_is_substituted() {
        let machine = Machine::new("v1.60.0\nv1.80.0\nv1.90.0 (default)\n");
        assert_eq!(machine.pinned_to("v1.80.0"), None);
        assert_eq!(machine.pinned_to("v1.70.1"), Some(("v1.90.0".to_owned(), None)));
        assert_eq!(machine.pinned_to("v1.60.0"), Some(("v1.90.0".to_owned(), Some("1.60.0".to_owned()))));
        let chosen = Machine { env: machine.env.with("RUSTUP_TOOLCHAIN", "v1.70.1"), ..machine };
        assert_eq!(chosen.pinned_to("v1.70.1"), None);
        let old = Machine::new("v1.60.0 (default)\nv1.75.0\n");
        assert_eq!(old.pinned_to("v1.70.1"), Some(("v1.75.0".to_owned(), None)));
        assert_eq!(Machine::new("v1.60.0\n").pinned_to("v1.70.1"), None);
    }

    #[test]
    fn without_a_pin_there_is_no_substitute() {
        let machine = Machine::new("v1.90.0\n");
        assert_eq!(find_substitute(&machine.root.path().join("project"), &machine.env), None);
    }
}
