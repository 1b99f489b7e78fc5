//! Runs every input of the corpus once: those that the fuzzer started from, and those for which it
//! once found a bug.

use lattice_core_fuzz::{TARGETS, allocation::peak};
use std::{fs, path::Path};

#[test]
fn every_input_of_the_corpus_passes() {
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

#[test]
fn held_memory_is_counted() {
    assert_eq!(peak(|| Vec::<u8>::with_capacity(1_000)).1, 1_000);
    assert_eq!(peak(|| drop(std::hint::black_box(vec![1_u8; 500]))).1, 500);
}
