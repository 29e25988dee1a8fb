import { PEER_LEAVE_REASON, type RemoteVideoConfig, type StreamType } from './api.js';
import { ERROR_CODE, RtcError, aborted, invalid, named, wrongMoment } from './errors.js';
import { MEDIA_TYPES } from './local.js';
import { log } from './log.js';
import { OPTIONS, check, checkChange } from './options.js';
import type { StreamKind } from './peer.js';
import type { Session, Streams } from './session.js';
import { attend, follow, leave, letGo } from './speakers.js';
import { keyOf } from './watcher.js';
import { type Stage, inRoom } from './stage.js';
import { AudioPlayer, VideoPlayer } from './views.js';

interface RemoteVideo {
  player: VideoPlayer;
  config: RemoteVideoConfig;
  observers: { disconnect(): void }[];
  isVisible: boolean;
}

/** A stream for which there is no key is told of so often, while the page asks for it. */
const TELL_SEALED_MS = 5_000;

/** Why somebody is there no more, from what the server says. Of an audience it says nothing, so who sends no more may have left, or not. */
const EXIT_REASONS: Record<string, PEER_LEAVE_REASON> = {
  interrupted: PEER_LEAVE_REASON.TIMEOUT_LEAVE,
  kicked: PEER_LEAVE_REASON.KICK,
  banned: PEER_LEAVE_REASON.KICK,
};

const remoteKey = (userId: string, streamType: StreamType): string => `${streamType}:${userId}`;

/** The others: who is there, what of theirs is shown and heard. */
export class RemoteMedia {
  readonly #stage: Stage;
  readonly #audioPlayers = new Map<string, AudioPlayer>();
  /** Who is to be heard, as the page said; `*` is everyone else. */
  readonly #heard = new Map<string, boolean>();
  readonly #volumes = new Map<string, number>();
  readonly #remoteVideos = new Map<string, RemoteVideo>();
  readonly #known = new Map<string, Streams>();
  readonly #anchors = new Set<string>();
  /** When the page was told last that it has no key for a stream. */
  readonly #toldSealed = new Map<string, number>();

  constructor(stage: Stage) {
    this.#stage = stage;
    attend(stage);
  }

