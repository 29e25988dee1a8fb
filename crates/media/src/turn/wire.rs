//! TURN's messages as they are on the wire (RFC 8489 5, RFC 8656 11, 12, 17, 18), read in place and written into buffers
//! that are used again.
//!
//! What broken messages cause here is `None` and nothing else: no line in a log, which is what keeps the crates for it from
//! being used in this place (the tests have one as their client).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_lc_rs::hmac;

use crate::stun;

/// What tells STUN from everything else, at bytes 4 to 7.
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub(super) const HEADER: usize = 20;
pub(super) const CHANNEL_HEADER: usize = 4;

/// Of an attribute with an integrity, its head included.
const INTEGRITY: usize = 24;

/// The numbers that channels have (RFC 8656 12).
pub(super) const CHANNELS: std::ops::RangeInclusive<u16> = 0x4000..=0x4fff;

pub(super) type Transaction = [u8; 12];

/// Attributes, by their numbers.
pub(super) mod kind {
    pub(crate) const MAPPED_ADDRESS: u16 = 0x0001;
    pub(crate) const USERNAME: u16 = 0x0006;
    pub(crate) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(crate) const ERROR_CODE: u16 = 0x0009;
    pub(crate) const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub(crate) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(crate) const LIFETIME: u16 = 0x000d;
    pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(crate) const DATA: u16 = 0x0013;
    pub(crate) const REALM: u16 = 0x0014;
    pub(crate) const NONCE: u16 = 0x0015;
    pub(crate) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(crate) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(crate) const EVEN_PORT: u16 = 0x0018;
    pub(crate) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(crate) const DONT_FRAGMENT: u16 = 0x001a;
    pub(crate) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub(crate) const RESERVATION_TOKEN: u16 = 0x0022;
    pub(crate) const ADDITIONAL_ADDRESS_FAMILY: u16 = 0x8000;
    pub(crate) const ADDRESS_ERROR_CODE: u16 = 0x8001;

    /// What is understood of what must be (0x0000 to 0x7fff).
    pub(super) const UNDERSTOOD: [u16; 17] = [
        MAPPED_ADDRESS,
        USERNAME,
        MESSAGE_INTEGRITY,
        ERROR_CODE,
        UNKNOWN_ATTRIBUTES,
        CHANNEL_NUMBER,
        LIFETIME,
        XOR_PEER_ADDRESS,
        DATA,
        REALM,
        NONCE,
        XOR_RELAYED_ADDRESS,
        REQUESTED_ADDRESS_FAMILY,
        EVEN_PORT,
        REQUESTED_TRANSPORT,
        DONT_FRAGMENT,
        RESERVATION_TOKEN,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Binding = 0x001,
    Allocate = 0x003,
    Refresh = 0x004,
    Send = 0x006,
    Data = 0x007,
    CreatePermission = 0x008,
    ChannelBind = 0x009,
}

impl Method {
    fn from_bits(bits: u16) -> Option<Self> {
        [
            Self::Binding,
            Self::Allocate,
            Self::Refresh,
            Self::Send,
            Self::Data,
            Self::CreatePermission,
            Self::ChannelBind,
        ]
        .into_iter()
        .find(|method| *method as u16 == bits)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Request = 0x000,
    Indication = 0x010,
    Success = 0x100,
    Error = 0x110,
}

/// Whether a datagram is TURN's rather than a connection's: its methods, and channels (RFC 7983). The first byte settles it for
/// media. Browsers also ask a relay what their address is; a connection's checks have a name.
pub(crate) fn is_turn(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(0x40..=0x4f) => true,
        Some(0x00) => {
            let is_ours = match bytes.get(1) {
                Some(0x03 | 0x04 | 0x08 | 0x09 | 0x16) => true,
                Some(0x01) => stun::username(bytes).is_none(),
                _ => false,
            };
            is_ours && bytes.get(4..8) == Some(&COOKIE)
        }
        _ => false,
    }
}

/// A message whose attributes all are where they say.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    pub(super) class: Class,
    pub(super) method: Method,
    pub(super) transaction: Transaction,
    /// Where the integrity begins: what comes after it counts for nothing.
    integrity_at: Option<usize>,
}

