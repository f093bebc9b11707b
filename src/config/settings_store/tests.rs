use super::*;
use crate::event::NullSink;

const FILE: &str = "# ours\nbind = 'a:1'\nproxy_dl_url = 'https://me:hunter2@h/'\nwatch_incoming = true\n";

fn folder(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("temporary folder");
    fs::write(folder.path().join(SERVER), text).expect("write");
    folder
}

fn text(folder: &tempfile::TempDir) -> String {
    fs::read_to_string(folder.path().join(SERVER)).expect("read")
}

fn changes(json: Value) -> Map<String, Value> {
    json.as_object().expect("an object").clone()
}

fn overrides() -> Overrides {
    let mut fixed = Overrides::default();
    fixed.set_text(Key::BaseUrl, Source::Variable("FROSTMIRROR_BASE_URL"), "http://m.example/");
    fixed.set_bool(Key::WatchIncoming, Source::Flag("--watch-incoming"), true);
    fixed
}

#[test]
fn overrides_win_over_the_file_and_the_file_over_the_defaults() {
    let folder = folder("base_url = 'http://other'\nbind = 'a:1'\nwatch_incoming = false\n");
    let store = SettingsStore::load(folder.path(), overrides()).expect("loaded");
    let now = store.current();
    assert_eq!(now.base_url.as_ref().map(|url| url.as_str()), Some("http://m.example"));
    assert_eq!((now.bind.as_str(), now.watch_incoming, now.verify_checksums), ("a:1", true, true));
    let json = store.to_json();
    let about = |key: &str| json[key].clone();
    assert_eq!(
        about("base_url"),
        json!({ "value": "http://m.example", "default": null, "source": "environment",
                "fixed_by": "FROSTMIRROR_BASE_URL", "needs_restart": false, "operator_only": false })
    );
    assert_eq!(
        (&json["watch_incoming"]["source"], &json["watch_incoming"]["fixed_by"]),
        (&json!("flag"), &json!("--watch-incoming"))
    );
    assert_eq!((&json["bind"]["source"], &json["bind"]["needs_restart"]), (&json!("file"), &json!(true)));
    assert_eq!((&json["toolchain"]["source"], &json["toolchain"]["value"]), (&json!("default"), &json!(["stable"])));
    assert_eq!(json.as_object().map(Map::len), Some(25));
}

#[test]
fn a_write_changes_the_file_and_the_settings_or_neither() {
    let folder = folder(FILE);
    let store = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    assert!(!store.to_json().to_string().contains("hunter2"));
    let written = store.write(&changes(json!({
        "watch_incoming": false, "bind": "a:2", "proxy_dl_url": "https://me:***@h/", "prune_on_import": false
    })));
    let written = written.expect("written");
    assert_eq!((written.changed, written.needs_restart), (vec![Key::Bind, Key::WatchIncoming], vec![Key::Bind]));
    let expected = "# ours\nbind = \"a:2\"\nproxy_dl_url = 'https://me:hunter2@h/'\nwatch_incoming = false\n";
    assert_eq!((text(&folder).as_str(), store.current().watch_incoming), (expected, false));
    for bad in [json!({ "watch_incoming": true, "bind": 1 }), json!({ "watch_incoming": true, "tls_key": "k" })] {
        store.write(&changes(bad)).expect_err("refused");
        assert_eq!((text(&folder).as_str(), store.current().watch_incoming), (expected, false));
    }
    // Back to what it was at the start: nothing waits for a restart.
    let written = store.write(&changes(json!({ "bind": "a:1" }))).expect("written");
    assert_eq!((written.changed, written.needs_restart), (vec![Key::Bind], vec![]));
    // Another start reads the same.
    let again = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    assert_eq!(again.current(), store.current());
    assert_eq!(fs::read_dir(folder.path()).expect("list").count(), 1);
}

#[test]
fn an_invalid_file_is_not_overwritten() {
    let folder = folder(FILE);
    let store = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    fs::write(folder.path().join(SERVER), "bind = \n").expect("write");
    let error = store.write(&changes(json!({ "proxy_mode": true }))).expect_err("broken");
    assert!(matches!(error, edit::Error::Settings(settings::Error::Invalid { .. })), "{error}");
    assert_eq!((text(&folder).as_str(), store.current().bind.as_str()), ("bind = \n", "a:1"));
    store.reload().expect_err("broken");
    assert!(SettingsStore::load(folder.path(), Overrides::default()).is_err());
}

