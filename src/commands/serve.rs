//! `serve`: serves the mirror over HTTP until a signal.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Context;
use super::settings::{apply_switch_variables, config_folder, value_source};
use crate::bundle::sanitize::sanitize_line;
use crate::client_setup::{BaseUrl, shell_argument};
use crate::config::settings::{LogFormat, Settings};
use crate::config::{Key, Overrides, SettingsStore, Source};
use crate::error_report::{ErrorClass, Failure, LOST_STATE_HINT, records_hint};
use crate::event::Sink;
use crate::live::LiveMirror;
use crate::mirror::layout::Layout;
use crate::mirror::lock;
use crate::mirror::status::Status;
use crate::server::auth::{AccessControl, Token};
use crate::server::metrics::ServerMetrics;
use crate::server::{self, ServeOptions, Tls};
use crate::server_context::ServerContext;
use crate::terminal::{Level, LogQueue};
use crate::upstream::cargo_config::CargoConfig;
use crate::watcher::file_state::Timing;
use crate::watcher::{self, ImportCounters, WatcherOptions};
use crate::web::{WebApp, WebOptions};

/// Time that an import's commit may take after the shutdown signal.
const WATCHER_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that storing fetched crates of live mode may take at shutdown.
const LIVE_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// Time that writing pending reports may take at shutdown.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Below this number of connections, a warning is printed: a company's build machines open more at a time.
const LOW_CONNECTION_LIMIT: usize = 1024;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Listening address; port 0 picks a free port [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR", env = "FROSTMIRROR_BIND")]
    pub bind: Option<String>,
    /// Base URL of clients behind a proxy [default: each request's Host]
    ///
    /// Base URL that clients use, for a server behind a reverse proxy. The default is the Host of each request.
    #[arg(long, value_name = "URL", env = "FROSTMIRROR_BASE_URL")]
    pub base_url: Option<String>,
    /// Mirror [default: /mirror, else ~/.frostmirror/mirror]
    ///
    /// Mirror. The default is /mirror if it exists, as in a container, else `mirror` in FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR")]
    pub mirror: Option<PathBuf>,
    /// Incoming folder [default: /incoming, else ~/.frostmirror/incoming]
    ///
    /// Incoming folder for bundles. The default is /incoming if it exists, as in a container, else `incoming` in
    /// FROSTMIRROR_HOME.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_INCOMING")]
    pub incoming: Option<PathBuf>,
    /// Folder of settings [default: /config, else ~/.frostmirror/config]
    ///
    /// Folder of frostmirror.toml; options and variables override its settings. The default is /config if it exists, as in a
    /// container, else `config` in FROSTMIRROR_HOME. An imported snapshot restores its settings to this folder.
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_CONFIG_DIR")]
    pub config_dir: Option<PathBuf>,
    /// Import bundles that appear in the incoming folder
    ///
    /// Import bundles that appear in the incoming folder. Imported bundles move to done/, invalid ones to failed/.
    #[arg(long)]
    pub watch_incoming: bool,
    /// Live mode: fetch requested files that the mirror lacks
    ///
    /// Live mode: fetch requested files that the mirror lacks from upstream, check and store them. It needs a network.
    /// FROSTMIRROR_PROXY_MODE and the setting `proxy_mode` do the same.
    #[arg(long)]
    pub live: bool,
    /// Send no request to upstream; live mode stays off
    ///
    /// Send no request to upstream. Live mode cannot be switched on before a restart without this option.
    /// FROSTMIRROR_OFFLINE and the setting `offline` do the same.
    #[arg(long, conflicts_with = "live")]
    pub offline: bool,
    /// Log format on stderr [default: text]
    ///
    /// Log format on stderr: text, or one JSON object per line. The default is text. RUST_LOG sets the level: off, error,
    /// warn, info, debug or trace. Each request is logged at info, the default level.
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub log_format: Option<String>,
    /// Token required for write requests
    ///
    /// Token required for write requests. Without a token, only requests from this machine may write.
    /// FROSTMIRROR_ADMIN_TOKEN is safer than this option, because other users can read command lines.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FROSTMIRROR_ADMIN_TOKEN",
        conflicts_with = "admin_token_file",
        help_heading = "Access"
    )]
    pub admin_token: Option<String>,
    /// File with the admin token
    #[arg(long, value_name = "FILE", help_heading = "Access")]
    pub admin_token_file: Option<PathBuf>,
    /// TLS certificate chain (PEM); needs --tls-key
    ///
    /// TLS certificate chain (PEM); needs --tls-key. If the file changes, the server loads it again.
    #[arg(long, value_name = "FILE", env = "FROSTMIRROR_TLS_CERT", requires = "tls_key", help_heading = "Access")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", env = "FROSTMIRROR_TLS_KEY", requires = "tls_cert", help_heading = "Access")]
    pub tls_key: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    if let Some(format) = &args.log_format {
        start_log(format == "json", context);
    }
    let mirror = context.resolve_folder(args.mirror.as_deref(), "/mirror", "mirror")?;
    let layout = Layout::new(&mirror);
    serve(args, mirror, context).map_err(|failure| failure.with_mirror(&layout))
}

