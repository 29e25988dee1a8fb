/**
 * How often loudness is looked at: what is seen is one packet's, so a short sound that comes again in a rhythm which this divides would
 * never be met.
 */
const LOOKED_AT_MS = 37;

/** Tells how loud each was at most since it was told last, so often, until the timer is cleared; while nothing is to be told, nobody is looked at. */
export function tellLoudest<Who>(
  every: number,
  isWanted: () => boolean,
  levels: () => Map<Who, number>,
  tell: (loudest: Map<Who, number>) => void,
): ReturnType<typeof setInterval> {
  const loudest = new Map<Who, number>();
  const between = Math.min(every, LOOKED_AT_MS);
  let toldAt = performance.now();
  return setInterval(() => {
    if (!isWanted()) return;
    const now = levels();
    for (const who of loudest.keys()) if (!now.has(who)) loudest.delete(who);
    for (const [who, level] of now) loudest.set(who, Math.max(level, loudest.get(who) ?? 0));
    if (performance.now() - toldAt < every - between / 2) return;
    toldAt = performance.now();
    tell(loudest);
    loudest.clear();
  }, between);
}
