//! Battles (PK): rooms compete for a score until the time is up. A battle belongs to no room, but to their app.
//!
//! A battle is *created*, *starts* when the invited rooms have answered (at once when nobody is asked), and *ends*: by its
//! time, because too few are left, or unstarted because nobody joined.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Incarnation, RoomId, Time, UserId};

/// A battle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Battle {
    /// Unique in the app.
    pub id: String,
    /// The caller first, then the called.
    pub sides: Vec<Side>,
    /// How long it goes once started.
    pub duration: Duration,
    /// How long the called have to answer; `None` when nobody is asked.
    pub timeout: Option<Duration>,
    /// The app's own.
    pub extension_info: String,
    /// When it was created.
    pub created_at: Time,
    /// When it started.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Why it ended.
    pub end: Option<BattleEnd>,
}

/// One room's part in a battle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The room.
    pub room: Incarnation,
    /// Its owner when the battle was created.
    pub owner: UserId,
    /// What it has reached.
    pub score: i64,
    /// Whether it takes part.
    pub stand: Stand,
}

/// Whether a room takes part in a battle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stand {
    /// It was asked.
    Asked,
    /// It takes part.
    In,
    /// It said no, or did not answer.
    Refused,
    /// It has left.
    Out,
}

/// Why a battle ended; the numbers are those of `OpType` in `Live.CallbackAfterEndBattle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BattleEnd {
    /// Its time is up.
    TimeUp = 0,
    /// All but one have left.
    Abandoned = 1,
    /// Nobody joined.
    NeverStarted = 2,
}

/// A step in a battle's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BattleStep {
    /// It was made.
    Created,
    /// A room said yes or no.
    Answered {
        /// Which.
        room: RoomId,
        /// What it said.
        accepted: bool,
    },
    /// The clock runs.
    Started,
    /// A score was set.
    Scored,
    /// A room has left.
    Left {
        /// Which.
        room: RoomId,
    },
    /// It is over.
    Ended,
}

impl BattleStep {
    /// The event's name on the wire.
    pub const fn name(&self) -> &'static str {
        match self {
            BattleStep::Created => "battle_requested",
            BattleStep::Answered { accepted: true, .. } => "battle_accepted",
            BattleStep::Answered { accepted: false, .. } => "battle_rejected",
            BattleStep::Started => "battle_started",
            BattleStep::Scored => "battle_score_changed",
            BattleStep::Left { .. } => "battle_exited",
            BattleStep::Ended => "battle_ended",
        }
    }
}

/// The longest a battle may go.
pub const MAX_BATTLE: Duration = Duration::from_secs(24 * 3600);

impl Battle {
    /// A battle between `caller` and `called`; with a `timeout` these are asked first.
    pub fn create(
        id: String,
        caller: (Incarnation, UserId),
        called: Vec<(Incarnation, UserId)>,
        duration: Duration,
        timeout: Option<Duration>,
        extension_info: String,
        now: Time,
    ) -> (Self, Vec<BattleStep>) {
        let side = |(room, owner), stand| Side { room, owner, score: 0, stand };
        let stand = if timeout.is_some() { Stand::Asked } else { Stand::In };
        let mut sides = vec![side(caller, Stand::In)];
        sides.extend(called.into_iter().map(|called| side(called, stand)));
        let mut battle = Self {
            id,
            sides,
            duration,
            timeout,
            extension_info,
            created_at: now,
            started_at: None,
            ended_at: None,
            end: None,
        };
        let mut steps = vec![BattleStep::Created];
        battle.settle(now, &mut steps);
        (battle, steps)
    }

    /// Whether it is not over.
    pub fn is_open(&self) -> bool {
        self.ended_at.is_none()
    }

    /// Whether `room` is asked or takes part, and it is not over.
    pub fn holds(&self, room: &Incarnation) -> bool {
        self.stands(room, &[Stand::Asked, Stand::In])
    }

    /// Whether `room` takes part, and it is not over.
    pub fn has(&self, room: &Incarnation) -> bool {
        self.stands(room, &[Stand::In])
    }

    fn stands(&self, room: &Incarnation, stands: &[Stand]) -> bool {
        let is_it = |side: &Side| side.room == *room && stands.contains(&side.stand);
        self.is_open() && self.sides.iter().any(is_it)
    }