fn serve(args: &Args, mirror: PathBuf, context: &Context) -> Result<(), Failure> {
    let incoming = context.resolve_folder(args.incoming.as_deref(), "/incoming", "incoming")?;
    check_folders(&mirror, &incoming)?;
    let live = Arc::new(load_settings(args, context)?);
    let settings = live.current();
    if let Some(warning) = settings.base_url.as_ref().and_then(BaseUrl::warning) {
        context.reporter.warning(warning);
    }
    // A container sets the variable whether it watches or not.
    if !settings.watch_incoming && args.incoming.is_some() && args.incoming != context.env.path("FROSTMIRROR_INCOMING")
    {
        context.reporter.warning(
            "`--incoming` without `--watch-incoming`: bundles in that folder are not imported automatically".to_owned(),
        );
    }
    let tls = settings.tls_cert.as_deref().zip(settings.tls_key.as_deref());
    let tls = tls.map(|(certificate, key)| Tls::load(certificate, key)).transpose()?.map(Arc::new);
    if let Some(tls) = &tls {
        tls.check_dates(context.reporter.as_ref(), Timestamp::now());
    }
    let access = access_control(&live, args.admin_token.as_deref())?;
    for warning in secret_file_warnings(&settings) {
        context.reporter.warning(warning);
    }
    let runtime = context.server_runtime()?;
    let counters = Arc::new(ServerMetrics::default());
    let queue = LogQueue::start(Arc::clone(&context.reporter), Arc::clone(&counters))
        .map_err(|source| Failure::io("could not start the log", source))?;
    let served = runtime.block_on(async {
        let listener = server::bind(&settings.bind).await?;
        let sink: Arc<dyn Sink> = Arc::<LogQueue>::clone(&queue);
        let has_content = ["index", "dist", "rustup"].iter().any(|folder| mirror.join(folder).is_dir());
        let empty = if has_content { "" } else { ", where nothing has been imported yet" };
        sink.status("Serving", format!("{}{empty}", mirror.display()));
        let setup = ServerSetup {
            context: server_context(mirror, incoming, live, sink, context),
            access,
            tls,
            applies_base_url: true,
            metrics: counters,
            logs_requests: context.reporter.shows_requests(),
        };
        run_server(listener, setup, context).await
    });
    queue.flush(LOG_FLUSH_TIMEOUT);
    // The process does not wait for a thread that reads a file for a disconnected client.
    runtime.shutdown_background();
    served
}

/// Warns if the mirror has lost or faulty records, or if its layout version cannot be read. Clients are served all the same.
fn warn_about_state(server: &ServerContext) {
    let layout = &server.mirror;
    let unusable = match layout.check_format().map_err(Failure::from) {
        Ok(()) => match Status::read(layout) {
            Ok(status) if status.summary_loss.is_none() => {
                let hint = layout.fill_in(records_hint(&status));
                status.problems().into_iter().for_each(|problem| server.sink.warning(format!("{problem}; {hint}")));
                return;
            }
            Ok(status) => Failure::new(ErrorClass::Integrity, status.problems().join("; ")).hint(LOST_STATE_HINT),
            // The requests for the status report it.
            Err(_) => return,
        },
        Err(failure) => failure,
    };
    let failure = unusable.with_mirror(layout);
    let hint = failure.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
    server.sink.warning(format!("{}; the stored files are served, but nothing is imported{hint}", failure.one_line()));
}

