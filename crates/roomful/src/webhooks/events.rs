//! What is told, and how it is written: one body for each event (`spec/webhooks.md`).

use std::sync::atomic::{AtomicU64, Ordering};

use rooms::{Battle, BattleStep, Counters, Event, LeaveCause, Room, RoomInfo, RoomType, Seat, Time, UserId};
use serde_json::{Value, json};
use store::{Change, Lane, OutboxEvent};

use super::callbacks;
use crate::tenant::Tenant;
use crate::wire::{self, RoomInfoView};

/// Every event there is, and when it is sent.
pub(crate) const EVENTS: &[(&str, &str)] = &[
    ("Live.CallbackAfterCreateRoom", "a room was created"),
    ("Live.CallbackAfterDestroyRoom", "a room was destroyed, by a call or at the end of its lifetime"),
    ("Live.CallbackAfterUpdateRoomInfo", "a room's record was changed"),
    ("Live.CallbackAfterSetMetadata", "metadata was set"),
    ("Live.CallbackAfterDelMetadata", "metadata was deleted"),
    ("Live.CallbackAfterMemberStateChanged", "members came or went"),
    ("Live.CallbackAfterChangeOwner", "a room has another owner"),
    ("Live.CallbackAfterModifyAdmin", "administrators of a room were set or removed"),
    ("Live.CallbackAfterMuteMember", "members were silenced, or may speak again"),
    ("Mic.CallbackAfterSeatInfoChanged", "the seats have changed"),
    ("Live.CallbackBeforeSendGift", "asked before a member's gift"),
    ("Live.CallbackAfterSendGift", "a gift was given"),
    ("Live.CallbackAfterSendLike", "likes were sent"),
    ("Group.CallbackBeforeSendMsg", "asked before a message"),
    ("Group.CallbackAfterSendMsg", "a message was sent"),
    ("Live.CallbackAfterCreateBattle", "a battle was created"),
    ("Live.CallbackAfterStartBattle", "a battle has started"),
    ("Live.CallbackAfterEndBattle", "a battle is over"),
    ("Room.CallbackAfterCreateRoom", "a Conference room was created"),
    ("Room.CallbackAfterDestroyRoom", "a Conference room was destroyed"),
    ("Room.CallbackAfterUpdateRoomInfo", "a Conference room's record was changed"),
    ("Room.CallbackAfterMemberEnter", "members entered a Conference room"),
    ("Room.CallbackAfterMemberLeave", "members left a Conference room"),
];

/// The commands of a battle's events.
const BATTLE_EVENTS: [&str; 3] =
    ["Live.CallbackAfterCreateBattle", "Live.CallbackAfterStartBattle", "Live.CallbackAfterEndBattle"];

/// Writes down events of one room for the outbox.
pub(crate) struct Teller<'a> {
    pub(crate) app: &'a Tenant,
    pub(crate) room: &'a Room,
    /// The record as it will be.
    pub(crate) info: &'a RoomInfo,
    /// Who did it.
    pub(crate) operator: &'a str,
    pub(crate) now: Time,
    /// Gives each event callback of the room a moment of its own.
    pub(crate) moments: &'a Moments,
}

/// The moments of a room's event callbacks, which only grow: receivers sort by them.
pub(crate) struct Moments(AtomicU64);

impl Moments {
    /// After the room was made.
    pub(crate) fn since(made: Time) -> Self {
        Self(AtomicU64::new(made.unix_millis()))
    }

    /// The next one, at `now` at the earliest.
    pub(crate) fn next(&self, now: Time) -> Time {
        let next = |last: u64| now.unix_millis().max(last + 1);
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        Time::from_unix_millis(next(last.unwrap_or_else(|last| last)))
    }
}

