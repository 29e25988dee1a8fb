//! The dependency descriptor (AV1 RTP appendix A): which layer each frame of a scalable stream belongs to, for streams whose
//! payloads do not say, or nobody can read.
//!
//! Descriptors come from publishers and are never trusted: every function takes any bytes, and what is kept of them has a
//! bound. Keyframes bring a structure, a table of the kinds of frames; each frame names its kind.

use std::sync::Arc;

use smallvec::SmallVec;
use str0m::rtp::{Extension, ExtensionSerializer, ExtensionValues};

use crate::payload::{Part, TOP_LAYER};

/// The URI under which it is agreed on.
pub(crate) const URI: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// The most bytes that fit the short form of header extensions (RFC 8285 4.2).
pub(crate) const SHORT: usize = 16;

/// As it came, for those who know what it means.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) Arc<[u8]>);

/// Takes it from publishers' packets. Viewers' packets are written elsewhere.
#[derive(Debug)]
struct Serializer;

impl ExtensionSerializer for Serializer {
    fn write_to(&self, _: &mut [u8], _: &ExtensionValues) -> usize {
        0
    }

    fn parse_value(&self, bytes: &[u8], values: &mut ExtensionValues) -> bool {
        values.user_values.set(Raw(bytes.into()));
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        false
    }
}

/// As it is agreed on.
pub(crate) fn extension() -> Extension {
    Extension::with_serializer(URI, Serializer)
}

/// The number of the frame.
pub(crate) fn number(bytes: &[u8]) -> Option<u16> {
    bytes.get(1..3)?.try_into().ok().map(u16::from_be_bytes)
}

/// Template numbers, and decode targets.
const TEMPLATES: usize = 64;
const TARGETS: usize = 32;

/// Of a frame's indications for each decode target: not part of it, or a place where it can be begun with.
const ABSENT: u8 = 0;
const SWITCH: u8 = 2;

/// What each decode target has of a frame.
type Indications = [u8; TARGETS];

/// A kind of frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Template {
    spatial: u8,
    temporal: u8,
    indications: Indications,
}

/// The kinds of frames of a stream, from a keyframe on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Structure {
    /// The number of its first template.
    offset: u8,
    /// The highest size and share that each decode target has.
    targets: SmallVec<[(u8, u8); 16]>,
    templates: Vec<Template>,
    /// Of the sizes, the smallest first; none when it does not say.
    pub(crate) pictures: SmallVec<[(u16, u16); 8]>,
}

/// What is said of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// The packet is the frame's first, its last.
    pub(crate) begins: bool,
    pub(crate) ends: bool,
    pub(crate) number: u16,
    pub(crate) spatial: u8,
    pub(crate) temporal: u8,
    /// A higher share of the frame rate can be begun with after it.
    pub(crate) lifts: bool,
    /// It comes with a keyframe.
    pub(crate) structure: Option<Box<Structure>>,
}

/// Reads a descriptor of a stream whose newest structure is `known`. `None` when it is broken, or of a structure that was
/// missed.
pub(crate) fn read(bytes: &[u8], known: Option<&Structure>) -> Option<Descriptor> {
    let mut bits = Bits { bytes, at: 0 };
    let (begins, ends) = (bits.flag()?, bits.flag()?);
    let template = bits.take(6)? as u8;
    let number = bits.take(16)? as u16;
    let mut structure = None;
    let mut has_own_indications = false;
    if bytes.len() > 3 {
        let (has_structure, has_targets) = (bits.flag()?, bits.flag()?);
        has_own_indications = bits.flag()?;
        // Own differences and chains come behind all that is read here.
        bits.take(2)?;
        if has_structure {
            structure = Some(Box::new(Structure::read(&mut bits)?));
        }
        if has_targets {
            bits.skip(structure.as_deref().or(known)?.targets.len())?;
        }
    }
    let current = structure.as_deref().or(known)?;
    let at = (usize::from(template) + TEMPLATES - usize::from(current.offset)) % TEMPLATES;
    let Template { spatial, temporal, mut indications } = *current.templates.get(at)?;
    if has_own_indications {
        indications = bits.indications(current.targets.len())?;
    }
    let mut targets = current.targets.iter().zip(indications);
    let lifts = targets
        .any(|((size, share), indication)| *size >= spatial && *share > temporal && indication == SWITCH);
    Some(Descriptor { begins, ends, number, spatial, temporal, lifts, structure })
}

impl Descriptor {
    /// Where the packet stands in its stream.
    pub(crate) fn part(&self) -> Part {
        Part {
            spatial: self.spatial.min(TOP_LAYER),
            temporal: self.temporal.min(TOP_LAYER),
            is_key: self.structure.is_some(),
            ends: self.ends,
            syncs: false,
            lifts: self.lifts,
        }
    }
}

impl Structure {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let offset = bits.take(6)? as u8;
        let target_count = bits.take(5)? as usize + 1;
        let mut templates = Vec::new();
        let (mut spatial, mut temporal) = (0_u8, 0_u8);
        loop {
            if templates.len() == TEMPLATES {
                return None;
            }
            templates.push(Template { spatial, temporal, indications: [ABSENT; TARGETS] });
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
        }
        for template in &mut templates {
            template.indications = bits.indications(target_count)?;
        }
        for _ in &templates {
            while bits.flag()? {
                bits.skip(4)?;
            }
        }
        let chains = bits.up_to(target_count as u32 + 1)?;
        if chains > 0 {
            for _ in 0..target_count {
                bits.up_to(chains)?;
            }
            bits.skip(4 * chains as usize * templates.len())?;
        }
        let mut pictures = SmallVec::new();
        if bits.flag()? {
            for _ in 0..=spatial {
                let (width, height) = (bits.take(16)? as u16, bits.take(16)? as u16);
                pictures.push((width.saturating_add(1), height.saturating_add(1)));
            }
        }
        let layers_of = |target: usize| {
            let of = templates.iter().filter(|template| {
                template.indications.get(target).is_some_and(|indication| *indication != ABSENT)
            });
            of.fold((0, 0), |(size, share), of| (of.spatial.max(size), of.temporal.max(share)))
        };
        let targets = (0..target_count).map(layers_of).collect();
        Some(Self { offset, targets, templates, pictures })
    }

    /// How many sizes there are.
    pub(crate) fn sizes(&self) -> usize {
        self.templates.last().map_or(1, |template| usize::from(template.spatial) + 1)
    }
}

