//! Arbitrary bytes and arbitrary mutations: never a panic, and never good.

use proptest::prelude::*;

use crate::bundle_hostile::{regions, small, streamed};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_never_good(bytes in prop::collection::vec(any::<u8>(), 0..400), after in 0usize..3) {
        let good = small().bytes();
        let (_, end) = regions(&good);
        let kept = [0, 96, end][after];
        let bytes = [&good[..kept], &bytes].concat();
        prop_assert!(bytes == good || !streamed(&bytes).is_empty());
    }

    #[test]
    fn no_mutation_of_a_good_bundle_is_good(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5)) {
        let good = small().bytes();
        let mut bytes = good.clone();
        for (place, value, kind) in edits {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = value,
                1 => bytes.insert(place, value),
                2 => drop(bytes.remove(place)),
                _ => {
                    let end = (place + usize::from(value)).min(bytes.len());
                    let part = bytes[place..end].to_vec();
                    bytes.extend_from_slice(&part);
                }
            }
        }
        prop_assert!(bytes == good || !streamed(&bytes).is_empty());
    }

    #[test]
    fn no_manifest_however_mutated_and_resealed_makes_it_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let bytes = small().bytes_with(|json| {
            let mut bytes = json.into_bytes();
            for (place, value) in edits {
                let place = place.index(bytes.len());
                // Below 128, so that it stays text.
                bytes[place] = value % 128;
            }
            String::from_utf8(bytes).expect("text")
        });
        // Whether this is good depends on what was hit; that it is answered at all is the point.
        let problems = streamed(&bytes);
        prop_assert!(problems.iter().all(|line| !line.is_empty()));
    }
}
