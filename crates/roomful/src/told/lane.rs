//! Into many members' streams a frame is put where their client is connected: the node says once which frame it is and whose streams it
//! goes into, and that stands beside the streams instead of in each.
//!
//! A member's stream and what is put into it come by two ways, and are one order again at the end. Where a frame is put in, it is said
//! after how many bytes of the stream; and in the stream it is said before what follows how many frames were put in by then.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

use axum::http::HeaderName;
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::words::{Broken, Word, Words};

/// In a request that another node carries: what it calls the stream that follows.
pub(crate) const LANE: HeaderName = HeaderName::from_static("roomful-lane");

/// How many frames, and bytes of them, may be to be put into one stream: who is further behind is too far. More than wait where the
/// stream is written, since they come as they are said there.
const MOST_WAITING: usize = 1024;
const MOST_BYTES_WAITING: usize = 4 << 20;

/// How long a place is: whose stream, and how many bytes of it are between the frame that was put in before and this one.
const PLACE_BYTES: usize = 8;

/// What was put into a member's stream, where the stream is written.
pub(crate) struct Lane {
    id: u32,
    /// After how many bytes, the last.
    at: u64,
    frames: u64,
    is_said: bool,
}

impl Lane {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, at: 0, frames: 0, is_said: true }
    }

    /// A frame is put in after so many bytes: its place. `None` where that is too far for one.
    pub(crate) fn put(&mut self, written: u64) -> Option<[u8; PLACE_BYTES]> {
        let between = u32::try_from(written.checked_sub(self.at)?).ok()?;
        self.at = written;
        self.frames += 1;
        self.is_said = false;
        let [a, b, c, d] = self.id.to_be_bytes();
        let [e, f, g, h] = between.to_be_bytes();
        Some([a, b, c, d, e, f, g, h])
    }

    /// What has to be in the stream before anything else is.
    pub(crate) fn before_others(&mut self) -> Option<Bytes> {
        (!mem::replace(&mut self.is_said, true)).then(|| Word::After(self.frames).bytes())
    }
}

/// The streams that frames are put into, by what they are called here.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<Table>);

#[derive(Default)]
struct Table {
    streams: HashMap<u32, Arc<Puts>>,
    next: u32,
}

impl Lanes {
    /// Another stream, for as long as the caller keeps it.
    pub(crate) fn begin(&self) -> (u32, Arc<Puts>) {
        let mut table = self.0.lock();
        while table.streams.contains_key(&table.next) {
            table.next = table.next.wrapping_add(1);
        }
        let id = table.next;
        table.next = id.wrapping_add(1);
        let puts = Arc::<Puts>::default();
        table.streams.insert(id, puts.clone());
        (id, puts)
    }

    pub(crate) fn end_of(&self, id: u32) {
        self.0.lock().streams.remove(&id);
    }

    /// A frame of so many bytes goes into streams, of which some may be over.
    ///
    /// # Errors
    /// When these are no places.
    pub(crate) fn put(&self, number: u64, bytes: usize, places: &[u8]) -> Result<(), Broken> {
        let (places, []) = places.as_chunks::<PLACE_BYTES>() else { return Err(Broken) };
        let table = self.0.lock();
        for [a, b, c, d, e, f, g, h] in places {
            if let Some(puts) = table.streams.get(&u32::from_be_bytes([*a, *b, *c, *d])) {
                puts.put(number, bytes, u32::from_be_bytes([*e, *f, *g, *h]));
            }
        }
        Ok(())
    }

    /// Nothing more is put into any.
    pub(crate) fn end(&self) {
        self.0.lock().streams.values().for_each(|puts| puts.end());
    }
}

/// What is to be put into one member's stream.
#[derive(Default)]
pub(crate) struct Puts {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Default)]
struct Waiting {
    frames: VecDeque<Put>,
    bytes: usize,
    /// After how many bytes, the last.
    at: u64,
    /// Something is missing, or may be.
    is_over: bool,
}

/// A frame that is to be put in.
struct Put {
    /// After so many bytes.
    at: u64,
    number: u64,
    bytes: usize,
}

impl Puts {
    fn put(&self, number: u64, bytes: usize, between: u32) {
        let mut waiting = self.waiting.lock();
        waiting.at += u64::from(between);
        waiting.bytes += bytes;
        let at = waiting.at;
        if waiting.frames.len() < MOST_WAITING && waiting.bytes <= MOST_BYTES_WAITING {
            waiting.frames.push_back(Put { at, number, bytes });
        } else {
            waiting.is_over = true;
        }
        drop(waiting);
        self.more.notify_one();
    }

    fn end(&self) {
        self.waiting.lock().is_over = true;
        self.more.notify_one();
    }

