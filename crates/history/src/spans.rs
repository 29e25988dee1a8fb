//! From when to when the calls of an app lasted, by day, in memory: counting and paging a day's 100,000 calls takes SQL
//! 15 ms each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::Error;
use crate::files::Day;

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

struct Known {
    file: (u64, u64),
    read_at: Instant,
    spans: Arc<Vec<Span>>,
}

/// What has been read.
#[derive(Default)]
pub(crate) struct Spans(Mutex<HashMap<(Day, u32), Known, foldhash::fast::RandomState>>);

impl Spans {
    /// An app's calls of a day, which is the file `file`. Who comes while somebody reads them gets those of before.
    pub(crate) fn of(
        &self,
        day: Day,
        is_today: bool,
        app: u32,
        file: (u64, u64),
        connection: &Connection,
    ) -> Result<Arc<Vec<Span>>, Error> {
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
        let spans = Arc::new(read(connection, "app = ?", &[&app])?);
        let mut known = self.0.lock();
        let bytes: usize = known.values().map(|known| known.spans.len() * size_of::<Span>()).sum();
        if bytes > MOST_BYTES {
            known.clear();
        }
        known.insert((day, app), Known { file, read_at: Instant::now(), spans: spans.clone() });
        Ok(spans)
    }
}

/// The calls of which `condition` holds.
pub(crate) fn read(
    connection: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Span>, Error> {
    let wanted = format!("SELECT made, call, coalesce(ended, {OPEN}) FROM calls WHERE {condition}");
    let mut wanted = connection.prepare_cached(&wanted)?;
    let span =
        |row: &rusqlite::Row<'_>| Ok(Span { made: row.get(0)?, call: row.get(1)?, ended: row.get(2)? });
    let mut spans = wanted.query_map(values, span)?.collect::<Result<Vec<Span>, _>>()?;
    spans.sort_unstable();
    Ok(spans)
}

/// Two days' as one: of what is in both, the later day's hold.
pub(crate) fn join(earlier: &[Span], later: &[Span]) -> Vec<Span> {
    let mut joined = Vec::with_capacity(earlier.len() + later.len());
    let (mut earlier, mut later) = (earlier.iter().peekable(), later.iter().peekable());
    loop {
        let (one, other) = (earlier.peek().copied(), later.peek().copied());
        let next = match (one, other) {
            (None, None) => return joined,
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
