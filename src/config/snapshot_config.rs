//! Selects the settings of a snapshot, and restores them on another server.
//!
//! Of `frostmirror.toml`, only the keys of [`Key::is_in_snapshots`] are included: they name the toolchains to mirror. Each
//! server's operation is decided on its own machine: a bundle must not switch live mode on, name an upstream, weaken a
//! check, or change permissions. The values are serialized again, so that no comment and no unknown key is included.
//! `depends.toml` is included as a whole, except user names and passwords in its URLs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{DocumentMut, Item};

use super::edit;
use super::settings::{Key, ParsedFile};
use super::{CONFIG_FILES, NEW_FILE_MODE, SERVER};
use crate::bounded_read::{self, SizeLimit};
use crate::credentials::strip_logins;
use crate::diagnostics::{Problem, ProblemList, parse_document};
use crate::durable;
use crate::event::Sink;

/// The limit for an existing file.
const LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "a configuration file" };

/// Maximum number of keys in a message.
const MAX_LISTED_KEYS: usize = 20;

/// Maximum length of a key name in a message, in bytes.
const MAX_KEY_CHARS: usize = 40;

/// A configuration could not be exported or restored. Existing files are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An existing file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// An existing file is not valid TOML. Lines with credentials are not shown: all readers see the errors of jobs.
    #[error("{}", list.draw(path))]
    Toml {
        /// The file.
        path: PathBuf,
        /// The errors.
        list: ProblemList,
    },
    /// A file of a snapshot is not valid TOML.
    #[error("the snapshot's `{name}` is not TOML: line {}, column {}: {}", error.position().line, error.position().column, error.message)]
    SnapshotToml {
        /// The file.
        name: &'static str,
        /// The first error.
        error: Problem,
    },
    /// A file of a snapshot is not UTF-8 text.
    #[error("the snapshot's `{name}` is not UTF-8 text")]
    NotText {
        /// The file.
        name: &'static str,
    },
    /// A file cannot be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A configuration file in a snapshot: its name, one of [`CONFIG_FILES`], and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFile {
    /// Its name.
    pub name: &'static str,
    /// Its text, valid TOML.
    pub text: String,
}

