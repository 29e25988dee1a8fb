//! How many users and rooms there were at once, and in all, in each of several stretches of time.

use std::collections::BTreeMap;

/// Somebody's time in a call, in seconds; the end is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time {
    pub(crate) call: i64,
    /// Tells users of a call apart.
    pub(crate) user: u64,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// How many there were in a stretch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowd {
    /// When the stretch began, in seconds.
    pub at: i64,
    /// Users, each once a call.
    pub users: u64,
    /// Calls with somebody in.
    pub calls: u64,
    /// The most users at once.
    pub most_users: u64,
    /// The most calls with somebody in at once.
    pub most_calls: u64,
}

/// What there was in each of the stretches, which are so long and begin then.
pub(crate) fn crowds(mut times: Vec<Time>, stretches: impl Iterator<Item = i64>, length: i64) -> Vec<Crowd> {
    times.sort_unstable();
    let users = joined(times.iter().copied());
    // The same times as of calls.
    times.iter_mut().for_each(|time| time.user = 0);
    times.sort_unstable();
    let calls = joined(times.into_iter());
    stretches
        .map(|at| {
            let (users, most_users) = of(&users, at, at + length);
            let (calls, most_calls) = of(&calls, at, at + length);
            Crowd { at, users, calls, most_users, most_calls }
        })
        .collect()
}

/// Times of one that overlap, or touch, are one.
fn joined(times: impl Iterator<Item = Time>) -> Vec<Time> {
    let mut joined: Vec<Time> = Vec::new();
    for time in times {
        match joined.last_mut() {
            Some(last) if (last.call, last.user) == (time.call, time.user) && time.from <= last.to => {
                last.to = last.to.max(time.to);
            }
            _ => joined.push(time),
        }
    }
    joined
}

/// How many there were between two moments, and at once.
fn of(times: &[Time], begin: i64, end: i64) -> (u64, u64) {
    let mut changes = BTreeMap::<i64, i64>::new();
    let (mut count, mut last) = (0, None);
    for time in times.iter().filter(|time| time.from < end && time.to > begin) {
        count += u64::from(last.replace((time.call, time.user)) != Some((time.call, time.user)));
        *changes.entry(time.from.max(begin)).or_default() += 1;
        *changes.entry(time.to.min(end)).or_default() -= 1;
    }
    let (mut now, mut most) = (0, 0);
    for change in changes.into_values() {
        now += change;
        most = most.max(now);
    }
    (count, most.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(call: i64, user: u64, from: i64, to: i64) -> Time {
        Time { call, user, from, to }
    }

    #[test]
    fn users_are_counted_once_a_call_and_at_once() {
        let times = vec![
            time(1, 7, 0, 10),
            time(1, 7, 5, 20),
            time(1, 8, 12, 14),
            time(2, 7, 90, 130),
            time(1, 7, 110, 120),
            time(3, 9, 100, 100),
        ];

        let found = crowds(times, [0, 100, 200].into_iter(), 100);

        let crowd =
            |at, users, calls, most_users, most_calls| Crowd { at, users, calls, most_users, most_calls };
        assert_eq!(found, [crowd(0, 3, 2, 2, 1), crowd(100, 2, 2, 2, 2), crowd(200, 0, 0, 0, 0)]);
    }
}
