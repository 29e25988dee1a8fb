/** A worker that is bundled into the file that starts it. */
declare module '*?worker&inline' {
  const Bundled: new () => Worker;
  export default Bundled;
}

/** Of the package, put in by the build. */
declare const __VERSION__: string;

/** Chromium's captured tabs have a type of their own. */
declare var BrowserCaptureMediaStreamTrack: typeof MediaStreamTrack | undefined;
