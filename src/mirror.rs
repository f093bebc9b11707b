//! The mirror on disk. Imports change it under a lock and apply completely or not at all. Readers keep reading
//! meanwhile.
//!
//! | file | purpose |
//! |---|---|
//! | [`layout`] | all paths; the page that describes the on-disk format |
//! | [`lock`] | write lock: one process at a time changes the mirror |
//! | [`import`] | imports a bundle |
//! | `bundle_stager` | stages a bundle's files while the bundle is read |
//! | `warnings` | suspicious properties of valid bundles |
//! | [`index_merge`] | merges index lines of two origins into one index file |
//! | `crate_sources` | finds the bundles on record that had a crate |
//! | `line_conflict` | decides conflicts between stored index lines and those of a bundle |
//! | `packaged_manifest` | compares an index line with the Cargo.toml in its crate |
//! | `index_changes` | the changed index files of a transaction, in their order |
//! | [`index_meta`] | the record of each index line |
//! | `disk_reserve` | disk space reserved for garbage collections |
//! | `disk` | reads files and folders that may be missing |
//! | `listing` | all files by name, for collections, audits and rebuilds |
//! | `item` | a stored file: a crate or a dist file |
//! | `existing_file` | what is at an item's path before the item is stored |
//! | `staging` | staged files, and the error of a file operation |
//! | [`transaction`] | journal, commit, rollback, completion after a kill |
//! | [`live`] | files stored by live mode: commits in batches, records, removal |
//! | [`toolchains`] | toolchains available to rustup, with their hosts, targets and profiles |
//! | [`topo_sort`] | sorts dependencies before their dependents |
//! | `dist_files` | which dist files are stored |
//! | [`ledger`] | one record per bundle; writing the record is the commit |
//! | `set_store` | the sets of lineages in the ledger; not used yet |
//! | [`retired`] | retired lineages |
//! | `carried_history` | the manifests of a snapshot's histories |
//! | [`gc`] | plans, shows and removes unreferenced files |
//! | `pending_deletions` | since when unreferenced files wait for their deletion |
//! | [`summary`] | `manifest.json`: counts and lineages |
//! | `stated_tips` | compares the newest bundles in manifest.json with their records |
//! | [`stored_crates`](mod@stored_crates) | which crates are stored, by name and version |
//! | [`index_link`] | `crates/index`, for cargo's local-registry |
//! | [`import_order`] | the order in which several bundles are imported |
//! | [`watcher_state`] | what the watcher last observed |
//! | [`status`] | what `status` prints |
//! | [`lost_items`] | items that a lineage needs and that the mirror lost, and the bundles that contain them |
//! | [`audit`] | checks every file against its record and every record against the files |
//! | [`export`] | exports the crates as a folder that cargo builds from |
//! | [`rebuild`] | rebuilds lost records from valid files |

#[cfg_attr(not(test), expect(dead_code, reason = "imports do not write sets yet"))]
mod set_store;
pub mod retired;
pub mod gc;
mod dist_files;
pub mod lost_items;
pub mod audit;
pub mod import_order;
pub mod export;
mod commit;
mod carried_history;
mod history_statements;
pub mod summary;
pub mod lineages;
pub mod stored_crates;
mod inventory;
pub mod unstored_lines;
pub mod import;
pub mod watcher_state;
pub mod index_merge;
pub mod layout;
pub mod ledger;
pub mod index_meta;
pub mod index_link;
pub mod live;
pub mod lock;
pub mod toolchains;
pub mod topo_sort;
mod pending_lines;
mod pending_deletions;
pub mod rebuild;
mod bundle_stager;
mod staging;
mod guard;
mod item;
mod existing_file;
mod listing;
mod disk;
mod index_changes;
mod crate_sources;
mod line_conflict;
mod stated_tips;
mod packaged_manifest;
mod disk_reserve;
mod warnings;
pub mod snapshot;
pub mod status;
pub mod transaction;

pub use disk_reserve::missing_reserve;
