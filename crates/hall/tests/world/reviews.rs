//! What the app's own server is asked in the world: it answers in any order, late, more often than once or never.
//!
//! Held: a session asks one thing at a time, and its messages are told in the order in which it sent them; nothing is told of a message or
//! gift that the server has refused in time, and a message that it has changed is told as changed; whoever says something may at that
//! moment, whatever it was allowed when it asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use hall::{
    Answer, By, Command, Effect, Give, Input, Objection, Question, Refusal, Reply, Reviewed, Speech, Told,
    Verdict,
};
use rand::RngExt as _;
use rooms::{Content, Event, Gift, Room, SessionId, Time, UserId};

use super::{PlanId, World};

/// How long the server has.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// Something that was asked of the server.
pub(crate) struct Asked {
    at: usize,
    incarnation: u64,
    id: PlanId,
    question: Question,
}

/// What is said and asked in one room.
#[derive(Default)]
pub(crate) struct Reviewing {
    /// What each session asks, which is one thing.
    open: BTreeMap<SessionId, u64>,
    since: HashMap<u64, Time>,
    /// What the server does not want, and was heard in time.
    refused: BTreeSet<u64>,
    changed: BTreeSet<u64>,
    /// The last message of each session.
    said: HashMap<SessionId, u64>,
}

/// A message says who sends it, and by which ticket.
pub(crate) fn words(session: SessionId, ticket: u64) -> Content {
    Content::Text { text: format!("said {} {ticket}", session.0), extension: String::new() }
}

pub(crate) fn gift(ticket: u64) -> Gift {
    Gift { gift_id: format!("rose {ticket}"), coins: 3, ..Gift::default() }
}

/// The session and the ticket in the words of a message, and whether they were changed.
fn read(content: &Content) -> (SessionId, u64, bool) {
    let Content::Text { text, .. } = content else { panic!("{content:?}") };
    let [word, session, ticket] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    (SessionId(session.parse().unwrap()), ticket.parse().unwrap(), word == "changed")
}

fn ticket_of_gift(gift: &Gift) -> u64 {
    gift.gift_id.strip_prefix("rose ").unwrap().parse().unwrap()
}

fn ticket_of(question: &Question) -> u64 {
    match question {
        Question::Message { content, .. } => read(content).1,
        Question::Gift(give) => ticket_of_gift(&give.gift),
        Question::Beyond { .. } => panic!("{question:?}"),
    }
}

impl Reviewing {
    /// What a hall lets happen, in order.
    pub(crate) fn note(
        &mut self,
        effect: &Effect<u64>,
        room: Option<&Room>,
        by: impl Fn(u64) -> Option<SessionId>,
        now: Time,
    ) {
        match effect {
            Effect::Ask { question, .. } => {
                let ticket = ticket_of(question);
                self.since.insert(ticket, now);
                // A gift that nobody objects to goes on its way to the disk, and the next may be asked about.
                if let (Question::Message { .. }, Some(session)) = (question, by(ticket)) {
                    let other = self.open.insert(session, ticket);
                    assert_eq!(other, None, "{session:?} asks two things at once");
                }
            }
            Effect::Answer { ticket, .. } => self.open.retain(|_, asked| asked != ticket),
            Effect::Tell { what: Told::Event(Event::Message(message)), .. } => {
                let (session, ticket, is_changed) = read(&message.content);
                self.open.retain(|_, asked| *asked != ticket);
                assert!(!self.refused.contains(&ticket), "{ticket} was refused, and is told");
                assert!(is_changed || !self.changed.contains(&ticket), "{ticket} is told as it was");
                let last = self.said.insert(session, ticket);
                assert!(last < Some(ticket), "{session:?} says {ticket} after {last:?}");
                if let Some(room) = room {
                    require_may_say(room, &message.from, session, now);
                }
            }
            Effect::Tell { what: Told::Event(Event::Given(given)), .. } => {
                let ticket = ticket_of_gift(&given.gift);
                assert!(!self.refused.contains(&ticket), "gift {ticket} was refused, and is told");
            }
            _ => {}
        }
    }

    /// Who has asked is answered.
    pub(crate) fn note_answer(&self, ticket: u64, result: &Result<Answer, Refusal>) {
        let is_heard = self.refused.contains(&ticket);
        assert!(
            !is_heard || result.is_err() || *result == Ok(Answer::Dropped),
            "{ticket} was refused, and {result:?}"
        );
    }
}

fn require_may_say(room: &Room, from: &UserId, session: SessionId, now: Time) {
    assert!(room.members().sessions(from.as_str()).contains(&session), "{from} is out, and says something");
    room.require_may_speak(from, now).unwrap();
}

impl World {
    /// A question goes to the server, or gets lost.
    pub(crate) fn put_question(&mut self, at: usize, id: PlanId, question: Question) {
        let Some(incarnation) = self.places[at].as_ref().map(|place| place.incarnation) else { return };
        if self.rng.random_bool(0.9) {
            self.questions.push(Asked { at, incarnation, id, question });
        }
    }

    /// The server answers something, perhaps not for the last time.
    pub(crate) fn judge(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        let one = self.rng.random_range(0..self.questions.len());
        let is_again = self.rng.random_bool(0.1);
        let Asked { at, incarnation, id, question } = &self.questions[one];
        let (at, id, ticket) = (*at, *id, ticket_of(question));
        let is_message = matches!(question, Question::Message { .. });
        let verdict = match (self.rng.random_range(0..6), question) {
            (0, _) => Verdict::Refused(Objection { number: 1, text: String::new() }),
            (1, _) => Verdict::NotAsked,
            (2, Question::Message { .. }) => Verdict::Dropped,
            (3, Question::Message { content, .. }) => {
                let (session, ticket, _) = read(content);
                let text = format!("changed {} {ticket}", session.0);
                Verdict::Changed(Content::Text { text, extension: String::new() })
            }
            _ => Verdict::Agreed,
        };
        let place = self.places[at].as_mut().filter(|place| place.incarnation == *incarnation);
        if !is_again {
            self.questions.swap_remove(one);
        }
        let Some(place) = place else { return };
        // The first word that comes in time counts.
        let reviewing = &mut place.reviewing;
        if let Some(since) = reviewing.since.remove(&ticket)
            && self.now < since + PATIENCE
        {
            let kept = match &verdict {
                Verdict::Refused(_) | Verdict::NotAsked | Verdict::Dropped => Some(&mut reviewing.refused),
                Verdict::Changed(_) if is_message => Some(&mut reviewing.changed),
                Verdict::Changed(_) | Verdict::Agreed => None,
            };
            kept.into_iter().for_each(|kept| _ = kept.insert(ticket));
        }
        self.drive(at, Input::Asked { id, reply: Reply::Verdict(verdict) });
    }

    /// A message or a gift of a member, about which the server is asked or not.
    pub(crate) fn speak(&mut self, at: usize, by: By, user: UserId, session: SessionId) {
        let ticket = self.last + 1;
        let speech = Speech::Own(words(session, ticket));
        let command = match self.rng.random_range(0..6) {
            0..3 => Command::Reviewed(Reviewed::Message(speech)),
            3 => {
                let (gift, to) = (Box::new(gift(ticket)), Vec::new());
                Command::Reviewed(Reviewed::Gift(Give { gift, count: 1, from: user, to }))
            }
            _ => Command::Said(hall::Said::Message(speech)),
        };
        self.ask(at, by, command);
    }
}
