/** `chunks.ts` for `<script src>`: what is no module cannot import from beside itself, but knows where it came from. */
import type { PluginClass } from './plugin.js';

type Chunk = () => Promise<{ default: PluginClass }>;

const here = (globalThis.document?.currentScript as HTMLScriptElement | null)?.src;

const chunk =
  (file: string): Chunk =>
  () => import(/* @vite-ignore */ new URL(`plugins/${file}.js`, here).href) as ReturnType<Chunk>;

export const CHUNKS: Record<string, Chunk> = {
  AIDenoiser: chunk('ai-denoiser'),
  AudioMixer: chunk('audio-mixer'),
  BasicBeauty: chunk('basic-beauty'),
  CDNStreaming: chunk('cdn-streaming'),
  CustomEncryption: chunk('custom-encryption'),
  Debug: chunk('debug'),
  DeviceDetector: chunk('device-detector'),
  VideoMixer: chunk('video-mixer'),
  VirtualBackground: chunk('virtual-background'),
  Watermark: chunk('watermark'),
};
