//! Marks: numbers by which the app's own server tells members of a Conference room apart (`spec/rtc/calls.md`). They stand on a member's
//! card, and stay with it as that does.

use crate::{Card, Delta, Error, Event, Outcome, Record, Room, UserId};

/// The least number that a mark may be.
pub const FIRST_MARK: u32 = 1000;

/// How many different marks the members of a room have.
pub(crate) const MAX_MARKS: usize = 10;

impl Room {
    /// Gives users marks, or takes them away; those that one has already, or has not, are passed over.
    ///
    /// # Errors
    /// [`Error::NotAMember`] for one who is not in and is to get some, [`Error::TooManyMarks`].
    pub fn mark(&self, marks: &[(UserId, Vec<u32>)], on: bool) -> Result<Outcome, Error> {
        let mut cards: Vec<(UserId, Card)> = Vec::new();
        for (user, marks) in marks {
            if on {
                self.require_member(user)?;
            }
            let at = cards.iter().position(|(known, _)| known == user).unwrap_or_else(|| {
                cards.push((user.clone(), self.card(user.as_str()).cloned().unwrap_or_default()));
                cards.len() - 1
            });
            let Some((_, card)) = cards.get_mut(at) else { continue };
            card.marks.retain(|mark| !marks.contains(mark));
            if on {
                card.marks.extend(marks);
                card.marks.sort_unstable();
                card.marks.dedup();
            }
        }
        let before = |user: &UserId| self.card(user.as_str()).cloned().unwrap_or_default();
        cards.retain(|(user, card)| before(user) != *card);
        if on {
            self.require_few_marks(&cards)?;
        }
        let mut outcome = Outcome::default();
        for (user, card) in cards {
            outcome.changes.push(Delta::Set(Record::Card { user: user.clone(), card: card.clone() }));
            outcome.events.push(Event::CardChanged { user, card });
        }
        Ok(outcome)
    }

    /// Checks how many different marks there are with these cards.
    fn require_few_marks(&self, cards: &[(UserId, Card)]) -> Result<(), Error> {
        let others = self.cards.iter().filter(|(user, _)| cards.iter().all(|(changed, _)| changed != *user));
        let all = others.map(|(_, card)| card).chain(cards.iter().map(|(_, card)| card));
        let mut marks: Vec<u32> = all.flat_map(|card| card.marks.iter().copied()).collect();
        marks.sort_unstable();
        marks.dedup();
        match marks.len() {
            count if count > MAX_MARKS => Err(Error::TooManyMarks(count)),
            _ => Ok(()),
        }
    }
}
