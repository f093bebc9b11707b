//! Read access and tokens.
//!
//! Everybody may read unless the settings say `auth_required`. Then a request needs one of the tokens of
//! `read_token_file`, or the admin token. Cargo sends it as `Authorization: TOKEN` after its first request was refused
//! (cargo's protocol for authenticated registries). Other clients send `Authorization: Bearer TOKEN`. The paths that
//! rustup requests stay open, because rustup sends no token. Wrong tokens are throttled per client address.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use hyper::header::{AUTHORIZATION, HeaderMap};

pub use super::token_throttle::Throttled;
use super::token_throttle::{Attempt, TokenThrottle};
use crate::bounded_read::{self, SizeLimit};
use crate::config::SettingsStore;
use crate::digest::Sha256;
use crate::error_chain::one_line;
use crate::event::Sink;
use crate::file_stamp::FileStamp;
use crate::units::pluralize;

/// The shortest accepted token; shorter ones can be guessed.
const MIN_TOKEN_CHARS: usize = 16;
/// The limit for a token file.
const TOKEN_FILE_LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "a file with tokens" };
/// How long a token file's content is used before the file is checked again.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A secret token. Only its digest is kept in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(Sha256);

/// A token or token file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A token is too short, or contains characters that a header cannot contain.
    #[error("invalid token with {}: at least {MIN_TOKEN_CHARS} visible ASCII characters are required", pluralize(*length, "character"))]
    Invalid {
        /// The token's length in characters.
        length: usize,
    },
    /// A line of a token file is not a valid token.
    #[error("line {line} of `{}` is not a valid token", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// Why the token is invalid.
        source: Box<TokenError>,
    },
    /// A token file is empty, or contains several tokens where one is expected.
    #[error("`{}` contains {count} tokens", path.display())]
    Count {
        /// The file.
        path: PathBuf,
        /// Number of tokens in the file.
        count: usize,
    },
    /// A token file cannot be read, is too large or is not text.
    #[error(transparent)]
    Read(#[from] bounded_read::Error),
    /// Readers need a token, but no token is configured.
    #[error("`auth_required` requires a token for reading, but neither `read_token_file` nor an admin token is set")]
    NoReaderToken,
}

impl Token {
    /// Parses a token as configured; whitespace around it is ignored.
    ///
    /// # Errors [`TokenError::Invalid`].
    pub fn parse(text: &str) -> Result<Token, TokenError> {
        let token = text.trim();
        if token.len() < MIN_TOKEN_CHARS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Invalid { length: token.chars().count() });
        }
        Ok(Token(Sha256::of(token.as_bytes())))
    }

    /// Reads the only token in a file.
    ///
    /// # Errors Everything in [`TokenError`].
    pub fn of_file(path: &Path) -> Result<Token, TokenError> {
        match read_tokens(path)?[..] {
            [token] => Ok(token),
            ref tokens => Err(TokenError::Count { path: path.to_owned(), count: tokens.len() }),
        }
    }

    /// The token that a client sent.
    fn of(given: &str) -> Token {
        Token(Sha256::of(given.as_bytes()))
    }

    /// Whether `given` is this token. Digests are compared, so the duration reveals nothing about the token.
    pub fn matches(&self, given: &str) -> bool {
        Token::of(given) == *self
    }
}

/// Prints neither the token nor its digest.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The tokens in a file, one per line. Empty lines and lines that begin with `#` are ignored.
fn read_tokens(path: &Path) -> Result<Vec<Token>, TokenError> {
    // The error of a text would show a line, which may be a token.
    let text = String::from_utf8(TOKEN_FILE_LIMIT.read_regular(path)?).map_err(|_| bounded_read::Error::Io {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8"),
    })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.trim().starts_with('#'));
    let token = |(at, line): (usize, &str)| {
        let wrong = |error| TokenError::Line { path: path.to_owned(), line: at + 1, source: Box::new(error) };
        Token::parse(line).map_err(wrong)
    };
    lines.map(token).collect()
}

/// Decides who may read and write, by the current settings.
pub struct AccessControl {
    settings: Arc<SettingsStore>,
    /// From the command line or the environment; takes precedence over a file.
    admin_override: Option<Token>,
    readers: Mutex<Option<ReaderTokens>>,
    throttle: TokenThrottle,
    /// Receives reports when the readers' token file becomes invalid.
    sink: OnceLock<Arc<dyn Sink>>,
}

/// The readers' tokens as last read.
struct ReaderTokens {
    path: PathBuf,
    checked_at: Instant,
    stamp: Option<FileStamp>,
    tokens: Arc<Vec<Token>>,
    /// Why no token could be read.
    error: Option<String>,
}

