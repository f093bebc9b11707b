//! `up`: fetches, imports and serves on this machine; a second run reuses existing files.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::serve::{self as serving, ServerSetup};
use super::{Context, fetch as fetch_command, settings};
use crate::bundle::open::open_any;
use crate::client_setup::{self, BaseUrl, ClientSetup};
use crate::config::{Key, Overrides, Settings, SettingsStore, Source};
use crate::error_report::{ErrorClass, Failure};
use crate::event::Sink;
use crate::fetch::resolve;
use crate::fetch::{self, Environment, InputSpec, Mode, Options, Outcome, ToolchainOptions};
use crate::inputs::input_id::Label;
use crate::mirror::import::ImportOptions;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::lock::{Holder, lock_for_adding};
use crate::server;
use crate::terminal::Reporter;

/// Timeout for the mirror's lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Dependency list [default: depends.toml, else Cargo.lock]
    ///
    /// Dependency list. The default is the nearest depends.toml from the current directory up to the workspace root. If there
    /// is none, the workspace's Cargo.lock is used.
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// Workspace to mirror, by its Cargo.toml
    ///
    /// Workspace to mirror, by its Cargo.toml. Its Cargo.lock is used; depends.toml only with `-c`.
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Cargo.lock to mirror exactly (repeatable)
    ///
    /// Cargo.lock to mirror exactly, without its workspace (repeatable). depends.toml is then used only with `-c`.
    #[arg(long, value_name = "PATH")]
    pub lockfile: Vec<PathBuf>,
    /// Listening address; port 0 picks a free port
    #[arg(long, value_name = "ADDR", env = "FROSTMIRROR_BIND", default_value = "127.0.0.1:8080")]
    pub bind: String,
    /// Label of the input [default: its package or folder]
    ///
    /// Label of the input in the history; only with one input. The default is the name of the package or folder that contains
    /// its file.
    #[arg(long, value_name = "NAME")]
    pub label: Option<Label>,
    /// Use only the caches; send no request
    #[arg(long)]
    pub offline: bool,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let mirror = context.resolve_folder(context.env.path("FROSTMIRROR_MIRROR").as_deref(), "/mirror", "mirror")?;
    let layout = Layout::new(&mirror);
    run_with_mirror(args, mirror, context).map_err(|failure| match failure.class {
        // `up` has no `--lock-timeout`.
        ErrorClass::Locked => failure.hint("wait until that process ends, then run the same command again"),
        _ => failure.with_mirror(&layout),
    })
}

fn run_with_mirror(args: &Args, mirror: PathBuf, context: &Context) -> Result<(), Failure> {
    let incoming = context.env.path("FROSTMIRROR_INCOMING");
    let incoming = context.resolve_folder(incoming.as_deref(), "/incoming", "incoming")?;
    serving::check_folders(&mirror, &incoming).map_err(|failure| match failure.class {
        // `up` has no `--mirror` and no `--incoming`.
        ErrorClass::Input => failure.hint(
            "set FROSTMIRROR_MIRROR to a mirror or an empty folder, and FROSTMIRROR_INCOMING to a folder outside of it",
        ),
        _ => failure,
    })?;
    let manifest = args.manifest_path.as_ref().map(|path| context.absolute(path));
    let context = &context.with_usable_toolchain([&context.cwd].into_iter().chain(&manifest).map(PathBuf::as_path));
    let layout = Layout::new(&mirror);
    let settings = settings::read_default(context)?.settings;
    settings::refuse_unsupported(&settings)?;
    let live = Arc::new(load_settings(args, context)?);
    let access = serving::access_control(&live, context.env.var("FROSTMIRROR_ADMIN_TOKEN"))?;
    // An address in use is reported before the work, not after it.
    let listener = context.run_interruptible(server::bind(&args.bind))?;
    let listener = listener.into_std().map_err(|source| Failure::io("could not listen", source))?;
    let address = listener.local_addr().map_err(|source| Failure::io("could not listen", source))?;
    let own_address = address_on_this_machine(address);
    let base_url = BaseUrl::parse(&format!("http://{own_address}"))?;
    if !address.ip().is_loopback() {
        let port = address.port();
        context.reporter.status(
            "Note",
            format!("`{}` accepts connections from other machines, at this machine's name and port {port}", args.bind),
        );
    }

    if let Err(failure) = update_mirror(args, context, &layout, &base_url, &settings) {
        if failure.class != ErrorClass::Network || ledger::record_names(&layout)?.is_empty() {
            return Err(failure);
        }
        context.reporter.warning(format!("{failure}"));
        context.reporter.status("Keeping", format!("the mirror `{}`, which was not updated", mirror.display()));
    }

    let lines = format!(
        "these lines in $CARGO_HOME/config.toml (`cargo frostmirror setup --url {base_url} --write` writes them):"
    );
    context.reporter.status("Use", lines);
    // rustup's variables are useless before a toolchain is mirrored.
    let page = match layout.root().join("dist").is_dir() {
        true => ClientSetup::for_server(base_url).setup_text(),
        false => client_setup::cargo_config(base_url.as_str()),
    };
    context.reporter.print_data(&page);
    let runtime = context.server_runtime()?;
    let served = runtime.block_on(async {
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|source| Failure::io("could not listen", source))?;
        let sink: Arc<dyn Sink> = Arc::<Reporter>::clone(&context.reporter);
        sink.status("Pages", format!("open http://{own_address}/ in a browser"));
        let setup = ServerSetup {
            context: serving::server_context(mirror, incoming, live, sink, context),
            access,
            tls: None,
            // The configuration may contain another server's URL.
            applies_base_url: false,
            metrics: Arc::default(),
            logs_requests: false,
        };
        serving::run_server(listener, setup, context).await
    });
    runtime.shutdown_background();
    served
}

