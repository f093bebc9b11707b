use std::fs;

use tempfile::TempDir;

use super::*;
use crate::bounded_read;
use crate::http::redact_url;

const NO_VARIABLES: [(&str, &str); 0] = [];

/// A home with a CARGO_HOME and a project below it, as on a user's machine.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Machine {
        let root = tempfile::tempdir().expect("temporary folder");
        fs::create_dir_all(root.path().join("work/project/member")).expect("folders");
        Machine { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn file(self, path: &str, text: &str) -> Machine {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("below the root")).expect("folder");
        fs::write(path, text).expect("file");
        self
    }

    fn read(&self, variables: &[(&str, &str)]) -> Result<CargoConfig, Error> {
        let env = Env::from_vars(variables.iter().copied());
        CargoConfig::read(&self.path("work/project/member"), Some(&self.path("cargo-home")), &env)
    }

    fn http(&self, variables: &[(&str, &str)]) -> Settings {
        self.read(variables).expect("configuration").http_settings()
    }

    fn upstream(&self, variables: &[(&str, &str)]) -> Result<Upstream, Error> {
        let env = Env::from_vars(variables.iter().copied());
        self.read(variables)?.upstream(&env)
    }
}

fn token(upstream: &Upstream) -> Option<&str> {
    upstream.token.as_ref().map(crate::http::Secret::expose)
}

fn proxy(settings: &Settings) -> Option<&str> {
    settings.proxy.https.as_ref().map(|proxy| proxy.url.expose())
}

#[test]
fn defaults_match_cargos() {
    let machine = Machine::new();
    let config = machine.read(&NO_VARIABLES).expect("configuration");
    let http = config.http_settings();
    assert_eq!((http.retries, http.low_speed_limit), (3, 10));
    assert_eq!(http.connect_timeout, Duration::from_secs(30));
    assert!(http.multiplexing && !config.is_offline());
    assert!(http.user_agent.starts_with("cargo-frostmirror/"));
    let upstream = config.upstream(&Env::default()).expect("upstream");
    assert_eq!(upstream.origin, Origin::CratesIo);
    assert_eq!(format!("sparse+{}", upstream.index), crates_index::sparse::URL);
    assert!(upstream.token.is_none() && upstream.dl.is_none() && upstream.warnings.is_empty());
}

#[test]
fn environment_overrides_files_and_nearer_files_override_farther_ones() {
    let machine = Machine::new()
        .file(
            "cargo-home/config.toml",
            "net.retry = 1\nhttp.timeout = 11\nhttp.user-agent = 'home'\nhttp.low-speed-limit = 1\n",
        )
        .file("work/.cargo/config.toml", "net.retry = 2\nhttp.timeout = 12\nhttp.user-agent = 'work'\n")
        .file("work/project/.cargo/config.toml", "[net]\nretry = 4\nhttp = 5\n[http]\ntimeout = 13\n")
        .file("work/project/other/.cargo/config.toml", "net.retry = 9\n");
    let http = machine.http(&[("CARGO_NET_RETRY", "5")]);
    assert_eq!(http.retries, 5);
    assert_eq!(machine.http(&NO_VARIABLES).retries, 4);
    assert_eq!(http.low_speed_timeout, Duration::from_secs(13));
    assert_eq!(http.user_agent, "work");
    assert_eq!(http.low_speed_limit, 1);
}

