//! What is being published in one room, and what the members have been told of it. Decides; performs nothing.
//!
//! Invariant: what a publisher may send is what the room's rules say (`rooms/src/publishing.rs`), from the same state as
//! everything else, so that a kick, a lock or a mute holds for its media the moment it holds at all.

use rooms::{Device, Room, SessionId, Time, UserId};

use crate::notes::Flow;

/// One connection of the forwarding unit, as that numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId(pub u64);

/// What may be sent on a publisher's connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights {
    /// Sound.
    pub microphone: bool,
    /// The main picture.
    pub camera: bool,
    /// The second picture.
    pub screen: bool,
}

impl Rights {
    /// Whether what this device sends may flow.
    pub fn allow(self, device: Device) -> bool {
        match device {
            Device::Microphone => self.microphone,
            Device::Camera => self.camera,
            Device::Screen => self.screen,
        }
    }
}

/// What a publisher's offer has, and what it says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The streams, each with its m-line's name.
    pub streams: Vec<(Device, String)>,
    /// Those of which what is new to the connection begins switched off.
    pub muted: Vec<Device>,
    /// Those that only members with the publisher's key can see or hear.
    pub encrypted: Vec<Device>,
}

/// One stream, as its publisher offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stream {
    device: Device,
    /// The m-line's name.
    mid: String,
    /// Of two publications of a member's stream the higher one flows.
    begun: u64,
    /// Its publisher has switched it off for a while.
    is_muted: bool,
    /// One in charge of the room has switched it off; its publisher may switch it on again.
    is_closed: bool,
    /// Only members with the publisher's key can see or hear it.
    is_encrypted: bool,
}

/// What one session publishes.
#[derive(Debug)]
struct Publication {
    session: SessionId,
    user: UserId,
    peer: PeerId,
    streams: Vec<Stream>,
    rights: Rights,
    /// What is wanted of its streams that are published dynamically, as it was told last.
    wanted: Vec<WantedLayers>,
}

/// What is wanted of a stream: each simulcast layer by its RID, "" without simulcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLayers {
    /// Of which stream.
    pub device: Device,
    /// Grows; of two that meet the higher one holds.
    pub seq: u64,
    /// Each layer, and whether anybody wants it.
    pub layers: Vec<(String, bool)>,
}

/// What one session, or one that is only counted, watches on.
#[derive(Debug)]
struct Watching {
    session: Option<SessionId>,
    user: UserId,
    peer: PeerId,
}

/// A stream as members are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// What it comes from.
    pub device: Device,
    /// Its publisher has switched it off for a while.
    pub is_muted: bool,
    /// Only members with the publisher's key can see or hear it.
    pub is_encrypted: bool,
}

/// All that a member publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStreams {
    /// Who.
    pub member: UserId,
    /// Sound first, then the camera, then the screen.
    pub streams: Vec<Shown>,
}

/// What follows from a change in the room.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// What connections may send from now on.
    pub(crate) rights: Vec<(PeerId, SessionId, Rights)>,
    /// What members publish now, where it has changed.
    pub(crate) changed: Vec<MemberStreams>,
    /// Connections that have to end: of players that are only counted and have been put out.
    pub(crate) closed: Vec<PeerId>,
    /// The streams that flow now, where that may have changed.
    pub(crate) flows: Option<Vec<Flow>>,
    /// When the rules are to be looked at again, because a mute ends.
    pub(crate) again_at: Option<Time>,
}

/// The streams of a room.
#[derive(Debug, Default)]
pub struct Streams {
    publications: Vec<Publication>,
    watching: Vec<Watching>,
    /// What the members have been told.
    told: Vec<MemberStreams>,
    /// How many publications of a stream have begun.
    begun: u64,
    /// A member's streams have changed other than by the rules.
    is_dirty: bool,
}

impl Streams {
    /// The connection on which `session` publishes.
    pub fn publisher(&self, session: SessionId) -> Option<PeerId> {
        self.publications.iter().find(|one| one.session == session).map(|one| one.peer)
    }

    /// What may be sent on a publisher's connection.
    pub fn rights_on(&self, peer: PeerId) -> Option<Rights> {
        self.publications.iter().find(|one| one.peer == peer).map(|one| one.rights)
    }

    /// The connection on which `session` watches.
    pub fn watcher(&self, session: SessionId) -> Option<PeerId> {
        self.watching.iter().find(|one| one.session == Some(session)).map(|one| one.peer)
    }

