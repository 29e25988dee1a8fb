import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { REFUSED } from './refused.js';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PAGE = here('page/cloud.page.ts');
const OURS = here('../src/index.ts');
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
function fetchReference(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'reference-'));
  try {
    const [packed] = JSON.parse(execFileSync('npm', ['pack', 'trtc-sdk-v5@5', '--json', '--silent'], { cwd: folder, timeout: 60_000, stdio: ['ignore', 'pipe', 'ignore'] }).toString()) as { filename: string }[];
    execFileSync('tar', ['xzf', packed?.filename ?? ''], { cwd: folder });
    const types = join(folder, 'package/index.d.ts');
    return existsSync(types) ? types : undefined;
  } catch {
    return undefined;
  }
}

/** What a page is told that imports the SDK from this file. */
function mistakesWith(sdk: string): string[] {
  const program = ts.createProgram([PAGE, here('../src/worker.d.ts')], { ...OPTIONS, paths: { 'trtc-sdk-v5': [sdk] } });
  return ts.getPreEmitDiagnostics(program, program.getSourceFile(PAGE)).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

/** What the reference has and ours has not: exports, and the members of each, down to options within options. */
function missingFrom(reference: string): string[] {
  const program = ts.createProgram([reference, OURS, here('../src/worker.d.ts')], OPTIONS);
  const checker = program.getTypeChecker();
  const exportsOf = (file: string): Map<string, ts.Symbol> => {
    const source = program.getSourceFile(file);
    const symbol = source && checker.getSymbolAtLocation(source);
    const all = symbol ? checker.getExportsOfModule(symbol) : [];
    return new Map(all.map((one) => [one.name, one.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(one) : one]));
  };
  const [theirs, ours] = [exportsOf(reference), exportsOf(OURS)];
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

describe('a page with types', () => {
  test('is compiled against this client', { timeout: 60_000 }, () => {
    expect(mistakesWith(OURS)).toEqual([]);
  });

  describe('that was written for the reference', { timeout: 60_000 }, () => {
    let reference: string | undefined;
    beforeAll(() => {
      reference = fetchReference();
      if (!reference) console.error('\n*** The reference could not be fetched from npm: NOTHING was compared with its types. ***\n');
    }, 90_000);

    test('is compiled against it', ({ skip }) => {
      if (!reference) return skip('no network');
      expect(mistakesWith(reference)).toEqual([]);
    });

    test('misses nothing here but what is refused on purpose', ({ skip }) => {
      if (!reference) return skip('no network');
      const missing = missingFrom(reference);
      const isRefused = (name: string) => Object.keys(REFUSED).some((one) => name === one || name.startsWith(`${one}.`));

      expect(missing.filter((name) => !isRefused(name))).toEqual([]);
      // What is there by now is refused no more.
      expect(Object.keys(REFUSED).filter((one) => !missing.some((name) => name === one || name.startsWith(`${one}.`)))).toEqual([]);
    });
  });
});
