//! The words of one unit for those of other nodes, on their way there. Each of these has a queue of its own, so that one that is slow holds
//! up neither what the unit answers nor its words for others.

use std::sync::Arc;

use hashbrown::HashMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::far::Far;
use super::words::Ask;
use crate::told::Node;

/// How many may wait for one unit, beside what waits to be asked of it. Who does not keep up with it is of no use.
const PASSED: usize = 4096;

/// What becomes of them ends with this: a trunk that is made anew hears none of the former one's.
pub(super) struct Passing {
    from: Node,
    /// By the places of those that they are for.
    queues: HashMap<u64, mpsc::Sender<String>>,
    tasks: JoinSet<()>,
}

impl Passing {
    pub(super) fn of(from: Node) -> Self {
        Self { from, queues: HashMap::new(), tasks: JoinSet::new() }
    }

    /// Passes a word on, behind those before it.
    pub(super) fn pass(&mut self, to: &Arc<Far>, word: String) {
        if !self.queues.contains_key(&to.place) {
            self.begin(to);
        }
        let is_passed = self.queues.get(&to.place).is_some_and(|queue| queue.try_send(word).is_ok());
        if !is_passed {
            to.give_up();
        }
    }

    fn begin(&mut self, to: &Arc<Far>) {
        // Of those that are gone nothing is kept.
        self.queues.retain(|_, queue| !queue.is_closed());
        while self.tasks.try_join_next().is_some() {}
        let (queue, mut words) = mpsc::channel(PASSED);
        let (node, far) = (self.from, to.clone());
        self.tasks.spawn(async move {
            while let Some(word) = words.recv().await {
                if !far.pass(Ask::Word { node, word }).await {
                    return;
                }
            }
        });
        self.queues.insert(to.place, queue);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::live::words;

    /// A unit of node 2 that has started: what it says, and what is asked of it.
    async fn far() -> (Arc<Far>, DuplexStream, mpsc::Receiver<Ask>, DuplexStream) {
        let (mut its, mut from) = duplex(1 << 16);
        let ready = serde_json::to_vec(&json!({"tell": "Ready", "relay_urls": []})).unwrap();
        its.write_u32(u32::try_from(ready.len()).unwrap()).await.unwrap();
        its.write_all(&ready).await.unwrap();
        let (far, asked) = Far::begin((2, 1), &mut from).await.unwrap();
        (far, from, asked, its)
    }

    #[tokio::test]
    async fn words_get_there_in_their_order() {
        let (far, mut from, asked, _its) = far().await;
        let (mut to, mut heard) = duplex(1 << 10);
        let mut passing = Passing::of(3);

        for number in 0..3000 {
            passing.pass(&far, number.to_string());
        }

        let hear = async {
            for number in 0..3000 {
                let Ask::Word { node: 3, word } = words::next(&mut heard).await.unwrap() else {
                    unreachable!("nothing else was said")
                };
                assert_eq!(word, number.to_string());
            }
        };
        tokio::select! {
            _ = far.carry(&mut from, &mut to, asked, |_| async {}) => unreachable!("it goes on"),
            () = hear => {}
        }
    }

    /// Nothing of it is waited for: that is what `pass` is no future for.
    #[tokio::test]
    async fn one_that_does_not_keep_up_is_given_up() {
        let (far, mut from, asked, _its) = far().await;
        let (mut to, _unread) = duplex(1 << 10);
        let mut passing = Passing::of(3);

        let pass = async {
            for number in 0..20_000 {
                passing.pass(&far, number.to_string());
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        let carried = async {
            tokio::select! {
                ended = far.carry(&mut from, &mut to, asked, |_| async {}) => ended,
                () = pass => Ok(()),
            }
        };

        let ended = timeout(Duration::from_secs(10), carried).await.unwrap();
        assert!(ended.unwrap_err().to_string().contains("does not keep up"));
    }
}
