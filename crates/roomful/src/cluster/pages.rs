//! What a node keeps of what it asks the one that has the records: pages, each as it was said last. None is given out but by that node's
//! word, asked for after the request had come in: what a change that was acknowledged has made of it is in it, whoever made the change.
//! All who wait for the same share a word, and all questions that wait share a round (`round.rs`); the next goes when it is back and nearly
//! as many wait for it as had asked the last, or a moment later. So the more is asked, the less an answer costs.
//!
//! Whatever is not certain here is left to be carried: what is asked changes nothing, and may be asked twice. All of it is gone with the
//! connection; a node that takes over is asked anew.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes};
use hashbrown::HashMap;
use metrics::{Counter, counter};
use parking_lot::Mutex;
use rooms::SdkAppId;
use tokio::io::BufReader;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::mesh::Stream;
use super::round::{Answer, Ask, LONGEST_QUESTION, MOST_ASKED, PLACES, Said};
use crate::error::ApiError;
use crate::rest::Question;

/// How many bytes are kept, with the questions, and how many of one app's: its rooms do not put out the pages of all others.
const MOST_BYTES: usize = 64 << 20;
const MOST_OF_APP: usize = 16 << 20;

/// What a question takes beside itself, about.
const QUESTION_BYTES: usize = 256;

/// How long the next round waits for those who had asked the last.
const MOMENT: Duration = Duration::from_millis(1);

/// How long a round may take.
const ROUND: Duration = Duration::from_secs(10);

/// What nobody has asked for in such a time is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// How much of what is said is read at once.
const BUFFER: usize = 16 << 10;

type Asker = oneshot::Sender<Result<Bytes, ApiError>>;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The pages of one node that has the records.
pub(super) struct Pages {
    /// Whose they are.
    pub(super) generation: i64,
    state: Mutex<State>,
    more: Notify,
    kept: Counter,
    new: Counter,
    rounds: Counter,
}

#[derive(Default)]
struct State {
    /// Somebody answers. Before, nobody is made to wait for that.
    is_open: bool,
    is_over: bool,
    /// A round is on its way: whoever comes waits for the next.
    is_asking: bool,
    /// How many wait for the next, and how many are to before it goes.
    askers: usize,
    wanted: usize,
    places: Map<Arc<[u8]>, u16>,
    /// By their places.
    questions: Vec<Option<Kept>>,
    free: Vec<u16>,
    /// The places of those that somebody waits for.
    waiting: Vec<u16>,
    /// The places of which the other node is to know that they are empty.
    forgotten: Vec<u16>,
    /// Where it is looked next for what nobody asks for.
    hand: usize,
    bytes: usize,
    of_app: Map<SdkAppId, usize>,
}

/// A question, and what was said to it last.
struct Kept {
    key: Arc<[u8]>,
    app: SdkAppId,
    path: Box<str>,
    query: Box<str>,
    body: Box<[u8]>,
    /// The other node has it at its place.
    is_sent: bool,
    page: Option<Bytes>,
    /// Somebody has asked since this was looked at last.
    is_recent: bool,
    /// Who waits for the next round, and who for the one on its way.
    waiting: Vec<Asker>,
    asked: Vec<Asker>,
}

/// What was said to those who had asked a question.
struct Answered {
    askers: Vec<Asker>,
    /// What they hear; nothing where they are to ask otherwise.
    page: Option<Result<Bytes, ApiError>>,
    /// It was here already.
    is_kept: bool,
}

impl Kept {
    fn bytes(&self) -> usize {
        let of_question = self.key.len() + self.query.len() + self.body.len();
        QUESTION_BYTES + of_question + self.page.as_ref().map_or(0, Bytes::len)
    }

    fn is_asked(&self) -> bool {
        !self.waiting.is_empty() || !self.asked.is_empty()
    }
}

