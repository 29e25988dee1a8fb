//! Which plans of a room may be on their way to the disk together.
//!
//! A plan is made under the rules from what is in memory, goes to the disk, and is applied when it is there. Until then
//! nobody may plan from what it is going to change. So a plan says what it reads and writes: its [`Touches`]. One that
//! conflicts with none that is on its way, nor with one that waits before it, begins at once and shares the next commit; any
//! other waits, in order, and is made when those are applied, never before.
//!
//! Invariants: of two plans that conflict, the one that came first is applied before the other is made. Plans are applied in
//! the order in which they were made, which is that of their changes on the disk.

use std::collections::VecDeque;

use rooms::UserId;
use smallvec::SmallVec;

/// How many plans of a room are on their way to the disk at most.
const MOST_ON_THEIR_WAY: usize = 64;

/// How many more may wait.
const MOST_WAITING: usize = 1024;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanId(u64);

/// More wait than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany;

/// Whether a plan may be made.
#[derive(Debug, PartialEq, Eq)]
pub enum Begin {
    /// Now: it is on its way.
    Now,
    /// It waits; who waits for it is handed back when it may be tried again.
    Later,
}

struct Plan<W> {
    id: PlanId,
    touches: Touches,
    /// Who is to be told: of one that waits, that it may begin; of one that is on its way, that it is its turn.
    waiter: Option<W>,
}

/// The plans of one room. `W` is whoever waits.
pub struct Plans<W> {
    last: u64,
    /// In the order in which they were made.
    on_the_way: VecDeque<Plan<W>>,
    /// In the order in which they came.
    waiting: VecDeque<Plan<W>>,
}

impl<W> Default for Plans<W> {
    fn default() -> Self {
        Self { last: 0, on_the_way: VecDeque::new(), waiting: VecDeque::new() }
    }
}

impl<W> Plans<W> {
    /// Somebody wants to plan. Until [`Self::end`] the plan stands in line.
    ///
    /// # Errors
    /// [`TooMany`] wait already.
    pub fn want(&mut self, touches: Touches) -> Result<PlanId, TooMany> {
        if self.waiting.len() >= MOST_WAITING {
            return Err(TooMany);
        }
        self.last += 1;
        let id = PlanId(self.last);
        self.waiting.push_back(Plan { id, touches, waiter: None });
        Ok(id)
    }

    /// Whether a plan that waits may be made now, of what it touches by now. If not, `waiter` is handed back by [`Self::end`]
    /// of another when that may have changed.
    pub fn begin(&mut self, id: PlanId, touches: Touches, waiter: impl FnOnce() -> W) -> Begin {
        let Some(at) = self.waiting.iter().position(|plan| plan.id == id) else {
            debug_assert!(false, "{id:?} does not wait");
            return Begin::Later;
        };
        let is_free = self.may_begin(at, &touches);
        if is_free && let Some(plan) = self.waiting.remove(at) {
            self.on_the_way.push_back(Plan { touches, waiter: None, ..plan });
            return Begin::Now;
        }
        if let Some(plan) = self.waiting.get_mut(at) {
            (plan.touches, plan.waiter) = (touches, Some(waiter()));
        }
        Begin::Later
    }

    /// Whether a plan on its way is the first that is to be applied. If not, `waiter` is handed back when it is.
    pub fn is_turn(&mut self, id: PlanId, waiter: impl FnOnce() -> W) -> bool {
        let is_first = self.on_the_way.front().is_none_or(|first| first.id == id);
        if !is_first && let Some(plan) = self.on_the_way.iter_mut().find(|plan| plan.id == id) {
            plan.waiter = Some(waiter());
        }
        is_first
    }

    /// A plan was applied, given up, or is wanted no more. Returns who may go on.
    pub fn end(&mut self, id: PlanId) -> Vec<W> {
        self.on_the_way.retain(|plan| plan.id != id);
        self.waiting.retain(|plan| plan.id != id);
        let first = self.on_the_way.front_mut();
        let mut freed: Vec<W> = first.and_then(|first| first.waiter.take()).into_iter().collect();
        for at in 0..self.waiting.len() {
            let may_begin = self.waiting.get(at).is_some_and(|plan| self.may_begin(at, &plan.touches));
            if may_begin && let Some(plan) = self.waiting.get_mut(at) {
                freed.extend(plan.waiter.take());
            }
        }
        freed
    }

