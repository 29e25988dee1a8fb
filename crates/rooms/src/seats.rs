//! Seats: numbered places from which a member may publish. Who sits where, what is locked, and the rules of taking one.
//!
//! With `KeepOwnerOnSeat`, seat 0 is the owner's: nobody else takes it.

use serde::{Deserialize, Serialize};

use crate::outcome::RecordKey;
use crate::{Delta, Error, Event, Outcome, Record, Role, Room, RoomInfo, TakeSeatMode, UserId};

/// How a seat stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seat {
    /// Who sits on it.
    pub occupant: Option<UserId>,
    /// Nobody may take it.
    pub is_locked: bool,
    /// No audio is published from it.
    pub is_audio_locked: bool,
    /// No video is published from it.
    pub is_video_locked: bool,
}

/// What is to change about a seat's locks; absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeatLocks {
    /// Nobody may take it; who sits there is taken off.
    pub taken: Option<bool>,
    /// No audio.
    pub audio: Option<bool>,
    /// No video.
    pub video: Option<bool>,
}

/// What to do when the seat somebody is moved to is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfTaken {
    /// Leave everything as it is.
    Refuse,
    /// Take the other off.
    Replace,
    /// The two change places.
    Swap,
}

/// A room's seats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seats(Vec<Seat>);

impl Seats {
    pub(crate) fn list(&self) -> &[Seat] {
        &self.0
    }

    /// As many seats as the room has; those that go take their occupants off, and their records are to go with them.
    pub(crate) fn resize(&mut self, info: &RoomInfo) -> Vec<Delta> {
        let gone = (0..).zip(&self.0).skip(info.max_seat_count as usize);
        let gone: Vec<u32> = gone.map(|(index, _)| index).collect();
        self.0.resize(info.max_seat_count as usize, Seat::default());
        gone.into_iter().map(|index| Delta::Unset(RecordKey::new(Record::SEAT, index))).collect()
    }

    pub(crate) fn set(&mut self, index: u32, seat: Seat) {
        if let Some(place) = self.0.get_mut(index as usize) {
            *place = seat;
        }
    }

    fn get(&self, index: u32) -> Option<&Seat> {
        self.0.get(index as usize)
    }

    /// Where `user` sits.
    pub(crate) fn seat_of(&self, user: &str) -> Option<u32> {
        let at = self
            .0
            .iter()
            .position(|seat| seat.occupant.as_ref().is_some_and(|other| other.as_str() == user))?;
        u32::try_from(at).ok()
    }

    /// Takes `user` off; returns the seat it had.
    pub(crate) fn vacate(&mut self, user: &UserId) -> Option<u32> {
        let index = self.seat_of(user.as_str())?;
        self.occupy(index, None);
        Some(index)
    }

    pub(crate) fn occupy(&mut self, index: u32, occupant: Option<UserId>) {
        if let Some(seat) = self.0.get_mut(index as usize) {
            seat.occupant = occupant;
        }
    }

    pub(crate) fn record(&self, index: u32) -> Option<Record> {
        Some(Record::Seat { index, seat: self.get(index)?.clone() })
    }
}

impl Room {
    /// The seats by index; empty for a room without any.
    pub fn seats(&self) -> &[Seat] {
        self.seats.list()
    }

    /// Where `user` sits.
    pub fn seat_of(&self, user: &str) -> Option<u32> {
        self.seats.seat_of(user)
    }

    /// Checks that the room has seats.
    ///
    /// # Errors
    /// [`Error::NoSeats`].
    pub fn require_seats(&self) -> Result<(), Error> {
        if self.seats.0.is_empty() { Err(Error::NoSeats) } else { Ok(()) }
    }

    /// Checks that `user` may take a seat without being asked in: where seats are applied for, only those in charge do.
    ///
    /// # Errors
    /// [`Error::ApplyFirst`], [`Error::NoSeats`].
    pub fn require_may_take_seat(&self, user: &UserId) -> Result<(), Error> {
        if self.info().take_seat_mode == TakeSeatMode::ApplyToTake && self.role(user.as_str()) == Role::Member
        {
            self.require_seats()?;
            return Err(Error::ApplyFirst);
        }
        Ok(())
    }

