//! Answers cargo's requests to registry endpoints that a mirror does not support: publish, yank, owners.
//!
//! cargo shows `{"errors":[{"detail":"…"}]}` as one sentence, and any other body as a page of headers (cargo's crates-io
//! crate, `Error::Api`). The status is 403, because cargo retries others.

use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use super::response::{ApiError, json_with_status};
use crate::server::OutgoingBody;

/// The error form that cargo understands.
#[derive(Serialize)]
struct RegistryErrors {
    errors: [RegistryError; 1],
}

#[derive(Serialize)]
struct RegistryError {
    detail: String,
}

/// Whether the path belongs to the registry API.
pub(super) fn is_registry_path(path: &[String]) -> bool {
    matches!(path, [api, v1, _, ..] if api == "api" && v1 == "v1")
}

/// The refusal in the form that cargo shows.
pub(super) fn error_response(refusal: ApiError) -> Response<OutgoingBody> {
    let detail = match &refusal.hint {
        Some(hint) => format!("{} ({hint})", refusal.error),
        None => refusal.error.clone(),
    };
    let (parts, _) = refusal.into_response().into_parts();
    let mut response = json_with_status(parts.status, &RegistryErrors { errors: [RegistryError { detail }] });
    for (name, value) in &parts.headers {
        if !response.headers().contains_key(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// The response to a request without a route.
pub(super) fn unsupported(method: &Method, path: &[String]) -> ApiError {
    let path: Vec<&str> = path.iter().skip(2).map(String::as_str).collect();
    let (what, instead) = match (method.as_str(), path.as_slice()) {
        ("PUT", ["crates", "new"]) => ("crates cannot be published here", "publish to the registry that it mirrors"),
        ("DELETE", ["crates", _, _, "yank"]) => ("versions cannot be yanked here", "yank them upstream"),
        ("PUT", ["crates", _, _, "unyank"]) => ("versions cannot be un-yanked here", "un-yank them upstream"),
        (_, ["crates", _, "owners"]) => ("it has no crate owners", "use the registry that it mirrors"),
        ("GET", _) => {
            return ApiError::new(
                StatusCode::NOT_FOUND,
                "this mirror does not support this endpoint of the registry API",
            )
            .with_hint("it only supports search");
        }
        _ => ("changes are not possible here", "change it upstream"),
    };
    let error = format!("this mirror is read-only: {what}");
    ApiError::new(StatusCode::FORBIDDEN, error).with_hint(format!("{instead}, then import the next bundle"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_requests_are_named() {
        let said = |method: Method, path: &str| {
            let path: Vec<String> = path.split('/').map(str::to_owned).collect();
            assert!(is_registry_path(&path), "{path:?}");
            let ApiError { status, error, hint, .. } = unsupported(&method, &path);
            (status.as_u16(), format!("{error}; {}", hint.unwrap_or_default()))
        };
        for (method, path, status, terms) in [
            (Method::PUT, "api/v1/crates/new", 403, "this mirror is read-only: crates cannot be published"),
            (Method::DELETE, "api/v1/crates/a/1.0.0/yank", 403, "read-only: versions cannot be yanked"),
            (Method::PUT, "api/v1/crates/a/1.0.0/unyank", 403, "read-only: versions cannot be un-yanked"),
            (Method::GET, "api/v1/crates/a/owners", 403, "it has no crate owners"),
            (Method::PUT, "api/v1/crates/a/owners", 403, "it has no crate owners"),
            (Method::POST, "api/v1/anything", 403, "read-only: changes are not possible"),
            (Method::GET, "api/v1/crates/a/1.0.0", 404, "does not support this endpoint"),
        ] {
            let (code, text) = said(method, path);
            assert!(code == status && text.contains(terms), "{path}: {code} {text}");
        }
        assert!(!is_registry_path(&["api".to_owned(), "v1".to_owned()]));
        assert!(!is_registry_path(&["api".to_owned(), "status".to_owned(), "x".to_owned()]));
    }
}
