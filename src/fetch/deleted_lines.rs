//! Index lines that upstream deleted: from the history, a mirror or an earlier bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bounded_read::read_at_most;
use crate::bundle::format::Entry;
use crate::bundle::open::{EntryVisitor, open_any};
use crate::crate_id::CrateId;
use crate::event::Sink;
use crate::fetch::history::History;
use crate::fetch::resolve::{ExactVersions, LineArchive, RecoveredLine};
use crate::index_line::IndexLine;
use crate::mirror_file::FileKind;
use crate::upstream::registry_client::MAX_INDEX_FILE;

/// The sources of index lines, in search order.
pub(super) struct LineSources {
    /// The history's folder.
    pub(super) history: PathBuf,
    /// The mirrors and bundles of `--reuse`.
    pub(super) reuse: Vec<PathBuf>,
    /// A folder for the uncompressed form of 1.x bundles.
    pub(super) scratch: PathBuf,
    /// Receives warnings about unreadable sources.
    pub(super) sink: Arc<dyn Sink>,
}

impl LineArchive for LineSources {
    fn recover_lines(&self, wanted: &ExactVersions) -> BTreeMap<CrateId, RecoveredLine> {
        let mut found = BTreeMap::new();
        match History::read(&self.history).and_then(|memory| memory.sent_lines()) {
            Ok(lines) => {
                for (id, line) in lines {
                    // The lines of the history were checked against upstream's index, so they need no checksum of a
                    // lock.
                    if wanted.get(&id).is_some_and(|locked| locked.is_none_or(|locked| locked == line.cksum)) {
                        found
                            .insert(id, RecoveredLine { line, origin: "an earlier bundle of this history".to_owned() });
                    }
                }
            }
            Err(error) => self.sink.warning(error.to_string()),
        }
        for source in &self.reuse {
            let missing: ExactVersions =
                wanted.iter().filter(|(id, _)| !found.contains_key(*id)).map(|(id, sum)| (id.clone(), *sum)).collect();
            if missing.is_empty() {
                break;
            }
            let lines = if source.is_dir() {
                lines_in_mirror(source, &missing)
            } else {
                self.lines_in_bundle(source, &missing)
            };
            for line in lines {
                // The lock gives the file's digest, which covers everything that cargo builds.
                if missing.get(&line.id).is_some_and(|locked| *locked == Some(line.cksum)) {
                    found.insert(line.id.clone(), RecoveredLine { line, origin: format!("`{}`", source.display()) });
                }
            }
        }
        found
    }
}

/// Returns the lines of the requested crates in a mirror's index.
fn lines_in_mirror(mirror: &Path, wanted: &ExactVersions) -> Vec<IndexLine> {
    let lines = wanted.keys().filter_map(|id| {
        let bytes = read_at_most(&mirror.join("index").join(id.name.index_path()), MAX_INDEX_FILE).ok()??;
        IndexLine::find_version(str::from_utf8(&bytes).ok()?, &id.name, &id.version)
    });
    lines.collect()
}

impl LineSources {
    /// Likewise for a bundle. Its errors are reported when its files are reused.
    fn lines_in_bundle(&self, bundle: &Path, wanted: &ExactVersions) -> Vec<IndexLine> {
        let mut lines = LineCollector {
            paths: wanted.keys().map(|id| format!("index/{}", id.name.index_path())).collect(),
            text: None,
            found: Vec::new(),
        };
        let name = bundle.display().to_string();
        let Ok(file) = File::open(bundle) else { return Vec::new() };
        let Ok(opened) = open_any(Box::new(file), &name, &self.scratch) else { return Vec::new() };
        match opened.stream(&mut lines) {
            Ok(_) => lines.found,
            Err(_) => Vec::new(),
        }
    }
}

/// Collects the lines of some index entries.
struct LineCollector {
    paths: BTreeSet<String>,
    text: Option<Vec<u8>>,
    found: Vec<IndexLine>,
}

impl EntryVisitor for LineCollector {
    fn begin(&mut self, entry: &Entry) -> io::Result<()> {
        self.text = (entry.kind == FileKind::Index && self.paths.contains(entry.path.as_str())).then(Vec::new);
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(text) = &mut self.text {
            text.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self, _: &Entry, good: bool) -> io::Result<()> {
        if let Some(text) = self.text.take().filter(|_| good) {
            self.found.extend(IndexLine::parse_file(&String::from_utf8_lossy(&text)));
        }
        Ok(())
    }
}
