//! From a folder to a database, or back: everything is brought over, then read on both sides and compared scope by scope.
//!
//! Until that is done the new place is none that a server begins on, and what is there of one that was interrupted is thrown
//! away by the next. The old place is left as it is.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::hash::{BuildHasher as _, Hash};
use std::path::PathBuf;

use rooms::{Fields, RoomId, RoomInfo, RoomType, SdkAppId, Time, UserId};

use crate::database::FILE_NAME;
use crate::engine::{Engine, Refused};
use crate::place::{Place, forget, remember};
use crate::postgres::{Identity, Postgres, apart};
use crate::sqlite::Sqlite;
use crate::{Change, Error, EventsWanted, Job, OutboxEvent, RoomScope, Snapshot};

/// How many changes are written at once.
const WRITTEN_AT_ONCE: usize = 2000;

/// How many bytes of events are read at once.
const READ_AT_ONCE: usize = 8 << 20;

/// How often a group whose outcome is unknown is asked for.
const MOST_TRIES: usize = 20;

/// What is written first, in the folder that it is for.
const UNFINISHED: &str = "migrating";

/// What was brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// How many apps.
    pub apps: usize,
    /// Their accounts.
    pub accounts: usize,
    /// Their rooms.
    pub rooms: usize,
    /// What is kept of rooms: messages, records, members.
    pub rows_of_rooms: usize,
    /// Sessions.
    pub sessions: usize,
    /// Events that wait, and those that were given up.
    pub events: usize,
    /// How many scopes were compared: apps and rooms.
    pub scopes: usize,
}

