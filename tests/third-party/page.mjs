// The page in headless Chromium: two people sign in, one creates a room, both see each other and chat, one leaves; the
// server is restarted under them when asked for. Screenshots go to the folder given.
import { readFileSync, mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';

const { url, app, users, shots } = JSON.parse(readFileSync(0, 'utf8'));
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
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
  await shoot(desktop, 'room-1280');
  await shoot(phone, 'room-390');
  await phone.click('#leave');
  await desktop.waitForFunction(() => document.querySelectorAll('#members li').length === 1);
  const alone = await names(desktop);
  process.stdout.write(JSON.stringify({ together, alone, trouble, wide, troubles }));
} finally {
  await browser.close();
}
