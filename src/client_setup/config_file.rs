//! The config.toml of a CARGO_HOME: finds the file that cargo reads, records the changes of setup, and undoes them.
//!
//! The file `config.toml.frostmirror-undo` beside it has the previous text, the digest of the written text, and every
//! changed key. If the configuration is unchanged since, undo restores the previous bytes. If it was edited, undo reverts
//! the keys one by one and keeps the edits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::config_edit::{self, Change, EditError};
use super::{ClientSetup, is_frostmirror_source};
use crate::bounded_read::{self, SizeLimit};
use crate::digest::Sha256;
use crate::durable;

/// The limit for cargo's configuration.
const CONFIG_LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "cargo's configuration" };

/// The limit for an undo record, which has a configuration and the values of its keys as JSON.
const RECORD_LIMIT: SizeLimit = SizeLimit { max: 32 << 20, kind: "the record of setup's changes" };

/// The reason why a configuration was neither changed nor restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// The configuration could not be edited.
    #[error("could not edit `{}`", path.display())]
    Edit {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: EditError,
    },
    /// The undo record is damaged.
    #[error("the record of setup's changes in `{}` is damaged", path.display())]
    InvalidRecord {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// The configuration names the mirror, but there is no undo record.
    #[error("`{}` uses the mirror, but there is no record of setup's changes", path.display())]
    MissingRecord {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The outcome of [`PlannedWrite`].
#[derive(Debug)]
pub struct SetupReport {
    /// The file that cargo reads.
    pub path: PathBuf,
    /// Whether the file is the legacy `config`, which cargo prefers to config.toml, with a warning.
    pub is_legacy: bool,
    /// The differences from the configuration before setup; empty if it had all keys already.
    pub changes: Vec<Change>,
}

/// The outcome of [`undo`].
#[derive(Debug)]
pub struct UndoReport {
    /// The file that cargo reads.
    pub path: PathBuf,
    /// Whether there was anything to undo.
    pub has_changed: bool,
    /// Whether setup had created the file, and undo removed it.
    pub was_removed: bool,
    /// Keys that were edited since; they stay.
    pub kept_keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct UndoRecord {
    /// The previous text, or `None` if there was no file.
    original: Option<String>,
    /// The digest of the written text.
    #[serde(rename = "written")]
    written_digest: Sha256,
    changes: Vec<Change>,
}

/// A planned change of a client's configuration. Nothing is written before [`PlannedWrite::apply`].
pub struct PlannedWrite {
    file: ConfigFile,
    /// The new text with its undo record; `None` if the configuration has all keys already.
    update: Option<(String, UndoRecord)>,
}

impl PlannedWrite {
    /// Merges `client` into the configuration below `cargo_home`, without writing. With other options than before, the
    /// plan reverts the earlier ones first.
    ///
    /// # Errors
    /// A file cannot be read or edited.
    pub fn new(cargo_home: &Path, client: &ClientSetup) -> Result<PlannedWrite, Error> {
        let file = ConfigFile::find(cargo_home);
        let settings = client.settings();
        let now = file.read_text()?;
        let text = now.as_deref().unwrap_or_default();
        let record = file.read_record()?;
        let written = record.iter().flat_map(|record| &record.changes).filter(|change| change.after.is_some());
        let drops_no_key = written.clone().all(|change| settings.iter().any(|setting| setting.key == change.key));
        let edit = |source| Error::Edit { path: file.path.clone(), source };
        if drops_no_key && config_edit::is_applied(text, &settings).map_err(edit)? {
            return Ok(PlannedWrite { file, update: None });
        }
        let original = match record {
            Some(record) if now.is_some() => file.original_text(text, &record)?.0,
            _ => now,
        };
        let (merged, changes) = config_edit::merge(original.as_deref().unwrap_or_default(), &settings).map_err(edit)?;
        let record = UndoRecord { original, written_digest: Sha256::of(merged.as_bytes()), changes };
        Ok(PlannedWrite { file, update: Some((merged, record)) })
    }

    /// Whether the plan removes `http.cainfo` from the configuration at `path`.
    pub fn removes_ca(&self, path: &Path) -> bool {
        let Some((merged, _)) = &self.update else { return false };
        let table: Option<toml::Table> = merged.parse().ok();
        path == self.file.path && table.is_some_and(|table| table.get("http").and_then(|t| t.get("cainfo")).is_none())
    }

    /// Writes the configuration and its undo record.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn apply(self) -> Result<SetupReport, Error> {
        let PlannedWrite { file, update } = self;
        let mut changes = Vec::new();
        if let Some((merged, record)) = update {
            file.save_record(&record)?;
            file.save(&merged)?;
            changes = record.changes;
        }
        Ok(SetupReport { path: file.path, is_legacy: file.is_legacy, changes })
    }
}

/// Reverts the changes of [`PlannedWrite`] below `cargo_home`.
pub fn undo(cargo_home: &Path) -> Result<UndoReport, Error> {
    let file = ConfigFile::find(cargo_home);
    let now = file.read_text()?;
    let text = now.as_deref().unwrap_or_default();
    let Some(record) = file.read_record()? else {
        if replaces_crates_io(text) {
            return Err(Error::MissingRecord { path: file.path });
        }
        return Ok(UndoReport { path: file.path, has_changed: false, was_removed: false, kept_keys: Vec::new() });
    };
    let (original, kept) = if now.is_some() { file.original_text(text, &record)? } else { (None, Vec::new()) };
    match &original {
        Some(before) if before != text => file.save(before)?,
        None if now.is_some() => {
            fs::remove_file(&file.path).map_err(|source| Error::Write { path: file.path.clone(), source })?;
        }
        _ => {}
    }
    fs::remove_file(&file.record_path).map_err(|source| Error::Write { path: file.record_path.clone(), source })?;
    Ok(UndoReport {
        was_removed: now.is_some() && original.is_none(),
        path: file.path,
        has_changed: true,
        kept_keys: kept,
    })
}

fn replaces_crates_io(text: &str) -> bool {
    let table: Option<toml::Table> = text.parse().ok();
    let name = table.as_ref().and_then(|t| t.get("source")?.get("crates-io")?.get("replace-with")?.as_str());
    name.is_some_and(is_frostmirror_source)
}

struct ConfigFile {
    path: PathBuf,
    record_path: PathBuf,
    is_legacy: bool,
}

impl ConfigFile {
    /// cargo prefers `config` if both files exist, and warns (cargo: util/context, `get_file_path`).
    fn find(cargo_home: &Path) -> ConfigFile {
        let old = cargo_home.join("config");
        let new = cargo_home.join("config.toml");
        // Users link the old name to the new one to support both old and new cargos.
        let legacy = old.is_file() && !same_file(&old, &new);
        ConfigFile {
            path: if legacy { old } else { new },
            record_path: cargo_home.join("config.toml.frostmirror-undo"),
            is_legacy: legacy,
        }
    }

    fn read_text(&self) -> Result<Option<String>, Error> {
        Ok(bounded_read::if_exists(CONFIG_LIMIT.read_text(&self.path))?)
    }

    fn read_record(&self) -> Result<Option<UndoRecord>, Error> {
        let Some(text) = bounded_read::if_exists(RECORD_LIMIT.read_text(&self.record_path))? else { return Ok(None) };
        match serde_json::from_str(&text) {
            Ok(record) => Ok(Some(record)),
            Err(source) => Err(Error::InvalidRecord { path: self.record_path.clone(), source }),
        }
    }

    /// The text before setup, as far as it can be derived from `text` (`None`: no file), and the keys that stay.
    fn original_text(&self, text: &str, record: &UndoRecord) -> Result<(Option<String>, Vec<String>), Error> {
        if Sha256::of(text.as_bytes()) == record.written_digest {
            return Ok((record.original.clone(), Vec::new()));
        }
        let restored = config_edit::revert(text, &record.changes);
        let (before, kept) = restored.map_err(|source| Error::Edit { path: self.path.clone(), source })?;
        let gone = record.original.is_none() && before.trim().is_empty();
        Ok(((!gone).then_some(before), kept))
    }

    fn save(&self, text: &str) -> Result<(), Error> {
        let target = resolve_link(&self.path);
        let saved = target.parent().map_or(Ok(()), durable::make_folder);
        let saved = saved.and_then(|()| durable::rewrite(&target, text.as_bytes(), 0o644));
        saved.map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    /// The record is private, because it repeats the configuration, which may contain tokens.
    fn save_record(&self, record: &UndoRecord) -> Result<(), Error> {
        let text = serde_json::to_vec_pretty(record).expect("texts and digests are always JSON");
        let saved = self.record_path.parent().map_or(Ok(()), durable::make_folder);
        let saved = saved.and_then(|()| durable::rewrite(&self.record_path, &text, 0o600));
        saved.map_err(|source| Error::Write { path: self.record_path.clone(), source })
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

/// The path to write, so that a link stays a link.
fn resolve_link(path: &Path) -> PathBuf {
    if let Ok(target) = fs::canonicalize(path) {
        return target;
    }
    match fs::read_link(path) {
        Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
        Err(_) => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_setup::BaseUrl;

    fn client(url: &str) -> ClientSetup {
        ClientSetup::for_server(BaseUrl::parse(url).expect("url"))
    }

    fn write(cargo_home: &Path, client: &ClientSetup) -> Result<SetupReport, Error> {
        PlannedWrite::new(cargo_home, client)?.apply()
    }

    #[test]
    fn a_plan_writes_nothing_and_tells_whether_it_removes_the_ca() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("config.toml");
        let with_ca = ClientSetup { ca: Some("/ca.pem".into()), ..client("https://a") };
        assert!(!PlannedWrite::new(home.path(), &with_ca).expect("plan").removes_ca(&path));
        assert!(!path.exists());
        write(home.path(), &with_ca).expect("write");
        assert!(!PlannedWrite::new(home.path(), &with_ca).expect("plan").removes_ca(&path));
        let plan = PlannedWrite::new(home.path(), &client("https://a")).expect("plan");
        assert!(plan.removes_ca(&path) && !plan.removes_ca(Path::new("/elsewhere/config.toml")));
        assert!(fs::read_to_string(&path).expect("read").contains("/ca.pem"));
    }

    #[test]
    fn writing_twice_and_undoing_restores_the_file() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("config.toml");
        let old = "# mine\r\n[source.crates-io]\r\nreplace-with='corp'   # x\r\n[source.corp]\r\ndirectory = '/v'";
        fs::write(&path, old).expect("write");
        assert_eq!(write(home.path(), &client("http://a")).expect("write").changes.len(), 2);
        let first = fs::read(&path).expect("read");
        assert!(write(home.path(), &client("http://a")).expect("write").changes.is_empty());
        assert_eq!(fs::read(&path).expect("read"), first);
        write(home.path(), &client("http://b")).expect("write");
        assert!(fs::read_to_string(&path).expect("read").contains("sparse+http://b/index/"));
        let careless = ClientSetup { check_revoke: Some(false), ..client("http://b") };
        assert_eq!(write(home.path(), &careless).expect("write").changes.len(), 3);
        assert_eq!(write(home.path(), &client("http://b")).expect("write").changes.len(), 2);
        assert!(
            !fs::read_to_string(&path).expect("read").contains("check-revoke"),
            "an option that is no longer given"
        );
        let undone = undo(home.path()).expect("undo");
        assert!(undone.has_changed && !undone.was_removed && undone.kept_keys.is_empty());
        assert_eq!(fs::read_to_string(&path).expect("read"), old);
        assert!(!undo(home.path()).expect("undo").has_changed);
        assert_eq!(fs::read_dir(home.path()).expect("list").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn undo_removes_a_file_that_setup_created() {
        let home = tempfile::tempdir().expect("folder");
        let cargo_home = home.path().join("new");
        write(&cargo_home, &client("http://a")).expect("write");
        assert!(undo(&cargo_home).expect("undo").was_removed);
        assert_eq!(fs::read_dir(&cargo_home).expect("list").count(), 0);

        write(&cargo_home, &client("http://a")).expect("write");
        let path = cargo_home.join("config.toml");
        let more = fs::read_to_string(&path).expect("read") + "\n[net]\nretry = 7\n";
        fs::write(&path, more).expect("write");
        assert!(!undo(&cargo_home).expect("undo").was_removed);
        assert_eq!(fs::read_to_string(&path).expect("read").trim(), "[net]\nretry = 7");
    }

    #[test]
    fn an_invalid_file_is_unchanged() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("config.toml");
        fs::write(&path, "[broken").expect("write");
        assert!(matches!(write(home.path(), &client("http://a")), Err(Error::Edit { .. })));
        assert_eq!(fs::read_to_string(&path).expect("read"), "[broken");
        let long = "#".repeat((1 << 20) + 1);
        fs::write(&path, &long).expect("write");
        for failed in [write(home.path(), &client("http://a")).err(), undo(home.path()).err()] {
            assert!(matches!(failed, Some(Error::Read(bounded_read::Error::TooLarge { .. }))), "{failed:?}");
        }
        assert_eq!(fs::read_to_string(&path).expect("read"), long);
        fs::write(&path, "[source.crates-io]\nreplace-with = 'frostmirror'\n").expect("write");
        assert!(matches!(undo(home.path()), Err(Error::MissingRecord { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_are_respected() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let home = tempfile::tempdir().expect("folder");
        let real = home.path().join("dotfiles.toml");
        let path = home.path().join("config.toml");
        fs::write(&real, "[net]\nretry = 1\n").expect("write");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).expect("mode");
        symlink("dotfiles.toml", &path).expect("link");
        symlink("config.toml", home.path().join("config")).expect("link");
        assert!(!write(home.path(), &client("http://a")).expect("write").is_legacy);
        assert!(fs::symlink_metadata(&path).expect("link").is_symlink());
        assert!(fs::read_to_string(&real).expect("read").contains("frostmirror"));
        let mode = |path: &Path| fs::metadata(path).expect("file").permissions().mode() & 0o777;
        assert_eq!(mode(&real), 0o600);
        assert_eq!(mode(&home.path().join("config.toml.frostmirror-undo")), 0o600);
        undo(home.path()).expect("undo");
        assert_eq!(fs::read_to_string(&real).expect("read"), "[net]\nretry = 1\n");
    }
}
