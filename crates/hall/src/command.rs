//! Commands on a room as values: who asks, for what, what of the room that touches, and what is going to change. Rights
//! and rules are read here, in one step, from the same command and the same room.

use std::sync::Arc;
use std::time::Duration;

use rooms::{
    Block, Content, Counters, Delta, Error, Event, Fields, Gift, IfTaken, LeaveCause, Outcome, Role, Room,
    RoomId, SeatLocks, SeatRequest, SessionId, Time, UserId,
};

use crate::plans::{Touch, Touches};
use crate::standing::{self, Wish};
use crate::streams::{Offer, PeerId, Rights, WantedLayers};

const NOT_A_MEMBER: Error = Error::NotAllowed("only a member of the room can do this");

/// Who does what nobody asked for, as the cloud calls it.
pub const SYSTEM: &str = "@TIM#SYSTEM";

/// In whose name a command is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The app's own server, or this one: above all rules of rights. The name is what webhooks say of it.
    App(Arc<str>),
    /// A member, by one of its sessions.
    Member {
        /// Who.
        user: UserId,
        /// By which session, which must be in.
        session: SessionId,
        /// What it must be there at least.
        role: Role,
    },
    /// A user of the app that need not be in, in its own name.
    User(UserId),
}

impl By {
    /// What webhooks call it.
    pub fn name(&self) -> &str {
        match self {
            By::App(name) => name,
            By::Member { user, .. } | By::User(user) => user.as_str(),
        }
    }

    /// Checks that it may use commands of its kind on the room at all.
    ///
    /// # Errors
    /// [`Error::NotAMember`], [`Error::NotAllowed`].
    pub fn require_right(&self, room: &Room) -> Result<(), Error> {
        match self {
            By::App(_) | By::User(_) => Ok(()),
            By::Member { user, session, role } => {
                room.require_session(user, *session)?;
                self.require_role(room, *role)
            }
        }
    }

    /// Checks that it is at least `role` in the room, for what only some forms of a command do.
    ///
    /// # Errors
    /// [`Error::NotAllowed`].
    pub fn require_role(&self, room: &Room, role: Role) -> Result<(), Error> {
        match self {
            By::Member { user, .. } if room.role(user.as_str()) < role => {
                Err(Error::NotAllowed(match role {
                    Role::Owner => "only the owner of the room may do this",
                    _ => "only the owner or an administrator of the room may do this",
                }))
            }
            _ => Ok(()),
        }
    }

    /// Checks that it stands above each of `users`, whom the command is going to moderate.
    fn require_above(&self, room: &Room, users: &[UserId]) -> Result<(), Error> {
        match self {
            By::Member { user, .. } => room.require_above(user, users),
            _ => Ok(()),
        }
    }

    /// What nobody may change as long as it acts by its right.
    pub(crate) fn touches(&self) -> Touches {
        match self {
            By::Member { user, .. } => Touches::none().reads(Touch::User(user.clone())),
            By::App(_) | By::User(_) => Touches::none(),
        }
    }

    /// Who acts, for what a member does for itself.
    fn member(&self) -> Result<&UserId, Error> {
        match self {
            By::Member { user, .. } | By::User(user) => Ok(user),
            By::App(_) => Err(NOT_A_MEMBER),
        }
    }

    /// Who acts and by which session, for what lasts as long as that.
    pub(crate) fn session(&self) -> Result<(&UserId, SessionId), Error> {
        match self {
            By::Member { user, session, .. } => Ok((user, *session)),
            By::User(_) | By::App(_) => Err(NOT_A_MEMBER),
        }
    }
}

/// What is asked of a room.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// It touches the disk: planned, kept, then done and told.
    Planned(Planned),
    /// It is told first and kept a moment later.
    Said(Said),
    /// The app's own server is asked first.
    Reviewed(Reviewed),
    /// It lives in memory alone.
    Passing(Passing),
    /// It concerns other rooms too. The right is read here, and holds until it is done: who loses it meanwhile loses it then.
    Beyond(Wish<RoomId>),
}

