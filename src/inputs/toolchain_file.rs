//! rust-toolchain.toml: the toolchain of a project, as rustup reads it.
//!
//! rustup uses the nearest `rust-toolchain` or `rust-toolchain.toml`, from the current folder upward. A file without
//! the extension may also contain only the name of a channel (rustup: src/config.rs, `parse_override_file`).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::bounded_read::{self, SizeLimit};
use crate::error_chain;
use crate::inputs::depends::Platforms;
use crate::toolchain::{InvalidProfile, InvalidToolchainName, Profile, ToolchainName, is_triple};

/// The limit for a file. A truncated one could request less than the whole.
const LIMIT: SizeLimit = SizeLimit { max: 64 * 1024, kind: "a toolchain file" };

/// The content of a toolchain file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainFile {
    /// Its path.
    pub path: PathBuf,
    /// The toolchain; `None` if the file has none, or names a folder.
    pub toolchain: Option<ToolchainName>,
    /// The folder of a toolchain, instead of a name.
    pub folder: Option<PathBuf>,
    /// The host in the toolchain's name: `stable-x86_64-unknown-linux-gnu`.
    pub host: Option<String>,
    /// Additional components.
    pub components: Vec<String>,
    /// Additional targets.
    pub targets: Vec<String>,
    /// The profile.
    pub profile: Option<Profile>,
}

impl ToolchainFile {
    /// Why the file requests no toolchain that a mirror can have; `None` if it requests one.
    pub fn why_not_mirrored(&self) -> Option<String> {
        let path = self.path.display();
        match (&self.toolchain, &self.folder) {
            (Some(_), _) => None,
            (None, Some(folder)) => {
                let folder = folder.display();
                Some(format!("`{path}` names the toolchain folder `{folder}`, which cannot be mirrored"))
            }
            (None, None) => Some(format!("`{path}` names no `channel`")),
        }
    }

    /// Adds the content of the file; `machines` are the hosts if it names none. Of two profiles the larger one counts.
    /// A file without a toolchain adds nothing.
    pub fn add_to_platforms(&self, platforms: &mut Platforms, default_hosts: &[String]) {
        let Some(toolchain) = &self.toolchain else { return };
        let add = |list: &mut Vec<String>, more: &[String]| {
            more.iter().for_each(|word| {
                if !list.contains(word) {
                    list.push(word.clone());
                }
            });
        };
        if !platforms.toolchain.contains(toolchain) {
            platforms.toolchain.push(toolchain.clone());
        }
        add(&mut platforms.components, &self.components);
        if self.host.is_some() || !self.targets.is_empty() {
            // The targets of the file are added to the host, which the file need not name.
            add(&mut platforms.targets, self.host.as_ref().map_or(default_hosts, std::slice::from_ref));
            add(&mut platforms.targets, &self.targets);
        }
        platforms.profile = platforms.profile.max(self.profile);
    }
}

/// An invalid toolchain file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// It is not a toolchain file.
    #[error("`{}` is not a toolchain file", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<toml::de::Error>,
    },
    /// rustup refuses it, although its syntax is correct.
    #[error("`{}` is not a toolchain file: {reason}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: &'static str,
    },
    /// It names a toolchain that no server has.
    #[error("`{}` names a toolchain that cannot be mirrored", path.display())]
    InvalidToolchain {
        /// The file.
        path: PathBuf,
        /// The error in the name.
        source: InvalidToolchainName,
    },
    /// It names an unknown profile.
    #[error("`{}` names an unknown profile", path.display())]
    InvalidProfile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: InvalidProfile,
    },
}

impl Error {
    /// The error and its cause in one line, with the position of a syntax error.
    pub fn to_line(&self) -> String {
        let Error::Syntax { source, .. } = self else { return error_chain::one_line(self) };
        let message = source.message().replace('\n', "; ");
        // The error shows its position only in its text.
        let text = source.to_string();
        match text.lines().next().and_then(|line| line.strip_prefix("TOML parse error at ")) {
            Some(position) => format!("{self}: {position}: {message}"),
            None => format!("{self}: {message}"),
        }
    }
}

#[derive(Deserialize)]
struct FileContents {
    toolchain: ToolchainSection,
}

#[derive(Default, Deserialize)]
struct ToolchainSection {
    channel: Option<String>,
    path: Option<PathBuf>,
    #[serde(default)]
    components: Vec<String>,
    #[serde(default)]
    targets: Vec<String>,
    profile: Option<String>,
}

