//! A dry run: what would be downloaded, and what it weighs.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use super::Error;
use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::gather::download::Downloads;

/// What would be in a bundle, with weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighed {
    /// Every crate, sorted by name and version.
    pub crates: Vec<PlannedCrate>,
}

/// One crate of a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedCrate {
    /// Which.
    pub id: CrateId,
    /// Bytes of its file, where it is here or upstream says.
    pub size: Option<u64>,
    /// Whether it is here already.
    pub held: bool,
}

impl Weighed {
    /// Crates to download, their bytes, and how many of them upstream does not weigh.
    pub fn to_download(&self) -> (usize, u64, usize) {
        let missing = self.crates.iter().filter(|planned| !planned.held);
        missing.fold((0, 0, 0), |(count, bytes, unknown), planned| match planned.size {
            Some(size) => (count + 1, bytes + size, unknown),
            None => (count + 1, bytes, unknown + 1),
        })
    }
}

/// Looks for every crate here, and asks upstream what the others weigh.
pub async fn weigh(wanted: &BTreeMap<CrateId, Sha256>, downloads: &Downloads) -> Result<Weighed, Error> {
    let weighing = wanted.iter().map(|(id, sha256)| async move {
        let (size, held) = downloads.weigh(id, *sha256).await?;
        Ok::<_, Error>(PlannedCrate { id: id.clone(), size, held })
    });
    let weighed: Vec<Result<PlannedCrate, Error>> = stream::iter(weighing).buffered(downloads.jobs).collect().await;
    Ok(Weighed { crates: weighed.into_iter().collect::<Result<_, _>>()? })
}
