import { describe, expect, test, vi } from 'vitest';
import { JitterTargets } from '../src/jitter.js';
import { type Own, Plugins } from '../src/plugins.js';

const nothing = new Plugins({} as Own);

describe('a plugin that the page brings', () => {
  const made = (groups?: boolean) => {
    const calls: unknown[] = [];
    class Stamp {
      static readonly Name = 'Stamp';
      getGroup = groups ? (options?: { id?: string }) => options?.id : undefined;
      async start(options: unknown) {
        await Promise.resolve();
        calls.push(['start', options]);
      }
      update = (options: unknown) => calls.push(['update', options]);
      stop = (options: unknown) => calls.push(['stop', options]);
    }
    const plugins = new Plugins({} as Own);
    plugins.use({ plugin: Stamp });
    return { plugins, calls };
  };

  test('is started once, updated while it is on, and stopped as often as one likes', async () => {
    const { plugins, calls } = made();

    await expect(plugins.update('Stamp', 0)).rejects.toMatchObject({ code: 5998, functionName: 'updatePlugin' });
    await Promise.all([plugins.start('Stamp', 1), plugins.update('Stamp', 2), plugins.stop('Stamp', 3), plugins.start('Stamp', 4)]);
    await expect(plugins.start('Stamp', 5)).rejects.toMatchObject({ code: 5998, functionName: 'startPlugin' });
    await plugins.stop('Stamp', 6);
    await plugins.stop('Stamp', 7);

    expect(calls).toEqual([['start', 1], ['update', 2], ['stop', 3], ['start', 4], ['stop', 6]]);
  });

  test('may be several at once, by what tells them apart', async () => {
    const { plugins, calls } = made(true);

    await Promise.all([plugins.start('Stamp', { id: 'a' }), plugins.start('Stamp', { id: 'b' })]);
    await expect(plugins.start('Stamp', { id: 'a' })).rejects.toMatchObject({ code: 5998 });
    await expect(plugins.start('Stamp', {})).rejects.toMatchObject({ code: 5000, extraCode: 5001 });
    await plugins.stop('Stamp', { id: '*' });
    await plugins.start('Stamp', { id: 'a' });

    expect(calls.length).toBe(4);
  });

  test('that did not start is not on', async () => {
    const start = vi.fn().mockRejectedValueOnce(new Error('no')).mockResolvedValueOnce('yes');
    class Shy {
      static readonly Name = 'Shy';
      start = start;
    }
    const plugins = new Plugins({} as Own);
    plugins.use(Shy);

    await expect(plugins.start('Shy', {})).rejects.toThrow('no');
    expect(await plugins.start('Shy', {})).toBe('yes');
  });

  test('is a class with a name', () => {
    for (const wrong of [undefined, 'Watermark', class {}, { plugin: {} }]) expect(() => nothing.use(wrong)).toThrow(/static Name/);
  });
});

describe('a plugin of this client', () => {
  test('is not replaced by a class of its name', async () => {
    const plugins = new Plugins({} as Own);
    class CDNStreaming {
      static readonly Name = 'CDNStreaming';
      start = () => 'the page\'s';
    }
    plugins.use(CDNStreaming);

    await expect(plugins.start('CDNStreaming', { target: {} })).rejects.toMatchObject({ code: 5200, extraCode: 5210 });
  });

  test('that there is not is refused by name', async () => {
    for (const name of ['Karaoke', 'constructor', '__proto__']) await expect(nothing.start(name, {})).rejects.toMatchObject({ code: 5998, functionName: 'startPlugin' });
  });
});

describe('the delay that a page asks for', () => {
  test('is kept, and what is lost gets its time within it', () => {
    const targets = new JitterTargets({ min: 200, max: 500 });
    const counted = (asked: number) => ({ asked, pictures: 0, dropped: 0 });

    expect(targets.target('a', counted(0), 30, 0)).toBe(200);
    expect(targets.target('a', counted(1), 250, 1_000)).toBe(280);
    expect(targets.target('a', counted(2), 900, 2_000)).toBe(500);
    expect(targets.target('a', counted(2), 900, 20_000)).toBe(200);
  });
});
