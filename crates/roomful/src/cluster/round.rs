//! What goes between a node and the one that has the records about what many ask: a *round* is what is asked together, and what is said
//! to it. A question is sent whole once and has a place from then on, by which it is asked again; an answer that is as it was said last at
//! its place is not sent again.

use std::io;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::{ApiError, Code};
use crate::rest::Question;

/// How many questions may have a place.
pub(super) const PLACES: u16 = 16_384;

/// How many are asked at most in one round.
pub(super) const MOST_ASKED: usize = 1024;

/// The longest question that is asked so.
pub(super) const LONGEST_QUESTION: usize = 4 << 10;

/// The longest page that is said so.
pub(super) const LONGEST_PAGE: usize = 64 << 20;

/// What is copied, rather than being sent as a piece of its own.
const COPIED: usize = 4 << 10;

/// One question of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask<'a> {
    pub(super) place: u16,
    /// How many want to know it; with none it is not asked, and its place is empty.
    pub(super) askers: u16,
    /// It, where it has not been sent.
    pub(super) question: Option<Question<'a>>,
}

impl<'a> Ask<'a> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.put_u16(self.place);
        out.put_u16(self.askers);
        out.put_u8(self.question.is_some().into());
        if let Some(Question { path, query, body }) = self.question {
            for part in [path.as_bytes(), query.as_bytes(), body] {
                // None is as long: what is longer is not asked so.
                out.put_u16(u16::try_from(part.len()).unwrap_or_default());
                out.extend_from_slice(part);
            }
        }
    }

    /// Reads the next of a round; nothing when there is none, or it cannot be read.
    pub(super) fn read(round: &mut &'a [u8]) -> Option<Self> {
        let (place, askers) = (number(round)?, number(round)?);
        let [is_new] = fixed(round)?;
        let question = match is_new {
            0 => None,
            _ => Some(Question { path: text(round)?, query: text(round)?, body: part(round)? }),
        };
        Some(Self { place, askers, question })
    }
}

fn fixed<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn number(bytes: &mut &[u8]) -> Option<u16> {
    fixed(bytes).map(u16::from_be_bytes)
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(bytes)?;
    let (part, rest) = bytes.split_at_checked(length.into())?;
    *bytes = rest;
    Some(part)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(part(bytes)?).ok()
}

/// What is said to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// What was said last at its place.
    Same,
    Page(Bytes),
    Refused(ApiError),
    /// It is to be asked by itself.
    Otherwise,
}

const SAME: u8 = 0;
const PAGE: u8 = 1;
const REFUSED: u8 = 2;
const OTHERWISE: u8 = 3;

/// What is said to those who ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) said: Said,
    /// So many of them have asked too often, and hear this.
    pub(super) beyond: Option<(u16, ApiError)>,
}

/// The answers to a round, on their way.
#[derive(Default)]
pub(super) struct Answers {
    small: BytesMut,
    pieces: Vec<Bytes>,
}

impl Answers {
    pub(super) fn push(&mut self, answer: Answer) {
        match answer.said {
            Said::Same => self.small.put_u8(SAME),
            Said::Otherwise => self.small.put_u8(OTHERWISE),
            Said::Refused(error) => {
                self.small.put_u8(REFUSED);
                self.push_error(&error);
            }
            Said::Page(page) => {
                self.small.put_u8(PAGE);
                self.push_part(page);
            }
        }
        self.small.put_u16(answer.beyond.as_ref().map_or(0, |(count, _)| *count));
        if let Some((_, error)) = &answer.beyond {
            self.push_error(error);
        }
    }

    fn push_error(&mut self, error: &ApiError) {
        self.small.put_u32(error.code.number());
        self.push_part(Bytes::copy_from_slice(error.message.as_bytes()));
    }

    fn push_part(&mut self, part: Bytes) {
        // Bounded by `LONGEST_PAGE`; a message is nowhere near.
        self.small.put_u32(u32::try_from(part.len()).unwrap_or_default());
        if part.len() <= COPIED {
            return self.small.extend_from_slice(&part);
        }
        self.pieces.push(self.small.split().freeze());
        self.pieces.push(part);
    }

    /// In the order in which they go.
    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        self.pieces.push(self.small.freeze());
        self.pieces
    }
}

impl Answer {
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let said = match from.read_u8().await? {
            SAME => Said::Same,
            PAGE => Said::Page(read_part(from).await?),
            REFUSED => Said::Refused(read_error(from).await?),
            OTHERWISE => Said::Otherwise,
            _ => return Err(broken()),
        };
        let beyond = match from.read_u16().await? {
            0 => None,
            count => Some((count, read_error(from).await?)),
        };
        Ok(Self { said, beyond })
    }
}

async fn read_part(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let length = usize::try_from(from.read_u32().await?).map_err(|_| broken())?;
    if length > LONGEST_PAGE {
        return Err(broken());
    }
    let mut part = vec![0; length];
    from.read_exact(&mut part).await?;
    Ok(part.into())
}

async fn read_error(from: &mut (impl AsyncRead + Unpin)) -> io::Result<ApiError> {
    let number = from.read_u32().await?;
    let message = String::from_utf8(read_part(from).await?.into()).map_err(|_| broken())?;
    // A newer release may have others; its answers are asked for one by one.
    let code = Code::ALL.iter().find(|code| code.number() == number).ok_or_else(broken)?;
    Ok(ApiError::new(*code, message))
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the other node speaks another language")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_as_it_was_written() {
        let question = Question { path: "/v4/a/b", query: "sdkappid=1", body: b"{\"a\":1}" };
        let asked = [
            Ask { place: 7, askers: 3, question: Some(question) },
            Ask { place: 7, askers: u16::MAX, question: None },
            Ask { place: PLACES - 1, askers: 0, question: None },
        ];
        let mut round = Vec::new();
        asked.iter().for_each(|ask| ask.write(&mut round));

        let mut rest = round.as_slice();
        let read: Vec<Ask<'_>> = std::iter::from_fn(|| Ask::read(&mut rest)).collect();

        assert_eq!(read, asked);
        for length in 0..round.len() {
            let mut cut = round.get(..length).unwrap();
            while Ask::read(&mut cut).is_some() {}
        }
    }

    #[tokio::test]
    async fn what_is_said_is_read_as_it_was_written() {
        let error = |code, message: &'static str| ApiError::new(code, message);
        let said = [
            Answer { said: Said::Same, beyond: None },
            Answer { said: Said::Page(vec![b'x'; COPIED + 1].into()), beyond: None },
            Answer { said: Said::Page("short".into()), beyond: Some((9, error(Code::TooOften, "slower"))) },
            Answer { said: Said::Refused(error(Code::RoomNotFound, "no r\u{f6}om")), beyond: None },
            Answer { said: Said::Otherwise, beyond: None },
        ];
        let mut answers = Answers::default();
        said.iter().for_each(|answer| answers.push(answer.clone()));
        let bytes = answers.into_pieces().concat();

        let mut from = bytes.as_slice();
        for answer in said {
            assert_eq!(Answer::read(&mut from).await.unwrap(), answer);
        }
        assert!(from.is_empty());
        assert!(Answer::read(&mut &[9, 0, 0][..]).await.is_err());
        assert!(Answer::read(&mut &[PAGE, 255, 255, 255, 255][..]).await.is_err());
    }
}
