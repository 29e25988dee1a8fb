// A link between one client and a UDP server that can be made narrow: what does not fit waits, and what has to wait for
// too long is lost.
import { createSocket } from 'node:dgram';
import { until } from './browsers.mjs';

const LONGEST_WAIT_MS = 250;

export class Narrow {
  #socket = createSocket('udp4');
  #upstream = createSocket('udp4');
  #server;
  #client;
  #bits = Infinity;
  /** When the link is free again. */
  #freeAt = 0;
  lost = 0;
  /** Every so many-th datagram is lost, towards the client and from it; 0 for none. */
  #losesEach = { down: 0, up: 0 };
  #passed = { down: 0, up: 0 };

  static async start() {
    const link = new Narrow();
    link.#socket.on('message', (data, from) => {
      link.#client = from;
      if (link.#server && link.#bits > 0 && !link.#loses('up')) link.#upstream.send(data, link.#server.port, link.#server.address);
    });
    link.#upstream.on('message', (data) => link.#down(data));
    await new Promise((resolve) => link.#socket.bind(0, '127.0.0.1', resolve));
    await new Promise((resolve) => link.#upstream.bind(0, '127.0.0.1', resolve));
    return link;
  }

  get port() {
    return this.#socket.address().port;
  }

  to(server) {
    const [address, port] = server.split(':');
    this.#server = { address, port: Number(port) };
  }

  /** Bits a second towards the client; 0 cuts the link both ways. */
  limit(bits) {
    this.#bits = bits;
    this.#freeAt = 0;
  }

  /** Every so many-th datagram is lost, towards the client and from it; 0 for none. */
  loseEach(down, up = 0) {
    this.#losesEach = { down, up };
  }

  #loses(way) {
    this.#passed[way] += 1;
    const each = this.#losesEach[way];
    const isLost = each > 0 && this.#passed[way] % each === 0;
    if (isLost) this.lost += 1;
    return isLost;
  }

  #down(data) {
    if (this.#loses('down')) return;
    const send = () => this.#client && this.#socket.send(data, this.#client.port, this.#client.address);
    if (this.#bits === 0) return;
    if (this.#bits === Infinity) return send();
    const now = performance.now();
    const start = Math.max(now, this.#freeAt);
    if (start - now > LONGEST_WAIT_MS) {
      this.lost += 1;
      return;
    }
    this.#freeAt = start + (8000 * data.length) / this.#bits;
    setTimeout(send, this.#freeAt - now);
  }

  close() {
    this.#socket.close();
    this.#upstream.close();
  }
}

/** Makes a page reach the server's media through a link of ours. */
export const through = (narrow) => ({
  code: (port) => {
    const native = RTCPeerConnection.prototype.setRemoteDescription;
    RTCPeerConnection.prototype.setRemoteDescription = function ({ type, sdp }) {
      const lines = sdp.split('\r\n').filter((line) => !/^a=candidate.* tcp /i.test(line));
      globalThis.serverPort = /^a=candidate:\S+ \d udp \d+ \S+ (\d+)/im.exec(sdp)?.[1];
      const moved = lines.map((line) => line.replace(/^(a=candidate:\S+ \d udp \d+ \S+) \d+/i, `$1 ${port}`));
      return native.call(this, { type, sdp: moved.join('\r\n') });
    };
  },
  argument: narrow.port,
});

/** Joins the two ends of such a link, once the server has said where it listens. */
export const join = async (narrow, page) =>
  narrow.to(`127.0.0.1:${await until('an answer', () => page.evaluate(() => globalThis.serverPort))}`);
