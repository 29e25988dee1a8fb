import { Emitter } from '../emitter.js';
import type { PlayerState } from '../playing.js';
import { steady } from '../steady.js';
import { AudioPlayer, VideoPlayer } from '../views.js';
import { ErrorCode, RtcError4, wrong } from './errors.js';

export interface StreamEvents {
  'player-state-changed': [{ type: 'audio' | 'video'; state: PlayerState; reason: string }];
  'screen-sharing-stopped': [];
  'connection-state-changed': [{ prevState: string; state: string }];
  'device-auto-recovered': [{ kind: string }];
  error: [RtcError4];
}

export interface PlayOptions {
  objectFit?: 'contain' | 'cover' | 'fill';
  muted?: boolean;
  mirror?: boolean;
}

let lastId = 0;

/** What streams of one's own and of others have in common: they are shown and heard where the page says. */
export abstract class Stream extends Emitter<StreamEvents> {
  readonly #id = `stream-${(lastId += 1)}`;
  protected readonly userId: string;
  protected readonly video: VideoPlayer;
  protected readonly audio: AudioPlayer;
  protected isShown = false;
  #frame: HTMLDivElement | undefined;
  readonly #waiting = new Set<() => Promise<void>>();

  constructor(userId: string) {
    super();
    this.userId = userId;
    const onAutoplayFailed = (resume: () => Promise<void>): void => {
      this.#waiting.add(resume);
      this.emit('error', new RtcError4(ErrorCode.PLAY_NOT_ALLOWED, 'the browser wants a click before it plays sound: call resume() in its handler'));
    };
    const onState = (type: 'audio' | 'video') => (state: PlayerState, reason: string) => this.emit('player-state-changed', { type, state, reason });
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
    await Promise.all(waiting.map((resume) => resume()));
    await this.video.setPaused(false);
  }

  stop(): void {
    this.isShown = false;
    this.video.stop();
    this.audio.stop();
    this.#frame?.remove();
    this.#frame = undefined;
  }

  close(): void {
    this.stop();
  }

  /** From 0 to 1, and above where it is to be louder than it is. */
  setAudioVolume(volume: number): void {
    if (typeof volume !== 'number' || Number.isNaN(volume)) throw wrong('volume must be a number');
    this.audio.volume = volume * 100;
  }

  async setAudioOutput(deviceId: string): Promise<void> {
    await this.audio.setSpeaker(deviceId);
  }

  /** Pages put things over a picture: they find it by its name, `player_` and the stream's id. */
  protected show(view: string | HTMLElement, { objectFit = 'cover', mirror = false }: PlayOptions): void {
    const place = typeof view === 'string' ? document.getElementById(view) : view;
    if (!place) throw new RtcError4(ErrorCode.INVALID_PARAMETER, `there is no element with id ${JSON.stringify(view)} on the page`);
    const frame = (this.#frame ??= document.createElement('div'));
    frame.id = `player_${this.#id}`;
    Object.assign(frame.style, { position: 'relative', width: '100%', height: '100%', overflow: 'hidden', background: '#000' });
    place.append(frame);
    this.video.show(frame, { fillMode: objectFit, mirror });
    this.isShown = true;
  }
}
