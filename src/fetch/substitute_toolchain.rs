//! Selects another installed toolchain to run cargo if the pinned one is not installed, or its cargo is too old. Cargo
//! only resolves here, so another toolchain works; the pinned one is never installed for it.

use std::path::{Path, PathBuf};

use crate::crate_id::Version;
use crate::env::Env;
use crate::fetch::cargo::{MIN_CARGO_VERSION, run_for_stdout, version_of};
use crate::inputs::toolchain_file;

/// A toolchain that replaces a pinned one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubstituteToolchain {
    /// Its name, as in RUSTUP_TOOLCHAIN.
    pub toolchain: String,
    /// The toolchain file with the pinned toolchain.
    pub pin: PathBuf,
    /// Why the pinned one does not run cargo here.
    pub fault: PinFault,
}

/// Why a pinned toolchain does not run cargo here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinFault {
    /// It is not installed.
    NotInstalled,
    /// Its cargo has this version, which is too old.
    TooOld(Version),
    /// It is this folder, which has no cargo that runs.
    Folder(PathBuf),
    /// The toolchain file is invalid. The text names the file and the fault.
    InvalidFile(String),
}

impl SubstituteToolchain {
    /// Why the pinned toolchain does not run cargo here, as a sentence.
    pub fn reason(&self) -> String {
        let pin = self.pin.display();
        match &self.fault {
            PinFault::NotInstalled => format!("`{pin}` pins a toolchain that is not installed here"),
            PinFault::TooOld(version) => {
                format!("`{pin}` pins cargo {version}, but {MIN_CARGO_VERSION} or newer is required")
            }
            PinFault::Folder(folder) => {
                format!(
                    "`{pin}` names the folder `{}` as the toolchain, but it contains no working cargo",
                    folder.display()
                )
            }
            PinFault::InvalidFile(error) => error.clone(),
        }
    }
}

/// The replacement for the toolchain that is pinned in a folder, or in the folder of a manifest. `None` if the pinned
/// one runs, nothing is pinned, RUSTUP_TOOLCHAIN selects one, or no other one exists.
pub fn find_substitute(folder: &Path, env: &Env) -> Option<SubstituteToolchain> {
    let folder = if folder.is_dir() { folder } else { folder.parent()? };
    if env.var_os("RUSTUP_TOOLCHAIN").is_some() {
        return None;
    }
    let pin = toolchain_file::find_nearest_path(folder)?;
    let pinned = usable_version(folder, env);
    if pinned.as_ref().is_some_and(|version| *version >= MIN_CARGO_VERSION) {
        return None;
    }
    let runs = |toolchain: &String| {
        usable_version(folder, &env.with("RUSTUP_TOOLCHAIN", toolchain))
            .is_some_and(|version| version >= MIN_CARGO_VERSION)
    };
    let toolchain = installed_toolchains(folder, env).into_iter().find(runs)?;
    let fault = match (pinned, toolchain_file::read_nearest(folder)) {
        (Some(version), _) => PinFault::TooOld(version),
        // A name that no server has may be that of the user's own toolchain.
        (None, Err(toolchain_file::Error::InvalidToolchain { .. })) => PinFault::NotInstalled,
        (None, Err(error)) => PinFault::InvalidFile(error.to_line()),
        (None, Ok(file)) => file.and_then(|file| file.folder).map_or(PinFault::NotInstalled, PinFault::Folder),
    };
    Some(SubstituteToolchain { toolchain, pin, fault })
}

/// The version of the cargo that runs in `folder`, if its rustc runs too; otherwise `None`.
fn usable_version(folder: &Path, env: &Env) -> Option<Version> {
    let rustc = env.path("RUSTC").unwrap_or_else(|| PathBuf::from("rustc"));
    run_for_stdout(&rustc, &["--version"], folder, env)?;
    version_of(env, folder)
}

/// The toolchains of rustup: the default one, those of the stable channel, the others.
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    /// A machine whose rustup has toolchains named by their versions; `list` is the output of rustup.
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
            // Like rustup's proxies: the toolchain of RUSTUP_TOOLCHAIN or of the file, which must be in the list.
            let proxy = format!(
                "#!/bin/sh\n[ \"$RUSTUP_AUTO_INSTALL\" = 0 ] || exit 9\n\
                 case $RUSTUP_DIST_SERVER-$RUSTUP_UPDATE_ROOT in file:*-file:*) ;; *) exit 9 ;; esac\n\
                 t=${{RUSTUP_TOOLCHAIN:-$(head -n 1 {0}/project/rust-toolchain)}}\n\
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

        fn pinned_to(&self, text: &str) -> Option<(String, PinFault)> {
            let pin = self.root.path().join("project/rust-toolchain");
            fs::write(&pin, text).expect("a pin");
            let found = find_substitute(&self.root.path().join("project/src"), &self.env)?;
            assert_eq!(found.pin, pin);
            assert!(found.reason().contains(&format!("`{}`", pin.display())), "{}", found.reason());
            Some((found.toolchain, found.fault))
        }
    }

    /// Another process writes the file: a file that this process has open for writing cannot be run, and children
    /// inherit the handle.
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
        let substitute = |fault| Some(("v1.90.0".to_owned(), fault));
        assert_eq!(machine.pinned_to("v1.70.1"), substitute(PinFault::NotInstalled));
        let old = "1.60.0".parse().expect("a version");
        assert_eq!(machine.pinned_to("v1.60.0"), substitute(PinFault::TooOld(old)));
        let folder = machine.pinned_to("[toolchain]\npath = \"/opt/rust\"\n");
        assert_eq!(folder, substitute(PinFault::Folder(PathBuf::from("/opt/rust"))));
        let pin = machine.root.path().join("project/rust-toolchain");
        let is_no_file = format!("`{}` is not a toolchain file", pin.display());
        for (text, reason) in [
            ("[toolchain]\nchannel = stable\n", ": line 2, column 11: "),
            ("[toolchain]\n", ": its table `[toolchain]` is empty"),
        ] {
            let Some((_, PinFault::InvalidFile(error))) = machine.pinned_to(text) else { panic!("{text} is accepted") };
            assert!(error.starts_with(&format!("{is_no_file}{reason}")), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let chosen = Machine { env: machine.env.with("RUSTUP_TOOLCHAIN", "v1.70.1"), ..machine };
        assert_eq!(chosen.pinned_to("v1.70.1"), None);
        let old = Machine::new("v1.60.0 (default)\nv1.75.0\n");
        assert_eq!(old.pinned_to("v1.70.1"), Some(("v1.75.0".to_owned(), PinFault::NotInstalled)));
        assert_eq!(Machine::new("v1.60.0\n").pinned_to("v1.70.1"), None);
    }

    #[test]
    fn without_a_pin_there_is_no_substitute() {
        let machine = Machine::new("v1.90.0\n");
        assert_eq!(find_substitute(&machine.root.path().join("project"), &machine.env), None);
    }
}
