//! Lists the crates of the mirror. Their names are cached; details of the requested crates are read from files.
//!
//! Names come from the paths of index files only. The list is rebuilt when the mirror's summary changes, which every import
//! and gc replaces, or when it is old.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Serialize;

use super::pagination::Pagination;
use super::provenance::{self, Provenance, ProvenanceView};
use super::search::{self, Relevance, SearchResult, SearchTerms, normalize};
use crate::crate_id::{CrateName, Version};
use crate::digest::Sha256;
use crate::durable;
use crate::error_report::Failure;
use crate::file_stamp::FileStamp;
use crate::index_line::IndexLine;
use crate::mirror::index_meta;
use crate::mirror::layout::Layout;

/// The lifetime of a list if the mirror has a summary, whose changes also invalidate it.
const NAMES_TTL: Duration = Duration::from_secs(300);
/// The lifetime without a summary, as in a manually copied mirror.
const NAMES_TTL_WITHOUT_SUMMARY: Duration = Duration::from_secs(2);
/// Maximum number of names; crates.io has a fifth of it.
const MAX_NAMES: usize = 1_000_000;
/// Maximum size in bytes of an index file; the largest of crates.io has a tenth of it.
const MAX_INDEX_FILE: u64 = 64 * 1024 * 1024;
/// Maximum number of versions per crate in a list of crates.
pub(super) const MAX_LISTED_VERSIONS: usize = 50;

/// A crate with its newest versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct CrateSummary {
    /// Its name.
    pub(super) name: String,
    /// The description, from the newest bundle that has one; one line, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The number of versions in the index.
    pub(super) versions_total: u64,
    /// Newest first, at most fifty.
    pub(super) versions: Vec<CrateVersion>,
}

/// A crate with one page of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct CrateDetail {
    /// Its name.
    pub(super) name: String,
    /// The description, from the newest bundle that has one; one line, shortened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The number of versions in the index.
    pub(super) versions_total: u64,
    /// The total size in bytes of all stored versions.
    pub(super) bytes: u64,
    /// The page number, from 1.
    pub(super) page: u64,
    /// The page size in versions.
    pub(super) per_page: u64,
    /// Whether all import records are read; otherwise `bundle` may be absent although a bundle contained the version.
    pub(super) bundles_known: bool,
    /// Which import records could not be read, so that `bundle` may be absent or wrong. Absent if all could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundles_problem: Option<String>,
    /// The versions of this page, newest first.
    pub(super) versions: Vec<CrateVersion>,
}

/// A version in the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct CrateVersion {
    /// The version.
    pub(super) version: String,
    /// The file size in bytes; absent if it is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    /// The file's expected SHA-256.
    pub(super) sha256: String,
    /// Whether it is yanked.
    pub(super) yanked: bool,
    /// Whether a platform filter left its file out, so that cargo can resolve but not build it.
    pub(super) index_only: bool,
    /// The file name of the first recorded bundle that contained it; absent if there is none or it is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundle: Option<String>,
}

impl CrateVersion {
    /// Whether live mode fetched it, and no bundle contained it.
    pub(super) fn is_from_live_mode(&self) -> bool {
        self.bundle.as_deref() == Some(provenance::LIVE_MODE_BUNDLE)
    }
}

/// A page of the list of crates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct CrateList {
    /// The number of matching crate names in the index. Versions that await deletion are not in the index.
    pub(super) total: u64,
    /// The page number, from 1.
    pub(super) page: u64,
    /// The page size in crates.
    pub(super) per_page: u64,
    /// Whether all import records are read; otherwise `bundle` may be absent although a bundle contained the version.
    pub(super) bundles_known: bool,
    /// Which import records could not be read, so that `bundle` may be absent or wrong. Absent if all could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bundles_problem: Option<String>,
    /// The crates of this page, by name.
    pub(super) crates: Vec<CrateSummary>,
}

/// The cached names, and the known sources of crates.
#[derive(Default)]
pub(super) struct CrateCatalog {
    names: Mutex<Option<CachedNames>>,
    provenance: Provenance,
}

struct CachedNames {
    summary_stamp: Option<FileStamp>,
    listed_at: Instant,
    names: Arc<[Box<str>]>,
}

