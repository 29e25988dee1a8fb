//! Sessions in the world: devices that log in, are cut off, come back (or not, or while they seem to be there still), enter and
//! leave, and accounts that are deleted meanwhile. What the server does about it is done by threads, each of which may be
//! stopped between any two locks for as long as chance wants; whoever holds one is waited for by those who want it.
//!
//! Held: while any thread has something to do, one can go on; a session that is over is in no room, and so is one whose account
//! is deleted; one that is connected is not ended by the grace of a former connection; a client is in the list of each room
//! that it was told of, by the answer to its resuming or since, and in no other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use hall::session::{Effect, Input, LinkId, Loss, Row, Session, TokenHash};
use hall::{Audience, Refusal};
use rand::RngExt as _;
use rooms::{Incarnation, LeaveCause, SessionId, Time, UserId};

use super::{Client, Job, ROOMS, USERS, World, room_id, user};

/// How many devices each user has.
const DEVICES: usize = 2;

/// A life of a room, as the world counts them.
type Life = (usize, u64);

/// A client, by the session it has or had last.
#[derive(Default)]
struct Device {
    session: Option<SessionId>,
    token: TokenHash,
    /// Its connection, as far as it knows.
    link: Option<LinkId>,
    /// The connection it had fell silent: the server goes on writing to it.
    is_silent: bool,
    /// It said what it has when it resumed, and has read no page since.
    says_seen: bool,
    /// Where it was told that it is.
    rooms: BTreeSet<Life>,
    is_logging_in: bool,
    waits_for: Option<u64>,
}

/// What a client has asked for.
struct Wish {
    device: usize,
    link: LinkId,
    room: Life,
    enters: bool,
}

/// What a thread does next.
pub(crate) enum Step {
    /// Takes a session's lock, then tells it something, lets go and carries out what follows.
    Session {
        id: SessionId,
        input: Input<u64>,
        has_lock: bool,
    },
    Free(SessionId),
    /// Tells a hall something, and what is to be told then, unless somebody is at it.
    Hall {
        room: Life,
        input: hall::Input<u64>,
    },
    Drain(Life),
    Answer(u64, Result<(), Refusal>),
    /// The steps of a login.
    Import(usize),
    Begin(usize),
    Confirm(SessionId),
    /// The steps of an account's deletion.
    Delete(UserId),
    EndAll(UserId),
}

impl Step {
    fn tell(id: SessionId, input: Input<u64>) -> Self {
        Self::Session { id, input, has_lock: false }
    }
}

/// All devices, and the server's side of their sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    /// Those that are over too, as long as anybody may have something to say to them.
    machines: BTreeMap<SessionId, (UserId, Session<u64>)>,
    table: BTreeSet<SessionId>,
    /// Those with a connection, as the server sees it.
    attached: BTreeSet<SessionId>,
    /// The rows on disk.
    kept: BTreeMap<SessionId, (UserId, TokenHash)>,
    accounts: BTreeSet<UserId>,
    devices: Vec<Device>,
    /// The token that each device has used last.
    former: Vec<TokenHash>,
    threads: BTreeMap<u64, VecDeque<Step>>,
    /// Threads that get no time for now.
    stopped: BTreeSet<u64>,
    /// Whose lock is held.
    held: BTreeSet<SessionId>,
    wishes: HashMap<u64, Wish>,
    graces: Vec<(SessionId, LinkId)>,
    last: u64,
}

const NEVER: Time = Time::from_unix_seconds(u32::MAX as u64);

