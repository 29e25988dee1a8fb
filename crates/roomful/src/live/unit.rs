//! The forwarding unit's words, and the halls' for the same.

use media::StreamKind;
use rooms::Device;

/// The word for a kind of stream.
pub(crate) fn stream_type(device: Device) -> &'static str {
    match device {
        Device::Microphone => "audio",
        Device::Camera => "main",
        Device::Screen => "sub",
    }
}

/// The cloud's number of the kind of media (`MediaType`).
pub(crate) fn media_number(device: Device) -> u8 {
    match device {
        Device::Microphone => 0,
        Device::Camera => 2,
        Device::Screen => 7,
    }
}

pub(crate) fn device(kind: StreamKind) -> Device {
    match kind {
        StreamKind::Audio => Device::Microphone,
        StreamKind::Main => Device::Camera,
        StreamKind::Sub => Device::Screen,
    }
}

pub(crate) fn kind(device: Device) -> StreamKind {
    match device {
        Device::Microphone => StreamKind::Audio,
        Device::Camera => StreamKind::Main,
        Device::Screen => StreamKind::Sub,
    }
}

pub(crate) fn peer(peer: hall::PeerId) -> media::PeerId {
    media::PeerId(peer.0)
}

pub(crate) fn rights(rights: hall::Rights) -> media::Rights {
    let hall::Rights { microphone, camera, screen } = rights;
    media::Rights { audio: microphone, main: camera, sub: screen }
}
