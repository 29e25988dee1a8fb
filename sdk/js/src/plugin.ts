/**
 * What plugins see of the client, and it of them. They are files of their own, loaded when they are used, and take from
 * the client types alone: what they need of it they are given, so that there is one of everything.
 */
import type { RtcError, aborted, invalid, unsupported, wrongMoment } from './errors.js';
import type { log } from './log.js';
import type { check } from './options.js';
import type { SCREEN_PROFILES, VIDEO_PROFILES, profileOf } from './profiles.js';
import type { openCamera, openScreen } from './capture.js';
import type { TRTC } from './trtc.js';
import type { elements } from './views.js';

/** What a plugin does to each picture of the camera before it is sent, and shown to oneself. */
export interface Effect {
  /** The lowest has the picture first. */
  order: number;
  /** Returns another picture of the same size. Frames that come while it works on one are left out; where it fails, nothing is sent. */
  change?(frame: Frame, width: number, height: number): Frame | Promise<Frame>;
  /** Draws over what the others see, turned and mirrored as it is for them. */
  cover?(context: CanvasRenderingContext2D, width: number, height: number): void;
}

export type Frame = Exclude<CanvasImageSource, SVGImageElement>;

/** What a plugin does to the sound of the microphone before it is sent. */
export interface Filter {
  /** Gives another track for it. */
  apply(track: MediaStreamTrack): MediaStreamTrack;
}

/** What a plugin is given. */
export interface Core {
  readonly trtc: TRTC;
  /** Another client of the same server. */
  another(): TRTC;
  readonly RtcError: typeof RtcError;
  readonly aborted: typeof aborted;
  readonly invalid: typeof invalid;
  readonly unsupported: typeof unsupported;
  readonly wrongMoment: typeof wrongMoment;
  readonly log: typeof log;
  readonly check: typeof check;
  readonly elements: typeof elements;
  readonly openCamera: typeof openCamera;
  readonly openScreen: typeof openScreen;
  readonly profileOf: typeof profileOf;
  readonly VIDEO_PROFILES: typeof VIDEO_PROFILES;
  readonly SCREEN_PROFILES: typeof SCREEN_PROFILES;
  /** Fails unless all of these are there. */
  require(functionName: string, options: object, ...names: string[]): void;
  /** The address of a file that comes with a plugin. */
  file(name: string): string;
  /** Changes what is sent of the camera, by one effect of each name; without one, no more. */
  setEffect(name: string, effect: Effect | undefined): Promise<void>;
  setFilter(filter: Filter | undefined): Promise<void>;
  /** Sends a sound beside the microphone's; without a track, no more. */
  setSound(name: string, track: MediaStreamTrack | undefined): Promise<void>;
  /** Plays what the browser wants a click for, when there is one. */
  waitForGesture(resume: () => Promise<void>): void;
}

/** What a plugin can do; each is called when the one before is over. */
export interface Plugin {
  start(options?: unknown): Promise<unknown> | unknown;
  update?(options?: unknown): Promise<unknown> | unknown;
  stop?(options?: unknown): Promise<unknown> | unknown;
  /** Of which there are several at once: what tells them apart. */
  getGroup?(options?: unknown): string | undefined;
}

/** How the cloud's plugins are given: a class with its name, made with what it needs. */
export interface PluginClass {
  new (core: Core): Plugin;
  readonly Name: string;
  /** It is there without being started. */
  readonly autoStart?: boolean;
  isSupported?(): boolean;
}
