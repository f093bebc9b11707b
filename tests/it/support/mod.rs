//! The builders of the tests: which one to take for which purpose.
//!
//! | purpose | builder |
//! |---|---|
//! | a fake crates.io with faults and a request log | [`upstream::Upstream`], [`crates::Crate`] |
//! | a fake static.rust-lang.org | [`dist::DistServer`] and `dist::Release` |
//! | our binary with its own home, environment and folders | [`sandbox::Sandbox`] |
//! | the real cargo as a client | [`client::Client`], [`client::Project`] |
//! | the real rustup as a client | [`rustup::Rustup`] |
//! | a valid bundle without an upstream | `crate::bundle_builder::BundleBuilder` |
//! | a bundle with any bytes | [`forged_bundle::ForgedBundle`] |
//! | a mirror without a bundle; HTTP byte by byte | [`server_fixture`] |
//! | a mirror with thousands of crates | [`synthetic_mirror::SyntheticMirror`] |
//! | one HTTP request and its response | [`http_client`] |
//! | the web pages in Chromium | [`browser::Browser`] |
//! | a proxy in front of upstream | [`forward_proxy::ForwardProxy`] |
//! | nginx in front of our server | [`nginx::Nginx`] |
//! | waiting for a condition | [`wait`] |
//!
//! Fetch, import, serve, and build with cargo:
//!
//! ```ignore
//! let upstream = Upstream::start();
//! upstream.publish(Crate::new("json", "1.0.0").dep("text", "^1"));
//! upstream.fault("/index/js/on/json", [Fault::Status(500)]); // The first request fails.
//! let sandbox = Sandbox::new().upstream(&upstream);
//! sandbox.write("depends.toml", "[dependencies]\njson = \"1\"\n");
//! let bundle = sandbox.run(["fetch"]).ok().path();
//! sandbox.run(["import".as_ref(), bundle.as_os_str()]).ok();
//! let serving = sandbox.serve(["--bind", "127.0.0.1:0"]);
//! let app = Project::new("app").dep("json", "1").write(&sandbox.path("app"));
//! Client::with_index(&format!("{}/index/", serving.url())).cargo(&app, ["build"]).ok();
//! ```
//!
//! The other builders, a line or two each:
//!
//! ```ignore
//! DistServer::start().publish(&Release::stable("1.96.0", "2026-05-28"));
//! Rustup::for_mirror(serving.url()).run(["toolchain", "install", "stable"]).ok();
//! BundleBuilder::new("lineage", 1).ship(Crate::new("json", "1.0.0")).write(&folder, "one.pkg");
//! ForgedBundle::from_crates(&sample_crates()).bytes_with(|manifest| manifest.replace("1.0.0", "../x"));
//! MirrorTree::at(sandbox.path("mirror")).add_crate(Crate::new("json", "1.0.0"));
//! RawConnection::connect(serving.url()).request("GET", "/index/js/on/json", &[]).read_reply();
//! http_client::get(&format!("{}/healthz", serving.url())).status;
//! Browser::start().open(serving.url());
//! let proxy = ForwardProxy::with_password("user", "password"); // Its address: proxy.url().
//! Nginx::start(&format!("location / {{ proxy_pass {}; }}", serving.url()));
//! wait::until_with("the import is logged", || serving.running().stderr(), || bundle_is_imported());
//! ```

pub mod browser;
pub mod client;
pub mod crates;
pub mod dist;
pub mod forged_bundle;
pub mod forward_proxy;
pub mod http_client;
pub mod nginx;
pub mod process;
pub mod range_response;
pub mod resettable_stream;
pub mod rustup;
pub mod sandbox;
pub mod server_fixture;
pub mod synthetic_mirror;
pub mod terminal;
pub mod tls;
pub mod upstream;
pub mod wait;
