//! Commands that are the REST API's own, called by a member of the room: the same bodies, the same answers, and the
//! right to call them by what the member is in the room.

use rooms::Role;

use super::asked::Asked;
use crate::error::{ApiError, Code};
use crate::rest;

/// A row of the table.
pub(super) struct Shared {
    pub(super) name: &'static str,
    /// The command's path for a Live room, and for a Conference room.
    live: &'static str,
    conference: &'static str,
    /// What one must be to call it.
    role: Role,
}

const fn row(name: &'static str, live: &'static str, conference: &'static str, role: Role) -> Shared {
    Shared { name, live, conference, role }
}

/// A command that is the same for both types of rooms.
const fn both(name: &'static str, path: &'static str, role: Role) -> Shared {
    row(name, path, path, role)
}

const NONE: &str = "";

static TABLE: &[Shared] = &[
    row(
        "get_room_info",
        "live_engine_http_srv/get_room_info",
        "room_engine_http_srv/get_room_info",
        Role::Member,
    ),
    row("get_room_statistic", "live_engine_http_srv/get_room_statistic", NONE, Role::Member),
    row("get_room_metadata", "live_engine_http_srv/get_room_metadata", NONE, Role::Member),
    row("get_admin_list", "live_engine_http_srv/get_admin_list", NONE, Role::Member),
    row("get_gift_count", "live_engine_http_srv/get_gift_count", NONE, Role::Member),
    row("get_gift_info_list", "live_engine_http_srv/get_gift_info_list", NONE, Role::Member),
    row("get_battle_info", "live_engine_http_pk/get_battle_info", NONE, Role::Member),
    both("get_seat_list", "room_engine_http_mic/get_seat_list", Role::Member),
    row(
        "update_room_info",
        "live_engine_http_srv/update_room_info",
        "room_engine_http_srv/update_room_info",
        Role::Admin,
    ),
    row("set_room_metadata", "live_engine_http_srv/set_room_metadata", NONE, Role::Admin),
    row("del_room_metadata", "live_engine_http_srv/del_room_metadata", NONE, Role::Admin),
    row(
        "mute_member",
        "live_engine_http_srv/mute_member",
        "room_engine_http_srv/mute_room_member",
        Role::Admin,
    ),
    row(
        "kick_member",
        "live_engine_http_srv/kick_user_out",
        "room_engine_http_srv/kick_user_out",
        Role::Admin,
    ),
    row("ban_member", "live_engine_http_srv/ban_member", "room_engine_http_srv/ban_room_member", Role::Admin),
    row(
        "unban_member",
        "live_engine_http_srv/unban_member",
        "room_engine_http_srv/unban_room_member",
        Role::Admin,
    ),
    row(
        "get_muted_member_list",
        "live_engine_http_srv/get_muted_member_list",
        "room_engine_http_srv/get_muted_member_list",
        Role::Admin,
    ),
    row(
        "get_banned_member_list",
        "live_engine_http_srv/get_banned_member_list",
        "room_engine_http_srv/get_banned_member_list",
        Role::Admin,
    ),
    both("pick_user_on_seat", "room_engine_http_mic/pick_user_on_seat", Role::Admin),
    both("kick_user_off_seat", "room_engine_http_mic/kick_user_off_seat", Role::Admin),
    both("lock_seat", "room_engine_http_mic/lock_seat", Role::Admin),
    both("move_user_to_seat", "room_engine_http_mic/move_user_to_seat", Role::Admin),
    row("modify_admin", "live_engine_http_srv/modify_admin", NONE, Role::Owner),
    row("update_room_member_info", NONE, "room_engine_http_srv/update_room_member_info", Role::Owner),
    row(
        "change_room_owner",
        "live_engine_http_srv/change_room_owner",
        "room_engine_http_srv/change_room_owner",
        Role::Owner,
    ),
    row(
        "destroy_room",
        "live_engine_http_srv/destroy_room",
        "room_engine_http_srv/destroy_room",
        Role::Owner,
    ),
];

pub(super) fn find(name: &str) -> Option<&'static Shared> {
    TABLE.iter().find(|row| row.name == name)
}

/// Runs the command for the type of room that its body names: which that is, only the command itself reads.
pub(super) async fn run(row: &'static Shared, asked: Asked) -> Result<String, ApiError> {
    let Asked { hub, session, body } = asked;
    let paths = [row.live, row.conference].into_iter().filter(|path| *path != NONE);
    rest::run_for_member(paths, hub, session, row.role, body).await
}

/// A member makes a room of its own: the REST command of the same name, with itself as the owner.
pub(super) async fn create_room(asked: Asked) -> Result<String, ApiError> {
    let Asked { hub, session, body } = asked;
    if !hub.config.media.members_may_create_rooms {
        let trouble =
            "not allowed: rooms are created by the app's server (media.members_may_create_rooms is off)";
        return Err(ApiError::new(Code::NotAllowed, trouble));
    }
    let paths = ["live_engine_http_srv/create_room"].into_iter();
    rest::run_for_member(paths, hub, session, Role::Member, body).await
}
