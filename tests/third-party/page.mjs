// The page at `/` in headless Chromium: people join by a link, see what they send before they send it, meet, chat, share a screen and
// are put off the stage; then the same page where devices are refused or missing, and where a UserSig is needed. What axe-core finds,
// what the console says and how much the layout shifts is reported. Screenshots go to the folder given.
import { createRequire } from 'node:module';
import { readFileSync, mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

const { url, app, admin, sigs, shots, plain } = JSON.parse(readFileSync(0, 'utf8'));
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const DESKTOP = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
const ALLOWED = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', '--auto-select-desktop-capture-source=Entire screen'];

const troubles = [];
const violations = [];
const sockets = [];
const seen = {};
let browser;

const launch = (...flags) => chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-features=WebRtcHideLocalIpsWithMdns', ...flags],
});

async function shoot(page, name) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: `${shots}/${name}.png` });
}

async function open(address, viewport, colorScheme = 'light', reducedMotion = 'reduce') {
  const touch = viewport === PHONE ? { hasTouch: true, isMobile: true, deviceScaleFactor: 2 } : {};
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion, ...touch });
  const page = await context.newPage();
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && troubles.push(line.text()));
  page.setDefaultTimeout(25_000);
  await page.addInitScript(() => {
    globalThis.shifted = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) globalThis.shifted += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  await page.goto(`${url}${address}`);
  return page;
}

/** Rules that hold for any page, in both schemes. */
async function check(page, name) {
  // Beside the page's policy, which lets nothing else run: by the browser's own door.
  const source = readFileSync(axe, 'utf8');
  const found = await page.evaluate(`${source}; axe.run(document, { resultTypes: ['violations'] })`);
  for (const { id, nodes } of found.violations) violations.push(`${name}: ${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
}

/** What is pressed is as large as a finger, wherever it is, and says what it does. */
async function reach(page, name) {
  seen.small ??= [];
  seen.small.push(...await page.evaluate((name) => {
    const wrong = [];
    for (const one of document.querySelectorAll('button, select, input, a, [role=tab]')) {
      const { width, height } = one.getBoundingClientRect();
      if (width === 0) continue;
      const says = one.ariaLabel || one.textContent.trim() || one.labels?.[0]?.textContent.trim() || one.placeholder;
      if (width < 40 || height < 40) wrong.push(`${name}: ${one.id || says} is ${Math.round(width)}x${Math.round(height)}`);
      if (!says) wrong.push(`${name}: ${one.outerHTML} has no label`);
    }
    return wrong;
  }, name));
}

const join = async (page) => {
  await page.click('button[value=join]');
  await page.waitForSelector('#room:not([hidden])');
};
const tile = (user, kind = 'main') => `.tile[data-user="${user}"][data-kind=${kind}]`;
const plays = (page, user, kind) => page.waitForFunction((selector) => {
  const video = document.querySelector(`${selector} video`);
  return video && video.videoWidth > 0 && video.currentTime > 0.3;
}, tile(user, kind));
const level = (page, selector) => page.waitForFunction((selector) =>
  Number(document.querySelector(selector)?.style.getPropertyValue('--level')) > 5, selector);
const labelled = (page, user, words) => page.waitForFunction(({ selector, words }) =>
  document.querySelector(selector)?.ariaLabel?.includes(words), { selector: tile(user), words });
const fits = (page) => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

/** Members who sit and send nothing, without a browser. */
async function sit(room, users) {
  for (const user of users) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/connect`);
    sockets.push(socket);
    const ask = (id, command, body) => new Promise((resolve) => {
      socket.on('message', (data) => JSON.parse(data).id === id && resolve(JSON.parse(data)));
      socket.send(JSON.stringify({ id, command, body }));
    });
    await new Promise((resolve) => socket.on('open', resolve));
    await ask(1, 'login', { SdkAppId: app, UserId: user, UserSig: sigs[user] });
    await ask(2, 'enter_room', { RoomId: room });
    const { ErrorCode } = await ask(3, 'take_seat', { RoomId: room });
    if (ErrorCode !== 0) throw new Error(`${user} gets no seat: ${ErrorCode}`);
  }
}

