//! The user's toolchain options, and the request that each input makes with them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::fetch::resolve;
use crate::inputs::depends::Platforms;
use crate::inputs::input_id::InputId;
use crate::inputs::toolchain_file::ToolchainFile;
use crate::toolchain::{SelectionRequest, ToolchainName};
use crate::upstream::dist::ToolchainRequest;

/// The toolchain options of the user besides `[platforms]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolchainOptions {
    /// Fetch no toolchains. Toolchains that were sent earlier stay current.
    pub skip: bool,
    /// Fetch no toolchains, and drop those that earlier bundles brought for these inputs.
    pub drop_recorded: bool,
    /// Fetch toolchains for inputs without `[platforms]` too.
    pub include_without_platforms: bool,
    /// Targets that replace those of `[platforms]`. Empty: no replacement.
    pub targets: Vec<String>,
    /// The default targets.
    pub default_targets: Vec<String>,
    /// The default toolchains.
    pub default_toolchains: Vec<ToolchainName>,
    /// The requests of toolchain files, by the file of the input: its depends.toml, or the Cargo.lock of a workspace.
    /// They count if that input has no `[platforms]`.
    pub pins: BTreeMap<PathBuf, ToolchainFile>,
    /// The base address of the dist server, as in RUSTUP_DIST_SERVER.
    pub upstream: String,
}

impl ToolchainOptions {
    /// No toolchains.
    pub fn none() -> ToolchainOptions {
        ToolchainOptions {
            skip: true,
            drop_recorded: false,
            include_without_platforms: false,
            targets: Vec::new(),
            default_targets: Vec::new(),
            default_toolchains: Vec::new(),
            pins: BTreeMap::new(),
            upstream: String::new(),
        }
    }

    /// The requests of these inputs, by input ID.
    pub(super) fn requests_for(&self, inputs: &[resolve::Input]) -> BTreeMap<InputId, ToolchainRequest> {
        let request = |input: &resolve::Input| Some((input.id(), self.request_for(input)?));
        let is_without = self.skip || self.drop_recorded;
        inputs.iter().filter(|_| !is_without).filter_map(request).collect()
    }

    /// The toolchain file of an input.
    pub(super) fn pin_of(&self, input: &resolve::Input) -> Option<&ToolchainFile> {
        match input {
            resolve::Input::Depends(depends) if depends.platforms.is_none() => self.pins.get(&depends.path),
            resolve::Input::Lockfile(lockfile) => self.pins.get(&lockfile.path),
            resolve::Input::Depends(_) | resolve::Input::Crate(_) => None,
        }
    }

    /// The toolchain request of an input.
    fn request_for(&self, input: &resolve::Input) -> Option<ToolchainRequest> {
        let platforms = match input {
            resolve::Input::Depends(depends) => depends.platforms.clone(),
            resolve::Input::Lockfile(_) | resolve::Input::Crate(_) => None,
        };
        let platforms = match (platforms, self.pin_of(input)) {
            (Some(platforms), _) => platforms,
            (None, Some(pin)) => {
                let mut platforms = Platforms::default();
                pin.add_to_platforms(&mut platforms, &self.default_targets);
                platforms
            }
            (None, None) if self.include_without_platforms => Platforms::default(),
            (None, None) => return None,
        };
        let or = |given: Vec<String>, default: &Vec<String>| if given.is_empty() { default.clone() } else { given };
        let targets = or(self.targets.clone(), &or(platforms.targets, &self.default_targets));
        let toolchains =
            if platforms.toolchain.is_empty() { self.default_toolchains.clone() } else { platforms.toolchain };
        let wanted = SelectionRequest {
            targets,
            profile: platforms.profile.unwrap_or_default(),
            components: platforms.components,
        };
        Some(ToolchainRequest { toolchains, selection: wanted })
    }
}