impl ToolchainSection {
    /// Why rustup refuses these keys (rustup: src/config.rs, `OverrideCfg::from_file`).
    fn find_fault(&self) -> Option<&'static str> {
        let has_options = !self.components.is_empty() || !self.targets.is_empty() || self.profile.is_some();
        match (&self.channel, &self.path) {
            (Some(_), Some(_)) => Some("it has both `channel` and `path`"),
            (None, Some(path)) if path.is_relative() => Some("its `path` is relative"),
            (None, Some(_)) if has_options => Some("`components`, `targets` and `profile` are not allowed with `path`"),
            (None, None) if !has_options => Some("its table `[toolchain]` is empty"),
            _ => None,
        }
    }
}

/// The file that rustup uses in `folder`; `None` if there is none.
///
/// # Errors
/// The file cannot be read or is invalid.
pub fn read_nearest(folder: &Path) -> Result<Option<ToolchainFile>, Error> {
    for path in candidate_paths(folder) {
        if let Some(text) = read(&path)? {
            return parse(&text, path).map(Some);
        }
    }
    Ok(None)
}

/// The path of the file that rustup uses in `folder`, readable or not; `None` if there is none.
pub fn find_nearest_path(folder: &Path) -> Option<PathBuf> {
    candidate_paths(folder).find(|path| !matches!(read(path), Ok(None)))
}

/// The paths where rustup searches for a file, in its order.
fn candidate_paths(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let names = ["rust-toolchain", "rust-toolchain.toml"];
    folder.ancestors().flat_map(move |folder| names.map(|name| folder.join(name)))
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    // rustup ignores a folder of that name.
    if path.is_dir() {
        return Ok(None);
    }
    Ok(bounded_read::if_exists(LIMIT.read_text(path))?)
}

fn parse(text: &str, path: PathBuf) -> Result<ToolchainFile, Error> {
    let is_name = path.extension().is_none() && !text.contains('[') && text.trim().lines().count() == 1;
    let section = if is_name {
        ToolchainSection { channel: Some(text.trim().to_owned()), ..ToolchainSection::default() }
    } else {
        let form: Result<FileContents, _> = toml::from_str(text);
        form.map_err(|source| Error::Syntax { path: path.clone(), source: Box::new(source) })?.toolchain
    };
    if let Some(reason) = section.find_fault() {
        return Err(Error::Refused { path, reason });
    }
    let toolchain = section.channel.as_deref().map(parse_name_with_host).transpose();
    let profile = section.profile.map(|profile| profile.parse()).transpose();
    let (toolchain, host) = toolchain.map_err(|source| Error::InvalidToolchain { path: path.clone(), source })?.unzip();
    Ok(ToolchainFile {
        toolchain,
        folder: section.path,
        host: host.flatten(),
        profile: profile.map_err(|source| Error::InvalidProfile { path: path.clone(), source })?,
        components: section.components,
        targets: section.targets,
        path,
    })
}

/// Splits a toolchain from the host in its name (rustup: src/dist/mod.rs, the grammar of a partial toolchain
/// description). rustup also accepts a part of a host, which depends on the machine.
fn parse_name_with_host(name: &str) -> Result<(ToolchainName, Option<String>), InvalidToolchainName> {
    let parse_error = match name.parse() {
        Ok(toolchain) => return Ok((toolchain, None)),
        Err(error) => error,
    };
    // The longest prefix that is a toolchain: `1.90.0-beta.3`, not `1.90.0`.
    let mut parts = name.rmatch_indices('-').map(|(at, _)| name.split_at(at));
    let longest = parts.find_map(|(toolchain, host)| Some((toolchain.parse().ok()?, host.strip_prefix('-')?)));
    if let Some((toolchain, host)) = longest {
        if is_triple(host) && host.split('-').count() >= 3 && !host.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok((toolchain, Some(host.to_owned())));
        }
        if TARGET_ENVIRONMENTS.contains(&host) {
            return Ok((toolchain, None));
        }
    }
    Err(parse_error)
}