impl Pages {
    pub(super) fn of(generation: i64) -> Arc<Self> {
        Arc::new(Self {
            generation,
            state: Mutex::default(),
            more: Notify::new(),
            kept: counter!("roomful_cluster_lists_total", "page" => "kept"),
            new: counter!("roomful_cluster_lists_total", "page" => "new"),
            rounds: counter!("roomful_cluster_rounds_total"),
        })
    }

    /// Whether nobody answers any more.
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// What the node with the records says to a question from now on; nothing where it is to be asked otherwise.
    pub(super) async fn ask(&self, question: Question<'_>) -> Option<Result<Bytes, ApiError>> {
        let Question { path, query, body } = question;
        if path.len() + query.len() + body.len() > LONGEST_QUESTION {
            return None;
        }
        let mut key = Vec::with_capacity(LONGEST_QUESTION / 4);
        let app = question.write_key(&mut key)?;
        let (asker, answer) = oneshot::channel();
        let is_due = {
            let mut state = self.state.lock();
            if !state.is_open {
                return None;
            }
            state.wait(key, app, question, asker)?;
            !state.is_asking && state.askers == state.wanted.max(1)
        };
        if is_due {
            self.more.notify_one();
        }
        answer.await.ok()
    }

    /// Asks what waits, over and over, until the stream is.
    pub(super) async fn run(&self, stream: Stream) {
        let (receiving, mut sending) = stream.into_inner();
        let mut receiving = BufReader::with_capacity(BUFFER, receiving);
        self.state.lock().is_open = true;
        let rounds = async {
            let mut message = Vec::new();
            let mut forget_at = Instant::now() + FORGET;
            loop {
                if Instant::now() >= forget_at {
                    self.state.lock().forget_old();
                    forget_at = Instant::now() + FORGET;
                }
                let is_early = self.state.lock().end_round();
                if is_early {
                    let _ = timeout(MOMENT, self.more.notified()).await;
                }
                let asked = self.state.lock().begin_round(&mut message);
                if message.is_empty() {
                    let _ = timeout_at(forget_at, self.more.notified()).await;
                    continue;
                }
                self.rounds.increment(1);
                let round = async {
                    sending.write_all(&message).await?;
                    for place in asked {
                        let answer = Answer::read(&mut receiving).await?;
                        self.answer(place, answer)?;
                    }
                    anyhow::Ok(())
                };
                timeout(ROUND, round).await.context("it does not answer")??;
            }
        };
        let ended: anyhow::Result<()> = rounds.await;
        if let Err(error) = ended {
            tracing::debug!(error = format!("{error:#}"), "lists are carried one by one");
        }
        self.end();
    }

    fn answer(&self, place: u16, Answer { said, beyond }: Answer) -> anyhow::Result<()> {
        let Answered { mut askers, page, is_kept } = self.state.lock().answer(place, said)?;
        if let Some((count, error)) = beyond {
            let granted = askers.len().saturating_sub(count.into());
            for asker in askers.drain(granted..) {
                let _ = asker.send(Err(error.clone()));
            }
        }
        let Some(page) = page else { return Ok(()) };
        if page.is_ok() {
            let lists = if is_kept { &self.kept } else { &self.new };
            lists.increment(askers.len() as u64);
        }
        for asker in askers {
            // Whoever waits no longer hears nothing.
            let _ = asker.send(page.clone());
        }
        Ok(())
    }

    /// Whoever waits asks otherwise.
    pub(super) fn end(&self) {
        *self.state.lock() = State { is_over: true, ..State::default() };
    }
}

