//! What is kept. A row is always whole: of two with the same key the later one holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::files::Day;

/// Of rows with the same key the last one, in the order of their keys: that is how a database likes them best.
pub(crate) fn last<'a, T, K: Ord>(rows: impl Iterator<Item = &'a T>, key: impl Fn(&T) -> K) -> Vec<&'a T> {
    let mut known = BTreeMap::new();
    for row in rows {
        known.insert(key(row), row);
    }
    known.into_values().collect()
}

/// The stays among rows, each once: who comes and goes between two commits is written down once.
pub(crate) fn stays(rows: &[Row]) -> Vec<&Stay> {
    let stays = rows.iter().filter_map(|row| if let Row::Stay(stay) = row { Some(stay) } else { None });
    last(stays, |stay| (stay.call, stay.stay))
}

/// Why a call or a stay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The member said so.
    Left,
    /// Its connection was lost and did not come back.
    Interrupted,
    /// It was put out.
    Kicked,
    /// It was banned.
    Banned,
    /// The room was destroyed.
    Destroyed,
    /// The room's lifetime ended.
    Expired,
    /// The server stopped, and nobody came back after that.
    TimedOut,
}

impl Cause {
    const ALL: [Self; 7] = [
        Self::Left,
        Self::Interrupted,
        Self::Kicked,
        Self::Banned,
        Self::Destroyed,
        Self::Expired,
        Self::TimedOut,
    ];

    pub(crate) fn number(self) -> i64 {
        let at = Self::ALL.iter().position(|cause| *cause == self);
        at.and_then(|at| i64::try_from(at).ok()).unwrap_or_default()
    }

    pub(crate) fn of(number: i64) -> Self {
        let known = usize::try_from(number).ok().and_then(|at| Self::ALL.get(at).copied());
        known.unwrap_or(Self::TimedOut)
    }
}

/// One life of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which: unique in all apps and for ever.
    pub call: i64,
    /// Whose.
    pub app: u32,
    /// The room's id.
    pub room: Arc<str>,
    /// When it was made, in seconds. Of two of a room in one second the later one is moved on.
    pub made: i64,
    /// When it ended, in seconds, and why; `None` while it lives.
    pub ended: Option<(i64, Cause)>,
    /// Who made it.
    pub creator: Arc<str>,
}

/// With what somebody came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The SDK and its version; at most 32 bytes.
    pub sdk: Arc<str>,
    /// At most 64 bytes.
    pub device: Arc<str>,
    /// The cloud's number of the kind of terminal.
    pub terminal: u8,
    /// Its IP address, as far as it is kept.
    pub address: Arc<str>,
}

/// One session's time in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// In which call.
    pub call: i64,
    /// Which: when it came in, in milliseconds, moved on where two came in one.
    pub stay: i64,
    /// The member's place in the call's join order.
    pub who: i64,
    /// Whose the call is.
    pub app: u32,
    /// The member's name.
    pub user: Arc<str>,
    /// When it went, in milliseconds, and why; `None` while it is in.
    pub left: Option<(i64, Cause)>,
    /// It has published.
    pub is_anchor: bool,
    /// With what it came.
    pub client: Client,
}

/// Something that happened to a stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// In which call.
    pub call: i64,
    /// To which stay.
    pub stay: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// Tells events of one millisecond apart.
    pub n: u32,
    /// The cloud's number for it.
    pub event: u16,
    /// The cloud's number of the kind of media: 0 no video, 2 the camera, 7 the screen.
    pub media: u8,
    /// The place of the member whose stream it was about; 0 for its own.
    pub peer: i64,
    /// What the number says it means; -1 nothing.
    pub p1: i64,
    /// The same.
    pub p2: i64,
}

/// Up to a minute of samples of one stream of a stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quality {
    /// In which call.
    pub call: i64,
    /// Of which stay.
    pub stay: i64,
    /// When the first sample was taken, in seconds.
    pub from: i64,
    /// The place of the member who sent what was received; 0 for what the stay sent.
    pub peer: i64,
    /// The cloud's number of the kind of media.
    pub media: u8,
    /// [Packed](crate::pack) samples, 2 s apart.
    pub packed: Vec<u8>,
}

/// How many kinds of pictures are told apart in what is used: SD, HD, FullHD, 2K, 4K.
pub const TIERS: usize = 5;

/// What was used of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Milliseconds in which somebody was there and received no picture, for each who was.
    pub audio: u64,
    /// Seconds of each picture that somebody received, by its size.
    pub each: [u64; TIERS],
    /// Seconds in which somebody received pictures, by the size of all of them together.
    pub together: [u64; TIERS],
}

