//! A generational LRU map with a fixed maximum size, because clients choose the keys.

use std::collections::HashMap;
use std::hash::Hash;

/// A table in two halves; the older one is dropped when the younger one is full.
#[derive(Debug)]
pub(super) struct LruMap<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    segment_size: usize,
}

impl<K: Eq + Hash, V> LruMap<K, V> {
    /// An empty table. A full one has between `half` and twice as many entries.
    pub(super) fn new(half: usize) -> LruMap<K, V> {
        LruMap { young: HashMap::new(), old: HashMap::new(), segment_size: half }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.segment_size && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_never_exceeds_two_segments() {
        let mut recent = LruMap::new(10);
        for n in 0..1000 {
            recent.insert(n, n);
            assert_eq!(recent.get(&n), Some(&n));
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert!(recent.get(&985).is_some() && recent.get(&900).is_none());
        recent.insert(985, 1);
        assert_eq!((recent.get(&985), recent.old.contains_key(&985)), (Some(&1), false));
        recent.remove(&985);
        assert_eq!(recent.get(&985), None);
    }
}
