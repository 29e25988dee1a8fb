//! What streams were like, sample by sample, until there are enough of them for a row of history. A sample has two halves: what the
//! forwarding unit knows, and what the member's client reports.

use hashbrown::HashMap;
use history::{Quality, Samples, Served, Unusual};
use media::{Sample, StreamKind};
use smallvec::SmallVec;

use crate::live::unit;

/// The columns of a row, by their numbers in it. They are never given to anything else.
pub(crate) mod column {
    /// Of the server's half. Hundreds of bits a second.
    pub(crate) const BITS: u8 = 0;
    /// Pictures a second that came by.
    pub(crate) const FRAMES: u8 = 1;
    /// Of the picture that came by, in pixels.
    pub(crate) const HEIGHT: u8 = 2;
    /// Packets that got lost, of a thousand.
    pub(crate) const LOST: u8 = 3;
    /// To the viewer and back, in milliseconds.
    pub(crate) const ROUND_TRIP: u8 = 4;
    /// Of the picture that came by, in pixels.
    pub(crate) const WIDTH: u8 = 5;
    /// Of the client's half. How loud, from 0 to 100.
    pub(crate) const LEVEL: u8 = 16;
    /// Pictures a second that were captured.
    pub(crate) const CAPTURED: u8 = 17;
    /// Pictures a second that were encoded, or shown of what was received.
    pub(crate) const SHOWN: u8 = 18;
    /// Of the picture that was encoded or shown, in pixels.
    pub(crate) const SHOWN_WIDTH: u8 = 19;
    /// The same.
    pub(crate) const SHOWN_HEIGHT: u8 = 20;
    /// How long what was received waits to be played, in milliseconds.
    pub(crate) const BUFFERED: u8 = 21;
    /// For how long of the sample's time what was received stood still, in milliseconds.
    pub(crate) const STALLED: u8 = 22;
    /// How busy the client and its machine are, in percent.
    pub(crate) const APP_CPU: u8 = 23;
    /// The same.
    pub(crate) const SYS_CPU: u8 = 24;
}

const COLUMNS: [u8; 15] = [
    column::BITS,
    column::FRAMES,
    column::HEIGHT,
    column::LOST,
    column::ROUND_TRIP,
    column::WIDTH,
    column::LEVEL,
    column::CAPTURED,
    column::SHOWN,
    column::SHOWN_WIDTH,
    column::SHOWN_HEIGHT,
    column::BUFFERED,
    column::STALLED,
    column::APP_CPU,
    column::SYS_CPU,
];

/// How far samples are apart, in seconds.
pub(crate) const STEP: i64 = 2;

/// Who takes longer than this to come in notices it, in milliseconds.
const SLOW_MILLIS: u32 = 5000;

/// How late clients tell what they know, in seconds.
pub(crate) const LATE: i64 = 10;

/// A stream of which nothing comes for so long has ended, in seconds.
const PATIENCE: i64 = LATE + 2;

/// How many samples a row has. It waits for what comes late, and is to be written before a minute is over.
const IN_A_ROW: usize = 22;

/// One direction of one stream of a stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) app: u32,
    pub(crate) call: i64,
    pub(crate) stay: i64,
    /// The place of who sent it; 0 of what the stay itself sends.
    pub(crate) peer: i64,
    pub(crate) kind: StreamKind,
}

/// What is said of a stream: columns, and what is in them.
pub(crate) type Report = SmallVec<[(u8, u32); 8]>;

/// What follows from a client's report of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// A row of which nothing is to come any more.
    pub(crate) full: Option<Quality>,
    /// What stood still of what was shown and heard.
    pub(crate) played: Served,
    /// What its user will have noticed; of no time yet.
    pub(crate) unusual: Option<Unusual>,
}

/// The cloud's numbers for what users notice (DescribeUnusualEvent).
pub(crate) mod experience {
    pub(crate) const SLOW_ENTRY: u8 = 1;
    pub(crate) const NO_VIDEO: u8 = 2;
    pub(crate) const NO_AUDIO: u8 = 3;
    pub(crate) const VIDEO_STALLS: u8 = 4;
    pub(crate) const AUDIO_STALLS: u8 = 5;
}

