//! Numbers that a publisher spends on nothing: browsers look for room with packets of padding alone, on the stream itself where there
//! is no other. Viewers are not sent these, and must not take them for lost.

/// Packets of padding that are looked back to, for those that come late.
const LOOKED_BACK: usize = 64;

/// The numbers of a layer, without those of padding.
#[derive(Debug)]
pub(crate) struct Filler {
    newest: u64,
    count: u64,
    recent: [u64; LOOKED_BACK],
}

impl Default for Filler {
    fn default() -> Self {
        Self { newest: 0, count: 0, recent: [0; LOOKED_BACK] }
    }
}

impl Filler {
    /// The number of a packet among those that are sent on; `None` for one of padding alone, and for one that is too late.
    pub(crate) fn number(&mut self, seq: u64, is_padding: bool) -> Option<u64> {
        let is_newest = seq > self.newest;
        self.newest = self.newest.max(seq);
        if is_padding {
            // Where those after it have their numbers already, it stays a gap.
            if is_newest && let Some(place) = self.recent.get_mut(self.count as usize % LOOKED_BACK) {
                *place = seq;
                self.count += 1;
            }
            return None;
        }
        let oldest = self.recent.get(self.count as usize % LOOKED_BACK).copied().unwrap_or(0);
        if !is_newest && seq < oldest {
            // How much padding was before it is not known any more.
            return None;
        }
        let later = if is_newest { 0 } else { self.recent.iter().filter(|padding| **padding > seq).count() };
        Some(seq.saturating_sub(self.count - later as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_takes_no_number() {
        let mut filler = Filler::default();
        let numbers: Vec<Option<u64>> = [
            (100, false),
            (101, true),
            (102, false),
            // 103 is late.
            (104, true),
            (105, false),
            (103, false),
            (107, false),
            // Too late to be left out.
            (106, true),
            (108, false),
        ]
        .into_iter()
        .map(|(seq, is_padding)| filler.number(seq, is_padding))
        .collect();

        let expected =
            [100, 0, 101, 0, 103, 102, 105, 0, 106].map(|number| Some(number).filter(|number| *number > 0));
        assert_eq!(numbers, expected);
    }

    #[test]
    fn what_comes_after_more_padding_than_is_remembered_gets_no_number() {
        let mut filler = Filler::default();
        assert_eq!(filler.number(100, false), Some(100));
        // 101 and 150 are late.
        (102..150).chain(151..170).for_each(|seq| _ = filler.number(seq, true));

        assert_eq!((filler.number(101, false), filler.number(150, false)), (None, Some(102)));
        assert_eq!(filler.number(170, false), Some(103));
    }
}
