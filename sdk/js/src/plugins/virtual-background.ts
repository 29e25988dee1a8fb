import type { Results, SelfieSegmentation } from '@mediapipe/selfie_segmentation';
import type { Core, Frame, Plugin } from '../plugin.js';

export interface UpdateVirtualBackgroundOptions {
  type?: 'image' | 'blur' | 'color';
  /** Of an image: its address, which the page may read (CORS). */
  src?: string;
  /** From 1 to 10. */
  blurLevel?: number;
  /** A CSS colour, or red, green and blue from 0 to 255. */
  color?: string | [number, number, number];
  enableFaceCentering?: boolean;
  enableEffectOptimization?: boolean;
}

export interface VirtualBackgroundOptions extends UpdateVirtualBackgroundOptions {
  sdkAppId?: number;
  userId?: string;
  userSig?: string;
  /** It cannot go on: nothing is sent of the camera until it is stopped. */
  onAbort?: (error: unknown) => void;
}

const LICENCE = { noted: 'there is no licence to be shown' } as const;
const RULES = {
  sdkAppId: LICENCE,
  userId: LICENCE,
  userSig: LICENCE,
  type: { oneOf: ['image', 'blur', 'color'] },
  src: ['string'],
  blurLevel: { from: 1, to: 10 },
  color: ['string', 'object'],
  onAbort: ['function'],
  enableFaceCentering: { refused: 'the picture stays as the camera sees it', only: true },
  enableEffectOptimization: { noted: 'edges are softened in any case' },
} as const;

/** Larger pictures tell the model nothing more. */
const SEEN_WIDTH = 320;
const DEFAULT_BLUR = 3;

type Paint = (context: CanvasRenderingContext2D, frame: Frame, width: number, height: number) => void;

/** Puts something else behind the person: the blurred room, a picture, or a colour. Nothing leaves the browser for it. */
export class VirtualBackground implements Plugin {
  static readonly Name = 'VirtualBackground';
  readonly #core: Core;
  readonly #small = document.createElement('canvas');
  readonly #canvas = document.createElement('canvas');
  #segmentation: SelfieSegmentation | undefined;
  #mask: Results['segmentationMask'] | undefined;
  #options: VirtualBackgroundOptions = {};

  constructor(core: Core) {
    this.#core = core;
  }

  static isSupported(): boolean {
    return typeof WebAssembly !== 'undefined' && document.createElement('canvas').getContext('webgl2') !== null;
  }

  async start(options: VirtualBackgroundOptions = {}): Promise<void> {
    const core = this.#core;
    core.check('startPlugin', options, RULES);
    const paint = await this.#painter('startPlugin', options);
    try {
      this.#segmentation = await this.#load();
    } catch (error) {
      throw core.aborted('startPlugin', `VirtualBackground could not be loaded from ${this.#file('')}: ${String(error)}`);
    }
    this.#options = options;
    await this.#set(paint);
  }

  async update(options: UpdateVirtualBackgroundOptions): Promise<void> {
    this.#core.check('updatePlugin', options, RULES);
    const now = { ...this.#options, ...options };
    const paint = await this.#painter('updatePlugin', now);
    this.#options = now;
    await this.#set(paint);
  }

  async stop(): Promise<void> {
    await this.#core.setEffect(VirtualBackground.Name, undefined);
    await this.#segmentation?.close();
    this.#segmentation = undefined;
  }

  #file(name: string): string {
    return this.#core.file(`virtual-background/${name}`);
  }

