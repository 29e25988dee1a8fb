//! What a later change makes pointless: members come and go, and a busy room's counters change with every message.

use hashbrown::HashSet;
use rooms::{RecordKey, RoomId, SdkAppId, SessionId};

use crate::Change;

/// What a change writes as a whole, so that only the last one to write it matters.
#[derive(PartialEq, Eq, Hash)]
enum Target<'a> {
    Session(SessionId),
    Presence(SessionId, SdkAppId, &'a RoomId),
    Counters(SdkAppId, &'a RoomId),
    Record(SdkAppId, &'a RoomId, RecordKey),
}

type Set<T> = HashSet<T, foldhash::fast::RandomState>;

/// For each change whether its effect is undone or repeated by a later one, provided that all of them go to the disk together.
pub(crate) fn superseded<'a>(
    changes: impl DoubleEndedIterator<Item = &'a Change> + ExactSizeIterator,
) -> Vec<bool> {
    let (mut written, mut ended) = (Set::default(), Set::default());
    let mut pointless = vec![false; changes.len()];
    for (change, is_pointless) in changes.zip(&mut pointless).rev() {
        let (target, session) = match change {
            Change::PutSession(session) => (Target::Session(session.id), Some(session.id)),
            Change::PutPresence(presence) => {
                let target = Target::Presence(presence.session, presence.sdkappid, &presence.room_id);
                (target, Some(presence.session))
            }
            Change::DeletePresence(session, app, room_id) => {
                (Target::Presence(*session, *app, room_id), Some(*session))
            }
            Change::PutCounters(app, room_id, _) => (Target::Counters(*app, room_id), None),
            Change::PutRecord(app, room_id, record) => (Target::Record(*app, room_id, record.key()), None),
            Change::DeleteRecord(app, room_id, key) => (Target::Record(*app, room_id, key.clone()), None),
            Change::DeleteSession(session) => {
                *is_pointless = !ended.insert(*session);
                continue;
            }
            _ => continue,
        };
        let is_over = session.is_some_and(|session| ended.contains(&session));
        *is_pointless = is_over || !written.insert(target);
    }
    pointless
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rooms::{Counters, Record, Time, UserId};

    use super::*;
    use crate::Presence;

    const APP: SdkAppId = SdkAppId(1);

    #[test]
    fn only_what_the_last_change_says_is_left() {
        let (room, other) = (RoomId::parse("r").unwrap(), RoomId::parse("s").unwrap());
        let user = UserId::parse("ann").unwrap();
        let presence = |session, room: &RoomId| {
            let (room_id, user) = (room.clone(), user.clone());
            let session = SessionId(session);
            Change::PutPresence(Presence { session, sdkappid: APP, room_id, user, place: 1, seen: 1 })
        };
        let mute = |until| Record::Mute { user: user.clone(), until: Time::from_unix_seconds(until) };
        let changes = [
            (presence(1, &room), false),
            (presence(1, &other), true),
            (Change::DeletePresence(SessionId(1), APP, room.clone()), true),
            (presence(2, &room), false),
            (Change::DeletePresence(SessionId(2), APP, room.clone()), false),
            (Change::DeleteSession(SessionId(2)), true),
            (Change::PutCounters(APP, room.clone(), Counters::default()), false),
            (Change::PutRecord(APP, room.clone(), mute(1)), false),
            (Change::DeleteRecord(APP, room.clone(), mute(1).key()), false),
            (Change::PutCounters(APP, room.clone(), Counters::default()), true),
            (Change::DeleteRoom(APP, room.clone()), true),
            (Change::PutRecord(APP, room.clone(), mute(2)), true),
            (Change::PutCounters(APP, other.clone(), Counters::default()), true),
            (Change::DeleteMember(APP, room.clone(), user.clone()), true),
            (Change::DeleteEvent(1), true),
            (Change::DeleteEvent(1), true),
        ];

        let all: Vec<&Change> = changes.iter().map(|(change, _)| change).collect();
        let pointless = superseded(all.into_iter());

        for ((change, is_left), is_pointless) in changes.iter().zip(pointless) {
            assert_eq!(!is_pointless, *is_left, "{change:?}");
        }
    }
}
