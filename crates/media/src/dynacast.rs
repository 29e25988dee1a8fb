//! Which layers of a publisher anybody wants: a layer that nobody has wanted for a while need not be sent at all, and one that
//! somebody wants is sent at once.
//!
//! Viewers, wherever they are, note on the source which layers their links and screens admit; its publisher's worker looks at
//! that, and tells what has changed. A viewer admits whatever is below what it gets, so that it can always go down.
//!
//! A browser whose uplink is too narrow for all of them sends a larger layer now and then and takes it back: each time begins with
//! a keyframe, for which its estimate falls, and the smaller ones suffer, too. A layer that has stopped by itself is asked for
//! without the smaller ones where nobody needs those, and else not at all for a while.

use smallvec::SmallVec;

use crate::source::{MAX_LAYERS, Source};

/// For how long a layer is sent that nobody wants any more.
const OFF_AFTER_US: u64 = 4_000_000;

/// The same of a smaller one beside which its publisher has no room for what is watched.
const OFF_BESIDE_AFTER_US: u64 = 1_000_000;

/// A layer that was asked for and does not come in this time is one that its publisher cannot send.
const GIVEN_UP_AFTER_US: u64 = 5_000_000;

/// For how long a layer that its publisher could not go on with is not asked for beside the smaller ones, twice as long each time.
const SPAN_US: u64 = 60_000_000;
const LONGEST_SPAN_US: u64 = 960_000_000;

/// What of a layer's need its publisher has to have sent in all, for that layer alone to be worth a try.
const ENOUGH_ALONE: f64 = 0.5;

/// A layer that took less than this share of what it takes now, one to two of these ago, has not come to its rate: browsers begin slowly
/// on an uplink that they do not know.
const GREW_FROM: f64 = 0.9;
const GREW_IN_US: u64 = 1_000_000;

/// What a publisher was told of each layer, lowest first, and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Wants {
    layers: SmallVec<[Told; MAX_LAYERS]>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    is_wanted: bool,
    since: u64,
    /// What it took at most since then, in bits a second; 0 before it came.
    came: u32,
    /// What it took a while ago, and when that was last looked at.
    former: [u32; 2],
    looked_at: u64,
    /// For how long it was not asked for when it last could not be sent.
    span_us: u64,
}

impl Wants {
    /// A publication begins; all its layers are sent.
    pub(crate) fn new(source: &Source, now: u64) -> Self {
        let layers = 0..source.layer_count();
        layers.clone().for_each(|layer| source.seek(layer, now));
        let told = Told { is_wanted: true, since: now, came: 0, former: [0; 2], looked_at: now, span_us: 0 };
        Self { layers: layers.map(|_| told).collect() }
    }

    /// Looks at what is wanted of the source, whose packets may get lost on their way here. `true` when that is not what the
    /// publisher was told.
    ///
    /// The lowest layer is not switched off where packets get lost: a browser that has sent next to nothing there takes half a
    /// minute to find its rate again.
    pub(crate) fn look(&mut self, source: &Source, is_lossy: bool, now: u64) -> bool {
        let mut has_changed = false;
        // Of the smaller ones: what comes, and whether any is wanted.
        let (mut below, mut is_below_wanted) = (0, false);
        let is_any_alone = (0..self.layers.len()).any(|layer| source.is_alone(layer, now));
        for (at, told) in self.layers.iter_mut().enumerate() {
            told.note(source, at, below, now);
            let patience = if is_any_alone { OFF_BESIDE_AFTER_US } else { OFF_AFTER_US };
            let is_kept = is_lossy && at == 0 && told.is_wanted;
            let is_sought = now.saturating_sub(source.sought_at(at)) < patience || is_kept;
            let is_in_the_way = source.is_alone(at, now) && is_below_wanted && below > 0;
            let wanted = is_sought && !is_in_the_way;
            if wanted != told.is_wanted {
                // What it took is remembered, so that viewers know whether they have room for it.
                if !wanted {
                    // The lowest is to be tried in any case; and what its publisher has no room for grows for other reasons.
                    let is_growing = at > 0 && !is_any_alone && told.is_growing(source.bits(at));
                    source.remember(at, is_growing);
                }
                (told.is_wanted, told.since, told.came, told.former) = (wanted, now, 0, [0; 2]);
                has_changed = true;
            } else if wanted && now.saturating_sub(told.since) > GIVEN_UP_AFTER_US {
                source.keep_bits(at, 0);
            }
            below += source.bits(at);
            is_below_wanted |= is_sought;
        }
        has_changed
    }

    /// Whether each layer is wanted, lowest first.
    pub(crate) fn told(&self) -> impl Iterator<Item = bool> + '_ {
        self.layers.iter().map(|told| told.is_wanted)
    }
}

impl Told {
    /// Whether a layer that takes so much has yet to come to its rate.
    fn is_growing(&self, bits: u32) -> bool {
        let [former, _] = self.former;
        f64::from(former) < GREW_FROM * f64::from(bits)
    }

