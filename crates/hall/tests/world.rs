//! Halls in a world of chance: members come, go, are lost and are back, ask for seats, say and give things, are muted, kicked and
//! banned while commands are on their way; the disk is late, refuses, and is killed and started again at any step; answers of
//! the disk come in any order; what is to be told is told late and in pieces; rooms end and others of their name begin.
//!
//! Held at every step, or when all is quiet: every ticket is answered once; what was acknowledged is on disk and in the room;
//! what was refused left nothing; disk = memory; told = listed; nobody acts by a right that is being taken away; of accept and
//! cancel one succeeds; nothing is written behind a room's end; messages come in order and without a gap; what flows is what may.
//! What of it is about sessions, and the threads by which all this happens, is in `world/sessions.rs`; about what the app's own server is
//! asked, in `world/reviews.rs`.
//!
//! A failing history is reproduced with `HALL_SEED=<the printed seed>`. `HALL_SEEDS=<n>` runs more of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "world/reviews.rs"]
mod reviews;
mod seeds;
#[path = "world/sessions.rs"]
mod sessions;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hall::session::TokenHash;
use hall::{
    Answer, Audience, Bounds, By, Command, Durably, Effect, Give, Hall, Happening, Input, Note, Offer,
    Passing, PeerId, PlanId, Planned, Refusal, Refused, Returned, Rights, Said, Told, Write,
};
use rand::{RngExt as _, SeedableRng as _};
use rooms::{
    Block, Counters, Device, Event, Fields, IfTaken, Keep, RECENT_MESSAGES, Record, RecordKey, RequestKind,
    Role, Room, RoomId, RoomInfo, RoomType, RtcEvent, SeatLocks, SessionId, Time, UserId,
};

use reviews::{Asked, PATIENCE, Reviewing};
use sessions::{Sessions, Step};

const ROOMS: usize = 2;
const USERS: usize = 8;
const STEPS: usize = 2_000;
const SEEDS: u64 = 100;

/// After so many steps memory is held against the disk.
const COMPARED_EVERY: u64 = 64;

/// What those publish who do.
const OFFERED: [Device; 2] = [Device::Microphone, Device::Camera];

fn user(number: usize) -> UserId {
    UserId::parse(&format!("user-{number}")).unwrap()
}

fn room_id(number: usize) -> RoomId {
    RoomId::parse(&format!("room-{number}")).unwrap()
}

/// What the disk has of a room.
#[derive(Clone)]
struct Kept {
    info: RoomInfo,
    records: HashMap<RecordKey, Record>,
    presence: BTreeMap<SessionId, (UserId, u64, u64)>,
    counters: Counters,
}

impl Kept {
    fn new(room: usize, incarnation: u64, now: Time) -> Self {
        // Some end by themselves.
        let lifetime = |seconds| incarnation.is_multiple_of(3).then_some(seconds);
        let fields = Fields {
            is_seat_enabled: Some(true),
            max_seat_count: Some(3),
            lifetime_after_no_users: lifetime(1),
            lifetime_after_owner_leave: lifetime(3),
            lifetime_after_owner_offline: lifetime(5),
            ..Fields::default()
        };
        let info =
            RoomInfo::create(room_id(room), RoomType::Live, user(0), &fields, now, incarnation).unwrap();
        let (records, presence) = (HashMap::new(), BTreeMap::new());
        Self { info, records, presence, counters: Counters::default() }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Keep(Keep::Info(info)) => self.info = (**info).clone(),
            Write::Keep(Keep::Put(record)) => drop(self.records.insert(record.key(), record.clone())),
            Write::Keep(Keep::Delete(key)) => drop(self.records.remove(key)),
            Write::Keep(Keep::DeleteMember(user)) => self.presence.retain(|_, (member, ..)| member != user),
            Write::Presence { session, user, place, stay, .. } => {
                self.presence.insert(*session, (user.clone(), *place, *stay));
            }
            Write::Absence { session, .. } => drop(self.presence.remove(session)),
            Write::Counters(counters) => self.counters = *counters,
            Write::Message(_) | Write::End(_) => {}
        }
    }

    fn open(&self, now: Time) -> Hall<u64> {
        let mut room = Room::new(self.info.clone(), now);
        room.restore_counters(self.counters);
        self.records.values().for_each(|record| room.restore_record(record.clone()));
        let mut hall = Hall::new(room, Bounds { most_sessions: 0, review: PATIENCE });
        for (session, (user, place, stay)) in &self.presence {
            let (user, client) = (user.clone(), Arc::default());
            let returned = Returned { user, session: *session, place: *place, stay: *stay, client };
            hall.restore_session(returned, now);
        }
        hall
    }
}

