//! Git's `http.proxy`. Cargo uses it if its own `http.proxy` is not set, before the proxies of the environment.

use std::path::{Path, PathBuf};

use crate::bounded_read::SizeLimit;
use crate::env::Env;

/// The limit for a file.
const LIMIT: SizeLimit = SizeLimit { max: 1 << 20, kind: "a configuration file of git" };

/// The value of `http.proxy` in the user's git configuration, and the file that sets it.
pub(super) fn http_proxy(env: &Env) -> Option<(String, PathBuf)> {
    let home = env.path("HOME");
    let xdg = env.path("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    let global = home.map(|home| home.join(".gitconfig"));
    // In git the last file takes precedence, so the search starts with the last.
    [global, xdg.map(|xdg| xdg.join("git").join("config"))].into_iter().flatten().find_map(|path| {
        let text = read(&path)?;
        Some((parse_proxy(&text)?, path))
    })
}

/// A damaged or unreadable file of git is ignored.
fn read(path: &Path) -> Option<String> {
    LIMIT.read_text(path).ok()
}

/// The last `proxy` in the sections `[http]` (but not `[http "https://…"]`, which is for one server).
fn parse_proxy(text: &str) -> Option<String> {
    let mut in_http = false;
    let mut proxy = None;
    for line in text.lines().map(str::trim) {
        let mut rest = line;
        if let Some(section) = line.strip_prefix('[') {
            let (name, after) = section.split_once(']')?;
            in_http = name.trim().eq_ignore_ascii_case("http");
            rest = after.trim();
        }
        if !in_http {
            continue;
        }
        if let Some((key, value)) = rest.split_once('=')
            && key.trim().eq_ignore_ascii_case("proxy")
        {
            proxy = Some(unquote(value.trim()));
        }
    }
    proxy
}

/// A value without quotes and without a trailing comment.
fn unquote(value: &str) -> String {
    let mut out = String::new();
    let mut in_quotes = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => in_quotes = !in_quotes,
            '\\' => out.extend(chars.next()),
            '#' | ';' if !in_quotes => break,
            c => out.push(c),
        }
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_proxy_without_a_url_wins() {
        let text = "[user]\n\tname = x # proxy = no\n[http \"https://a/\"]\nproxy = special:1\n\
                    [HTTP] sslVerify = true\n\tProxy = \"http://u:p#w@first:1\" ; comment\n[core]\nproxy = other\n";
        assert_eq!(parse_proxy(text).as_deref(), Some("http://u:p#w@first:1"));
        assert_eq!(parse_proxy(&format!("{text}[http]\nproxy = second:2 # x\n")).as_deref(), Some("second:2"));
        assert_eq!(parse_proxy("[user]\nproxy = x\n"), None);
    }
}