  /** The client is no more. */
  close(): void {
    leave(this.#stage);
  }

  track(userId: string, kind: StreamKind): MediaStreamTrack | undefined {
    const { session } = this.#stage;
    return session?.isInRoom ? session.watcher.track(userId, kind) : undefined;
  }

  player(userId: string, streamType: StreamType): VideoPlayer | undefined {
    return this.#remoteVideos.get(remoteKey(userId, streamType))?.player;
  }

  /** One is in a room no more, and what the page wanted to hear there is over too. */
  leave(): void {
    this.forget();
    this.#heard.clear();
  }

  /** Takes over who is in the room. */
  compareMembers(session: Session, left: string[], causes?: Map<string, string>): void {
    for (const userId of left) this.#setAnchor(userId, false, EXIT_REASONS[causes?.get(userId) ?? ''] ?? PEER_LEAVE_REASON.NORMAL_LEAVE);
    if (this.#isOpen) for (const userId of session.members) this.#setAnchor(userId, true);
  }

  // Shown

  async startRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    await named('startRemoteVideo', async () => {
      check('startRemoteVideo', config, OPTIONS.remoteVideo);
      const { userId, streamType } = required(config, 'startRemoteVideo');
      const session = inRoom(this.#stage.session, 'startRemoteVideo');
      const streams = session.streams.get(userId);
      if (streams?.get(streamType)?.isMuted !== false) {
        const extraCode = streams || session.members.has(userId) ? 5103 : 5102;
        throw wrongMoment('startRemoteVideo', `${userId} does not publish a ${streamType} video: wait for remote-video-available`, extraCode);
      }
      await this.#showRemote({ ...config, streamType });
      await this.#enlarge(config);
    });
  }

  async updateRemoteVideo(config: RemoteVideoConfig): Promise<void> {
    await named('updateRemoteVideo', async () => {
      checkChange('updateRemoteVideo', config, OPTIONS.remoteVideo);
      const { userId, streamType } = required(config, 'updateRemoteVideo');
      inRoom(this.#stage.session, 'updateRemoteVideo');
      const known = this.#remoteVideos.get(remoteKey(userId, streamType));
      if (!known) throw aborted('updateRemoteVideo', `the video of ${userId} is not shown: call startRemoteVideo first`);
      const option = { ...known.config.option, ...config.option };
      await this.#showRemote({ ...known.config, ...config, streamType, option });
      await this.#enlarge(config);
    });
  }

  async stopRemoteVideo(config: { userId: string; streamType?: StreamType }): Promise<void> {
    await named('stopRemoteVideo', async () => {
      if (!config) throw invalid('stopRemoteVideo', 'userId is missing', 5001);
      const { userId, streamType } = config;
      if (streamType !== 'main' && streamType !== 'sub' && (userId !== '*' || streamType !== undefined)) {
        throw invalid('stopRemoteVideo', 'streamType must be main or sub', streamType === undefined ? 5014 : 5005);
      }
      const all = [...this.#remoteVideos.values()];
      const meant = all.filter(({ config: shown }) => {
        const isUser = userId === '*' || shown.userId === userId;
        return isUser && (streamType === undefined || shown.streamType === streamType);
      });
      await Promise.all(meant.map(({ config: shown }) => this.#hideRemote(shown.userId, shown.streamType ?? 'main', true)));
    });
  }

  /** Into a window of its own, onto the whole screen, or back, when that is asked for now. */
  async #enlarge({ userId, streamType = 'main', option = {} }: RemoteVideoConfig): Promise<void> {
    const player = this.player(userId, streamType);
    const { pictureInPicture, fullScreen } = option;
    try {
      if (pictureInPicture !== undefined) await player?.setPictureInPicture(pictureInPicture);
      if (fullScreen !== undefined) await player?.setFullScreen(fullScreen);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      const message = `the browser refused it, which it does unless the person has just clicked: ${error.message}`;
      throw new RtcError({ code: ERROR_CODE.OPERATION_FAILED, message, originError: error });
    }
  }

  async #showRemote(config: RemoteVideoConfig & { streamType: StreamType }): Promise<void> {
    const { userId, streamType } = config;
    const key = remoteKey(userId, streamType);
    let remote = this.#remoteVideos.get(key);
    if (!remote) {
      const player = new VideoPlayer({
        isMeasured: true,
        onState: (state, reason) => this.#stage.tell('video-play-state-changed', { userId, streamType, state, reason }),
        onFirstFrame: (width, height) => this.#stage.tell('first-video-frame', { userId, streamType, width, height }),
        onSize: (newWidth, newHeight) => this.#stage.tell('video-size-changed', { userId, streamType, newWidth, newHeight }),
        onPictureInPicture: (pictureInPictureWindow) => {
          const isPictureInPicture = pictureInPictureWindow !== undefined;
          this.#stage.tell('picture-in-picture-state-changed', { userId, streamType, isPictureInPicture, pictureInPictureWindow });
        },
        onFullScreen: (isFullScreen) => this.#stage.tell('full-screen-state-changed', { userId, streamType, isFullScreen }),
        onAutoplayFailed: (resume) => this.#stage.tell('autoplay-failed', { userId, mediaType: streamType === 'main' ? 'video' : 'screen', resume }),
      });
      remote = { player, config, observers: [], isVisible: true };
    }
    const { fillMode = streamType === 'sub' ? 'contain' : 'cover', mirror, poster } = config.option ?? {};
    // A view that is not there changes nothing.
    remote.player.show(config.view, { fillMode, mirror, poster });
    remote.config = config;
    this.#remoteVideos.set(key, remote);
    this.#observe(remote);
    await this.#watchRemote(remote);
    const track = this.#stage.session?.watcher.track(userId, streamType);
    if (track) remote.player.play(track);
  }

  /** Follows the size it is shown at and, if wanted, whether it is in sight. */
  #observe(remote: RemoteVideo): void {
    for (const observer of remote.observers.splice(0)) observer.disconnect();
    remote.isVisible = true;
    const again = () => void this.#watchRemote(remote).catch((error: unknown) => log.info('a video was not adapted', error));
    let timer: ReturnType<typeof setTimeout> | undefined;
    const sizes = new ResizeObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(again, 200);
    });
    remote.player.containers.forEach((container) => sizes.observe(container));
    remote.observers.push(sizes);
    if (!remote.config.option?.receiveWhenViewVisible) return;
    const visible = new Set<Element>();
    const sight = new IntersectionObserver((changes) => {
      for (const change of changes) {
        if (change.isIntersecting) visible.add(change.target);
        else visible.delete(change.target);
      }
      remote.isVisible = visible.size > 0;
      again();
    }, { root: remote.config.option.viewRoot ?? null });
    remote.player.containers.forEach((container) => sight.observe(container));
    remote.observers.push(sight);
  }

  async #watchRemote(remote: RemoteVideo): Promise<void> {
    const { userId, streamType = 'main', option } = remote.config;
    const session = this.#stage.session;
    if (!session?.isInRoom) return;
    if (this.#isSealed(session, userId, streamType)) {
      await session.watcher.unwatch(userId, streamType);
      return;
    }
    await session.watcher.watch({
      userId,
      kind: streamType,
      maxHeight: option?.small ? 1 : remote.player.shownHeight,
      isPaused: !remote.isVisible,
    });
  }