/// In how long a time stalls are added up, in seconds; how much of it is noticed, in milliseconds: a tenth of video, a twentieth of sound.
const STALL_WINDOW: i64 = 10;
const STALLED_VIDEO: u32 = 1000;
const STALLED_AUDIO: u32 = 500;

/// The same of the same stay is noticed again after so long, in seconds.
const NOTICED_AGAIN: i64 = 60;

/// A stream of which nothing has come in so many reports could not start: five seconds.
const REPORTS_OF_NOTHING: u32 = 3;

/// Whose half of a sample it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Server,
    Client,
}

type Values = [Option<u32>; COLUMNS.len()];

/// The samples of one stream.
struct Run {
    stream: Stream,
    /// When the first was taken, in seconds.
    from: i64,
    /// How many there are to be: fewer in the first row of a stream, so that not all are written at once.
    length: usize,
    samples: Vec<Values>,
    /// How many of each half there are, gaps counted.
    of_server: usize,
    of_client: usize,
    /// The row before, as long as more of it may come.
    former: Option<Box<Former>>,
    /// The last stalls, and when they were told, in seconds.
    stalls: [(i64, u32); STALLS],
}

/// Samples that are a row as soon as nothing comes late any more.
struct Former {
    from: i64,
    samples: Vec<Values>,
    of_client: usize,
}

/// So many reports come in the time in which stalls are added up.
const STALLS: usize = (STALL_WINDOW / STEP) as usize;

/// So many samples back is known what a client says just now.
const OF_LATE: usize = STALLS + (LATE / STEP) as usize;

impl Run {
    fn new(stream: Stream, from: i64, length: usize) -> Self {
        Self {
            stream,
            from,
            length,
            samples: Vec::new(),
            of_server: 0,
            of_client: 0,
            former: None,
            stalls: Default::default(),
        }
    }
}

/// All that is being sampled.
#[derive(Default)]
pub(crate) struct Runs {
    by_stream: HashMap<Stream, Run, foldhash::fast::RandomState>,
    /// What was noticed, by call, stay and kind, and when, in seconds.
    noticed: HashMap<(i64, i64, u8), i64, foldhash::fast::RandomState>,
    /// Streams of which nothing has come yet: in how many reports, and when the last came, in seconds.
    unseen: HashMap<Stream, (u32, i64), foldhash::fast::RandomState>,
    /// When it was last looked through for those that have ended, in seconds.
    swept_at: i64,
}

impl Runs {
    /// Takes the server's half of a sample at `now`, in seconds. Returns a row of which nothing is to come any more.
    pub(crate) fn take(&mut self, now: i64, sample: &Sample, stream: Stream) -> Option<Quality> {
        let slot = now - now.rem_euclid(STEP);
        let length = 1 + usize::try_from(stream.stay.rem_euclid(IN_A_ROW as i64)).unwrap_or(0);
        let run = self.by_stream.entry(stream).or_insert_with(|| Run::new(stream, slot, length));
        run.put(slot, Half::Server, &measured(sample)).flatten()
    }

    /// Takes what a client reports of `now`, in seconds, and of a stream that the server knows; `None` when it has said that already.
    pub(crate) fn report(&mut self, now: i64, report: &[(u8, u32)], stream: Stream) -> Option<Said> {
        let slot = now - now.rem_euclid(STEP);
        let run = self.by_stream.get_mut(&stream)?;
        let full = run.put(slot, Half::Client, report)?;
        let mut said = Said { full, played: Served::default(), unusual: None };
        let stalled = report.iter().find(|(number, _)| *number == column::STALLED).map(|(_, value)| *value);
        if let Some(stalled) = stalled.filter(|_| stream.peer != 0) {
            let most = 1000 * STEP.unsigned_abs();
            let played = [most, u64::from(stalled).min(most)];
            let (kind, most_unnoticed) = match stream.kind.is_video() {
                true => (experience::VIDEO_STALLS, STALLED_VIDEO),
                false => (experience::AUDIO_STALLS, STALLED_AUDIO),
            };
            match stream.kind.is_video() {
                true => said.played.video = played,
                false => said.played.audio = played,
            }
            if stalled > 0 && run.stalled(now, stalled) >= most_unnoticed {
                let causes = run.causes();
                said.unusual = self.notice(stream, kind, now, causes);
            }
        }
        Some(said)
    }