#[test]
fn overridden_keys_cannot_be_written_except_live_mode() {
    let folder = folder(FILE);
    let mut fixed = overrides();
    fixed.set_bool(Key::ProxyMode, Source::Flag("--live"), true);
    let store = SettingsStore::load(folder.path(), fixed).expect("loaded");
    for (key, value) in
        [("base_url", json!("http://m.example")), ("watch_incoming", json!(null)), ("proxy_mode", json!(null))]
    {
        let error = store.write(&changes(json!({ key: value, "bind": "a:2" }))).expect_err("fixed");
        assert!(matches!(&error, edit::Error::Overridden { key: fixed, .. } if fixed.name() == key), "{error}");
    }
    for on in [false, true, false] {
        store.write(&changes(json!({ "proxy_mode": on }))).expect("switched");
        assert_eq!(store.current().proxy_mode, on);
        assert_eq!(store.to_json()["proxy_mode"]["value"], json!(on));
    }
    store.reload().expect("read again");
    assert_eq!((store.current().proxy_mode, text(&folder).as_str()), (false, FILE));
}

#[test]
fn override_values_are_validated() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut fixed = Overrides::default();
    fixed.set_text(Key::LogFormat, Source::Flag("--log-format"), "xml");
    let error = SettingsStore::load(folder.path(), fixed).expect_err("no such format").to_string();
    assert_eq!(error, "--log-format is invalid: `log_format` has the invalid value `xml`; expected `text` or `json`");
    let mut half = Overrides::default();
    half.set_text(Key::TlsCert, Source::Flag("--tls-cert"), "/c.pem");
    assert!(matches!(SettingsStore::load(folder.path(), half), Err(settings::Error::IncompletePair { .. })));
}

#[test]
fn concurrent_writes_are_all_kept() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = SettingsStore::load(&folder.path().join("new"), Overrides::default()).expect("loaded");
    let writes = [
        json!({ "watch_incoming": true }),
        json!({ "prune_on_import": true }),
        json!({ "bind": "a:1" }),
        json!({ "targets": ["a-b"] }),
        json!({ "deny": ["a"] }),
        json!({ "proxy_ttl": "1h" }),
    ];
    std::thread::scope(|scope| {
        for write in &writes {
            scope.spawn(|| store.write(&changes(write.clone())).expect("written"));
        }
    });
    let given = ParsedFile::read(store.folder()).expect("read");
    assert_eq!((given.keys.len(), &given.settings), (6, &*store.current()));
}

#[cfg(unix)]
#[test]
fn a_new_file_with_a_password_is_private_and_a_link_stays_one() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().expect("temporary folder");
    let store = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    store.write(&changes(json!({ "proxy_index_url": "https://me:hunter2@h/" }))).expect("written");
    let path = folder.path().join(SERVER);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    fs::rename(&path, folder.path().join("real.toml")).expect("moved");
    symlink("real.toml", &path).expect("link");
    store.write(&changes(json!({ "proxy_mode": true }))).expect("written");
    assert!(path.is_symlink() && text(&folder).contains("hunter2") && text(&folder).contains("proxy_mode = true"));
}

#[test]
fn a_restored_file_takes_effect() {
    let folder = folder("bind = 'a:1'\n");
    let store = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    let added = |text: &str| [SnapshotFile::parse(SERVER, text.as_bytes()).expect("TOML")];
    // The operator edits the file by hand; an import must not put that into effect.
    let edited = "bind = 'a:1'\nproxy_mode = true\n";
    fs::write(folder.path().join(SERVER), edited).expect("write");
    let snapshot = "toolchain = 'beta'\nprune_on_import = true\nbind = 'b:2'\ntargets = ['no triple']\n";
    store.restore(&added(snapshot), &NullSink).expect("restored");
    let now = store.current();
    assert_eq!(now.toolchain, ["beta".parse().unwrap()]);
    assert_eq!((now.bind.as_str(), now.proxy_mode), ("a:1", false));
    assert!(!now.prune_on_import);
    assert_eq!(store.to_json()["toolchain"]["source"], json!("file"));
    assert_eq!(text(&folder), format!("{edited}toolchain = [\"beta\"]\n"));
    store.reload().expect("read again");
    assert!(store.current().proxy_mode, "an operator's reload does");
}

