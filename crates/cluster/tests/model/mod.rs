//! The rows by which nodes know of each other, and what each statement does to them and answers. `crates/store` holds it against a
//! real PostgreSQL, statement by statement.

#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Ask, Generation, Input, Seen, View};

/// The rows.
#[derive(Default)]
pub struct Database {
    pub nodes: BTreeMap<Generation, (i64, bool)>,
    pub owner: Generation,
    pub epoch: i64,
    /// What an owner's changes grow by one each.
    pub value: u64,
    last_generation: Generation,
}

impl Database {
    /// A run begins, and ends the one before it.
    pub fn join(&mut self, former: Option<Generation>) -> Generation {
        if let Some(former) = former {
            self.nodes.get_mut(&former).unwrap().1 = true;
        }
        self.last_generation += 1;
        self.nodes.insert(self.last_generation, (0, false));
        self.last_generation
    }

    fn is_over(&self, generation: Generation) -> bool {
        self.nodes.get(&generation).is_none_or(|(_, is_over)| *is_over)
    }

    /// What is said of all.
    pub fn view(&self, lease: Duration) -> View {
        let living = self.nodes.iter().filter(|(_, (_, is_over))| !is_over);
        let living =
            living.map(|(generation, (beat, _))| Seen { generation: *generation, beat: *beat, lease });
        View { living: living.collect(), owner: self.owner, epoch: self.epoch }
    }

    /// What a question does, and what is answered.
    pub fn ask(&mut self, me: Generation, ask: Ask, lease: Duration) -> Input {
        match ask {
            Ask::Renew => {
                let row = self.nodes.get_mut(&me).unwrap();
                if row.1 {
                    return Input::Over;
                }
                row.0 += 1;
                let beat = row.0;
                Input::Renewed { beat, view: self.view(lease) }
            }
            Ask::Look => Input::Looked(self.view(lease)),
            Ask::End { generation, beat } => {
                let row = self.nodes.get_mut(&generation).unwrap();
                row.1 |= row.0 == beat;
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
