import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

const built = (name) => new URL(`../dist/${name}`, import.meta.url);

const CLIENTS = ['roomful-client.js', 'roomful-client.umd.js', 'roomful-client-v4.js', 'roomful-client-v4.umd.js'];

describe.skipIf(!existsSync(built('roomful-client.umd.js')))('the build', () => {
  test.each(CLIENTS)('%s is under 40 KiB, compressed', (name) => {
    expect(gzipSync(readFileSync(built(name))).length).toBeLessThan(40 * 1024);
  });

  // A page that has the client as a script would load it once more with what it uses, and be two clients.
  test('loads what is used from beside it, which brings nothing of the client along', () => {
    const chunks = readdirSync(built('plugins')).filter((name) => /^[\w-]+\.js$/.test(name));

    expect(chunks).toContain('encryption.js');
    for (const name of chunks) expect(readFileSync(built(`plugins/${name}`), 'utf8'), name).not.toMatch(/\b(import|from)\s*\(?['"`]/);
    for (const name of CLIENTS) expect(readFileSync(built(name), 'utf8').includes('onrtctransform'), `${name} has the worker that encrypts`).toBe(false);
    expect(readFileSync(built('plugins/encryption.js'), 'utf8')).toContain('onrtctransform');
  });

  test('can be required', () => {
    const TRTC = createRequire(import.meta.url)('@roomful/client');

    expect([typeof TRTC.create, TRTC.default === TRTC, typeof TRTC.Room, TRTC.EVENT.TRACK]).toEqual(['function', true, 'function', 'track']);
  });
});
