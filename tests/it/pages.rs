//! The web pages as the server sends them: complete, below any path, with untrusted input escaped.

use std::collections::BTreeSet;
use std::fs;

use frostmirror::mirror::ledger::Record;
use frostmirror::mirror::summary::{Counts, ImportTotals};

use crate::support::crates::Crate;
use crate::support::sandbox::{RunningServer, Sandbox};
use crate::support::server_fixture::{MirrorTree, RawConnection, RawReply, get};

/// Every page.
const PAGES: &[&str] = &[
    "/",
    "/packages",
    "/browse",
    "/browse?q=le",
    "/browse?crate=leaf",
    "/deps",
    "/config",
    "/setup",
    "/guide",
    "/guide?chapter=operating",
];
/// Markup that must not run.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&lt;";

struct TestSite {
    server: RunningServer,
    mirror: MirrorTree,
    sandbox: Sandbox,
}

fn start_site(flags: &[&str]) -> TestSite {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    mirror.add_crate(Crate::new("leaf", "1.1.0+build.2"));
    let all = ["--mirror", "mirror", "--incoming", "incoming"].iter().chain(flags).copied().collect::<Vec<_>>();
    let serving = sandbox.serve(all);
    TestSite { server: serving, mirror, sandbox }
}

/// A page as a browser on this machine asks for it.
fn get_page(site: &TestSite, path: &str) -> RawReply {
    RawConnection::connect(site.server.url())
        .send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n"))
        .read_reply()
}

/// The values of an attribute, as they stand in the text.
fn attribute_values<'t>(text: &'t str, attribute: &str) -> Vec<&'t str> {
    let begin = format!(" {attribute}=\"");
    text.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// The path that a relative link on the page at `from` leads to, as a browser finds it.
fn resolve_link(from: &str, link: &str) -> String {
    let mut folder = &from[..=from.split('?').next().unwrap().rfind('/').unwrap()];
    let mut link = link.strip_prefix("./").unwrap_or(link);
    while let Some(rest) = link.strip_prefix("../") {
        let above = folder.trim_end_matches('/').rfind('/').unwrap();
        (folder, link) = (&folder[..=above], rest);
    }
    format!("{folder}{link}")
}

/// Every link of a page but those within it.
fn links(text: &str) -> Vec<String> {
    let all = ["href", "src", "action"].into_iter().flat_map(|name| attribute_values(text, name));
    let all = all.map(|link| link.replace("&#38;", "&").replace("&amp;", "&"));
    all.map(|link| link.split('#').next().unwrap().to_owned()).filter(|link| !link.is_empty()).collect()
}

/// The record of an import that brought nothing.
fn write_import_record(mirror: &MirrorTree, number: u32, file: &str, bytes: u64) {
    let id = format!("{number:032x}");
    let manifest = serde_json::json!({
        "id": id, "format": 1, "tool": "x", "created": "2026-01-01T00:00:00Z", "kind": "delta",
        "parent": { "id": id, "file": file }, "index_read": "2026-01-01T00:00:00Z",
        "crates": [{ "name": "leaf", "version": "1.0.0", "sha256": "0".repeat(64), "size": 7, "state": "shipped" }],
        "lineage": { "id": id, "sequence": 1, "inputs": [] }, "blocks": [],
    });
    let counts = Counts { crates: 1, versions: 2, bytes, ..Counts::default() };
    let totals = ImportTotals { counts, imports: number.into() };
    let imported_at = format!("2026-0{number}-02T03:04:05Z");
    let record = Record::new(imported_at, file.to_owned(), totals, serde_json::from_value(manifest).unwrap());
    let (text, _) = record.render();
    mirror.write_file(&format!(".frostmirror/ledger/{number:08}-{id}.json"), &text);
}

