//! How long many things took: counted by size class, so that a million of them take no more room than one.

/// Up to so many microseconds they are exact.
const EXACT: usize = 256;

/// Then each doubling has so many classes: none is further than 0.8 % from what it stands for.
const CLASSES: usize = EXACT / 2;

/// How many doublings there are: up to 2^32 us, more than an hour.
const DOUBLINGS: usize = 24;

/// Durations in microseconds.
#[derive(Debug, Clone)]
pub struct Delays {
    counts: Vec<u64>,
    count: u64,
    most: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { counts: vec![0; EXACT + DOUBLINGS * CLASSES], count: 0, most: 0 }
    }
}

fn class_of(us: u64) -> usize {
    let doublings = (u64::BITS - us.leading_zeros()).saturating_sub(EXACT.trailing_zeros()) as usize;
    let highest_bits = (us >> doublings) as usize;
    match doublings {
        0 => highest_bits,
        _ => EXACT + (doublings - 1) * CLASSES + highest_bits - CLASSES,
    }
}

/// The longest duration of a class.
fn longest_of(class: usize) -> u64 {
    let Some(beyond) = class.checked_sub(EXACT) else { return class as u64 };
    let (doublings, highest_bits) = (beyond / CLASSES + 1, beyond % CLASSES + CLASSES);
    ((highest_bits as u64 + 1) << doublings) - 1
}

impl Delays {
    /// One more.
    pub fn record(&mut self, us: u64) {
        let last = self.counts.len() - 1;
        if let Some(count) = self.counts.get_mut(class_of(us).min(last)) {
            *count += 1;
        }
        self.count += 1;
        self.most = self.most.max(us);
    }

    /// All of the others too.
    pub fn add(&mut self, others: &Self) {
        self.counts.iter_mut().zip(&others.counts).for_each(|(count, more)| *count += more);
        self.count += others.count;
        self.most = self.most.max(others.most);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, in microseconds.
    pub fn longest_us(&self) -> u64 {
        self.most
    }

    /// What a `share` of them (0 to 1) took no longer than, in microseconds; 0 when there are none.
    pub fn percentile_us(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let class = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        class.map_or(0, longest_of).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_where_its_durations_are() {
        for us in (0..5000).chain((12..32).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1])) {
            let class = class_of(us);

            assert!(us <= longest_of(class), "{us}");
            assert!(class == 0 || longest_of(class - 1) < us, "{us}");
            assert!(longest_of(class) as f64 <= us as f64 * 1.008 + 1.0, "{us}");
        }
    }

    #[test]
    fn percentiles_are_of_all() {
        let (mut some, mut others) = (Delays::default(), Delays::default());
        (1..=90).for_each(|ms| some.record(ms * 1000));
        (91..=100).for_each(|ms| others.record(ms * 1000));
        some.add(&others);

        let near = |share: f64, ms: f64| (some.percentile_us(share) as f64 / 1000.0 / ms - 1.0).abs() < 0.01;
        assert!(near(0.5, 50.0) && near(0.99, 99.0) && near(1.0, 100.0), "{}", some.percentile_us(0.5));
        assert_eq!((some.count(), some.longest_us()), (100, 100_000));
        assert_eq!(Delays::default().percentile_us(0.5), 0);
    }

    #[test]
    fn what_takes_for_ever_is_the_longest() {
        let mut delays = Delays::default();
        delays.record(u64::MAX);
        assert!(delays.percentile_us(1.0) > 1 << 31);
    }
}
