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
      ...(isClassic ? { rolldownOptions: { output: { exports: 'default' as const } } } : {}),
      sourcemap: false,
    },
  };
});
