//! What goes on between rooms, as it changes: battles, and connections for co-hosting.

use std::sync::Arc;
use std::time::Duration;

use rooms::{Battle, BattleStep, ConnectionStep, RoomId};
use store::Change;

use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::events;
use crate::halls::SYSTEM;
use crate::server::Server;
use crate::session::Frame;
use crate::webhooks;

/// How long the end of a battle waits that the disk refused.
const RETRY: Duration = Duration::from_secs(1);

impl Server {
    /// Makes a battle's next state durable, then tells the rooms.
    ///
    /// The caller holds the stage's lane.
    pub(crate) async fn save_battle(
        self: &Arc<Self>,
        app: &Arc<App>,
        battle: Battle,
        steps: &[BattleStep],
        operator: &str,
    ) -> Result<(), ApiError> {
        let now = clock::now();
        let mut changes = vec![Change::PutBattle(app.id, battle.clone())];
        changes.extend(
            steps.iter().filter_map(|step| webhooks::battle_event(app, &battle, step, operator, now)),
        );
        self.store.commit(changes).await?;
        if let Some(forgotten) = app.stage.put_battle(battle.clone()) {
            self.store.journal(vec![Change::DeleteBattle(app.id, forgotten)]);
        }
        self.watch_battles(app);
        for step in steps {
            let frame = Frame::text(&events::battle_event(&battle, step));
            for side in &battle.sides {
                if let Ok(cell) = app.room(side.room.as_str()) {
                    cell.tell_all(frame.clone());
                }
            }
        }
        Ok(())
    }

    /// Lets time act on battles when it must.
    pub(crate) fn watch_battles(self: &Arc<Self>, app: &Arc<App>) {
        let Some(deadline) = app.stage.next_battle_deadline() else { return };
        let (server, watched) = (self.clone(), app.clone());
        app.stage.battle_alarm.set(deadline, async move {
            for battle in watched.stage.open_battles() {
                let _lane = watched.stage.lane.lock().await;
                let Ok(mut battle) = watched.stage.battle(&battle.id) else { continue };
                let steps = battle.tick(clock::now());
                if steps.is_empty() {
                    continue;
                }
                if let Err(error) = server.save_battle(&watched, battle, &steps, SYSTEM).await {
                    tracing::warn!(error = %error.message, "the end of a battle waits");
                    tokio::time::sleep(RETRY).await;
                }
            }
            server.watch_battles(&watched);
        });
    }

    /// Requests by a room that is no more, and to it, are over.
    pub(crate) fn end_requests(&self, app: &App, room: &RoomId) {
        let ended = app.stage.connections.lock().forget(room);
        for (from, to) in ended {
            let (step, other) = match from == *room {
                true => (ConnectionStep::Cancelled, &to),
                false => (ConnectionStep::Expired, &from),
            };
            if let Ok(other) = app.room(other.as_str()) {
                other.tell_managers(Frame::text(&events::connection_event(step, &from, &to, "")));
            }
        }
    }

    /// A room that is no more has no part in anything.
    pub(crate) async fn leave_stage(self: &Arc<Self>, app: &Arc<App>, room: &RoomId) -> Result<(), ApiError> {
        let _lane = app.stage.lane.lock().await;
        // It may be in one, and be asked to others.
        while let Some(mut battle) = app.stage.battle_of(room.as_str()) {
            let Ok(steps) = battle.leave(room, clock::now()) else { break };
            self.save_battle(app, battle, &steps, SYSTEM).await?;
        }
        if !app.stage.connected(room).is_empty() {
            self.disconnect(app, room).await?;
        }
        Ok(())
    }

    /// A room leaves its connection. The caller holds the stage's lane.
    pub(crate) async fn disconnect(&self, app: &App, room: &RoomId) -> Result<(), ApiError> {
        let before = app.stage.connected(room);
        let connection = app.stage.connections.lock().leave(room)?;
        self.save_connection(app, connection, &before).await
    }

    /// Makes a connection durable, then tells its rooms and those that were in it `before`.
    pub(crate) async fn save_connection(
        &self,
        app: &App,
        connection: rooms::Connection,
        before: &[RoomId],
    ) -> Result<(), ApiError> {
        self.store.commit(vec![Change::PutConnection(app.id, connection.clone())]).await?;
        app.stage.connections.lock().put(connection.clone());
        let mut rooms = connection.rooms;
        rooms.extend(before.iter().cloned());
        rooms.sort();
        rooms.dedup();
        for room in rooms {
            if let Ok(cell) = app.room(room.as_str()) {
                let connected = app.connected(&room);
                cell.tell_all(Frame::text(&events::connection_changed(&room, &connected)));
            }
        }
        Ok(())
    }
}
