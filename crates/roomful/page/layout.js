// Where the tiles of the stage go. No DOM: sizes in, rectangles out.
//
// A tile may be of any shape between two bounds, so that faces are neither cut off nor lost in width. Of all grids the one is taken
// whose tiles are largest. What is featured (a screen, a tile that was pinned) gets most of the room, the others a strip beside or
// below it, whichever leaves it larger.

const WIDEST = 16 / 9;

/** The narrowest tile, a portrait; on a stage that stands upright, more of one, and alone as much of one as phones are. */
const narrowest = (count, width, height) => (width >= height ? 4 / 5 : count > 1 ? 3 / 4 : 1 / 2);

/** The least size of a tile on which a face can be told. */
const LEAST = { width: 84, height: 72 };

/** Of what a strip takes away, so much counts: a strip is there to be seen, too. */
const WORTH_OF_STRIP = 0.3;

const STRIPS = [0.14, 0.18, 0.22, 0.26, 0.3, 0.36];

/** The largest equal tiles: `{columns, rows, width, height}`. */
export function grid(count, width, height, gap) {
  const narrow = narrowest(count, width, height);
  let best = { columns: 1, rows: Math.max(1, count), width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cell = { width: (width - gap * (columns - 1)) / columns, height: (height - gap * (rows - 1)) / rows };
    if (cell.width <= 0 || cell.height <= 0) continue;
    const tile = {
      columns, rows,
      width: Math.floor(Math.min(cell.width, cell.height * WIDEST)),
      height: Math.floor(Math.min(cell.height, cell.width / narrow)),
    };
    if (tile.width * tile.height > best.width * best.height) best = tile;
  }
  return best;
}

/** How many of `count` there is room for; at least one. */
export function fitting(count, width, height, gap) {
  for (let shown = count; shown > 1; shown -= 1) {
    const tile = grid(shown, width, height, gap);
    if (tile.width >= LEAST.width && tile.height >= LEAST.height) return shown;
  }
  return Math.min(1, count);
}

/** Rectangles of a grid in the middle of an area, each row of it centred. */
function place(count, area, gap) {
  const tile = grid(count, area.width, area.height, gap);
  const top = area.y + (area.height - tile.rows * tile.height - (tile.rows - 1) * gap) / 2;
  return Array.from({ length: count }, (_, at) => {
    const row = Math.floor(at / tile.columns);
    const inRow = Math.min(tile.columns, count - row * tile.columns);
    const left = area.x + (area.width - inRow * tile.width - (inRow - 1) * gap) / 2;
    return {
      x: Math.round(left + (at % tile.columns) * (tile.width + gap)),
      y: Math.round(top + row * (tile.height + gap)),
      width: tile.width,
      height: tile.height,
    };
  });
}

/** The largest rectangle of a shape within an area, in its middle. */
function contain(ratio, area) {
  const width = Math.floor(Math.min(area.width, area.height * ratio));
  const height = Math.floor(Math.min(area.height, width / ratio));
  return { x: Math.round(area.x + (area.width - width) / 2), y: Math.round(area.y + (area.height - height) / 2), width, height };
}

/** The ways to divide an area into that of what is featured, and a strip. */
function splits(ratio, width, height, gap) {
  const right = (strip) => [
    { x: 0, y: 0, width: width - strip - gap, height },
    { x: width - strip, y: 0, width: strip, height },
  ];
  const below = (strip) => [
    { x: 0, y: 0, width, height: height - strip - gap },
    { x: 0, y: height - strip, width, height: strip },
  ];
  // What a picture of that shape leaves free by itself is for nothing.
  const rights = [...STRIPS.map((share) => share * width), width - height * ratio - gap].filter((strip) => strip >= LEAST.width);
  const belows = [...STRIPS.map((share) => share * height), height - width / ratio - gap].filter((strip) => strip >= LEAST.height);
  return [...rights.map((strip) => right(Math.floor(strip))), ...belows.map((strip) => below(Math.floor(strip)))];
}

/**
 * Where `count` tiles go on a stage: the first is featured when `ratio` is its shape. There are as many rectangles as there is room
 * for; the last of fewer than `count` stands for all the others.
 */
export function arrange({ count, ratio, width, height, gap }) {
  if (count === 0 || width <= 0 || height <= 0) return [];
  if (!ratio) return place(fitting(count, width, height, gap), { x: 0, y: 0, width, height }, gap);
  const whole = { x: 0, y: 0, width, height };
  if (count === 1) return [contain(ratio, whole)];
  let best;
  for (const [area, strip] of splits(ratio, width, height, gap)) {
    const featured = contain(ratio, area);
    const shown = fitting(count - 1, strip.width, strip.height, gap);
    const tile = grid(shown, strip.width, strip.height, gap);
    const worth = featured.width * featured.height + WORTH_OF_STRIP * shown * tile.width * tile.height;
    if (!best || worth > best.worth) best = { worth, featured, shown, strip };
  }
  if (!best) return [contain(ratio, whole)];
  return [best.featured, ...place(best.shown, best.strip, gap)];
}