/// What changes what is kept.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of the rules' methods of the same name")]
pub enum Planned {
    Mute {
        users: Vec<UserId>,
        duration: Duration,
    },
    Ban {
        users: Vec<UserId>,
        reason: String,
        duration: Duration,
    },
    Unban {
        users: Vec<UserId>,
    },
    Kick {
        users: Vec<UserId>,
    },
    /// As the app's own server orders it: who is not in is passed over.
    Remove {
        users: Vec<UserId>,
    },
    /// What of a user's may not flow in this room.
    Block {
        user: UserId,
        block: Block,
    },
    SetAdmins {
        users: Vec<UserId>,
        on: bool,
    },
    /// With `from`, only if that is the owner; `must_be_in`: the new one.
    ChangeOwner {
        to: UserId,
        from: Option<UserId>,
        must_be_in: bool,
    },
    /// What a member is called, and whether it is an administrator.
    SetMember {
        user: UserId,
        name_card: Option<String>,
        custom_info: Option<String>,
        is_admin: Option<bool>,
    },
    /// Marks of members are set or taken away.
    Mark {
        marks: Vec<(UserId, Vec<u32>)>,
        on: bool,
    },
    /// Users are invited to a booked room, or not any more.
    Invite {
        users: Vec<UserId>,
        on: bool,
    },
    /// New values of the room's record, and another owner.
    Update {
        fields: Box<Fields>,
        owner: Option<UserId>,
    },
    SetMetadata(Vec<(String, String)>),
    DeleteMetadata(Vec<String>),
    AddRobots(Vec<UserId>),
    DeleteRobots(Vec<UserId>),
    /// Another is put on a seat, or taken off, or moved.
    PickToSeat {
        user: UserId,
        index: Option<u32>,
    },
    KickOffSeat {
        user: UserId,
    },
    MoveToSeat {
        user: UserId,
        index: u32,
        if_taken: IfTaken,
    },
    LockSeat {
        index: u32,
        locks: SeatLocks,
    },
    /// A member does the same for itself.
    TakeSeat {
        index: Option<u32>,
    },
    LeaveSeat,
    ChangeSeat {
        index: u32,
    },
    /// It sits, if the room has seats: where it says, if it says.
    SitToPublish {
        index: Option<u32>,
    },
    AcceptSeat {
        id: u64,
    },
    RejectSeat {
        id: u64,
    },
    CancelSeat {
        id: u64,
    },
    Give(Give),
    /// The room ends, for everyone in it.
    Destroy,
    /// It ends if its lifetime is over.
    Expire,
}

/// A gift, as it is to be given.
#[derive(Debug, Clone, PartialEq)]
pub struct Give {
    /// What.
    pub gift: Box<Gift>,
    /// How often.
    pub count: u64,
    /// In whose name.
    pub from: UserId,
    /// To whom; the owner, if nobody is named.
    pub to: Vec<UserId>,
}

/// What the app's own server may refuse.
#[derive(Debug, Clone, PartialEq)]
pub enum Reviewed {
    /// A message.
    Message(Speech),
    /// A gift.
    Gift(Give),
}

/// What is told first, and kept a moment later.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A message.
    Message(Speech),
    /// Likes.
    Like(u64),
}

/// A message, as it is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Speech {
    /// Of who asks.
    Own(Content),
    /// In the name of another, who may be above mutes as an administrator of the app.
    For {
        /// In whose name.
        from: UserId,
        /// Whether that is an administrator of the app.
        is_app_admin: bool,
        /// What.
        content: Content,
        /// Whoever follows the room from outside is not told of it.
        is_untold: bool,
    },
}

/// What lives in memory alone.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum Passing {
    ApplyForSeat {
        index: Option<u32>,
        timeout: Duration,
    },
    InviteToSeat {
        guest: UserId,
        index: Option<u32>,
        timeout: Duration,
    },
    /// A session publishes on a connection of the forwarding unit.
    Publish {
        peer: PeerId,
        offer: Offer,
    },
    Unpublish,
    Watch {
        peer: PeerId,
    },
    Unwatch,
    /// A player that is only counted watches, unless its user does so `most` times already (0: as often as it likes).
    Play {
        user: UserId,
        peer: PeerId,
        most: usize,
    },
    EndPlayers(Vec<UserId>),
    MuteStream {
        device: rooms::Device,
        is_muted: bool,
    },
    CloseStream {
        user: UserId,
        device: rooms::Device,
    },
    /// A connection is gone, though nobody ended it.
    LosePeer {
        peer: PeerId,
        session: Option<SessionId>,
        was_publisher: bool,
    },
    /// Something else is wanted of what a session publishes.
    Want {
        peer: PeerId,
        session: SessionId,
        wanted: WantedLayers,
    },
}

