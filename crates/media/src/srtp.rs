//! SRTP and SRTCP (RFC 3711, RFC 7714) for the packets this crate writes itself: viewers' media and its control.
//!
//! Protection happens in place at the end of a buffer that many packets share, so that nothing is allocated or copied
//! for a packet. Publishers' media is unprotected by the WebRTC library.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use str0m::crypto::dtls::SrtpProfile;

use crate::rtcp::u32_at;

/// The length of what nodes' keys are made of.
pub(crate) const NODE_MATERIAL: usize = 28;

const GCM_TAG: usize = 16;
const CM_TAG: usize = 10;
/// Set in an SRTCP index when the packet is encrypted; ours always are.
const ENCRYPTED: u32 = 1 << 31;

/// What labels a key is derived with (RFC 3711 4.3.2).
#[derive(Clone, Copy)]
enum Use {
    Rtp = 0,
    Rtcp = 3,
}

/// The keys of one direction of one connection.
pub(crate) struct Keys {
    profile: SrtpProfile,
    /// Master key and salt of whoever sends.
    key: Vec<u8>,
    salt: Vec<u8>,
}

impl Keys {
    /// Splits the keying material of DTLS (RFC 5764 4.2): first keys, then salts, the client's before the server's.
    /// `None` when it is too short or of a profile that is not known here.
    pub(crate) fn split(material: &[u8], profile: SrtpProfile, of_client: bool) -> Option<Self> {
        let (key_bytes, salt_bytes) = match profile {
            SrtpProfile::AES128_CM_SHA1_80 => (16, 14),
            SrtpProfile::AEAD_AES_128_GCM => (16, 12),
            SrtpProfile::AEAD_AES_256_GCM => (32, 12),
            _ => return None,
        };
        let turn = usize::from(!of_client);
        let key = material.get(turn * key_bytes..(turn + 1) * key_bytes)?.to_vec();
        let salts = material.get(2 * key_bytes..)?;
        let salt = salts.get(turn * salt_bytes..(turn + 1) * salt_bytes)?.to_vec();
        Some(Self { profile, key, salt })
    }

    /// Those by which a node seals what it sends to another: AES of 128 bits in GCM, from a key and a salt, one behind the other.
    pub(crate) fn of_node(material: &[u8; NODE_MATERIAL]) -> Self {
        let (key, salt) = material.split_at(16);
        Self { profile: SrtpProfile::AEAD_AES_128_GCM, key: key.to_vec(), salt: salt.to_vec() }
    }

    /// A session key: AES in counter mode over zeros, from the salt with the label in its byte 7 (RFC 3711 4.3.1; a
    /// salt of 96 bits is padded with zeros, RFC 7714 11).
    fn derive(&self, label: u8, length: usize) -> Option<Vec<u8>> {
        let mut counter = [0_u8; 16];
        counter.get_mut(..self.salt.len())?.copy_from_slice(&self.salt);
        counter[7] ^= label;
        let algorithm = if self.key.len() == 32 { &AES_256 } else { &AES_128 };
        let key = EncryptingKey::ctr(UnboundCipherKey::new(algorithm, &self.key).ok()?).ok()?;
        let mut derived = vec![0; length];
        key.less_safe_encrypt(&mut derived, EncryptionContext::Iv128(FixedLength::from(counter))).ok()?;
        Some(derived)
    }
}

/// How the packets of one direction are protected.
enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    Cm { key: Box<EncryptingKey>, salt: [u8; 14], tag: Box<hmac::Key> },
}

impl Cipher {
    fn new(keys: &Keys, purpose: Use) -> Option<Self> {
        let label = purpose as u8;
        let key = keys.derive(label, keys.key.len())?;
        let salt = keys.derive(label + 2, keys.salt.len())?;
        match keys.profile {
            SrtpProfile::AES128_CM_SHA1_80 => {
                let tag = keys.derive(label + 1, 20)?;
                Some(Self::Cm {
                    key: Box::new(EncryptingKey::ctr(UnboundCipherKey::new(&AES_128, &key).ok()?).ok()?),
                    salt: salt.try_into().ok()?,
                    tag: Box::new(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &tag)),
                })
            }
            _ => {
                let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
                let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).ok()?);
                Some(Self::Gcm { key, salt: salt.try_into().ok()? })
            }
        }
    }
}

