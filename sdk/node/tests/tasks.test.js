'use strict';
// What functions are given, what is made of what they return and throw.

const assert = require('node:assert');
const test = require('node:test');
const { FakeWorker } = require('./fake_worker');

const KINDS = (async) => `
  muster.task('echo', ${async} (payload) => payload);
  muster.task('nothing', ${async} () => {});
  muster.task('context', ${async} (payload, ctx) => [ctx.id, ctx.kind,
    ctx.attempt, ctx.token, ctx.deadline, ctx.timeoutMs, ctx.inputs,
    ctx.payload === payload, ctx.cancelled, ctx.signal.aborted, ctx.flow]);
  muster.task('tells', ${async} (payload, ctx) => {
    ctx.progress(0.4, 'page 2 of 5 \\u201c"\\n\\0\\ud800');
    ctx.chunk({ line: 1 });
    ctx.progress(7);
    return 'told';
  });
  muster.task('runs', ${async} (payload, ctx) => eval(payload));
  muster.task('throws', ${async} (payload) => { throw eval(payload); });
`;

for (const [name, async] of [['plain', ''], ['async', 'async']]) {
  const start = async (t, environment) => {
    const worker = new FakeWorker(t,
      `${KINDS(async)} muster.run({ concurrency: 2, prefetch: 3 });`,
      environment);
    const hello = await worker.expect('hello');
    const result = async (...run) => {
      worker.run(1, ...run);
      return (await worker.expect('done', 1)).result;
    };
    const failure = async (...run) => {
      worker.run(1, ...run);
      const { error, retry, after } = await worker.expect('fail', 1);
      return { error, retry, after };
    };
    return { worker, hello, result, failure };
  };

  test(`${name}: hello names protocol, kinds and concurrency`, async (t) => {
    const { hello } = await start(t);
    assert.deepStrictEqual(hello, {
      kind: 'hello', protocol: 1, concurrency: 5,
      kinds: ['context', 'echo', 'nothing', 'runs', 'tells', 'throws'],
    });
  });

  test(`${name}: the payload comes back`, async (t) => {
    const { result } = await start(t);
    for (const payload of [null, {}, 'ö'.repeat(700000),
      { ä: ['\u2028', '\r', '😀', 1.5, true, '', '\\u0000'] }]) {
      assert.deepStrictEqual(await result('echo', payload), payload);
    }
    assert.strictEqual(await result('nothing', 1), null);
  });

  test(`${name}: the context knows the task`, async (t) => {
    const { result } = await start(t);
    const inputs = { clean: { task: '3', state: 'failed', error: 'bad' } };
    assert.deepStrictEqual(
      await result('context', { a: 1 }, { attempt: 3, inputs }),
      ['1', 'context', 3, '9-1', 1732000000.5, 30000, inputs, true, false,
        false, null]);
    assert.strictEqual(
      (await result('context', {}, { flow: '7' })).at(-1), '7');
  });

  test(`${name}: progress and chunk`, async (t) => {
    const { worker } = await start(t);
    worker.run(5, 'tells');
    assert.deepStrictEqual(await worker.expect('progress', 5), {
      kind: 'progress', id: '5', fraction: 0.4,
      note: 'page 2 of 5 \u201c"\n\ufffd\ufffd',
    });
    assert.deepStrictEqual((await worker.expect('chunk', 5)).data, { line: 1 });
    assert.strictEqual((await worker.expect('progress', 5)).fraction, 1);
    assert.strictEqual((await worker.expect('done', 5)).result, 'told');
  });

  test(`${name}: Retry and Fail`, async (t) => {
    const { failure } = await start(t);
    assert.deepStrictEqual(
      await failure('throws', 'new muster.Retry(undefined, { after: 30 })'),
      { error: 'to be tried again', retry: true, after: 30 });
    assert.deepStrictEqual(
      await failure('throws', 'new muster.Retry("busy")'),
      { error: 'busy', retry: true, after: undefined });
    assert.deepStrictEqual(
      await failure('throws', 'new muster.Fail("a\\0b\\ud800")'),
      { error: 'a\ufffdb\ufffd', retry: false, after: undefined });
  });

  test(`${name}: an exception fails the attempt and says where`, async (t) => {
    const { worker, failure } = await start(t);
    const { error, retry } = await failure('runs', 'null.name');
    assert.ok(retry);
    assert.match(error, /^TypeError: Cannot read .* \(at eval/);
    while (!worker.words.err.includes('\n')) {
      assert.ok(await worker.isSilent(5));
    }
    assert.match(worker.words.err, /^error: task 1: TypeError: /);
    for (const odd of ['undefined', '5', '"words"', 'Symbol("a")',
      'Object.create(null)']) {
      assert.strictEqual((await failure('throws', odd)).retry, true, odd);
    }
  });

  test(`${name}: results that are no JSON fail for good`, async (t) => {
    const { result, failure } = await start(t);
    for (const odd of ['1n', '"\\ud800"', '"a\\0"', 'a = {}; a.a = a']) {
      const { error, retry } = await failure('runs', odd);
      assert.strictEqual(retry, false, odd);
      assert.match(error, /the result/);
    }
    assert.strictEqual(await result('runs', '"\\\\u0000"'), '\\u0000');
  });

  test(`${name}: a long error is cut`, async (t) => {
    const { failure } = await start(t);
    const { error } = await failure('throws', 'Error("x".repeat(100000))');
    assert.ok(error.length < 5000);
  });

  test(`${name}: a result over max_message fails for good`, async (t) => {
    const { result, failure } = await start(t, { MUSTER_MAX_MESSAGE: '1000' });
    await result('echo', 'x'.repeat(900));
    assert.strictEqual((await failure('echo', 'ä'.repeat(500))).retry, false);
  });

  test(`${name}: a chunk over max_message is refused`, async (t) => {
    const { worker, failure } = await start(t, { MUSTER_MAX_MESSAGE: '5000' });
    const { error, retry } = await failure('runs',
      'ctx.chunk("x".repeat(5000))');
    assert.match(error, /^a chunk is larger than max_message \(5000 bytes\)/);
    assert.strictEqual(retry, false);
    const { error: cut } = await failure('throws',
      'Error("\\x01".repeat(9000))');
    assert.ok(Buffer.byteLength(JSON.stringify(cut)) < 4900);
    assert.strictEqual(worker.process.exitCode, null);
  });

  test(`${name}: an unknown kind is tried again elsewhere`, async (t) => {
    const { failure } = await start(t);
    assert.strictEqual((await failure('strange')).retry, true);
  });

  test(`${name}: many in one write are all answered`, async (t) => {
    const { worker } = await start(t);
    worker.send(...Array.from({ length: 5000 },
      (_, n) => FakeWorker.message(n, 'echo', n)));
    const found = await worker.answers(5000);
    for (let n = 0; n < 5000; n++) {
      assert.strictEqual(found.get(String(n)).result, n);
    }
  });

  test(`${name}: a line in pieces`, async (t) => {
    const { worker } = await start(t);
    const line = Buffer.from(
      '{"run":{"id":"8","kind":"echo","payload":"ä"}}\n');
    for (const byte of line) {
      worker.socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.strictEqual((await worker.expect('done', 8)).result, 'ä');
  });

  test(`${name}: words of later versions are ignored`, async (t) => {
    const { worker, result } = await start(t);
    worker.send({ hint: { id: '1' } });
    assert.strictEqual(await result('echo', 2, { color: 'red' }), 2);
  });

  test(`${name}: garbage ends the program`, async (t) => {
    for (const garbage of ['no json', '[1]', 'null', '{"run":{}}', '']) {
      const { worker } = await start(t);
      worker.socket.write(`${garbage}\n`);
      assert.strictEqual(await worker.end(), 1);
      assert.match(worker.words.err, /ProtocolError/);
    }
  });
}

test('lines of the log name the task', async (t) => {
  const source = `
    muster.task('log', (payload, ctx) => ctx.log('äh\\nand', 'warning'));
    muster.run();`;
  const lines = async (environment) => {
    const worker = new FakeWorker(t, source, environment);
    await worker.expect('hello');
    worker.run(42, 'log');
    await worker.expect('done', 42);
    worker.drain();
    assert.strictEqual(await worker.end(), 0);
    return worker.words.err;
  };
  assert.strictEqual(await lines({ MUSTER_LOG: '' }),
    'warning: task 42: äh\nand\n');
  assert.deepStrictEqual(JSON.parse(await lines({ MUSTER_LOG: 'json' })),
    { log: { level: 4, message: 'äh\nand', id: '42' } });
});

test('lines of the log have fields', async (t) => {
  const source = `
    muster.task('log', (payload, ctx) => {
      ctx.log('m', 'notice', {
        size: 7, id: 'own', big: 'ä'.repeat(9000), 'a\\nb': 5n, none: undefined,
      });
      ctx.console.warn('%d px', 5, { a: 1 });
      muster.console.debug('alone');
      ctx.log('\\x01'.repeat(20000));
    });
    muster.run();`;
  const worker = new FakeWorker(t, source, { MUSTER_LOG: 'json' });
  await worker.expect('hello');
  worker.run(42, 'log');
  await worker.expect('done', 42);
  worker.drain();
  assert.strictEqual(await worker.end(), 0);
  const [fields, formatted, alone, long] = worker.words.err.trimEnd()
    .split('\n');
  const { log: { big, ...rest } } = JSON.parse(fields);
  assert.deepStrictEqual(rest, {
    level: 5, message: 'm', id: '42', size: 7, id_: 'own', 'a\nb': '5n',
    none: null,
  });
  assert.match(big, /^ä{400,}…$/);
  assert.deepStrictEqual(JSON.parse(formatted),
    { log: { level: 4, message: '5 px { a: 1 }', id: '42' } });
  assert.deepStrictEqual(JSON.parse(alone),
    { log: { level: 7, message: 'alone' } });
  assert.ok(JSON.parse(long).log.message.endsWith('…'));
  assert.ok(Buffer.byteLength(long) < 16000);
});

test('children do not inherit the socket', async (t) => {
  const worker = new FakeWorker(t, `
    muster.task('child', () => String(require('node:child_process')
      .execSync('ls -l /proc/self/fd; echo "$MUSTER_FD"',
        { stdio: ['ignore', 'pipe', 'ignore'] })));
    muster.run();`);
  await worker.expect('hello');
  worker.run(1, 'child');
  const { result } = await worker.expect('done', 1);
  assert.doesNotMatch(result, / 3 -> socket/);
  assert.match(result, /\n\n$/);
});

test('wrong words are refused', (t) => {
  const muster = require('../muster');
  assert.throws(() => muster.run(), /there is no task/);
  assert.throws(() => muster.task('a'), TypeError);
  assert.throws(() => muster.task('', () => {}), TypeError);
  muster.task('a', () => {});
  assert.throws(() => muster.task('a', () => {}), /two functions/);
  assert.throws(() => muster.run({ concurrency: 0 }), RangeError);
  assert.throws(() => muster.run({ concurrency: 900, prefetch: 101 }),
    RangeError);
  assert.throws(() => muster.run({ speed: 3 }), TypeError);
  assert.throws(() => new muster.Retry('', { after: -1 }), RangeError);
  delete process.env.MUSTER_FD;
  assert.throws(() => muster.run(), /musterd\.yaml/);
});