#[test]
fn every_environment_variable_is_read() {
    let machine = Machine::new().file(
        "cargo-home/config.toml",
        "[http]\ncainfo = 'a.pem'\nproxy = 'file:1'\nproxy-cainfo = 'b.pem'\ntimeout = 1\nlow-speed-limit = 1\n\
         multiplexing = true\nuser-agent = 'file'\nssl-version = 'tlsv1.2'\n[net]\noffline = false\nretry = 1\n",
    );
    let variables = [
        ("CARGO_HTTP_CAINFO", "env/a.pem"),
        ("CARGO_HTTP_PROXY", "env:1"),
        ("CARGO_HTTP_PROXY_CAINFO", "/env/b.pem"),
        ("CARGO_HTTP_TIMEOUT", "7"),
        ("CARGO_HTTP_LOW_SPEED_LIMIT", "8"),
        ("CARGO_HTTP_MULTIPLEXING", "false"),
        ("CARGO_HTTP_USER_AGENT", "env"),
        ("CARGO_HTTP_SSL_VERSION", "tlsv1.3"),
        ("CARGO_NET_OFFLINE", "true"),
        ("CARGO_NET_RETRY", "9"),
    ];
    let config = machine.read(&variables).expect("configuration");
    let http = config.http_settings();
    assert!(config.is_offline() && !http.multiplexing);
    assert_eq!(http.cainfo, Some(machine.path("work/project/member/env/a.pem")));
    assert_eq!(http.proxy_cainfo, Some(PathBuf::from("/env/b.pem")));
    assert_eq!(proxy(&http), Some("env:1"));
    assert_eq!(http.low_speed_timeout, Duration::from_secs(7));
    assert_eq!((http.low_speed_limit, http.retries, http.user_agent.as_str()), (8, 9, "env"));
    assert_eq!(http.tls.oldest, TlsVersion::Tls13);
}

#[test]
fn relative_paths_resolve_from_the_parent_of_the_cargo_folder() {
    let machine = Machine::new().file("work/project/.cargo/config.toml", "http.cainfo = 'ca/root.pem'\n");
    assert_eq!(machine.http(&NO_VARIABLES).cainfo, Some(machine.path("work/project/ca/root.pem")));
    let machine = Machine::new().file("cargo-home/config.toml", "http.cainfo = 'root.pem'\n");
    assert_eq!(machine.http(&NO_VARIABLES).cainfo, Some(machine.path("root.pem")));
}

#[test]
fn config_without_extension_wins_over_config_toml() {
    let machine =
        Machine::new().file("cargo-home/config", "net.retry = 1\n").file("cargo-home/config.toml", "net.retry = 2\n");
    assert_eq!(machine.http(&NO_VARIABLES).retries, 1);
}

#[test]
fn an_including_file_overrides_its_includes() {
    let machine = Machine::new()
        .file(
            "cargo-home/config.toml",
            "include = ['first.toml', { path = 'deep/second.toml' }, { path = 'absent.toml', optional = true }]\n\
             net.retry = 1\n",
        )
        .file("cargo-home/first.toml", "net.retry = 2\nhttp.timeout = 2\nhttp.user-agent = 'first'\n")
        .file("cargo-home/deep/second.toml", "include = 'third.toml'\nnet.retry = 3\nhttp.timeout = 3\n")
        .file("cargo-home/deep/third.toml", "http.low-speed-limit = 4\n");
    let http = machine.http(&NO_VARIABLES);
    assert_eq!(http.retries, 1);
    assert_eq!(http.low_speed_timeout, Duration::from_secs(3));
    assert_eq!(http.user_agent, "first");
    assert_eq!(http.low_speed_limit, 4);
}

#[test]
fn invalid_includes_are_reported() {
    let absent = Machine::new().file("cargo-home/config.toml", "include = 'absent.toml'\n");
    assert!(
        matches!(absent.read(&NO_VARIABLES), Err(Error::Read(bounded_read::Error::Io { path, .. })) if path.ends_with("absent.toml"))
    );
    let cycle = Machine::new()
        .file("cargo-home/config.toml", "include = ['a.toml']\n")
        .file("cargo-home/a.toml", "include = 'config.toml'\n");
    assert!(matches!(cycle.read(&NO_VARIABLES), Err(Error::IncludeCycle { .. })));
    let number = Machine::new().file("cargo-home/config.toml", "include = 7\n");
    assert!(matches!(number.read(&NO_VARIABLES), Err(Error::InvalidValue { key, .. }) if key == "include"));
}

#[test]
fn invalid_toml_is_reported_by_position_without_its_text() {
    let machine =
        Machine::new().file("work/.cargo/config.toml", "[registries.corp]\nindex = 'x'\n  token = \"se\"cret\"\n");
    let error = machine.read(&NO_VARIABLES).expect_err("broken");
    let Error::Toml { line, column, .. } = &error else { panic!("{error}") };
    assert_eq!((*line, *column), (3, 15));
    assert!(!error.to_string().contains("cret"), "{error}");
}

