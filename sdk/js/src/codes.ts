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
  ApplyFirst: 104004,
} as const;
