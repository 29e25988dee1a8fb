//! How the command line shows things: lines, tables that fit the terminal, JSON. Colours are for terminals alone (`anstream` takes
//! them off in pipes and where `NO_COLOR` is set).

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// In which form something is shown.
#[derive(Args)]
pub(super) struct Format {
    /// Print JSON instead
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Whoever reads the output has had enough of it (`| head`), which is no failure.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads on")]
pub(super) struct Enough;

/// Prints a line of what was asked for.
pub(super) fn say(line: impl Display) -> anyhow::Result<()> {
    match writeln!(anstream::stdout(), "{line}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Enough.into()),
        written => written.context("the output cannot be written"),
    }
}

pub(super) fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(value)?)
}

/// Columns and rows of the terminal; `None` where there is none.
pub(super) fn terminal() -> Option<(usize, usize)> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    // A terminal that does not know its size says 0.
    let or = |given: u16, usual| if given == 0 { usual } else { usize::from(given) };
    Some((or(size.ws_col, 80), or(size.ws_row, 24)))
}

/// Empties the screen of a terminal, where what is shown is shown anew; colours or not, so past what takes those off.
pub(super) fn clear_screen() -> anyhow::Result<()> {
    if terminal().is_some() {
        // Home, then clear to the end of the screen, so that nothing flickers.
        write!(std::io::stdout(), "\x1b[H\x1b[2J").context("the output cannot be written")?;
    }
    Ok(())
}

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// Text, cut where there is no room for it.
    Text,
    /// Text that is of no use when it is cut: a name to be typed.
    Whole,
    /// Numbers, at the right, never cut.
    Number,
}

/// Rows under heads.
pub(super) struct Table {
    heads: Vec<(&'static str, Set)>,
    rows: Vec<Vec<String>>,
}

/// Between columns.
const GAP: usize = 2;

/// The least that is left of a text.
const LEAST: usize = 4;

impl Table {
    pub(super) fn new(heads: &[(&'static str, Set)]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Prints it, as wide as the terminal at most; in a pipe nothing is cut.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        self.print_with(|_| None)
    }

    /// The same, with a line under each row that has more to say.
    pub(super) fn print_with(&self, more: impl Fn(usize) -> Option<String>) -> anyhow::Result<()> {
        let mut lines = self.lines(terminal().map(|(columns, _)| columns)).into_iter();
        lines.next().map_or(Ok(()), say)?;
        for (row, line) in lines.enumerate() {
            say(line)?;
            more(row).map_or(Ok(()), say)?;
        }
        Ok(())
    }

    /// The head and a line a row, within `width`.
    pub(super) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let heads: Vec<String> = self.heads.iter().map(|(title, _)| (*title).to_string()).collect();
        let head = format!("{BOLD}{}{BOLD:#}", self.line(&heads, &widths));
        std::iter::once(head).chain(self.rows.iter().map(|row| self.line(row, &widths))).collect()
    }

    /// What each column needs; where that is more than there is, the widest text gives way first, and then the last columns go.
    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let natural = |(column, (title, _)): (usize, &(&str, Set))| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
            cells.chain([title.width()]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = self.heads.iter().enumerate().map(natural).collect();
        let Some(width) = width else { return widths };
        while widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1) > width {
            let texts = widths.iter_mut().zip(&self.heads).filter(|(_, (_, set))| *set == Set::Text);
            let Some((widest, _)) =
                texts.filter(|(width, _)| **width > LEAST).max_by_key(|(width, _)| **width)
            else {
                if widths.len() < 2 {
                    break;
                }
                widths.pop();
                continue;
            };
            *widest -= 1;
        }
        widths
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, set)) in cells.iter().zip(widths).zip(&self.heads) {
            if !line.is_empty() {
                line.push_str(&" ".repeat(GAP));
            }
            let cell = cut(cell, *width);
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            match set {
                Set::Text | Set::Whole => line.extend([cell, padding]),
                Set::Number => line.extend([padding, cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// As much of a text as fits, with a sign where it is cut.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_string();
    }
    let (mut short, mut used) = (String::new(), 0);
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        short.push(letter);
    }
    short.push('…');
    short
}

/// How many there are of something, in words.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{BOLD}{count}{BOLD:#} {what}{}", if count == 1 { "" } else { "s" })
}

/// Prints a text behind what stands before its first line, which takes up `indent` columns: as wide as the terminal at most, its
/// lines below each other.
pub(super) fn say_behind(before: impl Display, indent: usize, text: &str) -> anyhow::Result<()> {
    let room = terminal().map_or(usize::MAX, |(columns, _)| columns.saturating_sub(indent));
    let mut lines = wrapped(text, room).into_iter();
    say(format_args!("{before}{}", lines.next().unwrap_or_default()))?;
    lines.try_for_each(|line| say(format_args!("{:indent$}{line}", "")))
}

/// The lines of a text, between whose words it may be broken.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.width() + 1 + word.width() <= width) {
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What users have typed may hold what moves a terminal's cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[("ROOM", Set::Text), ("MEMBERS", Set::Number), ("NAME", Set::Text)]);
        table.row(["demo".into(), "12".into(), "a name that is longer than the others".into()]);
        table.row(["张三的房间".into(), "100000".into(), "x\x1b[2J".into()]);
        table
    }

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn columns_stand_under_their_heads() {
        assert_eq!(
            plain(&table().lines(None)),
            [
                "ROOM        MEMBERS  NAME",
                "demo             12  a name that is longer than the others",
                "张三的房间   100000  x\u{fffd}[2J",
            ]
        );
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal_and_numbers_stay_whole() {
        for width in 13..70 {
            let lines = plain(&table().lines(Some(width)));

            assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:#?}");
            assert!(lines[1].contains("12") && lines[2].contains("100000"), "{lines:#?}");
        }
        assert!(table().lines(Some(40))[1].ends_with('…'));
    }

    #[test]
    fn where_nothing_can_give_way_the_last_columns_go() {
        let mut table = Table::new(&[("ROOM", Set::Whole), ("MEMBERS", Set::Number), ("NAME", Set::Text)]);
        table.row(["a-room-of-a-long-name".into(), "12".into(), "Ann's".into()]);

        assert_eq!(plain(&table.lines(Some(30)))[1], "a-room-of-a-long-name       12");
        assert_eq!(plain(&table.lines(Some(25)))[1], "a-room-of-a-long-name");
        assert_eq!(
            plain(&table.lines(Some(10)))[1],
            "a-room-of-a-long-name",
            "of what is to be typed nothing is cut"
        );
    }

    #[test]
    fn a_text_is_broken_between_its_words() {
        assert_eq!(wrapped("the clock is plausible", 12), ["the clock is", "plausible"]);
        assert_eq!(wrapped("see http://an.address.example", 10), ["see", "http://an.address.example"]);
        assert_eq!(wrapped("", 10), [""]);
    }
}