/// What is answered to who asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It is done, and there is nothing more to say.
    Done,
    /// Where somebody sits now.
    Seat(Option<u32>),
    /// The number of a request about a seat.
    Request(u64),
    /// Which of the room's gifts it was.
    Sequence(u64),
    /// A message as it was told.
    Message {
        /// Its id.
        id: String,
        /// Its number.
        seq: u64,
        /// When it was told.
        sent_at: Time,
    },
    /// The app's server has dropped a message, and its sender is not to know.
    Dropped,
    /// How many likes there are.
    Likes(u64),
    /// The numbers of a room that is over.
    Statistic {
        /// Its counters.
        counters: Counters,
        /// How many have given something.
        senders: usize,
    },
    /// What flows of what is published.
    Rights(Rights),
    /// What was said of what concerns other rooms too.
    Beyond(standing::Answer),
}

/// How a session is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The last message there was.
    pub seen: u64,
    /// Whether it was not in before.
    pub is_new: bool,
}

/// Why nothing was done, or what is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A rule of the room.
    Rule(Error),
    /// The user is in by as many sessions as are allowed: these.
    Crowded(Vec<SessionId>),
    /// It plays as often as is allowed.
    PlaysEnough,
    /// Too much waits for this room.
    Busy,
    /// The app's own server does not want the message.
    MessageRefused(Objection),
    /// It does not want the gift.
    GiftRefused(Objection),
    /// The store did not take it.
    Store(Refused),
    /// It was told, and the store has not taken it yet.
    NotYetKept,
    /// The store has not said for long whether it took it.
    Unknown,
    /// The room's lifetime is not over.
    NotDue,
    /// The room was destroyed at this moment.
    Gone,
    /// The session is over, and enters nothing any more.
    SessionOver,
    /// The session goes on on another connection, which does not wait for this.
    Elsewhere,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Rule(error)
    }
}

/// What the store said when it took nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// So much waits for it already that it takes no more for now.
    pub is_behind: bool,
    /// In its words.
    pub text: String,
}

/// What an app's server says of something that it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may be done. Also where nobody has answered.
    Agreed,
    /// A message is to be sent in other words.
    Changed(Content),
    /// A message is not to be sent, and its sender is not to know.
    Dropped,
    /// It is not to be done.
    Refused(Objection),
    /// So much of the app's is being asked that this is not.
    NotAsked,
}

/// Why something is not to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The app's own number for it.
    pub number: u32,
    /// In its words.
    pub text: String,
}

/// What a plan comes to, beside what it changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Upshot {
    Answer(Answer),
    /// Where the user sits when it is done.
    SeatOf(UserId),
    End(LeaveCause),
}

impl Planned {
    /// What it reads and writes. What nobody has looked at more closely touches everything.
    pub(crate) fn touches(&self, by: &By, room: &Room, now: Time) -> Touches {
        let users_of = |users: &[UserId]| Touches::none().writes_users(users);
        // Who sits leaves a seat.
        let put_out = |users: &[UserId]| match users.iter().any(|user| room.seat_of(user.as_str()).is_some())
        {
            true => users_of(users).writes(Touch::Seats),
            false => users_of(users),
        };
        let touches = match self {
            Planned::Mute { users, .. } => users_of(users).writes_users(room.ended_mutes(now)),
            Planned::Ban { users, .. } => put_out(users).writes_users(room.ended_bans(now)),
            Planned::Unban { users } => users_of(users),
            Planned::Kick { users } | Planned::Remove { users } => put_out(users),
            Planned::Block { user, .. } => users_of(std::slice::from_ref(user)),
            Planned::SetMember { user, is_admin: None, .. } => users_of(std::slice::from_ref(user)),
            Planned::SetMetadata(_) | Planned::DeleteMetadata(_) => Touches::none().writes(Touch::Metadata),
            Planned::LockSeat { .. } => Touches::none().writes(Touch::Seats),
            Planned::PickToSeat { user, .. }
            | Planned::KickOffSeat { user }
            | Planned::MoveToSeat { user, .. } => Touches::seat_of(user),
            Planned::TakeSeat { .. }
            | Planned::LeaveSeat
            | Planned::ChangeSeat { .. }
            | Planned::SitToPublish { .. }
            | Planned::AcceptSeat { .. }
            | Planned::RejectSeat { .. }
            | Planned::CancelSeat { .. } => match by.member() {
                Ok(user) => Touches::seat_of(user),
                Err(_) => Touches::none(),
            },
            Planned::Give(give) => Touches::none().writes(Touch::Gifts(give.from.clone())),
            Planned::SetAdmins { .. }
            | Planned::ChangeOwner { .. }
            | Planned::SetMember { .. }
            | Planned::Mark { .. }
            | Planned::Invite { .. }
            | Planned::Update { .. }
            | Planned::AddRobots(_)
            | Planned::DeleteRobots(_)
            | Planned::Destroy
            | Planned::Expire => Touches::all(),
        };
        match by {
            By::Member { user, .. } => touches.reads(Touch::User(user.clone())),
            _ => touches,
        }
    }

