import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

const built = (name) => new URL(`../dist/${name}`, import.meta.url);

describe.skipIf(!existsSync(built('roomful-client.umd.js')))('the build', () => {
  test.each(['roomful-client.js', 'roomful-client.umd.js', 'roomful-client-v4.js', 'roomful-client-v4.umd.js'])('%s is under 40 KiB, compressed', (name) => {
    expect(gzipSync(readFileSync(built(name))).length).toBeLessThan(40 * 1024);
  });

  test('can be required', () => {
    const TRTC = createRequire(import.meta.url)('@roomful/client');

    expect([typeof TRTC.create, TRTC.default === TRTC, typeof TRTC.Room, TRTC.EVENT.TRACK]).toEqual(['function', true, 'function', 'track']);
  });
});
