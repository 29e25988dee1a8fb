import { Meter, openCamera, openMicrophone, openScreen } from '../capture.js';
import { log } from '../log.js';
import { recover } from '../lost.js';
import { AUDIO_PROFILES, SCREEN_PROFILES, VIDEO_PROFILES, type VideoProfile, profileOf } from '../profiles.js';
import { ErrorCode, RtcError4, from, in4, requireKinds, requireTrack, wrong } from './errors.js';
import { Stream } from './stream.js';
import type { PlaybackOptions, StreamConfig } from './types.js';

type VideoProfileName = keyof typeof VIDEO_PROFILES;
type ScreenProfileName = keyof typeof SCREEN_PROFILES;
type AudioProfileName = keyof typeof AUDIO_PROFILES;
type Kind = 'audio' | 'video';

/** What a client that publishes it does when something of it changes. */
export interface Published {
  onTracks(): Promise<void>;
  onMute(kind: Kind): Promise<void>;
}

const KINDS = {
  userId: 'string', audio: [true, false], video: [true, false], screen: [true, false], screenAudio: [true, false], mirror: 'boolean', cameraId: 'string', microphoneId: 'string', facingMode: ['user', 'environment'],
} as const;

/** A microphone, a camera or a screen: opened by `initialize`, shown by `play`, sent by a client's `publish`. */
export class LocalStream extends Stream {
  readonly config: StreamConfig;
  /** Which camera and microphone: as the config says, until `switchDevice` says otherwise. */
  #devices: Pick<StreamConfig, 'cameraId' | 'facingMode' | 'microphoneId'>;
  #audioTrack: MediaStreamTrack | undefined;
  #videoTrack: MediaStreamTrack | undefined;
  #isInitialized = false;
  #audioProfile: AudioProfileName = 'standard';
  #videoProfile: VideoProfileName | Partial<VideoProfile> = '480p';
  #screenProfile: ScreenProfileName | Partial<VideoProfile> = '1080p';
  #captureVolume = 100;
  #meter: { meter: Meter; track: MediaStreamTrack } | undefined;
  #isPlayedAloud = false;
  #isToldPlaying = false;
  readonly muted = { audio: false, video: false };
  /** Set by the client while it is published. */
  published: Published | undefined;

  constructor(config: StreamConfig) {
    super(config?.userId ?? '');
    if (!config) throw wrong('createStream: say what the stream is made of');
    requireKinds('createStream', config, KINDS);
    for (const name of ['audioSource', 'videoSource'] as const) if (config[name] !== undefined) requireTrack(`createStream: ${name}`, config[name]);
    if (config.screen && config.video) throw wrong('a stream has a camera or a screen: create one of each');
    if (config.screenAudio && !config.screen) throw wrong('screenAudio is the sound of a screen: say screen too');
    if (config.screenAudio && config.audio) throw wrong('a stream has a microphone or the sound of a screen: create one of each');
    this.config = config;
    this.#devices = config;
  }

  getType(): 'local' {
    return 'local';
  }

