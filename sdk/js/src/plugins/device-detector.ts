import type { Core, Plugin } from '../plugin.js';

export interface DeviceDetectorOptions {
  /** Without it the network is not tried. */
  networkDetect?: { sdkAppId: number; userId: string; userSig: string; roomId?: number; downlinkUserId?: string; downlinkUserSig?: string };
  cameraDetect?: { mirror?: boolean };
  /** Whether steps may be left out; yes unless `false`. */
  allowSkip?: boolean;
  language?: 'auto' | 'zh' | 'en';
}

export interface DeviceDetectorResult {
  camera: { isSuccess: boolean; device: MediaDeviceInfo | undefined };
  microphone: { isSuccess: boolean; device: MediaDeviceInfo | undefined };
  speaker: { isSuccess: boolean; device: MediaDeviceInfo | undefined };
  network: { isSuccess: boolean; result: { quality: number; rtt: number } };
}

const RULES = { networkDetect: ['object'], cameraDetect: ['object'], allowSkip: ['boolean'], language: { oneOf: ['auto', 'zh', 'en'] } } as const;
const NETWORK_MS = 6_000;
/** The worst quality that still serves (`network-quality`). */
const WORST = 4;

const TEXTS = {
  en: {
    camera: ['Camera', 'Do you see yourself?'],
    microphone: ['Microphone', 'Say something: does the bar move?'],
    speaker: ['Speaker', 'Do you hear the tone?'],
    network: ['Network', 'The network is being tried …'],
    yes: 'Yes',
    no: 'No',
    play: 'Play a tone',
    skip: 'Skip',
    done: 'Done',
    ok: 'works',
    bad: 'does not work',
    result: 'Result',
  },
  zh: {
    camera: ['摄像头', '能看到自己吗？'],
    microphone: ['麦克风', '请说话：音量条有变化吗？'],
    speaker: ['扬声器', '能听到声音吗？'],
    network: ['网络', '正在检测网络……'],
    yes: '能',
    no: '不能',
    play: '播放提示音',
    skip: '跳过',
    done: '完成',
    ok: '正常',
    bad: '异常',
    result: '检测结果',
  },
} as const;
type Texts = (typeof TEXTS)['en' | 'zh'];

const STYLE = `dialog { width: min(26rem, 90vw); box-sizing: border-box; border: 0; border-radius: 12px; padding: 20px; font: 15px/1.5 system-ui, sans-serif; color: #1d2129; background: #fff }
dialog::backdrop { background: #0008 }
h2 { margin: 0 0 8px; font-size: 18px }
video { display: block; width: 100%; aspect-ratio: 4 / 3; border-radius: 8px; background: #000; object-fit: cover }
meter, select { display: block; width: 100%; margin: 8px 0; font: inherit }
.row { display: flex; gap: 8px; justify-content: flex-end; margin-top: 12px }
button { padding: 6px 16px; border: 1px solid #c9cdd4; border-radius: 6px; background: #fff; color: inherit; font: inherit; cursor: pointer }
button.main { border-color: #1c66e5; background: #1c66e5; color: #fff }
ul { margin: 8px 0; padding: 0; list-style: none }
@media (prefers-color-scheme: dark) { dialog, button { background: #22262e; color: #e6e8eb } }`;

/** What a step found; nothing when the person has closed the dialog. */
interface Found {
  isSuccess: boolean;
  device: MediaDeviceInfo | undefined;
}

