//! `/api/login`, `/api/logout`: the session of the web pages.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, SET_COOKIE};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_report::Failure;
use crate::server::auth::Token;
use crate::web::auth::{self, RequiredAccess, is_admin};
use crate::web::request::WebRequest;
use crate::web::response::{ApiError, HandlerResult, json, set_header};
use crate::web::router::Route;
use crate::web::sessions::{SESSION_IDLE_TIMEOUT, cookie_name, cookie_path, session_cookies};
use crate::web::state::WebState;

/// The login request.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The admin token, or a read token if reading requires one.
    token: String,
}

/// The access rights of the client.
#[derive(Serialize, JsonSchema)]
struct SessionBody {
    /// Whether this client may write.
    #[serde(rename = "admin")]
    is_admin: bool,
    /// Whether this client may read.
    #[serde(rename = "reads")]
    may_read: bool,
    /// Whether a token is configured that the client could log in with.
    #[serde(rename = "token_configured")]
    is_token_configured: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/session", "The access rights of this client, and the available tokens.", session)
            .with_access(RequiredAccess::Public)
            .returns_json::<SessionBody>(200),
        Route::post("/api/login", "Starts a session with the admin token or a read token.", login)
            .with_access(RequiredAccess::SameOrigin)
            .takes_json::<Credentials>()
            .returns_json::<SessionBody>(200),
        Route::post("/api/logout", "Ends the session.", logout)
            .with_access(RequiredAccess::SameOrigin)
            .returns_json::<SessionBody>(200),
    ]
}

fn session(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    Ok(json(&SessionBody {
        is_admin: is_admin(state, &request.headers, request.version, &request.origin),
        may_read: auth::may_read(state, &request.headers, request.version, &request.origin),
        is_token_configured: is_token_configured(state)?,
    }))
}

fn login(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let Credentials { token } = request.json()?;
    let token = token.trim();
    let identified = identify_token(state, token);
    let is_right = !matches!(&identified, Err(refusal) if refusal.status == StatusCode::FORBIDDEN);
    let admitted = state.options.access.admit_login(token, is_right, request.origin.client);
    admitted.map_err(auth::too_many_wrong_tokens)?;
    let (matched_token, admin) = identified?;
    let opened = state.sessions.open(matched_token);
    let value = opened.map_err(|error| Failure::io("could not start a session", error.into()))?;
    let admin = admin || is_admin(state, &request.headers, request.version, &request.origin);
    let mut response = json(&SessionBody { is_admin: admin, may_read: true, is_token_configured: true });
    let secure = if request.origin.base.starts_with("https://") { "; Secure" } else { "" };
    let seconds = SESSION_IDLE_TIMEOUT.as_secs();
    let (name, path) = (cookie_name(&request.origin.base), cookie_path(&request.origin));
    let line = format!("{name}={value}; HttpOnly; SameSite=Strict; Path={path}; Max-Age={seconds}{secure}");
    set_header(&mut response, SET_COOKIE, &line);
    set_header(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

/// Looks `given` up among the tokens; returns the token and whether it is the admin token. An unreadable file of one kind
/// does not affect the other kind.
fn identify_token(state: &WebState, text: &str) -> Result<(Token, bool), ApiError> {
    let admin = auth::admin_token(state);
    if let Ok(Some(admin)) = &admin
        && admin.matches(text)
    {
        return Ok((*admin, true));
    }
    if let Some(reader) = state.options.access.reader_token(text) {
        return Ok((reader, false));
    }
    match (admin?, state.options.access.requires_reader_token()) {
        (None, false) => Err(ApiError::new(StatusCode::CONFLICT, "no admin token is configured").with_hint(
            "start `serve` with --admin-token-file FILE (or FROSTMIRROR_ADMIN_TOKEN); without a token, only requests from the server's own machine may write",
        )),
        (Some(_), false) => Err(ApiError::new(StatusCode::FORBIDDEN, "wrong token: it is not the admin token")),
        (None, true) => Err(ApiError::new(StatusCode::FORBIDDEN, "wrong token: it is not a read token")),
        (Some(_), true) => Err(ApiError::new(StatusCode::FORBIDDEN, "wrong token: it is neither the admin token nor a read token")),
    }
}

/// Whether a token is configured for logins.
fn is_token_configured(state: &WebState) -> Result<bool, ApiError> {
    Ok(state.options.access.requires_reader_token() || auth::admin_token(state)?.is_some())
}

fn logout(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    for value in session_cookies(&request.headers) {
        state.sessions.close(value);
    }
    let reads = !state.options.access.requires_reader_token();
    let mut response =
        json(&SessionBody { is_admin: false, may_read: reads, is_token_configured: is_token_configured(state)? });
    let (name, path) = (cookie_name(&request.origin.base), cookie_path(&request.origin));
    set_header(&mut response, SET_COOKIE, &format!("{name}=; HttpOnly; SameSite=Strict; Path={path}; Max-Age=0"));
    Ok(response)
}
