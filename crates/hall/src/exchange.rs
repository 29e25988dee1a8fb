//! What a hall is told and what it says: inputs and effects as values, so that they can be kept, replayed and sent.

use std::sync::Arc;

use rooms::{
    Client, Content, Counters, Event, Incarnation, Keep, LeaveCause, MembersChanged, Message, RoomId,
    RoomInfo, RoomType, SessionId, UserId,
};

use crate::command::{Answer, By, Command, Entry, Give, Refusal, Refused, Verdict};
use crate::notes::Note;
use crate::plans::PlanId;
use crate::standing::{self, Wish};
use crate::streams::{MemberStreams, PeerId, Rights, WantedLayers};

/// Something that happens to a room. `T` is whoever is to be answered.
#[derive(Debug)]
pub enum Input<T> {
    /// A session wants in, and to listen.
    Enter {
        /// Whose it is.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Its turn among all that this session says.
        turn: u64,
        /// The room's password, as it was given.
        password: Option<String>,
        /// With what it comes.
        client: Arc<Client>,
        /// Whom to answer.
        ticket: T,
    },
    /// A session goes.
    Leave {
        /// Whose it is.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Its turn among all that this session says.
        turn: u64,
        /// Why.
        cause: LeaveCause,
        /// Whom to answer, if anybody waits.
        ticket: Option<T>,
    },
    /// A session has a connection again, which has all up to `seen`, and is to get what it missed.
    Back {
        /// Whose it is.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Its turn among all that this session says.
        turn: u64,
        /// The last message it has.
        seen: u64,
    },
    /// A session lost its connection.
    Lost {
        /// Whose it is.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Its turn among all that this session says.
        turn: u64,
        /// The last message it surely has.
        seen: u64,
    },
    /// Somebody wants something done.
    Do {
        /// In whose name.
        by: By,
        /// Only if the room is of this type.
        room_type: Option<RoomType>,
        /// What.
        command: Command,
        /// Whom to answer.
        ticket: T,
    },
    /// Whoever was asked by [`Effect::Ask`] has answered.
    Asked {
        /// Which.
        id: PlanId,
        /// What.
        reply: Reply,
    },
    /// The room is connected with these others from now on, each with its owner.
    Connected(Vec<(Incarnation, UserId)>),
    /// Of those that were to be [confirmed](Effect::Confirm) these have no account any more.
    Gone(Vec<UserId>),
    /// The disk has answered to [`Effect::Store`].
    Stored {
        /// Which.
        id: PlanId,
        /// Whether it took it; nothing was written when it did not.
        result: Result<(), Refused>,
    },
    /// Time has passed: [`Hall::deadline`].
    Time,
}

/// What is answered to a question.
#[derive(Debug)]
pub enum Reply {
    /// What is beyond this room has done what was wanted, or not.
    Beyond(Result<standing::Answer, Refusal>),
    /// What the app's own server says.
    Verdict(Verdict),
}

/// How something goes to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durably {
    /// By and by, never refused; nobody waits.
    Journal,
    /// By and by, never refused; [`Input::Stored`] when it is there.
    Kept(PlanId),
    /// Now or not at all; [`Input::Stored`] says which.
    Commit(PlanId),
}

/// Something of the room that is written down, or struck out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A part of its state.
    Keep(Keep),
    /// A session is in.
    Presence {
        /// Which.
        session: SessionId,
        /// Whose.
        user: UserId,
        /// Its member's place in join order.
        place: u64,
        /// The last message it has.
        seen: u64,
        /// The number of its stay.
        stay: u64,
        /// It was not in before.
        is_new: bool,
    },
    /// A session is in no more.
    Absence {
        /// Which.
        session: SessionId,
        /// Whose.
        user: UserId,
    },
    /// A message.
    Message(Message),
    /// Its numbers.
    Counters(Counters),
    /// It is no more, with all that belongs to it.
    End(LeaveCause),
}

/// Who hears something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Every session that listens.
    All,
    /// These, as far as they listen.
    Sessions(Vec<SessionId>),
}

/// What is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Something happened.
    Event(Event),
    /// Members came and went.
    Members(MembersChanged),
    /// How many likes there are, and who sent some.
    Likes {
        /// In all.
        total: u64,
        /// The first who sent some, and how many.
        by: Vec<(UserId, u64)>,
    },
    /// What a member publishes now.
    Streams(MemberStreams),
    /// What one may publish now.
    Rights(Rights),
    /// What is wanted of what one publishes.
    Wanted(WantedLayers),
    /// One has lost a media connection, on which it published or not.
    MediaLost(bool),
}

/// What is asked outside of the room.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Something that concerns other rooms too: it is to be done, or refused. Until then nobody takes away the right by which it is
    /// wanted, and the room does not end.
    Beyond {
        /// The room's owner.
        owner: UserId,
        /// What.
        wish: Wish<RoomId>,
    },
    /// Whether a message may be sent. Who does not answer in time agrees.
    Message {
        /// In whose name.
        from: UserId,
        /// Of what type the room is.
        room_type: RoomType,
        /// What it says.
        content: Content,
    },
    /// Whether a gift may be given. Who does not answer in time agrees.
    Gift(Give),
}

/// Something to be performed.
#[derive(Debug)]
pub enum Effect<T> {
    /// To be written, with the events to be told of to whoever follows the room from outside.
    Store {
        /// How.
        how: Durably,
        /// What.
        writes: Vec<Write>,
        /// What happened.
        told: Vec<Event>,
        /// By whom.
        operator: String,
        /// The room's record as it will be, where that is another.
        info: Option<Box<RoomInfo>>,
    },
    /// To be told to sessions.
    Tell {
        /// Whom.
        to: Audience,
        /// What.
        what: Told,
    },
    /// A session is answered that wanted in. Where it is let in, it listens from here on.
    Entered {
        /// Which.
        session: SessionId,
        /// The turn of what is answered.
        turn: u64,
        /// Who asked.
        ticket: T,
        /// What.
        result: Result<Entry, Refusal>,
    },
    /// Who asked is answered.
    Answer {
        /// Who.
        ticket: T,
        /// What.
        result: Result<Answer, Refusal>,
    },
    /// A session listens no more. With a cause it was put out, and is told.
    Unlisten {
        /// Which.
        session: SessionId,
        /// Why.
        cause: Option<LeaveCause>,
    },
    /// A session is sent what it missed: nothing is lost or told twice before and after this.
    CatchUp {
        /// Which.
        session: SessionId,
        /// The turn in which it asked.
        turn: u64,
        /// The messages.
        messages: Vec<Message>,
        /// What is wanted of what it publishes.
        wanted: Vec<WantedLayers>,
    },
    /// What may flow on a connection from now on.
    Rights {
        /// Which.
        peer: PeerId,
        /// What.
        rights: Rights,
    },
    /// Connections that end.
    ClosePeers(Vec<PeerId>),
    /// Somebody who may wants something of which others have a say: [`Input::Asked`] brings that back.
    Ask {
        /// Which.
        id: PlanId,
        /// Who, as others are told.
        operator: String,
        /// What.
        question: Question,
    },
    /// The room is over, on disk too. Nothing of it follows but answers.
    Over,
    /// To be remembered.
    Note(Note),
    /// These were placed, though somebody may have deleted their accounts meanwhile: who is gone is to be taken out again.
    Confirm(Vec<UserId>),
}
