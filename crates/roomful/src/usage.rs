//! What is used: how long who was there, and of what size the pictures were that were received. Counted where it happens, by call and in
//! slots of five minutes, and told to history as it grows: absolute numbers, so that telling it again changes nothing, and a crash
//! costs half a minute.
//!
//! A member counts as sound while it receives no picture, also alone; else as pictures, each by its size and all together by theirs. A
//! member whose connection is lost, and a player that is only counted, count in the seconds in which they receive something.

use std::sync::Arc;

use hall::{Happening, Note};
use hashbrown::HashMap;
use history::{Row, SLOT, Spent, TIERS, Usage};
use parking_lot::Mutex;

/// The most pixels of pictures of each kind but the last: SD, HD, FullHD, 2K.
const TIER_PIXELS: [u32; TIERS - 1] = [640 * 480, 1280 * 720, 1920 * 1080, 2560 * 1440];

/// Calls are spread over so many, so that no room waits while much is told.
const PARTS: i64 = 16;

/// How often all is told, in milliseconds.
const TOLD_EVERY: i64 = 30_000;

/// The server did not run in a time that was not looked at for so long, in milliseconds.
const MOST_LOOKED_PAST: i64 = 3 * TOLD_EVERY;

/// A slot of which more may come after its end, for so long, in milliseconds.
const LATE: i64 = 10_000;

/// Of which kind pictures of so many pixels are. Those of unknown size are small.
fn tier(pixels: u32) -> usize {
    TIER_PIXELS.iter().position(|most| pixels <= *most).unwrap_or(TIER_PIXELS.len())
}

/// What was counted of a call in a slot.
struct Counted {
    /// When the slot began, in seconds.
    slot: i64,
    /// Milliseconds that members were there.
    there: u64,
    /// Seconds in which one of them received pictures.
    watching: u64,
    /// Of those who are not counted as there, and all pictures.
    spent: Spent,
    is_told: bool,
}

impl Counted {
    fn sum(&self) -> Spent {
        let listening = self.there.saturating_sub(1000 * self.watching);
        Spent { audio: self.spent.audio + listening, ..self.spent }
    }
}

/// A call of which something may be counted.
struct Call {
    app: u32,
    room: Arc<str>,
    /// Its stays, and whether the connection of each is lost.
    stays: HashMap<i64, bool, foldhash::fast::RandomState>,
    /// How many of them are counted as there.
    there: u64,
    /// Until when that was done, in milliseconds.
    until: i64,
    /// The newest last.
    slots: Vec<Counted>,
}

impl Call {
    fn new(call: &history::Call, now: i64) -> Self {
        let (app, room) = (call.app, call.room.clone());
        Self { app, room, stays: HashMap::default(), there: 0, until: now, slots: Vec::new() }
    }

    /// The slot of a moment in milliseconds.
    fn slot(&mut self, at: i64) -> Option<&mut Counted> {
        let seconds = at.div_euclid(1000);
        let slot = seconds - seconds.rem_euclid(SLOT);
        if !self.slots.iter().any(|known| known.slot == slot) {
            self.slots.push(Counted { slot, there: 0, watching: 0, spent: Spent::default(), is_told: true });
        }
        self.slots.iter_mut().find(|known| known.slot == slot)
    }

    /// Counts who is there up to a moment.
    fn count(&mut self, at: i64) {
        let is_dark = at - self.until > MOST_LOOKED_PAST;
        if self.there == 0 || is_dark {
            self.until = self.until.max(at);
        }
        while self.until < at {
            let (from, there) = (self.until, self.there);
            let end = (from.div_euclid(1000 * SLOT) + 1) * 1000 * SLOT;
            let to = at.min(end);
            self.until = to;
            if let Some(slot) = self.slot(from) {
                slot.there += there * (to - from).unsigned_abs();
                slot.is_told = false;
            }
        }
    }

    /// A stay is in, or is lost, or is there no more.
    fn set(&mut self, stay: i64, is_lost: Option<bool>, at: i64) {
        self.count(at);
        let former = match is_lost {
            Some(is_lost) => self.stays.insert(stay, is_lost),
            None => self.stays.remove(&stay),
        };
        self.there -= u64::from(former == Some(false));
        self.there += u64::from(is_lost == Some(false));
    }

    /// In the second before `now` a stay, or a player that is only counted, was sent something, and these pictures.
    fn receive(&mut self, stay: Option<i64>, pictures: &[u32], now: i64) {
        let is_there = stay.and_then(|stay| self.stays.get(&stay)) == Some(&false);
        let Some(slot) = self.slot(now - 500) else { return };
        if pictures.is_empty() {
            if !is_there {
                slot.spent.audio += 1000;
                slot.is_told = false;
            }
            return;
        }
        slot.is_told = false;
        slot.watching += u64::from(is_there);
        let all = pictures.iter().fold(0_u32, |all, pixels| all.saturating_add(*pixels));
        for pixels in pictures {
            slot.spent.each.get_mut(tier(*pixels)).into_iter().for_each(|seconds| *seconds += 1);
        }
        slot.spent.together.get_mut(tier(all)).into_iter().for_each(|seconds| *seconds += 1);
    }
}

