//! What is between a server and its database, where a pooler is.

use super::link::{CONNECTIONS, Link, Trouble};
use super::target::Target;
use crate::Error;

/// Refuses a pooler that gives each transaction another connection: what is said of a connection there holds for nobody. Makes
/// sure that as many connections can be had as are needed.
pub(super) async fn refuse_pooler(link: &Link, target: &Target) -> Result<(), Error> {
    let backend = async |link: &Link| {
        let rows = link.plain("SELECT pg_backend_pid()").await.map_err(Trouble::error)?;
        Ok::<_, Error>(rows.first().and_then(|row| row.get(0)).unwrap_or_default().to_owned())
    };
    let mut others = Vec::new();
    let first = backend(link).await?;
    let mut is_pooled = false;
    for _ in 1..CONNECTIONS {
        let other = Link::connect_to_any(target).await?;
        other.plain("BEGIN").await.map_err(Trouble::error)?;
        // It has the backend that was ours, and we get another.
        is_pooled |= backend(&other).await? == first || backend(link).await? != first;
        others.push(other);
    }
    if is_pooled {
        return Err(Error::Unusable(format!(
            "{target} is a pooler in transaction mode (as PgBouncer's pool_mode = transaction), which gives each transaction \
             another connection; name the database itself, or a pool in session mode: a server has {CONNECTIONS} \
             connections, and keeps them"
        )));
    }
    Ok(())
}
