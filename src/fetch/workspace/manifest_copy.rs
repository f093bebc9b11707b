//! A copy of a workspace's manifests, in which cargo may write a Cargo.lock.
//!
//! The copy has every file at its own absolute path below a scratch folder, so that relative paths between manifests
//! stay valid. It has the manifests of all members, and those of path dependencies and path patches outside, with their
//! own workspaces. It has an empty file for every target, because cargo rejects a manifest without its targets, and the
//! toolchain file. From cargo's configuration files and their includes it has the settings that affect locking
//! (`[patch]`, `[resolver]`, `[unstable]`, and a registry's index address without its token) and the known ssh hosts.
//! Source code is not copied: cargo locks without reading it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output};

use toml::{Table, Value};

use super::{Error, Workspace, cargo_program, folder_of, is_unreachable, read_metadata, stderr_message, succeeds};
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::env::Env;
use crate::event::Sink;
use crate::fetch::cargo::system_error;
use crate::inputs::lockfile::Lockfile;

/// Keeps locked versions, adds missing ones, removes unneeded ones, and downloads no crate.
const UPDATE_ARGS: &[&str] = &["update", "--workspace"];

/// Maximum depth of includes in configuration files.
const MAX_INCLUDE_DEPTH: usize = 8;

/// A lock that fits its workspace's manifests.
#[derive(Clone, Debug)]
pub struct FittingLock {
    /// The locked packages; its path is the workspace's own Cargo.lock, even if that file does not exist.
    pub lockfile: Lockfile,
    /// Its text.
    pub text: String,
    /// Whether and how it was changed.
    pub fit: LockFit,
}

/// The relation between a workspace's Cargo.lock and its manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockFit {
    /// It fits, and its packages are used unchanged.
    UpToDate,
    /// It does not exist; cargo resolved a copy.
    Missing,
    /// It did not fit; cargo updated a copy.
    Outdated {
        /// Number of missing packages of crates.io.
        added: usize,
        /// Number of packages of crates.io that are no longer needed.
        removed: usize,
    },
}

/// Whether cargo reports that a package of the lock has another checksum in the index. Cargo ends each of its messages
/// about this (`changed between lock files`, `was not previously calculated`) in the same way.
fn is_checksum_mismatch(stderr: &str) -> bool {
    stderr.contains("checksum for `") && stderr.contains("unable to verify that `")
}

/// The lock that cargo would build with: the workspace's own if it fits the manifests, otherwise cargo's update of it.
///
/// `scratch` is an empty folder. A lock that fits offline, according to cargo's own cache, is not checked further.
/// Otherwise `cargo` is run in the given folder with these arguments to its end, and must have an index for the
/// resolution. `sink` receives a report if cargo waits for another cargo. Dropping the future stops these processes.
pub async fn fitting_lock(
    workspace: &Workspace,
    env: &Env,
    scratch: &Path,
    sink: &dyn Sink,
    cargo: impl AsyncFnOnce(&Path, &[&str]) -> io::Result<Output>,
) -> Result<FittingLock, Error> {
    let own_path = workspace.root.join("Cargo.lock");
    // Errors of the lock itself are reported first, with this program's messages.
    let before = super::read_lockfile(workspace)?;
    let copy = ManifestCopy { scratch, env };
    copy.create(workspace)?;
    let folder = copy.path_in_copy(&workspace.root);
    let lock_path = folder.join("Cargo.lock");

    if let (Some(path), Some(before)) = (&workspace.lockfile, &before) {
        let text = read(path)?;
        write(&lock_path, &text)?;
        let mut quick = Command::new(cargo_program(env));
        quick.args(UPDATE_ARGS).args(["--locked", "--offline"]);
        if succeeds(quick, &folder, env, sink).await? {
            return Ok(FittingLock { lockfile: before.clone(), text, fit: LockFit::UpToDate });
        }
    }

    let output = cargo(&folder, UPDATE_ARGS).await.map_err(|source| super::could_not_run(env, source))?;
    if !output.status.success() {
        // The user knows the workspace by its own path, not by that of the copy.
        let stderr = stderr_message(&output).replace(&*scratch.to_string_lossy(), "");
        let root = workspace.root.clone();
        return Err(match system_error(&stderr) {
            Some(source) => Error::System { path: root, stderr, source },
            None if is_checksum_mismatch(&stderr) => Error::ChecksumMismatch { root, stderr },
            None if is_unreachable(&stderr) => Error::Unreachable { root, stderr, packages: Vec::new() },
            None => Error::Unresolved { root, stderr, lost: Vec::new() },
        });
    }
    // A workspace without dependencies has a lock too: its members.
    let text = read(&lock_path)?;
    let lockfile = Lockfile::parse(&text, &own_path)?;
    let fit = match before {
        Some(before) if has_same_packages(&before, &lockfile) => LockFit::UpToDate,
        Some(before) => LockFit::Outdated {
            added: count_missing(&before.packages, &lockfile.packages),
            removed: count_missing(&lockfile.packages, &before.packages),
        },
        None => LockFit::Missing,
    };
    Ok(FittingLock { lockfile, text, fit })
}

