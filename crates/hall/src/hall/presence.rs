//! Who comes and goes: what that writes, who hears of it, and what a session is known to have.

use std::sync::Arc;

use rooms::{Client, Delta, Error, Event, LeaveCause, Record, Room, SessionId, UserId};

use super::{Hall, put};
use crate::command::{Entry, Refusal};
use crate::exchange::{Effect, Write};
use crate::notes::Happening;
use crate::streams::PeerId;

impl<T> Hall<T> {
    pub(super) fn enter(
        &mut self,
        user: &UserId,
        session: SessionId,
        turn: u64,
        password: Option<&str>,
        client: Arc<Client>,
    ) -> Result<(Entry, Vec<Event>), Refusal> {
        let room = self.room.as_mut().ok_or(Refusal::Gone)?;
        room.require_password(user, password)?;
        let own = room.members().sessions(user.as_str());
        if self.bounds.most_sessions > 0 && own.len() >= self.bounds.most_sessions && !own.contains(&session)
        {
            return Err(Refusal::Crowded(own.to_vec()));
        }
        let entered = room.enter(user, session, self.now)?;
        let (place, seen, is_new) = (entered.place, room.last_seq(), entered.session_is_new);
        let mut events = Vec::new();
        let known = self.turns.entry(session).or_default();
        *known = turn.max(*known);
        if is_new {
            events.extend(entered.event);
            let told_of = self.callbacks.enter(room, user, &client, self.now).map(Event::Rtc);
            self.stays.begin(session, user, place, client, self.now);
            let stay = self.stays.number(session);
            let mut writes = vec![
                Write::Presence { session, user: user.clone(), place, seen, stay, is_new },
                Write::Counters(room.counters()),
            ];
            note_seat(room, entered.seated, &mut writes, &mut events);
            let told = events.iter().cloned().chain(told_of).collect();
            self.note_behind(user);
            self.journal(writes, told, user.to_string());
        }
        Ok((Entry { seen, is_new }, events))
    }

    pub(super) fn leave(
        &mut self,
        user: &UserId,
        session: SessionId,
        cause: LeaveCause,
    ) -> Result<(), Error> {
        let Some(room) = &mut self.room else { return Ok(()) };
        let departure = room.leave(user, session, cause, self.now)?;
        let client = self.stays.client(session).cloned();
        self.stays.end(session, cause, self.now);
        let mut events: Vec<Event> = departure.event.into_iter().chain(departure.requests).collect();
        let mut writes = vec![Write::Absence { session, user: user.clone() }];
        note_seat(room, departure.freed, &mut writes, &mut events);
        let is_out = room.members().sessions(user.as_str()).iter().all(|other| *other == SessionId::ROBOT);
        let left =
            is_out.then(|| self.callbacks.leave(user, cause, client, self.now)).flatten().map(Event::Rtc);
        let told = events.iter().cloned().chain(left).collect();
        self.journal(writes, told, user.to_string());
        self.let_go(session, None);
        self.tell(events);
        Ok(())
    }

    /// That somebody is in is going to be written behind the plans that are on their way.
    fn note_behind(&mut self, user: &UserId) {
        for made in self.made.values_mut() {
            let is_its =
                |change: &Delta| matches!(change, Delta::PutOut { user: other, .. } if other == user);
            if !made.behind.contains(user) && made.outcome.changes.iter().any(is_its) {
                made.behind.push(user.clone());
            }
        }
    }

    /// A session that is out listens no more, and nothing of it flows.
    pub(super) fn let_go(&mut self, session: SessionId, cause: Option<LeaveCause>) {
        self.turns.remove(&session);
        let peers: Vec<PeerId> = self.streams.end(session).collect();
        self.close(peers);
        self.effects.push_back(Effect::Unlisten { session, cause });
    }

    /// Whether something is known of a session that it said later.
    pub(super) fn is_overtaken(&self, session: SessionId, turn: u64) -> bool {
        self.turns.get(&session).is_some_and(|known| *known > turn)
    }

    pub(super) fn back(&mut self, user: &UserId, session: SessionId, turn: u64, seen: u64) {
        let Some(room) = self.room.as_ref().filter(|_| self.turns.contains_key(&session)) else { return };
        // Also where this was overtaken: the connection knows for what it waits.
        let messages = room.messages_after(seen).cloned().collect();
        let wanted = self.streams.wanted_of(session).to_vec();
        self.effects.push_back(Effect::CatchUp { session, turn, messages, wanted });
        let told = vec![Event::Recovered { user: user.clone() }];
        self.note(user, session, turn, seen, Happening::Back, told);
    }

    /// What a session has by now, if it is in.
    pub(super) fn note(
        &mut self,
        user: &UserId,
        session: SessionId,
        turn: u64,
        seen: u64,
        what: Happening,
        told: Vec<Event>,
    ) {
        if self.is_overtaken(session, turn) {
            return;
        }
        let Some(known) = self.turns.get_mut(&session) else { return };
        *known = turn;
        self.stays.note(session, what, self.now);
        let place = self.room.as_ref().and_then(|room| room.members().place(user.as_str()));
        let Some(place) = place else { return debug_assert!(false, "{session:?} is in without its user") };
        self.note_behind(user);
        let user_id = user.clone();
        let stay = self.stays.number(session);
        let writes = vec![Write::Presence { session, user: user_id, place, seen, stay, is_new: false }];
        self.journal(writes, told, user.to_string());
    }
}

fn note_seat(room: &Room, seat: Option<Record>, writes: &mut Vec<Write>, events: &mut Vec<Event>) {
    if let Some(record) = seat {
        writes.push(put(record));
        events.push(Event::SeatsChanged { seats: room.seats().to_vec() });
    }
}
