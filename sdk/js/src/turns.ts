/** Lets work that awaits something happen one after the other, in the order it was asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Does `work` when all that was asked for before is over, whether it succeeded or not. */
  take<T>(work: () => T | Promise<T>): Promise<T> {
    const next = this.settled().then(work);
    this.#last = next;
    return next;
  }

  /** Resolves when all that was asked for before is over. */
  settled(): Promise<void> {
    return this.#last.then(
      () => undefined,
      () => undefined,
    );
  }
}
