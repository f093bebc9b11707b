//! The upstream of index and crates, and its token.

use std::path::{Path, PathBuf};

use crate::client_setup::is_frostmirror_source;
use crate::diagnostics::shell_quote;
use crate::env::Env;
use crate::http::{Secret, redact_url};

use super::files::{self, ConfigFiles, FoundValue};
use super::provider::{Configured, TOKEN};
use super::{Error, Provider, env_var_name};

/// The sparse registry that is used as upstream.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The index address: http or https, without `sparse+`, with a trailing slash. It may contain a name and a
    /// password; messages show it with [`crate::http::redact_url`].
    pub index: String,
    /// Overrides the `dl` of the index's config.json.
    pub dl: Option<String>,
    /// Sent with every request to this registry; never stored.
    pub token: Option<Secret>,
    /// The provider of the token, if no token was found.
    pub provider: Option<Provider>,
    /// The setting that chose it.
    pub origin: Origin,
    /// Replacements of crates.io that were ignored, and why.
    pub warnings: Vec<String>,
}

/// The setting that chose the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// FROSTMIRROR_REGISTRY_URL.
    Environment,
    /// The user's own replacement of crates.io.
    Replacement {
        /// The replacement's name.
        name: String,
        /// The file that replaces crates.io.
        file: PathBuf,
    },
    /// The address was requested explicitly.
    Explicit,
    /// The default.
    CratesIo,
}

impl Upstream {
    /// The addresses that the user configured: the index, and the replacement of its `dl`.
    pub fn addresses(&self) -> impl Iterator<Item = String> {
        // A `dl` may contain markers after its host, which are not part of an address.
        [Some(self.index.clone()), self.dl.clone()].into_iter().flatten()
    }

    /// The variable for its token, if it has a name in cargo's configuration.
    pub fn token_env_var(&self) -> Option<String> {
        match &self.origin {
            Origin::Replacement { name, .. } => Some(env_var_name(&["registries", name, "token"])),
            Origin::Environment | Origin::Explicit | Origin::CratesIo => None,
        }
    }
}

/// The variable for the upstream.
const REGISTRY_URL: &str = "FROSTMIRROR_REGISTRY_URL";
/// The variable that replaces the `dl` of the upstream's config.json.
const DL_URL: &str = "FROSTMIRROR_DL_URL";

/// The address of the index of `[registries.NAME]`.
pub(super) fn registry_index(
    files: &ConfigFiles,
    cargo_home: Option<&Path>,
    env: &Env,
    name: &str,
) -> Result<Option<String>, Error> {
    Ok(RegistryLookup { files, cargo_home, env }.registry_index(name)?.map(|(index, _)| index))
}

pub(super) fn find(files: &ConfigFiles, cargo_home: Option<&Path>, env: &Env) -> Result<Upstream, Error> {
    let search = RegistryLookup { files, cargo_home, env };
    let dl = match env.var(DL_URL) {
        Some(url) if is_http(url) => Some(url.to_owned()),
        Some(url) => {
            return Err(Error::InvalidAddress { url: redact_url(url), location: format!("the variable {DL_URL}") });
        }
        None => None,
    };
    let mut warnings = Vec::new();
    let (index, (token, provider), origin) = if let Some(url) = env.var(REGISTRY_URL) {
        let index = normalize_index_url(url, &format!("the variable {REGISTRY_URL}"))?;
        let token = search.find_token(search.registries_with_index(&index), &index)?;
        (index, token, Origin::Environment)
    } else if let Some(replacement) = search.find_replacement(&mut warnings)? {
        let mut names = vec![replacement.name.clone()];
        names.extend(
            search.registries_with_index(&replacement.index).into_iter().filter(|name| *name != replacement.name),
        );
        let token = search.find_token(names, &replacement.index)?;
        (replacement.index, token, Origin::Replacement { name: replacement.name, file: replacement.file })
    } else {
        (crates_io_index(), (None, None), Origin::CratesIo)
    };
    Ok(Upstream { index, dl, token, provider, origin, warnings })
}

