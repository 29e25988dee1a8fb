// What several test scripts share: headless Chromium with fake devices, a page with the client in it, and the browser's
// own statistics.
import { execFileSync } from 'node:child_process';
import { readSync } from 'node:fs';
import { chromium } from 'playwright-core';

/** The first line of the standard input; more may follow later. */
function firstLine() {
  const [bytes, byte] = [[], Buffer.alloc(1)];
  while (readSync(0, byte) === 1 && byte[0] !== 10) bytes.push(byte[0]);
  return Buffer.from(bytes).toString('utf8');
}

export const input = JSON.parse(firstLine());

const OPTIONS = {
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream',
    ...(input.isAsked ? [] : ['--use-fake-ui-for-media-stream']),
    `--autoplay-policy=${input.autoplay ?? 'no-user-gesture-required'}`,
    '--disable-features=WebRtcHideLocalIpsWithMdns', '--disable-renderer-backgrounding',
    '--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows',
    ...(input.flags ?? [])],
};

export const launch = () => chromium.launch(OPTIONS);

/** A browser that can be stopped as a phone stops one that nobody looks at: nothing of it does anything until it goes on. */
export async function launchStoppable() {
  const server = await chromium.launchServer(OPTIONS);
  const browser = await chromium.connect(server.wsEndpoint());
  const parents = () => new Map(execFileSync('ps', ['-eo', 'pid=,ppid=']).toString().trim().split('\n').map((line) => line.trim().split(/\s+/).map(Number)));
  const family = () => {
    const all = parents();
    const isOfIt = (pid) => pid === server.process().pid || (all.has(pid) && isOfIt(all.get(pid)));
    return [...all.keys()].filter(isOfIt);
  };
  const signal = (name) => { for (const pid of family()) process.kill(pid, name); };
  return { browser, stop: () => signal('SIGSTOP'), goOn: () => signal('SIGCONT'), close: () => server.close() };
}

/** A call of the REST API; fails loudly. */
export async function rest(command, body) {
  const { url, app, admin } = input;
  const query = `sdkappid=${app}&identifier=administrator&usersig=${encodeURIComponent(admin)}&random=1&contenttype=json`;
  const answer = await (await fetch(`${url}/v4/${command}?${query}`, { method: 'POST', body: JSON.stringify(body) })).json();
  if (answer.ErrorCode !== 0) throw new Error(`${command}: ${answer.ErrorCode} ${answer.ErrorInfo}`);
  return answer.Response;
}

/** A page of `user`, of that server's, with a client that enters nothing yet. `prepare` runs in it before anything else. */
export async function open(browser, user, prepare, url = input.url) {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  // Otherwise the browser answers itself, with any camera and any surface.
  if (input.isAsked) await context.grantPermissions(['camera', 'microphone']);
  const page = await context.newPage();
  page.on('pageerror', (error) => process.stderr.write(`${user}: ${error}\n`));
  if (process.env.SHOW) page.on('console', (line) => process.stderr.write(`${user}: ${line.text()}\n`));
  await page.goto(`${url}/healthz`);
  if (prepare) await page.evaluate(prepare.code, prepare.argument);
  await page.setContent('<div id=local style="width:320px;height:240px"></div><div id=views></div>');
  await page.evaluate(setUp, { app: input.app, user, sig: input.sigs[user], key: input.key });
  return page;
}

