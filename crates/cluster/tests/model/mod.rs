//! The rows by which nodes know of each other, and what each statement does to them and answers. `crates/store` holds it against a
//! real PostgreSQL, statement by statement.

#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Ask, Generation, Input, Seen, View};

/// What a node says of itself.
#[derive(Debug, Clone)]
pub struct Row {
    pub beat: i64,
    pub is_over: bool,
    pub lease: Duration,
    pub at_most: Duration,
    pub names: Option<Vec<Generation>>,
    /// Which renewal of the node's it was that said so.
    pub number: i64,
}

/// The rows.
#[derive(Default)]
pub struct Database {
    pub nodes: BTreeMap<Generation, Row>,
    pub owner: Generation,
    pub epoch: i64,
    /// What an owner's changes grow by one each.
    pub value: u64,
    last_generation: Generation,
}

impl Database {
    /// A run begins, and ends the one before it.
    pub fn join(&mut self, former: Option<Generation>, lease: Duration) -> Generation {
        if let Some(former) = former {
            self.nodes.get_mut(&former).unwrap().is_over = true;
        }
        self.last_generation += 1;
        let names = Some(Vec::new());
        let row = Row { beat: 0, is_over: false, lease, at_most: lease, names, number: 0 };
        self.nodes.insert(self.last_generation, row);
        self.last_generation
    }

    fn is_over(&self, generation: Generation) -> bool {
        self.nodes.get(&generation).is_none_or(|row| row.is_over)
    }

    /// What is said of all.
    pub fn view(&self) -> View {
        let living = self.nodes.iter().filter(|(_, row)| !row.is_over);
        let living = living.map(|(generation, row)| Seen {
            generation: *generation,
            beat: row.beat,
            lease: row.lease,
            at_most: row.at_most,
            names: row.names.clone(),
        });
        View { living: living.collect(), owner: self.owner, epoch: self.epoch }
    }

    /// What a question does, and what is answered.
    pub fn ask(&mut self, me: Generation, ask: &Ask) -> Input {
        match ask {
            Ask::Renew { number, names, at_most } => {
                let row = self.nodes.get_mut(&me).unwrap();
                if row.is_over {
                    return Input::Over;
                }
                row.beat += 1;
                if *number > row.number {
                    (row.number, row.at_most) = (*number, *at_most);
                    // One of the release before says nothing of it.
                    row.names = row.names.take().map(|_| names.clone());
                }
                let beat = row.beat;
                Input::Renewed { beat, view: self.view() }
            }
            Ask::Look => Input::Looked(self.view()),
            Ask::End { generation, beat } => {
                let row = self.nodes.get_mut(generation).unwrap();
                row.is_over |= row.beat == *beat;
                Input::Ended
            }
            Ask::Claim => {
                let is_free = self.owner == 0 || self.is_over(self.owner);
                if !is_free || self.is_over(me) {
                    return Input::Claimed(None);
                }
                self.owner = me;
                self.epoch += 1;
                Input::Claimed(Some(self.epoch))
            }
        }
    }

    /// Whether a change of that generation's is kept.
    pub fn commit(&mut self, me: Generation) -> bool {
        self.value += u64::from(self.owner == me);
        self.owner == me
    }
}
