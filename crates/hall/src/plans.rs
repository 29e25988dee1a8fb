//! Which plans of a machine may be on their way to the disk together.
//!
//! A plan is made under the rules from what is in memory, goes to the disk, and is applied when it is there. Until then
//! nobody may plan from what it is going to change. So a plan says what it reads and writes: its [`Touches`]. One that
//! conflicts with none that is on its way, nor with one that waits before it, begins at once and shares the next commit; any
//! other waits, in order, and is made when those are applied, never before.
//!
//! Invariants: of two plans that conflict, the one that came first is applied before the other is made. Plans are applied in
//! the order in which they were made, which is that of their changes on the disk.

use std::collections::VecDeque;

use rooms::{Incarnation, RoomId, UserId};
use smallvec::SmallVec;

/// How many plans of a machine there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// On their way to the disk.
    pub(crate) on_the_way: usize,
    /// Waiting.
    pub(crate) waiting: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { on_the_way: 64, waiting: 1024 }
    }
}

/// Something that plans read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touch {
    /// Who sits where, and the requests for it.
    Seats,
    /// All metadata together, since its size is limited.
    Metadata,
    /// A user: whether it is in, banned or muted, and what it is called.
    User(UserId),
    /// What a user has given.
    Gifts(UserId),
    /// What a room has part in beyond itself.
    Room(Incarnation),
    /// A battle.
    Battle(String),
    /// The record of an app.
    Record,
    /// Its catalogue of gifts.
    Catalogue,
    /// The name of a room.
    Name(RoomId),
}

/// What a plan reads and writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touches {
    is_all: bool,
    reads: SmallVec<[Touch; 1]>,
    writes: SmallVec<[Touch; 2]>,
}

impl Touches {
    /// Everything, as a change of the room's record, of its roles or of how many may come in does: nobody else plans
    /// meanwhile.
    pub fn all() -> Self {
        Self { is_all: true, ..Self::default() }
    }

    /// Nothing yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// It reads this too.
    #[must_use]
    pub fn reads(mut self, touch: Touch) -> Self {
        self.reads.push(touch);
        self
    }

    /// It writes this too.
    #[must_use]
    pub fn writes(mut self, touch: Touch) -> Self {
        self.writes.push(touch);
        self
    }

    /// It writes what concerns these users too.
    #[must_use]
    pub fn writes_users<'a>(mut self, users: impl IntoIterator<Item = &'a UserId>) -> Self {
        self.writes.extend(users.into_iter().cloned().map(Touch::User));
        self
    }

    /// What happens to a user on its seat, or on the way to one.
    pub fn seat_of(user: &UserId) -> Self {
        Self::none().writes(Touch::Seats).writes(Touch::User(user.clone()))
    }

    /// Whether one of the two writes what the other reads or writes.
    pub fn conflicts(&self, other: &Self) -> bool {
        let meets = |writes: &[Touch], other: &Self| {
            writes.iter().any(|touch| other.writes.contains(touch) || other.reads.contains(touch))
        };
        self.is_all || other.is_all || meets(&self.writes, other) || meets(&other.writes, self)
    }
}

/// A plan, from when it is wanted until it is applied or given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(u64);

/// More wait than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

struct Plan {
    id: PlanId,
    touches: Touches,
}

/// The plans of one machine.
#[derive(Default)]
pub(crate) struct Plans {
    bounds: Bounds,
    last: u64,
    /// In the order in which they were made.
    on_the_way: VecDeque<Plan>,
    /// Those that wait for somebody else's answer, who comes when he comes.
    aside: Vec<Plan>,
    /// In the order in which they came.
    waiting: VecDeque<Plan>,
}

impl Plans {
    pub(crate) fn with(bounds: Bounds) -> Self {
        Self { bounds, ..Self::default() }
    }

    /// Somebody wants to plan. Until [`Self::end`] the plan stands in line.
    ///
    /// # Errors
    /// [`TooMany`] wait already.
    pub(crate) fn want(&mut self, touches: Touches) -> Result<PlanId, TooMany> {
        if self.waiting.len() >= self.bounds.waiting {
            return Err(TooMany);
        }
        Ok(self.insist(touches))
    }

    /// The same for what must be done, however many wait.
    pub(crate) fn insist(&mut self, touches: Touches) -> PlanId {
        let id = self.number();
        self.waiting.push_back(Plan { id, touches });
        id
    }

    /// A number that no plan has.
    pub(crate) fn number(&mut self) -> PlanId {
        self.last += 1;
        PlanId(self.last)
    }

    /// The first that waits and may be made now, which is on its way from here on. `touches` says what one touches by now.
    pub(crate) fn begin(&mut self, touches: impl Fn(PlanId) -> Touches) -> Option<PlanId> {
        if self.on_the_way.len() + self.aside.len() >= self.bounds.on_the_way {
            return None;
        }
        for at in 0..self.waiting.len() {
            let id =
                self.waiting.get(at).filter(|plan| self.may_begin(at, &plan.touches)).map(|plan| plan.id);
            let Some(id) = id else { continue };
            let touches = touches(id);
            if self.may_begin(at, &touches) {
                self.waiting.remove(at);
                self.on_the_way.push_back(Plan { id, touches });
                return Some(id);
            }
            if let Some(plan) = self.waiting.get_mut(at) {
                plan.touches = touches;
            }
        }
        None
    }

    /// Those on their way, in the order in which they were made.
    pub(crate) fn on_their_way(&self) -> impl Iterator<Item = PlanId> {
        self.on_the_way.iter().map(|plan| plan.id)
    }

