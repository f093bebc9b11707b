use super::*;
use crate::crate_id::CrateId;

fn parse(text: &str) -> Result<ParsedFile, Error> {
    ParsedFile::parse(text, Path::new("/config/frostmirror.toml"))
}

#[track_caller]
fn parse_valid(text: &str) -> Settings {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).settings
}

/// The first problem of a text, with its position.
#[track_caller]
fn first_problem(text: &str) -> String {
    match parse(text) {
        Err(Error::Invalid { list, .. }) => list.problems[0].to_string(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn an_empty_file_gives_the_defaults_and_key_names_are_unique() {
    assert_eq!(parse("").expect("empty"), ParsedFile::default());
    for key in Key::ALL {
        assert_eq!(Key::from_name(key.name()), Some(key));
    }
    let defaults = Settings::default();
    assert_eq!((defaults.masked_json(Key::ProxyTtl), defaults.masked_json(Key::MinAge)), (json!("5m"), json!("0")));
    assert_eq!(
        (defaults.masked_json(Key::Toolchain), defaults.masked_json(Key::Allow)),
        (json!(["stable"]), json!(null))
    );
    assert!(!defaults.proxy_index_url.as_str().contains('+'));
    let names: BTreeSet<&str> = Key::ALL.into_iter().map(Key::name).collect();
    assert_eq!(names.len(), 25);
}

#[test]
fn every_key_round_trips() {
    for (key, value, shown) in [
        ("base_url", "'http://m.example/rust/'", json!("http://m.example/rust")),
        ("trusted_proxies", "['10.0.0.5', 'fd00::/8']", json!(["10.0.0.5", "fd00::/8"])),
        ("trusted_proxies", "[]", json!([])),
        ("bind", "'[::]:0'", json!("[::]:0")),
        ("bind", "'localhost:80'", json!("localhost:80")),
        ("targets", "['wasm32-wasip1', 'x86_64-pc-windows-msvc']", json!(["wasm32-wasip1", "x86_64-pc-windows-msvc"])),
        ("toolchain", "'nightly-2026-04-25'", json!(["nightly-2026-04-25"])),
        ("toolchain", "['stable', '1.86.0']", json!(["stable", "1.86.0"])),
        ("watch_incoming", "true", json!(true)),
        ("verify_checksums", "false", json!(false)),
        ("keep_failed_packages", "false", json!(false)),
        ("prune_on_import", "true", json!(true)),
        ("proxy_mode", "true", json!(true)),
        ("proxy_index_url", "'sparse+https://i.example/'", json!("https://i.example/")),
        (
            "proxy_dl_url",
            "'https://d.example/{crate}-{version}?sig=x'",
            json!("https://d.example/{crate}-{version}?***"),
        ),
        ("proxy_dist_url", "'https://me:word@d.example'", json!("https://me:***@d.example")),
        ("proxy_ttl", "'90s'", json!("90s")),
        ("proxy_cache_max", "10_000", json!(10_000)),
        ("proxy_cache_max", "'10GiB'", json!(10u64 << 30)),
        ("min_age", "'14d'", json!("14d")),
        ("min_age", "0", json!("0")),
        ("allow", "['serde', 'tokio@1.2']", json!(["serde", "tokio@^1.2"])),
        ("deny", "['openssl@<0.10.60']", json!(["openssl@<0.10.60"])),
        ("deny", "[]", json!([])),
        ("admin_token_file", "'/run/token'", json!("/run/token")),
        ("read_token_file", "'tokens'", json!("/config/tokens")),
        ("auth_required", "true", json!(true)),
        ("tls_cert", "'c.pem'", json!("/config/c.pem")),
        ("tls_key", "'k.pem'", json!("/config/k.pem")),
        ("log_format", "'json'", json!("json")),
        ("offline", "true", json!(true)),
    ] {
        let own = Key::from_name(key).expect("a key");
        let given = parse(&format!("{key} = {value}\n")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((given.settings.masked_json(own), given.keys), (shown, BTreeSet::from([own])), "{key}");
    }
}

#[test]
fn every_key_rejects_invalid_values_and_says_what_is_expected() {
    for (key, value, what, expected) in [
        ("base_url", "'ftp://m'", "`base_url` has the invalid value `ftp://m`", "http://mirror.example:8080"),
        ("base_url", "'http://me:hunter2@m'", "is not the address of a server", "http://mirror.example:8080"),
        ("base_url", "'http://m/?token=hunter2'", "`base_url` has a query", "http://mirror.example:8080"),
        ("base_url", "''", "`base_url` has the invalid value ``", "address"),
        ("trusted_proxies", "'10.0.0.5'", "is a string", "a list of addresses"),
        ("trusted_proxies", "['proxy.example']", "contains `proxy.example`", "such as `10.0.0.5`"),
        ("trusted_proxies", "['10.0.0.0/40']", "contains `10.0.0.0/40`", "10.0.0.0/8"),
        ("bind", "8080", "`bind` is an integer", "HOST:PORT"),
        ("bind", "'8080'", "`bind` has the invalid value `8080`", "HOST:PORT"),
        ("bind", "':8080'", "`bind` has the invalid value `:8080`", "HOST:PORT"),
        ("bind", "'a b:1'", "`bind` has the invalid value `a b:1`", "HOST:PORT"),
        ("targets", "'x86_64-unknown-linux-gnu'", "is a string", "a list"),
        ("targets", "['../../x-y']", "contains `../../x-y`", "target triples"),
        ("targets", "['a-b', 'a-b']", "contains `a-b` twice", "target triples"),
        ("targets", "[]", "is empty", "one or more"),
        ("targets", "['a-b', 1]", "contains an integer", "a list"),
        ("toolchain", "'stables'", "the invalid value `stables`", "`stable`"),
        ("toolchain", "['stable', 'stables']", "contains `stables`", "a channel"),
        ("toolchain", "['beta', 'beta']", "contains `beta` twice", "a channel"),
        ("toolchain", "[]", "is empty", "a channel"),
        ("watch_incoming", "'yes'", "is a string", "true or false"),
        ("verify_checksums", "0", "is an integer", "true or false"),
        ("keep_failed_packages", "{}", "is a table", "true or false"),
        ("prune_on_import", "1.0", "is a float", "true or false"),
        ("proxy_mode", "'on'", "is a string", "true or false"),
        ("proxy_index_url", "'file:///x'", "is not the address of an upstream", "https://"),
        (
            "proxy_index_url",
            "'https://h/{crate}'",
            "is not the address of an upstream",
            "without a query and without markers",
        ),
        ("proxy_index_url", "'https://h/?token=hunter2'", "`proxy_index_url` has a query", "without a query"),
        ("proxy_dist_url", "'https://h/?token=hunter2'", "`proxy_dist_url` has a query", "without a query"),
        ("proxy_index_url", "'https://h/#f'", "is not the address of an upstream", "https://"),
        ("proxy_dl_url", "'https://me:hunter2@/'", "is not the address of an upstream", "https://"),
        ("proxy_dl_url", "\"https://h/\\n\"", "is not the address of an upstream", "https://"),
        ("proxy_dl_url", "'https://h/{crate}/{vesrion}.tgz'", "is not the address of an upstream", "`{version}`"),
        ("proxy_dl_url", "'https://h/{crate}}/x'", "is not the address of an upstream", "`{version}`"),
        ("proxy_dist_url", "'https://me:***@h'", "contains the mask `***`", "the secret itself"),
        ("proxy_ttl", "5", "is an integer", "\"10m\""),
        ("proxy_ttl", "'5 minutes'", "the invalid value `5 minutes`", "\"10m\""),
        ("proxy_cache_max", "-1", "the invalid value `-1`", "a number of bytes"),
        ("proxy_cache_max", "'9999999TiB'", "the invalid value `9999999TiB`", "10GiB"),
        ("min_age", "'1w'", "the invalid value `1w`", "7d"),
        ("allow", "[]", "is empty", "remove the key to allow all crates"),
        ("allow", "['serde@']", "contains `serde@`", "a list of crates"),
        ("deny", "['not a crate']", "contains `not a crate`", "a list of crates"),
        ("admin_token_file", "''", "the invalid value ``", "the path"),
        ("read_token_file", "true", "is a boolean", "the path"),
        ("auth_required", "1979-05-27", "is a date", "true or false"),
        ("tls_cert", "[]", "is an array", "the path"),
        ("tls_key", "\"a\\u0000b\"", "the invalid value `a", "the path"),
        ("offline", "'no'", "is a string", "true or false"),
        ("log_format", "'xml'", "the invalid value `xml`", "`text` or `json`"),
    ] {
        let said = first_problem(&format!("# first\n{key} = {value}\n"));
        assert!(said.starts_with(&format!("2:{}: `{key}`", key.len() + 4)), "{said}");
        let (before, after) = said.split_once("; expected ").expect("two parts");
        assert!(before.contains(what) && after.contains(expected), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn an_unknown_key_is_reported_with_the_nearest_one() {
    let error = parse("bind = 'a:1'\nwatch-incomming = true\n").expect_err("unknown");
    assert_eq!(
        error.to_string(),
        "unknown key `watch-incomming`; did you mean `watch_incoming`?\n --> /config/frostmirror.toml:2:1\n  |\n\
         2 | watch-incomming = true\n  | ^^^^^^^^^^^^^^^"
    );
    assert!(first_problem("colour = 1\n").contains("expected one of base_url, trusted_proxies, bind, targets"));
    assert_eq!(first_problem("[serve]\nbind = 'a:1'\n").split(';').next(), Some("1:2: unknown table `[serve]`"));
    assert!(first_problem("bind = 'a:1'\nbind = 'b:1'\n").starts_with("2:1: `bind` is defined a second time"));
    assert_eq!(first_problem("Bind = 'a:1'\n"), "1:1: unknown key `Bind`; did you mean `bind`?");
    assert!(first_problem("bind = \n").starts_with("1:"));
}

#[test]
fn unquoted_values_are_suggested_in_quotes() {
    for (line, suggestion) in [
        ("bind = 0.0.0.0:8080", "1:8: strings must be quoted: `bind = \"0.0.0.0:8080\"`"),
        ("toolchain = 1.86", "1:13: versions must be quoted: `toolchain = \"1.86\"`"),
        ("toolchain = stable", "1:13: strings must be quoted: `toolchain = \"stable\"`"),
        ("proxy_ttl = 5m", "1:13: strings must be quoted: `proxy_ttl = \"5m\"`"),
        ("proxy_dl_url = https://me:hunter2@h/", "1:16: strings must be quoted: `proxy_dl_url = \"…\"`"),
    ] {
        let Err(error) = parse(line) else { panic!("{line} is valid") };
        assert_eq!(first_problem(line), suggestion);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn all_problems_are_reported_in_order_up_to_a_limit() {
    let text: String = (0..30).map(|n| format!("zzz{n} = 1\n")).collect();
    let Err(Error::Invalid { list, .. }) = parse(&text) else { panic!("valid") };
    assert_eq!((list.problems.len(), list.omitted, list.problems[19].position().line), (20, 10, 20));
    assert!(matches!(parse(&"#".repeat(1 + (1 << 20))), Err(Error::Read(bounded_read::Error::TooLarge { .. }))));
}

#[test]
fn a_missing_file_is_empty_and_a_binary_file_is_an_error() {
    let folder = tempfile::tempdir().expect("temporary folder");
    assert_eq!(ParsedFile::read(folder.path()).expect("none"), ParsedFile::default());
    assert_eq!(ParsedFile::read(&folder.path().join("absent")).expect("none"), ParsedFile::default());
    std::fs::write(folder.path().join(SERVER), b"bind = 'a:1'\n# \xff\n").expect("write");
    let error = ParsedFile::read(folder.path()).expect_err("no text").to_string();
    assert!(error.starts_with("the next byte is not UTF-8") && error.contains("frostmirror.toml:2:3\n"), "{error}");
    std::fs::write(folder.path().join(SERVER), vec![b'#'; (1 << 20) + 1]).expect("write");
    assert!(matches!(ParsedFile::read(folder.path()), Err(Error::Read(bounded_read::Error::TooLarge { .. }))));
    std::fs::remove_file(folder.path().join(SERVER)).expect("remove");
    std::fs::create_dir(folder.path().join(SERVER)).expect("a folder");
    assert!(matches!(ParsedFile::read(folder.path()), Err(Error::Read(bounded_read::Error::Io { .. }))));
}

#[test]
fn half_of_a_tls_pair_is_rejected() {
    assert!(
        parse_valid("tls_cert = 'a'\ntls_key = 'b'\n").validate().is_ok() && Settings::default().validate().is_ok()
    );
    let error = parse_valid("tls_key = 'b'\n").validate().expect_err("half");
    assert_eq!(error.to_string(), "`tls_key` needs `tls_cert`, which is not set");
}

#[test]
fn secrets_are_masked_in_every_output() {
    for (url, masked) in [
        ("https://h/p", "https://h/p"),
        ("https://me:hunter2@h/p", "https://me:***@h/p"),
        ("https://hunter2@h", "https://***@h"),
        ("https://me:a@hunter2@h:1/p@q", "https://me:***@h:1/p@q"),
        ("https://h/{crate}?sig=hunter2", "https://h/{crate}?***"),
        ("https://h?hunter2@x", "https://h?***"),
    ] {
        let upstream = UpstreamUrl::parse(url).expect("an address");
        assert_eq!((upstream.masked().as_str(), upstream.has_secret()), (masked, url != masked));
        assert!(!format!("{upstream:?}").contains("hunter2"));
    }
}

#[test]
fn patterns_match_names_as_crates_io_does() {
    let deny = parse_valid("deny = ['Serde_JSON@<1.0.5', 'a']\n").deny;
    for (name, version, fits) in [
        ("serde-json", "1.0.4", true),
        ("serde_json", "1.0.5", false),
        ("a", "2.0.0-beta.1", true),
        ("b", "1.0.0", false),
    ] {
        let id = CrateId::parse(name, version).expect("a crate");
        assert_eq!(deny.iter().any(|one| one.matches(&id.name, &id.version)), fits, "{id}");
    }
}

#[test]
fn forwarding_headers_count_from_trusted_proxies_only() {
    let trusts = |text: &str, peer: &str| {
        let (settings, peer) = (parse(text).expect("settings").settings, peer.parse().expect("address"));
        (settings.trusts_proxy(peer), settings.is_listed_proxy(peer))
    };
    assert_eq!(trusts("", "127.0.0.1"), (true, false));
    assert_eq!(trusts("", "::ffff:127.0.0.1"), (true, false));
    assert_eq!(trusts("", "10.0.0.5"), (false, false));
    assert_eq!(trusts("trusted_proxies = ['10.0.0.0/24']", "10.0.0.5"), (true, true));
    assert_eq!(trusts("trusted_proxies = ['10.0.0.0/24']", "127.0.0.1"), (false, false));
    assert_eq!(trusts("trusted_proxies = []", "127.0.0.1"), (false, false));
}