    /// `session` publishes these streams now, on `peer`. Returns the connection it had before, if that is another.
    pub(crate) fn publish(
        &mut self,
        session: SessionId,
        user: &UserId,
        peer: PeerId,
        offer: &Offer,
    ) -> Option<PeerId> {
        let before = self.publications.iter().position(|one| one.session == session);
        let before = before.map(|at| self.publications.swap_remove(at));
        let begun = &mut self.begun;
        let streams = offer.streams.iter().map(|(device, mid)| {
            let known =
                before.as_ref().and_then(|one| one.streams.iter().find(|known| known.device == *device));
            // Whoever publishes anew what was closed opens it again; a later offer alone does not.
            let same = known.filter(|_| before.as_ref().is_some_and(|one| one.peer == peer));
            // On another m-line the media begins a stream anew; an offer that has it on the same one goes on with it.
            let goes_on = same.filter(|same| same.mid == *mid).map(|same| same.begun);
            *begun += u64::from(goes_on.is_none());
            Stream {
                device: *device,
                mid: mid.clone(),
                begun: goes_on.unwrap_or(*begun),
                is_muted: same.map_or(offer.muted.contains(device), |same| same.is_muted),
                is_closed: same.is_some_and(|same| same.is_closed),
                is_encrypted: offer.encrypted.contains(device),
            }
        });
        let streams = streams.collect();
        // The rights are set when this is settled, which is right after.
        self.publications.push(Publication {
            session,
            user: user.clone(),
            peer,
            streams,
            rights: before.as_ref().map_or(Rights::default(), |one| one.rights),
            wanted: before
                .as_ref()
                .filter(|one| one.peer == peer)
                .map_or_else(Vec::new, |one| one.wanted.clone()),
        });
        self.is_dirty = true;
        before.map(|one| one.peer).filter(|other| *other != peer)
    }

    /// `session` watches on `peer`. Returns the connection it had before, if that is another.
    pub(crate) fn watch(
        &mut self,
        session: Option<SessionId>,
        user: &UserId,
        peer: PeerId,
    ) -> Option<PeerId> {
        let before = session.and_then(|session| self.watcher(session)).filter(|other| *other != peer);
        self.watching.retain(|one| one.peer != peer && (session.is_none() || one.session != session));
        self.watching.push(Watching { session, user: user.clone(), peer });
        before
    }

    /// `session` switches one of its streams off or on. `false` when it does not publish it.
    pub(crate) fn set_muted(&mut self, session: SessionId, device: Device, is_muted: bool) -> bool {
        let of_session = self.publications.iter_mut().filter(|one| one.session == session);
        let stream = of_session.flat_map(|one| &mut one.streams).find(|stream| stream.device == device);
        let Some(stream) = stream else { return false };
        stream.is_muted = is_muted;
        stream.is_closed &= is_muted;
        self.is_dirty = true;
        true
    }

    /// One in charge switches a member's stream off. `false` when it does not publish it.
    pub(crate) fn close(&mut self, user: &str, device: Device) -> bool {
        let of_user = self.publications.iter_mut().filter(|one| one.user.as_str() == user);
        let mut is_any = false;
        for stream in of_user.flat_map(|one| &mut one.streams).filter(|stream| stream.device == device) {
            stream.is_muted = true;
            stream.is_closed = true;
            is_any = true;
        }
        self.is_dirty |= is_any;
        is_any
    }

    /// Something else is wanted of a stream on `peer`. `false` when there is no such publication any more.
    pub(crate) fn note_wanted(&mut self, peer: PeerId, wanted: WantedLayers) -> bool {
        let Some(one) = self.publications.iter_mut().find(|one| one.peer == peer) else { return false };
        one.wanted.retain(|known| known.device != wanted.device);
        one.wanted.push(wanted);
        true
    }

    /// What is wanted of what `session` publishes.
    pub fn wanted_of(&self, session: SessionId) -> &[WantedLayers] {
        let own = self.publications.iter().find(|one| one.session == session);
        own.map_or(&[], |one| one.wanted.as_slice())
    }

    /// `session` publishes no more. Returns its connection.
    pub(crate) fn unpublish(&mut self, session: SessionId) -> Option<PeerId> {
        let at = self.publications.iter().position(|one| one.session == session)?;
        self.is_dirty = true;
        Some(self.publications.swap_remove(at).peer)
    }

    /// `session` watches no more. Returns its connection.
    pub(crate) fn unwatch(&mut self, session: SessionId) -> Option<PeerId> {
        let at = self.watching.iter().position(|one| one.session == Some(session))?;
        Some(self.watching.swap_remove(at).peer)
    }

    /// `session` is out of the room: its connections end.
    pub(crate) fn end(&mut self, session: SessionId) -> impl Iterator<Item = PeerId> + use<> {
        let published = self.unpublish(session);
        published.into_iter().chain(self.unwatch(session))
    }

    /// A connection is lost. Returns whose it was, when it was one of this room.
    pub(crate) fn lose(&mut self, peer: PeerId) -> Option<UserId> {
        if let Some(at) = self.publications.iter().position(|one| one.peer == peer) {
            self.is_dirty = true;
            return Some(self.publications.swap_remove(at).user);
        }
        let at = self.watching.iter().position(|one| one.peer == peer)?;
        Some(self.watching.swap_remove(at).user)
    }

    /// The room is over: all connections end.
    pub(crate) fn end_all(&mut self) -> Vec<PeerId> {
        self.told.clear();
        let published = self.publications.drain(..).map(|one| one.peer);
        published.chain(self.watching.drain(..).map(|one| one.peer)).collect()
    }

    /// What members have been told is published.
    pub fn told(&self) -> &[MemberStreams] {
        &self.told
    }

