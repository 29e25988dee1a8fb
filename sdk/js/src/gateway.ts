import { CODE } from './codes.js';
import { ERROR_CODE, RtcError } from './errors.js';
import { log } from './log.js';
import type { Commands, Events } from './protocol.js';

/** An object of which nothing is known. */
export type Body = Record<string, unknown>;

export type Command = keyof Commands;

/** What goes with a command. */
export type Asked<Name extends Command> = Commands[Name]['body'];

/** What is answered to it. */
export type Answered<Name extends Command> = Commands[Name]['answer'];

/** An event with its body. */
export type Told = { [Name in keyof Events]: { event: Name; body: Events[Name] } }[keyof Events];

export interface Credentials {
  sdkAppId: number;
  userId: string;
  userSig: string;
}

/** What a connection tells its owner. */
export interface GatewayListener {
  /** The connection was lost, and another is being made. */
  onReconnecting(): void;
  /** There is a connection again. With `isResumed`, rooms were kept; with `isSameServer`, media was too. */
  onReconnected(how: { isResumed: boolean; isSameServer: boolean }): void;
  /** There will be no other: the account, or its UserSig, is not taken any more. */
  onEnded(error: RtcError): void;
  onEvent(told: Told): void;
}

interface Pending {
  resolve(response: unknown): void;
  reject(error: RtcError): void;
  timer: ReturnType<typeof setTimeout>;
}

const REQUEST_TIMEOUT_MS = 10_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;
/** The server closes connections that send more (docs/protocol.md); characters may take more bytes than one. */
const LONGEST_FRAME = 63_000;
/** More nodes than this are not remembered. */
const MOST_ADDRESSES = 16;
/** Nothing came for so long: the server pings every 5 s, but pages do not see pings, so we ask ourselves. */
const QUIET_MS = 8_000;
/** And nothing comes of that for so long. */
const ANSWER_MS = 4_000;

/** What a page is told when it may have stood still: it is shown again, woken up, or has a network again. */
const AWAKE = ['pageshow', 'online', 'focus'] as const;

/** Closing codes after which the same login will not do better (docs/protocol.md). */
const FINAL_CODES = new Set([4001, 4005]);

/** The WebSocket to the server: requests and answers, events, and coming back after a loss. */
export class Gateway {
  /** Where nodes of the server are: those that the page named, and behind them those that a node told. */
  readonly #urls: string[];
  /** Which of them the connection is to. */
  #at = 0;
  /** How many of them were tried in vain since there was a connection. */
  #tried = 0;
  readonly #listener: GatewayListener;
  #credentials: Credentials | undefined;
  #socket: WebSocket | undefined;
  #isReady = false;
  #isClosed = false;
  #nextId = 1;
  #pending = new Map<number, Pending>();
  #resumeToken = '';
  #serverId = '';
  #pauseMs = FIRST_PAUSE_MS;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #quietTimer: ReturnType<typeof setTimeout> | undefined;
  #askTimer: ReturnType<typeof setTimeout> | undefined;
  #waiting: { resolve(): void; reject(error: RtcError): void }[] = [];
  /** The newest message of each room: after a loss, what is missing is asked for. */
  #seen = new Map<string, number>();

  constructor(urls: string | readonly string[], listener: GatewayListener) {
    this.#urls = [...new Set([urls].flat())];
    this.#listener = listener;
  }

