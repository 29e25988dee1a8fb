//! The table of all commands. A command is its row here and its handler; routing, limits and metrics follow from it.

use std::pin::Pin;
use std::sync::LazyLock;

use hashbrown::HashMap;

use super::{Answer, Call, accounts, conference, members, rooms};
use crate::error::ApiError;

type Run = fn(Call) -> Pin<Box<dyn Future<Output = Result<Answer, ApiError>> + Send>>;

/// A row of the table.
pub(crate) struct Command {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    /// The documented frequency, for each app.
    pub(crate) calls_per_second: u32,
    pub(super) run: Run,
}

/// Makes a row; the handler is any async function of a [`Call`].
macro_rules! row {
    ($service:literal, $name:literal, $calls_per_second:literal, $run:path) => {
        Command {
            service: $service,
            name: $name,
            calls_per_second: $calls_per_second,
            run: |call| Box::pin($run(call)),
        }
    };
}

/// Every command there is.
pub(crate) static COMMANDS: &[Command] = &[
    row!("live_engine_http_srv", "get_member_list", 200, members::get_member_list),
    row!("live_engine_http_srv", "create_room", 200, rooms::create_room),
    row!("live_engine_http_srv", "destroy_room", 200, rooms::destroy_room),
    row!("live_engine_http_srv", "get_room_info", 200, rooms::get_room_info),
    row!("live_engine_http_srv", "update_room_info", 200, rooms::update_room_info),
    row!("live_engine_http_srv", "get_room_list", 10, rooms::get_room_list),
    row!("room_engine_http_srv", "create_room", 200, conference::create_room),
    row!("room_engine_http_srv", "destroy_room", 200, conference::destroy_room),
    row!("room_engine_http_srv", "get_room_info", 200, conference::get_room_info),
    row!("im_open_login_svc", "account_import", 200, accounts::account_import),
    row!("im_open_login_svc", "multiaccount_import", 100, accounts::multiaccount_import),
    row!("im_open_login_svc", "account_delete", 100, accounts::account_delete),
    row!("im_open_login_svc", "account_check", 100, accounts::account_check),
    row!("profile", "portrait_get", 200, accounts::portrait_get),
    row!("profile", "portrait_set", 200, accounts::portrait_set),
];

/// The index of the command at a path.
pub(super) fn find(path: &str) -> Option<usize> {
    static BY_PATH: LazyLock<HashMap<String, usize, foldhash::fast::RandomState>> = LazyLock::new(|| {
        let paths = COMMANDS.iter().map(|command| format!("/v4/{}/{}", command.service, command.name));
        paths.zip(0..).collect()
    });
    BY_PATH.get(path).copied()
}
