//! `roomful rooms list` and `roomful members ROOM`: what the running server says, over its own API.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use rooms::UserId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use usersig::{Claims, SecretKey};

use super::apps;
use super::say;
use crate::{clock, control};

/// How often `--watch` looks again.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Subcommand)]
pub(super) enum Command {
    /// List all rooms of an app
    List {
        /// Of which app; the first if not given
        #[arg(long)]
        sdkappid: Option<u32>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(super) struct Members {
    /// The room
    room: String,
    /// Of which app; the first if not given
    #[arg(long)]
    sdkappid: Option<u32>,
    /// Print the member list as JSON
    #[arg(long)]
    json: bool,
    /// Show the list anew twice a second, until interrupted
    #[arg(long)]
    watch: bool,
}

impl Command {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        let Command::List { sdkappid, json } = self;
        let app = apps::find(folder, sdkappid)?;
        let rooms = control::call(folder, &format!("/control/rooms/{}", app.sdkappid), None).await?;
        if json {
            say(serde_json::to_string_pretty(&rooms)?)?;
            return Ok(());
        }
        let rooms = rooms.as_array().map(Vec::as_slice).unwrap_or_default();
        say(format_args!(
            "{:<48} {:<10} {:>8} {:>8} {:<20} NAME",
            "ROOM", "TYPE", "MEMBERS", "VIEWS", "OWNER"
        ))?;
        for room in rooms {
            let text = |field: &str| room.get(field).and_then(Value::as_str).unwrap_or_default().to_string();
            let number = |field: &str| room.get(field).and_then(Value::as_u64).unwrap_or_default();
            say(format_args!(
                "{:<48} {:<10} {:>8} {:>8} {:<20} {}",
                text("RoomId"),
                text("RoomType"),
                number("MemberCount"),
                number("ViewCount"),
                text("Owner_Account"),
                text("RoomName"),
            ))?;
        }
        Ok(())
    }
}

impl Members {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        let app = apps::find(folder, self.sdkappid)?;
        let Some(admin) = app.admins.first() else { bail!("app {} has no administrator", app.sdkappid) };
        loop {
            let list = self.list(folder, &app, admin).await?;
            if self.watch {
                // Home, then clear to the end of the screen, so that nothing flickers.
                print!("\x1b[H\x1b[2J");
            }
            self.show(&list)?;
            if !self.watch {
                return Ok(());
            }
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
    }

    /// All pages together.
    async fn list(&self, folder: &Path, app: &store::App, admin: &UserId) -> anyhow::Result<MemberList> {
        let claims = Claims::new(admin.as_str(), app.sdkappid.0, clock::now().unix_seconds(), 60);
        let sig = ::usersig::sign(&SecretKey::new(app.secret_key.clone()), &claims)?;
        let admin = percent_encoding::utf8_percent_encode(admin.as_str(), percent_encoding::NON_ALPHANUMERIC);
        let path = format!(
            "/v4/live_engine_http_srv/get_member_list?sdkappid={}&identifier={admin}&usersig={sig}&random=1&contenttype=json",
            app.sdkappid
        );
        let mut whole = MemberList::default();
        loop {
            let request = json!({"RoomId": self.room, "Next": whole.next});
            let answer = control::call(folder, &path, Some(&request)).await?;
            let answer: Answer = serde_json::from_value(answer)?;
            let Some(page) = answer.response else { bail!("{}: {}", answer.error_code, answer.error_info) };
            whole.member_list.extend(page.member_list);
            whole.member_count = page.member_count;
            whole.next = page.next;
            if whole.next.is_empty() {
                return Ok(whole);
            }
        }
    }

    fn show(&self, list: &MemberList) -> anyhow::Result<()> {
        if self.json {
            say(serde_json::to_string_pretty(list)?)?;
            return Ok(());
        }
        say(format_args!("room {}: {} members\n\n{:>8}  MEMBER", self.room, list.member_count, "#"))?;
        for (number, member) in (1..).zip(&list.member_list) {
            say(format_args!("{number:>8}  {}", member.member_account))?;
        }
        if list.member_count > list.member_list.len() {
            say(format_args!("\n... the list ends here (member_list.cap); set it to 0 to see everyone"))?;
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    error_code: u32,
    error_info: String,
    response: Option<MemberList>,
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
