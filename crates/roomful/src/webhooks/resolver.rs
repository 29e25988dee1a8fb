//! Looks receivers' names up, and knows no private addresses: asked anew for every connection, so that a name which
//! changes its mind gains nothing.
//!
//! The system's resolver takes a thread for each question, and cannot be told to stop: a name is asked for once at a
//! time, however many wait for the answer, so that one whose servers do not answer takes one thread.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hashbrown::HashMap;
use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::Mutex;
use tokio::sync::watch;
use tower_service::Service;

use super::address::{is_public, refused};

type Found = Result<Vec<SocketAddr>, String>;

/// Who waits for which name.
type Questions = Mutex<HashMap<Name, watch::Receiver<Option<Found>>>>;

#[derive(Clone)]
pub(super) struct PublicResolver {
    allow_private: bool,
    questions: Arc<Questions>,
    look_up: fn(&str) -> Found,
}

impl PublicResolver {
    pub(super) fn new(allow_private: bool) -> Self {
        Self { allow_private, questions: Arc::default(), look_up }
    }

    /// Joins those who wait for a name, or asks.
    fn ask(&self, name: Name) -> watch::Receiver<Option<Found>> {
        let mut questions = self.questions.lock();
        if let Some(asked) = questions.get(&name) {
            return asked.clone();
        }
        let (answer, asked) = watch::channel(None);
        questions.insert(name.clone(), asked.clone());
        let (over, look_up) = (Over { questions: self.questions.clone(), name }, self.look_up);
        tokio::task::spawn_blocking(move || {
            let found = look_up(over.name.as_str());
            // Who comes from now on asks anew.
            drop(over);
            answer.send_replace(Some(found));
        });
        asked
    }
}

fn look_up(name: &str) -> Found {
    (name, 0).to_socket_addrs().map(Iterator::collect).map_err(|error| error.to_string())
}

/// A question that is over when this is dropped, also with the runtime that was to ask it.
struct Over {
    questions: Arc<Questions>,
    name: Name,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.questions.lock().remove(&self.name);
    }
}

type Addresses = std::vec::IntoIter<SocketAddr>;

impl Service<Name> for PublicResolver {
    type Response = Addresses;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Addresses, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (mut asked, allow_private) = (self.ask(name), self.allow_private);
        Box::pin(async move {
            let found = asked.wait_for(Option::is_some).await.map_err(std::io::Error::other)?.clone();
            let all = found.unwrap_or_else(|| Ok(Vec::new())).map_err(std::io::Error::other)?;
            let public: Vec<_> =
                all.iter().copied().filter(|address| allow_private || is_public(address.ip())).collect();
            match (public.is_empty(), all.first()) {
                (true, Some(address)) => Err(std::io::Error::other(refused(address.ip()))),
                _ => Ok(public.into_iter()),
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);

    fn slow(name: &str) -> Found {
        ASKED.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(200));
        if name == "inside" { look_up("10.0.0.1") } else { look_up("8.8.8.8") }
    }

    #[tokio::test]
    async fn a_name_is_asked_for_once_at_a_time_and_private_addresses_are_not_found() {
        let mut resolver = PublicResolver { look_up: slow, ..PublicResolver::new(false) };
        let mut ask = |name: &str| resolver.call(name.parse().unwrap());
        let (first, second, inside) = (ask("outside"), ask("outside"), ask("inside"));

        for answer in [first.await, second.await] {
            assert_eq!(answer.unwrap().next().unwrap().ip().to_string(), "8.8.8.8");
        }
        assert!(inside.await.unwrap_err().to_string().contains("no public address"));
        assert_eq!(ASKED.load(Ordering::Relaxed), 2);

        ask("outside").await.unwrap();
        assert_eq!(ASKED.load(Ordering::Relaxed), 3, "each connection asks anew");
    }
}
