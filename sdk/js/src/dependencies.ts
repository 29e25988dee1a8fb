/**
 * The dependency descriptor: a header extension that tells the server which layer a frame belongs to, and viewers which
 * frames it needs, where the payload does not say. Browsers know it, and offer it only when told to.
 */
const URI = 'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

interface HeaderExtension {
  uri: string;
  direction: RTCRtpTransceiverDirection;
}

/** The DOM's own types do not know it yet. */
interface Extensible extends RTCRtpTransceiver {
  getHeaderExtensionsToNegotiate?(): HeaderExtension[];
  setHeaderExtensionsToNegotiate?(extensions: HeaderExtension[]): void;
}

/** Offers it on a place; a browser that does not know it goes without. */
export function offerDependencies(transceiver: RTCRtpTransceiver): void {
  const place: Extensible = transceiver;
  const all = place.getHeaderExtensionsToNegotiate?.() ?? [];
  const entry = all.find(({ uri }) => uri === URI);
  if (!entry) return;
  entry.direction = 'sendrecv';
  place.setHeaderExtensionsToNegotiate?.(all);
}
