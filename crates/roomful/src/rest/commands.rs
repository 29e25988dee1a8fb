//! The table of all commands. A command is its row here and its handler: routing, limits, metrics, the OpenAPI document
//! and the README's table follow from it.

use std::sync::LazyLock;

use ::rooms::Role;
use bytes::Bytes;
use hashbrown::HashMap;
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{Answer, Rendered, Reply};
use super::body::parse;
use super::{
    Call, accounts, battles, conference, gifts, members, messages, metadata, moderation, robots, rooms, seats,
};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::server::{Work, to_its_end};

type Answering = Work<Answer>;
type Schema = fn(&mut SchemaGenerator) -> Value;

/// What it answers is JSON under `Response`.
type Looking = Box<dyn Fn(&App, &str) -> Result<Bytes, ApiError> + Send + Sync>;

/// How a command is carried out.
pub(super) enum Run {
    /// At once, by looking: nothing is made to wait with.
    Now(Looking),
    Later(Box<dyn Fn(Call) -> Answering + Send + Sync>),
}

impl Run {
    /// The same, which goes on when nobody waits for it any more.
    fn that_goes_on(self) -> Self {
        match self {
            Self::Now(look) => Self::Now(look),
            Self::Later(run) => Self::Later(Box::new(move |call| Box::pin(to_its_end(run(call))))),
        }
    }
}

/// A row of the table.
pub(crate) struct Command {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    /// The documented frequency, for each app.
    pub(crate) calls_per_second: u32,
    /// It changes what is kept.
    pub(super) is_change: bool,
    /// What it does, in a line.
    pub(crate) about: &'static str,
    pub(super) run: Run,
    pub(super) request: Schema,
    pub(super) response: Schema,
    /// What it is for members, when it is for them too.
    member: Option<ForMembers>,
}

/// What a command is for members.
#[derive(Clone, Copy)]
struct ForMembers {
    name: &'static str,
    /// What one must be in the room to call it.
    least: Role,
    /// It is of a room that one is in.
    is_in_room: bool,
}

/// The documented frequency of each command of the table.
pub(crate) fn frequencies() -> Vec<u32> {
    COMMANDS.iter().map(|command| command.calls_per_second).collect()
}

/// The service and the name of each command of the table.
pub(crate) fn names() -> Vec<(&'static str, &'static str)> {
    COMMANDS.iter().map(|command| (command.service, command.name)).collect()
}

impl Command {
    /// Members of the room may call it too, by this name, who are at least this there. Several commands may have one name:
    /// which of them it is depends on the type of the room.
    fn for_members(mut self, name: &'static str, least: Role) -> Self {
        self.member = Some(ForMembers { name, least, is_in_room: true });
        self
    }

    /// Whoever has logged in may call it too: it is of no room, or of one that is not there yet.
    fn for_everyone(mut self, name: &'static str) -> Self {
        self.member = Some(ForMembers { name, least: Role::Member, is_in_room: false });
        self
    }

    /// Where more calls come than its documented frequency.
    pub(super) fn too_often(&self) -> Code {
        if self.calls_per_second == RARELY { Code::CalledTooOften } else { Code::TooOften }
    }

    /// What its service says for `code`: some of the cloud's families have other numbers for the same refusal.
    pub(super) fn code_of(&self, code: Code) -> Code {
        match (self.service, code) {
            (SEATS, Code::SeatTaken) => Code::SeatHasUser,
            // That number is the seat's there, whose user is named by this one.
            (SEATS, Code::SeatHasUser) => Code::OnSeatAlready,
            (GROUPS, Code::Muted) => Code::GroupMuted,
            _ => code,
        }
    }
}

/// A row, however it is carried out.
fn command<Q, R>(
    (service, name): (&'static str, &'static str),
    calls_per_second: u32,
    about: &'static str,
    run: Run,
) -> Command
where
    Q: JsonSchema + 'static,
    R: Reply + 'static,
{
    Command {
        service,
        name,
        calls_per_second,
        is_change: false,
        about,
        run,
        request: |generator| generator.subschema_for::<Q>().to_value(),
        response: R::schema,
        member: None,
    }
}

/// Parses, and hands over to the handler, an async function of a [`Call`] and its request.
async fn parsed<Q, R, F>(handler: fn(Call, Q) -> F, call: Call) -> Result<Answer, ApiError>
where
    Q: DeserializeOwned + Send,
    R: Reply,
    F: Future<Output = Result<R, ApiError>> + Send,
{
    let request = call.parse()?;
    Ok(handler(call, request).await?.answer())
}