impl Sessions {
    pub(crate) fn new() -> Self {
        let devices = (0..USERS * DEVICES).map(|_| Device::default()).collect();
        Self { devices, former: vec![[0; 32]; USERS * DEVICES], ..Self::default() }
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn token(&mut self) -> TokenHash {
        let mut token = [0; 32];
        token[..8].copy_from_slice(&self.number().to_be_bytes());
        token
    }

    fn begin(&mut self, steps: impl IntoIterator<Item = Step>) {
        let number = self.number();
        self.threads.insert(number, steps.into_iter().collect());
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.threads.is_empty()
    }

    /// One of a user's sessions, perhaps of before.
    pub(crate) fn one_of(&self, who: usize, device: usize) -> SessionId {
        self.devices[DEVICES * who + device % DEVICES].session.unwrap_or(SessionId(u64::MAX))
    }

    pub(crate) fn write(&mut self, id: SessionId, row: Option<&(UserId, TokenHash)>) {
        match row {
            Some(row) => drop(self.kept.insert(id, row.clone())),
            None => drop(self.kept.remove(&id)),
        }
    }

    fn device_of(&self, id: SessionId) -> Option<&Device> {
        self.devices.iter().find(|device| device.session == Some(id))
    }

    /// Whether the client of a session gets what is written to it now.
    pub(crate) fn hears(&self, id: SessionId) -> bool {
        self.device_of(id).is_some_and(|device| device.link.is_some())
    }

    /// A room's message is pushed to a session. Whether the client gets it, and knows of the room.
    pub(crate) fn push(&mut self, id: SessionId, life: Life, seq: u64) -> bool {
        let hears = self.hears(id);
        let is_in = self.device_of(id).is_some_and(|device| device.rooms.contains(&life));
        let room_id = &room_id(life.0);
        let is_written = hears || self.device_of(id).is_some_and(|device| device.is_silent);
        let Some((_, machine)) = self.machines.get_mut(&id) else { return false };
        if !self.attached.contains(&id) || machine.is_behind(room_id) {
            return false;
        }
        if is_written {
            machine.note_sent(room_id, seq);
        }
        hears && is_in
    }

    /// Whether a session's client gets exactly what it misses.
    pub(crate) fn is_exact(&self, id: SessionId) -> bool {
        self.device_of(id).is_some_and(|device| device.says_seen && device.link.is_some())
    }

    /// What a session has missed is there, and was waited for.
    pub(crate) fn catch_up(&mut self, id: SessionId, life: Life, turn: u64) -> bool {
        let machine = self.machines.get_mut(&id);
        machine.is_some_and(|(_, machine)| machine.catch_up(&incarnation(life), turn))
    }

    /// Whether a session's client is up to date with its rooms' messages, when all is quiet.
    pub(crate) fn require_in_step(&self, id: SessionId, at: usize) -> bool {
        let Some((_, machine)) = self.machines.get(&id) else { return false };
        assert!(!machine.is_behind(&room_id(at)), "{id:?} waits for what it missed");
        self.hears(id)
    }

    pub(crate) fn is_there(&self, id: SessionId) -> bool {
        self.table.contains(&id)
    }

    /// A session was in a room before a restart.
    pub(crate) fn restore_stay(&mut self, id: SessionId, life: Life, seen: u64) {
        if let Some((_, machine)) = self.machines.get_mut(&id) {
            machine.restore_stay(incarnation(life), seen);
        }
    }

    /// The server is killed, and starts again.
    pub(crate) fn restart(&mut self) {
        let (accounts, kept) = (&self.accounts, &mut self.kept);
        kept.retain(|_, (user, _)| accounts.contains(user));
        self.threads.clear();
        self.stopped.clear();
        self.held.clear();
        self.wishes.clear();
        self.attached.clear();
        self.table = self.kept.keys().copied().collect();
        let restore = |(id, (user, token)): (&SessionId, &(UserId, TokenHash))| {
            (*id, (user.clone(), Session::restore(*id, user.clone(), *token, NEVER)))
        };
        self.machines = self.kept.iter().map(restore).collect();
        self.graces.clear();
        for (id, (_, machine)) in &mut self.machines {
            while let Some(effect) = machine.poll() {
                let Effect::Wait(link) = effect else { panic!("{effect:?}") };
                self.graces.push((*id, link));
            }
        }
        for device in &mut self.devices {
            let is_kept = device.session.and_then(|id| self.kept.get(&id));
            if is_kept.is_some_and(|(_, token)| *token == device.token) {
                (device.link, device.is_logging_in, device.waits_for) = (None, false, None);
            } else {
                *device = Device::default();
            }
        }
    }

    /// What a client that says what it has says.
    fn seen(&self, places: &[Option<super::Place>], device: usize) -> HashMap<String, u64> {
        let its = |(at, number): &Life| {
            let place = places[*at].as_ref().filter(|place| place.incarnation == *number)?;
            let (_, client) = place.clients.get(&self.devices[device].session?)?;
            Some((room_id(*at).to_string(), client.seq))
        };
        self.devices[device].rooms.iter().filter_map(its).collect()
    }
}

fn incarnation((at, number): Life) -> Incarnation {
    Incarnation { room: room_id(at), number: number as i64 }
}

fn life(incarnation: &Incarnation) -> Life {
    let at = (0..ROOMS).find(|at| room_id(*at) == incarnation.room).unwrap();
    (at, incarnation.number as u64)
}

/// What the server does.
impl World {
    /// Somebody tells what a hall has to tell, unless somebody is at it.
    pub(crate) fn drain(&mut self, at: usize) {
        let step = self.begin_to_drain(at);
        if step.is_some() {
            self.sessions.begin(step);
        }
    }