  get #url(): string {
    return this.#urls[this.#at % this.#urls.length] ?? '';
  }

  /** Another node is tried next, where there is one. Whether all were by now. */
  #goOn(): boolean {
    this.#at = (this.#at + 1) % this.#urls.length;
    this.#tried = (this.#tried + 1) % this.#urls.length;
    return this.#tried === 0;
  }

  /** The page goes away: its member does at once, also where there is no connection at the moment, to say so. */
  #onHide = (): void => {
    if (!this.#resumeToken) return;
    globalThis.navigator?.sendBeacon?.(leaveUrl(this.#url), this.#resumeToken);
    this.#socket?.close(1000);
  };

  /** What was lost while the page stood still is looked for now, rather than when a clock says so. */
  #onAwake = (): void => {
    if (this.#isClosed || globalThis.document?.visibilityState === 'hidden') return;
    if (this.#isReady) this.#ask();
    else if (this.#retryTimer !== undefined) this.#retry(FIRST_PAUSE_MS * Math.random());
  };

  #watchPage(isWatched: boolean): void {
    const watch = isWatched ? 'addEventListener' : 'removeEventListener';
    globalThis[watch]?.('pagehide', this.#onHide);
    for (const event of AWAKE) globalThis[watch]?.(event, this.#onAwake);
    for (const event of ['resume', 'visibilitychange']) globalThis.document?.[watch]?.(event, this.#onAwake);
  }

  /** Milliseconds that the last request took: the round trip. */
  roundTripMs = 0;

  async login(credentials: Credentials): Promise<void> {
    this.#credentials = credentials;
    await this.#openAny();
    try {
      await this.#logIn();
      if (this.#isClosed) throw lost('the connection was closed');
    } catch (error) {
      this.close();
      throw error;
    }
    this.#watchPage(true);
    this.#begin();
  }

  /** A newer signature, for when one comes back; and the session goes on beyond the one before. */
  renew(userSig: string): void {
    if (this.#credentials) this.#credentials = { ...this.#credentials, userSig };
    if (!this.#isReady) return;
    this.#send('renew_user_sig', { UserSig: userSig }).catch((error: unknown) => {
      log.warn('the newer UserSig was not taken', error);
    });
  }

  /** Sends a command; waits for a connection when there is none at the moment. */
  async request<Name extends Command>(command: Name, body: Asked<Name>): Promise<Answered<Name>> {
    if (this.#isClosed) throw lost('the connection was closed');
    if (!this.#isReady) await this.#whenReady();
    return this.#send(command, body);
  }

  /** Whether there is a connection at the moment. */
  get isReady(): boolean {
    return this.#isReady;
  }

  close(): void {
    this.#isClosed = true;
    this.#isReady = false;
    this.#watchPage(false);
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#quietTimer);
    clearTimeout(this.#askTimer);
    this.#socket?.close(1000);
    this.#socket = undefined;
    this.#fail(lost('the connection was closed'));
    for (const { reject } of this.#waiting.splice(0)) reject(lost('the connection was closed'));
  }

  /** Connects to the first node that can be reached. */
  async #openAny(): Promise<void> {
    for (;;) {
      try {
        return await this.#open();
      } catch (error) {
        if (this.#isClosed || this.#goOn()) throw error;
      }
    }
  }

  #open(): Promise<void> {
    if (this.#isClosed) return Promise.reject(lost('the connection was closed'));
    return new Promise((resolve, reject) => {
      const url = this.#url;
      const socket = new WebSocket(url);
      this.#socket = socket;
      let isOpen = false;
      const unreachable = () => {
        const message = `cannot connect to ${url}: check the address, and that the server runs`;
        reject(new RtcError({ code: ERROR_CODE.OPERATION_FAILED, message }));
      };
      const tooLate = setTimeout(() => {
        if (!isOpen) socket.close();
      }, REQUEST_TIMEOUT_MS);
      socket.onopen = () => {
        isOpen = true;
        clearTimeout(tooLate);
        resolve();
      };
      socket.onmessage = (message) => {
        if (this.#socket === socket && typeof message.data === 'string') this.#take(message.data);
      };
      socket.onclose = (close) => {
        clearTimeout(tooLate);
        if (!isOpen) unreachable();
        else if (this.#socket === socket) this.#lose(close.code, close.reason);
      };
    });
  }

  async #logIn(): Promise<{ isResumed: boolean; isSameServer: boolean }> {
    const credentials = this.#credentials;
    if (!credentials) throw lost('there are no credentials');
    const { sdkAppId, userId, userSig } = credentials;
    let answer: Answered<'login'> | undefined;
    let isResumed = false;
    if (this.#resumeToken) {
      try {
        const seen = Object.fromEntries(this.#seen);
        answer = await this.#send('login', { ResumeToken: this.#resumeToken, Seen: seen });
        isResumed = true;
      } catch (error) {
        if (!(error instanceof RtcError) || error.extraCode === undefined) throw error;
        log.info('the session cannot be resumed; a new one is begun', error.message);
      }
    }
    // Which browser it is the server knows from the connection.
    const client = { Sdk: `roomful-js/${__VERSION__}` };
    answer ??= await this.#send('login', { SdkAppId: sdkAppId, UserId: userId, UserSig: userSig, Client: client });
    this.#resumeToken = answer.ResumeToken;
    const isSameServer = answer.ServerId === this.#serverId;
    this.#serverId = answer.ServerId;
    this.#learn(answer.Addresses ?? []);
    return { isResumed, isSameServer };
  }

  /** Other nodes of the server are there. A page by TLS does not go where there is none. */
  #learn(addresses: readonly string[]): void {
    const isSecure = this.#url.startsWith('wss:');
    for (const address of addresses.slice(0, MOST_ADDRESSES)) {
      try {
        const url = gatewayUrl(address);
        if (!this.#urls.includes(url) && this.#urls.length < MOST_ADDRESSES && url.startsWith('wss:') === isSecure) this.#urls.push(url);
      } catch {
        log.warn('an address that a node told is none', address);
      }
    }
  }

  #begin(): void {
    this.#isReady = true;
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#tried = 0;
    this.#watchQuiet();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #send<Name extends Command>(command: Name, body: Asked<Name>): Promise<Answered<Name>> {
    const socket = this.#socket;
    if (!socket || socket.readyState !== WebSocket.OPEN) return Promise.reject(lost('there is no connection'));
    const id = this.#nextId++;
    const text = JSON.stringify({ id, command, body });
    if (text.length > LONGEST_FRAME) {
      const message = `${command} is too long to be sent: watch fewer streams at once, or send less`;
      return Promise.reject(new RtcError({ code: ERROR_CODE.INVALID_OPERATION, message }));
    }
    const sentAt = performance.now();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        const message = `${command} was not answered within ${REQUEST_TIMEOUT_MS / 1000} s; try again`;
        reject(new RtcError({ code: ERROR_CODE.OPERATION_FAILED, message }));
      }, REQUEST_TIMEOUT_MS);
      const settle = (response: unknown) => {
        this.roundTripMs = performance.now() - sentAt;
        resolve(response as Answered<Name>);
      };
      this.#pending.set(id, { resolve: settle, reject, timer });
      socket.send(text);
    });
  }

  #take(text: string): void {
    this.#watchQuiet();
    let frame: Body;
    try {
      frame = JSON.parse(text) as Body;
    } catch {
      log.warn('an unreadable frame was ignored');
      return;
    }
    if (typeof frame['event'] === 'string') {
      const body = (frame['body'] ?? {}) as Body;
      const seq = body['Seq'];
      if (typeof seq === 'number') this.#seen.set(String(body['RoomId']), seq);
      this.#listener.onEvent({ event: frame['event'], body } as unknown as Told);
      return;
    }
    const pending = this.#pending.get(frame['id'] as number);
    if (!pending) return;
    this.#pending.delete(frame['id'] as number);
    clearTimeout(pending.timer);
    const code = Number(frame['ErrorCode'] ?? 0);
    if (code === 0) pending.resolve(frame['Response'] ?? {});
    else {
      const message = String(frame['ErrorInfo'] ?? `the server answered ${code}`);
      pending.reject(new RtcError({ code: ERROR_CODE.SERVER_ERROR, extraCode: code, message }));
    }
  }

  /** Rooms that were left need no messages any more. */
  forget(roomId: string): void {
    this.#seen.delete(roomId);
  }

  #whenReady(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((entry) => entry.resolve !== done);
        reject(lost('there is no connection to the server at the moment'));
      }, REQUEST_TIMEOUT_MS);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#waiting.push({ resolve: done, reject });
    });
  }

  #watchQuiet(): void {
    clearTimeout(this.#quietTimer);
    clearTimeout(this.#askTimer);
    this.#askTimer = undefined;
    this.#quietTimer = setTimeout(() => this.#ask(), QUIET_MS);
  }

  /** Whether anybody is there: any answer will do, an error is one, and so is whatever else comes. */
  #ask(): void {
    if (!this.#isReady || this.#askTimer !== undefined) return;
    this.#send('get_media_config', {}).catch(() => undefined);
    this.#askTimer = setTimeout(() => {
      const socket = this.#socket;
      socket?.close();
      // Without an answer to that either, it would stand there closing for long.
      if (this.#isReady) this.#lose(1006, 'silence');
    }, ANSWER_MS);
  }

  #lose(code: number, reason: string): void {
    clearTimeout(this.#quietTimer);
    clearTimeout(this.#askTimer);
    this.#askTimer = undefined;
    const wasReady = this.#isReady;
    this.#isReady = false;
    this.#socket = undefined;
    this.#fail(lost(`the connection was lost (${code}${reason ? `, ${reason}` : ''})`));
    if (this.#isClosed || !wasReady) return;
    if (FINAL_CODES.has(code)) {
      this.close();
      const message = reason || `the server closed the connection (${code})`;
      this.#listener.onEnded(new RtcError({ code: ERROR_CODE.SERVER_ERROR, extraCode: code, message }));
      return;
    }
    log.info(`connection lost (${code}); connecting again`);
    this.#listener.onReconnecting();
    this.#retry();
  }

  /** Tries again, after a pause that is spread, so that a crowd does not come back all at once. */
  #retry(pause = this.#pauseMs * (0.5 + Math.random()), next = 2 * this.#pauseMs): void {
    this.#pauseMs = Math.min(next, LONGEST_PAUSE_MS);
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      void this.#comeBack();
    }, pause);
  }

  async #comeBack(): Promise<void> {
    try {
      await this.#open();
      const how = await this.#logIn();
      if (this.#isClosed) return;
      this.#begin();
      this.#listener.onReconnected(how);
    } catch (error) {
      if (this.#isClosed) return;
      const refusal = error instanceof RtcError ? error.extraCode : undefined;
      if (refusal !== undefined && refusal !== CODE.TooOften && refusal !== CODE.Internal) {
        this.close();
        this.#listener.onEnded(error as RtcError);
        return;
      }
      this.#socket?.close();
      this.#socket = undefined;
      // Nobody has to wait for a node that is gone, where there are others.
      if (this.#goOn()) this.#retry();
      else this.#retry(FIRST_PAUSE_MS * (0.5 + Math.random()), this.#pauseMs);
    }
  }

  #fail(error: RtcError): void {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#pending.clear();
  }
}

function lost(message: string): RtcError {
  return new RtcError({ code: ERROR_CODE.OPERATION_ABORT, message });
}

/** The gateway of a server that is named by its origin; without a name, of the page's own. */
export function gatewayUrl(server: string | undefined): string {
  const base = new URL(server ?? globalThis.location.origin, globalThis.location?.href);
  base.protocol = base.protocol === 'https:' || base.protocol === 'wss:' ? 'wss:' : 'ws:';
  if (base.pathname === '/' || base.pathname === '') base.pathname = '/v1/connect';
  return base.href;
}

/** The same of each node of a server that is named by several addresses. */
export function gatewayUrls(server: string | readonly string[] | undefined): string[] {
  if (server === undefined || typeof server === 'string') return [gatewayUrl(server)];
  return server.length === 0 ? [gatewayUrl(undefined)] : server.map(gatewayUrl);
}

/** Where a page says that it goes away: beside the gateway, by HTTP. */
function leaveUrl(gateway: string): string {
  const url = new URL('leave', gateway);
  url.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
  return url.href;
}

/** The address of a file that the server has for pages. */
export function fileUrl(server: string | readonly string[] | undefined, name: string): string {
  const base = new URL(gatewayUrls(server)[0] ?? '');
  base.protocol = base.protocol === 'wss:' ? 'https:' : 'http:';
  return new URL(`/sdk/plugins/${name}`, base).href;
}
