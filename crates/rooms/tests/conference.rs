//! What Conference rooms have beside: schedules, invitees, marks. By the rules alone.

#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use rooms::{
    Error, Fields, LeaveCause, MAX_INVITEES, Outcome, Room, RoomId, RoomInfo, RoomStatus, RoomType,
    SessionId, Time, UserId,
};

const NOW: u32 = 1_700_000_000;

fn at(seconds: u32) -> Time {
    Time::from_unix_seconds((NOW + seconds).into())
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn create(fields: &Fields) -> Result<RoomInfo, Error> {
    let (id, owner) = (RoomId::parse("c").unwrap(), user("own"));
    RoomInfo::create(id, RoomType::Conference, owner, fields, at(0), 1)
}

/// A room that is booked from and until so many seconds from now.
fn booked(start: u32, end: u32) -> Room {
    let fields = Fields {
        schedule_start_time: Some(NOW + start),
        schedule_end_time: Some(NOW + end),
        lifetime_after_no_users: Some(1),
        ..Fields::default()
    };
    Room::new(create(&fields).unwrap(), at(0))
}

fn apply(room: &mut Room, outcome: Outcome) {
    outcome.changes.into_iter().for_each(|change| drop(room.apply(change, at(0))));
}

#[test]
fn a_booked_room_is_kept_until_its_end_and_half_a_minute_empty_after_it() {
    let mut room = booked(100, 200);
    assert_eq!(room.deadline(), Some(at(230)), "nobody came");

    room.enter(&user("ann"), SessionId(1), at(210)).unwrap();
    assert_eq!(room.deadline(), None, "somebody stays on");
    room.leave(&user("ann"), SessionId(1), LeaveCause::Leave, at(400)).unwrap();
    assert_eq!(room.deadline(), Some(at(430)));

    let mut early = booked(100, 200);
    early.enter(&user("ann"), SessionId(1), at(10)).unwrap();
    early.leave(&user("ann"), SessionId(1), LeaveCause::Leave, at(20)).unwrap();
    assert_eq!(early.deadline(), Some(at(230)));
    let later = Fields { schedule_end_time: Some(NOW + 300), ..Fields::default() };
    let outcome = early.update(&later).unwrap();
    apply(&mut early, outcome);
    assert_eq!(early.deadline(), Some(at(330)), "its end was moved");
}

#[test]
fn a_room_has_not_started_before_its_time_unless_somebody_is_in() {
    let mut room = booked(100, 200);

    assert_eq!((room.status(at(99)), room.status(at(100))), (RoomStatus::NotStarted, RoomStatus::Running));
    room.enter(&user("ann"), SessionId(1), at(10)).unwrap();
    assert_eq!(room.status(at(10)), RoomStatus::Running);
    room.leave(&user("ann"), SessionId(1), LeaveCause::Leave, at(20)).unwrap();
    assert_eq!(room.status(at(20)), RoomStatus::NotStarted);
    assert_eq!(Room::new(create(&Fields::default()).unwrap(), at(0)).status(at(0)), RoomStatus::None);
}

#[test]
fn a_schedule_out_of_its_limits_is_refused() {
    let fields =
        |start, end| Fields { schedule_start_time: start, schedule_end_time: end, ..Fields::default() };
    let (before, after) = (Some(NOW - 10), Some(NOW + 10));
    for (start, end, trouble) in [
        (None, after, "ScheduleEndTime needs a ScheduleStartTime"),
        (Some(0), after, "ScheduleEndTime needs a ScheduleStartTime"),
        (Some(5), before, "ScheduleEndTime is past"),
        (after, after, "is not after ScheduleStartTime"),
        (Some(NOW + 20), after, "is not after ScheduleStartTime"),
    ] {
        let error = create(&fields(start, end)).unwrap_err().to_string();
        assert!(error.contains(trouble), "{error}");
    }
    let usual = create(&fields(after, Some(0))).unwrap().schedule.unwrap();
    assert_eq!(usual.start.until(usual.end), Duration::from_secs(45 * 60));
    assert!(create(&fields(before, after)).is_ok(), "it may have begun");
    let plain = Room::new(create(&Fields::default()).unwrap(), at(0));
    assert!(plain.update(&fields(after, None)).unwrap_err().to_string().contains("was booked"));
    assert!(plain.invite(&[user("ann")], true).unwrap_err().to_string().contains("not booked"));
}

#[test]
fn everybody_is_invited_once_and_no_more_than_are_allowed() {
    let mut room = booked(100, 200);
    let names =
        |from: usize, to: usize| (from..to).map(|number| user(&format!("u{number}"))).collect::<Vec<_>>();
    let outcome = room.invite(&names(0, MAX_INVITEES), true).unwrap();
    apply(&mut room, outcome);

    assert!(room.invite(&names(MAX_INVITEES, MAX_INVITEES + 1), true).is_err());
    assert_eq!(room.invite(&names(0, 3), true).unwrap(), Outcome::default());
    assert_eq!(room.invite(&names(400, 403), false).unwrap(), Outcome::default());
    let outcome = room.invite(&names(0, 2), false).unwrap();
    apply(&mut room, outcome);
    let outcome = room.invite(&names(1, 2), true).unwrap();
    apply(&mut room, outcome);
    let invitees = &room.info().schedule.as_ref().unwrap().invitees;
    assert_eq!(
        (invitees.len(), invitees.first(), invitees.last()),
        (299, Some(&user("u2")), Some(&user("u1")))
    );
}

#[test]
fn ten_different_marks_are_in_a_room_whoever_has_them() {
    let mut room = booked(100, 200);
    for (session, name) in ["ann", "ben"].into_iter().enumerate() {
        room.enter(&user(name), SessionId(session as u64), at(0)).unwrap();
    }
    let mark = |room: &mut Room, name: &str, marks: std::ops::Range<u32>, on| {
        let outcome = room.mark(&[(user(name), marks.collect())], on)?;
        apply(room, outcome);
        Ok::<_, Error>(())
    };
    mark(&mut room, "ann", 1000..1008, true).unwrap();
    mark(&mut room, "ben", 1005..1010, true).unwrap();

    assert_eq!(mark(&mut room, "ben", 1010..1011, true), Err(Error::TooManyMarks(11)));
    assert!(mark(&mut room, "dan", 1000..1001, true).is_err(), "who is not in gets none");
    mark(&mut room, "ann", 1000..1001, false).unwrap();
    mark(&mut room, "ben", 1010..1011, true).unwrap();
    assert_eq!(room.card("ben").unwrap().marks, [1005, 1006, 1007, 1008, 1009, 1010]);

    // They stay with who goes, and are taken away all the same.
    room.leave(&user("ann"), SessionId(0), LeaveCause::Leave, at(1)).unwrap();
    assert!(mark(&mut room, "ben", 1011..1012, true).is_err());
    mark(&mut room, "ann", 1001..1008, false).unwrap();
    assert!(room.card("ann").unwrap().marks.is_empty());
    mark(&mut room, "ben", 1011..1012, true).unwrap();
    assert_eq!(room.mark(&[(user("ben"), vec![1011])], true).unwrap(), Outcome::default());
}
