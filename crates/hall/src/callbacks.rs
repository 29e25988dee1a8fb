//! What event callbacks have been told of a room: who is in, who may publish, what flows. Nothing is decided by it.
//!
//! Invariants: who is told to have entered is told to leave, unless the room ends; who is in is never told to leave with a room that this
//! one was connected with; what is told to flow is told to stop, unless its user leaves or the room ends. A publisher whose media connection is lost goes on flowing for a while: it mostly comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use rooms::{Anchors, Client, Coming, Device, Incarnation, LeaveCause, Room, RtcEvent, Time, UserId};

use crate::streams::MemberStreams;

/// Who comes again so soon after it was lost tries again.
const RETRIES: Duration = Duration::from_secs(60);

/// How many who were lost are remembered.
const MOST_LOST: usize = 1000;

/// How long what flowed on a connection that was lost may flow on another without a word.
const RECONNECTS: Duration = Duration::from_secs(20);

type Users<V> = HashMap<UserId, V, foldhash::fast::RandomState>;

#[derive(Default)]
pub(crate) struct Callbacks {
    /// Who is in by a session, and whether it was told to be an anchor.
    inside: Users<bool>,
    /// Everybody was told to be one.
    is_everyone: bool,
    /// Who else was.
    anchors: HashSet<UserId, foldhash::fast::RandomState>,
    /// The rooms that this one is connected with, and who owns each.
    connected: Vec<(Incarnation, UserId)>,
    /// Such owners who were told to come in by that.
    co_hosts: HashSet<UserId, foldhash::fast::RandomState>,
    /// Who was lost, when, and with what it had come.
    lost: VecDeque<(Time, UserId, Option<Arc<Client>>)>,
    /// What was told to flow.
    flowing: Users<Vec<Device>>,
    /// Whose media connection was lost.
    away: Users<Away>,
    /// Who is back, or away for too long, and what flows of it.
    due: Vec<(UserId, Vec<Device>)>,
}

struct Away {
    /// How long it may be.
    until: Time,
    /// What flows of it meanwhile, on another connection.
    devices: Vec<Device>,
}

impl Callbacks {
    /// Of a room that nobody is in yet.
    pub(crate) fn of(room: &Room) -> Self {
        Self { is_everyone: room.anchors() == Anchors::Everyone, ..Self::default() }
    }

    /// A session of `user` is in. Nothing is told of one that was in before a restart.
    pub(crate) fn restore(&mut self, room: &Room, user: &UserId) {
        self.put(user, room.anchors().has(user));
    }

    fn put(&mut self, user: &UserId, is_anchor: bool) {
        self.inside.insert(user.clone(), is_anchor);
        if is_anchor && !self.is_everyone {
            self.anchors.insert(user.clone());
        }
    }

    /// A session of `user` came in, with that.
    pub(crate) fn enter(
        &mut self,
        room: &Room,
        user: &UserId,
        client: &Client,
        now: Time,
    ) -> Option<RtcEvent> {
        if self.inside.contains_key(user) {
            return None;
        }
        let is_anchor = room.anchors().has(user);
        self.put(user, is_anchor);
        while self.lost.front().is_some_and(|(at, ..)| *at + RETRIES <= now) {
            self.lost.pop_front();
        }
        let lost = self.lost.iter().position(|(_, lost, _)| lost == user);
        let former = lost.and_then(|at| self.lost.remove(at));
        let is_moved = |former: &Client| !former.address.is_empty() && former.address != client.address;
        let coming = match former {
            None => Coming::New,
            Some((.., Some(former))) if is_moved(&former) => Coming::Elsewhere,
            Some(_) => Coming::Again,
        };
        Some(RtcEvent::Entered { user: user.clone(), is_anchor, coming, terminal: client.terminal })
    }

