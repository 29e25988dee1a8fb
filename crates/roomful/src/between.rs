//! What drives what goes on between the rooms of an app, as `halls.rs` drives a room: one lock, one outgoing queue, and no decision.
//! Rooms are told, asked and looked at when the lock is open again.

use std::sync::Arc;

use hall::between::{self, Answer, Command, Effect, Host, Standing, Told, Write};
use hall::{Durably, Input as RoomInput, PlanId, Refusal, Reply, SYSTEM};
use parking_lot::RwLock;
use rooms::{Battle, Connection, Error, Incarnation, RoomId, RoomType, UserId};
use store::{Change, Commit, Intent};
use tokio::sync::oneshot;

use crate::alarm::Alarm;
use crate::clock;
use crate::error::ApiError;
use crate::events;
use crate::halls::{self, Beyond, OpenRoom, Question};
use crate::in_turn::InTurn;
use crate::link::Frame;
use crate::locks;
use crate::open_rooms::OpenRooms;
use crate::tenant::Tenant;
use crate::webhooks;

/// How much of the outgoing queue one thread performs before it hands the rest to a task.
const AT_ONCE: usize = 256;

type Input = between::Input<Waiter>;

/// Who is to be answered.
pub(crate) enum Waiter {
    /// Whoever asked.
    Asker(oneshot::Sender<Result<Answer, Refusal>>),
    /// A room, in which somebody asked.
    Room(Arc<OpenRoom>, PlanId),
}

/// What goes on between the rooms of an app, with what drives it.
pub(crate) struct Between {
    app: Arc<Tenant>,
    rooms: Arc<OpenRooms>,
    machine: RwLock<between::Between<Waiter>>,
    outgoing: InTurn<Effect<Waiter>>,
    alarm: Alarm,
}

impl Between {
    pub(crate) fn new(app: Arc<Tenant>, rooms: Arc<OpenRooms>) -> Arc<Self> {
        Arc::new(Self {
            app,
            rooms,
            machine: RwLock::default(),
            outgoing: InTurn::default(),
            alarm: Alarm::default(),
        })
    }

    // Looking

