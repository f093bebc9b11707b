//! `up`: fetch, import and serve on this machine, and carry on from what is there when run again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::serve::{self as serving, Served};
use super::{Context, fetch as words, settings};
use crate::bundle::open::open_any;
use crate::client_config::{self, BaseUrl, Client};
use crate::event::Sink;
use crate::failure::{Class, Failure};
use crate::fetch::{self, Input, Mode, Options, Outcome, Surroundings, Toolchains};
use crate::gather::depends::Depends;
use crate::gather::input_id::Label;
use crate::gather::workspace;
use crate::mirror::import::ImportOptions;
use crate::mirror::layout::Layout;
use crate::mirror::ledger;
use crate::mirror::lock::{Holder, lock_for_adding};
use crate::report::Report;
use crate::serve;
use crate::serve::access::{Access, Token};
use crate::server_config::{By, Fixed, Key, Live, Settings};

/// How long to wait for another process that holds the mirror.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// Words of `up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Dependency list [default: the nearest depends.toml up to the workspace's root, else the workspace's Cargo.lock]
    #[arg(short, long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The workspace whose Cargo.lock to mirror
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// Mirror exactly the packages of this Cargo.lock (repeatable)
    #[arg(long, value_name = "PATH")]
    pub lockfile: Vec<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "FROSTMIRROR_BIND",
        default_value = "127.0.0.1:8080",
        hide_env_values = true
    )]
    pub bind: String,
    /// What the one input is called in the history [default: the name of the package or folder that its file is in]
    #[arg(long, value_name = "NAME")]
    pub label: Option<Label>,
    /// Use the caches alone
    #[arg(long)]
    pub offline: bool,
}

/// Runs the verb.
pub fn run(args: &Args, context: &Context) -> Result<(), Failure> {
    let manifest = args.manifest_path.as_ref().map(|path| context.absolute(path));
    let context = &context.with_running_cargo([&context.cwd].into_iter().chain(&manifest).map(PathBuf::as_path));
    let mirror = context.directory(context.env.path("FROSTMIRROR_MIRROR").as_deref(), "/mirror", "mirror")?;
    let layout = Layout::new(&mirror);
    let said = settings::found(context)?.settings;
    settings::refuse_unheeded(&said)?;
    let live = Arc::new(served_settings(args, context)?);
    let admin = context.env.text("FROSTMIRROR_ADMIN_TOKEN").map(Token::parse).transpose();
    let admin = admin.map_err(|weak| Failure::from(weak).doing("could not take the admin token"))?;
    let access = Arc::new(Access::new(Arc::clone(&live), admin)?);
    // An address in use is found out before the work, not after it.
    let listener = context.interruptible(serve::bind(&args.bind))?;
    let listener = listener.into_std().map_err(|source| Failure::io("could not listen", source))?;
    let address = listener.local_addr().map_err(|source| Failure::io("could not listen", source))?;
    let base_url = BaseUrl::parse(&format!("http://{address}"))?;

    if let Err(failure) = renew(args, context, &layout, &base_url, &said) {
        if failure.class != Class::Network || ledger::names(&layout)?.is_empty() {
            return Err(failure);
        }
        context.report.warning(format!("{failure}"));
        context.report.status("Keeping", format!("what `{}` holds; it was not renewed", mirror.display()));
    }

    let lines = format!(
        "these lines in $CARGO_HOME/config.toml (`cargo frostmirror setup --url {base_url} --write` puts them there):"
    );
    context.report.status("Use", lines);
    // rustup's variables are of no use before a toolchain is here.
    let page = match layout.root().join("dist").is_dir() {
        true => Client::of_server(base_url).page(),
        false => client_config::cargo_config(base_url.as_str()),
    };
    context.report.data(&page);
    let runtime = context.serving_runtime()?;
    let served = runtime.block_on(async {
        let listener =
            tokio::net::TcpListener::from_std(listener).map_err(|source| Failure::io("could not listen", source))?;
        let sink: Arc<dyn Sink> = Arc::<Report>::clone(&context.report);
        sink.status("Pages", format!("open http://{address}/ in a browser"));
        let served = Served {
            mirror,
            incoming: context.directory(
                context.env.path("FROSTMIRROR_INCOMING").as_deref(),
                "/incoming",
                "incoming",
            )?,
            settings: live,
            access,
            tls: None,
            // The address of another server may be configured.
            base_url: Arc::new(|| None),
            counters: Arc::default(),
            requests: false,
            sink,
        };
        serving::with_pages(listener, served, context).await
    });
    runtime.shutdown_background();
    served
}