/// The calls of one part.
#[derive(Default)]
struct Part {
    calls: HashMap<i64, Call, foldhash::fast::RandomState>,
    told_at: i64,
}

impl Part {
    /// What has grown since it was told last.
    fn tell(&mut self, now: i64) -> Vec<Row> {
        self.told_at = now;
        let mut told = Vec::new();
        self.calls.retain(|call, counted| {
            counted.count(now);
            let (app, room) = (counted.app, &counted.room);
            for slot in counted.slots.iter_mut().filter(|slot| !slot.is_told) {
                slot.is_told = true;
                let (call, slot, spent) = (*call, slot.slot, slot.sum());
                told.push(Row::Usage(Usage { app, slot, call, room: room.clone(), spent }));
            }
            counted.slots.retain(|slot| 1000 * (slot.slot + SLOT) + LATE > now);
            !counted.stays.is_empty() || !counted.slots.is_empty()
        });
        told
    }
}

/// Counts what all calls use.
pub(crate) struct Meter {
    /// When the server began, in milliseconds: stays that began before it are restored ones, whose clients have yet to come back.
    since: i64,
    parts: [Mutex<Part>; PARTS as usize],
}

impl Meter {
    pub(crate) fn new(now: i64) -> Self {
        Self { since: now, parts: Default::default() }
    }

    fn part(&self, call: i64) -> &Mutex<Part> {
        let at = usize::try_from(call.rem_euclid(PARTS)).unwrap_or(0);
        let [first, ..] = &self.parts;
        self.parts.get(at).unwrap_or(first)
    }

    /// Something happens in a call, at `now` in milliseconds.
    pub(crate) fn note(&self, call: &history::Call, note: &Note, now: i64) {
        let mut part = self.part(call.call).lock();
        let mut of = |stay: u64, change: &dyn Fn(Option<&bool>) -> Option<Option<bool>>, at: i64| {
            let stay = stay.cast_signed();
            let known = part.calls.entry(call.call).or_insert_with(|| Call::new(call, now));
            if let Some(is_lost) = change(known.stays.get(&stay)) {
                known.set(stay, is_lost, at);
            }
        };
        let is_restored = |stay: u64| stay.cast_signed() < self.since;
        match note {
            // Known ones are told again when more is known of them.
            Note::Stays(stay) => {
                let number = stay.number;
                of(number, &|known| known.is_none().then_some(Some(is_restored(number))), now);
            }
            Note::Left { stay, at, .. } => {
                of(stay.number, &|_| Some(None), at.unix_millis().cast_signed());
            }
            Note::Event { stay, at, what: what @ (Happening::Lost | Happening::Back), .. } => {
                let is_lost = *what == Happening::Lost;
                of(*stay, &|known| known.map(|_| Some(is_lost)), at.unix_millis().cast_signed());
            }
            Note::Event { .. } | Note::Over { .. } => {}
        }
    }

    /// In the second before `now`, in milliseconds, a stay or a player that is only counted was sent something in a call, and pictures
    /// of so many pixels.
    pub(crate) fn receive(&self, call: &history::Call, stay: Option<i64>, pictures: &[u32], now: i64) {
        let mut part = self.part(call.call).lock();
        part.calls.entry(call.call).or_insert_with(|| Call::new(call, now)).receive(stay, pictures, now);
    }

    /// What is to be told by now, in milliseconds: a part of it each time. To be called a few times a second.
    pub(crate) fn due(&self, now: i64) -> Vec<Row> {
        let is_due = |part: &&Mutex<Part>| now - part.lock().told_at >= TOLD_EVERY;
        self.parts.iter().find(is_due).map(|part| part.lock().tell(now)).unwrap_or_default()
    }