/// Makes a row.
fn row<Q, R, F>(
    path: (&'static str, &'static str),
    calls_per_second: u32,
    about: &'static str,
    handler: fn(Call, Q) -> F,
) -> Command
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: Reply + Send + 'static,
    F: Future<Output = Result<R, ApiError>> + Send + 'static,
{
    let run = Run::Later(Box::new(move |call| Box::pin(parsed(handler, call))));
    command::<Q, R>(path, calls_per_second, about, run)
}

/// A row whose command changes something: it goes on to its end even when the caller hangs up, so that what is on disk
/// is also true in memory.
fn change<Q, R, F>(
    path: (&'static str, &'static str),
    calls_per_second: u32,
    about: &'static str,
    handler: fn(Call, Q) -> F,
) -> Command
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    R: Reply + Send + 'static,
    F: Future<Output = Result<R, ApiError>> + Send + 'static,
{
    let row = row(path, calls_per_second, about, handler);
    Command { is_change: true, run: row.run.that_goes_on(), ..row }
}

/// A row that is answered from memory, and asked for so often that it counts what an answer costs.
fn look<Q, T>(
    path: (&'static str, &'static str),
    calls_per_second: u32,
    about: &'static str,
    handler: fn(&App, Q) -> Result<Rendered<T>, ApiError>,
) -> Command
where
    Q: DeserializeOwned + JsonSchema + 'static,
    T: JsonSchema + 'static,
{
    let run = Run::Now(Box::new(move |app: &App, body: &str| Ok(handler(app, parse(body)?)?.into_json())));
    command::<Q, Rendered<T>>(path, calls_per_second, about, run)
}

const LIVE: &str = "live_engine_http_srv";
const CONFERENCE: &str = "room_engine_http_srv";
const SEATS: &str = "room_engine_http_mic";
const BATTLES: &str = "live_engine_http_pk";
const GROUPS: &str = "group_open_http_svc";
const LOGIN: &str = "im_open_login_svc";

/// The documented frequency of what is done when an app is set up; beyond it they have a code of their own.
const RARELY: u32 = 1;

