// Public pages that were written for the cloud's Web SDK, against this server: `node public.mjs CLONE`, with a line of JSON on
// the standard input as for the other scripts, and `secret`, the app's SecretKey, by which these pages sign for themselves. CLONE is a
// clone of the cloud's repository of Web samples, Tencent-RTC/TRTC_Web; nothing of it is kept here. Its files are served as they are, but
// for the address of the SDK and `server` in its `create`.
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:http';
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { input, launch, until } from './browsers.mjs';

/** The newest pages as `web`, and as `old` those of version 4, of the last commit that has them. */
function checkOut(clone) {
  const folder = mkdtempSync(join(tmpdir(), 'pages-'));
  const git = (...args) => execFileSync('git', ['-C', clone, ...args], { maxBuffer: 2 ** 30 });
  const removed = git('log', '-1', '--format=%H', '--diff-filter=D', '--', 'v4/quick-demo-js/index.html').toString().trim();
  for (const [commit, name, ...paths] of [['HEAD', 'web', 'samples', 'quick-demo-js'], [`${removed}^`, 'old', 'v4/quick-demo-js', 'v4/base-js']]) {
    mkdirSync(join(folder, name));
    execFileSync('tar', ['-x', '-C', join(folder, name)], { input: git('archive', commit, ...paths) });
  }
  return folder;
}

const folder = checkOut(process.argv[2]);
const shots = input.shots ?? 'shots';
mkdirSync(shots, { recursive: true });

const SDK = [
  [/https:\/\/web\.sdk\.qcloud\.com\/trtc\/webrtc\/v5\/dist\/trtc\.js/g, '/sdk/roomful-client.umd.js'],
  [/https:\/\/web\.sdk\.qcloud\.com\/trtc\/webrtc\/demo\/latest\/dist\/trtc\.js/g, '/sdk/roomful-client-v4.umd.js'],
  [/"\.\/js\/trtc\.js"/g, '"/sdk/roomful-client-v4.umd.js"'],
  [/https:\/\/web\.sdk\.qcloud\.com\/trtc\/webrtc\/v5\/dist\/plugins\/(?:[\w-]+\/)*([\w.-]+\.js)/g, '/sdk/plugins/$1'],
];
const server = JSON.stringify(input.url);
/** The two changes that a page needs. */
const moved = (text) => SDK.reduce((all, [from, to]) => all.replace(from, to.startsWith('"') ? `"${input.url}${to.slice(1)}` : `${input.url}${to}`), text)
  .replace(/TRTC\.(create|createClient)\(\s*\)/g, `TRTC.$1({ server: ${server} })`)
  .replace(/TRTC\.(create|createClient)\(\{/g, `TRTC.$1({ server: ${server},`);
const KINDS = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png', '.mp3': 'audio/mpeg' };

const pages = createServer((request, response) => {
  const path = normalize(decodeURIComponent(request.url.split('?')[0]));
  const file = join(folder, path);
  if (!existsSync(file) || !extname(file)) return response.writeHead(404).end();
  const body = readFileSync(file);
  response.writeHead(200, { 'content-type': KINDS[extname(file)] ?? 'application/octet-stream' });
  // The test of the older page signs by what is written into it.
  const signed = (text) => text.replace('const SDKAPPID = 0;', `const SDKAPPID = ${input.app};`).replace("const SECRETKEY = '';", `const SECRETKEY = '${input.secret}';`);
  return response.end(/\.(html|js)$/.test(file) ? signed(moved(body.toString('utf8'))) : body);
});
await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${pages.address().port}`;
const browser = await launch();
const results = {};

/** A page of theirs. What it loads from elsewhere is not there, but for a stand-in of what counts its visitors. */
async function visit(path, user) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const troubles = [];
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('dialog', (dialog) => { troubles.push(`says: ${dialog.message()}`); void dialog.accept(); });
  page.on('console', (line) => { if (/\[roomful\]/.test(line.text())) troubles.push(line.text()); if (process.env.SHOW) process.stderr.write(`${user}: ${line.text()}\n`); });
  await page.route(/^https?:\/\/(?!127\.0\.0\.1)/, (route) => {
    const url = route.request().url();
    const aside = (name) => route.fulfill({ path: join(folder, 'web/samples/assets', name), headers: { 'access-control-allow-origin': '*' } });
    if (/aegis/.test(url)) return route.fulfill({ contentType: 'text/javascript', body: 'window.Aegis = class { reportEvent() {} };' });
    if (/vconsole/i.test(url)) return route.fulfill({ contentType: 'text/javascript', body: 'window.VConsole = class {};' });
    if (/\.mp3/.test(url)) return aside('hotel-california.mp3');
    if (/\.(png|jpg|avif)(\?|$)/.test(url)) return aside('background.png');
    return route.abort();
  });
  await page.goto(`${origin}/${path}`);
  return { page, troubles, click: (id) => page.locator(`#${id}`).click() };
}

const fillSample = async ({ page }, room, user) => {
  for (const [id, value] of Object.entries({ 'sdk-app-id': input.app, 'sdk-secret-key': input.secret, 'user-id': user, 'room-id': room })) await page.locator(`#${id}`).fill(String(value));
};
const plays = (page, selector) => until(`a picture in ${selector}`, () => page.evaluate((selector) => [...document.querySelectorAll(selector)].some((video) => video.videoWidth > 0 && video.currentTime > 0.3), selector));
const sounds = (page) => page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 500)));

