//! The reader: a thread with a connection of its own, which reads pages of the outbox while others write. A disk that
//! is slow to read makes those wait who asked, and nobody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use futures_channel::oneshot;
use rusqlite::Connection;

use crate::{Error, EventPage, EventsWanted, Reading, database, outbox};

struct Question {
    wanted: EventsWanted,
    answer: oneshot::Sender<Result<EventPage, Error>>,
}

#[derive(Debug)]
pub(crate) struct Reader {
    /// Gone when the store is being closed.
    questions: Option<mpsc::Sender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(path: PathBuf) -> Result<Self, Error> {
        let (questions, asked) = mpsc::channel();
        let thread = std::thread::Builder::new().name("store-read".into()).spawn(move || run(path, asked))?;
        Ok(Self { questions: Some(questions), thread: Some(thread) })
    }

    pub(crate) fn ask(&self, wanted: EventsWanted) -> Reading {
        let (answer, answered) = oneshot::channel();
        let sent = self
            .questions
            .as_ref()
            .is_some_and(|questions| questions.send(Question { wanted, answer }).is_ok());
        Box::pin(async move {
            if !sent {
                return Err(Error::Closed);
            }
            answered.await.unwrap_or(Err(Error::Closed))
        })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.questions = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(path: PathBuf, asked: mpsc::Receiver<Question>) {
    let mut kept: Option<Connection> = None;
    for Question { wanted, answer } in asked {
        // Nobody waits for what was asked before the store was closed.
        if answer.is_canceled() {
            continue;
        }
        let read = || {
            let connection = match kept.take() {
                Some(connection) => connection,
                None => {
                    let connection = database::connect(&path)?;
                    connection.pragma_update(None, "query_only", true)?;
                    connection
                }
            };
            let page = outbox::page(&connection, &wanted)?;
            kept = Some(connection);
            Ok(page)
        };
        let unforeseen = |_| Err(Error::Other("reading failed in an unforeseen way".into()));
        let page = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(unforeseen);
        // The error is that nobody waits any more.
        let _ = answer.send(page);
    }
}
