//! Pages of long lists.

/// A page of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pagination {
    /// The page number, from 1.
    pub(super) number: usize,
    /// The page size in entries.
    pub(super) size: usize,
}

impl Pagination {
    /// The entries of this page.
    pub(super) fn slice<'l, T>(&self, list: &'l [T]) -> &'l [T] {
        let begin = (self.number - 1).saturating_mul(self.size).min(list.len());
        &list[begin..begin.saturating_add(self.size).min(list.len())]
    }
}
