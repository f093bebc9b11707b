//! A dry run: the planned downloads and their sizes.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};

use crate::crate_id::CrateId;
use crate::digest::Sha256;
use crate::fetch::crate_downloader::CrateDownloader;
use crate::fetch::error::Error;
use crate::fetch::history::DeltaBase;
use crate::safe_path::SafePath;
use crate::upstream::dist::{DistDownloader, DownloadPlan};

/// The planned content of a bundle, with sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Every crate, sorted by name and version.
    pub crates: Vec<EstimatedFile<CrateId>>,
    /// Every dist file to send, sorted by path.
    pub dist_files: Vec<EstimatedFile<SafePath>>,
    /// Whether the run would write a bundle. A delta is not written if nothing is new.
    pub writes_bundle: bool,
    /// The inputs that the run would retire.
    pub forgotten: Vec<String>,
    /// The number of crates that the last bundle lists and the planned one does not.
    pub dropped_crates: u64,
    /// Likewise for dist files.
    pub dropped_dist_files: u64,
}

/// One file of a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimatedFile<K> {
    /// The crate, or the path below the dist root.
    pub key: K,
    /// Its digest. Several paths may have the same bytes, which are downloaded and packed once.
    pub sha256: Sha256,
    /// Its size in bytes, if the file is cached or upstream states the size.
    pub size: Option<u64>,
    /// Whether the file is in the cache.
    pub is_cached: bool,
}

impl DryRun {
    /// The known bytes of all files to pack. A bundle has little overhead.
    pub fn bytes_to_pack(&self) -> u64 {
        self.files().filter_map(|(_, size)| size).fold(0, u64::saturating_add)
    }

    /// Each file once: whether it is cached, and its size in bytes.
    fn files(&self) -> impl Iterator<Item = (bool, Option<u64>)> {
        let crates = self.crates.iter().map(|file| (file.sha256, (file.is_cached, file.size)));
        let dist_files = self.dist_files.iter().map(|file| (file.sha256, (file.is_cached, file.size)));
        crates.chain(dist_files).collect::<BTreeMap<_, _>>().into_values()
    }

    /// The number of files to download, their bytes, and the number of files with an unknown size.
    pub fn download_totals(&self) -> (usize, u64, usize) {
        let missing = self.files().filter(|(stored, _)| !stored);
        missing.fold((0, 0, 0), |(count, bytes, unknown), (_, size)| match size {
            Some(size) => (count + 1, bytes + size, unknown),
            None => (count + 1, bytes, unknown + 1),
        })
    }
}

/// Looks up every crate in the caches, and requests the sizes of the others from upstream.
pub async fn estimate_crates(wanted: &BTreeMap<CrateId, Sha256>, downloads: &CrateDownloader) -> Result<DryRun, Error> {
    let weighing = wanted.iter().map(|(id, sha256)| async move {
        let (size, stored) = downloads.estimate_size(id, *sha256).await?;
        Ok::<_, Error>(EstimatedFile { key: id.clone(), sha256: *sha256, size, is_cached: stored })
    });
    let weighed: Vec<Result<EstimatedFile<CrateId>, Error>> =
        stream::iter(weighing).buffered(downloads.jobs).collect().await;
    Ok(DryRun { crates: weighed.into_iter().collect::<Result<_, _>>()?, ..DryRun::default() })
}

/// Likewise for the dist files that are needed and that `base` lacks.
pub async fn estimate_dist_files(
    mut plan: DownloadPlan,
    base: Option<&DeltaBase>,
    dist: &DistDownloader,
) -> Result<Vec<EstimatedFile<SafePath>>, Error> {
    let to_send = |path: &SafePath, sha256: &Sha256| base.is_none_or(|base| !base.has_dist_file(path, *sha256));
    dist.fill_sizes(&mut plan, &to_send).await?;
    let planned =
        plan.files.into_iter().filter(|(path, needed)| needed.bytes.is_some() || to_send(path, &needed.sha256));
    Ok(planned
        .map(|(path, needed)| EstimatedFile {
            key: path,
            sha256: needed.sha256,
            size: needed.size,
            is_cached: needed.bytes.is_some() || dist.is_cached(&needed.sha256),
        })
        .collect())
}
