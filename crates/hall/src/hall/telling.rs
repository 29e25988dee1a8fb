//! Who hears of what, and when: with the next batch or at once; and what time alone brings about.

use std::time::Duration;

use rooms::{Event, Time};

use super::{ANSWERED_AFTER, Ending, Hall, Likes, NOT_KEPT_AFTER};
use crate::command::Refusal;
use crate::exchange::{Audience, Effect, Told};

/// The shortest time between two batches of joins and leaves: 8 a second, and never more than 10 in any second even when
/// the network bunches them.
const BATCH_INTERVAL: Duration = Duration::from_millis(125);

/// How many frames of such batches one room sends a second in all: a room with more listeners tells them less often...
const BATCH_FRAMES_PER_SECOND: usize = 5000;

/// ... but no less often than this.
const SLOWEST_BATCH_INTERVAL: Duration = Duration::from_secs(2);

impl<T> Hall<T> {
    /// Tells of events: joins, leaves and likes with the next batch, everything else at once.
    pub(super) fn tell(&mut self, events: impl IntoIterator<Item = Event>) {
        let Some(room) = &self.room else { return };
        for event in events {
            match &event {
                Event::Entered { .. } | Event::Left { .. } => self.batch.push(&event),
                Event::Liked { from, count, total } => self.likes.add(from, *count, *total),
                _ => {
                    let users = event.audience(room);
                    let to = users.map_or(Audience::All, |users| {
                        let sessions = users.iter().flat_map(|user| room.members().sessions(user.as_str()));
                        Audience::Sessions(sessions.copied().collect())
                    });
                    self.effects.push_back(Effect::Tell { to, what: Told::Event(event) });
                }
            }
        }
    }

    /// Holds what is published against the rules, which may have changed.
    pub(super) fn settle(&mut self) {
        let Some(room) = &self.room else { return };
        let settled = self.streams.settle(room, self.now);
        for (peer, session, rights) in settled.rights {
            self.effects.push_back(Effect::Rights { peer, rights });
            let to = Audience::Sessions(vec![session]);
            self.effects.push_back(Effect::Tell { to, what: Told::Rights(rights) });
        }
        let told = self.callbacks.settle(room, &settled.changed, self.now);
        let told: Vec<Event> = told.into_iter().map(Event::Rtc).collect();
        for member in settled.changed {
            self.effects.push_back(Effect::Tell { to: Audience::All, what: Told::Streams(member) });
        }
        self.close(settled.closed);
        self.settle_at = settled.again_at;
        if let Some(flows) = settled.flows {
            self.stays.note_flows(flows, self.now);
        }
        self.journal(Vec::new(), told, String::new());
    }

    pub(super) fn flush_at(&self) -> Option<Time> {
        if self.batch.is_empty() && self.likes.by.is_empty() {
            return None;
        }
        let crowd = Duration::from_secs_f64(self.turns.len() as f64 / BATCH_FRAMES_PER_SECOND as f64);
        let interval = crowd.clamp(BATCH_INTERVAL, SLOWEST_BATCH_INTERVAL);
        Some(self.flushed_at.map_or(self.now, |last| last + interval))
    }

    /// Lets time act.
    pub(super) fn pass(&mut self) {
        let now = self.now;
        let Some(room) = &mut self.room else { return };
        let mut expired = Vec::new();
        while let Some(event) = room.expire_seat_request(now) {
            expired.push(event);
        }
        let member_count = room.members().len();
        self.tell(expired);
        if self.flush_at().is_some_and(|at| at <= now) {
            self.flushed_at = Some(now);
            if let Some(changed) = self.batch.take(member_count) {
                let what = Told::Members(changed);
                self.effects.push_back(Effect::Tell { to: Audience::All, what });
            }
            let Likes { total, by } = std::mem::take(&mut self.likes);
            if !by.is_empty() {
                self.effects.push_back(Effect::Tell { to: Audience::All, what: Told::Likes { total, by } });
            }
        }
        let overdue = |since: Time, after| since + after <= now;
        let unknown = self.made.values_mut().filter(|made| overdue(made.since, ANSWERED_AFTER));
        let unknown: Vec<T> = unknown.filter_map(|made| made.ticket.take()).collect();
        let late = self.keeping.iter_mut().take_while(|keeping| overdue(keeping.since, NOT_KEPT_AFTER));
        let mut late: Vec<T> = late.filter_map(|keeping| keeping.ticket.take()).collect();
        let beyond = self.late.iter_mut().filter(|keeping| overdue(keeping.since, ANSWERED_AFTER));
        late.extend(beyond.filter_map(|keeping| keeping.ticket.take()));
        unknown.into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::Unknown)));
        late.into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::NotYetKept)));
        self.turn_away_overdue();
    }

    /// Whoever has waited long enough is answered, and what it wants is not done later.
    fn turn_away_overdue(&mut self) {
        let now = self.now;
        let is_overdue = |since: Time| since + ANSWERED_AFTER <= now;
        let wanted = self.wanted.iter();
        let overdue = wanted.filter(|(_, wanted)| wanted.ticket.is_some() && is_overdue(wanted.since));
        for id in overdue.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.plans.end(id);
            let ticket = self.wanted.remove(&id).and_then(|wanted| wanted.ticket);
            self.answer(ticket, Err(Refusal::Busy));
        }
        while let Some(Ending { waiting, .. }) = &mut self.ending
            && waiting.front().is_some_and(|(since, _)| is_overdue(*since))
            && let Some((_, input)) = waiting.pop_front()
        {
            self.turn_away(input, Refusal::Busy);
        }
        for ticket in self.reviews.pass(now, self.line_patience()) {
            self.answer(ticket, Err(Refusal::Busy));
        }
    }
}
