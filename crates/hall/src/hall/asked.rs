//! What the app's own server is asked about first, and what becomes of it when it has answered, or has not.

use std::time::Duration;

use rooms::Content;

use super::{ANSWERED_AFTER, Hall, Want, Wanted};
use crate::command::{Answer, Planned, Refusal, Reviewed, Said, Speech, Verdict};
use crate::exchange::{Effect, Question};
use crate::reviews::{Place, Review};

impl<T> Hall<T> {
    pub(super) fn line_up(&mut self, review: Review<T>) {
        if let Err(ticket) = self.reviews.push(review) {
            self.answer(ticket, Err(Refusal::Busy));
        }
    }

    /// Nothing is decided while the room's end is on its way: then it is over, or goes on.
    pub(super) fn go_on_with_reviews(&mut self) {
        while self.room.is_some()
            && self.ending.is_none()
            && let Some((review, verdict, place)) = self.reviews.next()
        {
            // Also who was asked about is held to what is true by now.
            match (self.review(&review), verdict) {
                (Err(refusal), _) => self.answer(review.ticket, Err(refusal)),
                (Ok(None), _) => self.carry_on(review, None),
                (Ok(Some(question)), None) => self.put_question(review, place, question),
                (Ok(Some(_)), Some(verdict)) => self.decide(review, verdict),
            }
        }
    }

    /// Checks what stands in line, and returns what is to be asked about it, if anything is.
    fn review(&self, review: &Review<T>) -> Result<Option<Question>, Refusal> {
        let room = self.room.as_ref().ok_or(Refusal::Gone)?;
        room.require_type(review.room_type)?;
        if !review.is_asked {
            return Ok(None);
        }
        review.by.require_right(room)?;
        Ok(Some(match &review.what {
            Reviewed::Message(speech) => Question::Message {
                from: speech.check(&review.by, room, self.now)?,
                room_type: room.info().room_type,
                content: speech.content().clone(),
            },
            Reviewed::Gift(give) => {
                room.check_give(give.count)?;
                Question::Gift(give.clone())
            }
        }))
    }

    /// How long anything stands behind another of its session.
    pub(super) fn line_patience(&self) -> Duration {
        self.bounds.review + ANSWERED_AFTER
    }

    fn put_question(&mut self, review: Review<T>, place: Place, question: Question) {
        let (id, operator) = (self.plans.number(), review.by.name().to_owned());
        self.reviews.put_back(review, place, id, self.now + self.bounds.review);
        self.effects.push_back(Effect::Ask { id, operator, question });
    }

    fn decide(&mut self, review: Review<T>, verdict: Verdict) {
        let is_gift = matches!(review.what, Reviewed::Gift(_));
        let answer = match verdict {
            Verdict::Agreed => return self.carry_on(review, None),
            Verdict::Changed(words) => return self.carry_on(review, Some(words)),
            Verdict::Dropped => Ok(Answer::Dropped),
            Verdict::Refused(objection) if is_gift => Err(Refusal::GiftRefused(objection)),
            Verdict::Refused(objection) => Err(Refusal::MessageRefused(objection)),
            Verdict::NotAsked => Err(Refusal::Busy),
        };
        self.answer(review.ticket, answer);
    }

    /// Nobody has an objection.
    fn carry_on(&mut self, review: Review<T>, words: Option<Content>) {
        let Review { by, room_type, what, ticket, .. } = review;
        match what {
            Reviewed::Message(speech) => {
                let speech = words.into_iter().fold(speech, Speech::with);
                self.say(&by, Said::Message(speech), ticket);
            }
            Reviewed::Gift(give) => {
                let (want, ticket, since) = (Want::Plan(Planned::Give(give)), Some(ticket), self.now);
                self.want(Wanted { by, room_type, want, ticket, since });
            }
        }
    }
}