/// The registry at the address `index`, with cargo's token for it.
pub(super) fn with_index(
    files: &ConfigFiles,
    cargo_home: Option<&Path>,
    env: &Env,
    index: &str,
) -> Result<Upstream, Error> {
    let search = RegistryLookup { files, cargo_home, env };
    let index = normalize_index_url(index, "the configured index")?;
    let (token, provider) = search.find_token(search.registries_with_index(&index), &index)?;
    Ok(Upstream { index, dl: None, token, provider, origin: Origin::Explicit, warnings: Vec::new() })
}

struct RegistryLookup<'a> {
    files: &'a ConfigFiles,
    cargo_home: Option<&'a Path>,
    env: &'a Env,
}

/// The end of a chain of replacements of crates.io.
struct Replacement {
    name: String,
    index: String,
    file: PathBuf,
}

/// The kind of a source.
enum ConfiguredSource {
    Sparse(String),
    /// An unsupported kind, with its description for the warning.
    Unsupported(String),
    OwnMirror(OwnMirror),
}

/// The source with the name that `setup` uses.
enum OwnMirror {
    /// The address of the index.
    Server(String),
    LocalRegistry(PathBuf),
    /// Another kind, with its description for the warning.
    Other(String),
    /// It is not defined, or invalid; cargo reports this.
    Undefined,
}

impl OwnMirror {
    /// The end of the warning: what the user can do instead.
    fn advice(&self) -> String {
        match self {
            OwnMirror::Server(index) => {
                let index = redact_url(index);
                format!(". If that server is another mirror, set {REGISTRY_URL}={index} to fetch from it")
            }
            OwnMirror::LocalRegistry(folder) if folder.is_dir() => format!(
                ". It is a local registry: `cargo frostmirror fetch --reuse {}` takes its crates instead of downloading them",
                shell_quote(folder)
            ),
            OwnMirror::LocalRegistry(_) => ". It is a local registry, which cannot be an upstream".to_owned(),
            OwnMirror::Other(what) => format!(". It is {what}, which cannot be an upstream"),
            OwnMirror::Undefined => String::new(),
        }
    }
}

