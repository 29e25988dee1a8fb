//! What an m-line of a viewer's takes of what is published: by which payload type, or not at all. Nothing is sent that its decoders
//! cannot read; where that is all there is, the viewer is told.

use crate::payload::CodecKey;
use crate::rewrite::Taken;
use crate::sdp::{Line, Offer};
use crate::source::{Source, SourceKey, Sources};

/// How payloads of a codec are to go out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Going {
    /// What is encrypted from end to end goes as it is, or not at all.
    pub(crate) is_sealed: bool,
    /// Without the second copies that sound may have.
    pub(crate) is_plain: bool,
}

/// The payload type for a codec, and whether RED has to be taken off; `None` where none of `takes` is for it.
pub(crate) fn choose(takes: &[Taken], codec: CodecKey, going: Going) -> Option<(Taken, bool)> {
    let find = |wanted: CodecKey| takes.iter().find(|taken| taken.codec == wanted).copied();
    if let Some(taken) = find(codec).filter(|_| !(codec.red && going.is_plain) || going.is_sealed) {
        return Some((taken, false));
    }
    match codec.red {
        true if going.is_sealed => None,
        true => find(codec.plain()).map(|taken| (taken, true)),
        false => takes.iter().find(|taken| taken.codec.covers(codec)).map(|taken| (*taken, false)),
    }
}

/// Whether an m-line can be sent nothing of what a source sends, as far as that is known.
pub(crate) fn lacks(takes: &[Taken], source: &Source) -> bool {
    let going = Going { is_sealed: source.is_encrypted(), is_plain: false };
    !source.is_taken(|codec| choose(takes, codec, going).is_some())
}

/// What may be sent on an m-line of a viewer's.
pub(crate) fn of(line: &Line) -> impl Iterator<Item = Taken> + '_ {
    line.formats.iter().map(|format| Taken {
        codec: format.codec,
        payload_type: format.number,
        rtx: format.rtx,
    })
}

/// Why a viewer's offer would be sent nothing of what it wants, by the names of its m-lines: none of that comes by a codec that is
/// taken. `None` where some does, and where nobody knows yet.
pub(crate) fn untaken<'a>(
    offer: &Offer,
    wanted: impl Iterator<Item = (&'a str, &'a SourceKey)>,
    sources: &Sources,
) -> Option<String> {
    let mut lacking = None;
    for (mid, key) in wanted {
        let line = offer.lines.iter().find(|line| line.name == mid)?;
        let source = sources.get(key);
        if !lacks(&of(line).collect::<Vec<_>>(), &source) {
            return None;
        }
        lacking.get_or_insert_with(|| {
            let user = &key.user;
            format!("{user} sends {}, of which the offer takes nothing", source.codec_names())
        });
    }
    lacking
}

#[cfg(test)]
mod tests {
    use str0m::format::Codec;

    use super::*;

    const PLAIN: Going = Going { is_sealed: false, is_plain: false };

    #[test]
    fn a_codec_is_taken_by_who_can_decode_it() {
        use Codec::{Av1, H264, H265, Vp8, Vp9};
        for (takes, comes, is_taken) in [
            ((Vp8, 0), (Vp8, 0), true),
            ((Vp8, 0), (H264, 0x4201), false),
            ((Vp9, 0), (Vp8, 0), false),
            ((Vp9, 0), (Vp9, 2), false),
            ((Vp9, 2), (Vp9, 0), false),
            ((Av1, 0), (Av1, 1), false),
            ((Av1, 1), (Av1, 0), true),
            // Another profile of H.264 most likely plays.
            ((H264, 0x4201), (H264, 0x6401), true),
            ((H264, 0x4200), (H264, 0x4201), true),
            ((H264, 0x6401), (H265, 1), false),
            // Main 10 decodes Main.
            ((H265, 2), (H265, 1), true),
            ((H265, 1), (H265, 2), false),
            ((H265, 0x101), (H265, 1), false),
        ] {
            let key = |(codec, profile)| CodecKey::of(codec, profile, false);
            let takes = [Taken { codec: key(takes), payload_type: 100, rtx: None }];

            assert_eq!(choose(&takes, key(comes), PLAIN).is_some(), is_taken, "{takes:?} {comes:?}");
        }
    }

    #[test]
    fn what_is_taken_by_its_own_name_goes_before_what_would_do() {
        let key = |profile| CodecKey::of(Codec::Av1, profile, false);
        let takes = [(1, 45), (0, 46)].map(|(profile, payload_type)| Taken {
            codec: key(profile),
            payload_type,
            rtx: None,
        });

        assert_eq!(choose(&takes, key(0), PLAIN).map(|(taken, _)| taken.payload_type), Some(46));
    }
}
