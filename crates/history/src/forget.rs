//! What is left of a user whose account is deleted: that somebody was there, and no more.

use std::path::Path;
use std::time::Duration;

use rusqlite::params;

use crate::day::Database;
use crate::files::{self, Kind};
use crate::{Error, Forget};

/// Takes a user out of all days.
pub(crate) fn forget(folder: &Path, who: &Forget) -> Result<(), Error> {
    for (day, kind) in files::list(folder) {
        if kind == Kind::Calls {
            forget_in(&mut Database::open(folder, day, kind)?, who)?;
        }
    }
    Ok(())
}

fn forget_in(day: &mut Database, Forget { app, user, before }: &Forget) -> Result<(), Error> {
    day.connection.pragma_update(None, "secure_delete", true)?;
    let step = day.connection.transaction()?;
    step.execute(
        "UPDATE stays SET device = '', address = '' WHERE stay < ?3
            AND (call, who) IN (SELECT call, who FROM people WHERE app = ?1 AND user = ?2)",
        params![app, &**user, before],
    )?;
    step.execute(
        "UPDATE people SET user = '' WHERE app = ?1 AND user = ?2 AND NOT EXISTS
            (SELECT 1 FROM stays WHERE stays.call = people.call AND stays.who = people.who AND stay >= ?3)",
        params![app, &**user, before],
    )?;
    step.execute(
        "UPDATE calls SET creator = '' WHERE app = ?1 AND creator = ?2 AND made <= ?3 / 1000",
        params![app, &**user, before],
    )?;
    step.commit()?;
    // Nor is it left in what waits to be brought into the database, unless somebody reads that just now.
    day.connection.busy_timeout(Duration::from_millis(200))?;
    day.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}
