async function devices(kind: MediaDeviceKind, requestPermission: boolean): Promise<MediaDeviceInfo[]> {
  const all = await navigator.mediaDevices.enumerateDevices();
  const found = all.filter((device) => device.kind === kind);
  // Before the first permission, devices have no names.
  if (!requestPermission || found.length === 0 || found.some((device) => device.label)) return found;
  const wanted = kind === 'videoinput' ? { video: true } : { audio: true };
  try {
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    for (const track of stream.getTracks()) track.stop();
  } catch {
    return found;
  }
  return (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === kind);
}

export const getCameraList = (requestPermission = true): Promise<MediaDeviceInfo[]> =>
  devices('videoinput', requestPermission);
export const getMicrophoneList = (requestPermission = true): Promise<MediaDeviceInfo[]> =>
  devices('audioinput', requestPermission);
export const getSpeakerList = (requestPermission = true): Promise<MediaDeviceInfo[]> =>
  devices('audiooutput', requestPermission);

export interface Support {
  result: boolean;
  detail: {
    isBrowserSupported: boolean;
    isWebRTCSupported: boolean;
    isMediaDevicesSupported: boolean;
    isWebSocketSupported: boolean;
    isH264EncodeSupported: boolean;
    isH264DecodeSupported: boolean;
    isVp8EncodeSupported: boolean;
    isVp8DecodeSupported: boolean;
    isScreenShareSupported: boolean;
    isSmallStreamSupported: boolean;
  };
}

/** Whether this browser can do what rooms need. */
export function isSupported(): Promise<Support> {
  const can = (way: 'RTCRtpSender' | 'RTCRtpReceiver', codec: string): boolean => {
    const capabilities = (globalThis as unknown as Record<string, typeof RTCRtpSender | undefined>)[way]?.getCapabilities?.('video');
    return capabilities?.codecs.some((entry) => entry.mimeType.toLowerCase() === codec) ?? false;
  };
  const isWebRTCSupported = typeof RTCPeerConnection !== 'undefined' && 'addTransceiver' in RTCPeerConnection.prototype;
  const isMediaDevicesSupported = typeof navigator !== 'undefined' && !!navigator.mediaDevices?.getUserMedia;
  const isWebSocketSupported = typeof WebSocket !== 'undefined';
  const detail = {
    isBrowserSupported: isWebRTCSupported && isWebSocketSupported,
    isWebRTCSupported,
    isMediaDevicesSupported,
    isWebSocketSupported,
    isH264EncodeSupported: can('RTCRtpSender', 'video/h264'),
    isH264DecodeSupported: can('RTCRtpReceiver', 'video/h264'),
    isVp8EncodeSupported: can('RTCRtpSender', 'video/vp8'),
    isVp8DecodeSupported: can('RTCRtpReceiver', 'video/vp8'),
    isScreenShareSupported: typeof navigator !== 'undefined' && !!navigator.mediaDevices?.getDisplayMedia,
    isSmallStreamSupported: isWebRTCSupported,
  };
  const hasCodec = detail.isVp8DecodeSupported || detail.isH264DecodeSupported;
  return Promise.resolve({ result: detail.isBrowserSupported && hasCodec, detail });
}