    /// A plan that is on its way waits for somebody else's answer, and keeps none from being applied: only those that
    /// conflict with it from being made.
    pub(crate) fn set_aside(&mut self, id: PlanId) {
        let at = self.on_the_way.iter().position(|plan| plan.id == id);
        self.aside.extend(at.and_then(|at| self.on_the_way.remove(at)));
    }

    /// The plan that is to be applied next, of those on their way.
    pub(crate) fn first(&self) -> Option<PlanId> {
        self.on_their_way().next()
    }

    /// A plan was applied, given up, or is wanted no more.
    pub(crate) fn end(&mut self, id: PlanId) {
        self.on_the_way.retain(|plan| plan.id != id);
        self.aside.retain(|plan| plan.id != id);
        self.waiting.retain(|plan| plan.id != id);
    }

    /// The room is over: who waits, in order.
    pub(crate) fn drain(&mut self) -> Vec<PlanId> {
        self.on_the_way.clear();
        self.aside.clear();
        self.waiting.drain(..).map(|plan| plan.id).collect()
    }

    fn may_begin(&self, at: usize, touches: &Touches) -> bool {
        let mut before = self.on_the_way.iter().chain(&self.aside).chain(self.waiting.iter().take(at));
        !before.any(|plan| plan.touches.conflicts(touches))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn of(name: &str) -> Touches {
        Touches::none().writes(Touch::User(user(name)))
    }

    #[test]
    fn what_conflicts() {
        let reader = Touches::none().reads(Touch::User(user("ann")));
        let table = [
            (of("ann"), of("ben"), false),
            (of("ann"), of("ann"), true),
            (of("ann"), reader.clone(), true),
            (reader.clone(), reader.clone(), false),
            (reader.writes(Touch::Seats), Touches::none().writes(Touch::Seats), true),
            (of("ann"), Touches::none().writes(Touch::Gifts(user("ann"))), false),
            (Touches::all(), Touches::none(), true),
        ];
        for (one, other, expected) in table {
            assert_eq!(one.conflicts(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.conflicts(&one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn whoever_conflicts_waits_and_is_not_overtaken() {
        let mut plans = Plans::default();
        let touches = [of("ann"), Touches::all(), of("ben")];
        let ids: Vec<PlanId> = touches.iter().map(|touches| plans.want(touches.clone()).unwrap()).collect();
        let of = |id| touches[ids.iter().position(|known| *known == id).unwrap()].clone();

        assert_eq!((plans.begin(of), plans.begin(of)), (Some(ids[0]), None));
        plans.end(ids[0]);
        // The third would not be in the first's way, but the second waits before it.
        assert_eq!((plans.begin(of), plans.begin(of)), (Some(ids[1]), None));
        plans.end(ids[1]);
        assert_eq!(plans.begin(of), Some(ids[2]));
        plans.end(ids[2]);
        assert!(plans.on_the_way.is_empty() && plans.waiting.is_empty());
    }

    #[test]
    fn what_is_set_aside_keeps_others_from_being_made_and_none_from_being_applied() {
        let mut plans = Plans::default();
        let touches = [of("ann"), of("ben"), of("ann")];
        let ids: Vec<PlanId> = touches.iter().map(|touches| plans.want(touches.clone()).unwrap()).collect();
        let of = |id| touches[ids.iter().position(|known| *known == id).unwrap()].clone();
        assert_eq!((plans.begin(of), plans.begin(of)), (Some(ids[0]), Some(ids[1])));

        plans.set_aside(ids[0]);

        assert_eq!((plans.first(), plans.begin(of)), (Some(ids[1]), None));
        plans.end(ids[0]);
        assert_eq!(plans.begin(of), Some(ids[2]));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut plans = Plans::default();
        for _ in 0..plans.bounds.waiting {
            plans.want(Touches::all()).unwrap();
        }
        assert_eq!(plans.want(Touches::none()), Err(TooMany));
        plans.insist(Touches::none());
    }

    proptest! {
        #[test]
        fn every_plan_is_made_and_applied_in_order(
            kinds in proptest::collection::vec(0_usize..8, 1..120),
            steps in proptest::collection::vec(0_u8..12, 0..400),
        ) {
            let names = ["ann", "ben", "cat", "dan"];
            let touches = |kind: usize| match kind {
                0 => Touches::all(),
                1 => Touches::none().writes(Touch::Seats),
                2 => of("ann").reads(Touch::User(user("ben"))),
                3 => Touches::none(),
                kind => of(names[kind - 4]),
            };
            let (mut plans, mut all, mut over) = (Plans::default(), Vec::new(), Vec::new());
            let mut kinds = kinds.into_iter();
            let steps = steps.into_iter().chain(std::iter::repeat_n(9, 400));
            for what in steps {
                match what {
                    0..6 => if let Some(kind) = kinds.next() {
                        all.push((plans.want(touches(kind)).unwrap(), touches(kind)));
                    },
                    6 => if let Some(plan) = plans.waiting.back() {
                        let id = plan.id;
                        plans.end(id);
                        over.push(id);
                    },
                    _ => if let Some(first) = plans.first() {
                        plans.end(first);
                        over.push(first);
                    },
                }
                let of = |id| all.iter().find(|(known, _)| *known == id).unwrap().1.clone();
                while let Some(made) = plans.begin(of) {
                    for (before, touches) in all.iter().take_while(|(id, _)| *id != made) {
                        let is_open = !over.contains(before);
                        prop_assert!(!is_open || !touches.conflicts(&of(made)), "{made:?} was made before {before:?} was applied");
                    }
                }
            }
            // The disk answers everybody in the end: nobody waits for ever.
            prop_assert_eq!(over.len(), all.len());
        }
    }
}
