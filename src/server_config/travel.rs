//! Which settings a snapshot carries, and how they are put in place on another server.
//!
//! Of `frostmirror.toml` only the keys that travel (see [`Key::travels`]) cross: they say which toolchains are mirrored.
//! How a server runs is decided on its own machine: a bundle must not switch live mode on, name an upstream, weaken a
//! check, or change who may do what. The values are written anew, so that no comment and no unknown key crosses.
//! `depends.toml` crosses whole, but for the user names and passwords in its addresses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{DocumentMut, Item};

use super::edit;
use super::settings::{Given, Key};
use super::{FILES, MODE, SERVER};
use crate::durable;
use crate::event::Sink;
use crate::place::Place;

/// Most keys that a message names.
const MAX_NAMED: usize = 20;

/// Bytes of a key's name that a message shows.
const MAX_NAME: usize = 40;

/// A configuration that cannot be taken along or put in place. What was there is untouched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that is there cannot be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file that is there is no TOML.
    #[error("`{}` is not TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: NotToml,
    },
    /// A file of a snapshot is no TOML.
    #[error("the snapshot's `{name}` is not TOML")]
    Brought {
        /// The file.
        name: &'static str,
        /// Where and why.
        source: NotToml,
    },
    /// A file of a snapshot is no text.
    #[error("the snapshot's `{name}` is not text")]
    NoText {
        /// The file.
        name: &'static str,
    },
    /// A file cannot be written.
    #[error("could not write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Where a text is no TOML, and why. The line itself, which the parser would show too, may hold a password, and jobs and
/// reasons are told to every reader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {why}", place.line, place.column)]
pub struct NotToml {
    place: Place,
    why: String,
}

impl NotToml {
    fn of(text: &str, error: &toml_edit::TomlError) -> NotToml {
        let place = Place::of(text, error.span().map_or(0, |span| span.start));
        NotToml { place, why: error.message().to_owned() }
    }
}

/// A configuration file that crosses in a snapshot: its name, one of [`FILES`], and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Its name.
    pub name: &'static str,
    /// Its text, which is TOML.
    pub text: String,
}

/// The name of a file, and what of it does not travel, as a sentence's end.
pub type LeftOut = (&'static str, String);

impl Brought {
    /// The file called `name`, which is one of [`FILES`].
    ///
    /// # Errors
    /// [`Error::Brought`].
    pub fn parse(name: &'static str, bytes: &[u8]) -> Result<Brought, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::NoText { name })?.to_owned();
        let wrong = |error| Error::Brought { name, source: NotToml::of(&text, &error) };
        text.parse::<DocumentMut>().map_err(wrong)?;
        Ok(Brought { name, text })
    }
}

/// What of a folder's files travels, and what of them stays behind.
///
/// # Errors
/// A file that cannot be read, or is no TOML. One that is not there does not travel.
pub fn travelling(folder: &Path) -> Result<(Vec<Brought>, Vec<LeftOut>), Error> {
    let (mut files, mut notes) = (Vec::new(), Vec::new());
    for name in FILES {
        let Some((text, document)) = read(&folder.join(name))? else {
            continue;
        };
        if name == SERVER {
            let (changes, others) = split(&document);
            notes.extend(others.map(|others| (name, others)));
            let mut document = DocumentMut::new();
            edit::set_keys(&mut document, &changes);
            files.push(Brought { name, text: document.to_string() });
        } else {
            let plain = without_logins(&text);
            if plain != text {
                notes.push((name, "the user name and password in an address".to_owned()));
            }
            files.push(Brought { name, text: plain });
        }
    }
    Ok((files, notes))
}

/// Puts the files of a snapshot in place. `depends.toml` is replaced; of `frostmirror.toml` only the keys that travel are
/// set, and all else stays as it is. What stood there is kept beside it as `NAME.N.bak` with the next free number.
/// Tells of each file that was written, and of what of it was not taken.
///
/// # Errors
/// Everything in [`Error`]; files before the one that failed are in place by then.
pub fn restore(folder: &Path, brought: &[Brought], sink: &dyn Sink) -> Result<(), Error> {
    for file in brought {
        let path = folder.join(file.name);
        let there = read(&path)?;
        let text = if file.name == SERVER {
            let brought = file.text.parse::<DocumentMut>();
            let brought =
                brought.map_err(|error| Error::Brought { name: SERVER, source: NotToml::of(&file.text, &error) })?;
            let (changes, others) = split(&brought);
            let mut document = there.as_ref().map(|(_, document)| document.clone()).unwrap_or_default();
            edit::set_keys(&mut document, &changes);
            if let Some(others) = others {
                sink.warning(format!("not imported from the snapshot's {SERVER}: {others}"));
            }
            document.to_string()
        } else {
            file.text.clone()
        };
        if there.as_ref().map_or(text.is_empty(), |(there, _)| *there == text) {
            continue;
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        durable::make_folder(folder).map_err(failed(folder))?;
        let backup = there.is_some().then(|| keep_copy(&path)).transpose().map_err(failed(&path))?;
        if file.name == SERVER && without_logins(&text) != text {
            durable::rewrite_private(&path, text.as_bytes()).map_err(failed(&path))?;
        } else {
            durable::rewrite(&path, text.as_bytes(), MODE).map_err(failed(&path))?;
        }
        let kept = backup.map(|backup| format!("; the previous file is kept as {}", backup.display()));
        sink.status("Restored", format!("{}{}", path.display(), kept.unwrap_or_default()));
        if file.name == SERVER {
            sink.status("Note", format!("{}; other settings of this server stay as they are", only_these()));
        }
    }
    Ok(())
}

/// Refuses a folder whose files a restore would have to understand and cannot.
///
/// # Errors
/// A file that is there and cannot be read, or is no TOML.
pub fn check(folder: &Path) -> Result<(), Error> {
    FILES.iter().try_for_each(|name| read(&folder.join(name)).map(drop))
}

fn read(path: &Path) -> Result<Option<(String, DocumentMut)>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => return Ok(None),
        Err(source) => return Err(Error::Read { path: path.to_owned(), source }),
    };
    let document = text.parse::<DocumentMut>();
    let document =
        document.map_err(|error| Error::Toml { path: path.to_owned(), source: NotToml::of(&text, &error) })?;
    Ok(Some((text, document)))
}

