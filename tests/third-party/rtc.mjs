// Calls the RTC API with the official SDK for Node, as it comes from npm: by endpoint and protocol alone. What it reads and prints is as
// in rtc.py.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const require = createRequire(import.meta.url);
const { Client } = require('tencentcloud-sdk-nodejs/tencentcloud/services/trtc').trtc.v20190722;

const task = JSON.parse(await text(process.stdin));
const client = new Client({
  credential: { secretId: task.id, secretKey: task.key },
  region: 'ap-guangzhou',
  profile: {
    signMethod: task.signMethod,
    httpProfile: { endpoint: task.endpoint, protocol: 'http://', reqMethod: task.method, reqTimeout: 30 },
  },
});

async function call(action, parameters) {
  try {
    return await client[action](parameters);
  } catch (error) {
    return { action, code: error.code, message: error.message, requestId: error.requestId };
  }
}

let { calls } = task;
if (calls === 'all') {
  const names = Object.getOwnPropertyNames(Client.prototype).filter((name) => /^[A-Z]/.test(name));
  calls = names.map((name) => [name, {}]);
}
const answers = [];
for (const [action, parameters] of calls) answers.push(await call(action, parameters));
console.log(JSON.stringify(answers));