    /// Nothing has come yet of a stream that flows, says a client at `now`, in seconds. Returns what its user notices of that.
    pub(crate) fn report_nothing(&mut self, now: i64, stream: Stream) -> Option<Unusual> {
        let (count, last) = self.unseen.entry(stream).or_default();
        if now - *last < STEP - 1 {
            return None;
        }
        (*count, *last) = (*count + 1, now);
        let kind = if stream.kind.is_video() { experience::NO_VIDEO } else { experience::NO_AUDIO };
        let is_noticed = *count == REPORTS_OF_NOTHING;
        is_noticed.then(|| self.notice(stream, kind, now, Vec::new())).flatten()
    }

    /// A client says at `now`, in seconds, that it took so many milliseconds to come in. Whether that is news of a stay that has just begun.
    pub(crate) fn joined(&mut self, now: i64, stay: Stream, millis: u32) -> Option<Option<Unusual>> {
        let is_young = now - stay.stay / 1000 < NOTICED_AGAIN;
        let noticed = self.notice(stay, experience::SLOW_ENTRY, now, Vec::new()).filter(|_| is_young);
        noticed.map(|noticed| (millis > SLOW_MILLIS).then_some(noticed))
    }

    /// Something of a stay, unless the same was noticed just now.
    fn notice(
        &mut self,
        stream: Stream,
        experience: u8,
        now: i64,
        causes: Vec<(u16, i64)>,
    ) -> Option<Unusual> {
        let Stream { app, call, stay, .. } = stream;
        let last = self.noticed.entry((call, stay, experience)).or_insert(i64::MIN);
        if last.saturating_add(NOTICED_AGAIN) > now {
            return None;
        }
        *last = now;
        Some(Unusual { app, call, stay, at: 0, experience, causes })
    }

    /// The rows of which nothing is to come any more by `now`, in seconds.
    pub(crate) fn sweep(&mut self, now: i64) -> Vec<Quality> {
        if now - self.swept_at < STEP {
            return Vec::new();
        }
        self.swept_at = now;
        self.noticed.retain(|_, at| at.saturating_add(NOTICED_AGAIN) > now);
        self.unseen.retain(|_, (_, at)| at.saturating_add(PATIENCE) > now);
        let mut rows = Vec::new();
        self.by_stream.retain(|_, run| {
            if now - run.from > LATE {
                rows.extend(
                    run.former.take().and_then(|former| run.stream.row(former.from, &former.samples)),
                );
            }
            let taken = i64::try_from(run.samples.len()).unwrap_or(0);
            let is_over = now - (run.from + STEP * taken) > PATIENCE;
            if is_over {
                rows.extend(run.stream.row(run.from, &run.samples));
            }
            !is_over
        });
        rows
    }
}

impl Run {
    /// Returns a row of which nothing is to come any more; `None` when there is no place for this: more comes than there are samples.
    fn put(&mut self, slot: i64, half: Half, values: &[(u8, u32)]) -> Option<Option<Quality>> {
        if half == Half::Client && slot < self.from {
            // Of before it flowed nothing is kept.
            let former = self.former.as_mut()?;
            let due = usize::try_from((slot - former.from) / STEP).ok()?;
            let at = due.max(former.of_client);
            // What came a moment before is taken: this is of the row that goes on.
            if let Some(sample) = former.samples.get_mut(at).filter(|_| at <= due + 1) {
                write(sample, values);
                former.of_client = at + 1;
                return Some(None);
            }
        }
        // Two that come in one slot are of this and the next.
        let due = usize::try_from((slot - self.from) / STEP).unwrap_or(0);
        let mut at = due.max(*self.taken(half));
        if at > due + 1 {
            return None;
        }
        let mut full = None;
        if at >= self.length {
            // The next row begins where this one ends, unless there was nothing for as long as that.
            let goes_on = at < self.length + IN_A_ROW;
            let end = self.from + STEP * i64::try_from(self.length).unwrap_or(0);
            let from = if goes_on { end } else { slot };
            at = if goes_on { at - self.length } else { 0 };
            let next = Self { stalls: self.stalls, ..Self::new(self.stream, from, IN_A_ROW) };
            let Self { from, samples, of_client, former, .. } = std::mem::replace(self, next);
            full = former.and_then(|former| self.stream.row(former.from, &former.samples));
            self.former = Some(Box::new(Former { from, samples, of_client }));
        }
        if self.samples.len() <= at {
            self.samples.resize(at + 1, Values::default());
        }
        if let Some(sample) = self.samples.get_mut(at) {
            write(sample, values);
        }
        *self.taken(half) = at + 1;
        Some(full)
    }

