"""Handlers for musterd in Python.

    import muster

    @muster.task("resize")
    def resize(payload, ctx):
        for done, size in enumerate(payload["sizes"]):
            ctx.progress(done / len(payload["sizes"]), f"{size} px")
            ...
        return {"sizes": len(payload["sizes"])}

    muster.run()

musterd starts the program (a handler with `pool: [/usr/bin/python3, tasks.py]`)
and talks to it over a socket; README.md has the rest. This file needs Python
3.9 and its standard library, and may simply be copied.
"""

from __future__ import annotations

import asyncio
import collections
import datetime
import functools
import inspect
import json
import logging
import math
import os
import re
import socket
import sys
import threading
import time
import traceback
from contextvars import ContextVar
from typing import (Any, Callable, Deque, Dict, List, Mapping, Optional,
                    Sequence, Tuple, TypeVar, Union)

__version__ = "0.1.0"
__all__ = ["Cancelled", "Context", "Fail", "LogHandler", "ProtocolError",
           "Retry", "current", "enqueue", "enqueue_many", "enqueue_many_sql",
           "enqueue_sql", "run", "task"]

Cancelled = asyncio.CancelledError
"""Raised in a task that musterd cancels; `except Exception` lets it pass."""


class Fail(Exception):
    """Raised by a task: it failed for good and is not tried again."""


class Retry(Exception):
    """Raised by a task: try it again, `after` that many seconds."""

    def __init__(self, error: str = "",
                 after: Union[None, float, datetime.timedelta] = None):
        super().__init__(error or "to be tried again")
        if isinstance(after, datetime.timedelta):
            after = after.total_seconds()
        if after is not None and not 0 <= after < math.inf:
            raise ValueError("after is a number of seconds, 0 or more")
        self.after = after


class ProtocolError(Exception):
    """What came over the socket was not said by a musterd."""


# Tasks.

_F = TypeVar("_F", bound=Callable[..., Any])
_tasks: Dict[str, "_Task"] = {}


class _Task:
    """A function and how it is called."""

    def __init__(self, kind: str, function: Callable[..., Any],
                 interrupt: bool):
        self.kind = kind
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function) or \
            inspect.iscoroutinefunction(getattr(function, "__call__", None))
        self.interrupt = interrupt and not self.is_async
        self.is_short = False  # it returned at once when it ran last
        self.context_name, self.takes_payload = _shape(function)

    def call(self, ctx: "Context") -> Any:
        if self.context_name is None:
            if self.takes_payload:
                return self.function(ctx.payload)
            return self.function()
        if self.takes_payload:
            return self.function(ctx.payload, **{self.context_name: ctx})
        return self.function(**{self.context_name: ctx})


def _shape(function: Callable[..., Any]) -> Tuple[Optional[str], bool]:
    """The name of the parameter for the context, and whether there is one for
    the payload."""
    context, payload, more = None, False, False
    for one in inspect.signature(function).parameters.values():
        if one.name == "ctx" or one.annotation in (
                Context, "Context", "muster.Context"):
            more = more or one.kind is one.POSITIONAL_ONLY
            context = one.name
        elif not payload and one.kind not in (one.KEYWORD_ONLY,
                                              one.VAR_KEYWORD):
            payload = True
        elif one.default is one.empty and one.kind not in (one.VAR_POSITIONAL,
                                                           one.VAR_KEYWORD):
            more = True
    if more:
        raise TypeError(f"{function!r} must take (payload) or (payload, ctx)")
    return context, payload


def task(kind: str, *, interrupt: bool = False) -> Callable[[_F], _F]:
    """Makes a function, plain or async, the one that runs tasks of a kind.

    It is given the payload, and the Context if it has a parameter `ctx` (or
    one annotated as Context). What it returns is the result.

    A plain function learns that it is cancelled when it uses its context.
    With `interrupt`, Cancelled is raised in it wherever it is: only for code
    that may be left between any two steps, and no call into C ends by it.
    """
    if not isinstance(kind, str) or not kind:
        raise TypeError('name the kind of task: @task("resize")')

    def register(function: _F) -> _F:
        if kind in _tasks:
            raise ValueError(f"there are two functions for {kind}")
        _tasks[kind] = _Task(kind, function, interrupt)
        return function
    return register