    fn begin_to_drain(&mut self, at: usize) -> Option<Step> {
        let place = self.places[at].as_mut()?;
        let begins = !place.outgoing.is_empty() && !std::mem::replace(&mut place.is_draining, true);
        begins.then_some(Step::Drain((at, place.incarnation)))
    }

    /// Threads go on, one step each.
    pub(crate) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.rng.random_bool(0.003) {
                self.sessions.stopped.clear();
            }
            let all = self.sessions.threads.keys().copied();
            let (mut threads, stopped): (Vec<u64>, Vec<u64>) =
                all.partition(|thread| !self.sessions.stopped.contains(thread));
            let first = self.rng.random_range(0..threads.len().max(1));
            threads.rotate_left(first);
            // Those that are stopped go on when all others wait for them.
            let went_on = threads.into_iter().chain(stopped).find(|thread| self.go_on(*thread));
            match went_on {
                Some(thread) => {
                    // Before it comes to a lock.
                    let next = self.sessions.threads.get(&thread).and_then(VecDeque::front);
                    let has_lock = matches!(next, Some(Step::Session { has_lock: true, .. } | Step::Free(_)));
                    let may_stop = !has_lock && !matches!(next, None | Some(Step::Drain(_)));
                    if may_stop && self.rng.random_bool(0.1) {
                        self.sessions.stopped.insert(thread);
                    }
                }
                None => return assert!(self.is_idle(), "everybody waits for somebody: the server hangs"),
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.sessions.threads.is_empty()
    }

    /// `false` when the thread waits for a lock.
    fn go_on(&mut self, thread: u64) -> bool {
        let Some(mut steps) = self.sessions.threads.remove(&thread) else { return false };
        let waits = steps.pop_front().and_then(|step| self.take(step, &mut steps));
        let went_on = waits.is_none();
        waits.into_iter().for_each(|step| steps.push_front(step));
        if !steps.is_empty() {
            self.sessions.threads.insert(thread, steps);
        }
        went_on
    }

