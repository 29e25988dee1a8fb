//! Plans, from when they may be made: to the disk, and from there into the room, told and answered.

use std::collections::VecDeque;

use rooms::{Delta, Event, Keep, LeaveCause, Outcome, PresenceBatch, SessionId, Time, UserId};

use super::{Ending, Hall, Keeping, Likes, Made, Want, Wanted};
use crate::command::{Answer, By, Refusal, Refused, Upshot};
use crate::exchange::{Durably, Effect, Question, Write};
use crate::plans::{PlanId, Touches};

impl<T> Hall<T> {
    pub(super) fn plan_what_may(&mut self) {
        while let Some(room) = &mut self.room {
            let (wanted, now) = (&self.wanted, self.now);
            let touches = |id| match wanted.get(&id) {
                Some(wanted) => wanted.want.touches(&wanted.by, room, now),
                None => Touches::none(),
            };
            let Some(id) = self.plans.begin(touches) else { return };
            let Some(Wanted { by, room_type, want, ticket, since }) = self.wanted.remove(&id) else {
                debug_assert!(false, "{id:?} waits and nobody wants it");
                self.plans.end(id);
                continue;
            };
            let is_right = room.require_type(room_type).map_err(Refusal::Rule);
            let planned = match want {
                Want::Plan(command) => is_right.and_then(|()| command.plan(&by, room, now)).map(Some),
                Want::Ask(wish) => {
                    let is_right = is_right.and_then(|()| by.require_right(room).map_err(Refusal::Rule));
                    is_right.map(|()| {
                        self.plans.set_aside(id);
                        let question = Question::Beyond { owner: room.info().owner.clone(), wish };
                        let operator = by.name().to_owned();
                        self.effects.push_back(Effect::Ask { id, operator, question });
                        None
                    })
                }
            };
            match planned {
                Ok(Some((upshot, outcome))) => self.hand_over(id, by, upshot, outcome, (ticket, since)),
                Ok(None) => {
                    self.asking.extend(ticket.map(|ticket| (id, ticket)));
                }
                Err(refusal) => {
                    self.plans.end(id);
                    self.note_own(id, false);
                    self.answer(ticket, Err(refusal));
                }
            }
        }
    }

    /// A plan goes to the disk.
    fn hand_over(
        &mut self,
        id: PlanId,
        by: By,
        upshot: Upshot,
        outcome: Outcome,
        (ticket, since): (Option<T>, Time),
    ) {
        let mut writes: Vec<Write> = outcome.changes.iter().flat_map(Delta::keeps).map(Write::Keep).collect();
        let info = outcome.changes.iter().find_map(|change| match change {
            Delta::Info(info) => Some(info.clone()),
            _ => None,
        });
        let ends = match upshot {
            Upshot::End(cause) => Some(cause),
            _ => None,
        };
        writes.extend(ends.map(Write::End));
        let is_kept = !writes.is_empty();
        if is_kept {
            let (told, operator) = (outcome.events.clone(), by.name().to_owned());
            self.store(Effect::Store { how: Durably::Commit(id), writes, told, operator, info });
        }
        // From here on nothing of the room is written until it is known whether there is one.
        if ends.is_some() {
            self.ending = Some(Ending { held: Vec::new(), waiting: VecDeque::new() });
        }
        let result = (!is_kept).then_some(Ok(()));
        let made = Made { by, upshot, outcome, behind: Vec::new(), ticket, since, result };
        self.made.insert(id, made);
        if !is_kept {
            self.apply_what_may();
        }
    }

    pub(super) fn stored(&mut self, id: PlanId, result: Result<(), Refused>) {
        let late = self.late.iter().position(|late| late.id == id).map(|at| self.late.swap_remove(at));
        let keeping = late.or_else(|| {
            let at = self.keeping.iter().position(|keeping| keeping.id == id)?;
            self.keeping.remove(at)
        });
        if let Some(Keeping { ticket, answer, .. }) = keeping {
            return self.answer(ticket, result.map(|()| answer).map_err(|_| Refusal::NotYetKept));
        }
        match self.made.get_mut(&id) {
            Some(made) => made.result = Some(result),
            None => debug_assert!(false, "{id:?} was not on its way"),
        }
        self.apply_what_may();
    }

    /// Applies what is on disk, in the order in which it was planned.
    fn apply_what_may(&mut self) {
        while let Some(id) = self.plans.first()
            && self.made.get(&id).is_some_and(|made| made.result.is_some())
            && let Some(mut made) = self.made.remove(&id)
        {
            self.is_settled = false;
            let result = made.result.take().unwrap_or(Ok(()));
            let is_refused = result.is_err();
            match result {
                Ok(()) => self.apply(made),
                Err(refused) => self.give_up(made, refused),
            }
            self.plans.end(id);
            self.note_own(id, is_refused);
        }
    }

    fn give_up(&mut self, made: Made<T>, refused: Refused) {
        if let Some(room) = &mut self.room {
            room.give_up(&made.outcome, self.now);
        }
        self.answer(made.ticket, Err(Refusal::Store(refused)));
        if matches!(made.upshot, Upshot::End(_))
            && let Some(Ending { held, waiting }) = self.ending.take()
        {
            // The room goes on: what has happened in it is written after all, and who waited comes in.
            self.effects.extend(held);
            waiting.into_iter().for_each(|(_, input)| self.take(input));
        }
    }

