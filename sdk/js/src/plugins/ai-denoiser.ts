import { RnnoiseWorkletNode, loadRnnoise } from '@sapphi-red/web-noise-suppressor';
import type { Core, Plugin } from '../plugin.js';

export interface AIDenoiserOptions {
  sdkAppId?: number;
  userId?: string;
  userSig?: string;
  assetsPath?: string;
  /** 0: noise from voices; 1, distant voices from near ones, is refused. */
  mode?: number;
}

export interface UpdateDenoiserOptions {
  mode: number;
}

/** A mode of the cloud's. */
const FAR_FIELD_REDUCTION = 1;

const LICENCE = { noted: 'there is no licence to be shown' } as const;
const RULES = {
  sdkAppId: LICENCE,
  userId: LICENCE,
  userSig: LICENCE,
  assetsPath: { noted: 'its files come from the server of the room' },
  mode: { refused: 'distant voices are not told from noise here, only noise from voices', only: FAR_FIELD_REDUCTION },
} as const;

/** What RNNoise works at. */
const SAMPLE_RATE = 48_000;

/** Takes the noise off the microphone's sound: RNNoise, in the browser's thread for sound. */
export class AIDenoiser implements Plugin {
  static readonly Name = 'AIDenoiser';
  readonly #core: Core;
  #context: AudioContext | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  static isSupported(): boolean {
    return typeof AudioWorkletNode !== 'undefined' && typeof WebAssembly !== 'undefined';
  }

  async start(options: AIDenoiserOptions = {}): Promise<void> {
    const core = this.#core;
    core.check('startPlugin', options, RULES);
    const context = new AudioContext({ sampleRate: SAMPLE_RATE });
    const file = (name: string) => core.file(`ai-denoiser/${name}`);
    let wasmBinary: ArrayBuffer;
    try {
      const [wasm] = await Promise.all([
        loadRnnoise({ url: file('rnnoise.wasm'), simdUrl: file('rnnoise_simd.wasm') }),
        context.audioWorklet.addModule(file('rnnoise.worklet.js')),
      ]);
      wasmBinary = wasm;
    } catch (error) {
      void context.close();
      throw core.aborted('startPlugin', `AIDenoiser could not be loaded from ${file('')}: ${String(error)}`);
    }
    void context.resume();
    const node = new RnnoiseWorkletNode(context, { wasmBinary, maxChannels: 2 });
    const out = context.createMediaStreamDestination();
    node.connect(out);
    let current: { track: MediaStreamTrack; source: MediaStreamAudioSourceNode } | undefined;
    this.#context = context;
    await core.setFilter({
      apply(track) {
        if (current?.track !== track) {
          current?.source.disconnect();
          const source = context.createMediaStreamSource(new MediaStream([track]));
          source.connect(node);
          current = { track, source };
        }
        return out.stream.getAudioTracks()[0] as MediaStreamTrack;
      },
    });
  }

  /** Only what cannot be had is to be chosen, so there is nothing to be changed. */
  update(options: UpdateDenoiserOptions): void {
    this.#core.check('updatePlugin', options, RULES);
  }

  async stop(): Promise<void> {
    await this.#core.setFilter(undefined);
    void this.#context?.close();
    this.#context = undefined;
  }
}

export default AIDenoiser;
