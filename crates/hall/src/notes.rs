//! What is worth remembering of a room when it is over: who was there, when and with what, and what flowed. Nothing is decided
//! by it.
//!
//! A session's time in the room is a *stay*. Its number is when it began, in milliseconds, moved on where two began in one, so
//! that it survives a restart in the presence record and needs no counter. Invariants: a session that is in has one stay, and
//! one that is not has none; every stream that is noted to flow is noted to end, by the end of its stay at the latest.

use std::sync::Arc;

use hashbrown::HashMap;
use rooms::{Client, Device, LeaveCause, SessionId, Time, UserId};

/// One session's time in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Grows with every stay of the room: when it began, in milliseconds.
    pub number: u64,
    /// Its member's place in join order.
    pub place: u64,
    /// Whose it is.
    pub user: UserId,
    /// It has published.
    pub is_anchor: bool,
    /// With what it came.
    pub client: Arc<Client>,
}

/// Something to remember, when it has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A session came in, is in, or is known better.
    Stays(Stay),
    /// It went.
    Left {
        /// Its stay.
        stay: Stay,
        /// When.
        at: Time,
        /// Why.
        cause: LeaveCause,
    },
    /// Something happened to it.
    Event {
        /// The number of its stay.
        stay: u64,
        /// When.
        at: Time,
        /// Tells events of one moment apart.
        n: u32,
        /// What.
        what: Happening,
    },
    /// The room is over.
    Over {
        /// When.
        at: Time,
        /// Why.
        cause: LeaveCause,
    },
}

/// What happens to a session while it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Its connection is lost.
    Lost,
    /// It has one again.
    Back,
    /// Its media has no way any more.
    MediaLost,
    /// It has one again.
    MediaBack,
    /// A stream of it begins to flow.
    Begun(Device),
    /// It ends.
    Ended(Device),
    /// It sends silence, or black.
    Muted(Device),
    /// It sends something again.
    Unmuted(Device),
}

/// A stream that flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) session: SessionId,
    pub(crate) device: Device,
    pub(crate) is_muted: bool,
}

/// A session that is in again after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// Its member's place in join order.
    pub place: u64,
    /// The number of its stay; 0 when that was not kept.
    pub stay: u64,
    /// With what it came.
    pub client: Arc<Client>,
}

struct Staying {
    stay: Stay,
    has_lost_media: bool,
}

/// The stays of one room that have not ended.
#[derive(Default)]
pub(crate) struct Stays {
    open: HashMap<SessionId, Staying, foldhash::fast::RandomState>,
    last: u64,
    flows: Vec<Flow>,
    /// The last event.
    event: (u64, u32),
    notes: Vec<Note>,
}

impl Stays {
    /// What has been noted since it was asked last.
    pub(crate) fn take(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// The number of a session's stay; 0 of one that has none.
    pub(crate) fn number(&self, session: SessionId) -> u64 {
        self.open.get(&session).map_or(0, |one| one.stay.number)
    }

    /// With what a session came.
    pub(crate) fn client(&self, session: SessionId) -> Option<&Arc<Client>> {
        self.open.get(&session).map(|one| &one.stay.client)
    }

    /// A session comes in.
    pub(crate) fn begin(
        &mut self,
        session: SessionId,
        user: &UserId,
        place: u64,
        client: Arc<Client>,
        now: Time,
    ) {
        self.last = now.unix_millis().max(self.last + 1);
        let stay = Stay { number: self.last, place, user: user.clone(), is_anchor: false, client };
        self.put(session, stay.clone());
        self.notes.push(Note::Stays(stay));
    }

    /// It is in again after a restart.
    pub(crate) fn restore(&mut self, returned: Returned, place: u64, now: Time) {
        let Returned { user, session, stay, client, .. } = returned;
        let number = if stay == 0 { now.unix_millis().max(self.last + 1) } else { stay };
        self.last = self.last.max(number);
        self.put(session, Stay { number, place, user, is_anchor: false, client });
    }

    fn put(&mut self, session: SessionId, stay: Stay) {
        self.open.insert(session, Staying { stay, has_lost_media: false });
    }

    /// It goes, and all that flows of it.
    pub(crate) fn end(&mut self, session: SessionId, cause: LeaveCause, now: Time) {
        let its = |flow: &Flow| flow.session == session;
        let ended: Vec<Device> = self.flows.iter().filter(|flow| its(flow)).map(|flow| flow.device).collect();
        self.flows.retain(|flow| !its(flow));
        ended.into_iter().for_each(|device| self.note(session, Happening::Ended(device), now));
        if let Some(Staying { stay, .. }) = self.open.remove(&session) {
            self.notes.push(Note::Left { stay, at: now, cause });
        }
    }

    /// The room is over.
    pub(crate) fn end_all(&mut self, cause: LeaveCause, now: Time) {
        let sessions: Vec<SessionId> = self.open.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.end(session, cause, now));
        self.notes.push(Note::Over { at: now, cause });
    }

    /// Tells once more of all who are in.
    pub(crate) fn retell(&mut self) {
        self.notes.extend(self.open.values().map(|one| Note::Stays(one.stay.clone())));
    }

    /// Something happens to a session.
    pub(crate) fn note(&mut self, session: SessionId, what: Happening, now: Time) {
        let Some(one) = self.open.get_mut(&session) else { return };
        match what {
            Happening::MediaLost => one.has_lost_media = true,
            Happening::MediaBack => one.has_lost_media = false,
            _ => {}
        }
        let at = now.unix_millis();
        let n = if self.event.0 == at { self.event.1 + 1 } else { 0 };
        self.event = (at, n);
        self.notes.push(Note::Event { stay: one.stay.number, at: now, n, what });
    }

    /// It has a media connection, perhaps after one that it has lost.
    pub(crate) fn note_connected(&mut self, session: SessionId, now: Time) {
        if self.open.get(&session).is_some_and(|one| one.has_lost_media) {
            self.note(session, Happening::MediaBack, now);
        }
    }

    /// These streams flow now.
    pub(crate) fn note_flows(&mut self, flows: Vec<Flow>, now: Time) {
        let former = std::mem::take(&mut self.flows);
        let find = |among: &[Flow], one: &Flow| {
            among.iter().find(|flow| (flow.session, flow.device) == (one.session, one.device)).copied()
        };
        for gone in former.iter().filter(|flow| find(&flows, flow).is_none()) {
            self.note(gone.session, Happening::Ended(gone.device), now);
        }
        for flow in &flows {
            let (Flow { session, device, is_muted }, before) = (*flow, find(&former, flow));
            if before.is_none() {
                self.note_anchor(session);
                self.note(session, Happening::Begun(device), now);
            }
            match (before.is_some_and(|flow| flow.is_muted), is_muted) {
                (false, true) => self.note(session, Happening::Muted(device), now),
                (true, false) => self.note(session, Happening::Unmuted(device), now),
                _ => {}
            }
        }
        self.flows = flows;
    }

    fn note_anchor(&mut self, session: SessionId) {
        let Some(one) = self.open.get_mut(&session) else { return };
        if !std::mem::replace(&mut one.stay.is_anchor, true) {
            self.notes.push(Note::Stays(one.stay.clone()));
        }
    }
}
