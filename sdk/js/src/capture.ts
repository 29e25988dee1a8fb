import { RtcError, invalid, unsupported } from './errors.js';
import { log } from './log.js';
import { AUDIO_PROFILES, type VideoProfile } from './profiles.js';

/** Opens the camera. */
export async function openCamera(option: {
  cameraId?: string | undefined;
  useFrontCamera?: boolean | undefined;
  avoidCropping?: boolean | undefined;
  profile: VideoProfile;
}): Promise<MediaStreamTrack> {
  const { cameraId, useFrontCamera, avoidCropping, profile } = option;
  const video: MediaTrackConstraints & { resizeMode?: string } = {
    width: { ideal: profile.width },
    height: { ideal: profile.height },
    frameRate: { ideal: profile.frameRate },
  };
  // Otherwise browsers cut a picture to the shape that was asked for, from what the camera has.
  if (avoidCropping) video.resizeMode = 'none';
  if (!cameraId && useFrontCamera !== undefined) video.facingMode = useFrontCamera ? 'user' : 'environment';
  return first(await (cameraId ? openKnown(video, cameraId) : media().getUserMedia({ video })), 'video');
}

export interface MicrophoneOption {
  microphoneId?: string | undefined;
  profile?: keyof typeof AUDIO_PROFILES | undefined;
  /** Newer browsers tell what others say from all else that this computer plays. */
  echoCancellation?: boolean | 'all' | 'remote-only' | undefined;
  autoGainControl?: boolean | undefined;
  noiseSuppression?: boolean | undefined;
}

/** Opens the microphone. */
export async function openMicrophone(option: MicrophoneOption): Promise<MediaStreamTrack> {
  const { microphoneId, profile = 'standard', echoCancellation, autoGainControl, noiseSuppression } = option;
  const audio: MediaTrackConstraints = {
    echoCancellation: (echoCancellation ?? true) as boolean,
    autoGainControl: autoGainControl ?? true,
    noiseSuppression: noiseSuppression ?? true,
    channelCount: AUDIO_PROFILES[profile].channelCount,
  };
  if (microphoneId) audio.deviceId = { exact: microphoneId };
  return first(await media().getUserMedia({ audio }), 'audio');
}

/** The camera of this id; where it is gone since the page has noted it, another. */
async function openKnown(video: MediaTrackConstraints, deviceId: string): Promise<MediaStream> {
  try {
    return await media().getUserMedia({ video: { ...video, deviceId: { exact: deviceId } } });
  } catch (error) {
    // The error of constraints is no DOMException in all browsers.
    if (!['OverconstrainedError', 'NotFoundError'].includes((error as Error).name)) throw error;
    log.warn(`there is no camera ${deviceId} any more: another is opened`);
    return media().getUserMedia({ video });
  }
}

export interface ScreenOption {
  systemAudio?: boolean | undefined;
  preferDisplaySurface?: 'current-tab' | 'tab' | 'window' | 'monitor' | undefined;
  selfBrowserSurface?: 'include' | 'exclude' | undefined;
  /** Of this page, this element alone. */
  captureElement?: HTMLElement | undefined;
  echoCancellation?: MicrophoneOption['echoCancellation'];
  autoGainControl?: boolean | undefined;
  noiseSuppression?: boolean | undefined;
}

/** Region Capture, which the DOM's own types do not know yet. */
interface Cropping {
  CropTarget?: { fromElement(element: HTMLElement): Promise<unknown> };
}

type Croppable = MediaStreamTrack & { cropTo?(target: unknown): Promise<void> };

