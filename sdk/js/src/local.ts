import { Mixer, openCamera, openMicrophone, openScreen } from './capture.js';
import type { LocalAudioConfig, LocalVideoConfig, MediaType, PublishReason, PublishState, ScreenShareConfig, StreamType } from './api.js';
import { RtcError, aborted, named, wrongMoment } from './errors.js';
import { layeringFor, requireLayering } from './layering.js';
import { log } from './log.js';
import type { StreamKind } from './peer.js';
import { Playing } from './playing.js';
import { AUDIO_PROFILES, SCREEN_PROFILES, VIDEO_PROFILES, type VideoProfile, profileOf } from './profiles.js';
import type { Encoding, Publishing } from './publisher.js';
import type { Streams } from './session.js';
import type { Choice, Stage } from './stage.js';
import { Turns } from './turns.js';
import { VideoPlayer, type ViewOptions } from './views.js';

export const MEDIA_TYPES: Record<StreamKind, MediaType> = { audio: 'audio', main: 'video', sub: 'screen' };

interface LocalAudio {
  config: LocalAudioConfig;
  source: MediaStreamTrack;
  isOwn: boolean;
  playing: Playing;
}

interface LocalPicture {
  track: MediaStreamTrack;
  player: VideoPlayer;
  isOwn: boolean;
}

/** One's own microphone, camera and screen: opened, shown, and published while one is in a room. */
export class LocalMedia {
  readonly #stage: Stage;
  #localAudio: LocalAudio | undefined;
  #mixer: Mixer | undefined;
  #localVideo: (LocalPicture & { config: LocalVideoConfig }) | undefined;
  #screen: (LocalPicture & { config: ScreenShareConfig; audio: MediaStreamTrack | undefined }) | undefined;
  readonly #published = new Map<StreamKind, PublishState>();
  /** What the server says it lets through. */
  readonly #listed = new Set<StreamKind>();
  /** A device is opened, changed and closed in the order it was asked for. Publishing follows what is then, in the room's turns. */
  readonly #turns: Record<StreamKind, Turns> = { audio: new Turns(), main: new Turns(), sub: new Turns() };

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** The track of a kind, as it was opened; of a screen's sound with `isSound`. */
  track(kind: StreamKind, isSound = false): MediaStreamTrack | undefined {
    if (kind === 'audio') return this.#localAudio?.source;
    if (kind === 'main') return this.#localVideo?.track;
    return isSound ? this.#screen?.audio : this.#screen?.track;
  }

  player(streamType: StreamType): VideoPlayer | undefined {
    return streamType === 'main' ? this.#localVideo?.player : this.#screen?.player;
  }

  /** One is in a room no more. */
  leave(): void {
    for (const kind of this.#published.keys()) this.#setPublished(kind, 'stopped', 'api-call');
    this.#listed.clear();
  }

  /** Closes all devices. */
  close(): void {
    this.#endAudio();
    this.#endVideo();
    this.#endScreen();
    this.#mixer?.close();
  }

  // Own audio

  async startLocalAudio(config: LocalAudioConfig = {}): Promise<void> {
    await named('startLocalAudio', async () => {
      const choice = this.#choose('startLocalAudio', config);
      const started = await this.#turns.audio.take(async () => {
        if (this.#localAudio) throw aborted('startLocalAudio', 'the microphone is on already: call updateLocalAudio');
        const { audioTrack } = config.option ?? {};
        const source = audioTrack ?? (await openMicrophone(config.option ?? {}));
        source.enabled = !config.mute;
        const playing = new Playing((state, reason) => this.#stage.tell('audio-play-state-changed', { userId: '', state, reason }));
        this.#localAudio = { config, source, isOwn: !audioTrack, playing };
        this.#tellTrack('audio', source, !audioTrack);
        playing.follow(source);
        playing.set('PLAYING', 'playing');
        return this.#localAudio;
      });
      try {
        await this.#follow('audio', choice);
      } catch (error) {
        if (this.#localAudio === started) this.#endAudio();
        throw error;
      }
    });
  }

  async updateLocalAudio(config: LocalAudioConfig): Promise<void> {
    await named('updateLocalAudio', async () => {
      const choice = config.publish ? this.#choose('updateLocalAudio', config) : undefined;
      await this.#turns.audio.take(async () => {
        const audio = this.#localAudio;
        if (!audio) throw aborted('updateLocalAudio', 'the microphone is off: call startLocalAudio first');
        const option = { ...audio.config.option, ...config.option };
        const { microphoneId, audioTrack, echoCancellation, autoGainControl, noiseSuppression } = config.option ?? {};
        const isAnother = [microphoneId, echoCancellation, autoGainControl, noiseSuppression].some((value) => value !== undefined);
        if (audioTrack || isAnother) {
          const fresh = audioTrack ?? (await openMicrophone(option));
          if (audio.isOwn) audio.source.stop();
          audio.source = fresh;
          audio.isOwn = !audioTrack;
          audio.playing.follow(fresh);
          this.#tellTrack('audio', fresh, !audioTrack);
        }
        audio.config = { ...audio.config, ...config, option };
        audio.source.enabled = !audio.config.mute;
      });
      await this.#follow('audio', choice);
    });
  }

