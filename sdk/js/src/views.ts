import { RtcError, ERROR_CODE } from './errors.js';

/** Where a video is shown: an element or its id, several, or nowhere. */
export type View = string | HTMLElement | HTMLElement[] | null | undefined;

export interface ViewOptions {
  fillMode?: 'contain' | 'cover' | 'fill' | undefined;
  mirror?: boolean | undefined;
}

export interface PlayerListener {
  onState(state: 'PLAYING' | 'PAUSED' | 'STOPPED', reason: string): void;
  onFirstFrame(width: number, height: number): void;
  onAutoplayFailed(resume: () => Promise<void>): void;
}

function elements(view: View): HTMLElement[] {
  if (view == null) return [];
  if (Array.isArray(view)) return view;
  if (typeof view !== 'string') return [view];
  const found = document.getElementById(view);
  if (found) return [found];
  const message = `there is no element with id ${JSON.stringify(view)} on the page`;
  throw new RtcError({ code: ERROR_CODE.INVALID_PARAMETER, message });
}

/** A video, shown in any number of elements of the page. */
export class VideoPlayer {
  readonly #listener: PlayerListener;
  #track: MediaStreamTrack | undefined;
  #players = new Map<HTMLElement, HTMLVideoElement>();
  #hasShown = false;
  #options: ViewOptions = {};

  constructor(listener: PlayerListener) {
    this.#listener = listener;
  }

  get containers(): HTMLElement[] {
    return [...this.#players.keys()];
  }

  /** The largest height it is shown at, in device pixels; 0 when it is not shown, or nobody knows. */
  get shownHeight(): number {
    const heights = this.containers.map((container) => container.clientHeight * (globalThis.devicePixelRatio || 1));
    return Math.max(0, ...heights);
  }

  /** A video element that plays it, for a snapshot. */
  get element(): HTMLVideoElement | undefined {
    return [...this.#players.values()][0];
  }

  show(view: View, options: ViewOptions): void {
    this.#options = { ...this.#options, ...options };
    if (view !== undefined) {
      const wanted = new Set(elements(view));
      for (const [container, player] of this.#players) {
        if (wanted.has(container)) continue;
        player.srcObject = null;
        player.remove();
        this.#players.delete(container);
      }
      for (const container of wanted) {
        if (!this.#players.has(container)) this.#players.set(container, this.#make(container));
      }
    }
    for (const player of this.#players.values()) this.#style(player);
  }

  play(track: MediaStreamTrack): void {
    if (this.#track === track) return;
    this.#track = track;
    this.#hasShown = false;
    for (const player of this.#players.values()) this.#start(player);
  }

  stop(): void {
    this.#track = undefined;
    for (const player of this.#players.values()) {
      player.srcObject = null;
      player.remove();
    }
    this.#players.clear();
    this.#listener.onState('STOPPED', 'stopped');
  }

  #make(container: HTMLElement): HTMLVideoElement {
    const player = document.createElement('video');
    // Sound has players of its own, so a picture may always begin by itself.
    player.muted = true;
    player.autoplay = true;
    player.playsInline = true;
    player.addEventListener('playing', () => this.#listener.onState('PLAYING', 'playing'));
    player.addEventListener('pause', () => this.#listener.onState('PAUSED', 'pause'));
    const first = () => {
      if (this.#hasShown || player.videoWidth === 0) return;
      this.#hasShown = true;
      this.#listener.onFirstFrame(player.videoWidth, player.videoHeight);
    };
    player.addEventListener('loadeddata', first);
    player.addEventListener('resize', first);
    this.#style(player);
    container.append(player);
    this.#start(player);
    return player;
  }

  #style(player: HTMLVideoElement): void {
    const { fillMode = 'cover', mirror = false } = this.#options;
    player.style.width = '100%';
    player.style.height = '100%';
    player.style.objectFit = fillMode;
    player.style.transform = mirror ? 'scaleX(-1)' : '';
  }

  #start(player: HTMLVideoElement): void {
    if (!this.#track) return;
    player.srcObject = new MediaStream([this.#track]);
    play(player, () => this.#listener.onAutoplayFailed(() => player.play()));
  }
}

/** The sound of one member. */
export class AudioPlayer {
  readonly #player = document.createElement('audio');
  readonly #listener: PlayerListener;

  constructor(listener: PlayerListener) {
    this.#listener = listener;
    this.#player.autoplay = true;
    this.#player.addEventListener('playing', () => listener.onState('PLAYING', 'playing'));
    this.#player.addEventListener('pause', () => listener.onState('PAUSED', 'pause'));
  }

  play(track: MediaStreamTrack): void {
    const current = this.#player.srcObject;
    if (current instanceof MediaStream && current.getAudioTracks()[0] === track) return;
    this.#player.srcObject = new MediaStream([track]);
    play(this.#player, () => this.#listener.onAutoplayFailed(() => this.#player.play()));
  }

  set volume(percent: number) {
    this.#player.volume = Math.min(1, Math.max(0, percent / 100));
  }

  async setSpeaker(id: string): Promise<void> {
    if ('setSinkId' in this.#player) await this.#player.setSinkId(id);
  }

  stop(): void {
    this.#player.srcObject = null;
    this.#listener.onState('STOPPED', 'stopped');
  }
}

function play(player: HTMLMediaElement, onRefused: () => void): void {
  player.play().catch((error: unknown) => {
    // Another source took over, which is no failure; the browser's wish for a click first is.
    if (error instanceof DOMException && error.name === 'NotAllowedError') onRefused();
  });
}