/// The keys of `document` that travel, with their values, and a sentence about the others, where there are any.
fn split(document: &DocumentMut) -> (Map<String, Json>, Option<String>) {
    let (mut changes, mut others) = (Map::new(), Vec::new());
    for (name, item) in document.iter() {
        match Key::of(name).filter(|key| key.travels()).and_then(|key| Some((key, value(key, item)?))) {
            Some((key, json)) => drop(changes.insert(key.name().to_owned(), json)),
            None => others.push(name),
        }
    }
    let names = |others: &[&str]| {
        let names = others.iter().take(MAX_NAMED).map(|name| format!("`{}`", shortened(name)));
        let more = others.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more} ({})", names.collect::<Vec<_>>().join(", "), only_these())
    };
    let others = (!others.is_empty()).then(|| names(&others));
    (changes, others)
}

/// The value that `item` gives to `key`, without its form; `None` where it is not valid.
fn value(key: Key, item: &Item) -> Option<Json> {
    let text = item.as_value()?.to_string();
    let given = Given::parse(&format!("{} = {}", key.name(), text.trim()), Path::new(SERVER)).ok()?;
    Some(given.settings.json(key))
}

/// A key's name as a message shows it. Whoever made a snapshot chose it.
fn shortened(name: &str) -> String {
    let short: String = name.chars().take(MAX_NAME).collect();
    let dots = if short.len() < name.len() { "…" } else { "" };
    format!("{}{dots}", short.escape_debug())
}

/// The rule, as a sentence without its end.
fn only_these() -> String {
    let names: Vec<String> =
        Key::ALL.into_iter().filter(|key| key.travels()).map(|key| format!("`{}`", key.name())).collect();
    format!("a snapshot carries only valid values of {}", names.join(" and "))
}

/// A text without the users' names and passwords of all addresses in it. `ssh://git@host` has no password, and is
/// nothing without the name.
pub(super) fn without_logins(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        plain.push_str(before);
        let ends = |c: char| c.is_whitespace() || "/?#\\\"'`<>,;()[]{}".contains(c);
        let authority = &after[..after.find(ends).unwrap_or(after.len())];
        let login = authority.rfind('@').map_or("", |at| &authority[..=at]);
        let keeps = before.ends_with("ssh://") && !login.contains(':');
        rest = if keeps { after } else { &after[login.len()..] };
    }
    plain.push_str(rest);
    plain
}

