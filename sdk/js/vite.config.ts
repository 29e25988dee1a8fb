import { type Plugin, defineConfig } from 'vite';
import of from './package.json' with { type: 'json' };

/** What is built, by the mode that builds it: the client as a module with what it loads, for `<script src>` and for `require`; and version 4. */
const BUILDS = {
  production: { entry: 'src/index.ts', format: 'es', file: 'roomful-client.js' },
  umd: { entry: 'src/classic.ts', format: 'umd', file: 'roomful-client.umd.js' },
  cjs: { entry: 'src/classic.ts', format: 'cjs', file: 'roomful-client.cjs' },
  v4: { entry: 'src/v4/index.ts', format: 'es', file: 'roomful-client-v4.js' },
  'v4-umd': { entry: 'src/v4/classic.ts', format: 'umd', file: 'roomful-client-v4.umd.js' },
} as const;

/**
 * What is loaded when it is used stays a file of its own, beside the client; a script, which cannot import what is beside it, is told
 * where to find it.
 */
const chunksBeside = (isScript: boolean): Plugin => ({
  name: 'chunks-beside',
  enforce: 'pre',
  resolveId(source, importer) {
    if (isScript && source === './chunks.js') return new URL('src/chunks.classic.ts', import.meta.url).pathname;
    if (!importer?.endsWith('/chunks.ts')) return undefined;
    const [, name] = /^\.\/(?:plugins\/)?(.+)\.js$/.exec(source) ?? [];
    return name === undefined ? undefined : { id: `./plugins/${name}.js`, external: true };
  },
});

/** What tells bundlers that a call has no effect is kept in what is minified, and loaded by pages, which have no use for it. */
const withoutNotes = (): Plugin => ({
  name: 'without-notes',
  enforce: 'post',
  generateBundle(_, bundle) {
    for (const file of Object.values(bundle)) if (file.type === 'chunk') file.code = file.code.replaceAll('/* @__PURE__ */', '');
  },
});

export default defineConfig(({ mode }) => {
  const isFirst = !Object.hasOwn(BUILDS, mode) || mode === 'production';
  const { entry, format, file } = BUILDS[isFirst ? 'production' : (mode as keyof typeof BUILDS)];
  return {
    define: { __VERSION__: JSON.stringify(of.version) },
    plugins: [...(isFirst ? [] : [chunksBeside(format === 'umd')]), withoutNotes()],
    build: {
      target: 'es2022',
      emptyOutDir: isFirst,
      lib: { entry, name: 'TRTC', formats: [format], fileName: () => file },
      rolldownOptions: {
        // A library's module keeps its blanks otherwise, a fifth of what pages load.
        output: format === 'es' ? { minify: true, chunkFileNames: 'plugins/[name].js' } : { exports: 'default' as const },
      },
      sourcemap: false,
    },
  };
});
