/**
 * What the cloud's types have and this client has not, on purpose, with the reason. A name stands for all that is below it.
 * What is there and refused, or let be with a word, when it is called is in `src/options.ts`.
 */
const SERVICE = 'it is a service of the cloud, for which there is no server here';
const EFFECTS = 'it changes the picture or the sound in code that only the cloud licenses; getVideoTrack and videoTrack let a page bring its own';
const PLUGINS = 'of the plugins there are those in src/plugins; all others are refused by name';
const PRIVATE = 'it is not documented, and refused by name';

export const REFUSED: Record<string, string> = {
  BeautyOptions: EFFECTS,
  UpdateBeautyOptions: EFFECTS,
  StartCrossRoomOption: 'rooms are connected by their owners: trtc.room.requestConnection',
  UpdateCrossRoomOption: 'rooms are connected by their owners: trtc.room.requestConnection',
  StopCrossRoomOption: 'rooms are connected by their owners: trtc.room.requestConnection',
  SmallStreamAutoSwitcherOptions: 'each viewer gets what its link carries, without asking',
  PluginStartOptionsMap: PLUGINS,
  PluginUpdateOptionsMap: PLUGINS,
  PluginStopOptionsMap: PLUGINS,
  AutoStartPluginName: PLUGINS,
  DenoiserMode: EFFECTS,
  InitAudioProcessorOptions: EFFECTS,
  UpdateAudioProcessorOptions: EFFECTS,
  AudioSource: EFFECTS,
  StartRealtimeTranscriberOption: SERVICE,
  StopRealtimeTranscriberOption: SERVICE,
  RealtimeTranscriberStateEvent: SERVICE,
  RealtimeTranscriberMessageEvent: SERVICE,
  TranslationText: SERVICE,
  'TRTCEventTypes.realtime-transcriber-message': SERVICE,
  'TRTCEventTypes.realtime-transcriber-state-changed': SERVICE,
  ExperimentalAPIFunctionMap: PRIVATE,
  PlaybackQualityStream: PRIVATE,
  ResolutionConfig: PRIVATE,
  SwitchPlaybackQualityOptions: PRIVATE,
  RequestPictureInPictureOptions: PRIVATE,
  RequestFullScreenOptions: PRIVATE,
  PreconnectParams: PRIVATE,
  EnableAudioFrameEventOptions: PRIVATE,
  'TRTCEventTypes.audio-frame': 'samples of the microphone are those of getAudioTrack, which a page can read with an AudioWorklet',
  RemoteAudioConfig: 'no method of the cloud takes it either',
  StopRemoteAudioConfig: 'no method of the cloud takes it either',
  PingResult: SERVICE,
  PingResults: SERVICE,
  'NetworkQuality.pingResults': SERVICE,
  'TRTCEventTypes.network-quality.pingResults': SERVICE,
  'RTCErrorParams.messageParams': 'messages are given as they are',
};

const MIXED = 'streams are not mixed on the server, so that nobody is in a mixed one';

/** The same of version 4. */
export const REFUSED4: Record<string, string> = {
  MixUserItem: MIXED,
  'RemoteStreamUpdatedInfo.mixUserList': MIXED,
  'ClientEventMap.stream-updated.mixUserList': MIXED,
};