# What a running task knows.

_current: ContextVar[Optional["Context"]] = ContextVar("muster", default=None)


def current() -> Optional["Context"]:
    """The context of the task that runs here, if one does."""
    return _current.get()


class Context:
    """A task as its function sees it."""

    id: str
    kind: str
    payload: Any
    reason: Optional[str] = None  #: why it is cancelled; None: it is not

    # Most tasks need none of these: they stand in the class.
    _started = _answered = _interrupted = False
    _thread: Optional[int] = None  # that may be interrupted
    _event: Optional[threading.Event] = None
    _async: Optional["asyncio.Task[str]"] = None

    def __init__(self, link: "_Link", run: Dict[str, Any]):
        self.id = run["id"]
        self.kind = kind = run["kind"]
        self.payload = run.get("payload")
        self._run = run
        self._link = link
        self._task = _tasks.get(kind)

    @property
    def flow(self) -> Optional[str]:
        """The id of the flow that it is in, if it is in one."""
        return self._run.get("flow")

    @property
    def attempt(self) -> int:
        """1 for the first."""
        return self._run.get("attempt", 1)

    @property
    def token(self) -> str:
        """To be handed on to whatever must not happen twice."""
        return self._run.get("token", "")

    @property
    def inputs(self) -> Dict[str, Any]:
        """Outcomes of the tasks it depends on, by name."""
        return self._run.get("inputs") or {}

    @property
    def deadline(self) -> Optional[float]:
        """When it will be cancelled, as time.time()."""
        return self._run.get("deadline")

    @property
    def timeout_ms(self) -> Optional[int]:
        return self._run.get("timeout_ms")

    def __repr__(self) -> str:
        return f"<task {self.id} ({self.kind}), attempt {self.attempt}>"

    def progress(self, fraction: float, note: str = "") -> None:
        """Tells how far the task is, 0 to 1, with a note for people."""
        fraction = float(fraction)
        if math.isnan(fraction):
            raise ValueError("the fraction is not a number")
        fraction = min(max(fraction, 0.0), 1.0)
        told = f'{{"progress":{{"id":{_quote(self.id)},"fraction":{fraction!r}'
        if note:
            told += ',"note":' + _text(str(note))
        self._tell(_fit(told + "}}\n", "the note", self._link))

    def chunk(self, data: Any) -> None:
        """Hands out a piece of the result as it comes."""
        text = _fit(_json(data, "a chunk"), "a chunk", self._link)
        self._tell(f'{{"chunk":{{"id":{_quote(self.id)},"data":{text}}}}}\n')

    def cancelled(self) -> bool:
        """Whether the task is cancelled, for those who would rather ask."""
        return self.reason is not None

    def check(self) -> None:
        """Raises Cancelled if the task is cancelled. In an async function
        that is done by `await`."""
        if self.reason is not None and self._async is None:
            raise Cancelled(self.reason)

    def sleep(self, seconds: float) -> None:
        """time.sleep() for plain functions that a cancellation ends."""
        if self._event is None:
            self._event = threading.Event()
        self.check()
        self._event.wait(seconds)
        self.check()

    def remaining(self) -> float:
        """Seconds until the deadline; infinite without one."""
        if self.deadline is None:
            return math.inf
        return self.deadline - time.time()

    def _tell(self, line: str) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._disarm()  # half of what follows must not happen
        self._link.tell(self, line)
        if thread is not None and not self._interrupted:
            self._thread = thread
        self.check()

    def _cancel(self, reason: str) -> None:
        """Called by who reads the socket."""
        self.reason = reason
        if self._event is not None:
            self._event.set()
        with self._link.lock:
            if self._thread is not None and not self._interrupted:
                self._interrupted = True
                _raise_in(self._thread, Cancelled)

    def _disarm(self) -> None:
        """From here on nothing is raised in the function's thread."""
        with self._link.lock:
            self._thread = None
            if self._interrupted:
                _raise_in(threading.get_ident(), None)