/// What two rooms must have in common to be the same.
fn state(room: &Room, now: Time) -> impl PartialEq + std::fmt::Debug + use<> {
    let members: Vec<String> = room.members().after(0).map(|(_, user)| user.to_string()).collect();
    let sessions: BTreeSet<SessionId> = room
        .members()
        .after(0)
        .flat_map(|(_, user)| room.members().sessions(user.as_str()))
        .copied()
        .collect();
    (
        (members, sessions, room.seats().to_vec(), room.info().clone()),
        room.bans(now).cloned().collect::<Vec<_>>(),
        room.mutes(now).map(|(user, until)| (user.clone(), until)).collect::<Vec<_>>(),
        room.admins().cloned().collect::<BTreeSet<_>>(),
        room.robots_after("").cloned().collect::<Vec<_>>(),
        room.metadata(&[]).map(|(key, value)| (key.to_string(), value.to_string())).collect::<Vec<_>>(),
        (room.counters(), room.sender_count()),
    )
}

/// Something on its way to the disk.
enum Job {
    Room(RoomJob),
    /// The row of a session, or that it has none any more.
    Session(SessionId, Option<(UserId, TokenHash)>),
}

struct RoomJob {
    room: usize,
    incarnation: u64,
    how: Durably,
    writes: Vec<Write>,
}

/// A session that listens, as its client sees the room.
struct Client {
    members: BTreeSet<UserId>,
    /// It has heard of every change since its page.
    is_in_step: bool,
    /// The last message it has, and the last that the server is sure of.
    seq: u64,
    acknowledged: u64,
}

/// One open room, and what follows it.
struct Place {
    hall: Hall<u64>,
    incarnation: u64,
    outgoing: VecDeque<Effect<u64>>,
    is_draining: bool,
    clients: BTreeMap<SessionId, (UserId, Client)>,
    /// Applications that managers were told of and not told the end of.
    applications: BTreeMap<u64, Time>,
    /// Plans on their way that take the administrator's role from these.
    demoting: HashMap<PlanId, Vec<UserId>>,
    /// Which of a request's answers was acknowledged.
    answered: HashMap<u64, Planned>,
    /// The list as those who enter got it.
    pages: HashMap<u64, BTreeSet<UserId>>,
    /// How often each was told to have given something, and had before.
    given: HashMap<UserId, u64>,
    /// Every connection that somebody has published on, and what flows on each.
    publishing: Vec<(PeerId, UserId, SessionId)>,
    flows: HashMap<PeerId, Rights>,
    /// The stays that are noted to have begun and not to have ended, with what flows of each.
    stays: BTreeMap<u64, (UserId, BTreeSet<&'static str>)>,
    reviewing: Reviewing,
    /// Whom event callbacks tell to be in, whether as an anchor, and what to flow of it.
    told: BTreeMap<UserId, (bool, BTreeSet<Device>)>,
    /// What ends the room, until the hall knows what became of it.
    end: Option<PlanId>,
    ends: bool,
}

impl Place {
    fn note(&mut self, note: &Note) {
        let place = self.hall.room().map(|room| room.members().len());
        match note {
            Note::Stays(stay) => {
                self.stays.entry(stay.number).or_insert_with(|| (stay.user.clone(), BTreeSet::new()));
            }
            Note::Left { stay, .. } => {
                let (_, flows) = self.stays.remove(&stay.number).expect("ended that never began");
                assert!(flows.is_empty(), "{flows:?} of {} flow for ever", stay.user);
            }
            Note::Event { stay, what, .. } => {
                let (_, flows) = self.stays.get_mut(stay).expect("happened to nobody");
                match what {
                    Happening::Begun(device) => assert!(flows.insert(device.as_str()), "begun twice"),
                    Happening::Ended(device) => assert!(flows.remove(device.as_str()), "ended twice"),
                    _ => {}
                }
            }
            Note::Over { .. } => {
                assert_eq!((place, self.stays.len()), (None, 0), "somebody is noted to be in for ever")
            }
        }
    }

    /// Who is in by a session of its own, and whether it is an anchor.
    fn inside(&self) -> BTreeMap<UserId, bool> {
        let Some(room) = self.hall.room() else { return BTreeMap::new() };
        let users = room.members().after(0).map(|(_, user)| user);
        let by_session = |user: &&UserId| {
            room.members().sessions(user.as_str()).iter().any(|one| *one != SessionId::ROBOT)
        };
        users.filter(by_session).map(|user| (user.clone(), room.anchors().has(user))).collect()
    }

