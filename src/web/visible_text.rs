//! Texts as a client may see them. Administrators see the paths of the host, and readers do not.

use std::path::Path;

use crate::bundle::sanitize::sanitize_lines;
use crate::server_context::ServerContext;

/// Completes a command for clients that may not see the mirror's path.
const MIRROR_NOTE: &str = "run it on the server, with `--mirror` and the mirror's folder";

/// A text as this client may see it. For administrators, the mirror's path replaces the placeholder DIR of commands, so
/// that they work as typed. For readers, the paths of the host are removed.
pub(super) fn visible_text(context: &ServerContext, text: &str, is_admin: bool) -> String {
    let text = sanitize_lines(text);
    if is_admin { context.mirror.fill_in(&text) } else { redact_paths(context, &text) }
}

/// Removes the host's paths from a text: readers see the problem, but not the location.
fn redact_paths(context: &ServerContext, text: &str) -> String {
    let argument = " --mirror DIR";
    let shown = text.replace(&context.mirror.fill_in(argument), "").replace(argument, "");
    let is_shortened = shown != text;
    let mut text = shown;
    let folders = [
        (context.incoming.as_path(), "incoming"),
        (context.mirror.root(), "mirror"),
        (context.settings.folder(), "config"),
    ];
    let mut folders = folders.map(|(folder, name)| (folder.display().to_string(), name));
    // A path may contain another one.
    folders.sort_by_key(|(folder, _)| std::cmp::Reverse(folder.len()));
    for (folder, name) in folders.iter().filter(|(folder, _)| folder.len() > 1) {
        text = text.replace(folder.as_str(), name);
    }
    // Other paths are between backticks.
    let mut parts: Vec<String> = text.split('`').map(str::to_owned).collect();
    for part in parts.iter_mut().skip(1).step_by(2).filter(|part| Path::new(part.as_str()).is_absolute()) {
        *part = "…".to_owned();
    }
    let text = parts.join("`");
    if is_shortened { format!("{text}; {MIRROR_NOTE}") } else { text }
}
