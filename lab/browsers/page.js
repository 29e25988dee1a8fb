// In the pages of publishers and viewers: a picture that says when it was painted, a tone, and what the browser itself counts of
// what it sends and gets. A classic script, so that it is there before anything else is.
'use strict';

globalThis.lab = { marks: {}, troubles: [], frames: [], unread: 0, samples: [], peers: [] };

{
  const WIDTH = 960;
  const HEIGHT = 540;
  const FPS = 15;
  /** The strip at the top: two rows of 16 cells, black or white. At a quarter of the size a cell is 15 x 9 pixels. */
  const CELLS = 16;
  /** How many of the spots change their light in each frame: so many bits are what a camera's picture takes. */
  const FLICKERING = 8;
  /** The share of the time that the tone is to be heard. */
  const LOUD = 0.12;
  const CELL = { width: WIDTH / CELLS, height: 36 };

  lab.mark = (name) => { lab.marks[name] ??= Date.now(); };
  lab.try = (promise) => { promise.catch((error) => lab.troubles.push(String(error?.message ?? error))); };

  // Whoever makes a connection, the lab looks at it.
  const Native = RTCPeerConnection;
  globalThis.RTCPeerConnection = function (...options) {
    const pc = new Native(...options);
    lab.peers.push(pc);
    pc.addEventListener('connectionstatechange', () => { if (pc.connectionState === 'connected') lab.mark('connected'); });
    pc.addEventListener('track', ({ track }) => { if (track.kind === 'video') lab.try(readFrames(track)); });
    return pc;
  };
  globalThis.RTCPeerConnection.prototype = Native.prototype;

  /** The second row: 12 bits of a counter, and what they and the time add up to. */
  const check = (time, count) => (((time >> 12) + (time >> 8) + (time >> 4) + time + (count >> 8) + (count >> 4) + count) & 15) ^ 5;

  /** A moving picture that takes as many bits as it may, with a counter and a clock in it. */
  lab.paint = () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: WIDTH, height: HEIGHT });
    const context = canvas.getContext('2d', { alpha: false });
    const stream = canvas.captureStream(0);
    const track = stream.getVideoTracks()[0];
    const spots = Array.from({ length: 160 }, () => ({ x: Math.random() * WIDTH, y: Math.random() * HEIGHT, a: Math.random() * 9, hue: Math.random() * 360 }));
    let count = 0;
    const paint = () => {
      context.fillStyle = '#345';
      context.fillRect(0, 0, WIDTH, HEIGHT);
      for (const [number, spot] of spots.entries()) {
        spot.x = (spot.x + 2 * Math.cos(spot.a) + WIDTH) % WIDTH;
        spot.y = (spot.y + 2 * Math.sin(spot.a) + HEIGHT) % HEIGHT;
        const light = number < FLICKERING ? 40 + 20 * Math.random() : 50;
        context.fillStyle = `hsl(${spot.hue} 60% ${light}%)`;
        context.fillRect(spot.x, spot.y, 40, 40);
      }
      const time = Date.now() & 0xffff;
      const row = ((count & 0xfff) << 4) | check(time, count & 0xfff);
      for (let cell = 0; cell < CELLS; cell += 1) {
        for (const [line, bits] of [time, row].entries()) {
          context.fillStyle = (bits >> cell) & 1 ? '#ddd' : '#222';
          context.fillRect(cell * CELL.width, line * CELL.height, CELL.width, CELL.height);
        }
      }
      track.requestFrame();
      count += 1;
    };
    const began = performance.now();
    const next = () => {
      paint();
      setTimeout(next, Math.max(0, began + (count * 1000) / FPS - performance.now()));
    };
    next();
    lab.painted = () => count;
    return track;
  };

  /** A tone twice a second, as long as a syllable: it takes as many bits as the fake microphone of a browser. */
  lab.tone = () => {
    const audio = new AudioContext();
    const [tone, beat, gain, out] = [audio.createOscillator(), audio.createOscillator(), audio.createGain(), audio.createMediaStreamDestination()];
    const on = Float32Array.from({ length: 64 }, (_, at) => (at < 64 * LOUD ? 0.3 : 0));
    const shape = audio.createWaveShaper();
    shape.curve = on;
    tone.frequency.value = 440;
    beat.type = 'sawtooth';
    beat.frequency.value = 2;
    gain.gain.value = 0;
    beat.connect(shape).connect(gain.gain);
    tone.connect(gain).connect(out);
    tone.start();
    beat.start();
    return out.stream.getAudioTracks()[0];
  };

  /** Notes of each frame that comes out of the decoder when it did, which one it is, how old, and how high. */
  async function readFrames(track) {
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 30 }).readable.getReader();
    for (;;) {
      const { done, value: frame } = await reader.read();
      if (done) return;
      const now = Date.now();
      const { width, height } = frame.visibleRect;
      lab.mark('first_frame');
      if (height >= HEIGHT) lab.mark('full_height');
      try {
        const read = await readStrip(frame, width, height);
        if (read && check(read.time, read.row >> 4) === (read.row & 15)) {
          lab.frames.push([now, read.row >> 4, (now - read.time) & 0xffff, height]);
        } else {
          lab.unread += 1;
          lab.frames.push([now, -1, -1, height]);
        }
      } finally {
        frame.close();
      }
    }
  }

  async function readStrip(frame, width, height) {
    const rows = Math.min(height, 2 * Math.ceil((CELL.height * height) / HEIGHT));
    const rect = { x: 0, y: 0, width: width & ~1, height: rows & ~1 };
    if (!frame.format) return null;
    const bytes = new Uint8Array(frame.allocationSize({ rect }));
    const [{ offset, stride }] = await frame.copyTo(bytes, { rect });
    const bit = (cell, line) => {
      const x = Math.floor(((cell + 0.5) * width) / CELLS);
      const y = Math.floor(((line + 0.5) * CELL.height * height) / HEIGHT);
      return bytes[offset + y * stride + x] > 128 ? 1 : 0;
    };
    let [time, row] = [0, 0];
    for (let cell = 0; cell < CELLS; cell += 1) {
      time |= bit(cell, 0) << cell;
      row |= bit(cell, 1) << cell;
    }
    return { time, row };
  }

  const INBOUND = ['framesDecoded', 'keyFramesDecoded', 'framesDropped', 'frameHeight', 'freezeCount', 'totalFreezesDuration',
    'jitterBufferDelay', 'jitterBufferEmittedCount', 'packetsReceived', 'packetsLost', 'bytesReceived', 'headerBytesReceived',
    'nackCount', 'pliCount', 'concealedSamples', 'totalSamplesReceived'];
  const OUTBOUND = ['rid', 'active', 'framesEncoded', 'keyFramesEncoded', 'frameHeight', 'framesPerSecond', 'bytesSent',
    'headerBytesSent', 'packetsSent', 'retransmittedBytesSent', 'qualityLimitationReason', 'pliCount', 'nackCount', 'targetBitrate'];
  const pick = (entry, names) => Object.fromEntries(names.filter((name) => entry[name] !== undefined).map((name) => [name, entry[name]]));

  /** The way the media takes: `udp`, `tcp`, or by the relay `relay/udp`, `relay/tcp`, `relay/tls`. */
  const over = (stats, { selectedCandidatePairId }) => {
    const { candidateType, protocol, relayProtocol } = stats.get(stats.get(selectedCandidatePairId)?.localCandidateId) ?? {};
    return candidateType === 'relay' ? `relay/${relayProtocol}` : protocol;
  };

  async function sample() {
    const seen = { at: Date.now(), out: [] };
    for (const pc of lab.peers) {
      if (pc.connectionState === 'closed') continue;
      const stats = await pc.getStats();
      for (const entry of stats.values()) {
        if (entry.type === 'transport') seen.over = over(stats, entry);
        if (entry.type === 'inbound-rtp' && entry.packetsReceived > 0) seen[entry.kind] = pick(entry, INBOUND);
        if (entry.type === 'outbound-rtp' && entry.kind === 'video') seen.out.push(pick(entry, OUTBOUND));
      }
    }
    return seen;
  }
  lab.sample = sample;

  /** From now on, five times a second. */
  lab.begin = (everyMs = 200) => {
    const next = async () => {
      const began = performance.now();
      lab.samples.push(await sample());
      setTimeout(next, Math.max(20, everyMs - (performance.now() - began)));
    };
    lab.try(next());
  };

  lab.collect = async () => {
    lab.samples.push(await sample());
    const { marks, troubles, frames, unread, samples } = lab;
    return { marks, troubles, frames, unread, samples, painted: lab.painted?.() ?? 0 };
  };

  const sizes = (hasLayers, bitrate) => {
    const of = (rid, share, scaleResolutionDownBy) => ({ rid, scaleResolutionDownBy, maxBitrate: Math.round(bitrate / share), maxFramerate: FPS });
    return hasLayers ? [of('f', 1, 1), of('h', 3, 2), of('q', 9, 4)] : [{ maxBitrate: bitrate, maxFramerate: FPS }];
  };

  /** By the browser client, or by WHIP what has one size, as OBS sends it. */
  lab.roomful = async ({ url, app, user, sig, room, reportsOnly }) => {
    const { default: TRTC } = await import('/sdk/roomful-client.js');
    if (reportsOnly) withoutTransportFeedback();
    const trtc = (lab.trtc = TRTC.create());
    trtc.on(TRTC.EVENT.ERROR, (error) => lab.troubles.push(String(error?.message ?? error)));
    const enter = (role) => trtc.enterRoom({ sdkAppId: app, userId: user, userSig: sig, strRoomId: room, role, scene: 'live' });
    const view = document.body.appendChild(document.createElement('div'));
    view.style.cssText = `width:${WIDTH}px;height:${HEIGHT}px`;
    return {
      async publish(hasLayers, bitrate) {
        if (hasLayers) {
          await enter('anchor');
          const profile = { width: WIDTH, height: HEIGHT, frameRate: FPS, bitrate: bitrate / 1000 };
          await trtc.startLocalVideo({ option: { videoTrack: lab.paint(), profile } });
          await trtc.startLocalAudio({ option: { audioTrack: lab.tone() } });
          return;
        }
        const pc = new RTCPeerConnection();
        pc.addTransceiver(lab.paint(), { direction: 'sendonly', sendEncodings: sizes(false, bitrate) });
        pc.addTransceiver(lab.tone(), { direction: 'sendonly' });
        await pc.setLocalDescription();
        const headers = { Authorization: `Bearer ${sig}`, 'Content-Type': 'application/sdp' };
        const answer = await fetch(`/whip/${room}`, { method: 'POST', body: pc.localDescription.sdp, headers });
        if (!answer.ok) throw new Error(`WHIP: ${answer.status} ${await answer.text()}`);
        await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
      },
      async enter() {
        trtc.on(TRTC.EVENT.REMOTE_VIDEO_AVAILABLE, ({ userId, streamType }) => {
          lab.mark('watching');
          lab.try(trtc.startRemoteVideo({ userId, streamType, view }));
        });
        await enter('audience');
        lab.mark('entered');
      },
    };
  };

  /** Offers that know only receiver reports, as some players' do. */
  function withoutTransportFeedback() {
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (frame) {
      const slim = (text) => text.replace(/a=extmap:\d+ [^\\]*transport-wide-cc[^\\]*\\r\\n/g, '').replace(/a=rtcp-fb:\d+ transport-cc\\r\\n/g, '');
      return send.call(this, typeof frame === 'string' ? slim(frame) : frame);
    };
  }

  /** Janus' VideoRoom over its HTTP interface. */
  lab.janus = async ({ url, room }) => {
    const post = async (path, body) => {
      const answer = await (await fetch(`${url}/janus${path}`, { method: 'POST', body: JSON.stringify({ transaction: 't', ...body }) })).json();
      if (answer.janus === 'error') throw new Error(`Janus: ${JSON.stringify(answer)}`);
      return answer;
    };
    const session = `/${(await post('', { janus: 'create' })).data.id}`;
    const attach = async () => `${session}/${(await post(session, { janus: 'attach', plugin: 'janus.plugin.videoroom' })).data.id}`;
    const waiting = [];
    let isWanted = true;
    lab.try((async () => {
      while (isWanted) {
        const event = await (await fetch(`${url}/janus${session}`)).json();
        const found = waiting.findIndex(({ fits }) => fits(event));
        if (found >= 0) waiting.splice(found, 1)[0].resolve(event);
      }
    })());
    const event = (fits) => new Promise((resolve) => waiting.push({ fits, resolve }));
    return {
      async publish(hasLayers, bitrate) {
        const handle = await attach();
        await post(handle, { janus: 'message', body: { request: 'create', room, publishers: 3, bitrate: 0, videocodec: 'vp8', fir_freq: 0 } });
        const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
        pc.addTransceiver(lab.paint(), { direction: 'sendonly', sendEncodings: sizes(hasLayers, bitrate) });
        pc.addTransceiver(lab.tone(), { direction: 'sendonly' });
        await pc.setLocalDescription();
        await gathered(pc);
        const answered = event(({ jsep }) => jsep);
        await post(handle, { janus: 'message', body: { request: 'joinandconfigure', room, ptype: 'publisher' }, jsep: { type: 'offer', sdp: pc.localDescription.sdp } });
        const { jsep, plugindata } = await answered;
        await pc.setRemoteDescription(jsep);
        lab.feed = plugindata.data.id;
      },
      async enter(feed) {
        const handle = await attach();
        lab.mark('entered');
        const offered = event(({ jsep }) => jsep);
        await post(handle, { janus: 'message', body: { request: 'join', room, ptype: 'subscriber', streams: [{ feed }] } });
        const { jsep } = await offered;
        lab.mark('watching');
        const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
        pc.addEventListener('track', ({ track }) => {
          const element = document.body.appendChild(document.createElement(track.kind));
          element.srcObject = new MediaStream([track]);
          lab.try(element.play());
        });
        await pc.setRemoteDescription(jsep);
        await pc.setLocalDescription();
        await gathered(pc);
        await post(handle, { janus: 'message', body: { request: 'start' }, jsep: { type: 'answer', sdp: pc.localDescription.sdp } });
      },
    };
  };

  const gathered = (pc) => new Promise((resolve) => {
    if (pc.iceGatheringState === 'complete') return resolve();
    pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve());
  });
}
