//! What stands between the rooms of an app, what is wanted of it, what of it that touches, and what is going to change: rights
//! aside, which are read in the room in whose name it is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rooms::{
    Battle, BattleStep, Connection, ConnectionStep, Connections, Error, Incarnation, RoomId, Time, UserId,
};

use crate::plans::{Touch, Touches};

/// How many battles a room may be asked to at once.
const MOST_ASKED: usize = 16;

/// A Live room, and its owner when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The room.
    pub room: Incarnation,
    /// Its owner.
    pub owner: UserId,
}

/// What an owner wants for its room. `R` are the other rooms: by their names, until somebody has looked them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish<R> {
    /// Its room competes with others.
    Battle(NewBattle<R>),
    /// It says whether its room takes part in a battle to which it was called.
    AnswerBattle {
        /// Which.
        battle: String,
        /// Yes or no.
        accepted: bool,
    },
    /// Its room leaves a battle.
    ExitBattle {
        /// Which.
        battle: String,
    },
    /// It asks another room to be connected.
    Request {
        /// Which.
        to: R,
        /// How long that has to answer.
        timeout: Duration,
        /// Its own words.
        extension: String,
    },
    /// It connects its room with one that has asked.
    Accept {
        /// Which.
        from: R,
        /// The name of a connection that begins by it.
        new_id: u64,
    },
    /// It says no to a room that has asked.
    Reject {
        /// Which.
        from: R,
    },
    /// It takes back that it has asked.
    Cancel {
        /// Whom.
        to: R,
    },
    /// Its room is connected with no other any more.
    Leave,
}

/// A battle that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBattle<R> {
    /// Its name, unique in the app.
    pub id: String,
    /// Who is called: others than who calls, each once.
    pub called: Vec<R>,
    /// How long it goes.
    pub duration: Duration,
    /// Whether the called are asked.
    pub asks: Asks,
    /// How long they have to answer, if they are.
    pub timeout: Duration,
    /// The app's own.
    pub extension: String,
}

/// Whether rooms that are called to a battle are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// They are.
    Always,
    /// They are, unless all of them are connected with who calls.
    Strangers,
    /// They are not.
    Never,
}

impl<R> Wish<R> {
    /// The same wish with the rooms that `find` has found. `find` is told in which field of a request each was named.
    ///
    /// # Errors
    /// What `find` says of a room.
    pub fn look_up<S, E>(self, find: impl Fn(&str, R) -> Result<S, E>) -> Result<Wish<S>, E> {
        Ok(match self {
            Wish::Battle(NewBattle { id, called, duration, asks, timeout, extension }) => {
                let called = called.into_iter().map(|room| find("ToRoomIdList", room));
                let called = called.collect::<Result<_, _>>()?;
                Wish::Battle(NewBattle { id, called, duration, asks, timeout, extension })
            }
            Wish::AnswerBattle { battle, accepted } => Wish::AnswerBattle { battle, accepted },
            Wish::ExitBattle { battle } => Wish::ExitBattle { battle },
            Wish::Request { to, timeout, extension } => {
                Wish::Request { to: find("ToRoomId", to)?, timeout, extension }
            }
            Wish::Accept { from, new_id } => Wish::Accept { from: find("FromRoomId", from)?, new_id },
            Wish::Reject { from } => Wish::Reject { from: find("FromRoomId", from)? },
            Wish::Cancel { to } => Wish::Cancel { to: find("ToRoomId", to)? },
            Wish::Leave => Wish::Leave,
        })
    }
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// By the owner of a room, or for it.
    Of(Host, Wish<Host>),
    /// The scores of a battle are set, or added to.
    Score {
        /// Which.
        battle: String,
        /// Of each room.
        scores: Vec<(RoomId, i64)>,
        /// They are added.
        adds: bool,
    },
    /// A battle ends for all.
    End {
        /// Which.
        battle: String,
    },
}

/// What is answered to who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// Which of the called could not be, since they are in another battle or asked too often.
    Called {
        /// In the order in which they were called.
        is_busy: Vec<bool>,
    },
    /// Which of the rooms have part in the battle.
    Scored {
        /// In the order in which they were named.
        is_in: Vec<bool>,
    },
    /// Who is connected now.
    Connected(Vec<Incarnation>),
}