  /** Opens what it is made of, once. */
  async initialize(): Promise<void> {
    if (this.#isInitialized) return;
    await in4(async () => {
      const { audio, video, screen, screenAudio, audioSource, videoSource } = this.config;
      if (!audio && !video && !screen && !audioSource && !videoSource) throw new RtcError4(ErrorCode.INITIALIZE_FAILED, 'there is nothing to open: neither audio nor video', { name: 'TypeError' });
      this.#audioTrack = audioSource ?? undefined;
      this.#videoTrack = videoSource ?? undefined;
      if (screen && !videoSource) {
        const opened = await openScreen({ systemAudio: screenAudio }, profileOf(SCREEN_PROFILES, this.#screenProfile, '1080p'));
        opened.video.addEventListener('ended', () => this.emit('screen-sharing-stopped', undefined));
        this.#videoTrack = opened.video;
        this.#audioTrack ??= opened.audio;
      } else if (video && !videoSource) this.#videoTrack = await this.#openCamera(this.#devices);
      if (audio && !this.#audioTrack) this.#audioTrack = await this.#openMicrophone();
    }, ErrorCode.INITIALIZE_FAILED);
    this.#isInitialized = true;
  }

  async #openCamera({ cameraId, facingMode }: Pick<StreamConfig, 'cameraId' | 'facingMode'>): Promise<MediaStreamTrack> {
    const useFrontCamera = facingMode === undefined ? undefined : facingMode === 'user';
    return this.#guarded(await openCamera({ cameraId, useFrontCamera, profile: profileOf(VIDEO_PROFILES, this.#videoProfile, '480p') }));
  }

  /** The one that was chosen; where it is gone, another. */
  async #openMicrophone(): Promise<MediaStreamTrack> {
    const { microphoneId } = this.#devices;
    const isThere = !microphoneId || (await isDevice('audioinput', microphoneId));
    if (!isThere) log.warn(`there is no microphone ${microphoneId} any more: another is opened`);
    return this.#guarded(await openMicrophone({ microphoneId: isThere ? microphoneId : undefined, profile: this.#audioProfile }));
  }

  /** A device that goes away without being asked to is opened again, or another in its place. */
  #guarded(track: MediaStreamTrack): MediaStreamTrack {
    const isCamera = track.kind === 'video';
    const isMeant = () => this.#isInitialized && this.#trackOf(track.kind) === track;
    const reopen = async (): Promise<void> => {
      const found = await in4(() => (isCamera ? this.#openCamera(this.#devices) : this.#openMicrophone()));
      if (!isMeant()) return found.stop();
      await this.#put(found.kind, found);
      const { cameraId = '', microphoneId = '' } = this.#devices;
      const { deviceId = '' } = found.getSettings();
      this.emit('device-auto-recovered', { isCamera, isMicrophone: !isCamera, cameraId: isCamera ? deviceId : cameraId, microphoneId: isCamera ? microphoneId : deviceId });
    };
    recover(track, isMeant, reopen, (why) => {
      this.emit('error', new RtcError4(ErrorCode.DEVICE_AUTO_RECOVER_FAILED, `the ${isCamera ? 'camera' : 'microphone'} does not come back: ${from(why).message}`));
    });
    return track;
  }

  // How it is sent

  /** Before `initialize`. */
  setAudioProfile(profile: AudioProfileName): void {
    if (isKnown(AUDIO_PROFILES, profile)) this.#audioProfile = profile;
  }

  async setVideoProfile(profile: VideoProfileName | Partial<VideoProfile>): Promise<void> {
    if (!isKnown(VIDEO_PROFILES, profile)) return;
    this.#videoProfile = profile;
    if (!this.#videoTrack || this.config.videoSource) return;
    const { width, height, frameRate } = profileOf(VIDEO_PROFILES, profile, '480p');
    await this.#videoTrack.applyConstraints({ width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } });
    await this.published?.onTracks();
  }

  /** Before `initialize`. */
  setScreenProfile(profile: ScreenProfileName | Partial<VideoProfile>): void {
    if (isKnown(SCREEN_PROFILES, profile)) this.#screenProfile = profile;
  }

  setVideoContentHint(hint: string): void {
    if (this.#videoTrack) this.#videoTrack.contentHint = hint;
  }

  /** How loud the microphone is sent, in percent; `false` where there is none, or that is no volume. */
  setAudioCaptureVolume(volume = 100): boolean {
    if (typeof volume !== 'number' || Number.isNaN(volume)) throw wrong('setAudioCaptureVolume: volume must be a number');
    if (!this.#audioTrack || volume < 0) return false;
    this.#captureVolume = volume;
    this.published?.onTracks().catch((error: unknown) => log.warn('the volume was not changed', error));
    return true;
  }

  /** What the client is to publish it with. */
  get sending(): { captureVolume: number; audioProfile: AudioProfileName; videoProfile: VideoProfile } {
    const videoProfile = this.config.screen ? profileOf(SCREEN_PROFILES, this.#screenProfile, '1080p') : profileOf(VIDEO_PROFILES, this.#videoProfile, '480p');
    return { captureVolume: this.#captureVolume, audioProfile: this.#audioProfile, videoProfile };
  }

  // Tracks

  getAudioTrack(): MediaStreamTrack | null {
    return this.#audioTrack ?? null;
  }

  getVideoTrack(): MediaStreamTrack | null {
    return this.#videoTrack ?? null;
  }

  hasAudio(): boolean {
    return this.#audioTrack !== undefined;
  }

  hasVideo(): boolean {
    return this.#videoTrack !== undefined;
  }

  async addTrack(track: MediaStreamTrack): Promise<void> {
    requireTrack('addTrack: track', track);
    this.#requireInitialized('addTrack');
    if (this.#trackOf(track.kind)) throw new RtcError4(ErrorCode.INVALID_OPERATION, `the stream has a track of ${track.kind} already: call replaceTrack`);
    await this.#put(track.kind, track);
  }

  async removeTrack(track: MediaStreamTrack): Promise<void> {
    requireTrack('removeTrack: track', track);
    this.#requireInitialized('removeTrack');
    if (track !== this.#trackOf(track.kind)) throw wrong('removeTrack: the stream does not have this track');
    await this.#put(track.kind, undefined);
  }

  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    requireTrack('replaceTrack: track', track);
    this.#requireInitialized('replaceTrack');
    if (!this.#trackOf(track.kind)) throw wrong(`replaceTrack: the stream has no track of ${track.kind}: call addTrack`);
    await this.#put(track.kind, track);
  }

  #trackOf(kind: string): MediaStreamTrack | undefined {
    return kind === 'audio' ? this.#audioTrack : this.#videoTrack;
  }

  #requireInitialized(method: string): void {
    if (!this.#isInitialized) throw new RtcError4(ErrorCode.INVALID_OPERATION, `${method}: call initialize first`);
  }

  /** Another camera or microphone. */
  async switchDevice(type: Kind, deviceId: string): Promise<void> {
    if (type !== 'audio' && type !== 'video') throw wrong("switchDevice: type must be 'audio' or 'video'");
    if (typeof deviceId !== 'string') throw wrong('switchDevice: deviceId must be a string');
    const { audio, screen, audioSource, videoSource } = this.config;
    if ((screen && (type === 'video' || !audio)) || audioSource || videoSource) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'switchDevice: the stream is not of a device that could be switched');
    const isFacing = type === 'video' && (deviceId === 'user' || deviceId === 'environment');
    const chosen = type === 'audio' ? { microphoneId: deviceId } : isFacing ? { facingMode: deviceId, cameraId: undefined } : { cameraId: deviceId };
    // `initialize` opens it then.
    if (!this.#isInitialized) return void (this.#devices = { ...this.#devices, ...chosen } as typeof this.config);
    if (!this.#trackOf(type)) throw wrong(`switchDevice: the stream has no ${type}: call addTrack`);
    await in4(async () => {
      // What there is goes on where there is no other.
      const isThere = isFacing || (await isDevice(`${type}input`, deviceId));
      if (!isThere) throw new RtcError4(ErrorCode.INITIALIZE_FAILED, `there is no device ${deviceId}`, { name: 'OverconstrainedError' });
      this.#devices = { ...this.#devices, ...chosen } as typeof this.config;
      if (type === 'audio') {
        const track = await this.#openMicrophone();
        this.#audioTrack?.stop();
        return this.#put('audio', track);
      }
      // Many phones open only one camera at a time.
      this.#videoTrack?.stop();
      return this.#put('video', await this.#openCamera(this.#devices));
    }, ErrorCode.INITIALIZE_FAILED);
  }

  async #put(kind: string, track: MediaStreamTrack | undefined): Promise<void> {
    if (kind === 'audio') this.#audioTrack = track;
    else this.#videoTrack = track;
    const isMuted = kind === 'audio' ? this.muted.audio : this.muted.video;
    if (track && isMuted) track.enabled = false;
    if (this.isShown) this.#show();
    await in4(async () => this.published?.onTracks());
  }

  // On and off

  muteAudio(): boolean {
    return this.#mute('audio', true);
  }

  unmuteAudio(): boolean {
    return this.#mute('audio', false);
  }

  muteVideo(): boolean {
    return this.#mute('video', true);
  }

  unmuteVideo(): boolean {
    return this.#mute('video', false);
  }

  #mute(kind: Kind, isMuted: boolean): boolean {
    const track = this.#trackOf(kind);
    if (!track) return false;
    track.enabled = !isMuted;
    this.muted[kind] = isMuted;
    this.published?.onMute(kind).catch((error: unknown) => log.warn('the others were not told', error));
    return true;
  }

  // Shown

  async play(view: string | HTMLElement, options: PlaybackOptions = {}): Promise<void> {
    await in4(async () => {
      const { screen, facingMode, mirror = !screen && facingMode !== 'environment' } = this.config;
      this.place(view, options, { objectFit: screen ? 'contain' : 'cover', mirror });
      if (options.muted !== undefined) this.isMuted = options.muted;
      if (options.muted === false) this.#isPlayedAloud = true;
      this.#show();
    });
  }

  /** One's own sound is played where that is asked for, and told of as if it were where not. */
  #show(): void {
    const sound = this.#audioTrack;
    if (sound && this.#isPlayedAloud) this.audio.play(sound);
    else if (!sound) this.audio.stop();
    if (sound && !this.#isPlayedAloud && !this.#isToldPlaying) this.emit('player-state-changed', { type: 'audio', state: 'PLAYING', reason: 'playing' });
    this.#isToldPlaying = sound !== undefined;
    this.showPicture(this.#videoTrack ?? null);
  }

  override stop(): void {
    super.stop();
    this.#isToldPlaying = this.#isPlayedAloud = false;
  }

  getAudioLevel(): number {
    const track = this.#audioTrack;
    if (track !== this.#meter?.track) {
      this.#meter?.meter.close();
      this.#meter = track && { meter: new Meter(track), track };
    }
    return track?.enabled ? (this.#meter?.meter.level ?? 0) : 0;
  }

  /** Lets the devices go, and with them what the page gave. */
  override close(): void {
    super.close();
    this.#isInitialized = false;
    this.#meter?.meter.close();
    this.#meter = undefined;
    this.#audioTrack?.stop();
    this.#videoTrack?.stop();
    this.#audioTrack = this.#videoTrack = undefined;
  }
}

async function isDevice(kind: string, id: string): Promise<boolean> {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.some((device) => device.kind === kind && device.deviceId === id);
}

/** Names that no version knows are found in pages; they change nothing, as with the original, but for a word. */
function isKnown(profiles: object, profile: unknown): boolean {
  if (typeof profile === 'object' && profile !== null) return true;
  if (typeof profile !== 'string') throw wrong('a profile is a name, or an object with what it is to be');
  if (Object.hasOwn(profiles, profile)) return true;
  log.warn(`there is no profile ${profile}: the stream stays as it is; there are ${Object.keys(profiles).join(', ')}`);
  return false;
}
