//! One login of a user as a machine: its token, its connections one after the other, the rooms it is in or on its way into,
//! how long it waits for a connection that it has lost, its end.
//!
//! It alone says to halls that a session enters, is lost, is back and leaves, each time with its *turn*, which only grows:
//! threads bring that to a hall in any order, and the hall leaves out what was overtaken. A room is noted before its hall is
//! asked, and a session that is over asks no more. Whatever lets one in that is over, or whose client does not count on
//! it any more, is left: so nobody is in a room for good, and a client that resumes is in the rooms that the answer names, and
//! in no other.
//!
//! What a hall says to a session comes in the hall's order. What a session says may be carried out in any order, but for
//! [`Effect::Attached`] and [`Effect::Keep`].

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rooms::{Client, Incarnation, LeaveCause, RoomId, SessionId, Time, UserId};

use crate::command::{Entry, Refusal};
use crate::exchange;

/// A resume token, as far as it is kept: its SHA-256.
pub type TokenHash = [u8; 32];

/// One of a session's connections. They count up, so that a former one does not speak for its successor; the one before the
/// first is that of a session which has none to lose, or lost it with the server's former run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkId(u64);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The client closed it.
    OnPurpose,
    /// The UserSig has ended, and with it what it allowed.
    Expired,
    /// The other side reset it: what was written had arrived.
    Reset,
    /// It fell silent, or was given up: only what was acknowledged is sure to have arrived.
    Silent,
}

/// Something that happens to a session. `T` is whoever is to be answered.
#[derive(Debug)]
pub enum Input<T> {
    /// It has its first connection.
    Attach,
    /// A client shows a token on another connection, on which it gets what it has missed.
    Resume {
        /// The token.
        used: TokenHash,
        /// The one that resumes it the next time.
        next: TokenHash,
        /// The last message of each room that the client says it has; where it says nothing, what is known here counts.
        seen: HashMap<String, u64>,
        /// When.
        now: Time,
    },
    /// A connection has ended.
    Detach {
        /// Which.
        link: LinkId,
        /// How.
        how: Loss,
    },
    /// The time is over that was waited for a successor of this connection.
    GraceOver(LinkId),
    /// It has shown a UserSig that ends then.
    Renew(Time),
    /// The client wants into a room.
    Enter {
        /// By which connection; only the latest one speaks for it.
        link: LinkId,
        /// Which.
        room: Incarnation,
        /// The room's password, as it was given.
        password: Option<String>,
        /// Whom to answer.
        ticket: T,
    },
    /// The client wants out of a room.
    Leave {
        /// By which connection.
        link: LinkId,
        /// Which.
        room: Incarnation,
        /// Whom to answer, or whom the hall is to.
        ticket: T,
    },
    /// A hall has answered: [`exchange::Effect::Entered`].
    Entered {
        /// Which.
        room: Incarnation,
        /// The turn of what it answers.
        turn: u64,
        /// What it says.
        result: Result<Entry, Refusal>,
        /// Whom to answer.
        ticket: T,
    },
    /// A hall has it no more: [`exchange::Effect::Unlisten`].
    Out(Incarnation),
    /// It ends.
    End(LeaveCause),
    /// It ends for another to begin, if its connection is lost.
    EndIfLost,
    /// It ends, if this is its token.
    EndByToken(TokenHash),
}

/// What becomes of a session's row in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// It is written for the first time.
    Added,
    /// It is written once more.
    Changed,
    /// It is struck out.
    Deleted,
}