impl RegistryLookup<'_> {
    /// The nearest replacement of crates.io that is a sparse registry; others are ignored with a warning.
    fn find_replacement(&self, warnings: &mut Vec<String>) -> Result<Option<Replacement>, Error> {
        let keys = ["source", "crates-io", "replace-with"];
        for found in self.files.values(&keys) {
            let (name, kind) = self.follow_replacements(found.text(&keys)?, found.file)?;
            match self.check_replacement(&name, kind, found.file) {
                Ok(replacement) => return Ok(Some(replacement)),
                Err(warning) => warnings.push(warning),
            }
        }
        // A source may also set another address under its own name.
        let keys = ["source", "crates-io", "registry"];
        for found in self.files.values(&keys) {
            let kind = classify_registry(found.text(&keys)?, &found.location())?;
            if matches!(&kind, ConfiguredSource::Sparse(index) if *index == crates_io_index())
                || is_crates_io_git_index(found.value.as_str())
            {
                continue;
            }
            match self.check_replacement("crates-io", kind, found.file) {
                Ok(replacement) => return Ok(Some(replacement)),
                Err(warning) => warnings.push(warning),
            }
        }
        Ok(None)
    }

    fn check_replacement(&self, name: &str, kind: ConfiguredSource, file: &Path) -> Result<Replacement, String> {
        let file_name = file.display();
        match kind {
            ConfiguredSource::Sparse(index) => Ok(Replacement { name: name.to_owned(), index, file: file.to_owned() }),
            ConfiguredSource::Unsupported(what) => Err(format!(
                "crates.io is replaced with `{name}` in `{file_name}`. `{name}` is {what}, which cannot be an upstream, so \
                 the replacement is ignored and crates.io itself is used"
            )),
            ConfiguredSource::OwnMirror(mirror) => Err(format!(
                "crates.io is replaced with `{name}` in `{file_name}`. `cargo frostmirror setup` uses this name for the mirror \
                 that this program fills, so the replacement is ignored{}",
                mirror.advice()
            )),
        }
    }

    /// Follows the chain of `replace-with` from `name` to its end.
    fn follow_replacements(&self, name: &str, file: &Path) -> Result<(String, ConfiguredSource), Error> {
        let mut seen = vec!["crates-io".to_owned()];
        let mut name = name.to_owned();
        loop {
            if seen.contains(&name) {
                return Err(Error::SourceCycle { name, file: file.to_owned() });
            }
            if is_frostmirror_source(&name) {
                let mirror = self.own_mirror(&name);
                return Ok((name, ConfiguredSource::OwnMirror(mirror)));
            }
            let keys = ["source", name.as_str(), "replace-with"];
            if let Some(found) = self.files.effective(&keys) {
                let next = found.text(&keys)?.to_owned();
                seen.push(std::mem::replace(&mut name, next));
                continue;
            }
            return match self.configured_source(&name)? {
                Some(kind) => Ok((name, kind)),
                None => Err(Error::UnknownSource { name, file: file.to_owned() }),
            };
        }
    }

    fn own_mirror(&self, name: &str) -> OwnMirror {
        let keys = ["source", name, "local-registry"];
        match (self.configured_source(name), self.files.effective(&keys)) {
            (Ok(Some(ConfiguredSource::Sparse(index))), _) => OwnMirror::Server(index),
            (Ok(Some(ConfiguredSource::Unsupported(what))), found) => {
                let folder = found.and_then(|found| Some(found.base_folder().join(found.value.as_str()?)));
                folder.map_or(OwnMirror::Other(what), OwnMirror::LocalRegistry)
            }
            _ => OwnMirror::Undefined,
        }
    }

    /// The kind of the source or registry `name`; `None` if there is none.
    fn configured_source(&self, name: &str) -> Result<Option<ConfiguredSource>, Error> {
        let keys = ["source", name, "registry"];
        if let Some(found) = self.files.effective(&keys) {
            return classify_registry(found.text(&keys)?, &found.location()).map(Some);
        }
        let others = [("local-registry", "a local registry"), ("directory", "a folder"), ("git", "a git repository")];
        for (key, what) in others {
            if self.files.effective(&["source", name, key]).is_some() {
                return Ok(Some(ConfiguredSource::Unsupported(what.to_owned())));
            }
        }
        match self.registry_index(name)? {
            Some((index, place)) => classify_registry(&index, &place).map(Some),
            None => Ok(None),
        }
    }

    /// The `index` of `[registries.NAME]`, and its position.
    fn registry_index(&self, name: &str) -> Result<Option<(String, String)>, Error> {
        let keys = ["registries", name, "index"];
        let variable = env_var_name(&keys);
        if let Some(index) = self.env.var(&variable) {
            return Ok(Some((index.to_owned(), format!("the variable {variable}"))));
        }
        match self.files.effective(&keys) {
            Some(found) => Ok(Some((found.text(&keys)?.to_owned(), found.location()))),
            None => Ok(None),
        }
    }

    /// Names of the registries with this index address.
    fn registries_with_index(&self, index: &str) -> Vec<String> {
        let names = self.files.table_names("registries").into_iter().filter(|name| {
            let configured = self.registry_index(name).ok().flatten();
            configured.is_some_and(
                |(url, place)| matches!(classify_registry(&url, &place), Ok(ConfiguredSource::Sparse(other)) if other == index),
            )
        });
        names.map(str::to_owned).collect()
    }

    /// The token of the first of these registries that has one, or its provider. The environment comes first, then the
    /// providers in cargo's order: the registry's own, otherwise those for every registry.
    fn find_token(&self, names: Vec<String>, index: &str) -> Result<(Option<Secret>, Option<Provider>), Error> {
        for name in &names {
            if let Some(token) = self.env.var(&env_var_name(&["registries", name, "token"])) {
                return Ok((Some(Secret::new(token)), None));
            }
        }
        let mut providers = Vec::new();
        for name in &names {
            providers.extend(self.own_provider(name)?);
        }
        if providers.is_empty() {
            providers = Configured::global(self.files)?;
        }
        let registry = names.first().map(String::as_str);
        let mut cargo_only = None;
        let is_default = providers.is_empty();
        for configured in providers {
            match configured.provider(index, registry, self.env) {
                None => {
                    if let Some(token) = self.stored_token(&names)? {
                        return Ok((Some(token), None));
                    }
                }
                Some(program @ Provider::Program(_)) => return Ok((None, Some(program))),
                Some(other) => cargo_only = cargo_only.or(Some(other)),
            }
        }
        let token = if is_default || cargo_only.is_some() { self.stored_token(&names)? } else { None };
        let provider = if token.is_some() { None } else { cargo_only };
        Ok((token, provider))
    }

    /// The token in the credentials, otherwise in the configuration.
    fn stored_token(&self, names: &[String]) -> Result<Option<Secret>, Error> {
        for name in names {
            let keys = ["registries", name, "token"];
            if let Some(token) = self.token_from_credentials(name)? {
                return Ok(Some(token));
            }
            if let Some(found) = self.files.effective(&keys) {
                return Ok(Some(Secret::new(found.text(&keys)?)));
            }
        }
        Ok(None)
    }

    fn token_from_credentials(&self, name: &str) -> Result<Option<Secret>, Error> {
        let Some(path) = self.cargo_home.and_then(|home| files::find_file(home, "credentials")) else {
            return Ok(None);
        };
        let table = files::read_table(&path)?;
        let token = table.get("registries").and_then(|registries| registries.get(name)?.get("token"));
        match token {
            Some(value) => {
                let found = FoundValue { value, file: &path };
                found.text(&["registries", name, "token"]).map(|token| Some(Secret::new(token)))
            }
            None => Ok(None),
        }
    }

    /// The provider that is configured only for this registry. It means that the registry requires a token, so a
    /// provider that only cargo can use is an error at once.
    fn own_provider(&self, name: &str) -> Result<Option<Configured>, Error> {
        let keys = ["registries", name, "credential-provider"];
        let in_env = env_var_name(&keys);
        let configured = match (self.env.var(&in_env), self.files.effective(&keys)) {
            (Some(text), _) => Configured {
                args: text.split_whitespace().map(str::to_owned).collect(),
                key: format!("the variable {in_env}"),
            },
            (None, Some(found)) => Configured::read(&found, &keys, self.files)?,
            (None, None) => return Ok(None),
        };
        if configured.name() != TOKEN && !configured.is_program() {
            let variable = env_var_name(&["registries", name, "token"]);
            let provider = configured.args.join(" ");
            return Err(Error::CredentialProvider { registry: name.to_owned(), provider, variable });
        }
        Ok(Some(configured))
    }
}

