/** The server's codes that this package acts on, by the names they have in docs/protocol.md, which has them all. */
export const CODE = {
  TooOften: 60007,
  SigExpired: 70001,
  Internal: 100001,
  RoomExists: 100003,
  RoomNotFound: 100004,
  RoomFull: 100008,
  RoomIsThere: 100010,
  Banned: 100016,
  GiftNotFound: 102001,
  GiftRefused: 102100,
  GiftsDisabled: 104002,
  ApplyFirst: 104004,
} as const;

/** What the cloud's room layer says of gifts: by other numbers than the cloud's REST API, whose numbers the server has. */
const GIFTS_IN_ROOM_LAYER = new Map<number, number>([
  [CODE.GiftsDisabled, 102_001],
  [CODE.GiftNotFound, 102_002],
  [CODE.GiftRefused, 102_004],
]);

/** The server's code of a gift, as pages that were written for the cloud's room layer know it. */
export function giftCode(code: number | undefined): number | undefined {
  return code === undefined ? undefined : (GIFTS_IN_ROOM_LAYER.get(code) ?? code);
}
