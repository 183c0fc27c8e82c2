'use strict';
// Several at a time, cancelling, draining, the worker's end.

const assert = require('node:assert');
const test = require('node:test');
const { FakeWorker } = require('./fake_worker');

const KINDS = `
  const { setTimeout: sleep } = require('node:timers/promises');
  let here = 0, most = 0;

  muster.task('echo', (payload) => payload);
  muster.task('signal', (payload, ctx) => {
    ctx.chunk('begun');
    return sleep(60000, null, { signal: ctx.signal });
  });
  muster.task('loop', async (payload, ctx) => {
    ctx.chunk('begun');
    for (;;) {
      await sleep(1);
      ctx.check();
    }
  });
  muster.task('asks', async (payload, ctx) => {
    ctx.chunk('begun');
    while (!ctx.cancelled) {
      await sleep(1);
    }
    return 'stopped: ' + ctx.signal.reason.reason;
  });
  muster.task('count', async (payload) => {
    most = Math.max(most, ++here);
    await sleep(payload);
    here--;
    return most;
  });
  muster.task('busy', (payload, ctx) => {
    for (const end = Date.now() + payload; Date.now() < end;);
  });
  muster.task('late', (payload, ctx) => {
    setTimeout(() => {
      try {
        ctx.progress(0.5);
        ctx.chunk('late');
      } finally {
        console.log('told late');
      }
    }, 20);
  });
  muster.task('stubborn', (payload, ctx) => {
    ctx.chunk('begun');
    setInterval(() => {}, 1000);
    return new Promise(() => {});
  });
  muster.run({ concurrency: 4, prefetch: 4, grace: 0.3 })
    .then(() => console.log('after'));
`;

async function start(t) {
  const worker = new FakeWorker(t, KINDS);
  await worker.expect('hello');
  return worker;
}

for (const kind of ['signal', 'loop']) {
  test(`a cancellation ends ${kind}`, async (t) => {
    const worker = await start(t);
    worker.run(1, kind);
    await worker.expect('chunk', 1);
    worker.cancel(1, 'timeout');
    worker.cancel(1, 'shutdown');
    const { error, retry } = await worker.expect('fail', 1);
    assert.deepStrictEqual([error, retry], ['cancelled: timeout', true]);
  });

  test(`the end of the worker cancels ${kind}`, async (t) => {
    const worker = await start(t);
    worker.run(1, kind);
    await worker.expect('chunk', 1);
    worker.close();
    assert.strictEqual(await worker.end(), 0);
    assert.strictEqual(worker.words.out, 'after\n');
  });
}

test('a function that asks may still answer', async (t) => {
  const worker = await start(t);
  worker.run(1, 'asks');
  await worker.expect('chunk', 1);
  worker.cancel(1, 'timeout');
  assert.strictEqual((await worker.expect('done', 1)).result,
    'stopped: timeout');
});

test('run and cancel in one write', async (t) => {
  const worker = await start(t);
  worker.send(FakeWorker.message(1, 'asks'),
    { cancel: { id: '1', reason: 'asked' } });
  assert.strictEqual((await worker.expect('fail', 1)).error,
    'cancelled: asked');
});

test('tasks that wait are cancelled at once', async (t) => {
  const worker = await start(t);
  for (let n = 0; n < 4; n++) {
    worker.run(n, 'asks');
    await worker.expect('chunk', n);
  }
  worker.run(5, 'echo');
  worker.cancel(5);
  await worker.expect('fail', 5);
});

test('cancel of what is answered is ignored', async (t) => {
  const worker = await start(t);
  worker.cancel(77);
  worker.run(1, 'echo', 1);
  await worker.expect('done', 1);
  worker.cancel(1);
  worker.run(2, 'echo', 2);
  await worker.expect('done', 2);
});

test('no more than asked run at a time', async (t) => {
  const worker = await start(t);
  worker.send(...Array.from({ length: 12 },
    (_, n) => FakeWorker.message(n, 'count', 20)));
  const found = await worker.answers(12);
  assert.strictEqual(Math.max(...[...found.values()].map((one) => one.result)),
    4);
});

test('an answer does not wait for what runs next', async (t) => {
  const worker = await start(t);
  worker.send(FakeWorker.message(1, 'echo'),
    FakeWorker.message(2, 'busy', 2000));
  await worker.expect('done', 1);
  const began = Date.now();
  await worker.expect('done', 2);
  assert.ok(Date.now() - began > 500);
});

test('nothing is said of a task after its answer', async (t) => {
  const worker = await start(t);
  worker.run(1, 'late');
  await worker.expect('done', 1);
  while (!worker.words.out.includes('told late')) {
    assert.ok(await worker.isSilent(5));
  }
  assert.ok(await worker.isSilent(20));
});

test('drain lets the running task end', async (t) => {
  const worker = await start(t);
  worker.run(1, 'asks');
  await worker.expect('chunk', 1);
  worker.drain();
  assert.ok(await worker.isSilent(100));
  worker.cancel(1);
  await worker.expect('done', 1);
  assert.strictEqual(await worker.next(), undefined);
  assert.strictEqual(await worker.end(), 0);
  assert.strictEqual(worker.words.out, 'after\n');
});

test('drain of an idle program ends it', async (t) => {
  const worker = await start(t);
  worker.drain();
  assert.strictEqual(await worker.end(), 0);
});

test('run and drain in one write', async (t) => {
  const worker = await start(t);
  worker.send(...Array.from({ length: 300 },
    (_, n) => FakeWorker.message(n, 'echo', n)), { drain: {} });
  await worker.answers(300);
  assert.strictEqual(await worker.next(), undefined);
  assert.strictEqual(await worker.end(), 0);
});

test('the end of the worker ends the idle program', async (t) => {
  const worker = await start(t);
  worker.close();
  assert.strictEqual(await worker.end(), 0);
  assert.strictEqual(worker.words.err, '');
});

test('the end of the worker ends the stubborn', async (t) => {
  const worker = await start(t);
  worker.run(1, 'stubborn');
  await worker.expect('chunk', 1);
  worker.close();
  assert.strictEqual(await worker.end(), 70);
  assert.match(worker.words.err, /does not end/);
});