/// Every command there is.
pub(crate) static COMMANDS: LazyLock<Vec<Command>> = LazyLock::new(|| {
    vec![
        look((LIVE, "get_member_list"), 200, "Who is in a room, in join order.", members::get_member_list),
        change((LIVE, "create_room"), 200, "Make a room.", rooms::create_room).for_everyone("create_room"),
        change((LIVE, "destroy_room"), 200, "End a room; everyone is put out.", rooms::destroy_room)
            .for_members("destroy_room", Role::Owner),
        row((LIVE, "get_room_info"), 200, "A room's record.", rooms::get_room_info)
            .for_members("get_room_info", Role::Member),
        change((LIVE, "update_room_info"), 200, "Change fields of a room's record.", rooms::update_room_info)
            .for_members("update_room_info", Role::Admin),
        row((LIVE, "get_room_list"), 10, "Public rooms, most viewed first.", rooms::get_room_list),
        row((LIVE, "get_room_statistic"), 200, "A room's numbers.", rooms::get_room_statistic)
            .for_members("get_room_statistic", Role::Member),
        row(
            (LIVE, "resume_mcu_task"),
            200,
            "Restart a mixed stream; there is none to restart.",
            rooms::resume_mcu_task,
        ),
        change(
            (LIVE, "set_room_metadata"),
            200,
            "Set entries of a room's metadata.",
            metadata::set_room_metadata,
        )
        .for_members("set_room_metadata", Role::Admin),
        row((LIVE, "get_room_metadata"), 200, "Entries of a room's metadata.", metadata::get_room_metadata)
            .for_members("get_room_metadata", Role::Member),
        change(
            (LIVE, "del_room_metadata"),
            200,
            "Delete entries of a room's metadata.",
            metadata::del_room_metadata,
        )
        .for_members("del_room_metadata", Role::Admin),
        change(
            (LIVE, "mute_member"),
            200,
            "Silence users for a time, or let them speak.",
            moderation::mute_member,
        )
        .for_members("mute_member", Role::Admin),
        row(
            (LIVE, "get_muted_member_list"),
            200,
            "Who is silenced, until when.",
            moderation::get_muted_member_list,
        )
        .for_members("get_muted_member_list", Role::Admin),
        change((LIVE, "ban_member"), 200, "Put users out and keep them out.", moderation::ban_member)
            .for_members("ban_member", Role::Admin),
        change((LIVE, "unban_member"), 200, "Let banned users in again.", moderation::unban_member)
            .for_members("unban_member", Role::Admin),
        row(
            (LIVE, "get_banned_member_list"),
            200,
            "Who is banned, until when.",
            moderation::get_banned_member_list,
        )
        .for_members("get_banned_member_list", Role::Admin),
        change(
            (LIVE, "kick_user_out"),
            200,
            "Put members out; they may come again.",
            moderation::kick_user_out,
        )
        .for_members("kick_member", Role::Admin),
        change((LIVE, "kick_member"), 200, "The same as kick_user_out.", moderation::kick_user_out),
        change(
            (LIVE, "modify_admin"),
            200,
            "Make users administrators of a room, or not.",
            moderation::modify_admin,
        )
        .for_members("modify_admin", Role::Owner),
        row((LIVE, "get_admin_list"), 200, "A room's administrators.", moderation::get_admin_list)
            .for_members("get_admin_list", Role::Member),
        change(
            (LIVE, "change_room_owner"),
            200,
            "Give a room to another account.",
            moderation::change_room_owner,
        )
        .for_members("change_room_owner", Role::Owner),
        change((LIVE, "send_text_msg"), 200, "Say something to everyone in a room.", messages::send_text_msg),
        change(
            (LIVE, "send_custom_msg"),
            200,
            "Send data of the app's own to a room.",
            messages::send_custom_msg,
        ),
        change((LIVE, "add_robot"), 100, "Place robots in a room.", robots::add_robot),
        row((LIVE, "get_robot"), 100, "A room's robots.", robots::get_robot),
        change((LIVE, "del_robot"), 100, "Take robots out of a room.", robots::del_robot),
        change((LIVE, "send_gift"), 200, "Give a gift in a room.", gifts::send_gift),
        row((LIVE, "get_gift_count"), 200, "What a user has given in a room.", gifts::get_gift_count)
            .for_members("get_gift_count", Role::Member),
        change((LIVE, "add_gift"), RARELY, "Add a gift to the catalogue.", gifts::add_gift),
        change((LIVE, "edit_gift"), RARELY, "Change a gift.", gifts::edit_gift),
        change((LIVE, "del_gift"), RARELY, "Delete a gift.", gifts::del_gift),
        row((LIVE, "get_gift"), RARELY, "A gift.", gifts::get_gift),
        row((LIVE, "get_gift_info_list"), 200, "The whole catalogue.", gifts::get_gift_info_list)
            .for_everyone("get_gift_info_list"),
        change((LIVE, "set_gift_language"), RARELY, "A gift's name in a language.", gifts::set_gift_language),
        row((LIVE, "get_gift_language"), RARELY, "A gift's names.", gifts::get_gift_language),
        change(
            (LIVE, "del_gift_language"),
            RARELY,
            "Forget a gift's name in a language.",
            gifts::del_gift_language,
        ),
        change((LIVE, "add_gift_category"), RARELY, "Add a category.", gifts::add_gift_category),
        change((LIVE, "edit_gift_category"), RARELY, "Change a category.", gifts::edit_gift_category),
        change(
            (LIVE, "del_gift_category"),
            RARELY,
            "Delete a category; its gifts stay.",
            gifts::del_gift_category,
        ),
        row((LIVE, "get_gift_category"), RARELY, "A category with its gifts.", gifts::get_gift_category),
        change(
            (LIVE, "set_gift_category_language"),
            RARELY,
            "A category's name in a language.",
            gifts::set_category_language,
        ),
        row(
            (LIVE, "get_gift_category_language"),
            RARELY,
            "A category's names.",
            gifts::get_category_language,
        ),
        change(
            (LIVE, "del_gift_category_language"),
            RARELY,
            "Forget a category's name.",
            gifts::del_category_language,
        ),
        change(
            (LIVE, "add_gift_category_relations"),
            RARELY,
            "Put gifts into a category.",
            gifts::add_relations,
        ),
        change(
            (LIVE, "del_gift_category_relations"),
            RARELY,
            "Take gifts out of a category.",
            gifts::del_relations,
        ),
        change((BATTLES, "create_battle"), 200, "Let rooms compete.", battles::create_battle),
        change(
            (BATTLES, "set_battle_score"),
            200,
            "Set or add to the scores of a battle.",
            battles::set_battle_score,
        ),
        row((BATTLES, "get_battle_info"), 200, "How a battle stands.", battles::get_battle_info)
            .for_members("get_battle_info", Role::Member),
        change((BATTLES, "end_battle"), 200, "End a battle for all.", battles::end_battle),
        row((SEATS, "get_seat_list"), 200, "A room's seats.", seats::get_seat_list)
            .for_members("get_seat_list", Role::Member),
        change((SEATS, "pick_user_on_seat"), 200, "Put a member on a seat.", seats::pick_user_on_seat)
            .for_members("pick_user_on_seat", Role::Admin),
        change((SEATS, "kick_user_off_seat"), 200, "Take a member off its seat.", seats::kick_user_off_seat)
            .for_members("kick_user_off_seat", Role::Admin),
        change((SEATS, "lock_seat"), 200, "Lock or unlock a seat, its audio, its video.", seats::lock_seat)
            .for_members("lock_seat", Role::Admin),
        change((SEATS, "move_user_to_seat"), 200, "Move a member to another seat.", seats::move_user_to_seat)
            .for_members("move_user_to_seat", Role::Admin),
        change((SEATS, "switch_seat"), 200, "Move a member to a free seat.", seats::switch_seat),
        change((CONFERENCE, "create_room"), 200, "Make a room.", conference::create_room),
        change(
            (CONFERENCE, "destroy_room"),
            200,
            "End a room; everyone is put out.",
            conference::destroy_room,
        )
        .for_members("destroy_room", Role::Owner),
        row((CONFERENCE, "get_room_info"), 200, "A room's record.", conference::get_room_info)
            .for_members("get_room_info", Role::Member),
        change(
            (CONFERENCE, "update_room_info"),
            200,
            "Change fields of a room's record.",
            conference::update_room_info,
        )
        .for_members("update_room_info", Role::Admin),
        row(
            (CONFERENCE, "get_room_member_list"),
            200,
            "Who is in a room, with roles, cards and marks.",
            conference::get_room_member_list,
        )
        .for_members("get_room_member_list", Role::Member),
        change(
            (CONFERENCE, "update_room_member_info"),
            200,
            "A member's card and role.",
            conference::update_room_member_info,
        )
        .for_members("update_room_member_info", Role::Owner),
        change(
            (CONFERENCE, "mark_room_member"),
            200,
            "Set or delete marks of members.",
            conference::mark_room_member,
        )
        .for_members("mark_room_member", Role::Owner),
        row(
            (CONFERENCE, "get_schedule_invitee_list"),
            200,
            "Who is invited to a booked room.",
            conference::get_schedule_invitee_list,
        )
        .for_members("get_schedule_invitee_list", Role::Member),
        change(
            (CONFERENCE, "add_schedule_invitee"),
            200,
            "Invite users to a booked room.",
            conference::add_schedule_invitee,
        )
        .for_members("add_schedule_invitee", Role::Admin),
        change(
            (CONFERENCE, "del_schedule_invitee"),
            200,
            "Invite users no more.",
            conference::del_schedule_invitee,
        )
        .for_members("del_schedule_invitee", Role::Admin),
        row(
            (CONFERENCE, "get_scheduled_room_list"),
            200,
            "The booked rooms that a user is invited to or owns.",
            conference::get_scheduled_room_list,
        )
        .for_everyone("get_scheduled_room_list"),
        change(
            (CONFERENCE, "change_room_owner"),
            200,
            "Give a room to another member.",
            conference::change_room_owner,
        )
        .for_members("change_room_owner", Role::Owner),
        change(
            (CONFERENCE, "mute_room_member"),
            200,
            "Silence users for a time, or let them speak.",
            conference::mute_member,
        )
        .for_members("mute_member", Role::Admin),
        row(
            (CONFERENCE, "get_muted_member_list"),
            200,
            "Who is silenced, until when.",
            conference::get_muted_member_list,
        )
        .for_members("get_muted_member_list", Role::Admin),
        change(
            (CONFERENCE, "ban_room_member"),
            200,
            "Put users out and keep them out.",
            conference::ban_member,
        )
        .for_members("ban_member", Role::Admin),
        change(
            (CONFERENCE, "unban_room_member"),
            200,
            "Let banned users in again.",
            conference::unban_member,
        )
        .for_members("unban_member", Role::Admin),
        row(
            (CONFERENCE, "get_banned_member_list"),
            200,
            "Who is banned, until when.",
            conference::get_banned_member_list,
        )
        .for_members("get_banned_member_list", Role::Admin),
        change(
            (CONFERENCE, "kick_user_out"),
            200,
            "Put members out; they may come again.",
            conference::kick_user_out,
        )
        .for_members("kick_member", Role::Admin),
        change(
            (CONFERENCE, "send_text_msg"),
            200,
            "Say something to everyone in a room.",
            conference::send_text_msg,
        ),
        change(
            (CONFERENCE, "send_custom_msg"),
            200,
            "Send data of the app's own to a room.",
            conference::send_custom_msg,
        ),
        change((GROUPS, "send_group_msg"), 200, "Send elements to a room.", messages::send_group_msg),
        change((LOGIN, "account_import"), 200, "Make an account known.", accounts::account_import),
        change((LOGIN, "multiaccount_import"), 100, "Make accounts known.", accounts::multiaccount_import),
        change((LOGIN, "account_delete"), 100, "Delete accounts.", accounts::account_delete),
        row((LOGIN, "account_check"), 100, "Which accounts are known.", accounts::account_check),
        row(("profile", "portrait_get"), 200, "Profiles.", accounts::portrait_get),
        change(("profile", "portrait_set"), 200, "Change a profile.", accounts::portrait_set),
    ]
});

