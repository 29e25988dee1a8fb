import { Autoplay } from '../autoplay.js';
import { Emitter } from '../emitter.js';
import type { PlayerState } from '../playing.js';
import { steady } from '../steady.js';
import { AudioPlayer, VideoPlayer, elements } from '../views.js';
import { ErrorCode, RtcError4, in4, requireKinds, wrong } from './errors.js';
import type { ConnectionState, PlaybackOptions, StreamEventMap, Told } from './types.js';

export type StreamEvents = Told<StreamEventMap>;

const PLAYBACK = { objectFit: ['contain', 'cover', 'fill', 'none', 'scale-down'], muted: 'boolean', mirror: 'boolean' } as const;

let lastId = 0;

/** What streams of one's own and of others have in common: they are shown and heard where the page says. */
export abstract class Stream extends Emitter<StreamEvents> {
  readonly #id = `stream-${(lastId += 1)}`;
  protected readonly userId: string;
  protected readonly video: VideoPlayer;
  protected readonly audio: AudioPlayer;
  protected isShown = false;
  protected frame: HTMLDivElement | undefined;
  #look: { fillMode: 'contain' | 'cover' | 'fill'; mirror: boolean } = { fillMode: 'cover', mirror: false };
  #volume = 1;
  #isMuted = false;
  #connection: ConnectionState = 'DISCONNECTED';
  readonly #waiting = new Set<() => Promise<void>>();
  readonly #autoplay = new Autoplay();
  /** Set by the client: whether a person is asked for the click that the browser wants. */
  asksForClick = true;

  constructor(userId: string) {
    super();
    this.userId = userId;
    const onAutoplayFailed = (resume: () => Promise<void>): void => {
      this.#waiting.add(resume);
      this.#autoplay.wait(resume, this.asksForClick);
      this.emit('error', new RtcError4(ErrorCode.PLAY_NOT_ALLOWED, 'the browser wants a click before it plays sound: call resume() in its handler'));
    };
    // What the page itself stops, it is not told of.
    const onState = (type: 'audio' | 'video') => (state: PlayerState, reason: string) => {
      if (this.isShown) this.emit('player-state-changed', { type, state, reason: reason as 'playing' });
    };
    this.video = new VideoPlayer({ isMeasured: true, onState: onState('video'), onAutoplayFailed });
    this.audio = new AudioPlayer({ onState: onState('audio'), onAutoplayFailed });
    steady(this);
  }

  getId(): string {
    return this.#id;
  }

  getUserId(): string {
    return this.userId;
  }

  // As pages read them that know the original from inside.

  get userId_(): string {
    return this.userId;
  }

  get videoPlayer_(): { element_: HTMLVideoElement | undefined } {
    return { element_: this.video.element };
  }

  abstract getAudioTrack(): MediaStreamTrack | null;
  abstract getVideoTrack(): MediaStreamTrack | null;
  abstract hasAudio(): boolean;
  abstract hasVideo(): boolean;
  abstract getAudioLevel(): number;
  abstract play(view: string | HTMLElement, options?: PlaybackOptions): Promise<void>;
  abstract muteAudio(): boolean;
  abstract unmuteAudio(): boolean;
  abstract muteVideo(): boolean;
  abstract unmuteVideo(): boolean;

  /** The picture as it is, as a data URL. */
  getVideoFrame(): string | null {
    const { element } = this.video;
    if (!element || element.videoWidth === 0) return null;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [element.videoWidth, element.videoHeight];
    canvas.getContext('2d')?.drawImage(element, 0, 0);
    return canvas.toDataURL('image/png');
  }

  /** Plays what was refused without a click. */
  async resume(): Promise<void> {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    this.#autoplay.close();
    await Promise.all(waiting.map((resume) => resume()));
    await this.video.setPaused(false);
  }

  stop(): void {
    this.isShown = false;
    this.#waiting.clear();
    this.#autoplay.close();
    this.video.stop();
    this.audio.stop();
    this.frame?.remove();
    this.frame = undefined;
  }

  close(): void {
    this.stop();
  }

  /** From 0 to 1, and above where it is to be louder than it is. */
  setAudioVolume(volume: number): void {
    if (typeof volume !== 'number' || Number.isNaN(volume)) throw wrong('volume must be a number');
    this.#volume = volume;
    this.#setVolume();
  }

  async setAudioOutput(deviceId: string): Promise<void> {
    if (typeof deviceId !== 'string') throw wrong('setAudioOutput: deviceId must be a string');
    await in4(() => this.audio.setSpeaker(deviceId));
  }

  protected set isMuted(isMuted: boolean) {
    this.#isMuted = isMuted;
    this.#setVolume();
  }

  #setVolume(): void {
    this.audio.volume = this.#isMuted ? 0 : this.#volume * 100;
  }

  get isConnected(): boolean {
    return this.#connection !== 'DISCONNECTED';
  }

  /** The client says how it gets through. */
  connect(state: ConnectionState): void {
    const prevState = this.#connection;
    if (prevState === state) return;
    this.#connection = state;
    this.emit('connection-state-changed', { prevState, state });
  }

  /** Makes a place for it. Pages put things over a picture: they find it by its name, `player_` and the stream's id. */
  protected place(view: string | HTMLElement, options: PlaybackOptions, usual: { objectFit: 'contain' | 'cover'; mirror: boolean }): void {
    const [place] = view ? elements(view) : [];
    if (!place || Array.isArray(view)) throw wrong('play: elementId must be an element, or the id of one that is on the page');
    if (typeof options !== 'object' || options === null) throw wrong('play: options must be an object');
    requireKinds('play', options, PLAYBACK);
    const { objectFit = usual.objectFit, mirror = usual.mirror } = options;
    const frame = (this.frame ??= document.createElement('div'));
    frame.id = `player_${this.#id}`;
    Object.assign(frame.style, { position: 'relative', width: '100%', height: '100%', overflow: 'hidden', background: '#000' });
    if (frame.parentNode !== place) place.append(frame);
    this.#look = { fillMode: objectFit as 'cover', mirror };
    this.isShown = true;
  }

  /** Shows a picture in that place; without one there is none. */
  protected showPicture(track: MediaStreamTrack | null): void {
    if (!track || !this.frame) return this.video.stop();
    this.video.show(this.frame, this.#look);
    this.video.play(track);
  }
}
