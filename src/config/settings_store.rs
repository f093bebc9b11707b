//! The settings of a running server, in order of precedence: flags and environment, the file, the defaults. Reads are
//! concurrent; writes are serialized.
//!
//! A fixed value lasts until the process ends and cannot be written. One exception: live mode that a flag switches on can be
//! switched off and on again at run time; the file does not change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde_json::{Map, Value, json};

use super::edit::{self, EditedFile};
use super::overrides::{Overrides, Source};
use super::settings::{self, Key, ParsedFile, Settings, read_text};
use super::{NEW_FILE_MODE, SERVER, SnapshotFile, snapshot_config};
use crate::durable;
use crate::event::Sink;

/// The settings of a process, and their file.
#[derive(Debug)]
pub struct SettingsStore {
    folder: PathBuf,
    overrides: Overrides,
    /// The settings at the start, which apply to keys that need a restart.
    initial: Arc<Settings>,
    state: RwLock<StoreState>,
    /// Serializes writes to the files of the folder.
    write_lock: Mutex<()>,
    /// The generation of the settings in effect.
    generation: AtomicU64,
}

#[derive(Debug)]
struct StoreState {
    parsed: ParsedFile,
    settings: Arc<Settings>,
    /// Whether live mode was switched off at run time, even if it is fixed.
    live_mode_off: bool,
}

/// Exclusive write access.
pub struct WriteGuard<'l>(#[expect(dead_code, reason = "held, and never looked at")] MutexGuard<'l, ()>);

/// The outcome of a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Keys whose value in effect changed, or will change at the next start.
    pub changed: Vec<Key>,
    /// Keys whose new value needs a restart.
    pub needs_restart: Vec<Key>,
}

impl SettingsStore {
    /// Reads the `frostmirror.toml` of `folder`, if it exists.
    ///
    /// # Errors
    /// Everything in [`settings::Error`]; an invalid file never falls back to the defaults.
    pub fn load(folder: &Path, fixed: Overrides) -> Result<SettingsStore, settings::Error> {
        let parsed = ParsedFile::read(folder)?;
        let settings = Arc::new(fixed.apply_to(&parsed.settings)?);
        let now = StoreState { parsed, settings: Arc::clone(&settings), live_mode_off: false };
        Ok(SettingsStore {
            folder: folder.to_owned(),
            overrides: fixed,
            initial: settings,
            state: RwLock::new(now),
            write_lock: Mutex::new(()),
            generation: AtomicU64::new(0),
        })
    }

