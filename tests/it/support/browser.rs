//! A real browser as the judge: headless Chromium, driven over the WebDriver protocol, that reaches this machine alone.
//!
//! ```ignore
//! let browser = Browser::start();
//! browser.open(serving.url());
//! browser.click("#run-gc");
//! browser.wait_for("main", "Removed 3 crates");
//! browser.assert_clean(serving.url());
//! ```

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, RunningProcess};
use super::server_fixture::RawConnection;

/// How long a page has to become what is waited for.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How the protocol calls an element's reference.
const ELEMENT_KEY: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window and an empty profile.
pub struct Browser {
    session: String,
    driver: String,
    downloads: PathBuf,
    _process: RunningProcess,
    _root: TempDir,
}

impl Browser {
    /// A new browser, 1280 pixels wide.
    pub fn start() -> Browser {
        let (chromium, chromedriver) = find_programs();
        let root = TempDir::with_prefix("frostmirror-browser-").unwrap();
        let downloads = root.path().join("downloads");
        for folder in ["home", "downloads", "profile"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let vars = [("HOME", root.path().join("home")), ("TMPDIR", root.path().to_owned())];
        let process = Process::new(chromedriver, root.path()).args(["--port=0"]).envs(vars);
        let mut process = process.start();
        let started = process.wait_for_line("ChromeDriver was started successfully on port ", Duration::from_secs(60));
        let driver = format!("http://127.0.0.1:{}", started.trim_end_matches('.'));
        let profile = format!("--user-data-dir={}", root.path().join("profile").display());
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--window-size=1280,900",
            // Nothing but this machine has a name.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
            &profile,
        ];
        let options = json!({
            "binary": chromium,
            "args": args,
            "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false },
        });
        let capabilities = json!({
            "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
                "unhandledPromptBehavior": "ignore",
            }},
        });
        let answer =
            send_command(&driver, "POST", "/session", Some(&capabilities)).unwrap_or_else(|error| panic!("{error}"));
        let session = answer["sessionId"].as_str().expect("a session").to_owned();
        let browser = Browser { session, driver, downloads, _process: process, _root: root };
        // The browser would ask for a confirmation of some file types.
        let allow = json!({ "behavior": "allow", "downloadPath": browser.downloads });
        browser.cdp("Browser.setDownloadBehavior", &allow);
        browser
    }

    /// Goes to an address and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// The address that is shown.
    #[track_caller]
    pub fn url(&self) -> String {
        self.get("/url").as_str().expect("an address").to_owned()
    }

    /// What the function's body returns in the page; `arguments` are its arguments.
    #[track_caller]
    pub fn js(&self, body: &str, arguments: &Value) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": arguments }))
    }

    /// The visible text of the first element that the selector matches, when there is one.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let element = self.element(css);
        self.get(&format!("/element/{element}/text")).as_str().unwrap_or_default().to_owned()
    }

    /// Clicks on the first element that the selector matches, when it is there and nothing covers it.
    #[track_caller]
    pub fn click(&self, css: &str) {
        self.wait_for_ok(&format!("`{css}` can be clicked"), || {
            let element = self.try_element(css)?;
            self.try_post(&format!("/element/{element}/click"), &json!({})).map(drop)
        });
    }

    /// Types into an input in place of what it says.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        self.wait_for_ok(&format!("`{css}` can be written into"), || {
            let element = self.try_element(css)?;
            self.try_post(&format!("/element/{element}/clear"), &json!({}))?;
            self.try_post(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
        });
    }

    /// Chooses a file in an input for files, which may be hidden.
    #[track_caller]
    pub fn choose_file(&self, css: &str, file: &Path) {
        let element = self.element(css);
        self.post(&format!("/element/{element}/value"), &json!({ "text": file.to_str().unwrap() }));
    }

    /// Presses keys where the focus is; special ones as the protocol writes them: `\u{e004}` is Tab, `\u{e007}` Enter.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let mut actions = Vec::new();
        for key in keys.chars() {
            actions.push(json!({ "type": "keyDown", "value": key.to_string() }));
            actions.push(json!({ "type": "keyUp", "value": key.to_string() }));
        }
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// Waits until the visible text of what the selector matches has `text`.
    #[track_caller]
    pub fn wait_for(&self, css: &str, text: &str) {
        self.wait_for_ok(&format!("`{css}` says {text:?}"), || {
            let element = self.try_element(css)?;
            let shown = self.try_get(&format!("/element/{element}/text"))?;
            let shown = shown.as_str().unwrap_or_default();
            if shown.contains(text) { Ok(()) } else { Err(format!("it says {shown:?}")) }
        });
    }

    /// Waits until an expression of the page is true.
    #[track_caller]
    pub fn wait_until(&self, expression: &str) {
        self.wait_for_ok(expression, || {
            let body = json!({ "script": format!("return {expression};"), "args": [] });
            match self.try_post("/execute/sync", &body)? {
                Value::Bool(true) => Ok(()),
                other => Err(format!("it is {other}")),
            }
        });
    }

    /// Makes the window's inside so large, in pixels.
    #[track_caller]
    pub fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.cdp("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Shows pages as a user wants them who prefers dark or light.
    #[track_caller]
    pub fn set_color_scheme(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.cdp("Emulation.setEmulatedMedia", &features);
    }

    /// Switches JavaScript off or on, from the next page.
    #[track_caller]
    pub fn set_javascript_enabled(&self, on: bool) {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({ "value": !on }));
    }

    /// A command of the browser's own protocol.
    #[track_caller]
    pub fn cdp(&self, command: &str, params: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// Everything that the browser tells a screen reader, in its order: role, name and states of each node that is not
    /// left out.
    #[track_caller]
    pub fn accessibility_tree(&self) -> Vec<Value> {
        self.cdp("Accessibility.enable", &json!({}));
        let tree = self.cdp("Accessibility.getFullAXTree", &json!({}));
        self.cdp("Accessibility.disable", &json!({}));
        let nodes = tree["nodes"].as_array().expect("nodes");
        let by_id: HashMap<&str, &Value> =
            nodes.iter().map(|node| (node["nodeId"].as_str().expect("an id"), node)).collect();
        let mut output = Vec::new();
        let mut waiting: Vec<&Value> = nodes.iter().filter(|node| node["parentId"].is_null()).collect();
        while let Some(node) = waiting.pop() {
            if node["ignored"] != json!(true) {
                output.push(node.clone());
            }
            let children = node["childIds"].as_array().into_iter().flatten().rev();
            waiting.extend(children.filter_map(|id| by_id.get(id.as_str().expect("an id"))));
        }
        output
    }

    /// A picture of the window.
    #[track_caller]
    pub fn screenshot(&self) -> String {
        self.get("/screenshot").as_str().expect("a picture").to_owned()
    }

    /// Where downloads go.
    pub fn downloads(&self) -> &Path {
        &self.downloads
    }

    /// The bytes of a file that was downloaded under this name, when it is whole.
    #[track_caller]
    pub fn downloaded(&self, name: &str) -> Vec<u8> {
        self.wait_for_ok(&format!("{name} is downloaded"), || {
            // While it arrives, it has another name, beside an empty file of this one.
            let names = fs::read_dir(&self.downloads).map_err(|error| error.to_string())?;
            let names: Vec<_> = names.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            let whole = names.iter().any(|stored| stored == name)
                && !names.iter().any(|existing| existing.ends_with(".crdownload"));
            if !whole {
                return Err(format!("there are {names:?}"));
            }
            fs::read(self.downloads.join(name)).map_err(|error| error.to_string())
        })
    }

    /// Fails unless the console said nothing since the last time, and every request went to the server at `base`.
    #[track_caller]
    pub fn assert_clean(&self, base: &str) {
        self.assert_clean_except(base, &[]);
    }

    /// The same, where refusals with these statuses are expected, of which the browser always tells.
    #[track_caller]
    pub fn assert_clean_except(&self, base: &str, statuses: &[u16]) {
        let expected = |line: &str| statuses.iter().any(|status| line.contains(&format!("with a status of {status}")));
        let output = self.post("/se/log", &json!({ "type": "browser" }));
        let output: Vec<&str> =
            output.as_array().expect("lines").iter().map(|line| line["message"].as_str().expect("text")).collect();
        assert!(output.iter().all(|line| expected(line)), "the console says: {output:#?}");
        let events = self.post("/se/log", &json!({ "type": "performance" }));
        let below = format!("{}/", base.trim_end_matches('/'));
        for event in events.as_array().expect("events") {
            let event: Value = serde_json::from_str(event["message"].as_str().expect("text")).unwrap();
            let event = &event["message"];
            if event["method"] != json!("Network.requestWillBeSent") {
                continue;
            }
            let url = event["params"]["request"]["url"].as_str().expect("an address");
            let own = ["data:", "blob:", "chrome://", "about:"].iter().any(|own| url.starts_with(own));
            assert!(own || url.starts_with(&below), "a request left the server: {url}");
        }
    }

    #[track_caller]
    fn element(&self, css: &str) -> String {
        self.wait_for_ok(&format!("`{css}` is there"), || self.try_element(css))
    }

    fn try_element(&self, css: &str) -> Result<String, String> {
        let found = self.try_post("/element", &json!({ "using": "css selector", "value": css }))?;
        found[ELEMENT_KEY].as_str().map(str::to_owned).ok_or_else(|| format!("no element: {found}"))
    }

    /// Tries until it is so.
    #[track_caller]
    fn wait_for_ok<T>(&self, what: &str, attempt: impl Fn() -> Result<T, String>) -> T {
        let until = Instant::now() + WAIT_TIMEOUT;
        loop {
            match attempt() {
                Ok(done) => return done,
                Err(why) if Instant::now() > until => {
                    let page = self.try_get("/source").unwrap_or_default();
                    panic!("{what}: not within {WAIT_TIMEOUT:?}: {why}\n{}", page.as_str().unwrap_or_default());
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.try_get(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_get(&self, path: &str) -> Result<Value, String> {
        send_command(&self.driver, "GET", &format!("/session/{}{path}", self.session), None)
    }

    fn try_post(&self, path: &str, body: &Value) -> Result<Value, String> {
        send_command(&self.driver, "POST", &format!("/session/{}{path}", self.session), Some(body))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser; both die with the process group if it does not.
        let _ended = send_command(&self.driver, "DELETE", &format!("/session/{}", self.session), None).is_ok();
    }
}

/// One command of the protocol.
fn send_command(driver: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let host = driver.trim_start_matches("http://");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json; charset=utf-8\r\n");
    let mut wire = RawConnection::connect(driver);
    wire.timeout(Duration::from_secs(60));
    let reply =
        wire.send(format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())).read_reply();
    let mut answer: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
    let value = answer["value"].take();
    if reply.status == 200 { Ok(value) } else { Err(format!("{}: {}", value["error"], value["message"])) }
}

/// Chromium and its driver. Where they are not, the test is over, and says so past the harness's capture.
fn find_programs() -> (PathBuf, PathBuf) {
    let path = env::var_os("PATH").unwrap_or_default();
    let find = |name: &str| env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    let found = find("chromium").zip(find("chromedriver"));
    found.expect(
        "there is no chromium with chromedriver on this machine (Debian: apt-get install chromium chromium-driver)",
    )
}
