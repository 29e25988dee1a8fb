//! Rows as values.

use rooms::SdkAppId;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use super::link::Trouble;
use crate::ledger::Line;
use crate::rows::unreadable;
use crate::{Lane, RoomScope};

/// A record that was read as text.
pub(super) fn record<T: DeserializeOwned>(row: &Row, column: usize) -> Result<T, Trouble> {
    Ok(serde_json::from_str(row.try_get(column)?).map_err(unreadable)?)
}

pub(super) fn unsigned(row: &Row, column: usize) -> Result<u64, Trouble> {
    Ok(row.try_get::<_, i64>(column)?.cast_unsigned())
}

pub(super) fn app(row: &Row, column: usize) -> Result<SdkAppId, Trouble> {
    let number: i64 = row.try_get(column)?;
    Ok(SdkAppId(u32::try_from(number).map_err(unreadable)?))
}

/// Whose an event is, from the columns sdkappid, lane.
pub(super) fn line(row: &Row, column: usize) -> Result<Line, Trouble> {
    let lane: i64 = row.try_get(column + 1)?;
    Ok((app(row, column)?, Lane(u8::try_from(lane).map_err(unreadable)?)))
}

/// A scope from the columns sdkappid, scope.
pub(super) fn scope(row: &Row) -> Result<RoomScope, Trouble> {
    Ok(RoomScope { app: app(row, 0)?, number: row.try_get(1)? })
}