/// Bits, the highest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// A number of up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number << 1 | u32::from(self.flag()?)))
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at += count;
        (self.at <= 8 * self.bytes.len()).then_some(())
    }

    /// A number below `count` (ns(n) of AV1 4.10.7).
    fn up_to(&mut self, count: u32) -> Option<u32> {
        let width = u32::BITS - count.leading_zeros();
        let short = (1 << width) - count;
        let number = self.take(width.checked_sub(1)?)?;
        match number < short {
            true => Some(number),
            false => Some((number << 1) - short + u32::from(self.flag()?)),
        }
    }

    fn indications(&mut self, count: usize) -> Option<Indications> {
        let mut indications = [ABSENT; TARGETS];
        for indication in indications.iter_mut().take(count) {
            *indication = self.take(2)? as u8;
        }
        Some(indications)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes what the tests read, field by field: value and width.
    fn pack(fields: &[(u32, u32)]) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for (value, width) in fields {
            bits.extend((0..*width).rev().map(|at| value >> at & 1 == 1));
        }
        bits.chunks(8)
            .map(|byte| byte.iter().enumerate().map(|(at, bit)| u8::from(*bit) << (7 - at)).sum())
            .collect()
    }

    /// A keyframe of L1T3 as browsers describe it: templates of share 0, 0, 1, 2 and 2, one chain.
    fn l1t3(resolution: &[(u32, u32)]) -> Vec<u8> {
        let mut fields = vec![(1, 1), (0, 1), (10, 6), (300, 16), (0b10000, 5), (10, 6), (2, 5)];
        fields.extend([(0, 2), (1, 2), (1, 2), (0, 2), (3, 2)]);
        for indications in [[2, 2, 2], [2, 2, 2], [0, 1, 2], [0, 0, 1], [0, 0, 1]] {
            fields.extend(indications.map(|one| (one, 2)));
        }
        // How far back: nothing, 4, 2, 1, 1.
        fields.push((0, 1));
        for back in [4, 2, 1, 1] {
            fields.extend([(1, 1), (back - 1, 4), (0, 1)]);
        }
        // One chain of up to three (ns(4)), which protects all (ns(1) takes no bits); each template's place in it.
        fields.push((1, 2));
        fields.extend([(0, 4), (4, 4), (2, 4), (1, 4), (3, 4)]);
        fields.extend(resolution);
        pack(&fields)
    }

    #[test]
    fn a_structure_and_the_frames_that_name_its_templates_are_read() {
        let key = read(&l1t3(&[(1, 1), (1279, 16), (719, 16)]), None).unwrap();

        assert_eq!((key.begins, key.ends, key.number), (true, false, 300));
        assert_eq!((key.spatial, key.temporal, key.lifts), (0, 0, true));
        let structure = key.structure.unwrap();
        assert_eq!((structure.sizes(), structure.pictures.as_slice()), (1, &[(1280, 720)][..]));
        assert_eq!(structure.targets.as_slice(), [(0, 0), (0, 1), (0, 2)]);
        for (template, temporal, lifts) in [(11, 0, true), (12, 1, true), (13, 2, false), (14, 2, false)] {
            let frame = pack(&[(0, 1), (1, 1), (template, 6), (301, 16)]);
            let frame = read(&frame, Some(&structure)).unwrap();
            assert_eq!((frame.begins, frame.ends, frame.number), (false, true, 301));
            assert_eq!((frame.temporal, frame.lifts), (temporal, lifts), "template {template}");
        }
        assert_eq!(read(&pack(&[(3, 2), (15, 6), (301, 16)]), Some(&structure)), None, "no such template");
        assert_eq!(read(&pack(&[(3, 2), (9, 6), (301, 16)]), Some(&structure)), None, "nor before the first");
        assert_eq!(read(&pack(&[(3, 2), (11, 6), (301, 16)]), None), None, "the structure was missed");
    }

    #[test]
    fn a_frame_can_say_otherwise_than_its_template() {
        let structure = read(&l1t3(&[(0, 1)]), None).unwrap().structure.unwrap();
        assert!(structure.pictures.is_empty());
        // Active targets, and own indications: needed, but nothing can begin.
        let fields = [(3, 2), (11, 6), (9, 16), (0b01100, 5), (0b111, 3), (3, 2), (3, 2), (3, 2), (0, 5)];

        let frame = read(&pack(&fields), Some(&structure)).unwrap();

        assert!(!frame.lifts);
        assert_eq!(read(&pack(&fields[..5]), Some(&structure)), None, "cut short");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..256), more: Vec<u8>) {
            if let Some(first) = read(&bytes, None) {
                let structure = first.structure.unwrap();
                prop_assert!(structure.templates.len() <= TEMPLATES && structure.targets.len() <= TARGETS);
                prop_assert!(structure.pictures.len() <= TEMPLATES);
                let _ = read(&more, Some(&structure));
            }
            for length in 0..80 {
                let key = l1t3(&[(0, 1)]);
                let _ = read(key.get(..length).unwrap_or(&key), None);
            }
        }
    }
}
