//! What streams were like, sample by sample, until there are enough of them for a row of history. A sample has two halves: what the
//! forwarding unit knows, and what the member's client reports.

use hashbrown::HashMap;
use history::{MOST_SAMPLES, Quality, Samples};
use media::{Sample, StreamKind};

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
}

const COLUMNS: [u8; 11] = [
    column::BITS,
    column::FRAMES,
    column::HEIGHT,
    column::LOST,
    column::ROUND_TRIP,
    column::LEVEL,
    column::CAPTURED,
    column::SHOWN,
    column::SHOWN_WIDTH,
    column::SHOWN_HEIGHT,
    column::BUFFERED,
];

/// How far samples are apart, in seconds.
pub(crate) const STEP: i64 = 2;

/// A stream of which nothing comes for so long has ended, in seconds.
const PATIENCE: i64 = 6;

/// One direction of one stream of a stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) call: i64,
    pub(crate) stay: i64,
    /// The place of who sent it; 0 of what the stay itself sends.
    pub(crate) peer: i64,
    pub(crate) kind: StreamKind,
}

/// What a client reports of a stream: columns, and what is in them.
pub(crate) type Report = Vec<(u8, u32)>;

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
}

impl Run {
    fn new(stream: Stream, from: i64, length: usize) -> Self {
        Self { stream, from, length, samples: Vec::new(), of_server: 0, of_client: 0 }
    }
}

/// All that is being sampled.
#[derive(Default)]
pub(crate) struct Runs {
    by_stream: HashMap<Stream, Run, foldhash::fast::RandomState>,
    /// When it was last looked through for those that have ended, in seconds.
    swept_at: i64,
}

impl Runs {
    /// Takes the server's half of a sample at `now`, in seconds. Returns the row that was full before it.
    pub(crate) fn take(&mut self, now: i64, sample: &Sample, stream: Stream) -> Option<Quality> {
        let slot = now - now.rem_euclid(STEP);
        let length = 1 + usize::try_from(stream.stay.rem_euclid(MOST_SAMPLES as i64)).unwrap_or(0);
        let run = self.by_stream.entry(stream).or_insert_with(|| Run::new(stream, slot, length));
        run.put(slot, Half::Server, &measured(sample))
    }

    /// Takes what a client reports at `now`, in seconds, of a stream that the server knows. Returns the row that was full before it.
    pub(crate) fn report(&mut self, now: i64, report: &Report, stream: Stream) -> Option<Quality> {
        let slot = now - now.rem_euclid(STEP);
        self.by_stream.get_mut(&stream)?.put(slot, Half::Client, report)
    }

    /// The rows of streams that have ended by `now`, in seconds.
    pub(crate) fn sweep(&mut self, now: i64) -> Vec<Quality> {
        if now - self.swept_at < STEP {
            return Vec::new();
        }
        self.swept_at = now;
        let is_over = |_: &Stream, run: &mut Run| {
            let taken = i64::try_from(run.samples.len()).unwrap_or(0);
            now - (run.from + STEP * taken) > PATIENCE
        };
        self.by_stream.extract_if(is_over).filter_map(|(_, run)| run.row()).collect()
    }
}

impl Run {
    fn put(&mut self, slot: i64, half: Half, values: &[(u8, u32)]) -> Option<Quality> {
        // Two that come in one slot are of this and the next.
        let mut at = usize::try_from((slot - self.from) / STEP).unwrap_or(0).max(*self.taken(half));
        let mut full = None;
        if at >= self.length {
            // The next row begins where this one ends, unless there was nothing for as long as that.
            let goes_on = at < self.length + MOST_SAMPLES;
            let end = self.from + STEP * i64::try_from(self.length).unwrap_or(0);
            let from = if goes_on { end } else { slot };
            at = if goes_on { at - self.length } else { 0 };
            full = std::mem::replace(self, Self::new(self.stream, from, MOST_SAMPLES)).row();
        }
        if self.samples.len() <= at {
            self.samples.resize(at + 1, Values::default());
        }
        for (number, value) in values {
            let column = COLUMNS.iter().position(|known| known == number);
            let place = column.and_then(|column| self.samples.get_mut(at)?.get_mut(column));
            if let Some(place) = place {
                *place = Some(*value);
            }
        }
        *self.taken(half) = at + 1;
        full
    }

