import { invalid } from './errors.js';
import { type PlayerState, Playing } from './playing.js';
import { followPictures } from './stalls.js';

/** Where a video is shown: an element or its id, several, or nowhere. */
export type View = string | HTMLElement | HTMLElement[] | null | undefined;

export interface ViewOptions {
  fillMode?: 'contain' | 'cover' | 'fill' | undefined;
  mirror?: boolean | undefined;
  poster?: string | undefined;
}

export interface PlayerListener {
  onState(state: PlayerState, reason: string): void;
  onFirstFrame?(width: number, height: number): void;
  onSize?(width: number, height: number): void;
  onAutoplayFailed(resume: () => Promise<void>): void;
  /** It has its own window now, or no more. */
  onPictureInPicture?(itsWindow: PictureInPictureWindow | undefined): void;
  onFullScreen?(isFull: boolean): void;
  /** Whether it is seen to for how long its pictures stand still. */
  isMeasured?: boolean;
}

function nowhere(): never {
  throw invalid('', 'the video is not shown anywhere: give it a view', 5001);
}

/** The elements of a view; fails where one is named that is not on the page, and of what is no element. */
export function elements(view: View, functionName = ''): HTMLElement[] {
  if (view == null) return [];
  // By what it is, and not by its class: frames have classes of their own.
  if (typeof view !== 'string') {
    const all = [view].flat();
    if (all.every((one) => one?.nodeType === 1)) return all;
    throw invalid(functionName, 'view must be an element, its id, or a list of elements', Array.isArray(view) ? 5004 : 5002);
  }
  const found = document.getElementById(view);
  if (found) return [found];
  throw invalid(functionName, `there is no element with id ${JSON.stringify(view)} on the page`, 5009);
}

/** A video, shown in any number of elements of the page. */
export class VideoPlayer {
  readonly #listener: PlayerListener;
  readonly #playing: Playing;
  #track: MediaStreamTrack | undefined;
  #players = new Map<HTMLElement, HTMLVideoElement>();
  #hasShown = false;
  #size = '';
  #options: ViewOptions = {};