/// Something that is written down, or struck out.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A battle as it is now, and what has happened in it.
    Battle(Arc<Battle>, Vec<BattleStep>),
    /// A battle that is over for long.
    Forget(String),
    /// A connection as it is now; one of fewer than two rooms is none.
    Connection(Connection),
}

/// What rooms are told.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Everyone in them: something has happened in a battle.
    Battle(Arc<Battle>, BattleStep),
    /// Everyone in it: who is connected with the room now, itself included; nobody when it is alone.
    Connected(Vec<Incarnation>),
    /// Those in charge of it: what has become of a request.
    Request {
        /// What.
        step: ConnectionStep,
        /// Who has asked.
        from: RoomId,
        /// Whom.
        to: RoomId,
        /// The words of who has asked.
        extension: String,
    },
}

/// What is to be planned.
pub(crate) enum Want {
    Command(Command),
    /// A room is over.
    Over(Incarnation),
    /// The time of a battle is.
    Due(String),
}

/// What comes of a plan.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) battles: Vec<(Arc<Battle>, Vec<BattleStep>)>,
    pub(crate) connection: Option<Connection>,
    /// The request that it answers: from whom, to whom.
    pub(crate) accepts: Option<(Incarnation, Incarnation)>,
    /// What has become of requests, and which room is told.
    pub(crate) requests: Vec<(Incarnation, Told)>,
    /// Rooms that others have looked up.
    pub(crate) names: Vec<Incarnation>,
}

impl Outcome {
    pub(crate) fn of_battle(battle: Battle, steps: Vec<BattleStep>) -> Self {
        Self { battles: vec![(Arc::new(battle), steps)], ..Self::default() }
    }

    #[must_use]
    pub(crate) fn request(
        mut self,
        step: ConnectionStep,
        from: &Incarnation,
        to: &Incarnation,
        whom: &Incarnation,
    ) -> Self {
        self.requests.push((whom.clone(), told_of_request(step, from, to, "")));
        self
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        let battles = self.battles.iter().map(|(battle, steps)| Write::Battle(battle.clone(), steps.clone()));
        battles.chain(self.connection.clone().map(Write::Connection)).collect()
    }
}

pub(crate) fn told_of_request(
    step: ConnectionStep,
    from: &Incarnation,
    to: &Incarnation,
    extension: &str,
) -> Told {
    Told::Request { step, from: from.room.clone(), to: to.room.clone(), extension: extension.to_owned() }
}

/// What stands between the rooms of an app.
#[derive(Debug, Default)]
pub struct Standing {
    pub(crate) battles: BTreeMap<String, Arc<Battle>>,
    pub(crate) connections: Connections,
}

impl Standing {
    /// A battle by its id.
    ///
    /// # Errors
    /// [`Error::BattleNotFound`].
    pub fn battle(&self, id: &str) -> Result<Arc<Battle>, Error> {
        self.battles.get(id).cloned().ok_or_else(|| Error::BattleNotFound(id.into()))
    }

    /// The battle a room takes part in, else one that it is asked to.
    pub fn battle_of(&self, room: &Incarnation) -> Option<Arc<Battle>> {
        let asked = || self.battles.values().find(|battle| battle.holds(room)).cloned();
        self.battle_with(room).or_else(asked)
    }

    /// The battle a room takes part in. One that it is only asked to does not keep it from another.
    fn battle_with(&self, room: &Incarnation) -> Option<Arc<Battle>> {
        self.battles.values().find(|battle| battle.has(room)).cloned()
    }

    /// The rooms connected with `room`, itself included; empty when it is alone.
    pub fn connected(&self, room: &Incarnation) -> Vec<Incarnation> {
        self.connections.of(room).map(|connection| connection.rooms.clone()).unwrap_or_default()
    }

    /// All battles, those that are over too.
    pub fn battles(&self) -> impl Iterator<Item = &Arc<Battle>> {
        self.battles.values()
    }

