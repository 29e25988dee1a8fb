// A page in strict TypeScript that uses each documented method, event and option of version 4 of the cloud's SDK once. It is compiled
// against this client, and against the reference: what is in here is what both take.
import TRTC from 'trtc-js-sdk';
import type {
  CheckResult, Client, ClientConfig, ClientEvent, ClientEventMap, ConnectionState, ErrorCode, JoinOptions, LocalAudioStatsMap, LocalStream, LocalVideoStatsMap, NetworkQuality, PlaybackOptions, RemoteAudioStatsMap, RemoteMutedState, RemoteStream,
  RemoteStreamInfo, RemoteUserInfo, RemoteVideoStatsMap, Role, RtcError, ScreenProfile, SEIMessageEvent, SmallStreamProfile, Stream, StreamConfig, StreamEvent, StreamEventMap, TransportStats, TurnServerConfig, UserAudioVolume, VideoProfile,
} from 'trtc-js-sdk';

declare const userSig: string;
declare const track: MediaStreamTrack;
declare const element: HTMLDivElement;

const config: ClientConfig = {
  mode: 'live', sdkAppId: 1400000001, userId: 'ann', userSig, useStringRoomId: false, autoSubscribe: false, enableAutoPlayDialog: false, streamId: 'one', userDefineRecordId: 'record', pureAudioPushMode: 1, enableSEI: true,
};
const NAMES: Pick<ClientEvent, 'STREAM_ADDED' | 'ERROR'> = { STREAM_ADDED: 'stream-added', ERROR: 'error' };
const STREAM_NAMES: Pick<StreamEvent, 'PLAYER_STATE_CHANGED'> = { PLAYER_STATE_CHANGED: 'player-state-changed' };
const DENIED: ErrorCode['PLAY_NOT_ALLOWED'] = 0x4043;

function listen(client: Client): void {
  client.on(NAMES.STREAM_ADDED, ({ stream }: RemoteStreamInfo) => void client.subscribe(stream, { audio: true, video: false }));
  client.on('stream-removed', ({ stream }) => stream.stop());
  client.on('stream-updated', ({ stream }) => console.log(stream.hasAudio(), stream.hasVideo()));
  client.on('stream-subscribed', ({ stream }) => void play(stream));
  client.on('connection-state-changed', ({ prevState, state }: { prevState: ConnectionState; state: ConnectionState }) => console.log(prevState, state));
  client.on('peer-join', ({ userId }: RemoteUserInfo) => console.log(userId));
  client.on('peer-leave', ({ userId }) => console.log(userId));
  client.on('mute-audio', ({ userId }) => console.log(userId));
  client.on('mute-video', ({ userId }) => console.log(userId));
  client.on('unmute-audio', ({ userId }) => console.log(userId));
  client.on('unmute-video', ({ userId }) => console.log(userId));
  client.on('client-banned', ({ reason, message }) => console.log(reason === 'kick' || reason === 'banned' || reason === 'room-disband', message));
  client.on('network-quality', ({ uplinkNetworkQuality, downlinkNetworkQuality, uplinkRTT, uplinkLoss, downlinkRTT, downlinkLoss }: NetworkQuality) =>
    console.log(uplinkNetworkQuality + downlinkNetworkQuality, uplinkRTT, uplinkLoss, downlinkRTT, downlinkLoss));
  client.on('audio-volume', ({ result }) => result.forEach(({ userId, audioVolume, stream }: UserAudioVolume) => console.log(userId, audioVolume, stream.getId())));
  client.on('sei-message', ({ userId, data, seiPayloadType, isFromAuxiliary }: SEIMessageEvent) => console.log(userId, data.byteLength, seiPayloadType, isFromAuxiliary));
  client.on('error', (error: RtcError) => console.error(error.name, error.message, error.getCode()), client);
  const heard = ({ userId }: ClientEventMap['peer-join']): void => console.log(userId);
  client.off('peer-join', heard);
  client.off('*');
}

function listenTo(stream: Stream): void {
  stream.on(STREAM_NAMES.PLAYER_STATE_CHANGED, ({ type, state, reason }: StreamEventMap['player-state-changed']) => console.log(type, state, reason));
  stream.on('screen-sharing-stopped', () => stream.close());
  stream.on('connection-state-changed', ({ prevState, state }) => console.log(prevState, state));
  stream.on('device-auto-recovered', ({ isCamera, isMicrophone, cameraId, microphoneId }) => console.log(isCamera, isMicrophone, cameraId, microphoneId));
  stream.on('error', (error) => {
    if (error.getCode() === DENIED) void stream.resume();
  }, stream);
  stream.off('*');
}

async function play(stream: RemoteStream): Promise<void> {
  listenTo(stream);
  const options: PlaybackOptions = { objectFit: 'scale-down', muted: false, mirror: true };
  await stream.play('remote', options);
  await stream.play(element);
  await stream.resume();
  stream.setAudioVolume(0.5);
  await stream.setAudioOutput('default');
  console.log(stream.getType() === 'auxiliary', stream.getId(), stream.getUserId(), stream.getAudioLevel(), stream.getVideoFrame()?.length, stream.getAudioTrack()?.kind, stream.getVideoTrack()?.kind);
  console.log([stream.muteAudio(), stream.unmuteAudio(), stream.muteVideo(), stream.unmuteVideo()]);
  stream.stop();
  stream.close();
}