/// The index of the command at a path.
pub(super) fn find(path: &str) -> Option<usize> {
    static BY_PATH: LazyLock<HashMap<String, usize, foldhash::fast::RandomState>> = LazyLock::new(|| {
        let paths = COMMANDS.iter().map(|command| format!("/v4/{}/{}", command.service, command.name));
        paths.zip(0..).collect()
    });
    BY_PATH.get(path).copied()
}

/// A command as members call it.
pub(crate) struct MemberCommand {
    pub(crate) name: &'static str,
    /// What one must be in the room to call it.
    pub(crate) least: Role,
    /// It is of a room that one is in.
    pub(crate) is_in_room: bool,
    /// The rows of the table that it is, for rooms of one type or the other.
    pub(super) rows: Vec<usize>,
}

impl MemberCommand {
    fn commands(&self) -> impl Iterator<Item = &'static Command> {
        self.rows.iter().filter_map(|at| COMMANDS.get(*at))
    }

    /// What it does, in a line.
    pub(crate) fn about(&self) -> &'static str {
        self.commands().next().map_or("", |command| command.about)
    }

    /// What may be asked for, one for each type of room where they differ.
    pub(crate) fn requests(&self, generator: &mut SchemaGenerator) -> Vec<Value> {
        self.commands().map(|command| (command.request)(generator)).collect()
    }

    /// What is answered, without what REST has around it.
    pub(crate) fn answers(&self, generator: &mut SchemaGenerator) -> Vec<Value> {
        self.commands().map(|command| super::answer::for_members((command.response)(generator))).collect()
    }
}