/// Brings all records from one place to another, of which exactly one is a folder, and no server may run on either. `progress`
/// is told how much of how much is done.
///
/// # Errors
/// When there are records in the new place already; when what is there afterwards is not the same; else what failed.
pub fn migrate(
    from: &Place,
    to: &Place,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Amounts, Error> {
    match (from, to) {
        (Place::Folder(folder), Place::Database { target, .. }) => {
            if !folder.join(FILE_NAME).exists() {
                return Err(Error::Unusable(format!("there is no database in {}", folder.display())));
            }
            apart(|| {
                let mut old = from.engine()?;
                let mut new = Postgres::to_fill(target, &Identity::of(folder)?)?;
                let contents = bring(from, &mut *old, &mut new, progress)?;
                let amounts = compare(&contents, &Contents::read(to, &mut new)?)?;
                new.note_filled()?;
                remember(folder, target)?;
                Ok(amounts)
            })
        }
        (Place::Database { .. }, Place::Folder(folder)) => {
            let path = folder.join(FILE_NAME);
            if path.exists() {
                return Err(Error::Unusable(format!(
                    "there is a database in {} already; move {} away, nothing was touched",
                    folder.display(),
                    path.display()
                )));
            }
            let unfinished = folder.join(UNFINISHED);
            apart(|| {
                let mut old = from.engine()?;
                remove_all(&unfinished)?;
                let mut new = Sqlite::at(&unfinished)?;
                let at = Place::Folder(unfinished.clone());
                let contents = bring(from, &mut *old, &mut new, progress)?;
                // Opened again, it is checked as a whole; closed, its log is in it.
                drop(new);
                let amounts = compare(&contents, &Contents::read(&at, &mut Sqlite::at(&unfinished)?)?)?;
                fs::rename(unfinished.join(FILE_NAME), &path)?;
                remove_all(&unfinished)?;
                fs::File::open(folder)?.sync_all()?;
                forget(folder)?;
                Ok(amounts)
            })
        }
        _ => Err(Error::Unusable(
            "records are brought from a folder to a database, or from a database to a folder".into(),
        )),
    }
}

fn remove_all(folder: &PathBuf) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// All that is in a place.
struct Contents {
    snapshot: Snapshot,
    /// In the order in which they are sent.
    waiting: Vec<OutboxEvent>,
    dead: Vec<OutboxEvent>,
    last_scope: i64,
}

impl Contents {
    fn read(place: &Place, engine: &mut dyn Engine) -> Result<Self, Error> {
        let snapshot = engine.load()?;
        let mut reader = engine.reader();
        let mut waiting = Vec::new();
        for (app, lane, _) in &snapshot.waiting {
            let mut after = 0;
            loop {
                let (sdkappid, lane, subject) = (*app, *lane, None);
                let wanted = EventsWanted { sdkappid, lane, subject, after, most_bytes: READ_AT_ONCE };
                let page = reader.waiting_events(&wanted)?;
                after = page.events.last().map_or(after, |last| last.turn);
                waiting.extend(page.events.into_iter().map(|waiting| (*waiting.event).clone()));
                if page.is_last {
                    break;
                }
            }
        }
        let mut dead = Vec::new();
        match place {
            Place::Folder(folder) => crate::for_each_failed_event(folder, |event| dead.push(event))?,
            Place::Database { .. } => place.for_each_failed_event(|event| dead.push(event))?,
        }
        let last_scope = engine.scopes()?.start.saturating_sub(1);
        Ok(Self { snapshot, waiting, dead, last_scope })
    }

    fn amounts(&self) -> Amounts {
        let snapshot = &self.snapshot;
        Amounts {
            apps: snapshot.apps.len(),
            accounts: snapshot.accounts.len(),
            rooms: snapshot.rooms.len(),
            rows_of_rooms: snapshot.records.len() + snapshot.messages.len() + snapshot.presence.len(),
            sessions: snapshot.sessions.len(),
            events: self.waiting.len() + self.dead.len(),
            scopes: 0,
        }
    }

    /// What makes an empty place the same.
    fn changes(&self) -> impl Iterator<Item = Change> {
        let snapshot = &self.snapshot;
        let rooms = snapshot.rooms.iter().flat_map(|(scope, info, counters)| {
            [Change::CreateRoom(*scope, info.clone()), Change::PutCounters(*scope, *counters)]
        });
        let of_rooms = snapshot.records.iter().map(|(scope, one)| Change::PutRecord(*scope, one.clone()));
        let messages = snapshot.messages.iter().map(|(scope, one)| Change::PutMessage(*scope, one.clone()));
        let catalogues = snapshot
            .catalogues
            .iter()
            .map(|(app, record)| Change::Catalogue(*app, rooms::CatalogueChange::Put(record.clone())));
        let dead = self
            .dead
            .iter()
            .flat_map(|event| [Change::PutEvent(event.clone().into()), Change::FailEvent(event.id)]);
        let apps = snapshot.apps.iter().cloned().map(Change::PutApp);
        let keys = snapshot.api_keys.iter().cloned().map(Change::PutApiKey);
        apps.chain(keys)
            .chain(snapshot.accounts.iter().map(|(app, one)| Change::PutAccount(*app, one.clone())))
            .chain(rooms)
            .chain(of_rooms)
            .chain(messages)
            .chain(catalogues)
            .chain(snapshot.battles.iter().map(|(app, one)| Change::PutBattle(*app, one.clone())))
            .chain(snapshot.connections.iter().map(|(app, one)| Change::PutConnection(*app, one.clone())))
            .chain(snapshot.sessions.iter().cloned().map(Change::PutSession))
            .chain(snapshot.presence.iter().cloned().map(Change::PutPresence))
            .chain(snapshot.intents.iter().map(|(app, one)| Change::PutIntent(*app, one.clone())))
            .chain(dead)
            .chain(self.waiting.iter().map(|event| Change::PutEvent(event.clone().into())))
    }

    /// What each scope has, as a number that is the same where everything is the same, whatever its order.
    fn digests(&self) -> BTreeMap<Scope, u64> {
        let mut all = Digests::default();
        let snapshot = &self.snapshot;
        snapshot.api_keys.iter().for_each(|key| all.add(Scope::Keys, key));
        snapshot.apps.iter().for_each(|app| all.add(Scope::App(app.sdkappid), app));
        snapshot.accounts.iter().for_each(|(app, one)| all.add(Scope::App(*app), one));
        snapshot.catalogues.iter().for_each(|(app, one)| all.add(Scope::App(*app), one));
        snapshot.intents.iter().for_each(|(app, one)| all.add(Scope::App(*app), one));
        snapshot.battles.iter().for_each(|(app, one)| all.add(Scope::App(*app), one));
        snapshot.connections.iter().for_each(|(app, one)| all.add(Scope::App(*app), one));
        snapshot.sessions.iter().for_each(|one| all.add(Scope::App(one.sdkappid), one));
        snapshot
            .rooms
            .iter()
            .for_each(|(scope, info, counters)| all.add(Scope::Room(*scope), &(info, counters)));
        snapshot.records.iter().for_each(|(scope, one)| all.add(Scope::Room(*scope), one));
        snapshot.messages.iter().for_each(|(scope, one)| all.add(Scope::Room(*scope), one));
        snapshot.presence.iter().for_each(|one| all.add(Scope::Room(one.scope), one));
        self.dead.iter().for_each(|event| all.add(Scope::App(event.sdkappid), &(event, "dead")));
        // Those of a lane have to be in the same order.
        self.waiting.iter().enumerate().for_each(|(place, event)| {
            all.add(Scope::App(event.sdkappid), &(event, place));
        });
        all.0
    }
}

/// What is compared by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// The keys of the RTC API.
    Keys,
    App(SdkAppId),
    Room(RoomScope),
}

