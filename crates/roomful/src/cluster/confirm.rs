//! What the node with the records says to what another asks it in rounds (`round.rs`): each answer is made anew, by the rules by which it
//! is made for who asks here, and sent unless it is what that node has already.

use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;

use super::mesh::Stream;
use super::round::{Answer, Answers, Ask, LONGEST_PAGE, LONGEST_QUESTION, MOST_ASKED, PLACES, Said};
use crate::error::{ApiError, Code};
use crate::lease::UNSURE;
use crate::rest::{self, Caller, Question};
use crate::server::Server;

/// The longest round: each of what is asked anew, and each place forgotten.
const LONGEST_ROUND: usize = MOST_ASKED * (LONGEST_QUESTION + 16) + PLACES as usize * 8;

/// A question of another node's, and what it was answered last.
struct Asked {
    path: Box<str>,
    query: Box<str>,
    body: Box<[u8]>,
    caller: Caller,
    last: Option<Bytes>,
}

impl Asked {
    fn of(Question { path, query, body }: Question<'_>) -> Self {
        Self {
            path: path.into(),
            query: query.into(),
            body: body.into(),
            caller: Caller::default(),
            last: None,
        }
    }

    fn answer(&mut self, server: &Server, askers: u16) -> Answer {
        let question = Question { path: &self.path, query: &self.query, body: &self.body };
        let looked = rest::look(server, question, askers.into(), &mut self.caller);
        let beyond = looked.beyond.map(|(count, error)| (u16::try_from(count).unwrap_or(askers), error));
        let said = match looked.result {
            Ok(page) if self.last.as_ref().is_some_and(|last| is_same(last, &page)) => Said::Same,
            Ok(page) if page.len() <= LONGEST_PAGE => {
                self.last = Some(page.clone());
                Said::Page(page)
            }
            Ok(_) => Said::Otherwise,
            Err(error) => Said::Refused(error),
        };
        Answer { said, beyond }
    }
}

/// A page is rendered once while it is the same, mostly.
fn is_same(one: &Bytes, other: &Bytes) -> bool {
    one.len() == other.len() && (one.as_ptr() == other.as_ptr() || one == other)
}

/// Answers what comes on a stream, until there is no more or this server does not have the records.
pub(super) async fn answer(stream: Stream, server: impl Fn() -> Option<Arc<Server>>) -> anyhow::Result<()> {
    let (mut receiving, mut sending) = stream.into_inner();
    let mut asked: Vec<Option<Asked>> = Vec::new();
    let mut round = Vec::new();
    loop {
        let mut length = [0; 4];
        receiving.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        ensure!(length <= LONGEST_ROUND, "{length} bytes are no round");
        round.resize(length, 0);
        receiving.read_exact(&mut round).await?;
        let Some(server) = server() else { return Ok(()) };
        let (mut rest, mut said) = (round.as_slice(), Vec::new());
        while let Some(Ask { place, askers, question }) = Ask::read(&mut rest) {
            ensure!(place < PLACES, "there is no place {place}");
            let place = usize::from(place);
            if asked.len() <= place {
                asked.resize_with(place + 1, || None);
            }
            let Some(of_place) = asked.get_mut(place) else { continue };
            if let Some(question) = question {
                *of_place = Some(Asked::of(question));
            }
            if askers == 0 {
                *of_place = None;
                continue;
            }
            let answer = match of_place {
                Some(question) => question.answer(&server, askers),
                None => anyhow::bail!("nothing was asked at {place}"),
            };
            if matches!(answer.said, Said::Refused(_) | Said::Otherwise) {
                *of_place = None;
            }
            said.push((place, answer));
        }
        ensure!(rest.is_empty(), "it speaks another language");
        let is_held = server.lease.is_held_soon().await;
        let mut answers = Answers::default();
        for (place, answer) in said {
            if is_held {
                answers.push(answer);
                continue;
            }
            if let Some(of_place) = asked.get_mut(place) {
                *of_place = None;
            }
            let refused = Said::Refused(ApiError::new(Code::Internal, UNSURE));
            answers.push(Answer { said: refused, beyond: None });
        }
        sending.write_all_chunks(&mut answers.into_pieces()).await?;
    }
}