    /// When something happens by itself: the time to answer or the battle's own is over.
    pub fn deadline(&self) -> Option<Time> {
        match (self.ended_at, self.started_at, self.timeout) {
            (Some(_), ..) => None,
            (None, Some(started), _) => Some(started + self.duration),
            (None, None, Some(timeout)) => Some(self.created_at + timeout),
            (None, None, None) => None,
        }
    }

    /// A called room answers.
    ///
    /// # Errors
    /// [`Error::BattleNotFound`] when the battle is over; [`Error::NotInBattle`] when the room was not asked.
    pub fn answer(
        &mut self,
        room: &Incarnation,
        accepted: bool,
        now: Time,
    ) -> Result<Vec<BattleStep>, Error> {
        let side = self.require_side(room, &[Stand::Asked])?;
        side.stand = if accepted { Stand::In } else { Stand::Refused };
        let mut steps = vec![BattleStep::Answered { room: room.room.clone(), accepted }];
        self.settle(now, &mut steps);
        Ok(steps)
    }

    /// A room leaves; the caller of an unstarted battle takes it back with that.
    ///
    /// # Errors
    /// [`Error::BattleNotFound`] when the battle is over; [`Error::NotInBattle`] when the room does not take part.
    pub fn leave(&mut self, room: &Incarnation, now: Time) -> Result<Vec<BattleStep>, Error> {
        let is_caller = self.sides.first().is_some_and(|side| side.room == *room);
        self.require_side(room, &[Stand::In, Stand::Asked])?.stand = Stand::Out;
        let mut steps = vec![BattleStep::Left { room: room.room.clone() }];
        if is_caller && self.started_at.is_none() {
            self.finish(BattleEnd::NeverStarted, now, &mut steps);
        } else {
            self.settle(now, &mut steps);
        }
        Ok(steps)
    }

    /// The part of a room that stands in one of these ways.
    fn require_side(&mut self, room: &Incarnation, stands: &[Stand]) -> Result<&mut Side, Error> {
        if !self.is_open() {
            return Err(Error::BattleNotFound(self.id.clone()));
        }
        let side = self.sides.iter_mut().find(|side| side.room == *room && stands.contains(&side.stand));
        side.ok_or_else(|| Error::NotInBattle { room: room.to_string(), battle: self.id.clone() })
    }

    /// Sets scores, or adds to them; says for each room whether it takes part.
    ///
    /// # Errors
    /// [`Error::BattleOver`], [`Error::BattleNotBegun`].
    pub fn score(
        &mut self,
        scores: &[(RoomId, i64)],
        add: bool,
    ) -> Result<(Vec<bool>, Vec<BattleStep>), Error> {
        if !self.is_open() {
            return Err(Error::BattleOver(self.id.clone()));
        }
        if self.started_at.is_none() {
            return Err(Error::BattleNotBegun(self.id.clone()));
        }
        let known: Vec<bool> = scores
            .iter()
            .map(|(room, score)| match self.sides.iter_mut().find(|side| side.room.room == *room) {
                Some(side) => {
                    side.score = if add { side.score.saturating_add(*score) } else { *score };
                    true
                }
                None => false,
            })
            .collect();
        let steps = if known.contains(&true) { vec![BattleStep::Scored] } else { Vec::new() };
        Ok((known, steps))
    }

    /// Somebody ends it for all.
    ///
    /// # Errors
    /// [`Error::BattleNotFound`] when it is over already.
    pub fn stop(&mut self, now: Time) -> Result<Vec<BattleStep>, Error> {
        if !self.is_open() {
            return Err(Error::BattleNotFound(self.id.clone()));
        }
        let end = if self.started_at.is_some() { BattleEnd::Abandoned } else { BattleEnd::NeverStarted };
        let mut steps = Vec::new();
        self.finish(end, now, &mut steps);
        Ok(steps)
    }