    /// The connections, and the requests for them.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Every room that has part in something that is not over. Who opens an app looks which of them are there still, and
    /// says of the others that they are over.
    pub fn named(&self) -> BTreeSet<Incarnation> {
        let sides = self
            .battles
            .values()
            .flat_map(|battle| battle.sides.iter().map(|side| &side.room).filter(|room| battle.holds(room)));
        let connected = self.connections.all().flat_map(|connection| &connection.rooms);
        sides.chain(connected).cloned().collect()
    }

    /// What a plan reads and writes. All that a room has part in is one thing, and so are the rooms of one connection.
    pub(crate) fn touches(&self, want: &Want) -> Touches {
        let battle = |id: &String| Touches::none().writes(Touch::Battle(id.clone()));
        match want {
            Want::Command(Command::Of(Host { room, .. }, wish)) => match wish {
                Wish::Battle(new) => {
                    let touches = Touches::none().writes(Touch::Room(room.clone()));
                    new.called.iter().fold(touches, |all, other| all.writes(Touch::Room(other.room.clone())))
                }
                Wish::AnswerBattle { battle: id, .. } | Wish::ExitBattle { battle: id } => {
                    battle(id).writes(Touch::Room(room.clone()))
                }
                Wish::Request { to: other, .. }
                | Wish::Accept { from: other, .. }
                | Wish::Reject { from: other }
                | Wish::Cancel { to: other } => self.groups(&[room, &other.room]),
                Wish::Leave => self.groups(&[room]),
            },
            Want::Command(Command::Score { battle: id, .. } | Command::End { battle: id })
            | Want::Due(id) => battle(id),
            Want::Over(room) => {
                let battles = self.battles.values().filter(|battle| battle.holds(room));
                battles.fold(self.groups(&[room]), |all, battle| all.writes(Touch::Battle(battle.id.clone())))
            }
        }
    }

    /// Rooms, with those that they are connected with.
    fn groups(&self, rooms: &[&Incarnation]) -> Touches {
        let groups = rooms.iter().flat_map(|room| {
            let group = self.connections.of(room);
            group.into_iter().flat_map(|group| &group.rooms).chain([*room])
        });
        groups.fold(Touches::none(), |all, room| all.writes(Touch::Room(room.clone())))
    }

    /// What is going to change, by the rules.
    pub(crate) fn plan(&mut self, command: &Command, now: Time) -> Result<(Answer, Outcome), Error> {
        let done = |outcome| Ok((Answer::Done, outcome));
        match command {
            Command::Of(host, wish) => self.plan_wish(host, wish, now),
            Command::Score { battle, scores, adds } => {
                let mut battle = (*self.battle(battle)?).clone();
                let (is_in, steps) = battle.score(scores, *adds)?;
                let is_new = !steps.is_empty();
                let outcome = if is_new { Outcome::of_battle(battle, steps) } else { Outcome::default() };
                Ok((Answer::Scored { is_in }, outcome))
            }
            Command::End { battle } => {
                let mut battle = (*self.battle(battle)?).clone();
                let steps = battle.stop(now)?;
                done(Outcome::of_battle(battle, steps))
            }
        }
    }