/** Lets the person choose what to show of the screen. */
export async function openScreen(option: ScreenOption, profile: VideoProfile): Promise<{ video: MediaStreamTrack; audio: MediaStreamTrack | undefined }> {
  const { systemAudio = false, preferDisplaySurface, captureElement, echoCancellation, autoGainControl, noiseSuppression } = option;
  const devices = media();
  if (!('getDisplayMedia' in devices)) throw unsupported('', 'this browser cannot share the screen', 5205);
  const target = captureElement && (await targetOf(captureElement));
  const surfaces = { tab: 'browser', 'current-tab': 'browser', window: 'window', monitor: 'monitor' };
  const isThisTab = Boolean(captureElement) || preferDisplaySurface === 'current-tab';
  const selfBrowserSurface = isThisTab ? 'include' : option.selfBrowserSurface;
  const constraints = {
    video: {
      width: { max: profile.width },
      height: { max: profile.height },
      frameRate: { ideal: profile.frameRate },
      ...(preferDisplaySurface && !isThisTab ? { displaySurface: surfaces[preferDisplaySurface] } : {}),
    },
    audio: systemAudio && { echoCancellation, autoGainControl, noiseSuppression },
    ...(isThisTab ? { preferCurrentTab: true } : {}),
    ...(selfBrowserSurface ? { selfBrowserSurface } : {}),
  };
  const stream = await devices.getDisplayMedia(constraints as DisplayMediaStreamOptions);
  try {
    const video: Croppable = first(stream, 'video');
    if (target && !video.cropTo) throw new Error('it is no tab');
    if (target) await video.cropTo?.(target);
    return { video, audio: stream.getAudioTracks()[0] };
  } catch (error) {
    // All else that there is to see was not meant to be shown.
    for (const track of stream.getTracks()) track.stop();
    if (!target) throw error;
    throw invalid('', `captureElement: only this tab can be shared so, and another surface was chosen (${String(error)})`, 5005);
  }
}

async function targetOf(element: HTMLElement): Promise<unknown> {
  const { CropTarget } = globalThis as Cropping;
  const canCrop = CropTarget !== undefined && 'cropTo' in (globalThis.BrowserCaptureMediaStreamTrack ?? globalThis.MediaStreamTrack).prototype;
  if (!canCrop) throw unsupported('', 'captureElement: this browser cannot share one element of a page', 5205);
  return CropTarget.fromElement(element);
}

function media(): MediaDevices {
  const devices = navigator.mediaDevices as MediaDevices | undefined;
  if (!devices) throw unsupported('', 'there are no media devices here: serve the page over https, or from localhost', 5201);
  return devices;
}

function first(stream: MediaStream, kind: 'audio' | 'video'): MediaStreamTrack {
  const track = (kind === 'audio' ? stream.getAudioTracks() : stream.getVideoTracks())[0];
  if (!track) throw RtcError.from(new DOMException(`no ${kind} track`, 'NotFoundError'), '');
  return track;
}

/** Several sounds as one, each at a volume of its own. */
export class Mixer {
  readonly #context = new AudioContext();
  readonly #out = this.#context.createMediaStreamDestination();
  readonly #inputs = new Map<string, { track: MediaStreamTrack; source: MediaStreamAudioSourceNode; gain: GainNode }>();

  get track(): MediaStreamTrack {
    return this.#out.stream.getAudioTracks()[0] as MediaStreamTrack;
  }

  /** Puts a sound in the place of the one of this name, at a volume in percent; without a track there is none. */
  set(name: string, track: MediaStreamTrack | undefined, percent: number): void {
    let input = this.#inputs.get(name);
    if (input && input.track !== track) {
      input.source.disconnect();
      input.gain.disconnect();
      this.#inputs.delete(name);
      input = undefined;
    }
    if (!track) return;
    if (!input) {
      input = { track, source: this.#context.createMediaStreamSource(new MediaStream([track])), gain: this.#context.createGain() };
      input.source.connect(input.gain).connect(this.#out);
      this.#inputs.set(name, input);
    }
    input.gain.gain.value = Math.max(0, percent / 100);
  }

  close(): void {
    void this.#context.close();
  }
}

/** How loud a track is, from 0 to 1. */
export class Meter {
  readonly #context = new AudioContext();
  readonly #analyser = this.#context.createAnalyser();
  readonly #source: MediaStreamAudioSourceNode;
  readonly #samples: Float32Array<ArrayBuffer>;

  constructor(track: MediaStreamTrack) {
    this.#analyser.fftSize = 1024;
    this.#samples = new Float32Array(this.#analyser.fftSize);
    this.#source = this.#context.createMediaStreamSource(new MediaStream([track]));
    this.#source.connect(this.#analyser);
  }

  get level(): number {
    this.#analyser.getFloatTimeDomainData(this.#samples);
    let sum = 0;
    for (const sample of this.#samples) sum += sample * sample;
    return Math.sqrt(sum / this.#samples.length);
  }

  close(): void {
    this.#source.disconnect();
    void this.#context.close();
  }
}

/** A loudness from 0 to 1, as the volume from 0 to 100 that pages draw. */
export function volumeOf(level: number): number {
  return Math.floor(Math.min(1, Math.max(0, level)) * 100);
}

/** The same in decibels above -100, of its power. */
export function decibels(level: number): number {
  return Math.floor(Math.min(100, Math.max(0, 10 * Math.log10(level) + 100)));
}