    /// The last session of `user` is out, which had come with that.
    pub(crate) fn leave(
        &mut self,
        user: &UserId,
        cause: LeaveCause,
        client: Option<Arc<Client>>,
        now: Time,
    ) -> Option<RtcEvent> {
        let is_anchor = self.inside.remove(user)?;
        self.anchors.remove(user);
        self.co_hosts.remove(user);
        self.away.remove(user);
        // Leaving says it all.
        self.flowing.remove(user);
        self.due.retain(|(other, _)| other != user);
        if cause == LeaveCause::Interrupted {
            if self.lost.len() >= MOST_LOST {
                self.lost.pop_front();
            }
            self.lost.push_back((now, user.clone(), client));
        }
        Some(RtcEvent::Left { user: user.clone(), is_anchor, cause })
    }

    /// The room is connected with these others, each with its owner, as it was before a restart.
    pub(crate) fn restore_connected(&mut self, others: Vec<(Incarnation, UserId)>) {
        self.co_hosts.extend(others.iter().map(|(_, owner)| owner.clone()));
        self.connected = others;
    }

    /// The room is connected with these others from now on, each with its owner, who may be another than before.
    pub(crate) fn connect(&mut self, others: Vec<(Incarnation, UserId)>) -> Vec<RtcEvent> {
        let former = std::mem::replace(&mut self.connected, others);
        let is_one = |user: &UserId| self.connected.iter().any(|(_, owner)| owner == user);
        let mut gone: Vec<UserId> = self.co_hosts.iter().filter(|user| !is_one(user)).cloned().collect();
        gone.sort_unstable();
        let mut told = Vec::new();
        for user in gone {
            self.co_hosts.remove(&user);
            if !self.inside.contains_key(&user) {
                told.push(RtcEvent::CoHosts { user, is_in: false });
            }
        }
        for other @ (_, user) in &self.connected {
            let is_new = !former.contains(other);
            if is_new && !self.inside.contains_key(user) && self.co_hosts.insert(user.clone()) {
                told.push(RtcEvent::CoHosts { user: user.clone(), is_in: true });
            }
        }
        told
    }

    /// A connection on which `user` published is lost.
    pub(crate) fn lose(&mut self, user: &UserId, now: Time) {
        if let Some(devices) = self.flowing.get(user) {
            let away = Away { until: now + RECONNECTS, devices: devices.clone() };
            self.away.entry(user.clone()).or_insert(away);
        }
    }

    /// `user` publishes on a connection, or wants to publish no more.
    pub(crate) fn come_back(&mut self, user: &UserId) {
        self.due.extend(self.away.remove(user).map(|away| (user.clone(), away.devices)));
    }

    /// When [`Self::settle`] has something to tell without anything happening.
    pub(crate) fn deadline(&self) -> Option<Time> {
        self.away.values().map(|away| away.until).min()
    }

    /// What is to be told by now, where these members publish something else.
    pub(crate) fn settle(&mut self, room: &Room, changed: &[MemberStreams], now: Time) -> Vec<RtcEvent> {
        let mut told = self.settle_roles(room);
        let over: Vec<UserId> =
            self.away.iter().filter(|(_, away)| away.until <= now).map(|(user, _)| user.clone()).collect();
        over.iter().for_each(|user| self.come_back(user));
        for MemberStreams { member, streams } in
            changed.iter().filter(|one| self.inside.contains_key(&one.member))
        {
            let devices =
                streams.iter().filter(|stream| !stream.is_muted).map(|stream| stream.device).collect();
            self.due.retain(|(user, _)| user != member);
            self.due.push((member.clone(), devices));
        }
        for (user, devices) in std::mem::take(&mut self.due) {
            let former = self.flowing.remove(&user).unwrap_or_default();
            let flow = |device: &Device, is_on| RtcEvent::Flow { user: user.clone(), device: *device, is_on };
            let (mut flowing, stopped): (Vec<Device>, Vec<Device>) =
                former.iter().copied().partition(|device| devices.contains(device));
            match self.away.get_mut(&user) {
                // It may be back.
                Some(away) => {
                    away.devices.clone_from(&devices);
                    flowing.extend(stopped);
                }
                None => told.extend(stopped.iter().map(|device| flow(device, false))),
            }
            let begun = devices.iter().filter(|device| !former.contains(device));
            told.extend(begun.clone().map(|device| flow(device, true)));
            flowing.extend(begun);
            if !flowing.is_empty() {
                self.flowing.insert(user, flowing);
            }
        }
        told
    }

