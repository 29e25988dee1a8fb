// What of many voices, and over links that lose packets, is heard.
import { incoming, open, pause, rest, until } from './browsers.mjs';
import { Narrow, join, through } from './narrow.mjs';

const CALL = { RoomType: 'Conference' };

/** In the page: a tone whose loudness can be changed. */
export function tone({ pitch, profile = 'standard' }) {
  const context = new AudioContext();
  const oscillator = new OscillatorNode(context, { frequency: pitch });
  const gain = new GainNode(context, { gain: 0 });
  const end = context.createMediaStreamDestination();
  oscillator.connect(gain).connect(end);
  oscillator.start();
  globalThis.speak = (level) => (gain.gain.value = level);
  const audioTrack = end.stream.getAudioTracks()[0];
  globalThis.republish = (profile) => trtc.updateLocalAudio({ option: { audioTrack, profile } });
  return trtc.startLocalAudio({ option: { audioTrack, profile } });
}

/** Three publish, and who wants the loudest only hears one of them: whoever talks. */
export async function loudest(browser) {
  await rest('room_engine_http_srv/create_room', { RoomInfo: { RoomId: 'forum', ...CALL } });
  const people = ['ann', 'ben', 'cat'];
  const pages = {};
  for (const [at, user] of people.entries()) {
    const page = (pages[user] = await open(browser, user));
    await page.evaluate(() => enter('forum', 'anchor', { scene: 'rtc', autoReceiveAudio: false }));
    await page.evaluate(tone, { pitch: 300 + 150 * at });
  }
  const dan = await open(browser, 'dan');
  const refused = await dan.evaluate(() => enter('forum', 'anchor', { scene: 'rtc', maxSpeakers: 51 }).then(() => null, (error) => error.message));
  await dan.evaluate(() => enter('forum', 'anchor', { scene: 'rtc', maxSpeakers: 1 }));
  const eve = await open(browser, 'eve');
  await eve.evaluate(() => enter('forum', 'anchor', { scene: 'rtc' }));
  const speak = (user, level) => pages[user].evaluate((level) => speak(level), level);
  const received = async (page) => Promise.all(people.map(async (user) => (await incoming(page, user, 'audio'))?.packetsReceived ?? 0));
  /** Of whom packets come in within a moment. */
  const heard = async (page) => {
    const before = await received(page);
    await pause(400);
    const after = await received(page);
    return people.filter((_, at) => after[at] > before[at] + 5);
  };
  const heardBy = (page, expected) => until(`to hear ${expected}`, async () => (await heard(page)).join() === expected.join());

  await heardBy(eve, people);
  const order = [];
  for (const user of ['ben', 'ann', 'cat']) {
    await speak(user, 0.4);
    await heardBy(dan, [user]);
    // What is left out is no loss.
    const { packetsLost, audioLevel } = await until(`the tone of ${user}`, async () => {
      const now = await incoming(dan, user, 'audio');
      return now.audioLevel > 0.05 && now;
    });
    order.push([user, packetsLost, audioLevel > 0.05]);
    await speak(user, 0);
  }
  await heardBy(eve, people);
  const volumes = await dan.evaluate(() => new Promise((resolve) => {
    trtc.enableAudioVolumeEvaluation(100);
    trtc.on('audio-volume', ({ result }) => result.every((one) => one.volume === 0) && resolve(result.length));
  }));
  return { order, refused, volumes };
}

/** Links lose every tenth datagram, a viewer's and then a publisher's: sound is asked for again, and is there in time. */
export async function shaky(browser) {
  await rest('room_engine_http_srv/create_room', { RoomInfo: { RoomId: 'cave', ...CALL } });
  const [downlink, uplink] = [await Narrow.start(), await Narrow.start()];
  const ann = await open(browser, 'ann', through(uplink));
  await ann.evaluate(() => enter('cave', 'anchor', { scene: 'rtc', autoReceiveAudio: false }));
  const started = ann.evaluate(tone, { pitch: 440 });
  await join(uplink, ann);
  await started;
  await ann.evaluate(() => speak(0.3));
  const ben = await open(browser, 'ben', through(downlink));
  // Without second copies (RED) every packet that is lost is missed.
  await ben.evaluate(() => {
    const native = RTCRtpReceiver.getCapabilities;
    RTCRtpReceiver.getCapabilities = (kind) => {
      const { codecs, ...rest } = native.call(RTCRtpReceiver, kind);
      return { ...rest, codecs: codecs.filter(({ mimeType }) => mimeType !== 'audio/red') };
    };
  });
  await ben.evaluate(() => enter('cave', 'anchor', { scene: 'rtc' }));
  await join(downlink, ben);
  await until('the tone', async () => ((await incoming(ben, 'ann', 'audio'))?.audioLevel ?? 0) > 0.05);

  const outgoing = () => ann.evaluate(async () => {
    const stats = (await Promise.all(peers.map((pc) => pc.getStats()))).flatMap((report) => [...report.values()]);
    return stats.find((one) => one.type === 'outbound-rtp' && one.kind === 'audio');
  });
  /** What is seen while a link loses packets. */
  const lossy = async (link, down, up) => {
    const [before, sentBefore, lostBefore] = [await incoming(ben, 'ann', 'audio'), await outgoing(), link.lost];
    link.loseEach(down, up);
    await pause(8_000);
    link.loseEach(0);
    await pause(500);
    const [after, sent] = [await incoming(ben, 'ann', 'audio'), await outgoing()];
    const more = (name) => (after[name] ?? 0) - (before[name] ?? 0);
    return {
      dropped: link.lost - lostBefore,
      received: more('packetsReceived'),
      lost: more('packetsLost'),
      asked: more('nackCount'),
      concealed: (more('concealedSamples') - more('silentConcealedSamples')) / Math.max(1, more('totalSamplesReceived')),
      published: (sent.nackCount ?? 0) - (sentBefore.nackCount ?? 0),
      again: (sent.retransmittedPacketsSent ?? 0) - (sentBefore.retransmittedPacketsSent ?? 0),
    };
  };
  const result = { down: await lossy(downlink, 10, 0), up: await lossy(uplink, 0, 10) };
  downlink.close();
  uplink.close();
  return result;
}

