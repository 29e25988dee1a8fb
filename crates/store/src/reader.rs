//! The reader: a thread of its own, which reads what waits on the disk while others write. A disk that is slow to read
//! makes those wait who asked, and nobody else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::JoinHandle;

use futures_channel::oneshot;

use crate::engine::Read;
use crate::{Error, EventPage, EventsWanted, Reading};

type Answer<T> = oneshot::Sender<Result<T, Error>>;

enum Question {
    Events(EventsWanted, Answer<EventPage>),
    DeadLetters(Answer<Vec<u64>>),
}

#[derive(Debug)]
pub(crate) struct Reader {
    /// Gone when the store is being closed.
    questions: Option<mpsc::Sender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(reads: Box<dyn Read>) -> Result<Self, Error> {
        let (questions, asked) = mpsc::channel();
        let thread =
            std::thread::Builder::new().name("store-read".into()).spawn(move || run(reads, asked))?;
        Ok(Self { questions: Some(questions), thread: Some(thread) })
    }

    pub(crate) fn waiting_events(&self, wanted: EventsWanted) -> Reading<EventPage> {
        self.ask(|answer| Question::Events(wanted, answer))
    }

    pub(crate) fn dead_letters(&self) -> Reading<Vec<u64>> {
        self.ask(Question::DeadLetters)
    }

    fn ask<T: Send + 'static>(&self, question: impl FnOnce(Answer<T>) -> Question) -> Reading<T> {
        let (answer, answered) = oneshot::channel();
        let question = question(answer);
        let sent = self.questions.as_ref().is_some_and(|questions| questions.send(question).is_ok());
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

fn run(mut reads: Box<dyn Read>, asked: mpsc::Receiver<Question>) {
    for question in asked {
        match question {
            Question::Events(wanted, to) => answer(to, || reads.waiting_events(&wanted)),
            Question::DeadLetters(to) => answer(to, || reads.dead_letters()),
        }
    }
}

fn answer<T>(to: Answer<T>, read: impl FnOnce() -> Result<T, Error>) {
    // Nobody waits for what was asked before the store was closed.
    if to.is_canceled() {
        return;
    }
    let unforeseen = |_| Err(Error::Other("reading failed in an unforeseen way".into()));
    let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(unforeseen);
    // The error is that nobody waits any more.
    let _ = to.send(read);
}
