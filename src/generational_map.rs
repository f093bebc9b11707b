//! A cache with a fixed maximum weight, because clients choose its keys. It has two generations; the older one is
//! dropped as a whole when the younger one is full.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// The cache.
#[derive(Debug)]
pub struct GenerationalMap<K, V> {
    young: Generation<K, V>,
    old: Generation<K, V>,
    generation_weight: usize,
}

#[derive(Debug)]
struct Generation<K, V> {
    /// Each value with its weight.
    entries: HashMap<K, (V, usize)>,
    weight: usize,
}

impl<K, V> Default for Generation<K, V> {
    fn default() -> Generation<K, V> {
        Generation { entries: HashMap::new(), weight: 0 }
    }
}

impl<K: Eq + Hash, V> GenerationalMap<K, V> {
    /// An empty cache. A full one has between `generation_weight` and twice as much; a heavier value fills a generation
    /// alone.
    pub fn new(generation_weight: usize) -> GenerationalMap<K, V> {
        GenerationalMap { young: Generation::default(), old: Generation::default(), generation_weight }
    }

    /// The value, and whether it is in the old generation.
    pub fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<(&V, bool)>
    where
        K: Borrow<Q>,
    {
        let in_generation = |generation: &'_ Generation<K, V>| generation.entries.contains_key(key);
        let is_old = !in_generation(&self.young);
        let generation = if is_old { &self.old } else { &self.young };
        generation.entries.get(key).map(|(value, _)| (value, is_old))
    }

    /// The value.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).map(|(value, _)| value)
    }

    /// The value.
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let found = self.young.entries.get_mut(key).or_else(|| self.old.entries.get_mut(key));
        found.map(|(value, _)| value)
    }

    /// Adds or replaces a value in the young generation.
    pub fn insert(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if !self.young.entries.is_empty() && self.young.weight + weight > self.generation_weight {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.weight += weight;
        self.young.entries.insert(key, (value, weight));
    }

    /// Removes a value.
    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        for generation in [&mut self.young, &mut self.old] {
            if let Some((_, weight)) = generation.entries.remove(key) {
                generation.weight -= weight;
            }
        }
    }

    /// The weight of all values.
    pub fn weight(&self) -> usize {
        self.young.weight + self.old.weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_never_exceeds_two_generations() {
        let mut recent = GenerationalMap::new(10);
        for n in 0..1000 {
            recent.insert(n, n, 1);
            assert_eq!(recent.get(&n), Some(&n));
            for generation in [&recent.young, &recent.old] {
                assert!(generation.weight == generation.entries.len() && generation.weight <= 10);
            }
        }
        assert!(recent.get(&985).is_some() && recent.get(&900).is_none());
        recent.insert(985, 1, 1);
        assert_eq!(recent.find(&985), Some((&1, false)));
        assert!(!recent.old.entries.contains_key(&985));
        recent.remove(&985);
        assert_eq!(recent.get(&985), None);
        recent.insert(7, 7, 100);
        assert_eq!((recent.get(&7), recent.get(&999), recent.young.weight), (Some(&7), Some(&999), 100));
    }
}
