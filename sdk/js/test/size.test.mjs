import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';

const built = new URL('../dist/roomful-client.js', import.meta.url);

test.skipIf(!existsSync(built))('the build is under 40 KiB, compressed', () => {
  expect(gzipSync(readFileSync(built)).length).toBeLessThan(40 * 1024);
});