    /// Notes what has come of it, while the smaller ones take `below`.
    fn note(&mut self, source: &Source, at: usize, below: u32, now: u64) {
        let bits = source.bits(at);
        self.came = self.came.max(bits);
        if now.saturating_sub(self.looked_at) >= GREW_IN_US {
            let [_, last] = self.former;
            (self.former, self.looked_at) = ([last, bits], now);
        }
        let passed = now.saturating_sub(self.since);
        let has_stopped = bits == 0 && (self.came > 0 || passed > GIVEN_UP_AFTER_US);
        // What stops together with the smaller ones is muted, or cut off.
        if !self.is_wanted || !has_stopped || below == 0 || source.rests(at, now) {
            return;
        }
        let came = std::mem::take(&mut self.came);
        self.span_us = (2 * self.span_us).clamp(SPAN_US, LONGEST_SPAN_US);
        let until = now + self.span_us;
        let is_enough = f64::from(below + came) >= ENOUGH_ALONE * f64::from(source.hoped_bits(at));
        match came > 0 && is_enough && !source.is_alone(at, now) {
            true => source.set_alone(at, until),
            false => source.set_rest(at, until),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::source::{RoomKey, SourceKey, Sources, StreamKind};

    const SECOND: u64 = 1_000_000;

    fn camera() -> Arc<Source> {
        let sources = Sources::default();
        let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main });
        sources.publish(&source, 0, 3, 720);
        for (layer, bits) in source.layers.iter().zip([100_000, 300_000, 1_000_000]) {
            layer.bits.store(bits, Ordering::Relaxed);
        }
        source
    }

    fn told(wants: &Wants) -> Vec<bool> {
        wants.told().collect()
    }

    #[test]
    fn a_layer_goes_off_when_nobody_has_wanted_it_for_four_seconds_and_on_at_once() {
        let source = camera();
        let mut wants = Wants::new(&source, SECOND);
        for tenth in 0..39 {
            source.seek(0, SECOND + tenth * SECOND / 10);
            assert!(!wants.look(&source, false, SECOND + tenth * SECOND / 10));
        }

        assert!(wants.look(&source, false, 5 * SECOND));
        assert_eq!(told(&wants), [true, false, false]);
        assert!(!wants.look(&source, false, 5 * SECOND + 1), "it is told once");

        source.seek(1, 6 * SECOND);
        assert!(wants.look(&source, false, 6 * SECOND));
        assert_eq!(told(&wants), [true, true, false]);
        assert!(wants.look(&source, false, 20 * SECOND));
        assert_eq!(told(&wants), [false, false, false], "nobody watches");
    }

    #[test]
    fn the_lowest_layer_stays_where_packets_get_lost() {
        let source = camera();
        let mut wants = Wants::new(&source, SECOND);

        assert!(wants.look(&source, true, 10 * SECOND));
        assert_eq!(told(&wants), [true, false, false]);
        assert!(wants.look(&source, false, 11 * SECOND));
        assert!(!wants.look(&source, true, 12 * SECOND), "what is off stays off");
    }

    #[test]
    fn layers_of_one_stream_are_wanted_as_one() {
        let sources = Sources::default();
        let source = sources.get(&SourceKey { room: RoomKey(1), user: "ann".into(), kind: StreamKind::Main });
        sources.publish(&source, 0, 0, 720);
        let mut wants = Wants::new(&source, SECOND);
        source.set_sizes(3, &[(320, 180), (640, 360), (1280, 720)]);
        source.seek(2, 4 * SECOND);
        source.seek(0, 4 * SECOND);

        assert!(!wants.look(&source, false, 6 * SECOND));
        assert_eq!(told(&wants), [true]);
        assert!(wants.look(&source, false, 9 * SECOND));
        assert_eq!(told(&wants), [false]);
    }

    #[test]
    fn a_layer_that_never_came_takes_what_its_publisher_says() {
        let source = camera();
        source.describe(2, 720, 900_000);
        source.layers[2].bits.store(0, Ordering::Relaxed);

        Wants::new(&source, 0).look(&source, false, 5 * SECOND);

        assert_eq!((source.known_bits(1), source.known_bits(2)), (300_000, 900_000));
    }

    /// What is told while the layers take so much, and all that are named are sought, tenth by tenth.
    fn looked(
        wants: &mut Wants,
        source: &Source,
        bits: [u32; 3],
        sought: &[usize],
        tenths: std::ops::Range<u64>,
    ) {
        for (layer, bits) in source.layers.iter().zip(bits) {
            layer.bits.store(bits, Ordering::Relaxed);
        }
        for tenth in tenths {
            sought.iter().for_each(|layer| source.seek(*layer, tenth * SECOND / 10));
            wants.look(source, false, tenth * SECOND / 10);
        }
    }

