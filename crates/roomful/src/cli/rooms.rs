//! `roomful room`: list, create, look at, change, destroy rooms; `roomful send`.

use std::path::Path;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::show::{BOLD, Format, Set, Table, printable, say, say_json};
use super::target::{Api, CONFERENCE, LIVE, On, Target};
use crate::control;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    Live,
    Conference,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// List rooms: all of an app by its data folder, over a URL its public Live rooms
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        target: Target,
    },
    /// Make a room
    Create {
        #[command(flatten)]
        on: On,
        /// What kind of room, written as here or as the API has it (`Live`)
        #[arg(long, value_enum, ignore_case = true, default_value = "live")]
        r#type: Kind,
        #[command(flatten)]
        fields: Fields,
    },
    /// Show a room's record
    Info(On),
    /// Change fields of a room's record
    Update {
        #[command(flatten)]
        on: On,
        #[command(flatten)]
        fields: Fields,
    },
    /// End a room; everyone is put out
    Destroy(On),
}

/// What a room is to be.
#[derive(Args)]
#[command(next_help_heading = "Fields")]
pub(super) struct Fields {
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// Whose it is: an account that is known
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
    /// A seat template, as VideoDynamicGrid9Seats or AudioSalon
    #[arg(long, value_name = "TEMPLATE")]
    seats: Option<String>,
    /// How many members at most; 0 is no limit
    #[arg(long, value_name = "COUNT")]
    max_members: Option<u32>,
    /// What stands at its door
    #[arg(long)]
    notice: Option<String>,
    /// What those who enter have to give; "" for nothing
    #[arg(long)]
    password: Option<String>,
    /// Whether it is in the public list
    #[arg(long, value_name = "BOOL")]
    public: Option<bool>,
    /// Any other field of RoomInfo, as IsMessageDisabled=true (repeatable)
    #[arg(long = "set", value_name = "FIELD=VALUE", value_parser = field)]
    others: Vec<(String, Value)>,
}

/// A field by its name in the API, with JSON or else a text as its value.
fn field(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("is no FIELD=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
    Ok((name.to_string(), value))
}

impl Fields {
    /// A `RoomInfo` of what is given.
    fn info(self, room: &str) -> Value {
        let mut info = Map::from_iter([("RoomId".to_string(), json!(room))]);
        let wants_password = self.password.as_ref().map(|password| !password.is_empty());
        let given = [
            ("RoomName", self.name.map(Value::from)),
            ("Owner_Account", self.owner.map(Value::from)),
            ("SeatTemplate", self.seats.map(Value::from)),
            ("MaxMemberCount", self.max_members.map(Value::from)),
            ("Notice", self.notice.map(Value::from)),
            ("Password", self.password.map(Value::from)),
            ("IsPasswordEnabled", wants_password.map(Value::from)),
            ("IsPublicVisible", self.public.map(Value::from)),
        ];
        info.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
        info.extend(self.others);
        Value::Object(info)
    }
}

impl Command {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        match self {
            Command::List { format, target } => {
                let rooms = list(&target.api(folder)?).await?;
                if format.json {
                    return say_json(&rooms);
                }
                table(&rooms).print()
            }
            Command::Create { on: On { room, format, target }, r#type, fields } => {
                let api = target.api(folder)?;
                if let Some(owner) = &fields.owner {
                    api.import(std::slice::from_ref(owner)).await?;
                }
                let service = if r#type == Kind::Live { LIVE } else { CONFERENCE };
                let body = json!({"RoomInfo": fields.info(&room)});
                show(&api.call(&format!("{service}/create_room"), &body).await?, &format)
            }
            Command::Info(On { room, format, target }) => {
                show(&info(&target.api(folder)?, &room).await?, &format)
            }
            Command::Update { on: On { room, format, target }, fields } => {
                let api = target.api(folder)?;
                let changes = fields.info(&room);
                if changes.as_object().is_none_or(|fields| fields.len() < 2) {
                    bail!("there is nothing to change: give at least one field, as --name or --set");
                }
                let body = json!({"RoomInfo": changes});
                api.call_either("update_room_info", "update_room_info", &body).await?;
                show(&info(&api, &room).await?, &format)
            }
            Command::Destroy(On { room, format, target }) => {
                let api = target.api(folder)?;
                let ended = api.call_either("destroy_room", "destroy_room", &json!({"RoomId": room})).await?;
                if format.json {
                    return say_json(&ended);
                }
                say(format_args!("room {room} is over"))
            }
        }
    }
}