/// Something to be performed.
#[derive(Debug)]
pub enum Effect<T> {
    /// It has another connection, which the one before makes room for.
    Attached {
        /// Which.
        link: LinkId,
        /// The rooms it is in.
        rooms: Vec<RoomId>,
    },
    /// It takes no connection: the token is not its, or it is over.
    Refused,
    /// Its row, by and by.
    Keep(Row),
    /// To be said to a hall.
    Say {
        /// Which.
        room: Incarnation,
        /// What.
        input: exchange::Input<T>,
    },
    /// Who asked is answered.
    Answer {
        /// Who.
        ticket: T,
        /// Whether it is in.
        result: Result<(), Refusal>,
    },
    /// This connection is lost: [`Input::GraceOver`] of it is to come after the grace.
    Wait(LinkId),
    /// It is over, and nothing comes of its token.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// It has had no connection yet, or has none to lose, since it is what came by WHIP or WHEP.
    Begun,
    Connected,
    Lost,
    Over(LeaveCause),
}

/// A room that the session is in, or on its way into or out of.
struct Stay {
    room: Incarnation,
    /// The turn of the latest wish to enter that has no answer yet.
    asked: Option<u64>,
    /// The hall has let it in, and has not said that it is out.
    is_in: bool,
    /// The client counts on being in, or is told so when it resumes.
    is_known: bool,
    /// The newest message written to a connection.
    sent: u64,
    /// `sent` at the last ping.
    pinged: u64,
    /// `pinged` at the last pong: the client surely has these.
    acknowledged: u64,
}

impl Stay {
    fn new(room: Incarnation) -> Self {
        Self { room, asked: None, is_in: false, is_known: false, sent: 0, pinged: 0, acknowledged: 0 }
    }

    fn note_seen(&mut self, seen: u64) {
        (self.sent, self.pinged, self.acknowledged) = (seen, seen, seen);
    }
}

/// A session.
pub struct Session<T> {
    id: SessionId,
    user: UserId,
    token: TokenHash,
    /// When its UserSig ends.
    valid_until: Time,
    life: Life,
    link: LinkId,
    /// Of what was said last.
    turn: u64,
    /// With what it came.
    client: Arc<Client>,
    stays: Vec<Stay>,
    /// Rooms whose missed messages are yet to be sent, and the turns in which they were asked for.
    behind: Vec<(Incarnation, u64)>,
    effects: VecDeque<Effect<T>>,
}

impl<T> Session<T> {
    /// A session begins.
    pub fn new(id: SessionId, user: UserId, token: TokenHash, valid_until: Time) -> Self {
        let mut session = Self::restore(id, user, token, valid_until);
        session.life = Life::Begun;
        session.effects = [Effect::Keep(Row::Added)].into();
        session
    }

    /// A session that was there before a restart, which is a lost connection to it.
    pub fn restore(id: SessionId, user: UserId, token: TokenHash, valid_until: Time) -> Self {
        Self {
            id,
            user,
            token,
            valid_until,
            life: Life::Lost,
            link: LinkId::default(),
            turn: 0,
            client: Arc::default(),
            stays: Vec::new(),
            behind: Vec::new(),
            effects: [Effect::Wait(LinkId::default())].into(),
        }
    }

    /// It was in this room before a restart, and has its messages up to `seen`.
    pub fn restore_stay(&mut self, room: Incarnation, seen: u64) {
        let mut stay = Stay { is_in: true, is_known: true, ..Stay::new(room) };
        stay.note_seen(seen);
        self.stays.push(stay);
    }

    /// It came with this.
    pub fn set_client(&mut self, client: Client) {
        self.client = Arc::new(client);
    }

    /// With what it came.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Which it is.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whose it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The token that resumes it.
    pub fn token(&self) -> TokenHash {
        self.token
    }

    /// When its UserSig ends.
    pub fn valid_until(&self) -> Time {
        self.valid_until
    }

    /// Whether it is in a room, as far as its client counts on it.
    pub fn is_in(&self, room: &Incarnation) -> bool {
        self.stays.iter().any(|stay| stay.is_known && stay.room == *room)
    }

    /// The rooms it is in, as far as its client counts on it.
    pub fn rooms(&self) -> impl Iterator<Item = &Incarnation> {
        self.stays.iter().filter(|stay| stay.is_known).map(|stay| &stay.room)
    }

    /// What is to be performed next.
    pub fn poll(&mut self) -> Option<Effect<T>> {
        self.effects.pop_front()
    }