    /// What time has brought.
    pub fn tick(&mut self, now: Time) -> Vec<BattleStep> {
        let mut steps = Vec::new();
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return steps;
        }
        if self.started_at.is_some() {
            self.finish(BattleEnd::TimeUp, now, &mut steps);
        } else {
            for side in &mut self.sides {
                if side.stand == Stand::Asked {
                    side.stand = Stand::Refused;
                }
            }
            self.settle(now, &mut steps);
        }
        steps
    }

    /// Starts when everyone has answered, ends when too few are left.
    fn settle(&mut self, now: Time, steps: &mut Vec<BattleStep>) {
        let count = |stand| self.sides.iter().filter(|side| side.stand == stand).count();
        let (taking_part, asked) = (count(Stand::In), count(Stand::Asked));
        match self.started_at {
            None if asked > 0 => {}
            None if taking_part >= 2 => {
                self.started_at = Some(now);
                steps.push(BattleStep::Started);
            }
            None => self.finish(BattleEnd::NeverStarted, now, steps),
            Some(_) if taking_part < 2 => self.finish(BattleEnd::Abandoned, now, steps),
            Some(_) => {}
        }
    }

    fn finish(&mut self, end: BattleEnd, now: Time, steps: &mut Vec<BattleStep>) {
        self.ended_at = Some(now);
        self.end = Some(end);
        steps.push(BattleStep::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn battle(called: &[&str], timeout: Option<u64>) -> (Battle, Vec<BattleStep>) {
        let side = |room: &str| (one(room), UserId::parse("ann").unwrap());
        let called = called.iter().map(|room| side(room)).collect();
        let (duration, timeout) = (Duration::from_secs(60), timeout.map(Duration::from_secs));
        Battle::create("b".into(), side("a"), called, duration, timeout, String::new(), at(100))
    }

    fn at(seconds: u64) -> Time {
        Time::from_unix_seconds(seconds)
    }

    fn one(room: &str) -> Incarnation {
        Incarnation { room: id(room), number: 1 }
    }

    fn id(room: &str) -> RoomId {
        RoomId::parse(room).unwrap()
    }

    #[test]
    fn without_a_timeout_it_starts_at_once_and_ends_by_its_time() {
        let (mut battle, steps) = battle(&["b"], None);
        assert_eq!(steps, [BattleStep::Created, BattleStep::Started]);
        assert_eq!(battle.tick(at(159)), []);

        assert_eq!(battle.tick(at(160)), [BattleStep::Ended]);

        assert_eq!(battle.end, Some(BattleEnd::TimeUp));
    }

    #[test]
    fn it_starts_when_all_have_answered_and_one_said_yes() {
        let (mut battle, steps) = battle(&["b", "c"], Some(10));
        assert_eq!(steps, [BattleStep::Created]);
        assert_eq!(battle.answer(&one("b"), false, at(101)).unwrap().len(), 1);

        assert_eq!(battle.answer(&one("c"), true, at(102)).unwrap().last(), Some(&BattleStep::Started));

        assert!(battle.answer(&one("c"), true, at(103)).is_err(), "it has answered already");
        assert_eq!(battle.leave(&one("c"), at(104)).unwrap().last(), Some(&BattleStep::Ended));
        assert_eq!(battle.end, Some(BattleEnd::Abandoned));
    }

    #[test]
    fn it_never_starts_when_nobody_joins_in_time_or_the_caller_takes_it_back() {
        let (mut unanswered, _) = battle(&["b"], Some(10));
        assert_eq!(unanswered.tick(at(110)), [BattleStep::Ended]);
        assert_eq!(unanswered.end, Some(BattleEnd::NeverStarted));

        let (mut taken_back, _) = battle(&["b", "c"], Some(10));
        assert_eq!(taken_back.leave(&one("a"), at(101)).unwrap().last(), Some(&BattleStep::Ended));
        assert_eq!(taken_back.end, Some(BattleEnd::NeverStarted));
    }

    #[test]
    fn scores_are_set_or_added_and_strangers_are_named() {
        let (mut battle, _) = battle(&["b"], None);
        let scores = [(id("a"), 5), (id("x"), 7)];

        assert_eq!(battle.score(&scores, true).unwrap().0, [true, false]);
        assert_eq!(battle.score(&scores, true).unwrap().1, [BattleStep::Scored]);
        assert_eq!(battle.sides.first().unwrap().score, 10);
        battle.score(&scores, false).unwrap();
        assert_eq!(battle.sides.first().unwrap().score, 5);
    }
}