impl State {
    /// Puts somebody to those who wait for a question. Nothing is said of it when there is no place.
    fn wait(
        &mut self,
        key: Vec<u8>,
        app: SdkAppId,
        Question { path, query, body }: Question<'_>,
        asker: Asker,
    ) -> Option<()> {
        let place = match self.places.get(key.as_slice()) {
            Some(place) => *place,
            None => {
                let place = self.take_place()?;
                let key: Arc<[u8]> = key.into();
                let kept = Kept {
                    key: key.clone(),
                    app,
                    path: path.into(),
                    query: query.into(),
                    body: body.into(),
                    is_sent: false,
                    page: None,
                    is_recent: true,
                    waiting: Vec::new(),
                    asked: Vec::new(),
                };
                self.count(app, kept.bytes(), 0);
                self.places.insert(key, place);
                *self.questions.get_mut(usize::from(place))? = Some(kept);
                place
            }
        };
        let kept = self.questions.get_mut(usize::from(place))?.as_mut()?;
        if kept.waiting.len() >= usize::from(u16::MAX) {
            return None;
        }
        kept.is_recent = true;
        if kept.waiting.is_empty() {
            self.waiting.push(place);
        }
        kept.waiting.push(asker);
        self.askers += 1;
        Some(())
    }

    fn take_place(&mut self) -> Option<u16> {
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        match u16::try_from(self.questions.len()) {
            Ok(place) if place < PLACES => {
                self.questions.push(None);
                Some(place)
            }
            _ => {
                self.put_out(None);
                self.free.pop()
            }
        }
    }

    /// No round is on its way. Returns whether fewer wait for the next than had asked the last, nearly all of whom may come again.
    fn end_round(&mut self) -> bool {
        self.is_asking = false;
        self.askers < self.wanted
    }

    /// What is asked in the next round, as it is sent; empty when that is nothing.
    fn begin_round(&mut self, message: &mut Vec<u8>) -> Vec<u16> {
        message.clear();
        self.wanted = 0;
        if self.waiting.is_empty() && self.forgotten.is_empty() {
            return Vec::new();
        }
        self.is_asking = true;
        message.put_u32(0);
        for place in self.forgotten.drain(..) {
            Ask { place, askers: 0, question: None }.write(message);
        }
        let asked: Vec<u16> = self.waiting.drain(..self.waiting.len().min(MOST_ASKED)).collect();
        for place in &asked {
            let Some(Some(kept)) = self.questions.get_mut(usize::from(*place)) else { continue };
            kept.asked = std::mem::take(&mut kept.waiting);
            let askers = u16::try_from(kept.asked.len()).unwrap_or(u16::MAX);
            let question = Question { path: &kept.path, query: &kept.query, body: &kept.body };
            let question = (!kept.is_sent).then_some(question);
            Ask { place: *place, askers, question }.write(message);
            kept.is_sent = true;
            self.askers -= kept.asked.len();
            self.wanted += kept.asked.len();
        }
        self.wanted = self.wanted * 3 / 4;
        let length = u32::try_from(message.len() - 4).unwrap_or_default().to_be_bytes();
        message.iter_mut().zip(length).for_each(|(byte, of_length)| *byte = of_length);
        asked
    }

    /// Notes what was said to a question.
    fn answer(&mut self, place: u16, said: Said) -> anyhow::Result<Answered> {
        let kept = self.questions.get_mut(usize::from(place)).and_then(Option::as_mut);
        let kept = kept.context("nobody has asked that")?;
        let askers = std::mem::take(&mut kept.asked);
        let (app, before) = (kept.app, kept.bytes());
        match said {
            Said::Same => {
                let page = kept.page.clone().context("there is no such page")?;
                Ok(Answered { askers, page: Some(Ok(page)), is_kept: true })
            }
            Said::Page(page) => {
                kept.page = Some(page.clone());
                let after = kept.bytes();
                self.count(app, after, before);
                while self.of_app.get(&app).is_some_and(|bytes| *bytes > MOST_OF_APP)
                    && self.put_out(Some(app))
                {}
                while self.bytes > MOST_BYTES && self.put_out(None) {}
                Ok(Answered { askers, page: Some(Ok(page)), is_kept: false })
            }
            // It is at no place any more, there as here.
            Said::Refused(_) | Said::Otherwise => {
                kept.is_sent = false;
                kept.page = None;
                let (after, is_asked) = (kept.bytes(), kept.is_asked());
                self.count(app, after, before);
                if !is_asked {
                    self.empty(place);
                }
                let page = match said {
                    Said::Refused(error) => Some(Err(error)),
                    _ => None,
                };
                Ok(Answered { askers, page, is_kept: false })
            }
        }
    }