impl Teller<'_> {
    /// The changes that make `events` known to the app's receivers; none where none listens.
    pub(crate) fn changes(&self, events: &[Event]) -> Vec<Change> {
        let mut changes = self.callbacks(events);
        if !self.app.has_webhook() {
            return changes;
        }
        let mut rest = events;
        while let Some((event, after)) = rest.split_first() {
            // Who comes or goes together is told of together.
            let mut users = Vec::new();
            let same = |other: &Event| match (event, other) {
                (Event::Entered { .. }, Event::Entered { user }) => Some(user.clone()),
                (Event::Left { cause, .. }, Event::Left { user, cause: other }) if cause == other => {
                    Some(user.clone())
                }
                _ => None,
            };
            rest = after;
            if let Some(first) = same(event) {
                users.push(first);
                while let Some((next, after)) = rest.split_first()
                    && let Some(user) = same(next)
                {
                    users.push(user);
                    rest = after;
                }
            }
            if let Some((command, body)) = self.body(event, &users) {
                changes.extend(put(self.app, self.info.room_id.as_str(), command, self.now, body));
            }
        }
        changes
    }

    fn callbacks(&self, events: &[Event]) -> Vec<Change> {
        let of_users = events.iter().filter_map(|event| match event {
            Event::Rtc(event) if self.app.has_callbacks() => {
                callbacks::of_user(self.app, self.info, event, self.moments.next(self.now))
            }
            _ => None,
        });
        of_users.collect()
    }

    fn body(&self, event: &Event, users: &[UserId]) -> Option<(&'static str, Value)> {
        let live = self.info.room_type == RoomType::Live;
        let of = |live_command, conference_command| if live { live_command } else { conference_command };
        let (command, mut body) = match event {
            Event::Entered { .. } => (
                of("Live.CallbackAfterMemberStateChanged", "Room.CallbackAfterMemberEnter"),
                json!({"EventType": "Online", "EventCause": "Enter", "MemberList": members(users)}),
            ),
            Event::Recovered { user } => (
                of("Live.CallbackAfterMemberStateChanged", "Room.CallbackAfterMemberEnter"),
                json!({
                    "EventType": "Online", "EventCause": "HeartbeatRecover",
                    "MemberList": members(std::slice::from_ref(user)),
                }),
            ),
            Event::Left { cause, .. } => {
                let cause = if *cause == LeaveCause::Interrupted { "HeartbeatInterrupt" } else { "Leave" };
                (
                    of("Live.CallbackAfterMemberStateChanged", "Room.CallbackAfterMemberLeave"),
                    json!({"EventType": "Offline", "EventCause": cause, "MemberList": members(users)}),
                )
            }
            Event::InfoChanged => (
                of("Live.CallbackAfterUpdateRoomInfo", "Room.CallbackAfterUpdateRoomInfo"),
                json!({"RoomInfo": info_json(self.app, self.room, self.info)}),
            ),
            Event::OwnerChanged { from, to } => (
                "Live.CallbackAfterChangeOwner",
                json!({"CurrentOwner_Account": to.as_str(), "OriginalOwner_Account": from.as_str()}),
            ),
            Event::AdminsChanged { users, added } => (
                "Live.CallbackAfterModifyAdmin",
                json!({"Admin_Account": names(users), "OpType": if *added { "add" } else { "delete" }}),
            ),
            Event::Muted { users, until } => (
                "Live.CallbackAfterMuteMember",
                json!({"MemberList": members(users), "MutedUntil": until.map_or(0, Time::unix_seconds)}),
            ),
            Event::MetadataSet { entries } => {
                let entries: Vec<_> =
                    entries.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
                ("Live.CallbackAfterSetMetadata", json!({"Metadata": entries}))
            }
            Event::MetadataDeleted { keys } => ("Live.CallbackAfterDelMetadata", json!({"Keys": keys})),
            Event::SeatsChanged { seats } => {
                ("Mic.CallbackAfterSeatInfoChanged", json!({"SeatList": seat_list(seats)}))
            }
            Event::Given(given) => (
                "Live.CallbackAfterSendGift",
                json!({"GiftWater": {
                    "From_Account": given.from.as_str(), "To_Account": names(&given.to),
                    "Time": given.at.unix_seconds(), "GiftId": given.gift.gift_id, "Count": given.count,
                    "Coins": given.gift.coins.saturating_mul(given.count), "Sequence": given.sequence,
                }}),
            ),
            Event::Liked { from, count, total } => (
                "Live.CallbackAfterSendLike",
                json!({"From_Account": from.as_str(), "Count": count, "TotalLikesReceived": total}),
            ),
            Event::Message(message) => {
                let (elements, extension) = wire::elements(&message.content);
                (
                    "Group.CallbackAfterSendMsg",
                    json!({
                        "GroupId": self.info.room_id.as_str(), "Type": self.info.room_type.to_string(),
                        "From_Account": message.from.as_str(), "MsgSeq": message.seq, "MsgId": message.id,
                        "MsgTime": message.sent_at.unix_seconds(), "MsgBody": elements, "CloudCustomData": extension,
                    }),
                )
            }
            Event::CardChanged { .. }
            | Event::InviteesChanged { .. }
            | Event::Rtc(_)
            | Event::SeatRequested(_)
            | Event::SeatRequestEnded { .. } => return None,
        };
        wire::put(&mut body, "RoomId", self.info.room_id.as_str());
        wire::put(&mut body, "Operator_Account", self.operator);
        Some((command, body))
    }
}

