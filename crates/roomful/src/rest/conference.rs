//! Rooms of type Conference: the same core under another service.

use rooms::RoomType;

use super::{Answer, Call, rooms as live};
use crate::error::ApiError;

pub(super) async fn create_room(call: Call) -> Result<Answer, ApiError> {
    live::create(call, RoomType::Conference).await
}

pub(super) async fn destroy_room(call: Call) -> Result<Answer, ApiError> {
    live::destroy(call, RoomType::Conference).await
}

pub(super) async fn get_room_info(call: Call) -> Result<Answer, ApiError> {
    live::info(&call, RoomType::Conference)
}
