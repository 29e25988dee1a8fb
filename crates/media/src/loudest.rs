//! Who of a room is the loudest, by the levels that publishers send with their sound (RFC 6464). Knows no clock and no sources:
//! levels and times come in, an order comes out.
//!
//! The order serves whoever wants the N loudest of those that it hears, whatever N is: who talks stands before who has stopped, and
//! among those who talk the louder first. A place is lost to silence after [`HANGOVER_US`] only, and to somebody louder only when
//! that is plain, so that two who are alike do not take turns with every word.
//!
//! Invariant: nobody who has just talked stands behind one that has been silent for longer than the hangover, or is quieter by more
//! than [`MARGIN`].

use std::ops::Range;

/// Levels are from 0 (the loudest there can be) to 127, in -dBov; here the larger is the louder.
const MOST: u8 = 127;

/// What speech has at least: -55 dBov. Rooms hum at -70.
const SPEECH: f32 = 72.0;

/// What sound without a level counts as: somebody who talks all the time.
const UNKNOWN: u8 = 97;

/// Loudness comes in about so long: a click is no word, and a word is let in within three packets.
const ATTACK_US: f32 = 40_000.0;

/// A packet speaks for so long at most, however long nothing came before it.
const LONGEST_STEP_US: u64 = 60_000;

/// Loudness goes in decibels a second; a breath between two words costs less than [`MARGIN`].
const FALL: f32 = 30.0;

/// How much louder, in decibels, one has to be than one that talks to stand before it.
const MARGIN: f32 = 6.0;

/// How long after its last word one is still held to be talking.
pub(crate) const HANGOVER_US: u64 = 1_500_000;

/// How loud somebody is.
#[derive(Debug, Clone, Copy, Default)]
struct Voice {
    loudness: f32,
    at: u64,
    talked_at: Option<u64>,
}

impl Voice {
    fn loudness(&self, now: u64) -> f32 {
        (self.loudness - FALL * now.saturating_sub(self.at) as f32 / 1e6).max(0.0)
    }

    /// A packet came. Returns whether it is of one that talks.
    fn hear(&mut self, level: Option<u8>, now: u64) -> bool {
        let heard = f32::from(level.map_or(UNKNOWN, |level| MOST - (level & MOST)));
        let before = self.loudness(now);
        let step = now.saturating_sub(self.at).min(LONGEST_STEP_US) as f32;
        let rise = (heard - before).max(0.0) * step / (step + ATTACK_US);
        (self.loudness, self.at) = (before + rise, now);
        let talks = heard >= SPEECH && self.loudness >= SPEECH;
        if talks {
            self.talked_at = Some(now);
        }
        talks
    }

    fn is_silent(&self, now: u64) -> bool {
        self.talked_at.is_none_or(|at| now.saturating_sub(at) > HANGOVER_US)
    }

    /// Whether one that talks comes before `other`.
    fn beats(&self, other: &Self, now: u64) -> bool {
        other.is_silent(now) || self.loudness(now) > other.loudness(now) + MARGIN
    }
}

/// All who are heard in a room, the loudest first.
pub(crate) struct Loudest<T> {
    order: Vec<(T, Voice)>,
}

impl<T> Default for Loudest<T> {
    fn default() -> Self {
        Self { order: Vec::new() }
    }
}

impl<T: PartialEq + Clone> Loudest<T> {
    /// A packet of `who` came, who stood at `place` when that is known. Returns the places that have changed hands.
    pub(crate) fn hear(&mut self, who: &T, place: usize, level: Option<u8>, now: u64) -> Range<usize> {
        let is_it = |(listed, _): &(T, Voice)| listed == who;
        let known = self.order.get(place).filter(|entry| is_it(entry)).map(|_| place);
        let known = known.or_else(|| self.order.iter().position(is_it));
        let at = known.unwrap_or(self.order.len());
        if known.is_none() {
            self.order.push((who.clone(), Voice { at: now, ..Voice::default() }));
        }
        let Some((_, voice)) = self.order.get_mut(at) else { return 0..0 };
        let (talks, voice) = (voice.hear(level, now), *voice);
        let mut before = self.order.iter().take(at);
        let to = before.position(|(_, other)| talks && voice.beats(other, now)).unwrap_or(at);
        if let Some(moved) = self.order.get_mut(to..=at) {
            moved.rotate_right(1);
        }
        // Who is new stands somewhere, if only at the end.
        to..if known.is_some() && to == at { at } else { at + 1 }
    }

