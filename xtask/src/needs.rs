//! Tests that need more than Rust, gcc and git: `#[ignore = "needs TOOL"]`, where TOOL is one of [`known`], or several joined by
//! `, ` and ` and `. They run where every tool is there; elsewhere they are left out, and named.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::{repository_root, tools};

const MARK: &str = "#[ignore = \"needs ";

/// A tool that is not on this machine.
pub struct Unmet {
    /// The tool.
    pub tool: String,
    /// The paths of the tests that need it.
    pub tests: Vec<String>,
}

/// Whether this machine has the tool; `None` for a name that is no tool's.
fn known(tool: &str) -> Option<bool> {
    match tool {
        "chromium" => Some(tools::is_installed("chromium") && tools::is_installed("chromedriver")),
        "nginx" | "shellcheck" | "rustup" | "curl" | "wget" | "openssl" | "shasum" | "pwsh" | "bash" | "zsh"
        | "fish" => Some(tools::is_installed(tool)),
        "mandoc" => Some(tools::is_installed(tool)),
        "bash-completion" => Some(Path::new("/usr/share/bash-completion/bash_completion").is_file()),
        // A mount of one's own, without being root.
        "mounts" => Some(succeeds("unshare", &["-rm", "sh", "-c", "mount -t tmpfs none /tmp"])),
        "two file systems" => Some(two_file_systems()),
        "the network" => Some(std::env::var_os("FROSTMIRROR_TEST_NETWORK").is_some_and(|value| value == "1")),
        _ => None,
    }
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(unix)]
fn two_file_systems() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &Path| fs::metadata(path).map(|about| about.dev()).ok();
    let memory = device(Path::new("/dev/shm"));
    memory.is_some() && memory != device(&std::env::temp_dir())
}

#[cfg(not(unix))]
fn two_file_systems() -> bool {
    false
}

/// The tools that this machine lacks, with the tests that need them.
pub fn unmet() -> Result<Vec<Unmet>, String> {
    let mut unmet: Vec<Unmet> = Vec::new();
    let mut met: Vec<String> = Vec::new();
    for (test, needs) in in_folder(&repository_root().join("tests"))? {
        for tool in needs {
            if met.contains(&tool) {
                continue;
            }
            if let Some(unmet) = unmet.iter_mut().find(|unmet| unmet.tool == tool) {
                unmet.tests.push(test.clone());
                continue;
            }
            match known(&tool) {
                Some(true) => met.push(tool),
                Some(false) => unmet.push(Unmet { tool, tests: vec![test.clone()] }),
                None => return Err(format!("the test {test} needs `{tool}`, which xtask/src/needs.rs does not know")),
            }
        }
    }
    Ok(unmet)
}

/// Says loudly which tests are left out.
pub fn report(unmet: &[Unmet]) {
    for Unmet { tool, tests } in unmet {
        let how = match tool.as_str() {
            "the network" => " (FROSTMIRROR_TEST_NETWORK=1)",
            _ => "",
        };
        let count = if tests.len() == 1 { "1 test".to_owned() } else { format!("{} tests", tests.len()) };
        eprintln!("!!! NOT TESTED: {count} for want of {tool}{how}: {}", tests.join(", "));
    }
}

/// Tests below a folder of tests that need something, each with its needs.
fn in_folder(folder: &Path) -> Result<Vec<(String, Vec<String>)>, String> {
    let problem = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).map_err(|error| problem(&next, error))? {
            let path = entry.map_err(|error| problem(&next, error))?.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).map_err(|error| problem(&path, error))?;
                let relative = path.strip_prefix(folder).unwrap_or(&path).with_extension("");
                found.extend(in_text(&text, &module_of(&relative))?);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The module of a file of tests: `it/browser/login` is `browser::login`, and a test binary's own file has none.
fn module_of(relative: &Path) -> String {
    let parts: Vec<_> = relative.iter().skip(1).map(|part| part.to_string_lossy()).collect();
    parts.join("::")
}

fn in_text(text: &str, module: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut found = Vec::new();
    for part in text.split(MARK).skip(1) {
        let (needs, rest) = part.split_once("\"]").ok_or_else(|| format!("{module}: `{MARK}` has no end"))?;
        let name = rest.split_once("fn ").and_then(|(_, rest)| rest.split_once('('));
        let (name, _) = name.ok_or_else(|| format!("{module}: no test follows `{MARK}{needs}\"]`"))?;
        let test = if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") };
        let needs = needs.split(" and ").flat_map(|some| some.split(", ")).map(str::to_owned).collect();
        found.push((test, needs));
    }
    // A test that is ignored for another reason would not run unnoticed.
    match text.matches("#[ignore").count() == found.len() {
        true => Ok(found),
        false => Err(format!("{module}: an ignored test does not say what it needs: `{MARK}TOOL\"]`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskResult;

    #[test]
    fn a_test_is_found_with_its_module_and_its_needs() {
        let module = module_of(Path::new("it/browser/login"));
        assert_eq!((module.as_str(), module_of(Path::new("network")).as_str()), ("browser::login", ""));
        let text = format!("#[test]\n{MARK}rustup, wget and nginx\"]\nfn works() {{}}\n#[test]\nfn other() {{}}\n");
        let needs = ["rustup", "wget", "nginx"].map(str::to_owned).to_vec();
        assert_eq!(in_text(&text, &module), Ok(vec![("browser::login::works".to_owned(), needs)]));
        assert!(in_text("#[test]\n#[ignore]\nfn slow() {}", "m").is_err());
    }

    #[test]
    fn every_tool_of_the_tests_is_known() -> TaskResult {
        unmet().map(drop)
    }
}
