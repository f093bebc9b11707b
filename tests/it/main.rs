//! One binary for all integration tests, modules in the order in which the data flows.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "a tool box: a tool may wait for its test")]
mod support;
mod upstream;
mod help;
mod sandbox;
mod inputs;
mod channel;
mod rebuild_artifacts;
mod resolve;
mod bundle;
mod bundle_artifacts;
mod bundle_hostile;
mod bundle_arbitrary;
mod bundle_legacy;
mod bundle_memory;
mod bundle_verbs;
mod bundle_told;
mod sbom;
mod list;
mod mishaps;
mod import;
mod import_bundle;
mod import_faults;
mod import_order;
mod import_artifacts;
mod audit;
mod closure;
mod crash;
mod kill;
mod crash_random;
mod gc;
mod export;
mod journey;
mod delta;
mod year;
mod upstream_faults;
mod told_artifacts;
mod up;
mod failures;
mod serve_http;
mod serve_busy;
mod serve;
mod snapshot;
mod watch;
mod setup;
