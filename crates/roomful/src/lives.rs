//! How rooms begin and end, and commands on them that may bring their end nearer.

use std::sync::Arc;
use std::time::Duration;

use hall::{Answer, By, Command, Planned, Refusal};
use rooms::{Fields, Room, RoomId, RoomInfo, RoomType, UserId};
use store::Change;

use crate::app::App;
use crate::clock;
use crate::error::ApiError;
use crate::halls::{OpenRoom, SYSTEM, unexpected};
use crate::locks::ReadRoom;
use crate::quota::Place;
use crate::server::{Server, to_its_end};
use crate::webhooks;
use crate::wire::{self, RoomInfoView};

/// How long a dismissal that the disk refused waits.
const DISMISSAL_RETRY: Duration = Duration::from_secs(1);

/// What a room is made from.
pub(crate) struct NewRoom<'a> {
    pub(crate) room_id: RoomId,
    pub(crate) room_type: RoomType,
    pub(crate) owner: UserId,
    pub(crate) fields: &'a Fields,
    pub(crate) operator: &'a str,
    /// The member that makes it, and may have only so many.
    pub(crate) made_by: Option<UserId>,
}

impl Server {
    /// Creates a room, and answers with its record as JSON.
    pub(crate) async fn create_room(
        self: &Arc<Self>,
        app: &Arc<App>,
        new: NewRoom<'_>,
    ) -> Result<String, ApiError> {
        let NewRoom { room_id, room_type, owner, fields, operator, made_by } = new;
        let _lane = self.lane(app.id, room_id.as_str()).await;
        if let Ok(there) = app.room(room_id.as_str()) {
            // One that is over keeps its name until it has left everything between rooms.
            let over = |_| rooms::Error::RoomExists(room_id.to_string());
            let exists = |room: ReadRoom<'_>| rooms::Error::room_exists(room.info(), &owner, room_type);
            return Err(there.read().map_or_else(over, exists).into());
        }
        let incarnation = getrandom::u64().map_err(ApiError::internal)?;
        let now = clock::now();
        let mut info = RoomInfo::create(room_id, room_type, owner, fields, now, incarnation)?;
        let mut place = None;
        if let Some(user) = made_by {
            let limits = &self.config.limits;
            place = Some(Place::of_room(app.quotas.of(&user, limits), limits)?);
            info.made_by = Some(user);
            if fields.lifetime_after_no_users.is_none() && !limits.member_room_lifetime.is_zero() {
                info.lifetime_after_no_users = Some(limits.member_room_lifetime);
            }
        }
        let scope = self.store.room_scope(app.id)?;
        let mut changes = vec![Change::CreateRoom(scope, info.clone())];
        changes.extend(webhooks::room_created(app, &info, operator, now));
        self.store.commit(changes).await?;
        let room = Room::new(info, clock::now());
        // Another call may destroy the room as soon as it can be found.
        let made = RoomInfoView::new(&room, app).json();
        let cell = OpenRoom::new(app.tenant.clone(), scope, room, place, &self.config);
        app.put_room(cell.clone());
        self.watch_lifetime(&cell);
        Ok(made)
    }

    /// A command on a room that may bring its end nearer.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        cell: &Arc<OpenRoom>,
        by: By,
        room_type: Option<RoomType>,
        command: Command,
    ) -> Result<Answer, ApiError> {
        let answer = cell.ask(by, room_type, command).await;
        self.watch_lifetime(cell);
        answer
    }

    /// Destroys a room, if it is of that type or of any; everyone in it is put out with a reason. Answers with its numbers.
    pub(crate) async fn destroy_room(
        self: &Arc<Self>,
        app: &Arc<App>,
        room_id: &str,
        room_type: Option<RoomType>,
        by: By,
    ) -> Result<wire::Statistic, ApiError> {
        let (server, app, cell) = (self.clone(), app.clone(), app.room(room_id)?);
        let answer = to_its_end(async move {
            // Whoever makes a room of that name finds none, or this one whole.
            let _lane = server.lane(app.id, cell.room_id.as_str()).await;
            let end = cell.try_ask(by, room_type, Command::Planned(Planned::Destroy)).await;
            let answer = end.map_err(|refusal| cell.error(refusal))?;
            server.clear_up(&app, &cell).await;
            Ok(answer)
        });
        match answer.await? {
            Answer::Statistic { counters, senders } => Ok(wire::Statistic::new(counters, senders)),
            other => Err(unexpected(&other)),
        }
    }

    /// A room is over: so is all that it had a part in.
    async fn clear_up(self: &Arc<Self>, app: &Arc<App>, cell: &OpenRoom) {
        cell.let_go();
        self.end_requests(app, &cell.room_id);
        // The name is not given to another room before this one has left everything between rooms, on disk too.
        if self.leave_stage(app, &cell.room_id).await.is_ok() {
            return app.remove_room(&cell.room_id);
        }
        let (server, app, room) = (self.clone(), app.clone(), cell.room_id.clone());
        tokio::spawn(async move {
            while let Err(error) = server.leave_stage(&app, &room).await {
                tracing::warn!(%room, error = %error.message, "a destroyed room is still between others");
                tokio::time::sleep(DISMISSAL_RETRY).await;
            }
            app.remove_room(&room);
        });
    }

    /// Ends the room when its lifetime does. Called whenever that moment may have come nearer.
    pub(crate) fn watch_lifetime(self: &Arc<Self>, cell: &Arc<OpenRoom>) {
        let Ok(Some(deadline)) = cell.read().map(|room| room.deadline()) else { return };
        let (server, watched) = (self.clone(), cell.clone());
        cell.lifetime_alarm.set(deadline, async move { server.end_if_due(&watched).await });
    }

    async fn end_if_due(self: &Arc<Self>, cell: &Arc<OpenRoom>) {
        loop {
            let lane = self.lane(cell.app.id, cell.room_id.as_str()).await;
            let expire = Command::Planned(Planned::Expire);
            match cell.try_ask(By::App(SYSTEM.into()), None, expire).await {
                Ok(_) => {
                    if let Some(app) = self.app(cell.app.id) {
                        self.clear_up(&app, cell).await;
                    }
                    return;
                }
                Err(Refusal::Gone) => return,
                Err(Refusal::NotDue) => return self.watch_lifetime(cell),
                Err(refusal) => {
                    let error = cell.error(refusal);
                    tracing::warn!(room = %cell.room_id, error = %error.message, "dismissal waits");
                }
            }
            drop(lane);
            tokio::time::sleep(DISMISSAL_RETRY).await;
        }
    }
}
