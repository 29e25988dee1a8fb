//! Members of the server under test.

use std::sync::Arc;

use load::{Address, Hear, Member};
use serde_json::json;

use crate::process::Roomful;

/// How many enter at a time.
const AT_ONCE: usize = 100;

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

/// So many members enter a room, at the servers in turn.
pub(crate) async fn enter_all(
    servers: &[&Roomful],
    count: usize,
    room: &str,
    heard: &Arc<impl Hear>,
) -> anyhow::Result<Vec<Member>> {
    let mut members = Vec::with_capacity(count);
    let mut in_turn = servers.iter().copied().cycle();
    while members.len() < count {
        let wave = members.len()..(members.len() + AT_ONCE).min(count);
        let wave: Vec<(String, &Roomful)> =
            wave.map(|number| format!("user-{number:06}")).zip(in_turn.by_ref()).collect();
        anyhow::ensure!(!wave.is_empty(), "there is no server to enter at");
        let entering = wave.iter().map(|(name, server)| enter(server, name, room, heard));
        for member in futures_util::future::join_all(entering).await {
            members.push(member?);
        }
    }
    Ok(members)
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
