//! How an app's users are served: what stood still of what they saw and heard, how far they are, and whether they got in. Counted in slots
//! of five minutes and told to history as it grows, as usage is.

use hashbrown::HashMap;
use history::{Row, SLOT, Served, Service};

/// How often it is told, in seconds.
const TOLD_EVERY: i64 = 30;

/// The counts of one slot.
struct Counted {
    slot: i64,
    served: Served,
    is_told: bool,
}

/// The counts of all apps.
#[derive(Default)]
pub(crate) struct Services {
    /// The newest slot last; the last two of each app.
    apps: HashMap<u32, Vec<Counted>, foldhash::fast::RandomState>,
    told_at: i64,
}

impl Services {
    /// More is counted of an app at `now`, in seconds.
    pub(crate) fn add(&mut self, app: u32, more: Served, now: i64) {
        let slot = now - now.rem_euclid(SLOT);
        let slots = self.apps.entry(app).or_default();
        if slots.last().is_none_or(|last| last.slot < slot) {
            slots.push(Counted { slot, served: Served::default(), is_told: true });
        }
        if let Some(last) = slots.last_mut() {
            last.served.add(more);
            last.is_told = false;
        }
    }

    /// What has grown since it was told last, when that is due at `now`, in seconds.
    pub(crate) fn due(&mut self, now: i64) -> Vec<Row> {
        if now - self.told_at < TOLD_EVERY {
            return Vec::new();
        }
        self.told_at = now;
        let mut told = Vec::new();
        self.apps.retain(|app, slots| {
            for one in slots.iter_mut().filter(|one| !one.is_told) {
                one.is_told = true;
                told.push(Row::Service(Service { app: *app, slot: one.slot, served: one.served }));
            }
            slots.retain(|one| one.slot + SLOT > now);
            !slots.is_empty()
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_told_whole_when_they_have_grown() {
        let mut services = Services::default();
        let joins = |joins| Served { joins, ..Served::default() };
        services.add(1, joins([1, 1, 0]), 1000 * SLOT);
        services.add(1, joins([1, 0, 0]), 1000 * SLOT + 299);
        services.add(1, joins([1, 1, 1]), 1001 * SLOT);

        let row = |slot, numbers| Row::Service(Service { app: 1, slot, served: joins(numbers) });
        let now = 1001 * SLOT + 5;
        assert_eq!(services.due(now), [row(1000 * SLOT, [2, 1, 0]), row(1001 * SLOT, [1, 1, 1])]);
        services.add(1, joins([1, 1, 0]), now);
        assert_eq!(services.due(now + 29), []);
        assert_eq!(services.due(now + 30), [row(1001 * SLOT, [2, 2, 1])]);
        assert_eq!(services.due(now + SLOT), []);
        assert!(services.apps.is_empty());
    }
}
