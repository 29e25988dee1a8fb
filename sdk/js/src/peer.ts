import type { Encryption } from './encryption.js';
import { log } from './log.js';
import { Turns } from './turns.js';

/** What a stream carries: the microphone, the camera, the screen. */
export type StreamKind = 'audio' | 'main' | 'sub';

export interface PeerOptions {
  /** Sends an offer, and returns the answer. */
  exchange(offer: string): Promise<string>;
  iceServers(): Promise<RTCIceServer[]>;
  iceTransportPolicy(): RTCIceTransportPolicy | undefined;
  /** What is sent and received is sealed from end to end. */
  encryption?: Encryption | undefined;
}

/** How long the relay's passwords are taken to hold: half of the shortest time a server may have them (`media.turn_lifetime`). */
export const PASSWORDS_HOLD_MS = 30_000;

/** How long a connection may be interrupted before ICE is started over, and how long that may take. */
const RESTART_AFTER_MS = 2_000;
const REBUILD_AFTER_MS = 8_000;

/**
 * One RTCPeerConnection and its offers: one at a time, started over when the network changes, made anew when that does
 * not help. Whoever owns it says what is on it, in `prepare`.
 */
export class Peer {
  #pc: RTCPeerConnection | undefined;
  readonly #options: PeerOptions;
  readonly #prepare: (pc: RTCPeerConnection, isNew: boolean) => void;
  readonly #onConnected: () => void;
  readonly #turns = new Turns();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** While there is an offer that the server was not told of. */
  #ready: ReturnType<typeof setTimeout> | undefined;
  #isAgreed = false;
  #isClosed = false;
  #onClose: () => void = () => undefined;
  /** Resolves when it is over. What browsers are doing on a connection that is closed then never ends. */
  readonly closed = new Promise<void>((resolve) => {
    this.#onClose = resolve;
  });

  constructor(
    options: PeerOptions,
    prepare: (pc: RTCPeerConnection, isNew: boolean) => void,
    onConnected: () => void = () => undefined,
  ) {
    this.#options = options;
    this.#prepare = prepare;
    this.#onConnected = onConnected;
  }

  get pc(): RTCPeerConnection | undefined {
    return this.#pc;
  }

  /** Whether the server knows of the connection. */
  get isAgreed(): boolean {
    return this.#isAgreed;
  }

  /** Makes a connection and an offer of what `prepare` puts on it, of which the server is told when there is a use for it. */
  makeReady(prepare: (pc: RTCPeerConnection) => void): Promise<void> {
    return this.#turns.take(() => Promise.race([this.#makeReady(prepare), this.closed]));
  }

