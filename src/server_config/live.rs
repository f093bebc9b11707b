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

use super::edit::{self, Edited};
use super::settings::{self, Given, Key, Settings, read_text};
use super::{Brought, MODE, SERVER, travel};
use crate::durable;
use crate::event::Sink;

/// What fixes a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A flag: `--bind`.
    Flag(&'static str),
    /// A variable of the environment: `FROSTMIRROR_BIND`.
    Variable(&'static str),
}

impl By {
    /// The flag or the variable.
    pub fn name(self) -> &'static str {
        match self {
            By::Flag(name) | By::Variable(name) => name,
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The keys that flags and the environment fix, with their values.
#[derive(Clone, Debug, Default)]
pub struct Fixed(BTreeMap<Key, (By, DeValue<'static>)>);

impl Fixed {
    /// Fixes a key to a text. Paths are absolute by then.
    pub fn text(&mut self, key: Key, by: By, text: &str) {
        self.0.insert(key, (by, DeValue::String(text.to_owned().into())));
    }

    /// Fixes a key to true or false.
    pub fn switch(&mut self, key: Key, by: By, on: bool) {
        self.0.insert(key, (by, DeValue::Boolean(on)));
    }

    /// What fixes the key.
    pub fn by(&self, key: Key) -> Option<By> {
        self.0.get(&key).map(|(by, _)| *by)
    }

    /// The settings with what is fixed.
    fn over(&self, settings: &Settings) -> Result<Settings, settings::Error> {
        let mut settings = settings.clone();
        for (key, (by, value)) in &self.0 {
            match value {
                // Whoever listens there has words of its own for an address that is none.
                DeValue::String(text) if *key == Key::Bind => settings.bind = text.to_string(),
                value => {
                    let set = settings.set(*key, value, Path::new(""));
                    set.map_err(|wrong| settings::Error::Fixed { by: by.to_string(), wrong })?;
                }
            }
        }
        settings.check()?;
        Ok(settings)
    }
}

/// The settings of a process, and the file that they come from.
#[derive(Debug)]
pub struct Live {
    folder: PathBuf,
    fixed: Fixed,
    /// The settings at the start, which count for what needs a restart.
    started: Arc<Settings>,
    now: RwLock<Now>,
    /// Held while a file of the folder is written.
    writing: Mutex<()>,
    /// How often the settings in effect were replaced.
    generation: AtomicU64,
}

#[derive(Debug)]
struct Now {
    given: Given,
    settings: Arc<Settings>,
    /// Live mode is switched off at run time, whatever fixes it.
    switched_off: bool,
}

/// The turn of one who writes.
pub struct Writing<'l>(#[expect(dead_code, reason = "held, and never looked at")] MutexGuard<'l, ()>);

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Keys whose value in effect is another one now, or will be at the next start.
    pub changed: Vec<Key>,
    /// Keys whose value waits for the next start.
    pub needs_restart: Vec<Key>,
}

impl Live {
    /// Reads the `frostmirror.toml` of `folder`, where there is one.
    ///
    /// # Errors
    /// Everything in [`settings::Error`]; a file that cannot be used never falls back to the defaults.
    pub fn load(folder: &Path, fixed: Fixed) -> Result<Live, settings::Error> {
        let given = Given::read(folder)?;
        let settings = Arc::new(fixed.over(&given.settings)?);
        let now = Now { given, settings: Arc::clone(&settings), switched_off: false };
        Ok(Live {
            folder: folder.to_owned(),
            fixed,
            started: settings,
            now: RwLock::new(now),
            writing: Mutex::new(()),
            generation: AtomicU64::new(0),
        })
    }

    /// The folder of the configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The settings in effect. Who works for long takes them anew for each piece of work.
    pub fn current(&self) -> Arc<Settings> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner).settings)
    }

    /// A number that is another one whenever the settings in effect may be others; cheap to ask for.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Whether the key has a value that somebody gave it, be it the default's.
    pub fn is_given(&self, key: Key) -> bool {
        self.fixed.by(key).is_some()
            || self.now.read().unwrap_or_else(PoisonError::into_inner).given.keys.contains(&key)
    }

    /// Puts what a file says into effect.
    ///
    /// # Errors
    /// It contradicts what is fixed; everything is as it was.
    pub fn replace(&self, given: Given) -> Result<(), settings::Error> {
        let mut settings = self.fixed.over(&given.settings)?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        settings.proxy_mode &= !now.switched_off;
        (now.given, now.settings) = (given, Arc::new(settings));
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// Reads the file again, which somebody has changed.
    ///
    /// # Errors
    /// As [`Live::load`]; everything is as it was.
    pub fn reload(&self) -> Result<(), settings::Error> {
        self.replace(Given::read(&self.folder)?)
    }

    /// Writes changes, `{key: value or null}`, into the file and puts them into effect. `null` takes a key out. Comments
    /// and order stay. An address that is given back masked as it was shown keeps what is stored.
    ///
    /// # Errors
    /// Everything in [`edit::Error`]; the file and the settings are as they were.
    pub fn write(&self, changes: &Map<String, Value>) -> Result<Written, edit::Error> {
        self.write_if(changes, |_| Ok(()))
    }

    /// The same where `may` takes no offence at the settings that would be in effect: what somebody wrote into the file by
    /// hand meanwhile comes into effect with the changes.
    ///
    /// # Errors
    /// As [`Live::write`], and what `may` says; the file and the settings are as they were.
    pub fn write_if<E: From<edit::Error>>(
        &self,
        changes: &Map<String, Value>,
        may: impl FnOnce(&Settings) -> Result<(), E>,
    ) -> Result<Written, E> {
        self.write_under(&self.one_at_a_time(), changes, may)
    }

    /// Held while a file of the configuration's folder is read, changed and written, so that nobody's change is lost: each of
    /// the two files, by whoever is asked over the network, and by a snapshot that brings both.
    pub fn one_at_a_time(&self) -> Writing<'_> {
        Writing(self.writing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// [`Live::write_if`] by one whose turn it is.
    ///
    /// # Errors
    /// As [`Live::write_if`].
    pub fn write_under<E: From<edit::Error>>(
        &self,
        _turn: &Writing<'_>,
        changes: &Map<String, Value>,
        may: impl FnOnce(&Settings) -> Result<(), E>,
    ) -> Result<Written, E> {
        let path = self.folder.join(SERVER);
        let there = read_text(&path).map_err(edit::Error::from)?;
        let text = there.as_deref().unwrap_or_default();
        let (off, changes) = self.switch(changes)?;
        let before = Given::parse(text, &path).map_err(edit::Error::from)?;
        let was = self.current();
        let Edited { text: edited, given } = edit::edited(text, &path, &before, &changes)?;
        may(&self.fixed.over(&given.settings).map_err(edit::Error::from)?)?;
        if edited != text {
            if read_text(&path).map_err(edit::Error::from)? != there {
                return Err(edit::Error::Changed { path }.into());
            }
            let failed = |source| edit::Error::Write { path: path.clone(), source };
            durable::make_folder(&self.folder).map_err(failed)?;
            let urls = Key::ALL.into_iter().filter_map(|key| given.settings.upstream(key));
            let has_secret = urls.into_iter().any(|url| url.has_secret());
            // Where the name is a link, the file that it leads to is the one to change.
            let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
            let written = match has_secret {
                true => durable::rewrite_private(&real, edited.as_bytes()),
                false => durable::rewrite(&real, edited.as_bytes(), MODE),
            };
            written.map_err(failed)?;
        }
        if let Some(off) = off {
            self.now.write().unwrap_or_else(PoisonError::into_inner).switched_off = off;
        }
        self.replace(given).map_err(edit::Error::from)?;
        let now = self.current();
        let differs = |one: &Settings, key: &Key| one.plain_json(*key) != now.plain_json(*key);
        let keys = || Key::ALL.into_iter();
        Ok(Written {
            changed: keys().filter(|key| differs(&was, key)).collect(),
            needs_restart: keys().filter(|key| key.needs_restart() && differs(&self.started, key)).collect(),
        })
    }

    /// Whether a write may give the key another value. It may not where the key is fixed, except for the switch of live mode,
    /// and not where only the operator may change it.
    pub fn may_write(&self, key: Key) -> bool {
        let is_free = self.fixed.by(key).is_none() || (key == Key::ProxyMode && self.is_fixed_on(key));
        is_free && !key.is_operator_only()
    }

    fn is_fixed_on(&self, key: Key) -> bool {
        matches!(self.fixed.0.get(&key), Some((_, DeValue::Boolean(true))))
    }

    /// Refuses changes of what is fixed; takes the switch of live mode out of them.
    fn switch(&self, changes: &Map<String, Value>) -> Result<(Option<bool>, Map<String, Value>), edit::Error> {
        let (mut off, mut rest) = (None, changes.clone());
        for (name, value) in changes {
            let Some((key, by)) = Key::of(name).and_then(|key| Some((key, self.fixed.by(key)?))) else { continue };
            match value {
                Value::Bool(on) if key == Key::ProxyMode && self.is_fixed_on(key) => {
                    off = Some(!on);
                    rest.remove(name);
                }
                _ => return Err(edit::Error::Fixed { key, by }),
            }
        }
        Ok((off, rest))
    }

    /// Puts a snapshot's configuration in place as [`travel::restore`] does, and into effect.
    ///
    /// # Errors
    /// As [`travel::restore`].
    pub fn restore(&self, brought: &[Brought], sink: &dyn Sink) -> Result<(), travel::Error> {
        let _turn = self.one_at_a_time();
        travel::restore(&self.folder, brought, sink)?;
        if brought.iter().any(|file| file.name == SERVER)
            && let Err(error) = self.take_travelling()
        {
            sink.warning(format!("the settings in effect stay as they were: {error}"));
        }
        Ok(())
    }

    /// Puts the keys that travel into effect as the file has them now. An import must not put into effect what somebody
    /// wrote into the file by hand meanwhile.
    fn take_travelling(&self) -> Result<(), settings::Error> {
        let read = Given::read(&self.folder)?;
        let mut given = self.now.read().unwrap_or_else(PoisonError::into_inner).given.clone();
        given.settings.take_travelling(&read.settings);
        given.keys.retain(|key| !key.travels());
        given.keys.extend(read.keys.into_iter().filter(|key| key.travels()));
        self.replace(given)
    }

    /// Every key with its value in effect, its default, where the value comes from (`default`, `file`, `environment`,
    /// `flag`), what fixes it, and whether a change needs a restart. Secrets are masked.
    pub fn to_json(&self) -> Value {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        let defaults = Settings::default();
        let keys = Key::ALL.into_iter().map(|key| {
            let by = self.fixed.by(key);
            let source = match by {
                Some(By::Flag(_)) => "flag",
                Some(By::Variable(_)) => "environment",
                None if now.given.keys.contains(&key) => "file",
                None => "default",
            };
            let about = json!({
                "value": now.settings.json(key),
                "default": defaults.json(key),
                "source": source,
                "fixed_by": by.map(By::name),
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
