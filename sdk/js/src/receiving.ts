import { offerDependencies } from './dependencies.js';

const MEDIA = ['audio', 'video'] as const;
type Medium = (typeof MEDIA)[number];

/** One variant of each codec makes offers short, and these are what browsers send. */
export function isUsed({ mimeType, sdpFmtpLine = '' }: RTCRtpCodec): boolean {
  switch (mimeType.toLowerCase()) {
    case 'video/vp9':
      return !/profile-id=[1-9]/.test(sdpFmtpLine);
    case 'video/h264':
      return /packetization-mode=1/.test(sdpFmtpLine) && /profile-level-id=42/i.test(sdpFmtpLine);
    case 'video/h265':
      return !/profile-id=(?!1\b)/.test(sdpFmtpLine);
    case 'video/av1':
      return !/profile=[1-9]/.test(sdpFmtpLine);
    default:
      return ['video/vp8', 'video/rtx', 'video/red', 'video/ulpfec', 'audio/opus', 'audio/red'].includes(mimeType.toLowerCase());
  }
}

/** A place on a connection for what is received. */
export function offerPlace(pc: RTCPeerConnection, medium: Medium): RTCRtpTransceiver {
  const transceiver = pc.addTransceiver(medium, { direction: 'recvonly' });
  const codecs = RTCRtpReceiver.getCapabilities?.(medium)?.codecs.filter(isUsed);
  if (codecs?.length && 'setCodecPreferences' in transceiver) transceiver.setCodecPreferences(codecs);
  if (medium === 'video') offerDependencies(transceiver);
  return transceiver;
}

let isWarm = false;

/**
 * Lets the browser load what media needs while the network is waited for, which takes it several times as long as to make a connection:
 * it is loaded for who asks what can be received.
 */
export function warmUp(): void {
  if (isWarm) return;
  isWarm = true;
  // Not before what is being asked of the network has left.
  setTimeout(() => {
    for (const medium of MEDIA) globalThis.RTCRtpReceiver?.getCapabilities?.(medium);
  });
}