    /// A step of a thread, from which others follow at once (at the front), or when it has no others left. It comes back when it
    /// waits for a lock.
    fn take(&mut self, step: Step, then: &mut VecDeque<Step>) -> Option<Step> {
        match step {
            Step::Session { id, input, has_lock: false } => {
                if !self.sessions.held.insert(id) {
                    return Some(Step::tell(id, input));
                }
                then.push_front(Step::Session { id, input, has_lock: true });
            }
            Step::Session { id, input, has_lock: true } => {
                let effects = self.tell_session(id, input);
                let steps = [Step::Free(id)].into_iter().chain(effects);
                let mut steps: Vec<Step> = steps.collect();
                steps.reverse();
                steps.into_iter().for_each(|step| then.push_front(step));
            }
            Step::Free(id) => drop(self.sessions.held.remove(&id)),
            Step::Hall { room: (at, number), input } => {
                if self.places[at].as_ref().is_none_or(|place| place.incarnation != number) {
                    let step = Self::find_no_hall((at, number), input);
                    step.into_iter().for_each(|step| then.push_front(step));
                    return None;
                }
                self.handle(at, input);
                let step = self.begin_to_drain(at);
                step.into_iter().for_each(|step| then.push_front(step));
            }
            Step::Drain((at, number)) => return self.drain_one((at, number), then),
            Step::Answer(ticket, result) => self.answer_client(ticket, &result),
            Step::Import(device) => drop(self.sessions.accounts.insert(user(device / DEVICES))),
            Step::Begin(device) => {
                let (user, token) = (user(device / DEVICES), self.sessions.token());
                let id = SessionId(self.sessions.number());
                let machine = Session::new(id, user.clone(), token, NEVER);
                self.sessions.machines.insert(id, (user, machine));
                self.sessions.table.insert(id);
                self.sessions.devices[device].session = Some(id);
                let steps = self.settle_session(id);
                assert!(steps.is_empty(), "nothing is said to rooms by one that begins");
                then.push_front(Step::Confirm(id));
            }
            Step::Confirm(id) => {
                // Whoever deletes the account looks for its sessions after that: it is found there, or here.
                let is_there = self.sessions.accounts.contains(&self.sessions.machines[&id].0);
                let input = if is_there { Input::Attach } else { Input::End(LeaveCause::Kicked) };
                then.push_front(Step::tell(id, input));
            }
            Step::Delete(user) => drop(self.sessions.accounts.remove(&user)),
            Step::EndAll(user) => {
                let table = self.sessions.table.iter();
                let its = table.filter(|id| self.sessions.machines[*id].0 == user);
                then.extend(its.map(|id| Step::tell(*id, Input::End(LeaveCause::Kicked))));
            }
        }
        None
    }

    /// There is no hall any more to which something is said.
    fn find_no_hall(room: Life, input: hall::Input<u64>) -> Option<Step> {
        match input {
            hall::Input::Enter { session, turn, ticket, .. } => {
                let (room, result) = (incarnation(room), Err(Refusal::Gone));
                Some(Step::tell(session, Input::Entered { room, turn, result, ticket }))
            }
            hall::Input::Leave { ticket: Some(ticket), .. } => Some(Step::Answer(ticket, Err(Refusal::Gone))),
            _ => None,
        }
    }

    /// Performs what a hall has to tell next, for which the sessions' locks are needed that it concerns.
    fn drain_one(&mut self, life: Life, then: &mut VecDeque<Step>) -> Option<Step> {
        let place = self.places[life.0].as_mut().filter(|place| place.incarnation == life.1)?;
        let Some(effect) = place.outgoing.front() else {
            place.is_draining = false;
            return None;
        };
        let whom: Vec<SessionId> = match effect {
            hall::Effect::Entered { session, .. }
            | hall::Effect::Unlisten { session, .. }
            | hall::Effect::CatchUp { session, .. } => vec![*session],
            hall::Effect::Tell { to: Audience::All, .. } => place.clients.keys().copied().collect(),
            hall::Effect::Tell { to: Audience::Sessions(whom), .. } => whom.clone(),
            _ => Vec::new(),
        };
        if whom.iter().any(|session| self.sessions.held.contains(session)) {
            return Some(Step::Drain(life));
        }
        if let Some(effect) = place.outgoing.pop_front() {
            // What follows for sessions is carried out when all is told.
            then.extend(self.perform(life.0, effect));
        }
        then.push_front(Step::Drain(life));
        None
    }

    /// Under the session's lock.
    fn tell_session(&mut self, id: SessionId, input: Input<u64>) -> Vec<Step> {
        let is_late = matches!(input, Input::GraceOver(_)) && self.sessions.hears(id);
        let Some((_, machine)) = self.sessions.machines.get_mut(&id) else { return Vec::new() };
        let is_stale = matches!(&input, Input::Resume { used, .. } if *used != machine.token());
        machine.handle(input);
        if is_stale {
            let answer = machine.poll();
            assert!(matches!(answer, Some(Effect::Refused)), "an old token is answered {answer:?}");
        }
        let steps = self.settle_session(id);
        assert!(!is_late || self.sessions.hears(id), "a grace ended {id:?}, which is connected");
        steps
    }

