//! Automatic dismissal: a room that was given a lifetime ends when it stood empty, or without its owner, that long.

use crate::schedule::LINGERS;
use crate::{LeaveCause, Room, Time, UserId};

/// Since when the reasons to end a room hold.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    /// Nobody is in.
    pub(crate) empty_since: Option<Time>,
    /// The owner was in and went away on purpose.
    pub(crate) owner_left_at: Option<Time>,
    /// The owner was in and its connection was lost.
    pub(crate) owner_offline_at: Option<Time>,
}

impl Room {
    /// When the room is to be destroyed if nobody enters until then; `None` when it stays until it is destroyed.
    pub fn deadline(&self) -> Option<Time> {
        let info = self.info();
        let empty_since = self.absences.empty_since;
        // A booked room is there until its end, however empty it is.
        let empty = match &info.schedule {
            None => (empty_since, info.lifetime_after_no_users),
            Some(schedule) => (empty_since.map(|since| since.max(schedule.end)), Some(LINGERS)),
        };
        [
            empty,
            (self.absences.owner_left_at, info.lifetime_after_owner_leave),
            (self.absences.owner_offline_at, info.lifetime_after_owner_offline),
        ]
        .into_iter()
        .filter_map(|(since, lifetime)| Some(since? + lifetime?))
        .min()
    }

    pub(crate) fn note_entered(&mut self, user: &UserId) {
        self.absences.empty_since = None;
        if *user == self.info().owner {
            self.absences.owner_left_at = None;
            self.absences.owner_offline_at = None;
        }
    }

    pub(crate) fn note_left(&mut self, user: &str, cause: LeaveCause, now: Time) {
        if self.members().is_empty() {
            self.absences.empty_since = Some(now);
        }
        if user == self.info().owner.as_str() {
            match cause {
                LeaveCause::Interrupted => self.absences.owner_offline_at = Some(now),
                _ => self.absences.owner_left_at = Some(now),
            }
        }
    }
}