#[test]
fn values_of_the_wrong_type_are_reported_by_key() {
    for (text, key) in [
        ("http.timeout = 'x'", "http.timeout"),
        ("http.timeout = -1", "http.timeout"),
        ("net.offline = 1", "net.offline"),
        ("http.user-agent = 1", "http.user-agent"),
        ("http.ssl-version = 'tlsv1.1'", "http.ssl-version"),
        ("http.ssl-version.max = 'tlsv1.1'", "http.ssl-version.max"),
    ] {
        let machine = Machine::new().file("cargo-home/config.toml", text);
        let error = machine.read(&NO_VARIABLES).expect_err(text);
        assert!(matches!(&error, Error::InvalidValue { key: named, .. } if named == key), "{text}: {error}");
    }
    let error = Machine::new().read(&[("CARGO_HTTP_TIMEOUT", "soon")]);
    let text = error.expect_err("no number").to_string();
    assert!(text.contains("CARGO_HTTP_TIMEOUT"), "{text}");
}

#[test]
fn tls_versions_may_be_a_range() {
    let machine =
        Machine::new().file("cargo-home/config.toml", "http.ssl-version = { min = 'tlsv1', max = 'tlsv1.2' }\n");
    let tls = machine.http(&NO_VARIABLES).tls;
    assert_eq!((tls.oldest, tls.newest), (TlsVersion::Tls12, TlsVersion::Tls12));
}

#[test]
fn unrelated_tables_are_ignored() {
    let machine = Machine::new()
        .file("cargo-home/config.toml", "patch = 3\nalias = []\n[build]\nrustc-wrapper = 7\n[net]\nretry = 6\n");
    assert_eq!(machine.http(&NO_VARIABLES).retries, 6);
}

#[test]
fn cargos_proxy_wins_over_gits_and_gits_over_the_environments() {
    let machine = Machine::new().file("home/.gitconfig", "[http]\n\tproxy = git:1\n");
    let home = machine.path("home").to_str().expect("UTF-8 path").to_owned();
    let variables = [("HOME", home.as_str()), ("https_proxy", "env:1")];
    assert_eq!(proxy(&machine.http(&variables[1..])), Some("env:1"));
    assert_eq!(proxy(&machine.http(&variables)), Some("git:1"));
    let machine = machine.file("cargo-home/config.toml", "http.proxy = 'cargo:1'\n");
    assert_eq!(proxy(&machine.http(&variables)), Some("cargo:1"));
    let machine = machine.file("cargo-home/config.toml", "http.proxy = ''\n");
    assert_eq!(proxy(&machine.http(&variables)), None);
}

#[test]
fn registry_url_variable_accepts_every_spelling() {
    let machine = Machine::new().file(
        "cargo-home/config.toml",
        "[source.crates-io]\nreplace-with = 'corp'\n[registries.corp]\nindex = 'sparse+https://corp/index/'\ntoken = 't'\n",
    );
    for url in ["https://h/p", "https://h/p/", "sparse+https://h/p", "sparse+https://h/p/"] {
        let upstream = machine
            .upstream(&[("FROSTMIRROR_REGISTRY_URL", url), ("FROSTMIRROR_DL_URL", "http://dl/{crate}")])
            .expect(url);
        assert_eq!(upstream.index, "https://h/p/");
        assert_eq!(upstream.dl.as_deref(), Some("http://dl/{crate}"));
        assert_eq!(upstream.origin, Origin::Environment);
        assert!(upstream.token.is_none());
    }
    // The same registry under the environment's name still requires its token.
    let upstream = machine.upstream(&[("FROSTMIRROR_REGISTRY_URL", "https://corp/index")]);
    assert_eq!(token(&upstream.expect("upstream")), Some("t"));
}