impl<'a> Message<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, body) = bytes.split_first_chunk::<HEADER>()?;
        let [high, low, length @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = *head;
        if usize::from(u16::from_be_bytes(length)) != body.len()
            || !body.len().is_multiple_of(4)
            || bytes.get(4..8)? != COOKIE
        {
            return None;
        }
        let bits = u16::from_be_bytes([high, low]);
        let class = match bits & 0x110 {
            0x000 => Class::Request,
            0x010 => Class::Indication,
            0x100 => Class::Success,
            _ => Class::Error,
        };
        // The class has two bits in the midst of the method (RFC 8489 5).
        let method = Method::from_bits(bits & 0x0f | (bits >> 1) & 0x70 | (bits >> 2) & 0xf80)?;
        let transaction = *bytes.get(8..HEADER)?.first_chunk()?;
        let mut message = Self { bytes, class, method, transaction, integrity_at: None };
        let mut at = HEADER;
        while at < bytes.len() {
            let (kind, value) = attribute(bytes, at)?;
            if kind == kind::MESSAGE_INTEGRITY && message.integrity_at.is_none() {
                message.integrity_at = Some(at);
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        Some(message)
    }

    /// Its attributes up to the integrity.
    fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        let (mut at, end) = (HEADER, self.integrity_at.unwrap_or(bytes.len()));
        std::iter::from_fn(move || {
            let (kind, value) = if at < end { attribute(bytes, at)? } else { return None };
            at += 4 + value.len().next_multiple_of(4);
            Some((kind, value))
        })
    }

    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(other, _)| *other == kind).map(|(_, value)| value)
    }

    pub(super) fn has(&self, kind: u16) -> bool {
        self.get(kind).is_some()
    }

    pub(super) fn text(&self, kind: u16) -> Option<&'a str> {
        std::str::from_utf8(self.get(kind)?).ok()
    }

    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.get(kind)?.try_into().ok()?))
    }

    /// The addresses of all attributes of a kind; `None` when one of them is broken.
    pub(super) fn addresses(&self, kind: u16) -> impl Iterator<Item = Option<SocketAddr>> + use<'a> {
        let transaction = self.transaction;
        let attributes = self.attributes().filter(move |(other, _)| *other == kind);
        attributes.map(move |(_, value)| read_address(value, &transaction))
    }

    /// Attributes that would have to be understood, and are not (RFC 8489 14).
    pub(super) fn unknown(&self) -> impl Iterator<Item = u16> + use<'a> {
        let kinds = self.attributes().map(|(kind, _)| kind);
        kinds.filter(|kind| *kind < 0x8000 && !kind::UNDERSTOOD.contains(kind))
    }

    pub(super) fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    /// Whether whoever wrote the message has the key.
    pub(super) fn is_signed_with(&self, key: &[u8]) -> bool {
        let signed = |at: usize| {
            let (_, tag) = attribute(self.bytes, at)?;
            let mut signed = self.bytes.get(..at)?.to_vec();
            set_length(&mut signed, at + INTEGRITY);
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
            Some(hmac::verify(&key, &signed, tag).is_ok())
        };
        self.integrity_at.and_then(signed).unwrap_or(false)
    }
}

fn attribute(bytes: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let [k0, k1, l0, l1] = *head;
    let value = rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?;
    Some((u16::from_be_bytes([k0, k1]), value))
}