/// The nonce of RFC 7714 8.1 and 9.1: two zeros, SSRC, and 48 bits of index, under the salt.
fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let plain = (u128::from(ssrc) << 48) | u128::from(index & 0xffff_ffff_ffff);
    let mut nonce = [0; NONCE_LEN];
    for (at, (out, salt)) in nonce.iter_mut().zip(salt).enumerate() {
        *out = salt ^ (plain >> (8 * (NONCE_LEN - 1 - at))) as u8;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// The counter block of RFC 3711 4.1.1.
fn cm_counter(salt: &[u8; 14], ssrc: u32, index: u64) -> EncryptionContext {
    let mut wide = [0; 16];
    wide[..14].copy_from_slice(salt);
    let block = u128::from_be_bytes(wide) ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
    EncryptionContext::Iv128(FixedLength::from(block.to_be_bytes()))
}

/// Protects what one connection is sent.
pub(crate) struct Protect {
    rtp: Cipher,
    rtcp: Cipher,
    /// Counts control packets.
    rtcp_index: u32,
}

impl Protect {
    pub(crate) fn new(keys: &Keys) -> Option<Self> {
        Some(Self { rtp: Cipher::new(keys, Use::Rtp)?, rtcp: Cipher::new(keys, Use::Rtcp)?, rtcp_index: 0 })
    }

    /// Protects the RTP packet that `buffer` ends with, from `start` on: its header stays readable, its payload does
    /// not, and a tag follows. `index` is the sequence number with the roll-overs above it. `None` when the cipher
    /// refuses, which a packet of sane size does not meet.
    pub(crate) fn rtp(
        &self,
        buffer: &mut Vec<u8>,
        start: usize,
        header: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<()> {
        match &self.rtp {
            Cipher::Gcm { key, salt } => {
                let (head, payload) = buffer.get_mut(start..)?.split_at_mut_checked(header)?;
                let nonce = gcm_nonce(salt, ssrc, index);
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&*head), payload).ok()?;
                buffer.extend_from_slice(tag.as_ref());
            }
            Cipher::Cm { key, salt, tag } => {
                let payload = buffer.get_mut(start + header..)?;
                key.less_safe_encrypt(payload, cm_counter(salt, ssrc, index)).ok()?;
                let mut context = hmac::Context::with_key(tag);
                context.update(buffer.get(start..)?);
                context.update(&((index >> 16) as u32).to_be_bytes());
                buffer.extend_from_slice(context.sign().as_ref().get(..CM_TAG)?);
            }
        }
        Some(())
    }

    /// Protects the RTCP packet that `buffer` ends with, from `start` on.
    pub(crate) fn rtcp(&mut self, buffer: &mut Vec<u8>, start: usize) -> Option<()> {
        self.rtcp_index = (self.rtcp_index + 1) & !ENCRYPTED;
        let index = self.rtcp_index;
        let trailer = (index | ENCRYPTED).to_be_bytes();
        let ssrc = u32_at(buffer.get(start..)?, 4)?;
        match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let mut associated = [0; 12];
                associated[..8].copy_from_slice(buffer.get(start..start + 8)?);
                associated[8..].copy_from_slice(&trailer);
                let nonce = gcm_nonce(salt, ssrc, index.into());
                let payload = buffer.get_mut(start + 8..)?;
                let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&associated), payload).ok()?;
                buffer.extend_from_slice(tag.as_ref());
                buffer.extend_from_slice(&trailer);
            }
            Cipher::Cm { key, salt, tag } => {
                let payload = buffer.get_mut(start + 8..)?;
                key.less_safe_encrypt(payload, cm_counter(salt, ssrc, index.into())).ok()?;
                buffer.extend_from_slice(&trailer);
                let signed = hmac::sign(tag, buffer.get(start..)?);
                buffer.extend_from_slice(signed.as_ref().get(..CM_TAG)?);
            }
        }
        Some(())
    }
}

/// Senders within one connection whose control packets are told apart: one for each stream, and some.
const MAX_SENDERS: usize = 256;

/// Opens the control packets that one connection sends.
pub(crate) struct Open {
    rtcp: Cipher,
    /// By sender (SSRC), which count their packets each for itself.
    windows: Vec<(u32, Window)>,
    /// The plain packet, kept from one to the next.
    plain: Vec<u8>,
}

impl Open {
    pub(crate) fn new(keys: &Keys) -> Option<Self> {
        Some(Self { rtcp: Cipher::new(keys, Use::Rtcp)?, windows: Vec::new(), plain: Vec::new() })
    }

    /// The plain control packet; `None` for one that is forged, broken, in clear, or came before.
    pub(crate) fn rtcp(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let ssrc = u32_at(packet, 4)?;
        let head = packet.get(..8)?;
        self.plain.clear();
        self.plain.extend_from_slice(head);
        let index = match &self.rtcp {
            Cipher::Gcm { key, salt } => {
                let (body, trailer) = packet.split_at_checked(packet.len().checked_sub(4)?)?;
                let word = u32_at(trailer, 0)?;
                let sealed = body.get(8..)?;
                let (cipher, tag) = sealed.split_at_checked(sealed.len().checked_sub(GCM_TAG)?)?;
                let mut associated = [0; 12];
                associated[..8].copy_from_slice(head);
                associated[8..].copy_from_slice(trailer);
                let nonce = gcm_nonce(salt, ssrc, (word & !ENCRYPTED).into());
                self.plain.resize(8 + cipher.len(), 0);
                let out = self.plain.get_mut(8..)?;
                key.open_separate_gather(nonce, Aad::from(&associated), cipher, tag, out).ok()?;
                word
            }
            Cipher::Cm { key, salt, tag } => {
                let (body, given) = packet.split_at_checked(packet.len().checked_sub(CM_TAG)?)?;
                let signed = hmac::sign(tag, body);
                aws_lc_rs::constant_time::verify_slices_are_equal(signed.as_ref().get(..CM_TAG)?, given)
                    .ok()?;
                let (body, trailer) = body.split_at_checked(body.len().checked_sub(4)?)?;
                let word = u32_at(trailer, 0)?;
                self.plain.extend_from_slice(body.get(8..)?);
                let out = self.plain.get_mut(8..)?;
                key.less_safe_encrypt(out, cm_counter(salt, ssrc, (word & !ENCRYPTED).into())).ok()?;
                word
            }
        };
        let is_new = index & ENCRYPTED != 0 && self.window(ssrc)?.is_fresh(index & !ENCRYPTED);
        is_new.then_some(self.plain.as_slice())
    }

