/** What the plugins take and give, by their names. */
import type { PluginClass } from './plugin.js';
import type { AIDenoiserOptions, UpdateDenoiserOptions } from './plugins/ai-denoiser.js';
import type { AudioMixerOptions, StopAudioMixerOptions, UpdateAudioMixerOptions } from './plugins/audio-mixer.js';
import type { BasicBeautyOptions } from './plugins/basic-beauty.js';
import type { CDNStreamingOptions } from './plugins/cdn-streaming.js';
import type { EncryptionOptions } from './plugins/custom-encryption.js';
import type { UpdateDebugOptions } from './plugins/debug.js';
import type { DeviceDetectorOptions, DeviceDetectorResult } from './plugins/device-detector.js';
import type { MixParseResult, UpdateVideoMixerOptions, VideoMixerOptions } from './plugins/video-mixer.js';
import type { UpdateVirtualBackgroundOptions, VirtualBackgroundOptions } from './plugins/virtual-background.js';
import type { WatermarkOptions } from './plugins/watermark.js';

export type {
  AIDenoiserOptions,
  AudioMixerOptions,
  BasicBeautyOptions,
  CDNStreamingOptions,
  DeviceDetectorOptions,
  DeviceDetectorResult,
  EncryptionOptions,
  MixParseResult,
  StopAudioMixerOptions,
  UpdateAudioMixerOptions,
  UpdateDebugOptions,
  UpdateDenoiserOptions,
  UpdateVideoMixerOptions,
  UpdateVirtualBackgroundOptions,
  VideoMixerOptions,
  VirtualBackgroundOptions,
  WatermarkOptions,
};

export type PluginStartOptionsMap = {
  AIDenoiser: AIDenoiserOptions;
  AudioMixer: AudioMixerOptions;
  BasicBeauty: BasicBeautyOptions;
  CDNStreaming: CDNStreamingOptions;
  CustomEncryption: EncryptionOptions;
  Debug: undefined;
  DeviceDetector: DeviceDetectorOptions;
  VideoMixer: VideoMixerOptions;
  VirtualBackground: VirtualBackgroundOptions;
  Watermark: WatermarkOptions;
};

export type PluginUpdateOptionsMap = {
  AIDenoiser: UpdateDenoiserOptions;
  AudioMixer: UpdateAudioMixerOptions;
  BasicBeauty: BasicBeautyOptions;
  CDNStreaming: CDNStreamingOptions;
  CustomEncryption: EncryptionOptions;
  Debug: UpdateDebugOptions;
  VideoMixer: UpdateVideoMixerOptions;
  VirtualBackground: UpdateVirtualBackgroundOptions;
  Watermark: WatermarkOptions;
};

export type PluginStopOptionsMap = {
  AIDenoiser: undefined;
  AudioMixer: StopAudioMixerOptions;
  BasicBeauty: undefined;
  CDNStreaming: CDNStreamingOptions;
  CustomEncryption: undefined;
  Debug: undefined;
  DeviceDetector: undefined;
  VideoMixer: undefined;
  VirtualBackground: undefined;
  Watermark: undefined;
};

interface PluginResults {
  DeviceDetector: DeviceDetectorResult | undefined;
  VideoMixer: MixParseResult;
}

/** What a plugin takes; of one that the page brings, anything. */
export type PluginOptionsOf<Options, Name> = Name extends keyof Options ? Options[Name] : unknown;
export type PluginResultOf<Name> = Name extends keyof PluginResults ? PluginResults[Name] : unknown;

export interface PluginWithAssets {
  plugin: PluginClass;
  /** The files of plugins come from the server of the room. */
  assetsPath?: string;
}