  async #makeReady(prepare: (pc: RTCPeerConnection) => void): Promise<void> {
    if (this.#isClosed || this.#pc) return;
    const pc = await this.#make();
    if (!pc) return;
    try {
      prepare(pc);
      await propose(pc, await pc.createOffer());
    } catch (error) {
      if (this.#pc === pc) this.#drop();
      throw error;
    }
    if (this.#pc === pc) this.#ready = setTimeout(() => this.#drop(), PASSWORDS_HOLD_MS);
  }

  /** What was made ready is of no use any more. */
  letGo(): void {
    if (this.#ready !== undefined) this.#drop();
  }

  /** Agrees with the server on what `prepare` puts on the connection; calls come one after the other. */
  negotiate(how: { iceRestart?: boolean; anew?: boolean } = {}): Promise<void> {
    return this.#turns.take(() => Promise.race([this.#negotiate(how), this.closed]));
  }

  /** Resolves when what was asked for before is done. */
  settled(): Promise<void> {
    return this.#turns.settled();
  }

  async #negotiate({ iceRestart = false, anew = false }): Promise<void> {
    if (this.#isClosed) return;
    if (anew) this.#drop();
    const isReady = this.#ready !== undefined;
    clearTimeout(this.#ready);
    this.#ready = undefined;
    const isNew = !this.#pc;
    const pc = this.#pc ?? (await this.#make());
    if (!pc) return;
    try {
      const places = pc.getTransceivers().length;
      this.#prepare(pc, isNew);
      const now = pc.getTransceivers().length;
      if (now === 0) return;
      let offer: RTCSessionDescriptionInit | undefined;
      if (!isReady || now !== places) {
        if (isReady) await pc.setLocalDescription({ type: 'rollback' });
        offer = await pc.createOffer({ iceRestart });
        await propose(pc, offer);
      }
      const answer = await this.#options.exchange(slim(pc.localDescription?.sdp ?? offer?.sdp ?? ''));
      if (this.#pc !== pc) return;
      await pc.setRemoteDescription({ type: 'answer', sdp: inFull(answer) });
      this.#isAgreed = true;
    } catch (error) {
      if (this.#pc === pc && !this.#isAgreed) this.#drop();
      else if (this.#pc === pc && pc.signalingState === 'have-local-offer') {
        await pc.setLocalDescription({ type: 'rollback' });
      }
      throw error;
    }
  }

  async #make(): Promise<RTCPeerConnection | undefined> {
    const policy = this.#options.iceTransportPolicy();
    const pc = new RTCPeerConnection({
      iceServers: await this.#options.iceServers(),
      bundlePolicy: 'max-bundle',
      ...(policy ? { iceTransportPolicy: policy } : {}),
      ...this.#options.encryption?.configuration,
    });
    if (this.#isClosed) {
      pc.close();
      return undefined;
    }
    this.#pc = pc;
    this.#watch(pc);
    return pc;
  }

  #watch(pc: RTCPeerConnection): void {
    pc.onconnectionstatechange = () => {
      if (this.#pc !== pc) return;
      log.debug('media connection', pc.connectionState);
      clearTimeout(this.#timer);
      switch (pc.connectionState) {
        case 'connected':
          this.#onConnected();
          break;
        case 'disconnected':
          this.#timer = setTimeout(() => this.#heal({ iceRestart: true }), RESTART_AFTER_MS);
          break;
        case 'failed':
          this.#heal({ iceRestart: true });
          break;
      }
    };
  }

  #heal(how: { iceRestart?: boolean; anew?: boolean }): void {
    if (this.#isClosed) return;
    const pc = this.#pc;
    this.negotiate(how)
      .catch((error: unknown) => log.info('the media connection could not be healed yet', error))
      .then(() => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => {
          if (this.#isClosed || (this.#pc === pc && pc?.connectionState === 'connected')) return;
          if (this.#pc?.connectionState !== 'connected') this.#heal({ anew: true });
        }, REBUILD_AFTER_MS);
      });
  }

  #drop(): void {
    const pc = this.#pc;
    this.#pc = undefined;
    this.#isAgreed = false;
    clearTimeout(this.#ready);
    this.#ready = undefined;
    if (!pc) return;
    pc.onconnectionstatechange = null;
    pc.ontrack = null;
    pc.close();
  }

  close(): void {
    this.#isClosed = true;
    this.#onClose();
    clearTimeout(this.#timer);
    this.#drop();
  }
}

/** Takes up an offer that lets missing sound be asked for, or as it is where a browser takes no other. */
async function propose(pc: RTCPeerConnection, offer: RTCSessionDescriptionInit): Promise<void> {
  const sdp = withTwoChannels(withSoundAgain(offer.sdp ?? ''));
  if (sdp !== offer.sdp) {
    try {
      await pc.setLocalDescription({ type: 'offer', sdp });
      return;
    } catch (error) {
      log.info('missing sound will not be asked for', error);
    }
  }
  await pc.setLocalDescription(offer);
}

/** An offer that lets missing sound be asked for (RFC 4585 4.2): browsers know how, and do not offer it by themselves. */
export function withSoundAgain(sdp: string): string {
  const sections = sdp.split(/(?=^m=)/m).map((section) =>
    section.replace(/^a=rtpmap:(\d+) opus\/48000\/2\r\n/im, (line, type: string) =>
      section.includes(`a=rtcp-fb:${type} nack\r\n`) ? line : `${line}a=rtcp-fb:${type} nack\r\n`,
    ),
  );
  return sections.join('');
}

/** An offer whose receivers play two channels where two come (RFC 7587 7.1): browsers know how, and fold them into one by themselves. */
export function withTwoChannels(sdp: string): string {
  const sections = sdp.split(/(?=^m=)/m).map((section) => {
    const type = /^a=rtpmap:(\d+) opus\/48000\/2\r\n/im.exec(section)?.[1];
    if (type === undefined || !section.includes('a=recvonly\r\n')) return section;
    return section.replace(new RegExp(`^a=fmtp:${type} (?!.*stereo=)`, 'm'), `a=fmtp:${type} stereo=1;`);
  });
  return sections.join('');
}

/**
 * An answer to which browsers name the path they take in their first check. To who makes no checks of its own (ICE-lite, RFC 8445 2.5)
 * Chromium names it in the next one, 48 ms later, and all else waits for that; for checks of the server's it does not wait.
 */
export function inFull(sdp: string): string {
  return sdp.replace(/^a=ice-lite\r\n/m, '');
}

/** What the server knows of header extensions; the others only make offers long. */
const EXTENSIONS = /:(mid|rtp-stream-id|repaired-rtp-stream-id|ssrc-audio-level|video-orientation)$|transport-wide-cc|abs-send-time|dependency-descriptor/;

/** An offer without what the server leaves out of its answer anyway: a frame has room for 64 KiB. */
export function slim(sdp: string): string {
  const isKept = (line: string) => {
    if (line.startsWith('a=extmap:')) return EXTENSIONS.test(line.split(' ')[1] ?? '');
    return !line.startsWith('a=candidate:') && line !== 'a=rtcp:9 IN IP4 0.0.0.0';
  };
  return sdp.split('\r\n').filter(isKept).join('\r\n');
}
