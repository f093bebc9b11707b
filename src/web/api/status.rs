//! `/api/status`: the mirror's contents and health.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error_report::Failure;
use crate::live::metrics::MetricsSnapshot;
use crate::mirror::index_link::LinkState;
use crate::mirror::status::Status;
use crate::units::{format_time, pluralize};
use crate::web::incoming::{self, IncomingFolder};
use crate::web::request::WebRequest;
use crate::web::response::{HandlerResult, json};
use crate::web::router::Route;
use crate::web::state::WebState;
use crate::web::visible_text::visible_text;

/// The mirror's health and size.
#[derive(Serialize, JsonSchema)]
struct StatusBody {
    /// Whether nothing needs attention; `problems` lists the reasons.
    healthy: bool,
    /// The problems, one sentence each.
    problems: Vec<String>,
    /// The version of this tool.
    version: String,
    /// The number of stored crate versions, including those that await deletion.
    crates: u64,
    /// The number of crate versions that the index no longer lists, and that gc deletes after its grace period.
    awaiting_deletion: u64,
    /// The number of crate names in the index.
    names: u64,
    /// The total size in bytes.
    bytes: u64,
    /// The size of the crates in bytes.
    crate_bytes: u64,
    /// The number of dist files.
    #[serde(rename = "rustup_artifacts")]
    dist_files: u64,
    /// The size of the dist files in bytes.
    #[serde(rename = "rustup_artifact_bytes")]
    dist_file_bytes: u64,
    /// The available toolchains: `stable (1.95.0)`.
    toolchains: Vec<String>,
    /// The time of the newest import (RFC 3339), `never`, or `unknown`.
    last_import: String,
    /// The number of recorded imports.
    imports: u64,
    /// The histories of the mirror.
    lineages: Vec<LineageStatus>,
    /// Whether this server imports bundles of the incoming folder.
    watching: bool,
    /// Incomplete bundles.
    arriving: u64,
    /// Bundles that wait for another bundle.
    waiting: u64,
    /// Invalid bundles.
    failed: u64,
    /// Bundles imported from the incoming folder.
    done: u64,
    /// The last audit; absent if none has ended since the server started.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_audit: Option<AuditStatus>,
    /// The running job.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<u64>,
    /// The state of live mode and of its upstreams.
    live: MetricsSnapshot,
    /// The state of the link `crates/index`, which cargo's local-registry needs: `good`, `missing`, or a description of the
    /// problem.
    index_link: String,
}

/// The result of the last audit of all files.
#[derive(Serialize, JsonSchema)]
struct AuditStatus {
    /// The end of the audit (RFC 3339, UTC).
    finished: String,
    /// The number of problems. The mirror is unhealthy until a later audit finds none.
    problems: u64,
    /// The first change of the mirror after this audit: "the import of `week2.pkg`". Absent if the mirror is unchanged.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
}

impl AuditStatus {
    /// The problem that this audit found, as a sentence.
    fn problem(&self, count: &str) -> Option<String> {
        let before = self.before.as_ref().map(|change| format!(" before {change}")).unwrap_or_default();
        (self.problems > 0).then(|| format!("the audit of {}{before} found {count}", self.finished))
    }
}

/// The newest bundle of one history.
#[derive(Serialize, JsonSchema)]
struct LineageStatus {
    /// The history.
    id: String,
    /// Its newest bundle's position in it.
    sequence: u64,
    /// The ID of that bundle.
    bundle: String,
    /// The creation time of that bundle (RFC 3339, UTC).
    created: String,
    /// The first few labels of the history's inputs, from that bundle.
    inputs: Vec<String>,
    /// The number of further inputs.
    more_inputs: u64,
    /// Why the newest bundle is doubtful, one sentence each. gc keeps files that any candidate references until `POST
    /// /api/gc?accept=ID@BUNDLE`, or `reject=ID@BUNDLE` if the sender did not write that bundle.
    doubts: Vec<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![Route::get("/api/status", "The mirror's contents and health.", status).returns_json::<StatusBody>(200)]
}

