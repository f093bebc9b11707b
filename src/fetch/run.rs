//! One fetch or dry run: the options, the inputs that they name, and the session.

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::fetch::error::Error;
use crate::fetch::history::{self, History};
use crate::fetch::options::{InputSpec, Mode, Options};
use crate::fetch::repair_list::{self, RepairList};
use crate::fetch::session::Session;
use crate::fetch::{resolve, workspace_lock};
use crate::inputs::input_id::InputId;
use crate::inputs::lockfile::Lockfile;
use crate::safe_path::SafePath;
use crate::upstream::dist::ToolchainRequest;

/// One fetch or dry run: what the user requests, and the session for it.
pub(super) struct Run<'o> {
    pub(super) options: &'o Options,
    pub(super) session: Session<'o>,
    /// The inputs of the user, read and checked.
    pub(super) inputs: Vec<resolve::Input>,
    /// The dist files of a repair list. It is read once, because it may be a pipe.
    pub(super) listed_dist_files: BTreeMap<SafePath, Sha256>,
    /// The toolchain requests of the inputs.
    pub(super) requests: BTreeMap<InputId, ToolchainRequest>,
}

impl<'o> Run<'o> {
    pub(super) async fn start(options: &'o Options, session: Session<'o>) -> Result<Run<'o>, Error> {
        let (inputs, listed_dist_files) = match &options.mode {
            Mode::Repair { list } => {
                let RepairList { crates, dist_files } = repair_list::read(list)?;
                let is_empty = crates.packages.is_empty() && dist_files.is_empty();
                (if is_empty { Vec::new() } else { vec![resolve::Input::Lockfile(crates)] }, dist_files)
            }
            Mode::Full | Mode::Incremental { .. } => (read_inputs(options, &session).await?, BTreeMap::new()),
        };
        let requests = options.toolchains.requests_for(&inputs);
        Ok(Run { options, session, inputs, listed_dist_files, requests })
    }

    /// Whether nothing is requested: an empty repair list. An explicit base requests what the history recorded.
    pub(super) fn has_no_work(&self) -> bool {
        let requests_base = matches!(self.options.mode, Mode::Incremental { base: Some(_) });
        self.inputs.is_empty() && self.options.forget.is_empty() && !requests_base
    }

    /// A label of the user declares that inputs are the same project. A label derived from a name may belong to another
    /// project.
    pub(super) fn check_labels(&self, history: &History) -> Result<(), Error> {
        if self.options.label.is_none() && !matches!(self.options.mode, Mode::Repair { .. }) {
            for input in &self.inputs {
                if let Some(path) = input.path() {
                    history.check_label(&input.id(), path)?;
                }
            }
        }
        for input in &self.inputs {
            let (id, forget) = (input.id(), &self.options.forget);
            let Some(other) = input.path().and_then(|path| history.find_same_file(&id, path, forget)) else { continue };
            self.session.sink.warning(format!(
                "{} is also the input `{other}` of the history, and `{id}` is another one: what only `{other}` needs stays. \
                 If it is not needed, run `cargo frostmirror history forget '{other}'`",
                input.path().map(|path| format!("`{}`", path.display())).unwrap_or_default()
            ));
        }
        Ok(())
    }
}

/// Reads and checks the inputs of the user.
async fn read_inputs(options: &Options, session: &Session<'_>) -> Result<Vec<resolve::Input>, Error> {
    let mut read = Vec::with_capacity(options.inputs.len());
    for input in &options.inputs {
        let mut input = match input {
            InputSpec::Depends(depends) => resolve::Input::Depends(depends.clone()),
            InputSpec::Lockfile(path) => resolve::Input::Lockfile(Lockfile::read(path)?),
            InputSpec::Crate(spec) => resolve::Input::Crate(spec.clone()),
            InputSpec::Workspace(found) => {
                resolve::Input::Lockfile(workspace_lock::read_or_resolve(found, session).await?)
            }
        };
        input.set_label(options.label.as_ref());
        read.push(input);
    }
    deduplicate_inputs(read)
}

/// The inputs without duplicates: several paths may name one file.
fn deduplicate_inputs(inputs: Vec<resolve::Input>) -> Result<Vec<resolve::Input>, Error> {
    let mut each: Vec<resolve::Input> = Vec::with_capacity(inputs.len());
    for input in inputs {
        let id = input.id();
        match (each.iter().find(|other| other.id() == id), input.path()) {
            (None, _) => each.push(input),
            (Some(other), Some(new)) if other.path() != Some(new) => {
                let old = other.path().unwrap_or(new).to_owned();
                let new = new.to_owned();
                return Err(history::Error::SameLabel { id, new, old, together: true }.into());
            }
            _ => {}
        }
    }
    Ok(each)
}
