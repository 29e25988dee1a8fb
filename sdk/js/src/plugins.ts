import { openCamera, openScreen } from './capture.js';
import { CHUNKS } from './chunks.js';
import { RtcError, aborted, invalid, unsupported, wrongMoment } from './errors.js';
import { log } from './log.js';
import { check } from './options.js';
import type { Core, Plugin, PluginClass } from './plugin.js';
import { SCREEN_PROFILES, VIDEO_PROFILES, profileOf } from './profiles.js';
import { Turns } from './turns.js';
import { elements } from './views.js';

interface Running {
  plugin: Plugin;
  isThere: boolean;
  /** What has been started of it: those of one plugin that are several at once have a name each. */
  groups: Set<string>;
  readonly turns: Turns;
}

/** What of the core belongs to one client. */
export type Own = Pick<Core, 'trtc' | 'another' | 'file' | 'setEffect' | 'setFilter' | 'setSound' | 'waitForGesture'>;

/** The plugins of one client: those of this package, loaded by their names when they are used, and those that the page brings. */
export class Plugins {
  readonly #core: Core;
  readonly #brought = new Map<string, PluginClass>();
  readonly #running = new Map<string, Promise<Running>>();

  constructor(own: Own) {
    this.#core = {
      ...own,
      RtcError,
      aborted,
      invalid,
      unsupported,
      wrongMoment,
      log,
      check,
      elements,
      openCamera,
      openScreen,
      profileOf,
      VIDEO_PROFILES,
      SCREEN_PROFILES,
      require: (functionName, options, ...names) => {
        for (const name of names) {
          const value = (options as Record<string, unknown> | undefined)?.[name];
          if (value === undefined || value === null) throw invalid(functionName, `${name} is missing`, 5001);
          if (value === '') throw invalid(functionName, `${name} is empty`, 5003);
        }
      },
    };
  }

  /** Takes a plugin, or `{ plugin }`. One that is here by its name already is taken from here. */
  use(given: unknown): void {
    const plugin = ((given as { plugin?: unknown } | undefined)?.plugin ?? given) as PluginClass | undefined;
    const name = plugin?.Name;
    if (typeof plugin !== 'function' || typeof name !== 'string') {
      throw invalid('use', 'a plugin is a class with a static Name', 5004);
    }
    if (!Object.hasOwn(CHUNKS, name)) this.#brought.set(name, plugin);
  }

  async start(name: string, options: unknown): Promise<unknown> {
    const { plugin, groups, turns, isThere } = await this.#get('startPlugin', name);
    return turns.take(async () => {
      const group = groupOf('startPlugin', plugin, options);
      if (groups.has(group) && !isThere) throw aborted('startPlugin', `${name} is started already: call updatePlugin, or stopPlugin first`);
      const result = await plugin.start(options);
      groups.add(group);
      return result;
    });
  }

  async update(name: string, options: unknown): Promise<unknown> {
    const { plugin, groups, turns } = await this.#get('updatePlugin', name);
    return turns.take(() => {
      if (!groups.has(groupOf('updatePlugin', plugin, options))) throw aborted('updatePlugin', `${name} is not started: call startPlugin first`);
      if (!plugin.update) throw invalid('updatePlugin', `${name} has nothing to be updated: stop it, and start it anew`, 5005);
      return plugin.update(options);
    });
  }

  async stop(name: string, options: unknown): Promise<unknown> {
    const { plugin, groups, turns } = await this.#get('stopPlugin', name);
    return turns.take(async () => {
      const group = groupOf('stopPlugin', plugin, options);
      if (group !== '*' && !groups.has(group)) return undefined;
      const result = await plugin.stop?.(options);
      if (group === '*') groups.clear();
      else groups.delete(group);
      return result;
    });
  }

  /** The client is no more. */
  close(): void {
    for (const [name, running] of this.#running) {
      void running
        .then(({ plugin, groups }) => (groups.size > 0 ? plugin.stop?.(plugin.getGroup ? { id: '*' } : undefined) : undefined))
        .catch((error: unknown) => log.info(`${name} did not stop`, error));
    }
    this.#running.clear();
  }

  #get(functionName: string, name: string): Promise<Running> {
    let running = this.#running.get(name);
    if (!running) {
      running = this.#load(functionName, name);
      this.#running.set(name, running);
      // What did not come may come the next time.
      running.catch(() => this.#running.delete(name));
    }
    return running;
  }

  async #load(functionName: string, name: string): Promise<Running> {
    const Plugin = this.#brought.get(name) ?? (await this.#import(functionName, name));
    if (Plugin.isSupported?.() === false) throw unsupported(functionName, `this browser cannot do ${name}`, 5210);
    const isThere = Plugin.autoStart === true;
    return { plugin: new Plugin(this.#core), isThere, groups: new Set(isThere ? [''] : []), turns: new Turns() };
  }

  async #import(functionName: string, name: string): Promise<PluginClass> {
    const chunk = Object.hasOwn(CHUNKS, name) ? CHUNKS[name] : undefined;
    if (!chunk) throw aborted(functionName, `there is no plugin ${name}: there are ${Object.keys(CHUNKS).join(', ')}`);
    try {
      return (await chunk()).default;
    } catch (error) {
      throw aborted(functionName, `${name} could not be loaded: ${String(error)}`);
    }
  }
}

/** Which of a plugin's own is meant, where there may be several. */
function groupOf(functionName: string, plugin: Plugin, options: unknown): string {
  if (!plugin.getGroup) return '';
  const group = plugin.getGroup(options);
  if (!group) throw invalid(functionName, 'id is missing', 5001);
  return group;
}
