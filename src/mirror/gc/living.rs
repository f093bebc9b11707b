//! What live mode brought, in a collection: current until it is let go, and then known as brought until its file is gone.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::Item;
use crate::mirror::head::is_zero;
use crate::mirror::layout::Layout;
use crate::mirror::live::{self, Record, What};
use crate::mirror::store::Error;

/// The word that stands for what live mode brought where a lineage is let go. No lineage's id begins so.
pub const LIVE: &str = "live";

/// What live mode brought, as a plan shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Live {
    /// Crates.
    pub crates: u64,
    /// Rustup artifacts.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub artifacts: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// It is let go by this run, and counts no more.
    pub forgotten: bool,
}

/// What becomes of live mode's records.
#[derive(Debug, Default)]
pub(super) struct LiveWork {
    current: Vec<Record>,
    forgotten: Vec<Record>,
    /// What is let go by this run.
    goes: HashSet<What>,
    /// What is on record as forgotten afterwards; `None` where it is that already.
    forgotten_after: Option<Vec<Record>>,
}

/// What live mode brought, and what this run lets go of it.
pub(super) fn plan(layout: &Layout, forget: &[String]) -> Result<(Option<Live>, LiveWork), Error> {
    let (current, forgotten) = (live::records(layout)?, live::forgotten(layout)?);
    let is_forgotten = forget.iter().any(|word| word == LIVE);
    let live::Figures { crates, artifacts, bytes } = live::figures_of(&current);
    let shown = Live { crates, artifacts, bytes, forgotten: is_forgotten };
    let goes = current.iter().filter(|_| is_forgotten).map(|record| record.what.clone()).collect();
    let shown = (!current.is_empty() || is_forgotten && !forgotten.is_empty()).then_some(shown);
    Ok((shown, LiveWork { current, forgotten, goes, forgotten_after: None }))
}

impl LiveWork {
    /// The work of letting go of some things of which nothing is left afterwards.
    pub(super) fn of_eviction(current: Vec<Record>, forgotten: Vec<Record>, goes: HashSet<What>) -> LiveWork {
        let after = forgotten.iter().filter(|record| !goes.contains(&record.what)).cloned().collect();
        LiveWork { current, forgotten, goes, forgotten_after: Some(after) }
    }

    /// What stays current.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Record> {
        self.current.iter().filter(|record| !self.goes.contains(&record.what))
    }

    /// What live mode brought and nobody needs for its sake.
    pub(super) fn let_go(&self) -> impl Iterator<Item = &Record> {
        self.forgotten.iter().chain(self.current.iter().filter(|record| self.goes.contains(&record.what)))
    }

    /// This, with what is to be remembered when these files are gone: a thing whose file is there, and that did not come
    /// again.
    pub(super) fn after(mut self, layout: &Layout, gone: &[&[Item]]) -> LiveWork {
        let gone: HashSet<&str> = gone.iter().flat_map(|items| items.iter()).map(|item| item.file.as_str()).collect();
        let kept: HashSet<&What> = self.kept().map(|record| &record.what).collect();
        let mut seen = HashSet::new();
        let stays = |record: &&Record| {
            let file = match &record.what {
                What::Crate(id) => id.file_name(),
                What::Artifact(path) => path.to_string(),
            };
            let is_there = || record.path().below(layout.root()).symlink_metadata().is_ok();
            !kept.contains(&record.what)
                && !gone.contains(file.as_str())
                && is_there()
                && seen.insert(record.what.clone())
        };
        let after: Vec<Record> = self.let_go().filter(stays).cloned().collect();
        self.forgotten_after = (!self.goes.is_empty() || after != self.forgotten).then_some(after);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.goes.is_empty() && self.forgotten_after.is_none()
    }

    /// Puts down what is let go, before anything of it is removed.
    pub(super) fn let_go_now(&self, layout: &Layout) -> Result<(), Error> {
        match self.goes.is_empty() {
            true => Ok(()),
            false => live::forget(layout, &|what| self.goes.contains(what)),
        }
    }

    /// Takes out of what is forgotten what is gone by now.
    pub(super) fn prune(&self, layout: &Layout) -> Result<(), Error> {
        match &self.forgotten_after {
            Some(after) => live::write_forgotten(layout, after),
            None => Ok(()),
        }
    }
}
