//! From when to when the calls of an app lasted, by day, in memory: counting and paging a day's 100,000 calls takes SQL
//! 15 ms each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::Error;
use crate::ask::{Tables, Value};
use crate::files::Day;
use crate::window::Window;

/// How much memory they may take; when it is more all are forgotten.
const MOST_BYTES: usize = 64 << 20;

/// After so long today's are read again. Another day's change seldom.
const FRESH: Duration = Duration::from_secs(1);
const FRESH_OF_OTHERS: Duration = Duration::from_secs(30);

/// Of what has not ended.
pub(crate) const OPEN: i64 = i64::MAX;

/// From when to when a call lasted, in seconds; in the order of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) made: i64,
    pub(crate) call: i64,
    pub(crate) ended: i64,
}

/// Calls, in the order of their making.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    all: Vec<Span>,
    /// When they ended, in order, where they are asked for again and again.
    ends: Option<Vec<i64>>,
}

impl From<Vec<Span>> for Spans {
    fn from(mut all: Vec<Span>) -> Self {
        all.sort_unstable();
        Self { all, ends: None }
    }
}

impl Spans {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// For those that are kept: counting them costs two searches from then on, and not a look at each.
    fn counted(mut self) -> Self {
        let mut ends: Vec<i64> = self.all.iter().map(|span| span.ended).collect();
        ends.sort_unstable();
        self.ends = Some(ends);
        self
    }

    fn made_until(&self, to: i64) -> &[Span] {
        self.all.get(..self.all.partition_point(|span| span.made <= to)).unwrap_or_default()
    }

    /// Those that lived in a window, the newest first.
    pub(crate) fn within(&self, window: Window) -> impl Iterator<Item = i64> {
        let made = self.made_until(window.to).iter().rev();
        made.filter(move |span| span.ended >= window.from).map(|span| span.call)
    }

    /// How many they are.
    pub(crate) fn count_within(&self, window: Window) -> usize {
        match &self.ends {
            // What ended before the window was made before it.
            Some(ends) if window.from <= window.to => {
                let over = ends.partition_point(|ended| *ended < window.from);
                self.made_until(window.to).len().saturating_sub(over)
            }
            _ => self.within(window).count(),
        }
    }
}

struct KnownDay {
    file: (u64, u64),
    read_at: Instant,
    spans: Arc<Spans>,
}

/// What has been read.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<(Day, u32), KnownDay, foldhash::fast::RandomState>>);

impl Known {
    /// An app's calls of a day, which is told from another by `file`. Who comes while somebody reads them gets those of before.
    pub(crate) fn of(
        &self,
        day: Day,
        is_today: bool,
        app: u32,
        file: (u64, u64),
        tables: &Tables<'_>,
    ) -> Result<Arc<Spans>, Error> {
        let fresh = if is_today { FRESH } else { FRESH_OF_OTHERS };
        let known = {
            let mut all = self.0.lock();
            let known = all.get_mut(&(day, app)).filter(|known| known.file == file);
            known.and_then(|known| {
                let is_fresh = known.read_at.elapsed() < fresh;
                if !is_fresh {
                    known.read_at = Instant::now();
                }
                is_fresh.then(|| known.spans.clone())
            })
        };
        if let Some(spans) = known {
            return Ok(spans);
        }
        let spans = Arc::new(Spans::from(read(tables, "app = ?1", &[app.into()])?).counted());
        let mut known = self.0.lock();
        let bytes_each = size_of::<Span>() + size_of::<i64>();
        let bytes: usize = known.values().map(|known| known.spans.all.len() * bytes_each).sum();
        if bytes > MOST_BYTES {
            known.clear();
        }
        known.insert((day, app), KnownDay { file, read_at: Instant::now(), spans: spans.clone() });
        Ok(spans)
    }
}

/// The calls of which `condition` holds.
pub(crate) fn read(tables: &Tables<'_>, condition: &str, values: &[Value<'_>]) -> Result<Vec<Span>, Error> {
    let wanted = format!("SELECT made, call, coalesce(ended, {OPEN}) FROM @calls WHERE {condition}");
    tables.all(&wanted, values, |row| Ok(Span { made: row.int(0)?, call: row.int(1)?, ended: row.int(2)? }))
}

/// Two days' as one: of what is in both, the later day's hold.
pub(crate) fn join(earlier: &Spans, later: &Spans) -> Spans {
    let mut joined = Vec::with_capacity(earlier.all.len() + later.all.len());
    let (mut earlier, mut later) = (earlier.all.iter().peekable(), later.all.iter().peekable());
    loop {
        let (one, other) = (earlier.peek().copied(), later.peek().copied());
        let next = match (one, other) {
            (None, None) => return Spans { all: joined, ends: None },
            (Some(_), None) => earlier.next(),
            (None, Some(_)) => later.next(),
            (Some(one), Some(other)) => match (one.made, one.call).cmp(&(other.made, other.call)) {
                std::cmp::Ordering::Less => earlier.next(),
                std::cmp::Ordering::Greater => later.next(),
                std::cmp::Ordering::Equal => {
                    earlier.next();
                    later.next()
                }
            },
        };
        joined.extend(next.copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_by_ends_is_counting_each() {
        let span = |number: i64| Span { made: number * 7 % 100, call: number, ended: OPEN };
        let ended = |number: i64| match number % 5 {
            0 => span(number),
            stays => Span { ended: span(number).made + stays * 9, ..span(number) },
        };
        let all: Vec<Span> = (0..300).map(ended).collect();
        let (plain, counted) = (Spans::from(all.clone()), Spans::from(all).counted());
        for from in -5..140 {
            for to in [from - 3, from, from + 1, from + 20, from + 500] {
                let window = Window { from, to };
                assert_eq!(counted.count_within(window), plain.within(window).count(), "{from} to {to}");
            }
        }
    }
}
