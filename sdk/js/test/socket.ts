/** A WebSocket whose other end is the test. */
export class Socket {
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static all: Socket[] = [];
  readyState = 0;
  sent: { id: number; command: string; body: Record<string, unknown> }[] = [];
  onopen?: () => void;
  onmessage?: (message: { data: string }) => void;
  onclose?: (close: { code: number; reason: string }) => void;

  constructor(readonly url: string) {
    Socket.all.push(this);
  }

  static get last(): Socket {
    return Socket.all.at(-1) as Socket;
  }

  open(): void {
    this.readyState = Socket.OPEN;
    this.onopen?.();
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text) as never);
  }

  close(code = 1005): void {
    this.readyState = 3;
    this.onclose?.({ code, reason: '' });
  }

  say(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  answer(response: unknown = {}): void {
    const { id } = this.sent.at(-1) as { id: number };
    this.say({ id, ErrorCode: 0, ErrorInfo: '', Response: response });
  }

  refuse(code: number, message: string): void {
    const { id } = this.sent.at(-1) as { id: number };
    this.say({ id, ErrorCode: code, ErrorInfo: message });
  }
}