    /// The folder of the configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The settings in effect. A long-running task reads them again for each unit of work.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).settings)
    }

    /// Settings generation; it changes with the settings in effect and is cheap to read.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Whether the key has a value, including a default.
    pub fn is_explicit(&self, key: Key) -> bool {
        self.overrides.source(key).is_some()
            || self.state.read().unwrap_or_else(PoisonError::into_inner).parsed.keys.contains(&key)
    }

    /// Applies the contents of the file.
    ///
    /// # Errors
    /// A conflict with a fixed value; the settings are unchanged.
    pub fn replace(&self, parsed: ParsedFile) -> Result<(), settings::Error> {
        let mut settings = self.overrides.apply_to(&parsed.settings)?;
        let mut now = self.state.write().unwrap_or_else(PoisonError::into_inner);
        settings.proxy_mode &= !now.live_mode_off;
        (now.parsed, now.settings) = (parsed, Arc::new(settings));
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Reloads the changed file.
    ///
    /// # Errors
    /// As [`SettingsStore::load`]; the settings are unchanged.
    pub fn reload(&self) -> Result<(), settings::Error> {
        self.replace(ParsedFile::read(&self.folder)?)
    }

    /// Writes changes, `{key: value or null}`, into the file and applies them. `null` removes a key. Comments and order
    /// stay. A URL that is sent back in its masked form keeps the stored value.
    ///
    /// # Errors
    /// Everything in [`edit::Error`]; the file and the settings are unchanged.
    pub fn write(&self, changes: &Map<String, Value>) -> Result<SettingsChange, edit::Error> {
        self.write_checked(changes, |_| Ok(()))
    }

    /// Like [`SettingsStore::write`], if `may` accepts the resulting settings. Manual edits of the file also take effect.
    ///
    /// # Errors
    /// As [`SettingsStore::write`], and the errors of `may`; the file and the settings are unchanged.
    pub fn write_checked<E: From<edit::Error>>(
        &self,
        changes: &Map<String, Value>,
        check: impl FnOnce(&Settings) -> Result<(), E>,
    ) -> Result<SettingsChange, E> {
        self.write_with_guard(&self.lock_for_write(), changes, check)
    }

    /// Serializes read-change-write cycles of the folder's files, so that no change is lost. API requests and snapshot
    /// imports use it for both files.
    pub fn lock_for_write(&self) -> WriteGuard<'_> {
        WriteGuard(self.write_lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// [`SettingsStore::write_checked`] for a caller with write access.
    ///
    /// # Errors
    /// As [`SettingsStore::write_checked`].
    pub fn write_with_guard<E: From<edit::Error>>(
        &self,
        _guard: &WriteGuard<'_>,
        changes: &Map<String, Value>,
        check: impl FnOnce(&Settings) -> Result<(), E>,
    ) -> Result<SettingsChange, E> {
        let path = self.folder.join(SERVER);
        let existing = read_text(&path).map_err(settings::Error::from).map_err(edit::Error::from)?;
        let text = existing.as_deref().unwrap_or_default();
        let (off, changes) = self.extract_live_switch(changes)?;
        let before = ParsedFile::parse(text, &path).map_err(edit::Error::from)?;
        let before_settings = self.current();
        let EditedFile { text: edited, parsed } = edit::apply_changes(text, &path, &before, &changes)?;
        check(&self.overrides.apply_to(&parsed.settings).map_err(edit::Error::from)?)?;
        if edited != text {
            if read_text(&path).map_err(settings::Error::from).map_err(edit::Error::from)? != existing {
                return Err(edit::Error::ConcurrentChange { path }.into());
            }
            let failed = |source| edit::Error::Write { path: path.clone(), source };
            durable::make_folder(&self.folder).map_err(failed)?;
            let urls = Key::ALL.into_iter().filter_map(|key| parsed.settings.upstream(key));
            let has_secret = urls.into_iter().any(|url| url.has_secret());
            // If the path is a link, the write changes its target.
            let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            let written = match has_secret {
                true => durable::rewrite_private(&real, edited.as_bytes()),
                false => durable::rewrite(&real, edited.as_bytes(), NEW_FILE_MODE),
            };
            written.map_err(failed)?;
        }
        if let Some(off) = off {
            self.state.write().unwrap_or_else(PoisonError::into_inner).live_mode_off = off;
        }
        self.replace(parsed).map_err(edit::Error::from)?;
        let now = self.current();
        let differs = |one: &Settings, key: &Key| one.unmasked_json(*key) != now.unmasked_json(*key);
        let keys = || Key::ALL.into_iter();
        Ok(SettingsChange {
            changed: keys().filter(|key| differs(&before_settings, key)).collect(),
            needs_restart: keys().filter(|key| key.needs_restart() && differs(&self.initial, key)).collect(),
        })
    }

    /// Whether a write may change the key. Fixed keys (except the live mode switch) and operator-only keys may not change.
    pub fn is_writable(&self, key: Key) -> bool {
        let is_free = self.overrides.source(key).is_none() || (key == Key::ProxyMode && self.is_forced_on(key));
        is_free && !key.is_operator_only()
    }

    fn is_forced_on(&self, key: Key) -> bool {
        self.overrides.switches_on(key)
    }

    /// Refuses changes of fixed keys; removes the live mode switch from the changes.
    fn extract_live_switch(
        &self,
        changes: &Map<String, Value>,
    ) -> Result<(Option<bool>, Map<String, Value>), edit::Error> {
        let (mut switched_off, mut rest) = (None, changes.clone());
        for (name, value) in changes {
            let Some((key, by)) = Key::from_name(name).and_then(|key| Some((key, self.overrides.source(key)?))) else {
                continue;
            };
            match value {
                Value::Bool(on) if key == Key::ProxyMode && self.is_forced_on(key) => {
                    switched_off = Some(!on);
                    rest.remove(name);
                }
                _ => return Err(edit::Error::Overridden { key, overridden_by: by }),
            }
        }
        Ok((switched_off, rest))
    }

    /// Restores a snapshot's configuration as [`snapshot_config::restore_files`] does, and applies it.
    ///
    /// # Errors
    /// As [`snapshot_config::restore_files`].
    pub fn restore(&self, files: &[SnapshotFile], sink: &dyn Sink) -> Result<(), snapshot_config::Error> {
        let _guard = self.lock_for_write();
        snapshot_config::restore_files(&self.folder, files, sink)?;
        if files.iter().any(|file| file.name == SERVER)
            && let Err(error) = self.reload_snapshot_keys()
        {
            sink.warning(format!("the settings in effect are unchanged: {error}"));
        }
        Ok(())
    }

    /// Applies the snapshot keys of the file. An import must not apply other manual edits of the file.
    fn reload_snapshot_keys(&self) -> Result<(), settings::Error> {
        let from_file = ParsedFile::read(&self.folder)?;
        let mut parsed = self.state.read().unwrap_or_else(PoisonError::into_inner).parsed.clone();
        parsed.settings.copy_snapshot_keys(&from_file.settings);
        parsed.keys.retain(|key| !key.is_in_snapshots());
        parsed.keys.extend(from_file.keys.into_iter().filter(|key| key.is_in_snapshots()));
        self.replace(parsed)
    }

    /// Every key with its value in effect, its default, the value's source (`default`, `file`, `environment`, `flag`), what
    /// fixes it, and whether a change needs a restart. Secrets are masked.
    pub fn to_json(&self) -> Value {
        let now = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let defaults = Settings::default();
        let keys = Key::ALL.into_iter().map(|key| {
            let by = self.overrides.source(key);
            let source = match by {
                Some(Source::Flag(_)) => "flag",
                Some(Source::Variable(_)) => "environment",
                None if now.parsed.keys.contains(&key) => "file",
                None => "default",
            };
            let about = json!({
                "value": now.settings.masked_json(key),
                "default": defaults.masked_json(key),
                "source": source,
                "fixed_by": by.map(Source::name),
                "needs_restart": key.needs_restart(),
                "operator_only": key.is_operator_only(),
            });
            (key.name().to_owned(), about)
        });
        Value::Object(keys.collect())
    }
}

#[cfg(test)]
mod tests;