async function local(client: Client): Promise<void> {
  const all: StreamConfig = { userId: 'ann', audio: true, video: true, screen: false, screenAudio: false, microphoneId: 'default', cameraId: 'one', facingMode: 'user', mirror: true };
  const stream: LocalStream = TRTC.createStream(all);
  const own = TRTC.createStream({ audioSource: track, videoSource: track });
  const profile: VideoProfile = { width: 640, height: 480, frameRate: 15, bitrate: 900 };
  const screenProfile: ScreenProfile = { width: 1280, height: 720, frameRate: 5, bitrate: 1200 };
  stream.setAudioProfile('high-stereo');
  stream.setVideoProfile('720p');
  stream.setVideoProfile(profile);
  stream.setScreenProfile('1080p_2');
  stream.setScreenProfile(screenProfile);
  await stream.initialize();
  stream.setVideoContentHint('detail');
  const isLouder: Boolean = stream.setAudioCaptureVolume(150);
  await stream.switchDevice('video', 'environment');
  await stream.addTrack(track);
  await stream.removeTrack(track);
  await stream.replaceTrack(track);
  await client.publish(stream);
  await client.publish(own, { isAuxiliary: true });
  await client.unpublish(own);
  console.log(isLouder);
}

export async function page(): Promise<void> {
  TRTC.Logger.setLogLevel(TRTC.Logger.LogLevel.WARN);
  TRTC.Logger.enableUploadLog();
  TRTC.Logger.disableUploadLog();
  const { result, detail }: CheckResult = await TRTC.checkSystemRequirements();
  console.log(TRTC.VERSION, result, detail.isBrowserSupported, detail.isWebRTCSupported, detail.isMediaDevicesSupported, detail.isH264EncodeSupported, detail.isH264DecodeSupported, detail.isVp8EncodeSupported, detail.isVp8DecodeSupported);
  console.log(TRTC.isScreenShareSupported(), TRTC.isSmallStreamSupported());
  console.log((await TRTC.getDevices()).length, (await TRTC.getCameras())[0]?.deviceId, (await TRTC.getMicrophones())[0]?.label, (await TRTC.getSpeakers())[0]?.groupId);

  const client = TRTC.createClient(config);
  listen(client);
  client.setProxyServer('wss://proxy.example.org');
  client.setProxyServer({ websocketProxy: 'wss://proxy.example.org', loggerProxy: 'https://logs.example.org', scheduleProxy: 'https://schedule.example.org', unifiedProxy: 'proxy.example.org' });
  const turn: TurnServerConfig = { url: 'turn.example.org:3478', username: 'u', credential: 'c' };
  client.setTurnServer(turn);
  client.setTurnServer([turn]);
  const small: SmallStreamProfile = { width: 160, height: 120, bitrate: 100, frameRate: 15 };
  client.setSmallStreamProfile(small);
  await client.enableSmallStream();
  await client.disableSmallStream();
  const [role, options]: [Role, JoinOptions] = ['anchor', { roomId: 8888, role: 'audience', privateMapKey: 'key' }];
  await client.join(options);
  await client.switchRole(role);
  await local(client);
  client.enableAudioVolumeEvaluation(200, true);
  client.sendSEIMessage(new ArrayBuffer(1), { seiPayloadType: 5 });
  await client.callExperimentalAPI('updatePrivateMapKey', { privateMapKey: 'key' });
  const states: RemoteMutedState[] = client.getRemoteMutedState();
  console.log(states.map(({ userId, hasAudio, hasVideo, hasSmall, audioMuted, videoMuted }) => [userId, hasAudio, hasVideo, hasSmall, audioMuted, videoMuted]));
  const transport: TransportStats = await client.getTransportStats();
  const [sound, picture]: [LocalAudioStatsMap, LocalVideoStatsMap] = [await client.getLocalAudioStats(), await client.getLocalVideoStats()];
  const [heard, seen]: [RemoteAudioStatsMap, RemoteVideoStatsMap] = [await client.getRemoteAudioStats(), await client.getRemoteVideoStats('auxiliary')];
  console.log(transport.rtt, transport.downlinksRTT['ben'], sound['ann']?.bytesSent, sound['ann']?.packetsSent, picture['ann']?.framesEncoded, picture['ann']?.framesSent, picture['ann']?.frameWidth, picture['ann']?.frameHeight);
  console.log(heard['ben']?.bytesReceived, heard['ben']?.packetsReceived, heard['ben']?.packetsLost, seen['ben']?.framesDecoded, seen['ben']?.frameWidth, seen['ben']?.frameHeight);
  await client.startMixTranscode({
    mode: 'manual', streamId: 'mix', videoWidth: 1280, videoHeight: 720, videoBitrate: 1500, videoFramerate: 15, videoGOP: 2, audioSampleRate: 48000, audioBitrate: 64, audioChannels: 2, backgroundColor: 0, backgroundImage: '',
    mixUsers: [{ userId: 'ann', roomId: 8888, pureAudio: false, width: 640, height: 480, locationX: 0, locationY: 0, zOrder: 1, streamType: 'main', renderMode: 1 }],
  });
  await client.stopMixTranscode();
  await client.startPublishCDNStream({ streamId: 'one', appId: 1, bizId: 2, url: 'rtmp://example.org/one' });
  await client.stopPublishCDNStream();
  client.on('stream-subscribed', ({ stream }) => void client.setRemoteVideoStreamType(stream, 'small').then(() => client.unsubscribe(stream)));
  await client.leave();
  client.destroy();
}
