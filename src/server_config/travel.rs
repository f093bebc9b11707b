//! What of the configuration travels in a snapshot, and how it is put in place on another host.
//!
//! What belongs to a host stays there: its address, its certificate, its tokens. A snapshot brings none of that, and
//! takes none of it away. Only keys that are known to travel do, so that a key of a later version, or a password that
//! somebody wrote into the file, does not cross by accident, nor does a comment that was once such a key; and a user's
//! name and password are cut out of addresses, in comments and in `depends.toml` too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

use super::settings::{self, Given};
use super::{FILES, MODE, SERVER};
use crate::durable;
use crate::event::Sink;
use crate::place::Place;

/// Keys of `frostmirror.toml` that a snapshot brings along.
const TRAVELLING: &[&str] = &[
    "targets",
    "toolchain",
    "watch_incoming",
    "verify_checksums",
    "keep_failed_packages",
    "prune_on_import",
    "proxy_mode",
    "proxy_index_url",
    "proxy_dl_url",
    "proxy_dist_url",
    "proxy_ttl",
    "proxy_cache_max",
    "min_age",
    "allow",
    "deny",
    "log_format",
];

/// Keys that belong to a host: where it listens, what it is called, who may do what.
const OF_THE_HOST: &[&str] = &[
    "base_url",
    "trusted_proxies",
    "bind",
    "tls_cert",
    "tls_key",
    "admin_token_file",
    "read_token_file",
    "auth_required",
];

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
        let Some((text, mut document)) = read(&folder.join(name))? else {
            continue;
        };
        if name == SERVER {
            notes.extend(keep_travelling(&mut document).into_iter().map(|note| (name, note)));
            files.push(Brought { name, text: without_secrets(&document.to_string()) });
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

/// Puts the files of a snapshot in place. What stood there is kept beside it as `NAME.N.bak` with the next free number.
/// Tells of each file that was written, and of what of it was not taken.
///
/// # Errors
/// Everything in [`Error`]; files before the one that failed are in place by then.
pub fn restore(folder: &Path, brought: &[Brought], sink: &dyn Sink) -> Result<(), Error> {
    for file in brought {
        let path = folder.join(file.name);
        let there = read(&path)?;
        let (text, notes) = match file.name {
            SERVER => merged(&file.text, there.as_ref().map(|(_, document)| document))?,
            _ => (file.text.clone(), Vec::new()),
        };
        if there.as_ref().is_some_and(|(there, _)| *there == text) {
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
        let kept = backup.map(|backup| format!("; what stood there is kept as {}", backup.display()));
        sink.status("Restored", format!("{}{}", path.display(), kept.unwrap_or_default()));
        for note in notes {
            sink.warning(format!("not taken from the snapshot's {}: {note}", file.name));
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

/// Takes out of `document` what does not travel, and says what that was.
fn keep_travelling(document: &mut DocumentMut) -> Vec<String> {
    let mut notes = Vec::new();
    let keys: Vec<String> = document.iter().map(|(key, _)| key.to_owned()).collect();
    for key in keys {
        if !TRAVELLING.contains(&key.as_str()) {
            document.remove(&key);
            notes.push(match OF_THE_HOST.contains(&key.as_str()) {
                true => format!("`{key}` belongs to the host"),
                false => format!("`{}` is not a key that is known to travel", key.escape_debug()),
            });
            continue;
        }
        // What is known to travel is a plain value or a list of such.
        let Some(value) = document.get_mut(&key).and_then(Item::as_value_mut).filter(|value| is_plain(value)) else {
            document.remove(&key);
            notes.push(format!("`{key}` is no plain value"));
            continue;
        };
        if cut_logins(value, key.ends_with("_url")) {
            notes.push(format!("the user name and password in `{key}`"));
        }
    }
    notes
}

/// Takes out of `document` the values that no server could start with, and says what was wrong with them.
fn keep_good(document: &mut DocumentMut) -> Vec<String> {
    let mut notes = Vec::new();
    let keys: Vec<String> = document.iter().map(|(key, _)| key.to_owned()).collect();
    for key in keys {
        let value = document.get(&key).and_then(Item::as_value).map(Value::to_string).unwrap_or_default();
        if let Err(settings::Error::Invalid { problems, .. }) =
            Given::parse(&format!("{key} = {}", value.trim_start()), Path::new(SERVER))
        {
            document.remove(&key);
            notes.extend(problems.into_iter().map(|problem| problem.wrong.to_string()));
        }
    }
    notes
}

fn is_plain(value: &Value) -> bool {
    value.as_array().map_or(!value.is_inline_table(), |list| list.iter().all(is_plain))
}

/// Cuts users' names and passwords out of a value, and says whether there were any.
fn cut_logins(value: &mut Value, is_address: bool) -> bool {
    if let Some(list) = value.as_array_mut() {
        return list.iter_mut().fold(false, |cut, one| cut_logins(one, is_address) | cut);
    }
    let odd = |text: &str| if is_address { without_login(text) } else { None };
    let Some(plain) = value.as_str().and_then(|text| without_credentials(text).or_else(|| odd(text))) else {
        return false;
    };
    let decor = value.decor().clone();
    *value = plain.into();
    *value.decor_mut() = decor;
    true
}

/// An address without the user's name and password in it; `None` where it has none.
fn without_credentials(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{host}{path}"))
}

/// As [`without_credentials`], of what must be an address and is not in its usual form: `https:me:word@host`, or without
/// a scheme.
fn without_login(address: &str) -> Option<String> {
    let is_scheme = |text: &str| matches!(text, "http" | "https" | "sparse+http" | "sparse+https");
    let scheme = address.split_once(':').filter(|(scheme, _)| is_scheme(&scheme.trim().to_lowercase()));
    let (begin, rest) = scheme.map_or(("", address), |(scheme, _)| address.split_at(scheme.len() + 1));
    let host = rest.trim_start_matches(['/', '\\']);
    let slashes = &rest[..rest.len() - host.len()];
    let (authority, path) = host.split_at(host.find(['/', '?', '#', '\\']).unwrap_or(host.len()));
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{begin}{slashes}{host}{path}"))
}

/// The text of a file of which only what travels is left, without the comments that were once settings which do not.
fn without_secrets(text: &str) -> String {
    let was_setting = |line: &&str| {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            return false;
        };
        let Some((key, _)) = comment.split_once('=') else {
            return false;
        };
        let key = key.trim_start_matches('#').trim();
        let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'');
        !key.is_empty() && key.chars().all(is_key) && !TRAVELLING.contains(&key)
    };
    without_logins(&text.split_inclusive('\n').filter(|line| !was_setting(line)).collect::<String>())
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

/// What travels of `brought`, with what belongs to the host of `there`.
fn merged(brought: &str, there: Option<&DocumentMut>) -> Result<(String, Vec<String>), Error> {
    let parsed = |text: &str| {
        let parsed = text.parse::<DocumentMut>();
        parsed.map_err(|error| Error::Brought { name: SERVER, source: NotToml::of(text, &error) })
    };
    let mut document = parsed(brought)?;
    let mut notes = keep_travelling(&mut document);
    notes.extend(keep_good(&mut document));
    let mut document = parsed(&without_secrets(&document.to_string()))?;
    notes.retain(|note| !note.ends_with("belongs to the host"));
    for (key, ours) in there.into_iter().flat_map(|there| there.as_table().iter()) {
        let Some((spelled, _)) = there.and_then(|there| there.as_table().get_key_value(key)) else {
            continue;
        };
        if OF_THE_HOST.contains(&key) {
            document.as_table_mut().insert_formatted(spelled, ours.clone());
            continue;
        }
        // The host's own name and password for an address that is the same otherwise.
        let own = ours.as_str().and_then(without_credentials);
        if own.is_some() && own.as_deref() == document.get(key).and_then(Item::as_str) {
            document.as_table_mut().insert_formatted(spelled, ours.clone());
        }
    }
    Ok((document.to_string(), notes))
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
    use crate::event::Silent;

    const SOURCE: &str = "# weekly\nbase_url = \"http://source:1\"\ntargets = [\"a-b\"] # ours\nadmin_token_file = \"/t\"\n\
                          proxy_index_url = \"sparse+https://me:secret@host/index/a@b\"\npassword = \"x\"\n";

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
    fn neither_the_hosts_keys_nor_a_credential_travel() {
        let folder = folder(SOURCE);
        let (files, notes) = travelling(folder.path()).expect("read");
        assert_eq!(files.len(), 1);
        let text = &files[0].text;
        assert_eq!(text, "targets = [\"a-b\"] # ours\nproxy_index_url = \"sparse+https://host/index/a@b\"\n");
        assert_eq!(notes.len(), 4, "{notes:?}");
        assert!(!format!("{files:?} {notes:?}").contains("secret"));
    }

    #[test]
    fn a_credential_does_not_hide_in_a_list_a_table_a_comment_or_an_odd_address() {
        let odd = "# password = \"hunter2\"\n# min_age = \"1d\"\n# was https://me:hunter2@host/ before\ntargets = [\"a-b\"]\n\
                   allow = [\"a\", \"https://me:hunter2@host/\", [\"http://hunter2@host\"]] # list\n\
                   deny = { name = \"hunter2\" }\nproxy_index_url = \"https:me:hunter2@host/i\"\n\
                   proxy_dl_url = \"me:hunter2@host/dl\"\nproxy_dist_url.token = \"hunter2\"\n\
                   # admin_token_file = \"hunter2\"\n[toolchain]\nkey = \"hunter2\"\n";
        let folder = folder(odd);
        fs::write(
            folder.path().join(DEPENDS),
            "# ours\n[dependencies]\na = { git = \"https://me:hunter2@host/a\" } # 'http://hunter2@host'\n\
             b = { git = \"ssh://git@host/b\" }\nc = \"1\"\n",
        )
        .expect("write");
        let (files, notes) = travelling(folder.path()).expect("read");
        assert!(!format!("{files:?} {notes:?}").contains("hunter2"), "{files:?} {notes:?}");
        let expected = "# min_age = \"1d\"\n# was https://host/ before\ntargets = [\"a-b\"]\nallow = [\"a\", \"https://host/\", [\"http://host\"]] # list\n\
                        proxy_index_url = \"https:host/i\"\nproxy_dl_url = \"host/dl\"\n";
        assert_eq!(files[0].text, expected);
        assert_eq!(
            files[1].text,
            "# ours\n[dependencies]\na = { git = \"https://host/a\" } # 'http://host'\n\
             b = { git = \"ssh://git@host/b\" }\nc = \"1\"\n"
        );
        // Whoever wrote the snapshot may not have taken anything out.
        let brought = Brought::parse(SERVER, odd.as_bytes()).expect("TOML");
        let other = tempfile::tempdir().expect("temporary folder");
        restore(other.path(), &[brought], &Silent).expect("restored");
        // Nor may it be such that a server can start with it.
        let good = "# min_age = \"1d\"\n# was https://host/ before\ntargets = [\"a-b\"]\n";
        assert_eq!(fs::read_to_string(other.path().join(SERVER)).expect("read"), good);
    }

    #[test]
    fn a_restored_file_keeps_what_is_the_hosts_own_and_the_old_one_as_a_copy() {
        let ours = "# here\nbind = \"0.0.0.0:9\"\nproxy_mode = true\n# who may write\nadmin_token_file = \"/ours\"\n\
                    proxy_index_url = \"sparse+https://us:own@host/index/a@b\"\n";
        let folder = folder(ours);
        let brought = Brought::parse(SERVER, SOURCE.as_bytes()).expect("TOML");
        let depends = Brought::parse(DEPENDS, b"[dependencies]\n").expect("TOML");
        restore(folder.path(), &[brought.clone(), depends.clone()], &Silent).expect("restored");
        assert!(folder.path().join(DEPENDS).exists() && !folder.path().join("depends.toml.1.bak").exists());
        assert_eq!(fs::read_to_string(folder.path().join("frostmirror.toml.1.bak")).expect("copy"), ours);
        let text = fs::read_to_string(folder.path().join(SERVER)).expect("read");
        let document: DocumentMut = text.parse().expect("TOML");
        let said = |key: &str| document.get(key).and_then(Item::as_str);
        assert_eq!(said("bind"), Some("0.0.0.0:9"));
        assert_eq!(said("admin_token_file"), Some("/ours"));
        assert_eq!(said("proxy_index_url"), Some("sparse+https://us:own@host/index/a@b"));
        assert!(text.contains("# who may write"), "{text}");
        for gone in ["base_url", "proxy_mode", "password"] {
            assert!(document.get(gone).is_none(), "{text}");
        }
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