    /// What is going to change, by the rules and by the caller's right.
    pub(crate) fn plan(&self, by: &By, room: &mut Room, now: Time) -> Result<(Upshot, Outcome), Refusal> {
        by.require_right(room)?;
        let done = |outcome| Ok((Upshot::Answer(Answer::Done), outcome));
        let seat = |user: &UserId, outcome| Ok((Upshot::SeatOf(user.clone()), outcome));
        match self {
            Planned::Mute { users, duration } => {
                by.require_above(room, users)?;
                done(room.mute(users, *duration, now))
            }
            Planned::Ban { users, reason, duration } => {
                by.require_above(room, users)?;
                done(room.ban(users, reason, *duration, now))
            }
            Planned::Unban { users } => {
                by.require_above(room, users)?;
                done(room.unban(users))
            }
            Planned::Kick { users } => {
                by.require_above(room, users)?;
                done(room.kick(users)?)
            }
            Planned::Remove { users } => {
                by.require_above(room, users)?;
                done(room.remove_users(users))
            }
            Planned::Block { user, block } => {
                by.require_above(room, std::slice::from_ref(user))?;
                done(room.block(user, *block)?)
            }
            Planned::SetAdmins { users, on } => done(room.set_admins(users, *on)?),
            Planned::ChangeOwner { to, from, must_be_in } => {
                let owner = &room.info().owner;
                if from.as_ref().is_some_and(|from| from != owner) {
                    let trouble = format_args!("is not the owner, who is {owner}");
                    return Err(Error::invalid("From_Account", trouble).into());
                }
                if *must_be_in {
                    room.require_member(to)?;
                }
                done(room.change_owner(to))
            }
            Planned::SetMember { user, name_card, custom_info, is_admin } => {
                let mut outcome = room.set_card(user, name_card.clone(), custom_info.clone())?;
                if let Some(on) = is_admin {
                    let admins = room.set_admins(std::slice::from_ref(user), *on)?;
                    outcome.changes.extend(admins.changes);
                    outcome.events.extend(admins.events);
                }
                done(outcome)
            }
            Planned::Mark { marks, on } => done(room.mark(marks, *on)?),
            Planned::Invite { users, on } => done(room.invite(users, *on)?),
            Planned::Update { fields, owner } => done(update(by, room, fields, owner.as_ref())?),
            Planned::SetMetadata(entries) => done(room.set_metadata(entries.clone())?),
            Planned::DeleteMetadata(keys) => done(room.delete_metadata(keys.clone())?),
            Planned::AddRobots(users) => {
                if let Some(user) = users.iter().find(|user| room.is_banned(user.as_str(), now)) {
                    let trouble = format_args!("has {user}, who is banned");
                    return Err(Error::invalid("RobotList_Account", trouble).into());
                }
                done(room.add_robots(users)?)
            }
            Planned::DeleteRobots(users) => done(room.delete_robots(users)),
            Planned::PickToSeat { user, index } => {
                by.require_above(room, std::slice::from_ref(user))?;
                done(room.pick_to_seat(user, *index)?)
            }
            Planned::KickOffSeat { user } => {
                by.require_above(room, std::slice::from_ref(user))?;
                done(room.leave_seat(user)?)
            }
            Planned::MoveToSeat { user, index, if_taken } => {
                let mut concerned = room.concerned_by_seat(*index)?;
                concerned.push(user.clone());
                by.require_above(room, &concerned)?;
                done(room.move_to_seat(user, *index, *if_taken)?)
            }
            Planned::LockSeat { index, locks } => {
                // Who sits there is moderated, though nobody is named; and so is who has the seat kept for it.
                by.require_above(room, &room.concerned_by_seat(*index)?)?;
                done(room.lock_seat(*index, *locks)?)
            }
            Planned::TakeSeat { index } => {
                let user = by.member()?;
                room.require_may_take_seat(user)?;
                seat(user, room.take_seat(user, *index)?)
            }
            Planned::LeaveSeat => done(room.leave_seat(by.member()?)?),
            Planned::ChangeSeat { index } => {
                let user = by.member()?;
                seat(user, room.move_to_seat(user, *index, IfTaken::Refuse)?)
            }
            Planned::SitToPublish { index } => {
                let user = by.member()?;
                seat(user, sit(room, user, *index)?)
            }
            Planned::AcceptSeat { id } => {
                let (request, outcome) = room.accept_seat(by.member()?, *id, now)?;
                seat(&request.guest, outcome)
            }
            Planned::RejectSeat { id } => done(room.reject_seat(by.member()?, *id, now)?),
            Planned::CancelSeat { id } => done(room.cancel_seat(by.member()?, *id, now)?),
            Planned::Give(Give { gift, count, from, to }) => {
                let (given, outcome) = room.give(gift, *count, from, to.clone(), now)?;
                Ok((Upshot::Answer(Answer::Sequence(given.sequence)), outcome))
            }
            Planned::Destroy => Ok((Upshot::End(LeaveCause::Destroyed), Outcome::default())),
            Planned::Expire => match room.deadline() {
                Some(deadline) if deadline <= now => {
                    Ok((Upshot::End(LeaveCause::Expired), Outcome::default()))
                }
                _ => Err(Refusal::NotDue),
            },
        }
    }
}

