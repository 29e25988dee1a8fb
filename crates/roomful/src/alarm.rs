//! One sleeper for many deadlines: a task sleeps until the earliest, and whoever has an earlier one starts another in its place. So
//! nobody fills the memory with sleeping tasks by asking and taking back.

use std::sync::Arc;

use parking_lot::Mutex;
use rooms::Time;
use tokio::task::AbortHandle;

use crate::clock;

/// The moment its task sleeps until.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<(Time, AbortHandle)>>>);

impl Alarm {
    /// Sleeps until `deadline`, then does `work`; nothing when its task sleeps until then or an earlier moment already.
    ///
    /// `work` sets the alarm anew if there is more to wait for.
    pub(crate) fn set(&self, deadline: Time, work: impl Future<Output = ()> + Send + 'static) {
        let mut sleeper = self.0.lock();
        if sleeper.as_ref().is_some_and(|(earliest, _)| *earliest <= deadline) {
            return;
        }
        let alarm = self.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(clock::now().until(deadline)).await;
            // From here on nobody else starts in its place. If somebody has, that one does the work.
            if alarm.0.lock().take_if(|(earliest, _)| *earliest == deadline).is_some() {
                work.await;
            }
        });
        let former = sleeper.replace((deadline, task.abort_handle()));
        if let Some((_, task)) = former {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_task_sleeps_until_the_earliest_moment_and_works_once() {
        let (alarm, worked) = (Alarm::default(), Arc::new(AtomicUsize::new(0)));
        let set = |after| {
            let worked = worked.clone();
            let work = async move { _ = worked.fetch_add(1, Ordering::Relaxed) };
            alarm.set(clock::now() + after, work);
        };
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for minutes in (1..=100).rev() {
            set(Duration::from_secs(60 * minutes));
        }
        // Those that were replaced are gone as soon as they have their turn.
        while tasks() > 1 {
            tokio::task::yield_now().await;
        }
        set(Duration::from_millis(10));
        set(Duration::from_millis(20));
        tokio::time::sleep(Duration::from_millis(60)).await;

        assert_eq!((worked.load(Ordering::Relaxed), tasks()), (1, 0));
    }
}
