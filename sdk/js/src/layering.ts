import type { Layering } from './api.js';
import { invalid } from './errors.js';
import { isUsed } from './receiving.js';

export type VideoCodec = (typeof CODECS)[number];

const CODECS = ['vp8', 'vp9', 'h264', 'av1'] as const;

/** What a codec's streams can have in them: VP8 no sizes, and of H.264 nobody sees the layers from outside. */
const MODES: Record<VideoCodec, RegExp> = { vp8: /^L1T[123]$/, vp9: /^[LS]\dT\d/, h264: /^L1T1$/, av1: /^[LS]\dT\d/ };

const sendable = (): RTCRtpCodec[] => globalThis.RTCRtpSender?.getCapabilities?.('video')?.codecs ?? [];
const is = ({ mimeType }: RTCRtpCodec, codec: string): boolean => mimeType.toLowerCase() === `video/${codec}`;

/** Refuses what no browser encodes, or this one does not, while nothing has changed yet. */
export function requireLayering(functionName: string, { codec, scalabilityMode }: Layering): void {
  if (codec !== undefined && !CODECS.includes(codec)) throw invalid(functionName, `codec must be one of ${CODECS.join(', ')}`);
  if (scalabilityMode === undefined) return;
  if (codec === undefined) throw invalid(functionName, 'scalabilityMode is for one codec: say which by codec');
  const isKnown = MODES[codec].test(scalabilityMode) && (!sendable().some((entry) => is(entry, codec)) || isTaken(scalabilityMode));
  if (!isKnown) throw invalid(functionName, `scalabilityMode ${scalabilityMode} cannot be encoded by ${codec} here`);
}

/** Whether the browser takes a mode, tried on a connection that is for nothing else. */
function isTaken(scalabilityMode: string): boolean {
  const pc = new RTCPeerConnection();
  try {
    pc.addTransceiver('video', { direction: 'sendonly', sendEncodings: [{ scalabilityMode } as RTCRtpEncodingParameters] });
    return true;
  } catch {
    return false;
  } finally {
    pc.close();
  }
}

/** As far as the browser has the codec: without it, a mode would be that of another one, or nothing at all. */
export function layeringFor({ codec, scalabilityMode }: Layering): { codec: VideoCodec | undefined; scalabilityMode: string | undefined } {
  const has = codec !== undefined && sendable().some((entry) => is(entry, codec));
  return { codec, scalabilityMode: has ? scalabilityMode : undefined };
}

/** Offers one codec alone: of several, it would be the server's to choose. */
export function prefer(transceiver: RTCRtpTransceiver, codec: VideoCodec | undefined): void {
  if (codec === undefined || !('setCodecPreferences' in transceiver)) return;
  const used = sendable().filter((entry) => isUsed(entry) && (is(entry, codec) || is(entry, 'rtx')));
  if (used.some((entry) => is(entry, codec))) transceiver.setCodecPreferences(used);
}
