import { expect, test, vi } from 'vitest';
import { Playing } from '../src/playing.js';

test('each change of what plays is told once, with its reason', () => {
  const tell = vi.fn();
  const playing = new Playing(tell);
  const [track, other] = [new EventTarget(), new EventTarget()];
  const happen = (of: EventTarget, name: string) => void of.dispatchEvent(new Event(name));

  playing.follow(track as MediaStreamTrack);
  happen(track, 'mute');
  playing.set('PLAYING', 'playing');
  playing.set('PLAYING', 'playing');
  happen(track, 'mute');
  happen(track, 'unmute');
  playing.follow(other as MediaStreamTrack);
  happen(track, 'ended');
  happen(other, 'ended');
  playing.end();
  happen(other, 'unmute');

  expect(tell.mock.calls).toEqual([['PLAYING', 'playing'], ['PAUSED', 'mute'], ['PLAYING', 'unmute'], ['STOPPED', 'ended']]);
});