/// Refuses a folder with other files as the mirror, and an incoming folder that overlaps the mirror.
pub(super) fn check_folders(mirror: &Path, incoming: &Path) -> Result<(), Failure> {
    lock::require_free_or_mirror(&Layout::new(mirror))?;
    let resolve = |path: &Path| {
        let existing = path.ancestors().find_map(|above| above.canonicalize().ok().map(|real| (above, real)));
        existing.map_or_else(
            || path.to_owned(),
            |(above, real)| path.strip_prefix(above).map_or(real.clone(), |rest| real.join(rest)),
        )
    };
    let (real_mirror, real_incoming) = (resolve(mirror), resolve(incoming));
    if real_mirror.starts_with(&real_incoming) || real_incoming.starts_with(&real_mirror) {
        let message =
            format!("the mirror `{}` and the incoming folder `{}` overlap", mirror.display(), incoming.display());
        return Err(Failure::new(ErrorClass::Input, message)
            .hint("give two folders with `--mirror` and `--incoming`, neither inside the other"));
    }
    Ok(())
}

/// The tokens that the server accepts: this admin token or that of the settings, and those of readers.
pub(super) fn access_control(
    settings: &Arc<SettingsStore>,
    admin_token: Option<&str>,
) -> Result<Arc<AccessControl>, Failure> {
    let admin = admin_token.map(Token::parse).transpose();
    let admin = admin.map_err(|weak| Failure::from(weak).context("could not take the admin token"))?;
    Ok(Arc::new(AccessControl::new(Arc::clone(settings), admin)?))
}

/// What all parts of the server share.
pub(super) fn server_context(
    mirror: PathBuf,
    incoming: PathBuf,
    settings: Arc<SettingsStore>,
    sink: Arc<dyn Sink>,
    context: &Context,
) -> ServerContext {
    let (mirror, env) = (Layout::new(mirror), context.env.clone());
    ServerContext { mirror, incoming, settings, env, clock: Timestamp::now, sink, toolchains: Arc::default() }
}

/// The parts of the running server.
pub(super) struct ServerSetup {
    pub(super) context: ServerContext,
    pub(super) access: Arc<AccessControl>,
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) applies_base_url: bool,
    pub(super) metrics: Arc<ServerMetrics>,
    pub(super) logs_requests: bool,
}

/// Serves the mirror with its pages and its API until SIGINT or SIGTERM. The settings control live mode and the watcher.
pub(super) async fn run_server(listener: TcpListener, setup: ServerSetup, context: &Context) -> Result<(), Failure> {
    let ServerSetup { context: server, access, tls, applies_base_url, metrics, logs_requests } = setup;
    warn_about_state(&server);
    let import_counters = Arc::new(ImportCounters::default());
    let live = Arc::new(start_live(&server, context)?);
    live.watch_settings();
    let is_default_mirror =
        context.resolve_folder(None, "/mirror", "mirror").is_ok_and(|usual| usual == server.mirror.root());
    let web = WebOptions {
        is_default_mirror,
        access: Arc::clone(&access),
        server_metrics: Arc::clone(&metrics),
        import_counters: Arc::clone(&import_counters),
        live: Arc::clone(&live),
        tls: tls.clone(),
    };
    let fallback = Arc::new(WebApp::new(server.clone(), web));
    let watcher = watcher::start(WatcherOptions {
        context: server.clone(),
        timing: Timing::default(),
        uses_fs_events: true,
        import_counters,
    })
    .map_err(|source| Failure::io("could not watch the incoming folder", source))?;
    let options = ServeOptions {
        stalled_after: stalled_after(context),
        tls,
        applies_base_url,
        file_clock: file_clock(context),
        access,
        metrics,
        logs_requests,
        live: Arc::clone(&live),
        fallback,
    };
    let sink = Arc::clone(&server.sink);
    let served = serve_until_stopped(listener, server, options, context).await;
    if served.is_ok() && !live.shutdown(LIVE_SHUTDOWN_TIMEOUT) {
        sink.warning("some fetched files were not stored in time; live mode fetches them again on request".into());
    }
    // After a second signal the server exits at once.
    let ended = served.is_err() || watcher.finish(WATCHER_SHUTDOWN_TIMEOUT);
    if !ended {
        sink.warning("an import was still committing; the next start completes it".into());
    }
    served
}