async function run(name, work) {
  if (input.only && !input.only.includes(name)) return;
  const troubles = [];
  const shot = async ({ page }, what) => page.screenshot({ path: `${shots}/${name}-${what}.png`, fullPage: true });
  const opened = [];
  try {
    const result = await work({ visit: async (...of) => { const one = await visit(...of); opened.push(one); return one; }, shot });
    for (const one of opened) troubles.push(...one.troubles);
    results[name] = { ok: true, ...(result ? { result } : {}), troubles };
  } catch (error) {
    for (const [at, one] of opened.entries()) { await shot(one, `failed-${at}`).catch(() => undefined); troubles.push(...one.troubles); }
    results[name] = { ok: false, error: error.message, troubles };
  }
  for (const one of opened) await one.page.context().close();
  process.stderr.write(`${name}: ${JSON.stringify(results[name])}\n`);
}

/** A sample with two people, of whom the first does something and the second sees it. */
const sample = (name, path, room, act) => run(name, async ({ visit, shot }) => {
  const [one, other] = [await visit(`web/samples/${path}/index.html`, `a${room}`), await visit(`web/samples/${path}/index.html`, `b${room}`)];
  for (const [who, user] of [[one, `a${room}`], [other, `b${room}`]]) await fillSample(who, room, user);
  const result = await act(one, other);
  await shot(one, 'one');
  await shot(other, 'other');
  return result;
});
const enterBoth = async (...all) => { for (const who of all) { await who.click('enter-btn'); await until('to be in', () => who.page.evaluate(() => !document.getElementById('exit-btn').disabled)); } };

await sample('quick-start', 'basic-features/quick-start', 101, async (one, other) => {
  await enterBoth(one, other);
  await one.click('mute-audio-btn');
  await one.click('mute-video-btn');
  await plays(one.page, '#local-video-view video');
  await plays(other.page, '#remote-video-view video');
  await one.click('start-screen-btn');
  await plays(other.page, '#remote-screen-view video');
  await one.click('start-screen-btn');
  await until('the screen to be gone', () => other.page.evaluate(() => document.querySelectorAll('#remote-screen-view video').length === 0));
  await one.click('mute-video-btn');
  // The page does what its button says, which changes when it is done.
  await until('the camera to be off', () => one.page.evaluate(() => !isVideoStarted));
  await one.click('mute-video-btn');
  await plays(other.page, '#remote-video-view video');
});

await sample('live-streaming', 'basic-features/live-streaming', 102, async (one, other) => {
  await one.click('enter-btn');
  await until('to be in', () => one.page.evaluate(() => !document.getElementById('exit-btn').disabled));
  const url = await one.page.locator('#invite-url').inputValue();
  await other.page.goto(url);
  await other.click('enter-btn');
  await plays(other.page, '#remote-video-view video');
  await other.page.evaluate(() => switchRole());
  await other.page.evaluate(() => switchCameraStatus());
  await plays(one.page, '#remote-video-view video');
});

