// Connections of a real browser that are told line by line what to do, so that a test can carry their offers where it likes.
import { createInterface } from 'node:readline';
import { input, launch, until } from './browsers.mjs';

/** In the page. */
function setUp() {
  const connections = {};
  const paint = (width, height) => {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d');
    let at = 0;
    setInterval(() => {
      context.fillStyle = 'rgb(200,40,40)';
      context.fillRect(0, 0, width, height);
      context.fillStyle = 'white';
      context.fillRect((at += 4) % width, 0, 8, height);
    }, 50);
    return canvas.captureStream(20).getVideoTracks()[0];
  };
  /** A track with one pitch on the left and another on the right. */
  const tones = async ([left, right]) => {
    const context = new AudioContext();
    const merger = new ChannelMergerNode(context, { numberOfInputs: 2 });
    for (const [channel, frequency] of [left, right].entries()) {
      const oscillator = new OscillatorNode(context, { frequency });
      oscillator.connect(new GainNode(context, { gain: 0.3 })).connect(merger, 0, channel);
      oscillator.start();
    }
    const end = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
    merger.connect(end);
    return end.stream.getAudioTracks()[0];
  };
  const propose = async (pc, change = (sdp) => sdp) => {
    const { sdp } = await pc.createOffer();
    await pc.setLocalDescription({ type: 'offer', sdp: change(sdp) });
    return pc.localDescription.sdp;
  };
  const withStereo = (sdp) => sdp.replace(/^(a=fmtp:\d+ .*useinbandfec=1)/gm, '$1;stereo=1');
  const prefer = (pc, names) => {
    const all = RTCRtpReceiver.getCapabilities('video').codecs;
    const order = names.flatMap((name) => all.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${name}`));
    pc.getTransceivers().find(({ sender }) => sender.track?.kind === 'video').setCodecPreferences(order);
  };
  const stats = async (id, type) => [...(await connections[id].pc.getStats()).values()].filter((one) => one.type === type);
  globalThis.actions = {
    async publish({ id, pitches, encodings, codecs, size = [320, 240] }) {
      const pc = new RTCPeerConnection();
      connections[id] = { pc };
      if (pitches) pc.addTransceiver(await tones(pitches), { direction: 'sendonly' });
      if (encodings || codecs) pc.addTransceiver(paint(...size), { direction: 'sendonly', sendEncodings: encodings ?? [{}] });
      if (codecs) prefer(pc, codecs);
      return propose(pc);
    },
    async watch({ id, kinds, isStereo }) {
      const pc = new RTCPeerConnection();
      connections[id] = { pc, tracks: [] };
      pc.ontrack = ({ track }) => connections[id].tracks.push(track);
      for (const kind of kinds) pc.addTransceiver(kind, { direction: 'recvonly' });
      return propose(pc, isStereo ? withStereo : undefined);
    },
    async offer({ id, codecs }) {
      if (codecs) prefer(connections[id].pc, codecs);
      return propose(connections[id].pc);
    },
    answer: ({ id, sdp }) => connections[id].pc.setRemoteDescription({ type: 'answer', sdp }),
    /** The codec that is being sent, once pictures in it are. */
    async codec({ id }) {
      const [out] = await stats(id, 'outbound-rtp');
      const codec = (await stats(id, 'codec')).find((one) => one.id === out?.codecId);
      const before = connections[id].sent ?? [];
      connections[id].sent = [codec?.mimeType, out?.framesEncoded];
      return before[0] === codec?.mimeType && out?.framesEncoded > before[1] ? codec.mimeType : null;
    },
    /** Heights of what is sent: of each layer. */
    heights: async ({ id }) => Object.fromEntries((await stats(id, 'outbound-rtp')).filter((one) => one.framesEncoded > 0).map((one) => [one.rid ?? '', one.frameHeight])),
    async height({ id }) {
      const element = (connections[id].element ??= Object.assign(document.createElement('video'), { muted: true, srcObject: new MediaStream(connections[id].tracks.filter(({ kind }) => kind === 'video')) }));
      element.play().catch(() => {});
      const [before] = await stats(id, 'inbound-rtp');
      await new Promise((resolve) => setTimeout(resolve, 400));
      const [now] = await stats(id, 'inbound-rtp');
      return now?.framesDecoded > (before?.framesDecoded ?? 0) ? now.frameHeight : 0;
    },
    /** The strongest pitch of the left and of the right channel, in Hz. */
    async pitches({ id }) {
      const one = connections[id];
      if (!one.analysers) {
        const stream = new MediaStream(one.tracks.filter(({ kind }) => kind === 'audio'));
        // Without an element that plays it, a remote stream is silent to Web Audio.
        Object.assign(new Audio(), { muted: true, srcObject: stream }).play();
        const context = new AudioContext();
        const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
        new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(splitter);
        one.rate = context.sampleRate;
        one.analysers = [0, 1].map((channel) => {
          const analyser = new AnalyserNode(context, { fftSize: 8192 });
          splitter.connect(analyser, channel);
          return analyser;
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 500));
      return one.analysers.map((analyser) => {
        const bins = new Float32Array(analyser.frequencyBinCount);
        analyser.getFloatFrequencyData(bins);
        const top = bins.indexOf(Math.max(...bins));
        return bins[top] > -60 ? Math.round((top * one.rate) / analyser.fftSize) : 0;
      });
    },
  };
}

const browser = await launch();
const page = await (await browser.newContext()).newPage();
await page.goto(`${input.url}/healthz`);
await page.evaluate(setUp);
const act = (request) => page.evaluate((request) => actions[request.do](request), request);
for await (const line of createInterface({ input: process.stdin })) {
  const { wait, ...request } = JSON.parse(line);
  // What has to come about is asked for until it has.
  const value = wait === undefined
    ? await act(request)
    : await until(line, async () => { const value = await act(request); return JSON.stringify(value) === JSON.stringify(wait) && { value }; }).then(({ value }) => value);
  process.stdout.write(`${JSON.stringify({ value: value ?? null })}\n`);
}
await browser.close();
