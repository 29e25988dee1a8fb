/**
 * What pages may ask for, call by call. An option is carried out, or refused with the reason; the few that mean something
 * in the cloud alone, and change nothing that a page or its people see, are let be with a word in the console.
 */
import { invalid } from './errors.js';
import { log } from './log.js';
import { AUDIO_PROFILES, SCREEN_PROFILES, VIDEO_PROFILES } from './profiles.js';
import { type View, elements } from './views.js';

/** One of these types (`typeof`, and `null`), one of these values, a number within bounds, an instance, or options themselves. */
type Rule =
  | readonly ('boolean' | 'string' | 'number' | 'object' | 'null' | 'function')[]
  | { oneOf: readonly unknown[] }
  | { from: number; to: number }
  | { like: 'MediaStreamTrack' | 'HTMLElement'; kind?: 'audio' | 'video' }
  | { shownIn: 'page' }
  | { named: object }
  | { refused: string; only?: unknown }
  | { noted: string; as?: Rule }
  | { oneOrMore: 'string' }
  | { of: Shape };
export type Shape = { readonly [option: string]: Rule };

const FLAG = ['boolean'] as const;
const TEXT = ['string'] as const;
/** One text, or several. */
const TEXTS = { oneOrMore: 'string' } as const;
const VIEW = { shownIn: 'page' } as const;
const AUDIO = { like: 'MediaStreamTrack', kind: 'audio' } as const;
const VIDEO = { like: 'MediaStreamTrack', kind: 'video' } as const;
const FILL = { oneOf: ['contain', 'cover', 'fill'] } as const;
const QOS = { oneOf: ['smooth', 'clear'] } as const;
const LAYERING: Shape = { codec: TEXT, scalabilityMode: TEXT };
const SOUND: Shape = { echoCancellation: { oneOf: [true, false, 'all', 'remote-only'] }, autoGainControl: FLAG, noiseSuppression: FLAG };
const RIGHTS = { noted: 'the room itself decides who may enter and publish' } as const;
const LATENCY = { noted: 'all comes as soon as the network lets it' } as const;

const SERVERS: Shape = {
  turnServer: ['object'],
  iceTransportPolicy: { oneOf: ['all', 'relay'] },
  websocketProxy: TEXT,
  unifiedProxy: TEXT,
  loggerProxy: { noted: 'no logs are sent anywhere' },
  scheduleProxy: { noted: 'there is nothing to schedule' },
  webtransportProxy: { noted: 'the server is spoken to by WebSocket and WebRTC' },
};

export const OPTIONS = {
  create: {
    server: TEXTS,
    createRooms: FLAG,
    plugins: ['object'],
    enableSEI: FLAG,
    assetsPath: TEXT,
    enableAutoPlayDialog: FLAG,
    volumeType: { oneOf: [0, 1] },
    enableAutoSwitchWhenRecapturing: { noted: 'the page is told by device-changed' },
    enableVolumeControlInIOS: { noted: 'the volume on iOS is that of its buttons' },
  },
  enterRoom: {
    sdkAppId: ['number'],
    userId: TEXT,
    userSig: TEXT,
    roomId: ['number', 'string'],
    strRoomId: ['string', 'number'],
    role: { oneOf: ['anchor', 'audience'] },
    scene: { oneOf: ['live', 'rtc'] },
    autoReceiveAudio: FLAG,
    autoReceiveVideo: FLAG,
    enableAutoPlayDialog: FLAG,
    maxSpeakers: ['number'],
    proxy: ['string', 'object'],
    privateMapKey: RIGHTS,
    latencyLevel: LATENCY,
    businessInfo: { noted: 'it is for services of the cloud' },
    userDefineRecordId: { noted: 'recordings are named by who makes them', as: TEXT },
    playoutDelay: ['object'],
    quickStart: { noted: 'a viewer gets the last whole picture at once' },
  },
  switchRoom: { roomId: ['number', 'string'], strRoomId: ['string', 'number'], userSig: TEXT, privateMapKey: RIGHTS },
  switchRole: { privateMapKey: RIGHTS, latencyLevel: LATENCY },
  message: { cmdId: { from: 1, to: 10 }, data: ['object', 'string'] },
  localAudio: {
    publish: FLAG,
    mute: { oneOf: [true, false, 'microphone'] },
    muteKeepVolumeDetection: FLAG,
    option: {
      of: {
        microphoneId: TEXT,
        profile: { named: AUDIO_PROFILES },
        audioTrack: AUDIO,
        captureVolume: { from: 0, to: Infinity },
        earMonitorVolume: { from: 0, to: 100 },
        ...SOUND,
      },
    },
  },
  localVideo: {
    view: VIEW,
    publish: FLAG,
    forcePublish: { noted: 'publish is enough' },
    mute: ['boolean', 'string'],
    option: {
      of: {
        cameraId: TEXT,
        useFrontCamera: FLAG,
        profile: { named: VIDEO_PROFILES },
        fillMode: FILL,
        mirror: { oneOf: [true, false, 'view', 'publish', 'both'] },
        small: { named: VIDEO_PROFILES },
        qosPreference: QOS,
        videoTrack: VIDEO,
        avoidCropping: FLAG,
        rotation: { oneOf: [0, 90, 180, 270] },
        ...LAYERING,
      },
    },
  },
  screen: {
    view: VIEW,
    publish: FLAG,
    streamType: { refused: 'a screen is always the sub stream here, beside the camera', only: 'main' },
    muteSystemAudio: FLAG,
    option: {
      of: {
        profile: { named: SCREEN_PROFILES },
        fillMode: FILL,
        qosPreference: QOS,
        systemAudio: FLAG,
        audioTrack: AUDIO,
        videoTrack: VIDEO,
        captureElement: { like: 'HTMLElement' },
        preferDisplaySurface: { oneOf: ['current-tab', 'tab', 'window', 'monitor'] },
        selfBrowserSurface: { oneOf: ['include', 'exclude'] },
        ...SOUND,
        ...LAYERING,
      },
    },
  },
  remoteVideo: {
    userId: TEXT,
    streamType: ['string'],
    view: VIEW,
    option: {
      of: {
        fillMode: FILL,
        mirror: FLAG,
        small: FLAG,
        receiveWhenViewVisible: FLAG,
        viewRoot: { like: 'HTMLElement' },
        poster: TEXT,
        pictureInPicture: FLAG,
        fullScreen: FLAG,
        canvasRender: { refused: 'a page can draw the track of getVideoTrack itself', only: true },
        draggable: { refused: 'its element is the page\'s own to move', only: true },
      },
    },
  },
} as const satisfies Record<string, Shape>;

