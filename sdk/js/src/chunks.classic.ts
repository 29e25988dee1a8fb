/** `chunks.ts` for `<script src>`: what is no module cannot import from beside itself, but knows where it came from. */
import type { PluginClass } from './plugin.js';

type Chunk = () => Promise<{ default: PluginClass }>;

const here = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src;

const NAMES = ['AIDenoiser', 'AudioMixer', 'BasicBeauty', 'CDNStreaming', 'CustomEncryption', 'Debug', 'DeviceDetector', 'VideoMixer', 'VirtualBackground', 'Watermark'];

/** A plugin's file has its name in another spelling: `AIDenoiser` is `ai-denoiser`. */
const fileOf = (name: string): string => name.replace(/\B([A-Z][a-z])/g, '-$1').toLowerCase();

export const CHUNKS: Record<string, Chunk> = Object.fromEntries(
  NAMES.map((name) => [name, () => import(/* @vite-ignore */ new URL(`plugins/${fileOf(name)}.js`, here).href) as ReturnType<Chunk>]),
);
