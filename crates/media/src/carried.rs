//! Under which number of the whole connection each of a stream's packets went out, for viewers whose feedback names packets by
//! stream and sequence number (RFC 8888 3.1). It allocates once.

/// Packets that are looked back to: as many as feedback may begin with, at the rates of a viewer.
const KEPT: usize = 2048;

/// One stream.
struct Ring {
    /// The stream's own number and the connection's; the first is on the place that it names.
    entries: Box<[Option<(u16, u16)>]>,
}

impl Ring {
    fn new() -> Self {
        Self { entries: vec![None; KEPT].into() }
    }

    fn note(&mut self, seq: u16, number: u16) {
        if let Some(entry) = self.entries.get_mut(usize::from(seq) % KEPT) {
            *entry = Some((seq, number));
        }
    }

    fn number(&self, seq: u16) -> Option<u16> {
        let (known, number) = (*self.entries.get(usize::from(seq) % KEPT)?)?;
        (known == seq).then_some(number)
    }
}

/// A stream and its retransmissions.
pub(crate) struct Carried {
    stream: Ring,
    again: Ring,
}

impl Default for Carried {
    fn default() -> Self {
        Self { stream: Ring::new(), again: Ring::new() }
    }
}

impl Carried {
    /// A packet went out, or one that was sent before.
    pub(crate) fn note(&mut self, is_again: bool, seq: u64, number: Option<u16>) {
        let ring = if is_again { &mut self.again } else { &mut self.stream };
        if let Some(number) = number {
            ring.note(seq as u16, number);
        }
    }

    /// The connection's number of a packet.
    pub(crate) fn number(&self, is_again: bool, seq: u16) -> Option<u16> {
        if is_again { self.again.number(seq) } else { self.stream.number(seq) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_old_or_never_was_has_no_number() {
        let mut carried = Carried::default();
        for seq in 65_000..70_000_u64 {
            carried.note(false, seq, Some(seq as u16 ^ 0x5555));
        }
        carried.note(true, 3, Some(77));

        assert_eq!(carried.number(false, 69_999_u64 as u16), Some(69_999_u64 as u16 ^ 0x5555));
        assert_eq!(carried.number(false, 65_000), None, "another has its place");
        assert_eq!(carried.number(false, 70_000_u64 as u16), None);
        assert_eq!((carried.number(true, 3), carried.number(true, 4)), (Some(77), None));
    }
}
