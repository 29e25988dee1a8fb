export interface VideoProfile {
  width: number;
  height: number;
  frameRate: number;
  /** kbit/s */
  bitrate: number;
}

const video = (width: number, height: number, frameRate: number, bitrate: number): VideoProfile => ({
  width,
  height,
  frameRate,
  bitrate,
});

/** Cameras, by the names of the cloud's Web SDK. */
export const VIDEO_PROFILES = {
  '120p': video(160, 120, 15, 200),
  '120p_2': video(160, 120, 15, 100),
  '180p': video(320, 180, 15, 350),
  '180p_2': video(320, 180, 15, 150),
  '240p': video(320, 240, 15, 400),
  '240p_2': video(320, 240, 15, 200),
  '360p': video(640, 360, 15, 800),
  '360p_2': video(640, 360, 15, 400),
  '480p': video(640, 480, 15, 900),
  '480p_2': video(640, 480, 15, 500),
  '720p': video(1280, 720, 15, 1500),
  '1080p': video(1920, 1080, 15, 2000),
  '1440p': video(2560, 1440, 30, 4860),
  '4K': video(3840, 2160, 30, 9000),
} as const;

/** Screens. */
export const SCREEN_PROFILES = {
  '480p': video(640, 480, 5, 900),
  '480p_2': video(640, 480, 30, 1000),
  '720p': video(1280, 720, 5, 1200),
  '720p_2': video(1280, 720, 30, 3000),
  '1080p': video(1920, 1080, 5, 1600),
  '1080p_2': video(1920, 1080, 30, 4000),
} as const;

/** Microphones: channels, and kbit/s. With `speech`, next to nothing is sent while nobody speaks (DTX). */
export const AUDIO_PROFILES: Record<AudioProfileName, AudioProfile> = {
  speech: { sampleRate: 48_000, channelCount: 1, bitrate: 32, isDiscontinuous: true },
  standard: { sampleRate: 48_000, channelCount: 1, bitrate: 40 },
  'standard-stereo': { sampleRate: 48_000, channelCount: 2, bitrate: 64 },
  high: { sampleRate: 48_000, channelCount: 1, bitrate: 192 },
  'high-stereo': { sampleRate: 48_000, channelCount: 2, bitrate: 192 },
};

type AudioProfileName = 'speech' | 'standard' | 'standard-stereo' | 'high' | 'high-stereo';

export interface AudioProfile {
  sampleRate: number;
  channelCount: number;
  /** kbit/s */
  bitrate: number;
  isDiscontinuous?: boolean;
}

export function profileOf<Profiles extends Record<string, VideoProfile>>(
  profiles: Profiles,
  named: keyof Profiles | Partial<VideoProfile> | undefined,
  fallback: keyof Profiles,
): VideoProfile {
  const base = profiles[fallback] as VideoProfile;
  if (named === undefined) return base;
  if (typeof named === 'object') return { ...base, ...named };
  return profiles[named] ?? base;
}
