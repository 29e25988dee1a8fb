//! Event callbacks: what an app's own server is told of rooms and media, as the cloud's RTC tells it (`spec/rtc/recording.md`, "Event
//! callbacks"). They come in groups, each with a receiver of its own; a body is written once, when it happens, and signed when it is
//! sent, by the key that holds then.

use rooms::{Coming, Device, LeaveCause, RoomInfo, RtcEvent, Time, UserId};
use serde_json::{Value, json};
use store::{Callback, Change, Lane, OutboxEvent};

use super::check_url;
use crate::clock;
use crate::tenant::Tenant;

/// What happens to rooms and who is in them.
pub(crate) const ROOM: u8 = 1;

/// What is published in them.
pub(crate) const MEDIA: u8 = 2;

/// The groups whose events are sent, and what they are called.
pub(crate) const GROUPS: &[(u8, &str, &str)] = &[
    (ROOM, "room", "rooms begin and end, users enter and leave, and may publish or not"),
    (MEDIA, "media", "video, sound and screens start and stop"),
];

/// The groups that the cloud has besides.
const OTHER_GROUPS: &[(u8, &str)] = &[
    (3, "recording"),
    (4, "relay"),
    (7, "ingest"),
    (8, "web-recording"),
    (9, "ai"),
    (10, "slicing"),
    (11, "moderation"),
    (14, "transcription"),
];

/// The most bytes of a receiver's URL.
const MAX_URL_BYTES: usize = 2083;

/// The most letters and digits of a key.
const MAX_KEY_BYTES: usize = 32;

/// The cloud's numbers of events (`EventType`).
mod number {
    pub(super) const ROOM_CREATED: u32 = 101;
    pub(super) const ROOM_DISMISSED: u32 = 102;
    pub(super) const ENTERED: u32 = 103;
    pub(super) const LEFT: u32 = 104;
    pub(super) const ROLE_CHANGED: u32 = 105;
    pub(super) const VIDEO_STARTED: u32 = 201;
    pub(super) const VIDEO_STOPPED: u32 = 202;
    pub(super) const AUDIO_STARTED: u32 = 203;
    pub(super) const AUDIO_STOPPED: u32 = 204;
    pub(super) const SCREEN_STARTED: u32 = 205;
    pub(super) const SCREEN_STOPPED: u32 = 206;
}

/// `TerminalType`: it is not known which.
const OTHER_TERMINAL: u32 = 100;

/// `UserType`: it comes by WebRTC, as everybody here.
const WEB_RTC: u32 = 1;

/// `Reason` of who comes in and goes because rooms are connected.
const CO_HOSTS: u32 = 4;

/// The group of that number or name.
///
/// # Errors
/// Which there are, in words.
pub(crate) fn group(text: &str) -> Result<u8, String> {
    let known = GROUPS.iter().find(|(number, name, _)| *name == text || number.to_string() == text);
    if let Some((number, ..)) = known {
        return Ok(*number);
    }
    if let Some((number, name)) =
        OTHER_GROUPS.iter().find(|(number, name)| *name == text || number.to_string() == text)
    {
        return Err(format!(
            "this server has no events of group {number} ({name}) yet: nothing would be sent"
        ));
    }
    let all: Vec<String> = GROUPS.iter().map(|(number, name, _)| format!("{number} ({name})")).collect();
    Err(format!("there is no group {text:?}; there are {}", all.join(" and ")))
}

/// What a group is called.
pub(crate) fn name(group: u8) -> &'static str {
    GROUPS.iter().find(|(number, ..)| *number == group).map_or("?", |(_, name, _)| name)
}

/// Checks a receiver.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check(callback: &Callback, allow_private: bool) -> Result<(), String> {
    group(&callback.group.to_string())?;
    if callback.url.len() > MAX_URL_BYTES {
        let bytes = callback.url.len();
        return Err(format!("the URL is {bytes} bytes; at most {MAX_URL_BYTES} are allowed"));
    }
    if callback.key.len() > MAX_KEY_BYTES || !callback.key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("the key must be at most {MAX_KEY_BYTES} letters and digits"));
    }
    if callback.url.is_empty() {
        return Ok(());
    }
    check_url(&callback.url, allow_private).map(|_| ())
}

/// The receivers of an app's event callbacks, by group: its own, and of `default` for groups of which it says nothing.
pub(crate) fn receivers(app: &store::App, default: &[Callback]) -> Vec<Callback> {
    let has_own = |group: u8| app.callbacks.iter().any(|own| own.group == group);
    let rest = default.iter().filter(|callback| !has_own(callback.group));
    let mut all: Vec<Callback> = app.callbacks.iter().chain(rest).cloned().collect();
    all.sort_by_key(|callback| callback.group);
    all
}

/// An event of an app's room, at this moment, to be written down.
struct Happened<'a> {
    app: &'a Tenant,
    room: &'a RoomInfo,
    group: u8,
    kind: u32,
    at: Time,
}

