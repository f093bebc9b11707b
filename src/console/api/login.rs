//! `/api/login`, `/api/logout`: the session of the pages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, SET_COOKIE};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::console::access::{self, Needs, is_admin};
use crate::console::answer::{Outcome, Refusal, json, set};
use crate::console::asked::Asked;
use crate::console::route::Route;
use crate::console::sessions::{SESSION, cookie_name, cookie_path, cookies};
use crate::console::state::State;
use crate::failure::Failure;
use crate::serve::access::Token;

/// Who logs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The admin token; or a reader's, where reading needs one.
    token: String,
}

/// Who is there.
#[derive(Serialize, JsonSchema)]
struct Session {
    /// Whether this client may write.
    admin: bool,
    /// Whether it may read.
    reads: bool,
    /// Whether there is a token that it could log in with.
    token_configured: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/session", "Whether this client may write and read, and how it could.", session)
            .needs(Needs::Nothing)
            .gives::<Session>(200),
        Route::post("/api/login", "Begins a session of the pages, with the admin token or a reader's.", login)
            .needs(Needs::SameOrigin)
            .takes::<Credentials>()
            .gives::<Session>(200),
        Route::post("/api/logout", "Ends the session.", logout).needs(Needs::SameOrigin).gives::<Session>(200),
    ]
}

fn session(state: &Arc<State>, asked: &Asked) -> Outcome {
    Ok(json(&Session {
        admin: is_admin(state, &asked.headers, asked.version, &asked.at),
        reads: access::may_read(state, &asked.headers),
        token_configured: is_configured(state)?,
    }))
}

fn login(state: &Arc<State>, asked: &Asked) -> Outcome {
    let Credentials { token } = asked.json()?;
    let (peer, now) = (asked.at.peer.ip(), Instant::now());
    state.throttle.may_try(peer, now).map_err(too_often)?;
    let (known, admin) = known(state, token.trim()).inspect_err(|refusal| {
        if refusal.status == StatusCode::FORBIDDEN {
            state.throttle.failed(peer, now);
        }
    })?;
    let opened = state.sessions.open(known);
    let value = opened.map_err(|error| Failure::io("could not begin a session", error.into()))?;
    let admin = admin || is_admin(state, &asked.headers, asked.version, &asked.at);
    let mut response = json(&Session { admin, reads: true, token_configured: true });
    let secure = if asked.at.base.starts_with("https://") { "; Secure" } else { "" };
    let seconds = SESSION.as_secs();
    let (name, path) = (cookie_name(&asked.at.base), cookie_path(&asked.at));
    let line = format!("{name}={value}; HttpOnly; SameSite=Strict; Path={path}; Max-Age={seconds}{secure}");
    set(&mut response, SET_COOKIE, &line);
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

fn too_often(wait: Duration) -> Refusal {
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens came from this address");
    let seconds = wait.as_secs() + 1;
    Refusal { retry_after: Some(seconds), ..refusal }.hint(format!("try again in {seconds} seconds"))
}

/// The token that `given` is, and whether it is the admin's. A file of one of them that has gone bad does not keep out who has
/// the other.
fn known(state: &State, given: &str) -> Result<(Token, bool), Refusal> {
    let admin = access::token(state);
    if let Ok(Some(admin)) = &admin
        && admin.is(given)
    {
        return Ok((*admin, true));
    }
    if let Some(reader) = state.options.access.reader(given) {
        return Ok((reader, false));
    }
    match (admin?, state.options.access.is_closed()) {
        (None, false) => Err(Refusal::new(StatusCode::CONFLICT, "no admin token is configured").hint(
            "start `serve` with --admin-token-file FILE (or FROSTMIRROR_ADMIN_TOKEN); without one, a user at the server's own machine may write",
        )),
        (Some(_), false) => Err(Refusal::new(StatusCode::FORBIDDEN, "that is not the admin token")),
        (None, true) => Err(Refusal::new(StatusCode::FORBIDDEN, "that is no reader's token")),
        (Some(_), true) => Err(Refusal::new(StatusCode::FORBIDDEN, "that is neither the admin token nor a reader's")),
    }
}

/// Whether there is a token that somebody could log in with.
fn is_configured(state: &State) -> Result<bool, Refusal> {
    Ok(state.options.access.is_closed() || access::token(state)?.is_some())
}

fn logout(state: &Arc<State>, asked: &Asked) -> Outcome {
    for value in cookies(&asked.headers) {
        state.sessions.close(value);
    }
    let reads = !state.options.access.is_closed();
    let mut response = json(&Session { admin: false, reads, token_configured: is_configured(state)? });
    let (name, path) = (cookie_name(&asked.at.base), cookie_path(&asked.at));
    set(&mut response, SET_COOKIE, &format!("{name}=; HttpOnly; SameSite=Strict; Path={path}; Max-Age=0"));
    Ok(response)
}