/// The address at which this machine reaches its own listener: an unspecified address names no machine.
fn address_on_this_machine(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The server's settings: those of frostmirror.toml, without live mode.
fn load_settings(args: &Args, context: &Context) -> Result<SettingsStore, Failure> {
    let mut fixed = Overrides::default();
    fixed.set_text(Key::Bind, settings::value_source("--bind", "FROSTMIRROR_BIND", &args.bind, context), &args.bind);
    // `up` fetches only what the project needs.
    fixed.set_bool(Key::ProxyMode, Source::Flag("`up`"), false);
    let folder = settings::config_folder(context.env.path("FROSTMIRROR_CONFIG_DIR").as_deref(), context)?;
    Ok(SettingsStore::load(&folder, fixed)?)
}

/// The failure of the fetch. Its hint must not propose options that `up` lacks.
fn fetch_failure(error: fetch::Error) -> Failure {
    let is_foreign = matches!(error, fetch::Error::Resolve(resolve::Error::ForeignPackages { .. }));
    let failure = Failure::from(error);
    match is_foreign {
        true => failure.hint(
            "`up` cannot exclude them; run `cargo frostmirror fetch` with --skip-git or --skip-registry NAME, then import and serve the bundle",
        ),
        false => failure,
    }
}

/// Fetches and imports new crates.
fn update_mirror(
    args: &Args,
    context: &Context,
    layout: &Layout,
    base_url: &BaseUrl,
    settings: &Settings,
) -> Result<(), Failure> {
    // `up` has its own history and a temporary bundle; the default ones belong to the user.
    let up_folder = context.home()?.join("up");
    let scratch = context.create_scratch_folder()?;
    let imported = ledger::record_names(layout)?;
    let options = Options {
        inputs: collect_inputs(args, context)?,
        mode: Mode::Full,
        // The user of `up` already has a toolchain.
        toolchains: ToolchainOptions::none(),
        forget: Vec::new(),
        label: args.label.clone(),
        environment: Environment { offline: args.offline, ..context.fetch_environment("up", scratch.path())? },
        output: scratch.path().to_owned(),
        history: up_folder.join("history"),
        base_url: base_url.clone(),
        created: fetch_command::bundle_time(context)?,
        is_delivered: Some(Arc::new(move |id: &str| ledger::contains_bundle(&imported, id))),
    };
    let sink: Arc<dyn Sink> = Arc::<Reporter>::clone(&context.reporter);
    match context.run_interruptible(async { fetch::fetch(options, sink).await.map_err(fetch_failure) })? {
        Outcome::Written(written) => {
            let (own, layout, settings) = (context.clone(), layout.clone(), settings.clone());
            // The process may exit in the middle of an import: the next one removes its partial files.
            context.run_interruptible(async {
                let importing = move || import_bundle(&written.path, &own, &layout, &settings);
                tokio::task::spawn_blocking(importing).await.map_err(|lost| Failure::new(ErrorClass::Bug, lost))?
            })
        }
        Outcome::NothingNew => {
            context.reporter.status("Unchanged", "the mirror is up to date".to_owned());
            Ok(())
        }
    }
}

fn collect_inputs(args: &Args, context: &Context) -> Result<Vec<InputSpec>, Failure> {
    let manifest = args.manifest_path.as_deref();
    let mut inputs = fetch_command::input_files(args.config.as_deref(), &args.lockfile, &[], manifest, context)?;
    if inputs.is_empty() {
        inputs.push(fetch_command::default_input(context)?);
    }
    for input in &inputs {
        if let InputSpec::Depends(depends) = input
            && depends.platforms.is_some()
        {
            let path = depends.path.display();
            context.reporter.warning(format!("`{path}` requests toolchains; `up` mirrors only crates"));
        }
    }
    Ok(inputs)
}

fn import_bundle(bundle: &Path, context: &Context, layout: &Layout, settings: &Settings) -> Result<(), Failure> {
    let report = context.reporter.as_ref();
    let failed = |source| Failure::io(format!("could not read `{}`", bundle.display()), source);
    let file = fs::File::open(bundle).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let name = bundle.file_name().unwrap_or(bundle.as_os_str()).to_string_lossy().into_owned();
    let spool = bundle.parent().unwrap_or(layout.root());
    let opened = open_any(Box::new(file), &name, spool)?;
    let now = Timestamp::now();
    let holder = Holder::this_process("up", &context.env, now);
    let mut guard = lock_for_adding(layout, LOCK_TIMEOUT, &holder, report)?;
    let verify_existing = settings.verify_checksums;
    let options = ImportOptions { base_url: None, verify_existing, file_name: name, bundle_length: Some(length), now };
    guard.import(opened, &options, report)?;
    drop(guard);
    if settings.prune_on_import { settings::collect_after_import(layout, "up", LOCK_TIMEOUT, context) } else { Ok(()) }
}
