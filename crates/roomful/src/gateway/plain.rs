//! Frames in the form in which clients write them, read in one go: reports, of which there are hundreds a second, each half a kilobyte of
//! names and numbers, and commands whose body holds no more than texts and numbers. The usual way reads a frame three times before its
//! values are where they belong.
//!
//! Invariant: what is read here is read as the usual way reads it. Whatever is written otherwise (spaces, escapes, other names, a field
//! twice) or wrong is nothing to this, and goes the usual way.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::report::{Earlier, Entry, Part, ReportRequest};

/// A report: the frame's id, what it says, and how many bytes that is.
pub(super) fn report(frame: &str) -> Option<(u32, ReportRequest<'_>, usize)> {
    let (mut reader, id, command) = Reader::of(frame)?;
    if command != "report" {
        return None;
    }
    let (request, body) = reader.body(Reader::request)?;
    Some((id, request, body.len()))
}

/// A command whose body is an object of texts, numbers and what is true, false or null: the frame's id, the command, and the body, which
/// is JSON.
pub(super) fn request(frame: &str) -> Option<(u32, &str, &str)> {
    let (mut reader, id, command) = Reader::of(frame)?;
    let ((), body) = reader.body(Reader::flat)?;
    Some((id, command, body))
}

/// So many digits are a whole number in a `f64` too.
const MOST: usize = 15;

/// Reads on from a place in a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// A frame as far as its body: its id, and the command.
    fn of(frame: &'a str) -> Option<(Self, u32, &'a str)> {
        let mut reader = Self { text: frame, at: 0 };
        reader.take("{\"id\":")?;
        let id = reader.digits()?.parse().ok()?;
        reader.take(",\"command\":")?;
        let command = reader.text()?;
        reader.take(",\"body\":")?;
        Some((reader, id, command))
    }

    /// The body, read and as it stands; the frame ends behind it.
    fn body<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<(T, &'a str)> {
        let from = self.at;
        let body = read(self)?;
        let text = self.text.get(from..self.at)?;
        self.take("}")?;
        self.rest().is_empty().then_some((body, text))
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, expected: &str) -> Option<()> {
        let is_there = self.rest().starts_with(expected.as_bytes());
        self.at += if is_there { expected.len() } else { 0 };
        is_there.then_some(())
    }

    /// Goes on behind the bytes of which that is true.
    fn take_while(&mut self, is_one: impl Fn(u8) -> bool) -> Option<&'a str> {
        let from = self.at;
        let rest = self.rest();
        self.at += rest.iter().position(|byte| !is_one(*byte)).unwrap_or(rest.len());
        self.text.get(from..self.at)
    }

    /// Of an integer without a sign.
    fn digits(&mut self) -> Option<&'a str> {
        let digits = self.take_while(|byte| byte.is_ascii_digit())?;
        let is_usual = digits == "0" || !digits.starts_with('0');
        (!digits.is_empty() && digits.len() <= MOST && is_usual).then_some(digits)
    }

    fn number(&mut self) -> Option<f64> {
        let from = self.at;
        let is_below = self.take("-").is_some();
        let whole: u64 = self.digits()?.parse().ok()?;
        match self.rest().first() {
            Some(b'.') => {
                self.at += 1;
                self.digits_behind_the_point()?;
                // Of no more than this every parser makes the same.
                self.text.get(from..self.at).filter(|number| number.len() <= MOST)?.parse().ok()
            }
            Some(b',' | b']' | b'}') if is_below => Some(-(whole as f64)),
            Some(b',' | b']' | b'}') => Some(whole as f64),
            _ => None,
        }
    }

    fn digits_behind_the_point(&mut self) -> Option<()> {
        let digits = self.take_while(|byte| byte.is_ascii_digit())?;
        let is_over = matches!(self.rest().first(), Some(b',' | b']' | b'}'));
        (!digits.is_empty() && is_over).then_some(())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.take("\"")?;
        let text = self.take_while(|byte| byte >= b' ' && byte != b'"' && byte != b'\\')?;
        self.take("\"")?;
        Some(text)
    }

    /// An object that has none in it, and no lists.
    fn flat(&mut self) -> Option<()> {
        self.take("{")?;
        if self.take("}").is_some() {
            return Some(());
        }
        loop {
            self.text()?;
            self.take(":")?;
            match self.rest().first()? {
                b'"' => drop(self.text()?),
                b't' => self.take("true")?,
                b'f' => self.take("false")?,
                b'n' => self.take("null")?,
                _ => drop(self.number()?),
            }
            if self.take("}").is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    /// What is between two brackets, one after the other.
    fn list(&mut self, mut one: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take("[")?;
        if self.take("]").is_some() {
            return Some(());
        }
        loop {
            one(self)?;
            if self.take("]").is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        let mut parts = SmallVec::new();
        self.list(|reader| {
            let part = match reader.rest().first() {
                Some(b'"') => Part::Text(Cow::Borrowed(reader.text()?)),
                _ => Part::Number(reader.number()?),
            };
            parts.push(part);
            Some(())
        })?;
        Some(Entry(parts))
    }

    fn entries(&mut self) -> Option<Vec<Entry<'a>>> {
        let mut entries = Vec::with_capacity(8);
        self.list(|reader| {
            entries.push(reader.entry()?);
            Some(())
        })?;
        Some(entries)
    }

    fn numbers(&mut self) -> Option<Vec<f64>> {
        let mut numbers = Vec::new();
        self.list(|reader| {
            numbers.push(reader.number()?);
            Some(())
        })?;
        Some(numbers)
    }

    /// Of numbers that say nothing behind a point.
    fn events(&mut self) -> Option<Vec<Vec<i64>>> {
        let mut events = Vec::new();
        self.list(|reader| {
            let numbers = reader.numbers()?;
            let is_whole = numbers.iter().all(|number| number.fract() == 0.0);
            events.push(numbers.into_iter().map(|number| number as i64).collect());
            is_whole.then_some(())
        })?;
        Some(events)
    }

    /// Fields between two braces, read by name: whether there was one of that name already.
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<bool>) -> Option<()> {
        self.take("{")?;
        loop {
            let name = self.text()?;
            self.take(":")?;
            if field(self, name)? {
                return None;
            }
            if self.take("}").is_some() {
                return Some(());
            }
            self.take(",")?;
        }
    }

    fn earlier(&mut self) -> Option<Earlier<'a>> {
        let (mut ago, mut said) = (None, Said::default());
        self.object(|reader, name| match name {
            "Ago" => Some(ago.replace(reader.number()?).is_some()),
            _ => said.read(reader, name),
        })?;
        let (cpu, up, down) = said.all();
        Some(Earlier { ago: ago?, cpu, up, down })
    }

    fn request(&mut self) -> Option<ReportRequest<'a>> {
        let (mut room_id, mut join, mut ev, mut earlier) = (None, None, None, None);
        let mut said = Said::default();
        self.object(|reader, name| match name {
            "RoomId" => Some(room_id.replace(reader.text()?.to_owned()).is_some()),
            "Join" => Some(join.replace(reader.number()?).is_some()),
            "Ev" => Some(ev.replace(reader.events()?).is_some()),
            "Earlier" => {
                let mut all = Vec::new();
                reader.list(|reader| {
                    all.push(reader.earlier()?);
                    Some(())
                })?;
                Some(earlier.replace(all).is_some())
            }
            _ => said.read(reader, name),
        })?;
        let (cpu, up, down) = said.all();
        let (ev, earlier) = (ev.unwrap_or_default(), earlier.unwrap_or_default());
        Some(ReportRequest { room_id, join, cpu, ev, up, down, earlier })
    }
}

