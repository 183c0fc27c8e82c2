'use strict';
// The statements; tests/integration/test_sdk_enqueue.py gives them to a
// PostgreSQL.

const assert = require('node:assert');
const test = require('node:test');
const muster = require('../muster');

/** A client that remembers what it was asked. */
function client(answer) {
  return {
    asked: [],
    async query(text, values) {
      this.asked.push({ text, values });
      return answer;
    },
  };
}

test('enqueue gives the id as a string', async () => {
  for (const answer of [{ rows: [{ id: '12345678901234567890' }] },
    { rows: [{ id: 12345678901234567890n }] },
    { rows: [['12345678901234567890']] }, [{ id: '12345678901234567890' }]]) {
    assert.strictEqual(await muster.enqueue(client(answer), 'resize'),
      '12345678901234567890');
  }
});

test('enqueue says only what it was told', async () => {
  const app = client({ rows: [{ id: '1' }] });
  await muster.enqueue(app, 'resize', { name: "a'$1" }, { queue: undefined });
  assert.deepStrictEqual(app.asked, [{
    text: 'SELECT muster.enqueue(kind => $1::text, payload => $2::jsonb)::text AS id',
    values: ['resize', '{"name":"a\'$1"}'],
  }]);
});

test('options become named arguments', async () => {
  const app = client({ rows: [{ id: '1' }] });
  await muster.enqueue(app, 'resize', null, {
    queue: 'mail', runAt: new Date(0), dependsOn: [1, '2', 3n], timeout: 1.5,
  });
  assert.deepStrictEqual(app.asked[0], {
    text: 'SELECT muster.enqueue(kind => $1::text, payload => $2::jsonb, ' +
      'queue => $3::text, run_at => $4::timestamptz, ' +
      'depends_on => $5::bigint[], timeout => $6::interval)::text AS id',
    values: ['resize', 'null', 'mail', '1970-01-01T00:00:00.000Z', '{1,2,3}',
      '1.5 seconds'],
  });
});

test('ids keep all their bits, or are refused', async () => {
  const app = client({ rows: [{ id: '1' }] });
  await muster.enqueue(app, 'a', {}, {
    dependsOn: ['9223372036854775807', 9223372036854775806n], flowId: 7n,
  });
  assert.deepStrictEqual(app.asked[0].values.slice(2),
    ['{9223372036854775807,9223372036854775806}', '7']);
  for (const flowId of [2 ** 53, 1.5, NaN, 'x', '']) {
    const options = flowId === '' ? { dependsOn: [2 ** 53] } : { flowId };
    await assert.rejects(muster.enqueue(app, 'a', {}, options), /id|BigInt/);
  }
  assert.strictEqual(app.asked.length, 1);
});

test('unknown options and payloads that are no list are refused', async () => {
  const app = client({ rows: [] });
  await assert.rejects(muster.enqueue(app, 'a', {}, { max_attempts: 3 }),
    TypeError);
  await assert.rejects(muster.enqueue(app, 'a', {}, { toString: 3 }),
    TypeError);
  await assert.rejects(muster.enqueueMany(app, 'a', [], { flowId: 3 }),
    TypeError);
  await assert.rejects(muster.enqueueMany(app, 'a', 'abc'), TypeError);
  await assert.rejects(muster.enqueue(app, 'a', {}, { dependsOn: ['x'] }));
  assert.deepStrictEqual(app.asked, []);
});

test('enqueueMany gives the ids in order', async () => {
  const app = client({ rows: [{ id: '7' }, { id: 8n }] });
  assert.deepStrictEqual(
    await muster.enqueueMany(app, 'a', [{ n: 1 }, { n: 2 }]), ['7', '8']);
  assert.strictEqual(app.asked[0].values[1], '[{"n":1},{"n":2}]');
});