    /// How long it has stood still of late, with what is told at `now`.
    fn stalled(&mut self, now: i64, stalled: u32) -> u32 {
        self.stalls.rotate_left(1);
        if let Some(last) = self.stalls.last_mut() {
            *last = (now, stalled);
        }
        let of_late = self.stalls.iter().filter(|(at, _)| now - at < STALL_WINDOW);
        of_late.fold(0, |all, (_, stalled)| all.saturating_add(*stalled))
    }

    /// What is wrong with it just now, by the cloud's numbers, and whose stream that is of; 0 of the receiver itself.
    fn causes(&self) -> Vec<(u16, i64)> {
        let last = |number: u8| {
            let at = COLUMNS.iter().position(|known| *known == number)?;
            self.samples.iter().rev().take(OF_LATE).find_map(|values| values.get(at).copied().flatten())
        };
        let is_above = |number: u8, most: u32| last(number).is_some_and(|value| value > most);
        let is_below = |number: u8, least: u32| last(number).is_some_and(|value| value < least);
        let peer = self.stream.peer;
        let own = [
            (is_above(column::SYS_CPU, 85), 2001),
            (is_above(column::APP_CPU, 85), 2002),
            (is_above(column::ROUND_TRIP, 300), 2013),
        ];
        let (loss, quiet, few, stalls) = match self.stream.kind {
            StreamKind::Audio => (2015, Some(2016), None, 2023),
            StreamKind::Main => (2017, None, Some(2020), 2024),
            StreamKind::Sub => (2019, None, Some(2022), 2026),
        };
        let streams = [
            (is_above(column::LOST, 100), Some(loss)),
            (is_below(column::LEVEL, 1), quiet),
            (is_below(column::SHOWN, 10), few),
            (true, Some(stalls)),
        ];
        let own = own.into_iter().filter(|(is_so, _)| *is_so).map(|(_, cause)| (cause, 0));
        let streams = streams.into_iter().filter_map(|(is_so, cause)| Some((cause.filter(|_| is_so)?, peer)));
        own.chain(streams).collect()
    }

    fn taken(&mut self, half: Half) -> &mut usize {
        match half {
            Half::Server => &mut self.of_server,
            Half::Client => &mut self.of_client,
        }
    }
}

/// Puts what is known into a sample.
fn write(sample: &mut Values, values: &[(u8, u32)]) {
    for (number, value) in values {
        let column = COLUMNS.iter().position(|known| known == number);
        if let Some(place) = column.and_then(|column| sample.get_mut(column)) {
            *place = Some(*value);
        }
    }
}

impl Stream {
    /// Its samples from then on; none when nothing is in them.
    fn row(&self, from: i64, all: &[Values]) -> Option<Quality> {
        let columns = COLUMNS.iter().enumerate().map(|(at, number)| {
            (*number, all.iter().map(|values| values.get(at).copied().flatten()).collect())
        });
        let samples = Samples { count: all.len(), columns: columns.collect() };
        let Self { call, stay, peer, kind, .. } = *self;
        (samples.values() > 0).then(|| Quality {
            call,
            stay,
            from,
            peer,
            media: unit::media_number(unit::device(kind)),
            packed: history::pack(&samples),
        })
    }
}

