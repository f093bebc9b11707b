//! `/api/login`, `/api/logout`: the session of the pages.

use std::sync::Arc;

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

/// Who logs in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credentials {
    /// The admin token.
    token: String,
}

/// Who is there.
#[derive(Serialize, JsonSchema)]
struct Session {
    /// Whether this client may write.
    admin: bool,
    /// Whether there is a token that it could log in with.
    token_configured: bool,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/session", "Whether this client may write, and how it could.", session)
            .needs(Needs::Nothing)
            .gives::<Session>(200),
        Route::post("/api/login", "Begins a session of the pages, with the admin token.", login)
            .needs(Needs::SameOrigin)
            .takes::<Credentials>()
            .gives::<Session>(200),
        Route::post("/api/logout", "Ends the session.", logout).needs(Needs::SameOrigin).gives::<Session>(200),
    ]
}

fn session(state: &Arc<State>, asked: &Asked) -> Outcome {
    let admin = is_admin(state, &asked.headers, asked.version, &asked.at);
    Ok(json(&Session { admin, token_configured: access::token(state)?.is_some() }))
}

fn login(state: &Arc<State>, asked: &Asked) -> Outcome {
    let Credentials { token } = asked.json()?;
    let Some(configured) = access::token(state)? else {
        return Err(Refusal::new(StatusCode::CONFLICT, "no admin token is configured").hint(
            "start `serve` with --admin-token-file FILE (or FROSTMIRROR_ADMIN_TOKEN); without one, a user at the server's own machine may write",
        ));
    };
    if !configured.is(token.trim()) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "that is not the admin token"));
    }
    let opened = state.sessions.open(configured);
    let value = opened.map_err(|error| Failure::io("could not begin a session", error.into()))?;
    let mut response = json(&Session { admin: true, token_configured: true });
    let secure = if asked.at.base.starts_with("https://") { "; Secure" } else { "" };
    let seconds = SESSION.as_secs();
    let (name, path) = (cookie_name(&asked.at.base), cookie_path(&asked.at));
    let line = format!("{name}={value}; HttpOnly; SameSite=Strict; Path={path}; Max-Age={seconds}{secure}");
    set(&mut response, SET_COOKIE, &line);
    set(&mut response, CACHE_CONTROL, "no-store");
    Ok(response)
}

fn logout(state: &Arc<State>, asked: &Asked) -> Outcome {
    for value in cookies(&asked.headers) {
        state.sessions.close(value);
    }
    let mut response = json(&Session { admin: false, token_configured: access::token(state)?.is_some() });
    let (name, path) = (cookie_name(&asked.at.base), cookie_path(&asked.at));
    set(&mut response, SET_COOKIE, &format!("{name}=; HttpOnly; SameSite=Strict; Path={path}; Max-Age=0"));
    Ok(response)
}
