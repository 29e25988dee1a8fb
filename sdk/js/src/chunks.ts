/** What of this package is loaded when it is used, from beside the client: the plugins, and encryption. `chunks.classic.ts` is the same for what is no module. */
import type { PluginClass } from './plugin.js';

export type EncryptionChunk = Promise<typeof import('./encryption.js')>;

type Chunk = () => Promise<{ default: PluginClass }>;

export const CHUNKS: Record<string, Chunk> = {
  AIDenoiser: () => import('./plugins/ai-denoiser.js'),
  AudioMixer: () => import('./plugins/audio-mixer.js'),
  BasicBeauty: () => import('./plugins/basic-beauty.js'),
  CDNStreaming: () => import('./plugins/cdn-streaming.js'),
  CustomEncryption: () => import('./plugins/custom-encryption.js'),
  Debug: () => import('./plugins/debug.js'),
  DeviceDetector: () => import('./plugins/device-detector.js'),
  VideoMixer: () => import('./plugins/video-mixer.js'),
  VirtualBackground: () => import('./plugins/virtual-background.js'),
  Watermark: () => import('./plugins/watermark.js'),
};

export const loadEncryption = (): EncryptionChunk => import('./encryption.js');