/// New values of the record, and another owner, as one change of it.
fn update(by: &By, room: &Room, fields: &Fields, owner: Option<&UserId>) -> Result<Outcome, Error> {
    let mut outcome = room.update(fields)?;
    // Who loses a seat by it is moderated, though nobody is named.
    by.require_above(room, &room.unseated_by(&outcome))?;
    let Some(owner) = owner else { return Ok(outcome) };
    let change = room.change_owner(owner);
    if change.changes.is_empty() {
        return Ok(outcome);
    }
    by.require_role(room, Role::Owner)?;
    let mut is_noted = false;
    for delta in &mut outcome.changes {
        if let Delta::Info(info) = delta {
            info.owner = owner.clone();
            is_noted = true;
        }
    }
    let rest = change.changes.into_iter().filter(|delta| !(is_noted && matches!(delta, Delta::Info(_))));
    outcome.changes.extend(rest);
    outcome.events.extend(change.events);
    Ok(outcome)
}

/// Puts a publisher on a seat, where the room has any and it sits on none, or on another than it wants.
fn sit(room: &Room, user: &UserId, index: Option<u32>) -> Result<Outcome, Error> {
    if room.seats().is_empty() {
        return Ok(Outcome::default());
    }
    match (room.seat_of(user.as_str()), index) {
        (Some(own), index) if index.is_none_or(|index| index == own) => Ok(Outcome::default()),
        (Some(_), Some(index)) => room.move_to_seat(user, index, IfTaken::Refuse),
        _ => {
            room.require_may_take_seat(user)?;
            room.take_seat(user, index)
        }
    }
}

impl Said {
    pub(crate) fn is_untold(&self) -> bool {
        matches!(self, Said::Message(Speech::For { is_untold: true, .. }))
    }

    /// Does it, and returns what is told.
    pub(crate) fn say(self, by: &By, room: &mut Room, now: Time) -> Result<Event, Error> {
        by.require_right(room)?;
        match self {
            Said::Message(Speech::Own(content)) => room.send(by.member()?, content, now),
            Said::Message(Speech::For { from, is_app_admin, content, .. }) => {
                room.send_for(&from, is_app_admin, content, now)
            }
            Said::Like(count) => room.like(by.member()?, count),
        }
    }
}

impl Speech {
    /// Checks that it may be sent, and says in whose name.
    pub(crate) fn check(&self, by: &By, room: &Room, now: Time) -> Result<UserId, Error> {
        match self {
            Speech::Own(content) => {
                let from = by.member()?;
                room.check_send(from, content, now)?;
                Ok(from.clone())
            }
            Speech::For { from, is_app_admin, content, .. } => {
                room.check_send_for(from, *is_app_admin, content, now)?;
                Ok(from.clone())
            }
        }
    }

    /// What it says.
    pub(crate) fn content(&self) -> &Content {
        match self {
            Speech::Own(content) | Speech::For { content, .. } => content,
        }
    }

    /// The same in other words.
    pub(crate) fn with(mut self, words: Content) -> Self {
        match &mut self {
            Speech::Own(content) | Speech::For { content, .. } => *content = words,
        }
        self
    }
}

/// A request about a seat was made.
pub(crate) fn requested(request: SeatRequest) -> (Answer, Event) {
    (Answer::Request(request.id), Event::SeatRequested(request))
}