#[derive(Default)]
struct Digests(BTreeMap<Scope, u64>);

impl Digests {
    fn add(&mut self, scope: Scope, what: &impl Debug) {
        let mut hasher = foldhash::quality::FixedState::default().build_hasher();
        format!("{what:?}").hash(&mut hasher);
        let digest = self.0.entry(scope).or_default();
        *digest = digest.wrapping_add(std::hash::Hasher::finish(&hasher));
    }
}

/// Brings all that is in the old place to the new one; returns what it was.
fn bring(
    from: &Place,
    old: &mut dyn Engine,
    new: &mut dyn Engine,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Contents, Error> {
    let contents = Contents::read(from, old)?;
    let all = contents.changes().count() as u64;
    let mut done = 0;
    progress(done, all);
    write(new, last_number(&contents)?)?;
    let mut changes = contents.changes();
    loop {
        let group: Vec<Change> = changes.by_ref().take(WRITTEN_AT_ONCE).collect();
        if group.is_empty() {
            break;
        }
        done += group.len() as u64;
        write(new, group)?;
        progress(done, all);
    }
    drop(changes);
    Ok(contents)
}

fn write(new: &mut dyn Engine, changes: Vec<Change>) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let jobs = [Job::awaited(changes)];
    for _ in 0..MOST_TRIES {
        match new.write(&jobs).pop() {
            Some(Ok(_)) | None => return Ok(()),
            Some(Err(Refused::Unknown(_))) => {}
            Some(Err(refused)) => return Err(refused.error().clone()),
        }
    }
    Err(Error::Unknown)
}

/// A room that begins and ends, where the last number that was ever given is no living room's: so the next one has another.
fn last_number(contents: &Contents) -> Result<Vec<Change>, Error> {
    let number = contents.last_scope;
    let is_living = contents.snapshot.rooms.iter().any(|(scope, ..)| scope.number == number);
    if number == 0 || is_living {
        return Ok(Vec::new());
    }
    let unforeseen = |error: rooms::Error| Error::Other(error.to_string());
    let (id, owner) =
        (RoomId::parse("last").map_err(unforeseen)?, UserId::parse("nobody").map_err(unforeseen)?);
    let now = Time::from_unix_seconds(0);
    let info = RoomInfo::create(id, RoomType::Live, owner, &Fields::default(), now, 0).map_err(unforeseen)?;
    let scope = RoomScope { app: SdkAppId(0), number };
    Ok(vec![Change::CreateRoom(scope, info), Change::DeleteRoom(scope)])
}

/// How much there is, all of it the same on both sides.
fn compare(old: &Contents, new: &Contents) -> Result<Amounts, Error> {
    let (before, after) = (old.digests(), new.digests());
    let differs = before.iter().find(|(scope, digest)| after.get(*scope) != Some(digest));
    if let Some(scope) =
        differs.map(|(scope, _)| scope).or_else(|| after.keys().find(|scope| !before.contains_key(*scope)))
    {
        let name = match scope {
            Scope::Keys => "the keys of the RTC API".into(),
            Scope::App(app) => format!("app {app}"),
            Scope::Room(room) => format!("room number {} of app {}", room.number, room.app),
        };
        return Err(Error::Other(format!(
            "{name} is not the same in the new place; the old one is as it was"
        )));
    }
    if old.last_scope != new.last_scope {
        return Err(Error::Other("the numbers of rooms to come are not the same in the new place".into()));
    }
    Ok(Amounts { scopes: before.len(), ..old.amounts() })
}