    fn taken(&mut self, half: Half) -> &mut usize {
        match half {
            Half::Server => &mut self.of_server,
            Half::Client => &mut self.of_client,
        }
    }

    fn row(self) -> Option<Quality> {
        let columns = COLUMNS.iter().enumerate().map(|(at, number)| {
            (*number, self.samples.iter().map(|values| values.get(at).copied().flatten()).collect())
        });
        let is_any = |(_, values): &(u8, Vec<Option<u32>>)| values.iter().any(Option::is_some);
        let samples = Samples { count: self.samples.len(), columns: columns.filter(is_any).collect() };
        let Stream { call, stay, peer, kind } = self.stream;
        let media = match kind {
            StreamKind::Audio => 0,
            StreamKind::Main => 2,
            StreamKind::Sub => 7,
        };
        (samples.values() > 0).then(|| Quality {
            call,
            stay,
            from: self.from,
            peer,
            media,
            packed: history::pack(&samples),
        })
    }
}

fn measured(sample: &Sample) -> Report {
    let millis = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let known = [
        (column::BITS, Some(sample.bits / 100)),
        (column::FRAMES, sample.frames),
        (column::HEIGHT, sample.height),
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
        let (frames, height) = (Some(30), Some(720));
        Sample { peer, kind, from: None, bits, frames, height, lost: None, round_trip: None }
    }

    const STREAM: Stream = Stream { call: 1, stay: 27, peer: 0, kind: StreamKind::Main };

    fn values(row: &Quality, column: u8) -> Vec<Option<u32>> {
        history::unpack(&row.packed).unwrap().column(column).to_vec()
    }

    #[test]
    fn a_minute_s_samples_are_a_row_and_those_that_are_missing_are_missing() {
        let mut runs = Runs::default();
        let mut rows = Vec::new();
        for (at, now) in (1000..1100).step_by(2).enumerate() {
            if at != 3 {
                // They come a little early or late.
                rows.extend(runs.take(now + (at as i64) % 2, &sample(1000 * at as u32), STREAM));
            }
            if at.is_multiple_of(4) {
                rows.extend(runs.report(now, &vec![(column::SHOWN, at as u32)], STREAM));
            }
        }
        assert_eq!((rows.len(), rows[0].from, rows[0].media), (1, 1000, 2));
        let expected: Vec<Option<u32>> = (0..28).map(|at| (at != 3).then_some(10 * at)).collect();
        assert_eq!(values(&rows[0], column::BITS), expected);
        let expected: Vec<Option<u32>> = (0..28_u32).map(|at| at.is_multiple_of(4).then_some(at)).collect();
        assert_eq!(values(&rows[0], column::SHOWN), expected, "both halves are in one row");

        assert_eq!(runs.sweep(1104), []);
        let rest = runs.sweep(1110);
        assert_eq!((rest.len(), rest[0].from, values(&rest[0], column::BITS).len()), (1, 1056, 22));
        assert_eq!(runs.sweep(2000), []);
    }

    #[test]
    fn the_first_rows_of_streams_end_at_different_times() {
        let lengths = [0, 5, 27].map(|stay| {
            let mut runs = Runs::default();
            let stream = Stream { stay, ..STREAM };
            let row = (0..100).find_map(|at| runs.take(1000 + 2 * at, &sample(1), stream)).unwrap();
            values(&row, column::BITS).len()
        });

        assert_eq!(lengths, [1, 6, 28]);
    }

    #[test]
    fn after_a_pause_a_row_begins_anew() {
        let mut runs = Runs::default();
        assert_eq!(runs.take(1000, &sample(1000), STREAM), None);

        let row = runs.take(1200, &sample(2000), STREAM).unwrap();

        assert_eq!((row.from, values(&row, column::BITS)), (1000, vec![Some(10)]));
        assert_eq!(runs.sweep(1300)[0].from, 1200);
    }

    #[test]
    fn what_a_client_says_of_a_stream_that_is_none_is_not_kept() {
        let mut runs = Runs::default();

        for now in (1000..1200).step_by(2) {
            assert_eq!(runs.report(now, &vec![(column::SHOWN, 30)], STREAM), None);
        }

        assert_eq!(runs.sweep(2000), []);
    }
}
