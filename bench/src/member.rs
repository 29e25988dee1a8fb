//! Members of the server under test.

use std::sync::Arc;

use load::{Address, Hear, Member};
use serde_json::json;

use crate::process::Roomful;

/// A member that has logged in and is in a room.
pub(crate) async fn enter(
    server: &Roomful,
    user: &str,
    room: &str,
    heard: &Arc<impl Hear>,
) -> anyhow::Result<Member> {
    let mut member = connect(&server.process.address, &server.login(user)?, heard).await?;
    member.call("enter_room", &json!({"RoomId": room}).to_string()).await?;
    Ok(member)
}

/// A member that is nowhere yet, and counts nothing.
pub(crate) async fn log_in(server: &Roomful, user: &str) -> anyhow::Result<Member> {
    connect(&server.process.address, &server.login(user)?, &deaf()).await
}

/// Logs in with the body of a `login`.
pub(crate) async fn connect(address: &str, login: &str, heard: &Arc<impl Hear>) -> anyhow::Result<Member> {
    Member::connect(&Address::plain(address)?, login, heard).await
}

/// For members whose messages nobody counts.
pub(crate) fn deaf() -> Arc<impl Hear> {
    Arc::new(std::sync::atomic::AtomicU64::new(0))
}
