// A page in strict TypeScript that uses each documented option of the cloud's SDK once. It is compiled against this client,
// and against the reference: what is in here is what both take.
import TRTC from 'trtc-sdk-v5';

declare const userSig: string;
declare const track: MediaStreamTrack;
declare const element: HTMLElement;

export async function page(): Promise<void> {
  TRTC.setLogLevel(3, false);
  const { result } = await TRTC.isSupported();
  const { camera, microphone } = await TRTC.getPermissions({ request: true, types: ['camera', 'microphone'] });
  const [cameras, microphones, speakers] = [await TRTC.getCameraList(true), await TRTC.getMicrophoneList(false), await TRTC.getSpeakerList()];
  await TRTC.setCurrentSpeaker(speakers[0]?.deviceId ?? '');
  const trtc = TRTC.create({ plugins: [], enableSEI: true, assetsPath: '/assets' });

  trtc
    .on(TRTC.EVENT.ERROR, ({ name, code, extraCode, functionName, message, originError, data, handler }) => console.error(name, code, extraCode, functionName, message, originError, data, handler))
    .on(TRTC.EVENT.AUTOPLAY_FAILED, ({ userId, mediaType, resume }) => void resume().then(() => console.log(userId, mediaType)))
    .on(TRTC.EVENT.KICKED_OUT, ({ reason }) => console.log(reason))
    .on(TRTC.EVENT.REMOTE_USER_ENTER, ({ userId }) => console.log(userId))
    .on(TRTC.EVENT.REMOTE_USER_EXIT, ({ userId }) => console.log(userId))
    .on(TRTC.EVENT.REMOTE_AUDIO_AVAILABLE, ({ userId }) => void trtc.muteRemoteAudio(userId, false))
    .on(TRTC.EVENT.REMOTE_AUDIO_UNAVAILABLE, ({ userId }) => console.log(userId))
    .on(TRTC.EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) => void trtc.startRemoteVideo({ userId, streamType, view: `${userId}_${streamType}` }))
    .on(TRTC.EVENT.REMOTE_VIDEO_UNAVAILABLE, ({ userId, streamType }) => console.log(userId, streamType))
    .on(TRTC.EVENT.AUDIO_VOLUME, ({ result }) => result.forEach(({ userId, volume, floatVolume }) => console.log(userId, volume, floatVolume)))
    .on(TRTC.EVENT.NETWORK_QUALITY, ({ uplinkNetworkQuality, downlinkNetworkQuality, uplinkRTT, uplinkLoss, downlinkRTT, downlinkLoss }) =>
      console.log(uplinkNetworkQuality + downlinkNetworkQuality, uplinkRTT, uplinkLoss, downlinkRTT, downlinkLoss))
    .on(TRTC.EVENT.CONNECTION_STATE_CHANGED, ({ prevState, state, isReconnecting }) => console.log(prevState, state, isReconnecting))
    .on(TRTC.EVENT.AUDIO_PLAY_STATE_CHANGED, ({ userId, state, reason }) => console.log(userId, state, reason))
    .on(TRTC.EVENT.VIDEO_PLAY_STATE_CHANGED, ({ userId, streamType, state, reason }) => console.log(userId, streamType, state, reason))
    .on(TRTC.EVENT.SCREEN_SHARE_STOPPED, () => console.log('stopped'))
    .on(TRTC.EVENT.DEVICE_CHANGED, ({ type, action, device }) => console.log(type, action, device.label))
    .on(TRTC.EVENT.PUBLISH_STATE_CHANGED, ({ mediaType, state, prevState, reason, error }) => console.log(mediaType, state, prevState, reason, error?.code))
    .on(TRTC.EVENT.TRACK, ({ userId, streamType, track: its, sourceTrack }) => console.log(userId, streamType, its.kind, sourceTrack.kind))
    .on(TRTC.EVENT.STATISTICS, ({ rtt, upLoss, downLoss, bytesSent, bytesReceived, localStatistics, remoteStatistics }) =>
      console.log(rtt, upLoss, downLoss, bytesSent, bytesReceived, localStatistics.audio.bitrate, remoteStatistics[0]?.video[0]?.jitterBufferDelay))
    .on(TRTC.EVENT.SEI_MESSAGE, ({ userId, streamType, seiPayloadType, data }) => console.log(userId, streamType, seiPayloadType, data.byteLength))
    .on(TRTC.EVENT.CUSTOM_MESSAGE, ({ userId, cmdId, seq, data }) => console.log(userId, cmdId, seq, data.byteLength))
    .on(TRTC.EVENT.FIRST_VIDEO_FRAME, ({ userId, streamType, width, height }) => console.log(userId, streamType, width, height))
    .on(TRTC.EVENT.PERMISSION_STATE_CHANGE, (now) => console.log(now.camera, now.microphone))
    .on(TRTC.EVENT.VIDEO_SIZE_CHANGED, ({ userId, streamType, newWidth, newHeight }) => console.log(userId, streamType, newWidth, newHeight))
    .on(TRTC.EVENT.PICTURE_IN_PICTURE_STATE_CHANGED, ({ isPictureInPicture, pictureInPictureWindow }) => console.log(isPictureInPicture, pictureInPictureWindow?.width))
    .on(TRTC.EVENT.FULL_SCREEN_STATE_CHANGED, ({ isFullScreen }) => console.log(isFullScreen), trtc);

  await trtc.enterRoom({
    sdkAppId: 1400000001,
    userId: 'ann',
    userSig,
    roomId: 8888,
    scene: TRTC.TYPE.SCENE_LIVE,
    role: TRTC.TYPE.ROLE_ANCHOR,
    autoReceiveAudio: true,
    autoReceiveVideo: false,
    enableAutoPlayDialog: false,
    privateMapKey: 'key',
    userDefineRecordId: 'record',
    proxy: {
      websocketProxy: 'wss://proxy.example.org',
      loggerProxy: 'https://logs.example.org',
      turnServer: [{ url: 'turn.example.org:3478', username: 'u', credential: 'c', credentialType: 'password' }],
      iceTransportPolicy: 'all',
    },
  });
  await trtc.switchRole(TRTC.TYPE.ROLE_ANCHOR, { privateMapKey: 'key' });

  await trtc.startLocalAudio({
    publish: true,
    mute: false,
    option: {
      microphoneId: microphones[0]?.deviceId ?? TRTC.TYPE.SPEAKER,
      profile: TRTC.TYPE.AUDIO_PROFILE_HIGH_STEREO,
      audioTrack: track,
      captureVolume: 100,
      earMonitorVolume: 0,
      echoCancellation: 'all',
      autoGainControl: true,
      noiseSuppression: true,
    },
  });
  await trtc.updateLocalAudio({ mute: 'microphone', muteKeepVolumeDetection: true, option: { microphoneId: 'default', audioTrack: track, captureVolume: 50, earMonitorVolume: 10 } });
  await trtc.startLocalVideo({
    view: element,
    publish: true,
    mute: false,
    option: {
      cameraId: cameras[0]?.deviceId ?? '',
      useFrontCamera: true,
      profile: { width: 640, height: 480, frameRate: 15, bitrate: 900 },
      fillMode: 'cover',
      mirror: 'both',
      small: '120p',
      qosPreference: TRTC.TYPE.QOS_PREFERENCE_SMOOTH,
      videoTrack: track,
      avoidCropping: true,
      rotation: 90,
    },
  });
  await trtc.updateLocalVideo({ view: null, publish: false, mute: 'https://example.org/picture.png', option: { profile: '720p', mirror: false } });
  await trtc.startScreenShare({
    view: [element],
    publish: true,
    muteSystemAudio: false,
    option: {
      profile: '1080p_2',
      fillMode: 'contain',
      systemAudio: true,
      echoCancellation: true,
      autoGainControl: true,
      noiseSuppression: true,
      audioTrack: track,
      videoTrack: track,
      captureElement: element,
      preferDisplaySurface: 'current-tab',
      selfBrowserSurface: 'include',
      qosPreference: TRTC.TYPE.QOS_PREFERENCE_CLEAR,
    },
  });
  await trtc.updateScreenShare({ publish: false, muteSystemAudio: true, option: { fillMode: 'fill', qosPreference: 'smooth', audioTrack: track, videoTrack: track } });
  const remote = { userId: 'ben', streamType: TRTC.TYPE.STREAM_TYPE_MAIN };
  await trtc.startRemoteVideo({
    ...remote,
    view: 'ben_main',
    option: { fillMode: 'contain', mirror: true, small: true, receiveWhenViewVisible: true, viewRoot: element, poster: '/poster.png', pictureInPicture: false, fullScreen: false },
  });
  await trtc.updateRemoteVideo({ ...remote, view: null });
  await trtc.stopRemoteVideo({ userId: '*' });
  await trtc.stopRemoteVideo(remote);
  trtc.setRemoteAudioVolume('*', 150);
  trtc.enableAudioVolumeEvaluation(500, true);
  const tracks = [trtc.getAudioTrack('ben'), trtc.getAudioTrack({ streamType: TRTC.TYPE.STREAM_TYPE_SUB, processed: true }), trtc.getVideoTrack({ userId: 'ben', streamType: remote.streamType, processed: false })];
  trtc.sendCustomMessage({ cmdId: 1, data: new ArrayBuffer(1) });
  trtc.sendSEIMessage(new ArrayBuffer(1), { seiPayloadType: 5, toSubStream: true });
  await trtc.startPlugin('CustomEncryption', { mode: 'webrtc', audio: true, video: true, builtinOptions: { algorithm: 'AES-256-GCM', secretKey: new Uint8Array(32), salt: new Uint8Array(32) } });
  await trtc.startPlugin('AudioMixer', { id: 'song', url: 'song.mp3', loop: true, volume: 1 });
  await trtc.updatePlugin('AudioMixer', { id: 'song', loop: false, volume: 0.5, seekFrom: 10, operation: 'pause' });
  await trtc.stopPlugin('AudioMixer', { id: 'song' });
  await trtc.startPlugin('Watermark', { imageUrl: 'logo.png', x: 0, y: 0, size: { width: 10, height: 10 } });
  await trtc.updatePlugin('Watermark', { imageUrl: 'logo.png', x: 0, y: 0, size: 'contain' });
  await trtc.stopPlugin('Watermark');
  const licence = { sdkAppId: 1400000001, userId: 'ann', userSig };
  await trtc.startPlugin('VirtualBackground', { ...licence, type: 'image', src: 'beach.png', blurLevel: 3, color: [0, 0, 0], onAbort: (error) => console.log(error) });
  await trtc.updatePlugin('VirtualBackground', { type: 'blur', blurLevel: 5 });
  await trtc.stopPlugin('VirtualBackground');
  await trtc.startPlugin('BasicBeauty', { beauty: 0.5, brightness: 0.5, ruddy: 0.5 });
  await trtc.updatePlugin('BasicBeauty', { beauty: 1 });
  await trtc.stopPlugin('BasicBeauty');
  await trtc.startPlugin('AIDenoiser', { ...licence, assetsPath: '/assets' });
  await trtc.updatePlugin('AIDenoiser', { mode: 0 });
  await trtc.stopPlugin('AIDenoiser');
  const layout = { x: 0, y: 0, width: 10, height: 10, zIndex: 1, fillMode: 'cover', mirror: true, rotation: 90, hidden: false } as const;
  const mixed = await trtc.startPlugin('VideoMixer', {
    view: element,
    canvasInfo: { width: 640, height: 480, frameRate: 15, canvasColor: '#000' },
    camera: [{ id: 'a', cameraId: 'c', profile: '480p', layout, videoTrack: track, useInternalTrack: true }],
    screen: [{ id: 'b', profile: '1080p', captureElement: element, preferDisplaySurface: 'tab', systemAudio: true, videoTrack: track, audioTrack: track, layout }],
    text: [{ id: 'c', content: 'hello', font: '24px serif', color: 'red', layout }],
    image: [{ id: 'd', url: 'd.png', layout }],
    video: [{ id: 'e', url: 'e.mp4', layout }],
    onScreenShareStop: (id) => console.log(id),
  });
  console.log(mixed.track, mixed.systemAudioTrackList['b'], mixed.result.failedDetails[0]?.error);
  await trtc.updatePlugin('VideoMixer', { canvasInfo: { width: 320, height: 240 }, text: [] });
  await trtc.stopPlugin('VideoMixer');
  const devices = await trtc.startPlugin('DeviceDetector', { networkDetect: licence, cameraDetect: { mirror: true }, allowSkip: true, language: 'zh' });
  console.log(devices?.camera.isSuccess, devices?.network.result.rtt);
  await trtc.stopPlugin('DeviceDetector');
  await trtc.startPlugin('Debug');
  await trtc.updatePlugin('Debug', { visible: true });
  await trtc.stopPlugin('Debug');
  await trtc.callExperimentalAPI('pauseRemotePlayer', { userId: 'ben', streamType: remote.streamType });
  await trtc.switchRoom({ roomId: 9999, userSig, privateMapKey: 'key' });
  console.log(result, camera, microphone, tracks, trtc.getVideoSnapshot({ userId: 'ben', streamType: remote.streamType }), TRTC.ERROR_CODE.INVALID_PARAMETER);
  await Promise.all([trtc.stopLocalAudio(), trtc.stopLocalVideo(), trtc.stopScreenShare()]);
  await trtc.exitRoom();
  trtc.off('*', undefined as never).destroy();
}