  constructor(listener: PlayerListener) {
    this.#listener = listener;
    this.#playing = new Playing((state, reason) => listener.onState(state, reason));
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
        this.#players.delete(container);
        player.srcObject = null;
        player.remove();
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
    this.#playing.follow(track);
    for (const player of this.#players.values()) this.#start(player);
  }

  /** Into a window of its own, or back. */
  async setPictureInPicture(isWanted: boolean): Promise<void> {
    const { element } = this;
    if (isWanted) await (element ?? nowhere()).requestPictureInPicture();
    else if (element && document.pictureInPictureElement === element) await document.exitPictureInPicture();
  }

  async setPaused(isPaused: boolean): Promise<void> {
    for (const player of this.#players.values()) {
      if (isPaused) player.pause();
      else await player.play();
    }
  }

  async setFullScreen(isWanted: boolean): Promise<void> {
    const { element } = this;
    if (isWanted) await (element ?? nowhere()).requestFullscreen();
    else if (element && document.fullscreenElement === element) await document.exitFullscreen();
  }

  stop(): void {
    this.#track = undefined;
    const players = [...this.#players.values()];
    this.#players.clear();
    for (const player of players) {
      player.srcObject = null;
      player.remove();
    }
    this.#playing.end();
  }

  #make(container: HTMLElement): HTMLVideoElement {
    const player = document.createElement('video');
    // Sound has players of its own, so a picture may always begin by itself.
    player.muted = true;
    player.autoplay = true;
    player.playsInline = true;
    const isShown = () => this.#players.get(container) === player;
    player.addEventListener('playing', () => isShown() && this.#playing.set('PLAYING', 'playing'));
    player.addEventListener('pause', () => isShown() && this.#playing.set('PAUSED', 'pause'));
    const look = () => {
      const { videoWidth, videoHeight } = player;
      if (videoWidth === 0 || !isShown()) return;
      if (!this.#hasShown) this.#listener.onFirstFrame?.(videoWidth, videoHeight);
      this.#hasShown = true;
      const size = `${videoWidth}x${videoHeight}`;
      if (size !== this.#size) this.#listener.onSize?.(videoWidth, videoHeight);
      this.#size = size;
    };
    player.addEventListener('enterpictureinpicture', (event) => this.#listener.onPictureInPicture?.((event as PictureInPictureEvent).pictureInPictureWindow));
    player.addEventListener('leavepictureinpicture', () => this.#listener.onPictureInPicture?.(undefined));
    player.addEventListener('fullscreenchange', () => this.#listener.onFullScreen?.(document.fullscreenElement === player));
    player.addEventListener('loadeddata', look);
    player.addEventListener('resize', look);
    this.#style(player);
    container.append(player);
    this.#start(player);
    return player;
  }

  #style(player: HTMLVideoElement): void {
    const { fillMode = 'cover', mirror = false, poster = '' } = this.#options;
    if (player.poster !== poster) player.poster = poster;
    player.style.width = '100%';
    player.style.height = '100%';
    player.style.objectFit = fillMode;
    player.style.transform = mirror ? 'scaleX(-1)' : '';
  }

  #start(player: HTMLVideoElement): void {
    if (!this.#track) return;
    player.srcObject = new MediaStream([this.#track]);
    if (this.#listener.isMeasured) followPictures(player, this.#track);
    play(player, () => this.#listener.onAutoplayFailed(() => player.play()));
  }
}

/** The sound of one member. */
export class AudioPlayer {
  readonly #player = document.createElement('audio');
  readonly #listener: PlayerListener;
  readonly #playing: Playing;
  #percent = 100;
  #louder: { context: AudioContext; source: MediaStreamAudioSourceNode } | undefined;
  #speaker = '';

  constructor(listener: PlayerListener) {
    this.#listener = listener;
    this.#playing = new Playing((state, reason) => listener.onState(state, reason));
    this.#player.autoplay = true;
    const isOn = () => this.#player.srcObject !== null;
    this.#player.addEventListener('playing', () => isOn() && this.#playing.set('PLAYING', 'playing'));
    this.#player.addEventListener('pause', () => isOn() && this.#playing.set('PAUSED', 'pause'));
  }

  play(track: MediaStreamTrack): void {
    const current = this.#player.srcObject;
    if (current instanceof MediaStream && current.getAudioTracks()[0] === track) return;
    this.#playing.follow(track);
    this.#player.srcObject = new MediaStream([track]);
    this.#amplify();
    play(this.#player, () => this.#listener.onAutoplayFailed(() => this.#player.play()));
  }

  /** In percent: above 100, what comes is made louder than it is. */
  set volume(percent: number) {
    this.#percent = percent;
    this.#player.volume = Math.min(1, Math.max(0, percent / 100));
    this.#amplify();
  }

  /** Elements go up to 100; beyond, they are silent, and a gain plays in their place. */
  #amplify(): void {
    const stream = this.#player.srcObject;
    this.#louder?.source.disconnect();
    const isLouder = this.#percent > 100 && stream instanceof MediaStream;
    this.#player.muted = isLouder;
    if (!isLouder) {
      void this.#louder?.context.close();
      this.#louder = undefined;
      return;
    }
    const context = this.#louder?.context ?? new AudioContext();
    const source = context.createMediaStreamSource(stream);
    const gain = context.createGain();
    gain.gain.value = this.#percent / 100;
    source.connect(gain).connect(context.destination);
    this.#louder = { context, source };
    if (this.#speaker) void setSink(context, this.#speaker);
  }

  async setSpeaker(id: string): Promise<void> {
    this.#speaker = id;
    await setSink(this.#player, id);
    if (this.#louder) await setSink(this.#louder.context, id);
  }

  stop(): void {
    this.#player.srcObject = null;
    this.#amplify();
    this.#playing.end();
  }
}

/** Where the browser can choose a speaker at all. */
async function setSink(of: HTMLMediaElement | AudioContext, id: string): Promise<void> {
  await (of as { setSinkId?(id: string): Promise<void> }).setSinkId?.(id);
}

function play(player: HTMLMediaElement, onRefused: () => void): void {
  player.play().catch((error: unknown) => {
    // Another source took over, which is no failure; the browser's wish for a click first is.
    if (error instanceof DOMException && error.name === 'NotAllowedError') onRefused();
  });
}