impl CrateCatalog {
    /// A page of the crates whose name contains `word`, exact matches first. `-` equals `_`, and case is ignored.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn list(&self, layout: &Layout, word: &str, page: Pagination) -> Result<CrateList, Failure> {
        let names = self.names(layout)?;
        let word = normalize(word.trim());
        let mut found: Vec<&str> = names
            .iter()
            .map(|name| &**name)
            .filter(|name| word.is_empty() || normalize(name).contains(&word))
            .collect();
        if let Some(at) = found.iter().position(|name| normalize(name) == word) {
            found[..=at].rotate_right(1);
        }
        let provenance = self.provenance.view(layout);
        let descriptions = provenance.descriptions();
        let newest = Pagination { number: 1, size: MAX_LISTED_VERSIONS };
        let mut crates = Vec::new();
        for name in page.slice(&found) {
            // A crate that was removed in the meantime is omitted.
            let Ok(name) = name.parse::<CrateName>() else { continue };
            let lines = read_sorted_lines(layout, &name)?;
            let Some(first) = lines.first() else { continue };
            crates.push(CrateSummary {
                name: first.id.name.to_string(),
                description: descriptions.get(name.as_str()).map(str::to_owned),
                versions_total: lines.len() as u64,
                versions: read_versions(layout, &name, newest.slice(&lines), &provenance)?,
            });
        }
        let (total, number, size) = (found.len() as u64, page.number as u64, page.size as u64);
        Ok(CrateList {
            total,
            page: number,
            per_page: size,
            bundles_known: provenance.is_complete,
            bundles_problem: provenance.problem,
            crates,
        })
    }

    /// The crates whose names or descriptions match, best match first: the total number, and one page.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn search(
        &self,
        layout: &Layout,
        terms: &SearchTerms,
        page: Pagination,
    ) -> Result<(u64, Vec<SearchResult>), Failure> {
        let names = self.names(layout)?;
        let descriptions = self.provenance.view(layout).descriptions();
        let relevance = |name: &'_ str| terms.relevance(name, descriptions.get(name));
        let mut matches: Vec<(Relevance, &str)> =
            names.iter().filter_map(|name| Some((relevance(name)?, &**name))).collect();
        matches.sort_unstable();
        let mut found = Vec::new();
        for (fit, name) in page.slice(&matches) {
            let Ok(name) = name.parse::<CrateName>() else { continue };
            let lines = read_lines(layout, &name)?;
            // A crate that was removed in the meantime is omitted.
            let Some(best) = search::best_version(layout, &lines) else { continue };
            let spelled = best.id.name.to_string();
            let version = best.id.version.to_string();
            found.push(SearchResult {
                id: spelled.clone(),
                description: descriptions.get(name.as_str()).map(str::to_owned),
                max_stable_version: best.id.version.pre.is_empty().then(|| version.clone()),
                max_version: version,
                exact_match: *fit == Relevance::ExactName,
                name: spelled,
            });
        }
        Ok((matches.len() as u64, found))
    }

    /// A crate with one page of its versions; `None` if the index does not list it.
    ///
    /// # Errors
    /// The file system's.
    pub(super) fn detail(
        &self,
        layout: &Layout,
        name: &CrateName,
        page: Pagination,
    ) -> Result<Option<CrateDetail>, Failure> {
        let lines = read_sorted_lines(layout, name)?;
        let Some(first) = lines.first() else { return Ok(None) };
        let provenance = self.provenance.view(layout);
        let small = name.as_str().to_ascii_lowercase();
        Ok(Some(CrateDetail {
            name: first.id.name.to_string(),
            description: provenance.descriptions().get(&small).map(str::to_owned),
            versions_total: lines.len() as u64,
            bytes: lines.iter().filter_map(|line| stored_size(layout, line)).fold(0, u64::saturating_add),
            page: page.number as u64,
            per_page: page.size as u64,
            bundles_known: provenance.is_complete,
            versions: read_versions(layout, name, page.slice(&lines), &provenance)?,
            bundles_problem: provenance.problem,
        }))
    }

    /// The names of all crates, in lower case, sorted.
    fn names(&self, layout: &Layout) -> Result<Arc<[Box<str>]>, Failure> {
        let path = layout.summary();
        let head = FileStamp::read(&path)
            .map_err(|error| Failure::io(format!("could not read `{}`", path.display()), error))?;
        let ttl = if head.is_some() { NAMES_TTL } else { NAMES_TTL_WITHOUT_SUMMARY };
        // Only one list is built at a time; concurrent callers wait for it.
        let mut cached = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(names) =
            cached.as_ref().filter(|names| names.summary_stamp == head && names.listed_at.elapsed() < ttl)
        {
            return Ok(Arc::clone(&names.names));
        }
        let listed = Instant::now();
        let mut names = Vec::new();
        collect_names(&layout.index(), &layout.index(), 3, &mut names)
            .map_err(|error| Failure::io(format!("could not list `{}`", layout.index().display()), error))?;
        names.sort_unstable();
        let names: Arc<[Box<str>]> = names.into();
        *cached = Some(CachedNames { summary_stamp: head, listed_at: listed, names: Arc::clone(&names) });
        Ok(names)
    }
}

/// Adds the names of all index files in `folder`, down to `depth` levels of subfolders; links are not followed.
fn collect_names(root: &Path, folder: &Path, depth: u32, names: &mut Vec<Box<str>>) -> io::Result<()> {
    let Some(entries) = durable::if_exists(fs::read_dir(folder))? else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_dir() && depth > 0 {
            collect_names(root, &path, depth - 1, names)?;
        } else if kind.is_file() && names.len() < MAX_NAMES {
            let name = entry.file_name().to_str().and_then(|name| name.parse::<CrateName>().ok());
            let relative = path.strip_prefix(root).ok();
            names.extend(
                name.filter(|name| relative == Some(Path::new(&name.index_path()))).map(|name| name.as_str().into()),
            );
        }
    }
    Ok(())
}