#[test]
fn every_page_is_complete_and_every_link_works() {
    let site = start_site(&[]);
    write_import_record(&site.mirror, 1, "first.pkg", 10);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for path in PAGES {
        let reply = get_page(&site, path);
        assert_eq!(reply.status, 200, "{path}");
        let text = reply.text();
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("x-frame-options"), Some("DENY"));
        // What the policy forbids, the page must not need.
        assert!(!text.contains(" style=") && !text.contains("<style"), "{path}");
        assert!(text.split("<script").skip(1).all(|rest| rest.split('>').next().unwrap().contains(" src=")), "{path}");
        assert!(!text.contains("=\"javascript:") && !text.contains(" onclick="), "{path}");
        assert!(text.contains("<html lang=\"en\">") && text.contains("<main id=\"main\""), "{path}");
        assert_eq!(text.matches("<h1>").count(), 1, "{path}");
        assert_eq!(text.matches(" aria-current=\"page\"").count(), 1, "{path}");
        for link in links(&text) {
            assert!(!link.starts_with('/') && !link.contains("://") && !link.starts_with("//"), "{path}: {link}");
            seen.insert(resolve_link(path, &link));
        }
        let ids = attribute_values(&text, "id");
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{path}: an id stands twice");
        for name in ["aria-labelledby", "aria-describedby", "for"] {
            for id in attribute_values(&text, name).into_iter().flat_map(str::split_whitespace) {
                assert!(ids.contains(&id), "{path}: {name}={id}");
            }
        }
    }
    assert!(seen.contains("/crates/leaf-1.1.0%2Bbuild.2.crate"), "{seen:?}");
    assert!(seen.contains("/assets/style.css") && seen.contains("/api/setup/cargo-config"), "{seen:?}");
    for path in &seen {
        assert_eq!(get_page(&site, path).status, 200, "{path}");
    }
}

#[test]
fn javascript_modules_import_existing_files() {
    let site = start_site(&[]);
    let modules =
        ["page.js", "live.js", "bundles.js", "form.js", "deps.js", "deps-rows.js", "deps-shape.js", "config.js"];
    for name in modules {
        let reply = get(site.server.url(), &format!("/assets/{name}"), &[]);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
        let text = reply.text();
        assert!(!text.contains("innerHTML") && !text.contains("eval(") && !text.contains("://"), "{name}");
        for rest in text.split("from './").skip(1) {
            let import = rest.split('\'').next().unwrap();
            assert_eq!(get(site.server.url(), &format!("/assets/{import}"), &[]).status, 200, "{name}: {import}");
        }
        let etag = format!("If-None-Match: {}", reply.header("etag").expect("an entity tag"));
        assert_eq!(get(site.server.url(), &format!("/assets/{name}"), &[&etag]).status, 304);
    }
    assert_eq!(get(site.server.url(), "/assets/../Cargo.toml", &[]).status, 404);
    assert_eq!(get(site.server.url(), "/assets/none.js", &[]).status, 404);
}

#[test]
fn untrusted_text_is_escaped() {
    let site = start_site(&[]);
    write_import_record(&site.mirror, 1, &format!("{HOSTILE}.pkg"), 10);
    let hostile = serde_json::json!({ "file": format!("{HOSTILE}.pkg"), "reason": HOSTILE });
    let incoming = serde_json::json!({
        "folder": site.sandbox.path("incoming"), "done": 0, "arriving": [hostile], "waiting": [hostile],
        "failed": [], "failed_count": 0,
    });
    // More than are named.
    for number in 0..102 {
        site.sandbox.write(format!("incoming/failed/{number:03}.pkg"), "bad");
        site.sandbox.write(format!("incoming/failed/{number:03}.pkg.reason.txt"), HOSTILE);
    }
    site.mirror.write_file(".frostmirror/incoming.json", incoming.to_string().as_bytes());
    let query: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let packages = get_page(&site, "/packages").text();
    assert!(packages.contains("2 older rejected bundles"), "{packages}");
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;";
    assert!(packages.replace("&#60;", "&lt;").replace("&#62;", "&gt;").contains(escaped), "{packages}");
    let paths = ["/".into(), "/packages".into(), "/browse".into(), format!("/browse?q={query}")];
    for path in
        paths.into_iter().chain([format!("/browse?crate={query}"), format!("/setup?{query}"), format!("/?x={query}")])
    {
        let text = get_page(&site, &path).text();
        assert!(text.contains("</html>"), "{path}: {text}");
        assert!(!text.contains("<script>") && !text.contains("<img"), "{path}: {text}");
        assert!(!text.contains("onerror='"), "{path}: a quote ends what it must not end: {text}");
    }
    let dashboard = get_page(&site, "/").text();
    assert!(dashboard.contains("102 bundles were rejected"), "{dashboard}");
}

#[test]
fn an_invalid_host_header_is_not_shown() {
    let site = start_site(&[]);
    let mut wire = RawConnection::connect(site.server.url());
    let reply = wire.send("GET /setup HTTP/1.1\r\nHost: a'b\"<x>\r\nAccept: text/html\r\n\r\n").read_reply();
    assert!(reply.status >= 400 || !reply.text().contains("a'b"), "{}", reply.text());
}

