import type { Core, Plugin } from '../plugin.js';

export interface AudioMixerOptions {
  /** Tells it apart from others that play at the same time. */
  id: string;
  /** The address of a sound that the page may read (CORS). */
  url?: string;
  /** Instead of an address. */
  track?: MediaStreamTrack;
  loop?: boolean;
  /** From 0 to 1. */
  volume?: number;
  playbackRate?: number;
  onTimeUpdate?: (seconds: number) => void;
  onDurationChange?: (seconds: number) => void;
  onEnded?: () => void;
}

export interface UpdateAudioMixerOptions extends Omit<AudioMixerOptions, 'url' | 'track'> {
  /** Seconds. */
  seekFrom?: number;
  operation?: 'pause' | 'resume' | 'stop';
}

export interface StopAudioMixerOptions {
  /** `*` for all. */
  id: string;
}

const COMMON = {
  id: ['string'],
  loop: ['boolean'],
  volume: { from: 0, to: 1 },
  playbackRate: { from: 0.0625, to: 16 },
  onTimeUpdate: ['function'],
  onDurationChange: ['function'],
  onEnded: ['function'],
} as const;
const START = { ...COMMON, url: ['string'], track: { like: 'MediaStreamTrack' } } as const;
const UPDATE = { ...COMMON, seekFrom: { from: 0, to: Infinity }, operation: { oneOf: ['pause', 'resume', 'stop'] } } as const;

/** One sound, which is heard here and sent. */
class Music {
  readonly #player = new Audio();
  readonly #context = new AudioContext();
  readonly #out = this.#context.createMediaStreamDestination();
  readonly #gain = this.#context.createGain();
  #listener: Pick<AudioMixerOptions, 'onTimeUpdate' | 'onDurationChange' | 'onEnded'> = {};

  constructor({ url, track }: AudioMixerOptions) {
    this.#gain.connect(this.#out);
    this.#gain.connect(this.#context.destination);
    const player = this.#player;
    if (track) {
      this.#context.createMediaStreamSource(new MediaStream([track])).connect(this.#gain);
    } else {
      player.crossOrigin = 'anonymous';
      player.src = url ?? '';
      this.#context.createMediaElementSource(player).connect(this.#gain);
    }
    player.addEventListener('timeupdate', () => this.#listener.onTimeUpdate?.(player.currentTime));
    player.addEventListener('durationchange', () => this.#listener.onDurationChange?.(player.duration));
    player.addEventListener('ended', () => this.#listener.onEnded?.());
  }

  get track(): MediaStreamTrack {
    return this.#out.stream.getAudioTracks()[0] as MediaStreamTrack;
  }

  async play(): Promise<void> {
    // Without a click by the person, browsers let it wait for ever rather than to refuse it.
    if (this.#context.state !== 'running') void this.#context.resume();
    if (this.#player.src) await this.#player.play();
  }

  set({ loop, volume, playbackRate, onTimeUpdate, onDurationChange, onEnded }: UpdateAudioMixerOptions): void {
    if (loop !== undefined) this.#player.loop = loop;
    if (volume !== undefined) this.#gain.gain.value = volume;
    if (playbackRate !== undefined) this.#player.playbackRate = playbackRate;
    for (const [name, listener] of Object.entries({ onTimeUpdate, onDurationChange, onEnded })) {
      if (listener) this.#listener = { ...this.#listener, [name]: listener };
    }
  }

  async operate({ operation, seekFrom }: UpdateAudioMixerOptions): Promise<void> {
    if (seekFrom !== undefined) this.#player.currentTime = seekFrom;
    if (operation === 'pause' || operation === 'stop') this.#player.pause();
    if (operation === 'stop') this.#player.currentTime = 0;
    if (operation === 'resume') await this.play();
  }

  close(): void {
    this.#player.pause();
    this.#player.removeAttribute('src');
    void this.#context.close();
  }
}

/** Music beside the microphone: it is heard here, and by the others. */
export class AudioMixer implements Plugin {
  static readonly Name = 'AudioMixer';
  readonly #core: Core;
  readonly #playing = new Map<string, Music>();

  constructor(core: Core) {
    this.#core = core;
  }

  getGroup(options?: { id?: string }): string | undefined {
    return options?.id;
  }

  async start(options: AudioMixerOptions): Promise<void> {
    const core = this.#core;
    core.require('startPlugin', options, 'id');
    core.check('startPlugin', options, START);
    if (!options.track) core.require('startPlugin', options, 'url');
    const music = new Music(options);
    music.set(options);
    try {
      await music.play();
    } catch (error) {
      const name = error instanceof DOMException ? error.name : '';
      if (name !== 'NotAllowedError') {
        music.close();
        throw core.invalid('startPlugin', `url: no sound that may be mixed could be loaded from ${options.url}`, 5005);
      }
      core.waitForGesture(() => music.play());
    }
    this.#playing.set(options.id, music);
    await core.setSound(soundOf(options.id), music.track);
  }

  async update(options: UpdateAudioMixerOptions): Promise<void> {
    this.#core.check('updatePlugin', options, UPDATE);
    const music = this.#playing.get(options.id);
    music?.set(options);
    await music?.operate(options);
  }

  async stop({ id }: StopAudioMixerOptions): Promise<void> {
    const ids = id === '*' ? [...this.#playing.keys()] : [id];
    for (const one of ids) {
      await this.#core.setSound(soundOf(one), undefined);
      this.#playing.get(one)?.close();
      this.#playing.delete(one);
    }
  }
}

const soundOf = (id: string): string => `music ${id}`;

export default AudioMixer;
