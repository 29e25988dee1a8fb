// The page in headless Chromium: two people sign in, one creates a room, both see each other and chat, one leaves; the
// server is restarted under them when asked for. Screenshots go to the folder given.
import { readFileSync, mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';

const { url, app, users, shots } = JSON.parse(readFileSync(0, 'utf8'));
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream'],
});
const troubles = [];
const shoot = async (page, name) => {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.screenshot({ path: `${shots}/${name}.png` });
};
async function open({ user, sig }, viewport, colorScheme) {
  const page = await (await browser.newContext({ viewport, colorScheme })).newPage();
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('console', (line) => line.type() === 'error' && troubles.push(line.text()));
  await page.goto(url);
  if (colorScheme === 'light') await shoot(page, `sign-in-${viewport.width}`);
  await page.fill('[name=app]', String(app));
  await page.fill('[name=user]', user);
  await page.fill('[name=sig]', sig);
  await page.click('#sign-in-form button');
  await page.waitForSelector('#choose:not([hidden])');
  return page;
}
const names = (page) => page.$$eval('#members li span:last-child', (all) => all.map((one) => one.textContent));
try {
  const desktop = await open(users[0], { width: 1280, height: 800 }, 'light');
  await shoot(desktop, 'choose-1280');
  await desktop.fill('[name=room]', 'salon');
  await desktop.click('button[value=create]');
  await desktop.waitForSelector('#room:not([hidden])');
  const phone = await open(users[1], { width: 390, height: 844 }, 'dark');
  await phone.fill('[name=room]', 'nowhere');
  await phone.click('button[value=enter]');
  await phone.waitForSelector('#trouble:not([hidden])');
  const trouble = await phone.textContent('#trouble');
  await phone.fill('[name=room]', 'salon');
  await phone.click('button[value=enter]');
  await desktop.waitForFunction(() => document.querySelectorAll('#members li').length === 2);
  await phone.fill('#say', 'Hello from the phone');
  await phone.keyboard.press('Enter');
  await desktop.waitForSelector('text=Hello from the phone');
  await desktop.fill('#say', '<b>Welcome</b> to the salon');
  await desktop.keyboard.press('Enter');
  await phone.waitForSelector('text=<b>Welcome</b> to the salon');
  const together = await names(desktop);
  const wide = await phone.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  // The host goes on air; the audience sees it, asks nobody, and joins it on stage.
  await desktop.click('#camera');
  await desktop.click('#microphone');
  const plays = (page, user) => page.waitForFunction((user) => {
    const video = document.querySelector(`.tile[data-user="${user}"] video`);
    return video && video.videoWidth > 0 && video.currentTime > 0.5;
  }, user, { timeout: 20_000 });
  await plays(desktop, users[0].user);
  await plays(phone, users[0].user);
  await phone.click('#free button >> nth=2');
  await phone.waitForSelector('#camera:not([hidden])');
  await phone.click('#camera');
  await plays(desktop, users[1].user);
  const badges = [await desktop.textContent('#role'), await phone.textContent('#role')];
  await desktop.click('#settings');
  await desktop.waitForSelector('#devices[open] option', { state: 'attached' });
  const devices = await desktop.$$eval('#devices select[name=camera] option', (all) => all.length);
  await shoot(desktop, 'devices-1280');
  await desktop.click('#devices button');
  await desktop.waitForSelector('#quality:not([hidden])');
  await shoot(desktop, 'room-1280');
  await shoot(phone, 'room-390');
  // The host locks the guest's camera, then takes it off the seat.
  await desktop.click(`.tile[data-user="${users[1].user}"]`);
  await shoot(desktop, 'person-1280');
  await desktop.click('text=Take off the seat');
  await phone.waitForSelector('#camera', { state: 'hidden' });
  await desktop.waitForFunction((user) => !document.querySelector(`.tile[data-user="${user}"]`), users[1].user);
  await phone.click('#leave');
  await desktop.waitForFunction(() => document.querySelectorAll('#members li').length === 1);
  const alone = await names(desktop);
  process.stdout.write(JSON.stringify({ together, alone, trouble, wide, troubles, badges, devices }));
} finally {
  await browser.close();
}
