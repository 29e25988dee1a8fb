//! The engine in memory held against SQLite's and PostgreSQL's, and the queue over any.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rooms::{Account, Counters, Incarnation, Profile, Record, SessionId, Time, UserId};

use crate::database_server::Database;
use crate::memory::{Disk, Fault, Memory};
use crate::postgres::{Identity, Postgres, Target};
use crate::samples::{APP, ann, api_key, ben, event, presence, room, session, text};
use crate::{Change, Error, Intent, Job, Presence, Queued, RoomScope, Snapshot, Sqlite, Store as _};

/// Those rooms are there from the beginning.
pub(crate) const ROOMS: [RoomScope; 2] = [scope_of(1), scope_of(2)];

const fn scope_of(number: i64) -> RoomScope {
    RoomScope { app: APP, number }
}

pub(crate) fn made() -> Vec<Change> {
    ROOMS.iter().map(|scope| Change::CreateRoom(*scope, room(&format!("r{}", scope.number), 1))).collect()
}

fn member(user: bool) -> UserId {
    if user { ann() } else { ben() }
}

fn over(number: u64) -> Intent {
    Intent::RoomOver(Incarnation { room: room("r", 1).room_id, number: number.cast_signed() })
}

fn change() -> impl Strategy<Value = Change> {
    let of_room = (0..2usize, 0..3u64, any::<bool>(), 0..4u64);
    (0..18u8, of_room).prop_map(|(kind, (room_index, id, user, value))| {
        let scope = ROOMS[room_index];
        let one = Presence { user: ann(), place: value, ..presence(id, scope) };
        match kind {
            0 | 1 => Change::PutPresence(one),
            2 | 3 => Change::DeletePresence(scope, ann(), SessionId(id)),
            4 => Change::PutSession(session(id)),
            5 => Change::DeleteSession(SessionId(id)),
            6 => Change::DeleteMember(scope, member(user)),
            7 => Change::PutCounters(scope, Counters { views: value, ..Counters::default() }),
            8 => Change::PutRecord(
                scope,
                Record::Mute { user: member(user), until: Time::from_unix_seconds(value) },
            ),
            9 => Change::DeleteRecord(
                scope,
                Record::Mute { user: member(user), until: Time::from_unix_seconds(0) }.key(),
            ),
            10 => Change::PutMessage(scope, text(1 + value + 49 * id)),
            11 => Change::PutEvent(Arc::new(event(APP, 1 + value + 4 * id, "x"))),
            12 => Change::DeleteEvent(1 + value + 4 * id),
            13 => Change::PutApiKey(api_key(id, value)),
            14 => Change::DeleteApiKey(api_key(id, 0).secret_id),
            15 => Change::PutIntent(APP, over(value)),
            16 => Change::DeleteIntent(APP, over(value)),
            _ => {
                let created_at = Time::from_unix_seconds(value);
                Change::PutAccount(
                    APP,
                    Account { user: member(user), profile: Profile::default(), created_at },
                )
            }
        }
    })
}

pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec(change(), 0..4)
}

/// What is kept, as text: the turns of events aside, which those that are written again get anew.
pub(crate) fn told(snapshot: &Snapshot) -> String {
    let Snapshot {
        rooms,
        records,
        messages,
        sessions,
        presence,
        accounts,
        api_keys,
        intents,
        last_event,
        ..
    } = snapshot;
    format!(
        "{rooms:?}\n{records:?}\n{messages:?}\n{sessions:?}\n{presence:?}\n{accounts:?}\n{api_keys:?}\n{intents:?}\n{last_event}"
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// The engine in memory is a model of the others: the same jobs, the same result.
    #[test]
    fn all_engines_keep_the_same(jobs in prop::collection::vec((changes(), any::<bool>()), 1..30), ends in 0..30usize) {
        use crate::Engine as _;
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let mut memory = Memory::new(disk, |_| Fault::None);
        let mut sqlite = Sqlite::at(folder.path()).unwrap();
        let target = Target::parse(&Database::shared().own_url().0, None).unwrap();
        let identity = Identity::of(folder.path()).unwrap();
        let mut postgres = Postgres::at(&target, &identity).unwrap();
        let mut group = vec![Job::awaited(made())];
        group.extend(jobs.into_iter().map(|(changes, is_awaited)| match is_awaited {
            true => Job::awaited(changes),
            false => Job::journalled(vec![changes]),
        }));
        let at = ends.min(group.len()).max(1);
        group.insert(at, Job::awaited(vec![Change::DeleteRoom(ROOMS[0])]));

        let expected = memory.write(&group);

        for results in [sqlite.write(&group), postgres.write(&group)] {
            for (memory, other) in expected.iter().zip(&results) {
                prop_assert_eq!(memory.is_ok(), other.is_ok(), "{:?} {:?}", memory, other);
            }
        }
        let kept = told(&memory.load().unwrap());
        prop_assert_eq!(&kept, &told(&sqlite.load().unwrap()));
        prop_assert_eq!(&kept, &told(&postgres.load().unwrap()));
        prop_assert_eq!(postgres.waiting(), memory.waiting());
        drop((sqlite, postgres));
        let mut sqlite = Sqlite::at(folder.path()).unwrap();
        let mut postgres = Postgres::at(&target, &identity).unwrap();
        let scopes = memory.scopes().unwrap();
        for again in [&mut sqlite as &mut dyn crate::Engine, &mut postgres] {
            prop_assert_eq!(&kept, &told(&again.load().unwrap()));
            prop_assert_eq!(&scopes, &again.scopes().unwrap());
            prop_assert_eq!(again.waiting(), memory.waiting());
        }
    }
}

#[test]
fn who_cannot_be_told_how_it_ended_is_told_so_when_the_store_is_closed() {
    let lost = |_: &[Job]| Fault::AnswerLost { is_written: false };
    let engine = Memory::new(Disk::default(), lost);
    let retry = Duration::from_millis(1);
    let (store, _) = Queued::with_patience(Box::new(engine), Box::new(|_| {}), retry).unwrap();
    let commit = store.commit(made());
    drop(store);

    assert!(matches!(futures_executor::block_on(commit), Err(Error::Unknown)));
}

#[test]
fn one_that_can_never_be_kept_is_refused_alone_and_the_next_room_of_a_name_sees_nothing_of_the_former() {
    let disk = Disk::default();
    let engine = Memory::new(disk.clone(), |_| Fault::None);
    let (store, _) = Queued::start(Box::new(engine), Box::new(|_| {})).unwrap();
    let (former, next) = (store.room_scope(APP).unwrap(), store.room_scope(APP).unwrap());
    assert!(former != next);
    let make = |scope, incarnation| vec![Change::CreateRoom(scope, room("r", incarnation))];
    let commit = |changes| futures_executor::block_on(store.commit(changes));
    commit(make(former, 1)).unwrap();
    commit(vec![Change::DeleteRoom(former)]).unwrap();
    commit(make(next, 2)).unwrap();

    store.journal(vec![Change::PutPresence(presence(1, former)), Change::PutSession(session(1))]);
    store.journal(vec![Change::PutMessage(former, text(1))]);
    let refused = commit(vec![Change::PutRoom(former, room("r", 1)), Change::PutSession(session(2))]);

    assert!(matches!(refused, Err(Error::Over)));
    commit(Vec::new()).unwrap();
    let found = disk.snapshot();
    assert_eq!(found.sessions, [session(1)], "what else was journalled is kept");
    assert_eq!(found.rooms, [(next, room("r", 2), Counters::default())]);
    assert!(found.presence.is_empty() && found.messages.is_empty());
}