    fn hear(&mut self, event: &RtcEvent) {
        match event {
            RtcEvent::Entered { user, is_anchor, .. } => {
                let before = self.told.insert(user.clone(), (*is_anchor, BTreeSet::new()));
                assert_eq!(before, None, "{user} is told to enter twice");
            }
            RtcEvent::Left { user, is_anchor, .. } => {
                let (was, _) = self.told.remove(user).expect("told to leave that never entered");
                assert_eq!(was, *is_anchor, "{user} left as another than it was");
            }
            RtcEvent::RoleChanged { user, is_anchor } => {
                let (was, _) = self.told.get_mut(user).expect("it is somebody's role");
                assert_ne!(std::mem::replace(was, *is_anchor), *is_anchor, "{user} has the role already");
            }
            RtcEvent::CoHosts { user, .. } => panic!("{user} is of no room that is connected"),
            RtcEvent::Flow { user, device, is_on } => {
                let (_, flows) = self.told.get_mut(user).expect("it is somebody's stream");
                let is_new = if *is_on { flows.insert(*device) } else { flows.remove(device) };
                assert!(is_new, "{device:?} of {user} is told twice to be {is_on}");
            }
        }
    }
}

/// Where and when somebody asked for something, and for what.
type Order = (usize, Time, Option<(By, Command)>);

struct World {
    rng: rand_chacha::ChaCha8Rng,
    now: Time,
    places: Vec<Option<Place>>,
    disk: BTreeMap<usize, Kept>,
    jobs: VecDeque<Job>,
    answers: Vec<(usize, u64, PlanId, Result<(), Refused>)>,
    asked: HashMap<u64, Order>,
    questions: Vec<Asked>,
    /// The disk says nothing.
    hangs: bool,
    sessions: Sessions,
    last: u64,
    incarnations: u64,
    steps: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Time::from_unix_seconds(1_700_000_000);
        let mut world = Self {
            rng: rand_chacha::ChaCha8Rng::seed_from_u64(seed),
            now,
            places: (0..ROOMS).map(|_| None).collect(),
            disk: BTreeMap::new(),
            jobs: VecDeque::new(),
            answers: Vec::new(),
            asked: HashMap::new(),
            questions: Vec::new(),
            hangs: false,
            sessions: Sessions::new(),
            last: 0,
            incarnations: 0,
            steps: 0,
        };
        (0..ROOMS).for_each(|room| world.create(room));
        world
    }

    fn create(&mut self, room: usize) {
        assert!(!self.disk.contains_key(&room), "the room is there still");
        self.incarnations += 1;
        self.disk.insert(room, Kept::new(room, self.incarnations, self.now));
        self.open(room);
    }

    fn open(&mut self, room: usize) {
        let kept = self.disk.get_mut(&room).unwrap();
        // Presence without its session is nobody's.
        kept.presence.retain(|session, _| self.sessions.is_there(*session));
        let mut hall = kept.open(self.now);
        // Who was banned meanwhile is not in any more, on disk neither.
        let members = hall.room().unwrap().members();
        kept.presence.retain(|_, (user, ..)| members.contains(user.as_str()));
        let life = (room, kept.info.incarnation);
        for session in kept.presence.keys() {
            self.sessions.restore_stay(*session, life, kept.counters.last_seq);
        }
        hall.finish_restore();
        hall.retell();
        let listed: BTreeSet<UserId> =
            hall.room().unwrap().members().after(0).map(|(_, user)| user.clone()).collect();
        let client = |user: &UserId| {
            let (members, seq) = (listed.clone(), kept.counters.last_seq);
            (user.clone(), Client { members, is_in_step: false, seq, acknowledged: seq })
        };
        let clients = kept.presence.iter().filter(|(_, (user, ..))| listed.contains(user));
        let clients = clients.map(|(session, (user, ..))| (*session, client(user))).collect();
        let stays: Vec<u64> = kept.presence.values().map(|(_, _, stay)| *stay).collect();
        let given = kept.records.values().filter_map(|record| match record {
            Record::Sender { user, tally } => Some((user.clone(), tally.events)),
            _ => None,
        });
        let given = given.collect();
        self.places[room] = Some(Place {
            hall,
            incarnation: kept.info.incarnation,
            outgoing: VecDeque::new(),
            is_draining: false,
            clients,
            applications: BTreeMap::new(),
            demoting: HashMap::new(),
            answered: HashMap::new(),
            given,
            pages: HashMap::new(),
            publishing: Vec::new(),
            flows: HashMap::new(),
            stays: BTreeMap::new(),
            reviewing: Reviewing::default(),
            told: BTreeMap::new(),
            end: None,
            ends: false,
        });
        if let Some(place) = &mut self.places[room] {
            let inside = place.inside().into_iter();
            place.told = inside.map(|(user, is_anchor)| (user, (is_anchor, BTreeSet::new()))).collect();
        }
        self.carry_out(room);
        let noted = self.places[room].iter().flat_map(|place| place.stays.keys().copied());
        let stays: BTreeSet<u64> = stays.into_iter().collect();
        assert_eq!(noted.collect::<BTreeSet<_>>(), stays, "the stays of before go on");
        self.drain(room);
    }

    fn drive(&mut self, room: usize, input: Input<u64>) {
        self.handle(room, input);
        self.drain(room);
    }

    /// A hall's lock is taken, and let go of.
    fn handle(&mut self, room: usize, input: Input<u64>) {
        if let Some(place) = &mut self.places[room] {
            let is_time = matches!(input, Input::Time);
            place.hall.handle(input, self.now);
            let is_due = place.hall.deadline().is_some_and(|at| at <= self.now);
            assert!(!is_time || !is_due, "time is due for ever");
            self.carry_out(room);
        }
    }

