//! A server that its operator keeps offline: the network interface cannot change that.

use std::fs;

use serde_json::{Value, json};

use super::{get_json, json_body, send};
use crate::support::sandbox::{RunningServer, Sandbox};

const FILE: &str = "config/frostmirror.toml";

fn serve(sandbox: &Sandbox, flags: &[&str]) -> RunningServer {
    sandbox.serve(["--mirror", "mirror", "--config-dir", "config"].iter().chain(flags))
}

/// The status of a change, and the hint where it is refused.
fn change(serving: &RunningServer, changes: &Value) -> (u16, String) {
    let reply = send(serving, "POST", "/api/config", &[], &changes.to_string());
    (reply.status, json_body(&reply)["hint"].as_str().unwrap_or_default().to_owned())
}

/// Every change that would let the server use the network.
fn ways_out() -> [Value; 6] {
    [
        json!({ "offline": false }),
        json!({ "offline": null }),
        json!({ "offline": "false" }),
        json!({ "proxy_mode": true }),
        json!({ "offline": false, "proxy_mode": true }),
        json!({ "offline": null, "proxy_mode": true, "deny": ["a"] }),
    ]
}

#[test]
fn a_server_whose_file_says_offline_stays_offline() {
    let sandbox = Sandbox::new();
    sandbox.write(FILE, "offline = true # by order\n");
    let serving = serve(&sandbox, &[]);
    for changes in ways_out() {
        let (status, hint) = change(&serving, &changes);
        assert_eq!(status, 409, "{changes}");
        if changes.get("offline").is_some() {
            assert_eq!(hint, "change `offline` in frostmirror.toml on the server, and restart the server", "{changes}");
        } else {
            assert!(hint.contains("`offline`"), "{hint}");
        }
    }
    assert_eq!(sandbox.read(FILE), "offline = true # by order\n");
    let about = get_json(&serving, "/api/config")["offline"].clone();
    assert_eq!(
        (&about["value"], &about["source"], &about["operator_only"]),
        (&json!(true), &json!("file"), &json!(true))
    );
    assert_eq!(get_json(&serving, "/api/status")["live"]["on"], json!(false));
    // Other settings are changed as always, and a client may send back what it was shown.
    assert_eq!(change(&serving, &json!({ "offline": true, "min_age": "2d" })).0, 200);
    assert_eq!(sandbox.read(FILE), "offline = true # by order\nmin_age = \"2d\"\n");
    // The page has no control for it, and says where it is set.
    let page = send(&serving, "GET", "/config", &["Accept: text/html"], "").text();
    assert!(page.contains("id=\"row-offline\"") && !page.contains("data-setting=\"offline\""), "{page}");
    assert!(page.contains("Set it in frostmirror.toml on the server"), "{page}");
    serving.stop().ok();

    // The operator changes the file and starts the server again.
    sandbox.write(FILE, "");
    let serving = serve(&sandbox, &[]);
    let (status, hint) = change(&serving, &json!({ "offline": true }));
    assert_eq!((status, hint.contains("frostmirror.toml")), (409, true), "the API cannot switch it to offline either");
    assert_eq!(change(&serving, &json!({ "offline": false, "min_age": "2d" })).0, 200);
    assert_eq!(fs::read_to_string(sandbox.path(FILE)).unwrap(), "min_age = \"2d\"\n");
}

#[test]
fn a_server_that_was_started_offline_stays_offline() {
    for by in ["--offline", "FROSTMIRROR_OFFLINE"] {
        let sandbox = Sandbox::new();
        let is_flag = by.starts_with('-');
        let sandbox = if is_flag { sandbox } else { sandbox.env(by, "1") };
        sandbox.write(FILE, "");
        let serving = serve(&sandbox, if is_flag { &["--offline"] } else { &[] });
        for changes in ways_out() {
            let (status, hint) = change(&serving, &changes);
            assert_eq!(status, 409, "{changes}");
            assert!(hint.contains(by), "{changes}: {hint}");
        }
        // What stands in the file does not matter before the next start, and not then.
        sandbox.write(FILE, "offline = false\n");
        assert_eq!(change(&serving, &json!({ "proxy_mode": true })).0, 409);
        assert_eq!(change(&serving, &json!({ "min_age": "2d" })).0, 200);
        let about = get_json(&serving, "/api/config")["offline"].clone();
        assert_eq!((&about["value"], &about["fixed_by"]), (&json!(true), &json!(by)));
        serving.stop().ok();
        let serving = serve(&sandbox, if is_flag { &["--offline"] } else { &[] });
        assert_eq!(get_json(&serving, "/api/config")["offline"]["value"], json!(true));
    }
}
