// A call whose members are at different nodes of a cluster, in real browsers. Nodes are killed and drained under it; nobody touches a
// page. What is to be done to which node goes out as a line; the line that comes back says that it begins.
import { createInterface } from 'node:readline';
import { incoming, input, hears, isNear, open, pause, run, seesFrames, until } from './browsers.mjs';

const lines = createInterface({ input: process.stdin });
const RED = [200, 40, 40];

/** Has something done to a node. */
async function ask(what) {
  const heard = new Promise((resolve) => lines.once('line', resolve));
  process.stdout.write(`${JSON.stringify({ do: what })}\n`);
  await heard;
}

/** How many of ann's pictures were decoded on which connection. */
async function decoded(page) {
  const of = await incoming(page, 'ann', 'main');
  return of && { of: `${of.connection} ${of.ssrc}`, count: of.framesDecoded ?? 0 };
}

/** When pictures go on, in ms: ten more on one connection than when it was first looked at. */
async function goesOn(page, since) {
  let first = null;
  let end = 0;
  await until('the picture to go on', async () => {
    const now = await decoded(page);
    if (now && first?.of !== now.of) [first, end] = [now, Date.now()];
    return now && first && now.count >= first.count + 10;
  }, 40_000);
  return end - since;
}

async function call(browser) {
  const pages = {};
  for (const [user, at] of Object.entries(input.at)) pages[user] = await open(browser, user, undefined, input.urls[at]);
  const { ann, ben, cat } = pages;
  for (const [user, page] of Object.entries(pages)) {
    await page.evaluate(() => {
      watchAll(240);
      globalThis.log = [];
      for (const name of ['connection-state-changed', 'publish-state-changed', 'remote-video-available', 'remote-video-unavailable']) {
        trtc.on(name, (told) => log.push([Date.now(), name, told.state ?? told.userId]));
      }
    });
    await page.evaluate((role) => enter('hall', role), user === 'ann' ? 'anchor' : 'audience');
  }
  await ann.evaluate(async () => {
    await trtc.startLocalVideo({ view: 'local', option: { videoTrack: paint('rgb(200,40,40)'), profile: { width: 320, height: 240, frameRate: 20, bitrate: 300 }, small: false } });
    await trtc.startLocalAudio();
  });
  for (const viewer of [ben, cat]) {
    await seesFrames(viewer, 'ann');
    await hears(viewer, 'ann');
  }
  const [after, logs] = [{}, {}];
  for (const what of input.harms) {
    await ask(what);
    const began = Date.now();
    // What is on its way yet is no sign of life.
    await pause(1_500);
    after[what] = await Promise.all([ben, cat].map((viewer) => goesOn(viewer, began)));
    for (const [name, viewer] of [['ben', ben], ['cat', cat]]) {
      await until(`the colour at ${name} after ${what}`, async () => isNear(await viewer.evaluate(() => colour('ann')), RED));
      await hears(viewer, 'ann');
    }
    // What the pages went through, in ms from then.
    logs[what] = {};
    for (const [user, page] of Object.entries(pages)) {
      logs[what][user] = await page.evaluate((began) => log.splice(0).map(([at, ...told]) => [at - began, ...told].join(' ')), began);
    }
    await ask(`mend ${what}`);
  }
  const told = {};
  for (const [user, page] of Object.entries(pages)) {
    told[user] = await page.evaluate(() => seen.filter(([name]) => ['error', 'kicked-out'].includes(name)).map(([name, value]) => `${name} ${value?.code ?? value?.reason} ${value?.message ?? ''}`));
  }
  if (input.shots) for (const [user, page] of Object.entries(pages)) await page.screenshot({ path: `${input.shots}/${user}.png` });
  return { after, told, logs };
}

await run(call);
