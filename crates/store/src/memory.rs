//! An engine in memory whose disk fails as it is told: for tests of what is above engines, and for simulators.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rooms::{
    Account, Battle, CatalogueChange, CatalogueRecord, Connection, Counters, Message, RECENT_MESSAGES,
    Record, RoomInfo, SdkAppId, SessionId, UserId,
};

use crate::engine::{Engine, Kept, Read, Refused};
use crate::ledger::Line;
use crate::{
    ApiKey, App, Change, Error, EventPage, EventsWanted, Intent, Job, OutboxEvent, Presence, RoomScope,
    Snapshot, StoredSession, WaitingEvent,
};

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing goes wrong.
    None,
    /// It takes so long, and goes well.
    Late(Duration),
    /// The disk refuses it.
    Refuses,
    /// Its answer is lost, and it was written or not.
    AnswerLost {
        /// Whether it was.
        is_written: bool,
    },
    /// Only so many of its jobs are written; then the disk refuses the others.
    RefusesAfter(usize),
    /// This job of it can never be kept.
    Unfit(usize),
}

/// The disk. A copy of the handle is the same disk: it outlives whoever writes to it.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Tables>>);

impl Disk {
    /// What a server that begins now finds.
    pub fn snapshot(&self) -> Snapshot {
        self.0.lock().snapshot()
    }

    /// A disk that is as this one is now: what is left when the server is killed at this moment.
    #[must_use]
    pub fn as_it_is(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// Writes what would be written if nothing went wrong.
    ///
    /// # Errors
    /// [`Error::Over`] when it is of a room that is over, and somebody waits.
    pub fn write(&self, job: &Job) -> Result<Kept, Error> {
        self.0.lock().write(job)
    }
}

type NextFault = Box<dyn FnMut(&[Job]) -> Fault + Send>;

/// The engine.
pub struct Memory {
    disk: Disk,
    /// What becomes of each write.
    next_fault: NextFault,
    /// Whether the last answer was lost.
    is_unknown: bool,
}

impl Memory {
    /// An engine on `disk`, which asks for each write what becomes of it.
    pub fn new(disk: Disk, next_fault: impl FnMut(&[Job]) -> Fault + Send + 'static) -> Self {
        Self { disk, next_fault: Box::new(next_fault), is_unknown: false }
    }

    /// All at once, as far as anybody can see who looks at the disk.
    fn write_some(&self, jobs: &[Job], most: usize) -> Vec<Result<Kept, Refused>> {
        let mut tables = self.disk.0.lock();
        let written = |(index, job)| match index < most {
            true => tables.write(job).map_err(Refused::Ever),
            false => Err(Refused::Now(Error::DiskFull)),
        };
        jobs.iter().enumerate().map(written).collect()
    }
}

impl Engine for Memory {
    fn write(&mut self, jobs: &[Job]) -> Vec<Result<Kept, Refused>> {
        let fault = match (self.next_fault)(jobs) {
            // What may be there does not go away because the disk refuses it now.
            Fault::Refuses | Fault::RefusesAfter(_) | Fault::Unfit(_) if self.is_unknown => {
                Fault::AnswerLost { is_written: false }
            }
            fault => fault,
        };
        self.is_unknown = matches!(fault, Fault::AnswerLost { .. });
        match fault {
            Fault::None => self.write_some(jobs, usize::MAX),
            Fault::Late(time) => {
                std::thread::sleep(time);
                self.write_some(jobs, usize::MAX)
            }
            Fault::Refuses => self.write_some(jobs, 0),
            Fault::RefusesAfter(most) => self.write_some(jobs, most),
            Fault::AnswerLost { is_written } => {
                if is_written {
                    self.write_some(jobs, usize::MAX);
                }
                let lost = Refused::Unknown(Error::Disk("the answer was lost".into()));
                jobs.iter().map(|_| Err(lost.clone())).collect()
            }
            Fault::Unfit(unfit) => {
                let write = |(index, job)| match index == unfit {
                    true => Err(Refused::Ever(Error::Unfit("this one never".into()))),
                    false => self.disk.write(job).map_err(Refused::Ever),
                };
                jobs.iter().enumerate().map(write).collect()
            }
        }
    }

    fn probe(&mut self) -> Result<(), Refused> {
        match (self.next_fault)(&[]) {
            Fault::Refuses => Err(Refused::Now(Error::DiskFull)),
            _ => Ok(()),
        }
    }

    fn load(&mut self) -> Result<Snapshot, Error> {
        Ok(self.disk.snapshot())
    }

    fn scopes(&mut self) -> Result<Range<i64>, Error> {
        Ok(self.disk.0.lock().last_scope + 1..i64::MAX)
    }

