//! The limits of a set, and the rule for the number of its shards.

/// Maximum number of rows per shard on average.
///
/// With more, each change rewrites more text; with fewer, the list of shards outweighs the changes of a day.
pub const ROWS_PER_SHARD: u64 = 256;
/// Maximum number of bits in a shard's number.
pub const MAX_BITS: u32 = 16;
/// Maximum number of rows in a set.
pub const MAX_ROWS: u64 = ROWS_PER_SHARD << MAX_BITS;
/// Maximum size of a shard's text in bytes.
///
/// An average shard has 50 kB. Only a name with 20,000 versions fills one, and its index file would exceed its own limit.
pub const MAX_SHARD_SIZE: usize = 4 * 1024 * 1024;
/// Maximum length of a row in bytes, without its line break.
pub const MAX_ROW_LENGTH: usize = 32 * 1024;
/// Maximum number of inputs that a row names.
pub const MAX_INPUTS_PER_ROW: usize = 4096;
/// The highest number of an input.
pub const MAX_INPUT: u32 = 999_999;
/// Maximum size of a section of changes in bytes.
pub const MAX_SECTION_SIZE: usize = 4 * 1024 * 1024;
/// Maximum size of a list of shards in bytes: its first line, and a digest with a line break per shard.
pub const MAX_LIST_SIZE: usize = 64 + 65 * (1 << MAX_BITS);

/// The number of bits in a shard's number, in a set with this number of rows.
pub fn shard_bits(rows: u64) -> u32 {
    (0..MAX_BITS).find(|bits| rows <= ROWS_PER_SHARD << bits).unwrap_or(MAX_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_shards_follows_from_the_number_of_rows() {
        for (rows, bits) in [(0, 0), (256, 0), (257, 1), (512, 1), (513, 2), (100_000, 9), (2_400_000, 14)] {
            assert_eq!(shard_bits(rows), bits, "{rows}");
        }
        assert_eq!(shard_bits(MAX_ROWS), MAX_BITS);
        assert_eq!(shard_bits(u64::MAX), MAX_BITS);
    }
}
