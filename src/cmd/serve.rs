//! `serve`: the mirror over HTTP, until it is told to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Context;
use super::signals::Signals;
use crate::client_config::BaseUrl;
use crate::console::{self, AdminToken, Console};
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::mirror::layout::Layout;
use crate::report::Report;
use crate::serve::extension::Extension;
use crate::serve::{self, DEFAULT_BIND, ServeOptions};
use crate::watch::settle::Pace;
use crate::watch::{self, WatchOptions, Watcher};

/// How long an import that is being placed may go on after the end was asked for.
const WATCHER_ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Words of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "FROSTMIRROR_BIND", default_value = DEFAULT_BIND, hide_env_values = true)]
    pub bind: String,
    /// The address that clients know this server by, for a server behind a proxy [default: the Host that each client
    /// asks for]
    #[arg(long, value_name = "URL", env = "FROSTMIRROR_BASE_URL", hide_env_values = true)]
    pub base_url: Option<String>,
    /// The mirror [default: /mirror where it exists, else mirror in FROSTMIRROR_HOME]
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_MIRROR", hide_env_values = true)]
    pub mirror: Option<PathBuf>,
    /// With --watch-incoming, the folder that bundles are dropped into [default: /incoming where it exists, else incoming in FROSTMIRROR_HOME]
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_INCOMING", hide_env_values = true)]
    pub incoming: Option<PathBuf>,
    /// With --watch-incoming, where the frostmirror.toml and depends.toml of a snapshot that is dropped in go [default:
    /// /config where it exists, else config in FROSTMIRROR_HOME]
    #[arg(long, value_name = "DIR", env = "FROSTMIRROR_CONFIG_DIR", hide_env_values = true)]
    pub config_dir: Option<PathBuf>,
    /// Import the bundles that are dropped into the incoming folder
    #[arg(long)]
    pub watch_incoming: bool,
    /// What who changes anything over the API or the pages must know; without one, only a user at this machine may.
    /// FROSTMIRROR_ADMIN_TOKEN is seen by fewer eyes than a command line
    #[arg(
        long,
        value_name = "TOKEN",
        env = "FROSTMIRROR_ADMIN_TOKEN",
        hide_env_values = true,
        conflicts_with = "admin_token_file"
    )]
    pub admin_token: Option<String>,
    /// A file with the admin token
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mirror = context.directory(args.mirror.as_deref(), "/mirror", "mirror")?;
    let base_url = args.base_url.as_deref().map(BaseUrl::parse).transpose()?;
    // A container has the variable, whether it watches or not.
    if !args.watch_incoming && args.incoming.is_some() && args.incoming != context.env.path("FROSTMIRROR_INCOMING") {
        context.report.warning("`--incoming` is of no use without `--watch-incoming`: nothing is imported".to_owned());
    }
    let runtime = context.runtime()?;
    let served = runtime.block_on(async {
        let listener = serve::bind(&args.bind).await?;
        let sink: Arc<dyn Sink> = Arc::<Report>::clone(&context.report);
        let empty = if mirror.join("index").is_dir() { "" } else { ", where nothing has been imported yet" };
        context.report.status("Serving", format!("{}{empty}", mirror.display()));
        let watcher = args.watch_incoming.then(|| watch(args, &mirror, context)).transpose()?;
        let extension: Option<Arc<dyn Extension>> = Some(Arc::new(console(args, &mirror, context)?));
        let options = ServeOptions { mirror, base_url, sink, clock: SystemTime::now, extension };
        let served = until_stopped(listener, options, context).await;
        // After a second signal nothing is waited for.
        let ended = watcher.is_none_or(|watcher| served.is_err() || watcher.finish(WATCHER_ENDS_WITHIN));
        if !ended {
            context
                .report
                .warning("an import was still being finished; what it lacks is done at the next start".into());
        }
        served
    });
    // A thread that reads a file for a client that was given up is not waited for.
    runtime.shutdown_background();
    served
}