    fn waiting(&self) -> u64 {
        self.disk.0.lock().waiting().count() as u64
    }

    fn reader(&self) -> Box<dyn Read> {
        Box::new(self.disk.clone())
    }
}

impl Read for Disk {
    fn waiting_events(&mut self, wanted: &EventsWanted) -> Result<EventPage, Error> {
        let tables = self.0.lock();
        let is_wanted = |one: &&KeptEvent| {
            one.event.line() == (wanted.sdkappid, wanted.lane)
                && one.turn > wanted.after
                && wanted.subject.as_ref().is_none_or(|subject| *subject == one.event.subject)
        };
        let mut events: Vec<&KeptEvent> = tables.waiting().filter(is_wanted).collect();
        events.sort_by_key(|one| one.turn);
        let mut page = EventPage { events: Vec::new(), is_last: true };
        let mut bytes = 0;
        for one in events {
            if bytes > wanted.most_bytes {
                page.is_last = false;
                break;
            }
            bytes += one.event.bytes();
            page.events.push(WaitingEvent { turn: one.turn, event: one.event.clone() });
        }
        Ok(page)
    }

    fn dead_letters(&mut self) -> Result<Vec<u64>, Error> {
        let tables = self.0.lock();
        let dead = tables.events.values().filter(|one| one.is_dead);
        Ok(dead.map(|one| one.event.id).collect())
    }
}

#[derive(Debug, Clone)]
struct KeptEvent {
    event: Arc<OutboxEvent>,
    turn: u64,
    is_dead: bool,
}

/// What is on the disk.
#[derive(Debug, Clone, Default)]
struct Tables {
    apps: BTreeMap<SdkAppId, App>,
    api_keys: BTreeMap<String, ApiKey>,
    accounts: BTreeMap<(SdkAppId, UserId), Account>,
    rooms: BTreeMap<i64, (RoomScope, RoomInfo, Counters)>,
    records: BTreeMap<(i64, &'static str, String), (RoomScope, Record)>,
    messages: BTreeMap<(i64, u64), (RoomScope, Message)>,
    catalogues: BTreeMap<(SdkAppId, String), CatalogueRecord>,
    battles: BTreeMap<(SdkAppId, String), Battle>,
    connections: BTreeMap<(SdkAppId, u64), Connection>,
    sessions: BTreeMap<SessionId, StoredSession>,
    presence: BTreeMap<(i64, UserId, SessionId), Presence>,
    intents: BTreeMap<(SdkAppId, String), Intent>,
    events: BTreeMap<u64, KeptEvent>,
    last_turn: u64,
    last_scope: i64,
}

impl Tables {
    fn write(&mut self, job: &Job) -> Result<Kept, Error> {
        let mut after = self.clone();
        let mut kept = Kept::default();
        for change in job.changes() {
            let is_late = |scope: RoomScope| !after.rooms.contains_key(&scope.number);
            let begins_or_ends = matches!(change, Change::CreateRoom(..) | Change::DeleteRoom(_));
            if !begins_or_ends && change.room().is_some_and(is_late) {
                if job.is_awaited() {
                    return Err(Error::Over);
                }
                continue;
            }
            kept.events.extend(after.apply(change));
        }
        *self = after;
        Ok(kept)
    }