/// A room was made.
pub(crate) fn room_created(app: &Tenant, info: &RoomInfo, operator: &str, now: Time) -> Option<Change> {
    let command = match info.room_type {
        RoomType::Live => "Live.CallbackAfterCreateRoom",
        RoomType::Conference => "Room.CallbackAfterCreateRoom",
    };
    app.webhook_for(command)?;
    let room = Room::new(info.clone(), now);
    let body = json!({
        "Operator_Account": operator, "RoomId": info.room_id.as_str(), "RoomInfo": info_json(app, &room, info),
    });
    put(app, info.room_id.as_str(), command, now, body)
}

/// A room is no more.
pub(crate) fn room_destroyed(
    app: &Tenant,
    room: &Room,
    operator: &str,
    cause: LeaveCause,
    now: Time,
) -> Option<Change> {
    let info = room.info();
    let command = match info.room_type {
        RoomType::Live => "Live.CallbackAfterDestroyRoom",
        RoomType::Conference => "Room.CallbackAfterDestroyRoom",
    };
    app.webhook_for(command)?;
    let kind = if cause == LeaveCause::Expired { "DestroyBySystem" } else { "DestroyByUser" };
    let body = json!({
        "Operator_Account": operator, "RoomId": info.room_id.as_str(), "EventType": kind,
        "RoomInfo": info_json(app, room, info), "Statistic": statistic(room.counters(), room.sender_count()),
    });
    put(app, info.room_id.as_str(), command, now, body)
}

/// A step of a battle, when it is one that is told of.
pub(crate) fn battle_event(
    app: &Tenant,
    battle: &Battle,
    step: &BattleStep,
    operator: &str,
    now: Time,
) -> Option<Change> {
    let [created, started, ended] = BATTLE_EVENTS;
    let command = match step {
        BattleStep::Created => created,
        BattleStep::Started => started,
        BattleStep::Ended => ended,
        _ => return None,
    };
    let (caller, called) = battle.sides.split_first()?;
    let mut body = wire::battle(battle);
    if *step == BattleStep::Created {
        wire::put(&mut body, "FromRoomId", caller.room.room.as_str());
        wire::put(
            &mut body,
            "ToRoomIdList",
            called.iter().map(|side| side.room.room.as_str()).collect::<Value>(),
        );
        wire::put(&mut body, "Timeout", battle.timeout.map_or(0, |timeout| timeout.as_millis() as u64));
        wire::put(&mut body, "NeedResponse", battle.timeout.is_some());
    }
    wire::put(&mut body, "Operator_Account", operator);
    put(app, &format!("battle {}", battle.id), command, now, body)
}

/// `command` with `body`, if the app's receiver wants to hear of it.
fn put(app: &Tenant, subject: &str, command: &str, now: Time, mut body: Value) -> Option<Change> {
    app.webhook_for(command)?;
    wire::put(&mut body, "CallbackCommand", command);
    wire::put(&mut body, "EventTime", now.unix_millis());
    let event = OutboxEvent {
        id: app.event_ids.next(),
        sdkappid: app.id,
        lane: Lane::WEBHOOKS,
        subject: subject.into(),
        command: command.into(),
        body: body.to_string(),
        at: now,
    };
    Some(Change::PutEvent(event.into()))
}

fn info_json(app: &Tenant, room: &Room, info: &RoomInfo) -> Value {
    serde_json::to_value(RoomInfoView::of(info, room, app)).unwrap_or_default()
}

fn members(users: &[UserId]) -> Vec<Value> {
    users.iter().map(|user| json!({"Member_Account": user.as_str()})).collect()
}

fn names(users: &[UserId]) -> Vec<&str> {
    users.iter().map(UserId::as_str).collect()
}

fn seat_list(seats: &[Seat]) -> Value {
    serde_json::to_value(wire::seats(seats)).unwrap_or_default()
}

fn statistic(counters: Counters, senders: usize) -> Value {
    serde_json::to_value(wire::Statistic::new(counters, senders)).unwrap_or_default()
}
