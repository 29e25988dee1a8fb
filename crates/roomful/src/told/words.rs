//! What a node says in a member's stream, and the member is not to get: whole WebSocket frames of opcodes that are nobody's (RFC 6455
//! 5.2), so that whatever else is in it passes as it is. They never leave the nodes.

use bytes::Bytes;

/// Whole frames of the last control opcodes.
const NUMBER: u8 = 0x8f;
const AFTER: u8 = 0x8e;

/// How long what they say is.
const NUMBER_BYTES: u8 = 8;

/// A stream of frames that is not one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is nothing that a node sends")]
pub(crate) struct Broken;

/// What a node has said in a member's stream, and the member is not to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The frame of that number goes here.
    Number(u64),
    /// So many frames were put in before what follows.
    After(u64),
}

/// Finds the words in what another node sends for a member.
#[derive(Default)]
pub(crate) struct Words {
    /// What has come of a head.
    head: Vec<u8>,
    /// What is to come yet of a frame.
    left: u64,
}

impl Word {
    /// As it is sent.
    pub(crate) fn bytes(self) -> Bytes {
        let (kind, number) = match self {
            Self::Number(number) => (NUMBER, number),
            Self::After(frames) => (AFTER, frames),
        };
        let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
        Bytes::copy_from_slice(&[kind, NUMBER_BYTES, a, b, c, d, e, f, g, h])
    }
}

impl Words {
    /// Whether no frame is in its midst.
    pub(crate) fn is_between(&self) -> bool {
        self.left == 0 && self.head.is_empty()
    }

    /// Moves what the member gets as it is from `bytes` to `out`, up to the next word, which is returned; all of it where there is
    /// none.
    ///
    /// # Errors
    /// When it is not what a node sends.
    pub(crate) fn next(&mut self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<Option<Word>, Broken> {
        loop {
            let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            let (of_frame, rest) = bytes.split_at(length);
            out.extend_from_slice(of_frame);
            self.left -= length as u64;
            *bytes = rest;
            let Some((byte, rest)) = rest.split_first() else { return Ok(None) };
            self.head.push(*byte);
            *bytes = rest;
            let left = match self.head.as_slice() {
                [_, length, ..] if length & 0x80 != 0 => return Err(Broken),
                [NUMBER | AFTER, length, ..] if *length != NUMBER_BYTES => return Err(Broken),
                [kind @ (NUMBER | AFTER), _, number @ ..] => {
                    let Ok(number) = <[u8; 8]>::try_from(number).map(u64::from_be_bytes) else { continue };
                    let word = if *kind == NUMBER { Word::Number(number) } else { Word::After(number) };
                    self.head.clear();
                    return Ok(Some(word));
                }
                [_, 126, a, b] => u64::from(u16::from_be_bytes([*a, *b])),
                [_, 127, a, b, c, d, e, f, g, h] => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
                [_, length] if *length < 126 => u64::from(*length),
                _ => continue,
            };
            out.extend_from_slice(&self.head);
            self.head.clear();
            self.left = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_node_sends_is_refused() {
        for broken in [&[0x81, 0x85, 1, 2, 3, 4][..], &[NUMBER, 7, 1], &[NUMBER, 126, 0, 8]] {
            assert_eq!(Words::default().next(&mut &*broken, &mut Vec::new()), Err(Broken), "{broken:?}");
        }
    }
}
