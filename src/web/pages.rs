//! The web pages. They are complete without JavaScript; the modules add editing and updates.
//!
//! Texts come from the templates beside the code, which escape all values. Links are relative, so that a page works below
//! any path of a proxy; therefore only the first page's URL ends in a slash. Write actions need a module, so their controls
//! start disabled. A module enables them if the page's `data-admin` allows it.

mod assets;
mod crates;
mod chart;
mod config;
mod dashboard;
mod deps;
mod guide;
mod live_mode;
mod not_found;
mod bundles;
mod setup;
mod format;
mod frame;

pub(super) use not_found::show as show_not_found;

use super::auth::RequiredAccess;
use super::router::Route;

/// Every page, and its assets.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::page("/", "The dashboard.", dashboard::show),
        Route::page("/packages", "Imported bundles, rejected bundles, and maintenance.", bundles::show),
        Route::page("/browse", "The stored crates.", crates::show),
        Route::page("/deps", "The contents of depends.toml, and its editor.", deps::show),
        Route::page("/config", "Every setting of frostmirror.toml, and its editor.", config::show),
        Route::page("/setup", "How clients use this server.", setup::show),
        Route::page("/guide", "The user's guide.", guide::show),
    ];
    routes.extend(assets::routes());
    routes.into_iter().map(|route| route.with_access(RequiredAccess::Public)).collect()
}

#[cfg(test)]
mod tests {
    use crate::client_setup::SERVER_PATHS;

    #[test]
    fn addresses_of_all_pages_lead_to_the_server() {
        for route in super::routes().iter().chain(&crate::web::api::routes()) {
            let first = route.path.split('/').nth(1).unwrap_or_default();
            assert!(first.is_empty() || SERVER_PATHS.contains(&first), "{}", route.path);
        }
    }
}
