'use strict';
// Handlers for musterd in Node.
//
//   const muster = require('./muster');
//
//   muster.task('resize', async ({ name, sizes }, ctx) => {
//     for (const [done, size] of sizes.entries()) {
//       ctx.progress(done / sizes.length, `${size} px`);
//       await thumbnail(name, size, { signal: ctx.signal });
//     }
//     return { thumbnails: sizes.length };
//   });
//   muster.run({ concurrency: 4 });
//
// musterd starts the program (a handler with `pool: [/usr/bin/node, tasks.js]`)
// and talks to it over a socket; README.md has the rest. This file needs Node
// 18 and nothing else, and may simply be copied.

const net = require('node:net');
const { format } = require('node:util');

/** Why a task that musterd cancels should end: the signal's reason, and thrown
 * by what uses the context. */
class Cancelled extends Error {
  constructor(reason = 'asked') {
    super(`cancelled: ${reason}`);
    this.name = 'Cancelled';
    this.reason = reason;
  }
}

/** Thrown by a task: it failed for good and is not tried again. */
class Fail extends Error {
  constructor(message = 'failed for good', options = undefined) {
    super(message, options);
    this.name = 'Fail';
  }
}

/** Thrown by a task: try it again, `after` that many seconds. */
class Retry extends Error {
  constructor(message = 'to be tried again', { after, ...options } = {}) {
    super(message, options);
    this.name = 'Retry';
    if (after !== undefined && !(after >= 0 && after < Infinity)) {
      throw new RangeError('after is a number of seconds, 0 or more');
    }
    this.after = after;
  }
}

/** What came over the socket was not said by a musterd. */
class ProtocolError extends Error {
  constructor(message, options = undefined) {
    super(message, options);
    this.name = 'ProtocolError';
  }
}

// Tasks.

const tasks = new Map();

/** Makes a function, async or not, the one that runs tasks of a kind. It gets
 * the payload and a Context; what it returns is the result. */
function task(kind, run) {
  if (typeof kind !== 'string' || kind === '' || typeof run !== 'function') {
    throw new TypeError("task('kind', function) is what it takes");
  }
  if (tasks.has(kind)) {
    throw new Error(`there are two functions for ${kind}`);
  }
  tasks.set(kind, { run, isShort: false });
  return run;
}

/** A task as its function sees it. */
class Context {
  #link;
  #controller;

  constructor(link, run) {
    this.#link = link;
    this.id = run.id;
    this.kind = run.kind;
    this.flow = run.flow ?? null;
    this.attempt = run.attempt ?? 1;
    this.token = run.token ?? '';
    this.payload = run.payload;
    this.inputs = run.inputs ?? {};
    this.deadline = run.deadline ?? null;
    this.timeoutMs = run.timeout_ms ?? null;
    this.reason = null;
    this.state = 'waiting'; // running, answered
  }

  /** Aborted when the task is cancelled; made when first asked for. */
  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.reason !== null) {
        this.#controller.abort(new Cancelled(this.reason));
      }
    }
    return this.#controller.signal;
  }

  get cancelled() {
    return this.reason !== null;
  }

  /** Throws Cancelled if the task is cancelled. */
  check() {
    if (this.reason !== null) {
      throw new Cancelled(this.reason);
    }
  }

  /** Milliseconds until the deadline; infinite without one. */
  remaining() {
    return this.deadline === null
      ? Infinity : this.deadline * 1000 - Date.now();
  }

  /** Tells how far the task is, 0 to 1, with a note for people. */
  progress(fraction, note = '') {
    if (typeof fraction !== 'number' || Number.isNaN(fraction)) {
      throw new TypeError('the fraction is not a number');
    }
    const body = {
      id: this.id, fraction: Math.min(Math.max(fraction, 0), 1),
    };
    if (note !== '') {
      body.note = wellFormed(String(note));
    }
    this.#link.tell(this, fit(JSON.stringify({ progress: body }), 'the note'));
    this.check();
  }

  /** Hands out a piece of the result as it comes. */
  chunk(data) {
    const text = fit(encode(data, 'a chunk'), 'a chunk');
    this.#link.tell(this,
      `{"chunk":{"id":${JSON.stringify(this.id)},"data":${text}}}`);
    this.check();
  }

  /** Writes a line to the log that names the task, with fields. */
  log(message, level = 'info', fields = {}) {
    log(message, level, this, fields);
  }

  /** As the global console, but each call is a line that names the task. */
  get console() {
    return consoleOf(this);
  }

  /** Called by who reads the socket. */
  cancel(reason) {
    this.reason = reason;
    this.#controller?.abort(new Cancelled(reason));
  }
}