    /// What must be in order is done, the rest is left to the thread.
    fn settle_session(&mut self, id: SessionId) -> Vec<Step> {
        let sessions = &mut self.sessions;
        let mut steps = Vec::new();
        let Some((user, machine)) = sessions.machines.get_mut(&id) else { return steps };
        let mut device = sessions.devices.iter_mut().find(|device| device.session == Some(id));
        while let Some(effect) = machine.poll() {
            match effect {
                Effect::Keep(row) => {
                    let row = (row != Row::Deleted).then(|| (user.clone(), machine.token()));
                    self.jobs.push_back(Job::Session(id, row));
                }
                Effect::Attached { link, rooms } => {
                    sessions.attached.insert(id);
                    if let Some(device) = &mut device {
                        device.token = machine.token();
                        let named = machine.rooms().filter(|room| rooms.contains(&room.room));
                        device.rooms = named.map(life).collect();
                        (device.link, device.is_silent) = (Some(link), false);
                        (device.is_logging_in, device.waits_for) = (false, None);
                    }
                }
                Effect::Refused => {
                    if let Some(device) = &mut device {
                        **device = Device::default();
                    }
                }
                Effect::Say { room, input } => steps.push(Step::Hall { room: life(&room), input }),
                Effect::Answer { ticket, result } => steps.push(Step::Answer(ticket, result)),
                Effect::Wait(link) => {
                    sessions.attached.remove(&id);
                    sessions.graces.push((id, link));
                }
                Effect::Over => {
                    sessions.table.remove(&id);
                    // Its connection is closed, if it has one, and its client begins anew.
                    if let Some(device) = &mut device {
                        **device = Device::default();
                    }
                }
            }
        }
        steps
    }

    fn answer_client(&mut self, ticket: u64, result: &Result<(), Refusal>) {
        assert!(self.asked.remove(&ticket).is_some(), "answered twice, or nobody asked");
        let wish = self.sessions.wishes.remove(&ticket).unwrap();
        let device = &mut self.sessions.devices[wish.device];
        if device.link != Some(wish.link) || device.waits_for != Some(ticket) {
            return;
        }
        device.waits_for = None;
        match (wish.enters, result) {
            (true, Ok(())) => {
                device.rooms.insert(wish.room);
                device.says_seen = false;
            }
            (true, Err(_)) => {}
            (false, _) => drop(device.rooms.remove(&wish.room)),
        }
    }

    /// A hall has answered, perhaps to a session that leaves.
    pub(crate) fn answer_leaving(&mut self, ticket: u64, result: &Result<hall::Answer, Refusal>) -> bool {
        let is_its = self.sessions.wishes.contains_key(&ticket);
        if is_its {
            self.answer_client(ticket, &result.clone().map(drop));
        }
        is_its
    }

    /// A hall has answered a session that wanted in.
    pub(crate) fn answer_entering(
        &mut self,
        at: usize,
        (id, turn, ticket): (SessionId, u64, u64),
        result: Result<hall::Entry, Refusal>,
    ) -> Vec<Step> {
        let wish = &self.sessions.wishes[&ticket];
        let device = &self.sessions.devices[wish.device];
        let is_read = device.link == Some(wish.link) && device.waits_for == Some(ticket);
        let Some(place) = &mut self.places[at] else { return Vec::new() };
        let room = incarnation((at, place.incarnation));
        if let (Ok(entry), Some(members)) = (&result, place.pages.remove(&ticket)) {
            if entry.is_new {
                let (seq, user) = (entry.seen, self.sessions.machines[&id].0.clone());
                let client = Client { members, is_in_step: is_read, seq, acknowledged: seq };
                place.clients.insert(id, (user, client));
            } else if let Some((_, client)) = place.clients.get_mut(&id).filter(|_| is_read) {
                // The page has the newest messages too.
                (client.members, client.is_in_step) = (members, true);
                client.seq = client.seq.max(entry.seen);
            }
        }
        let mut late = Vec::new();
        for step in self.tell_session(id, Input::Entered { room, turn, result, ticket }) {
            match step {
                Step::Answer(ticket, result) if late.is_empty() => self.answer_client(ticket, &result),
                // An answer waits for what is said before it.
                step => late.push(step),
            }
        }
        late
    }