    fn apply(&mut self, change: &Change) -> Option<WaitingEvent> {
        match change.clone() {
            Change::PutApp(app) => drop(self.apps.insert(app.sdkappid, app)),
            Change::PutApiKey(key) => drop(self.api_keys.insert(key.secret_id.clone(), key)),
            Change::DeleteApiKey(id) => drop(self.api_keys.remove(&id)),
            Change::PutAccount(app, account) => {
                self.accounts.insert((app, account.user.clone()), account);
            }
            Change::DeleteAccount(app, user) => drop(self.accounts.remove(&(app, user))),
            Change::CreateRoom(scope, info) => {
                self.last_scope = self.last_scope.max(scope.number);
                self.rooms.insert(scope.number, (scope, info, Counters::default()));
            }
            Change::PutRoom(scope, info) => {
                if let Some(room) = self.rooms.get_mut(&scope.number) {
                    room.1 = info;
                }
            }
            Change::DeleteRoom(scope) => {
                self.rooms.remove(&scope.number);
                self.records.retain(|key, _| key.0 != scope.number);
                self.messages.retain(|key, _| key.0 != scope.number);
                self.presence.retain(|key, _| key.0 != scope.number);
            }
            Change::PutRecord(scope, record) => {
                let key = record.key();
                self.records.insert((scope.number, key.kind, key.name), (scope, record));
            }
            Change::DeleteRecord(scope, key) => {
                self.records.remove(&(scope.number, key.kind, key.name));
            }
            Change::PutCounters(scope, counters) => {
                if let Some(room) = self.rooms.get_mut(&scope.number) {
                    room.2 = counters;
                }
            }
            Change::PutMessage(scope, message) => {
                let newest = message.seq;
                self.messages.insert((scope.number, newest), (scope, message));
                self.messages
                    .retain(|key, _| key.0 != scope.number || key.1 + RECENT_MESSAGES as u64 > newest);
            }
            Change::Catalogue(app, CatalogueChange::Put(record)) => {
                self.catalogues.insert((app, record.key().to_string()), record);
            }
            Change::Catalogue(app, CatalogueChange::Delete(key)) => {
                self.catalogues.remove(&(app, key.to_string()));
            }
            Change::PutBattle(app, battle) => drop(self.battles.insert((app, battle.id.clone()), battle)),
            Change::DeleteBattle(app, id) => drop(self.battles.remove(&(app, id))),
            Change::PutConnection(app, connection) if connection.rooms.len() < 2 => {
                self.connections.remove(&(app, connection.id));
            }
            Change::PutConnection(app, connection) => {
                self.connections.insert((app, connection.id), connection);
            }
            Change::AddSession(session) | Change::PutSession(session) => {
                self.sessions.insert(session.id, session);
            }
            Change::DeleteSession(id) => drop(self.sessions.remove(&id)),
            Change::AddPresence(one) | Change::PutPresence(one) => {
                self.presence.insert((one.scope.number, one.user.clone(), one.session), one);
            }
            Change::DeletePresence(scope, user, session) => {
                self.presence.remove(&(scope.number, user, session));
            }
            Change::DeleteMember(scope, user) => {
                self.presence.retain(|key, _| key.0 != scope.number || key.1 != user);
            }
            Change::PutIntent(app, intent) => drop(self.intents.insert((app, intent.key()), intent)),
            Change::DeleteIntent(app, intent) => drop(self.intents.remove(&(app, intent.key()))),
            Change::PutEvent(event) => {
                self.last_turn += 1;
                let kept = KeptEvent { event: event.clone(), turn: self.last_turn, is_dead: false };
                self.events.insert(event.id, kept);
                return Some(WaitingEvent { turn: self.last_turn, event });
            }
            Change::DeleteEvent(id) => drop(self.events.remove(&id)),
            Change::FailEvent(id) => {
                if let Some(one) = self.events.get_mut(&id) {
                    one.is_dead = true;
                }
            }
            Change::ReviveEvent(id, at) => {
                self.last_turn += 1;
                let one = self.events.get_mut(&id).filter(|one| one.is_dead)?;
                let event = Arc::new(OutboxEvent { at, ..(*one.event).clone() });
                *one = KeptEvent { event: event.clone(), turn: self.last_turn, is_dead: false };
                return Some(WaitingEvent { turn: self.last_turn, event });
            }
        }
        None
    }

    fn waiting(&self) -> impl Iterator<Item = &KeptEvent> {
        self.events.values().filter(|one| !one.is_dead)
    }

    fn snapshot(&self) -> Snapshot {
        let mut waiting: BTreeMap<Line, u64> = BTreeMap::new();
        for one in self.waiting() {
            let newest = waiting.entry(one.event.line()).or_default();
            *newest = one.turn.max(*newest);
        }
        let of_app = |((app, _), record): (&(SdkAppId, String), &CatalogueRecord)| (*app, record.clone());
        Snapshot {
            apps: self.apps.values().cloned().collect(),
            api_keys: self.api_keys.values().cloned().collect(),
            accounts: self.accounts.iter().map(|((app, _), account)| (*app, account.clone())).collect(),
            rooms: self.rooms.values().cloned().collect(),
            records: self.records.values().cloned().collect(),
            messages: self.messages.values().cloned().collect(),
            catalogues: self.catalogues.iter().map(of_app).collect(),
            battles: self.battles.iter().map(|((app, _), battle)| (*app, battle.clone())).collect(),
            connections: self.connections.iter().map(|((app, _), one)| (*app, one.clone())).collect(),
            sessions: self.sessions.values().cloned().collect(),
            presence: self.presence.values().cloned().collect(),
            intents: self.intents.iter().map(|((app, _), intent)| (*app, intent.clone())).collect(),
            waiting: waiting.into_iter().map(|((app, lane), newest)| (app, lane, newest)).collect(),
            last_event: self.events.last_key_value().map_or(0, |(id, _)| *id),
        }
    }
}