fn measured(sample: &Sample) -> Report {
    let millis = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let known = [
        (column::BITS, Some(sample.bits / 100)),
        (column::FRAMES, sample.frames),
        (column::HEIGHT, sample.size.map(|(_, height)| height)),
        (column::WIDTH, sample.size.map(|(width, _)| width).filter(|width| *width > 0)),
        (column::LOST, sample.lost.map(u32::from)),
        (column::ROUND_TRIP, sample.round_trip.map(millis)),
    ];
    known.into_iter().filter_map(|(number, value)| Some((number, value?))).collect()
}

#[cfg(test)]
mod tests {
    use media::PeerId;

    use super::*;

    fn sample(bits: u32) -> Sample {
        let (peer, kind) = (PeerId(1), StreamKind::Main);
        let (frames, size) = (Some(30), Some((1280, 720)));
        Sample { peer, kind, from: None, bits, frames, size, lost: None, round_trip: None }
    }

    const STREAM: Stream = Stream { app: 1, call: 1, stay: 27, peer: 0, kind: StreamKind::Main };

    /// One whose first row is full.
    const FULL: Stream = Stream { stay: 21, ..STREAM };

    /// The same received of another.
    const WATCHED: Stream = Stream { peer: 2, ..STREAM };

    fn values(row: &Quality, column: u8) -> Vec<Option<u32>> {
        history::unpack(&row.packed).unwrap().column(column).to_vec()
    }

    #[test]
    fn a_minute_s_samples_are_a_row_and_those_that_are_missing_are_missing() {
        let mut runs = Runs::default();
        let mut rows = Vec::new();
        for (at, now) in (1000..1084).step_by(2).enumerate() {
            if at != 3 {
                // They come a little early or late.
                rows.extend(runs.take(now + (at as i64) % 2, &sample(1000 * at as u32), FULL));
            }
            if at.is_multiple_of(4) {
                let said = runs.report(now, &[(column::SHOWN, at as u32)], FULL).unwrap();
                rows.extend(said.full);
            }
            rows.extend(runs.sweep(now));
            assert!(rows.is_empty() || now >= 1000 + 2 * 22 + LATE, "some of it may still come");
        }
        assert_eq!((rows.len(), rows[0].from, rows[0].media), (1, 1000, 2));
        let expected: Vec<Option<u32>> = (0..22).map(|at| (at != 3).then_some(10 * at)).collect();
        assert_eq!(values(&rows[0], column::BITS), expected);
        let expected: Vec<Option<u32>> = (0..22_u32).map(|at| at.is_multiple_of(4).then_some(at)).collect();
        assert_eq!(values(&rows[0], column::SHOWN), expected, "both halves are in one row");

        assert_eq!(runs.sweep(1096), []);
        let rest = runs.sweep(1098);
        assert_eq!((rest.len(), rest[0].from, values(&rest[0], column::BITS).len()), (1, 1044, 20));
        assert_eq!(runs.sweep(2000), []);
    }

    #[test]
    fn what_clients_tell_late_is_where_it_belongs() {
        let mut runs = Runs::default();
        let mut rows = Vec::new();
        let every = |now: i64| now % 10 == 4;
        for now in (1000..1100).step_by(2) {
            rows.extend(runs.take(now, &sample(1), FULL));
            if every(now) {
                for ago in [8, 6, 4, 2, 0] {
                    let at = now - ago;
                    let said = runs.report(at, &[(column::SHOWN, at as u32)], FULL);
                    assert_eq!(said.is_some(), at >= 1000, "{at}");
                }
            }
            rows.extend(runs.sweep(now));
        }
        // What comes again of a moment is not listened to.
        assert_eq!(runs.report(1092, &[(column::SHOWN, 7)], FULL), None);
        rows.extend(runs.sweep(1200));

        assert_eq!(rows.iter().map(|row| row.from).collect::<Vec<_>>(), [1000, 1044, 1088]);
        let shown: Vec<Option<u32>> = rows.iter().flat_map(|row| values(row, column::SHOWN)).collect();
        let expected = (1000..1100).step_by(2).map(|at| Some(at).filter(|at| *at <= 1094));
        assert_eq!(shown, expected.collect::<Vec<_>>());
    }

