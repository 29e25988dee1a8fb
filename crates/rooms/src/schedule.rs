//! Booked rooms, which are Conference rooms with a schedule: when one begins and ends, and who is invited (`spec/rtc/calls.md`).
//!
//! A schedule keeps nobody out: one may come early and stay on, and need not be invited. It says what a room is for, and how
//! long it is kept: until its end however empty it is, and no longer than 30 s empty after that.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Delta, Error, Event, Fields, Outcome, Room, RoomInfo, RoomType, Time, UserId};

/// How many may be invited to a room.
pub const MAX_INVITEES: usize = 300;

/// How long a booked room is that names no end.
const USUAL_LENGTH: Duration = Duration::from_secs(45 * 60);

/// How long a room that is past its end may stand empty.
pub(crate) const LINGERS: Duration = Duration::from_secs(30);

const START: &str = "ScheduleStartTime";
const END: &str = "ScheduleEndTime";
const INVITEES: &str = "ScheduleInviteeList_Account";

/// What a room is booked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// When it begins.
    pub start: Time,
    /// When it ends, which is later.
    pub end: Time,
    /// Who is invited, each once, in the order of inviting.
    pub invitees: Vec<UserId>,
}

/// Where a room stands in its schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomStatus {
    /// It has none.
    None,
    /// It has not begun, and nobody has come early.
    NotStarted,
    /// It has begun, or somebody is in.
    Running,
}

impl RoomStatus {
    /// The word for it on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            RoomStatus::None => "None",
            RoomStatus::NotStarted => "NotStarted",
            RoomStatus::Running => "Running",
        }
    }
}

/// A time of a schedule as callers give it, in seconds; 0 is none.
fn given(seconds: Option<u32>) -> Option<Time> {
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Time::from_unix_seconds(seconds.into()))
}

impl Schedule {
    /// The schedule of a new room, if `fields` have one.
    pub(crate) fn create(
        room_type: RoomType,
        fields: &Fields,
        now: Time,
    ) -> Result<Option<Box<Self>>, Error> {
        let (start, end) = (given(fields.schedule_start_time), given(fields.schedule_end_time));
        let invitees = fields.invitees.as_deref().unwrap_or_default();
        let Some(start) = start else {
            let without = [(end.is_some(), END), (!invitees.is_empty(), INVITEES)];
            return match without.into_iter().find(|(is_given, _)| *is_given) {
                Some((_, field)) => Err(Error::invalid(field, format_args!("needs a {START}"))),
                None => Ok(None),
            };
        };
        if room_type != RoomType::Conference {
            return Err(Error::invalid(START, "is for rooms of type Conference"));
        }
        let end = end.unwrap_or(start + USUAL_LENGTH);
        if end <= now {
            return Err(Error::invalid(END, "is past; a room cannot be booked for what is over"));
        }
        let mut schedule = Self { start, end, invitees: Vec::new() };
        schedule.require_order()?;
        schedule.invite(invitees)?;
        Ok(Some(Box::new(schedule)))
    }

    /// Changes the times that `fields` give.
    fn update(&mut self, fields: &Fields) -> Result<(), Error> {
        self.start = given(fields.schedule_start_time).unwrap_or(self.start);
        self.end = given(fields.schedule_end_time).unwrap_or(self.end);
        self.require_order()
    }

    fn require_order(&self) -> Result<(), Error> {
        if self.start < self.end {
            return Ok(());
        }
        let (start, end) = (self.start.unix_seconds(), self.end.unix_seconds());
        Err(Error::invalid(END, format_args!("is {end}, which is not after {START} {start}")))
    }

    fn invite(&mut self, users: &[UserId]) -> Result<(), Error> {
        for user in users {
            if !self.invitees.contains(user) {
                self.invitees.push(user.clone());
            }
        }
        let count = self.invitees.len();
        if count > MAX_INVITEES {
            let trouble = format_args!("would make {count} invitees; at most {MAX_INVITEES} are allowed");
            return Err(Error::invalid(INVITEES, trouble));
        }
        Ok(())
    }
}

impl RoomInfo {
    /// The times of its schedule as `fields` have them.
    pub(crate) fn set_schedule(&mut self, fields: &Fields) -> Result<(), Error> {
        match &mut self.schedule {
            Some(schedule) => schedule.update(fields),
            None if given(fields.schedule_start_time).or(given(fields.schedule_end_time)).is_some() => {
                Err(Error::invalid(START, "is of a room that was booked; this one was not"))
            }
            None => Ok(()),
        }
    }
}

impl Room {
    /// Where it stands in its schedule.
    pub fn status(&self, now: Time) -> RoomStatus {
        match &self.info().schedule {
            None => RoomStatus::None,
            Some(schedule) if now < schedule.start && self.members().is_empty() => RoomStatus::NotStarted,
            Some(_) => RoomStatus::Running,
        }
    }

    /// Invites users, or takes that back. Who is invited already, or is not, is passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a room that is not booked, and for too many.
    pub fn invite(&self, users: &[UserId], on: bool) -> Result<Outcome, Error> {
        let mut info = self.info().clone();
        let Some(schedule) = &mut info.schedule else {
            return Err(Error::invalid(
                "RoomId",
                format_args!("names a room without a {START}: it is not booked"),
            ));
        };
        let is_new = |user: &&UserId| schedule.invitees.contains(user) != on;
        let users: Vec<UserId> = users.iter().filter(is_new).cloned().collect();
        if users.is_empty() {
            return Ok(Outcome::default());
        }
        match on {
            true => schedule.invite(&users)?,
            false => schedule.invitees.retain(|user| !users.contains(user)),
        }
        Ok(Outcome::of(Delta::Info(Box::new(info)), Event::InviteesChanged { users, added: on }))
    }
}