/// The index of crates.io.
fn crates_io_index() -> String {
    let url = crates_index::sparse::URL;
    format!("{}/", url.strip_prefix("sparse+").unwrap_or(url).trim_end_matches('/'))
}

/// Whether this is the git index of crates.io, which older configurations set together with `replace-with`.
fn is_crates_io_git_index(url: Option<&str>) -> bool {
    url.is_some_and(|url| url.trim_end_matches('/').trim_end_matches(".git") == crates_index::git::URL)
}

fn classify_registry(url: &str, location: &str) -> Result<ConfiguredSource, Error> {
    match url.strip_prefix("sparse+") {
        Some(_) => normalize_index_url(url, location).map(ConfiguredSource::Sparse),
        None => Ok(ConfiguredSource::Unsupported("an index in git".to_owned())),
    }
}

/// Normalizes an index address, which may come with or without `sparse+` and the trailing slash.
fn normalize_index_url(url: &str, location: &str) -> Result<String, Error> {
    let text = url.trim();
    let text = text.strip_prefix("sparse+").unwrap_or(text);
    let location = || location.to_owned();
    if !is_http(text) {
        return Err(Error::InvalidAddress { url: redact_url(text), location: location() });
    }
    // The first one counts: a fragment may contain a question mark.
    match text.chars().find(|char| matches!(char, '?' | '#')) {
        Some('?') => Err(Error::UnsupportedPart { part: "a query (from `?` on)", location: location() }),
        Some(_) => Err(Error::UnsupportedPart { part: "a fragment (from `#` on)", location: location() }),
        None if text.contains(['{', '}']) => Err(Error::UnsupportedPart { part: "braces", location: location() }),
        None if text.chars().any(char::is_control) => {
            Err(Error::UnsupportedPart { part: "a control character", location: location() })
        }
        None => Ok(format!("{}/", text.trim_end_matches('/'))),
    }
}

fn is_http(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}
