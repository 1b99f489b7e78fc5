//! Runs every input of the corpus once: those that the fuzzer starts from, and those with which it
//! has found a fault.

use lattice_host_fuzz::{TARGETS, map, sample, wire};
use std::{fs, path::Path};

#[test]
fn the_corpus_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let folder = corpus.join(name);
        let inputs: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.expect("a file").path())
            .collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            println!("{}", input.display());
            target(&fs::read(&input).expect("readable"));
        }
    }
}

/// A regression test: up to 50 bytes were held for each key of a map.
#[test]
fn the_memory_held_for_the_keys_of_a_map_is_bounded() {
    for count in [100, 2_000, 12_000] {
        wire(&map(count));
    }
}

/// Runs a value of every type of the table, because the corpus may not have them all.
#[test]
fn every_type_is_moved() {
    for first in 0..=u8::MAX {
        for (_, target) in TARGETS {
            for second in 0..4 {
                target(&[first, second]);
                target(&[&[first, second][..], &[0; 200]].concat());
                target(&[&[first, second][..], &[8; 200]].concat());
            }
        }
        for seed in 0..20 {
            let input = sample(first, seed);
            wire(&input);
            wire(&input[..input.len() - 1]);
        }
    }
}
