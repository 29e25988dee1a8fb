//! Who may publish what, as a table: every rule, and the member it stops.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rooms::{
    Block, Device, Error, Event, Fields, LeaveCause, Outcome, Room, RoomId, RoomInfo, RoomType, SeatLocks,
    SessionId, Time, UserId,
};

const NOW: Time = Time::from_unix_seconds(1_700_000_000);

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

/// A room of `ann` with her and `ben` in it.
fn room(room_type: RoomType, fields: Fields) -> Room {
    let info =
        RoomInfo::create(RoomId::parse("r").unwrap(), room_type, user("ann"), &fields, NOW, 1).unwrap();
    let mut room = Room::new(info, NOW);
    for (name, session) in [("ann", 1), ("ben", 2)] {
        room.enter(&user(name), SessionId(session), NOW).unwrap();
    }
    room
}

fn with_seats() -> Fields {
    Fields { seat_template: Some("VideoDynamicGrid9Seats".into()), ..Fields::default() }
}

fn apply(room: &mut Room, outcome: Outcome) {
    for change in outcome.changes {
        room.apply(change, NOW);
    }
}

fn may(room: &Room, name: &str, device: Device) -> bool {
    room.require_may_publish(&user(name), device, NOW).is_ok()
}

#[test]
fn without_a_seat_nobody_publishes_in_a_room_with_seats() {
    for room_type in [RoomType::Live, RoomType::Conference] {
        let mut room = room(room_type, with_seats());

        assert!(matches!(
            room.require_may_publish(&user("ann"), Device::Camera, NOW),
            Err(Error::NotOnSeat(_))
        ));
        let sits = room.take_seat(&user("ben"), Some(2)).unwrap();
        apply(&mut room, sits);
        assert!(Device::ALL.into_iter().all(|device| may(&room, "ben", device)));
        let leaves = room.leave_seat(&user("ben")).unwrap();
        apply(&mut room, leaves);
        assert!(!may(&room, "ben", Device::Microphone));
    }
}

#[test]
fn without_seats_a_live_room_is_its_owners_and_a_conference_everyones() {
    let live = room(RoomType::Live, Fields::default());
    let conference = room(RoomType::Conference, Fields::default());

    for (room, name, expected) in
        [(&live, "ann", true), (&live, "ben", false), (&conference, "ann", true), (&conference, "ben", true)]
    {
        assert_eq!(may(room, name, Device::Camera), expected, "{name}");
        assert!(!may(room, "eve", Device::Camera), "not inside");
    }
}

#[test]
fn a_locked_seat_stops_what_is_locked() {
    for (locks, microphone, pictures) in [
        (SeatLocks { audio: Some(true), ..SeatLocks::default() }, false, true),
        (SeatLocks { video: Some(true), ..SeatLocks::default() }, true, false),
    ] {
        let mut room = room(RoomType::Live, with_seats());
        let sits = room.take_seat(&user("ben"), Some(0)).unwrap();
        apply(&mut room, sits);
        let locked = room.lock_seat(0, locks).unwrap();
        apply(&mut room, locked);

        assert_eq!(may(&room, "ben", Device::Microphone), microphone);
        assert_eq!(may(&room, "ben", Device::Camera), pictures);
        assert_eq!(may(&room, "ben", Device::Screen), pictures);
    }
}

#[test]
fn what_the_room_has_off_is_off_for_the_owner_too() {
    let off = |fields: Fields| room(RoomType::Conference, fields);
    for (room, device) in [
        (off(Fields { is_audio_disabled: Some(true), ..Fields::default() }), Device::Microphone),
        (off(Fields { is_video_disabled: Some(true), ..Fields::default() }), Device::Camera),
        (off(Fields { is_screen_sharing_disabled: Some(true), ..Fields::default() }), Device::Screen),
    ] {
        for other in Device::ALL {
            assert_eq!(may(&room, "ann", other), other != device, "{device:?} is off");
        }
    }
}

#[test]
fn a_mute_takes_the_microphone_until_it_ends() {
    let mut room = room(RoomType::Conference, Fields::default());
    let muted = room.mute(&[user("ben")], Duration::from_secs(60), NOW);
    apply(&mut room, muted);

    assert!(!may(&room, "ben", Device::Microphone) && may(&room, "ben", Device::Camera));
    assert_eq!(room.muted_until("ben", NOW), Some(NOW + Duration::from_secs(60)));
    let later = NOW + Duration::from_secs(60);
    assert!(room.require_may_publish(&user("ben"), Device::Microphone, later).is_ok());
    assert_eq!(room.muted_until("ben", later), None);
}

#[test]
fn what_is_blocked_of_a_user_stops_whoever_it_is_and_wherever_it_sits() {
    for (audio, video) in [(true, true), (true, false), (false, true), (false, false)] {
        let block = Block { audio, video };
        for (room_type, fields, name) in [
            (RoomType::Conference, Fields::default(), "ben"),
            (RoomType::Live, Fields::default(), "ann"),
            (RoomType::Live, with_seats(), "ben"),
        ] {
            let mut room = room(room_type, fields);
            if !room.seats().is_empty() {
                let sits = room.take_seat(&user(name), Some(0)).unwrap();
                apply(&mut room, sits);
            }
            for earlier in [Block { audio: true, video: true }, block] {
                let blocked = room.block(&user(name), earlier).unwrap();
                apply(&mut room, blocked);
            }

            assert_eq!(may(&room, name, Device::Microphone), !audio);
            assert_eq!(may(&room, name, Device::Camera), !video);
            assert_eq!(may(&room, name, Device::Screen), !video);
        }
    }
}

#[test]
fn a_block_holds_for_who_comes_back_and_is_of_members_alone() {
    let mut room = room(RoomType::Conference, Fields::default());
    let block = Block { audio: true, video: false };
    let blocked = room.block(&user("ben"), block).unwrap();
    assert_eq!(blocked.changes.len(), 1);
    apply(&mut room, blocked);
    assert_eq!(room.block(&user("ben"), block), Ok(Outcome::default()), "nothing is written twice");

    room.leave(&user("ben"), SessionId(2), LeaveCause::Leave, NOW).unwrap();
    assert!(matches!(room.block(&user("ben"), Block::default()), Err(Error::NotAMember { .. })));
    room.enter(&user("ben"), SessionId(3), NOW).unwrap();

    assert!(!may(&room, "ben", Device::Microphone) && may(&room, "ben", Device::Camera));
    assert!(may(&room, "ann", Device::Microphone));
}

#[test]
fn who_is_removed_is_out_and_may_come_again_and_who_is_not_in_is_passed_over() {
    let mut room = room(RoomType::Live, with_seats());
    let sits = room.take_seat(&user("ben"), Some(2)).unwrap();
    apply(&mut room, sits);

    let removed = room.remove_users(&[user("eve"), user("ben")]);
    assert!(removed.events.contains(&Event::Left { user: user("ben"), cause: LeaveCause::Banned }));
    assert!(
        !removed
            .events
            .iter()
            .any(|event| matches!(event, Event::Left { user, .. } if user.as_str() == "eve"))
    );
    apply(&mut room, removed);

    assert!(!room.members().contains("ben") && room.members().contains("ann"));
    assert_eq!(room.seat_of("ben"), None);
    assert!(room.enter(&user("ben"), SessionId(4), NOW).is_ok());
    assert_eq!(room.remove_users(&[user("eve")]), Outcome::default());
}