    fn settle_roles(&mut self, room: &Room) -> Vec<RtcEvent> {
        let anchors = room.anchors();
        let is_everyone = anchors == Anchors::Everyone;
        let mut told = Vec::new();
        let of_now: Vec<&UserId> = match &anchors {
            Anchors::Everyone => Vec::new(),
            Anchors::These(users) => {
                users.iter().copied().filter(|user| self.inside.contains_key(*user)).collect()
            }
        };
        let is_same = is_everyone == self.is_everyone && of_now.len() == self.anchors.len();
        if is_same && of_now.iter().all(|user| self.anchors.contains(*user)) {
            return told;
        }
        let mut concerned: Vec<UserId> = match is_everyone == self.is_everyone {
            false => self.inside.keys().cloned().collect(),
            true => {
                let former = self.anchors.iter().filter(|user| !of_now.contains(user));
                of_now.iter().copied().chain(former).cloned().collect()
            }
        };
        concerned.sort_unstable();
        self.is_everyone = is_everyone;
        self.anchors.clear();
        for user in concerned {
            let Some(was) = self.inside.get_mut(&user) else { continue };
            let is_anchor = anchors.has(&user);
            if std::mem::replace(was, is_anchor) != is_anchor {
                told.push(RtcEvent::RoleChanged { user: user.clone(), is_anchor });
            }
            if is_anchor && !is_everyone {
                self.anchors.insert(user);
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use rooms::{Fields, RoomId, RoomInfo, RoomType, SessionId};

    use super::*;
    use crate::streams::Shown;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn at(seconds: u64) -> Time {
        Time::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn from(address: &str) -> Client {
        Client { terminal: 4, address: address.into(), ..Client::default() }
    }

    fn room(room_type: RoomType, seats: Option<u32>) -> Room {
        let fields =
            Fields { is_seat_enabled: seats.map(|_| true), max_seat_count: seats, ..Fields::default() };
        let id = RoomId::parse("r").unwrap();
        Room::new(RoomInfo::create(id, room_type, user("own"), &fields, at(0), 1).unwrap(), at(0))
    }

    fn streams(name: &str, devices: &[(Device, bool)]) -> MemberStreams {
        let shown = |(device, is_muted): &(Device, bool)| Shown {
            device: *device,
            is_muted: *is_muted,
            is_encrypted: false,
        };
        MemberStreams { member: user(name), streams: devices.iter().map(shown).collect() }
    }

    /// As `ann+` where it is to flow, and `ann-` where it is to stop.
    fn flows(told: &[RtcEvent]) -> Vec<String> {
        let flow = |event: &RtcEvent| match event {
            RtcEvent::Flow { user, device, is_on } => {
                Some(format!("{user} {}{}", device.as_str(), if *is_on { '+' } else { '-' }))
            }
            _ => None,
        };
        told.iter().filter_map(flow).collect()
    }

    #[test]
    fn a_stream_is_told_to_start_and_stop_once_and_not_at_leaving() {
        let (mut told, room) = (Callbacks::default(), room(RoomType::Conference, None));
        told.enter(&room, &user("ann"), &from("192.0.2.1"), at(0)).unwrap();
        let both = [streams("ann", &[(Device::Microphone, false), (Device::Camera, true)])];

        assert_eq!(
            flows(&told.settle(&room, &both, at(1))),
            ["ann microphone+"],
            "what is muted does not flow"
        );
        assert!(told.settle(&room, &both, at(2)).is_empty());
        assert!(told.settle(&room, &[], at(2)).is_empty());
        let seen = [streams("ann", &[(Device::Microphone, true), (Device::Camera, false)])];
        assert_eq!(flows(&told.settle(&room, &seen, at(3))), ["ann microphone-", "ann camera+"]);
        told.leave(&user("ann"), LeaveCause::Leave, None, at(4)).unwrap();
        assert!(told.settle(&room, &[streams("ann", &[])], at(5)).is_empty());
    }

    #[test]
    fn a_publisher_that_is_lost_has_a_while_to_come_back() {
        let (mut told, room) = (Callbacks::default(), room(RoomType::Conference, None));
        told.enter(&room, &user("ann"), &from("192.0.2.1"), at(0)).unwrap();
        let camera = [streams("ann", &[(Device::Camera, false)])];
        told.settle(&room, &camera, at(1));

        let nothing = [streams("ann", &[])];
        told.lose(&user("ann"), at(2));
        assert!(told.settle(&room, &nothing, at(2)).is_empty());
        told.come_back(&user("ann"));
        assert!(told.settle(&room, &camera, at(9)).is_empty(), "it is back, and nobody was told");

        // With another stream than before, or with none.
        told.lose(&user("ann"), at(10));
        assert!(told.settle(&room, &nothing, at(10)).is_empty());
        told.come_back(&user("ann"));
        let screen = [streams("ann", &[(Device::Screen, false)])];
        assert_eq!(flows(&told.settle(&room, &screen, at(11))), ["ann camera-", "ann screen+"]);
        told.lose(&user("ann"), at(11));
        assert!(told.settle(&room, &nothing, at(11)).is_empty());
        told.come_back(&user("ann"));
        assert_eq!(flows(&told.settle(&room, &[], at(12))), ["ann screen-"]);

        // Not at all.
        assert_eq!(flows(&told.settle(&room, &camera, at(12))), ["ann camera+"]);
        told.lose(&user("ann"), at(10));
        assert!(told.settle(&room, &nothing, at(12)).is_empty());
        assert_eq!(told.deadline(), Some(at(30)));
        assert_eq!(flows(&told.settle(&room, &[], at(30))), ["ann camera-"]);
        assert_eq!(told.deadline(), None);
    }

    #[test]
    fn who_comes_again_soon_after_it_was_lost_tries_again() {
        let (mut told, room) = (Callbacks::default(), room(RoomType::Conference, None));
        let coming = |told: &mut Callbacks, seconds, address: &str| match told.enter(
            &room,
            &user("ann"),
            &from(address),
            at(seconds),
        ) {
            Some(RtcEvent::Entered { coming, .. }) => Some(coming),
            _ => None,
        };
        let lost = |told: &mut Callbacks, seconds, address: &str| {
            told.leave(&user("ann"), LeaveCause::Interrupted, Some(from(address).into()), at(seconds));
        };

        assert_eq!(coming(&mut told, 0, "192.0.2.1"), Some(Coming::New));
        assert_eq!(coming(&mut told, 1, "192.0.2.1"), None, "another session of who is in");
        lost(&mut told, 10, "192.0.2.1");
        assert_eq!(coming(&mut told, 69, "192.0.2.1"), Some(Coming::Again));
        lost(&mut told, 70, "192.0.2.1");
        assert_eq!(coming(&mut told, 75, "203.0.113.9"), Some(Coming::Elsewhere));
        // Where addresses are not kept nobody knows.
        lost(&mut told, 76, "");
        assert_eq!(coming(&mut told, 77, ""), Some(Coming::Again));
        lost(&mut told, 80, "192.0.2.1");
        assert_eq!(coming(&mut told, 140, "192.0.2.1"), Some(Coming::New));
        told.leave(&user("ann"), LeaveCause::Leave, None, at(150));
        assert_eq!(coming(&mut told, 151, "192.0.2.1"), Some(Coming::New));
    }

    #[test]
    fn owners_of_connected_rooms_come_and_go_once_unless_they_are_in_themselves() {
        let (mut told, room) = (Callbacks::default(), room(RoomType::Live, None));
        let other = |name: &str, owner: &str| {
            (Incarnation { room: RoomId::parse(name).unwrap(), number: 1 }, user(owner))
        };
        let co_hosts = |name: &str, is_in: bool| RtcEvent::CoHosts { user: user(name), is_in };
        let connect = |told: &mut Callbacks, others: &[(&str, &str)]| {
            told.connect(others.iter().map(|(name, owner)| other(name, owner)).collect())
        };
        told.enter(&room, &user("in"), &from("192.0.2.1"), at(0)).unwrap();

        assert_eq!(connect(&mut told, &[("a", "ann"), ("i", "in")]), [co_hosts("ann", true)]);
        // Another room of the same owner is nobody new.
        assert!(connect(&mut told, &[("a", "ann"), ("i", "in"), ("a2", "ann")]).is_empty());
        // Another owner comes, and the former goes unless another room is its.
        let changed = connect(&mut told, &[("a", "ben"), ("i", "in"), ("a2", "ann")]);
        assert_eq!(changed, [co_hosts("ben", true)]);
        let changed = connect(&mut told, &[("a", "cat"), ("i", "in"), ("a2", "ann")]);
        assert_eq!(changed, [co_hosts("ben", false), co_hosts("cat", true)]);
        assert!(connect(&mut told, &[("a", "cat"), ("i", "in"), ("a2", "ann")]).is_empty());
        assert_eq!(connect(&mut told, &[("a2", "ann"), ("i", "in")]), [co_hosts("cat", false)]);
        assert!(connect(&mut told, &[("a2", "ann")]).is_empty(), "who is in stays");
        assert_eq!(connect(&mut told, &[]), [co_hosts("ann", false)]);
        assert!(connect(&mut told, &[]).is_empty());

        // Who comes in besides goes by itself.
        assert_eq!(connect(&mut told, &[("a", "ann")]), [co_hosts("ann", true)]);
        told.enter(&room, &user("ann"), &from("192.0.2.1"), at(1)).unwrap();
        told.leave(&user("ann"), LeaveCause::Leave, None, at(2)).unwrap();
        assert!(connect(&mut told, &[]).is_empty());

        // After a restart.
        let mut told = Callbacks::default();
        told.restore_connected(vec![other("a", "ann")]);
        assert!(connect(&mut told, &[("a", "ann")]).is_empty());
        assert_eq!(connect(&mut told, &[]), [co_hosts("ann", false)]);
    }

    #[test]
    fn a_role_is_told_when_it_changes_and_with_who_comes_and_goes() {
        let mut live = room(RoomType::Live, Some(2));
        let mut told = Callbacks::default();
        for (session, name) in (1..).zip(["ann", "ben"]) {
            live.enter(&user(name), SessionId(session), at(0)).unwrap();
            let entered = told.enter(&live, &user(name), &from("192.0.2.1"), at(0)).unwrap();
            assert!(matches!(entered, RtcEvent::Entered { is_anchor: false, .. }));
        }
        assert!(told.settle(&live, &[], at(1)).is_empty());

        let seat = live.take_seat(&user("ann"), None).unwrap();
        seat.changes.into_iter().for_each(|change| drop(live.apply(change, at(2))));
        let ann = RtcEvent::RoleChanged { user: user("ann"), is_anchor: true };
        assert_eq!(told.settle(&live, &[], at(2)), [ann]);
        assert!(told.settle(&live, &[], at(3)).is_empty());
        let left = told.leave(&user("ann"), LeaveCause::Kicked, None, at(4));
        assert!(matches!(left, Some(RtcEvent::Left { is_anchor: true, .. })));

        // Without seats a meeting is everybody's, and with some nobody's who sits on none.
        let mut meeting = room(RoomType::Conference, None);
        let mut told = Callbacks::default();
        for name in ["ann", "ben"] {
            let entered = told.enter(&meeting, &user(name), &from("192.0.2.1"), at(0)).unwrap();
            assert!(matches!(entered, RtcEvent::Entered { is_anchor: true, .. }));
        }
        let fields = Fields { is_seat_enabled: Some(true), ..Fields::default() };
        let seats = meeting.update(&fields).unwrap();
        seats.changes.into_iter().for_each(|change| drop(meeting.apply(change, at(1))));
        let changed = |name: &str| RtcEvent::RoleChanged { user: user(name), is_anchor: false };
        assert_eq!(told.settle(&meeting, &[], at(1)), [changed("ann"), changed("ben")]);
    }
}
