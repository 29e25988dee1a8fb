import type { Core, Plugin } from '../plugin.js';

export interface WatermarkOptions {
  /** The address of a picture that the page may read (CORS). */
  imageUrl: string;
  /** From the left and the top, in pixels of the video. */
  x?: number;
  y?: number;
  /** In pixels, as a share of the picture's own size (above 0, up to 1), or by how it fills the video; `cover` unless given. */
  size?: { width?: number; height?: number } | number | 'contain' | 'cover';
}

const RULES = { imageUrl: ['string'], x: ['number'], y: ['number'], size: ['object', 'number', 'string'] } as const;

/** A picture over the camera's, for everyone. */
export class Watermark implements Plugin {
  static readonly Name = 'Watermark';
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  start(options: WatermarkOptions): Promise<void> {
    return this.#show('startPlugin', options);
  }

  update(options: WatermarkOptions): Promise<void> {
    return this.#show('updatePlugin', options);
  }

  async stop(): Promise<void> {
    await this.#core.setEffect(Watermark.Name, undefined);
  }

  async #show(functionName: string, options: WatermarkOptions): Promise<void> {
    const core = this.#core;
    core.require(functionName, options, 'imageUrl');
    core.check(functionName, options, RULES);
    const { imageUrl, x = 0, y = 0, size = 'cover' } = options;
    if (typeof size === 'string' && size !== 'contain' && size !== 'cover') throw core.invalid(functionName, "size must be 'contain' or 'cover', a number or a size", 5005);
    if (typeof size === 'number' && !(size > 0 && size <= 1)) throw core.invalid(functionName, 'size must be a number above 0, up to 1', 5006);
    if (typeof size === 'object' && !((size.width ?? 1) > 0 && (size.height ?? 1) > 0)) throw core.invalid(functionName, 'size must have a width and a height above 0', 5006);
    const image = new Image();
    image.crossOrigin = 'anonymous';
    image.src = imageUrl;
    try {
      await image.decode();
    } catch {
      throw core.invalid(functionName, `imageUrl: no picture that may be sent could be loaded from ${imageUrl}`, 5005);
    }
    await core.setEffect(Watermark.Name, {
      order: 3,
      cover: (context, width, height) => {
        const [across, down] = sizeOf(image, size, width, height);
        context.drawImage(image, x, y, across, down);
      },
    });
  }
}

function sizeOf({ naturalWidth, naturalHeight }: HTMLImageElement, size: NonNullable<WatermarkOptions['size']>, width: number, height: number): [number, number] {
  if (typeof size === 'object') return [size.width ?? naturalWidth, size.height ?? naturalHeight];
  const fits = [width / naturalWidth, height / naturalHeight];
  const scale = typeof size === 'number' ? size : size === 'contain' ? Math.min(...fits) : Math.max(...fits);
  return [naturalWidth * scale, naturalHeight * scale];
}

export default Watermark;
