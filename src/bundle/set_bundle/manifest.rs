//! The manifest of a bundle with sections and parts, and its limits.

use serde::{Deserialize, Serialize};

use super::super::format::{BundleKind, FormatVersion, ID_DIGITS, Parent, SkippedPackage, derive_id};
use super::compressed_text::CompressedText;
use crate::inputs::input_id::InputKind;
use crate::mirror_file::FileKind;
use crate::sharded_set::SetSummary;

/// Maximum plain size of a manifest in bytes.
pub const MAX_MANIFEST_SIZE: u64 = 8 * 1024 * 1024;
/// Maximum weight of a manifest: its plain size, and the cost of its values in memory.
pub const MAX_MANIFEST_WEIGHT: u64 = 24 * 1024 * 1024;
/// Maximum number of sections. With 4 MiB each, they hold the largest set several times.
pub const MAX_SECTIONS: usize = 4096;
/// Maximum number of parts. A table of 2 MiB has about 10,000 entries.
pub const MAX_PARTS: usize = 8192;
/// Maximum number of registries.
pub const MAX_REGISTRIES: usize = 256;
/// Maximum length of a registry's URL in bytes.
pub const MAX_URL_LENGTH: usize = 1024;
/// Maximum number of policy exceptions.
pub const MAX_EXCEPTIONS: usize = 1024;
/// Maximum length of each text of a policy exception in bytes.
pub const MAX_EXCEPTION_TEXT: usize = 1024;

/// The manifest. Unknown keys are ignored; a new key that a reader must obey needs a new version.
///
/// The order of the fields is the order of the keys in the file. The ID is first, because it is derived from the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetManifest {
    /// 32 hexadecimal digits derived from the other fields.
    pub id: String,
    /// Version of the format, equal to the header's.
    pub format: FormatVersion,
    /// The tool that wrote it, `cargo-frostmirror 0.1.0`.
    pub tool: String,
    /// The creation time (RFC 3339, UTC, whole seconds).
    pub created: String,
    /// The kind: full or delta.
    pub kind: BundleKind,
    /// Whether it repairs a mirror: it contains exactly the requested files, and no set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repair: bool,
    /// The base bundle of a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The target triples.
    #[serde(default)]
    pub targets: Vec<String>,
    /// The included toolchains.
    #[serde(default)]
    pub toolchains: Vec<String>,
    /// When the index was read (RFC 3339, UTC).
    pub index_read: String,
    /// The lineage and its inputs.
    pub lineage: SetLineage,
    /// The numbers of the inputs of this run, ascending. The bundle relies on their rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fetched: Vec<u32>,
    /// The registries other than crates.io, ascending by ID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<RegistryRecord>,
    /// The change of the lineage's set; absent in a repair.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<StatedSet>,
    /// The parts of the payload.
    pub parts: Vec<Part>,
    /// The sums over all parts.
    pub totals: Totals,
    /// The exceptions from a policy, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<PolicyException>,
}

/// The lineage of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLineage {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The bundle's number in the lineage, from 1.
    pub sequence: u64,
    /// The id of the bundle with the number before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Every input that was not retired, ascending by number.
    pub inputs: Vec<NumberedInput>,
}

/// An input of a lineage. Rows of the set name it by its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedInput {
    /// Its number, which no other input of the lineage ever has.
    pub number: u32,
    /// Its label; for a `--crate`, its argument. Never a path.
    pub label: String,
    /// Its kind.
    pub kind: InputKindName,
    /// The requirements as the user wrote them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<String>,
    /// Packages that it needs and that no bundle of the lineage contains, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "left_out")]
    pub skipped_packages: Vec<SkippedPackage>,
}

/// The kind of an input. An unknown name is not malformed but newer, and the error says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum InputKindName {
    /// A kind that this version knows.
    Known(InputKind),
    /// Another one.
    Unknown(String),
}

/// A registry other than crates.io.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRecord {
    /// The ID that follows from its URL.
    pub id: String,
    /// The canonical index URL, without credentials.
    pub url: String,
    /// The name in cargo's configuration.
    pub name: String,
}

/// The change of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatedSet {
    /// The set to which the changes apply; absent for the empty set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<SetSummary>,
    /// The result.
    pub after: SetSummary,
    /// The changes, in sections.
    pub sections: Vec<CompressedText>,
}

/// A part of the payload: a table of blocks, and then the blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The table.
    pub table: CompressedText,
    /// The number of its entries.
    pub entries: u64,
    /// The stored size of its blocks in bytes.
    pub bytes: u64,
}

/// The sums over all parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Crates.
    pub crates: KindTotal,
    /// Index files.
    pub index: KindTotal,
    /// Files of toolchains.
    pub dist: KindTotal,
    /// Files of rustup.
    pub rustup: KindTotal,
    /// Configuration files.
    pub config: KindTotal,
}

/// The sums over the entries of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindTotal {
    /// The number of entries.
    pub entries: u64,
    /// Their plain size in bytes.
    pub bytes: u64,
}

/// A permitted exception from a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyException {
    /// The rule, such as `licenses`.
    pub rule: String,
    /// The registry: `-` for crates.io, otherwise an ID.
    pub registry: String,
    /// The name of the crate.
    pub name: String,
    /// The version of the crate.
    pub version: String,
    /// Why it is permitted.
    pub reason: String,
    /// The last day on which it is permitted, such as `2026-12-31`.
    pub expires: String,
}

impl SetManifest {
    /// Sets the ID, which is derived from the other fields.
    pub fn assign_id(&mut self) {
        self.id = "0".repeat(ID_DIGITS);
        self.id = derive_id(self);
    }

    /// The first input of a kind that this version does not know, for a message.
    pub(super) fn unknown_input_kind(&self) -> Option<String> {
        let shorten = |text: &str| text.chars().take(80).collect::<String>().escape_debug().to_string();
        self.lineage.inputs.iter().find_map(|input| match &input.kind {
            InputKindName::Known(_) => None,
            InputKindName::Unknown(kind) => {
                let (label, kind) = (shorten(&input.label), shorten(kind));
                Some(format!("the input `{label}` has the kind `{kind}`, which this version does not know"))
            }
        })
    }

    /// The stored size of everything after the manifest, in bytes. `None` if the sum overflows.
    pub fn payload_size(&self) -> Option<u64> {
        let sections = self.set.iter().flat_map(|set| &set.sections).map(|section| Some(section.stored));
        let parts = self.parts.iter().map(|part| part.table.stored.checked_add(part.bytes));
        sections.chain(parts).try_fold(0u64, |sum, size| sum.checked_add(size?))
    }
}

impl Totals {
    /// Counts an entry. `None` if a sum overflows.
    pub(super) fn add(&mut self, kind: FileKind, size: u64) -> Option<()> {
        let total = match kind {
            FileKind::Crate => &mut self.crates,
            FileKind::Index => &mut self.index,
            FileKind::Dist => &mut self.dist,
            FileKind::Rustup => &mut self.rustup,
            FileKind::Config => &mut self.config,
        };
        total.entries = total.entries.checked_add(1)?;
        total.bytes = total.bytes.checked_add(size)?;
        Some(())
    }

    /// The sums over all kinds; `None` if a sum overflows.
    pub fn sum(&self) -> Option<KindTotal> {
        let all = [self.crates, self.index, self.dist, self.rustup, self.config];
        all.into_iter().try_fold(KindTotal::default(), |sum, one| {
            Some(KindTotal { entries: sum.entries.checked_add(one.entries)?, bytes: sum.bytes.checked_add(one.bytes)? })
        })
    }
}
