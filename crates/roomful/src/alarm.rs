//! One sleeper for many deadlines: a task sleeps until the earliest, and whoever has an earlier one starts another. So
//! nobody fills the memory with sleeping tasks by asking and taking back.

use std::sync::Arc;

use parking_lot::Mutex;
use rooms::Time;

use crate::clock;

/// The moment some task sleeps until.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<Mutex<Option<Time>>>);

impl Alarm {
    /// Sleeps until `deadline`, then does `work`; nothing when some task sleeps until then or an earlier moment already.
    ///
    /// `work` sets the alarm anew if there is more to wait for.
    pub(crate) fn set(&self, deadline: Time, work: impl Future<Output = ()> + Send + 'static) {
        {
            let mut earliest = self.0.lock();
            if earliest.is_some_and(|earliest| earliest <= deadline) {
                return;
            }
            *earliest = Some(deadline);
        }
        let alarm = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(clock::now().until(deadline)).await;
            alarm.0.lock().take_if(|earliest| *earliest == deadline);
            work.await;
        });
    }
}