    fn count(&mut self, app: SdkAppId, more: usize, less: usize) {
        self.bytes = (self.bytes + more).saturating_sub(less);
        let of_app = self.of_app.entry(app).or_default();
        *of_app = (*of_app + more).saturating_sub(less);
        if *of_app == 0 {
            self.of_app.remove(&app);
        }
    }

    /// Has a place empty.
    fn empty(&mut self, place: u16) {
        let Some(kept) = self.questions.get_mut(usize::from(place)).and_then(Option::take) else { return };
        self.places.remove(&kept.key);
        self.count(kept.app, 0, kept.bytes());
        if kept.is_sent {
            self.forgotten.push(place);
        }
        self.free.push(place);
    }

    /// Forgets what has not been asked for longest, about: of that app, or of all. `false` when all is asked for now.
    fn put_out(&mut self, app: Option<SdkAppId>) -> bool {
        // Twice around: what was asked for since the last time is passed by once.
        for _ in 0..2 * self.questions.len() {
            self.hand = (self.hand + 1) % self.questions.len().max(1);
            let Some(Some(kept)) = self.questions.get_mut(self.hand) else { continue };
            if kept.is_asked() || app.is_some_and(|app| kept.app != app) {
                continue;
            }
            if !std::mem::take(&mut kept.is_recent) {
                self.empty(u16::try_from(self.hand).unwrap_or_default());
                return true;
            }
        }
        false
    }