    /// All of it, as the server ends.
    pub(crate) fn rest(&self, now: i64) -> Vec<Row> {
        self.parts.iter().flat_map(|part| part.lock().tell(now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use hall::Stay;
    use rooms::{Client, LeaveCause, Time, UserId};

    use super::*;

    /// When a slot begins, in milliseconds.
    const START: i64 = 1_700_000_100_000;

    fn call() -> history::Call {
        let (room, creator) = ("r".into(), "ann".into());
        history::Call { call: 7, app: 1, room, made: START / 1000, ended: None, creator }
    }

    fn stay(number: i64) -> Stay {
        let (user, client) = (UserId::parse("ann").unwrap(), Arc::<Client>::default());
        Stay { number: number.cast_unsigned(), place: 1, user, is_anchor: false, client }
    }

    fn at(millis: i64) -> Time {
        Time::from_unix_millis(millis.cast_unsigned())
    }

    fn enters(meter: &Meter, now: i64) {
        meter.note(&call(), &Note::Stays(stay(now)), now);
    }

    fn leaves(meter: &Meter, number: i64, now: i64) {
        let cause = LeaveCause::Leave;
        meter.note(&call(), &Note::Left { stay: stay(number), at: at(now), cause }, now);
    }

    fn happens(meter: &Meter, number: i64, what: Happening, now: i64) {
        let stay = number.cast_unsigned();
        meter.note(&call(), &Note::Event { stay, at: at(now), n: 0, what }, now);
    }

    fn told(meter: &Meter, now: i64) -> Vec<(i64, Spent)> {
        let usage = |row| match row {
            Row::Usage(usage) => ((usage.slot * 1000 - START) / 1000, usage.spent),
            row => panic!("{row:?}"),
        };
        meter.rest(now).into_iter().map(usage).collect()
    }

    #[test]
    fn who_is_there_counts_as_sound_except_in_seconds_with_pictures() {
        let meter = Meter::new(START);
        enters(&meter, START + 1_000);
        enters(&meter, START + 1_500);
        for second in 0..10 {
            let now = START + 3_000 + 1_000 * second;
            meter.receive(&call(), Some(START + 1_000), &[640 * 360, 1280 * 720], now);
            meter.receive(&call(), Some(START + 1_500), &[], now);
        }
        leaves(&meter, START + 1_500, START + 20_000);

        let expected =
            Spent { audio: 20_000 - 10_000 + 18_500, each: [10, 10, 0, 0, 0], together: [0, 0, 10, 0, 0] };
        assert_eq!(told(&meter, START + 21_000), [(0, expected)]);
        assert_eq!(told(&meter, START + 21_000), [], "nothing has changed");
    }

    #[test]
    fn time_over_the_end_of_a_slot_is_of_both() {
        let meter = Meter::new(START);
        enters(&meter, START + 290_000);
        meter.receive(&call(), Some(START + 290_000), &[100], START + 300_200);
        leaves(&meter, START + 290_000, START + 304_000);

        let sound = |audio| Spent { audio, ..Spent::default() };
        let first = Spent { audio: 9_000, each: [1, 0, 0, 0, 0], together: [1, 0, 0, 0, 0] };
        assert_eq!(told(&meter, START + 305_000), [(0, first), (300, sound(4_000))]);
        assert_eq!(told(&meter, START + 700_000), []);
        assert!(meter.part(7).lock().calls.is_empty(), "nothing is kept of what is over");
    }

    #[test]
    fn who_is_lost_counts_while_it_receives_something() {
        let meter = Meter::new(START);
        enters(&meter, START);
        happens(&meter, START, Happening::Lost, START + 10_000);
        meter.receive(&call(), Some(START), &[], START + 11_000);
        meter.receive(&call(), Some(START), &[300], START + 12_000);
        happens(&meter, START, Happening::Back, START + 20_000);
        leaves(&meter, START, START + 25_000);
        // A player that is only counted.
        meter.receive(&call(), None, &[3840 * 2160], START + 26_000);
        meter.receive(&call(), None, &[], START + 27_000);

        let expected =
            Spent { audio: 10_000 + 1_000 + 5_000 + 1_000, each: [1, 0, 0, 0, 1], together: [1, 0, 0, 0, 1] };
        assert_eq!(told(&meter, START + 30_000), [(0, expected)]);
    }

    #[test]
    fn restored_stays_count_when_they_are_back_and_the_server_s_sleep_counts_for_nobody() {
        let meter = Meter::new(START);
        // It came before the restart, and is told of twice.
        meter.note(&call(), &Note::Stays(stay(START - 5_000)), START);
        meter.note(&call(), &Note::Stays(stay(START - 5_000)), START + 1_000);
        happens(&meter, START - 5_000, Happening::Back, START + 10_000);

        let expected = Spent { audio: 20_000, ..Spent::default() };
        assert_eq!(told(&meter, START + 30_000), [(0, expected)]);
        assert_eq!(told(&meter, START + 30_000 + MOST_LOOKED_PAST + 1), []);
    }

    #[test]
    fn sizes_are_of_the_tiers_that_the_cloud_has() {
        let of = [(640, 480), (854, 480), (1280, 720), (720, 1280), (1920, 1080), (2560, 1440), (3840, 2160)];
        assert_eq!(of.map(|(width, height)| tier(width * height)), [0, 1, 1, 1, 2, 3, 4]);
        assert_eq!(tier(0), 0);
    }
}
