//! The settings that flags and the environment fix.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use toml::de::DeValue;

use super::settings::{self, Key, Settings};

/// The source of a fixed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A flag: `--bind`.
    Flag(&'static str),
    /// A variable of the environment: `FROSTMIRROR_BIND`.
    Variable(&'static str),
}

impl Source {
    /// The name of the flag or variable.
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
    /// Fixes a key to a text. Paths must be absolute.
    pub fn set_text(&mut self, key: Key, by: Source, text: &str) {
        self.0.insert(key, (by, DeValue::String(text.to_owned().into())));
    }

    /// Fixes a key to a boolean.
    pub fn set_bool(&mut self, key: Key, by: Source, on: bool) {
        self.0.insert(key, (by, DeValue::Boolean(on)));
    }

    /// The source that fixes the key.
    pub fn source(&self, key: Key) -> Option<Source> {
        self.0.get(&key).map(|(by, _)| *by)
    }

    /// Whether the key is fixed to `true`.
    pub(super) fn switches_on(&self, key: Key) -> bool {
        matches!(self.0.get(&key), Some((_, DeValue::Boolean(true))))
    }

    /// Applies the fixed values to the settings.
    pub(super) fn apply_to(&self, settings: &Settings) -> Result<Settings, settings::Error> {
        let mut settings = settings.clone();
        for (key, (by, value)) in &self.0 {
            match value {
                // The listener reports an invalid address with a better message.
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