/** With the profile `speech` next to nothing is sent in silence, and words are heard all the same; with another all is sent. */
export async function silence(browser) {
  await rest('room_engine_http_srv/create_room', { RoomInfo: { RoomId: 'abbey', ...CALL } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('abbey', 'anchor', { scene: 'rtc', autoReceiveAudio: false }));
  await ann.evaluate(tone, { pitch: 440, profile: 'speech' });
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => {
    globalThis.levels = [];
    trtc.room.on('onUserVoiceVolumeChanged', ({ userVolumeList }) => levels.push(...userVolumeList.map(({ volume }) => volume)));
    return enter('abbey', 'anchor', { scene: 'rtc' });
  });
  /** Packets a second at ben. */
  const rate = async () => {
    const count = async () => (await incoming(ben, 'ann', 'audio'))?.packetsReceived ?? 0;
    const before = await count();
    await pause(1_500);
    return Math.round(((await count()) - before) / 1.5);
  };
  const quiet = await until('silence to be left out', async () => { const now = await rate(); return now > 0 && now < 15 && now; });
  const rates = [quiet];
  await ann.evaluate(() => speak(0.4));
  await until('the tone', async () => ((await incoming(ben, 'ann', 'audio'))?.audioLevel ?? 0) > 0.05);
  await until('the level to be told', () => ben.evaluate(() => levels.at(-1) > 20));
  rates.push(await rate());
  await ann.evaluate(() => speak(0));
  await until('silence again', async () => (await rate()) < 15);
  const level = await until('the level to fall', () => ben.evaluate(() => levels.at(-1) < 5 && levels.at(-1) + 1)) - 1;
  await ann.evaluate(() => republish('standard'));
  rates.push(await until('silence to be sent', async () => { const now = await rate(); return now > 40 && now; }));
  const { packetsLost } = await incoming(ben, 'ann', 'audio');
  return { rates, level, packetsLost };
}

/** With the profile `high-stereo` the left and the right channel stay what they are: the strongest pitch of each where they are heard. */
export async function stereo(browser) {
  await rest('room_engine_http_srv/create_room', { RoomInfo: { RoomId: 'opera', ...CALL } });
  const ann = await open(browser, 'ann');
  await ann.evaluate(() => enter('opera', 'anchor', { scene: 'rtc', autoReceiveAudio: false }));
  await ann.evaluate(() => {
    const context = new AudioContext();
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    for (const [channel, frequency] of [440, 880].entries()) {
      const oscillator = new OscillatorNode(context, { frequency });
      oscillator.connect(new GainNode(context, { gain: 0.3 })).connect(merger, 0, channel);
      oscillator.start();
    }
    const end = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    merger.connect(end);
    return trtc.startLocalAudio({ option: { audioTrack: end.stream.getAudioTracks()[0], profile: 'high-stereo' } });
  });
  const ben = await open(browser, 'ben');
  await ben.evaluate(() => enter('opera', 'anchor', { scene: 'rtc' }));
  await until('the tones', async () => ((await incoming(ben, 'ann', 'audio'))?.audioLevel ?? 0) > 0.05);
  await ben.evaluate(() => {
    const context = new AudioContext();
    const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
    new MediaStreamAudioSourceNode(context, { mediaStream: new MediaStream([trtc.getAudioTrack('ann')]) }).connect(splitter);
    globalThis.analysers = [0, 1].map((channel) => {
      const analyser = new AnalyserNode(context, { fftSize: 8192 });
      splitter.connect(analyser, channel);
      return analyser;
    });
  });
  const pitches = () => ben.evaluate(() => analysers.map((analyser) => {
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    return Math.round((bins.indexOf(Math.max(...bins)) * analyser.context.sampleRate) / analyser.fftSize);
  }));
  return until('440 Hz on the left and 880 Hz on the right', async () => {
    const now = await pitches();
    return Math.abs(now[0] - 440) < 15 && Math.abs(now[1] - 880) < 15 && now;
  });
}