/// Whether both locks have the same packages. Comments, the format version and the order may differ.
fn has_same_packages(one: &Lockfile, other: &Lockfile) -> bool {
    one.packages == other.packages && one.unbuilt == other.unbuilt && one.foreign == other.foreign
}

/// The number of `wanted` packages that `present` lacks.
fn count_missing(present: &BTreeMap<CrateId, Sha256>, wanted: &BTreeMap<CrateId, Sha256>) -> usize {
    wanted.iter().filter(|(id, checksum)| present.get(*id) != Some(*checksum)).count()
}

struct ManifestCopy<'c> {
    scratch: &'c Path,
    env: &'c Env,
}

impl ManifestCopy<'_> {
    fn create(&self, workspace: &Workspace) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        let mut next = self.copy_configuration(&workspace.root)?;
        self.copy_workspace(&workspace.root.join("Cargo.toml"), &workspace.members, &mut seen, &mut next)?;
        while let Some(manifest) = next.pop() {
            if seen.contains(&manifest) || !manifest.is_file() {
                continue;
            }
            // A patch below the workspace's root that is not a member: cargo's metadata omits it, but the resolution
            // uses it. Or one that cargo cannot read here or in the copy; cargo reports that if it matters.
            let Ok(metadata) = read_metadata(&manifest, self.env) else {
                self.copy_unreported_manifest(&manifest, &mut next)?;
                seen.insert(manifest);
                continue;
            };
            let root = metadata.workspace_root.into_std_path_buf().join("Cargo.toml");
            self.copy_workspace(&root, &metadata.packages, &mut seen, &mut next)?;
            // Such a package may be excluded from the workspace of its folder.
            if seen.insert(manifest.clone()) {
                self.copy_file(&manifest)?;
            }
        }
        Ok(())
    }

    /// Copies a workspace's manifests with a stub for each target; adds their path dependencies to `next`.
    fn copy_workspace(
        &self,
        root: &Path,
        members: &[cargo_metadata::Package],
        seen: &mut BTreeSet<PathBuf>,
        next: &mut Vec<PathBuf>,
    ) -> Result<(), Error> {
        self.copy_file(root)?;
        seen.insert(root.to_owned());
        next.extend(patched_manifests(&read_table_or_empty(root), folder_of(root)));
        for member in members {
            let manifest = member.manifest_path.as_std_path();
            if manifest != root {
                self.copy_file(manifest)?;
                seen.insert(manifest.to_owned());
            }
            for target in &member.targets {
                let stub = self.path_in_copy(target.src_path.as_std_path());
                if !stub.exists() {
                    write(&stub, "")?;
                }
            }
            let paths = member.dependencies.iter().filter_map(|dependency| dependency.path.as_ref());
            next.extend(paths.map(|path| path.as_std_path().join("Cargo.toml")));
        }
        Ok(())
    }

    /// Copies a manifest that cargo's metadata omits, with a stub for each target in its text or its folder.
    fn copy_unreported_manifest(&self, manifest: &Path, next: &mut Vec<PathBuf>) -> Result<(), Error> {
        self.copy_file(manifest)?;
        let (table, folder) = (read_table_or_empty(manifest), folder_of(manifest));
        let usual = ["src/lib.rs", "src/main.rs", "build.rs"].map(|path| folder.join(path));
        let binaries = fs::read_dir(folder.join("src/bin")).into_iter().flatten().flatten();
        let found = usual.into_iter().chain(binaries.map(|entry| entry.path())).filter(|path| path.is_file());
        let lib = table.get("lib").into_iter();
        let others = ["bin", "example", "test", "bench"].into_iter().filter_map(|kind| table.get(kind)?.as_array());
        let targets = lib.chain(others.flatten());
        let declared = targets.filter_map(|target| Some(normalize_path(&folder.join(target.get("path")?.as_str()?))));
        for path in found.chain(declared) {
            let stub = self.path_in_copy(&path);
            if !stub.exists() {
                write(&stub, "")?;
            }
        }
        let platforms = table.get("target").and_then(Value::as_table).into_iter().flat_map(|table| table.values());
        let tables = platforms.filter_map(Value::as_table).chain([&table]);
        let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
        let dependencies = tables.flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()));
        let paths = dependencies.flat_map(Table::values).filter_map(|dependency| dependency.get("path")?.as_str());
        next.extend(paths.map(|path| normalize_path(&folder.join(path)).join("Cargo.toml")));
        Ok(())
    }

    /// Copies the files around a workspace that affect locking; returns the manifests that they name.
    fn copy_configuration(&self, root: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut named = Vec::new();
        let mut pinned = false;
        for folder in root.ancestors() {
            for name in ["rust-toolchain.toml", "rust-toolchain"] {
                let pin = folder.join(name);
                if !pinned && pin.is_file() {
                    self.copy_file(&pin)?;
                    pinned = true;
                }
            }
            let Some(config) = config_file_in(&folder.join(".cargo")) else {
                continue;
            };
            let wanted = self.copy_resolution_config(&config, &mut named, 0)?;
            if !wanted.is_empty() {
                write(&self.path_in_copy(&config), &wanted.to_string())?;
            }
        }
        self.copy_home_config(&mut named)?;
        Ok(named)
    }

    /// The configuration of cargo's home has the lowest precedence: the copy has it in the outermost folder.
    fn copy_home_config(&self, named: &mut Vec<PathBuf>) -> Result<(), Error> {
        let home = self.env.path("CARGO_HOME").or_else(|| Some(self.env.path("HOME")?.join(".cargo")));
        let Some(config) = home.as_deref().and_then(config_file_in) else {
            return Ok(());
        };
        let last = self.scratch.join(".cargo/config.toml");
        // It is above the workspace and was copied already, or the root of the file system has its own.
        if self.path_in_copy(&config).exists() || last.exists() {
            return Ok(());
        }
        let mut wanted = self.copy_resolution_config(&config, named, 0)?;
        // Paths are relative to the folder of the home, and would be relative to the folder of the copy.
        let base = folder_of(folder_of(&config));
        let patches = wanted.get_mut("patch").and_then(Value::as_table_mut).into_iter().flatten();
        let entries = patches.filter_map(|(_, source)| source.as_table_mut()).flatten().map(|(_, entry)| entry);
        for path in entries.filter_map(|entry| entry.get_mut("path")) {
            if let Some(text) = path.as_str() {
                *path = Value::String(normalize_path(&base.join(text)).to_string_lossy().into_owned());
            }
        }
        if wanted.is_empty() { Ok(()) } else { write(&last, &wanted.to_string()) }
    }

    /// The settings in the configuration file at `config` that affect locking. Its includes are copied likewise, and
    /// the manifests of patches are added to `named`.
    fn copy_resolution_config(&self, config: &Path, named: &mut Vec<PathBuf>, depth: usize) -> Result<Table, Error> {
        let table = read_table_or_empty(config);
        named.extend(patched_manifests(&table, folder_of(folder_of(config))));
        let included = included_files(&table, folder_of(config));
        let mut wanted = resolution_config(table);
        let mut copies = Vec::new();
        // Cargo rejects circular includes, and reports them better.
        for path in included.into_iter().filter(|path| depth < MAX_INCLUDE_DEPTH && path.is_file()) {
            let place = self.path_in_copy(&path);
            write(&place, &self.copy_resolution_config(&path, named, depth + 1)?.to_string())?;
            copies.push(Value::String(place.to_string_lossy().into_owned()));
        }
        if !copies.is_empty() {
            wanted.insert("include".to_owned(), Value::Array(copies));
        }
        Ok(wanted)
    }

    fn copy_file(&self, path: &Path) -> Result<(), Error> {
        write(&self.path_in_copy(path), &read(path)?)
    }

    /// The path in the copy.
    fn path_in_copy(&self, path: &Path) -> PathBuf {
        let mut copied = self.scratch.to_owned();
        for component in path.components() {
            match component {
                Component::Normal(name) => copied.push(name),
                Component::ParentDir if copied != self.scratch => {
                    copied.pop();
                }
                _ => {}
            }
        }
        copied
    }
}