await sample('audio-volume', 'basic-features/audio-volume', 103, async (one, other) => {
  await enterBoth(one, other);
  await one.click('start-detect-btn');
  const levels = await until('both to be heard', () => one.page.evaluate(() => { const [own, remote] = ['local-volume-detect', 'remote-volume-detect'].map((id) => Number(document.getElementById(id).value)); return own > 0 && remote > 0 && [own, remote]; }));
  await one.page.evaluate(() => { document.getElementById('remote-volume-input').value = 20; return handleRemoteAudioVolumeChange(); });
  await other.click('mute-btn');
  await until('the other to be silent', () => one.page.evaluate(() => Number(document.getElementById('local-volume-detect').value) >= 0));
  await one.click('stop-detect-btn');
  return { levels };
});

await sample('media-device', 'basic-features/media-device', 104, async (one, other) => {
  await enterBoth(one, other);
  await one.click('start-audio-btn');
  await one.click('start-video-btn');
  await plays(other.page, '#remote-video-view video');
  await one.click('mute-camera-btn');
  await until('the picture to be gone', () => other.page.evaluate(() => document.querySelectorAll('#remote-video-view video').length === 0));
  await one.click('unmute-camera-btn');
  await plays(other.page, '#remote-video-view video');
  await until('devices', () => one.page.evaluate(() => document.querySelectorAll('#camera-select option').length > 0));
  await one.click('update-camera-btn');
  await one.click('update-mic-btn');
  await one.click('update-speaker-btn');
  await plays(other.page, '#remote-video-view video');
});

await sample('screen-sharing', 'basic-features/screen-sharing', 105, async (one, other) => {
  await enterBoth(one, other);
  await one.click('start-share-btn');
  await plays(one.page, '#local-screen-view video');
  await plays(other.page, '#remote-screen-view video');
  await one.click('stop-share-btn');
});

await sample('set-encoding-profile', 'basic-features/set-encoding-profile', 106, async (one, other) => {
  await enterBoth(one, other);
  await one.click('start-audio-btn');
  await one.click('start-video-btn');
  await plays(other.page, '#remote-video-view video');
  const sizes = [];
  for (const profile of await one.page.$$eval('#video-profile option', (all) => all.map(({ value }) => value))) {
    await one.page.selectOption('#video-profile', profile);
    await one.click('update-video-btn');
    await new Promise((resolve) => setTimeout(resolve, 700));
    sizes.push([profile, await one.page.evaluate(() => document.querySelector('#local-video-view video').videoHeight)]);
  }
  return { sizes };
});

await sample('data-messages', 'advance-features/data-messages', 107, async (one, other) => {
  await enterBoth(one, other);
  await one.page.fill('#custom-message', 'hello there');
  await one.click('send-custom-message-btn');
  await until('the message', () => other.page.evaluate(() => document.body.textContent.includes('hello there')));
  await one.click('start-video-btn');
  await plays(other.page, '#remote-video-view video');
  await one.click('send-SEI-message-btn');
  await until('the other message', () => other.page.evaluate(() => /SEI/i.test([...document.querySelectorAll('.toastify')].map((one) => one.textContent).join())));
});

await sample('enable-audio-mixer', 'advance-features/enable-audio-mixer', 108, async (one, other) => {
  await enterBoth(one, other);
  await one.click('start-mixer-btn');
  await one.page.evaluate(async () => { document.getElementById('volume-input').value = 0.5; await setVolume(); await pauseOrResumeAudio(); await pauseOrResumeAudio(); document.getElementById('time-input').value = 5; await playFromSpecificSecond(); });
  await sounds(other.page);
  await one.click('stop-mixer-btn');
});

await sample('enable-watermark', 'advance-features/enable-watermark', 109, async (one, other) => {
  await enterBoth(one, other);
  await plays(other.page, '#remote-video-view video');
  await one.click('start-watermark-btn');
  await until('it to be on', () => one.page.evaluate(() => !document.getElementById('stop-watermark-btn').disabled));
  await new Promise((resolve) => setTimeout(resolve, 1_500));
});

