//! Offers and answers (RFC 8866, RFC 3264, RFC 8829 5.3.1). The WebRTC library has an SDP of its own, with habits of its own: names that
//! it shortens, an order of codecs that it prefers, lines that it does not know. So an offer is read here, and answered here, line by
//! line; the library is told in words that it knows what matters to it (`library.rs`): how it connects, and which payload types come.

mod answer;
mod extension;
mod fingerprint;
mod format;
mod library;
mod offer;
mod simulcast;
mod text;

pub(crate) use answer::{Ours, Part, Sending};
pub(crate) use extension::Extension;
pub(crate) use fingerprint::Fingerprint;
pub(crate) use library::{Library, PICTURE, SOUND, codecs};
pub(crate) use offer::{Line, Media, Offer};
pub(crate) use simulcast::Layer;

use crate::error::Error;

/// An m-line of sound or pictures, as whoever decides what to do with an offer looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedLine {
    /// Its MID, or where it stands when it has none.
    pub mid: String,
    /// It is for pictures.
    pub is_video: bool,
    /// The offerer sends on it.
    pub sends: bool,
    /// The offerer receives on it.
    pub receives: bool,
    /// Why it cannot be taken.
    pub trouble: Option<String>,
}

/// The m-lines of an offer that are for sound and pictures and are not refused by the offerer itself.
///
/// # Errors
/// [`Error::Offer`]: what in it cannot be understood.
pub fn offered_lines(offer: &str) -> Result<Vec<OfferedLine>, Error> {
    let offer = Offer::read(offer)?;
    let is_media = |line: &Line| {
        matches!(line.media, Media::Audio | Media::Video) || ["audio", "video"].contains(&line.kind())
    };
    let live = offer.lines.iter().enumerate().filter(|(_, line)| !line.is_refused && is_media(line));
    let told = live.map(|(at, line)| OfferedLine {
        mid: line.name.clone(),
        is_video: line.kind() == "video",
        sends: line.sends,
        receives: line.receives,
        trouble: offer.trouble(at),
    });
    Ok(told.collect())
}
