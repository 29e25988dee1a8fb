import type { StreamType } from '../api.js';
import { in4 } from './errors.js';
import { Stream } from './stream.js';
import type { PlaybackOptions } from './types.js';

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

  // What comes is switched off for oneself: its publisher goes on, and so do those who watch it.

  muteAudio(): boolean {
    return enable(this.getAudioTrack(), false);
  }

  unmuteAudio(): boolean {
    return enable(this.getAudioTrack(), true);
  }

  muteVideo(): boolean {
    return enable(this.getVideoTrack(), false);
  }

  unmuteVideo(): boolean {
    return enable(this.getVideoTrack(), true);
  }

  async play(view: string | HTMLElement, options: PlaybackOptions = {}): Promise<void> {
    await in4(async () => {
      this.place(view, options, { objectFit: this.#kind === 'main' ? 'cover' : 'contain', mirror: false });
      if (options.muted !== undefined) this.isMuted = options.muted;
      this.#sizes ??= new ResizeObserver(() => this.#source.resize(this, this.video.shownHeight));
      if (this.frame) this.#sizes.observe(this.frame);
      this.refresh();
    });
  }

  /** Plays what has come meanwhile, where it is shown. */
  refresh(): void {
    if (!this.isShown) return;
    const [audio, video] = [this.getAudioTrack(), this.getVideoTrack()];
    if (audio) this.audio.play(audio);
    if (video) this.showPicture(video);
  }

  override stop(): void {
    super.stop();
    this.#sizes?.disconnect();
    this.#sizes = undefined;
  }

  /** It is there no more: what played of it has stopped. */
  end(): void {
    this.video.stop();
    this.audio.stop();
    this.stop();
  }
}

function enable(track: MediaStreamTrack | null, isEnabled: boolean): boolean {
  if (track) track.enabled = isEnabled;
  return track !== null;
}
