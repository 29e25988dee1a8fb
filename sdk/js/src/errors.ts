/** What went wrong, by kind: the numbers of the cloud's Web SDK. */
export const ERROR_CODE = {
  INVALID_PARAMETER: 5000,
  INVALID_OPERATION: 5100,
  ENV_NOT_SUPPORTED: 5200,
  DEVICE_ERROR: 5300,
  SERVER_ERROR: 5400,
  OPERATION_FAILED: 5500,
  OPERATION_ABORT: 5998,
  UNKNOWN_ERROR: 5999,
} as const;

const NAMES = new Map<number, string>(Object.entries(ERROR_CODE).map(([name, code]) => [code, name]));

export interface RtcErrorParams {
  code: number;
  /** The server's own code, of a `SERVER_ERROR`; else what kind of the `code` it is, where there are several. */
  extraCode?: number | undefined;
  message?: string;
  functionName?: string;
  /** The same, as the cloud's types have it too. */
  fnName?: string;
  originError?: Error | DOMException | RtcError | undefined;
}

/** The one error that this package throws: what was wrong, and what to do about it. */
export class RtcError extends Error {
  readonly code: number;
  readonly extraCode: number | undefined;
  readonly functionName: string;
  readonly originError?: Error | DOMException | RtcError | undefined;
  /** Nothing that a page could do by itself: the cloud's SDK opens the system's settings with it. */
  readonly handler?: () => void;
  readonly data?: unknown;

  constructor({ code, extraCode, message, functionName, fnName = '', originError }: RtcErrorParams) {
    super(message ?? NAMES.get(code));
    // Pages write errors into their logs as JSON.
    Object.defineProperty(this, 'message', { enumerable: true });
    this.name = NAMES.get(code) ?? 'RtcError';
    this.code = code;
    this.extraCode = extraCode;
    this.functionName = functionName ?? fnName;
    this.originError = originError;
  }

  /** The cloud's name of `from`. */
  static convertFrom(thrown: unknown, functionName = ''): RtcError {
    return RtcError.from(thrown, functionName);
  }

  /** Whatever was thrown, as an `RtcError` of the function that the page called. */
  static from(thrown: unknown, functionName: string): RtcError {
    if (thrown instanceof RtcError) {
      if (thrown.functionName) return thrown;
      const { code, extraCode, message, originError } = thrown;
      return new RtcError({ code, extraCode, message, functionName, originError });
    }
    const name = thrown instanceof Error ? thrown.name : '';
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    const [extraCode, help] = DEVICE_ERRORS[name] ?? [];
    if (help) {
      const text = `${message || name}: ${help}`;
      return new RtcError({ code: ERROR_CODE.DEVICE_ERROR, extraCode, message: text, functionName, originError: thrown as Error });
    }
    return new RtcError({ code: ERROR_CODE.UNKNOWN_ERROR, message, functionName, originError: thrown instanceof Error ? thrown : new Error(message) });
  }
}

/** What a person can do when a device does not open (Media Capture 10), and the number that tells them apart. */
const DEVICE_ERRORS: Record<string, [number, string]> = {
  NotFoundError: [5301, 'connect a device of this kind, or choose another'],
  NotAllowedError: [5302, 'allow the page to use the device in the browser, and the browser in the system'],
  NotReadableError: [5303, 'close other programs that use the device'],
  OverconstrainedError: [5304, 'choose another device or a smaller profile'],
  SecurityError: [5306, 'serve the page over https, or from localhost'],
  AbortError: [5307, 'try again, or choose another device'],
};

/** Does the work of a function of the page, and fails by its name. */
export async function named<T>(functionName: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw RtcError.from(error, functionName);
  }
}

/** `extraCode` says in which way it is wrong: 5001 it is missing, 5002 of another type, 5003 empty, 5005 none of those allowed. */
export function invalid(functionName: string, message: string, extraCode?: number): RtcError {
  return new RtcError({ code: ERROR_CODE.INVALID_PARAMETER, extraCode, message, functionName });
}

export function unsupported(functionName: string, message: string, extraCode?: number): RtcError {
  return new RtcError({ code: ERROR_CODE.ENV_NOT_SUPPORTED, extraCode, message, functionName });
}

export const destroyed = (functionName: string): RtcError => wrongMoment(functionName, 'this instance was destroyed: create another');

export function wrongMoment(functionName: string, message: string, extraCode?: number): RtcError {
  return new RtcError({ code: ERROR_CODE.INVALID_OPERATION, extraCode, message, functionName });
}

/** What was asked for is not done: another word of the page came in its way. */
export function aborted(functionName: string, message: string): RtcError {
  return new RtcError({ code: ERROR_CODE.OPERATION_ABORT, message, functionName });
}
