//! `roomful top`: the rooms with the most members, looked at again and again.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::rooms::{list, number_of, text_of};
use super::show::{Format, Set, Table, clear_screen, counted, say, terminal};
use super::target::Target;

#[derive(Args)]
pub(super) struct Top {
    /// How often to look
    #[arg(long, value_name = "TIME", value_parser = interval, default_value = "1s")]
    interval: Duration,
    /// How many times to look [default: until interrupted on a terminal, else once]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    target: Target,
}

/// Lines above and below the rooms.
const FRAME_ROWS: usize = 4;

/// All rooms are listed for each look.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time < SHORTEST_INTERVAL {
        return Err(format!("at least {} are wanted", humantime::format_duration(SHORTEST_INTERVAL)));
    }
    Ok(time)
}

impl Top {
    pub(super) async fn run(self, folder: &Path) -> anyhow::Result<()> {
        let api = self.target.api(folder)?;
        let terminal_at_first = terminal();
        let looks = self.count.unwrap_or(if terminal_at_first.is_some() { u64::MAX } else { 1 });
        let mut before: HashMap<String, u64> = HashMap::new();
        for look in 0..looks {
            if look > 0 {
                tokio::time::sleep(self.interval).await;
            }
            let mut rooms = list(&api).await?;
            rooms.sort_by(|one, other| {
                let members = |room| number_of(room, "MemberCount");
                members(other)
                    .cmp(&members(one))
                    .then_with(|| text_of(one, "RoomId").cmp(&text_of(other, "RoomId")))
            });
            self.show(&rooms, &before, look)?;
            before =
                rooms.iter().map(|room| (text_of(room, "RoomId"), number_of(room, "MemberCount"))).collect();
        }
        Ok(())
    }

    fn show(&self, rooms: &[Value], before: &HashMap<String, u64>, look: u64) -> anyhow::Result<()> {
        let members: usize = rooms
            .iter()
            .map(|room| usize::try_from(number_of(room, "MemberCount")).unwrap_or_default())
            .sum();
        if self.format.json {
            // One a line, for those who read them as they come.
            return say(json!({"Rooms": rooms.len(), "Members": members, "RoomList": rooms}));
        }
        let size = terminal();
        match size {
            Some(_) => clear_screen()?,
            None if look > 0 => say("")?,
            None => {}
        }
        say(format_args!("{}, {}\n", counted(rooms.len(), "room"), counted(members, "member")))?;
        let mut table = Table::new(&[
            ("MEMBERS", Set::Number),
            // Where a terminal is too narrow the last columns go: how many there are says nothing without where.
            ("ROOM", Set::Whole),
            ("CHANGE", Set::Number),
            ("VIEWS", Set::Number),
            ("TYPE", Set::Text),
            ("OWNER", Set::Text),
            ("NAME", Set::Text),
        ]);
        let shown = size.map_or(usize::MAX, |(_, rows)| rows.saturating_sub(FRAME_ROWS + 1));
        for room in rooms.iter().take(shown) {
            let (id, now) = (text_of(room, "RoomId"), number_of(room, "MemberCount"));
            let change = before.get(&id).map_or(0, |before| now.cast_signed() - before.cast_signed());
            table.row([
                now.to_string(),
                id,
                if change == 0 { String::new() } else { format!("{change:+}") },
                number_of(room, "ViewCount").to_string(),
                text_of(room, "RoomType"),
                text_of(room, "Owner_Account"),
                text_of(room, "RoomName"),
            ]);
        }
        table.print()
    }
}
