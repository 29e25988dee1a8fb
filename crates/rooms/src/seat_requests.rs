//! Asking for a seat, and being asked: applications of members, invitations by those who manage the room. They live in
//! memory only, each until it is answered, cancelled, or its time is over; there is at most one of each kind a user.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Delta, Error, Event, Outcome, Room, Time, UserId};

/// Who asks whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestKind {
    /// A member asks for a seat.
    Application,
    /// A member is asked to take one.
    Invitation,
}

/// A request about a seat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatRequest {
    /// Unique in the room.
    pub id: u64,
    /// Who asks whom.
    pub kind: RequestKind,
    /// Who made it.
    pub from: UserId,
    /// Who would sit down.
    pub guest: UserId,
    /// Which seat; none is any.
    pub index: Option<u32>,
    /// From then on it is void.
    pub expires_at: Time,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestEnd {
    /// The guest sits.
    Accepted,
    /// The other side said no.
    Rejected,
    /// Who made it took it back, or left.
    Cancelled,
    /// Nobody answered in time.
    Expired,
}

impl RequestEnd {
    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestEnd::Accepted => "accepted",
            RequestEnd::Rejected => "rejected",
            RequestEnd::Cancelled => "cancelled",
            RequestEnd::Expired => "expired",
        }
    }
}

/// The requests that wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct SeatRequests {
    last_id: u64,
    open: BTreeMap<u64, SeatRequest>,
    /// The one that was accepted, while that is on its way to the disk: nothing else ends it meanwhile.
    answered: Option<u64>,
}

/// How long a request waits at least once more when its answer could not be kept.
const SECOND_CHANCE: Duration = Duration::from_secs(5);

/// What ends a request that nobody has answered yet.
fn ended(id: u64, end: RequestEnd, by: &UserId) -> Outcome {
    Outcome { changes: vec![Delta::EndRequest { id, end, by: by.clone() }], events: Vec::new() }
}

impl Room {
    /// `user` asks for a seat.
    ///
    /// # Errors
    /// As [`Room::take_seat`]; [`Error::AlreadyQueueing`] when it has asked before.
    pub fn apply_for_seat(
        &mut self,
        user: &UserId,
        index: Option<u32>,
        timeout: Duration,
        now: Time,
    ) -> Result<SeatRequest, Error> {
        self.request(RequestKind::Application, user, user, index, timeout, now)
    }

    /// `from`, who manages the room, asks `guest` to take a seat.
    ///
    /// # Errors
    /// As [`Room::pick_to_seat`]; [`Error::NotAllowed`]; [`Error::AlreadyQueueing`] when it was asked before.
    pub fn invite_to_seat(
        &mut self,
        from: &UserId,
        guest: &UserId,
        index: Option<u32>,
        timeout: Duration,
        now: Time,
    ) -> Result<SeatRequest, Error> {
        self.require_manager(from)?;
        self.request(RequestKind::Invitation, from, guest, index, timeout, now)
    }

    fn request(
        &mut self,
        kind: RequestKind,
        from: &UserId,
        guest: &UserId,
        index: Option<u32>,
        timeout: Duration,
        now: Time,
    ) -> Result<SeatRequest, Error> {
        // Refused at once if the seat could not be taken anyway.
        match kind {
            RequestKind::Application => self.take_seat(guest, index)?,
            RequestKind::Invitation => self.pick_to_seat(guest, index)?,
        };
        let same = |open: &SeatRequest| open.kind == kind && open.guest == *guest && now < open.expires_at;
        if self.requests.open.values().any(same) {
            return Err(Error::AlreadyQueueing(guest.to_string()));
        }
        self.requests.last_id += 1;
        let id = self.requests.last_id;
        let (from, guest) = (from.clone(), guest.clone());
        let request = SeatRequest { id, kind, from, guest, index, expires_at: now + timeout };
        self.requests.open.insert(id, request.clone());
        Ok(request)
    }