    /// What the driver does under the lock.
    fn carry_out(&mut self, at: usize) {
        let Some(place) = &mut self.places[at] else { return };
        while let Some(effect) = place.hall.poll() {
            let by = |ticket| {
                let (_, _, command) = self.asked.get(&ticket)?;
                let (By::Member { session, .. }, _) = command.as_ref()? else { return None };
                Some(*session)
            };
            place.reviewing.note(&effect, place.hall.room(), by, self.now);
            let Effect::Store { how, writes, told, operator, .. } = effect else {
                if let Effect::Rights { peer, rights } = effect {
                    place.flows.insert(peer, rights);
                }
                if let (Effect::Entered { ticket, result: Ok(_), .. }, Some(room)) =
                    (&effect, place.hall.room())
                {
                    let page = room.members().after(0).map(|(_, user)| user.clone()).collect();
                    place.pages.insert(*ticket, page);
                }
                if let Effect::Note(note) = &effect {
                    place.note(note);
                    continue;
                }
                place.outgoing.push_back(effect);
                continue;
            };
            assert!(!place.ends, "{writes:?} are written behind the room's end");
            for event in &told {
                if let Event::Rtc(event) = event {
                    place.hear(event);
                }
            }
            if let Durably::Commit(id) = how {
                let taken = writes.iter().filter_map(|write| match write {
                    Write::Keep(Keep::Delete(key)) if key.kind == "admin" => Some(key.name.clone()),
                    Write::Keep(Keep::Info(info)) => {
                        let owner = &place.hall.room().unwrap().info().owner;
                        (info.owner != *owner).then(|| owner.to_string())
                    }
                    _ => None,
                });
                let demoted: Vec<UserId> = taken.map(|name| UserId::parse(&name).unwrap()).collect();
                let is_on_its_way =
                    |place: &Place| place.demoting.values().flatten().any(|user| user.as_str() == operator);
                let moderates = writes.iter().any(|write| {
                    matches!(
                        write,
                        Write::Keep(Keep::Put(Record::Ban(_) | Record::Mute { .. }) | Keep::DeleteMember(_))
                    )
                });
                if moderates && operator != "app" {
                    let role = place.hall.room().unwrap().role(&operator);
                    assert!(role >= Role::Admin, "{operator} moderates as {role:?}");
                    assert!(!is_on_its_way(place), "{operator} moderates while it is being demoted");
                }
                place.demoting.insert(id, demoted);
            }
            place.ends = writes.iter().any(|write| matches!(write, Write::End(_)));
            if let Durably::Commit(id) = how
                && place.ends
            {
                place.end = Some(id);
            }
            let job = RoomJob { room: at, incarnation: place.incarnation, how, writes };
            self.jobs.push_back(Job::Room(job));
        }
    }

    /// The disk takes what comes next, or refuses it.
    fn store(&mut self) {
        let Some(job) = self.jobs.pop_front() else { return };
        if self.rng.random_bool(0.15) {
            match job {
                Job::Room(job) if matches!(job.how, Durably::Commit(_)) => {
                    self.settle(&job, Err(Refused { is_behind: false, text: "full".into() }));
                    self.check_kept();
                }
                // What is journalled is tried again.
                job => self.jobs.push_front(job),
            }
            return;
        }
        let job = match job {
            Job::Room(job) => job,
            Job::Session(session, row) => return self.sessions.write(session, row.as_ref()),
        };
        let Some(kept) = self.disk.get_mut(&job.room).filter(|kept| kept.info.incarnation == job.incarnation)
        else {
            panic!("{:?} are written of a room that is no more", job.writes);
        };
        job.writes.iter().for_each(|write| kept.write(write));
        if job.writes.iter().any(|write| matches!(write, Write::End(_))) {
            self.disk.remove(&job.room);
        }
        self.settle(&job, Ok(()));
    }

    fn settle(&mut self, job: &RoomJob, result: Result<(), Refused>) {
        let Some(place) = self.places[job.room].as_mut().filter(|one| one.incarnation == job.incarnation)
        else {
            return;
        };
        if result.is_err() && job.writes.iter().any(|write| matches!(write, Write::End(_))) {
            place.ends = false;
        }
        if let Durably::Kept(id) | Durably::Commit(id) = job.how {
            self.answers.push((job.room, job.incarnation, id, result));
        }
    }

