//! What the room does of itself: it ends when its lifetime is over, and its robots go with their accounts.

use std::time::Duration;

use rooms::{Room, Time, UserId};

use super::{Hall, Want, Wanted};
use crate::command::{By, Planned, SYSTEM};
use crate::plans::PlanId;

/// How long the disk is left alone that has refused what the room does of itself.
const RETRY: Duration = Duration::from_secs(1);

impl<T> Hall<T> {
    /// What there is to do, and the robots that it puts out.
    fn own_want(&self, room: &Room) -> Option<(Planned, Vec<UserId>)> {
        if room.deadline().is_some_and(|at| at <= self.now) {
            return Some((Planned::Expire, Vec::new()));
        }
        let gone = &self.own.gone;
        (!gone.is_empty()).then(|| (Planned::DeleteRobots(gone.clone()), gone.clone()))
    }

    pub(super) fn own_deadline(&self, room: &Room) -> Option<Time> {
        if self.own.plan.is_some() || self.ending.is_some() {
            return None;
        }
        let due = if self.own.gone.is_empty() { room.deadline() } else { Some(self.now) };
        due.map(|at| self.own.retry_at.map_or(at, |retry| retry.max(at)))
    }

    /// What is due is wanted, and wanted again later where the disk has refused it.
    pub(super) fn see_to_itself(&mut self) {
        let Some(room) = &self.room else { return };
        if self.own_deadline(room).is_none_or(|at| at > self.now) {
            return;
        }
        let Some((command, robots)) = self.own_want(room) else { return };
        let (by, want) = (By::App(SYSTEM.into()), Want::Plan(command));
        let id = self.plans.insist(want.touches(&by, room, self.now));
        self.own.plan = Some((id, robots));
        self.wanted.insert(id, Wanted { by, room_type: None, want, ticket: None, since: self.now });
    }

    /// A plan has come to its end, done or not.
    pub(super) fn note_own(&mut self, id: PlanId, is_refused: bool) {
        let Some((_, robots)) = self.own.plan.take_if(|(own, _)| *own == id) else { return };
        self.own.retry_at = is_refused.then(|| self.now + RETRY);
        if !is_refused {
            self.own.gone.retain(|user| !robots.contains(user));
        }
    }
}
