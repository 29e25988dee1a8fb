//! What is asked of a room: what is said is told at once and kept a moment later, what passes is done at once, and everything else
//! waits until it may be planned.

use rooms::{Error, Event, RoomType};

use super::{Hall, Keeping, Want, Wanted};
use crate::command::{self, Answer, By, Command, Passing, Refusal, Reviewed, Said};
use crate::exchange::{Audience, Effect, Told, Write};
use crate::notes::Happening;
use crate::reviews::Review;

impl<T> Hall<T> {
    pub(super) fn ask(&mut self, by: By, room_type: Option<RoomType>, command: Command, ticket: T) {
        let Some(room) = &mut self.room else { return self.answer(ticket, Err(Refusal::Gone)) };
        if let Err(error) = room.require_type(room_type) {
            return self.answer(ticket, Err(error.into()));
        }
        let want = match command {
            Command::Planned(command) => Want::Plan(command),
            Command::Beyond(wish) => Want::Ask(wish),
            Command::Reviewed(what) => {
                let (is_asked, since) = (true, self.now);
                return self.line_up(Review { by, room_type, what, is_asked, ticket, since });
            }
            Command::Said(Said::Message(speech)) if self.reviews.has(&by) => {
                let (what, is_asked, since) = (Reviewed::Message(speech), false, self.now);
                return self.line_up(Review { by, room_type, what, is_asked, ticket, since });
            }
            Command::Said(said) => return self.say(&by, said, ticket),
            Command::Passing(passing) => {
                let result = self.pass_on(&by, passing);
                return match result {
                    Ok((answer, event)) => {
                        self.tell(event);
                        self.answer(ticket, Ok(answer));
                    }
                    Err(refusal) => self.answer(ticket, Err(refusal)),
                };
            }
        };
        let since = self.now;
        self.want(Wanted { by, room_type, want, ticket: Some(ticket), since });
    }

    /// Something is to be planned as soon as it may.
    pub(super) fn want(&mut self, wanted: Wanted<T>) {
        let Some(room) = &self.room else { return self.answer(wanted.ticket, Err(Refusal::Gone)) };
        match self.plans.want(wanted.want.touches(&wanted.by, room, self.now)) {
            Ok(id) => drop(self.wanted.insert(id, wanted)),
            Err(_) => self.answer(wanted.ticket, Err(Refusal::Busy)),
        }
    }

    pub(super) fn say(&mut self, by: &By, said: Said, ticket: T) {
        let Some(room) = &mut self.room else { return self.answer(ticket, Err(Refusal::Gone)) };
        let is_untold = said.is_untold();
        let event = match said.say(by, room, self.now) {
            Ok(event) => event,
            Err(error) => return self.answer(ticket, Err(error.into())),
        };
        let (mut writes, answer) = match &event {
            Event::Message(message) => {
                let (id, seq, sent_at) = (message.id.clone(), message.seq, message.sent_at);
                (vec![Write::Message(message.clone())], Answer::Message { id, seq, sent_at })
            }
            _ => (Vec::new(), Answer::Likes(room.counters().likes)),
        };
        writes.push(Write::Counters(room.counters()));
        let told = if is_untold { Vec::new() } else { vec![event.clone()] };
        let (id, ticket, since) = (self.plans.number(), Some(ticket), self.now);
        self.keeping.push_back(Keeping { id, ticket, answer, since });
        self.keep(id, writes, told, by.name());
        self.tell([event]);
    }

    fn pass_on(&mut self, by: &By, passing: Passing) -> Result<(Answer, Option<Event>), Refusal> {
        let now = self.now;
        let room = self.room.as_mut().ok_or(Refusal::Gone)?;
        by.require_right(room)?;
        self.is_settled &= matches!(passing, Passing::Want { .. });
        let mut answer = Answer::Done;
        match passing {
            Passing::ApplyForSeat { index, timeout } => {
                let request = room.apply_for_seat(by.session()?.0, index, timeout, now)?;
                let (answer, event) = command::requested(request);
                return Ok((answer, Some(event)));
            }
            Passing::InviteToSeat { guest, index, timeout } => {
                let request = room.invite_to_seat(by.session()?.0, &guest, index, timeout, now)?;
                let (answer, event) = command::requested(request);
                return Ok((answer, Some(event)));
            }
            Passing::Publish { peer, offer } => {
                let (user, session) = by.session()?;
                let former = self.streams.publish(session, user, peer, &offer);
                self.stays.note_connected(session, now);
                self.callbacks.come_back(user);
                self.close(former);
                self.settle();
                let rights = self.streams.rights_on(peer).unwrap_or_default();
                // Once more: what has not changed for the room may be new to the connection.
                self.effects.push_back(Effect::Rights { peer, rights });
                answer = Answer::Rights(rights);
            }
            Passing::Unpublish => {
                let (user, session) = by.session()?;
                let peer = self.streams.unpublish(session);
                self.callbacks.come_back(user);
                self.close(peer);
            }
            Passing::Watch { peer } => {
                let (user, session) = by.session()?;
                let former = self.streams.watch(Some(session), user, peer);
                self.stays.note_connected(session, now);
                self.close(former);
            }
            Passing::Unwatch => {
                let peer = self.streams.unwatch(by.session()?.1);
                self.close(peer);
            }
            Passing::Play { user, peer, most } => {
                if most > 0 && room.playing_of(user.as_str()) >= most {
                    return Err(Refusal::PlaysEnough);
                }
                room.begin_play(&user, now)?;
                self.streams.watch(None, &user, peer);
            }
            Passing::EndPlayers(users) => users.iter().for_each(|user| room.end_all_play(user)),
            Passing::MuteStream { device, is_muted } => {
                if !self.streams.set_muted(by.session()?.1, device, is_muted) {
                    let trouble = "is of a stream that you do not publish";
                    return Err(Error::invalid("StreamType", trouble).into());
                }
            }
            Passing::CloseStream { user, device } => {
                room.require_above(by.session()?.0, std::slice::from_ref(&user))?;
                room.require_member(&user)?;
                self.streams.close(user.as_str(), device);
            }
            Passing::LosePeer { peer, session, was_publisher } => {
                let Some(user) = self.streams.lose(peer) else { return Ok((answer, None)) };
                if was_publisher {
                    self.callbacks.lose(&user, now);
                }
                match session {
                    // It was a player that is only counted.
                    None => room.end_play(&user),
                    Some(session) => {
                        self.stays.note(session, Happening::MediaLost, now);
                        let to = Audience::Sessions(vec![session]);
                        self.effects.push_back(Effect::Tell { to, what: Told::MediaLost(was_publisher) });
                    }
                }
            }
            Passing::Want { peer, session, wanted } => {
                if self.streams.note_wanted(peer, wanted.clone()) {
                    let to = Audience::Sessions(vec![session]);
                    self.effects.push_back(Effect::Tell { to, what: Told::Wanted(wanted) });
                }
            }
        }
        Ok((answer, None))
    }
}
