//! What is to be done in the order in which it came, by one at a time, while more comes.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// A queue that somebody [begins](Self::begin) to work off, and goes on until it is given [nothing more](Self::next).
#[derive(Debug)]
pub(crate) struct InTurn<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    queue: VecDeque<T>,
    is_at_work: bool,
}

impl<T> Default for InTurn<T> {
    fn default() -> Self {
        Self(Mutex::new(State { queue: VecDeque::new(), is_at_work: false }))
    }
}

impl<T> InTurn<T> {
    /// One more, at the end.
    pub(crate) fn push(&self, one: T) {
        self.0.lock().queue.push_back(one);
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().queue.len()
    }

    /// Whether the caller is to work off what waits: something does, and nobody else is at it.
    pub(crate) fn begin(&self) -> bool {
        let mut state = self.0.lock();
        !state.queue.is_empty() && !std::mem::replace(&mut state.is_at_work, true)
    }

    /// The next, for who is at work. With `None` it is so no more.
    pub(crate) fn next(&self) -> Option<T> {
        let mut state = self.0.lock();
        let next = state.queue.pop_front();
        state.is_at_work = next.is_some();
        next
    }

    /// The next, for who is at work and stays so, if it is what `look` wants, with what that makes of it.
    pub(crate) fn next_if<R>(&self, look: impl FnOnce(&mut T) -> Option<R>) -> Option<(T, R)> {
        let mut state = self.0.lock();
        let seen = look(state.queue.front_mut()?)?;
        Some((state.queue.pop_front()?, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_is_at_work_and_everything_has_its_turn() {
        let queue = InTurn::default();
        assert!(!queue.begin(), "nothing waits");
        (1..=3).for_each(|one| queue.push(one));

        assert!(queue.begin());
        assert!(!queue.begin(), "somebody is at it");
        assert_eq!(queue.next(), Some(1));
        assert_eq!(queue.next_if(|one| (*one == 3).then_some("three")), None);
        assert_eq!(queue.next_if(|one| (*one == 2).then_some("two")), Some((2, "two")));
        queue.push(4);
        assert_eq!((queue.len(), queue.next(), queue.next()), (2, Some(3), Some(4)));
        queue.push(5);
        assert!(!queue.begin(), "who is at work is given it");
        assert_eq!((queue.next(), queue.next()), (Some(5), None));

        queue.push(6);
        assert!(queue.begin());
    }
}