#[test]
fn below_a_path_prefix_addresses_are_correct_and_links_relative() {
    let site = start_site(&["--base-url", "http://mirror.example/rust/"]);
    let setup = get_page(&site, "/setup").text().replace("&#39;", "'").replace("&#34;", "\"");
    assert!(setup.contains("index = \"sparse+http://mirror.example/rust/index/\""), "{setup}");
    assert!(setup.contains("curl -fsS 'http://mirror.example/rust/rustup-init.sh' | sh"), "{setup}");
    assert!(setup.contains("$env:RUSTUP_UPDATE_ROOT = 'http://mirror.example/rust/rustup'"), "{setup}");
    for path in PAGES {
        let text = get_page(&site, path).text();
        // As a proxy shows it: whatever the page links to is below the same path.
        for link in links(&text) {
            let place = resolve_link(&format!("/rust{path}"), &link);
            assert!(place.starts_with("/rust/"), "{path}: {link}");
        }
    }
    // A slash at the end would let relative links lead elsewhere.
    let slashed = get_page(&site, "/browse/?q=a%20b");
    assert_eq!((slashed.status, slashed.header("location")), (308, Some("../browse?q=a%20b")));
}

#[test]
fn pages_explain_why_writing_is_not_allowed() {
    let local = start_site(&[]);
    let own = get_page(&local, "/packages").text();
    assert!(own.contains("data-admin=\"true\"") && !own.contains("id=\"write-denied\""), "{own}");
    let far = get(local.server.url(), "/packages", &["Accept: text/html"]).text();
    assert!(far.contains("data-admin=\"false\"") && far.contains("id=\"write-denied\""), "{far}");
    assert!(!far.contains("login-dialog"), "there is no token to log in with");
    let locked = start_site(&["--admin-token", "0123456789abcdef-token"]);
    let out = get_page(&locked, "/packages").text();
    assert!(out.contains("data-admin=\"false\"") && out.contains("login-dialog"), "{out}");
    assert!(!out.contains("0123456789abcdef"));
    for text in [&far, &out] {
        let main = text.split_once("<main").unwrap().1.split_once("</main>").unwrap().0;
        assert!(!main.contains("<button") && !main.contains("<input"), "readers see nothing they cannot use: {main}");
        assert!(
            main.contains("id=\"imports\"")
                && main.contains("id=\"pending-bundles\"")
                && main.contains("id=\"histories\"")
        );
    }
    // Without its module nothing can be written, so that nothing offers to.
    let writes: Vec<&str> = own.split("<button").skip(1).filter_map(|rest| rest.split('>').next()).collect();
    let writes: Vec<&&str> = writes.iter().filter(|tag| tag.contains("data-write")).collect();
    assert!(!writes.is_empty() && writes.iter().all(|tag| tag.contains(" disabled")), "{writes:?}");
}

#[test]
fn a_browser_sees_a_page_for_a_path_that_does_not_exist() {
    let site = start_site(&[]);
    for (path, root, search) in [
        ("/nothing", "./", "./browse?q=nothing"),
        ("/crates/leaf", "../", "../browse?q=leaf"),
        ("/a/b%20c/", "../../", "../../browse"),
        ("/%3Cscript%3Ealert(1)%3C/script%3E", "../", "../browse"),
    ] {
        let reply = get_page(&site, path);
        let text = reply.text();
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        assert!(text.contains("This server has no such page") && !text.contains("<script>alert"), "{path}: {text}");
        let links = attribute_values(&text, "href");
        for link in [root, search, &format!("{root}setup"), &format!("{root}guide"), &format!("{root}assets/style.css")]
        {
            assert!(links.contains(&link), "{path}: {link} is not in {links:?}");
        }
        for link in links.iter().filter(|link| !link.contains("browse") && !link.starts_with('#')) {
            let target = resolve_link(path, link);
            assert_eq!(get_page(&site, &target).status, 200, "{path}: {link} leads to {target}");
        }
    }
    let reply = get(site.server.url(), "/nothing", &[]);
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (404, "not in this mirror\n"),
        "other clients get a line of text"
    );
    let reply = get(site.server.url(), "/api/setup/nothing", &[]);
    assert!(reply.status == 404 && reply.text().contains("/api/setup/rustup-env.sh"), "{}", reply.text());
}

