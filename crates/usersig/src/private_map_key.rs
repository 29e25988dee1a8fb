//! PrivateMapKey, the room permission ticket that travels as a UserSig's userbuf. Big-endian throughout.

use crate::Error;

/// Which room a ticket is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Room {
    /// A numeric room id.
    Number(u32),
    /// A string room id; written as UTF-8 (some generators cut each character to one byte).
    Text(String),
}

/// What a user may do in one room until a point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateMapKey {
    /// The account.
    pub identifier: String,
    /// Its app.
    pub sdkappid: u32,
    /// The room.
    pub room: Room,
    /// Until when, Unix seconds.
    pub expires_at: u32,
    /// The granted rights, an or of the constants below.
    pub privileges: u32,
}

impl PrivateMapKey {
    /// May create the room.
    pub const CREATE: u32 = 1;
    /// May enter the room.
    pub const ENTER: u32 = 2;
    /// May send audio.
    pub const SEND_AUDIO: u32 = 4;
    /// May receive audio.
    pub const RECEIVE_AUDIO: u32 = 8;
    /// May send video.
    pub const SEND_VIDEO: u32 = 16;
    /// May receive video.
    pub const RECEIVE_VIDEO: u32 = 32;
    /// May share the screen.
    pub const SEND_SCREEN: u32 = 64;
    /// May receive a shared screen.
    pub const RECEIVE_SCREEN: u32 = 128;
    /// Everything.
    pub const ALL: u32 = 255;
    /// Enter, hear and see.
    pub const WATCH: u32 = Self::ENTER | Self::RECEIVE_AUDIO | Self::RECEIVE_VIDEO;

    /// The bytes of the ticket.
    ///
    /// # Errors
    /// [`Error::Unsignable`] when the account or the room is longer than 65,535 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let (version, number, text) = match &self.room {
            Room::Number(number) => (0, *number, None),
            Room::Text(text) => (1, 0, Some(text)),
        };
        let mut out = Vec::with_capacity(64);
        out.push(version);
        push_text(&mut out, &self.identifier)?;
        for value in [self.sdkappid, number, self.expires_at, self.privileges, 0] {
            out.extend_from_slice(&value.to_be_bytes());
        }
        if let Some(text) = text {
            push_text(&mut out, text)?;
        }
        Ok(out)
    }

    /// Reads a ticket.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is cut off, has bytes after its end, or is of an unknown version.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        let [version] = take(&mut rest)?;
        let identifier = take_text(&mut rest)?;
        let sdkappid = u32::from_be_bytes(take(&mut rest)?);
        let number = u32::from_be_bytes(take(&mut rest)?);
        let expires_at = u32::from_be_bytes(take(&mut rest)?);
        let privileges = u32::from_be_bytes(take(&mut rest)?);
        let _account_type: [u8; 4] = take(&mut rest)?;
        let room = match version {
            0 => Room::Number(number),
            1 => Room::Text(take_text(&mut rest)?),
            _ => return Err(Error::Malformed("the ticket's version is unknown")),
        };
        if !rest.is_empty() {
            return Err(Error::Malformed("bytes follow the end of the ticket"));
        }
        Ok(Self { identifier, sdkappid, room, expires_at, privileges })
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    let length =
        u16::try_from(text.len()).map_err(|_| Error::Unsignable("a name is longer than 65535 bytes"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let (head, tail) = rest.split_first_chunk().ok_or(Error::Malformed("the ticket is cut off"))?;
    *rest = tail;
    Ok(*head)
}

fn take_text(rest: &mut &[u8]) -> Result<String, Error> {
    let length = usize::from(u16::from_be_bytes(take(rest)?));
    let (head, tail) = rest.split_at_checked(length).ok_or(Error::Malformed("the ticket is cut off"))?;
    *rest = tail;
    String::from_utf8(head.to_vec()).map_err(|_| Error::Malformed("a name in the ticket is not UTF-8"))
}