/// The details of these versions of a crate from the index, the records and the files.
fn read_versions(
    layout: &Layout,
    name: &CrateName,
    lines: &[IndexLine],
    provenance: &ProvenanceView<'_>,
) -> Result<Vec<CrateVersion>, Failure> {
    let records = read_text(&layout.index_meta_file(name))?.unwrap_or_default();
    let records: HashMap<(Version, Sha256), bool> = index_meta::parse(&records)
        .into_iter()
        .map(|record| ((record.version, record.line_sha256), record.index_only))
        .collect();
    let version = |line: &IndexLine| {
        let version = line.id.version.to_string();
        let bytes = stored_size(layout, line);
        let recorded = records.get(&(line.id.version.clone(), Sha256::of(line.raw.as_bytes())));
        CrateVersion {
            bytes,
            sha256: line.cksum.to_string(),
            yanked: line.yanked,
            index_only: bytes.is_none() && recorded == Some(&true),
            bundle: provenance.bundle_of(line.id.name.as_str(), &version).map(|file| file.to_string()),
            version,
        }
    };
    Ok(lines.iter().map(version).collect())
}

/// The size of a version's file in bytes; `None` if it is not stored.
fn stored_size(layout: &Layout, line: &IndexLine) -> Option<u64> {
    let about = fs::symlink_metadata(layout.crate_file(&line.id)).ok().filter(fs::Metadata::is_file);
    about.as_ref().map(fs::Metadata::len)
}

/// The index lines of a crate, newest version first.
fn read_sorted_lines(layout: &Layout, name: &CrateName) -> Result<Vec<IndexLine>, Failure> {
    let mut lines = read_lines(layout, name)?;
    lines.sort_by(|a, b| b.id.version.cmp(&a.id.version));
    Ok(lines)
}

/// The index lines of a crate.
fn read_lines(layout: &Layout, name: &CrateName) -> Result<Vec<IndexLine>, Failure> {
    let Some(text) = read_text(&layout.index_file(name))? else { return Ok(Vec::new()) };
    let index_path = name.index_path();
    // Lines of another crate are ignored.
    Ok(IndexLine::parse_file(&text).filter(|line| line.id.name.index_path() == index_path).collect())
}

/// The text of a file that is not a link; `None` if it is missing or cannot be an index file.
fn read_text(path: &Path) -> Result<Option<String>, Failure> {
    let failed = |error| Failure::io(format!("could not read `{}`", path.display()), error);
    let about = durable::if_exists(fs::symlink_metadata(path)).map_err(failed)?;
    if !about.is_some_and(|about| about.is_file() && about.len() <= MAX_INDEX_FILE) {
        return Ok(None);
    }
    let bytes = durable::if_exists(fs::read(path)).map_err(failed)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, version: &str, yanked: bool) -> String {
        let cksum = Sha256::of(version.as_bytes());
        format!(
            r#"{{"name":"{name}","vers":"{version}","deps":[],"cksum":"{cksum}","features":{{}},"yanked":{yanked}}}"#
        )
    }

    #[test]
    fn crates_are_found_by_any_part_of_their_name() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let layout = Layout::new(folder.path());
        let put = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
            fs::write(path, text).expect("write");
        };
        let catalog = CrateCatalog::default();
        let page = Pagination { number: 1, size: 10 };
        let found = |word: &str| {
            *catalog.names.lock().expect("sound") = None;
            let listed = catalog.list(&layout, word, page).expect("read");
            listed.crates.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(""), Vec::<String>::new());
        put("index/fo/o_/Foo_Bar".to_lowercase().as_str(), &format!("{}\n", line("Foo_Bar", "1.0.0", false)));
        put("index/3/b/bar", &format!("{}\n{}\n", line("bar", "1.2.0", true), line("bar", "1.10.0", false)));
        put("index/config.json", "{}");
        put("index/3/b/misplaced", &line("misplaced", "1.0.0", false));
        put("index/2/b2", "no line\n");
        put("crates/bar-1.10.0.crate", "12345");
        assert_eq!(found(""), ["bar", "Foo_Bar"]);
        assert_eq!(found("foo-b"), ["Foo_Bar"]);
        assert_eq!(found("BAR"), ["bar", "Foo_Bar"]);
        assert_eq!(found("../"), Vec::<String>::new());
        let one = |name: &str, page| catalog.detail(&layout, &name.parse().expect("name"), page).expect("read");
        let bar = one("bar", page).expect("held");
        let listed: Vec<_> = bar.versions.iter().map(|one| (one.version.as_str(), one.bytes, one.yanked)).collect();
        assert_eq!(listed, [("1.10.0", Some(5), false), ("1.2.0", None, true)]);
        let second = one("bar", Pagination { number: 2, size: 1 }).expect("held");
        assert_eq!((second.versions.len(), second.versions[0].version.as_str()), (1, "1.2.0"));
        assert_eq!((second.versions_total, second.bytes), (2, 5), "said of all, whatever the part");
        assert_eq!(one("bar", Pagination { number: 3, size: 1 }).expect("held").versions, []);
        assert_eq!(one("config", page), None);
    }
}
