//! Connections for what is kept beside the records, in the same schema.

use tokio::time::timeout;
use tokio_postgres::Client;

use super::link::{CONNECT, SETTINGS, Trouble, reach, silent};
use super::target::Target;
use crate::Error;

impl Target {
    /// Connects for what nobody waits for: a commit is answered before it is on the database's disk, so that what is written here
    /// takes no sync from the records. The connection lives as long as it is used, on the runtime of the caller.
    ///
    /// # Errors
    /// [`Error::Away`] or [`Error::Unusable`], as for the records.
    pub async fn connect_aside(&self) -> Result<Client, Error> {
        let (client, connection) = reach(self).await?;
        tokio::spawn(connection);
        let settings = format!("{SETTINGS} SET synchronous_commit = off;");
        let set = timeout(CONNECT, client.batch_execute(&settings)).await;
        set.map_err(|_| silent(CONNECT))?.map_err(Trouble::from).map_err(Trouble::error)?;
        Ok(client)
    }
}