impl AccessControl {
    /// Follows `settings`. It checks their token files now, so that errors are reported at start.
    ///
    /// # Errors Everything in [`TokenError`].
    pub fn new(settings: Arc<SettingsStore>, admin: Option<Token>) -> Result<AccessControl, TokenError> {
        let access = AccessControl {
            settings,
            admin_override: admin,
            readers: Mutex::default(),
            throttle: TokenThrottle::default(),
            sink: OnceLock::new(),
        };
        access.check()?;
        Ok(access)
    }

    /// Rejects settings that allow no client to read or write as configured.
    ///
    /// # Errors Everything in [`TokenError`].
    fn check(&self) -> Result<(), TokenError> {
        let settings = self.settings.current();
        let (admin, readers) = (settings.admin_token_file.as_deref(), settings.read_token_file.as_deref());
        self.check_settings(admin, readers, settings.auth_required).map(drop)
    }

    /// Checks proposed settings in the same way: the admin's and the readers' token files, and whether readers need a
    /// token. Returns whether there would be an admin token.
    ///
    /// # Errors Everything in [`TokenError`].
    pub fn check_settings(
        &self,
        admin: Option<&Path>,
        readers: Option<&Path>,
        auth_required: bool,
    ) -> Result<bool, TokenError> {
        let admin = self.admin_override.or(admin.map(Token::of_file).transpose()?);
        let readers = readers.map(read_tokens).transpose()?;
        if auth_required && admin.is_none() && readers.is_none_or(|tokens| tokens.is_empty()) {
            return Err(TokenError::NoReaderToken);
        }
        Ok(admin.is_some())
    }

    /// Sets the sink for warnings when the read token file becomes invalid or valid again. Only the first call has
    /// an effect.
    pub fn set_sink(&self, sink: Arc<dyn Sink>) {
        let _there_is_one = self.sink.set(sink).is_err();
    }

    /// Why no reader's token is accepted, if readers need one and their file is invalid. The text names the file; do
    /// not show it to unauthenticated clients.
    pub fn reader_tokens_error(&self) -> Option<String> {
        if !self.requires_reader_token() {
            return None;
        }
        self.reader_tokens();
        let known = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().and_then(|readers| readers.error.clone())
    }

    /// Token required for write requests; `None`: not configured. Reads the file each time, so that a new token is
    /// effective at once.
    ///
    /// # Errors The file is no longer valid. Then no token is accepted.
    pub fn admin_token(&self) -> Result<Option<Token>, TokenError> {
        if self.admin_override.is_some() {
            return Ok(self.admin_override);
        }
        let file = self.settings.current().admin_token_file.clone();
        file.as_deref().map(Token::of_file).transpose()
    }

    /// Whether any token is set, for writing or for reading.
    pub fn has_token(&self) -> bool {
        let settings = self.settings.current();
        self.admin_override.is_some() || settings.admin_token_file.is_some() || settings.read_token_file.is_some()
    }

    /// Whether readers need a token.
    pub fn requires_reader_token(&self) -> bool {
        self.settings.current().auth_required
    }

    /// Whether a request with these headers from `client` may read. Reads files: call it where blocking is allowed.
    ///
    /// # Errors
    /// Too many wrong tokens came from this address.
    pub fn may_read(&self, headers: &HeaderMap, client: IpAddr) -> Result<bool, Throttled> {
        if !self.requires_reader_token() {
            return Ok(true);
        }
        self.check_token(headers, client, |token| self.may_token_read(token))
    }

    /// Whether a request with these headers from `client` has this admin token. Reads files, as [`AccessControl::may_read`].
    ///
    /// # Errors
    /// Too many wrong tokens came from this address.
    pub fn has_admin_token(&self, admin: &Token, headers: &HeaderMap, client: IpAddr) -> Result<bool, Throttled> {
        self.check_token(headers, client, |token| token == admin)
    }

    /// Whether the request has a token that `accepts`. A token with other rights than these is no wrong token.
    fn check_token(
        &self,
        headers: &HeaderMap,
        client: IpAddr,
        accepts: impl FnOnce(&Token) -> bool,
    ) -> Result<bool, Throttled> {
        let Some(token) = request_token(headers).map(Token::of) else { return Ok(false) };
        let is_accepted = accepts(&token);
        let is_known = is_accepted || (self.requires_reader_token() && self.may_token_read(&token));
        let attempt = if is_known { Attempt::Right } else { Attempt::Wrong(token.0) };
        self.throttle.admit(client, attempt, Instant::now())?;
        Ok(is_accepted)
    }

    /// Counts a login with a token that was compared with all tokens.
    ///
    /// # Errors
    /// Too many wrong tokens came from this address; then the login fails whether the token is right or not.
    pub fn admit_login(&self, given: &str, is_right: bool, client: IpAddr) -> Result<(), Throttled> {
        let attempt = if is_right { Attempt::Right } else { Attempt::Wrong(Token::of(given).0) };
        self.throttle.admit(client, attempt, Instant::now())
    }

