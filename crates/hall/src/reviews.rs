//! What the app's own server is asked before it is done, a message or a gift, and what stands in line behind that.
//!
//! A session asks one thing at a time, so that its messages keep their order: what it says meanwhile stands in line. Until the
//! server has answered, or the time for that is over, nothing has changed and nobody has heard of anything. Then the command is
//! checked again from the start.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashSet;
use rooms::{RoomType, SessionId, Time};

use crate::command::{By, Reviewed, Verdict};
use crate::plans::PlanId;

/// How many may stand here, of a room.
const MOST: usize = 256;

enum Stage {
    /// Nobody was asked yet.
    InLine,
    Asked {
        id: PlanId,
        until: Time,
    },
    Heard(Verdict),
}

/// A command that stands here.
pub(crate) struct Review<T> {
    pub(crate) by: By,
    pub(crate) room_type: Option<RoomType>,
    pub(crate) what: Reviewed,
    /// Otherwise it only stands behind another of its session.
    pub(crate) is_asked: bool,
    pub(crate) ticket: T,
    /// When it came.
    pub(crate) since: Time,
}

/// All that stand here, in the order in which they came.
pub(crate) struct Reviews<T> {
    line: VecDeque<(Review<T>, Stage)>,
    /// Nothing has changed by which one could go on since that was looked at.
    is_still: bool,
}

impl<T> Default for Reviews<T> {
    fn default() -> Self {
        Self { line: VecDeque::new(), is_still: true }
    }
}

impl<T> Reviews<T> {
    /// One more, at the end.
    ///
    /// # Errors
    /// Too many stand here: whose it is.
    pub(crate) fn push(&mut self, review: Review<T>) -> Result<(), T> {
        if self.line.len() >= MOST {
            return Err(review.ticket);
        }
        self.is_still = false;
        self.line.push_back((review, Stage::InLine));
        Ok(())
    }

    /// Whether something of a session's stands here.
    pub(crate) fn has(&self, by: &By) -> bool {
        let session = by.session();
        session.is_ok() && self.line.iter().any(|(review, _)| review.by.session() == session)
    }

    /// The first that may go on: it was [asked](Self::put_back) and has an answer, or nothing of its session's stands before it.
    pub(crate) fn next(&mut self) -> Option<(Review<T>, Option<Verdict>, Place)> {
        if std::mem::replace(&mut self.is_still, true) {
            return None;
        }
        let mut before: HashSet<SessionId, foldhash::fast::RandomState> = HashSet::default();
        let at = self.line.iter().position(|(review, stage)| {
            let session = review.by.session();
            let is_first = session.is_err() || session.is_ok_and(|(_, session)| before.insert(session));
            matches!(stage, Stage::Heard(_)) || is_first && matches!(stage, Stage::InLine)
        })?;
        self.is_still = false;
        let (review, stage) = self.line.remove(at)?;
        let verdict = match stage {
            Stage::Heard(verdict) => Some(verdict),
            Stage::InLine | Stage::Asked { .. } => None,
        };
        Some((review, verdict, Place(at)))
    }

    /// It was asked about, and stands where it stood.
    pub(crate) fn put_back(&mut self, review: Review<T>, Place(at): Place, id: PlanId, until: Time) {
        self.line.insert(at.min(self.line.len()), (review, Stage::Asked { id, until }));
    }

    /// The app's server has answered. Too late is nothing new.
    pub(crate) fn hear(&mut self, id: PlanId, verdict: Verdict) {
        let is_it = |stage: &Stage| matches!(stage, Stage::Asked { id: asked, .. } if *asked == id);
        if let Some((_, stage)) = self.line.iter_mut().find(|(_, stage)| is_it(stage)) {
            *stage = Stage::Heard(verdict);
            self.is_still = false;
        }
    }

    /// When something is due.
    pub(crate) fn deadline(&self, patience: Duration) -> Option<Time> {
        let due = self.line.iter().map(|(review, stage)| match stage {
            Stage::InLine | Stage::Heard(_) => review.since + patience,
            Stage::Asked { until, .. } => *until,
        });
        due.min()
    }

    /// Whoever was asked and has not answered has no objection. Returns those who stood here for longer than `patience` and are asked
    /// about nothing: what was answered stands on while the room's end is on its way to a disk that says nothing.
    pub(crate) fn pass(&mut self, now: Time, patience: Duration) -> Vec<T> {
        let mut late = Vec::new();
        for (review, mut stage) in std::mem::take(&mut self.line) {
            match &stage {
                Stage::InLine | Stage::Heard(_) if review.since + patience <= now => {
                    late.push(review.ticket);
                    continue;
                }
                Stage::Asked { until, .. } if *until <= now => {
                    stage = Stage::Heard(Verdict::Agreed);
                    self.is_still = false;
                }
                _ => {}
            }
            self.line.push_back((review, stage));
        }
        late
    }

    /// The room is over: who stands here, in order.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        std::mem::take(&mut self.line).into_iter().map(|(review, _)| review.ticket).collect()
    }
}

/// Where something stood.
pub(crate) struct Place(usize);
