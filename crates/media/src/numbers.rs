//! Which numbers of a stream have gone out: an index of SRTP must seal one text only (RFC 3711 9.1), whatever a publisher sends
//! twice.

/// Numbers that are looked back to, as many as packets are kept of a layer; what is older is not sent any more.
const LOOKED_BACK: u64 = 1024;

/// A bit for each.
#[derive(Default)]
pub(crate) struct Numbers {
    newest: u64,
    gone: [u64; LOOKED_BACK as usize / 64],
}

impl Numbers {
    /// Takes a number for a packet that goes out; `false` when it may have had one already.
    #[inline]
    pub(crate) fn take(&mut self, number: u64) -> bool {
        if number > self.newest {
            if number - self.newest >= LOOKED_BACK {
                self.gone = Default::default();
            } else {
                (self.newest + 1..number).for_each(|skipped| _ = self.set(skipped, false));
            }
            self.newest = number;
            self.set(number, true);
            return true;
        }
        self.newest - number < LOOKED_BACK && !self.set(number, true)
    }

    /// Returns what it was.
    #[inline]
    fn set(&mut self, number: u64, gone: bool) -> bool {
        let place = number % LOOKED_BACK;
        let Some(word) = self.gone.get_mut(place as usize / 64) else { return true };
        let bit = 1 << (place % 64);
        let before = *word & bit != 0;
        *word = if gone { *word | bit } else { *word & !bit };
        before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_number_is_given_twice(steps in prop::collection::vec(-1500_i64..1600, 1..400)) {
            let mut numbers = Numbers::default();
            let mut given = BTreeSet::new();
            let mut newest: Option<u64> = None;
            for step in steps {
                let number = newest.unwrap_or(10_000).saturating_add_signed(step);
                let is_old = newest.is_some_and(|newest| newest >= number + LOOKED_BACK);

                prop_assert_eq!(numbers.take(number), !is_old && !given.contains(&number), "{} of {:?}", number, newest);

                if !is_old {
                    given.insert(number);
                    newest = newest.max(Some(number));
                }
            }
        }
    }
}