def _raise_in(thread: int, exception: Optional[type]) -> None:
    import ctypes
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread),
        None if exception is None else ctypes.py_object(exception))


# Words on the socket.

def _encoder() -> Callable[[Any], str]:
    """What json.JSONEncoder().encode does, but for the making of a new encoder
    each time; of one that holds itself is said that it is too deep."""
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False,
                               check_circular=False, separators=(",", ":"))
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]
    if make is None:
        return encoder.encode
    chunks = make(None, encoder.default,
                  json.encoder.encode_basestring,  # type: ignore[attr-defined]
                  None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


_encode = _encoder()
_decode = json.JSONDecoder().decode
_quote: Callable[[str], str] = \
    json.encoder.encode_basestring_ascii  # type: ignore[attr-defined]
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _json(value: Any, what: str) -> str:
    """As PostgreSQL's jsonb takes it, or Fail."""
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Fail(f"{what} is not JSON: {error}") from error
    if "\\u0000" in text and _NUL.search(text):
        raise Fail(f"{what} holds \\u0000, which PostgreSQL does not take")
    return text


def _text(words: str) -> str:
    """Any string, as JSON that PostgreSQL takes."""
    words = words.replace("\0", "\ufffd")
    return _encode(words.encode("utf-8", "replace").decode())


def _messages(lines: str) -> List[Any]:
    """One for each line: many are read as one array, which costs half."""
    try:
        messages = _decode("[" + lines.replace("\n", ",") + "]")
        if len(messages) == lines.count("\n") + 1:
            return messages
    except ValueError:
        pass
    return [_message(line) for line in lines.split("\n")]


def _message(line: str) -> Any:
    try:
        return _decode(line)
    except ValueError as error:
        raise ProtocolError(f"not understood: {line[:200]}") from error


def _fit(text: str, what: str, link: "_Link") -> str:
    """What is longer than the worker reads in a line is not sent to it."""
    limit = link.limit
    if limit and len(text) * 4 + 64 > limit and \
            len(text.encode()) + 64 > limit:
        raise Fail(f"{what} is larger than max_message ({limit} bytes)")
    return text


def _done(ctx: Context, result: Any) -> str:
    text = "null" if result is None else \
        _fit(_json(result, "the result"), "the result", ctx._link)
    return f'{{"done":{{"id":{_quote(ctx.id)},"result":{text}}}}}\n'


def _fail(ctx: Context, error: str, retry: bool,
          after: Optional[float] = None) -> str:
    room = min(4096, (ctx._link.limit or 65536) // 8 - 32)
    error = error if len(error) <= room else error[:room - 1] + "…"
    wait = "" if after is None else f',"after":{after!r}'
    return (f'{{"fail":{{"id":{_quote(ctx.id)},"error":{_text(error)},'
            f'"retry":{"true" if retry else "false"}{wait}}}}}\n')


def _failure(ctx: Context, error: BaseException) -> str:
    """What to answer for an exception."""
    if isinstance(error, Cancelled):
        if ctx.reason is not None:
            return _fail(ctx, f"cancelled: {ctx.reason}", True)
        return _fail(ctx, "it cancelled itself", True)
    if isinstance(error, Retry):
        return _fail(ctx, str(error), True, error.after)
    if isinstance(error, Fail):
        return _fail(ctx, str(error) or "failed for good", False)
    _log.error("%s failed", ctx, exc_info=error)
    return _fail(ctx, _describe(error), True)


def _describe(error: BaseException) -> str:
    """An exception in a line, with the place where it was raised."""
    try:
        text = "".join(traceback.format_exception_only(
            type(error), error)).strip()
    except Exception:  # its own __str__ failed
        text = type(error).__name__
    where = traceback.extract_tb(error.__traceback__)
    if where:
        last = where[-1]
        text += f" ({os.path.basename(last.filename)}:{last.lineno}" \
            f" in {last.name})"
    return text


def _answer(ctx: Context) -> str:
    """Runs a plain function; what to answer."""
    found = ctx._task
    if found is None:
        return _fail(ctx, f"this program has no task {ctx.kind}", True)
    _current.set(ctx)
    try:
        try:
            if found.interrupt:
                ctx._thread = threading.get_ident()
                ctx.check()
            return _done(ctx, found.call(ctx))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return _failure(ctx, error)
        finally:
            if found.interrupt:
                ctx._disarm()
    except Cancelled as error:  # it came while we were leaving; no other can
        ctx._disarm()
        return _failure(ctx, error)
    finally:
        _current.set(None)


async def _answer_async(ctx: Context) -> str:
    _current.set(ctx)
    try:
        assert ctx._task is not None
        return _done(ctx, await ctx._task.call(ctx))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _failure(ctx, error)


# The socket.

class _Link:
    """The connection to the worker. `lock` makes sure that nothing is said of
    a task after its answer; `writing` that lines leave whole."""

    batch = 262144

    def __init__(self, sock: socket.socket, concurrency: int, prefetch: int,
                 grace: float):
        self.sock = sock
        self.concurrency = concurrency
        self.prefetch = prefetch
        self.grace = grace
        self.limit = int(os.environ.get("MUSTER_MAX_MESSAGE") or 0)
        self.lock = threading.Lock()
        self.writing = threading.Lock()
        self.out: List[str] = []
        self.open: Dict[str, Context] = {}
        self.draining = False
        self.closed = False  # the worker's end
        self.broken = False  # nothing can be sent any more
        self.error: Optional[ProtocolError] = None
        self.rest: List[bytes] = []

    def hello(self) -> None:
        self.out.append(_encode({"hello": {
            "protocol": 1, "kinds": sorted(_tasks),
            "concurrency": self.concurrency + self.prefetch}}) + "\n")
        self.flush()

    # Writing.

    def tell(self, ctx: Context, line: str) -> None:
        with self.lock:
            if ctx._answered:
                return  # by a thread that outlived its task
            self.out.append(line)
        self.flush()

    def answer(self, ctx: Context, line: str) -> bool:
        """Queues the answer; flush() sends it."""
        with self.lock:
            if ctx._answered:
                return False
            ctx._answered = True
            self.out.append(line)
            self.open.pop(ctx.id, None)
        return True

    def flush(self) -> None:
        with self.writing:
            with self.lock:
                out, self.out = self.out, []
            if not out or self.broken:
                return
            try:
                self.sock.sendall("".join(out).encode())
            except OSError:
                self.broken = True  # who reads sees the end

    # Reading.

    def receive(self, flags: int = 0) -> bool:
        """Reads what there is; False at the end."""
        try:
            data = self.sock.recv(self.batch, flags)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return False
        end = data.rfind(b"\n")
        if end < 0:
            self.rest.append(data)
            return True
        if self.rest:
            lines = b"".join(self.rest) + data[:end]
        else:
            lines = data[:end]
        self.rest = [data[end + 1:]] if end + 1 < len(data) else []
        self.take(lines.decode())
        return True

    def take(self, lines: str) -> None:
        for message in _messages(lines):
            try:
                run = message.get("run")
                if run is not None:
                    ctx = Context(self, run)
                    self.open[ctx.id] = ctx
                    self.begin(ctx)
                elif "cancel" in message:
                    self.cancel(message["cancel"])
                elif "drain" in message:
                    self.draining = True
            except (KeyError, TypeError, AttributeError) as error:
                raise ProtocolError(
                    f"not understood: {_encode(message)[:200]}") from error

    def cancel(self, words: Dict[str, Any]) -> None:
        ctx = self.open.get(words["id"])
        if ctx is None or ctx.reason is not None:
            return  # answered meanwhile, or told already
        reason = words.get("reason") or "asked"
        if not ctx._started:
            ctx.reason = reason
            self.answer(ctx, _fail(ctx, f"cancelled: {reason}", True))
            self.flush()
        else:
            self.cancel_running(ctx, reason)

    def cancel_running(self, ctx: Context, reason: str) -> None:
        ctx._cancel(reason)

    def abandon(self) -> None:
        """The worker is gone: nothing counts any more. Functions may tidy up
        for a while."""
        for ctx in list(self.open.values()):
            if not ctx._started:
                self.answer(ctx, "")
            elif ctx.reason is None:
                self.cancel_running(ctx, "closed")
        if self.open:
            timer = threading.Timer(self.grace, self._leave)
            timer.daemon = True
            timer.start()

    def _leave(self) -> None:
        if self.open:
            print("muster: the worker is gone and a task does not end",
                  file=sys.stderr, flush=True)
            os._exit(70)

    def begin(self, ctx: Context) -> None:
        raise NotImplementedError

    def serve(self) -> None:
        raise NotImplementedError


class _Inline(_Link):
    """One plain function at a time, in the thread that reads: nothing is
    handed from thread to thread, and answers leave in batches. When a
    function takes longer than `tick`, a second thread sends the answers that
    wait and goes on reading, so that a cancellation arrives."""

    tick = 0.005

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.runs: Deque[Context] = collections.deque()
        self.reading = threading.Lock()
        self.is_idle = True  # the main thread reads: nobody else may
        self.busy = threading.Event()
        self.count = 0

    def begin(self, ctx: Context) -> None:
        self.runs.append(ctx)

    def serve(self) -> None:
        self.hello()
        threading.Thread(target=self._watch, name="muster-watch",
                         daemon=True).start()
        while self._wait():
            self.busy.set()
            self._work()
        if self.error is not None:
            raise self.error

    def _wait(self) -> bool:
        """Until there are runs; False when there will be none."""
        self.flush()
        with self.reading:
            self.is_idle = True
        while not self.runs or self.broken:
            if self.closed or self.draining or not self.receive():
                return False
        self.is_idle = False
        return True

    def _work(self) -> None:
        runs, clock = self.runs, time.monotonic
        began = clock()
        while runs and not self.broken:
            ctx = runs.popleft()
            found = ctx._task
            if found is None or not found.is_short:
                self.flush()
            ctx._started = True
            if ctx._answered:
                continue
            self.count += 1
            self.answer(ctx, _answer(ctx))
            now = clock()
            if found is not None:
                found.is_short = now - began < 0.0005
            began = now

    def _watch(self) -> None:
        while not self.closed:
            self.busy.wait()
            seen = self.count
            time.sleep(self.tick)
            while self.count == seen and not self.is_idle and not self.closed:
                self._look()
            self.busy.clear()
            if not self.is_idle:
                self.busy.set()

    def _look(self) -> None:
        """While the main thread runs a task."""
        self.flush()
        if not _readable(self.sock, 20 * self.tick):
            return
        with self.reading:
            if self.is_idle:
                return
            try:
                if not self.receive(socket.MSG_DONTWAIT):
                    self.abandon()
            except ProtocolError as error:
                self.error, self.closed, self.broken = error, True, True
                self.abandon()


def _readable(sock: socket.socket, seconds: float) -> bool:
    import select
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class _Loop(_Link):
    """Many at a time: async functions on the loop of the main thread, which
    reads too; plain ones on threads."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.runs: Deque[Context] = collections.deque()  # for threads
        self.ready = threading.Semaphore(0)
        self.threads = 0
        self.waiting: Deque[Context] = collections.deque()  # for the loop
        self.running = 0
        self.is_flushing = False

    def serve(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.end: "asyncio.Future[None]" = self.loop.create_future()
        self.hello()
        self.loop.add_reader(self.sock, self._on_readable)
        try:
            await self.end
        finally:
            self.loop.remove_reader(self.sock)

    def _on_readable(self) -> None:
        try:
            self.receive(socket.MSG_DONTWAIT)
        except ProtocolError as error:
            self.loop.remove_reader(self.sock)
            self.closed = True
            self.end.set_exception(error)
            return
        if self.closed:
            self.loop.remove_reader(self.sock)
            self.abandon()
        self._look_for_end()

    def _look_for_end(self) -> None:
        if (self.closed or self.draining) and not self.open and \
                not self.end.done():
            self.flush()
            self.end.set_result(None)

    def begin(self, ctx: Context) -> None:
        found = ctx._task
        if found is None:
            self.answer(ctx, _answer(ctx))
            self._flush_soon()
        elif found.is_async:
            self.waiting.append(ctx)
            self._start_waiting()
        else:
            self.runs.append(ctx)
            self.ready.release()
            if self.threads < min(self.concurrency, len(self.open)):
                self.threads += 1
                threading.Thread(target=self._thread, daemon=True,
                                 name=f"muster-{self.threads}").start()

    # Async functions.

    def _start_waiting(self) -> None:
        while self.waiting and self.running < self.concurrency:
            ctx = self.waiting.popleft()
            if ctx._answered:
                continue
            ctx._started = True
            self.running += 1
            ctx._async = self.loop.create_task(_answer_async(ctx))
            ctx._async.add_done_callback(functools.partial(self._ended, ctx))

    def _ended(self, ctx: Context, ended: "asyncio.Task[str]") -> None:
        if ended.cancelled():  # before its first step
            self.answer(ctx, _failure(ctx, Cancelled()))
        elif ended.exception() is None:
            self.answer(ctx, ended.result())
        self.running -= 1
        self._flush_soon()
        self._start_waiting()

    def cancel_running(self, ctx: Context, reason: str) -> None:
        super().cancel_running(ctx, reason)
        if ctx._async is not None:
            ctx._async.cancel(reason)

    def _flush_soon(self) -> None:
        """Once for all that end in this turn of the loop."""
        if not self.is_flushing:
            self.is_flushing = True
            self.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self.is_flushing = False
        self.flush()
        self._look_for_end()

    # Plain functions.

    def _thread(self) -> None:
        while True:
            self.ready.acquire()
            ctx = self.runs.popleft()
            ctx._started = True
            if ctx._answered:
                continue
            self.answer(ctx, _answer(ctx))
            self.flush()
            if (self.draining or self.closed) and not self.open:
                self.loop.call_soon_threadsafe(self._look_for_end)


# Running.

def _descriptor() -> Optional[int]:
    try:
        fd = int(os.environ["MUSTER_FD"])
        os.set_inheritable(fd, False)
        return fd
    except (KeyError, ValueError, OSError):
        return None


_fd = _descriptor()  # as early as can be: no child may have it


def run(concurrency: int = 1, *, prefetch: int = 0, grace: float = 5.0,
        log: bool = True) -> None:
    """Runs tasks until musterd says that it is enough, then returns.

    concurrency: so many at a time, plain functions on threads, async ones on
    one loop; plain ones at concurrency 1 run in the calling thread. Call it
    from the main thread.
    prefetch: so many more are handed over to wait here, which short tasks
    gain by; their time limit runs meanwhile.
    grace: seconds that functions have for tidying up when the worker is gone;
    then the process ends.
    log: the root logger writes to standard error unless it has a handler.
    """
    if concurrency < 1 or prefetch < 0 or concurrency + prefetch > 1000:
        raise ValueError("concurrency is at least 1, prefetch at least 0, "
                         "both together at most 1000")
    if not _tasks:
        raise RuntimeError('there is no task: @muster.task("kind") makes one')
    sock = _take_socket()
    if log:
        _set_up_log()
    kind = _Loop if concurrency > 1 or any(
        one.is_async for one in _tasks.values()) else _Inline
    try:
        kind(sock, concurrency, prefetch, grace).serve()
    finally:
        sock.close()


def _take_socket() -> socket.socket:
    global _fd
    fd = _descriptor() if _fd is None else _fd
    if fd is None:
        raise RuntimeError(
            "MUSTER_FD names no open descriptor: this program is started by "
            "musterd, as the pool of a handler in musterd.yaml")
    _fd = None
    os.environ.pop("MUSTER_FD", None)
    sock = socket.socket(fileno=fd)
    sock.setblocking(True)
    # A child made by fork alone must not talk, nor keep the socket open.
    os.register_at_fork(after_in_child=sock.close)
    return sock


# The log.

_log = logging.getLogger("muster")


class LogHandler(logging.Handler):
    """Writes records to standard error, from where they get into the
    journal: with MUSTER_LOG=json in the environment one JSON object a line,
    `{"log":{"level":4,"message":…,"id":"42","logger":…}}` with syslog's
    levels and what `extra` holds, of which the worker makes fields; else plain
    lines."""

    # Longer lines are no objects to the worker, so messages are cut.
    limit = 12000
    _known = frozenset(vars(logging.makeLogRecord({}))) | {
        "message", "asctime", "taskName"}
    _ours = frozenset(("level", "message", "id", "logger"))

    def __init__(self, level: int = logging.NOTSET):
        super().__init__(level)
        self.json = os.environ.get("MUSTER_LOG") == "json"

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self._json_of(record) if self.json else \
                self._plain_of(record)
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def _json_of(self, record: logging.LogRecord) -> str:
        level = 7 if record.levelno < 20 else 6 if record.levelno < 30 else \
            4 if record.levelno < 40 else 3
        line = f'{{"log":{{"level":{level},"message":' \
            f'{_short(self.format(record), self.limit)}'
        ctx = _current.get()
        if ctx is not None:
            line += f',"id":{_quote(ctx.id)}'
        line += f',"logger":{_short(record.name, 256)}'
        room = self.limit + 3000
        for name, value in vars(record).items():
            if name in self._known:
                continue
            field = f',{_short(name, 64)}:{_value(value)}' \
                if name not in self._ours else f',"{name}_":{_value(value)}'
            if len(line.encode()) + len(field.encode()) <= room:
                line += field
        return line + "}}"

    def _plain_of(self, record: logging.LogRecord) -> str:
        ctx = _current.get()
        about = f"task {ctx.id}: " if ctx is not None else ""
        return f"{record.levelname.lower()}: {about}{record.name}: " \
            f"{self.format(record)}"


def _short(words: str, limit: int) -> str:
    """A string in JSON of so many bytes at most."""
    text = _text(words)
    while len(text.encode()) > limit:
        words = words[:len(words) * limit // (len(text.encode()) + 8)] + "…"
        text = _text(words)
    return text


def _value(value: Any) -> str:
    """A field's value in JSON, whatever it is."""
    try:
        text = _json(value, "the value")
    except Fail:
        text = ""
    if text == "" or isinstance(value, str) or len(text) > 1024:
        text = _short(value if isinstance(value, str) else
                      text or str(value), 1024)
    return text


def _set_up_log() -> None:
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(LogHandler())
        if root.level == logging.WARNING:  # as it is by itself
            root.setLevel(logging.INFO)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(line_buffering=True)  # print() too is seen at once


# Enqueuing.

_Interval = Union[None, str, int, float, datetime.timedelta]
_NONE: Mapping[str, Any] = {}


def _interval(value: _Interval) -> Union[None, str, datetime.timedelta]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value!r} seconds"
    return value  # type: ignore[return-value]


def _call(function: str, *named: Tuple[str, str, Any]) -> Tuple[str, List[Any]]:
    given = [(name, kind, value) for name, kind, value in named
             if value is not None]
    words = ", ".join(f"{name} => %s::{kind}" for name, kind, _ in given)
    return f"SELECT muster.{function}({words})", [one[2] for one in given]


def enqueue_sql(kind: str, payload: Any = _NONE, *,
                queue: Optional[str] = None, priority: Optional[int] = None,
                run_at: Optional[datetime.datetime] = None,
                depends_on: Optional[Sequence[int]] = None,
                depends_when: Optional[str] = None,
                flow_id: Optional[Union[int, str]] = None,
                max_attempts: Optional[int] = None, timeout: _Interval = None,
                wake: Optional[bool] = None, needs_mode: Optional[str] = None,
                unique_key: Optional[str] = None,
                unique_for: _Interval = None,
                on_conflict: Optional[str] = None,
                lock_key: Optional[str] = None,
                lock_limit: Optional[int] = None) -> Tuple[str, List[Any]]:
    """The statement and the arguments of enqueue(), for drivers that enqueue()
    cannot use: `await connection.execute(*muster.enqueue_sql("resize"))`."""
    return _call(
        "enqueue", ("kind", "text", kind), ("payload", "jsonb", _dump(payload)),
        ("queue", "text", queue), ("priority", "int", priority),
        ("run_at", "timestamptz", run_at),
        ("depends_on", "bigint[]",
         None if depends_on is None else [int(one) for one in depends_on]),
        ("depends_when", "text", depends_when),
        ("flow_id", "bigint", None if flow_id is None else int(flow_id)),
        ("max_attempts", "int", max_attempts),
        ("timeout", "interval", _interval(timeout)), ("wake", "boolean", wake),
        ("needs_mode", "text", needs_mode),
        ("unique_key", "text", unique_key),
        ("unique_for", "interval", _interval(unique_for)),
        ("on_conflict", "text", on_conflict), ("lock_key", "text", lock_key),
        ("lock_limit", "int", lock_limit))


def enqueue(connection: Any, kind: str, payload: Any = _NONE,
            **options: Any) -> int:
    """Enqueues a task over a connection of psycopg2 or psycopg 3, in its
    transaction: it is there when, and only if, that commits. Gives its id.

    Options are those of muster.enqueue: queue, priority, run_at (a datetime),
    depends_on (ids), depends_when, needs_mode ("all", "any", "at_least 2"),
    flow_id, max_attempts, timeout (seconds or a timedelta), wake, unique_key,
    unique_for (as timeout), on_conflict (keep: the id is that of the task that
    has the key; replace or error), lock_key and lock_limit.
    """
    return _fetch(connection, *enqueue_sql(kind, payload, **options))[0]


def enqueue_many_sql(kind: str, payloads: Sequence[Any], *,
                     queue: Optional[str] = None,
                     priority: Optional[int] = None,
                     run_at: Optional[datetime.datetime] = None,
                     max_attempts: Optional[int] = None,
                     timeout: _Interval = None,
                     wake: Optional[bool] = None,
                     unique_keys: Optional[Sequence[Optional[str]]] = None,
                     unique_for: _Interval = None,
                     on_conflict: Optional[str] = None,
                     lock_keys: Optional[Sequence[Optional[str]]] = None,
                     lock_limit: Optional[int] = None
                     ) -> Tuple[str, List[Any]]:
    """The statement and the arguments of enqueue_many()."""
    return _call(
        "enqueue_many", ("kind", "text", kind),
        ("payloads", "text[]::jsonb[]", [_dump(one) for one in payloads]),
        ("queue", "text", queue), ("priority", "int", priority),
        ("run_at", "timestamptz", run_at),
        ("max_attempts", "int", max_attempts),
        ("timeout", "interval", _interval(timeout)), ("wake", "boolean", wake),
        ("unique_keys", "text[]", unique_keys and list(unique_keys)),
        ("unique_for", "interval", _interval(unique_for)),
        ("on_conflict", "text", on_conflict),
        ("lock_keys", "text[]", lock_keys and list(lock_keys)),
        ("lock_limit", "int", lock_limit))


def enqueue_many(connection: Any, kind: str, payloads: Sequence[Any],
                 **options: Any) -> List[int]:
    """Enqueues a task for each payload, as enqueue() does; their ids in
    order. Options: queue, priority, run_at, max_attempts, timeout, wake,
    unique_keys and lock_keys (one or None a payload), unique_for, on_conflict,
    lock_limit."""
    statement, arguments = enqueue_many_sql(kind, payloads, **options)
    return _fetch(connection, statement, arguments)


def _dump(payload: Any) -> str:
    return json.dumps(payload, ensure_ascii=False, allow_nan=False)


def _fetch(connection: Any, statement: str, arguments: List[Any]) -> List[int]:
    cursor = connection.cursor()
    try:
        cursor.execute(statement, arguments)
        return [next(iter(row.values())) if isinstance(row, Mapping)
                else row[0] for row in cursor.fetchall()]
    finally:
        cursor.close()
