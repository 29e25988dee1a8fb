import { Mixer, openCamera, openMicrophone, openScreen } from './capture.js';
import type { LocalAudioConfig, LocalVideoConfig, MediaType, PublishReason, PublishState, ScreenShareConfig, StreamType } from './api.js';
import { ERROR_CODE, RtcError, aborted, destroyed, invalid, named, wrongMoment } from './errors.js';
import { layeringFor, requireLayering } from './layering.js';
import { log } from './log.js';
import { recover } from './lost.js';
import { OPTIONS, check, checkChange } from './options.js';
import type { StreamKind } from './peer.js';
import { type Change, Picture, loadImage } from './picture.js';
import type { Effect, Filter } from './plugin.js';
import { Playing } from './playing.js';
import { AUDIO_PROFILES, SCREEN_PROFILES, VIDEO_PROFILES, type VideoProfile, profileOf } from './profiles.js';
import type { Encoding, Publishing } from './publisher.js';
import type { Streams } from './session.js';
import { tellSpeaker } from './speakers.js';
import type { Choice, Stage } from './stage.js';
import { Turns } from './turns.js';
import { VideoPlayer, type ViewOptions } from './views.js';

export const MEDIA_TYPES: Record<StreamKind, MediaType> = { audio: 'audio', main: 'video', sub: 'screen' };

interface LocalAudio {
  config: LocalAudioConfig;
  source: MediaStreamTrack;
  isOwn: boolean;
  playing: Playing;
  /** What is sent while it is muted and yet measured. */
  silent: MediaStreamTrack | undefined;
  /** Lets one hear oneself. */
  monitor: HTMLAudioElement | undefined;
}

interface LocalPicture {
  track: MediaStreamTrack;
  player: VideoPlayer;
  isOwn: boolean;
}

interface LocalVideo extends LocalPicture {
  config: LocalVideoConfig;
  /** What is shown to the others while it is muted. */
  image: HTMLImageElement | undefined;
  /** What is sent, where that is not the track itself. */
  picture: Picture | undefined;
}

