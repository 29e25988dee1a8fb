import { defineConfig } from 'vite';
import of from './package.json' with { type: 'json' };

/** Twice: as a module, and (`--mode classic`) for what cannot import one: `<script src>`, and `require`. */
export default defineConfig(({ mode }) => {
  const isClassic = mode === 'classic';
  const names: Record<string, string> = { es: 'roomful-client.js', umd: 'roomful-client.umd.js', cjs: 'roomful-client.cjs' };
  return {
    define: { __VERSION__: JSON.stringify(of.version) },
    build: {
      target: 'es2022',
      emptyOutDir: !isClassic,
      lib: {
        entry: isClassic ? 'src/classic.ts' : 'src/index.ts',
        name: 'TRTC',
        formats: isClassic ? ['umd', 'cjs'] : ['es'],
        fileName: (format) => names[format] ?? format,
      },
      // A library's module keeps its blanks otherwise, a fifth of what pages load.
      rolldownOptions: { output: isClassic ? { exports: 'default' as const } : { minify: true } },
      sourcemap: false,
    },
  };
});
