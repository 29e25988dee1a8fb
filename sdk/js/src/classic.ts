/**
 * What pages get that load the client by `<script src>`, or require it: the class itself, as the global `TRTC`, with what
 * else there is to import as its members.
 */
import TRTC, * as all from './index.js';

export default Object.assign(TRTC, all);
