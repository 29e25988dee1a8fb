//! Who is in a room by place in join order, a number that only ever grows.
//!
//! Places are kept in blocks of 64, and only blocks in which somebody is: a search is among few blocks, whose index
//! stays in the processor's cache, and however many come and go, no more is kept than there are members.

use std::collections::BTreeMap;

use crate::UserId;

/// Places of a block: the bits of its mask.
const PLACES: u64 = u64::BITS as u64;

/// Members by place.
#[derive(Debug, Default)]
pub(crate) struct JoinOrder {
    blocks: BTreeMap<u64, Block>,
}

/// Those of 64 places that follow each other.
#[derive(Debug, Default)]
struct Block {
    /// Which places are taken.
    taken: u64,
    /// Who has them, in order.
    users: Vec<UserId>,
}

/// The number of a place's block, and the place in it.
fn split(place: u64) -> (u64, u64) {
    (place / PLACES, place % PLACES)
}

impl Block {
    /// How many have a place below this one.
    fn before(&self, offset: u64) -> usize {
        (self.taken & ((1 << offset) - 1)).count_ones() as usize
    }

    /// Those from a place on, each with its place in the block.
    fn from(&self, offset: u64) -> impl Iterator<Item = (u64, &UserId)> {
        let mut left = self.taken >> offset << offset;
        let offsets = std::iter::from_fn(move || {
            let next = u64::from(left.trailing_zeros());
            left &= left.wrapping_sub(1);
            Some(next)
        });
        offsets.zip(self.users.get(self.before(offset)..).unwrap_or_default())
    }
}

impl JoinOrder {
    /// Puts a member at a place; mostly behind all others. One who has that place loses it.
    pub(crate) fn insert(&mut self, place: u64, user: UserId) {
        let (number, offset) = split(place);
        let block = self.blocks.entry(number).or_default();
        let index = block.before(offset);
        if block.taken & (1 << offset) != 0 {
            block.users.remove(index);
        }
        block.taken |= 1 << offset;
        block.users.insert(index, user);
    }

    /// Takes the member at a place out.
    pub(crate) fn remove(&mut self, place: u64) {
        let (number, offset) = split(place);
        let Some(block) = self.blocks.get_mut(&number) else { return };
        if block.taken & (1 << offset) == 0 {
            return;
        }
        block.users.remove(block.before(offset));
        block.taken &= !(1 << offset);
        match block.users.len() {
            0 => drop(self.blocks.remove(&number)),
            // What is left of a block that was full keeps no room for those who went.
            left if block.users.capacity() > 8 && left * 4 <= block.users.capacity() => {
                block.users.shrink_to(left * 2);
            }
            _ => {}
        }
    }

    /// Members after a place, each with its own.
    pub(crate) fn after(&self, place: u64) -> impl Iterator<Item = (u64, &UserId)> {
        let (first, offset) = split(place.saturating_add(1));
        self.blocks.range(first..).flat_map(move |(number, block)| {
            let offset = if *number == first { offset } else { 0 };
            block.from(offset).map(move |(offset, user)| (number * PLACES + offset, user))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What a sorted map of all places would say.
        #[test]
        fn it_is_a_sorted_map_of_places(steps in prop::collection::vec((any::<bool>(), 0..300u64), 0..400), after in 0..320u64) {
            let (mut order, mut model) = (JoinOrder::default(), BTreeMap::new());
            for (at, (is_in, place)) in steps.into_iter().enumerate() {
                if is_in {
                    let user = UserId::parse(&format!("u{at}")).unwrap();
                    order.insert(place, user.clone());
                    model.insert(place, user);
                } else {
                    order.remove(place);
                    model.remove(&place);
                }
            }
            let rest = (Bound::Excluded(after), Bound::Unbounded);
            let expected: Vec<_> = model.range(rest).map(|(place, user)| (*place, user)).collect();
            prop_assert_eq!(order.after(after).collect::<Vec<_>>(), expected);
            prop_assert_eq!(order.blocks.values().map(|block| block.users.len()).sum::<usize>(), model.len());
            prop_assert!(order.blocks.values().all(|block| block.users.capacity() <= (4 * block.users.len()).max(8)));
        }
    }
}