// Words on the socket.

/** The longest line that the worker reads, in bytes; 0: not known. */
const maxMessage = Number(process.env.MUSTER_MAX_MESSAGE) || 0;

// NUL and halves of surrogate pairs: JSON has them, PostgreSQL does not.
const UNFIT = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** As PostgreSQL's jsonb takes it, or Fail. */
function encode(value, what) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new Fail(`${what} is not JSON: ${error.message}`, { cause: error });
  }
  if (text === undefined) {
    return 'null';
  }
  if (text.includes('\\u') && UNFIT.test(text)) {
    throw new Fail(`${what} holds \\u0000 or half a surrogate pair, which ` +
      'PostgreSQL does not take');
  }
  return text;
}

function wellFormed(words) {
  return Buffer.from(words.replaceAll('\0', '\ufffd')).toString();
}

/** What is longer than the worker reads in a line is not sent to it. */
function fit(text, what) {
  if (maxMessage > 0 && Buffer.byteLength(text) + 64 > maxMessage) {
    throw new Fail(`${what} is larger than max_message (${maxMessage} bytes)`);
  }
  return text;
}

function doneLine(ctx, result) {
  const text = fit(encode(result, 'the result'), 'the result');
  return `{"done":{"id":${JSON.stringify(ctx.id)},"result":${text}}}`;
}

function failLine(ctx, message, retry, after) {
  const room = Math.min(4096, (maxMessage || 65536) / 8 - 32);
  const words = message.length > room
    ? `${message.slice(0, room - 1)}…` : message;
  return JSON.stringify({
    fail: { id: ctx.id, error: wellFormed(words), retry, after },
  });
}

/** What to answer for whatever was thrown. */
function failureLine(ctx, error) {
  if (ctx.reason !== null && (error instanceof Cancelled ||
      error?.name === 'AbortError' || error?.code === 'ABORT_ERR')) {
    return failLine(ctx, `cancelled: ${ctx.reason}`, true);
  }
  if (error instanceof Retry) {
    return failLine(ctx, error.message, true, error.after);
  }
  if (error instanceof Fail) {
    return failLine(ctx, error.message, false);
  }
  log(error instanceof Error ? error.stack ?? String(error) : describe(error),
    'error', ctx);
  return failLine(ctx, describe(error), true);
}

