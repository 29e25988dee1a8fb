import { open, run, rest, pause, incoming } from './browsers.mjs';
await run(async (browser) => {
  await rest('live_engine_http_srv/create_room', { RoomInfo: { RoomId: 'layers', RoomType: 'Live', SeatTemplate: 'VideoDynamicGrid9Seats', TakeSeatMode: 'FreeToTake' } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('layers', 'anchor'));
  await ann.evaluate(() => trtc.startLocalVideo({ option: { videoTrack: paint('rgb(200,40,40)', 640, 480, 150), profile: { width: 640, height: 480, frameRate: 20, bitrate: 1000 } } }));
  const cat = await open(browser, 'cat');
  await cat.evaluate(() => enter('layers', 'audience'));
  await cat.evaluate(() => trtc.startRemoteVideo({ userId: 'ann', streamType: 'main', view: view('big', 480) }));
  for (let i = 0; i < 20; i++) {
    await pause(1500);
    const a = await ann.evaluate(async () => { const o = []; for (const pc of peers) for (const e of (await pc.getStats()).values()) if (e.type==='outbound-rtp') o.push([e.rid, e.framesEncoded, e.frameHeight, e.bytesSent, e.targetBitrate, e.qualityLimitationReason, e.pliCount, e.nackCount]); else if (e.type=='candidate-pair' && e.nominated) o.push(e.availableOutgoingBitrate); return JSON.stringify(o); });
    const i2 = await incoming(cat, 'ann', 'main');
    console.error(a, i2?.frameHeight, i2?.framesDecoded, i2?.pliCount, i2?.packetsLost);
  }
});
process.exit(0);
