import type { Core, Plugin } from '../plugin.js';

export interface CDNStreamingOptions {
  target: { publishMode: string; streamId?: string; appId?: number; bizId?: number; url?: string };
  encoding?: Record<string, number | undefined>;
  mix?: Record<string, unknown>;
}

const WHY = 'the server does not send streams to other places yet: record and send them on from the page of a member, or by WHEP (docs/protocol.md)';

/** Sending a room's streams to a content network is work of the server. */
export class CDNStreaming implements Plugin {
  static readonly Name = 'CDNStreaming';
  static readonly TYPE = {
    PublishMode: {
      PublishMainStreamToCDN: 'publish-main-stream-to-cdn',
      PublishSubStreamToCDN: 'publish-sub-stream-to-cdn',
      PublishMixStreamToCDN: 'publish-mix-stream-to-cdn',
    },
  } as const;
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  start(options: CDNStreamingOptions): never {
    this.#core.require('startPlugin', options, 'target');
    throw new this.#core.RtcError({ code: 5200, extraCode: 5210, message: `CDNStreaming is not here: ${WHY}`, functionName: 'startPlugin' });
  }
}

export default CDNStreaming;