#[test]
fn the_first_steps_name_the_mirror_of_the_server() {
    let sandbox = Sandbox::new();
    let server = sandbox.serve(["--mirror", "a mirror"]);
    let site = TestSite { server, mirror: MirrorTree::at(sandbox.path("other")), sandbox };
    let text = get_page(&site, "/").text();
    let folder = site.sandbox.path("a mirror");
    let command = format!("cargo frostmirror import --mirror &#39;{}&#39; FILE", folder.display());
    assert!(text.contains(&command), "{text}");
    let sandbox = Sandbox::new();
    let server = sandbox.serve([] as [&str; 0]);
    let site = TestSite { server, mirror: MirrorTree::at(sandbox.path("other")), sandbox };
    assert!(get_page(&site, "/").text().contains("<code>cargo frostmirror import FILE</code>"));
}

#[test]
fn an_empty_mirror_shows_the_first_steps() {
    let sandbox = Sandbox::new();
    let serving = sandbox.serve(["--mirror", "none"]);
    let site = TestSite { server: serving, mirror: MirrorTree::at(sandbox.path("none")), sandbox };
    assert!(get_page(&site, "/").text().contains("The mirror is empty"));
    assert!(get_page(&site, "/browse").text().contains("has no crates yet"));
    for path in ["/packages", "/setup"] {
        assert_eq!(get_page(&site, path).status, 200, "{path}");
    }
    let unknown = get_page(&site, "/browse?crate=leaf");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("has no crate named"), "{}", unknown.text());
    // A page reports a mirror that cannot be read.
    fs::create_dir_all(site.sandbox.path("none/.frostmirror")).unwrap();
    fs::write(site.sandbox.path("none/.frostmirror/format"), r#"{"layout":99,"tool":"9.9.9"}"#).unwrap();
    let broken = get_page(&site, "/");
    assert!(broken.status >= 400 && broken.text().contains("This page cannot be shown"), "{}", broken.text());
}

#[test]
fn charts_have_an_equivalent_table() {
    let site = start_site(&[]);
    // The records state the content.
    fs::remove_file(site.mirror.root().join("manifest.json")).unwrap();
    for number in 1..=3 {
        write_import_record(&site.mirror, number, "some.pkg", u64::from(number) * 1024);
    }
    let text =
        (0..50).map(|_| get_page(&site, "/").text()).find(|text| !text.contains("data-soon")).expect("it is read");
    assert!(text.contains("Growth as a table") && text.contains("3.00 KiB"), "{text}");
    assert_eq!(text.matches("role=\"img\" aria-label=\"").count(), 2, "{text}");
    assert!(text.contains("From 1.00 KiB on 2026-01-02 to 3.00 KiB on 2026-03-02, over 3 imports"), "{text}");
    assert!(text.contains("<time datetime=\"2026-03-02T03:04:05Z\">2026-03-02 03:04 UTC</time>"), "{text}");
}

#[test]
fn without_read_access_only_the_login_is_shown() {
    let sandbox = Sandbox::new();
    let mirror = MirrorTree::at(sandbox.path("mirror"));
    mirror.add_crate(Crate::new("leaf", "1.0.0"));
    sandbox.write("config/frostmirror.toml", "auth_required = true\n");
    let token = "0123456789abcdef-token";
    let serving = sandbox.serve(["--mirror", "mirror", "--config-dir", "config", "--admin-token", token]);
    let site = TestSite { server: serving, mirror, sandbox };
    for path in PAGES {
        let reply = get_page(&site, path);
        let text = reply.text();
        assert_eq!((reply.status, reply.header("www-authenticate").is_some()), (401, true), "{path}");
        assert!(text.contains("login-dialog") && text.contains("Reading needs a token."), "{path}: {text}");
        assert!(text.contains("Log in above with the token"), "{path}: {text}");
        assert!(!text.contains("1.0.0") && !text.contains("Largest"), "{path}: {text}");
    }
    assert_eq!(get(site.server.url(), "/assets/page.js", &[]).status, 200);
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(get(site.server.url(), "/browse", &["Accept: text/html", &bearer]).status, 200);
}

/// Writes a file of the configuration.
fn write_config(site: &TestSite, name: &str, text: &str) {
    site.sandbox.write(site.sandbox.frostmirror_home().join("config").join(name), text);
}

