// Gathers what the server carries in `dist/served`, compressed: the client, its plugins, and what these load.
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import ts from 'typescript';

const dist = fileURLToPath(new URL('dist', import.meta.url));

// What plugins load of other packages.
const modules = fileURLToPath(new URL('node_modules', import.meta.url));
const noise = join(modules, '@sapphi-red/web-noise-suppressor/dist');
const selfie = join(modules, '@mediapipe/selfie_segmentation');
const BROUGHT = [
  ['ai-denoiser/rnnoise.wasm', join(noise, 'rnnoise.wasm')],
  ['ai-denoiser/rnnoise_simd.wasm', join(noise, 'rnnoise_simd.wasm')],
  ['ai-denoiser/rnnoise.worklet.js', join(noise, 'rnnoise/workletProcessor.js')],
  ...['selfie_segmentation.js', 'selfie_segmentation.binarypb', 'selfie_segmentation.tflite', 'selfie_segmentation_landscape.tflite',
    'selfie_segmentation_solution_simd_wasm_bin.js', 'selfie_segmentation_solution_simd_wasm_bin.wasm', 'selfie_segmentation_solution_simd_wasm_bin.data',
  ].map((name) => [`virtual-background/${name}`, join(selfie, name)]),
];
for (const [name, source] of BROUGHT) cpSync(source, join(dist, 'plugins', name), { recursive: true });

// Pages without modules load a plugin by a script of its own, and give the class to `use`: its name is all that is needed.
const PLUGINS = ['AIDenoiser', 'AudioMixer', 'BasicBeauty', 'CDNStreaming', 'CustomEncryption', 'Debug', 'DeviceDetector', 'VideoMixer', 'VirtualBackground', 'Watermark'];
for (const name of PLUGINS) {
  const file = name.replace(/([a-z])([A-Z])|([A-Z])([A-Z][a-z])/g, '$1$3-$2$4').toLowerCase();
  for (const kind of ['umd', 'iife']) writeFileSync(join(dist, `plugins/${file}.${kind}.js`), `globalThis.${name} = class ${name} { static Name = '${name}'; };\n`);
}

// Who requires it gets the class itself, with all else that there is to import as its members: the same types in another shape.
const source = join(dist, 'index.d.ts');
const program = ts.createProgram([source], { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ES2022, skipLibCheck: true });
const checker = program.getTypeChecker();
const all = checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(source)));
const aimed = (symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol);
const isPlainType = ({ flags, declarations = [] }) => flags & ts.SymbolFlags.Type && !declarations.some((one) => one.typeParameters);
const types = all.filter(({ name }) => name !== 'default').filter((symbol) => isPlainType(aimed(symbol))).map(({ name }) => name);
writeFileSync(join(dist, 'index.d.cts'), `import type * as all from './index.js' with { 'resolution-mode': 'import' };
declare const TRTC: typeof all.default & typeof all;
type TRTC = all.TRTC;
declare namespace TRTC {
${types.map((name) => `  type ${name} = all.${name};`).join('\n')}
}
export = TRTC;
`);

const served = join(dist, 'served');
rmSync(served, { recursive: true, force: true });
const isServed = (name) => /^(roomful-client[\w.-]*\.js|plugins\/.+)$/.test(name) && !/\.(d\.ts|cjs)$/.test(name);
for (const name of readdirSync(dist, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name).slice(dist.length + 1))) {
  if (!isServed(name)) continue;
  const to = join(served, `${name}.gz`);
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(to, gzipSync(readFileSync(join(dist, name)), { level: 9 }));
}