/// The pages and the API.
fn console(args: &Args, mirror: &Path, context: &Context) -> Result<Console, Failure> {
    let admin_token = admin_token(args, context)?;
    Ok(Console::new(console::Options {
        mirror: Layout::new(mirror),
        incoming: context.directory(args.incoming.as_deref(), "/incoming", "incoming")?,
        watching: Arc::new(AtomicBool::new(args.watch_incoming)),
        config: context.directory(args.config_dir.as_deref(), "/config", "config")?,
        admin_token,
        behind_proxy: args.base_url.is_some(),
        env: context.env.clone(),
        clock: Timestamp::now,
        sink: Arc::<Report>::clone(&context.report),
    }))
}

/// The admin token, from the flag, its variable or a file.
fn admin_token(args: &Args, context: &Context) -> Result<Option<AdminToken>, Failure> {
    let weak = |error| {
        Failure::new(Class::Input, error)
            .doing("could not take the admin token")
            .hint("make one with `openssl rand -hex 32`")
    };
    if let Some(token) = &args.admin_token {
        return AdminToken::parse(token).map(Some).map_err(weak);
    }
    let Some(path) = &args.admin_token_file else { return Ok(None) };
    let path = context.absolute(path);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| Failure::io(format!("could not read the admin token from `{}`", path.display()), source))?;
    AdminToken::parse(&text)
        .map(Some)
        .map_err(|error| weak(error).doing(format!("could not take the admin token in `{}`", path.display())))
}

/// Begins to import what is dropped into the incoming folder.
fn watch(args: &Args, mirror: &Path, context: &Context) -> Result<Watcher, Failure> {
    let folder = context.directory(args.incoming.as_deref(), "/incoming", "incoming")?;
    context.report.status("Watching", folder.display().to_string());
    let sink: Arc<dyn Sink> = Arc::<Report>::clone(&context.report);
    let options = WatchOptions {
        folder,
        mirror: Layout::new(mirror),
        config: context.directory(args.config_dir.as_deref(), "/config", "config")?,
        pace: Pace::default(),
        notices: true,
        env: context.env.clone(),
        clock: Timestamp::now,
        sink,
    };
    watch::start(options).map_err(|source| Failure::io("could not watch the incoming folder", source))
}

/// Says where the server listens, and serves until SIGINT or SIGTERM; the second one ends at once.
pub(super) async fn until_stopped(
    listener: TcpListener,
    options: ServeOptions,
    context: &Context,
) -> Result<(), Failure> {
    let failed = |source| Failure::io("could not start the server", source);
    let mut signals = Signals::new().map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    allow_open_files();
    context.report.data(&format!("listening on http://{address}"));

    let (stop, stopped) = oneshot::channel::<()>();
    let server = serve::serve(listener, options, async move {
        // The sender is kept until then, so there is nothing else to wait for.
        let _ended = stopped.await.is_ok();
    });
    let mut server = std::pin::pin!(server);
    tokio::select! {
        served = &mut server => return served.map_err(failed),
        () = signals.next() => {}
    }
    context.report.status("Stopping", "after what is in flight; a second signal ends it at once".to_owned());
    let _gone = stop.send(()).is_err();
    tokio::select! {
        served = &mut server => served.map_err(failed),
        () = signals.next() => Err(Failure::new(Class::Interrupted, "stopped while answers were in flight")),
    }
}

/// Each connection needs a descriptor for itself and one for the file that it sends; the usual limit of 1024 is for
/// programs that do not serve.
#[cfg(unix)]
fn allow_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    const ENOUGH: u64 = 4096;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < ENOUGH) {
        limit.current = Some(limit.maximum.map_or(ENOUGH, |most| most.min(ENOUGH)));
        // Without it, clients wait a little when there are very many.
        let _refused = setrlimit(Resource::Nofile, limit).is_err();
    }
}

#[cfg(not(unix))]
fn allow_open_files() {}
