import { Meter, openCamera, openMicrophone, openScreen } from '../capture.js';
import { log } from '../log.js';
import { AUDIO_PROFILES, SCREEN_PROFILES, VIDEO_PROFILES, type VideoProfile, profileOf } from '../profiles.js';
import { ErrorCode, RtcError4, in4, requireTrack, wrong } from './errors.js';
import { type PlayOptions, Stream } from './stream.js';

export interface StreamConfig {
  userId?: string;
  audio?: boolean;
  video?: boolean;
  screen?: boolean;
  screenAudio?: boolean;
  audioSource?: MediaStreamTrack;
  videoSource?: MediaStreamTrack;
  cameraId?: string;
  microphoneId?: string;
  facingMode?: 'user' | 'environment';
  mirror?: boolean;
}

type VideoProfileName = keyof typeof VIDEO_PROFILES;
type ScreenProfileName = keyof typeof SCREEN_PROFILES;
type AudioProfileName = keyof typeof AUDIO_PROFILES;

/** What a client that publishes it does when something of it changes. */
export interface Published {
  onTracks(): Promise<void>;
  onMute(kind: 'audio' | 'video'): Promise<void>;
}

/** A microphone, a camera or a screen: opened by `initialize`, shown by `play`, sent by a client's `publish`. */
export class LocalStream extends Stream {
  readonly config: StreamConfig;
  #audioTrack: MediaStreamTrack | undefined;
  #videoTrack: MediaStreamTrack | undefined;
  #isInitialized = false;
  #audioProfile: AudioProfileName = 'standard';
  #videoProfile: VideoProfileName | Partial<VideoProfile> = '480p';
  #screenProfile: ScreenProfileName | Partial<VideoProfile> = '1080p';
  #captureVolume = 100;
  #meter: { meter: Meter; track: MediaStreamTrack } | undefined;
  readonly muted = { audio: false, video: false };
  /** Set by the client while it is published. */
  published: Published | undefined;

  constructor(config: StreamConfig) {
    super(config?.userId ?? '');
    if (!config) throw wrong('createStream: say what the stream is made of');
    for (const name of ['audio', 'video', 'screen', 'screenAudio', 'mirror'] as const) {
      if (config[name] != null && typeof config[name] !== 'boolean') throw wrong(`createStream: ${name} must be a boolean`);
    }
    for (const name of ['audioSource', 'videoSource'] as const) if (config[name] != null) requireTrack(`createStream: ${name}`, config[name]);
    if (config.screen && config.video) throw wrong('a stream has a camera or a screen: create one of each');
    this.config = config;
  }

  getType(): 'local' {
    return 'local';
  }

