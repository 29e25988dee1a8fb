import type { Core, Plugin } from '../plugin.js';
import type { VideoProfile } from '../profiles.js';

export interface LayerOption {
  /** Its middle is where it would be without a rotation. */
  x: number;
  y: number;
  width: number;
  height: number;
  zIndex: number;
  fillMode?: 'contain' | 'cover' | 'fill';
  mirror?: boolean;
  rotation?: 0 | 90 | 180 | 270;
  hidden?: boolean;
}

interface Source {
  id: string;
  layout: LayerOption;
}

export interface CameraSource extends Source {
  cameraId?: string;
  videoTrack?: MediaStreamTrack;
  profile?: string | Partial<VideoProfile>;
  /** The camera of `startLocalVideo`. */
  useInternalTrack?: boolean;
}

export interface ScreenSource extends Source {
  profile?: string | Partial<VideoProfile>;
  captureElement?: HTMLElement;
  preferDisplaySurface?: 'current-tab' | 'tab' | 'window' | 'monitor';
  systemAudio?: boolean;
  videoTrack?: MediaStreamTrack;
  audioTrack?: MediaStreamTrack;
  /** The screen of `startScreenShare`. */
  useInternalTrack?: boolean;
}

export interface TextSource extends Source {
  content: string;
  font?: string;
  color?: string | CanvasGradient | CanvasPattern;
}

export interface ImageSource extends Source {
  url: string;
}

export interface VideoSource extends Source {
  url: string;
}

export interface CanvasInfo {
  canvasColor?: string | CanvasGradient | CanvasPattern;
  width: number;
  height: number;
  frameRate?: number;
}

export interface VideoMixerOptions {
  view?: string | HTMLElement | null;
  canvasInfo: CanvasInfo;
  camera?: CameraSource[];
  screen?: ScreenSource[];
  text?: TextSource[];
  image?: ImageSource[];
  video?: VideoSource[];
  onScreenShareStop?: (id: string) => void;
}

/** What of each kind is mixed from now on; a kind that is not named stays as it is. */
export type UpdateVideoMixerOptions = Partial<Omit<VideoMixerOptions, 'onScreenShareStop'>>;

export interface MixFailedDetail {
  id: string;
  error: Error;
}

export interface MixParseResult {
  track: MediaStreamVideoTrack;
  systemAudioTrackList: Record<string, MediaStreamAudioTrack>;
  result: { successOptions: VideoMixerOptions | UpdateVideoMixerOptions; failedDetails: MixFailedDetail[] };
}

type MediaStreamVideoTrack = MediaStreamTrack & { kind: 'video' };
type MediaStreamAudioTrack = MediaStreamTrack & { kind: 'audio' };

const RULES = {
  view: ['string', 'object', 'null'],
  canvasInfo: ['object'],
  camera: ['object'],
  screen: ['object'],
  text: ['object'],
  image: ['object'],
  video: ['object'],
  onScreenShareStop: ['function'],
} as const;
const KINDS = ['camera', 'screen', 'image', 'video', 'text'] as const;
type Kind = (typeof KINDS)[number];
type AnySource = CameraSource & ScreenSource & TextSource & ImageSource;

/** Something that is drawn, where its source says. */
interface Layer {
  source: AnySource;
  draw(context: CanvasRenderingContext2D, layout: LayerOption): void;
  sound?: MediaStreamTrack | undefined;
  close(): void;
}

const DEFAULT_FRAME_RATE = 15;