#[test]
fn an_offline_server_rejects_live_mode_by_every_route() {
    let with = |file: &str, set: &dyn Fn(&mut Overrides)| {
        let folder = folder(file);
        let mut fixed = Overrides::default();
        set(&mut fixed);
        SettingsStore::load(folder.path(), fixed).map(|store| (folder, store))
    };
    let offline = |fixed: &mut Overrides| fixed.set_bool(Key::Offline, Source::Flag("--offline"), true);
    let live_flag = |fixed: &mut Overrides| fixed.set_bool(Key::ProxyMode, Source::Flag("--live"), true);
    // At the start.
    for refused in [
        with("proxy_mode = true\n", &offline),
        with("offline = true\n", &live_flag),
        with("offline = true\nproxy_mode = true\n", &|_| ()),
        with("", &|fixed| {
            offline(fixed);
            fixed.set_bool(Key::ProxyMode, Source::Variable("FROSTMIRROR_PROXY_MODE"), true);
        }),
    ] {
        assert!(matches!(refused, Err(settings::Error::Offline)), "{refused:?}");
    }
    // While it runs: written, taken away, edited by hand, imported.
    let (folder, store) = with("", &offline).expect("loaded");
    let refused = store.write(&changes(json!({ "proxy_mode": true }))).expect_err("refused");
    assert!(matches!(refused, edit::Error::Settings(settings::Error::Offline)), "{refused}");
    for change in [json!({ "offline": false }), json!({ "offline": null, "proxy_mode": true })] {
        let refused = store.write(&changes(change)).expect_err("fixed");
        assert!(matches!(refused, edit::Error::Overridden { key: Key::Offline, .. }), "{refused}");
    }
    assert_eq!(text(&folder), "");
    fs::write(folder.path().join(SERVER), "proxy_mode = true\n").expect("write");
    assert!(matches!(store.reload(), Err(settings::Error::Offline)));
    let snapshot = "targets = ['a-b']\nproxy_mode = true\noffline = false\n";
    store.restore(&[SnapshotFile::parse(SERVER, snapshot.as_bytes()).expect("TOML")], &NullSink).expect("restored");
    assert_eq!((store.current().proxy_mode, store.current().offline), (false, true));
    let (_folder, store) = with("offline = true\n", &|_| ()).expect("loaded");
    let refused = store.write(&changes(json!({ "proxy_mode": true }))).expect_err("refused");
    assert!(matches!(refused, edit::Error::Settings(settings::Error::Offline)), "{refused}");
}

#[test]
fn offline_in_the_file_is_changed_by_hand_only() {
    let folder = folder("offline = true # no network\n");
    let live = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    for change in [
        json!({ "offline": false }),
        json!({ "offline": null }),
        json!({ "offline": false, "proxy_mode": true }),
        json!({ "offline": null, "proxy_mode": true, "deny": ["a"] }),
    ] {
        let refused = live.write(&changes(change.clone())).expect_err("refused");
        assert!(matches!(refused, edit::Error::OperatorOnly { key: Key::Offline }), "{change}: {refused}");
    }
    let snapshot = "targets = ['a-b']\noffline = false\nproxy_mode = true\n";
    live.restore(&[SnapshotFile::parse(SERVER, snapshot.as_bytes()).expect("TOML")], &NullSink).expect("restored");
    live.write(&changes(json!({ "offline": true, "deny": ["a"] }))).expect("what is unchanged may be sent");
    assert!(text(&folder).starts_with("offline = true # no network\n"), "{}", text(&folder));
    assert_eq!((live.current().offline, live.current().proxy_mode), (true, false));
    assert!(!live.is_writable(Key::Offline) && live.is_writable(Key::ProxyMode));

    fs::write(folder.path().join(SERVER), "offline = false\n").expect("write");
    live.reload().expect("read again");
    live.write(&changes(json!({ "proxy_mode": true }))).expect("the operator allows it now");
    let refused = live.write(&changes(json!({ "offline": true }))).expect_err("refused");
    assert!(matches!(refused, edit::Error::OperatorOnly { .. }), "{refused}");
    assert!(live.current().proxy_mode);
}

#[test]
fn writers_wait_for_the_write_lock() {
    let folder = tempfile::tempdir().expect("folder");
    let store = SettingsStore::load(folder.path(), Overrides::default()).expect("loaded");
    let added = [SnapshotFile::parse(SERVER, b"proxy_ttl = \"1h\"\n").expect("good")];
    let done = std::sync::atomic::AtomicUsize::new(0);
    let ended = || done.fetch_add(1, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let turn = store.lock_for_write();
        scope.spawn(|| {
            store.restore(&added, &NullSink).expect("restored");
            ended()
        });
        scope.spawn(|| {
            store.write(&changes(json!({ "deny": ["a"] }))).expect("written");
            ended()
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(done.load(Ordering::SeqCst), 0, "a writer did not wait");
        drop(turn);
    });
    assert_eq!(done.load(Ordering::SeqCst), 2);
}