/** Two people by a link, and all that they do together. */
async function meeting() {
  const ann = await open('/?room=salon&name=ann', DESKTOP);
  await ann.waitForFunction(() => document.querySelector('#preview video')?.videoWidth > 0);
  await level(ann, '#preview');
  seen.devices = await ann.$$eval('#choices select', (all) => all.map((one) => one.options.length));
  await shoot(ann, 'preview-1440');
  await check(ann, 'lobby');
  seen.shifted = await ann.evaluate(() => shifted);
  await join(ann);
  await ann.waitForSelector('.toast:has-text("Nobody else is here") button:has-text("Copy link")');
  await plays(ann, 'ann');
  await shoot(ann, 'one-1440');
  await reach(ann, 'alone');
  seen.named = await ann.evaluate(() => {
    const [toast, label] = ['.toast', '#tiles .label'].map((one) => document.querySelector(one).getBoundingClientRect());
    return toast.bottom <= label.top;
  });
  // What lies on pictures is read against its own ground, which axe-core cannot see.
  seen.ink = await ann.evaluate(() => [...document.querySelectorAll('#tiles .label *')].map((one) => getComputedStyle(one).color).filter((colour) => /^rgb\((\d{1,2}|1\d\d),/.test(colour)));

  const ben = await open('/?room=nowhere&name=ben', PHONE, 'dark');
  await ben.waitForFunction(() => document.querySelector('#preview video')?.videoWidth > 0);
  await shoot(ben, 'preview-390');
  await check(ben, 'lobby, dark');
  await reach(ben, 'lobby');
  await ben.click('button[value=watch]');
  await ben.waitForSelector('#join-form .error:not([hidden])');
  seen.nowhere = await ben.textContent('#join-form .error');
  // Only watching closes the devices: they are wanted once more.
  await ben.fill('[name=room]', 'salon');
  await ben.click('#try-camera');
  await ben.click('#try-microphone');
  await ben.waitForSelector('#try-microphone[aria-pressed=true]');
  await join(ben);
  await plays(ann, 'ben');
  await plays(ben, 'ann');
  seen.told = await ann.$$eval('.toast', (all) => all.filter((one) => /Nobody else/.test(one.textContent)).length);
  await ann.click('#open-members');
  await ann.waitForFunction(() => document.querySelectorAll('#members li').length === 2);
  await reach(ann, 'members');
  seen.together = await ann.$$eval('#members .name', (all) => all.map((one) => one.textContent));
  seen.hosts = await ann.$$eval('#members li:has([href="#i-crown"]) .name', (all) => all.map((one) => one.textContent));
  await check(ann, 'members');
  await ann.click('#open-chat');

  // The room is called otherwise while they are in it.
  const query = new URLSearchParams({ sdkappid: app, identifier: 'administrator', usersig: admin, random: 1, contenttype: 'json' });
  const body = JSON.stringify({ RoomInfo: { RoomId: 'salon', RoomName: 'The salon' } });
  const { ErrorInfo } = await (await fetch(`${url}/v4/live_engine_http_srv/update_room_info?${query}`, { method: 'POST', body })).json();
  if (ErrorInfo) throw new Error(ErrorInfo);
  for (const page of [ann, ben]) await page.waitForFunction(() => document.querySelector('#room-name').textContent === 'The salon');

  // Words.
  await ann.fill('#say', '<b>Welcome</b> to the salon');
  await ann.keyboard.press('Enter');
  await ben.waitForFunction(() => document.querySelector('#unread').textContent === '1');
  seen.unread = await ben.getAttribute('#open-chat', 'aria-label');
  await ben.click('#open-chat');
  await ben.waitForSelector('text=<b>Welcome</b> to the salon');
  await ben.fill('#say', 'Hello from the phone');
  await ben.keyboard.press('Enter');
  await ann.waitForSelector('text=Hello from the phone');
  await ben.waitForTimeout(400);
  await shoot(ben, 'chat-390-dark');
  await check(ben, 'sheet, dark');
  await reach(ben, 'sheet');
  // Whoever is spoken to while reading answers at once.
  await ben.click('#microphone');
  await labelled(ann, 'ben', 'microphone off');
  await ben.click('#microphone');
  await labelled(ann, 'ben', 'microphone on');
  seen.sheet = await ben.evaluate(() => {
    const [stage, dock, panel] = ['stage', 'microphone', 'panel'].map((id) => document.getElementById(id).getBoundingClientRect());
    return { isApart: stage.bottom <= dock.top + 1 && dock.bottom <= panel.top + 1, isIn: panel.bottom <= innerHeight + 1, share: panel.height / innerHeight };
  });
  await ben.keyboard.press('Escape');
  seen.focus = await ben.evaluate(() => document.activeElement.id);
  await ben.waitForSelector('#panel', { state: 'hidden' });
  await shoot(ben, 'two-390-dark');
  seen.wide = [await fits(ann), await fits(ben)];

  // Sound, and its signs.
  await level(ben, tile('ann'));
  await shoot(ann, 'two-1440');
  await ann.keyboard.press('Control+d');
  await labelled(ben, 'ann', 'microphone off');
  await ann.waitForSelector('#microphone[aria-pressed=false]');
  await ann.click('#microphone');
  await labelled(ben, 'ann', 'microphone on');
  await ann.waitForSelector('#signal:not([data-grade="0"])');

  // A screen is large, the others are a strip.
  await ann.click('#screen');
  await plays(ben, 'ann', 'sub');
  await plays(ann, 'ann', 'sub');
  seen.screen = await ben.evaluate(([screen, camera]) => {
    const [one, other] = [screen, camera].map((selector) => document.querySelector(selector).getBoundingClientRect());
    return one.width > innerWidth * 0.9 && other.top >= one.bottom;
  }, [tile('ann', 'sub'), tile('ben')]);
  await shoot(ann, 'screen-1440');
  await shoot(ben, 'screen-390-dark');
  await check(ann, 'room');
  await check(ben, 'room, dark');
  await ann.click('#screen');
  await ben.waitForFunction((selector) => !document.querySelector(selector), tile('ann', 'sub'));

  // Nine on stage: each has a place of its own, within the stage.
  await sit('salon', ['cem', 'dan', 'eva', 'fay', 'gus', 'hal', 'ida']);
  for (const page of [ann, ben]) await page.waitForFunction(() => document.querySelectorAll('.tile[data-kind=main]').length === 9);
  seen.nine = [];
  for (const page of [ann, ben]) {
    seen.nine.push(await page.evaluate(() => {
      const stage = document.querySelector('#tiles').getBoundingClientRect();
      const all = [...document.querySelectorAll('#tiles .tile')].map((one) => one.getBoundingClientRect());
      const isIn = (one) => one.left >= stage.left - 1 && one.right <= stage.right + 1 && one.top >= stage.top - 1 && one.bottom <= stage.bottom + 1;
      const meet = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
      const used = all.reduce((sum, one) => sum + one.width * one.height, 0) / (stage.width * stage.height);
      return { isIn: all.every(isIn), isApart: !all.some((one, at) => all.slice(at + 1).some((other) => meet(one, other))), used };
    }));
  }
  for (const page of [ann, ben]) await reach(page, 'nine');
  await shoot(ann, 'nine-1440');
  await shoot(ben, 'nine-390-dark');
  const full = await open('/?room=salon&name=kai', DESKTOP);
  // A slow device: what is said on entering comes before the room is drawn, and stays.
  await full.evaluate(() => {
    globalThis.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 1_500);
  });
  await full.waitForFunction(() => document.querySelector('#preview video')?.videoWidth > 0);
  // It stays for a few seconds only.
  const told = full.waitForSelector('.toast span');
  await join(full);
  const text = await (await told).textContent();
  seen.full = [await full.textContent('#role'), text];
  await full.context().close();

  // Another hosts, and the first again: by what they may do, and by the sign in the list.
  seen.owners = [];
  await ann.click('#open-members');
  for (const [from, to, name] of [[ann, ben, 'ben'], [ben, ann, 'ann']]) {
    await from.evaluate(async (userId) => {
      const { state } = await import('/page/state.js');
      await state.client.room.changeUserRole({ userId, userRole: 'owner' });
    }, name);
    await to.waitForFunction(() => document.querySelector('#role').textContent === 'Host');
    await from.waitForFunction(() => document.querySelector('#role').textContent === 'On stage');
    const mark = `#members li:has([href="#i-crown"]) .name`;
    await ann.waitForFunction(({ mark, name }) => document.querySelector(mark)?.textContent.startsWith(name), { mark, name });
    const actions = (page) => page.$$eval('.tools [aria-label^=Actions]', (all) => all.filter((one) => !one.hidden).length > 0);
    seen.owners.push([name, await actions(ann), await actions(ben)]);
  }
  seen.hosting = await ann.$$eval('.toast', (all) => all.map((one) => one.textContent).filter((text) => /host/.test(text)));
  await ann.click('#open-chat');

  // The host switches a microphone off, then takes its owner off the stage.
  await ann.hover(tile('ben'));
  await ann.click(`${tile('ben')} [aria-label="Actions for ben"]`);
  await shoot(ann, 'person-1440');
  await check(ann, 'person');
  await ann.click('text=Switch the microphone off');
  await ben.waitForSelector('#microphone[aria-pressed=false]');
  await ben.click('#microphone');
  await labelled(ann, 'ben', 'microphone on');
  await ann.hover(tile('ben'));
  await ann.click(`${tile('ben')} [aria-label="Actions for ben"]`);
  await ann.click('text=Take off the seat');
  await ben.waitForSelector('#microphone', { state: 'hidden' });
  await ann.waitForFunction((selector) => !document.querySelector(selector), tile('ben'));
  seen.badges = [await ann.textContent('#role'), await ben.textContent('#role')];
  await ben.click('#more');
  await ben.click('#menu-like');
  await ann.waitForFunction(() => document.querySelector('#likes').textContent === '1');
  await ann.click('#settings');
  await ann.waitForSelector('#devices[open] option', { state: 'attached' });
  await shoot(ann, 'devices-1440');
  await check(ann, 'devices');
  await ann.click('#devices button');
  await ben.keyboard.press('Escape');
  await ben.click('#menu button >> text=Close').catch(() => undefined);
  await ben.click('#leave');
  await ben.waitForSelector('#lobby:not([hidden])');
  seen.left = [await ben.textContent('#farewell'), await ben.getAttribute('#try-camera', 'aria-pressed')];
  await ann.context().close();
  await ben.context().close();
}