/** One's own microphone, camera and screen: opened, shown, and published while one is in a room. */
export class LocalMedia {
  readonly #stage: Stage;
  #localAudio: LocalAudio | undefined;
  #mixer: Mixer | undefined;
  #localVideo: LocalVideo | undefined;
  #screen: (LocalPicture & { config: ScreenShareConfig; audio: MediaStreamTrack | undefined }) | undefined;
  /** What plugins do, by their names. */
  readonly #effects = new Map<string, Effect>();
  readonly #sounds = new Map<string, MediaStreamTrack>();
  #filter: Filter | undefined;
  /** The sound that is sent, or would be. */
  #mixed: MediaStreamTrack | undefined;
  #hasToldSpeaker = false;
  #isClosed = false;
  readonly #published = new Map<StreamKind, PublishState>();
  /** What the server says it lets through. */
  readonly #listed = new Set<StreamKind>();
  /** What is being published: what is listed of it is of the time before. */
  readonly #underWay = new Set<StreamKind>();
  /** A device is opened, changed and closed in the order it was asked for. Publishing follows what is then, in the room's turns. */
  readonly #turns: Record<StreamKind, Turns> = { audio: new Turns(), main: new Turns(), sub: new Turns() };

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  /** The track of a kind, as it was opened or, `isProcessed`, as it is sent; of a screen's sound with `isSound`. */
  track(kind: StreamKind, { isSound = false, isProcessed = false } = {}): MediaStreamTrack | undefined {
    if (kind === 'audio') return (isProcessed && this.#localAudio ? this.#mixed : undefined) ?? this.#localAudio?.source;
    if (kind === 'main') return (isProcessed ? this.#localVideo?.picture?.track : undefined) ?? this.#localVideo?.track;
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
    this.#isClosed = true;
    const end: Record<StreamKind, () => void> = { audio: () => this.#endAudio(), main: () => this.#endVideo(), sub: () => this.#endScreen() };
    for (const kind of ['audio', 'main', 'sub'] as const) {
      end[kind]();
      // What is being opened meanwhile goes off when it is there.
      void this.#turns[kind].take(end[kind]);
    }
    this.#mixer?.close();
  }

  // What plugins do

  /** Changes the camera's picture, also of the next camera. */
  async setEffect(name: string, effect: Effect | undefined): Promise<void> {
    await this.#turns.main.take(() => {
      if (effect) this.#effects.set(name, effect);
      else this.#effects.delete(name);
      const video = this.#localVideo;
      if (video) this.#process(video, {});
    });
    await this.#follow('main');
  }

  async setFilter(filter: Filter | undefined): Promise<void> {
    await this.#turns.audio.take(() => void (this.#filter = filter));
    await this.#follow('audio');
  }

  /** A sound that is sent beside the microphone, and as that is sent; without a track, no more. */
  async setSound(name: string, track: MediaStreamTrack | undefined): Promise<void> {
    await this.#turns.audio.take(() => {
      if (track) this.#sounds.set(name, track);
      else this.#sounds.delete(name);
      if (!track) this.#mixer?.set(name, undefined, 0);
    });
    await this.#follow('audio');
  }

  // Own audio

  async startLocalAudio(config: LocalAudioConfig = {}): Promise<void> {
    await named('startLocalAudio', async () => {
      check('startLocalAudio', config, OPTIONS.localAudio);
      const choice = this.#choose('startLocalAudio', config);
      const started = await this.#turns.audio.take(async () => {
        if (this.#localAudio) throw aborted('startLocalAudio', 'the microphone is on already: call updateLocalAudio');
        const { audioTrack } = config.option ?? {};
        const source = audioTrack ?? (await openMicrophone(config.option ?? {}));
        source.enabled = !config.mute;
        const playing = new Playing((state, reason) => this.#stage.tell('audio-play-state-changed', { userId: '', state, reason }));
        const audio = { config, source, isOwn: !audioTrack, playing, silent: undefined, monitor: undefined };
        this.#localAudio = audio;
        this.#tellTrack('audio', source, !audioTrack);
        playing.follow(source);
        playing.set('PLAYING', 'playing');
        monitor(audio);
        return audio;
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
      checkChange('updateLocalAudio', config, OPTIONS.localAudio);
      const choice = config.publish ? this.#choose('updateLocalAudio', config) : undefined;
      await this.#turns.audio.take(async () => {
        const audio = this.#localAudio;
        if (!audio) throw aborted('updateLocalAudio', 'the microphone is off: call startLocalAudio first');
        const option = merged(audio.config.option, config.option);
        const { microphoneId, profile, audioTrack, echoCancellation, autoGainControl, noiseSuppression } = config.option ?? {};
        const isAnother = [microphoneId, profile, echoCancellation, autoGainControl, noiseSuppression].some((value) => value !== undefined);
        if (audioTrack || isAnother) {
          const fresh = audioTrack ?? (await openMicrophone(option));
          if (audio.isOwn) audio.source.stop();
          audio.source = fresh;
          audio.isOwn = !audioTrack;
          audio.playing.follow(fresh);
          this.#tellTrack('audio', fresh, !audioTrack);
          if (microphoneId !== undefined) this.#stage.session?.noteSwitched('microphone');
        }
        audio.config = { ...merged(audio.config, config), option };
        audio.source.enabled = !audio.config.mute;
        monitor(audio);
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

  /** The microphone, the sound that comes with the screen, and what plugins play. */
  async #publishAudio(): Promise<void> {
    const { config } = this.#localAudio ?? {};
    const microphone = config?.publish === false ? undefined : this.#localAudio;
    const system = this.#screen?.config.publish === false || config?.mute === true ? undefined : this.#screen?.audio;
    const sounds = config?.publish === false || config?.mute === true ? [] : [...this.#sounds];
    if (!microphone && !system && sounds.length === 0) {
      this.#mixer?.close();
      this.#mixer = undefined;
      this.#mixed = undefined;
      await this.unpublish('audio', 'api-call');
      return;
    }
    const former = microphone?.silent;
    const track = this.#mix(microphone, system, sounds);
    const isMuted = (!microphone || Boolean(config?.mute)) && !system?.enabled && sounds.length === 0;
    const { bitrate, isDiscontinuous, channelCount } = AUDIO_PROFILES[config?.option?.profile ?? 'standard'];
    const isStereo = channelCount === 2;
    await this.#publish('audio', track, { audioBitrate: bitrate, isDiscontinuous, isStereo, isMuted });
    // What is measured may be heard by this page alone: not before something else is sent.
    if (this.#localAudio === microphone && microphone?.silent && microphone.config.mute) microphone.source.enabled = true;
    if (former && former !== microphone?.silent) former.stop();
  }

  #mix(microphone: LocalAudio | undefined, system: MediaStreamTrack | undefined, sounds: [string, MediaStreamTrack][]): MediaStreamTrack {
    const volume = microphone?.config.option?.captureVolume ?? 100;
    const source = microphone && sent(microphone);
    const own = source && (this.#filter?.apply(source) ?? source);
    if (own && !system && sounds.length === 0 && volume === 100 && !this.#mixer) return (this.#mixed = own);
    this.#mixer ??= new Mixer();
    this.#mixer.set('microphone', own, volume);
    this.#mixer.set('system', system, 100);
    for (const name of this.#sounds.keys()) this.#mixer.set(name, undefined, 0);
    for (const [name, track] of sounds) this.#mixer.set(name, track, 100);
    return (this.#mixed = this.#mixer.track);
  }

  #endAudio(): void {
    const audio = this.#localAudio;
    this.#localAudio = undefined;
    if (audio?.isOwn) audio.source.stop();
    audio?.playing.end();
    audio?.silent?.stop();
    if (audio?.monitor) audio.monitor.srcObject = null;
  }

  // Own video

  async startLocalVideo(config: LocalVideoConfig = {}): Promise<void> {
    await named('startLocalVideo', async () => {
      check('startLocalVideo', config, OPTIONS.localVideo);
      const choice = this.#choose('startLocalVideo', config);
      const started = await this.#turns.main.take(async () => {
        if (this.#localVideo) throw aborted('startLocalVideo', 'the camera is on already: call updateLocalVideo');
        requireLayering('startLocalVideo', config.option ?? {});
        const { videoTrack, cameraId, useFrontCamera, avoidCropping, profile } = config.option ?? {};
        const image = await imageOf('startLocalVideo', config.mute, undefined);
        const track = videoTrack ?? (await openCamera({ cameraId, useFrontCamera, avoidCropping, profile: profileOf(VIDEO_PROFILES, profile, '480p') }));
        const video = { track, player: this.#localPlayer('main'), isOwn: !videoTrack, config, image, picture: undefined };
        process(video, this.#effectsInOrder);
        this.#localVideo = video;
        this.#tellTrack('main', track, !videoTrack);
        return video;
      });
      if (this.#localVideo !== started) return;
      try {
        this.#process(started, config);
        await this.#follow('main', choice);
      } catch (error) {
        if (this.#localVideo === started) this.#endVideo();
        throw error;
      }
    });
  }

  async updateLocalVideo(config: LocalVideoConfig): Promise<void> {
    await named('updateLocalVideo', async () => {
      checkChange('updateLocalVideo', config, OPTIONS.localVideo);
      const choice = config.publish ? this.#choose('updateLocalVideo', config) : undefined;
      await this.#turns.main.take(async () => {
        const video = this.#localVideo;
        if (!video) throw aborted('updateLocalVideo', 'the camera is off: call startLocalVideo first');
        const option = merged(video.config.option, config.option);
        requireLayering('updateLocalVideo', option);
        const { cameraId, useFrontCamera, avoidCropping, videoTrack, profile } = config.option ?? {};
        const image = config.mute === undefined ? video.image : await imageOf('updateLocalVideo', config.mute, video.image);
        const isCutOtherwise = (video.config.option?.avoidCropping ?? false) !== (avoidCropping ?? video.config.option?.avoidCropping ?? false);
        if (videoTrack) {
          if (video.isOwn) video.track.stop();
          Object.assign(video, { track: videoTrack, isOwn: false });
          this.#tellTrack('main', videoTrack, false);
        } else if (cameraId !== undefined || useFrontCamera !== undefined || (isCutOtherwise && video.isOwn)) {
          // Many phones open only one camera at a time.
          if (video.isOwn) video.track.stop();
          const wanted = cameraId || useFrontCamera === undefined ? { cameraId: option.cameraId } : { useFrontCamera };
          const track = await openCamera({ ...wanted, avoidCropping: option.avoidCropping, profile: profileOf(VIDEO_PROFILES, option.profile, '480p') });
          Object.assign(video, { track, isOwn: true });
          this.#tellTrack('main', track, true);
          if (cameraId !== undefined || useFrontCamera !== undefined) this.#stage.session?.noteSwitched('camera');
        } else if (profile && video.isOwn) {
          const { width, height, frameRate } = profileOf(VIDEO_PROFILES, profile, '480p');
          await video.track.applyConstraints({ width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: frameRate } });
        }
        video.config = { ...merged(video.config, config), option };
        video.image = image;
        this.#process(video, config);
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

  get #effectsInOrder(): Effect[] {
    return [...this.#effects.values()].sort((one, other) => one.order - other.order);
  }

  /** Makes of a camera what is to be sent, and shows it where that is wanted, or where it is already. */
  #process(video: LocalVideo, { view }: LocalVideoConfig): void {
    const effects = this.#effectsInOrder;
    const former = process(video, effects);
    const { option } = video.config;
    const shown = localView(option);
    // Oneself sees what has been turned and drawn over too.
    const isChanged = effects.length > 0 || (option?.rotation ?? 0) !== 0;
    // Whose picture is mirrored already sees that.
    const isTwice = video.picture !== undefined && !video.image && isChanged && (option?.mirror === 'publish' || option?.mirror === 'both');
    video.player.show(view, { ...shown, mirror: shown.mirror !== isTwice });
    video.player.play(previewOf(video, isChanged));
    former?.close();
  }

  async #publishVideo(): Promise<void> {
    const video = this.#localVideo;
    if (!video || video.config.publish === false) {
      await this.unpublish('main', 'api-call');
      return;
    }
    // A picture in the camera's place is something to be seen.
    const isMuted = video.config.mute === true;
    const { small, qosPreference = 'smooth' } = video.config.option ?? {};
    const encoding: Encoding = {
      ...sizeOf(video),
      qosPreference,
      isSimulcast: small !== false,
      small: small === undefined || typeof small === 'boolean' ? undefined : profileOf(VIDEO_PROFILES, small, '120p'),
      ...layeringFor(video.config.option ?? {}),
    };
    await this.#publish('main', video.picture?.track ?? video.track, { encoding, isMuted });
  }

  #endVideo(): void {
    const video = this.#localVideo;
    this.#localVideo = undefined;
    if (video?.isOwn) video.track.stop();
    video?.picture?.close();
    video?.player.stop();
  }

  // Screen

  async startScreenShare(config: ScreenShareConfig = {}): Promise<void> {
    await named('startScreenShare', async () => {
      check('startScreenShare', config, OPTIONS.screen);
      const choice = this.#choose('startScreenShare', config);
      const started = await this.#turns.sub.take(async () => {
        if (this.#screen) throw aborted('startScreenShare', 'the screen is shared already: call updateScreenShare');
        requireLayering('startScreenShare', config.option ?? {});
        const { videoTrack, audioTrack, profile } = config.option ?? {};
        const opened = videoTrack ? { video: videoTrack, audio: undefined } : await openScreen(config.option ?? {}, profileOf(SCREEN_PROFILES, profile, '1080p'));
        if (audioTrack) {
          opened.audio?.stop();
          opened.audio = audioTrack;
        }
        // The browser's own button ends it too.
        opened.video.addEventListener('ended', () => {
          if (this.#screen?.track !== opened.video) return;
          void this.stopScreenShare().catch((error: unknown) => log.warn('the end of screen sharing', error));
          this.#stage.tell('screen-share-stopped');
        });
        if (opened.audio && config.muteSystemAudio) opened.audio.enabled = false;
        this.#screen = { track: opened.video, player: this.#localPlayer('sub'), isOwn: !videoTrack, config, audio: opened.audio };
        this.#tellTrack('sub', opened.video, !videoTrack);
        return this.#screen;
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
      checkChange('updateScreenShare', config, OPTIONS.screen);
      const choice = config.publish ? this.#choose('updateScreenShare', config) : undefined;
      await this.#turns.sub.take(async () => {
        const screen = this.#screen;
        if (!screen) throw aborted('updateScreenShare', 'the screen is not shared: call startScreenShare first');
        requireScreen(config.option);
        const option = merged(screen.config.option, config.option);
        requireLayering('updateScreenShare', option);
        if (config.option?.audioTrack) {
          if (screen.isOwn && !screen.config.option?.audioTrack) screen.audio?.stop();
          screen.audio = config.option.audioTrack;
          if (screen.config.muteSystemAudio) screen.audio.enabled = false;
        }
        if (config.option?.videoTrack) {
          if (screen.isOwn) screen.track.stop();
          Object.assign(screen, { track: config.option.videoTrack, isOwn: false });
          this.#tellTrack('sub', config.option.videoTrack, false);
        }
        screen.config = { ...merged(screen.config, config), option };
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
    if (screen?.isOwn) screen.track.stop();
    // What the page gave is the page's.
    if (!screen?.config.option?.audioTrack) screen?.audio?.stop();
    screen?.player.stop();
  }

  // Publishing

  /** Who is in the audience by its own choice does not publish; who chooses otherwise before it comes to that, may. */
  #choose(functionName: string, { publish }: { publish?: boolean }): Choice {
    const { choice } = this.#stage;
    if (this.#isClosed) throw destroyed(functionName);
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
      this.#underWay.add(kind);
      this.#setPublished(kind, 'starting', 'api-call');
    }
    try {
      await session.publisher.publish(kind, track, how).finally(() => this.#underWay.delete(kind));
    } catch (error) {
      // Whoever has left wants nothing published any more.
      if (this.#stage.session !== session) return;
      const failure = RtcError.from(error, '');
      this.#setPublished(kind, 'stopped', 'error', failure);
      throw failure;
    }
    if (this.#stage.session !== session || !session.isInRoom || !session.publisher.has(kind)) return;
    this.#setPublished(kind, 'started', 'api-call');
    // It may have been listed before that was known here.
    if (session.streams.get(session.userId)?.has(kind)) this.#listed.add(kind);
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
      if (!session.publisher.has(kind) || this.#underWay.has(kind)) continue;
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
    // With the first microphone it is known which speakers there are.
    if (kind === 'audio' && !this.#hasToldSpeaker) void tellSpeaker(this.#stage);
    this.#hasToldSpeaker ||= kind === 'audio';
    if (!isDevice || kind === 'sub') return;
    void this.#tellActive(kind === 'audio' ? 'microphone' : 'camera', track.getSettings().deviceId);
    this.#guard(kind, track);
  }

  #guard(kind: 'audio' | 'main', track: MediaStreamTrack): void {
    const isCamera = kind === 'main';
    const reopen = (isFirst: boolean): Promise<void> => {
      const { microphoneId = '' } = this.#localAudio?.config.option ?? {};
      const { cameraId = '', useFrontCamera } = this.#localVideo?.config.option ?? {};
      return isCamera ? this.updateLocalVideo({ option: { cameraId, useFrontCamera } }) : this.updateLocalAudio({ option: { microphoneId: isFirst ? microphoneId : '' } });
    };
    recover(track, () => this.track(kind) === track, reopen, (why) => {
      const [extraCode, name] = isCamera ? [5308, 'camera'] : [5309, 'microphone'];
      this.#stage.tell('error', new RtcError({ code: ERROR_CODE.DEVICE_ERROR, extraCode, message: `the ${name} does not come back: ${String(why)}` }));
    });
  }

  async #tellActive(type: 'camera' | 'microphone', deviceId: string | undefined): Promise<void> {
    const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
    const kind = type === 'camera' ? 'videoinput' : 'audioinput';
    const device = devices.find((one) => one.kind === kind && one.deviceId === deviceId);
    if (device) this.#stage.tell('device-changed', { type, action: 'active', device });
  }
}

function inAudience(functionName: string): RtcError {
  return wrongMoment(functionName, "an audience member does not publish: call switchRole('anchor') first", 5107);
}

/** What was asked for before, as far as nothing else is now. */
function merged<T extends object>(before: T | undefined, now: T | undefined): T {
  return { ...before, ...Object.fromEntries(Object.entries(now ?? {}).filter(([, value]) => value !== undefined)) } as T;
}

/** What is sent of a microphone: with `muteKeepVolumeDetection`, something else than what is measured. */
function sent(audio: LocalAudio): MediaStreamTrack {
  const { mute, muteKeepVolumeDetection } = audio.config;
  if (!mute || !muteKeepVolumeDetection) {
    audio.silent = undefined;
    return audio.source;
  }
  audio.silent ??= audio.source.clone();
  audio.silent.enabled = false;
  return audio.silent;
}

/** Lets one hear oneself as loud as is wanted. */
function monitor(audio: LocalAudio): void {
  const volume = audio.config.option?.earMonitorVolume ?? 0;
  if (volume === 0) {
    if (audio.monitor) audio.monitor.srcObject = null;
    audio.monitor = undefined;
    return;
  }
  audio.monitor ??= document.createElement('audio');
  audio.monitor.volume = volume / 100;
  const playing = audio.monitor.srcObject;
  if (playing instanceof MediaStream && playing.getAudioTracks()[0] === audio.source) return;
  audio.monitor.srcObject = new MediaStream([audio.source]);
  void audio.monitor.play().catch((error: unknown) => log.warn('one does not hear oneself', error));
}

async function imageOf(functionName: string, mute: LocalVideoConfig['mute'], known: HTMLImageElement | undefined): Promise<HTMLImageElement | undefined> {
  if (typeof mute !== 'string' || mute === '') return undefined;
  return known?.src === new URL(mute, document.baseURI).href ? known : loadImage(functionName, mute);
}

/** Makes of a camera what is to be sent; returns what was made before and is needed no more. */
function process(video: LocalVideo, effects: readonly Effect[]): Picture | undefined {
  const { option = {}, mute } = video.config;
  video.track.enabled = !mute;
  const change: Change = { rotation: option.rotation ?? 0, isMirrored: option.mirror === 'publish' || option.mirror === 'both', image: video.image, effects };
  const former = video.picture;
  const size = actual(video.track, profileOf(VIDEO_PROFILES, option.profile, '480p'));
  if (former?.is(video.track, change, size)) return undefined;
  const isChanged = change.rotation !== 0 || change.isMirrored || change.image !== undefined || effects.length > 0;
  video.picture = isChanged ? new Picture(video.track, change, size) : undefined;
  return former;
}

/** Oneself is shown what the camera sees, or what the others are shown in its place. */
function previewOf({ track, image, picture }: LocalVideo, isChanged: boolean): MediaStreamTrack {
  return (image || isChanged ? picture?.track : undefined) ?? track;
}

function sizeOf({ track, config: { option }, image }: LocalVideo): VideoProfile {
  const size = actual(track, profileOf(VIDEO_PROFILES, option?.profile, '480p'));
  const isTurned = !image && (option?.rotation ?? 0) % 180 !== 0;
  return isTurned ? { ...size, width: size.height, height: size.width } : size;
}

/** What a screen is asked for when it is chosen stays so. */
function requireScreen(option: ScreenShareConfig['option'] = {}): void {
  const fixed = ['captureElement', 'preferDisplaySurface', 'selfBrowserSurface', 'systemAudio', 'echoCancellation', 'autoGainControl', 'noiseSuppression'] as const;
  const asked = fixed.find((name) => option[name] !== undefined);
  if (asked) throw invalid('updateScreenShare', `option.${asked} cannot be changed while the screen is shared: share it anew`, 5005);
}

/** What the camera really gives, which may be less than was asked for. */
function actual(track: MediaStreamTrack, profile: VideoProfile): VideoProfile {
  const { width, height } = track.getSettings();
  return width && height ? { ...profile, width, height } : profile;
}

function localView(option: LocalVideoConfig['option']): ViewOptions {
  const { fillMode, mirror } = option ?? {};
  // 'view' and 'both' mirror what oneself sees; what others see is made by `process`.
  const isMirrored = mirror === undefined ? option?.useFrontCamera !== false : mirror === true || mirror === 'view' || mirror === 'both';
  return { fillMode: fillMode ?? 'cover', mirror: isMirrored };
}