/** In the page. */
async function setUp({ app, user, sig, key }) {
  const { default: TRTC } = await import('/sdk/roomful-client.js');
  if (globalThis.SHOW) TRTC.setLogLevel(1);
  const trtc = TRTC.create();
  Object.assign(globalThis, { TRTC, trtc, seen: [] });
  for (const name of Object.values(TRTC.EVENT)) trtc.on(name, (value) => seen.push([name, value]));
  globalThis.enter = async (room, role, more) => {
    if (key) await trtc.enableEncryption({ key });
    await trtc.enterRoom({ sdkAppId: app, userId: user, userSig: sig, strRoomId: room, role, scene: 'live', ...more });
  };
  globalThis.view = (name, height = 240) => {
    let place = document.getElementById(name);
    if (!place) {
      place = Object.assign(document.createElement('div'), { id: name });
      document.getElementById('views').append(place);
    }
    place.style.cssText = `width:${(height * 4) / 3}px;height:${height}px`;
    return place;
  };
  globalThis.watchAll = (height) =>
    trtc.on('remote-video-available', ({ userId, streamType }) =>
      trtc.startRemoteVideo({ userId, streamType, view: view(`view-${streamType}-${userId}`, height) }).catch((error) => seen.push(['failed', error.message])));
  // A picture of one colour with a stripe that moves, so that what arrives can be told apart and frames differ. With
  // `noise` it takes as many bits as a camera's.
  globalThis.paint = (colour, width = 320, height = 240, noise = 0) => {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d');
    let at = 0;
    setInterval(() => {
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
      context.fillStyle = 'white';
      context.fillRect(at % width, 0, 4, height / 8);
      at += 4;
      for (let i = 0; i < noise; i += 1) {
        context.fillStyle = `hsl(${Math.random() * 360} 80% 50%)`;
        context.fillRect(Math.random() * width, Math.random() * height, 24, 24);
      }
    }, 50);
    return canvas.captureStream(20).getVideoTracks()[0];
  };
  /** The colour in the middle of a member's picture. */
  globalThis.colour = (userId) => new Promise((resolve) => {
    const image = new Image();
    image.onload = () => {
      const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height });
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      resolve([...context.getImageData(image.width / 2, image.height / 2, 1, 1).data].slice(0, 3));
    };
    image.onerror = () => resolve(null);
    const url = trtc.getVideoSnapshot({ userId });
    if (url) image.src = url; else resolve(null);
  });
  /** The browser's own numbers of what comes in of a member. */
  globalThis.incoming = async (userId, kind) => {
    const track = kind === 'audio' ? trtc.getAudioTrack(userId) : trtc.getVideoTrack({ userId, streamType: kind });
    for (const [connection, pc] of peers.entries()) {
      const receiver = pc.connectionState === 'closed' ? undefined : pc.getReceivers().find((one) => one.track === track);
      if (!track || !receiver) continue;
      for (const entry of (await receiver.getStats()).values()) if (entry.type === 'inbound-rtp') return { ...entry, connection };
    }
    return null;
  };
  const Native = RTCPeerConnection;
  globalThis.peers = [];
  globalThis.RTCPeerConnection = function (...arguments_) {
    const pc = new Native(...arguments_);
    peers.push(pc);
    return pc;
  };
  globalThis.RTCPeerConnection.prototype = Native.prototype;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The least time that a page is given to answer. */
const ANSWER_MS = 20_000;

/** What was waited for last, of a scenario that stands still. */
let waitedFor = 'nothing yet';

/** Waits until `check` is truthy, and returns what it is; says what it was when the time is over, or when a check does not come back. */
export async function until(what, check, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    waitedFor = what;
    let late;
    const isLate = new Promise((resolve, reject) => {
      late = setTimeout(() => reject(new Error(`the page does not answer: ${what}`)), Math.max(ms, ANSWER_MS));
    });
    const value = await Promise.race([(async () => check())(), isLate]).finally(() => clearTimeout(late));
    waitedFor = `what comes after: ${what}`;
    if (value) return value;
    if (Date.now() > end) throw new Error(`in vain for ${ms / 1000} s: ${what}`);
    await pause(50);
  }
}

export const incoming = (page, userId, kind) =>
  page.evaluate(({ userId, kind }) => incoming(userId, kind), { userId, kind });

/** Decoded frames of a member's picture advance in `page`. */
export async function seesFrames(page, userId, kind = 'main', more = 10) {
  const decoded = async () => (await incoming(page, userId, kind))?.framesDecoded ?? 0;
  const before = await decoded();
  await until(`frames of ${userId} to advance`, async () => (await decoded()) >= before + more);
}

/** A member's sound is above silence in `page`. */
export async function hears(page, userId) {
  await until(`sound of ${userId}`, async () => ((await incoming(page, userId, 'audio'))?.audioLevel ?? 0) > 0.01);
}

export function isNear(colour, wanted) {
  return colour !== null && colour.every((value, at) => Math.abs(value - wanted[at]) < 48);
}

/** Keeps an eye on a stream that comes in, for `packetsStop`: also once the client has let it go. */
export function keepWatch(page, userId, kind) {
  return page.evaluate(({ userId, kind }) => {
    const track = kind === 'audio' ? trtc.getAudioTrack(userId) : trtc.getVideoTrack({ userId, streamType: kind });
    const receivers = peers.filter((pc) => pc.connectionState !== 'closed').flatMap((pc) => pc.getReceivers());
    globalThis.watched = receivers.find((receiver) => receiver.track === track);
    if (!watched) throw new Error(`${kind} of ${userId} does not come in`);
  }, { userId, kind });
}

/** The milliseconds from now after which no more packets of the watched stream come in. */
export function packetsStop(page) {
  return page.evaluate(async () => {
    const count = async () => [...(await watched.getStats()).values()].find((entry) => entry.type === 'inbound-rtp').packetsReceived;
    const start = performance.now();
    let [before, last] = [await count(), 0];
    while (performance.now() - start < 1200) {
      const now = await count();
      if (now > before) [before, last] = [now, performance.now() - start];
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return last;
  });
}

/** Runs a script's scenario; its result goes out as JSON. Ends in any case, and in time. */
export async function run(scenario) {
  const end = (code) => process.exit(code);
  setTimeout(() => {
    process.stderr.write(`the scenario took too long; it waited for ${waitedFor}\n`);
    end(2);
  }, 180_000);
  const browser = await launch();
  try {
    process.stdout.write(`${JSON.stringify({ result: await scenario(browser) })}\n`);
  } catch (error) {
    process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  }
  setTimeout(end, 3_000, process.exitCode);
  await browser.close();
  end(process.exitCode);
}