  /** Opens what it is made of, once. */
  async initialize(): Promise<void> {
    if (this.#isInitialized) return;
    await in4(async () => {
      const { audio, video, screen, screenAudio, audioSource, videoSource, microphoneId } = this.config;
      this.#audioTrack = audioSource ?? undefined;
      this.#videoTrack = videoSource ?? undefined;
      if (screen && !videoSource) {
        const opened = await openScreen({ systemAudio: screenAudio }, profileOf(SCREEN_PROFILES, this.#screenProfile, '1080p'));
        opened.video.addEventListener('ended', () => this.emit('screen-sharing-stopped'));
        this.#videoTrack = opened.video;
        this.#audioTrack ??= opened.audio;
      } else if (video && !videoSource) this.#videoTrack = await this.#openCamera(this.config);
      if (audio && !this.#audioTrack) this.#audioTrack = await openMicrophone({ microphoneId, profile: this.#audioProfile });
    }, ErrorCode.INITIALIZE_FAILED);
    this.#isInitialized = true;
  }

  #openCamera({ cameraId, facingMode }: Pick<StreamConfig, 'cameraId' | 'facingMode'>): Promise<MediaStreamTrack> {
    const useFrontCamera = facingMode === undefined ? undefined : facingMode === 'user';
    return openCamera({ cameraId, useFrontCamera, profile: profileOf(VIDEO_PROFILES, this.#videoProfile, '480p') });
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

  async setAudioCaptureVolume(volume: number): Promise<void> {
    this.#captureVolume = volume;
    await this.published?.onTracks();
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
    const former = track.kind === 'audio' ? this.#audioTrack : this.#videoTrack;
    if (former) throw new RtcError4(ErrorCode.INVALID_OPERATION, `the stream has a track of ${track.kind} already: call replaceTrack`);
    await this.#put(track.kind, track);
  }

  async removeTrack(track: MediaStreamTrack): Promise<void> {
    requireTrack('removeTrack: track', track);
    if (track !== this.#audioTrack && track !== this.#videoTrack) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'the stream does not have this track');
    await this.#put(track.kind, undefined);
  }

  async replaceTrack(track: MediaStreamTrack): Promise<void> {
    requireTrack('replaceTrack: track', track);
    await this.#put(track.kind, track);
  }

  /** Another camera or microphone. */
  async switchDevice(type: 'audio' | 'video', deviceId: string): Promise<void> {
    if (type !== 'audio' && type !== 'video') throw wrong("switchDevice: type must be 'audio' or 'video'");
    if (typeof deviceId !== 'string') throw wrong('switchDevice: deviceId must be a string');
    if (!this.#isInitialized) throw new RtcError4(ErrorCode.INVALID_OPERATION, 'call initialize first');
    await in4(async () => {
      if (type === 'audio') {
        const track = await openMicrophone({ microphoneId: deviceId, profile: this.#audioProfile });
        this.#audioTrack?.stop();
        await this.#put('audio', track);
        return;
      }
      // Many phones open only one camera at a time.
      this.#videoTrack?.stop();
      const isFacing = deviceId === 'user' || deviceId === 'environment';
      await this.#put('video', await this.#openCamera(isFacing ? { facingMode: deviceId } : { cameraId: deviceId }));
    }, ErrorCode.INITIALIZE_FAILED);
  }

  async #put(kind: string, track: MediaStreamTrack | undefined): Promise<void> {
    if (kind === 'audio') this.#audioTrack = track;
    else this.#videoTrack = track;
    const isMuted = kind === 'audio' ? this.muted.audio : this.muted.video;
    if (track && isMuted) track.enabled = false;
    if (this.isShown && kind === 'video' && track) this.video.play(track);
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

  #mute(kind: 'audio' | 'video', isMuted: boolean): boolean {
    const track = kind === 'audio' ? this.#audioTrack : this.#videoTrack;
    if (!track) return false;
    track.enabled = !isMuted;
    this.muted[kind] = isMuted;
    void this.published?.onMute(kind);
    return true;
  }

  // Shown

  async play(view: string | HTMLElement, options: PlayOptions = {}): Promise<void> {
    await in4(() => {
      const isMirrored = options.mirror ?? this.config.mirror ?? (!this.config.screen && this.config.facingMode !== 'environment');
      this.show(view, { objectFit: this.config.screen ? 'contain' : 'cover', ...options, mirror: isMirrored });
      // One's own sound is not played here.
      if (this.#videoTrack) this.video.play(this.#videoTrack);
      return Promise.resolve();
    });
  }

  getAudioLevel(): number {
    const track = this.#audioTrack;
    if (track !== this.#meter?.track) {
      this.#meter?.meter.close();
      this.#meter = track && { meter: new Meter(track), track };
    }
    return track?.enabled ? (this.#meter?.meter.level ?? 0) : 0;
  }

  /** Lets the devices go. */
  override close(): void {
    super.close();
    this.#meter?.meter.close();
    this.#meter = undefined;
    if (!this.config.audioSource) this.#audioTrack?.stop();
    if (!this.config.videoSource) this.#videoTrack?.stop();
    this.#audioTrack = this.#videoTrack = undefined;
    this.#isInitialized = false;
  }
}

/** Names that no version knows are found in pages; they change nothing, as with the original, but for a word. */
function isKnown(profiles: object, profile: unknown): boolean {
  if (typeof profile === 'object' && profile !== null) return true;
  if (typeof profile !== 'string') throw wrong('a profile is a name, or an object with what it is to be');
  if (Object.hasOwn(profiles, profile)) return true;
  log.warn(`there is no profile ${profile}: the stream stays as it is; there are ${Object.keys(profiles).join(', ')}`);
  return false;
}
