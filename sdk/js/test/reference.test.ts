import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { REFUSED, REFUSED4 } from './refused.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** An SDK of the cloud's, a page that was written for it, what stands for it here, and what of it is refused. */
interface Reference {
  name: string;
  version: string;
  page: string;
  ours: string;
  refused: Record<string, string>;
}

const REFERENCES: Reference[] = [
  { name: 'trtc-sdk-v5', version: '5', page: here('page/cloud.page.ts'), ours: here('../src/index.ts'), refused: REFUSED },
  { name: 'trtc-js-sdk', version: '4', page: here('page/cloud4.page.ts'), ours: here('../src/v4/index.ts'), refused: REFUSED4 },
];
const OPTIONS: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
  types: [],
};

/** The reference's types, fetched for the moment: nothing of them is kept here. */
function fetchReference({ name, version }: Reference): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'reference-'));
  try {
    const [packed] = JSON.parse(execFileSync('npm', ['pack', `${name}@${version}`, '--json', '--silent'], { cwd: folder, timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] }).toString()) as { filename: string }[];
    execFileSync('tar', ['xzf', packed?.filename ?? ''], { cwd: folder });
    const types = join(folder, 'package/index.d.ts');
    return existsSync(types) ? types : undefined;
  } catch {
    return undefined;
  }
}

/** What a page is told that imports the SDK from this file. */
function mistakesWith({ name, page }: Reference, sdk: string): string[] {
  const program = ts.createProgram([page, here('../src/worker.d.ts')], { ...OPTIONS, paths: { [name]: [sdk] } });
  return ts.getPreEmitDiagnostics(program, program.getSourceFile(page)).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/** What the reference has and ours has not: exports, and the members of each, down to options within options. */
function missingFrom(oursFile: string, reference: string): string[] {
  const program = ts.createProgram([reference, oursFile, here('../src/worker.d.ts')], OPTIONS);
  const checker = program.getTypeChecker();
  const exportsOf = (file: string): Map<string, ts.Symbol> => {
    const source = program.getSourceFile(file);
    const symbol = source && checker.getSymbolAtLocation(source);
    const all = symbol ? checker.getExportsOfModule(symbol) : [];
    return new Map(all.map((one) => [one.name, one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one]));
  };
  const [theirs, ours] = [exportsOf(reference), exportsOf(oursFile)];
  const missing: string[] = [];
  const compare = (name: string, their: ts.Type, our: ts.Type, depth: number): void => {
    for (const property of their.getProperties()) {
      const path = `${name}.${property.name}`;
      if (property.name === 'prototype' || property.name.startsWith('_')) continue;
      const own = propertyOf(our, property.name);
      if (!own) missing.push(path);
      else if (depth > 0) compareWithin(path, checker.getTypeOfSymbol(property), checker.getTypeOfSymbol(own), depth - 1);
    }
  };
  const propertyOf = (type: ts.Type, name: string): ts.Symbol | undefined =>
    type.isUnion() ? type.types.map((one) => one.getProperty(name)).find(Boolean) : type.getProperty(name);
  /** Objects that are written out in the reference itself: of the browser's own there is nothing to compare. */
  const compareWithin = (path: string, their: ts.Type, our: ts.Type, depth: number): void => {
    for (const one of their.isUnion() ? their.types : [their]) {
      const element = checker.isTupleType(one) ? checker.getTypeArguments(one as ts.TypeReference)[0] : one;
      const own = checker.isTupleType(checker.getNonNullableType(our)) ? checker.getTypeArguments(our as ts.TypeReference)[0] : our;
      const isWritten = element?.symbol?.declarations?.some((declaration) => declaration.getSourceFile().fileName === reference);
      if (element && own && isWritten && element.flags & ts.TypeFlags.Object) compare(path, element, checker.getNonNullableType(own), depth);
    }
  };
  for (const [name, symbol] of theirs) {
    const own = ours.get(name);
    if (!own) {
      missing.push(name);
      continue;
    }
    const isType = symbol.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias | ts.SymbolFlags.Class);
    if (isType) compare(name, checker.getDeclaredTypeOfSymbol(symbol), checker.getDeclaredTypeOfSymbol(own), 3);
    const hasValue = symbol.valueDeclaration && own.valueDeclaration;
    if (hasValue) compare(`typeof ${name}`, checker.getTypeOfSymbol(symbol), checker.getTypeOfSymbol(own), 2);
  }
  return missing;
}

describe.each(REFERENCES)('a page with types of $name', (of) => {
  test('is compiled against this client', { timeout: 60_000 }, () => {
    expect(mistakesWith(of, of.ours)).toEqual([]);
  });

  describe('that was written for the reference', { timeout: 60_000 }, () => {
    let reference: string | undefined;
    beforeAll(() => {
      reference = fetchReference(of);
      if (!reference) console.error(`\n*** ${of.name} could not be fetched from npm: NOTHING was compared with its types. ***\n`);
    }, 90_000);

    test('is compiled against it', ({ skip }) => {
      if (!reference) return skip('no network');
      expect(mistakesWith(of, reference)).toEqual([]);
    });

    test('misses nothing here but what is refused on purpose', ({ skip }) => {
      if (!reference) return skip('no network');
      const missing = missingFrom(of.ours, reference);
      const refused = Object.keys(of.refused);
      const isUnder = (name: string, one: string) => name === one || name.startsWith(`${one}.`);

      expect(missing.filter((name) => !refused.some((one) => isUnder(name, one)))).toEqual([]);
      // What is there by now is refused no more.
      expect(refused.filter((one) => !missing.some((name) => isUnder(name, one)))).toEqual([]);
    });
  });
});