/** Alone on a phone: there is nobody whom the room on the stage could be for. */
async function alone() {
  const page = await open('/?room=solo&name=leo', PHONE);
  await page.waitForFunction(() => document.querySelector('#preview video')?.videoWidth > 0);
  await join(page);
  await plays(page, 'leo');
  seen.alone = await page.evaluate((selector) => {
    const [tile, stage] = [selector, '#tiles'].map((one) => document.querySelector(one).getBoundingClientRect());
    return (tile.width * tile.height) / (stage.width * stage.height);
  }, tile('leo'));
  await shoot(page, 'alone-390');
  await page.context().close();
}

/** Nobody on stage, on both sizes and in both schemes. */
async function emptiness() {
  for (const [viewport, scheme] of [[DESKTOP, 'light'], [DESKTOP, 'dark'], [PHONE, 'light']]) {
    const page = await open('/?room=hall&name=lea', viewport, scheme);
    await page.waitForFunction(() => document.querySelector('#preview video')?.videoWidth > 0);
    if (scheme === 'dark') await shoot(page, 'preview-1440-dark');
    await join(page);
    await page.click('#seat');
    await page.waitForSelector('#nobody:not([hidden])');
    await page.waitForTimeout(300);
    await shoot(page, `empty-${viewport.width}-${scheme}`);
    await check(page, `empty, ${scheme}`);
    if (viewport === DESKTOP) {
      // By keyboard alone: from the seat to the microphone, in the order in which they stand.
      await page.focus('#seat');
      await page.keyboard.press('Enter');
      await page.waitForSelector('#microphone:not([hidden])');
      seen.order = [];
      await page.focus('#microphone');
      for (let at = 0; at < 8; at += 1) {
        seen.order.push(await page.evaluate(() => document.activeElement.id));
        await page.keyboard.press('Tab');
      }
    }
    await page.context().close();
  }
}