/// An address as XOR-MAPPED-ADDRESS has it (RFC 8489 14.2).
fn read_address(value: &[u8], transaction: &Transaction) -> Option<SocketAddr> {
    let (head, ip) = value.split_first_chunk::<4>()?;
    let [_, family, p0, p1] = *head;
    let port = u16::from_be_bytes([p0, p1]) ^ 0x2112;
    let mask = mask(transaction);
    let ip = match family {
        1 => IpAddr::from(Ipv4Addr::from_bits(
            u32::from_be_bytes(ip.try_into().ok()?) ^ u32::from_be_bytes(COOKIE),
        )),
        2 => IpAddr::from(Ipv6Addr::from_bits(u128::from_be_bytes(ip.try_into().ok()?) ^ mask)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn mask(transaction: &Transaction) -> u128 {
    let mut mask = [0; 16];
    mask.iter_mut().zip(COOKIE.iter().chain(transaction)).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(mask)
}

fn set_length(message: &mut [u8], whole: usize) {
    let length = u16::try_from(whole.saturating_sub(HEADER)).unwrap_or(u16::MAX);
    message.iter_mut().skip(2).zip(length.to_be_bytes()).for_each(|(to, from)| *to = from);
}

/// Writes a message at the end of a buffer; it is whole after every step.
pub(super) struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    method: Method,
    transaction: Transaction,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        buffer: &'a mut Vec<u8>,
        class: Class,
        method: Method,
        transaction: Transaction,
    ) -> Self {
        let start = buffer.len();
        let mut writer = Self { buffer, start, method, transaction };
        writer.begin(class);
        writer
    }

    fn begin(&mut self, class: Class) {
        let method = self.method as u16;
        let bits = class as u16 | method & 0x0f | (method & 0x70) << 1 | (method & 0xf80) << 2;
        self.buffer.truncate(self.start);
        self.buffer.extend_from_slice(&bits.to_be_bytes());
        self.buffer.extend_from_slice(&[0, 0]);
        self.buffer.extend_from_slice(&COOKIE);
        self.buffer.extend_from_slice(&self.transaction);
    }

    /// It is an error's, and nothing of what was written.
    pub(super) fn fail(&mut self, code: u16, reason: &str) -> &mut Self {
        self.begin(Class::Error);
        let (class, number) = ((code / 100) as u8, (code % 100) as u8);
        self.attribute_of(kind::ERROR_CODE, 4 + reason.len(), |buffer| {
            buffer.extend_from_slice(&[0, 0, class, number]);
            buffer.extend_from_slice(reason.as_bytes());
        })
    }

    /// Takes back all that was written.
    pub(super) fn abandon(&mut self) {
        self.buffer.truncate(self.start);
    }

    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        self.attribute_of(kind, value.len(), |buffer| buffer.extend_from_slice(value))
    }

    fn attribute_of(&mut self, kind: u16, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.buffer.extend_from_slice(&kind.to_be_bytes());
        self.buffer.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        write(self.buffer);
        let whole = (self.buffer.len() - self.start).next_multiple_of(4);
        self.buffer.resize(self.start + whole, 0);
        set_length(self.buffer.get_mut(self.start..).unwrap_or_default(), whole);
        self
    }

    pub(super) fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub(super) fn address(&mut self, kind: u16, address: SocketAddr) -> &mut Self {
        let port = (address.port() ^ 0x2112).to_be_bytes();
        match address.ip() {
            IpAddr::V4(ip) => {
                let ip = (ip.to_bits() ^ u32::from_be_bytes(COOKIE)).to_be_bytes();
                self.attribute_of(kind, 8, |buffer| {
                    buffer.extend_from_slice(&[0, 1]);
                    buffer.extend_from_slice(&port);
                    buffer.extend_from_slice(&ip);
                })
            }
            IpAddr::V6(ip) => {
                let ip = (ip.to_bits() ^ mask(&self.transaction)).to_be_bytes();
                self.attribute_of(kind, 20, |buffer| {
                    buffer.extend_from_slice(&[0, 2]);
                    buffer.extend_from_slice(&port);
                    buffer.extend_from_slice(&ip);
                })
            }
        }
    }

    pub(super) fn sign(&mut self, key: &[u8]) {
        let message = self.buffer.get_mut(self.start..).unwrap_or_default();
        set_length(message, message.len() + INTEGRITY);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), message);
        self.attribute(kind::MESSAGE_INTEGRITY, tag.as_ref());
    }
}

/// The channel and the data of a ChannelData message; over UDP it may be padded (RFC 8656 12.5).
pub(super) fn channel_data(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<CHANNEL_HEADER>()?;
    let [c0, c1, l0, l1] = *head;
    Some((u16::from_be_bytes([c0, c1]), rest.get(..usize::from(u16::from_be_bytes([l0, l1])))?))
}

/// How long the message is that begins so on a stream, and what fills it up to a multiple of four.
pub(crate) fn length_on_stream(head: [u8; 4]) -> Option<usize> {
    let [first, _, l0, l1] = head;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    match first {
        0x00..=0x3f if length.is_multiple_of(4) => Some(HEADER + length),
        0x40..=0x4f => Some(CHANNEL_HEADER + length.next_multiple_of(4)),
        _ => None,
    }
}

/// What data gets before it goes to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    Channel(u16),
    Indication(SocketAddr),
}

impl Head {
    /// Writes `data` from our own media address.
    pub(crate) fn wrap(self, data: &[u8], is_stream: bool, out: &mut Vec<u8>) {
        match self {
            Self::Channel(number) => {
                let start = out.len();
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
                out.extend_from_slice(data);
                if is_stream {
                    out.resize(start + (out.len() - start).next_multiple_of(4), 0);
                }
            }
            Self::Indication(peer) => {
                let mut transaction = [0; 12];
                // Nobody answers it; without randomness it would do as well.
                let _ = aws_lc_rs::rand::fill(&mut transaction);
                Writer::new(out, Class::Indication, Method::Data, transaction)
                    .address(kind::XOR_PEER_ADDRESS, peer)
                    .attribute(kind::DATA, data);
            }
        }
    }
}