    fn apply(&mut self, made: Made<T>) {
        let Made { by, upshot, outcome, behind, ticket, since, .. } = made;
        if let Upshot::End(cause) = upshot {
            return self.end(cause, ticket);
        }
        let Some(room) = &mut self.room else { return };
        // Members have heard who came and went while the plan was on its way: they hear what it changes now.
        let concerned: Vec<(UserId, LeaveCause, bool)> = outcome
            .changes
            .iter()
            .filter_map(|change| match change {
                Delta::PutOut { user, cause, .. } => Some((user, *cause)),
                Delta::AddRobot { user, .. } | Delta::DropRobot { user, .. } => {
                    Some((user, LeaveCause::Leave))
                }
                _ => None,
            })
            .map(|(user, cause)| (user.clone(), cause, room.members().contains(user.as_str())))
            .collect();
        let (mut late, mut put_out, mut robots) = (Outcome::default(), Vec::new(), Vec::new());
        let mut left = Vec::new();
        let mut has_gift = false;
        for change in outcome.changes {
            if let Delta::AddRobot { user, .. } = &change {
                robots.push(user.clone());
            }
            has_gift |= matches!(change, Delta::Gift { .. });
            if let Delta::PutOut { user, cause, .. } = &change {
                left.extend(self.callbacks.leave(user, *cause, None, self.now).map(Event::Rtc));
            }
            let effects = room.apply(change, self.now);
            late.changes.extend(effects.late.changes);
            late.events.extend(effects.late.events);
            put_out.extend(effects.put_out);
        }
        let answer = match upshot {
            Upshot::SeatOf(user) => Answer::Seat(room.seat_of(user.as_str())),
            Upshot::Answer(answer) => answer,
            Upshot::End(_) => Answer::Done,
        };
        let counters = Write::Counters(room.counters());
        for (user, cause, was_in) in concerned {
            match (was_in, room.members().contains(user.as_str())) {
                (true, false) => self.batch.push(&Event::Left { user, cause }),
                (false, true) => self.batch.push(&Event::Entered { user }),
                _ => {}
            }
        }
        for (session, cause) in put_out {
            if session != SessionId::ROBOT {
                self.stays.end(session, cause, self.now);
                self.let_go(session, Some(cause));
            }
        }
        self.journal(Vec::new(), left, by.name().to_owned());
        let is_presence = |event: &Event| matches!(event, Event::Entered { .. } | Event::Left { .. });
        let events = outcome.events.into_iter().chain(late.events.iter().cloned());
        self.tell(events.filter(|event| !is_presence(event)));
        if !robots.is_empty() {
            self.effects.push_back(Effect::Confirm(robots));
        }
        let mut writes: Vec<Write> = late.changes.iter().flat_map(Delta::keeps).map(Write::Keep).collect();
        writes.extend(behind.into_iter().map(|user| Write::Keep(Keep::DeleteMember(user))));
        if writes.is_empty() {
            if has_gift || !late.events.is_empty() {
                let writes = has_gift.then_some(counters).into_iter().collect();
                self.journal(writes, late.events, by.name().to_owned());
            }
            self.answer(ticket, Ok(answer));
        } else {
            // What was acknowledged is on disk, also where it went beyond the plan.
            writes.extend(has_gift.then_some(counters));
            let id = self.plans.number();
            self.late.push(Keeping { id, ticket, answer, since });
            self.keep(id, writes, late.events, by.name());
        }
    }

    /// The room is over, on disk too: nobody is in any more, nothing flows, and who waits is told.
    fn end(&mut self, cause: LeaveCause, ticket: Option<T>) {
        let Some(room) = self.room.take() else { return };
        let users = room.members().after(0).map(|(_, user)| user);
        let sessions: Vec<SessionId> = users
            .flat_map(|user| room.members().sessions(user.as_str()))
            .copied()
            .filter(|session| *session != SessionId::ROBOT)
            .collect();
        self.stays.end_all(cause, self.now);
        self.put_notes();
        let peers = self.streams.end_all();
        self.close(peers);
        for session in sessions {
            self.effects.push_back(Effect::Unlisten { session, cause: Some(cause) });
        }
        self.turns.clear();
        (self.batch, self.likes) = (PresenceBatch::default(), Likes::default());
        // Whoever hears of the end by an answer finds nothing of the room any more.
        self.effects.push_back(Effect::Over);
        let (counters, senders) = (room.counters(), room.sender_count());
        self.answer(ticket, Ok(Answer::Statistic { counters, senders }));
        for id in self.plans.drain() {
            if let Some(wanted) = self.wanted.remove(&id) {
                self.answer(wanted.ticket, Err(Refusal::Gone));
            }
        }
        // What was told before the end is on disk before it.
        let late = std::mem::take(&mut self.late);
        for keeping in std::mem::take(&mut self.keeping).into_iter().chain(late) {
            self.answer(keeping.ticket, Ok(keeping.answer));
        }
        self.reviews.drain().into_iter().for_each(|ticket| self.answer(ticket, Err(Refusal::Gone)));
        let waiting = self.ending.take().map(|ending| ending.waiting);
        waiting.into_iter().flatten().for_each(|(_, input)| self.refuse(input));
    }
}