    /// Holds what is published against the rules.
    pub(crate) fn settle(&mut self, room: &Room, now: Time) -> Settled {
        let mut settled = Settled::default();
        if self.publications.is_empty() && self.watching.is_empty() && !self.is_dirty {
            return settled;
        }
        for one in &mut self.publications {
            let may = |device: Device| {
                let is_closed = one.streams.iter().any(|stream| stream.device == device && stream.is_closed);
                !is_closed && room.require_may_publish(&one.user, device, now).is_ok()
            };
            let rights = Rights {
                microphone: may(Device::Microphone),
                camera: may(Device::Camera),
                screen: may(Device::Screen),
            };
            if let Some(until) = room.muted_until(one.user.as_str(), now) {
                settled.again_at = Some(settled.again_at.map_or(until, |at| at.min(until)));
            }
            if rights != one.rights {
                one.rights = rights;
                self.is_dirty = true;
                settled.rights.push((one.peer, one.session, rights));
            }
        }
        // Members are put out by their sessions; those who are only counted have none.
        self.watching.retain(|one| {
            let is_out = one.session.is_none() && !room.is_player(one.user.as_str());
            if is_out {
                settled.closed.push(one.peer);
            }
            !is_out
        });
        if std::mem::take(&mut self.is_dirty) {
            let flowing = self.flowing();
            let flow = |(one, shown): &(&Publication, Shown)| Flow {
                session: one.session,
                device: shown.device,
                is_muted: shown.is_muted,
            };
            settled.flows = Some(flowing.iter().map(flow).collect());
            let shown = by_member(flowing);
            let gone = self.told.iter().filter(|told| shown.iter().all(|now| now.member != told.member));
            let gone = gone.map(|told| MemberStreams { member: told.member.clone(), streams: Vec::new() });
            settled.changed.extend(gone);
            settled.changed.extend(shown.iter().filter(|now| !self.told.contains(now)).cloned());
            self.told = shown;
        }
        settled
    }

    /// What flows: of two sessions of a user that publish the same, what began last.
    fn flowing(&self) -> Vec<(&Publication, Shown)> {
        let mut streams: Vec<(&Publication, &Stream)> = self
            .publications
            .iter()
            .flat_map(|one| one.streams.iter().map(move |stream| (one, stream)))
            .collect();
        streams.sort_unstable_by_key(|(_, stream)| stream.begun);
        let mut flowing: Vec<(&Publication, Shown)> = Vec::new();
        for (one, stream) in streams {
            let view =
                Shown { device: stream.device, is_muted: stream.is_muted, is_encrypted: stream.is_encrypted };
            flowing.retain(|(other, former)| other.user != one.user || former.device != view.device);
            flowing.extend(one.rights.allow(stream.device).then_some((one, view)));
        }
        flowing
    }
}

/// What flows, by member.
fn by_member(flowing: Vec<(&Publication, Shown)>) -> Vec<MemberStreams> {
    let mut shown: Vec<MemberStreams> = Vec::new();
    for (one, view) in flowing {
        match shown.iter_mut().find(|member| member.member == one.user) {
            Some(member) => member.streams.push(view),
            None => shown.push(MemberStreams { member: one.user.clone(), streams: vec![view] }),
        }
    }
    for member in &mut shown {
        member.streams.sort_by_key(|stream| Device::ALL.iter().position(|device| *device == stream.device));
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A camera on an m-line, of which its publisher says whether it is encrypted.
    fn publish(streams: &mut Streams, session: u64, mid: &str, is_encrypted: bool) {
        let offer = Offer {
            streams: vec![(Device::Camera, mid.to_owned())],
            muted: Vec::new(),
            encrypted: is_encrypted.then_some(Device::Camera).into_iter().collect(),
        };
        let user = UserId::parse("ann").unwrap();
        streams.publish(SessionId(session), &user, PeerId(session), &offer);
        for one in &mut streams.publications {
            one.rights = Rights { microphone: true, camera: true, screen: true };
        }
    }

    /// Whether the camera that is shown is encrypted.
    fn shown(streams: &Streams) -> Vec<bool> {
        by_member(streams.flowing())
            .iter()
            .flat_map(|member| member.streams.iter().map(|one| one.is_encrypted))
            .collect()
    }

    #[test]
    fn of_two_sessions_that_publish_the_same_the_newer_one_is_shown() {
        let mut streams = Streams::default();
        publish(&mut streams, 1, "0", false);
        publish(&mut streams, 2, "0", true);
        assert_eq!(shown(&streams), [true]);
        // An offer that goes on with what was there is none that begins it.
        publish(&mut streams, 1, "0", false);
        assert_eq!(shown(&streams), [true]);
        // On another m-line it is.
        publish(&mut streams, 1, "1", false);
        assert_eq!(shown(&streams), [false]);
        publish(&mut streams, 2, "0", true);
        assert_eq!(shown(&streams), [false]);
        // Nor does one that is held back let the one before it flow.
        streams.publications.iter_mut().filter(|one| one.session == SessionId(1)).for_each(|one| {
            one.rights = Rights::default();
        });
        assert!(shown(&streams).is_empty());
        streams.unpublish(SessionId(1));
        assert_eq!(shown(&streams), [true]);
    }
}
