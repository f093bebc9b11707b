//! `serve`: the mirror over HTTP, until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::Context;
use super::signals::Signals;
use crate::client_config::BaseUrl;
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::serve::{self, DEFAULT_BIND, ServeOptions};

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
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mirror = context.directory(args.mirror.as_deref(), "/mirror", "mirror")?;
    let base_url = args.base_url.as_deref().map(BaseUrl::parse).transpose()?;
    let runtime = context.runtime()?;
    let served = runtime.block_on(async {
        let listener = serve::bind(&args.bind).await?;
        let sink: Arc<dyn Sink> = Arc::<crate::report::Report>::clone(&context.report);
        let empty = if mirror.join("index").is_dir() { "" } else { ", where nothing has been imported yet" };
        context.report.status("Serving", format!("{}{empty}", mirror.display()));
        until_stopped(listener, ServeOptions { mirror, base_url, sink, clock: SystemTime::now }, context).await
    });
    // A thread that reads a file for a client that was given up is not waited for.
    runtime.shutdown_background();
    served
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