    /// Something happens. What follows from it is [polled](Self::poll) for.
    pub fn handle(&mut self, input: Input<T>) {
        match input {
            Input::Attach => self.attach(&HashMap::new()),
            Input::Resume { used, next, seen, now } => {
                if used != self.token || now >= self.valid_until || self.is_over() {
                    return self.effects.push_back(Effect::Refused);
                }
                self.token = next;
                self.attach(&seen);
                self.effects.push_back(Effect::Keep(Row::Changed));
            }
            Input::Detach { link, how } => self.detach(link, how),
            Input::GraceOver(link) if link == self.link && self.life == Life::Lost => {
                self.end(LeaveCause::Interrupted);
            }
            Input::GraceOver(_) => {}
            Input::Renew(until) if !self.is_over() => {
                self.valid_until = until;
                self.effects.push_back(Effect::Keep(Row::Changed));
            }
            Input::Renew(_) => {}
            Input::Enter { ticket, .. } | Input::Leave { ticket, .. } if self.is_over() => {
                self.answer(ticket, Err(Refusal::SessionOver));
            }
            Input::Enter { link, ticket, .. } | Input::Leave { link, ticket, .. } if link != self.link => {
                self.answer(ticket, Err(Refusal::Elsewhere));
            }
            Input::Enter { room, password, ticket, .. } => self.enter(room, password, ticket),
            Input::Leave { room, ticket, .. } => {
                if let Some(stay) = self.stay(&room) {
                    (stay.asked, stay.is_known) = (None, false);
                }
                self.leave(room, LeaveCause::Leave, Some(ticket));
            }
            Input::Entered { room, turn, result, ticket } => self.entered(room, turn, result, ticket),
            Input::Out(room) => {
                if let Some(stay) = self.stay(&room) {
                    (stay.is_in, stay.is_known) = (false, false);
                }
                self.stays.retain(|stay| stay.is_in || stay.asked.is_some());
                self.behind.retain(|(other, _)| *other != room);
            }
            Input::End(cause) => self.end(cause),
            Input::EndIfLost if self.life == Life::Lost => self.end(LeaveCause::Interrupted),
            Input::EndIfLost => {}
            Input::EndByToken(token) if token == self.token => self.end(LeaveCause::Leave),
            Input::EndByToken(_) => {}
        }
    }

    // What the connection says of messages

    /// Whether what a room says now is left out, since it is among what the client has missed and is yet to get.
    pub fn is_behind(&self, room_id: &RoomId) -> bool {
        self.behind.iter().any(|(room, _)| room.room == *room_id)
    }

    /// The messages are there that a room was asked for in this turn. `false` when another connection has asked since.
    pub fn catch_up(&mut self, room: &Incarnation, turn: u64) -> bool {
        let before = self.behind.len();
        self.behind.retain(|(other, asked)| other != room || *asked != turn);
        self.behind.len() < before
    }

    /// A room's message has been written to the connection.
    pub fn note_sent(&mut self, room_id: &RoomId, seq: u64) {
        let of_room = self.stays.iter_mut().filter(|stay| stay.room.room == *room_id);
        of_room.for_each(|stay| stay.sent = stay.sent.max(seq));
    }

    /// A ping goes out.
    pub fn note_ping(&mut self) {
        self.stays.iter_mut().for_each(|stay| stay.pinged = stay.sent);
    }

    /// Its pong came back, and so had all that was written before the ping.
    pub fn note_pong(&mut self) {
        self.stays.iter_mut().for_each(|stay| stay.acknowledged = stay.acknowledged.max(stay.pinged));
    }

    // Connections

    fn is_over(&self) -> bool {
        matches!(self.life, Life::Over(_))
    }