    fn may_begin(&self, at: usize, touches: &Touches) -> bool {
        let before = self.on_the_way.iter().chain(self.waiting.iter().take(at));
        self.on_the_way.len() < MOST_ON_THEIR_WAY
            && !before.into_iter().any(|plan| plan.touches.conflicts(touches))
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

    fn is_idle<W>(plans: &Plans<W>) -> bool {
        plans.on_the_way.is_empty() && plans.waiting.is_empty()
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
        let mut plans: Plans<&str> = Plans::default();
        let [ann, all, ben] = [of("ann"), Touches::all(), of("ben")].map(|touches| {
            let id = plans.want(touches.clone()).unwrap();
            (id, touches)
        });
        assert_eq!(plans.begin(ann.0, ann.1, || "ann"), Begin::Now);
        assert_eq!(plans.begin(all.0, all.1.clone(), || "all"), Begin::Later);
        // It would not be in ann's way, but all waits before it.
        assert_eq!(plans.begin(ben.0, ben.1.clone(), || "ben"), Begin::Later);

        assert_eq!(plans.end(ann.0), ["all"]);
        assert_eq!(plans.begin(all.0, all.1, || "all"), Begin::Now);
        assert_eq!(plans.end(all.0), ["ben"]);
        assert_eq!(plans.begin(ben.0, ben.1, || "ben"), Begin::Now);
        assert_eq!(plans.end(ben.0), [""; 0]);
        assert!(is_idle(&plans));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut plans: Plans<()> = Plans::default();
        for _ in 0..MOST_WAITING {
            plans.want(Touches::all()).unwrap();
        }
        assert_eq!(plans.want(Touches::none()), Err(TooMany));
    }

    /// Plans as their makers drive them, in any order of events.
    struct World {
        plans: Plans<usize>,
        all: Vec<(PlanId, Touches, Stage)>,
        applied: Vec<usize>,
        made: Vec<usize>,
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Stage {
        Waiting,
        OnTheWay,
        /// On the disk, and waiting for its turn.
        Stored,
        Over,
    }

    impl World {
        fn try_begin(&mut self, at: usize) {
            let (id, touches, stage) = self.all[at].clone();
            if stage == Stage::Waiting && self.plans.begin(id, touches.clone(), || at) == Begin::Now {
                for (other, (_, before, stage)) in self.all.iter().enumerate() {
                    let is_open = matches!(stage, Stage::OnTheWay | Stage::Stored)
                        || other < at && *stage == Stage::Waiting;
                    assert!(
                        !is_open || !before.conflicts(&touches),
                        "{at} was made before {other} was applied"
                    );
                }
                self.made.push(at);
                self.all[at].2 = Stage::OnTheWay;
            }
        }

        fn try_apply(&mut self, at: usize, is_done: bool) {
            let (id, _, stage) = self.all[at].clone();
            if matches!(stage, Stage::OnTheWay | Stage::Stored) {
                self.all[at].2 = Stage::Stored;
                if self.plans.is_turn(id, || at) {
                    if is_done {
                        self.applied.push(at);
                    }
                    self.end(at);
                }
            }
        }

        fn end(&mut self, at: usize) {
            self.all[at].2 = Stage::Over;
            for freed in self.plans.end(self.all[at].0) {
                match self.all[freed].2 {
                    Stage::Waiting => self.try_begin(freed),
                    _ => self.try_apply(freed, true),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_plan_is_made_and_applied_in_order(
            kinds in proptest::collection::vec(0_usize..8, 1..120),
            steps in proptest::collection::vec((0_usize..120, 0_u8..12), 0..400),
        ) {
            let names = ["ann", "ben", "cat", "dan"];
            let touches = |kind: usize| match kind {
                0 => Touches::all(),
                1 => Touches::none().writes(Touch::Seats),
                2 => of("ann").reads(Touch::User(user("ben"))),
                3 => Touches::none(),
                kind => of(names[kind - 4]),
            };
            let mut world = World { plans: Plans::default(), all: Vec::new(), applied: Vec::new(), made: Vec::new() };
            let mut kinds = kinds.into_iter();
            for (at, what) in steps {
                match what {
                    0..5 => if let Some(kind) = kinds.next() {
                        let id = world.plans.want(touches(kind)).unwrap();
                        world.all.push((id, touches(kind), Stage::Waiting));
                        world.try_begin(world.all.len() - 1);
                    },
                    _ if world.all.is_empty() => {}
                    5 => if world.all[at % world.all.len()].2 == Stage::Waiting { let at = at % world.all.len(); world.end(at); },
                    what => { let at = at % world.all.len(); world.try_apply(at, what > 6); }
                }
            }
            // The disk answers everybody in the end: nobody waits for ever.
            while let Some(at) = world.all.iter().position(|(_, _, stage)| *stage == Stage::OnTheWay) {
                world.try_apply(at, true);
            }
            prop_assert!(world.all.iter().all(|(_, _, stage)| *stage == Stage::Over));
            prop_assert!(is_idle(&world.plans));
            let order: Vec<_> = world.made.iter().filter(|at| world.applied.contains(at)).copied().collect();
            prop_assert_eq!(order, world.applied);
        }
    }
}