/// What is said of one moment, as far as it is read.
#[derive(Default)]
struct Said<'a> {
    cpu: Option<Vec<f64>>,
    up: Option<Vec<Entry<'a>>>,
    down: Option<Vec<Entry<'a>>>,
}

impl<'a> Said<'a> {
    fn read(&mut self, reader: &mut Reader<'a>, name: &str) -> Option<bool> {
        Some(match name {
            "Cpu" => self.cpu.replace(reader.numbers()?).is_some(),
            "Up" => self.up.replace(reader.entries()?).is_some(),
            "Down" => self.down.replace(reader.entries()?).is_some(),
            _ => return None,
        })
    }

    fn all(self) -> (Vec<f64>, Vec<Entry<'a>>, Vec<Entry<'a>>) {
        (self.cpu.unwrap_or_default(), self.up.unwrap_or_default(), self.down.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::gateway::commands;
    use crate::rest::parse_json;

    const USUAL: &str = r#"{"id":7,"command":"report","body":{"RoomId":"r 1","Join":812,"Cpu":[31,-1],"Up":[["audio",52],["main",30,29.5,1280,720]],"Down":[["bob","audio",48,61,0],["bü","main",30,640,360,70,0]],"Ev":[[32781,-1]],"Earlier":[{"Ago":4,"Up":[["audio",1]]},{"Ago":2,"Cpu":[1],"Up":[],"Down":[["bob","audio",48]]}]}}"#;

    /// The usual way.
    fn usual(frame: &str) -> Option<ReportRequest<'_>> {
        parse_json(commands::parts_of(frame)?.2).ok()
    }

    fn changed(usual: &str, changes: Vec<(usize, String)>) -> String {
        let mut frame = usual.to_owned();
        for (at, text) in changes {
            let at = (0..=at.min(frame.len())).rev().find(|at| frame.is_char_boundary(*at)).unwrap_or(0);
            match text.is_empty() {
                true if at < frame.len() => drop(frame.remove(at)),
                _ => frame.insert_str(at, &text),
            }
        }
        frame
    }

    #[test]
    fn what_clients_write_is_read() {
        let (id, request, bytes) = report(USUAL).unwrap();

        assert_eq!((id, bytes), (7, USUAL.len() - r#"{"id":7,"command":"report","body":}"#.len()));
        assert_eq!(Some(request), usual(USUAL));
        assert!(report(r#"{"id":7,"command":"report","body":{"RoomId":"r"}}"#).is_some());
    }

    const COMMAND: &str = r#"{"id":12,"command":"enter_room","body":{"RoomId":"rü","Password":"","Text":"a, b: {}","N":-1.5,"Z":0,"Is":true,"No":false,"Nil":null}}"#;

    #[test]
    fn a_command_is_read_in_one_go() {
        for (body, is_flat) in [
            ("{}", true),
            (r#"{"RoomId":"r"}"#, true),
            (r#"{"A":true,"B":[1]}"#, false),
            (r#"{"A":{}}"#, false),
            (r#"{"A":"\n"}"#, false),
            (r#"{"A":tru}"#, false),
            (r#"{"A":1]}"#, false),
            (r#"{"A":1,}"#, false),
            (r#"{"A" :1}"#, false),
            (r#"{"A":1},"id":2"#, false),
            ("[]", false),
        ] {
            let frame = format!(r#"{{"id":7,"command":"x","body":{body}}}"#);
            assert_eq!(request(&frame), is_flat.then_some((7, "x", body)), "{frame}");
        }
        assert_eq!(request(COMMAND).map(|(id, command, _)| (id, command)), Some((12, "enter_room")));
    }

    #[test]
    fn what_is_written_otherwise_goes_the_usual_way() {
        let body = |body: &str| format!(r#"{{"id":7,"command":"report","body":{body}}}"#);
        for frame in [
            body(r#"{"RoomId":"r","RoomId":"r"}"#),
            body(r#"{"RoomId":"r"},"id":8"#),
            body(r#"{"RoomId":"r"}}"#),
            body(r#"{"RoomId":"r\u0041"}"#),
            body(r#"{"RoomId": "r"}"#),
            body(r#"{"RoomId":"r",}"#),
            body(r#"{"RoomId":"r","Join":01}"#),
            body(r#"{"RoomId":"r","Join":1e3}"#),
            body(r#"{"RoomId":"r","Join":1.}"#),
            body(r#"{"RoomId":"r","Join":-}"#),
            body(r#"{"RoomId":"r","Join":null}"#),
            body(r#"{"RoomId":"r","Other":1}"#),
            body(r#"{"RoomId":"r","Ev":[[1.5]]}"#),
            body(r#"{"RoomId":7}"#),
            body(r#"{"RoomId":"r","Earlier":[{"Up":[]}]}"#),
            body(r#"{"RoomId":"r","Earlier":[{"Ago":2,"Ago":2}]}"#),
            body(r#"{"RoomId":"r","Earlier":[{}]}"#),
            body(r#"{"RoomId":"r","Earlier":[],"Earlier":[]}"#),
            body(r#"{"RoomId":"r","Earlier":[{"Ago":2,"Join":5}]}"#),
            body("{}"),
            USUAL.replace("\"id\":7", "\"id\":99999999999"),
            USUAL.replace("\"id\":7", "\"id\":-7"),
            USUAL.replace("report", "reports"),
            format!("{USUAL} "),
        ] {
            assert!(report(&frame).is_none(), "{frame}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_as_the_usual_way_reads_it(
            changes in proptest::collection::vec((0..USUAL.len(), r#"[\[\]{}",:.0-9eE\\a-z -]{0,3}"#), 1..4)
        ) {
            let frame = changed(USUAL, changes);
            if let Some((_, request, _)) = report(&frame) {
                prop_assert_eq!(Some(request), usual(&frame), "{}", frame);
            }
        }

        #[test]
        fn a_command_is_read_as_the_usual_way_reads_it(
            changes in proptest::collection::vec((0..COMMAND.len(), r#"[\[\]{}",:.0-9eEtrufalsn\\ -]{0,3}"#), 0..4)
        ) {
            let frame = changed(COMMAND, changes);
            if let Some((id, command, body)) = request(&frame) {
                prop_assert_eq!(Some((id, command.into(), body)), commands::parts_of(&frame), "{}", frame);
            }
        }
    }
}