    /// `None` when there are too many senders. Only what the keys have sealed gets here.
    fn window(&mut self, ssrc: u32) -> Option<&mut Window> {
        let is_known = self.windows.iter().any(|(known, _)| *known == ssrc);
        if !is_known && self.windows.len() < MAX_SENDERS {
            self.windows.push((ssrc, Window::default()));
        }
        self.windows.iter_mut().find(|(known, _)| *known == ssrc).map(|(_, window)| window)
    }
}

/// Opens the media that another node sends.
pub(crate) struct OpenRtp(Cipher);

impl OpenRtp {
    pub(crate) fn new(keys: &Keys) -> Option<Self> {
        Some(Self(Cipher::new(keys, Use::Rtp)?))
    }

    /// The payload of an RTP packet with a header of so many bytes; `None` for one that is forged or broken, and of the profiles
    /// that no node seals by. Whether it came before is for the caller to know.
    pub(crate) fn rtp(&self, packet: &[u8], header: usize, ssrc: u32, index: u64) -> Option<Arc<[u8]>> {
        let Cipher::Gcm { key, salt } = &self.0 else { return None };
        let (head, sealed) = packet.split_at_checked(header)?;
        let (cipher, tag) = sealed.split_at_checked(sealed.len().checked_sub(GCM_TAG)?)?;
        let mut payload: Arc<[u8]> = cipher.into();
        let out = Arc::get_mut(&mut payload)?;
        key.open_separate_gather(gcm_nonce(salt, ssrc, index), Aad::from(head), cipher, tag, out).ok()?;
        Some(payload)
    }
}

/// The newest index seen, and which of the 64 before it: what came once is not taken again (RFC 3711 3.3.2).
#[derive(Default)]
struct Window {
    newest: u32,
    seen: u64,
}

impl Window {
    fn is_fresh(&mut self, index: u32) -> bool {
        if index > self.newest {
            self.seen = self.seen.checked_shl(index - self.newest).unwrap_or(0) | 1;
            self.newest = index;
            return true;
        }
        let age = self.newest - index;
        let bit = 1_u64.checked_shl(age).unwrap_or(0);
        let is_fresh = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(profile: SrtpProfile, of_client: bool) -> Keys {
        let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
        Keys::split(&material, profile, of_client).unwrap()
    }

    #[test]
    fn session_keys_are_those_of_the_rfc() {
        // RFC 3711 B.3.
        let keys = Keys {
            profile: SrtpProfile::AES128_CM_SHA1_80,
            key: vec![
                0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41,
                0x39,
            ],
            salt: vec![0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6],
        };

        let (key, salt) = (keys.derive(0, 16).unwrap(), keys.derive(2, 14).unwrap());

        assert_eq!(
            key,
            [0xC6, 0x1E, 0x7A, 0x93, 0x74, 0x4F, 0x39, 0xEE, 0x10, 0x73, 0x4A, 0xFE, 0x3F, 0xF7, 0xA0, 0x87]
        );
        assert_eq!(
            salt,
            [0x30, 0xCB, 0xBC, 0x08, 0x86, 0x3D, 0x8C, 0x85, 0xD4, 0x9D, 0xB3, 0x4A, 0x9A, 0xE1]
        );
    }

    #[test]
    fn control_packets_open_once_and_only_unchanged() {
        for profile in SrtpProfile::ALL {
            let mut protect = Protect::new(&keys(*profile, true)).unwrap();
            let mut open = Open::new(&keys(*profile, true)).unwrap();
            let plain = [0x80, 200, 0, 6, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8];
            let mut sealed = plain.to_vec();
            protect.rtcp(&mut sealed, 0).unwrap();

            let mut forged = sealed.clone();
            forged[9] ^= 1;

            assert_eq!(open.rtcp(&forged), None, "{profile:?}");
            assert_eq!(open.rtcp(&sealed), Some(&plain[..]), "{profile:?}");
            assert_eq!(open.rtcp(&sealed), None, "{profile:?}: a replay");
            // Each sender counts for itself (RFC 3711 3.2.1): Firefox reports on each stream by another.
            let mut other = plain;
            other[7] = 8;
            let mut of_other = other.to_vec();
            Protect::new(&keys(*profile, true)).unwrap().rtcp(&mut of_other, 0).unwrap();
            assert_eq!(open.rtcp(&of_other), Some(&other[..]), "{profile:?}: another sender");
            for length in 0..sealed.len() {
                assert_eq!(open.rtcp(&sealed[..length]), None, "{profile:?}: cut to {length}");
            }
        }
    }
}
