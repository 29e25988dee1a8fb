/** Version 4 for pages without modules: the global `TRTC`. */
import TRTC from './index.js';

export default TRTC;