/** A dialog in which a person tries camera, microphone, speaker and network, one after the other. */
export class DeviceDetector implements Plugin {
  static readonly Name = 'DeviceDetector';
  readonly #core: Core;
  #close: (() => void) | undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Resolves with what was found, or with nothing where the person closed the dialog. */
  async start(options: DeviceDetectorOptions = {}): Promise<DeviceDetectorResult | undefined> {
    this.#core.check('startPlugin', options, RULES);
    const { networkDetect, cameraDetect, allowSkip = true, language = 'auto' } = options;
    if (networkDetect) this.#core.require('startPlugin', networkDetect, 'sdkAppId', 'userId', 'userSig');
    const isChinese = language === 'zh' || (language === 'auto' && navigator.language.startsWith('zh'));
    const steps = new Steps(isChinese ? TEXTS.zh : TEXTS.en, allowSkip);
    this.#close = () => steps.close();
    try {
      const camera = await steps.camera(cameraDetect?.mirror !== false);
      const microphone = camera && (await steps.microphone());
      const speaker = microphone && (await steps.speaker());
      if (!camera || !microphone || !speaker) return undefined;
      const nothing = { isSuccess: false, result: { quality: 0, rtt: 0 } };
      const network = networkDetect ? await steps.network(() => this.#tryNetwork(networkDetect)) : nothing;
      const result = network && { camera, microphone, speaker, network };
      if (result) await steps.result(result, networkDetect !== undefined);
      return result;
    } finally {
      steps.close();
      this.#close = undefined;
    }
  }

  stop(): void {
    this.#close?.();
  }

  /** Sends a tone that nobody hears into a room of its own, and looks at how it does. */
  async #tryNetwork({ sdkAppId, userId, userSig, roomId, downlinkUserId, downlinkUserSig }: NonNullable<DeviceDetectorOptions['networkDetect']>): Promise<DeviceDetectorResult['network']> {
    const room = roomId === undefined ? { strRoomId: `try-${Math.random().toString(36).slice(2)}` } : { roomId };
    const clients = [];
    const context = new AudioContext();
    try {
      const up = this.#core.another();
      clients.push(up);
      await up.enterRoom({ sdkAppId, userId, userSig, ...room });
      const tone = context.createMediaStreamDestination();
      const [audioTrack] = tone.stream.getAudioTracks();
      await up.startLocalAudio({ option: { audioTrack } });
      if (downlinkUserId && downlinkUserSig) {
        const down = this.#core.another();
        clients.push(down);
        await down.enterRoom({ sdkAppId, userId: downlinkUserId, userSig: downlinkUserSig, ...room });
      }
      let result = { quality: 0, rtt: 0 };
      up.on('network-quality', ({ uplinkNetworkQuality, uplinkRTT }) => (result = { quality: uplinkNetworkQuality, rtt: uplinkRTT }));
      await new Promise((resolve) => setTimeout(resolve, NETWORK_MS));
      return { isSuccess: result.quality > 0 && result.quality <= WORST, result };
    } catch (error) {
      this.#core.log.warn('the network could not be tried', error);
      return { isSuccess: false, result: { quality: 6, rtt: 0 } };
    } finally {
      for (const client of clients) {
        await client.exitRoom();
        client.destroy();
      }
      void context.close();
    }
  }
}

/** The dialog, one step at a time. */
class Steps {
  readonly #host = document.createElement('div');
  readonly #dialog = document.createElement('dialog');
  readonly #texts: Texts;
  readonly #maySkip: boolean;
  #leave: () => void = () => undefined;

  constructor(texts: Texts, maySkip: boolean) {
    this.#texts = texts;
    this.#maySkip = maySkip;
    const shadow = this.#host.attachShadow({ mode: 'open' });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];
    shadow.append(this.#dialog);
    document.body.append(this.#host);
    this.#dialog.addEventListener('close', () => this.#leave());
    this.#dialog.showModal();
  }

  close(): void {
    this.#leave();
    this.#host.remove();
  }

  async camera(isMirrored: boolean): Promise<Found | undefined> {
    const video = document.createElement('video');
    Object.assign(video, { muted: true, autoplay: true, playsInline: true });
    if (isMirrored) video.style.transform = 'scaleX(-1)';
    return this.#try('camera', 'videoinput', [video], async (deviceId) => {
      const stream = await navigator.mediaDevices.getUserMedia({ video: deviceId ? { deviceId: { exact: deviceId } } : true });
      video.srcObject = stream;
      return () => stream.getTracks().forEach((track) => track.stop());
    });
  }