    fn attach(&mut self, seen: &HashMap<String, u64>) {
        if self.is_over() {
            return self.effects.push_back(Effect::Refused);
        }
        if self.life == Life::Connected {
            self.note_loss(Loss::Silent);
        }
        self.life = Life::Connected;
        self.link.0 += 1;
        // The client is told where it is, and does not count on what has no answer by now.
        self.stays.iter_mut().for_each(|stay| stay.asked = None);
        self.stays.retain(|stay| stay.is_in);
        let known = self.stays.iter().filter(|stay| stay.is_known);
        let back: Vec<(Incarnation, u64)> = known
            .map(|stay| {
                let said = seen.get(stay.room.room.as_str());
                (stay.room.clone(), said.copied().unwrap_or(stay.sent))
            })
            .collect();
        let rooms = back.iter().map(|(room, _)| room.room.clone()).collect();
        self.effects.push_back(Effect::Attached { link: self.link, rooms });
        self.behind.clear();
        for (room, seen) in back {
            let (user, session, turn) = (self.user.clone(), self.id, self.next_turn());
            self.behind.push((room.clone(), turn));
            self.say(room, exchange::Input::Back { user, session, turn, seen });
        }
    }

    fn detach(&mut self, link: LinkId, how: Loss) {
        if link != self.link || self.life != Life::Connected {
            return;
        }
        match how {
            Loss::OnPurpose => return self.end(LeaveCause::Leave),
            Loss::Expired => return self.end(LeaveCause::Interrupted),
            Loss::Reset | Loss::Silent => self.note_loss(how),
        }
        self.life = Life::Lost;
        let lost: Vec<(Incarnation, u64)> = self
            .stays
            .iter()
            .filter(|stay| stay.is_known)
            .map(|stay| (stay.room.clone(), stay.acknowledged))
            .collect();
        for (room, seen) in lost {
            let (user, session, turn) = (self.user.clone(), self.id, self.next_turn());
            self.say(room, exchange::Input::Lost { user, session, turn, seen });
        }
        self.effects.push_back(Effect::Wait(link));
    }

    fn note_loss(&mut self, how: Loss) {
        for stay in &mut self.stays {
            let has = if how == Loss::Silent { stay.acknowledged } else { stay.sent };
            stay.note_seen(has);
        }
    }

    fn end(&mut self, cause: LeaveCause) {
        if self.is_over() {
            return;
        }
        self.life = Life::Over(cause);
        self.behind.clear();
        for stay in std::mem::take(&mut self.stays) {
            self.leave(stay.room, cause, None);
        }
        self.effects.push_back(Effect::Keep(Row::Deleted));
        self.effects.push_back(Effect::Over);
    }

    // Rooms

