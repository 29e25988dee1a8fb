// One scenario: a publisher and its viewers in real browsers, on either side of the link. What to do comes as the first line
// of the standard input; `{"ready":true}` goes out when the picture flows, and what was seen after the word to go.
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from '../../tests/third-party/node_modules/playwright-core/index.mjs';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const hear = async () => JSON.parse((await lines.next()).value);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const task = await hear();
const { server, cast, seconds } = task;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

setTimeout(() => {
  process.stderr.write('the scenario took too long\n');
  process.exit(2);
}, (seconds + 60) * 1000);

const browsers = {};
/** The browser on a side of the link. */
function on(side) {
  browsers[side] ??= chromium.launch({
    executablePath: side === 'far' ? here('far.sh') : '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
      '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--disable-features=WebRtcHideLocalIpsWithMdns',
      '--disable-renderer-backgrounding', '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows',
      `--unsafely-treat-insecure-origin-as-secure=${server.url}`],
  });
  return browsers[side];
}

/** A page of a user that is ready to enter. */
async function open(side, user) {
  const page = await (await (await on(side)).newContext({ viewport: { width: 1280, height: 720 } })).newPage();
  page.on('pageerror', (error) => process.stderr.write(`${user}: ${error}\n`));
  if (process.env.SHOW) page.on('console', (line) => process.stderr.write(`${user}: ${line.text()}\n`));
  await page.goto(server.kind === 'janus' ? `${server.url}/janus/info` : `${server.url}/healthz`);
  await page.setContent('<body></body>');
  await page.addScriptTag({ path: here('page.js') });
  const options = { ...server, user, sig: server.sigs?.[user], reportsOnly: task.reportsOnly };
  await page.evaluate(async (options) => { lab.client = await lab[options.kind](options); }, options);
  return page;
}

async function rest(command, body) {
  const { url, app, admin } = server;
  const query = `sdkappid=${app}&identifier=administrator&usersig=${encodeURIComponent(admin)}&random=1&contenttype=json`;
  const answer = await (await fetch(`${url}/v4/${command}?${query}`, { method: 'POST', body: JSON.stringify(body) })).json();
  if (answer.ErrorCode !== 0) throw new Error(`${command}: ${answer.ErrorCode} ${answer.ErrorInfo}`);
}

/** Until everything that is sent is sent at its full rate, as of a publisher that is on for a while. */
async function warm(page) {
  const end = Date.now() + 20_000;
  let before;
  for (let good = 0; good < 2 && Date.now() < end; ) {
    const { at, out } = await page.evaluate(() => lab.sample());
    const bytes = out.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    const flows = out.length > 0 && out.every(({ active, framesPerSecond }) => active === false || framesPerSecond >= 12);
    const rate = before ? (8000 * (bytes - before.bytes)) / (at - before.at) : 0;
    // What nobody watches may be switched off.
    const isWhole = rate > 0.8 * task.bitrate || out.some(({ active }) => active === false);
    good = flows && isWhole ? good + 1 : 0;
    before = { at, bytes };
    await pause(500);
  }
}

const watch = (page, feed) => page.evaluate((feed) => {
  lab.began = Date.now();
  lab.begin();
  lab.try(lab.client.enter(feed));
}, feed);

async function run() {
  if (server.kind === 'roomful') {
    const accounts = Object.keys(server.sigs);
    await rest('im_open_login_svc/multiaccount_import', { Accounts: accounts });
    const RoomInfo = { RoomId: server.room, RoomType: 'Live', SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake' };
    await rest('live_engine_http_srv/create_room', { RoomInfo });
  }
  const isUplink = cast === 'uplink';
  const places = { viewer: ['far'], uplink: ['near'], crowd: ['far', 'near', 'near'], joins: ['far'], late: ['far'], flooded: ['near', 'near'] }[cast];
  const [publisher, ...viewers] = await Promise.all([
    open(isUplink ? 'far' : 'near', 'host'),
    ...places.map((side, number) => open(side, `viewer${number}`)),
  ]);
  await publisher.evaluate(({ hasLayers, bitrate }) => lab.client.publish(hasLayers, bitrate), task);
  const feed = await publisher.evaluate(() => lab.feed);
  await warm(publisher);
  say({ ready: true });
  await hear();
  const began = Date.now();
  // When a size is on again is looked for within fractions of a second.
  await publisher.evaluate((everyMs) => lab.begin(everyMs), cast === 'late' ? 50 : 200);
  if (cast === 'late') await pause(seconds * 500);
  await Promise.all(viewers.map((page) => watch(page, feed)));
  const joins = cast === 'joins' ? await join(viewers[0], feed, began) : [];
  await pause(began + seconds * 1000 - Date.now());
  const collect = async (page) => ({ began: await page.evaluate(() => lab.began ?? 0), ...(await page.evaluate(() => lab.collect())) });
  return { began, ended: Date.now(), publisher: await collect(publisher), viewers: await Promise.all(viewers.map(collect)), joins };
}

/** One viewer after the other; the marks of each. */
async function join(first, feed, began) {
  const joins = [];
  let page = first;
  for (let number = 1; ; number += 1) {
    const end = Date.now() + 4_000;
    let seen;
    do {
      await pause(100);
      seen = await page.evaluate(() => ({ began: lab.began, ...lab.marks }));
    } while (!seen.full_height && Date.now() < end);
    joins.push(seen);
    if (number >= 10 || Date.now() > began + (seconds - 4) * 1000) return joins;
    if (page !== first) await page.close();
    page = await open('far', `viewer${number}`);
    await watch(page, feed);
  }
}

let code = 0;
try {
  say({ result: await run() });
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  code = 1;
}
setTimeout(() => process.exit(code), 3_000);
await Promise.all(Object.values(browsers).map(async (browser) => (await browser).close()));
process.exit(code);
