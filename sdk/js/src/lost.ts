/** How often a device that went away is sought: at once, and then later each time, for a minute in all. */
const TIMES = 10;
const LATER_MS = 1_000;

/** The person has taken the right to it back: who asks again is a nuisance. */
const DENIED = 5302;

/**
 * A device goes away without being asked to: it was unplugged, or another program took it. Then `reopen` opens it again, while it is still
 * meant; from the second time on, whichever there is. `fail` hears why when it does not come back.
 */
export function recover(track: MediaStreamTrack, isMeant: () => boolean, reopen: (isFirst: boolean) => Promise<void>, fail: (why: unknown) => void): void {
  const seek = async (): Promise<void> => {
    for (let time = 0; isMeant(); time += 1) {
      try {
        return await reopen(time === 0);
      } catch (error) {
        if (time === TIMES || (error as { extraCode?: unknown }).extraCode === DENIED) return fail(error);
      }
      await new Promise((done) => setTimeout(done, time * LATER_MS));
    }
  };
  track.addEventListener?.('ended', () => void seek());
}