    /// The reader's token that equals `given`; `None` if there is none, or if everybody may read.
    pub fn reader_token(&self, given: &str) -> Option<Token> {
        let token = Token::of(given);
        (self.requires_reader_token() && self.reader_tokens().contains(&token)).then_some(token)
    }

    /// Whether this token allows reading now.
    pub fn may_token_read(&self, token: &Token) -> bool {
        self.reader_tokens().contains(token) || self.admin_token().is_ok_and(|admin| admin.as_ref() == Some(token))
    }

    /// The readers' tokens. If their file is no longer valid, no token is accepted. The failure and its end are each
    /// reported once.
    fn reader_tokens(&self) -> Arc<Vec<Token>> {
        let file = self.settings.current().read_token_file.clone();
        let mut known = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = file else {
            *known = None;
            return Arc::default();
        };
        let before = known.take().filter(|readers| readers.path == path);
        if let Some(readers) = &before
            && readers.checked_at.elapsed() < RECHECK_INTERVAL
        {
            let tokens = Arc::clone(&readers.tokens);
            *known = before;
            return tokens;
        }
        let stamp = FileStamp::read(&path).ok().flatten();
        let was = before.as_ref().and_then(|readers| readers.error.clone());
        // An invalid file is read again, because it may become valid without a change of its own, such as by its
        // folder's permissions.
        let same = before.filter(|readers| readers.stamp == stamp && stamp.is_some() && readers.error.is_none());
        let (tokens, trouble) = match same {
            Some(readers) => (readers.tokens, None),
            None => match read_tokens(&path) {
                Ok(tokens) => (Arc::new(tokens), None),
                Err(error) => (Arc::default(), Some(one_line(&error))),
            },
        };
        if trouble != was {
            self.report(trouble.as_deref());
        }
        *known =
            Some(ReaderTokens { path, checked_at: Instant::now(), stamp, tokens: Arc::clone(&tokens), error: trouble });
        tokens
    }

    fn report(&self, trouble: Option<&str>) {
        let Some(sink) = self.sink.get() else { return };
        match trouble {
            Some(why) => sink.warning(format!("no read token is accepted until the token file is fixed: {why}")),
            None => sink.status("Fixed", "the read token file is valid again".to_owned()),
        }
    }
}

/// The token of a request, with or without `Bearer`.
pub fn request_token(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    match value.split_once(' ') {
        None => Some(value),
        Some((scheme, token)) => scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tokens_are_validated_and_compared() {
        let token = Token::parse(" 0123456789abcdef\n").expect("a token");
        assert!(token.matches("0123456789abcdef") && !token.matches("0123456789abcdeF") && !token.matches(""));
        for weak in ["", "short", "0123456789abcde", "0123456789 abcdef", "0123456789äbcdef0"] {
            assert!(Token::parse(weak).is_err(), "{weak}");
        }
        assert!(!format!("{token:?}").contains("0123"));
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))]);
        for (value, token) in [("0123", Some("0123")), ("bearer 0123", Some("0123")), ("Basic 0123", None)] {
            assert_eq!(request_token(&headers(value)), token, "{value}");
        }
    }

    #[test]
    fn a_token_file_is_never_read_in_part_and_no_error_shows_a_token() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokens");
        // A part of this file would end inside of the token, or lack it.
        for comment in [(1 << 20) - 20, 1 << 20] {
            fs::write(&path, format!("#{}\n0123456789abcdef0123456789abcdef\n", "-".repeat(comment))).expect("write");
            let error = read_tokens(&path).expect_err("too large");
            assert!(error.to_string().contains("is larger than 1 MiB"), "{error}");
        }
        fs::write(&path, b"0123456789abcdef\n0123456789\xffabcdef\n").expect("write");
        let error = read_tokens(&path).expect_err("not text");
        let text = one_line(&error);
        assert!(text.contains("not UTF-8") && !text.contains("0123456789"), "{text}");
    }

    #[test]
    fn token_files_are_read() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tokens");
        fs::write(&path, "# team\n0123456789abcdef\n\n0123456789abcdeg\n").expect("write");
        assert_eq!(read_tokens(&path).expect("tokens").len(), 2);
        assert!(matches!(Token::of_file(&path), Err(TokenError::Count { count: 2, .. })));
        fs::write(&path, "0123456789abcdef\nshort\n").expect("write");
        assert!(matches!(read_tokens(&path), Err(TokenError::Line { line: 2, .. })));
        assert!(matches!(read_tokens(folder.path()), Err(TokenError::Read(_))));
        #[cfg(target_os = "linux")]
        {
            let pipe = folder.path().join("pipe");
            rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
            assert!(matches!(read_tokens(&pipe), Err(TokenError::Read(_))), "it does not block");
        }
    }
}
