'use strict';
// A worker's side of the pool protocol, for tests: starts a program with a
// socket, sends it lines and reads what it says.

const assert = require('node:assert');
const { spawn } = require('node:child_process');
const path = require('node:path');

const LIMIT = 30000; // milliseconds that anything may take

class FakeWorker {
  said = [];
  words = { out: '', err: '' };
  rest = '';
  isEnded = false;

  /** `source`: a program in which `muster` is there. */
  constructor(t, source, environment = {}) {
    const module = JSON.stringify(path.join(__dirname, '..', 'muster.js'));
    this.process = spawn(process.execPath,
      ['-e', `const muster = require(${module});\n${source}`], {
        stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
        env: { ...process.env, MUSTER_FD: '3', ...environment },
      });
    this.process.stdout.on('data', (data) => { this.words.out += data; });
    this.process.stderr.on('data', (data) => { this.words.err += data; });
    this.exited = new Promise((resolve) => {
      this.process.once('close', (code, signal) => resolve(code ?? signal));
    });
    this.socket = this.process.stdio[3];
    this.socket.setEncoding('utf8');
    this.socket.on('data', (text) => this.read(text));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.isEnded = true;
      this.wake?.();
    });
    t.after(() => {
      this.socket.destroy();
      this.process.kill('SIGKILL');
      return this.exited;
    });
  }

  read(text) {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop();
    for (const line of lines) {
      const [[kind, body]] = Object.entries(JSON.parse(line));
      this.said.push({ kind, ...body });
    }
    this.wake?.();
  }

  // To the program.

  send(...messages) {
    this.socket.write(messages.map((one) => `${JSON.stringify(one)}\n`)
      .join(''));
  }

  static message(id, kind, payload = null, more = {}) {
    return {
      run: {
        id: String(id), kind, attempt: 1, token: `9-${id}`,
        deadline: 1732000000.5, timeout_ms: 30000, payload, inputs: {}, ...more,
      },
    };
  }

  run(id, kind, payload, more) {
    this.send(FakeWorker.message(id, kind, payload, more));
  }

  cancel(id, reason = 'asked') {
    this.send({ cancel: { id: String(id), reason } });
  }

  drain() {
    this.send({ drain: {} });
  }

  close() {
    this.socket.destroy();
  }

  // From it.

  /** The next message; undefined at its end of file. */
  async next(limit = LIMIT) {
    const end = Date.now() + limit;
    while (this.said.length === 0 && !this.isEnded) {
      const left = end - Date.now();
      assert(left > 0, `nothing was said in ${limit} ms; ${this.words.err}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.said.shift();
  }

  async expect(kind, id) {
    const found = await this.next();
    assert(found?.kind === kind && (id === undefined || found.id === String(id)),
      `${JSON.stringify(found)} instead of ${kind} ${id}; ${this.words.err}`);
    return found;
  }

  /** {id: message} of the next so many answers. */
  async answers(count) {
    const found = new Map();
    while (found.size < count) {
      const one = await this.next();
      assert(one !== undefined, `it ended after ${found.size}`);
      if (one.kind === 'done' || one.kind === 'fail') {
        assert(!found.has(one.id), 'answered twice');
        found.set(one.id, one);
      }
    }
    return found;
  }

  async isSilent(limit) {
    await new Promise((resolve) => { setTimeout(resolve, limit); });
    return this.said.length === 0;
  }

  /** Waits for its end: its exit code or signal. */
  async end() {
    const timer = setTimeout(() => this.process.kill('SIGKILL'), LIMIT);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }
}

module.exports = { FakeWorker };
