//! A client of a sparse registry: its config.json, and one index file at a time. Caching is the caller's task.

use std::io;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::crate_id::CrateName;
use crate::http::{self, Client, LargeBodyLimit, Request, Response, Secret};
use crate::index_line::RegistryConfig;
use crate::upstream::cargo_config::{Provider, Upstream};
use crate::upstream::index_file::{CachedIndexFile, IndexFile};

/// The file name of a registry's configuration, beside its index files.
pub const CONFIG_FILE_NAME: &str = "config.json";

/// Maximum size of an index file in bytes. The largest of crates.io have about 4 MB.
pub const MAX_INDEX_FILE: u64 = 16 * 1024 * 1024;
/// Maximum number of index files above [`LargeBodyLimit::SMALL_BODY_BYTES`] bytes that are read concurrently; others
/// wait. They use at most 64 MiB.
const MAX_CONCURRENT_LARGE_FILES: usize = 4;
/// Maximum size of a config.json in bytes.
const MAX_CONFIG: u64 = 64 * 1024;

/// A registry and the client for it. Cheap to clone.
#[derive(Clone)]
pub struct RegistryClient {
    client: Client,
    upstream: Arc<Upstream>,
    /// The token that a program printed.
    printed: Arc<OnceCell<Secret>>,
    large_bodies: LargeBodyLimit,
}

/// The configuration of a registry.
#[derive(Clone, Debug)]
pub struct RegistryInfo {
    /// Its config.json, with `dl` replaced if the user sets another one.
    pub config: RegistryConfig,
    /// Whether config.json itself required a token.
    pub config_needs_token: bool,
}

/// Why the index could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream is unreachable, or refused the request.
    #[error("could not read {what} of the registry {index}")]
    Fetch {
        /// `config.json`, or the crate of the file.
        what: String,
        /// The index's address.
        index: String,
        /// The cause.
        source: Box<http::Error>,
    },
    /// The registry requires a token, and there is none.
    #[error("the registry {index} requires a token, but none is configured for it")]
    MissingToken {
        /// The index's address.
        index: String,
        /// The variable for the token, if the registry has a name in cargo's configuration.
        variable: Option<String>,
    },
    /// The credential program printed no token.
    #[error("the program `{program}` (set in {key}) printed no token for the registry {index}")]
    TokenProgram {
        /// The index's address.
        index: String,
        /// The program.
        program: String,
        /// The key of the program, with its file.
        key: String,
        /// The cause.
        source: io::Error,
    },
    /// Only cargo can use the provider that has the token.
    #[error("the registry {index} requires a token from `{provider}` ({key}), which only cargo can use")]
    CargoOnly {
        /// The index's address.
        index: String,
        /// The provider.
        provider: String,
        /// The key of the provider, with its file.
        key: String,
        /// The variable that can contain the token instead, if the registry has a name in cargo's configuration.
        variable: Option<String>,
    },
    /// There is no config.json.
    #[error("{index} is not a sparse registry index: it has no config.json")]
    MissingConfig {
        /// The index's address.
        index: String,
    },
    /// config.json is invalid.
    #[error("config.json of the registry {index} is invalid")]
    InvalidConfig {
        /// The index's address.
        index: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The response for a crate is not an index file.
    #[error("the response of the registry {index} for {what} is not an index file")]
    NotAnIndexFile {
        /// The requested crate.
        what: String,
        /// The index's address.
        index: String,
    },
    /// The network is forbidden, and the file is not cached.
    #[error("{what} of the registry {index} is not in the cache, and network access is forbidden")]
    NotCached {
        /// `config.json`, or the crate of the file.
        what: String,
        /// The index's address.
        index: String,
    },
    /// A spooled text of this run could not be read.
    #[error("could not read {what} of the index from a temporary file")]
    Spool {
        /// The crate of the file.
        what: String,
        /// The file system's error.
        source: io::Error,
    },
    /// A task of this run ended unexpectedly.
    #[error("reading {what} of the index was interrupted")]
    Aborted {
        /// The crate of the file.
        what: String,
    },
}

impl RegistryClient {
    /// A client of the registry `upstream`.
    pub fn new(client: Client, upstream: Upstream) -> RegistryClient {
        RegistryClient {
            client,
            upstream: Arc::new(upstream),
            printed: Arc::default(),
            large_bodies: LargeBodyLimit::new(MAX_CONCURRENT_LARGE_FILES),
        }
    }

    /// The HTTP client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its address and its token.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The index's address, without credentials.
    pub fn address(&self) -> String {
        http::redact_url(&self.upstream.index)
    }

    /// Requests config.json, first without the token, as cargo does: a registry that requires no token never receives
    /// it. Returns the configuration, for which every token is available, and the response.
    ///
    /// # Errors
    /// [`Error::Fetch`], and those of [`RegistryClient::parse_config`] and [`RegistryClient::token`].
    pub async fn fetch_config(&self) -> Result<(RegistryInfo, Response), Error> {
        let (response, needs_token) = self.request_config().await?;
        let text = (response.status == 200).then(|| String::from_utf8_lossy(&response.body));
        let info = self.parse_config(text.as_deref(), needs_token)?;
        if info.config.auth_required {
            self.token().await?;
        }
        Ok((info, response))
    }

