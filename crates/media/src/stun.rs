//! The little that is read of STUN (RFC 8489) to find the connection a datagram is for. Whether its sender may speak
//! for that connection is checked by the WebRTC library.

const USERNAME: u16 = 0x0006;
const USE_CANDIDATE: u16 = 0x0025;
const HEADER: usize = 20;

/// How many bytes of a connection tell what it is for.
pub const OPENING: usize = 10;

/// What a connection over TCP is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// The relay: a message as it is (RFC 8656 3.1).
    Turn,
    /// ICE-TCP (RFC 6544): a message after its length.
    Ice,
}

/// What a connection is for that begins so; `None` when it speaks neither.
pub fn opening(head: &[u8; OPENING]) -> Option<Opening> {
    match head {
        [0x00..0x40, _, _, _, 0x21, 0x12, 0xa4, 0x42, ..] => Some(Opening::Turn),
        [.., 0x21, 0x12, 0xa4, 0x42] => Some(Opening::Ice),
        _ => None,
    }
}

fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = message.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, body) = rest.split_first_chunk::<4>()?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = body.get(..length)?;
        rest = body.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn is_request(message: &[u8]) -> bool {
    message.len() >= HEADER
        && message.starts_with(&[0x00, 0x01])
        && message.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42])
}

/// The ICE name of the connection a binding request is for: what its username begins with (RFC 8445 7.2.2).
pub(crate) fn username(message: &[u8]) -> Option<&str> {
    if !is_request(message) {
        return None;
    }
    let (_, value) = attributes(message).find(|(kind, _)| *kind == USERNAME)?;
    Some(std::str::from_utf8(value).ok()?.split(':').next().unwrap_or_default())
}

/// Whether it is a binding request that nominates its pair (RFC 8445 7.3.1.5).
pub(crate) fn nominates(message: &[u8]) -> bool {
    is_request(message) && attributes(message).any(|(kind, _)| kind == USE_CANDIDATE)
}

/// Whether it is the answer to a binding request that was in order.
pub(crate) fn is_success(message: &[u8]) -> bool {
    message.starts_with(&[0x01, 0x01])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([7; 12]);
        for (kind, value) in attributes {
            message.extend(kind.to_be_bytes());
            message.extend((value.len() as u16).to_be_bytes());
            message.extend(*value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        message
    }

    #[test]
    fn the_name_and_the_nomination_are_found() {
        let plain = request(&[(0x8022, b"x"), (USERNAME, b"ours:theirs")]);
        let nominating = request(&[(USERNAME, b"a:b"), (USE_CANDIDATE, b"")]);

        assert_eq!(username(&plain), Some("ours"));
        assert!(!nominates(&plain) && nominates(&nominating));
    }

    #[test]
    fn the_first_bytes_of_a_connection_tell_what_it_is_for() {
        let message = request(&[(USERNAME, b"ours:theirs")]);
        let framed = [&[0, 40], &message[..]].concat();
        let head = |bytes: &[u8]| *bytes.first_chunk().unwrap();

        assert_eq!(opening(&head(&message)), Some(Opening::Turn));
        assert_eq!(opening(&head(&framed)), Some(Opening::Ice));
        assert_eq!(opening(b"GET / HTTP"), None);
        assert_eq!(opening(&[0; OPENING]), None);
    }

    #[test]
    fn what_is_cut_short_is_nothing() {
        let message = request(&[(USERNAME, b"ours:theirs"), (USE_CANDIDATE, b"")]);
        for length in 0..message.len() - 4 {
            assert!(!nominates(&message[..length]));
        }
        for length in 0..36 {
            assert_eq!(username(&message[..length.min(34)]), None);
        }
    }
}