    /// `user` sits down on the seat `index`, or on the first free one.
    ///
    /// # Errors
    /// [`Error::NoSeats`], [`Error::NotAMember`], [`Error::AlreadyOnSeat`], [`Error::NoSeatFree`],
    /// [`Error::SeatLocked`], [`Error::SeatTaken`], or [`Error::Invalid`] for a seat that does not exist.
    pub fn take_seat(&self, user: &UserId, index: Option<u32>) -> Result<Outcome, Error> {
        self.require_seats()?;
        self.require_member(user)?;
        if let Some(index) = self.seat_of(user.as_str()) {
            return Err(Error::AlreadyOnSeat { user: user.to_string(), index });
        }
        let index = self.free_seat(user, index)?;
        let mut after = self.seats.clone();
        after.occupy(index, Some(user.clone()));
        Ok(self.seats_outcome(after))
    }

    /// Somebody else puts `user` on the seat `index`, or on the first free one.
    ///
    /// # Errors
    /// As [`Self::take_seat`], but [`Error::UserOnSeat`] when the user sits already.
    pub fn pick_to_seat(&self, user: &UserId, index: Option<u32>) -> Result<Outcome, Error> {
        self.take_seat(user, index).map_err(|error| match error {
            Error::AlreadyOnSeat { user, index } => Error::UserOnSeat { user, index },
            error => error,
        })
    }

    /// `user` gets up.
    ///
    /// # Errors
    /// [`Error::NoSeats`], [`Error::NotAMember`], [`Error::NotOnSeat`].
    pub fn leave_seat(&self, user: &UserId) -> Result<Outcome, Error> {
        self.require_on_seat(user)?;
        let mut after = self.seats.clone();
        after.vacate(user);
        Ok(self.seats_outcome(after))
    }

    /// `user`, who sits already, goes to another seat.
    ///
    /// # Errors
    /// As [`Self::take_seat`], and [`Error::NotOnSeat`]; [`Error::SeatTaken`] only with [`IfTaken::Refuse`].
    pub fn move_to_seat(&self, user: &UserId, to: u32, if_taken: IfTaken) -> Result<Outcome, Error> {
        let from = self.require_on_seat(user)?;
        let seat = self.require_seat(to)?;
        let mut after = self.seats.clone();
        match (&seat.occupant, if_taken) {
            (Some(occupant), _) if occupant == user => return Ok(Outcome::default()),
            (Some(_), IfTaken::Refuse) => return Err(Error::SeatTaken(to)),
            (Some(_), _) if self.is_kept_for_another(to, user) => return Err(Error::SeatTaken(to)),
            (Some(occupant), IfTaken::Swap) => after.occupy(from, Some(occupant.clone())),
            (Some(_), IfTaken::Replace) => after.occupy(from, None),
            (None, _) => {
                self.free_seat(user, Some(to))?;
                after.occupy(from, None);
            }
        }
        after.occupy(to, Some(user.clone()));
        Ok(self.seats_outcome(after))
    }

    /// Locks or unlocks a seat, its audio, its video.
    ///
    /// # Errors
    /// [`Error::NoSeats`]; [`Error::Invalid`] for a seat that does not exist.
    pub fn lock_seat(&self, index: u32, locks: SeatLocks) -> Result<Outcome, Error> {
        let mut seat = self.require_seat(index)?.clone();
        seat.is_locked = locks.taken.unwrap_or(seat.is_locked);
        seat.is_audio_locked = locks.audio.unwrap_or(seat.is_audio_locked);
        seat.is_video_locked = locks.video.unwrap_or(seat.is_video_locked);
        if locks.taken == Some(true) {
            seat.occupant = None;
        }
        let mut after = self.seats.clone();
        after.set(index, seat);
        Ok(self.seats_outcome(after))
    }