    /// Forgets what nobody has asked for since this was called last.
    fn forget_old(&mut self) {
        for place in 0..u16::try_from(self.questions.len()).unwrap_or(PLACES) {
            let Some(Some(kept)) = self.questions.get_mut(usize::from(place)) else { continue };
            if !kept.is_asked() && !std::mem::take(&mut kept.is_recent) {
                self.empty(place);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::error::Code;

    type Waiting = oneshot::Receiver<Result<Bytes, ApiError>>;

    impl State {
        /// Somebody asks about a room.
        fn ask(&mut self, app: u32, room: &str) -> Option<Waiting> {
            let (asker, answer) = oneshot::channel();
            let key = format!("{app} {room}").into_bytes();
            let question = Question { path: "/p", query: "q", body: room.as_bytes() };
            self.wait(key, SdkAppId(app), question, asker).map(|()| answer)
        }

        /// What is sent next: the place, how many ask, and whether the question is with it.
        fn sent(&mut self) -> Vec<(u16, u16, bool)> {
            let mut message = Vec::new();
            self.begin_round(&mut message);
            let mut round = message.get(4..).unwrap_or_default();
            let asks = std::iter::from_fn(|| Ask::read(&mut round));
            asks.map(|ask| (ask.place, ask.askers, ask.question.is_some())).collect()
        }

        /// Says something to a question, and to all who have asked it.
        fn say(&mut self, place: u16, said: Said) {
            let answered = self.answer(place, said).unwrap();
            for asker in answered.askers {
                if let Some(page) = &answered.page {
                    asker.send(page.clone()).unwrap();
                }
            }
        }
    }

    fn page(text: &'static str) -> Said {
        Said::Page(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn who_waits_for_the_same_shares_a_word_and_who_comes_later_waits_for_the_next() {
        let mut state = State::default();
        let mut first = state.ask(1, "r").unwrap();
        let mut second = state.ask(1, "r").unwrap();
        assert_eq!(state.sent(), [(0, 2, true)]);
        let mut third = state.ask(1, "r").unwrap();

        state.say(0, page("old"));

        let got = |answer: &mut Waiting| answer.try_recv().ok().map(Result::unwrap);
        assert_eq!([got(&mut first), got(&mut second)], [Some("old".into()), Some("old".into())]);
        assert_eq!(got(&mut third), None, "what was said was asked for before it came");
        assert_eq!(state.sent(), [(0, 1, false)]);
        state.say(0, page("new"));
        assert_eq!(got(&mut third), Some("new".into()));
        let mut fourth = state.ask(1, "r").unwrap();
        assert_eq!(state.sent(), [(0, 1, false)]);
        state.say(0, Said::Same);
        assert_eq!(got(&mut fourth), Some("new".into()));
    }

    #[test]
    fn what_is_refused_is_at_no_place_and_is_sent_anew_for_who_has_come_meanwhile() {
        let mut state = State::default();
        let mut first = state.ask(1, "r").unwrap();
        state.sent();
        let mut second = state.ask(1, "r").unwrap();
        let refused = || Said::Refused(ApiError::new(Code::RoomNotFound, "no"));

        state.say(0, refused());

        assert_eq!(first.try_recv().unwrap().unwrap_err().code, Code::RoomNotFound);
        assert_eq!(state.sent(), [(0, 1, true)]);
        state.say(0, Said::Otherwise);
        assert!(second.try_recv().is_err());
        assert!(state.places.is_empty() && state.of_app.is_empty());
        assert_eq!(state.bytes, 0);
        assert!(state.answer(0, Said::Same).is_err(), "nobody has asked");
    }

    #[test]
    fn an_app_that_asks_for_much_puts_out_its_own_pages_and_no_others() {
        let mut state = State::default();
        let _quiet = state.ask(2, "quiet").unwrap();
        let _sent = state.sent();
        state.say(0, page("kept"));
        let large = Bytes::from(vec![b'x'; 1 << 20]);
        let mut forgotten = 0;
        for room in 0..100 {
            let _answer = state.ask(1, &room.to_string()).unwrap();
            let sent = state.sent();
            forgotten += sent.iter().filter(|(_, askers, _)| *askers == 0).count();
            let (place, ..) = *sent.last().unwrap();
            state.say(place, Said::Page(large.clone()));
            assert!(state.of_app[&SdkAppId(1)] <= MOST_OF_APP, "{}", state.of_app[&SdkAppId(1)]);
        }

        assert!((84..=86).contains(&forgotten), "{forgotten}");
        let _again = state.ask(2, "quiet").unwrap();
        assert_eq!(state.sent().last(), Some(&(0, 1, false)));
    }

    #[test]
    fn all_is_bounded_and_what_nobody_asks_for_is_forgotten() {
        let mut state = State::default();
        for number in 0..u32::from(PLACES) + 100 {
            let _answer = state.ask(number % 100, &number.to_string()).unwrap();
            let sent = state.sent();
            let (place, ..) = *sent.last().unwrap();
            state.say(place, Said::Page(Bytes::from(vec![b'x'; 10 << 10])));
            assert!(state.bytes <= MOST_BYTES);
        }
        assert!(state.questions.len() <= usize::from(PLACES));

        state.forget_old();
        state.forget_old();
        assert_eq!((state.bytes, state.places.len(), state.of_app.len()), (0, 0, 0));
        let told = state.sent();
        assert!(!told.is_empty() && told.iter().all(|(_, askers, _)| *askers == 0));
    }

    #[test]
    fn when_all_places_are_waited_for_whoever_comes_asks_otherwise() {
        let mut state = State::default();
        let all: Vec<Waiting> =
            (0..PLACES).map(|number| state.ask(1, &number.to_string()).unwrap()).collect();

        assert!(state.ask(1, "one more").is_none());
        assert_eq!(all.len(), usize::from(PLACES));
        assert_eq!(state.sent().len(), MOST_ASKED);
    }
}