/// Parts of a host that may occur alone in a toolchain's name: the environments of an operating system.
const TARGET_ENVIRONMENTS: [&str; 3] = ["gnu", "msvc", "musl"];

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn parsed(name: &str, text: &str) -> Result<ToolchainFile, Error> {
        parse(text, PathBuf::from(name))
    }

    #[test]
    fn both_forms_are_read() {
        let file = parsed("rust-toolchain", "1.86.0\n").expect("a name");
        assert_eq!(file.toolchain, Some("1.86.0".parse().expect("a toolchain")));
        let text = "[toolchain]\nchannel = \"nightly-2026-04-25\"\ncomponents = [\"rust-src\"]\ntargets = [\"wasm32-unknown-unknown\"]\nprofile = \"minimal\"\n";
        for name in ["rust-toolchain", "rust-toolchain.toml"] {
            let file = parsed(name, text).expect("a table");
            assert_eq!(file.toolchain.map(|toolchain| toolchain.to_string()).as_deref(), Some("nightly-2026-04-25"));
            assert_eq!((file.components.len(), file.targets.len(), file.profile), (1, 1, Some(Profile::Minimal)));
        }
        let folder = parsed("rust-toolchain.toml", "[toolchain]\npath = \"/opt/rust\"\n").expect("a folder");
        assert_eq!((folder.toolchain.as_ref(), folder.folder.as_deref()), (None, Some(Path::new("/opt/rust"))));
        let why = "`rust-toolchain.toml` names the toolchain folder `/opt/rust`, which cannot be mirrored";
        assert_eq!(folder.why_not_mirrored().as_deref(), Some(why));
        let nameless = parsed("rust-toolchain.toml", "[toolchain]\nprofile = \"minimal\"\n").expect("a table");
        assert_eq!(nameless.why_not_mirrored().as_deref(), Some("`rust-toolchain.toml` names no `channel`"));
    }

    #[test]
    fn a_toolchain_name_may_include_the_host() {
        for (name, toolchain, host) in [
            ("stable-x86_64-unknown-linux-gnu", "stable", Some("x86_64-unknown-linux-gnu")),
            ("nightly-2026-04-25-aarch64-apple-darwin", "nightly-2026-04-25", Some("aarch64-apple-darwin")),
            ("1.86.0-x86_64-pc-windows-msvc", "1.86.0", Some("x86_64-pc-windows-msvc")),
            ("1.90.0-beta.3-x86_64-unknown-linux-musl", "1.90.0-beta.3", Some("x86_64-unknown-linux-musl")),
            ("1.90.0-beta.3", "1.90.0-beta.3", None),
            ("stable-msvc", "stable", None),
        ] {
            let file = parsed("rust-toolchain", name).expect(name);
            assert_eq!(file.toolchain.map(|toolchain| toolchain.to_string()).as_deref(), Some(toolchain));
            assert_eq!(file.host.as_deref(), host);
        }
    }

    #[test]
    fn invalid_files_are_reported_by_name() {
        for (name, text) in [
            ("rust-toolchain", "my-own"),
            ("rust-toolchain", ""),
            ("rust-toolchain.toml", "1.86.0"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = 1\n"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"our-x86_64-unknown-linux-gnu\"\n"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"nightly-2026-13-25-x86_64-unknown-linux-gnu\"\n"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"stable-patched\"\n"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\nprofile = \"huge\"\n"),
            ("rust-toolchain.toml", "[toolchain]\n"),
            ("rust-toolchain.toml", "[toolchain]\nchannel = \"stable\"\npath = \"/opt/rust\"\n"),
            ("rust-toolchain.toml", "[toolchain]\npath = \"opt/rust\"\n"),
            ("rust-toolchain.toml", "[toolchain]\npath = \"/opt/rust\"\ncomponents = [\"rust-src\"]\n"),
        ] {
            let error = parsed(name, text).expect_err(text);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn the_nearest_file_upward_is_used() {
        let root = tempfile::tempdir().expect("a folder");
        let inner = root.path().join("a/b");
        fs::create_dir_all(inner.join("rust-toolchain")).expect("folders");
        fs::write(root.path().join("a/rust-toolchain.toml"), "[toolchain]\nchannel = \"beta\"\n").expect("a file");
        let found = read_nearest(&inner).expect("read").expect("found");
        assert_eq!(found.path, root.path().join("a/rust-toolchain.toml"));
        let long = format!("[toolchain]\nchannel = \"beta\"\n{}targets = [\"wasm32-wasip1\"]\n", "#\n".repeat(40_000));
        fs::write(&found.path, long).expect("a file");
        assert!(
            matches!(read_nearest(&inner), Err(Error::Read(bounded_read::Error::TooLarge { .. }))),
            "half of a file asks for less than the whole"
        );
    }
}
