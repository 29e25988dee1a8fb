//! Runs the corpora of the fuzz targets, and what comes of them by chance: cut, flipped, grown and spliced. For longer,
//! with a fuzzer that watches where it gets: `cargo fuzz run <target>` in `crates/media`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::fs;
use std::path::Path;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// What is tried of each seed. Whole connections take longer than a parser.
fn tries(target: &str) -> usize {
    match target {
        "offer" | "datagrams" => 60,
        "dtls" => 400,
        "turn" => 400,
        _ => 20_000,
    }
}

fn mutate(random: &mut ChaCha8Rng, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 if at < bytes.len() => {
                bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].get(random.random_range(0..5)).unwrap()
            }
            3 => bytes.insert(at, random.random()),
            _ => {
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

#[test]
fn nothing_that_strangers_send_makes_anything_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for (name, target) in media::fuzzing::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let seeds: Vec<Vec<u8>> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| fs::read(entry.unwrap().path()).unwrap())
            .collect();
        assert!(!seeds.is_empty(), "{name} has no corpus");
        for seed in &seeds {
            target(seed);
            for _ in 0..tries(name) {
                let other = &seeds[random.random_range(0..seeds.len())];
                target(&mutate(&mut random, seed, other));
            }
        }
    }
}