/** The stage's geometry for every number of tiles and many sizes, as the page has it. */
async function geometry() {
  const page = await open('/', DESKTOP);
  seen.geometry = await page.evaluate(async () => {
    const { arrange, grid } = await import('/page/layout.js');
    const wrong = [];
    for (const [width, height] of [[1440, 700], [1050, 760], [390, 640], [374, 300], [844, 300], [320, 480], [2560, 1300], [90, 80], [40, 30]]) {
      for (let count = 1; count <= 60; count += 1) {
        for (const ratio of [undefined, 16 / 9, 9 / 16, 4]) {
          const places = arrange({ count, ratio, width, height, gap: 10 });
          const name = `${count} on ${width}x${height}, ${ratio}`;
          const isIn = ({ x, y, width: wide, height: high }) => x >= -1 && y >= -1 && x + wide <= width + 1 && y + high <= height + 1 && wide > 0 && high > 0;
          const meet = (one, other) => one.x < other.x + other.width && other.x < one.x + one.width && one.y < other.y + other.height && other.y < one.y + one.height;
          if (places.length === 0 || places.length > count || !places.every(isIn)) wrong.push(`${name}: out`);
          if (places.some((one, at) => places.slice(at + 1).some((other) => meet(one, other)))) wrong.push(`${name}: over each other`);
          if (ratio && Math.abs(places[0].width / places[0].height / ratio - 1) > 0.1 && places[0].height > 40) wrong.push(`${name}: shape`);
        }
        // No other number of columns gives larger tiles of an allowed shape.
        const best = grid(count, width, height, 10);
        const narrow = width >= height ? 4 / 5 : count > 1 ? 3 / 4 : 1 / 2;
        for (let columns = 1; columns <= count; columns += 1) {
          const rows = Math.ceil(count / columns);
          const [wide, high] = [(width - 10 * (columns - 1)) / columns, (height - 10 * (rows - 1)) / rows];
          if (wide <= 0 || high <= 0) continue;
          const area = Math.floor(Math.min(wide, (high * 16) / 9)) * Math.floor(Math.min(high, wide / narrow));
          if (area > best.width * best.height) wrong.push(`${count} on ${width}x${height}: ${columns} columns are larger`);
        }
      }
    }
    return wrong;
  });
  await page.context().close();
}