/// The configuration in a `.cargo`. If both names exist, cargo uses the one without the extension.
fn config_file_in(folder: &Path) -> Option<PathBuf> {
    ["config", "config.toml"].iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// The settings of a configuration file that affect locking, without secrets.
fn resolution_config(mut config: Table) -> Table {
    let mut wanted = Table::new();
    for name in ["patch", "resolver", "unstable"] {
        wanted.extend(config.remove(name).map(|value| (name.to_owned(), value)));
    }
    // The copy's lock is written into the copy.
    if let Some(resolver) = wanted.get_mut("resolver").and_then(Value::as_table_mut) {
        resolver.remove("lockfile-path");
    }
    let ssh = config.remove("net").and_then(|net| net.get("ssh").cloned());
    wanted.extend(ssh.map(|ssh| ("net".to_owned(), Table::from_iter([("ssh".to_owned(), ssh)]).into())));
    let registries = config.remove("registries").and_then(|value| value.try_into::<Table>().ok()).unwrap_or_default();
    let indexes: Table = registries
        .into_iter()
        .filter_map(|(name, registry)| {
            let index = registry.get("index")?.clone();
            Some((name, Value::Table([("index".to_owned(), index)].into_iter().collect())))
        })
        .collect();
    if !indexes.is_empty() {
        wanted.insert("registries".to_owned(), Value::Table(indexes));
    }
    wanted
}

/// The files that a configuration file includes; they may not exist.
fn included_files(table: &Table, folder: &Path) -> Vec<PathBuf> {
    let entries = match table.get("include") {
        Some(Value::Array(entries)) => entries.as_slice(),
        Some(entry) => std::slice::from_ref(entry),
        None => &[],
    };
    let path = |entry: &Value| entry.as_str().or_else(|| entry.get("path")?.as_str()).map(str::to_owned);
    entries.iter().filter_map(path).map(|path| normalize_path(&folder.join(path))).collect()
}

/// The manifests that `[patch]` and `[replace]` name by path.
fn patched_manifests(table: &Table, base: &Path) -> Vec<PathBuf> {
    let patched = table.get("patch").and_then(Value::as_table).into_iter().flat_map(|patch| patch.values());
    let replaced = table.get("replace").into_iter();
    let tables = patched.chain(replaced).filter_map(Value::as_table);
    let paths = tables.flat_map(|table| table.values()).filter_map(|entry| entry.get("path")?.as_str());
    paths.map(|path| normalize_path(&base.join(path)).join("Cargo.toml")).collect()
}

/// The path without `.` and `..`, without file system access, as in cargo.
fn normalize_path(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// A TOML file, or an empty table if it is invalid: cargo reads the same file and reports the error better.
fn read_table_or_empty(path: &Path) -> Table {
    fs::read_to_string(path).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Copy { path: path.to_owned(), source })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|source| Error::Copy { path: path.to_owned(), source })
}