    /// The number of what goes in after so many bytes, if anything does.
    ///
    /// # Errors
    /// When something may be missing.
    fn next(&self, at: u64) -> Result<Option<u64>, Broken> {
        let mut waiting = self.waiting.lock();
        if waiting.is_over {
            return Err(Broken);
        }
        if waiting.frames.front().is_none_or(|put| put.at > at) {
            return Ok(None);
        }
        let Some(put) = waiting.frames.pop_front() else { return Ok(None) };
        waiting.bytes -= put.bytes;
        Ok(Some(put.number))
    }

    /// Resolves when there is more since this was asked last.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }
}

/// What comes next for a member.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The frame of that number.
    Frame(u64),
    /// More has to come of its stream, or where something of that is left, of what is put in.
    More,
}

/// A member's stream and what is put into it, in one order.
#[derive(Default)]
pub(crate) struct Merged {
    words: Words,
    /// How many bytes of the stream are through.
    at: u64,
    /// How many frames were put in, and how many have to be before the rest of the stream.
    frames: u64,
    awaited: u64,
}

impl Merged {
    /// Moves what the member gets from `bytes`, of its stream, to `out`, up to the next frame that is to be put there.
    ///
    /// # Errors
    /// When it is not what a node sends, or something is missing for good.
    pub(crate) fn next(&mut self, bytes: &mut &[u8], puts: &Puts, out: &mut Vec<u8>) -> Result<Next, Broken> {
        loop {
            if self.words.is_between()
                && let Some(number) = puts.next(self.at)?
            {
                self.frames += 1;
                return Ok(Next::Frame(number));
            }
            if self.frames < self.awaited || bytes.is_empty() {
                return Ok(Next::More);
            }
            let before = bytes.len();
            let word = self.words.next(bytes, out)?;
            self.at += (before - bytes.len()) as u64;
            match word {
                Some(Word::Number(number)) => return Ok(Next::Frame(number)),
                Some(Word::After(frames)) => self.awaited = frames,
                None => {}
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// All that comes of a stream, with the numbers of frames that go in.
    fn all(merged: &mut Merged, mut bytes: &[u8], puts: &Puts) -> Result<(String, Vec<u64>), Broken> {
        let (mut out, mut numbers) = (Vec::new(), Vec::new());
        while let Next::Frame(number) = merged.next(&mut bytes, puts, &mut out)? {
            out.push(b'#');
            numbers.push(number);
        }
        assert!(bytes.is_empty() || merged.frames < merged.awaited);
        Ok((String::from_utf8(out).unwrap(), numbers))
    }

    #[test]
    fn what_a_client_of_the_stream_writes_by_itself_waits_for_nothing() {
        let puts = Puts::default();
        let mut merged = Merged::default();
        let mut lane = Lane::new(1);
        // A frame is put in after three bytes, and a pong of the library goes out without a word of it.
        let place = lane.put(3).unwrap();
        let late = all(&mut merged, b"\x01\x01a\x01\x01b\x01", &puts).unwrap();
        assert_eq!(late, ("\x01\x01a\x01\x01b".into(), vec![]));

        puts.put(7, 100, u32::from_be_bytes(place[4..].try_into().unwrap()));

        // It goes in between two frames.
        assert_eq!(all(&mut merged, b"\x01c", &puts).unwrap(), ("\x01\x01c#".into(), vec![7]));
    }

    #[test]
    fn a_stream_that_misses_something_ends() {
        for (bytes, most) in [(100, MOST_WAITING), (10_000, MOST_BYTES_WAITING / 10_000)] {
            let puts = Puts::default();
            // What is put in makes room again.
            for _ in 0..2 {
                (0..most).for_each(|number| puts.put(number as u64, bytes, 0));
                assert_eq!(all(&mut Merged::default(), b"", &puts).unwrap().1.len(), most);
            }
            (0..=most).for_each(|number| puts.put(number as u64, bytes, 0));
            assert_eq!(all(&mut Merged::default(), b"", &puts), Err(Broken));
        }

        let lanes = Lanes::default();
        let (_, puts) = lanes.begin();
        lanes.end();
        assert_eq!(all(&mut Merged::default(), &Word::After(1).bytes(), &puts), Err(Broken));
    }

    #[test]
    fn streams_have_names_of_their_own_and_those_that_are_over_get_nothing() {
        let lanes = Lanes::default();
        let ((one, of_one), (two, of_two)) = (lanes.begin(), lanes.begin());
        assert_ne!(one, two);
        lanes.end_of(one);
        let [places_of_one, places_of_two] = [one, two].map(|id| Lane::new(id).put(0).unwrap());

        lanes.put(5, 100, &[places_of_one, places_of_two].concat()).unwrap();

        assert_eq!(of_one.next(0), Ok(None));
        assert_eq!(of_two.next(0), Ok(Some(5)));
        assert_eq!(lanes.put(5, 100, &[0; 9]), Err(Broken));
    }
}