    /// Somebody says yes: the guest is to sit down. The request ends when this outcome is applied, and by nothing else until
    /// then; [`Room::give_up`] is for an outcome that is not.
    ///
    /// # Errors
    /// [`Error::RequestNotFound`], [`Error::NotAllowed`], or as [`Room::take_seat`].
    pub fn accept_seat(&mut self, by: &UserId, id: u64, now: Time) -> Result<(SeatRequest, Outcome), Error> {
        let request = self.require_answerable(by, id, now)?.clone();
        let mut outcome = self.take_seat(&request.guest, request.index)?;
        outcome.changes.push(Delta::EndRequest { id, end: RequestEnd::Accepted, by: by.clone() });
        self.requests.answered = Some(id);
        Ok((request, outcome))
    }

    /// That a request was accepted could not be kept: it is open as before.
    pub(crate) fn reopen_request(&mut self, id: u64, now: Time) {
        self.requests.answered.take_if(|answered| *answered == id);
        if let Some(request) = self.requests.open.get_mut(&id) {
            request.expires_at = request.expires_at.max(now + SECOND_CHANCE);
        }
    }

    /// Somebody says no.
    ///
    /// # Errors
    /// [`Error::RequestNotFound`], [`Error::NotAllowed`].
    pub fn reject_seat(&self, by: &UserId, id: u64, now: Time) -> Result<Outcome, Error> {
        self.require_answerable(by, id, now)?;
        Ok(ended(id, RequestEnd::Rejected, by))
    }

    /// Who made a request takes it back.
    ///
    /// # Errors
    /// [`Error::RequestNotFound`], [`Error::NotAllowed`].
    pub fn cancel_seat(&self, by: &UserId, id: u64, now: Time) -> Result<Outcome, Error> {
        let request = self.open_request(id, now)?;
        if request.from != *by {
            return Err(Error::NotAllowed("only who made a request may cancel it"));
        }
        Ok(ended(id, RequestEnd::Cancelled, by))
    }

    /// Closes a request whose time is over, if there is one.
    pub fn expire_seat_request(&mut self, now: Time) -> Option<Event> {
        let expired = self.unanswered().find(|request| request.expires_at <= now)?;
        let (id, by) = (expired.id, expired.from.clone());
        self.end_request(id, RequestEnd::Expired, &by)
    }

    /// When the next request runs out.
    pub fn next_request_deadline(&self) -> Option<Time> {
        self.unanswered().map(|request| request.expires_at).min()
    }

    fn unanswered(&self) -> impl Iterator<Item = &SeatRequest> {
        let answered = self.requests.answered;
        self.requests.open.values().filter(move |request| Some(request.id) != answered)
    }

    /// Closes a request.
    pub(crate) fn end_request(&mut self, id: u64, end: RequestEnd, by: &UserId) -> Option<Event> {
        self.requests.answered.take_if(|answered| *answered == id);
        let request = self.requests.open.remove(&id)?;
        Some(Event::SeatRequestEnded { request, end, by: by.clone() })
    }

    /// Closes what `user` has open when it goes; whom that concerns is told.
    pub(crate) fn end_requests_of(&mut self, user: &UserId) -> Vec<Event> {
        let is_its = |request: &&SeatRequest| request.guest == *user || request.from == *user;
        let own: Vec<u64> = self.requests.open.values().filter(is_its).map(|request| request.id).collect();
        own.into_iter().filter_map(|id| self.end_request(id, RequestEnd::Cancelled, user)).collect()
    }

    /// Applications that wait for an answer at `now`, oldest first.
    pub fn seat_applications(&self, now: Time) -> impl Iterator<Item = &SeatRequest> {
        let waits = move |request: &&SeatRequest| {
            request.kind == RequestKind::Application && now < request.expires_at
        };
        self.requests.open.values().filter(waits)
    }

    fn open_request(&self, id: u64, now: Time) -> Result<&SeatRequest, Error> {
        let request = self.requests.open.get(&id).filter(|request| now < request.expires_at);
        request.ok_or(Error::RequestNotFound(id))
    }

    /// The request, if it is up to `by` to answer it.
    fn require_answerable(&self, by: &UserId, id: u64, now: Time) -> Result<&SeatRequest, Error> {
        let request = self.open_request(id, now)?;
        match request.kind {
            RequestKind::Application => self.require_manager(by)?,
            RequestKind::Invitation if request.guest == *by => {}
            RequestKind::Invitation => return Err(Error::NotAllowed("only who was invited may answer")),
        }
        Ok(request)
    }
}