    /// Looks at what stands.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Standing) -> T) -> T {
        at(locks::read(&self.machine).standing())
    }

    /// A Live room by its name, and its owner.
    pub(crate) fn host(&self, room_id: &RoomId) -> Result<Host, Error> {
        let found = self.rooms.get(room_id.as_str())?;
        let owner = found.read_as(Some(RoomType::Live))?.info().owner.clone();
        Ok(Host { room: found.incarnation(), owner })
    }

    /// The rooms of these that are there, each with its owner.
    fn owned(&self, rooms: &[Incarnation]) -> Vec<(Incarnation, UserId)> {
        let owner = |room: &Incarnation| Some(self.rooms.living(room)?.read().ok()?.info().owner.clone());
        rooms.iter().filter_map(|room| Some((room.clone(), owner(room)?))).collect()
    }

    /// Rooms, each with its owner.
    pub(crate) fn with_owners(&self, rooms: Vec<Incarnation>) -> Vec<(RoomId, Option<UserId>)> {
        let owner = |room: &Incarnation| Some(self.rooms.living(room)?.read().ok()?.info().owner.clone());
        rooms.into_iter().map(|room| (room.room.clone(), owner(&room))).collect()
    }

    // Asking

    /// A command of somebody who may.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        operator: String,
        command: Command,
    ) -> Result<Answer, ApiError> {
        let (sender, answer) = oneshot::channel();
        self.drive(Input::Do { operator, command, ticket: Waiter::Asker(sender) });
        // The other end is kept until it is used.
        answer.await.unwrap_or(Err(Refusal::Unknown)).map_err(halls::error)
    }

    // Driving

    /// Puts together what was kept before a restart: in which rooms are `over`, which is not known here yet.
    pub(crate) fn open(
        self: &Arc<Self>,
        battles: Vec<Battle>,
        connections: Vec<Connection>,
        over: Vec<Incarnation>,
    ) {
        let (named, groups) = {
            let mut machine = locks::write(&self.machine);
            battles.into_iter().for_each(|battle| machine.restore_battle(battle));
            connections.into_iter().for_each(|connection| machine.restore_connection(connection));
            machine.finish_restore(|room| Some(self.rooms.get(room.as_str()).ok()?.incarnation().number));
            let standing = machine.standing();
            let groups: Vec<Vec<Incarnation>> =
                standing.connections().all().map(|one| one.rooms.clone()).collect();
            (standing.named(), groups)
        };
        for group in groups {
            let owned = self.owned(&group);
            for room in group.iter().filter_map(|room| self.rooms.living(room)) {
                room.restore_connected(others_than(&room.incarnation(), &owned));
            }
        }
        let is_gone = |room: &Incarnation| self.rooms.living(room).is_none();
        for room in over.into_iter().chain(named.into_iter().filter(is_gone)) {
            self.drive(Input::Over(room));
        }
    }

    /// Lets something happen, and performs what follows.
    pub(crate) fn drive(self: &Arc<Self>, input: Input) {
        let deadline = {
            let mut machine = locks::write(&self.machine);
            machine.handle(input, clock::now());
            while let Some(effect) = machine.poll() {
                self.carry_out(effect);
            }
            machine.deadline()
        };
        self.drain();
        if let Some(deadline) = deadline {
            let between = self.clone();
            self.alarm.set(deadline, async move { between.drive(Input::Time) });
        }
    }

    /// Performs an effect, or what of it must not wait, under the lock.
    fn carry_out(self: &Arc<Self>, effect: Effect<Waiter>) {
        let store = &self.app.store;
        match effect {
            Effect::Store { how, writes, operator } => {
                let changes = self.changes(writes, operator.as_deref().unwrap_or(SYSTEM));
                match how {
                    Durably::Journal => store.journal(changes),
                    Durably::Kept(id) => {
                        store.journal(changes);
                        // What is committed now is on disk after all that was journalled before.
                        self.report(id, store.commit(Vec::new()));
                    }
                    Durably::Commit(id) => self.report(id, store.commit(changes)),
                }
            }
            Effect::Consumed(room) => {
                store.journal(vec![Change::DeleteIntent(self.app.id, Intent::RoomOver(room))]);
            }
            other => self.outgoing.push(other),
        }
    }

    /// What is written down, as the store has it.
    fn changes(&self, writes: Vec<Write>, operator: &str) -> Vec<Change> {
        let (app, now) = (&self.app, clock::now());
        let mut changes = Vec::with_capacity(writes.len());
        for write in writes {
            match write {
                Write::Battle(battle, steps) => {
                    changes.push(Change::PutBattle(app.id, (*battle).clone()));
                    let event = |step| webhooks::battle_event(app, &battle, step, operator, now);
                    changes.extend(steps.iter().filter_map(event));
                }
                Write::Forget(id) => changes.push(Change::DeleteBattle(app.id, id)),
                Write::Connection(connection) => changes.push(Change::PutConnection(app.id, connection)),
            }
        }
        changes
    }

    /// Brings the store's answer back.
    fn report(self: &Arc<Self>, id: PlanId, commit: Commit) {
        let between = self.clone();
        tokio::spawn(async move {
            let result = commit.await.map_err(halls::refused);
            between.drive(Input::Stored { id, result });
        });
    }

    // Telling

    /// Performs what waits, unless somebody is at it.
    fn drain(self: &Arc<Self>) {
        if self.outgoing.begin() {
            self.drain_some();
        }
    }

    fn drain_some(self: &Arc<Self>) {
        for _ in 0..AT_ONCE {
            match self.outgoing.next() {
                Some(effect) => self.perform(effect),
                None => return,
            }
        }
        let between = self.clone();
        tokio::spawn(async move { between.drain_some() });
    }

    fn perform(self: &Arc<Self>, effect: Effect<Waiter>) {
        match effect {
            Effect::Tell { rooms, what } => self.tell(&rooms, what),
            // Whoever has hung up does not care.
            Effect::Answer { ticket: Waiter::Asker(asker), result } => drop(asker.send(result)),
            Effect::Answer { ticket: Waiter::Room(room, id), result } => {
                room.drive(RoomInput::Asked { id, reply: Reply::Beyond(result) });
            }
            Effect::Confirm(rooms) => {
                for room in rooms.into_iter().filter(|room| self.rooms.living(room).is_none()) {
                    self.drive(Input::Over(room));
                }
            }
            Effect::Store { .. } | Effect::Consumed(_) => debug_assert!(false, "this does not wait"),
        }
    }

    fn tell(&self, rooms: &[Incarnation], what: Told) {
        let living = rooms.iter().filter_map(|room| self.rooms.living(room));
        match what {
            Told::Battle(battle, step) => {
                let frame = Frame::text(&events::battle_event(&battle, &step));
                living.for_each(|room| room.tell_all(frame.clone()));
            }
            Told::Connected(connected) => {
                let owned = self.owned(&connected);
                let connected = self.with_owners(connected);
                for room in living {
                    room.tell_all(Frame::text(&events::connection_changed(&room.room_id, &connected)));
                    room.drive(RoomInput::Connected(others_than(&room.incarnation(), &owned)));
                }
            }
            Told::Request { step, from, to, extension } => {
                let frame = Frame::text(&events::connection_event(step, &from, &to, &extension));
                living.for_each(|room| room.tell_managers(frame.clone()));
            }
        }
    }
}

/// Rooms with their owners, without one.
fn others_than(room: &Incarnation, all: &[(Incarnation, UserId)]) -> Vec<(Incarnation, UserId)> {
    all.iter().filter(|(other, _)| other != room).cloned().collect()
}

impl Beyond for Between {
    fn ask(self: Arc<Self>, room: &Arc<OpenRoom>, question: Question) {
        let Question { id, operator, owner, wish } = question;
        match wish.look_up(|_, room: RoomId| self.host(&room)) {
            Ok(wish) => {
                let host = Host { room: room.incarnation(), owner };
                let (command, ticket) = (Command::Of(host, wish), Waiter::Room(room.clone(), id));
                self.drive(Input::Do { operator, command, ticket });
            }
            Err(error) => {
                let reply = Reply::Beyond(Err(error.into()));
                room.drive(RoomInput::Asked { id, reply });
            }
        }
    }

    fn over(self: Arc<Self>, room: &Arc<OpenRoom>) {
        room.let_go();
        self.drive(Input::Over(room.incarnation()));
        self.rooms.remove(room);
        self.app.free_name(room.incarnation());
    }

    fn changed_hands(self: Arc<Self>, room: &Arc<OpenRoom>) {
        self.drive(Input::ChangedHands(room.incarnation()));
    }
}
