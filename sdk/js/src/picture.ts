import { invalid } from './errors.js';
import { log } from './log.js';
import type { Effect, Frame } from './plugin.js';

/** How a camera's picture is changed before it is sent. */
export interface Change {
  /** Clockwise, in degrees. */
  rotation: 0 | 90 | 180 | 270;
  isMirrored: boolean;
  /** What is sent in the camera's place. */
  image?: HTMLImageElement | undefined;
  /** What plugins do to it, in their order. */
  effects: readonly Effect[];
}

/** Of what the camera gives. */
interface Size {
  width: number;
  height: number;
  frameRate: number;
}

/** An image stands still, but viewers who come later need one too. */
const REPEAT_MS = 500;

/** Chromium's frames as they come, also while the page is in the background. */
interface Breakout {
  MediaStreamTrackProcessor: new (of: { track: MediaStreamTrack }) => { readable: ReadableStream<VideoFrame> };
}

/** Fetches a picture; it has to come from the page's own site, or from one that lets the page read it. */
export async function loadImage(functionName: string, url: string): Promise<HTMLImageElement> {
  const image = new Image();
  image.crossOrigin = 'anonymous';
  image.src = url;
  try {
    await image.decode();
  } catch {
    throw invalid(functionName, `mute: no picture that may be sent could be loaded from ${url}`, 5005);
  }
  return image;
}

/** A picture that is not what the camera gives: turned, mirrored, changed by plugins, or another in its place. Drawn on a canvas, and sent from there. */
export class Picture {
  readonly #canvas = document.createElement('canvas');
  readonly #context = this.#canvas.getContext('2d');
  readonly #change: Change;
  readonly #size: Size;
  readonly track: MediaStreamTrack;
  #end: () => void = () => undefined;
  /** A frame is being worked on. */
  #isBusy = false;
  #hasFailed = false;

  constructor(readonly source: MediaStreamTrack, change: Change, size: Size) {
    this.#change = change;
    this.#size = size;
    const isUpright = change.rotation % 180 === 0 || change.image !== undefined;
    [this.#canvas.width, this.#canvas.height] = isUpright ? [size.width, size.height] : [size.height, size.width];
    this.track = this.#canvas.captureStream(size.frameRate).getVideoTracks()[0] as MediaStreamTrack;
    if (change.image) this.#repeat(change.image);
    else if ('MediaStreamTrackProcessor' in globalThis) this.#followFrames();
    else this.#followElement(size.frameRate);
  }

  /** Whether it is what is wanted already. */
  is(source: MediaStreamTrack, { rotation, isMirrored, image, effects }: Change, { width, height }: Size): boolean {
    const { rotation: turned, isMirrored: mirrored, image: shown, effects: made } = this.#change;
    const isSame = effects.length === made.length && effects.every((effect, at) => effect === made[at]);
    const isAlike = isSame && rotation === turned && isMirrored === mirrored && image === shown;
    return isAlike && source === this.source && width === this.#size.width && height === this.#size.height;
  }

  close(): void {
    this.#end();
    this.track.stop();
  }

  #repeat(image: HTMLImageElement): void {
    const draw = () => this.#draw(image, image.naturalWidth, image.naturalHeight);
    draw();
    const timer = setInterval(draw, REPEAT_MS);
    this.#end = () => clearInterval(timer);
  }

  #followFrames(): void {
    const { MediaStreamTrackProcessor } = globalThis as unknown as Breakout;
    const reader = new MediaStreamTrackProcessor({ track: this.source }).readable.getReader();
    const read = async (): Promise<void> => {
      for (;;) {
        const { value: frame } = await reader.read();
        if (!frame) return;
        await this.#show(frame, frame.displayWidth, frame.displayHeight);
        frame.close();
      }
    };
    void read().catch(() => undefined);
    this.#end = () => void reader.cancel().catch(() => undefined);
  }

  #followElement(frameRate: number): void {
    const video = document.createElement('video');
    video.muted = true;
    video.playsInline = true;
    video.srcObject = new MediaStream([this.source]);
    void video.play().catch(() => undefined);
    const timer = setInterval(() => {
      if (video.videoWidth > 0) void this.#show(video, video.videoWidth, video.videoHeight);
    }, 1000 / frameRate);
    this.#end = () => {
      clearInterval(timer);
      video.srcObject = null;
    };
  }

  /** Draws a frame as the plugins make it: where one cannot, the picture stands still rather than to show what was to be hidden. */
  async #show(frame: Frame, width: number, height: number): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      let shown = frame;
      for (const effect of this.#change.effects) shown = (await effect.change?.(shown, width, height)) ?? shown;
      this.#draw(shown, width, height);
    } catch (error) {
      if (!this.#hasFailed) log.warn('a plugin could not change the picture', error);
      this.#hasFailed = true;
    } finally {
      this.#isBusy = false;
    }
  }

  /** As large as fits, in the middle. */
  #draw(what: CanvasImageSource, width: number, height: number): void {
    const context = this.#context;
    if (!context) return;
    const { rotation, isMirrored, image } = this.#change;
    const angle = image ? 0 : rotation;
    const [across, down] = angle % 180 === 0 ? [width, height] : [height, width];
    const scale = Math.min(this.#canvas.width / across, this.#canvas.height / down);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.translate(this.#canvas.width / 2, this.#canvas.height / 2);
    if (isMirrored && !image) context.scale(-1, 1);
    context.rotate((angle * Math.PI) / 180);
    context.drawImage(what, (-width * scale) / 2, (-height * scale) / 2, width * scale, height * scale);
    context.setTransform(1, 0, 0, 1, 0, 0);
    for (const effect of this.#change.effects) effect.cover?.(context, this.#canvas.width, this.#canvas.height);
    context.fillStyle = '#000';
  }
}