    /// A session is out of a room; with a cause its client is told.
    pub(crate) fn put_out(&mut self, at: usize, id: SessionId, cause: Option<LeaveCause>) {
        let Some(place) = &mut self.places[at] else { return };
        place.clients.remove(&id);
        let room = (at, place.incarnation);
        let steps = self.tell_session(id, Input::Out(incarnation(room)));
        assert!(steps.is_empty(), "who is out says nothing more");
        let Sessions { devices, wishes, .. } = &mut self.sessions;
        let device = devices.iter_mut().find(|device| device.session == Some(id) && device.link.is_some());
        let Some(device) = device else { return };
        if cause.is_some() {
            device.rooms.remove(&room);
            return;
        }
        let wish = device.waits_for.and_then(|ticket| wishes.get(&ticket));
        let leaves = wish.is_some_and(|wish| !wish.enters && wish.room == room);
        assert!(leaves || !device.rooms.contains(&room), "{id:?} is put out, and its client is not told");
    }

    /// What holds when all is quiet, and after a restart.
    pub(crate) fn check_sessions(&self) {
        let lists = |id: SessionId, user: &UserId| -> BTreeSet<Life> {
            let places = self.places.iter().enumerate();
            let open = places.filter_map(|(at, place)| Some((at, place.as_ref()?)));
            let its = open.filter(|(_, place)| {
                let room = place.hall.room();
                room.is_some_and(|room| room.members().sessions(user.as_str()).contains(&id))
            });
            its.map(|(at, place)| (at, place.incarnation)).collect()
        };
        let sessions = &self.sessions;
        assert!(sessions.wishes.is_empty(), "a session's wish is not answered");
        for (id, (user, machine)) in &sessions.machines {
            let listed = lists(*id, user);
            if !sessions.table.contains(id) {
                assert!(listed.is_empty(), "{id:?} of {user} is over, and in {listed:?}");
                continue;
            }
            assert!(sessions.accounts.contains(user), "{id:?} of {user}, whose account is deleted");
            let known: BTreeSet<Life> = machine.rooms().map(life).collect();
            assert_eq!(known, listed, "where {id:?} of {user} is, and listed");
            let device = sessions.device_of(*id).filter(|device| device.link.is_some());
            if let Some(device) = device {
                assert_eq!(device.rooms, listed, "what {user} was told, and listed");
            }
        }
        let row = |id: &SessionId| {
            let (user, machine) = &sessions.machines[id];
            (*id, (user.clone(), machine.token()))
        };
        let rows: BTreeMap<SessionId, (UserId, TokenHash)> = sessions.table.iter().map(row).collect();
        assert_eq!(sessions.kept, rows, "sessions on disk, and those there are");
        for place in self.places.iter().flatten() {
            let members = place.hall.room().map(|room| room.members());
            for (user, members) in members.iter().flat_map(|all| all.after(0).map(move |(_, one)| (one, all)))
            {
                let ghost = members
                    .sessions(user.as_str())
                    .iter()
                    .find(|id| **id != SessionId::ROBOT && !sessions.machines.contains_key(*id));
                assert_eq!(ghost, None, "a ghost of {user}");
            }
        }
    }
}

/// What clients do, and time.
impl World {
    pub(crate) fn some_device(&mut self, at: usize) {
        // A few are busier than the others, so that much happens to them while a thread is stopped.
        let most = if self.rng.random_bool(0.5) { DEVICES } else { USERS * DEVICES };
        let number = self.rng.random_range(0..most);
        let what = self.rng.random_range(0..100);
        match what {
            0..2 => {
                let user = user(number / DEVICES);
                return self.sessions.begin([Step::Delete(user.clone()), Step::EndAll(user)]);
            }
            2..10 if !self.sessions.graces.is_empty() => {
                let one = self.rng.random_range(0..self.sessions.graces.len());
                let (id, link) = self.sessions.graces.swap_remove(one);
                return self.sessions.begin([Step::tell(id, Input::GraceOver(link))]);
            }
            _ => {}
        }
        let device = &mut self.sessions.devices[number];
        if device.is_logging_in {
            return;
        }
        let Some(id) = device.session else {
            device.is_logging_in = true;
            return self.sessions.begin([Step::Import(number), Step::Begin(number)]);
        };
        match (device.link, what) {
            (_, 10..12) => self.sessions.begin([Step::tell(id, Input::EndIfLost)]),
            (_, 12..14) => {
                let input = Input::EndByToken(device.token);
                self.sessions.begin([Step::tell(id, input)]);
            }
            (_, 14) => {
                // Somebody has found a token that was used.
                let (used, next) = (self.sessions.former[number], self.sessions.token());
                let resume = Input::Resume { used, next, seen: HashMap::new(), now: self.now };
                self.sessions.begin([Step::tell(id, resume)]);
            }
            (_, 15..20) => self.resume(number, id),
            (None, 20..60) => self.resume(number, id),
            (Some(_), 20..26) => self.cut(number, id, Loss::Reset),
            (Some(_), 26..32) => self.cut(number, id, Loss::Silent),
            (Some(_), 32..34) => self.cut(number, id, Loss::OnPurpose),
            (Some(_), 34..36) => self.cut(number, id, Loss::Expired),
            (Some(_), 36..50) => {
                // A ping and its pong, before which all has arrived that was sent.
                if let Some((_, machine)) = self.sessions.machines.get_mut(&id) {
                    machine.note_ping();
                    machine.note_pong();
                }
                let places = self.places.iter_mut().flatten();
                let its = places.filter_map(|place| place.clients.get_mut(&id));
                its.for_each(|(_, client)| client.acknowledged = client.seq);
            }
            (Some(link), 50..) if device.waits_for.is_none() => self.wish(number, id, link, at, what < 85),
            _ => {}
        }
    }