  async microphone(): Promise<Found | undefined> {
    const meter = document.createElement('meter');
    Object.assign(meter, { min: 0, max: 0.3, value: 0 });
    return this.#try('microphone', 'audioinput', [meter], async (deviceId) => {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: deviceId ? { deviceId: { exact: deviceId } } : true });
      const context = new AudioContext();
      const analyser = context.createAnalyser();
      context.createMediaStreamSource(stream).connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      const timer = setInterval(() => {
        analyser.getFloatTimeDomainData(samples);
        meter.value = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
      }, 50);
      return () => {
        clearInterval(timer);
        void context.close();
        stream.getTracks().forEach((track) => track.stop());
      };
    });
  }

  async speaker(): Promise<Found | undefined> {
    const button = document.createElement('button');
    button.textContent = this.#texts.play;
    let sink = '';
    button.addEventListener('click', () => {
      const context = new AudioContext();
      void (context as { setSinkId?(id: string): Promise<void> }).setSinkId?.(sink).catch(() => undefined);
      const tone = context.createOscillator();
      const gain = context.createGain();
      gain.gain.value = 0.2;
      tone.connect(gain).connect(context.destination);
      tone.start();
      tone.stop(context.currentTime + 1);
      tone.addEventListener('ended', () => void context.close());
    });
    return this.#try('speaker', 'audiooutput', [button], (deviceId) => {
      sink = deviceId;
      return Promise.resolve(() => undefined);
    });
  }

  network(work: () => Promise<DeviceDetectorResult['network']>): Promise<DeviceDetectorResult['network'] | undefined> {
    return this.#step(this.#texts.network, [], [], async (finish) => finish(await work()));
  }

  async result(result: DeviceDetectorResult, hasNetwork: boolean): Promise<void> {
    const list = document.createElement('ul');
    for (const name of ['camera', 'microphone', 'speaker', 'network'] as const) {
      if (name === 'network' && !hasNetwork) continue;
      const line = document.createElement('li');
      const { isSuccess } = result[name];
      line.textContent = `${isSuccess ? '✓' : '✗'} ${this.#texts[name][0]}: ${isSuccess ? this.#texts.ok : this.#texts.bad}`;
      list.append(line);
    }
    await this.#step([this.#texts.result, ''], [list], [[this.#texts.done, true]], () => undefined);
  }

  /** A device, chosen from those of its kind, and what the person says of it. */
  async #try(
    name: 'camera' | 'microphone' | 'speaker',
    kind: MediaDeviceKind,
    shown: HTMLElement[],
    open: (deviceId: string) => Promise<() => void>,
  ): Promise<Found | undefined> {
    const select = document.createElement('select');
    select.ariaLabel = this.#texts[name][0];
    let devices: MediaDeviceInfo[] = [];
    let end = () => undefined as void;
    const device = () => devices.find(({ deviceId }) => deviceId === select.value) ?? devices[0];
    const answers: [string, boolean][] = [[this.#texts.no, false], [this.#texts.yes, true]];
    const isSuccess = await this.#step(this.#texts[name], [select, ...shown], answers, async () => {
      const begin = async () => {
        end();
        end = await open(select.value);
      };
      const trouble = (error: unknown) => select.after(Object.assign(document.createElement('p'), { textContent: String(error) }));
      await begin().catch(trouble);
      devices = (await navigator.mediaDevices.enumerateDevices()).filter((one) => one.kind === kind);
      select.append(...devices.map(({ deviceId, label }) => new Option(label || deviceId, deviceId)));
      select.addEventListener('change', () => void begin().catch(trouble));
    });
    end();
    return isSuccess === undefined ? undefined : { isSuccess, device: device() };
  }

  /** Shows one step until it is answered, or is over by itself; nothing when the dialog was closed. */
  #step<T>([title, question]: readonly [string, string], shown: HTMLElement[], answers: [string, T][], begin: (finish: (found: T) => void) => Promise<void> | void): Promise<T | undefined> {
    return new Promise((resolve) => {
      this.#leave = () => resolve(undefined);
      const heading = Object.assign(document.createElement('h2'), { textContent: title });
      const text = Object.assign(document.createElement('p'), { textContent: question });
      const row = Object.assign(document.createElement('div'), { className: 'row' });
      const button = (label: string, isMain: boolean, act: () => void) => {
        const made = Object.assign(document.createElement('button'), { textContent: label, className: isMain ? 'main' : '' });
        made.addEventListener('click', act);
        row.append(made);
      };
      if (this.#maySkip && answers.length !== 1) button(this.#texts.skip, false, () => resolve(answers[0]?.[1]));
      for (const [label, found] of answers) button(label, found === answers.at(-1)?.[1], () => resolve(found));
      this.#dialog.replaceChildren(heading, text, ...shown, row);
      void begin(resolve);
    });
  }
}

export default DeviceDetector;