/// A file name, and the omitted parts as the end of a sentence.
pub type OmittedKeys = (&'static str, String);

impl SnapshotFile {
    /// The file called `name`, one of [`CONFIG_FILES`].
    ///
    /// # Errors
    /// [`Error::SnapshotToml`].
    pub fn parse(name: &'static str, bytes: &[u8]) -> Result<SnapshotFile, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::NotText { name })?.to_owned();
        parse_document(&text).map_err(|list| snapshot_error(name, list))?;
        Ok(SnapshotFile { name, text })
    }
}

/// The exported parts of a folder's files, and the omitted parts.
///
/// # Errors
/// A file is unreadable or not valid TOML. A missing file is omitted.
pub fn files_for_snapshot(folder: &Path) -> Result<(Vec<SnapshotFile>, Vec<OmittedKeys>), Error> {
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    for name in CONFIG_FILES {
        let Some((text, document)) = read_toml(&folder.join(name))? else {
            continue;
        };
        if name == SERVER {
            let (changes, others) = split_keys(&document);
            notes.extend(others.map(|others| (name, others)));
            let mut document = DocumentMut::new();
            edit::set_keys(&mut document, &changes);
            files.push(SnapshotFile { name, text: document.to_string() });
        } else {
            let stripped = strip_logins(&text);
            if stripped != text {
                notes.push((name, "the user name and password in an address".to_owned()));
            }
            files.push(SnapshotFile { name, text: stripped });
        }
    }
    Ok((files, notes))
}

/// Restores the files of a snapshot. `depends.toml` is replaced; in `frostmirror.toml` only the snapshot keys are set. The
/// previous file is kept beside it as `NAME.N.bak` with the next free number. Reports each written file and its omitted
/// parts.
///
/// # Errors
/// Everything in [`Error`]; files before the failed one are already restored.
pub fn restore_files(folder: &Path, files: &[SnapshotFile], sink: &dyn Sink) -> Result<(), Error> {
    for file in files {
        let path = folder.join(file.name);
        let existing = read_toml(&path)?;
        let text = if file.name == SERVER {
            let snapshot = parse_document(&file.text).map_err(|list| snapshot_error(SERVER, list))?;
            let (changes, others) = split_keys(&snapshot);
            let mut document = existing.as_ref().map(|(_, document)| document.clone()).unwrap_or_default();
            edit::set_keys(&mut document, &changes);
            if let Some(others) = others {
                sink.warning(format!("not imported from the snapshot's {SERVER}: {others}"));
            }
            document.to_string()
        } else {
            file.text.clone()
        };
        if existing.as_ref().map_or(text.is_empty(), |(old_text, _)| *old_text == text) {
            continue;
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        durable::make_folder(folder).map_err(failed(folder))?;
        let backup = existing.is_some().then(|| back_up(&path)).transpose().map_err(failed(&path))?;
        if file.name == SERVER && strip_logins(&text) != text {
            durable::rewrite_private(&path, text.as_bytes()).map_err(failed(&path))?;
        } else {
            durable::rewrite(&path, text.as_bytes(), NEW_FILE_MODE).map_err(failed(&path))?;
        }
        let kept = backup.map(|backup| format!("; the previous file is kept as {}", backup.display()));
        sink.status("Restored", format!("{}{}", path.display(), kept.unwrap_or_default()));
        if file.name == SERVER {
            sink.status("Note", format!("{}; other settings of this server stay as they are", snapshot_keys_rule()));
        }
    }
    Ok(())
}

/// Refuses a folder whose files a restore could not parse.
///
/// # Errors
/// An existing file is unreadable or not valid TOML.
pub fn check_files(folder: &Path) -> Result<(), Error> {
    CONFIG_FILES.iter().try_for_each(|name| read_toml(&folder.join(name)).map(drop))
}

fn read_toml(path: &Path) -> Result<Option<(String, DocumentMut)>, Error> {
    let Some(text) = bounded_read::if_exists(LIMIT.read_text(path))? else { return Ok(None) };
    let document = parse_document(&text).map_err(|list| Error::Toml { path: path.to_owned(), list })?;
    Ok(Some((text, document)))
}

fn snapshot_error(name: &'static str, mut list: ProblemList) -> Error {
    // A list has at least one problem.
    Error::SnapshotToml { name, error: list.problems.swap_remove(0) }
}

/// The snapshot keys of `document` with their values, and a sentence about other keys, if any.
fn split_keys(document: &DocumentMut) -> (Map<String, Json>, Option<String>) {
    let (mut changes, mut others) = (Map::new(), Vec::new());
    for (name, item) in document.iter() {
        match Key::from_name(name)
            .filter(|key| key.is_in_snapshots())
            .and_then(|key| Some((key, valid_value(key, item)?)))
        {
            Some((key, json)) => drop(changes.insert(key.name().to_owned(), json)),
            None => others.push(name),
        }
    }
    let names = |others: &[&str]| {
        let names = others.iter().take(MAX_LISTED_KEYS).map(|name| format!("`{}`", shorten_key(name)));
        let more = others.len().saturating_sub(MAX_LISTED_KEYS);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more} ({})", names.collect::<Vec<_>>().join(", "), snapshot_keys_rule())
    };
    let others = (!others.is_empty()).then(|| names(&others));
    (changes, others)
}

/// The value that `item` gives to `key`, normalized; `None` if it is invalid.
fn valid_value(key: Key, item: &Item) -> Option<Json> {
    let text = item.as_value()?.to_string();
    let given = ParsedFile::parse(&format!("{} = {}", key.name(), text.trim()), Path::new(SERVER)).ok()?;
    Some(given.settings.masked_json(key))
}

/// A key name shortened for a message. The snapshot's sender chose it.
fn shorten_key(name: &str) -> String {
    let short: String = name.chars().take(MAX_KEY_CHARS).collect();
    let dots = if short.len() < name.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// The rule, as a sentence without a full stop.
fn snapshot_keys_rule() -> String {
    let names: Vec<String> =
        Key::ALL.into_iter().filter(|key| key.is_in_snapshots()).map(|key| format!("`{}`", key.name())).collect();
    format!("a snapshot carries only valid values of {}", names.join(" and "))
}

/// Creates a hard link to the file at `path` before a rename replaces it.
fn back_up(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1u64;
    loop {
        let backup = path.with_file_name(format!("{name}.{number}.bak"));
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(backup),
            Err(_) if backup.symlink_metadata().is_ok() => number += 1,
            // Some file systems do not support hard links.
            Err(_) => return fs::copy(path, &backup).map(|_| backup),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEPENDS;
    use super::*;
    use crate::event::{Event, NullSink};

    #[derive(Default)]
    struct Recorder(std::sync::Mutex<Vec<String>>);

    impl Sink for Recorder {
        fn event(&self, event: Event) {
            if let Event::Warning(text) = event {
                self.0.lock().expect("lock").push(text);
            }
        }
    }

    const SOURCE: &str = "# weekly\nbase_url = \"http://source:1\"\ntargets = [\"a-b\"] # ours\nadmin_token_file = \"/t\"\n\
                          proxy_index_url = \"sparse+https://me:secret@host/index/a@b\"\npassword = \"x\"\n";

    /// A non-default value for each key.
    const NON_DEFAULT_VALUES: &[(Key, &str)] = &[
        (Key::BaseUrl, "'http://evil.example'"),
        (Key::TrustedProxies, "['0.0.0.0/0']"),
        (Key::Bind, "'0.0.0.0:1'"),
        (Key::Targets, "['wasm32-wasip1']"),
        (Key::Toolchain, "'nightly'"),
        (Key::WatchIncoming, "true"),
        (Key::VerifyChecksums, "false"),
        (Key::KeepFailedPackages, "false"),
        (Key::PruneOnImport, "true"),
        (Key::ProxyMode, "true"),
        (Key::Offline, "true"),
        (Key::ProxyIndexUrl, "'http://evil.example/index/'"),
        (Key::ProxyDlUrl, "'http://evil.example/dl'"),
        (Key::ProxyDistUrl, "'http://evil.example'"),
        (Key::ProxyTtl, "'9h'"),
        (Key::ProxyCacheMax, "1"),
        (Key::MinAge, "'9d'"),
        (Key::Allow, "['evil']"),
        (Key::Deny, "['good']"),
        (Key::AdminTokenFile, "'/evil'"),
        (Key::ReadTokenFile, "'/evil'"),
        (Key::AuthRequired, "true"),
        (Key::TlsCert, "'/evil'"),
        (Key::TlsKey, "'/evil'"),
        (Key::LogFormat, "'json'"),
    ];

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join(SERVER), text).expect("write");
        folder
    }

    #[test]
    fn errors_about_a_file_hide_its_passwords() {
        let folder = folder("targets = []\nproxy_index_url = \"https://me:secret@host/\n");
        for error in
            [check_files(folder.path()).expect_err("refused"), files_for_snapshot(folder.path()).expect_err("refused")]
        {
            let text = error.to_string();
            assert!(text.contains("frostmirror.toml:2:") && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn deeply_nested_toml_is_rejected() {
        for deep in [format!("a{} = 1", ".a".repeat(200_000)), format!("[a{}]", ".a".repeat(200_000))] {
            SnapshotFile::parse(SERVER, deep.as_bytes()).expect_err("refused");
            SnapshotFile::parse(DEPENDS, deep.as_bytes()).expect_err("refused");
        }
        for (open, shut) in [("[", "]"), ("{a=", "}")] {
            let deep = format!("a = {}1{}", open.repeat(100_000), shut.repeat(100_000));
            SnapshotFile::parse(SERVER, deep.as_bytes()).expect_err("refused");
        }
    }

    #[test]
    fn only_targets_and_toolchain_cross_in_snapshots() {
        let keys: Vec<Key> = NON_DEFAULT_VALUES.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, Key::ALL, "each key once, in order");
        for (key, value) in NON_DEFAULT_VALUES {
            let line = format!("{} = {value}\n", key.name());
            let travels = [Key::Targets, Key::Toolchain].contains(key);
            assert_eq!(key.is_in_snapshots(), travels, "{line}");
            // Export from a server that sets the key.
            let (files, notes) = files_for_snapshot(folder(&line).path()).expect("read");
            assert_eq!(files[0].text.is_empty(), !travels, "{line}");
            assert_eq!(notes.len(), usize::from(!travels), "{line}");
            assert!(travels || notes[0].1.contains(&format!("`{}`", key.name())), "{notes:?}");
            // Import of a snapshot whose sender omitted nothing.
            let added = [SnapshotFile::parse(SERVER, line.as_bytes()).expect("TOML")];
            let new = tempfile::tempdir().expect("temporary folder");
            let recorder = Recorder::default();
            restore_files(new.path(), &added, &recorder).expect("restored");
            assert_eq!(new.path().join(SERVER).exists(), travels, "{line}");
            let warned =
                recorder.0.lock().expect("lock").iter().any(|warning| warning.contains(&format!("`{}`", key.name())));
            assert_eq!(warned, !travels, "{line}");
            // Import by a server with its own settings: each stays, whether the snapshot names it or not.
            let ours = "bind = \"a:1\"\nmin_age = \"14d\"\ndeny = [\"bad\"]\n";
            let theirs = folder(ours);
            restore_files(theirs.path(), &added, &NullSink).expect("restored");
            let text = fs::read_to_string(theirs.path().join(SERVER)).expect("read");
            assert_eq!(text == ours, !travels, "{text}");
            assert!(text.starts_with(ours), "{text}");
            // A running server applies the same set of keys.
            let there = ParsedFile::parse(&line, Path::new(SERVER)).expect("valid").settings;
            let mut settings = super::super::Settings::default();
            settings.copy_snapshot_keys(&there);
            assert_eq!(settings.masked_json(*key) == there.masked_json(*key), travels, "{line}");
        }
    }

    #[test]
    fn omitted_keys_are_reported_without_their_values() {
        let (files, notes) = files_for_snapshot(folder(SOURCE).path()).expect("read");
        assert_eq!(files[0].text, "targets = [\"a-b\"]\n");
        let rule = "(a snapshot carries only valid values of `targets` and `toolchain`)";
        assert_eq!(notes, [(SERVER, format!("`base_url`, `admin_token_file`, `proxy_index_url`, `password` {rule}"))],);
        let many: String = (0..50).map(|n| format!("\"\\u001b[2J{}{n}\" = 'secret'\n", "x".repeat(100))).collect();
        let (_, notes) = files_for_snapshot(folder(&many).path()).expect("read");
        let said = &notes[0].1;
        assert!(said.contains("and 30 more") && said.len() < 2000 && !said.contains('\u{1b}'), "{said}");
        assert!(!said.contains("secret"));
    }

    #[test]
    fn credentials_in_lists_comments_and_invalid_values_do_not_cross() {
        let text =
            "# password = \"hunter2\"\ntargets = [\"a-b\", # hunter2\n]\n# hunter2\n[toolchain]\nkey = \"hunter2\"\n";
        let folder = folder(text);
        fs::write(
            folder.path().join(DEPENDS),
            "# ours\n[dependencies]\na = { git = \"https://me:hunter2@host/a\" } # 'http://hunter2@host'\n\
             b = { git = \"ssh://git@host/b\" }\nc = \"1\"\n",
        )
        .expect("write");
        let (files, notes) = files_for_snapshot(folder.path()).expect("read");
        assert!(!format!("{files:?} {notes:?}").contains("hunter2"), "{files:?} {notes:?}");
        assert_eq!(files[0].text, "targets = [\"a-b\"]\n");
        assert_eq!(
            files[1].text,
            "# ours\n[dependencies]\na = { git = \"https://host/a\" } # 'http://host'\n\
             b = { git = \"ssh://git@host/b\" }\nc = \"1\"\n"
        );
    }

    #[test]
    fn a_restored_file_keeps_the_hosts_own_keys_and_a_backup() {
        let ours = "# here\nbind = \"0.0.0.0:9\"\nproxy_mode = true\n# who may write\nadmin_token_file = \"/ours\"\n\
                    targets = ['x-y'] # built here\nproxy_index_url = \"sparse+https://us:own@host/index/a@b\"\n";
        let folder = folder(ours);
        let added = SnapshotFile::parse(SERVER, SOURCE.as_bytes()).expect("TOML");
        let depends = SnapshotFile::parse(DEPENDS, b"[dependencies]\n").expect("TOML");
        restore_files(folder.path(), &[added.clone(), depends.clone()], &NullSink).expect("restored");
        assert!(folder.path().join(DEPENDS).exists() && !folder.path().join("depends.toml.1.bak").exists());
        assert_eq!(fs::read_to_string(folder.path().join("frostmirror.toml.1.bak")).expect("copy"), ours);
        let text = fs::read_to_string(folder.path().join(SERVER)).expect("read");
        assert_eq!(text, ours.replace("['x-y']", "[\"a-b\"]"));
        // A second identical restore changes nothing, and another snapshot gets the next number.
        let second = folder.path().join("frostmirror.toml.2.bak");
        restore_files(folder.path(), &[added, depends], &NullSink).expect("restored");
        assert!(!second.exists());
        let other = SnapshotFile::parse(SERVER, b"targets = ['c-d']\n").expect("TOML");
        restore_files(folder.path(), &[other], &NullSink).expect("restored");
        assert_eq!(fs::read_to_string(second).expect("copy"), text);
    }

    #[test]
    fn invalid_toml_is_rejected_and_unchanged() {
        let folder = folder("bind = \n");
        assert!(matches!(files_for_snapshot(folder.path()), Err(Error::Toml { .. })));
        assert!(matches!(check_files(folder.path()), Err(Error::Toml { .. })));
        let added = SnapshotFile::parse(SERVER, b"").expect("TOML");
        assert!(matches!(restore_files(folder.path(), &[added], &NullSink), Err(Error::Toml { .. })));
        assert_eq!(fs::read_to_string(folder.path().join(SERVER)).expect("read"), "bind = \n");
        assert!(matches!(SnapshotFile::parse(DEPENDS, b"# \xff"), Err(Error::NotText { .. })));
        assert!(matches!(SnapshotFile::parse(DEPENDS, b"x = 1\nx = 2\n"), Err(Error::SnapshotToml { .. })));
    }
}