    fn wish(&mut self, number: usize, id: SessionId, link: LinkId, at: usize, enters: bool) {
        let Some(place) = &self.places[at] else { return };
        let life = (at, place.incarnation);
        let device = &mut self.sessions.devices[number];
        if !enters && !device.rooms.contains(&life) {
            return;
        }
        self.last += 1;
        let ticket = self.last;
        device.waits_for = Some(ticket);
        self.asked.insert(ticket, (at, self.now, None));
        self.sessions.wishes.insert(ticket, Wish { device: number, link, room: life, enters });
        let room = incarnation(life);
        let input = match enters {
            true => Input::Enter { link, room, password: None, ticket },
            false => Input::Leave { link, room, ticket },
        };
        self.sessions.begin([Step::tell(id, input)]);
    }

    fn cut(&mut self, number: usize, id: SessionId, how: Loss) {
        let device = &mut self.sessions.devices[number];
        let Some(link) = device.link.take() else { return };
        (device.is_silent, device.waits_for) = (how == Loss::Silent, None);
        let places = self.places.iter_mut().flatten();
        let clients = places.filter_map(|place| place.clients.get_mut(&id));
        for (_, client) in clients {
            if how == Loss::Silent {
                // Some of what was written has not arrived.
                client.seq = self.rng.random_range(client.acknowledged..=client.seq);
            }
            client.acknowledged = client.seq;
            client.is_in_step = false;
        }
        self.sessions.begin([Step::tell(id, Input::Detach { link, how })]);
    }

    fn resume(&mut self, number: usize, id: SessionId) {
        self.cut(number, id, Loss::Silent);
        let says_seen = self.rng.random_bool(0.5);
        let seen = if says_seen { self.sessions.seen(&self.places, number) } else { HashMap::new() };
        let next = self.sessions.token();
        let device = &mut self.sessions.devices[number];
        device.is_logging_in = true;
        self.sessions.former[number] = device.token;
        device.says_seen = says_seen;
        let input = Input::Resume { used: device.token, next, seen, now: self.now };
        self.sessions.begin([Step::tell(id, input)]);
    }
}