  async #hideRemote(userId: string, streamType: StreamType, isAsked: boolean): Promise<void> {
    const key = remoteKey(userId, streamType);
    const remote = this.#remoteVideos.get(key);
    this.#remoteVideos.delete(key);
    for (const observer of remote?.observers ?? []) observer.disconnect();
    remote?.player.stop();
    const session = this.#stage.session;
    if (!session?.isInRoom) return;
    const work = session.watcher.unwatch(userId, streamType);
    await (isAsked ? work : work.catch((error: unknown) => log.info('a video was not let go of', error)));
  }

  // Heard

  async muteRemoteAudio(userId: string, mute: boolean): Promise<void> {
    await named('muteRemoteAudio', async () => {
      if (typeof userId !== 'string') throw invalid('muteRemoteAudio', 'userId must be a string', 5002);
      if (userId === '') throw invalid('muteRemoteAudio', 'userId is empty', 5003);
      if (typeof mute !== 'boolean') throw invalid('muteRemoteAudio', 'mute must be a boolean', 5002);
      if (userId === '*') this.#heard.clear();
      this.#heard.set(userId, !mute);
      // Before entering it holds for the room that is entered next.
      const { session } = this.#stage;
      if (!session?.isInRoom) return;
      const users = userId === '*' ? [...session.streams.keys()].filter((user) => user !== session.userId) : [userId];
      await Promise.all(users.map((user) => this.#listenTo(user)));
    });
  }

  setRemoteAudioVolume(userId: string, volume: number): void {
    if (typeof userId !== 'string') throw invalid('setRemoteAudioVolume', 'userId must be a string', 5002);
    if (typeof volume !== 'number' || Number.isNaN(volume)) throw invalid('setRemoteAudioVolume', 'volume must be a number', volume === undefined ? 5001 : 5002);
    if (volume < 0) throw invalid('setRemoteAudioVolume', 'volume must be at least 0', 5007);
    this.#volumes.set(userId, volume);
    for (const [user, player] of this.#audioPlayers) if (userId === '*' || user === userId) player.volume = volume;
  }

  /** Hears a member, if it can be heard and is to be. */
  async #listenTo(userId: string): Promise<void> {
    const session = this.#stage.session;
    if (!session?.isInRoom) return;
    const isThere = session.streams.get(userId)?.has('audio') ?? false;
    // Whoever was unmuted is heard also without autoReceiveAudio.
    const isWanted = this.#heard.get(userId) ?? this.#heard.get('*') ?? this.#stage.entering?.autoReceiveAudio !== false;
    if (isThere && isWanted && !this.#isSealed(session, userId, 'audio')) {
      await session.watcher.watch({ userId, kind: 'audio', maxHeight: 0, isPaused: false });
      return;
    }
    this.#dropAudio(userId);
    await session.watcher.unwatch(userId, 'audio');
  }

  #dropAudio(userId: string): void {
    const player = this.#audioPlayers.get(userId);
    this.#audioPlayers.delete(userId);
    if (player) letGo(player);
    player?.stop();
  }

  /** Whether a stream is encrypted and there is no key: then it is not asked for, and the page is told. */
  #isSealed(session: Session, userId: string, kind: StreamKind): boolean {
    if (session.hasKey || !session.streams.get(userId)?.get(kind)?.isEncrypted) return false;
    const [key, now] = [keyOf(userId, kind), Date.now()];
    if (now - (this.#toldSealed.get(key) ?? -Infinity) >= TELL_SEALED_MS) {
      this.#toldSealed.set(key, now);
      this.#stage.tell('decryption-failed', { userId, mediaType: MEDIA_TYPES[kind] });
    }
    return true;
  }

  /** A stream is encrypted now, or no more. */
  async #lookAgain(userId: string, kind: StreamKind): Promise<void> {
    const remote = kind === 'audio' ? undefined : this.#remoteVideos.get(remoteKey(userId, kind));
    if (kind === 'audio') await this.#listenTo(userId);
    else if (remote) await this.#watchRemote(remote);
  }

  /** Shows and hears nobody any more. */
  forget(): void {
    for (const { config } of [...this.#remoteVideos.values()]) void this.#hideRemote(config.userId, config.streamType ?? 'main', false);
    for (const userId of [...this.#audioPlayers.keys()]) this.#dropAudio(userId);
    this.#known.clear();
    this.#anchors.clear();
    this.#toldSealed.clear();
  }

  // Who is there, and what comes of them

  /** In a call everyone is told of everyone; of a live stream's audience nobody is. */
  get #isOpen(): boolean {
    return (this.#stage.entering?.scene ?? 'rtc') === 'rtc';
  }

  /** Takes over who sits. */
  compareAnchors(session: Session): void {
    const seated = new Set(session.seats.map((seat) => seat.userId).filter((user) => user !== ''));
    for (const userId of seated) this.#setAnchor(userId, true);
    if (this.#isOpen) return;
    for (const userId of this.#anchors) {
      if (!seated.has(userId) && !session.streams.has(userId)) this.#setAnchor(userId, false);
    }
  }

  #setAnchor(userId: string, isAnchor: boolean, reason?: PEER_LEAVE_REASON): void {
    if (userId === this.#stage.session?.userId || this.#anchors.has(userId) === isAnchor) return;
    if (isAnchor) {
      this.#anchors.add(userId);
      this.#stage.tell('remote-user-enter', { userId });
    } else {
      this.#anchors.delete(userId);
      this.#stage.tell('remote-user-exit', { userId, ...(reason === undefined ? {} : { reason }) });
    }
  }

  /** Takes over what a member publishes. */
  compareStreams(session: Session, userId: string, streams: Streams): void {
    if (streams.size > 0) this.#setAnchor(userId, true);
    const before = this.#known.get(userId);
    // A stream that is switched off for the moment is not available, as if its device were off.
    const shown: Streams = new Map([...streams].filter(([, { isMuted }]) => !isMuted));
    this.#known.set(userId, shown);
    for (const kind of ['audio', 'main', 'sub'] as const) {
      const [was, is] = [before?.has(kind) ?? false, shown.has(kind)];
      if (was === is) {
        const isOther = is && before?.get(kind)?.isEncrypted !== shown.get(kind)?.isEncrypted;
        if (isOther) this.#lookAgain(userId, kind).catch((error: unknown) => log.info('a stream was not watched anew', error));
        continue;
      }
      if (kind === 'audio') {
        if (is) {
          this.#stage.tell('remote-audio-available', { userId });
          this.#listenTo(userId).catch((error: unknown) => log.warn(`${userId} is not heard`, error));
        } else this.#stage.tell('remote-audio-unavailable', { userId });
      } else if (is) {
        this.#stage.tell('remote-video-available', { userId, streamType: kind });
        if (this.#stage.entering?.autoReceiveVideo && !this.#remoteVideos.has(remoteKey(userId, kind))) {
          this.#showRemote({ userId, streamType: kind }).catch((error: unknown) => log.warn(`${userId} is not watched`, error));
        }
      } else {
        this.#stage.tell('remote-video-unavailable', { userId, streamType: kind });
      }
    }
    if (!streams.has('audio')) void this.#listenTo(userId).catch(() => undefined);
    for (const kind of ['main', 'sub'] as const) {
      // Also what is off for a while stops, rather than standing there black.
      if (!shown.has(kind) && this.#remoteVideos.has(remoteKey(userId, kind))) void this.#hideRemote(userId, kind, false);
    }
    if (streams.size === 0) {
      this.#known.delete(userId);
      this.compareAnchors(session);
    }
  }

  /** What is watched has a track now, or another one. */
  takeTrack(userId: string, kind: StreamKind, track: MediaStreamTrack): void {
    if (kind === 'audio') {
      let player = this.#audioPlayers.get(userId);
      if (!player) {
        player = new AudioPlayer({
          onState: (state, reason) => this.#stage.tell('audio-play-state-changed', { userId, state, reason }),
          onAutoplayFailed: (resume) => this.#stage.tell('autoplay-failed', { userId, mediaType: 'audio', resume }),
        });
        this.#audioPlayers.set(userId, player);
        follow(player);
        const volume = this.#volumes.get(userId) ?? this.#volumes.get('*');
        if (volume !== undefined) player.volume = volume;
      }
      player.play(track);
      this.#stage.tell('track', { userId, streamType: 'main', track, sourceTrack: track });
      return;
    }
    this.#remoteVideos.get(remoteKey(userId, kind))?.player.play(track);
    this.#stage.tell('track', { userId, streamType: kind, track, sourceTrack: track });
  }
}

function required(config: RemoteVideoConfig, functionName: string): { userId: string; streamType: StreamType } {
  if (!config?.userId) throw invalid(functionName, 'userId is missing', 5001);
  const { streamType = 'main' } = config;
  if (streamType !== 'main' && streamType !== 'sub') throw invalid(functionName, "streamType must be 'main' or 'sub'", 5005);
  return { userId: config.userId, streamType };
}