async fn info(api: &Api, room: &str) -> anyhow::Result<Value> {
    api.call_either("get_room_info", "get_room_info", &json!({"RoomId": room})).await
}

/// A record, a field a line.
fn show(answer: &Value, format: &Format) -> anyhow::Result<()> {
    let info = answer.get("RoomInfo").unwrap_or(answer);
    if format.json {
        return say_json(info);
    }
    let fields = info.as_object().into_iter().flatten();
    for (name, value) in fields {
        let text = value.as_str().map_or_else(|| value.to_string(), String::from);
        say(format_args!("{BOLD}{name:<26}{BOLD:#} {}", printable(&text)))?;
    }
    Ok(())
}

/// All rooms of an app, or over a URL those of its public list.
pub(super) async fn list(api: &Api) -> anyhow::Result<Vec<Value>> {
    if let Some(folder) = api.folder() {
        let rooms = control::call(folder, &format!("/control/rooms/{}", api.app), None).await?;
        return Ok(rooms.as_array().cloned().unwrap_or_default());
    }
    let (mut rooms, mut next) = (Vec::new(), String::new());
    loop {
        let page = api.call(&format!("{LIVE}/get_room_list"), &json!({"Next": next, "Count": 20})).await?;
        rooms.extend(page.get("RoomList").and_then(Value::as_array).into_iter().flatten().cloned());
        next = page.get("Next").and_then(Value::as_str).unwrap_or_default().to_string();
        if next.is_empty() {
            return Ok(rooms);
        }
        // Its documented frequency is ten a second.
        tokio::time::sleep(std::time::Duration::from_millis(110)).await;
    }
}

pub(super) fn text_of(room: &Value, field: &str) -> String {
    room.get(field).and_then(Value::as_str).unwrap_or_default().to_string()
}

pub(super) fn number_of(room: &Value, field: &str) -> u64 {
    room.get(field).and_then(Value::as_u64).unwrap_or_default()
}

fn table(rooms: &[Value]) -> Table {
    let mut table = Table::new(&[
        ("ROOM", Set::Whole),
        ("TYPE", Set::Text),
        ("MEMBERS", Set::Number),
        ("VIEWS", Set::Number),
        ("OWNER", Set::Text),
        ("NAME", Set::Text),
    ]);
    for room in rooms {
        table.row([
            text_of(room, "RoomId"),
            text_of(room, "RoomType"),
            number_of(room, "MemberCount").to_string(),
            number_of(room, "ViewCount").to_string(),
            text_of(room, "Owner_Account"),
            text_of(room, "RoomName"),
        ]);
    }
    table
}

#[derive(Args)]
pub(super) struct Send {
    #[command(flatten)]
    on: On,
    /// What is said
    text: String,
    /// In whose name; an administrator's if not given
    #[arg(long, value_name = "USER")]
    from: Option<String>,
}

impl Send {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        let On { room, format, target } = self.on;
        let api = target.api(folder)?;
        if let Some(from) = &self.from {
            api.import(std::slice::from_ref(from)).await?;
        }
        let body = json!({
            "RoomId": room, "Sender_Account": self.from.unwrap_or_default(), "TextContent": self.text,
        });
        let sent = api.call_either("send_text_msg", "send_text_msg", &body).await?;
        if format.json {
            return say_json(&sent);
        }
        say(format_args!("sent as message {} of room {}", number_of(&sent, "Seq"), room))
    }
}
