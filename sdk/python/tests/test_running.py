"""Several at a time, cancelling, draining, the worker's end."""

import os
import signal
import tempfile
import time
import unittest

from .fake_worker import FakeWorker, wait_for_file

SOURCE = """
    import muster, asyncio, os, sys, threading, time, contextlib

    def touch(path):
        open(path, "w").close()

    @muster.task("ask")
    def ask(payload, ctx):
        touch(payload)
        while not ctx.cancelled():
            time.sleep(0.001)
        return "stopped: " + ctx.reason

    @muster.task("sleep")
    def sleep(payload, ctx):
        touch(payload)
        ctx.sleep(60)

    @muster.task("progress")
    def progress(payload, ctx):
        touch(payload)
        try:
            while True:
                time.sleep(0.001)
                ctx.check()
        except Exception:
            return "swallowed"
        finally:
            touch(payload + ".tidied")

    @muster.task("spin", interrupt=True)
    def spin(payload, ctx):
        touch(payload)
        try:
            while True:
                pass
        finally:
            touch(payload + ".tidied")

    @muster.task("talk", interrupt=True)
    def talk(payload, ctx):
        n = 0
        while True:
            n += 1
            ctx.chunk(n)

    @muster.task("short", interrupt=True)
    def short(payload):
        return payload

    @muster.task("stubborn")
    def stubborn(payload):
        touch(payload)
        while True:
            time.sleep(0.01)

    @muster.task("echo")
    def echo(payload):
        return payload

    @muster.task("held")
    def held(payload):
        touch(payload[0])
        while not os.path.exists(payload[1]):
            time.sleep(0.001)
        return threading.active_count()

    @muster.task("late")
    def late(payload, ctx):
        def on():
            time.sleep(0.05)
            ctx.progress(0.5)
            ctx.chunk("late")
            touch(payload)
        threading.Thread(target=on).start()
"""
ASYNC = """
    @muster.task("async")
    async def on_the_loop(payload, ctx):
        touch(payload)
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ctx.progress(0.9, "tidying")
            touch(payload + ".tidied")

    @muster.task("meet")
    async def meet(payload):
        global here
        here = globals().get("here", 0) + 1
        while here < payload:
            await asyncio.sleep(0.001)
        return here

    @muster.task("swallow")
    async def swallow(payload):
        touch(payload)
        with contextlib.suppress(muster.Cancelled):
            await asyncio.sleep(60)
        return "after all"

    @muster.task("own")
    async def own(payload):
        raise muster.Cancelled()
"""


class Running(unittest.TestCase):
    def start(self, ending):
        self.worker = FakeWorker(SOURCE + ending)
        self.addCleanup(self.worker.__exit__)
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.worker.hello()
        return self.worker

    def file(self, name):
        return os.path.join(self.folder.name, name)

    def begin(self, id, kind):
        """Starts a task and waits until its function runs."""
        path = self.file(f"{kind}-{id}")
        self.worker.run(id, kind, path)
        wait_for_file(path)
        return path


