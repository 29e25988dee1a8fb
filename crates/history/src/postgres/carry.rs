//! What is open at midnight is carried over into the day that begins, a little every second.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::link::Link;
use crate::Error;
use crate::files::Day;
use crate::pace::carried_at_once;

/// What was open and is yet to be carried over.
#[derive(Debug, Clone)]
pub(super) struct Carrying {
    from: Day,
    rows: i64,
    /// The last that were carried.
    call: i64,
    stay: (i64, i64),
}

impl Carrying {
    pub(super) fn begin(link: &Link, from: Day) -> Result<Self, Error> {
        let stays = link.partition("stays", from);
        let open = link.ask(&format!(r#"SELECT count(*) FROM {stays} WHERE "left" IS NULL"#), &[])?;
        let open: i64 = open.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        Ok(Self { from, rows: carried_at_once(open), call: i64::MIN, stay: (i64::MIN, i64::MIN) })
    }

    /// Carries some rows over. What is known of today already holds. Whether that was all.
    pub(super) fn go_on(&mut self, link: &Link, to: Day) -> Result<bool, Error> {
        let part = |table, day| link.partition(table, day);
        let (old, new) = (part("calls", self.from), part("calls", to));
        let columns = "call, app, number, made, ended, generation, cause, room, creator";
        let carry = format!(
            "WITH opened AS (SELECT {columns} FROM {old} WHERE ended IS NULL AND call > $1 ORDER BY call LIMIT $2),
            carried AS (INSERT INTO {new} (day, {columns}) SELECT '{to}'::date, {columns} FROM opened ON CONFLICT DO NOTHING)
            SELECT count(*), max(call) FROM opened"
        );
        let carried = link.ask(&carry, &[(&self.call, Type::INT8), (&self.rows, Type::INT8)])?;
        let (count, call) = carried.first().map(last).transpose()?.unwrap_or_default();
        self.call = call.unwrap_or(self.call);
        if count == self.rows {
            return Ok(false);
        }
        let (old, new) = (part("stays", self.from), part("stays", to));
        let (old_people, new_people) = (part("people", self.from), part("people", to));
        let columns =
            r#"call, stay, who, "left", generation, cause, terminal, is_anchor, device, sdk, address"#;
        let carry = format!(
            r#"WITH opened AS (SELECT {columns} FROM {old} WHERE "left" IS NULL AND (call, stay) > ($1, $2)
                ORDER BY call, stay LIMIT $3),
            carried AS (INSERT INTO {new} (day, {columns}) SELECT '{to}'::date, {columns} FROM opened ON CONFLICT DO NOTHING),
            named AS (INSERT INTO {new_people} (day, call, who, app, "user")
                SELECT '{to}'::date, call, who, app, "user" FROM {old_people}
                WHERE (call, who) IN (SELECT call, who FROM opened) ON CONFLICT DO NOTHING)
            SELECT count(*), max(call), (SELECT stay FROM opened ORDER BY call DESC, stay DESC LIMIT 1) FROM opened"#
        );
        let (call, stay) = self.stay;
        let given: [super::link::Given<'_>; 3] =
            [(&call, Type::INT8), (&stay, Type::INT8), (&self.rows, Type::INT8)];
        let carried = link.ask(&carry, &given)?;
        let Some(row) = carried.first() else { return Ok(true) };
        let (count, call) = last(row)?;
        let stay: Option<i64> = row.try_get(2)?;
        if let (Some(call), Some(stay)) = (call, stay) {
            self.stay = (call, stay);
        }
        Ok(count < self.rows)
    }
}

/// How many there were, and the last one.
fn last(row: &Row) -> Result<(i64, Option<i64>), Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