/** Devices that are refused, or are not there: one is told what to do, and enters without. */
async function without(flags, name) {
  browser = await launch(...flags);
  const page = await open(`/?room=plain-${name}&name=mia`, PHONE);
  await page.waitForFunction(() => document.querySelectorAll('#preview-trouble p').length === 1);
  const told = await page.$$eval('#preview-trouble p', (all) => all.map((one) => one.textContent));
  await shoot(page, `${name}-390`);
  await check(page, name);
  await join(page);
  const role = await page.textContent('#role');
  await page.click('#camera');
  await page.waitForSelector('.toast.trouble');
  const toast = await page.textContent('.toast.trouble span');
  await shoot(page, `${name}-room-390`);
  await browser.close();
  return { told, role, toast };
}

/** A server without the development sign-in. */
async function signedIn() {
  const page = await browser.newPage({ viewport: DESKTOP });
  page.on('console', (line) => line.type() === 'error' && troubles.push(line.text()));
  await page.goto(`${plain.url}/?room=demo&name=ann`);
  await page.waitForSelector('#sign-in:not([hidden])');
  await shoot(page, 'sign-in-1440');
  await check(page, 'sign-in');
  await page.fill('[name=sig]', 'ann');
  await page.click('#sign-in-form button');
  await page.waitForSelector('#sign-in-form .error:not([hidden])');
  const refused = await page.textContent('#sign-in-form .error');
  await page.fill('[name=sig]', plain.sig);
  await page.click('#sign-in-form button');
  await page.waitForSelector('#lobby:not([hidden])');
  const isAsked = await page.isVisible('[name=name]');
  await join(page);
  seen.signedIn = { refused, isAsked, me: await page.textContent('#tiles .tile .name') };
  await page.context().close();
}

try {
  browser = await launch(...ALLOWED);
  await geometry();
  await meeting();
  await alone();
  await emptiness();
  await signedIn();
  await browser.close();
  seen.refused = await without(['--use-fake-device-for-media-stream', '--deny-permission-prompts'], 'refused');
  seen.missing = await without(['--use-fake-ui-for-media-stream'], 'missing');
  process.stdout.write(JSON.stringify({ ...seen, troubles, violations }));
} catch (error) {
  for (const [at, page] of (browser?.contexts() ?? []).flatMap((context) => context.pages()).entries()) await shoot(page, `failed-${at}`);
  process.stderr.write(`${JSON.stringify({ troubles, violations })}\n`);
  throw error;
} finally {
  for (const socket of sockets) socket.terminate();
  await browser?.close();
}
