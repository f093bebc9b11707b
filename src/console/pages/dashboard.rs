//! The dashboard: what the mirror holds and how it is.

use std::sync::Arc;

use askama::Template;

use super::{Frame, shown};
use crate::console::answer::Outcome;
use crate::console::asked::Asked;
use crate::console::state::State;
use crate::failure::Failure;
use crate::mirror::status::Status;

#[derive(Template)]
#[template(path = "dashboard.html")]
struct Dashboard {
    frame: Frame,
    crates: u64,
    last_import: String,
}

pub(super) fn show(state: &Arc<State>, _: &Asked) -> Outcome {
    let status = Status::read(&state.options.mirror).map_err(Failure::from)?;
    let (crates, last_import) = (status.counts.versions, status.last_import_text());
    shown(&Dashboard { frame: Frame::of("/"), crates, last_import })
}
