/** How much is written to the console. */
export const LOG_LEVEL = { TRACE: 0, DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4, NONE: 5 } as const;

export type LOG_LEVEL = (typeof LOG_LEVEL)[keyof typeof LOG_LEVEL];

let level: number = LOG_LEVEL.WARN;

export function setLogLevel(to: number): void {
  level = to;
}

export const log = {
  debug: (...what: unknown[]): void => {
    if (level <= LOG_LEVEL.DEBUG) console.debug('[roomful]', ...what);
  },
  info: (...what: unknown[]): void => {
    if (level <= LOG_LEVEL.INFO) console.info('[roomful]', ...what);
  },
  warn: (...what: unknown[]): void => {
    if (level <= LOG_LEVEL.WARN) console.warn('[roomful]', ...what);
  },
};