    #[test]
    fn the_first_rows_of_streams_end_at_different_times() {
        let lengths = [0, 5, 21].map(|stay| {
            let mut runs = Runs::default();
            let stream = Stream { stay, ..STREAM };
            let row = (1000..1200).step_by(2).find_map(|now| {
                assert_eq!(runs.take(now, &sample(1), stream), None);
                runs.sweep(now).pop()
            });
            values(&row.unwrap(), column::BITS).len()
        });

        assert_eq!(lengths, [1, 6, 22]);
    }

    #[test]
    fn after_a_pause_a_row_begins_anew() {
        let mut runs = Runs::default();
        assert_eq!(runs.take(1000, &sample(1000), STREAM), None);

        assert_eq!(runs.take(1200, &sample(2000), STREAM), None);

        let rows = runs.sweep(1300);
        assert_eq!(rows.iter().map(|row| row.from).collect::<Vec<_>>(), [1000, 1200]);
        assert_eq!(values(&rows[0], column::BITS), [Some(10)]);
    }

    #[test]
    fn what_a_client_says_of_a_stream_that_is_none_is_not_kept() {
        let mut runs = Runs::default();

        for now in (1000..1200).step_by(2) {
            assert_eq!(runs.report(now, &[(column::SHOWN, 30)], STREAM), None);
        }

        assert_eq!(runs.sweep(2000), []);
    }

    #[test]
    fn a_client_that_says_more_than_there_are_samples_is_not_listened_to() {
        let mut runs = Runs::default();
        runs.take(1000, &sample(1), STREAM);

        let kept = (0..100).filter(|_| runs.report(1000, &[(column::SHOWN, 30)], STREAM).is_some()).count();

        assert_eq!(kept, 2);
        assert!(runs.report(1004, &[(column::SHOWN, 30)], STREAM).is_some());
    }

    #[test]
    fn stalls_of_a_tenth_are_noticed_once_a_minute_with_what_was_wrong() {
        let mut runs = Runs::default();
        let mut noticed = Vec::new();
        let mut played = Served::default();
        for now in (1000..1080).step_by(2) {
            let lost = Some(if now < 1010 { 20 } else { 200 });
            runs.take(now, &Sample { lost, ..sample(1) }, WATCHED);
            // Of the first eight seconds less than a tenth.
            let stalled = if now < 1008 { 150 } else { 700 };
            let said = runs.report(now, &[(column::SHOWN, 9), (column::STALLED, stalled)], WATCHED).unwrap();
            played.add(said.played);
            noticed.extend(said.unusual.map(|one| (now, one.experience, one.causes)));
            runs.sweep(now);
        }

        let causes = vec![(2017, 2), (2020, 2), (2024, 2)];
        let at_first = vec![(2020, 2), (2024, 2)];
        assert_eq!(noticed, [(1008, 4, at_first), (1068, 4, causes)]);
        assert_eq!(played.video, [80_000, 4 * 150 + 36 * 700]);
        assert_eq!(played.audio, [0, 0]);
    }

    #[test]
    fn what_does_not_start_is_noticed_after_three_reports_and_a_slow_entry_at_once() {
        let mut runs = Runs::default();
        let audio = Stream { kind: StreamKind::Audio, ..WATCHED };
        let seen = [1000, 1000, 1002, 1004, 1006].map(|now| {
            let noticed = [WATCHED, audio].map(|stream| runs.report_nothing(now, stream));
            noticed.map(|one| one.map_or(0, |one| one.experience))
        });
        assert_eq!(seen, [[0, 0], [0, 0], [0, 0], [2, 3], [0, 0]]);

        let young = Stream { stay: 1_000_000, ..STREAM };
        assert_eq!(runs.joined(1002, young, 5001).unwrap().unwrap().experience, 1);
        assert_eq!(runs.joined(1004, young, 5001), None, "it was said");
        assert_eq!(runs.joined(1002, Stream { stay: 1_001_000, ..STREAM }, 800), Some(None));
        assert_eq!(runs.joined(1062, Stream { stay: 1_002_000, ..STREAM }, 5001), None, "that was long ago");
    }
}