/// A second name for the file at `path`, which is about to be replaced by rename.
fn keep_copy(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut number = 1u64;
    loop {
        let backup = path.with_file_name(format!("{name}.{number}.bak"));
        match fs::hard_link(path, &backup) {
            Ok(()) => return Ok(backup),
            Err(_) if backup.symlink_metadata().is_ok() => number += 1,
            // Not every file system has second names.
            Err(_) => return fs::copy(path, &backup).map(|_| backup),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::DEPENDS;
    use super::*;
    use crate::event::{Event, Silent};

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

    /// A value of each key that is not its default.
    const EACH: &[(Key, &str)] = &[
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
    fn what_is_wrong_with_a_file_repeats_no_password() {
        let folder = folder("targets = []\nproxy_index_url = \"https://me:secret@host/\n");
        for error in [check(folder.path()).expect_err("refused"), travelling(folder.path()).expect_err("refused")] {
            let source = std::error::Error::source(&error).expect("where and why").to_string();
            assert!(source.starts_with("line 2, column ") && !source.contains("secret"), "{source}");
        }
    }

    #[test]
    fn what_is_nested_without_end_is_refused() {
        for deep in [format!("a{} = 1", ".a".repeat(200_000)), format!("[a{}]", ".a".repeat(200_000))] {
            Brought::parse(SERVER, deep.as_bytes()).expect_err("refused");
            Brought::parse(DEPENDS, deep.as_bytes()).expect_err("refused");
        }
        for (open, shut) in [("[", "]"), ("{a=", "}")] {
            let deep = format!("a = {}1{}", open.repeat(100_000), shut.repeat(100_000));
            Brought::parse(SERVER, deep.as_bytes()).expect_err("refused");
        }
    }

    #[test]
    fn no_key_but_targets_and_toolchain_crosses_in_either_direction() {
        let keys: Vec<Key> = EACH.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, Key::ALL, "each key once, in order");
        for (key, value) in EACH {
            let line = format!("{} = {value}\n", key.name());
            let travels = [Key::Targets, Key::Toolchain].contains(key);
            assert_eq!(key.travels(), travels, "{line}");
            // Exported from a server that sets it.
            let (files, notes) = travelling(folder(&line).path()).expect("read");
            assert_eq!(files[0].text.is_empty(), !travels, "{line}");
            assert_eq!(notes.len(), usize::from(!travels), "{line}");
            assert!(travels || notes[0].1.contains(&format!("`{}`", key.name())), "{notes:?}");
            // Imported from a snapshot whose maker left nothing out.
            let brought = [Brought::parse(SERVER, line.as_bytes()).expect("TOML")];
            let new = tempfile::tempdir().expect("temporary folder");
            let told = Recorder::default();
            restore(new.path(), &brought, &told).expect("restored");
            assert_eq!(new.path().join(SERVER).exists(), travels, "{line}");
            let warned =
                told.0.lock().expect("lock").iter().any(|warning| warning.contains(&format!("`{}`", key.name())));
            assert_eq!(warned, !travels, "{line}");
            // Imported by a server that has its own settings: each stays, whether the snapshot names it or not.
            let ours = "bind = \"a:1\"\nmin_age = \"14d\"\ndeny = [\"bad\"]\n";
            let theirs = folder(ours);
            restore(theirs.path(), &brought, &Silent).expect("restored");
            let text = fs::read_to_string(theirs.path().join(SERVER)).expect("read");
            assert_eq!(text == ours, !travels, "{text}");
            assert!(text.starts_with(ours), "{text}");
            // What is put into effect in a running server is the same set.
            let there = Given::parse(&line, Path::new(SERVER)).expect("valid").settings;
            let mut settings = super::super::Settings::default();
            settings.take_travelling(&there);
            assert_eq!(settings.json(*key) == there.json(*key), travels, "{line}");
        }
    }

    #[test]
    fn a_message_names_what_was_left_out_without_what_it_says() {
        let (files, notes) = travelling(folder(SOURCE).path()).expect("read");
        assert_eq!(files[0].text, "targets = [\"a-b\"]\n");
        let rule = "(a snapshot carries only valid values of `targets` and `toolchain`)";
        assert_eq!(notes, [(SERVER, format!("`base_url`, `admin_token_file`, `proxy_index_url`, `password` {rule}"))],);
        let many: String = (0..50).map(|n| format!("\"\\u001b[2J{}{n}\" = 'secret'\n", "x".repeat(100))).collect();
        let (_, notes) = travelling(folder(&many).path()).expect("read");
        let said = &notes[0].1;
        assert!(said.contains("and 30 more") && said.len() < 2000 && !said.contains('\u{1b}'), "{said}");
        assert!(!said.contains("secret"));
    }

    #[test]
    fn a_credential_does_not_hide_in_a_list_a_comment_or_a_wrong_value() {
        let odd =
            "# password = \"hunter2\"\ntargets = [\"a-b\", # hunter2\n]\n# hunter2\n[toolchain]\nkey = \"hunter2\"\n";
        let folder = folder(odd);
        fs::write(
            folder.path().join(DEPENDS),
            "# ours\n[dependencies]\na = { git = \"https://me:hunter2@host/a\" } # 'http://hunter2@host'\n\
             b = { git = \"ssh://git@host/b\" }\nc = \"1\"\n",
        )
        .expect("write");
        let (files, notes) = travelling(folder.path()).expect("read");
        assert!(!format!("{files:?} {notes:?}").contains("hunter2"), "{files:?} {notes:?}");
        assert_eq!(files[0].text, "targets = [\"a-b\"]\n");
        assert_eq!(
            files[1].text,
            "# ours\n[dependencies]\na = { git = \"https://host/a\" } # 'http://host'\n\
             b = { git = \"ssh://git@host/b\" }\nc = \"1\"\n"
        );
    }

    #[test]
    fn a_restored_file_keeps_what_is_the_hosts_own_and_the_old_one_as_a_copy() {
        let ours = "# here\nbind = \"0.0.0.0:9\"\nproxy_mode = true\n# who may write\nadmin_token_file = \"/ours\"\n\
                    targets = ['x-y'] # built here\nproxy_index_url = \"sparse+https://us:own@host/index/a@b\"\n";
        let folder = folder(ours);
        let brought = Brought::parse(SERVER, SOURCE.as_bytes()).expect("TOML");
        let depends = Brought::parse(DEPENDS, b"[dependencies]\n").expect("TOML");
        restore(folder.path(), &[brought.clone(), depends.clone()], &Silent).expect("restored");
        assert!(folder.path().join(DEPENDS).exists() && !folder.path().join("depends.toml.1.bak").exists());
        assert_eq!(fs::read_to_string(folder.path().join("frostmirror.toml.1.bak")).expect("copy"), ours);
        let text = fs::read_to_string(folder.path().join(SERVER)).expect("read");
        assert_eq!(text, ours.replace("['x-y']", "[\"a-b\"]"));
        // The same again changes nothing, and another one gets the next number.
        let second = folder.path().join("frostmirror.toml.2.bak");
        restore(folder.path(), &[brought, depends], &Silent).expect("restored");
        assert!(!second.exists());
        let other = Brought::parse(SERVER, b"targets = ['c-d']\n").expect("TOML");
        restore(folder.path(), &[other], &Silent).expect("restored");
        assert_eq!(fs::read_to_string(second).expect("copy"), text);
    }

    #[test]
    fn what_is_no_toml_is_refused_and_stays() {
        let folder = folder("bind = \n");
        assert!(matches!(travelling(folder.path()), Err(Error::Toml { .. })));
        assert!(matches!(check(folder.path()), Err(Error::Toml { .. })));
        let brought = Brought::parse(SERVER, b"").expect("TOML");
        assert!(matches!(restore(folder.path(), &[brought], &Silent), Err(Error::Toml { .. })));
        assert_eq!(fs::read_to_string(folder.path().join(SERVER)).expect("read"), "bind = \n");
        assert!(matches!(Brought::parse(DEPENDS, b"# \xff"), Err(Error::NoText { .. })));
        assert!(matches!(Brought::parse(DEPENDS, b"x = 1\nx = 2\n"), Err(Error::Brought { .. })));
    }
}
