//! The tree on disk: imported into under a lock, all or nothing, while its readers keep reading.
//!
//! | file | what it knows |
//! |---|---|
//! | [`layout`] | every path, and the format page of the tree |
//! | [`lock`] | who may change the tree: one process at a time |
//! | [`import`] | a bundle into the tree |
//! | `stager` | a bundle's bytes, staged as they pass |
//! | `warnings` | what is strange about a bundle that is good |
//! | [`index_merge`] | how lines of two origins become one index file |
//! | [`index_meta`] | what is recorded of every line |
//! | `disk_reserve` | room on the disk that only a collection may use |
//! | [`transaction`] | staging, placing by rename, taking back |
//! | [`live`] | what live mode brought: placed in batches, recorded, and let go |
//! | [`toolchains`] | what rustup's clients find: toolchains with their machines, targets and profiles |
//! | [`topo_sort`] | dependencies before their dependents |
//! | `dist_files` | which files of rustup and of toolchains are held |
//! | [`ledger`] | one record a bundle; the commit |
//! | [`retired`] | lineages that were let go |
//! | [`gc`] | what no lineage needs any more, planned, shown, and removed |
//! | [`summary`] | `manifest.json`: counts and lineages |
//! | [`stored_crates`](mod@stored_crates) | which crates are held, by name and version |
//! | [`index_link`] | `crates/index`, for cargo's local-registry |
//! | [`import_order`] | the order of several bundles |
//! | [`watcher_state`] | what the watcher last saw |
//! | [`status`] | what `status` prints |
//! | [`audit`] | every file against its record, every record against the files |
//! | [`export`] | the crates as a folder that cargo builds from |
//! | [`rebuild`] | lost records, made anew from what holds |

pub mod retired;
pub mod gc;
mod dist_files;
pub mod audit;
pub mod import_order;
pub mod export;
mod commit;
pub mod summary;
pub mod stored_crates;
mod inventory;
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
pub mod rebuild;
mod stager;
mod disk_reserve;
mod warnings;
pub mod snapshot;
pub mod status;
pub mod transaction;
