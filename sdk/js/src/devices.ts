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
    isWebCodecsSupported: boolean;
    isMediaDevicesSupported: boolean;
    isWebSocketSupported: boolean;
    isH264EncodeSupported: boolean;
    isH264DecodeSupported: boolean;
    isH265EncodeSupported: boolean;
    isH265DecodeSupported: boolean;
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
    isWebCodecsSupported: 'VideoEncoder' in globalThis && 'VideoDecoder' in globalThis,
    isMediaDevicesSupported,
    isWebSocketSupported,
    isH264EncodeSupported: can('RTCRtpSender', 'video/h264'),
    isH264DecodeSupported: can('RTCRtpReceiver', 'video/h264'),
    isH265EncodeSupported: can('RTCRtpSender', 'video/h265'),
    isH265DecodeSupported: can('RTCRtpReceiver', 'video/h265'),
    isVp8EncodeSupported: can('RTCRtpSender', 'video/vp8'),
    isVp8DecodeSupported: can('RTCRtpReceiver', 'video/vp8'),
    isScreenShareSupported: typeof navigator !== 'undefined' && !!navigator.mediaDevices?.getDisplayMedia,
    isSmallStreamSupported: isWebRTCSupported,
  };
  const hasCodec = detail.isVp8DecodeSupported || detail.isH264DecodeSupported;
  return Promise.resolve({ result: detail.isBrowserSupported && hasCodec, detail });
}

export type PermissionType = 'camera' | 'microphone';

/** `null` where the browser does not say. */
export type Permissions = Record<PermissionType, PermissionState | null>;

const PERMISSION_TYPES = ['camera', 'microphone'] as const;

/** What the page may use; unless `request` is `false`, the person is asked for what is not decided yet. */
export async function getPermissions({ request = true, types = [...PERMISSION_TYPES] }: { request?: boolean; types?: PermissionType[] } = {}): Promise<Permissions> {
  const found = await permissions();
  const open = types.filter((type) => found[type] === null || found[type] === 'prompt');
  if (!request || open.length === 0) return found;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: open.includes('camera'), audio: open.includes('microphone') });
    for (const track of stream.getTracks()) track.stop();
  } catch {
    // What the person decided is asked for below.
  }
  return permissions();
}

async function permissions(): Promise<Permissions> {
  const [camera, microphone] = await Promise.all(PERMISSION_TYPES.map(statusOf));
  return { camera: camera?.state ?? null, microphone: microphone?.state ?? null };
}

function statusOf(type: PermissionType): Promise<PermissionStatus | undefined> {
  const asked = globalThis.navigator?.permissions?.query?.({ name: type as PermissionName });
  return Promise.resolve(asked).catch(() => undefined);
}

/** Tells when the person decides otherwise, until it is called off. */
export async function watchPermissions(tell: (now: Permissions) => void): Promise<() => void> {
  const all = await Promise.all(PERMISSION_TYPES.map(statusOf));
  const changed = () => void permissions().then(tell);
  for (const status of all) status?.addEventListener('change', changed);
  return () => all.forEach((status) => status?.removeEventListener('change', changed));
}