await run('quick-demo', async ({ visit, shot }) => {
  const all = [await visit('web/quick-demo-js/index.html', 'q1'), await visit('web/quick-demo-js/index.html', 'q2')];
  for (const [at, who] of all.entries()) {
    for (const [id, value] of Object.entries({ sdkAppId: input.app, sdkSecretKey: input.secret, userId: `quick_${at}`, strRoomId: 'room_quick' })) await who.page.fill(`#${id}`, String(value));
    await who.click('enter');
    await until('to be in', () => who.page.evaluate(() => /enterRoom\./.test(document.getElementById('log').textContent)));
  }
  const [one, other] = all;
  await one.click('startLocalAudio');
  await one.click('startLocalVideo');
  await plays(one.page, '#local video');
  await plays(other.page, '#remote-container video');
  await one.click('startShare');
  await until('two pictures', () => other.page.evaluate(() => [...document.querySelectorAll('#remote-container video')].filter((video) => video.videoWidth > 0).length === 2));
  for (const [at, who] of all.entries()) await shot(who, at);
  const failed = await one.page.evaluate(() => (document.getElementById('log').textContent.match(/failed[^.]*/g) ?? []));
  const invited = await visit((await one.page.locator('#inviteUrl').inputValue()).replace(`${origin}/`, ''), 'q3');
  await invited.click('join');
  await until('all that there is to see', () => invited.page.evaluate(() => [...document.querySelectorAll('video')].filter((video) => video.videoWidth > 0).length >= 3));
  await shot(invited, 'invited');
  await one.click('exit');
  // Only the one who was invited is left.
  await until('her to be gone', () => other.page.evaluate(() => [...document.querySelectorAll('#remote-container video')].filter((video) => video.videoWidth > 0).length <= 1));
  return { failed };
});

await run('version-4-quick-demo', async ({ visit, shot }) => {
  const all = [await visit('old/v4/quick-demo-js/index.html', 'v1'), await visit('old/v4/quick-demo-js/index.html', 'v2')];
  for (const [at, who] of all.entries()) {
    await until('devices', () => who.page.evaluate(() => document.querySelectorAll('#camera-select option').length > 0));
    for (const [id, value] of Object.entries({ sdkAppId: input.app, secretKey: input.secret, userId: `four_${at}`, roomId: 404 })) await who.page.fill(`#${id}`, String(value));
    await who.click('join');
    await plays(who.page, '#local video');
  }
  for (const who of all) await plays(who.page, '#remote-container video');
  const [one, other] = all;
  await one.click('mute-video');
  await until('the mute to be told', () => other.page.evaluate(() => /mute video/.test(document.getElementById('log').textContent)));
  await one.click('mute-video');
  await one.click('startShare');
  await until('two pictures', () => other.page.evaluate(() => [...document.querySelectorAll('#remote-container video')].filter((video) => video.videoWidth > 0).length === 2));
  for (const [at, who] of all.entries()) await shot(who, at);
  const logs = await one.page.evaluate(() => document.getElementById('log').innerText);
  await one.click('leave');
  await until('her to be gone', () => other.page.evaluate(() => /leave/.test(document.getElementById('log').textContent)));
  return { failed: logs.split('\n').filter((line) => /fail/i.test(line)) };
});

await run('version-4-base', async ({ visit, shot }) => {
  const all = [await visit('old/v4/base-js/index.html?userId=base1&roomId=505', 'o1'), await visit('old/v4/base-js/index.html?userId=base2&roomId=505', 'o2')];
  for (const who of all) {
    await until('the page to be ready', () => who.page.evaluate(() => document.readyState === 'complete'));
    await who.page.evaluate(() => { const box = document.getElementById('device-testing-root'); if (box) box.style.display = 'none'; });
    await who.page.evaluate(() => login());
    await plays(who.page, '#main-video video');
  }
  for (const who of all) await until('both pictures', () => who.page.evaluate(() => [...document.querySelectorAll('video')].filter((video) => video.videoWidth > 0).length >= 2));
  for (const [at, who] of all.entries()) await shot(who, at);
  await all[0].page.evaluate(() => leave());
});

await browser.close();
pages.close();
process.stdout.write(`${JSON.stringify({ result: results })}\n`);