#[test]
fn invalid_addresses_are_refused_without_showing_the_password() {
    for url in ["ftp://u:secret@h/", "file:///srv/index", "not an address", "https://", "not?secret"] {
        let error = Machine::new().upstream(&[("FROSTMIRROR_REGISTRY_URL", url)]).expect_err(url);
        assert!(matches!(error, Error::InvalidAddress { .. }), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for (url, part) in [
        ("https://h/?token=secret#a", "a query (from `?` on)"),
        ("sparse+https://h/index/#secret?", "a fragment (from `#` on)"),
        ("https://h/{secret}/", "braces"),
    ] {
        let error = Machine::new().upstream(&[("FROSTMIRROR_REGISTRY_URL", url)]).expect_err(url);
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("variable FROSTMIRROR_REGISTRY_URL"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    assert!(Machine::new().upstream(&[("FROSTMIRROR_DL_URL", "/relative")]).is_err());
}

#[test]
fn a_sparse_replacement_is_used_as_source_or_registry() {
    for definition in [
        "[registries.corp]\nindex = 'sparse+https://corp/index'\n",
        "[source.corp]\nregistry = 'sparse+https://corp/index/'\n",
        "[source.corp]\nreplace-with = 'second'\nregistry = 'https://old/git'\n\
         [source.second]\nregistry = 'sparse+https://corp/index/'\n",
    ] {
        let text = format!("[source.crates-io]\nreplace-with = 'corp'\n{definition}");
        let machine = Machine::new().file("cargo-home/config.toml", &text);
        let upstream = machine.upstream(&NO_VARIABLES).expect(definition);
        assert_eq!(upstream.index, "https://corp/index/");
        let Origin::Replacement { file, .. } = &upstream.origin else { panic!("{:?}", upstream.origin) };
        assert_eq!(*file, machine.path("cargo-home/config.toml"));
        assert!(upstream.warnings.is_empty());
    }
    let machine = Machine::new().file("cargo-home/config.toml", "source.crates-io.replace-with = 'corp'\n");
    let upstream = machine.upstream(&[("CARGO_REGISTRIES_CORP_INDEX", "sparse+https://variable/")]);
    assert_eq!(upstream.expect("upstream").index, "https://variable/");
}

#[test]
fn crates_io_itself_may_be_given_another_address() {
    let machine =
        Machine::new().file("cargo-home/config.toml", "[source.crates-io]\nregistry = 'sparse+https://corp/'\n");
    assert_eq!(machine.upstream(&NO_VARIABLES).expect("upstream").index, "https://corp/");
    let machine = Machine::new().file(
        "cargo-home/config.toml",
        "[source.crates-io]\nregistry = 'https://github.com/rust-lang/crates.io-index'\n",
    );
    let upstream = machine.upstream(&NO_VARIABLES).expect("upstream");
    assert!(upstream.origin == Origin::CratesIo && upstream.warnings.is_empty());
}

#[test]
fn own_and_non_sparse_replacements_are_skipped_with_a_warning() {
    let ours = "[source.crates-io]\nreplace-with = 'frostmirror'\n\
                [registries.frostmirror]\nindex = 'sparse+http://localhost:8080/index/'\n";
    let local = "[source.crates-io]\nreplace-with = 'frostmirror-local'\n\
                 [source.frostmirror-local]\nlocal-registry = '/mirror/crates'\n";
    let directory = "[source.crates-io]\nreplace-with = 'vendored'\n[source.vendored]\ndirectory = 'vendor'\n";
    let git = "[source.crates-io]\nreplace-with = 'old'\n[source.old]\nregistry = 'https://corp/index.git'\n";
    for text in [ours, local, directory, git] {
        let machine = Machine::new().file("work/.cargo/config.toml", text);
        let upstream = machine.upstream(&NO_VARIABLES).expect(text);
        assert_eq!(upstream.origin, Origin::CratesIo);
        let [warning] = upstream.warnings.as_slice() else { panic!("{:?}", upstream.warnings) };
        let file = machine.path("work/.cargo/config.toml");
        assert!(warning.contains(file.to_str().expect("UTF-8 path")), "{warning}");
        // A farther file's replacement is used if the nearer one is skipped.
        let machine = machine.file(
            "cargo-home/config.toml",
            "[source.crates-io]\nreplace-with = 'corp'\n[registries.corp]\nindex = 'sparse+https://corp/'\n",
        );
        let upstream = machine.upstream(&NO_VARIABLES).expect(text);
        assert_eq!((upstream.index.as_str(), upstream.warnings.len()), ("https://corp/", 1));
    }
}

#[test]
fn the_warning_about_the_own_mirror_fits_its_kind() {
    let warning = |definition: &str| {
        let text = format!("[source.crates-io]\nreplace-with = 'frostmirror'\n{definition}\n");
        let machine = Machine::new().file("work/.cargo/config.toml", &text).file("work/local/a-1.0.0.crate", "");
        let upstream = machine.upstream(&NO_VARIABLES).expect("upstream");
        let [warning] = upstream.warnings.as_slice() else { panic!("{:?}", upstream.warnings) };
        (warning.clone(), machine.path("work/local"))
    };
    for definition in [
        "[registries.frostmirror]\nindex = 'sparse+https://me:secret@h/index'",
        "[source.frostmirror]\nregistry = 'sparse+https://me:secret@h/index/'",
    ] {
        let (text, _) = warning(definition);
        assert!(text.contains("FROSTMIRROR_REGISTRY_URL=https://h/index/ to fetch from it"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    let (text, folder) = warning("[source.frostmirror]\nlocal-registry = 'local'");
    let command = format!("`cargo frostmirror fetch --reuse {}`", folder.display());
    assert!(text.contains(&command) && !text.contains("server"), "{text}");
    for (definition, kind) in [
        ("[source.frostmirror]\nlocal-registry = '/no where'", "It is a local registry, which cannot be an upstream"),
        ("[source.frostmirror]\ndirectory = 'vendor'", "It is a folder, which cannot be an upstream"),
        ("[source.frostmirror]\ngit = 'https://h/r'", "It is a git repository, which cannot be an upstream"),
        ("[source.frostmirror]\nregistry = 'https://h/r'", "It is an index in git, which cannot be an upstream"),
        ("[source.frostmirror]\nregistry = 'sparse+nonsense'", "so the replacement is ignored"),
        ("", "so the replacement is ignored"),
    ] {
        let (text, _) = warning(definition);
        assert!(text.ends_with(kind), "{definition}: {text}");
        assert!(!text.contains("FROSTMIRROR_REGISTRY_URL") && !text.contains("server"), "{definition}: {text}");
    }
}

#[test]
fn cyclic_and_unknown_replacements_are_errors() {
    let cycle = "[source.crates-io]\nreplace-with = 'a'\n[source.a]\nreplace-with = 'b'\n[source.b]\nreplace-with = ";
    for end in ["'a'", "'crates-io'", "'b'"] {
        let machine = Machine::new().file("cargo-home/config.toml", &format!("{cycle}{end}\n"));
        assert!(matches!(machine.upstream(&NO_VARIABLES), Err(Error::SourceCycle { .. })));
    }
    let machine = Machine::new().file("cargo-home/config.toml", &format!("{cycle}'c'\n"));
    assert!(matches!(machine.upstream(&NO_VARIABLES), Err(Error::UnknownSource { name, .. }) if name == "c"));
}

const CORP: &str = "[source.crates-io]\nreplace-with = 'my-corp'\n\
                    [registries.my-corp]\nindex = 'sparse+https://corp/'\n";

#[test]
fn tokens_come_from_environment_then_credentials_then_configuration() {
    let machine = Machine::new().file("cargo-home/config.toml", &format!("{CORP}token = 'config'\n"));
    let variables = [("CARGO_REGISTRIES_MY_CORP_TOKEN", "env")];
    let found = |machine: &Machine, variables: &[(&str, &str)]| {
        let upstream = machine.upstream(variables).expect("upstream");
        assert!(format!("{upstream:?}").contains("token: Some(***)"));
        token(&upstream).map(str::to_owned)
    };
    assert_eq!(found(&machine, &NO_VARIABLES).as_deref(), Some("config"));
    let machine = machine.file("cargo-home/credentials.toml", "[registries.my-corp]\ntoken = 'toml'\n");
    assert_eq!(found(&machine, &NO_VARIABLES).as_deref(), Some("toml"));
    let machine = machine.file("cargo-home/credentials", "[registries.my-corp]\ntoken = 'old'\n");
    assert_eq!(found(&machine, &NO_VARIABLES).as_deref(), Some("old"));
    assert_eq!(found(&machine, &variables).as_deref(), Some("env"));
}

#[test]
fn a_source_uses_the_token_of_the_registry_with_the_same_index() {
    let machine = Machine::new().file(
        "cargo-home/config.toml",
        "[source.crates-io]\nreplace-with = 's'\n[source.s]\nregistry = 'sparse+https://corp/'\n\
         [registries.other]\nindex = 'sparse+https://elsewhere/'\ntoken = 'wrong'\n\
         [registries.corp]\nindex = 'sparse+https://corp'\ntoken = 'right'\n",
    );
    let upstream = machine.upstream(&NO_VARIABLES).expect("upstream");
    assert_eq!(token(&upstream), Some("right"));
}

#[test]
fn an_unsupported_credential_provider_is_an_error_naming_the_variable() {
    for provider in ["'cargo:libsecret'", "['cargo:wincred']", "'cargo:token-from-stdout'", "'cargo-credential-x --y'"]
    {
        let text = format!("{CORP}credential-provider = {provider}\n");
        let machine = Machine::new().file("cargo-home/config.toml", &text);
        let error = machine.upstream(&NO_VARIABLES).expect_err(provider);
        assert!(
            matches!(&error, Error::CredentialProvider { variable, .. } if variable == "CARGO_REGISTRIES_MY_CORP_TOKEN"),
            "{error}"
        );
        let upstream = machine.upstream(&[("CARGO_REGISTRIES_MY_CORP_TOKEN", "env")]);
        assert_eq!(token(&upstream.expect("upstream")), Some("env"));
    }
    let text = format!("{CORP}credential-provider = 'cargo:token'\n");
    let machine = Machine::new().file("cargo-home/config.toml", &text);
    assert!(machine.upstream(&NO_VARIABLES).expect("upstream").token.is_none());
}

#[test]
fn providers_are_asked_in_cargos_order() {
    let from = |text: &str, variables: &[(&str, &str)]| {
        let machine = Machine::new()
            .file("cargo-home/config.toml", &format!("{CORP}{text}"))
            .file("cargo-home/credentials.toml", "[registries.my-corp]\ntoken = 'stored'\n");
        let upstream = machine.upstream(variables).expect("upstream");
        let provider = upstream.provider.as_ref().map(|provider| match provider {
            Provider::Program(program) => program.program().to_owned(),
            Provider::CargoOnly { provider, key } => format!("{provider} of {}", key.split(' ').next().unwrap_or("")),
        });
        (token(&upstream).map(str::to_owned), provider)
    };
    let stored = (Some("stored".to_owned()), None);
    let program = |name: &str| (None, Some(name.to_owned()));
    let global = |entries: &str| format!("[registry]\nglobal-credential-providers = [{entries}]\n");
    assert_eq!(from("", &NO_VARIABLES), stored);
    assert_eq!(
        from("credential-provider = ['cargo:token-from-stdout', '/bin/x y']\n", &NO_VARIABLES),
        program("/bin/x y")
    );
    assert_eq!(from("credential-provider = 'cargo:token-from-stdout /bin/x y'\n", &NO_VARIABLES), program("/bin/x"));
    // Later entries come first. The registry's own provider replaces all others.
    assert_eq!(from(&global("'cargo:token', 'cargo:token-from-stdout a b'"), &NO_VARIABLES), program("a"));
    assert_eq!(from(&global("'cargo:token-from-stdout a b', 'cargo:token'"), &NO_VARIABLES), stored);
    let own = format!("credential-provider = 'cargo:token'\n{}", global("'cargo:token-from-stdout a'"));
    assert_eq!(from(&own, &NO_VARIABLES), stored);
    // A provider that only cargo can use is skipped if there is another one.
    assert_eq!(from(&global("'cargo:token', 'cargo:libsecret'"), &NO_VARIABLES), stored);
    let alias = format!("{}[credential-alias]\nours = ['cargo:token-from-stdout', 'c d']\n", global("'ours'"));
    assert_eq!(from(&alias, &NO_VARIABLES), program("c d"));
    let set = [("CARGO_REGISTRIES_MY_CORP_TOKEN", "env")];
    assert_eq!(from(&global("'cargo:token-from-stdout a'"), &set), (Some("env".to_owned()), None));
    let machine = Machine::new().file("cargo-home/config.toml", &format!("{CORP}{}", global("'cargo:libsecret'")));
    let upstream = machine.upstream(&NO_VARIABLES).expect("upstream");
    assert!(
        matches!(upstream.provider, Some(Provider::CargoOnly { ref key, .. }) if key.contains("global-credential-providers"))
    );
}

#[test]
fn shown_addresses_have_no_credentials() {
    assert_eq!(redact_url("https://u:p@h:1/x?sig=y#z"), "https://h:1/x");
    assert_eq!(redact_url("u:p@h:1"), "h:1");
}

#[test]
fn resolver_config_is_merged_from_all_files() {
    let machine = Machine::new()
        .file("work/project/.cargo/config.toml", "include = \"more.toml\"\n[unstable]\nbindeps = true\n")
        .file("work/project/.cargo/more.toml", "[unstable]\nbindeps = false\nno-index-update = true\n")
        .file(
            "cargo-home/config.toml",
            "[unstable]\npublic-dependency = true\n[resolver]\nincompatible-rust-versions = \"fallback\"\n",
        );
    let decisions =
        |variables: &[(&str, &str)]| machine.read(variables).expect("configuration").resolver_config().to_string();
    let unstable = "[unstable]\nbindeps = true\npublic-dependency = true\n";
    let resolver = "[resolver]\nincompatible-rust-versions = \"fallback\"\n";
    assert_eq!(decisions(&NO_VARIABLES), format!("{resolver}\n{unstable}"));
    // The variable overrides the file, and the child cargo inherits it.
    assert_eq!(decisions(&[("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "allow")]), unstable);
    assert_eq!(Machine::new().read(&NO_VARIABLES).expect("configuration").resolver_config().to_string(), "");
}

#[test]
fn git_vars_carry_the_network_settings() {
    let machine = Machine::new().file(
        "work/project/.cargo/config.toml",
        "[http]\nproxy = \"socks5h://u:p@h\"\ncainfo = \"ca.pem\"\ncheck-revoke = false\n\
             ssl-version.min = \"tlsv1.3\"\n[net]\ngit-fetch-with-cli = true\nretry = 7\n",
    );
    let config = machine.read(&[("CARGO_HTTP_PROXY", "http://other")]).expect("configuration");
    let vars: Vec<(&str, &str)> = config.git_vars().iter().map(|(name, value)| (&**name, &**value)).collect();
    let cainfo = machine.path("work/project/ca.pem");
    let expected = [
        ("CARGO_HTTP_PROXY", "http://other"),
        ("CARGO_HTTP_CAINFO", cainfo.to_str().expect("UTF-8 path")),
        ("CARGO_HTTP_SSL_VERSION_MIN", "tlsv1.3"),
        ("CARGO_HTTP_CHECK_REVOKE", "false"),
        ("CARGO_NET_GIT_FETCH_WITH_CLI", "true"),
    ];
    assert_eq!(vars, expected);
}

#[test]
fn lockfile_path_is_reported_as_unsupported() {
    let machine = Machine::new().file("cargo-home/config.toml", "[resolver]\nlockfile-path = \"/x/Cargo.lock\"\n");
    let config = machine.read(&NO_VARIABLES).expect("configuration");
    let place = machine.path("cargo-home/config.toml").display().to_string();
    assert!(config.warnings()[0].contains("`resolver.lockfile-path`") && config.warnings()[0].contains(&place));
    assert_eq!(config.resolver_config().to_string(), "");
    let config = Machine::new().read(&[("CARGO_RESOLVER_LOCKFILE_PATH", "/x/Cargo.lock")]).expect("configuration");
    assert!(config.warnings()[0].contains("the variable CARGO_RESOLVER_LOCKFILE_PATH"), "{:?}", config.warnings());
    assert!(Machine::new().read(&NO_VARIABLES).expect("configuration").warnings().is_empty());
}
