/** `chunks.ts` for `<script src>`: what is no module cannot import from beside itself, but knows where it came from. */
import type { EncryptionChunk } from './chunks.js';
import type { PluginClass } from './plugin.js';

type Chunk = () => Promise<{ default: PluginClass }>;

const here = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src;

const NAMES = ['AIDenoiser', 'AudioMixer', 'BasicBeauty', 'CDNStreaming', 'CustomEncryption', 'Debug', 'DeviceDetector', 'VideoMixer', 'VirtualBackground', 'Watermark'];

/** A plugin's file has its name in another spelling: `AIDenoiser` is `ai-denoiser`. */
const fileOf = (name: string): string => name.replace(/\B([A-Z][a-z])/g, '-$1').toLowerCase();

const load = (file: string): Promise<unknown> => import(/* @vite-ignore */ new URL(`plugins/${file}.js`, here).href);

export const CHUNKS: Record<string, Chunk> = Object.fromEntries(NAMES.map((name) => [name, () => load(fileOf(name)) as ReturnType<Chunk>]));

export const loadEncryption = (): EncryptionChunk => load('encryption') as EncryptionChunk;