impl Spent {
    /// Both.
    pub fn add(&mut self, other: &Self) {
        self.audio += other.audio;
        let mine = self.each.iter_mut().chain(&mut self.together);
        mine.zip(other.each.iter().chain(&other.together)).for_each(|(mine, more)| *mine += more);
    }

    /// Nothing was used.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// How long a slot of usage is, in seconds.
pub const SLOT: i64 = 300;

/// What a call has used in a slot so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub app: u32,
    /// When the slot began, in seconds.
    pub slot: i64,
    /// Which call.
    pub call: i64,
    /// The room's id.
    pub room: Arc<str>,
    /// How much.
    pub spent: Spent,
}

/// How an app's users were served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Milliseconds of pictures that were shown, and of them in which they stood still.
    pub video: [u64; 2],
    /// The same of sound that was heard.
    pub audio: [u64; 2],
    /// How often a round trip was measured, and how often it was short.
    pub delays: [u64; 2],
    /// How often somebody asked to come in, was let in, and was slow to be in.
    pub joins: [u64; 3],
}

impl Served {
    fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        self.video.iter_mut().chain(&mut self.audio).chain(&mut self.delays).chain(&mut self.joins)
    }

    /// Both.
    pub fn add(&mut self, mut other: Self) {
        self.numbers().zip(other.numbers()).for_each(|(mine, more)| *mine += *more);
    }
}

/// How an app's users were served in a slot so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Whose.
    pub app: u32,
    /// When the slot began, in seconds.
    pub slot: i64,
    /// How.
    pub served: Served,
}

/// Something that somebody will have noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusual {
    /// Whose the call is.
    pub app: u32,
    /// In which call.
    pub call: i64,
    /// To which stay.
    pub stay: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// The cloud's number for it.
    pub experience: u8,
    /// What was wrong just then, by the cloud's numbers, and the place of the member whose stream it was about; 0 for its own.
    pub causes: Vec<(u16, i64)>,
}

/// Of a user of an app nothing personal is to be left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forget {
    /// Whose.
    pub app: u32,
    /// Who.
    pub user: Arc<str>,
    /// Of stays that began before this, in milliseconds: another of that name may come.
    pub before: i64,
}

/// Something to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A call began, ended, or goes on.
    Call(Call),
    /// A stay began, ended, or goes on.
    Stay(Stay),
    /// An event.
    Event(Event),
    /// Samples.
    Quality(Quality),
    /// Something that somebody will have noticed.
    Unusual(Unusual),
    /// What a call has used.
    Usage(Usage),
    /// How an app's users were served.
    Service(Service),
    /// A user is forgotten, also in what was written long ago.
    Forget(Forget),
    /// After a start: everything that goes on has been told. What was open and is not among it ended with the server.
    Settled,
}

/// About what a row takes beside its texts while it waits.
const ROW_BYTES: usize = 192;

impl Row {
    /// About how much memory it takes while it waits.
    pub(crate) fn bytes(&self) -> usize {
        let texts = match self {
            Self::Call(call) => call.room.len() + call.creator.len(),
            // The texts of a client are shared by all that is told of it.
            Self::Stay(stay) => stay.user.len(),
            Self::Quality(quality) => quality.packed.len(),
            Self::Forget(forget) => forget.user.len(),
            Self::Unusual(unusual) => unusual.causes.len() * size_of::<(u16, i64)>(),
            // The room's id is shared by all that is told of the call.
            Self::Event(_) | Self::Usage(_) | Self::Service(_) | Self::Settled => 0,
        };
        texts + ROW_BYTES
    }

    /// How full the queue may be for it to be taken, in percent.
    pub(crate) fn share(&self) -> usize {
        match self {
            Self::Quality(_) => 50,
            Self::Event(_) | Self::Unusual(_) => 80,
            _ => 100,
        }
    }
}

/// What was used, by the day of its slot: the last of a day comes behind its end.
pub(crate) fn usage_by_day(rows: &[Row]) -> BTreeMap<Day, Vec<&Row>> {
    let mut days = BTreeMap::<Day, Vec<&Row>>::new();
    for row in rows {
        let slot = match row {
            Row::Usage(usage) => usage.slot,
            Row::Service(service) => service.slot,
            _ => continue,
        };
        days.entry(Day::of(slot)).or_default().push(row);
    }
    days
}