    #[test]
    fn a_layer_that_has_stopped_by_itself_is_asked_for_without_the_smaller_ones_or_not_at_all() {
        let source = camera();
        let mut wants = Wants::new(&source, 0);
        looked(&mut wants, &source, [100_000, 150_000, 0], &[0, 1], 0..20);
        assert_eq!(told(&wants), [true, true, true]);

        looked(&mut wants, &source, [100_000, 0, 0], &[0, 1], 20..25);
        assert!(source.is_alone(1, 3 * SECOND));
        assert_eq!(told(&wants)[..2], [true, false], "somebody needs the smaller one");

        looked(&mut wants, &source, [100_000, 0, 0], &[1], 25..40);
        assert_eq!(told(&wants)[..2], [false, true], "nobody does");

        looked(&mut wants, &source, [0, 300_000, 0], &[1], 40..60);
        looked(&mut wants, &source, [0, 300_000, 0], &[0, 1], 60..62);
        assert_eq!(told(&wants)[..2], [true, true], "until the smaller one is there");
        looked(&mut wants, &source, [100_000, 300_000, 0], &[0, 1], 62..64);
        assert_eq!(told(&wants)[..2], [true, false]);

        looked(&mut wants, &source, [100_000, 0, 0], &[0, 1], 64..630);
        assert_eq!(told(&wants)[..2], [true, true], "a minute later it is tried again");
    }

    #[test]
    fn a_layer_that_its_publisher_has_no_room_for_rests() {
        let source = camera();
        source.describe(2, 720, 1_000_000);
        let mut wants = Wants::new(&source, 0);

        looked(&mut wants, &source, [100_000, 300_000, 0], &[0, 1, 2], 0..60);
        assert!(source.rests(2, 6 * SECOND) && !source.rests(2, 70 * SECOND));

        // Nor is one that takes four times of what its publisher has.
        looked(&mut wants, &source, [100_000, 0, 200_000], &[0, 2], 700..720);
        looked(&mut wants, &source, [100_000, 0, 0], &[0, 2], 720..722);
        assert!(source.rests(2, 73 * SECOND) && !source.is_alone(2, 73 * SECOND));
    }

    #[test]
    fn what_stops_altogether_is_muted() {
        let source = camera();
        let mut wants = Wants::new(&source, 0);
        looked(&mut wants, &source, [100_000, 300_000, 1_000_000], &[0, 1, 2], 0..20);

        looked(&mut wants, &source, [0, 0, 0], &[0, 1, 2], 20..100);

        assert!(
            (0..3).all(|layer| !source.is_alone(layer, 10 * SECOND) && !source.rests(layer, 10 * SECOND))
        );
    }

    #[test]
    fn what_a_layer_took_is_remembered_while_it_is_off_and_not_for_ever_when_it_does_not_come_back() {
        let source = camera();
        let mut wants = Wants::new(&source, 0);
        wants.look(&source, false, 5 * SECOND);
        source.layers.iter().for_each(|layer| layer.bits.store(0, Ordering::Relaxed));
        assert_eq!(source.known_bits(2), 1_000_000);

        for second in 6..13 {
            source.seek(2, second * SECOND);
            wants.look(&source, false, second * SECOND);
        }

        assert_eq!(source.known_bits(2), 0);
    }

    #[test]
    fn a_layer_that_was_growing_when_it_went_off_is_taken_for_more() {
        // What the layers take second by second, and what is remembered of each.
        for (seconds, remembered) in [
            ([[100_000, 300_000, 1_000_000]; 5], [100_000, 300_000, 1_000_000]),
            // What wavers does not grow.
            (
                [
                    [90_000, 290_000, 960_000],
                    [100_000, 310_000, 1_050_000],
                    [90_000, 300_000, 950_000],
                    [100_000, 300_000, 980_000],
                    [100_000, 300_000, 1_000_000],
                ],
                [100_000, 300_000, 1_000_000],
            ),
            (
                [
                    [50_000, 100_000, 200_000],
                    [60_000, 150_000, 250_000],
                    [70_000, 200_000, 300_000],
                    [80_000, 250_000, 350_000],
                    [90_000, 300_000, 400_000],
                ],
                [90_000, 350_000, 800_000],
            ),
            // It has just begun.
            (
                [
                    [100_000, 300_000, 0],
                    [100_000, 300_000, 0],
                    [100_000, 300_000, 0],
                    [100_000, 300_000, 0],
                    [100_000, 300_000, 500_000],
                ],
                [100_000, 300_000, 850_000],
            ),
        ] {
            let source = camera();
            [120_000, 400_000, 1_200_000].into_iter().enumerate().for_each(|(at, most)| {
                source.describe(at, 720 >> (2 - at), most);
            });
            let mut wants = Wants::new(&source, 0);
            for (second, bits) in (0..).zip(seconds) {
                looked(&mut wants, &source, bits, &[], 10 * second..10 * second + 10);
            }

            assert_eq!(told(&wants), [false; 3]);
            source.layers.iter().for_each(|layer| layer.bits.store(0, Ordering::Relaxed));
            assert_eq!([0, 1, 2].map(|at| source.known_bits(at)), remembered);
        }
    }
}
