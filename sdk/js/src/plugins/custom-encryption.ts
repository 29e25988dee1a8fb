import type { Core, Plugin } from '../plugin.js';

/** All is AES-256-GCM, of sound and pictures alike. */
export interface EncryptionOptions {
  builtinOptions?: { algorithm?: string; secretKey: Uint8Array; salt?: Uint8Array };
  customCryptors?: { encryptor(data: Uint8Array): Uint8Array; decryptor(data: Uint8Array): Uint8Array };
  mode?: string;
  audio?: boolean;
  video?: boolean;
}

const MIN_KEY_BYTES = 16;
const RULES = {
  builtinOptions: ['object'],
  customCryptors: { refused: 'frames are encrypted in a worker, where functions of the page cannot go: give builtinOptions.secretKey' },
  mode: { noted: 'all goes by WebRTC' },
  audio: { refused: 'sound and pictures are encrypted both, or none', only: false },
  video: { refused: 'sound and pictures are encrypted both, or none', only: false },
} as const;

/** `enableEncryption` by the bytes of a key and a salt. */
export class CustomEncryption implements Plugin {
  static readonly Name = 'CustomEncryption';
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  async start(options: EncryptionOptions = {}): Promise<void> {
    const core = this.#core;
    core.check('startPlugin', options, RULES);
    core.require('startPlugin', options, 'builtinOptions');
    const { secretKey, salt, algorithm = 'AES-256-GCM' } = options.builtinOptions ?? {};
    if (!/^aes/i.test(algorithm)) throw core.invalid('startPlugin', `builtinOptions.algorithm: ${algorithm} is not here, all is AES-256-GCM`, 5005);
    // The salt is no secret, so it does not make a short key longer; and the characters of a string are no bytes.
    if (!(secretKey instanceof Uint8Array) || secretKey.length < MIN_KEY_BYTES) {
      throw core.invalid('startPlugin', `builtinOptions.secretKey must be a Uint8Array of at least ${MIN_KEY_BYTES} bytes`, 5002);
    }
    if (salt !== undefined && !(salt instanceof Uint8Array)) throw core.invalid('startPlugin', 'builtinOptions.salt must be a Uint8Array', 5002);
    await core.trtc.enableEncryption({ key: Uint8Array.of(...secretKey, ...(salt ?? [])) });
  }

  update(options: EncryptionOptions): Promise<void> {
    return this.start(options);
  }

  async stop(): Promise<void> {
    await this.#core.trtc.disableEncryption();
  }
}

export default CustomEncryption;
