import type { Stage } from './stage.js';
import type { AudioPlayer } from './views.js';

/** The speaker of the page: one for all that its clients play. */
let speakerId = '';
const players = new Set<AudioPlayer>();
const clients = new Set<Stage>();

/** All that is heard, now and from now on, comes from this speaker. */
export async function setSpeaker(id: string): Promise<void> {
  speakerId = id;
  await Promise.all([...players].map((player) => player.setSpeaker(id)));
  for (const client of clients) void tellSpeaker(client);
}

/** Tells a page which speaker plays: the one that was chosen, or the first, which is the system's own choice. */
export async function tellSpeaker(stage: Stage): Promise<void> {
  // Pages that are not from a secure place have no devices to tell of.
  const devices = await (globalThis.navigator?.mediaDevices?.enumerateDevices() ?? Promise.resolve([])).catch((): MediaDeviceInfo[] => []);
  const all = devices.filter(({ kind }) => kind === 'audiooutput');
  const device = all.find(({ deviceId }) => deviceId === speakerId) ?? all[0];
  if (device) stage.tell('device-changed', { type: 'speaker', action: 'active', device });
}

/** What plays follows the speaker, until it is let go of. */
export function follow(player: AudioPlayer): void {
  players.add(player);
  if (speakerId) void player.setSpeaker(speakerId).catch(() => undefined);
}

export function letGo(player: AudioPlayer): void {
  players.delete(player);
}

/** A client is told of the speaker, until it is no more. */
export function attend(stage: Stage): void {
  clients.add(stage);
}

export function leave(stage: Stage): void {
  clients.delete(stage);
}
