export const PlayerState = { PLAYING: 'PLAYING', PAUSED: 'PAUSED', STOPPED: 'STOPPED' } as const;
export type PlayerState = keyof typeof PlayerState;

/** Tells of a track whether it plays: each change once, with its reason in the words of the cloud's SDK. */
export class Playing {
  readonly #tell: (state: PlayerState, reason: string) => void;
  #state: PlayerState = 'STOPPED';
  #track: MediaStreamTrack | undefined;
  readonly #events = new Map<string, () => void>([
    ['mute', () => this.#state === 'PLAYING' && this.set('PAUSED', 'mute')],
    ['unmute', () => this.#state === 'PAUSED' && this.set('PLAYING', 'unmute')],
    ['ended', () => this.end()],
  ]);

  constructor(tell: (state: PlayerState, reason: string) => void) {
    this.#tell = tell;
  }

  /** What plays from now on: a track that its source mutes has paused. */
  follow(track: MediaStreamTrack | undefined): void {
    for (const [event, listener] of this.#events) {
      this.#track?.removeEventListener?.(event, listener);
      track?.addEventListener?.(event, listener);
    }
    this.#track = track;
  }

  set(state: PlayerState, reason: string): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#tell(state, reason);
  }

  end(): void {
    this.follow(undefined);
    this.set('STOPPED', 'ended');
  }
}