impl Happened<'_> {
    /// The change that makes it known to its group's receiver, if there is one. `more` are fields of `EventInfo`.
    fn change(self, user: Option<&str>, more: &[(&str, u32)]) -> Option<Change> {
        let Self { app, room, group, kind, at } = self;
        if !app.has_callback(group) {
            return None;
        }
        let mut info = json!({
            "RoomId": room_id(room), "EventTs": at.unix_seconds(), "EventMsTs": at.unix_millis(),
        });
        if let Some(user) = user {
            crate::wire::put(&mut info, "UserId", user);
        }
        for (name, value) in more {
            crate::wire::put(&mut info, name, *value);
        }
        let body = json!({
            "EventGroupId": group, "EventType": kind, "CallbackTs": clock::now().unix_millis(), "EventInfo": info,
        });
        let id = app.event_ids.next();
        let event = OutboxEvent {
            id,
            sdkappid: app.id,
            lane: Lane(group),
            // None waits for another.
            subject: id.to_string(),
            command: kind.to_string(),
            body: body.to_string(),
            at,
        };
        Some(Change::PutEvent(event.into()))
    }
}

/// As the room was named when it was made: by a number or by a text.
fn room_id(room: &RoomInfo) -> Value {
    let name = room.room_id.as_str();
    match room.room_id.number() {
        Some(number) => number.into(),
        None => name.into(),
    }
}

/// A room is made, by somebody.
pub(crate) fn room_created(app: &Tenant, room: &RoomInfo, user: &str, at: Time) -> Option<Change> {
    Happened { app, room, group: ROOM, kind: number::ROOM_CREATED, at }.change(Some(user), &[])
}

/// A room is no more.
pub(crate) fn room_dismissed(app: &Tenant, room: &RoomInfo, at: Time) -> Option<Change> {
    Happened { app, room, group: ROOM, kind: number::ROOM_DISMISSED, at }.change(None, &[])
}

/// Something happens to somebody in a room.
pub(super) fn of_user(app: &Tenant, room: &RoomInfo, event: &RtcEvent, at: Time) -> Option<Change> {
    let role = |is_anchor: bool| ("Role", if is_anchor { 20 } else { 21 });
    let (group, kind, user, more): (u8, u32, &UserId, Vec<(&str, u32)>) = match event {
        RtcEvent::Entered { user, is_anchor, coming, terminal } => {
            let terminal = if *terminal == 0 { OTHER_TERMINAL } else { (*terminal).into() };
            let reason = match coming {
                Coming::New => 1,
                Coming::Elsewhere => 2,
                Coming::Again => 3,
            };
            let of_it =
                vec![role(*is_anchor), ("TerminalType", terminal), ("UserType", WEB_RTC), ("Reason", reason)];
            (ROOM, number::ENTERED, user, of_it)
        }
        RtcEvent::Left { user, is_anchor, cause } => {
            let reason = match cause {
                LeaveCause::Leave => 1,
                LeaveCause::Interrupted => 2,
                LeaveCause::Kicked | LeaveCause::Banned | LeaveCause::Destroyed | LeaveCause::Expired => 3,
                LeaveCause::Deleted => 5,
            };
            (ROOM, number::LEFT, user, vec![role(*is_anchor), ("Reason", reason)])
        }
        RtcEvent::CoHosts { user, is_in: true } => {
            let of_it = vec![
                role(true),
                ("TerminalType", OTHER_TERMINAL),
                ("UserType", WEB_RTC),
                ("Reason", CO_HOSTS),
            ];
            (ROOM, number::ENTERED, user, of_it)
        }
        RtcEvent::CoHosts { user, is_in: false } => {
            (ROOM, number::LEFT, user, vec![role(true), ("Reason", CO_HOSTS)])
        }
        RtcEvent::RoleChanged { user, is_anchor } => {
            (ROOM, number::ROLE_CHANGED, user, vec![role(*is_anchor)])
        }
        RtcEvent::Flow { user, device, is_on } => {
            let kind = match (device, is_on) {
                (Device::Camera, true) => number::VIDEO_STARTED,
                (Device::Camera, false) => number::VIDEO_STOPPED,
                (Device::Microphone, true) => number::AUDIO_STARTED,
                (Device::Microphone, false) => number::AUDIO_STOPPED,
                (Device::Screen, true) => number::SCREEN_STARTED,
                (Device::Screen, false) => number::SCREEN_STOPPED,
            };
            (MEDIA, kind, user, vec![("Reason", 0)])
        }
    };
    Happened { app, room, group, kind, at }.change(Some(user.as_str()), &more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_go_by_number_and_name_and_those_without_events_are_refused() {
        assert_eq!((group("1"), group("media")), (Ok(ROOM), Ok(MEDIA)));
        assert!(group("3").unwrap_err().contains("recording"));
        assert!(group("moderation").unwrap_err().contains("11"));
        assert!(group("5").unwrap_err().contains("1 (room) and 2 (media)"));
    }

    #[test]
    fn receivers_are_held_to_the_documented_limits() {
        let of =
            |url: &str, key: &str| check(&Callback { group: ROOM, url: url.into(), key: key.into() }, false);
        let long = format!("https://a.example/{}", "x".repeat(2083 - 18));

        assert_eq!(of(&long, &"k".repeat(32)), Ok(()));
        assert_eq!(of("", ""), Ok(()));
        assert!(of(&format!("{long}x"), "").unwrap_err().contains("2083"));
        for key in ["k".repeat(33).as_str(), "a b", "schlüssel"] {
            assert!(of("https://a.example/", key).unwrap_err().contains("32"), "{key}");
        }
        assert!(of("http://127.0.0.1/", "").unwrap_err().contains("public"));
        assert!(of("ftp://a.example/", "").unwrap_err().contains("http"));
    }
}
