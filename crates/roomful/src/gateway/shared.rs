//! Commands that are the REST API's own, called by a member of the room: the same bodies, the same answers, and the
//! right to call them by what the member is in the room.

use rooms::{Role, RoomType, UserId};
use serde::Deserialize;

use super::commands::{Asked, require_inside};
use crate::error::ApiError;
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

/// What is looked at before the command itself reads its body.
#[derive(Deserialize)]
struct Subject {
    #[serde(rename = "RoomId")]
    room_id: Option<String>,
    #[serde(rename = "RoomInfo")]
    room_info: Option<Identity>,
    #[serde(rename = "MemberList_Account", default)]
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Identity {
    room_id: Option<String>,
    #[serde(rename = "Owner_Account")]
    owner_account: Option<String>,
}

pub(super) async fn run(row: &'static Shared, asked: Asked) -> Result<String, ApiError> {
    let subject: Subject = asked.parse()?;
    let (inner, owner) = subject.room_info.map(|info| (info.room_id, info.owner_account)).unwrap_or_default();
    let cell = require_inside(&asked.session, subject.room_id.or(inner).as_deref())?;
    let (user, app) = (asked.session.user.clone(), asked.session.app.clone());
    let path = {
        let room = cell.read()?;
        let role = room.role(user.as_str());
        let is_owner_changed = owner.is_some_and(|owner| owner != room.info().owner.as_str());
        if role < row.role || (is_owner_changed && role < Role::Owner) {
            let needed = if row.role == Role::Owner || is_owner_changed {
                "the owner"
            } else {
                "the owner or an administrator"
            };
            return Err(ApiError::new(
                ApiError::NOT_ALLOWED,
                format!("not allowed: only {needed} of the room may do this"),
            ));
        }
        if row.role == Role::Admin {
            let members =
                subject.members.iter().filter_map(|member| UserId::parse(member).ok()).collect::<Vec<_>>();
            room.require_above(&user, &members)?;
        }
        match room.info().room_type {
            RoomType::Live => row.live,
            RoomType::Conference => row.conference,
        }
    };
    rest::run_for_member(path, asked.hub, app, user, asked.body).await
}
