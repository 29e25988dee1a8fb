import type { StreamType } from '../api.js';
import { in4 } from './errors.js';
import { type PlayOptions, Stream } from './stream.js';

/** What a remote stream takes of its client. */
export interface Source {
  track(userId: string, kind: 'audio' | StreamType): MediaStreamTrack | null;
  level(userId: string): number;
  /** How large it is shown decides which layer comes. */
  resize(stream: RemoteStream, height: number): void;
}

/** What another sends: a microphone with a camera, or a screen. */
export class RemoteStream extends Stream {
  readonly #source: Source;
  readonly #kind: StreamType;
  /** What the publisher sends, and whether it is off for the moment. */
  readonly sent = new Map<'audio' | 'video', { isMuted: boolean }>();
  readonly subscribed = { audio: false, video: false };
  isSmall = false;
  #sizes: ResizeObserver | undefined;

  constructor(userId: string, kind: StreamType, source: Source) {
    super(userId);
    this.#kind = kind;
    this.#source = source;
  }

  getType(): 'main' | 'auxiliary' {
    return this.#kind === 'main' ? 'main' : 'auxiliary';
  }

  get shownHeight(): number {
    return this.video.shownHeight;
  }

  get kind(): StreamType {
    return this.#kind;
  }

  hasAudio(): boolean {
    return this.sent.has('audio');
  }

  hasVideo(): boolean {
    return this.sent.has('video');
  }

  getAudioTrack(): MediaStreamTrack | null {
    return this.#kind === 'main' && this.subscribed.audio ? this.#source.track(this.userId, 'audio') : null;
  }

  getVideoTrack(): MediaStreamTrack | null {
    return this.subscribed.video ? this.#source.track(this.userId, this.#kind) : null;
  }

  getAudioLevel(): number {
    return this.#source.level(this.userId);
  }

  async play(view: string | HTMLElement, options: PlayOptions = {}): Promise<void> {
    await in4(() => {
      this.show(view, { objectFit: this.#kind === 'main' ? 'cover' : 'contain', ...options });
      if (options.muted) this.setAudioVolume(0);
      this.#sizes?.disconnect();
      this.#sizes = new ResizeObserver(() => this.#source.resize(this, this.video.shownHeight));
      this.video.containers.forEach((container) => this.#sizes?.observe(container));
      this.refresh();
      return Promise.resolve();
    });
  }

  /** Plays what has come meanwhile, where it is shown. */
  refresh(): void {
    if (!this.isShown) return;
    const [audio, video] = [this.getAudioTrack(), this.getVideoTrack()];
    if (audio) this.audio.play(audio);
    if (video) this.video.play(video);
  }

  override stop(): void {
    super.stop();
    this.#sizes?.disconnect();
  }
}