  async #load(): Promise<SelfieSegmentation> {
    const Segmentation = await library(this.#file('selfie_segmentation.js'));
    const segmentation = new Segmentation({ locateFile: (name) => this.#file(name) });
    segmentation.setOptions({ modelSelection: 1 });
    segmentation.onResults(({ segmentationMask }) => void (this.#mask = segmentationMask));
    await segmentation.initialize();
    return segmentation;
  }

  /** What is behind the person. */
  async #painter(functionName: string, { type = 'blur', src, blurLevel = DEFAULT_BLUR, color = '#00ff00' }: UpdateVirtualBackgroundOptions): Promise<Paint> {
    if (type === 'color') {
      const fill = typeof color === 'string' ? color : `rgb(${color.join(' ')})`;
      return (context, _, width, height) => {
        context.fillStyle = fill;
        context.fillRect(0, 0, width, height);
      };
    }
    if (type === 'blur') return blurred(blurLevel);
    this.#core.require(functionName, { src }, 'src');
    const image = new Image();
    image.crossOrigin = 'anonymous';
    image.src = src ?? '';
    try {
      await image.decode();
    } catch {
      throw this.#core.invalid(functionName, `src: no picture that may be sent could be loaded from ${src}`, 5005);
    }
    return (context, _, width, height) => {
      const scale = Math.max(width / image.naturalWidth, height / image.naturalHeight);
      const [across, down] = [image.naturalWidth * scale, image.naturalHeight * scale];
      context.drawImage(image, (width - across) / 2, (height - down) / 2, across, down);
    };
  }

  #set(paint: Paint): Promise<void> {
    return this.#core.setEffect(VirtualBackground.Name, {
      order: 1,
      change: async (frame, width, height) => {
        try {
          return await this.#separate(frame, width, height, paint);
        } catch (error) {
          this.#options.onAbort?.(error);
          delete this.#options.onAbort;
          throw error;
        }
      },
    });
  }

  async #separate(frame: Frame, width: number, height: number, paint: Paint): Promise<Frame> {
    const small = this.#small;
    [small.width, small.height] = [Math.min(SEEN_WIDTH, width), Math.round((Math.min(SEEN_WIDTH, width) * height) / width)];
    small.getContext('2d')?.drawImage(frame, 0, 0, small.width, small.height);
    this.#mask = undefined;
    await this.#segmentation?.send({ image: small });
    const mask = this.#mask as Results['segmentationMask'] | undefined;
    const canvas = this.#canvas;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext('2d');
    if (!context || !mask) throw new Error('the person could not be told from the room');
    context.globalCompositeOperation = 'copy';
    context.drawImage(mask, 0, 0, width, height);
    context.globalCompositeOperation = 'source-in';
    context.drawImage(frame, 0, 0, width, height);
    context.globalCompositeOperation = 'destination-over';
    paint(context, frame, width, height);
    context.globalCompositeOperation = 'source-over';
    return canvas;
  }
}

/** The room itself, out of focus: made small and large again, which every browser does fast, in as many steps as hide it. */
function blurred(level: number): Paint {
  const canvas = document.createElement('canvas');
  return (context, frame, width, height) => {
    const share = 1 / (4 + 4 * level);
    [canvas.width, canvas.height] = [Math.max(4, Math.round(width * share)), Math.max(4, Math.round(height * share))];
    const small = canvas.getContext('2d');
    if (!small) return;
    small.imageSmoothingQuality = context.imageSmoothingQuality = 'high';
    small.drawImage(frame, 0, 0, canvas.width, canvas.height);
    const radius = Math.round(1 / share / 2);
    if ('filter' in context) context.filter = `blur(${radius}px)`;
    // Beyond its edges there is nothing, which would be seen as their darkness.
    const beyond = 2 * radius;
    context.drawImage(canvas, -beyond, -beyond, width + 2 * beyond, height + 2 * beyond);
    if ('filter' in context) context.filter = 'none';
  };
}

/** The library is a classic script with a global of its own. */
function library(url: string): Promise<typeof SelfieSegmentation> {
  const found = () => (globalThis as { SelfieSegmentation?: typeof SelfieSegmentation }).SelfieSegmentation;
  const loaded = found();
  if (loaded) return Promise.resolve(loaded);
  return new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.crossOrigin = 'anonymous';
    script.src = url;
    script.onload = () => {
      const there = found();
      if (there) resolve(there);
      else reject(new Error(`${url} is not what it should be`));
    };
    script.onerror = () => reject(new Error(`${url} could not be loaded`));
    document.head.append(script);
  });
}

export default VirtualBackground;