fn status(state: &Arc<WebState>, request: &WebRequest) -> HandlerResult {
    let layout = &state.context.mirror;
    let status = Status::read(layout).and_then(|status| status.with_counted_files(layout)).map_err(Failure::from)?;
    let incoming = incoming::read(&state.context)?;
    let live = state.options.live.metrics_snapshot();
    let mut problems = problems(&status, &incoming, &live, state.options.access.reader_tokens_error());
    problems.extend(state.certificate_fault());
    let mut last_audit = None;
    if let Some(audit) = state.last_audit.get() {
        let finished = format_time(audit.finished);
        let before = audit.missed_change(&state.context.mirror, &state.imports);
        let audit_status = AuditStatus { finished, problems: audit.problems_total, before };
        problems.extend(audit_status.problem(&audit.count()));
        last_audit = Some(audit_status);
    }
    let is_admin = request.is_admin(state);
    problems.iter_mut().for_each(|problem| *problem = visible_text(&state.context, problem, is_admin));
    let last_import = status.last_import_text();
    let mut doubts = status.doubts;
    let lineages = status.lineages.into_iter().map(|lineage| LineageStatus {
        doubts: doubts.remove(&lineage.id).unwrap_or_default(),
        inputs: lineage.inputs,
        more_inputs: lineage.more_inputs,
        id: lineage.id,
        sequence: lineage.sequence,
        bundle: lineage.bundle,
        created: lineage.created,
    });
    Ok(json(&StatusBody {
        healthy: problems.is_empty(),
        problems,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        crates: status.counts.versions,
        awaiting_deletion: status.pending_deletions,
        names: status.counts.crates,
        bytes: status.counts.total_bytes(),
        crate_bytes: status.counts.bytes,
        dist_files: status.counts.dist_files,
        dist_file_bytes: status.counts.dist_file_bytes,
        toolchains: status.toolchains,
        last_import,
        imports: status.imports,
        lineages: lineages.collect(),
        watching: incoming.watching,
        arriving: incoming.arriving.len() as u64,
        waiting: incoming.waiting.len() as u64,
        failed: incoming.failed_total,
        done: incoming.done_total,
        last_audit,
        job: state.jobs.running_id(),
        live,
        index_link: status.link.to_string(),
    }))
}

/// The problems that need attention.
fn problems(
    status: &Status,
    incoming: &IncomingFolder,
    live: &MetricsSnapshot,
    token_error: Option<String>,
) -> Vec<String> {
    let mut problems = status.problems();
    problems.extend(token_error.map(|trouble| format!("no read token is accepted: {trouble}")));
    if live.mismatches > 0 {
        let files = pluralize(live.mismatches, "file");
        problems.push(format!("live mode: upstream sent {files} with a wrong checksum"));
    }
    problems.extend(live.config_error.iter().map(|trouble| format!("live mode: {trouble}")));
    problems.extend(live.disk_problem().map(|trouble| format!("live mode: {trouble}")));
    for upstream in live.upstreams.iter().filter(|upstream| upstream.state == "down") {
        let why = upstream.reason.as_deref().unwrap_or_default();
        problems.push(format!("live mode: the upstream of {} is down: {why}", upstream.service));
    }
    problems.extend(incoming.problem.iter().map(|problem| format!("the incoming folder: {problem}")));
    match incoming.failed_total {
        0 => {}
        1 => problems.push("a bundle was rejected".to_owned()),
        many => problems.push(format!("{} were rejected", pluralize(many, "bundle"))),
    }
    for (id, doubts) in &status.doubts {
        problems.push(format!("the newest bundle of the history {id} is doubtful: {}", doubts.join("; ")));
    }
    problems.extend(status.import_again.iter().map(|bundle| format!("import again: {bundle}")));
    if matches!(status.link, LinkState::WrongTarget(_) | LinkState::NotALink) {
        problems.push(format!("crates/index is {}", status.link));
    }
    problems
}
