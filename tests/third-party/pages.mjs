// What pages do that were written for the cloud's SDK: how they load it, call it and listen to it.
import { input, hears, open, rest, seesFrames } from './browsers.mjs';

/** The client as a classic script: the global `TRTC`, in a page without modules, beside one with. */
export async function classic(browser) {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'kiosk', RoomType: 'Live', SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake' } });
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => { watchAll(240); return enter('kiosk', 'audience'); });
  const page = await (await browser.newContext()).newPage();
  await page.goto(`${input.url}/healthz`);
  await page.setContent(`<!doctype html><div id=local style="width:320px;height:240px"></div>
    <script src="${input.url}/sdk/roomful-client.umd.js"></script>
    <script>var trtc = TRTC.create();</script>`);
  await page.evaluate(async ({ app, sig }) => {
    await trtc.enterRoom({ sdkAppId: app, userId: 'ann', userSig: sig, strRoomId: 'kiosk', scene: TRTC.TYPE.SCENE_LIVE });
    await trtc.startLocalVideo({ view: 'local' });
    await trtc.startLocalAudio();
  }, { app: input.app, sig: input.sigs.ann });
  await seesFrames(ben, 'ann');
  await hears(ben, 'ann');
  return page.evaluate(() => [typeof TRTC, TRTC.EVENT.TRACK, typeof TRTC.Room, new TRTC.RtcError({ code: 1, message: 'x' }) instanceof Error]);
}
