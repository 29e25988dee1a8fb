import { offerDependencies } from './dependencies.js';
import { log } from './log.js';

type Medium = 'audio' | 'video';

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
 * Lets the browser load what media needs while the network is waited for: its first connection takes several times as long to make as
 * those after it. Nothing is sent for it.
 */
export function warmUp(): void {
  if (isWarm || typeof RTCPeerConnection === 'undefined') return;
  isWarm = true;
  // Not before what is being asked of the network has left.
  setTimeout(() => void makeOne().catch((error: unknown) => log.debug('media is made ready when it is needed', error)));
}

async function makeOne(): Promise<void> {
  const pc = new RTCPeerConnection();
  try {
    offerPlace(pc, 'audio');
    offerPlace(pc, 'video');
    await pc.createOffer();
  } finally {
    pc.close();
  }
}
