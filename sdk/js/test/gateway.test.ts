import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { RtcError } from '../src/errors.js';
import { Gateway, type GatewayListener, gatewayUrl } from '../src/gateway.js';
import { Socket } from './socket.js';

const listener = () => ({
  onReconnecting: vi.fn(),
  onReconnected: vi.fn(),
  onEnded: vi.fn(),
  onEvent: vi.fn(),
}) satisfies GatewayListener;

const ME = { sdkAppId: 1, userId: 'ann', userSig: 'sig' };
const turns = () => vi.advanceTimersByTimeAsync(0);

async function loggedIn() {
  const heard = listener();
  const gateway = new Gateway('ws://server/v1/connect', heard);
  const login = gateway.login(ME);
  Socket.last.open();
  await turns();
  Socket.last.answer({ ResumeToken: 'first', ServerId: 'a' });
  await login;
  return { gateway, heard };
}

describe('the gateway', () => {
  beforeEach(() => {
    vi.useFakeTimers();
    Socket.all = [];
    vi.stubGlobal('WebSocket', Socket);
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  test('logs in, and answers requests by their ids', async () => {
    const { gateway } = await loggedIn();

    const asked = gateway.request('enter_room', { RoomId: 'r' });
    Socket.last.answer({ MemberCount: 1 });

    expect(Socket.last.sent[0]).toMatchObject({ command: 'login', body: { SdkAppId: 1, UserId: 'ann', UserSig: 'sig', Client: { Sdk: expect.stringMatching(/^roomful-js\/\d/) } } });
    await expect(asked).resolves.toEqual({ MemberCount: 1 });
  });

  test('a refusal is an RtcError with the code of the server', async () => {
    const { gateway } = await loggedIn();

    const asked = gateway.request('enter_room', { RoomId: 'r' });
    Socket.last.refuse(100004, 'room r does not exist');

    const error = await asked.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RtcError);
    expect(error).toMatchObject({ code: 5400, extraCode: 100004, message: 'room r does not exist' });
  });

  test('where one node does not answer it goes on at another, and at those that a node told', async () => {
    const heard = listener();
    const gateway = new Gateway(['ws://one/v1/connect', 'ws://two/v1/connect'], heard);
    const login = gateway.login(ME);
    Socket.last.close();
    await turns();
    expect(Socket.all.map((socket) => socket.url)).toEqual(['ws://one/v1/connect', 'ws://two/v1/connect']);
    Socket.last.open();
    await turns();
    Socket.last.answer({ ResumeToken: 'first', ServerId: 'a', Addresses: ['http://two', 'http://three', 'https://four', 'no address'] });
    await login;

    // Its own is tried first: it may have been the network.
    Socket.last.close(1006);
    const tried: string[] = [];
    for (let time = 0; time < 3; time += 1) {
      await vi.advanceTimersByTimeAsync(500);
      tried.push(Socket.last.url);
      if (time < 2) Socket.last.close();
    }
    Socket.last.open();
    await turns();
    Socket.last.answer({ ResumeToken: 'second', ServerId: 'a' });
    await turns();

    expect(tried).toEqual(['ws://two/v1/connect', 'ws://three/v1/connect', 'ws://one/v1/connect']);
    expect(heard.onReconnected).toHaveBeenCalledWith({ isResumed: true, isSameServer: true });
    gateway.close();
  });

  test('after a loss it resumes with its token, and says what it has seen', async () => {
    const { gateway, heard } = await loggedIn();
    Socket.last.say({ event: 'text_msg', body: { RoomId: 'r', Seq: 7 } });

    Socket.last.close(1006);
    expect(heard.onReconnecting).toHaveBeenCalledOnce();
    await vi.advanceTimersByTimeAsync(1000);
    Socket.last.open();
    await turns();
    expect(Socket.all).toHaveLength(2);
    expect(Socket.last.sent[0]?.body).toEqual({ ResumeToken: 'first', Seen: { r: 7 } });
    Socket.last.answer({ ResumeToken: 'second', ServerId: 'a' });
    await turns();

    expect(heard.onReconnected).toHaveBeenCalledWith({ isResumed: true, isSameServer: true });
    gateway.close();
  });

  test('a token that is not known any more leads to a new login, which another server tells of', async () => {
    const { gateway, heard } = await loggedIn();

    Socket.last.close(1012);
    await vi.advanceTimersByTimeAsync(1000);
    Socket.last.open();
    await turns();
    Socket.last.refuse(70003, 'the token is unknown');
    await turns();
    expect(Socket.last.sent.at(-1)?.body).toMatchObject({ UserSig: 'sig' });
    Socket.last.answer({ ResumeToken: 'third', ServerId: 'b' });
    await turns();

    expect(heard.onReconnected).toHaveBeenCalledWith({ isResumed: false, isSameServer: false });
    gateway.close();
  });

  test('an expired UserSig ends it', async () => {
    const { heard } = await loggedIn();

    Socket.last.close(1006);
    await vi.advanceTimersByTimeAsync(1000);
    Socket.last.open();
    await turns();
    Socket.last.refuse(70003, 'unknown');
    await turns();
    Socket.last.refuse(70001, 'expired');
    await turns();

    expect(heard.onEnded.mock.calls[0]?.[0]).toMatchObject({ extraCode: 70001 });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(Socket.all).toHaveLength(2);
  });

  test('requests wait for a connection that is being made, and fail in time when there is none', async () => {
    const { gateway } = await loggedIn();
    Socket.last.close(1006);

    const waits = gateway.request('leave_room', { RoomId: 'r' }).catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(11_000);

    expect(await waits).toMatchObject({ code: 5998 });
    gateway.close();
  });

  test('a session that goes on elsewhere is not taken back', async () => {
    const { heard } = await loggedIn();

    Socket.last.close(4001);
    await vi.advanceTimersByTimeAsync(60_000);

    expect(heard.onEnded).toHaveBeenCalledOnce();
    expect(Socket.all).toHaveLength(1);
  });

  describe('with the page', () => {
    const page = () => {
      const [window, document] = [new EventTarget(), Object.assign(new EventTarget(), { visibilityState: 'visible' })];
      const sendBeacon = vi.fn();
      for (const name of ['addEventListener', 'removeEventListener'] as const) vi.stubGlobal(name, window[name].bind(window));
      vi.stubGlobal('document', document);
      vi.stubGlobal('navigator', { sendBeacon });
      return { window, document, sendBeacon };
    };

    test('goes away for good, also where it is just connecting again', async () => {
      const { window, sendBeacon } = page();
      const { gateway } = await loggedIn();
      Socket.last.close(1006);

      window.dispatchEvent(new Event('pagehide'));

      expect(sendBeacon.mock.calls).toEqual([['http://server/v1/leave', 'first']]);
      gateway.close();
      window.dispatchEvent(new Event('pagehide'));
      expect(sendBeacon).toHaveBeenCalledOnce();
    });

    test('asks whether anybody is there when it is woken, and comes back when nobody is', async () => {
      const { document } = page();
      const { gateway, heard } = await loggedIn();
      const before = Socket.last.sent.length;

      document.dispatchEvent(new Event('resume'));
      document.dispatchEvent(new Event('resume'));
      expect(Socket.last.sent.slice(before).map(({ command }) => command)).toEqual(['get_media_config']);
      Socket.last.answer();
      await vi.advanceTimersByTimeAsync(4_000);
      expect(heard.onReconnecting).not.toHaveBeenCalled();

      document.dispatchEvent(new Event('resume'));
      await vi.advanceTimersByTimeAsync(4_000);
      expect(heard.onReconnecting).toHaveBeenCalledOnce();
      gateway.close();
    });

    test('does not wait any longer when there is a network again', async () => {
      const { window, document } = page();
      const { gateway } = await loggedIn();
      Socket.last.close(1006);
      for (let times = 0; times < 6; times += 1) {
        await vi.advanceTimersByTimeAsync(12_000);
        Socket.last.close(1006);
        await turns();
      }
      const tried = Socket.all.length;

      document.visibilityState = 'hidden';
      window.dispatchEvent(new Event('online'));
      await vi.advanceTimersByTimeAsync(300);
      expect(Socket.all).toHaveLength(tried);
      document.visibilityState = 'visible';
      window.dispatchEvent(new Event('online'));
      await vi.advanceTimersByTimeAsync(300);
      expect(Socket.all).toHaveLength(tried + 1);
      gateway.close();
    });
  });

  test('the address is the server that was named, whichever way it was written', () => {
    vi.stubGlobal('location', { origin: 'https://page.example', href: 'https://page.example/x' });

    expect(gatewayUrl(undefined)).toBe('wss://page.example/v1/connect');
    expect(gatewayUrl('wss://rooms.example')).toBe('wss://rooms.example/v1/connect');
    expect(gatewayUrl('http://127.0.0.1:8480')).toBe('ws://127.0.0.1:8480/v1/connect');
    expect(gatewayUrl('wss://rooms.example/inner/connect')).toBe('wss://rooms.example/inner/connect');
  });
});