/// The commands that members may call, in the order of the table.
pub(crate) fn of_members() -> Vec<&'static MemberCommand> {
    let mut names: Vec<&'static str> = Vec::new();
    for member in COMMANDS.iter().filter_map(|command| command.member) {
        if !names.contains(&member.name) {
            names.push(member.name);
        }
    }
    names.into_iter().filter_map(for_members).collect()
}

/// The command that members call by a name.
pub(crate) fn for_members(name: &str) -> Option<&'static MemberCommand> {
    type Table = HashMap<&'static str, MemberCommand, foldhash::fast::RandomState>;
    static BY_NAME: LazyLock<Table> = LazyLock::new(|| {
        let mut table = Table::default();
        for (at, command) in COMMANDS.iter().enumerate() {
            let Some(ForMembers { name, least, is_in_room }) = command.member else { continue };
            let known =
                table.entry(name).or_insert(MemberCommand { name, least, is_in_room, rows: Vec::new() });
            known.rows.push(at);
        }
        table
    });
    BY_NAME.get(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::EVENTS;

    const README: &str = include_str!("../../../../README.md");

    /// The README's table of commands, as it must be.
    fn commands() -> String {
        let mut rows: Vec<(&str, Vec<&str>)> = Vec::new();
        for command in COMMANDS.iter() {
            match rows.iter_mut().find(|(service, _)| *service == command.service) {
                Some((_, names)) => names.push(command.name),
                None => rows.push((command.service, vec![command.name])),
            }
        }
        let rows =
            rows.iter().map(|(service, names)| format!("| {service} | {} | works |\n", names.join(", ")));
        format!("| service | command | state |\n|---|---|---|\n{}", rows.collect::<String>())
    }

    /// The README's table of events, as it must be.
    fn events() -> String {
        let rows = EVENTS.iter().map(|(name, when)| format!("| {name} | {when} | works |\n"));
        format!("| event | when | state |\n|---|---|---|\n{}", rows.collect::<String>())
    }

    #[test]
    fn the_readme_has_the_tables_that_are_true() {
        for table in [commands(), events()] {
            assert!(README.contains(&table), "README.md must have this table:\n\n{table}");
        }
    }

    #[test]
    fn no_command_is_there_twice() {
        for (at, command) in COMMANDS.iter().enumerate() {
            let path = format!("/v4/{}/{}", command.service, command.name);
            assert_eq!(find(&path), Some(at), "{path}");
        }
    }
}