/// The settings of the server: those of frostmirror.toml, without live mode.
fn served_settings(args: &Args, context: &Context) -> Result<Live, Failure> {
    let mut fixed = Fixed::default();
    fixed.text(Key::Bind, settings::by("--bind", "FROSTMIRROR_BIND", &args.bind, context), &args.bind);
    // `up` fetches what the project needs, and nothing else.
    fixed.switch(Key::ProxyMode, By::Flag("`up`"), false);
    let folder = settings::folder(context.env.path("FROSTMIRROR_CONFIG_DIR").as_deref(), context)?;
    Ok(Live::load(&folder, fixed)?)
}

/// Brings into the mirror what is new.
fn renew(args: &Args, context: &Context, layout: &Layout, base_url: &BaseUrl, said: &Settings) -> Result<(), Failure> {
    // Its own history and a bundle that does not outlive the run: the default ones are the user's.
    let own = context.home()?.join("up");
    let scratch = context.scratch()?;
    let imported = ledger::names(layout)?;
    let options = Options {
        inputs: inputs(args, context)?,
        mode: Mode::Full,
        // Whoever runs this has a toolchain.
        toolchains: Toolchains::none(),
        forget: Vec::new(),
        label: args.label.clone(),
        surroundings: Surroundings { offline: args.offline, ..context.surroundings(scratch.path())? },
        output: scratch.path().to_owned(),
        history: own.join("history"),
        base_url: base_url.clone(),
        created: words::created(context)?,
        delivered: Some(Arc::new(move |id: &str| ledger::holds(&imported, id))),
    };
    let sink: Arc<dyn Sink> = Arc::<Report>::clone(&context.report);
    match context.interruptible(fetch::fetch(options, sink))? {
        Outcome::Written(written) => {
            let (own, layout, said) = (context.clone(), layout.clone(), said.clone());
            // An import may end with the process at any instant: the next one clears away what it left.
            context.interruptible(async {
                let importing = move || import(&written.path, &own, &layout, &said);
                tokio::task::spawn_blocking(importing).await.map_err(|lost| Failure::new(Class::Bug, lost))?
            })
        }
        Outcome::NothingNew => {
            context.report.status("Unchanged", "the mirror holds all of it".to_owned());
            Ok(())
        }
    }
}

fn inputs(args: &Args, context: &Context) -> Result<Vec<Input>, Failure> {
    let mut inputs: Vec<Input> =
        args.config.iter().map(|path| Input::Depends(super::fetch::one_path(path, context))).collect();
    inputs.extend(args.lockfile.iter().map(|path| Input::Lockfile(super::fetch::one_path(path, context))));
    if let Some(manifest) = &args.manifest_path {
        inputs.push(Input::Workspace(workspace::open(&context.absolute(manifest), &context.env)?));
    }
    if inputs.is_empty() {
        inputs.push(words::default_input(context)?);
    }
    for input in &inputs {
        if let Input::Depends(path) = input
            && Depends::read(path)?.platforms.is_some()
        {
            context
                .report
                .warning(format!("`{}` asks for toolchains; this version mirrors crates alone", path.display()));
        }
    }
    Ok(inputs)
}

fn import(bundle: &Path, context: &Context, layout: &Layout, said: &Settings) -> Result<(), Failure> {
    let report = context.report.as_ref();
    let failed = |source| Failure::io(format!("could not read `{}`", bundle.display()), source);
    let file = fs::File::open(bundle).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let name = bundle.file_name().unwrap_or(bundle.as_os_str()).to_string_lossy().into_owned();
    let spool = bundle.parent().unwrap_or(layout.root());
    let opened = open_any(Box::new(file), &name, spool)?;
    let now = Timestamp::now();
    let me = Holder::this_process("up", &context.env, now);
    let mut guard = lock_for_adding(layout, LOCK_TIMEOUT, &me, report)?;
    let rehash_held = said.verify_checksums;
    let options = ImportOptions { base_url: None, rehash_held, file_name: name, length: Some(length), now };
    guard.import(opened, &options, report)?;
    drop(guard);
    if said.prune_on_import { settings::prune(layout, "up", LOCK_TIMEOUT, context) } else { Ok(()) }
}
