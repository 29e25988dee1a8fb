// Signs with the npm generator: one JSON request on standard input, one JSON array of UserSigs out.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const { Api } = require('tls-sig-api-v2');
const { sdkappid, key, requests } = JSON.parse(readFileSync(0, 'utf8'));
const api = new Api(sdkappid, key);
const sigs = requests.map(({ user, expire, room }) =>
  room === undefined
    ? api.genSig(user, expire)
    : typeof room === 'number'
      ? api.genPrivateMapKey(user, expire, room, 255)
      : api.genPrivateMapKeyWithStringRoomID(user, expire, room, 255),
);
process.stdout.write(JSON.stringify(sigs));
