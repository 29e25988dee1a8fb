//! `roomful member`: who is in a room, and what is done with them; `roomful members ROOM`, which can keep looking.

use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::show::{Set, Table, clear_screen, counted, say, say_json};
use super::target::{Api, On};

/// How often `--watch` looks again.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(super) struct Members {
    #[command(flatten)]
    on: On,
    /// Show the list anew twice a second, until interrupted
    #[arg(long)]
    watch: bool,
}

#[derive(Args)]
pub(super) struct Named {
    #[command(flatten)]
    on: On,
    /// Who
    #[arg(required = true)]
    users: Vec<String>,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// List who is in a room, in join order
    List(Members),
    /// Put members out; they may come again
    Kick(Named),
    /// Put users out, and keep them out
    Ban {
        #[command(flatten)]
        named: Named,
        /// For how long
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1day")]
        lasts: Duration,
        /// What is noted of it
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let banned users in again
    Unban(Named),
    /// Silence users, or with --for 0s let them speak again
    Mute {
        #[command(flatten)]
        named: Named,
        /// For how long
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration, default_value = "1h")]
        lasts: Duration,
    },
    /// Put a member on a seat, or take it off
    Seat {
        #[command(flatten)]
        on: On,
        /// Who
        user: String,
        /// Which seat, counted from 0; any that is free if not given
        #[arg(long, conflicts_with = "off")]
        index: Option<u32>,
        /// Take it off its seat
        #[arg(long)]
        off: bool,
    },
}

impl Named {
    /// Calls the command for Live rooms or that for Conference rooms, with what it takes besides the names.
    async fn call(
        self,
        folder: &Path,
        live: &str,
        conference: &str,
        rest: Value,
        done: &str,
    ) -> anyhow::Result<()> {
        let api = self.on.target.api(folder)?;
        api.import(&self.users).await?;
        let mut body = json!({"RoomId": self.on.room, "MemberList_Account": self.users});
        if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
            body.extend(rest);
        }
        let answer = api.call_either(live, conference, &body).await?;
        if self.on.format.json {
            return say_json(&answer);
        }
        say(format_args!("{} {done} in room {}", self.users.join(", "), self.on.room))
    }
}

impl Command {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        match self {
            Command::List(members) => members.run(folder).await,
            Command::Kick(named) => {
                let rest = json!({"Reason": ""});
                named.call(folder, "kick_user_out", "kick_user_out", rest, "put out").await
            }
            Command::Ban { named, lasts, reason } => {
                let rest = json!({"Duration": lasts.as_secs(), "Reason": reason});
                let done = format!("banned for {}", humantime::format_duration(lasts));
                named.call(folder, "ban_member", "ban_room_member", rest, &done).await
            }
            Command::Unban(named) => {
                named.call(folder, "unban_member", "unban_room_member", json!({}), "may come again").await
            }
            Command::Mute { named, lasts } => {
                let done = match lasts.is_zero() {
                    true => "may speak again".into(),
                    false => format!("silenced for {}", humantime::format_duration(lasts)),
                };
                let rest = json!({"MuteTime": lasts.as_secs()});
                named.call(folder, "mute_member", "mute_room_member", rest, &done).await
            }
            Command::Seat { on: On { room, format, target }, user, index, off } => {
                let api = target.api(folder)?;
                api.import(std::slice::from_ref(&user)).await?;
                let command = if off { "kick_user_off_seat" } else { "pick_user_on_seat" };
                let body =
                    json!({"RoomId": room, "Member_Account": user, "Index": index.map_or(-1, i64::from)});
                api.call(&format!("room_engine_http_mic/{command}"), &body).await?;
                let seats = api.call("room_engine_http_mic/get_seat_list", &json!({"RoomId": room})).await?;
                if format.json {
                    return say_json(&seats);
                }
                show_seats(&seats)
            }
        }
    }
}

fn show_seats(seats: &Value) -> anyhow::Result<()> {
    let mut table = Table::new(&[("SEAT", Set::Number), ("MEMBER", Set::Whole), ("LOCKED", Set::Text)]);
    for seat in seats.get("SeatList").and_then(Value::as_array).into_iter().flatten() {
        let locks = [("IsTakenDisabled", "seat"), ("IsAudioDisabled", "audio"), ("IsVideoDisabled", "video")];
        let is_on = |field: &str| seat.get(field).and_then(Value::as_bool).unwrap_or_default();
        let locked: Vec<&str> =
            locks.iter().filter(|(field, _)| is_on(field)).map(|(_, name)| *name).collect();
        table.row([
            seat.get("Index").map(Value::to_string).unwrap_or_default(),
            seat.get("Member_Account").and_then(Value::as_str).unwrap_or_default().to_string(),
            locked.join(", "),
        ]);
    }
    table.print()
}

impl Members {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        let api = self.on.target.api(folder)?;
        loop {
            let list = self.list(&api).await?;
            if self.watch {
                clear_screen()?;
            }
            self.show(&list)?;
            if !self.watch {
                return Ok(());
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// All pages together.
    async fn list(&self, api: &Api) -> anyhow::Result<MemberList> {
        let mut whole = MemberList::default();
        loop {
            let request = json!({"RoomId": self.on.room, "Next": whole.next});
            let page = api.call_either("get_member_list", "get_room_member_list", &request).await?;
            let page: MemberList = serde_json::from_value(page)?;
            whole.member_list.extend(page.member_list);
            whole.member_count = page.member_count;
            whole.next = page.next;
            if whole.next.is_empty() {
                return Ok(whole);
            }
        }
    }

    fn show(&self, list: &MemberList) -> anyhow::Result<()> {
        if self.on.format.json {
            return say_json(list);
        }
        say(format_args!("room {}: {}\n", self.on.room, counted(list.member_count, "member")))?;
        let mut table = Table::new(&[("#", Set::Number), ("MEMBER", Set::Whole)]);
        for (number, member) in (1..).zip(&list.member_list) {
            // Names stand under each other however many there are, also when the list is read again.
            table.row([format!("{number:>8}"), member.member_account.clone()]);
        }
        table.print()?;
        if list.member_count > list.member_list.len() {
            say("\n... the list ends here (member_list.cap); set it to 0 to see everyone")?;
        }
        Ok(())
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MemberList {
    #[serde(skip_serializing)]
    next: String,
    member_count: usize,
    member_list: Vec<Member>,
}

#[derive(Serialize, Deserialize)]
struct Member {
    #[serde(rename = "Member_Account")]
    member_account: String,
}
