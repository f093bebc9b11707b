//! Arbitrary bytes and arbitrary mutations: never a panic, and never good.

use proptest::prelude::*;

use crate::bundle_hostile::{manifest_and_payload_offsets, small_bundle, streaming_problems};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_never_a_valid_bundle(bytes in prop::collection::vec(any::<u8>(), 0..400), after in 0usize..3) {
        let good = small_bundle().bytes();
        let (_, end) = manifest_and_payload_offsets(&good);
        let kept = [0, 96, end][after];
        let bytes = [&good[..kept], &bytes].concat();
        prop_assert!(bytes == good || !streaming_problems(&bytes).is_empty());
    }

    #[test]
    fn no_mutated_bundle_is_valid(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5)) {
        let good = small_bundle().bytes();
        let mut bytes = good.clone();
        for (position, value, kind) in edits {
            let place = position.index(bytes.len());
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
        prop_assert!(bytes == good || !streaming_problems(&bytes).is_empty());
    }

    #[test]
    fn no_mutated_and_resealed_manifest_causes_a_panic(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let bytes = small_bundle().bytes_with(|json| {
            let mut bytes = json.into_bytes();
            for (position, value) in edits {
                let place = position.index(bytes.len());
                // Below 128, so that it stays text.
                bytes[place] = value % 128;
            }
            String::from_utf8(bytes).expect("text")
        });
        // Whether this is good depends on what was hit; that it is answered at all is the point.
        let problems = streaming_problems(&bytes);
        prop_assert!(problems.iter().all(|line| !line.is_empty()));
    }
}