/// Writes reports to a log, filtered by RUST_LOG.
fn start_log(json: bool, context: &Context) {
    let variable = context.env.var_os("RUST_LOG").map(std::ffi::OsStr::to_string_lossy).unwrap_or_default();
    let level = Level::parse(&variable);
    let first = context.reporter.start_log(level.as_ref().ok().copied().flatten(), json, Timestamp::now);
    if let (true, Err(part)) = (first, level) {
        context.reporter.warning(format!(
            "RUST_LOG: unknown level `{}`; use off, error, warn, info, debug or trace, alone or after `frostmirror=`",
            sanitize_line(&part)
        ));
    }
}

/// The settings in order of precedence: flags, environment, file, defaults.
fn load_settings(args: &Args, context: &Context) -> Result<SettingsStore, Failure> {
    let mut fixed = Overrides::default();
    if let Some(bind) = &args.bind {
        fixed.set_text(Key::Bind, value_source("--bind", "FROSTMIRROR_BIND", bind, context), bind);
    }
    if let Some(base_url) = &args.base_url {
        BaseUrl::parse(base_url)?;
        fixed.set_text(Key::BaseUrl, value_source("--base-url", "FROSTMIRROR_BASE_URL", base_url, context), base_url);
    }
    if args.watch_incoming {
        fixed.set_bool(Key::WatchIncoming, Source::Flag("--watch-incoming"), true);
    }
    for (key, file, flag, variable) in [
        (Key::AdminTokenFile, &args.admin_token_file, "--admin-token-file", None),
        (Key::TlsCert, &args.tls_cert, "--tls-cert", Some("FROSTMIRROR_TLS_CERT")),
        (Key::TlsKey, &args.tls_key, "--tls-key", Some("FROSTMIRROR_TLS_KEY")),
    ] {
        let Some(file) = file else { continue };
        let path = context.absolute(file).to_string_lossy().into_owned();
        let by = variable
            .map_or(Source::Flag(flag), |variable| value_source(flag, variable, &file.to_string_lossy(), context));
        fixed.set_text(key, by, &path);
    }
    if let Some(format) = &args.log_format {
        fixed.set_text(Key::LogFormat, Source::Flag("--log-format"), format);
    }
    apply_switch_variables(&mut fixed, context)?;
    if args.live {
        fixed.set_bool(Key::ProxyMode, Source::Flag("--live"), true);
    }
    if args.offline {
        fixed.set_bool(Key::Offline, Source::Flag("--offline"), true);
    }
    let live = SettingsStore::load(&config_folder(args.config_dir.as_deref(), context)?, fixed)?;
    let settings = live.current();
    start_log(settings.log_format == LogFormat::Json, context);
    Ok(live)
}

/// The clock by which the server judges the age of files. Debug builds put it one hour ahead for tests, so that files count
/// as old enough for the cache at once.
fn file_clock(context: &Context) -> fn() -> SystemTime {
    match cfg!(debug_assertions) && context.env.var("FROSTMIRROR_CLOCK_AHEAD").is_some() {
        true => || SystemTime::now() + Duration::from_secs(60 * 60),
        false => SystemTime::now,
    }
}

/// The time that a response may stall before its connection closes. Debug builds shorten it for tests.
fn stalled_after(context: &Context) -> Duration {
    let given = context.env.var("FROSTMIRROR_STALLED_AFTER_MS").filter(|_| cfg!(debug_assertions));
    given.and_then(|text| text.parse().ok()).map_or(server::STALL_TIMEOUT, Duration::from_millis)
}