  async stopLocalAudio(): Promise<void> {
    await named('stopLocalAudio', async () => {
      await this.#turns.audio.take(() => this.#endAudio());
      await this.#follow('audio');
    });
  }

  /** The microphone, and the sound that comes with the screen. */
  async #publishAudio(): Promise<void> {
    const { config } = this.#localAudio ?? {};
    const microphone = config?.publish === false ? undefined : this.#localAudio;
    const system = this.#screen?.config.publish === false ? undefined : this.#screen?.audio;
    if (!microphone && !system) {
      this.#mixer?.close();
      this.#mixer = undefined;
      await this.unpublish('audio', 'api-call');
      return;
    }
    const track = this.#mix(microphone, system);
    const isMuted = (!microphone || Boolean(config?.mute)) && !system?.enabled;
    const { bitrate, isDiscontinuous } = AUDIO_PROFILES[config?.option?.profile ?? 'standard'];
    await this.#publish('audio', track, { audioBitrate: bitrate, isDiscontinuous, isMuted });
  }

  #mix(microphone: LocalAudio | undefined, system: MediaStreamTrack | undefined): MediaStreamTrack {
    const volume = microphone?.config.option?.captureVolume ?? 100;
    if (microphone && !system && volume === 100 && !this.#mixer) return microphone.source;
    this.#mixer ??= new Mixer();
    this.#mixer.set('microphone', microphone?.source, volume);
    this.#mixer.set('system', system, 100);
    return this.#mixer.track;
  }

  #endAudio(): void {
    const audio = this.#localAudio;
    this.#localAudio = undefined;
    if (audio?.isOwn) audio.source.stop();
    audio?.playing.end();
  }

  // Own video

  async startLocalVideo(config: LocalVideoConfig = {}): Promise<void> {
    await named('startLocalVideo', async () => {
      const choice = this.#choose('startLocalVideo', config);
      const started = await this.#turns.main.take(async () => {
        if (this.#localVideo) throw aborted('startLocalVideo', 'the camera is on already: call updateLocalVideo');
        requireLayering('startLocalVideo', config.option ?? {});
        const { videoTrack, cameraId, useFrontCamera, profile } = config.option ?? {};
        const track = videoTrack ?? (await openCamera({ cameraId, useFrontCamera, profile: profileOf(VIDEO_PROFILES, profile, '480p') }));
        track.enabled = !config.mute;
        this.#tellTrack('main', track, !videoTrack);
        return (this.#localVideo = { track, player: this.#localPlayer('main'), isOwn: !videoTrack, config });
      });
      if (this.#localVideo !== started) return;
      try {
        started.player.show(config.view, localView(config.option, config.option?.useFrontCamera !== false));
        started.player.play(started.track);
        await this.#follow('main', choice);
      } catch (error) {
        if (this.#localVideo === started) this.#endVideo();
        throw error;
      }
    });
  }

  async updateLocalVideo(config: LocalVideoConfig): Promise<void> {
    await named('updateLocalVideo', async () => {
      const choice = config.publish ? this.#choose('updateLocalVideo', config) : undefined;
      await this.#turns.main.take(async () => {
        const video = this.#localVideo;
        if (!video) throw aborted('updateLocalVideo', 'the camera is off: call startLocalVideo first');
        const option = { ...video.config.option, ...config.option };
        requireLayering('updateLocalVideo', option);
        const { cameraId, useFrontCamera, videoTrack, profile } = config.option ?? {};
        if (videoTrack) {
          if (video.isOwn) video.track.stop();
          Object.assign(video, { track: videoTrack, isOwn: false });
          this.#tellTrack('main', videoTrack, false);
        } else if (cameraId !== undefined || useFrontCamera !== undefined) {
          // Many phones open only one camera at a time.
          if (video.isOwn) video.track.stop();
          const wanted = cameraId !== undefined ? { cameraId } : { useFrontCamera };
          const track = await openCamera({ ...wanted, profile: profileOf(VIDEO_PROFILES, option.profile, '480p') });
          Object.assign(video, { track, isOwn: true });
          this.#tellTrack('main', track, true);
        } else if (profile && video.isOwn) {
          const { width, height, frameRate } = profileOf(VIDEO_PROFILES, profile, '480p');
          await video.track.applyConstraints({ width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } });
        }
        const { view } = config;
        video.config = { ...video.config, ...config, option };
        video.track.enabled = !video.config.mute;
        video.player.show(view, localView(option, option.useFrontCamera !== false));
        video.player.play(video.track);
      });
      await this.#follow('main', choice);
    });
  }

  async stopLocalVideo(): Promise<void> {
    await named('stopLocalVideo', async () => {
      await this.#turns.main.take(() => this.#endVideo());
      await this.#follow('main');
    });
  }

  async #publishVideo(): Promise<void> {
    const video = this.#localVideo;
    if (!video || video.config.publish === false) {
      await this.unpublish('main', 'api-call');
      return;
    }
    const isMuted = Boolean(video.config.mute);
    const { profile, small, qosPreference = 'smooth' } = video.config.option ?? {};
    const encoding: Encoding = {
      ...actual(video.track, profileOf(VIDEO_PROFILES, profile, '480p')),
      qosPreference,
      isSimulcast: small !== false,
      ...layeringFor(video.config.option ?? {}),
    };
    await this.#publish('main', video.track, { encoding, isMuted });
  }

  #endVideo(): void {
    const video = this.#localVideo;
    this.#localVideo = undefined;
    if (video?.isOwn) video.track.stop();
    video?.player.stop();
  }

  // Screen

  async startScreenShare(config: ScreenShareConfig = {}): Promise<void> {
    await named('startScreenShare', async () => {
      const choice = this.#choose('startScreenShare', config);
      const started = await this.#turns.sub.take(async () => {
        if (this.#screen) throw aborted('startScreenShare', 'the screen is shared already: call updateScreenShare');
        requireLayering('startScreenShare', config.option ?? {});
        const { videoTrack, audioTrack, profile, systemAudio = false, preferDisplaySurface } = config.option ?? {};
        const opened = videoTrack
          ? { video: videoTrack, audio: audioTrack }
          : await openScreen({ profile: profileOf(SCREEN_PROFILES, profile, '1080p'), systemAudio, preferDisplaySurface });
        // The browser's own button ends it too.
        opened.video.addEventListener('ended', () => {
          if (this.#screen?.track !== opened.video) return;
          void this.stopScreenShare().catch((error: unknown) => log.warn('the end of screen sharing', error));
          this.#stage.tell('screen-share-stopped');
        });
        if (opened.audio && config.muteSystemAudio) opened.audio.enabled = false;
        this.#tellTrack('sub', opened.video, !videoTrack);
        return (this.#screen = { track: opened.video, player: this.#localPlayer('sub'), isOwn: !videoTrack, config, audio: opened.audio });
      });
      if (this.#screen !== started) return;
      try {
        started.player.show(config.view, { fillMode: config.option?.fillMode ?? 'contain' });
        started.player.play(started.track);
        await this.#follow('sub', choice);
      } catch (error) {
        if (this.#screen === started) this.#endScreen();
        throw error;
      }
    });
  }

  async updateScreenShare(config: ScreenShareConfig): Promise<void> {
    await named('updateScreenShare', async () => {
      const choice = config.publish ? this.#choose('updateScreenShare', config) : undefined;
      await this.#turns.sub.take(async () => {
        const screen = this.#screen;
        if (!screen) throw aborted('updateScreenShare', 'the screen is not shared: call startScreenShare first');
        const option = { ...screen.config.option, ...config.option };
        requireLayering('updateScreenShare', option);
        if (config.option?.videoTrack) {
          if (screen.isOwn) screen.track.stop();
          Object.assign(screen, { track: config.option.videoTrack, isOwn: false });
          this.#tellTrack('sub', config.option.videoTrack, false);
        }
        screen.config = { ...screen.config, ...config, option };
        if (screen.audio && config.muteSystemAudio !== undefined) screen.audio.enabled = !config.muteSystemAudio;
        screen.player.show(config.view, { fillMode: option.fillMode ?? 'contain' });
        screen.player.play(screen.track);
      });
      await this.#follow('sub', choice);
    });
  }

  async stopScreenShare(): Promise<void> {
    await named('stopScreenShare', async () => {
      await this.#turns.sub.take(() => this.#endScreen());
      await this.#follow('sub');
    });
  }

  async #publishScreen(): Promise<void> {
    const screen = this.#screen;
    if (!screen || screen.config.publish === false) {
      await this.unpublish('sub', 'api-call');
      return;
    }
    const { profile, qosPreference = 'clear' } = screen.config.option ?? {};
    const size = profileOf(SCREEN_PROFILES, profile, '1080p');
    const encoding: Encoding = { ...size, qosPreference, isSimulcast: false, ...layeringFor(screen.config.option ?? {}) };
    await this.#publish('sub', screen.track, { encoding });
  }

  #endScreen(): void {
    const screen = this.#screen;
    this.#screen = undefined;
    if (screen?.isOwn) {
      screen.track.stop();
      screen.audio?.stop();
    }
    screen?.player.stop();
  }

  // Publishing

  /** Who is in the audience by its own choice does not publish; who chooses otherwise before it comes to that, may. */
  #choose(functionName: string, { publish }: { publish?: boolean }): Choice {
    const { choice } = this.#stage;
    if (choice.role === 'audience' && publish !== false) throw inAudience(functionName);
    return choice;
  }

  /** Publishes what is wanted of a kind by then, or takes it back, in the room's turn. `choice` is the role's when it was asked for. */
  #follow(kind: StreamKind, choice?: Choice): Promise<void> {
    return this.#stage.inTurn(async () => {
      await this.#settle(kind);
      const isRefused = this.#stage.role === 'audience' && this.#stage.choice === choice;
      if (isRefused && this.#isWanted(kind)) throw inAudience('');
    });
  }

  /** The same for all that was started before entering, or in another role; in the room's turn. */
  async followAll(): Promise<void> {
    for (const kind of ['audio', 'main', 'sub'] as const) {
      await this.#settle(kind).catch((error: unknown) => log.warn(`${MEDIA_TYPES[kind]} is not published`, error));
    }
  }

  #isWanted(kind: StreamKind): boolean {
    const of = { audio: this.#localAudio, main: this.#localVideo, sub: this.#screen }[kind];
    return of !== undefined && of.config.publish !== false;
  }

  async #settle(kind: StreamKind): Promise<void> {
    if (this.#stage.role !== 'anchor') await this.unpublish(kind, 'api-call');
    else if (kind === 'audio') await this.#publishAudio();
    else if (kind === 'main') await this.#publishVideo();
    else await this.#publishScreen();
    // A screen brings its sound, and takes it along.
    if (kind === 'sub' && this.#stage.role === 'anchor') await this.#publishAudio();
  }

  async #publish(kind: StreamKind, track: MediaStreamTrack, how: Publishing): Promise<void> {
    const session = this.#stage.session;
    if (!session?.isInRoom) return;
    if (!session.canSeal) {
      throw wrongMoment('', 'there is no key to encrypt with: call enableEncryption without publish: false first');
    }
    if (!session.publisher.has(kind)) {
      this.#listed.delete(kind);
      this.#setPublished(kind, 'starting', 'api-call');
    }
    try {
      await session.publisher.publish(kind, track, how);
    } catch (error) {
      // Whoever has left wants nothing published any more.
      if (this.#stage.session !== session) return;
      const failure = RtcError.from(error, '');
      this.#setPublished(kind, 'stopped', 'error', failure);
      throw failure;
    }
    if (this.#stage.session === session && session.isInRoom && session.publisher.has(kind)) this.#setPublished(kind, 'started', 'api-call');
  }

  /** Takes a stream back; its device stays as it is. */
  async unpublish(kind: StreamKind, reason: PublishReason): Promise<void> {
    const session = this.#stage.session;
    if (!session?.isInRoom || !session.publisher.has(kind)) return;
    try {
      await session.publisher.unpublish(kind);
    } catch (error) {
      // The server is told as soon as it can be; it has forgotten what it does not let through.
      log.info('a stream was not taken back yet', error);
    }
    if (this.#stage.session === session) this.#setPublished(kind, 'stopped', reason);
  }

  #setPublished(kind: StreamKind, state: PublishState, reason: PublishReason, error?: RtcError): void {
    const prevState = this.#published.get(kind) ?? 'stopped';
    if (prevState === state) return;
    this.#published.set(kind, state);
    const why = state === 'stopped' ? { reason, ...(error ? { error } : {}) } : {};
    this.#stage.tell('publish-state-changed', { mediaType: MEDIA_TYPES[kind], state, prevState, ...why });
  }

  /** What the server lets through of what one publishes. */
  compare(streams: Streams): void {
    const session = this.#stage.session;
    if (!session?.isInRoom) return;
    for (const kind of ['audio', 'main', 'sub'] as const) {
      if (!session.publisher.has(kind)) continue;
      // What is on its way is not listed yet.
      if (streams.has(kind)) {
        this.#listed.add(kind);
        this.#setPublished(kind, 'started', 'api-call');
      } else if (this.#listed.delete(kind)) this.#setPublished(kind, 'stopped', 'error');
    }
  }

  /** One in charge of the room switched a device off: it is off until the page switches it on again. */
  async closeDevice(kind: StreamKind): Promise<void> {
    try {
      if (kind === 'audio' && this.#localAudio) await this.updateLocalAudio({ mute: true });
      else if (kind === 'main' && this.#localVideo) await this.updateLocalVideo({ mute: true });
      else if (kind === 'sub') await this.stopScreenShare();
    } catch (error) {
      log.info('a device that was to be off', error);
    }
  }

  #localPlayer(streamType: StreamType): VideoPlayer {
    return new VideoPlayer({
      onState: (state, reason) => this.#stage.tell('video-play-state-changed', { userId: '', streamType, state, reason }),
      onFirstFrame: (width, height) => this.#stage.tell('first-video-frame', { userId: '', streamType, width, height }),
      onSize: (newWidth, newHeight) => {
        const userId = this.#stage.session?.userId ?? '';
        this.#stage.tell('video-size-changed', { userId, streamType, newWidth, newHeight });
      },
      onAutoplayFailed: (resume) => this.#stage.tell('autoplay-failed', { userId: '', mediaType: streamType === 'main' ? 'video' : 'screen', resume }),
    });
  }

  /** Tells of a track of one's own, and of the device it comes from. */
  #tellTrack(kind: StreamKind, track: MediaStreamTrack, isDevice: boolean): void {
    this.#stage.tell('track', { userId: '', streamType: kind === 'sub' ? 'sub' : 'main', track, sourceTrack: track });
    if (isDevice && kind !== 'sub') void this.#tellActive(kind === 'audio' ? 'microphone' : 'camera', track.getSettings().deviceId);
  }

  async #tellActive(type: 'camera' | 'microphone', deviceId: string | undefined): Promise<void> {
    const devices = await navigator.mediaDevices.enumerateDevices();
    const kind = type === 'camera' ? 'videoinput' : 'audioinput';
    const device = devices.find((one) => one.kind === kind && one.deviceId === deviceId);
    if (device) this.#stage.tell('device-changed', { type, action: 'active', device });
  }
}

function inAudience(functionName: string): RtcError {
  return wrongMoment(functionName, "an audience member does not publish: call switchRole('anchor') first", 5107);
}

/** What the camera really gives, which may be less than was asked for. */
function actual(track: MediaStreamTrack, profile: VideoProfile): VideoProfile {
  const { width, height } = track.getSettings();
  return width && height ? { ...profile, width, height } : profile;
}

function localView(option: LocalVideoConfig['option'], isFront: boolean): ViewOptions {
  const { fillMode, mirror } = option ?? {};
  // 'view' and 'both' mirror what oneself sees, 'publish' what others see, which browsers cannot.
  const isMirrored = mirror === undefined ? isFront : mirror === true || mirror === 'view' || mirror === 'both';
  return { fillMode: fillMode ?? 'cover', mirror: isMirrored };
}