    /// One of the disk's answers comes back, in any order.
    fn report(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.answers.len());
        let (room, incarnation, id, result) = self.answers.swap_remove(at);
        if self.places[room].as_ref().is_some_and(|place| place.incarnation == incarnation) {
            if let Some(place) = &mut self.places[room] {
                place.demoting.remove(&id);
                place.end.take_if(|end| *end == id);
            }
            self.drive(room, Input::Stored { id, result });
        }
    }

    /// Performs an effect outside the hall's lock. Returns what follows for its sessions.
    fn perform(&mut self, at: usize, effect: Effect<u64>) -> Vec<Step> {
        let Some(place) = &mut self.places[at] else { return Vec::new() };
        match effect {
            Effect::Entered { session, turn, ticket, result } => {
                return self.answer_entering(at, (session, turn, ticket), result);
            }
            Effect::Answer { ticket, result } => self.answer(at, ticket, result),
            Effect::Unlisten { session, cause } => self.put_out(at, session, cause),
            Effect::CatchUp { session, turn, messages, .. } => {
                let is_awaited = self.sessions.catch_up(session, (at, place.incarnation), turn);
                let Some((_, client)) = place.clients.get_mut(&session).filter(|_| is_awaited) else {
                    return Vec::new();
                };
                let is_whole = messages.len() < RECENT_MESSAGES;
                for message in messages {
                    let is_heard = self.sessions.push(session, (at, place.incarnation), message.seq);
                    let is_known = message.seq <= client.seq;
                    assert!(
                        !is_heard || !is_known || !self.sessions.is_exact(session),
                        "it said that it has this"
                    );
                    if is_heard && !is_known {
                        assert!(!is_whole || message.seq == client.seq + 1, "a gap after it is back");
                        client.seq = message.seq;
                    }
                }
            }
            Effect::Tell { to, what } => {
                let hears = |session: &SessionId| match &to {
                    Audience::All => true,
                    Audience::Sessions(sessions) => sessions.contains(session),
                };
                match &what {
                    Told::Event(Event::SeatRequested(request))
                        if request.kind == RequestKind::Application =>
                    {
                        place.applications.insert(request.id, request.expires_at);
                    }
                    Told::Event(Event::SeatRequestEnded { request, .. }) => {
                        place.applications.remove(&request.id);
                    }
                    Told::Event(Event::Given(given)) => {
                        let told = place.given.entry(given.from.clone()).or_default();
                        *told += 1;
                        let key = RecordKey { kind: "sender", name: given.from.to_string() };
                        let kept =
                            self.disk.get(&at).filter(|kept| kept.info.incarnation == place.incarnation);
                        match kept.map(|kept| kept.records.get(&key)) {
                            // The room is over.
                            None => {}
                            Some(Some(Record::Sender { tally, .. })) if tally.events >= *told => {}
                            Some(other) => {
                                panic!("{told} gifts of {} are told, and on disk is {other:?}", given.from)
                            }
                        }
                    }
                    _ => {}
                }
                for (session, (user, client)) in &mut place.clients {
                    if !hears(session) {
                        continue;
                    }
                    match &what {
                        Told::Event(Event::Message(message))
                            if self.sessions.push(*session, (at, place.incarnation), message.seq) =>
                        {
                            assert_eq!(message.seq, client.seq + 1, "{user} misses a message");
                            client.seq = message.seq;
                        }
                        Told::Members(_) if !self.sessions.hears(*session) => client.is_in_step = false,
                        Told::Members(changed) => {
                            client.is_in_step &= !changed.partial;
                            client.members.extend(changed.entered.iter().cloned());
                            for (gone, _) in &changed.left {
                                client.members.remove(gone);
                            }
                            if client.is_in_step {
                                assert_eq!(
                                    changed.member_count,
                                    client.members.len(),
                                    "told to {user}: {changed:?}, who knows {:?}",
                                    client.members
                                );
                            }
                        }
                        _ => {}
                    }
                }
            }
            Effect::Ask { id, question, .. } => self.put_question(at, id, question),
            Effect::Confirm(_)
            | Effect::Rights { .. }
            | Effect::ClosePeers(_)
            | Effect::Note(_)
            | Effect::Store { .. }
            | Effect::Over => {}
        }
        Vec::new()
    }

    fn answer(&mut self, at: usize, ticket: u64, result: Result<Answer, Refusal>) {
        if self.answer_leaving(ticket, &result) {
            return;
        }
        let (room, _, command) = self.asked.remove(&ticket).expect("answered twice, or nobody asked");
        assert_eq!(room, at);
        let Some(place) = &mut self.places[at] else { return };
        place.reviewing.note_answer(ticket, &result);
        let Some((_, Command::Planned(command))) = command else { return };
        match (&result, &command) {
            (Ok(Answer::Statistic { .. }), _) => {
                assert!(place.hall.room().is_none(), "a room that is destroyed is there");
                let is_over =
                    self.disk.get(&at).is_none_or(|kept| kept.info.incarnation != place.incarnation);
                assert!(is_over, "the end was acknowledged and is not on disk");
            }
            (Ok(_), Planned::Ban { users, .. }) => {
                let Some(kept) = self.disk.get(&at).filter(|kept| kept.info.incarnation == place.incarnation)
                else {
                    return;
                };
                for user in users {
                    let ban = kept.records.get(&RecordKey { kind: "ban", name: user.to_string() });
                    let is_banned = matches!(ban, Some(Record::Ban(ban)) if ban.until > self.now);
                    let is_kept = kept.presence.values().any(|(member, ..)| member == user);
                    // A later command may have lifted it, and let it in.
                    assert!(!is_kept || !is_banned, "{user} was banned, and is in after a kill");
                }
            }
            (Ok(_), Planned::AcceptSeat { id } | Planned::CancelSeat { id } | Planned::RejectSeat { id }) => {
                let former = place.answered.insert(*id, command.clone());
                assert!(former.is_none(), "request {id} ended twice: {former:?}, {command:?}");
            }
            _ => {}
        }
    }

    /// What holds at every step.
    fn check(&self) {
        for place in self.places.iter().flatten() {
            let Some(room) = place.hall.room() else { continue };
            for ban in room.bans(self.now) {
                assert!(!room.members().contains(ban.user.as_str()), "{} is banned and in", ban.user);
            }
            let mut seated = HashSet::new();
            for occupant in room.seats().iter().filter_map(|seat| seat.occupant.as_ref()) {
                assert!(room.members().contains(occupant.as_str()), "{occupant} sits and is not in");
                assert!(seated.insert(occupant), "{occupant} sits twice");
            }
            // A mute may have ended of which the hall is told in a moment.
            if place.hall.deadline().is_none_or(|at| at > self.now) {
                self.check_streams(place, room);
            }
            let users = room.members().after(0).map(|(_, user)| user);
            let sessions = users.flat_map(|user| {
                let sessions = room.members().sessions(user.as_str()).iter();
                sessions.filter(|session| **session != SessionId::ROBOT).map(move |_| user)
            });
            let mut inside: Vec<&UserId> = sessions.collect();
            let mut noted: Vec<&UserId> = place.stays.values().map(|(user, _)| user).collect();
            inside.sort_unstable();
            noted.sort_unstable();
            assert_eq!(noted, inside, "who is noted to be in, and is");
            // What is told meanwhile is held back.
            if place.end.is_none() {
                let told: BTreeMap<_, _> =
                    place.told.iter().map(|(user, (is_anchor, _))| (user.clone(), *is_anchor)).collect();
                assert_eq!(told, place.inside(), "who is told to be in, and is");
                for member in place.hall.streams().told() {
                    let told = place.told.get(&member.member).map(|(_, flows)| flows);
                    let flows = |device| told.is_some_and(|flows| flows.contains(&device));
                    assert!(
                        member.streams.iter().all(|one| flows(one.device)),
                        "{member:?} flows, {told:?} is told"
                    );
                }
            }
            if place.outgoing.is_empty() {
                let open: BTreeSet<u64> = room.seat_applications(self.now).map(|one| one.id).collect();
                for (id, expires) in &place.applications {
                    assert!(open.contains(id) || *expires <= self.now, "application {id} is a ghost");
                }
            }
        }
    }

    /// Of a room that has no plan on its way, the disk has what is in memory once it has taken what is journalled.
    fn check_kept(&self) {
        for (at, place) in self.places.iter().enumerate() {
            let Some(place) = place.as_ref().filter(|place| place.demoting.is_empty() && place.end.is_none())
            else {
                continue;
            };
            let (Some(room), Some(kept)) = (place.hall.room(), self.disk.get(&at)) else { continue };
            let mut kept = kept.clone();
            for job in &self.jobs {
                if let Job::Room(job) = job
                    && (job.room, job.incarnation) == (at, place.incarnation)
                {
                    job.writes.iter().for_each(|write| kept.write(write));
                }
            }
            let mut opened = kept.open(self.now);
            opened.finish_restore();
            let opened = state(opened.room().unwrap(), self.now);
            assert_eq!(state(room, self.now), opened, "memory, and what the disk is going to have");
        }
    }

    /// What flows, and what is told to be published, is what the rules allow.
    fn check_streams(&self, place: &Place, room: &Room) {
        let streams = place.hall.streams();
        let mut shown = BTreeMap::new();
        for (peer, user, session) in &place.publishing {
            if streams.publisher(*session) != Some(*peer) {
                continue;
            }
            let may = Device::ALL.map(|device| room.require_may_publish(user, device, self.now).is_ok());
            let flows = place.flows.get(peer).copied().unwrap_or_default();
            assert_eq!(Device::ALL.map(|device| flows.allow(device)), may, "what {user} may send");
            let allowed: Vec<Device> = OFFERED.into_iter().filter(|device| flows.allow(*device)).collect();
            if !allowed.is_empty() {
                shown.insert(user, allowed);
            }
        }
        let told = streams.told().iter().map(|member| {
            let devices: Vec<Device> = member.streams.iter().map(|stream| stream.device).collect();
            (&member.member, devices)
        });
        assert_eq!(told.collect::<BTreeMap<_, _>>(), shown, "what is told to be published");
        let mut noted = BTreeMap::<&UserId, BTreeSet<&str>>::new();
        for (user, flows) in place.stays.values().filter(|(_, flows)| !flows.is_empty()) {
            noted.entry(user).or_default().extend(flows);
        }
        let shown = shown
            .into_iter()
            .map(|(user, devices)| (user, devices.into_iter().map(Device::as_str).collect::<BTreeSet<_>>()));
        assert_eq!(noted, shown.collect(), "what is noted to flow");
    }

    /// Whatever the disk does, nobody waits for longer than is said.
    fn check_patience(&self) {
        let is_idle =
            |place: &Place| place.outgoing.is_empty() && place.hall.deadline().is_none_or(|at| at > self.now);
        for (ticket, (at, since, command)) in &self.asked {
            let Some((_, command)) = command else { continue };
            let most = match command {
                Command::Reviewed(_) | Command::Said(_) => 2 * PATIENCE + Duration::from_secs(25),
                _ => Duration::from_secs(10),
            };
            let is_idle = self.places[*at].as_ref().is_some_and(is_idle);
            assert!(!is_idle || *since + most >= self.now, "{ticket} waits for too long: {command:?}");
        }
    }

    /// All that was asked for is done: the disk answers, everything is told.
    fn quiet(&mut self) {
        self.hangs = false;
        self.come_to_rest();
        // The batches that wait are told.
        for _ in 0..4 {
            self.now = self.now + Duration::from_secs(2);
            for at in 0..ROOMS {
                self.drive(at, Input::Time);
            }
            self.come_to_rest();
        }
        self.check_at_rest();
    }

    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            self.store();
            self.report();
            self.judge();
            self.run(100);
            self.now = self.now + Duration::from_millis(10);
            for at in 0..ROOMS {
                let due = self.places[at].as_ref().and_then(|place| place.hall.deadline());
                if due.is_some_and(|due| due <= self.now) {
                    self.drive(at, Input::Time);
                }
            }
            let told = self.places.iter().flatten().all(|place| place.outgoing.is_empty());
            let is_due = |room: &Room| room.deadline().is_some_and(|at| at <= self.now);
            let ends = self.places.iter().flatten().any(|place| place.hall.room().is_some_and(is_due));
            let is_done = self.sessions.is_quiet() && told && !ends;
            if self.jobs.is_empty() && self.answers.is_empty() && self.asked.is_empty() && is_done {
                break;
            }
        }
        assert!(self.jobs.is_empty() && self.answers.is_empty());
        assert!(self.asked.is_empty(), "nobody answers {:?}", self.asked);
    }

    fn check_at_rest(&self) {
        self.check_sessions();
        for (at, place) in self.places.iter().enumerate() {
            let Some(place) = place else { continue };
            let Some(room) = place.hall.room() else { continue };
            assert!(room.deadline().is_none_or(|at| at > self.now), "its lifetime is over");
            let kept = &self.disk[&at];
            let mut opened = kept.open(self.now);
            opened.finish_restore();
            assert_eq!(state(room, self.now), state(opened.room().unwrap(), self.now), "memory, and disk");
            let listed: BTreeSet<UserId> = room.members().after(0).map(|(_, user)| user.clone()).collect();
            for (session, (user, client)) in &place.clients {
                assert!(
                    room.members().sessions(user.as_str()).contains(session),
                    "{user} listens and is out"
                );
                if self.sessions.require_in_step(*session, at) {
                    assert_eq!(client.seq, room.last_seq(), "{user} misses a message");
                    if client.is_in_step {
                        assert_eq!(client.members, listed, "told to {user}, and listed");
                    }
                }
            }
            let sessions = listed.iter().flat_map(|user| room.members().sessions(user.as_str()));
            for session in sessions.filter(|session| **session != SessionId::ROBOT) {
                assert!(place.clients.contains_key(session), "{session:?} is in and hears nothing");
            }
        }
    }

    fn kill(&mut self) {
        self.jobs.clear();
        self.answers.clear();
        self.asked.clear();
        self.questions.clear();
        self.sessions.restart();
        for at in 0..ROOMS {
            self.places[at] = None;
            if self.disk.contains_key(&at) {
                self.open(at);
            }
        }
        self.check_sessions();
    }

    fn ask(&mut self, at: usize, by: By, command: Command) {
        self.last += 1;
        let ticket = self.last;
        self.asked.insert(ticket, (at, self.now, Some((by.clone(), command.clone()))));
        self.drive(at, Input::Do { by, room_type: None, command, ticket });
    }

    fn step(&mut self) {
        let at = self.rng.random_range(0..ROOMS);
        match self.rng.random_range(0..100) {
            0..18 if self.hangs => {}
            0..18 => self.store(),
            18..34 => self.report(),
            34..50 => {
                let steps = self.rng.random_range(1..24);
                self.run(steps);
            }
            50..58 => {
                // Longer where there is something to be seen of that.
                let most = if self.hangs { 4000 } else { 600 };
                self.now = self.now + Duration::from_millis(self.rng.random_range(0..most));
                let due = self.places[at].as_ref().and_then(|place| place.hall.deadline());
                if due.is_some_and(|due| due <= self.now) {
                    self.drive(at, Input::Time);
                }
            }
            58 if self.rng.random_bool(0.1) => self.kill(),
            58 if self.rng.random_bool(0.2) => self.quiet(),
            59 if self.rng.random_bool(0.2) => self.hangs = !self.hangs,
            60..64 => self.judge(),
            _ => self.somebody(at),
        }
        // A room that is over is forgotten once all was told, and another of its name begins.
        let is_over = |place: &Place| place.hall.room().is_none() && place.outgoing.is_empty();
        if self.places[at].as_ref().is_none_or(is_over) && !self.disk.contains_key(&at) {
            self.create(at);
        }
        self.check();
        self.check_patience();
        self.steps += 1;
        if self.steps.is_multiple_of(COMPARED_EVERY) {
            self.check_kept();
        }
    }

    fn somebody(&mut self, at: usize) {
        if self.rng.random_bool(0.5) {
            return self.some_device(at);
        }
        let who = self.rng.random_range(0..USERS);
        let session = self.sessions.one_of(who, self.rng.random_range(0..2));
        let user_id = user(who);
        let other = user(self.rng.random_range(0..USERS));
        let Some(place) = &mut self.places[at] else { return };
        let member = |role| By::Member { user: user_id.clone(), session, role };
        let app = || By::App("app".into());
        let seconds = Duration::from_secs(self.rng.random_range(1..20));
        let index = self.rng.random_range(0..4);
        let owner = place.hall.room().map_or_else(|| user(0), |room| room.info().owner.clone());
        // Mostly one that somebody waits for.
        let open: Vec<u64> = place.applications.keys().copied().collect();
        let request = match open.get(self.rng.random_range(0..open.len() + 1)) {
            Some(id) => *id,
            None => self.rng.random_range(1..30),
        };
        let applicant = |id| {
            let room = place.hall.room()?;
            room.seat_applications(self.now).find(|one| one.id == id).map(|one| one.from.clone())
        };
        let applicant = applicant(request).unwrap_or_else(|| user_id.clone());
        let planned = |planned| Command::Planned(planned);
        let (by, command) = match self.rng.random_range(12..47) {
            12 => (
                app(),
                planned(Planned::Ban { users: vec![other], reason: String::new(), duration: seconds }),
            ),
            13 => (
                member(Role::Admin),
                planned(Planned::Ban { users: vec![other], reason: String::new(), duration: seconds }),
            ),
            14 => (app(), planned(Planned::Unban { users: vec![other] })),
            15 => (app(), planned(Planned::Kick { users: vec![other] })),
            16 => (member(Role::Admin), planned(Planned::Kick { users: vec![other] })),
            17 => (app(), planned(Planned::Mute { users: vec![other], duration: seconds })),
            18 => (app(), planned(Planned::SetAdmins { users: vec![other], on: true })),
            19 => (app(), planned(Planned::SetAdmins { users: vec![other], on: false })),
            20 => (app(), planned(Planned::ChangeOwner { to: other, from: None, must_be_in: false })),
            21 => (app(), planned(Planned::AddRobots(vec![other]))),
            22 => (app(), planned(Planned::DeleteRobots(vec![other]))),
            23 => (app(), planned(Planned::SetMetadata(vec![(format!("k{index}"), request.to_string())]))),
            24 => (member(Role::Member), planned(Planned::TakeSeat { index: None })),
            25 => (member(Role::Member), planned(Planned::LeaveSeat)),
            26 => (app(), planned(Planned::MoveToSeat { user: other, index, if_taken: IfTaken::Swap })),
            27 => {
                let locks = SeatLocks { taken: Some(self.rng.random_bool(0.3)), ..SeatLocks::default() };
                (app(), planned(Planned::LockSeat { index, locks }))
            }
            28..30 => (
                member(Role::Member),
                Command::Passing(Passing::ApplyForSeat { index: None, timeout: seconds }),
            ),
            30..32 => (By::User(owner), planned(Planned::AcceptSeat { id: request })),
            32 => (By::User(applicant), planned(Planned::CancelSeat { id: request })),
            33 => (By::User(owner), planned(Planned::RejectSeat { id: request })),
            34 => {
                let gift = Box::new(reviews::gift(self.last + 1));
                let give = Give { gift, count: 1, from: user_id.clone(), to: vec![] };
                (member(Role::Member), planned(Planned::Give(give)))
            }
            35 => (member(Role::Member), Command::Said(Said::Like(2))),
            36 if self.rng.random_bool(0.2) => (app(), planned(Planned::Destroy)),
            46 => {
                let Some((peer, _, session)) = place.publishing.last().cloned() else { return };
                let lost = Passing::LosePeer { peer, session: Some(session), was_publisher: true };
                (app(), Command::Passing(lost))
            }
            45 => {
                let (marks, on) = (vec![(other, vec![1000 + index])], self.rng.random_bool(0.7));
                (app(), planned(Planned::Mark { marks, on }))
            }
            43 => (app(), planned(Planned::Remove { users: vec![other] })),
            44 => {
                let block = Block { audio: self.rng.random_bool(0.5), video: self.rng.random_bool(0.5) };
                (app(), planned(Planned::Block { user: other, block }))
            }
            40 => (member(Role::Member), Command::Passing(Passing::Unpublish)),
            41..43 => {
                let peer = PeerId(self.last);
                place.publishing.push((peer, user_id.clone(), session));
                let streams = OFFERED.map(|device| (device, device.as_str().to_owned())).to_vec();
                let offer = Offer { streams, ..Offer::default() };
                (member(Role::Member), Command::Passing(Passing::Publish { peer, offer }))
            }
            _ => {
                let by = member(Role::Member);
                return self.speak(at, by, user_id, session);
            }
        };
        self.ask(at, by, command);
    }
}

#[test]
fn whatever_happens_the_rooms_keep_their_promises() {
    seeds::play("HALL", SEEDS, |seed| {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.quiet();
    });
}