/** An error in a line, with the place where it was thrown. */
function describe(error) {
  if (!(error instanceof Error)) {
    try {
      return `thrown: ${typeof error === 'string' ? error
        : JSON.stringify(error)}`;
    } catch {
      return `thrown: ${typeof error}`;
    }
  }
  const frame = /^ +at (.*)$/m.exec(error.stack ?? '')?.[1];
  const place = frame?.replace(/(?:file:\/\/)?\/[^ :]*\//, '')
    .replace(/ \((.*)\)$/, ' $1');
  return `${error.name}: ${error.message}${place ? ` (at ${place})` : ''}`;
}

const LEVELS = { error: 3, warning: 4, notice: 5, info: 6, debug: 7 };

// Longer lines are no objects to the worker.
const LOG_MESSAGE = 12000;
const LOG_FIELD = 1024;
const LOG_LINE = 15000;
const OURS = new Set(['level', 'message', 'id']);

/** A line for the journal: one JSON object, of which the worker makes fields,
 * where it asks for that. */
function log(message, level, ctx, fields = {}) {
  if (!(level in LEVELS)) {
    throw new RangeError(`level is one of ${Object.keys(LEVELS).join(', ')}`);
  }
  const words = String(message);
  const about = ctx === null ? '' : `task ${ctx.id}: `;
  process.stderr.write(process.env.MUSTER_LOG === 'json'
    ? objectLine(words, LEVELS[level], ctx, fields)
    : `${level}: ${about}${words}\n`);
}

function objectLine(words, level, ctx, fields) {
  let line = `{"log":{"level":${level},"message":${short(words, LOG_MESSAGE)}`;
  if (ctx !== null) {
    line += `,"id":${JSON.stringify(ctx.id)}`;
  }
  for (const [name, value] of Object.entries(fields)) {
    const field = `,${short(OURS.has(name) ? `${name}_` : name, 64)}:` +
      fieldText(value);
    if (Buffer.byteLength(line) + Buffer.byteLength(field) <= LOG_LINE) {
      line += field;
    }
  }
  return `${line}}}\n`;
}

/** A string in JSON of so many bytes at most. */
function short(words, limit) {
  let text = JSON.stringify(wellFormed(words));
  for (let size = Buffer.byteLength(text); size > limit;
    size = Buffer.byteLength(text)) {
    words = `${words.slice(0, Math.floor(words.length * limit / (size + 8)))}…`;
    text = JSON.stringify(wellFormed(words));
  }
  return text;
}

/** A field's value in JSON, whatever it is. */
function fieldText(value) {
  if (typeof value !== 'string') {
    try {
      const text = encode(value, 'the value');
      if (text.length <= LOG_FIELD) {
        return text;
      }
      value = text;
    } catch {
      value = format(value);
    }
  }
  return short(value, LOG_FIELD);
}

/** The calls of the global console that write lines, each with its level. */
function consoleOf(ctx) {
  const at = (level) => (...words) => log(format(...words), level, ctx);
  return {
    error: at('error'), warn: at('warning'), info: at('info'),
    log: at('info'), debug: at('debug'),
  };
}

// The socket.

/** The connection to the worker. */
class Link {
  open = new Map();
  waiting = [];
  running = 0;
  out = [];
  rest = [];
  draining = false;
  closed = false;

  constructor(socket, { concurrency, prefetch, grace }) {
    this.socket = socket;
    this.concurrency = concurrency;
    this.prefetch = prefetch;
    this.grace = grace;
    this.ended = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }

  serve() {
    this.say(JSON.stringify({
      hello: {
        protocol: 1, kinds: [...tasks.keys()].sort(),
        concurrency: this.concurrency + this.prefetch,
      },
    }));
    this.socket.on('data', (data) => this.read(data));
    this.socket.on('error', () => {}); // 'close' follows
    this.socket.on('close', () => this.abandon());
    return this.ended;
  }

  // Writing: what is said in one turn of the loop leaves in one piece.

  say(line) {
    if (this.out.length === 0) {
      process.nextTick(() => this.flush());
    }
    this.out.push(line);
  }

  flush() {
    if (this.out.length > 0 && !this.closed) {
      this.socket.write(`${this.out.join('\n')}\n`);
    }
    this.out = [];
  }

  /** Nothing is said of a task after its answer. */
  tell(ctx, line) {
    if (ctx.state !== 'answered') {
      this.say(line);
    }
  }

  answer(ctx, line) {
    if (ctx.state !== 'answered') {
      ctx.state = 'answered';
      this.open.delete(ctx.id);
      this.say(line);
    }
  }

  // Reading.

  read(data) {
    const end = data.lastIndexOf(10);
    if (end < 0) {
      this.rest.push(data);
      return;
    }
    this.rest.push(data.subarray(0, end));
    const lines = this.rest.length === 1
      ? this.rest[0] : Buffer.concat(this.rest);
    this.rest = end + 1 < data.length ? [data.subarray(end + 1)] : [];
    for (const line of lines.toString().split('\n')) {
      try {
        this.take(JSON.parse(line));
      } catch (error) {
        this.fail(new ProtocolError(`not understood: ${line.slice(0, 200)}`,
          { cause: error }));
        return;
      }
    }
    this.start();
  }

  take(message) {
    if (message.run !== undefined) {
      if (typeof message.run.id !== 'string') {
        throw new TypeError('a task without an id');
      }
      const ctx = new Context(this, message.run);
      this.open.set(ctx.id, ctx);
      this.waiting.push(ctx);
    } else if (message.cancel !== undefined) {
      this.cancel(message.cancel);
    } else if (message.drain !== undefined) {
      this.draining = true;
    } else if (message === null || typeof message !== 'object' ||
        Array.isArray(message)) {
      throw new TypeError('not an object');
    }
  }

  cancel({ id, reason = 'asked' }) {
    const ctx = this.open.get(id);
    if (ctx === undefined || ctx.cancelled) {
      return; // answered meanwhile, or told already
    }
    ctx.cancel(reason);
    if (ctx.state === 'waiting') {
      this.answer(ctx, failLine(ctx, `cancelled: ${reason}`, true));
    }
  }

  /** The worker is gone: nothing counts any more. */
  abandon() {
    this.closed = true;
    for (const ctx of [...this.open.values()]) {
      this.cancel({ id: ctx.id, reason: 'closed' });
    }
    this.start();
  }

  fail(error) {
    this.reject(error);
    this.socket.destroy();
  }

  // Running.

  start() {
    if (this.starting) {
      return; // a function that returned at once has called us
    }
    this.starting = true;
    let next = 0;
    while (next < this.waiting.length && this.running < this.concurrency) {
      const ctx = this.waiting[next++];
      if (ctx.state === 'waiting') {
        this.run(ctx);
      }
    }
    this.waiting.splice(0, next);
    this.starting = false;
    if ((this.draining || this.closed) && this.open.size === 0) {
      this.leave();
    }
  }

  run(ctx) {
    const found = tasks.get(ctx.kind);
    if (found === undefined) {
      this.answer(ctx,
        failLine(ctx, `this program has no task ${ctx.kind}`, true));
      return;
    }
    ctx.state = 'running';
    this.running++;
    if (!found.isShort) {
      this.flush(); // no answer waits for it
    }
    const began = performance.now();
    let result;
    try {
      result = found.run(ctx.payload, ctx);
      found.isShort = performance.now() - began < 0.5;
    } catch (error) {
      this.threw(ctx, error);
      return;
    }
    if (typeof result?.then === 'function') {
      result.then((value) => this.returned(ctx, value),
        (error) => this.threw(ctx, error));
    } else {
      this.returned(ctx, result);
    }
  }

  returned(ctx, result) {
    let line;
    try {
      line = doneLine(ctx, result);
    } catch (error) {
      line = failureLine(ctx, error);
    }
    this.end(ctx, line);
  }

  threw(ctx, error) {
    this.end(ctx, failureLine(ctx, error));
  }

  end(ctx, line) {
    this.answer(ctx, line);
    this.running--;
    this.start();
  }

  leave() {
    this.flush();
    this.socket.end();
    this.socket.once('finish', () => this.socket.destroy());
    this.resolve();
  }
}

/** Runs tasks until musterd says that it is enough; resolves then.
 *
 * concurrency: so many at a time. prefetch: so many more are handed over to
 * wait here, which short tasks gain by; their time limit runs meanwhile.
 * grace: seconds after the end, or after the worker is gone, in which the
 * program may tidy up; then it is ended. */
function run({ concurrency = 1, prefetch = 0, grace = 5, ...more } = {}) {
  if (Object.keys(more).length > 0) {
    throw new TypeError(`unknown: ${Object.keys(more).join(', ')}`);
  }
  if (!(Number.isInteger(concurrency) && concurrency >= 1) ||
      !(Number.isInteger(prefetch) && prefetch >= 0) ||
      concurrency + prefetch > 1000) {
    throw new RangeError('concurrency is at least 1, prefetch at least 0, ' +
      'both together at most 1000');
  }
  if (tasks.size === 0) {
    throw new Error("there is no task: task('kind', function) makes one");
  }
  if (!/^[0-9]+$/.test(process.env.MUSTER_FD ?? '')) {
    throw new Error('MUSTER_FD names no descriptor: this program is started ' +
      'by musterd, as the pool of a handler in musterd.yaml');
  }
  // Node has made what it inherited close-on-exec before it ran anything.
  const socket = new net.Socket({
    fd: Number(process.env.MUSTER_FD), readable: true, writable: true,
  });
  delete process.env.MUSTER_FD;
  const link = new Link(socket, { concurrency, prefetch, grace });
  socket.once('close', () => setTimeout(() => {
    if (link.open.size > 0) {
      process.stderr.write(
        'muster: the worker is gone and a task does not end\n');
    }
    process.exit(link.open.size > 0 ? 70 : 0);
  }, grace * 1000).unref());
  return link.serve();
}

// Enqueuing.

const OPTIONS = {
  queue: ['queue', 'text'], priority: ['priority', 'int'],
  runAt: ['run_at', 'timestamptz', instant],
  dependsOn: ['depends_on', 'bigint[]', (some) => `{${some.map(identity)}}`],
  dependsWhen: ['depends_when', 'text'], needsMode: ['needs_mode', 'text'],
  flowId: ['flow_id', 'bigint', identity],
  maxAttempts: ['max_attempts', 'int'],
  timeout: ['timeout', 'interval', interval], wake: ['wake', 'boolean'],
  uniqueKey: ['unique_key', 'text'], uniqueKeys: ['unique_keys', 'text[]', words],
  uniqueFor: ['unique_for', 'interval', interval],
  onConflict: ['on_conflict', 'text'],
  lockKey: ['lock_key', 'text'], lockKeys: ['lock_keys', 'text[]', words],
  lockLimit: ['lock_limit', 'int'],
};
const NOT_FOR_MANY = new Set(
  ['dependsOn', 'dependsWhen', 'needsMode', 'flowId', 'uniqueKey', 'lockKey']);
const ONLY_FOR_MANY = new Set(['uniqueKeys', 'lockKeys']);

/** Of 64 bits: a number may have lost some of them. */
function identity(value) {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new RangeError(`${value} is no whole id: ids are strings or BigInts`);
  }
  return String(BigInt(value));
}

