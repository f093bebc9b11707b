//! The settings of a running server: what flags and the environment fix, over what the file says, over the defaults;
//! read by everybody, changed by one at a time.
//!
//! What is fixed counts until the end of the process and cannot be written. One exception: live mode that is fixed to
//! be on may be switched off, and on again, at run time; the file does not learn of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::edit::{self, EditedFile};
use super::settings::{self, Key, ParsedFile, Settings, read_text};
use super::{NEW_FILE_MODE, SERVER, SnapshotFile, snapshot_config};
use crate::durable;
use crate::event::Sink;

/// What fixes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag: `--bind`.
    Flag(&'static str),
    /// A variable of the environment: `FROSTMIRROR_BIND`.
    Variable(&'static str),
}

impl Source {
    /// The flag or the variable.
    pub fn name(self) -> &'static str {
        match self {
            Source::Flag(name) | Source::Variable(name) => name,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The keys that flags and the environment fix, with their values.
#[derive(Clone, Debug, Default)]
pub struct Overrides(BTreeMap<Key, (Source, DeValue<'static>)>);

impl Overrides {
    /// Fixes a key to a text. Paths are absolute by then.
    pub fn set_text(&mut self, key: Key, by: Source, text: &str) {
        self.0.insert(key, (by, DeValue::String(text.to_owned().into())));
    }

    /// Fixes a key to true or false.
    pub fn set_bool(&mut self, key: Key, by: Source, on: bool) {
        self.0.insert(key, (by, DeValue::Boolean(on)));
    }

    /// What fixes the key.
    pub fn source(&self, key: Key) -> Option<Source> {
        self.0.get(&key).map(|(by, _)| *by)
    }

    /// The settings with what is fixed.
    fn apply_to(&self, settings: &Settings) -> Result<Settings, settings::Error> {
        let mut settings = settings.clone();
        for (key, (by, value)) in &self.0 {
            match value {
                // Whoever listens there has words of its own for an address that is none.
                DeValue::String(text) if *key == Key::Bind => settings.bind = text.to_string(),
                value => {
                    let set = settings.set(*key, value, Path::new(""));
                    set.map_err(|wrong| settings::Error::InvalidOverride {
                        overridden_by: by.to_string(),
                        error: wrong,
                    })?;
                }
            }
        }
        settings.validate()?;
        Ok(settings)
    }
}

/// The settings of a process, and the file that they come from.
#[derive(Debug)]
pub struct SettingsStore {
    folder: PathBuf,
    overrides: Overrides,
    /// The settings at the start, which count for what needs a restart.
    initial: Arc<Settings>,
    state: RwLock<StoreState>,
    /// Held while a file of the folder is written.
    write_lock: Mutex<()>,
    /// How often the settings in effect were replaced.
    generation: AtomicU64,
}

#[derive(Debug)]
struct StoreState {
    parsed: ParsedFile,
    settings: Arc<Settings>,
    /// Live mode is switched off at run time, whatever fixes it.
    live_mode_off: bool,
}

/// The turn of one who writes.
pub struct WriteGuard<'l>(#[expect(dead_code, reason = "held, and never looked at")] MutexGuard<'l, ()>);

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// Keys whose value in effect is another one now, or will be at the next start.
    pub changed: Vec<Key>,
    /// Keys whose value waits for the next start.
    pub needs_restart: Vec<Key>,
}

impl SettingsStore {
    /// Reads the `frostmirror.toml` of `folder`, where there is one.
    ///
    /// # Errors
    /// Everything in [`settings::Error`]; a file that cannot be used never falls back to the defaults.
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

    /// The settings in effect. Who works for long takes them anew for each piece of work.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).settings)
    }

    /// A number that is another one whenever the settings in effect may be others; cheap to ask for.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Whether the key has a value that somebody gave it, be it the default's.
    pub fn is_explicit(&self, key: Key) -> bool {
        self.overrides.source(key).is_some()
            || self.state.read().unwrap_or_else(PoisonError::into_inner).parsed.keys.contains(&key)
    }

    /// Puts what a file says into effect.
    ///
    /// # Errors
    /// It contradicts what is fixed; everything is as it was.
    pub fn replace(&self, parsed: ParsedFile) -> Result<(), settings::Error> {
        let mut settings = self.overrides.apply_to(&parsed.settings)?;
        let mut now = self.state.write().unwrap_or_else(PoisonError::into_inner);
        settings.proxy_mode &= !now.live_mode_off;
        (now.parsed, now.settings) = (parsed, Arc::new(settings));
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Reads the file again, which somebody has changed.
    ///
    /// # Errors
    /// As [`SettingsStore::load`]; everything is as it was.
    pub fn reload(&self) -> Result<(), settings::Error> {
        self.replace(ParsedFile::read(&self.folder)?)
    }

    /// Writes changes, `{key: value or null}`, into the file and puts them into effect. `null` takes a key out. Comments
    /// and order stay. An address that is given back masked as it was shown keeps what is stored.
    ///
    /// # Errors
    /// Everything in [`edit::Error`]; the file and the settings are as they were.
    pub fn write(&self, changes: &Map<String, Value>) -> Result<SettingsChange, edit::Error> {
        self.write_checked(changes, |_| Ok(()))
    }

    /// The same where `may` takes no offence at the settings that would be in effect: what somebody wrote into the file by
    /// hand meanwhile comes into effect with the changes.
    ///
    /// # Errors
    /// As [`SettingsStore::write`], and what `may` says; the file and the settings are as they were.
    pub fn write_checked<E: From<edit::Error>>(
        &self,
        changes: &Map<String, Value>,
        check: impl FnOnce(&Settings) -> Result<(), E>,
    ) -> Result<SettingsChange, E> {
        self.write_with_guard(&self.lock_for_write(), changes, check)
    }

    /// Held while a file of the configuration's folder is read, changed and written, so that nobody's change is lost: each of
    /// the two files, by whoever is asked over the network, and by a snapshot that brings both.
    pub fn lock_for_write(&self) -> WriteGuard<'_> {
        WriteGuard(self.write_lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// [`SettingsStore::write_checked`] by one whose turn it is.
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
        let existing = read_text(&path).map_err(edit::Error::from)?;
        let text = existing.as_deref().unwrap_or_default();
        let (off, changes) = self.extract_live_switch(changes)?;
        let before = ParsedFile::parse(text, &path).map_err(edit::Error::from)?;
        let before_settings = self.current();
        let EditedFile { text: edited, parsed } = edit::apply_changes(text, &path, &before, &changes)?;
        check(&self.overrides.apply_to(&parsed.settings).map_err(edit::Error::from)?)?;
        if edited != text {
            if read_text(&path).map_err(edit::Error::from)? != existing {
                return Err(edit::Error::ConcurrentChange { path }.into());
            }
            let failed = |source| edit::Error::Write { path: path.clone(), source };
            durable::make_folder(&self.folder).map_err(failed)?;
            let urls = Key::ALL.into_iter().filter_map(|key| parsed.settings.upstream(key));
            let has_secret = urls.into_iter().any(|url| url.has_secret());
            // Where the name is a link, the file that it leads to is the one to change.
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

    /// Whether a write may give the key another value. It may not where the key is fixed, except for the switch of live mode,
    /// and not where only the operator may change it.
    pub fn is_writable(&self, key: Key) -> bool {
        let is_free = self.overrides.source(key).is_none() || (key == Key::ProxyMode && self.is_forced_on(key));
        is_free && !key.is_operator_only()
    }

    fn is_forced_on(&self, key: Key) -> bool {
        matches!(self.overrides.0.get(&key), Some((_, DeValue::Boolean(true))))
    }

    /// Refuses changes of what is fixed; takes the switch of live mode out of them.
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

    /// Puts a snapshot's configuration in place as [`snapshot_config::restore_files`] does, and into effect.
    ///
    /// # Errors
    /// As [`snapshot_config::restore_files`].
    pub fn restore(&self, files: &[SnapshotFile], sink: &dyn Sink) -> Result<(), snapshot_config::Error> {
        let _guard = self.lock_for_write();
        snapshot_config::restore_files(&self.folder, files, sink)?;
        if files.iter().any(|file| file.name == SERVER)
            && let Err(error) = self.reload_snapshot_keys()
        {
            sink.warning(format!("the settings in effect stay as they were: {error}"));
        }
        Ok(())
    }

    /// Puts the keys that travel into effect as the file has them now. An import must not put into effect what somebody
    /// wrote into the file by hand meanwhile.
    fn reload_snapshot_keys(&self) -> Result<(), settings::Error> {
        let from_file = ParsedFile::read(&self.folder)?;
        let mut parsed = self.state.read().unwrap_or_else(PoisonError::into_inner).parsed.clone();
        parsed.settings.copy_snapshot_keys(&from_file.settings);
        parsed.keys.retain(|key| !key.is_in_snapshots());
        parsed.keys.extend(from_file.keys.into_iter().filter(|key| key.is_in_snapshots()));
        self.replace(parsed)
    }

    /// Every key with its value in effect, its default, where the value comes from (`default`, `file`, `environment`,
    /// `flag`), what fixes it, and whether a change needs a restart. Secrets are masked.
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
