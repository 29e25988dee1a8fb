//! How the worlds of chance are played.

/// Plays a history of each seed from 0 on: `usual` of them, or as many as the environment's `<NAME>_SEEDS` says, or that of `<NAME>_SEED`
/// alone. One that goes wrong says its seed.
pub(crate) fn play(name: &str, usual: u64, history: impl Fn(u64)) {
    let read = |name: String| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match read(format!("{name}_SEED")) {
        Some(seed) => seed..seed + 1,
        None => 0..read(format!("{name}_SEEDS")).unwrap_or(usual),
    };
    for seed in seeds {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history(seed)));
        if let Err(trouble) = played {
            println!("{name}_SEED={seed}");
            std::panic::resume_unwind(trouble);
        }
    }
}