/// Starts live mode if it is on. If it is on and cannot start, the server does not start.
fn start_live(server: &ServerContext, context: &Context) -> Result<LiveMirror, Failure> {
    let (cwd, home, env) = (context.cwd.clone(), context.cargo_home(), context.env.clone());
    let cargo_config = Arc::new(move || CargoConfig::read(&cwd, home.as_deref(), &env));
    let live = LiveMirror::start(server.clone(), cargo_config)
        .map_err(|source| Failure::io("could not start live mode", source))?;
    live.check_settings()?;
    let (settings, sink) = (server.settings.current(), &server.sink);
    if settings.offline {
        sink.status("Offline", "live mode is disabled".to_owned());
    }
    if settings.proxy_mode {
        sink.status("Live", format!("missing files are fetched from {}", live.upstream_url().unwrap_or_default()));
        if !settings.min_age.is_zero() {
            sink.warning(
                "`min_age` uses the publication time of upstream's index; a version without one is available at once"
                    .into(),
            );
        }
    }
    Ok(live)
}

/// Prints the listening address, and serves until SIGINT or SIGTERM; a second signal exits at once.
async fn serve_until_stopped(
    listener: TcpListener,
    server: ServerContext,
    options: ServeOptions,
    context: &Context,
) -> Result<(), Failure> {
    let mut signals = context.interrupts.handle_signals();
    let address = listener.local_addr().map_err(|source| Failure::io("could not start the server", source))?;
    let sink = Arc::clone(&server.sink);
    raise_open_file_limit();
    report_capacity(sink.as_ref());
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    context.reporter.print_data(&format!("listening on {scheme}://{address}"));

    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server::serve(listener, server, options, async move {
        // The sender lives until then, so the loop ends only by a signal.
        let _ended = stopped.await.is_ok();
    });
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = signals.next() => {}
    }
    sink.status("Stopping", "after the requests in progress; a second signal exits at once".to_owned());
    let _gone = stop.send(()).is_err();
    tokio::select! {
        () = &mut serving => Ok(()),
        () = signals.next() => Err(Failure::new(ErrorClass::Interrupted, "stopped during responses")),
    }
}

/// Reports how many connections the limit of open files allows.
fn report_capacity(sink: &dyn Sink) {
    let server::Capacity { connections, limit, .. } = server::capacity();
    let Some(limit) = limit else { return };
    sink.status("Limit", format!("{connections} connections at a time (limit of open files: {limit})"));
    if connections < LOW_CONNECTION_LIMIT {
        sink.warning(format!(
            "the limit of {limit} open files allows only {connections} connections at a time; raise it with \
             `ulimit -n 16384`, or with `LimitNOFILE=16384` in a systemd unit"
        ));
    }
}

/// Warnings about secrets that other users of this machine can access.
#[cfg(unix)]
fn secret_file_warnings(settings: &Settings) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    const OTHERS: u32 = 0o007;
    let files = [
        ("the admin token", &settings.admin_token_file),
        ("the read tokens", &settings.read_token_file),
        ("the TLS key", &settings.tls_key),
    ];
    let files = files.into_iter().filter_map(|(secret, path)| Some((secret, path.as_deref()?)));
    let is_open = |path: &Path| fs::metadata(path).is_ok_and(|file| file.permissions().mode() & OTHERS != 0);
    let open = files.filter(|(_, path)| is_open(path));
    open.map(|(secret, path)| {
        let (shown, command) = (sanitize_line(&path.to_string_lossy()), shell_argument(&path.to_string_lossy()));
        format!("other users of this machine can access {secret} in `{shown}`: run `chmod o-rwx {command}`")
    })
    .collect()
}

#[cfg(not(unix))]
fn secret_file_warnings(_: &Settings) -> Vec<String> {
    Vec::new()
}

/// Raises the limit of open files. Each connection needs a descriptor for itself and one for the file that it sends, and
/// cached memfd bodies have their own. The usual limit of 1024 is too low for a server.
#[cfg(unix)]
fn raise_open_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const ENOUGH: u64 = 9472;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < ENOUGH) {
        limit.current = Some(limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH)));
        // Without a higher limit, clients wait if there are very many.
        let _refused = setrlimit(Resource::Nofile, limit).is_err();
    }
}

#[cfg(not(unix))]
fn raise_open_file_limit() {}