    fn plan_wish(&mut self, host: &Host, wish: &Wish<Host>, now: Time) -> Result<(Answer, Outcome), Error> {
        let room = &host.room;
        let done = |outcome| Ok((Answer::Done, outcome));
        match wish {
            Wish::Battle(new) => self.plan_battle(host, new, now),
            Wish::AnswerBattle { battle, accepted } => {
                if *accepted {
                    self.require_free(room)?;
                }
                let mut battle = (*self.battle(battle)?).clone();
                let steps = battle.answer(room, *accepted, now)?;
                done(Outcome::of_battle(battle, steps))
            }
            Wish::ExitBattle { battle } => {
                let mut battle = (*self.battle(battle)?).clone();
                let steps = battle.leave(room, now)?;
                done(Outcome::of_battle(battle, steps))
            }
            Wish::Request { to: Host { room: to, .. }, timeout, extension } => {
                self.connections.ask(room, to, *timeout, now)?;
                let told = told_of_request(ConnectionStep::Requested, room, to, extension);
                let (requests, names) = (vec![(to.clone(), told)], vec![room.clone(), to.clone()]);
                done(Outcome { requests, names, ..Outcome::default() })
            }
            Wish::Accept { from: Host { room: from, .. }, new_id } => {
                let connection = self.connections.accept(from, room, *new_id, now)?;
                let answer = Answer::Connected(connection.rooms.clone());
                let outcome = Outcome {
                    connection: Some(connection),
                    accepts: Some((from.clone(), room.clone())),
                    names: vec![room.clone(), from.clone()],
                    ..Outcome::default()
                };
                Ok((answer, outcome.request(ConnectionStep::Accepted, from, room, from)))
            }
            Wish::Reject { from: Host { room: from, .. } } => {
                self.connections.close(from, room, now)?;
                done(Outcome::default().request(ConnectionStep::Rejected, from, room, from))
            }
            Wish::Cancel { to: Host { room: to, .. } } => {
                self.connections.close(room, to, now)?;
                done(Outcome::default().request(ConnectionStep::Cancelled, room, to, to))
            }
            Wish::Leave => {
                let connection = Some(self.connections.leave(room)?);
                done(Outcome { connection, ..Outcome::default() })
            }
        }
    }

    /// A room takes part in one battle at a time, also while others have yet to answer whether they do.
    fn require_free(&self, room: &Incarnation) -> Result<(), Error> {
        match self.battle_with(room) {
            None => Ok(()),
            Some(battle) if battle.started_at.is_none() => Err(Error::BattlePending(room.to_string())),
            Some(_) => Err(Error::InBattle(room.to_string())),
        }
    }

    fn plan_battle(
        &self,
        caller: &Host,
        new: &NewBattle<Host>,
        now: Time,
    ) -> Result<(Answer, Outcome), Error> {
        self.require_free(&caller.room)?;
        let asked = |room: &Incarnation| {
            self.battles.values().filter(|one| one.holds(room) && !one.has(room)).count()
        };
        let is_busy =
            |called: &Host| self.battle_with(&called.room).is_some() || asked(&called.room) >= MOST_ASKED;
        let is_busy: Vec<bool> = new.called.iter().map(is_busy).collect();
        let free = new.called.iter().zip(&is_busy).filter(|(_, is_busy)| !**is_busy);
        let sides: Vec<_> = free.map(|(host, _)| (host.room.clone(), host.owner.clone())).collect();
        if sides.is_empty() {
            return Err(Error::NoRoomForBattle);
        }
        let connected = self.connected(&caller.room);
        let are_asked = match new.asks {
            Asks::Always => true,
            Asks::Strangers => sides.iter().any(|(room, _)| !connected.contains(room)),
            Asks::Never => false,
        };
        let mut names = vec![caller.room.clone()];
        names.extend(sides.iter().map(|(room, _)| room.clone()));
        let (battle, steps) = Battle::create(
            new.id.clone(),
            (caller.room.clone(), caller.owner.clone()),
            sides,
            new.duration,
            are_asked.then_some(new.timeout),
            new.extension.clone(),
            now,
        );
        Ok((Answer::Called { is_busy }, Outcome { names, ..Outcome::of_battle(battle, steps) }))
    }

    /// What becomes of it all when a room is no more.
    pub(crate) fn without(&mut self, room: &Incarnation, now: Time) -> Outcome {
        let mut outcome = Outcome { connection: self.connections.leave(room).ok(), ..Outcome::default() };
        for battle in self.battles.values().filter(|battle| battle.holds(room)) {
            let mut battle = (**battle).clone();
            if let Ok(steps) = battle.leave(room, now) {
                outcome.battles.push((Arc::new(battle), steps));
            }
        }
        for (from, to) in self.connections.forget(room) {
            let (step, other) = match from == *room {
                true => (ConnectionStep::Cancelled, &to),
                false => (ConnectionStep::Expired, &from),
            };
            outcome = outcome.request(step, &from, &to, other);
        }
        outcome
    }
}