/** Strings and nulls as PostgreSQL writes an array. */
function words(some) {
  return `{${some.map((one) => one === null || one === undefined ? 'NULL' :
    `"${String(one).replace(/["\\]/g, '\\$&')}"`)}}`;
}

function instant(value) {
  return value instanceof Date ? value.toISOString() : value;
}

function interval(value) {
  return typeof value === 'number' ? `${value} seconds` : value;
}

/** Named arguments of a function in SQL, each a plain string, number or
 * boolean, which all drivers hand over the same way. */
function named(options, isMany, values) {
  let words = '';
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, key) ||
        (isMany ? NOT_FOR_MANY : ONLY_FOR_MANY).has(key)) {
      throw new TypeError(`there is no option ${key}`);
    }
    if (value === undefined || value === null) {
      continue;
    }
    const [name, type, convert] = OPTIONS[key];
    values.push(convert === undefined ? value : convert(value));
    words += `, ${name} => $${values.length}::${type}`;
  }
  return words;
}

/** Enqueues a task over a client of pg, or anything with
 * query(text, values), in its transaction; resolves to the id, a string. */
async function enqueue(client, kind, payload = {}, options = {}) {
  const values = [kind, JSON.stringify(payload)];
  const more = named(options, false, values);
  const [id] = await ids(client, 'SELECT muster.enqueue(kind => $1::text, ' +
    `payload => $2::jsonb${more})::text AS id`, values);
  return id;
}

/** Enqueues a task for each payload; resolves to their ids in order. */
async function enqueueMany(client, kind, payloads, options = {}) {
  const values = [kind, JSON.stringify(payloads)];
  if (!Array.isArray(payloads)) {
    throw new TypeError('payloads is an array');
  }
  const more = named(options, true, values);
  return ids(client, 'SELECT muster.enqueue_many(kind => $1::text, payloads ' +
    '=> ARRAY(SELECT u.p FROM jsonb_array_elements($2::jsonb) WITH ' +
    `ORDINALITY u(p, o) ORDER BY u.o)${more})::text AS id`, values);
}

async function ids(client, text, values) {
  const answer = await client.query(text, values);
  return (answer.rows ?? answer).map(
    (row) => String(Array.isArray(row) ? row[0] : row.id));
}

module.exports = {
  Cancelled, Context, Fail, ProtocolError, Retry,
  console: consoleOf(null), enqueue, enqueueMany, run, task,
};