class CancelMixin:
    ending = None

    def setUp(self):
        self.start(self.ending)

    def test_function_that_asks_may_still_answer(self):
        self.begin(1, "ask")
        self.worker.cancel(1, "timeout")
        self.assertEqual(self.worker.expect("done", 1)["result"],
                         "stopped: timeout")

    def test_use_of_the_context_raises(self):
        path = self.begin(1, "progress")
        self.worker.cancel(1, "timeout")
        failed = self.worker.expect("fail", 1)
        self.assertEqual(failed["error"], "cancelled: timeout")
        self.assertTrue(failed["retry"])
        self.assertTrue(os.path.exists(path + ".tidied"))

    def test_sleep_is_ended(self):
        self.begin(1, "sleep")
        began = time.monotonic()
        self.worker.cancel(1)
        self.worker.expect("fail", 1)
        self.assertLess(time.monotonic() - began, 10)

    def test_interrupt_ends_a_function_that_never_looks(self):
        path = self.begin(1, "spin")
        self.worker.cancel(1)
        self.assertEqual(self.worker.expect("fail", 1)["error"],
                         "cancelled: asked")
        self.assertTrue(os.path.exists(path + ".tidied"))
        self.worker.run(2, "echo", 5)
        self.assertEqual(self.worker.expect("done", 2)["result"], 5)

    def test_interrupt_leaves_lines_whole(self):
        for n in range(20):
            self.worker.run(n, "talk")
            count = 0
            while count < 50:
                kind, body = self.worker.next()
                count += kind == "chunk"
                self.assertEqual(body["data"], count)
            self.worker.cancel(n)
            while True:
                kind, body = self.worker.next()
                if kind == "fail":
                    break
                count += 1
                self.assertEqual(body["data"], count)

    def test_interrupt_never_hits_another_task(self):
        for n in range(0, 2000, 2):
            self.worker.run(n, "short", n)
            self.worker.cancel(n)
            self.worker.run(n + 1, "echo", n)
            found = self.worker.answers(2)
            self.assertEqual(found[str(n + 1)][0], "done", found)

    def test_cancel_of_what_is_answered_is_ignored(self):
        self.worker.cancel(77)
        self.worker.run(1, "echo", 1)
        self.worker.expect("done", 1)
        self.worker.cancel(1)
        self.worker.run(2, "echo", 2)
        self.worker.expect("done", 2)

    def test_nothing_is_said_of_a_task_after_its_answer(self):
        path = self.file("late")
        self.worker.run(1, "late", path)
        self.worker.expect("done", 1)
        wait_for_file(path)
        self.worker.run(2, "echo", 2)
        self.worker.expect("done", 2)

    def test_drain_lets_the_running_task_end(self):
        path, go = self.file("held"), self.file("go")
        self.worker.run(1, "held", [path, go])
        wait_for_file(path)
        self.worker.drain()
        self.assertTrue(self.worker.is_silent(0.1))
        open(go, "w").close()
        self.worker.expect("done", 1)
        self.assertIsNone(self.worker.next())
        self.assertEqual(self.worker.end()[0], 0)

    def test_drain_of_an_idle_program_ends_it(self):
        self.worker.drain()
        self.assertIsNone(self.worker.next())
        code, out, err = self.worker.end()
        self.assertEqual((code, out, err), (0, "after\n", ""))

    def test_run_and_drain_in_one_write(self):
        self.worker.send(*(self.worker.run_message(n, "echo", n)
                           for n in range(300)), {"drain": {}})
        self.assertEqual(len(self.worker.answers(300)), 300)
        self.assertIsNone(self.worker.next())
        self.assertEqual(self.worker.end()[0], 0)

    def test_end_of_the_worker_ends_the_idle_program(self):
        self.worker.close()
        self.assertEqual(self.worker.end(), (0, "after\n", ""))

    def test_end_of_the_worker_cancels(self):
        path = self.begin(1, "progress")
        self.worker.close()
        self.assertEqual(self.worker.end(), (0, "after\n", ""))
        self.assertTrue(os.path.exists(path + ".tidied"))

    def test_end_of_the_worker_ends_the_stubborn(self):
        self.begin(1, "stubborn")
        self.worker.close()
        code, _, err = self.worker.end()
        self.assertEqual(code, 70)
        self.assertIn("does not end", err)

    def test_garbage_while_a_task_runs(self):
        self.begin(1, "progress")
        self.worker.sock.sendall(b"[1]\n")
        code, _, err = self.worker.end()
        self.assertEqual(code, 1)
        self.assertIn("ProtocolError", err)


