// What stands still for somebody whose link fails for a moment, and for nobody else.
import { hears, open, pause, rest, seesFrames } from './browsers.mjs';
import { Narrow, join, through } from './narrow.mjs';
import { tone } from './sound.mjs';

/** Two watch one who publishes; the link of one of them is cut twice for a second and a half. */
export async function stalls(browser) {
  await rest('room_engine_http_srv/create_room', { RoomInfo: { RoomId: 'still', RoomType: 'Conference' } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('still', 'anchor'));
  await ann.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)'), profile: { width: 320, height: 240, frameRate: 20, bitrate: 300 }, small: false } }));
  await ann.evaluate(tone, { pitch: 440 });
  await ann.evaluate(() => speak(1));
  const narrow = await Narrow.start();
  const ben = await open(browser, 'ben', through(narrow));
  const cat = await open(browser, 'cat');
  for (const page of [ben, cat]) {
    await page.evaluate(() => watchAll(240));
    await page.evaluate(() => enter('still', 'audience'));
  }
  await join(narrow, ben);
  for (const page of [ben, cat]) {
    await seesFrames(page, 'ann');
    await hears(page, 'ann');
  }
  // Reports of a quiet time.
  await pause(6_000);
  const cutAt = Date.now();
  for (let times = 0; times < 2; times += 1) {
    narrow.limit(0);
    await pause(1_500);
    narrow.limit(Infinity);
    await seesFrames(ben, 'ann');
    await pause(1_000);
  }
  await pause(4_500);
  for (const page of [ben, cat, ann]) await page.evaluate(() => trtc.exitRoom());
  narrow.close();
  return { cutAt };
}
