/** The keys of end-to-end encryption, as pages give them. What is done with them is a chunk of its own: `encryption.ts`. */

/** A key of end-to-end encryption, as a page gives it. */
export interface EncryptionKey {
  /** At least 16 random bytes, or a passphrase. All who are to see and hear each other have the same. */
  key: string | Uint8Array;
  /** Tells keys apart that are in use one after the other, 0 to 255; 0 unless given. */
  keyId?: number;
  /** `false`: the key opens what others send, but nothing is sealed by it yet; on unless given. */
  publish?: boolean;
}

export const MIN_KEY_BYTES = 16;

/** The key that is sealed by: of those that are, the one given last. */
export function sealedBy(keys: Iterable<EncryptionKey>): EncryptionKey | undefined {
  return [...keys].filter(({ publish }) => publish !== false).at(-1);
}

/** Whether this browser can seal and open frames. */
export function canEncrypt(): boolean {
  const hasWay = typeof RTCRtpScriptTransform !== 'undefined' || (typeof RTCRtpSender !== 'undefined' && 'createEncodedStreams' in RTCRtpSender.prototype);
  return hasWay && typeof Worker !== 'undefined' && globalThis.crypto?.subtle !== undefined;
}
