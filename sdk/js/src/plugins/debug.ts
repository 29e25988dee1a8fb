import type { Core, Plugin } from '../plugin.js';
import type { Statistics } from '../statistics.js';

export interface UpdateDebugOptions {
  visible: boolean;
}

const RULES = { visible: ['boolean'] } as const;
const LINES = 12;

/** A panel over the page that says how the connection does, what is sent and what comes in. */
export class Debug implements Plugin {
  static readonly Name = 'Debug';
  static readonly autoStart = true;
  readonly #core: Core;
  #panel: HTMLElement | undefined;
  #close: () => void = () => undefined;

  constructor(core: Core) {
    this.#core = core;
  }

  start(): void {
    this.#show();
  }

  update(options: UpdateDebugOptions): void {
    this.#core.require('updatePlugin', options, 'visible');
    this.#core.check('updatePlugin', options, RULES);
    if (options.visible) this.#show();
    else this.stop();
  }

  stop(): void {
    this.#close();
    this.#panel?.remove();
    this.#panel = undefined;
  }

  #show(): void {
    if (this.#panel) return;
    const panel = document.createElement('aside');
    panel.setAttribute('aria-label', 'TRTC debug');
    const text = document.createElement('pre');
    const button = document.createElement('button');
    button.textContent = '×';
    button.ariaLabel = 'Close';
    button.addEventListener('click', () => this.stop());
    panel.append(button, text);
    Object.assign(panel.style, { position: 'fixed', top: '8px', left: '8px', zIndex: '2147483647', maxWidth: '46ch', padding: '8px', borderRadius: '6px', background: '#000c', color: '#fff', font: '12px/1.4 ui-monospace, monospace' });
    Object.assign(button.style, { float: 'right', border: '0', background: 'none', color: 'inherit', font: 'inherit', cursor: 'pointer' });
    Object.assign(text.style, { margin: '0', whiteSpace: 'pre-wrap' });
    document.body.append(panel);
    this.#panel = panel;

    const events: string[] = [];
    let figures = 'no statistics yet: they come in a room';
    const draw = () => (text.textContent = [figures, ...events].join('\n'));
    const note = (line: string) => {
      events.push(`${new Date().toLocaleTimeString()} ${line}`);
      if (events.length > LINES) events.shift();
      draw();
    };
    const onStatistics = (statistics: Statistics) => {
      figures = describe(statistics);
      draw();
    };
    const onState = ({ prevState, state }: { prevState: string; state: string }) => note(`${prevState} -> ${state}`);
    const onPublish = ({ mediaType, state }: { mediaType: string; state: string }) => note(`${mediaType} ${state}`);
    const onError = ({ code, message }: { code: number; message: string }) => note(`error ${code} ${message}`);
    const { trtc } = this.#core;
    trtc.on('statistics', onStatistics).on('connection-state-changed', onState).on('publish-state-changed', onPublish).on('error', onError);
    this.#close = () => void trtc.off('statistics', onStatistics).off('connection-state-changed', onState).off('publish-state-changed', onPublish).off('error', onError);
    draw();
  }
}

function describe({ rtt, upLoss, downLoss, localStatistics: { audio, video }, remoteStatistics }: Statistics): string {
  const picture = ({ videoType, width, height, frameRate, bitrate }: (typeof video)[0]) => `${videoType} ${width}x${height} ${frameRate} fps ${bitrate} kbit/s`;
  return [
    `rtt ${rtt} ms, loss up ${upLoss} %, down ${downLoss} %`,
    `sent: audio ${audio.bitrate} kbit/s`,
    ...video.map((one) => `  ${picture(one)}`),
    ...remoteStatistics.flatMap((user) => [`${user.userId}: audio ${user.audio.bitrate} kbit/s`, ...user.video.map((one) => `  ${picture(one)}`)]),
  ].join('\n');
}

export default Debug;
