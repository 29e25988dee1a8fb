//! How rooms begin, and end when somebody wants it. When their lifetime is over they end by themselves.

use std::sync::Arc;

use hall::{Answer, By, Command, Planned};
use rooms::{Fields, Room, RoomId, RoomInfo, RoomType, UserId};

use crate::app::App;
use crate::clock;
use crate::error::{ApiError, Code};
use crate::halls::unexpected;
use crate::quota::Place;
use crate::server::Server;
use crate::tenant::Making;
use crate::webhooks;
use crate::wire::{self, RoomInfoView};

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
        let exists = |app: &App, room_id: &RoomId, owner: &UserId| {
            let there = app.room(room_id.as_str()).ok()?;
            let error = there.read().map(|room| rooms::Error::room_exists(room.info(), owner, room_type));
            // The name of one that is over is free, also where not everybody has heard of that.
            error.inspect_err(|_| app.free_name(there.incarnation())).ok()
        };
        if let Some(error) = exists(app, &room_id, &owner) {
            return Err(error.into());
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
        let (name, owner) = (info.room_id.clone(), info.owner.clone());
        let made = RoomInfoView::new(&Room::new(info.clone(), now), app).json();
        let told = webhooks::room_created(app, &info, operator, now);
        let told = told.into_iter().chain(webhooks::call_begun(app, &info, operator, now)).collect();
        match self.make_room(app, operator, info, Making { place, told }).await {
            Ok(()) => Ok(made),
            // Another has made it at this moment.
            Err(error) if error.code == Code::RoomExists => {
                Err(exists(app, &name, &owner).map_or(error, ApiError::from))
            }
            Err(error) => Err(error),
        }
    }

    /// Destroys a room, if it is of that type or of any; everyone in it is put out with a reason. Answers with its numbers.
    pub(crate) async fn destroy_room(
        self: &Arc<Self>,
        app: &Arc<App>,
        room_id: &str,
        room_type: Option<RoomType>,
        by: By,
    ) -> Result<wire::Statistic, ApiError> {
        let cell = app.room(room_id)?;
        match cell.ask(by, room_type, Command::Planned(Planned::Destroy)).await? {
            Answer::Statistic { counters, senders } => Ok(wire::Statistic::new(counters, senders)),
            other => Err(unexpected(&other)),
        }
    }
}
