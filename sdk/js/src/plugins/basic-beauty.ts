import type { Core, Frame, Plugin } from '../plugin.js';

/** Each from 0 to 1, and 0.5 unless given. */
export interface BasicBeautyOptions {
  /** How smooth skin is made. */
  beauty?: number;
  brightness?: number;
  ruddy?: number;
}

const SHARE = { from: 0, to: 1 } as const;
const RULES = { beauty: SHARE, brightness: SHARE, ruddy: SHARE } as const;

const VERTEX = `attribute vec2 at; varying vec2 uv;
void main() { uv = at * 0.5 + 0.5; gl_Position = vec4(at.x, -at.y, 0.0, 1.0); }`;

/**
 * Smooths what is coloured like skin, over what looks alike only, so that edges stay; then light and colour. The range of
 * skin in Cb and Cr is the usual one (Chai and Ngan, 1999).
 */
const FRAGMENT = `precision mediump float;
varying vec2 uv; uniform sampler2D frame; uniform vec2 texel; uniform vec3 amount;
float skin(vec3 c) {
  float cb = 0.5 - 0.169 * c.r - 0.331 * c.g + 0.5 * c.b;
  float cr = 0.5 + 0.5 * c.r - 0.419 * c.g - 0.081 * c.b;
  return smoothstep(0.28, 0.32, cb) * (1.0 - smoothstep(0.48, 0.52, cb)) * smoothstep(0.5, 0.54, cr) * (1.0 - smoothstep(0.66, 0.7, cr));
}
void main() {
  vec3 own = texture2D(frame, uv).rgb;
  vec3 sum = own; float weight = 1.0;
  for (int x = -3; x <= 3; x++) for (int y = -3; y <= 3; y++) {
    vec3 near = texture2D(frame, uv + vec2(x, y) * texel * 2.0).rgb;
    float alike = max(0.0, 1.0 - distance(near, own) * 6.0);
    sum += near * alike; weight += alike;
  }
  vec3 shown = mix(own, sum / weight, amount.x * skin(own));
  shown = mix(shown, log(shown * 3.0 + 1.0) / log(4.0), amount.y * 0.6);
  shown = mix(shown, shown * vec3(1.08, 0.98, 0.98) + vec3(0.02, 0.0, 0.0), amount.z * skin(own));
  gl_FragColor = vec4(shown, 1.0);
}`;

/** Smoother skin, more light, more colour. */
export class BasicBeauty implements Plugin {
  static readonly Name = 'BasicBeauty';
  readonly #core: Core;
  readonly #canvas = document.createElement('canvas');
  #gl: WebGLRenderingContext | undefined;
  #places: { texel: WebGLUniformLocation | null; amount: WebGLUniformLocation | null } | undefined;
  #options: Required<BasicBeautyOptions> = { beauty: 0.5, brightness: 0.5, ruddy: 0.5 };

  constructor(core: Core) {
    this.#core = core;
  }

  static isSupported(): boolean {
    return document.createElement('canvas').getContext('webgl') !== null;
  }

  async start(options: BasicBeautyOptions = {}): Promise<void> {
    this.#take('startPlugin', options);
    this.#prepare();
    await this.#core.setEffect(BasicBeauty.Name, { order: 0, change: (frame, width, height) => this.#draw(frame, width, height) });
  }

  update(options: BasicBeautyOptions): void {
    this.#take('updatePlugin', options);
  }

  async stop(): Promise<void> {
    await this.#core.setEffect(BasicBeauty.Name, undefined);
  }

  #take(functionName: string, options: BasicBeautyOptions): void {
    this.#core.check(functionName, options, RULES);
    const given = Object.entries(options).filter(([, value]) => value !== undefined);
    this.#options = { ...this.#options, ...Object.fromEntries(given) };
  }

  #prepare(): void {
    if (this.#gl) return;
    const gl = this.#canvas.getContext('webgl', { preserveDrawingBuffer: true });
    const program = gl?.createProgram();
    if (!gl || !program) throw this.#core.unsupported('startPlugin', 'BasicBeauty needs WebGL', 5208);
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(type);
      if (!shader) continue;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw this.#core.unsupported('startPlugin', `BasicBeauty: ${gl.getProgramInfoLog(program) ?? 'the program was refused'}`, 5208);
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(gl.getAttribLocation(program, 'at'), 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    this.#places = { texel: gl.getUniformLocation(program, 'texel'), amount: gl.getUniformLocation(program, 'amount') };
    this.#gl = gl;
  }

  #draw(frame: Frame, width: number, height: number): Frame {
    const [gl, places, canvas] = [this.#gl, this.#places, this.#canvas];
    if (!gl || !places) return frame;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, frame as TexImageSource);
    gl.uniform2f(places.texel, 1 / width, 1 / height);
    const { beauty, brightness, ruddy } = this.#options;
    gl.uniform3f(places.amount, beauty, brightness, ruddy);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    return canvas;
  }
}

export default BasicBeauty;
