//! Counts who is there, every ten seconds.

use std::sync::Arc;
use std::time::Duration;

use rooms::SessionId;

use crate::clock;
use crate::scale::{Count, SLOT};
use crate::server::Server;

/// Counts at the end of every slot, for ever.
pub(crate) async fn keep(server: Arc<Server>) {
    loop {
        let now = clock::now().unix_millis();
        let slot = SLOT * 1000;
        tokio::time::sleep(Duration::from_millis(slot - now % slot)).await;
        let at = (clock::now().unix_millis() + slot / 2) / slot * SLOT - SLOT;
        for app in server.apps() {
            let members = app.rooms().into_iter().filter_map(|cell| {
                let room = cell.read().ok()?;
                let robots = room.robots_after("").filter(|robot| {
                    room.members().sessions(robot.as_str()).iter().all(|one| *one == SessionId::ROBOT)
                });
                Some(room.members().len().saturating_sub(robots.count()))
            });
            let (users, rooms) = members
                .filter(|members| *members > 0)
                .fold((0, 0), |(users, rooms), members| (users + members as u64, rooms + 1));
            server.scale.note(app.id, Count { at, users, rooms, ..Count::default() });
        }
    }
}
