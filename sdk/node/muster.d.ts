/** Handlers for musterd in Node; see README.md. */

/** The outcome of a task that this one depends on. */
export interface Input {
  task: string;
  state: 'succeeded' | 'failed' | 'cancelled' | 'skipped' | 'open' | 'deleted';
  result?: any;
  /** The result was too large to come along. */
  truncated?: true;
  error?: string;
}

/** A task as its function sees it. */
export interface Context<Payload = any> {
  /** 64 bits, and so a string; BigInt(id) if you must. */
  readonly id: string;
  readonly kind: string;
  /** The id of the flow that it is in; null: it is in none. */
  readonly flow: string | null;
  /** 1 for the first. */
  readonly attempt: number;
  /** To be handed on to whatever must not happen twice. */
  readonly token: string;
  /** As JSON.parse gives it: of integers beyond 2 ** 53 it loses digits. */
  readonly payload: Payload;
  /** Outcomes of the tasks it depends on, by name. */
  readonly inputs: Record<string, Input>;
  /** When it will be cancelled, in Unix seconds. */
  readonly deadline: number | null;
  readonly timeoutMs: number | null;
  /** Aborted, with a Cancelled, when the task is cancelled. */
  readonly signal: AbortSignal;
  readonly cancelled: boolean;
  /** Why it is cancelled; null: it is not. */
  readonly reason: string | null;
  /** Throws Cancelled if the task is cancelled, as progress and chunk do. */
  check(): void;
  /** Milliseconds until the deadline; infinite without one. */
  remaining(): number;
  /** Tells how far the task is, 0 to 1, with a note for people. */
  progress(fraction: number, note?: string): void;
  /** Hands out a piece of the result as it comes. */
  chunk(data: unknown): void;
  /** Writes a line to the log that names the task; fields go into the journal
   * as HANDLER_…. */
  log(message: unknown,
    level?: 'error' | 'warning' | 'notice' | 'info' | 'debug',
    fields?: Record<string, unknown>): void;
  /** As the global console, but each call is a line that names the task. */
  readonly console: Console;
}

/** What of the global console writes lines. */
export interface Console {
  error(...words: unknown[]): void;
  warn(...words: unknown[]): void;
  info(...words: unknown[]): void;
  log(...words: unknown[]): void;
  debug(...words: unknown[]): void;
}

/** For lines that no task is named in, each with its level. */
export const console: Console;

export type Run<Payload = any, Result = unknown> =
  (payload: Payload, ctx: Context<Payload>) => Result | Promise<Result>;

/** Makes a function, async or not, the one that runs tasks of a kind. */
export function task<Payload = any, Result = unknown>(
  kind: string, run: Run<Payload, Result>): Run<Payload, Result>;

export interface RunOptions {
  /** So many at a time (1). */
  concurrency?: number;
  /** So many more are handed over to wait in the process (0). */
  prefetch?: number;
  /** Seconds for tidying up when all is over or the worker is gone (5). */
  grace?: number;
}

/** Runs tasks until musterd says that it is enough; resolves then. */
export function run(options?: RunOptions): Promise<void>;

/** Why a cancelled task should end. */
export class Cancelled extends Error {
  constructor(reason?: string);
  readonly reason: string;
}

/** Thrown by a task: it failed for good and is not tried again. */
export class Fail extends Error {
  constructor(message?: string, options?: { cause?: unknown });
}

/** Thrown by a task: try it again, `after` that many seconds. */
export class Retry extends Error {
  constructor(message?: string, options?: { after?: number; cause?: unknown });
  readonly after?: number;
}

/** What came over the socket was not said by a musterd. */
export class ProtocolError extends Error {}

/** A client of pg, or anything that answers like it. */
export interface Client {
  query(text: string, values: any[]): PromiseLike<{ rows: any[] } | any[]>;
}

interface CommonOptions {
  queue?: string;
  priority?: number;
  runAt?: Date | string;
  maxAttempts?: number;
  /** Seconds, or an interval as PostgreSQL reads it. */
  timeout?: number | string;
  wake?: boolean;
  /** Seconds, or an interval as PostgreSQL reads it. */
  uniqueFor?: number | string;
  /** keep: the id is that of the task that has the unique key. */
  onConflict?: 'keep' | 'replace' | 'error';
  lockLimit?: number;
}

export interface EnqueueManyOptions extends CommonOptions {
  /** One, or null, a payload. */
  uniqueKeys?: (string | null)[];
  lockKeys?: (string | null)[];
}

export interface EnqueueOptions extends CommonOptions {
  uniqueKey?: string;
  lockKey?: string;
  /** A number beyond 2 ** 53 is refused: it is no longer the id it was. */
  dependsOn?: (string | number | bigint)[];
  dependsWhen?: 'succeeded' | 'finished' | 'failed';
  /** How many of them must meet that: all by default. */
  needsMode?: 'all' | 'any' | `at_least ${number}`;
  flowId?: string | number | bigint;
}

/** Enqueues a task in the client's transaction; resolves to its id, in digits.
 */
export function enqueue(client: Client, kind: string, payload?: unknown,
  options?: EnqueueOptions): Promise<string>;

/** Enqueues a task for each payload; resolves to their ids in order. */
export function enqueueMany(client: Client, kind: string, payloads: unknown[],
  options?: EnqueueManyOptions): Promise<string[]>;
