//! What a later change makes pointless: members come and go, and a busy room's counters change with every message.

use hashbrown::{HashMap, HashSet};
use rooms::{CatalogueChange, RECENT_MESSAGES, RecordKey, SdkAppId, SessionId, UserId};

use crate::Change;

/// A row, or the rows that a change writes as a whole: only the last one to write it matters.
#[derive(PartialEq, Eq, Hash)]
enum Row<'a> {
    App(SdkAppId),
    ApiKey(&'a str),
    Account(SdkAppId, &'a UserId),
    Catalogue(SdkAppId, String),
    Battle(SdkAppId, &'a str),
    Connection(SdkAppId, u64),
    Room(i64),
    Counters(i64),
    Record(i64, RecordKey),
    Message(i64, u64),
    Presence(i64, SessionId),
    Member(i64, &'a UserId),
    Session(SessionId),
    Intent(SdkAppId, String),
    Event(u64),
}

impl<'a> Row<'a> {
    fn of(change: &'a Change) -> Option<Self> {
        Some(match change {
            Change::PutApp(app) => Self::App(app.sdkappid),
            Change::PutApiKey(key) => Self::ApiKey(&key.secret_id),
            Change::DeleteApiKey(id) => Self::ApiKey(id),
            Change::PutAccount(app, account) => Self::Account(*app, &account.user),
            Change::DeleteAccount(app, user) => Self::Account(*app, user),
            Change::PutRoom(scope, _) => Self::Room(scope.number),
            Change::PutRecord(scope, record) => Self::Record(scope.number, record.key()),
            Change::DeleteRecord(scope, key) => Self::Record(scope.number, key.clone()),
            Change::PutCounters(scope, _) => Self::Counters(scope.number),
            Change::PutMessage(scope, message) => Self::Message(scope.number, message.seq),
            Change::Catalogue(app, CatalogueChange::Put(record)) => Self::Catalogue(*app, record.key()),
            Change::Catalogue(app, CatalogueChange::Delete(key)) => Self::Catalogue(*app, key.clone()),
            Change::PutBattle(app, battle) => Self::Battle(*app, &battle.id),
            Change::DeleteBattle(app, id) => Self::Battle(*app, id),
            Change::PutConnection(app, connection) => Self::Connection(*app, connection.id),
            Change::AddSession(session) | Change::PutSession(session) => Self::Session(session.id),
            Change::DeleteSession(session) => Self::Session(*session),
            Change::AddPresence(presence) | Change::PutPresence(presence) => {
                Self::Presence(presence.scope.number, presence.session)
            }
            Change::DeletePresence(scope, _, session) => Self::Presence(scope.number, *session),
            Change::DeleteMember(scope, user) => Self::Member(scope.number, user),
            Change::PutIntent(app, intent) | Change::DeleteIntent(app, intent) => {
                Self::Intent(*app, intent.key())
            }
            Change::PutEvent(event) => Self::Event(event.id),
            Change::DeleteEvent(id) => Self::Event(*id),
            // The first is the room's beginning, whatever comes later; the others depend on what is there.
            Change::CreateRoom(..)
            | Change::DeleteRoom(_)
            | Change::FailEvent(_)
            | Change::ReviveEvent(..) => return None,
        })
    }
}

/// What later changes do to a row.
#[derive(Clone, Copy)]
enum Later {
    /// One writes it.
    Written,
    /// One adds it. What strikes out a former row of that name is needed all the same: when this one is struck out as well,
    /// before either is on disk, nothing else would.
    Added,
    /// The one at this place strikes it out.
    Struck(usize),
    /// It was added and struck out again, so that there is nothing to do.
    Nothing,
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

#[derive(Default)]
struct Seen<'a> {
    rows: Map<Row<'a>, Later>,
    ended_rooms: HashSet<i64, foldhash::fast::RandomState>,
    /// The newest message of each room.
    newest: Map<i64, u64>,
}

impl<'a> Seen<'a> {
    /// Whether `change` is undone by one of those that reach beyond one row. Takes note of it, if it is such a one.
    fn is_swept(&mut self, change: &'a Change) -> bool {
        if !self.ended_rooms.is_empty()
            && let Some(scope) = change.room()
            && self.ended_rooms.contains(&scope.number)
        {
            return !matches!(change, Change::CreateRoom(..));
        }
        match change {
            Change::DeleteRoom(scope) => {
                self.ended_rooms.insert(scope.number);
                false
            }
            Change::AddPresence(presence) | Change::PutPresence(presence) => {
                self.rows.contains_key(&Row::Member(presence.scope.number, &presence.user))
            }
            Change::DeletePresence(scope, user, _) => {
                self.rows.contains_key(&Row::Member(scope.number, user))
            }
            Change::PutMessage(scope, message) => {
                let newest = self.newest.entry(scope.number).or_default();
                *newest = message.seq.max(*newest);
                message.seq.saturating_add(RECENT_MESSAGES as u64) <= *newest
            }
            _ => false,
        }
    }
}

/// For each change whether its effect is undone or repeated by a later one, provided that all of them go to the disk together.
pub(crate) fn superseded<'a>(changes: impl DoubleEndedIterator<Item = &'a Change>) -> Vec<bool> {
    let mut seen = Seen::default();
    // From the last one on.
    let mut pointless = Vec::new();
    for (index, change) in changes.rev().enumerate() {
        let is_added = matches!(change, Change::AddSession(_) | Change::AddPresence(_));
        let is_struck = matches!(change, Change::DeleteSession(_) | Change::DeletePresence(..));
        let is_swept = seen.is_swept(change);
        let Some(row) = Row::of(change) else {
            pointless.push(is_swept);
            continue;
        };
        let later = seen.rows.get_mut(&row);
        let is_pointless = match later {
            // What is added is not on disk: where it is struck out again, there is nothing to strike out.
            Some(later @ Later::Struck(_)) if is_added => {
                if let Later::Struck(at) = *later
                    && let Some(is_pointless) = pointless.get_mut(at)
                {
                    *is_pointless = true;
                }
                *later = Later::Nothing;
                true
            }
            Some(Later::Written | Later::Struck(_)) => true,
            Some(Later::Added | Later::Nothing) if !is_struck => true,
            _ if is_swept => true,
            Some(later) => {
                *later = Later::Struck(index);
                false
            }
            None => {
                let later = match (is_struck, is_added) {
                    (true, _) => Later::Struck(index),
                    (_, true) => Later::Added,
                    _ => Later::Written,
                };
                seen.rows.insert(row, later);
                false
            }
        };
        pointless.push(is_pointless);
    }
    pointless.reverse();
    pointless
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rooms::{Counters, Record, Time};

    use super::*;
    use crate::samples::{ann, ben, presence, scope, session, text};

    #[test]
    fn only_what_the_last_change_says_is_left() {
        let (room, other) = (scope(1), scope(2));
        let mute = |until| Record::Mute { user: ann(), until: Time::from_unix_seconds(until) };
        let changes = [
            (Change::PutPresence(presence(1, room)), false),
            (Change::PutPresence(presence(1, other)), true),
            (Change::DeletePresence(room, ann(), SessionId(1)), true),
            (Change::PutPresence(presence(2, room)), false),
            (Change::DeletePresence(room, ann(), SessionId(2)), true),
            (Change::PutSession(session(2)), false),
            (Change::DeleteSession(SessionId(2)), true),
            (Change::PutCounters(room, Counters::default()), false),
            (Change::PutRecord(room, mute(1)), false),
            (Change::DeleteRecord(room, mute(1).key()), false),
            (Change::PutCounters(room, Counters::default()), true),
            (Change::PutRecord(room, mute(2)), true),
            (Change::PutCounters(other, Counters::default()), true),
            (Change::PutMessage(other, text(1)), false),
            (Change::PutMessage(other, text(2)), true),
            (Change::PutMessage(other, text(51)), true),
            (Change::DeleteEvent(1), false),
            (Change::DeleteEvent(1), true),
        ];

        left(&changes);
    }

    #[test]
    fn what_is_added_and_struck_out_again_leaves_nothing_behind() {
        let room = scope(1);
        let strike = |id| Change::DeletePresence(room, ann(), SessionId(id));
        left(&[
            (Change::AddSession(session(1)), false),
            (Change::AddPresence(presence(1, room)), false),
            (Change::PutPresence(presence(1, room)), false),
            (strike(1), false),
            (Change::DeleteSession(SessionId(1)), false),
            // It was in before, so that its row may be on disk.
            (strike(2), true),
            (Change::AddPresence(presence(2, room)), false),
            (strike(2), false),
            (Change::AddPresence(presence(3, room)), true),
        ]);
    }

    /// The member has left and is in again, and may leave before any of that is on disk.
    #[test]
    fn what_is_struck_out_and_added_again_stays_struck_out_when_it_goes_again() {
        let room = scope(1);
        let strike = || Change::DeletePresence(room, ann(), SessionId(1));
        let add = || Change::AddPresence(presence(1, room));
        left(&[(strike(), true), (add(), true)]);
        left(&[(strike(), true), (add(), false), (strike(), false), (add(), true)]);
        left(&[(strike(), true), (add(), false), (strike(), false)]);
        left(&[(add(), false), (strike(), false), (add(), true)]);
    }

    #[test]
    fn what_ends_members_and_rooms_sweeps_what_was_there_before_and_nothing_of_what_comes() {
        let (room, other) = (scope(1), scope(2));
        left(&[
            (Change::PutPresence(presence(1, room)), false),
            (Change::DeletePresence(room, ann(), SessionId(2)), false),
            (Change::DeleteMember(room, ben()), true),
            (Change::DeleteMember(room, ann()), true),
            (Change::PutPresence(presence(3, room)), true),
            (Change::CreateRoom(other, crate::samples::room("s", 1)), true),
            (Change::PutRoom(other, crate::samples::room("s", 1)), false),
            (Change::DeleteMember(other, ann()), false),
            (Change::PutCounters(other, Counters::default()), false),
            (Change::DeleteRoom(other), true),
            (Change::PutCounters(other, Counters::default()), true),
        ]);
    }

    #[track_caller]
    fn left(changes: &[(Change, bool)]) {
        let pointless = superseded(changes.iter().map(|(change, _)| change));

        assert_eq!(pointless.len(), changes.len());
        for ((change, is_left), is_pointless) in changes.iter().zip(pointless) {
            assert_eq!(!is_pointless, *is_left, "{change:?}");
        }
    }
}