const told = new Set<string>();

/** Refuses what cannot be carried out, before anything has changed. */
export function check(functionName: string, options: unknown, shape: Shape, path = ''): void {
  if (options === undefined) return;
  if (typeof options !== 'object' || options === null) throw invalid(functionName, `${path || 'the options'} must be an object`, 5002);
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined) continue;
    const name = path ? `${path}.${option}` : option;
    const rule = Object.hasOwn(shape, option) ? shape[option] : { noted: 'there is no such option' };
    if (rule) obey(functionName, name, value, rule);
  }
  if (shape === OPTIONS.enterRoom) check(functionName, proxyOf(options), SERVERS, 'proxy');
}

/** The same of a call that says what is to be otherwise. */
export function checkChange(functionName: string, options: unknown, shape: Shape): void {
  if (options === undefined) throw invalid(functionName, 'say what is to be otherwise', 5001);
  check(functionName, options, shape);
}

function proxyOf({ proxy }: { proxy?: unknown }): unknown {
  return typeof proxy === 'string' ? undefined : proxy;
}

function obey(functionName: string, name: string, value: unknown, rule: Rule): void {
  const fail = (message: string, extraCode: number): never => {
    throw invalid(functionName, `${name} ${message}`, extraCode);
  };
  if ('noted' in rule) {
    if (rule.as) obey(functionName, name, value, rule.as);
    if (!told.has(name)) log.warn(`${functionName}: ${name} has no effect here: ${rule.noted}`);
    told.add(name);
  } else if ('refused' in rule) {
    if (rule.only === undefined || rule.only === value) fail(`is not carried out: ${rule.refused}`, 5005);
  } else if ('of' in rule) check(functionName, value, rule.of, name);
  else if ('oneOf' in rule) {
    if (!rule.oneOf.some((one) => typeof one === typeof value)) fail(`must be a ${[...new Set(rule.oneOf.map((one) => typeof one))].join(' or ')}`, 5002);
    if (!rule.oneOf.includes(value)) fail(`must be one of ${rule.oneOf.map((one) => JSON.stringify(one)).join(', ')}`, 5005);
  } else if ('from' in rule) {
    if (typeof value !== 'number' || Number.isNaN(value)) fail('must be a number', 5002);
    else if (value < rule.from) fail(`must be at least ${rule.from}`, 5007);
    else if (value > rule.to) fail(`must be at most ${rule.to}`, 5008);
  } else if ('oneOrMore' in rule) {
    const all = [value].flat();
    if (all.length === 0 || !all.every((one) => typeof one === rule.oneOrMore)) fail(`must be a ${rule.oneOrMore}, or several of them`, 5002);
  } else if ('like' in rule) {
    // Pages ask for elements that are not there, and give what they get.
    if (value === null) return;
    const type = (globalThis as unknown as Record<string, (abstract new () => unknown) | undefined>)[rule.like];
    if (type && !(value instanceof type)) fail(`must be a ${rule.like}`, 5004);
    if (type && rule.kind && (value as MediaStreamTrack).kind !== rule.kind) fail(`must be a track of ${rule.kind}`, 5004);
  } else if ('shownIn' in rule) {
    elements(value as View, functionName);
  } else if ('named' in rule) profile(fail, value, rule.named, name.endsWith('small'));
  else if (!rule.includes((value === null ? 'null' : typeof value) as 'string')) fail(`must be a ${rule.join(' or ')}`, 5002);
}

function profile(fail: (message: string, extraCode: number) => never, value: unknown, names: object, isFlag: boolean): void {
  if (typeof value === 'boolean' && isFlag) return;
  if (typeof value === 'string') {
    if (!Object.hasOwn(names, value)) fail(`must be one of ${Object.keys(names).join(', ')}`, 5005);
    return;
  }
  if (typeof value !== 'object' || value === null || names === AUDIO_PROFILES) fail('must be the name of a profile', 5002);
  for (const [field, number] of Object.entries(value as object)) {
    if (typeof number !== 'number' || !(number > 0)) fail(`has a ${field} that is no number above 0`, 5006);
  }
}