class InlineTest(CancelMixin, Running):
    ending = "\n    muster.run(prefetch=10, grace=0.3); print('after')\n"

    def test_tasks_that_wait_are_cancelled_at_once(self):
        self.begin(1, "ask")
        self.worker.run(2, "echo", 2)
        self.worker.cancel(2)
        self.assertEqual(self.worker.expect("fail", 2)["error"],
                         "cancelled: asked")
        self.worker.cancel(1)
        self.worker.expect("done", 1)

    def test_answer_of_a_short_task_does_not_wait_for_a_long_one(self):
        path, go = self.file("held"), self.file("go")
        for n in range(100):  # now it is known to be short
            self.worker.run(n, "echo")
            self.worker.expect("done", n)
        self.worker.send(self.worker.run_message(201, "echo"),
                         self.worker.run_message(202, "held", [path, go]))
        self.worker.expect("done", 201)
        self.assertFalse(os.path.exists(go))
        open(go, "w").close()
        self.assertEqual(self.worker.expect("done", 202)["result"], 2)

    def test_end_of_the_worker_drops_what_waits(self):
        self.begin(1, "progress")
        path = self.file("never")
        self.worker.run(2, "stubborn", path)
        self.worker.close()
        self.assertEqual(self.worker.end(), (0, "after\n", ""))
        self.assertFalse(os.path.exists(path))


class ThreadsTest(CancelMixin, Running):
    ending = ("\n    muster.run(concurrency=4, prefetch=4, grace=0.3)"
              "; print('after')\n")

    def test_four_at_a_time(self):
        go = self.file("go")
        for n in range(6):
            self.worker.run(n, "held", [self.file(str(n)), go])
        for n in range(4):
            wait_for_file(self.file(str(n)))
        time.sleep(0.05)
        self.assertFalse(os.path.exists(self.file("4")))
        open(go, "w").close()
        self.assertEqual(len(self.worker.answers(6)), 6)

    def test_threads_are_made_as_needed(self):
        for n in range(20):
            self.worker.run(n, "echo")
            self.worker.expect("done", n)
        go = self.file("go")
        open(go, "w").close()
        self.worker.run(100, "held", [self.file("held"), go])
        self.assertLessEqual(self.worker.expect("done", 100)["result"], 3)


class AsyncTest(CancelMixin, Running):
    ending = ASYNC + ("\n    muster.run(concurrency=50, grace=0.3)"
                      "; print('after')\n")

    def test_async_ones_run_together(self):
        self.worker.send(*(self.worker.run_message(n, "meet", 50)
                           for n in range(50)))
        found = self.worker.answers(50)
        self.assertEqual({body["result"] for _, body in found.values()}, {50})

    def test_cancel_raises_in_await_once(self):
        path = self.begin(1, "async")
        self.worker.cancel(1, "timeout")
        self.worker.cancel(1, "shutdown")
        self.assertEqual(self.worker.expect("progress", 1)["note"], "tidying")
        self.assertEqual(self.worker.expect("fail", 1)["error"],
                         "cancelled: timeout")
        self.assertTrue(os.path.exists(path + ".tidied"))

    def test_cancel_that_is_swallowed(self):
        self.begin(1, "swallow")
        self.worker.cancel(1)
        self.assertEqual(self.worker.expect("done", 1)["result"], "after all")

    def test_cancel_before_the_first_step(self):
        self.worker.send(*(self.worker.run_message(n, "async", "/dev/null")
                           for n in range(20)),
                         *({"cancel": {"id": str(n), "reason": "asked"}}
                           for n in range(20)))
        for kind, body in self.worker.answers(20).values():
            self.assertEqual((kind, body["error"]),
                             ("fail", "cancelled: asked"))

    def test_own_cancellation_fails_the_attempt(self):
        self.worker.run(1, "own")
        self.assertEqual(self.worker.expect("fail", 1)["error"],
                         "it cancelled itself")

    def test_no_more_than_asked_run(self):
        self.worker.send(*(self.worker.run_message(n, "meet", 51)
                           for n in range(51)))
        self.assertTrue(self.worker.is_silent(0.2))
        self.worker.cancel(0)
        self.assertEqual(len(self.worker.answers(51)), 51)

    def test_end_of_the_worker_cancels_async(self):
        path = self.begin(1, "async")
        self.worker.close()
        self.assertEqual(self.worker.end()[0], 0)
        self.assertTrue(os.path.exists(path + ".tidied"))


class SignalTest(Running):
    def test_sigterm_ends_it_as_it_does_any_program(self):
        self.start("\n    muster.run()\n")
        self.worker.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.worker.end()[0], -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
