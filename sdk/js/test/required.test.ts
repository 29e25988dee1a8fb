import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { expect, test } from 'vitest';

const built = fileURLToPath(new URL('../dist/index.d.cts', import.meta.url));

const PAGE = `
import TRTC = require('@roomful/client');
const trtc: TRTC = TRTC.create();
const config: TRTC.EnterRoomConfig = { sdkAppId: 1, userId: 'ann', userSig: 's', roomId: 1 };
trtc.on(TRTC.EVENT.ERROR, (error: TRTC.RtcError) => console.log(error.code));
void trtc.enterRoom(config).then(() => new TRTC.Room({}).detach());
const wrong: TRTC.EnterRoomConfig = { sdkAppId: 'x' };
`;

test.skipIf(!existsSync(built))('who requires the package has its types', { timeout: 60_000 }, () => {
  const folder = mkdtempSync(join(fileURLToPath(new URL('..', import.meta.url)), 'node_modules/.required-'));
  const page = join(folder, 'page.cts');
  writeFileSync(page, PAGE);
  const options = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext, target: ts.ScriptTarget.ES2022, strict: true, noEmit: true, skipLibCheck: true, types: [] };
  const program = ts.createProgram([page], options);

  const mistakes = ts.getPreEmitDiagnostics(program, program.getSourceFile(page)).map(({ messageText, start = 0 }) => [ts.flattenDiagnosticMessageText(messageText, '\n').slice(0, 60), PAGE.slice(0, start).split('\n').length]);

  // The last line alone.
  expect(mistakes).toHaveLength(1);
  expect(mistakes[0]?.[1]).toBe(7);
});