    fn stay(&mut self, room: &Incarnation) -> Option<&mut Stay> {
        self.stays.iter_mut().find(|stay| stay.room == *room)
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn say(&mut self, room: Incarnation, input: exchange::Input<T>) {
        self.effects.push_back(Effect::Say { room, input });
    }

    fn answer(&mut self, ticket: T, result: Result<(), Refusal>) {
        self.effects.push_back(Effect::Answer { ticket, result });
    }

    fn enter(&mut self, room: Incarnation, password: Option<String>, ticket: T) {
        let (user, session, turn) = (self.user.clone(), self.id, self.next_turn());
        match self.stay(&room) {
            Some(stay) => stay.asked = Some(turn),
            None => self.stays.push(Stay { asked: Some(turn), ..Stay::new(room.clone()) }),
        }
        let client = self.client.clone();
        self.say(room, exchange::Input::Enter { user, session, turn, password, client, ticket });
    }

    fn entered(&mut self, room: Incarnation, turn: u64, result: Result<Entry, Refusal>, ticket: T) {
        let over = match self.life {
            Life::Over(cause) => Some(cause),
            _ => None,
        };
        let is_let_in = result.is_ok();
        let is_wanted = self.stay(&room).is_some_and(|stay| {
            stay.is_in |= is_let_in;
            if let Ok(entry) = &result
                && entry.is_new
            {
                stay.note_seen(entry.seen);
            }
            if stay.asked == Some(turn) {
                stay.asked = None;
                stay.is_known |= is_let_in;
            }
            stay.is_known || stay.asked.is_some()
        });
        let is_in = self.stay(&room).map_or(is_let_in, |stay| stay.is_in);
        if !is_wanted && is_in {
            self.leave(room, over.unwrap_or(LeaveCause::Leave), None);
        }
        self.stays.retain(|stay| stay.is_in || stay.asked.is_some());
        let result = match result {
            Ok(_) if over.is_some() => Err(Refusal::SessionOver),
            Ok(_) if !is_wanted => Err(Refusal::Elsewhere),
            result => result.map(drop),
        };
        self.answer(ticket, result);
    }

    fn leave(&mut self, room: Incarnation, cause: LeaveCause, ticket: Option<T>) {
        let (user, session, turn) = (self.user.clone(), self.id, self.next_turn());
        self.say(room, exchange::Input::Leave { user, session, turn, cause, ticket });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    const FIRST: TokenHash = [1; 32];
    const SECOND: TokenHash = [2; 32];
    const NOW: Time = Time::from_unix_seconds(1000);

    fn room(number: i64) -> Incarnation {
        Incarnation { room: RoomId::parse(&format!("r{number}")).unwrap(), number }
    }

    /// A session, and what it was told so far. Tickets are names.
    struct Driver(Session<&'static str>);

    impl Driver {
        /// With its first connection.
        fn begin() -> Self {
            let user = UserId::parse("ann").unwrap();
            let mut driver = Self(Session::new(SessionId(7), user, FIRST, Time::from_unix_seconds(2000)));
            driver.tell(Input::Attach);
            driver
        }

        /// What follows, in short.
        fn tell(&mut self, input: Input<&'static str>) -> Vec<String> {
            self.0.handle(input);
            let effects = std::iter::from_fn(|| self.0.poll());
            let short = effects.map(|effect| match effect {
                Effect::Say { room, input: exchange::Input::Enter { turn, .. } } => {
                    format!("enter {} {turn}", room.room)
                }
                Effect::Say { room, input: exchange::Input::Leave { turn, .. } } => {
                    format!("leave {} {turn}", room.room)
                }
                Effect::Say { room, input: exchange::Input::Lost { turn, seen, .. } } => {
                    format!("lost {} {turn} at {seen}", room.room)
                }
                Effect::Say { room, input: exchange::Input::Back { turn, seen, .. } } => {
                    format!("back {} {turn} at {seen}", room.room)
                }
                Effect::Attached { rooms, .. } => format!("attached {rooms:?}"),
                Effect::Answer { ticket, result } => format!("{ticket}: {result:?}"),
                other => format!("{other:?}"),
            });
            short.collect()
        }

        fn enter(&mut self, number: i64) -> Vec<String> {
            let (link, room) = (self.0.link, room(number));
            self.tell(Input::Enter { link, room, password: None, ticket: "enter" })
        }

        fn let_in(&mut self, number: i64, turn: u64) -> Vec<String> {
            let result = Ok(Entry { seen: 5, is_new: true });
            self.tell(Input::Entered { room: room(number), turn, result, ticket: "enter" })
        }

        fn resume(&mut self, used: TokenHash, next: TokenHash) -> Vec<String> {
            self.tell(Input::Resume { used, next, seen: HashMap::new(), now: NOW })
        }
    }

    #[test]
    fn whatever_lets_a_session_in_that_is_over_is_left() {
        let mut ann = Driver::begin();
        assert_eq!(ann.enter(1), ["enter r1 1"]);

        assert_eq!(ann.tell(Input::End(LeaveCause::Kicked)), ["leave r1 2", "Keep(Deleted)", "Over"]);

        assert_eq!(ann.let_in(1, 1), ["leave r1 3", "enter: Err(SessionOver)"]);
        assert_eq!(ann.enter(2), ["enter: Err(SessionOver)"]);
    }

    #[test]
    fn a_resume_names_the_rooms_it_is_in_and_what_it_was_on_its_way_into_is_left() {
        let mut ann = Driver::begin();
        ann.enter(1);
        assert_eq!(ann.let_in(1, 1), ["enter: Ok(())"]);
        ann.enter(2);

        let named = ["attached [RoomId(\"r1\")]", "back r1 3 at 5", "Keep(Changed)"];
        assert_eq!(ann.resume(FIRST, SECOND), named);

        assert_eq!(ann.let_in(2, 2), ["leave r2 4", "enter: Err(Elsewhere)"]);
        assert_eq!(ann.resume(FIRST, SECOND), ["Refused"], "a token works once");
    }

    #[test]
    fn a_former_connection_does_not_speak_for_its_successor() {
        let mut ann = Driver::begin();
        let former = ann.0.link;
        ann.enter(1);
        ann.let_in(1, 1);
        ann.resume(FIRST, SECOND);

        assert!(ann.tell(Input::Detach { link: former, how: Loss::OnPurpose }).is_empty());
        assert!(ann.tell(Input::GraceOver(former)).is_empty());
        let leave = Input::Leave { link: former, room: room(1), ticket: "leave" };
        assert_eq!(ann.tell(leave), ["leave: Err(Elsewhere)"]);
        assert!(ann.0.is_in(&room(1)));
    }

    #[test]
    fn a_session_goes_on_as_long_as_the_usersig_that_it_has_shown_last() {
        let mut ann = Driver::begin();
        let end = ann.0.valid_until;
        let resume = |now| Input::Resume { used: FIRST, next: SECOND, seen: HashMap::new(), now };
        assert_eq!(ann.tell(resume(end)), ["Refused"]);

        let later = end + std::time::Duration::from_secs(1);
        assert_eq!(ann.tell(Input::Renew(later)), ["Keep(Changed)"]);
        assert_eq!(ann.tell(resume(end)), ["attached []", "Keep(Changed)"]);

        ann.tell(Input::End(LeaveCause::Leave));
        assert!(ann.tell(Input::Renew(later)).is_empty(), "it is over");
        let resume = Input::Resume { used: SECOND, next: FIRST, seen: HashMap::new(), now: NOW };
        assert_eq!(ann.tell(resume), ["Refused"]);
    }

    #[test]
    fn only_one_that_is_lost_makes_room_and_only_its_own_token_ends_it() {
        let mut ann = Driver::begin();

        assert!(ann.tell(Input::EndIfLost).is_empty());
        assert!(ann.tell(Input::EndByToken(SECOND)).is_empty());
        let link = ann.0.link;
        ann.tell(Input::Detach { link, how: Loss::Silent });

        assert_eq!(ann.tell(Input::EndIfLost), ["Keep(Deleted)", "Over"]);
        let mut ben = Driver::begin();
        assert_eq!(ben.tell(Input::EndByToken(FIRST)), ["Keep(Deleted)", "Over"]);
    }

    #[test]
    fn what_a_silent_connection_did_not_acknowledge_is_sent_again() {
        let mut ann = Driver::begin();
        ann.enter(1);
        ann.let_in(1, 1);
        let room_id = room(1).room;
        ann.0.note_sent(&room_id, 6);
        ann.0.note_ping();
        ann.0.note_sent(&room_id, 7);
        ann.0.note_pong();

        let link = ann.0.link;
        let lost = ann.tell(Input::Detach { link, how: Loss::Silent });
        assert_eq!(lost, ["lost r1 2 at 6", &format!("Wait({link:?})")]);
        ann.resume(FIRST, SECOND);

        assert!(ann.0.is_behind(&room_id));
        assert!(!ann.0.catch_up(&room(1), 2), "nothing was asked for in that turn");
        ann.resume(SECOND, FIRST);
        assert!(!ann.0.catch_up(&room(1), 3), "the connection that asked for it is gone");
        assert!(ann.0.catch_up(&room(1), 4));
        assert!(!ann.0.is_behind(&room_id));
    }
}