#[test]
fn dependencies_are_readable_without_javascript() {
    let site = start_site(&[]);
    let none = get_page(&site, "/deps").text();
    assert!(none.contains("The list has no crate") && none.contains("The file does not exist yet"), "{none}");
    assert!(!none.contains("fetch refuses"), "a file that is not there is no mistake: {none}");
    write_config(
        &site,
        "depends.toml",
        "# ours\n[dependencies]\nserde = ['=1.0.100', { version = '1', features = ['derive', 'rc'], default-features = false }]\n\
         js = { version = '2', package = 'serde_json' }\n[dependencies.2]\naxum = '0.6'\n[locked]\nsyn = ['1.0.109', '2.0.90']\n\
         [platforms]\ntargets = ['wasm32-unknown-unknown']\n",
    );
    let text = get_page(&site, "/deps").text();
    for row in [
        "<td data-label=\"Version\">=1.0.100</td><td data-label=\"Features\"></td>",
        "<th scope=\"row\">serde</th><td data-label=\"Version\">1</td><td data-label=\"Features\">derive, rc</td>\
         <td data-label=\"Default features\">no</td><td data-label=\"Package\"></td>",
        "<td data-label=\"Default features\">yes</td><td data-label=\"Package\">serde_json</td>",
        "<h2 id=\"group-2-title\">Crates of group 2</h2>",
        "<th scope=\"row\">syn</th><td>1.0.109, 2.0.90</td>",
        "<th scope=\"row\">targets</th><td class=\"name\">wasm32-unknown-unknown</td>",
        "<code id=\"toml\"># ours\n[dependencies]\nserde = [",
    ] {
        assert!(text.contains(row), "{row}: {text}");
    }
    assert!(!text.contains("fetch rejects") && !text.contains("Unknown keys"), "{text}");
    write_config(
        &site,
        "depends.toml",
        "[dependencies]\nleaf = { version = '1', feature = ['x'] }\n[dependecies]\na = '1'\n",
    );
    let wrong = get_page(&site, "/deps").text();
    assert!(wrong.contains("fetch rejects this file") && wrong.contains("Line 2:25: unknown key"), "{wrong}");
    assert!(wrong.contains("did you mean `[dependencies]`?") && wrong.contains("Unknown keys"), "{wrong}");
    write_config(&site, "depends.toml", "[dependencies\n");
    let broken = get_page(&site, "/deps").text();
    assert!(broken.contains("cannot be edited here") && !broken.contains("data-depends"), "{broken}");
    assert!(broken.contains("<code id=\"toml\">[dependencies\n"), "{broken}");
}

#[test]
fn settings_are_readable_without_javascript() {
    let sandbox = Sandbox::new().env("FROSTMIRROR_PROXY_MODE", "1");
    sandbox.write(
        "config/frostmirror.toml",
        "targets = ['a-b', 'c-d']\nproxy_index_url = 'https://me:hunter2@h/'\nproxy_cache_max = '10GiB'\n",
    );
    let serving = sandbox.serve(["--mirror", "none", "--config-dir", "config"]);
    let site = TestSite { server: serving, mirror: MirrorTree::at(sandbox.path("none")), sandbox };
    let text = get_page(&site, "/config").text();
    for key in ["base_url", "bind", "tls_key", "log_format", "proxy_ttl", "allow"] {
        assert_eq!(text.matches(&format!("data-setting=\"{key}\"")).count(), 1, "{key}");
    }
    for part in [
        "<div class=\"value\">a-b\nc-d</div>",
        "<div class=\"value\">https://me:***@h/</div>",
        "<div class=\"value\">10.00 GiB</div>",
        "<span class=\"by\">all crates</span>",
        "Set by <code>frostmirror.toml</code>",
        "Set by <code>--bind</code>",
        "Set by <code>FROSTMIRROR_PROXY_MODE</code>",
        "A change needs a restart",
        "Live mode is on: missing files are fetched from upstream",
        "<code>https://h/</code>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert!(!text.contains("<input"), "nothing can be changed without the module: {text}");
}

#[test]
fn text_from_configuration_files_is_escaped() {
    let site = start_site(&[]);
    let toml = format!(
        "# {HOSTILE}\n[dependencies]\nleaf = {{ version = {quoted}, features = [{quoted}], package = {quoted} }}\n\
         {quoted} = {quoted}\n[locked]\nleaf = {quoted}\n[platforms]\ntargets = [{quoted}]\n[{quoted}]\nx = {quoted}\n",
        quoted = serde_json::Value::from(HOSTILE)
    );
    write_config(&site, "depends.toml", &toml);
    let text = get_page(&site, "/deps").text();
    assert!(text.contains("fetch rejects this file"), "{text}");
    assert!(text.matches("alert(1)").count() > 8, "{text}");
    assert!(!text.contains("<script>") && !text.contains("<img") && !text.contains("onerror='"), "{text}");
}