/** Cameras, screens, pictures, videos and text as one video, which the page publishes as it likes. */
export class VideoMixer implements Plugin {
  static readonly Name = 'VideoMixer';
  readonly #core: Core;
  #canvas: HTMLCanvasElement | undefined;
  #track: MediaStreamTrack | undefined;
  #info: CanvasInfo = { width: 0, height: 0 };
  #layers = new Map<string, Layer>();
  #onScreenShareStop: ((id: string) => void) | undefined;
  #stopClock: () => void = () => undefined;
  #view: HTMLVideoElement | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  async start(options: VideoMixerOptions): Promise<MixParseResult> {
    this.#core.require('startPlugin', options, 'canvasInfo');
    this.#core.check('startPlugin', options, RULES);
    const canvas = document.createElement('canvas');
    this.#canvas = canvas;
    this.#onScreenShareStop = options.onScreenShareStop;
    this.#size('startPlugin', options.canvasInfo);
    this.#track = canvas.captureStream().getVideoTracks()[0];
    return this.#apply('startPlugin', options);
  }

  update(options: UpdateVideoMixerOptions): Promise<MixParseResult> {
    this.#core.check('updatePlugin', options, RULES);
    if (options.canvasInfo) this.#size('updatePlugin', options.canvasInfo);
    return this.#apply('updatePlugin', options);
  }

  stop(): void {
    this.#stopClock();
    for (const layer of this.#layers.values()) layer.close();
    this.#layers.clear();
    this.#track?.stop();
    this.#view?.remove();
    this.#canvas = this.#track = this.#view = undefined;
  }

  #size(functionName: string, info: CanvasInfo): void {
    const { width, height, frameRate = DEFAULT_FRAME_RATE } = info;
    for (const [name, value] of Object.entries({ width, height, frameRate })) {
      if (typeof value !== 'number' || !(value > 0)) throw this.#core.invalid(functionName, `canvasInfo.${name} must be a number above 0`, 5006);
    }
    this.#info = info;
    if (this.#canvas) Object.assign(this.#canvas, { width, height });
    this.#stopClock();
    this.#stopClock = clock(1000 / frameRate, () => this.#draw());
  }

  async #apply(functionName: string, options: UpdateVideoMixerOptions): Promise<MixParseResult> {
    const failedDetails: MixFailedDetail[] = [];
    for (const kind of KINDS) {
      const wanted = options[kind] as AnySource[] | undefined;
      if (!wanted) continue;
      for (const [key, layer] of this.#layers) {
        if (!key.startsWith(`${kind} `) || wanted.some(({ id }) => key === `${kind} ${id}`)) continue;
        layer.close();
        this.#layers.delete(key);
      }
      for (const source of wanted) {
        try {
          await this.#put(functionName, kind, source);
        } catch (thrown) {
          failedDetails.push({ id: source.id, error: thrown instanceof Error ? thrown : new Error(String(thrown)) });
        }
      }
    }
    if (options.view !== undefined) this.#show(options.view);
    const failed = new Set(failedDetails.map(({ id }) => id));
    const successOptions: UpdateVideoMixerOptions = { ...options };
    for (const kind of KINDS) {
      const all = options[kind] as AnySource[] | undefined;
      if (all) Object.assign(successOptions, { [kind]: all.filter(({ id }) => !failed.has(id)) });
    }
    const sounds = [...this.#layers.values()].flatMap(({ source, sound }) => (sound ? [[source.id, sound]] : []));
    this.#draw();
    return {
      track: this.#track as MediaStreamVideoTrack,
      systemAudioTrackList: Object.fromEntries(sounds) as Record<string, MediaStreamAudioTrack>,
      result: { successOptions, failedDetails },
    };
  }

  /** A source, or the same one placed otherwise. */
  async #put(functionName: string, kind: Kind, source: AnySource): Promise<void> {
    this.#core.require(functionName, source, 'id', 'layout');
    const key = `${kind} ${source.id}`;
    const former = this.#layers.get(key);
    const isSame = former && kind !== 'text' && (['cameraId', 'videoTrack', 'url', 'captureElement', 'useInternalTrack'] as const).every((name) => former.source[name] === source[name]);
    if (isSame) {
      former.source = source;
      return;
    }
    const layer = await this.#open(functionName, kind, source);
    former?.close();
    this.#layers.set(key, layer);
  }

  async #open(functionName: string, kind: Kind, source: AnySource): Promise<Layer> {
    const core = this.#core;
    if (kind === 'text') {
      core.require(functionName, source, 'content');
      const { content, font = '24px sans-serif', color = '#000' } = source;
      const draw: Layer['draw'] = (context, { width, height }) => {
        Object.assign(context, { font, fillStyle: color, textBaseline: 'top' });
        context.fillText(content, -width / 2, -height / 2, width);
      };
      return { source, draw, close: () => undefined };
    }
    if (kind === 'image') {
      core.require(functionName, source, 'url');
      const image = new Image();
      image.crossOrigin = 'anonymous';
      image.src = source.url;
      await image.decode();
      return { source, draw: (context, layout) => fill(context, image, image.naturalWidth, image.naturalHeight, layout), close: () => undefined };
    }
    const { track, sound, isOwn } = kind === 'video' ? { track: undefined, sound: undefined, isOwn: false } : await this.#device(functionName, kind, source);
    const player = document.createElement('video');
    Object.assign(player, { muted: true, playsInline: true, loop: true, crossOrigin: 'anonymous' });
    if (track) player.srcObject = new MediaStream([track]);
    else {
      core.require(functionName, source, 'url');
      player.src = source.url;
    }
    await player.play();
    if (kind === 'screen') track?.addEventListener('ended', () => this.#onScreenShareStop?.(source.id));
    return {
      source,
      sound,
      draw: (context, layout) => player.videoWidth > 0 && fill(context, player, player.videoWidth, player.videoHeight, layout),
      close: () => {
        player.srcObject = null;
        player.removeAttribute('src');
        if (isOwn) track?.stop();
        if (isOwn) sound?.stop();
      },
    };
  }

  async #device(functionName: string, kind: 'camera' | 'screen', source: AnySource): Promise<{ track: MediaStreamTrack; sound: MediaStreamTrack | undefined; isOwn: boolean }> {
    const core = this.#core;
    const { videoTrack, audioTrack, useInternalTrack } = source;
    const given = videoTrack ?? (useInternalTrack ? (core.trtc.getVideoTrack({ streamType: kind === 'camera' ? 'main' : 'sub' }) ?? undefined) : undefined);
    if (given) return { track: given, sound: audioTrack, isOwn: false };
    if (useInternalTrack) throw core.wrongMoment(functionName, `${source.id}: there is no ${kind} of this client that could be mixed`, 5100);
    if (kind === 'camera') {
      const profile = core.profileOf(core.VIDEO_PROFILES, source.profile as '480p', '480p');
      return { track: await core.openCamera({ cameraId: source.cameraId, profile }), sound: undefined, isOwn: true };
    }
    const { captureElement, preferDisplaySurface, systemAudio } = source;
    const profile = core.profileOf(core.SCREEN_PROFILES, source.profile as '1080p', '1080p');
    const { video, audio } = await core.openScreen({ captureElement, preferDisplaySurface, systemAudio }, profile);
    return { track: video, sound: audio, isOwn: true };
  }

  #show(view: VideoMixerOptions['view']): void {
    this.#view?.remove();
    this.#view = undefined;
    const [place] = this.#core.elements(view || null);
    if (!place || !this.#track) return;
    const player = document.createElement('video');
    Object.assign(player, { muted: true, autoplay: true, playsInline: true, srcObject: new MediaStream([this.#track]) });
    Object.assign(player.style, { width: '100%', height: '100%', objectFit: 'contain' });
    place.append(player);
    this.#view = player;
  }

  #draw(): void {
    const context = this.#canvas?.getContext('2d');
    if (!context) return;
    const { width, height, canvasColor = '#000' } = this.#info;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = canvasColor;
    context.fillRect(0, 0, width, height);
    const layers = [...this.#layers.values()].sort((one, other) => one.source.layout.zIndex - other.source.layout.zIndex);
    for (const { source, draw } of layers) {
      const { layout } = source;
      if (layout.hidden) continue;
      context.save();
      context.translate(layout.x + layout.width / 2, layout.y + layout.height / 2);
      if (layout.mirror) context.scale(-1, 1);
      context.rotate(((layout.rotation ?? 0) * Math.PI) / 180);
      draw(context, (layout.rotation ?? 0) % 180 === 0 ? layout : { ...layout, width: layout.height, height: layout.width });
      context.restore();
    }
  }
}

/** A picture in its place, around the origin. */
function fill(context: CanvasRenderingContext2D, what: CanvasImageSource, across: number, down: number, { width, height, fillMode = 'contain' }: LayerOption): void {
  const scales = [width / across, height / down] as const;
  const scale = fillMode === 'cover' ? Math.max(...scales) : Math.min(...scales);
  const [shownWidth, shownHeight] = fillMode === 'fill' ? [width, height] : [across * scale, down * scale];
  context.beginPath();
  context.rect(-width / 2, -height / 2, width, height);
  context.clip();
  context.drawImage(what, -shownWidth / 2, -shownHeight / 2, shownWidth, shownHeight);
}

/** A clock that goes on while the page is in the background, where the page's own stand almost still. */
function clock(everyMs: number, tick: () => void): () => void {
  try {
    const url = URL.createObjectURL(new Blob([`setInterval(() => postMessage(0), ${everyMs})`], { type: 'text/javascript' }));
    const worker = new Worker(url);
    worker.onmessage = tick;
    return () => {
      worker.terminate();
      URL.revokeObjectURL(url);
    };
  } catch {
    const timer = setInterval(tick, everyMs);
    return () => clearInterval(timer);
  }
}

export default VideoMixer;
