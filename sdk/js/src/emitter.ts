/** Events by name. A handler that throws stops no other. */
export class Emitter<Events extends { [name in keyof Events]: unknown[] }> {
  // Each list holds handlers of its own event only, which the two methods below see to.
  readonly #handlers = new Map<keyof Events, { handler: unknown; context: unknown }[]>();

  on<Name extends keyof Events>(event: Name, handler: (...args: Events[Name]) => void, context?: unknown): this {
    if (typeof handler !== 'function') throw new TypeError(`the handler of ${String(event)} must be a function`);
    const list = this.#handlers.get(event) ?? [];
    list.push({ handler, context });
    this.#handlers.set(event, list);
    return this;
  }

  /** The next time only. */
  once<Name extends keyof Events>(event: Name, handler: (...args: Events[Name]) => void, context?: unknown): this {
    const first = (...args: Events[Name]): void => {
      this.off(event, first);
      handler.apply(context, args);
    };
    return this.on(event, first);
  }

  /** Without a handler, all of the event; with `'*'`, all of all events. */
  off<Name extends keyof Events>(event: Name | '*', handler?: (...args: Events[Name]) => void): this {
    if (event === '*') {
      this.#handlers.clear();
    } else if (handler) {
      const list = this.#handlers.get(event) ?? [];
      this.#handlers.set(event, list.filter((entry) => entry.handler !== handler));
    } else {
      this.#handlers.delete(event);
    }
    return this;
  }

  /** Whether anybody listens. */
  protected hears(event: keyof Events): boolean {
    return (this.#handlers.get(event)?.length ?? 0) > 0;
  }

  protected emit<Name extends keyof Events>(event: Name, ...args: Events[Name]): void {
    for (const { handler, context } of [...(this.#handlers.get(event) ?? [])]) {
      try {
        (handler as (...args: Events[Name]) => void).apply(context, args);
      } catch (error) {
        console.error(`a handler of ${String(event)} failed`, error);
      }
    }
  }
}
