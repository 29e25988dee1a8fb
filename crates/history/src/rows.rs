//! What is kept. A row is always whole: of two with the same key the later one holds.

use std::sync::Arc;

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
            Self::Event(_) | Self::Settled => 0,
        };
        texts + ROW_BYTES
    }

    /// How full the queue may be for it to be taken, in percent.
    pub(crate) fn share(&self) -> usize {
        match self {
            Self::Quality(_) => 50,
            Self::Event(_) => 80,
            _ => 100,
        }
    }
}