    /// The response, and whether it required the token.
    async fn request_config(&self) -> Result<(Response, bool), Error> {
        let url = format!("{}{CONFIG_FILE_NAME}", self.upstream.index);
        let request = Request::new(&url);
        let refused = match self.client.get(&request, MAX_CONFIG).await {
            Ok(answer) => return Ok((answer, false)),
            Err(error @ http::Error::Status { status: 401 | 403, .. }) => error,
            Err(source) => return Err(self.fetch_error(CONFIG_FILE_NAME.to_owned(), source)),
        };
        if self.upstream.token.is_none() && self.upstream.provider.is_none() {
            return Err(match refused {
                http::Error::Status { status: 401, .. } => self.missing_token(),
                other => self.fetch_error(CONFIG_FILE_NAME.to_owned(), other),
            });
        }
        let request = Request { authorization: Some(self.token().await?), ..request };
        let answer = self.client.get(&request, MAX_CONFIG).await;
        let answer = answer.map_err(|source| self.fetch_error(CONFIG_FILE_NAME.to_owned(), source))?;
        Ok((answer, true))
    }

    /// Parses the configuration in `text`; `None`: the registry has none. If the user sets another `dl`, only that
    /// field is needed.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], [`Error::MissingConfig`].
    pub fn parse_config(&self, text: Option<&str>, locked: bool) -> Result<RegistryInfo, Error> {
        let mut registry = match (text, &self.upstream.dl) {
            (Some(text), _) => {
                serde_json::from_str(text).map_err(|source| Error::InvalidConfig { index: self.address(), source })?
            }
            (None, Some(_)) => RegistryConfig { dl: String::new(), api: None, auth_required: false },
            (None, None) => return Err(Error::MissingConfig { index: self.address() }),
        };
        if let Some(dl) = &self.upstream.dl {
            dl.trim_end_matches('/').clone_into(&mut registry.dl);
        }
        Ok(RegistryInfo { config: registry, config_needs_token: locked })
    }

    /// The current index file of one crate, or its absence; `None`: it is still the `cached` one. `filter` runs where
    /// blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Fetch`], [`Error::NotAnIndexFile`], [`Error::Aborted`].
    pub async fn fetch_index(
        &self,
        config: &RegistryInfo,
        name: &CrateName,
        cached: Option<&CachedIndexFile>,
        filter: fn(IndexFile, &CrateName) -> IndexFile,
    ) -> Result<Option<CachedIndexFile>, Error> {
        // An absence has no validators, and a text without validators cannot be requested conditionally.
        let cached = cached.filter(|cached| cached.file.is_some());
        let etag = cached.and_then(|cached| cached.etag.as_deref());
        let last_modified = cached.and_then(|cached| cached.last_modified.as_deref());
        let send_token = config.config.auth_required || config.config_needs_token;
        let url = format!("{}{}", self.upstream.index, name.index_path());
        let request = Request {
            authorization: self.known_token().filter(|_| send_token),
            if_none_match: etag,
            // Cargo also sends only one of the two.
            if_modified_since: last_modified.filter(|_| etag.is_none()),
            ..Request::new(&url)
        };
        let response = self.client.get_with_body_limit(&request, MAX_INDEX_FILE, &self.large_bodies).await;
        let response = response.map_err(|source| self.fetch_error(describe_index_file(name), source))?;
        let not_an_index_file = || Error::NotAnIndexFile { what: describe_index_file(name), index: self.address() };
        let (etag, last_modified) = (response.etag.clone(), response.last_modified.clone());
        let file = match response.status {
            304 if cached.is_some() => return Ok(None),
            304 => return Err(not_an_index_file()),
            200 => {
                let owned_name = name.clone();
                let parsing = tokio::task::spawn_blocking(move || {
                    // Cargo would skip each line of a login page, and report the crate as absent.
                    let file = IndexFile::new(&response.body);
                    file.looks_like_index().then(|| Arc::new(filter(file, &owned_name)))
                });
                let parsed = parsing.await.map_err(|_| Error::Aborted { what: describe_index_file(name) })?;
                Some(parsed.ok_or_else(not_an_index_file)?)
            }
            _ => None,
        };
        Ok(Some(CachedIndexFile { etag, last_modified, file }))
    }

    /// The token for downloads: the registry's token, if it requires one for every request. As in cargo, `dl` may be on
    /// another host; but a token of an https registry is not sent over plain http.
    pub fn download_token(&self, config: &RegistryInfo) -> Option<Secret> {
        let is_secure = |url: &str| url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
        let stays_secret = is_secure(&config.config.dl) || !is_secure(&self.upstream.index);
        self.known_token().cloned().filter(|_| config.config.auth_required && stays_secret)
    }

    /// The token of a registry that requires one. A program that prints it is run once.
    ///
    /// # Errors
    /// [`Error::MissingToken`], [`Error::TokenProgram`], [`Error::CargoOnly`].
    pub async fn token(&self) -> Result<&Secret, Error> {
        if let Some(token) = &self.upstream.token {
            return Ok(token);
        }
        match &self.upstream.provider {
            None => Err(self.missing_token()),
            Some(Provider::Program(program)) => {
                let printed = self.printed.get_or_try_init(|| program.token()).await;
                printed.map_err(|source| Error::TokenProgram {
                    index: self.address(),
                    program: program.program().to_owned(),
                    key: program.key.clone(),
                    source,
                })
            }
            Some(Provider::CargoOnly { key, provider }) => Err(Error::CargoOnly {
                index: self.address(),
                provider: provider.clone(),
                key: key.clone(),
                variable: self.upstream.token_env_var(),
            }),
        }
    }

    fn known_token(&self) -> Option<&Secret> {
        self.upstream.token.as_ref().or_else(|| self.printed.get())
    }

    /// The registry requires a token, and none is available.
    fn missing_token(&self) -> Error {
        Error::MissingToken { index: self.address(), variable: self.upstream.token_env_var() }
    }

    fn fetch_error(&self, what: String, source: http::Error) -> Error {
        Error::Fetch { what, index: self.address(), source: Box::new(source) }
    }
}

/// A crate's index file, for errors.
pub fn describe_index_file(name: &CrateName) -> String {
    format!("`{name}`")
}