    /// Who sits now, and not when that is applied.
    pub fn unseated_by(&self, outcome: &Outcome) -> Vec<UserId> {
        let after = outcome.events.iter().find_map(|event| match event {
            Event::SeatsChanged { seats } => Some(seats),
            _ => None,
        });
        let Some(after) = after else { return Vec::new() };
        let sits_after = |user: &&UserId| after.iter().any(|seat| seat.occupant.as_ref() == Some(*user));
        let seated = self.seats().iter().filter_map(|seat| seat.occupant.as_ref());
        seated.filter(|user| !sits_after(user)).cloned().collect()
    }

    /// Whom a change of the seat `index` concerns: who sits there, and the owner where it is kept for it.
    ///
    /// # Errors
    /// [`Error::NoSeats`]; [`Error::Invalid`] for a seat that does not exist.
    pub fn concerned_by_seat(&self, index: u32) -> Result<Vec<UserId>, Error> {
        let mut concerned: Vec<UserId> = self.require_seat(index)?.occupant.iter().cloned().collect();
        if index == 0 && self.info().keep_owner_on_seat && !concerned.contains(&self.info().owner) {
            concerned.push(self.info().owner.clone());
        }
        Ok(concerned)
    }

    /// Where an owner who comes in is seated, in a room that keeps it a seat.
    pub(crate) fn seat_for_owner(&self, user: &UserId) -> Option<u32> {
        let first = self.seats.get(0)?;
        let keeps = self.info().keep_owner_on_seat && *user == self.info().owner && !first.is_locked;
        (keeps && first.occupant.is_none() && self.seat_of(user.as_str()).is_none()).then_some(0)
    }

    /// What turns the seats into `after`.
    fn seats_outcome(&self, after: Seats) -> Outcome {
        let changed = (0..).zip(self.seats.0.iter().zip(&after.0)).filter(|(_, (one, other))| one != other);
        let changes: Vec<Delta> = changed
            .map(|(index, (_, seat))| {
                let place = seat.occupant.as_ref().and_then(|user| self.members().place(user.as_str()));
                Delta::Seat { index, seat: seat.clone(), place, turns: self.seat_turns }
            })
            .collect();
        if changes.is_empty() {
            return Outcome::default();
        }
        Outcome { changes, events: vec![Event::SeatsChanged { seats: after.0 }] }
    }

    pub(crate) fn require_seat(&self, index: u32) -> Result<&Seat, Error> {
        self.require_seats()?;
        self.seats.get(index).ok_or_else(|| {
            let last = self.seats.0.len() - 1;
            Error::invalid("Index", format_args!("is {index}; this room's seats are 0 to {last}"))
        })
    }

    fn require_on_seat(&self, user: &UserId) -> Result<u32, Error> {
        self.require_seats()?;
        self.require_member(user)?;
        self.seat_of(user.as_str()).ok_or_else(|| Error::NotOnSeat(user.to_string()))
    }

    fn is_kept_for_another(&self, index: u32, user: &UserId) -> bool {
        index == 0 && self.info().keep_owner_on_seat && *user != self.info().owner
    }

    /// The wanted seat, or the first that `user` may take.
    fn free_seat(&self, user: &UserId, wanted: Option<u32>) -> Result<u32, Error> {
        let Some(index) = wanted else {
            let free = |(index, seat): &(u32, &Seat)| {
                seat.occupant.is_none() && !seat.is_locked && !self.is_kept_for_another(*index, user)
            };
            return (0..).zip(&self.seats.0).find(free).map(|(index, _)| index).ok_or(Error::NoSeatFree);
        };
        let seat = self.require_seat(index)?;
        if seat.is_locked {
            return Err(Error::SeatLocked(index));
        }
        if seat.occupant.is_some() || self.is_kept_for_another(index, user) {
            return Err(Error::SeatTaken(index));
        }
        Ok(index)
    }
}