    /// `who` sends no sound any more. Returns the places that have changed hands.
    pub(crate) fn leave(&mut self, who: &T) -> Range<usize> {
        let Some(at) = self.order.iter().position(|(listed, _)| listed == who) else { return 0..0 };
        self.order.remove(at);
        at..self.order.len()
    }

    /// Who stands there.
    pub(crate) fn at(&self, place: usize) -> Option<&T> {
        self.order.get(place).map(|(who, _)| who)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What silence, a murmur, speech and a shout have.
    const QUIET: u8 = 75;
    const MURMUR: u8 = 50;
    const SPEAKS: u8 = 30;
    const SHOUTS: u8 = 10;

    /// People who send 50 packets a second each, in their order.
    struct Room {
        loudest: Loudest<usize>,
        levels: Vec<Option<u8>>,
        now: u64,
        /// How often somebody else came to stand first.
        turns: usize,
    }

    impl Room {
        fn of(people: usize) -> Self {
            let mut room = Self {
                loudest: Loudest::default(),
                levels: vec![Some(QUIET); people],
                now: 5_000_000,
                turns: 0,
            };
            room.run(200);
            room.turns = 0;
            room
        }

        fn run(&mut self, ms: u64) {
            for _ in 0..ms / 20 {
                self.now += 20_000;
                for who in 0..self.levels.len() {
                    let first = self.loudest.at(0).copied();
                    self.loudest.hear(&who, who, self.levels[who], self.now);
                    self.turns += usize::from(self.loudest.at(0).copied() != first);
                }
            }
        }

        /// How long it takes until `who` is among the `most` loudest, in milliseconds.
        fn until_in(&mut self, who: usize, most: usize) -> u64 {
            let began = self.now;
            while !self.first(most).contains(&who) && self.now < began + 10_000_000 {
                self.run(20);
            }
            (self.now - began) / 1000
        }

        fn first(&self, most: usize) -> Vec<usize> {
            (0..most).filter_map(|place| self.loudest.at(place).copied()).collect()
        }
    }

    #[test]
    fn whoever_begins_to_talk_is_let_in_within_a_tenth_of_a_second() {
        for level in [SPEAKS, SHOUTS, 40, MURMUR] {
            let mut room = Room::of(20);
            room.levels[17] = Some(level);

            let ms = room.until_in(17, 1);

            assert!((20..=100).contains(&ms), "-{level} dBov: {ms} ms");
        }
    }

    #[test]
    fn a_click_is_nobody_talking() {
        let mut room = Room::of(3);
        room.levels[2] = Some(SPEAKS);
        room.run(20);
        room.levels[2] = Some(QUIET);
        room.run(500);

        assert_eq!(room.first(1), [0]);
    }

    #[test]
    fn a_place_is_lost_to_silence_after_the_hangover() {
        let mut room = Room::of(3);
        room.levels[0] = Some(SHOUTS);
        room.run(1000);
        room.levels[0] = Some(QUIET);
        // A murmur is no louder than what is left of a shout for more than a second.
        room.levels[2] = Some(MURMUR);

        let ms = room.until_in(2, 1);

        assert!((1200..=1600).contains(&ms), "{ms} ms");
    }

    #[test]
    fn who_talks_on_does_not_wait_for_one_that_has_stopped() {
        let mut room = Room::of(3);
        room.levels[0] = Some(SPEAKS);
        room.run(1000);
        room.levels[0] = Some(QUIET);
        room.levels[1] = Some(SPEAKS);

        let ms = room.until_in(1, 1);

        assert!((100..=400).contains(&ms), "{ms} ms");
    }

    #[test]
    fn two_who_are_alike_do_not_take_turns() {
        use rand::{RngExt as _, SeedableRng as _};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut room = Room::of(2);
        let mut pause = [0_u32; 2];
        // Half a minute of syllables between -25 and -37 dBov, with a breath now and then.
        for _ in 0..1500 {
            for (who, pause) in pause.iter_mut().enumerate() {
                let talks = *pause == 0;
                *pause = if talks && random.random_bool(0.02) { 8 } else { pause.saturating_sub(1) };
                room.levels[who] = Some(if talks { random.random_range(25..37) } else { QUIET });
            }
            room.run(20);
        }

        assert!(room.turns <= 10, "{} turns", room.turns);
    }

    #[test]
    fn somebody_plainly_louder_comes_first() {
        let mut room = Room::of(2);
        room.levels[0] = Some(40);
        room.run(1000);
        room.levels[1] = Some(37);
        room.run(1000);
        assert_eq!(room.first(1), [0], "3 dB are not enough");
        room.levels[1] = Some(30);

        assert!(room.until_in(1, 1) <= 100);
    }

    #[test]
    fn sound_without_levels_counts_as_talking() {
        let mut room = Room::of(4);
        room.levels[3] = None;

        assert!(room.until_in(3, 1) <= 100);
    }

    #[test]
    fn who_falls_silent_without_a_word_loses_its_place_too() {
        let mut room = Room::of(2);
        room.levels[1] = Some(SHOUTS);
        room.run(500);
        // Its packets stop: with discontinuous transmission, or because it is muted.
        for _ in 0..100 {
            room.now += 20_000;
            room.loudest.hear(&0, 0, Some(MURMUR), room.now);
        }

        assert_eq!(room.first(1), [0]);
    }

    #[test]
    fn who_claims_to_shout_takes_one_place_and_who_flickers_no_more() {
        for flicker in [false, true] {
            let mut room = Room::of(10);
            for who in 1..=3 {
                room.levels[who] = Some(SPEAKS);
            }
            room.run(500);
            let mut changes = 0;
            let mut before = room.first(3);
            for packet in 0..500 {
                room.levels[9] = Some(if flicker && packet % 2 == 0 { 127 } else { 0 });
                room.run(20);
                changes += usize::from(std::mem::replace(&mut before, room.first(3)) != before);
            }

            let others = room.first(3).iter().filter(|who| (1..=3).contains(*who)).count();
            assert!(others == 2 && room.first(3).contains(&9), "{:?}", room.first(3));
            assert!(changes <= 5, "{changes} changes");
        }
    }

    #[test]
    fn many_packets_at_once_are_no_louder_than_one() {
        let mut loudest = Loudest::default();
        loudest.hear(&1, 0, Some(QUIET), 5_000_000);
        for _ in 0..10_000 {
            loudest.hear(&2, 1, Some(0), 5_000_000);
            loudest.hear(&3, 2, Some(QUIET), 5_000_000);
        }

        assert_eq!(loudest.at(0), Some(&1));
    }

    proptest! {
        /// Whatever went before: the loudest of all is in within a tenth of a second.
        #[test]
        fn the_loudest_is_in_at_once(
            before in prop::collection::vec(prop::collection::vec(40_u8..=127, 6), 0..200),
            who in 0_usize..6,
            level in 0_u8..=15,
        ) {
            let mut room = Room::of(6);
            for levels in before {
                room.levels = levels.into_iter().map(Some).collect();
                room.run(20);
            }
            room.levels[who] = Some(level);

            let ms = room.until_in(who, 1);

            prop_assert!(ms <= 100, "{} ms", ms);
        }

        /// Whatever is sent: everybody stands somewhere, once, and nobody who talks stands behind one it beats.
        #[test]
        fn nobody_who_talks_stands_behind_a_quieter_one(
            packets in prop::collection::vec((0_usize..8, prop::option::of(0_u8..=255), 0_u64..80_000, 0_u8..100), 1..600),
        ) {
            let mut loudest = Loudest::default();
            let mut now = 10_000_000;
            let mut told: Vec<usize> = Vec::new();
            for (who, level, pause, leaves) in packets {
                now += pause;
                let changed = match leaves {
                    0 => loudest.leave(&who),
                    _ => loudest.hear(&who, who, level, now),
                };
                // What whoever follows the changes believes.
                told.resize(loudest.order.len(), usize::MAX);
                for place in changed {
                    told[place] = *loudest.at(place).unwrap();
                }
                let listed: Vec<usize> = loudest.order.iter().map(|(who, _)| *who).collect();
                prop_assert_eq!(&told, &listed);
                let mut sorted = listed.clone();
                sorted.sort_unstable();
                sorted.dedup();
                prop_assert_eq!(sorted.len(), listed.len());
                if let Some(at) = listed.iter().position(|listed| *listed == who) {
                    let voice = loudest.order[at].1;
                    if voice.talked_at == Some(now) {
                        prop_assert!(loudest.order[..at].iter().all(|(_, other)| !voice.beats(other, now)));
                    }
                }
            }
        }
    }
}
