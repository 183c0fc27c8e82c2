"""What functions are given, what is made of what they return and raise."""

import json
import os
import tempfile
import unittest

from .fake_worker import FakeWorker

KINDS = """
    import muster, sys, time, asyncio, decimal

    @muster.task("echo")
    def echo(payload):
        return payload

    @muster.task("nothing")
    def nothing():
        pass

    @muster.task("context")
    def context(payload, ctx):
        assert muster.current() is ctx
        return [ctx.id, ctx.kind, ctx.attempt, ctx.token, ctx.deadline,
                ctx.timeout_ms, ctx.inputs, ctx.payload == payload,
                ctx.cancelled(), ctx.flow]

    @muster.task("annotated")
    def annotated(task: muster.Context):
        return task.id

    @muster.task("tells")
    def tells(payload, ctx):
        ctx.progress(0.4, "page 2 of 5 \\u201c\\"\\n\\0")
        ctx.chunk({"line": 1})
        ctx.progress(7)
        return "told"

    @muster.task("raises")
    def raises(payload):
        exec(payload)

    @muster.task("returns")
    def returns(payload):
        return eval(payload)
"""
PLAIN = KINDS + "\n    muster.run()\n"
LOOP = KINDS + "\n    muster.run(concurrency=3)\n"
ASYNC = KINDS.replace("    def ", "    async def ") + "\n    muster.run()\n"


class Base:
    """The same for each way of running them."""

    source = None

    def setUp(self):
        self.worker = FakeWorker(self.source)
        self.addCleanup(self.worker.__exit__)
        self.greeting = self.worker.hello()

    def result(self, kind, payload=None, **more):
        self.worker.run(1, kind, payload, **more)
        return self.worker.expect("done", 1)["result"]

    def failure(self, kind, payload=None):
        self.worker.run(1, kind, payload)
        failed = self.worker.expect("fail", 1)
        del failed["id"]
        return failed

    def test_hello_names_protocol_and_kinds(self):
        self.assertEqual(self.greeting["protocol"], 1)
        self.assertEqual(self.greeting["kinds"], sorted(
            ["echo", "nothing", "context", "annotated", "tells", "raises",
             "returns"]))

    def test_payload_comes_back(self):
        for payload in (None, {}, {"ä": ["\u2028", "\r", 12345678901234567890,
                                         "\U0001f600", 1.5, True, ""]}):
            self.assertEqual(self.result("echo", payload), payload)

    def test_large_payload_comes_back(self):
        large = "ö" * 700000
        self.assertEqual(self.result("echo", large), large)

    def test_no_parameter_and_no_result(self):
        self.assertIsNone(self.result("nothing", {"a": 1}))

    def test_context_knows_the_task(self):
        inputs = {"clean": {"task": "3", "state": "failed", "error": "bad"}}
        self.assertEqual(
            self.result("context", {"a": 1}, attempt=3, inputs=inputs),
            ["1", "context", 3, "9-1", 1732000000.5, 30000, inputs, True,
             False, None])
        self.assertEqual(self.result("context", flow="7")[-1], "7")

    def test_context_may_be_without_payload_and_by_annotation(self):
        self.assertEqual(self.result("annotated"), "1")

    def test_progress_and_chunk(self):
        self.worker.run(5, "tells")
        self.assertEqual(self.worker.expect("progress", 5), {
            "id": "5", "fraction": 0.4,
            "note": "page 2 of 5 \u201c\"\n\ufffd"})
        self.assertEqual(self.worker.expect("chunk", 5)["data"], {"line": 1})
        self.assertEqual(self.worker.expect("progress", 5)["fraction"], 1)
        self.assertEqual(self.worker.expect("done", 5)["result"], "told")

    def test_retry(self):
        self.assertEqual(
            self.failure("raises", "raise muster.Retry(after=30)"),
            {"error": "to be tried again", "retry": True, "after": 30})
        self.assertEqual(
            self.failure("raises", "raise muster.Retry('busy')"),
            {"error": "busy", "retry": True})

    def test_fail(self):
        self.assertEqual(
            self.failure("raises", "raise muster.Fail('for good')"),
            {"error": "for good", "retry": False})

    def test_exception_fails_the_attempt_and_says_where(self):
        failed = self.failure("raises", "None.name")
        self.assertTrue(failed["retry"])
        self.assertIn("AttributeError: 'NoneType'", failed["error"])
        self.assertIn("in <module>", failed["error"])

    def test_exit_in_a_task_ends_the_attempt_only(self):
        self.assertTrue(self.failure("raises", "sys.exit(3)")["retry"])
        self.assertEqual(self.result("echo", 1), 1)

    def test_words_that_postgresql_does_not_take(self):
        self.assertEqual(
            self.failure("raises", "raise muster.Fail('a\\0b\\ud800')"),
            {"error": "a\ufffdb?", "retry": False})

    def test_results_that_are_no_json_fail_for_good(self):
        for source in ("object()", "float('nan')", "'\\ud800'", "'a\\0'",
                       "{(1, 2): 3}", "decimal.Decimal(1)",
                       "(lambda own: own.append(own) or own)([])"):
            with self.subTest(source):
                failed = self.failure("returns", source)
                self.assertFalse(failed["retry"])
                self.assertIn("result", failed["error"])
        self.assertEqual(self.result("returns", r"'\\u0000'"), "\\u0000")

    def test_long_error_is_cut(self):
        failed = self.failure("raises", "raise ValueError('x' * 100000)")
        self.assertLess(len(failed["error"]), 5000)

    def test_unknown_kind_is_tried_again_elsewhere(self):
        self.assertTrue(self.failure("strange")["retry"])

    def test_many_in_one_write_are_all_answered(self):
        self.worker.send(*(self.worker.run_message(n, "echo", n)
                           for n in range(5000)))
        found = self.worker.answers(5000)
        for n in range(5000):
            self.assertEqual(found[str(n)][1]["result"], n)

    def test_line_in_pieces(self):
        line = b'{"run":{"id":"8","kind":"echo","payload":"\xc3\xa4"}}\n'
        for byte in line:
            self.worker.sock.sendall(bytes([byte]))
        self.assertEqual(self.worker.expect("done", 8)["result"], "ä")

    def test_words_of_later_versions_are_ignored(self):
        self.worker.send({"hint": {"id": "1"}})
        self.assertEqual(self.result("echo", 2, color="red"), 2)

    def test_garbage_ends_the_program(self):
        self.worker.sock.sendall(b"no json\n")
        code, _, err = self.worker.end()
        self.assertEqual(code, 1)
        self.assertIn("ProtocolError: not understood: no json", err)

    def test_garbage_among_good_lines_is_named(self):
        line = b'{"hint":{}}\n'
        self.worker.sock.sendall(3 * line + b'{"hint":{}},{}\n' + line)
        code, _, err = self.worker.end()
        self.assertEqual(code, 1)
        self.assertIn('not understood: {"hint":{}},{}\n', err)


class PlainTest(Base, unittest.TestCase):
    source = PLAIN

    def test_concurrency_is_told(self):
        self.assertEqual(self.greeting["concurrency"], 1)


class ThreadsTest(Base, unittest.TestCase):
    source = LOOP

    def test_concurrency_is_told(self):
        self.assertEqual(self.greeting["concurrency"], 3)


class AsyncTest(Base, unittest.TestCase):
    source = ASYNC


class LimitTest(unittest.TestCase):
    def test_result_over_max_message_fails_for_good(self):
        with FakeWorker(PLAIN, {"MUSTER_MAX_MESSAGE": "1000"}) as worker:
            worker.hello()
            worker.run(1, "echo", "x" * 900)
            worker.expect("done", 1)
            worker.run(2, "echo", "ä" * 500)
            self.assertFalse(worker.expect("fail", 2)["retry"])


    def test_chunk_over_max_message_is_refused(self):
        with FakeWorker(PLAIN, {"MUSTER_MAX_MESSAGE": "5000"}) as worker:
            worker.hello()
            worker.run(1, "raises", "muster.current().chunk('x' * 5000)")
            fail = worker.expect("fail", 1)
            self.assertFalse(fail["retry"])
            self.assertEqual(
                fail["error"], "a chunk is larger than max_message (5000 bytes)")
            worker.run(2, "raises", r"raise ValueError('\x01' * 9000)")
            error = worker.expect("fail", 2)["error"]
            self.assertLess(len(json.dumps(error)), 4900)


class RegistrationTest(unittest.TestCase):
    def refused(self, source):
        import muster
        with self.assertRaises((TypeError, ValueError)):
            exec(source, {"muster": muster})

    def test_wrong_functions_are_refused(self):
        self.refused("@muster.task('wrong-1')\ndef f(a, b): pass")
        self.refused("@muster.task('wrong-2')\ndef f(a, *, b): pass")
        self.refused("@muster.task\ndef f(a): pass")
        self.refused("for n in 1, 2:\n @muster.task('wrong-3')\n"
                     " def f(a): pass")

    def test_defaults_and_stars_are_allowed(self):
        import muster
        muster.task("right-1")(lambda payload=None, ctx=None, more=3: None)
        muster.task("right-2")(lambda *given, **named: None)
        self.assertEqual(muster._tasks["right-1"].call(
            type("Ctx", (), {"payload": 1})()), None)

    def test_numbers_that_a_worker_would_refuse(self):
        import muster
        for wrong in ({"concurrency": 0}, {"prefetch": -1},
                      {"concurrency": 900, "prefetch": 101}):
            with self.assertRaises(ValueError):
                muster.run(**wrong)

    def test_run_by_hand_says_what_is_missing(self):
        with FakeWorker(PLAIN, {"MUSTER_FD": ""}) as worker:
            code, _, err = worker.end()
        self.assertEqual(code, 1)
        self.assertIn("musterd.yaml", err)


class LogTest(unittest.TestCase):
    SOURCE = """
        import muster, logging
        log = logging.getLogger("app")
        @muster.task("log")
        def speak(payload):
            log.warning("%s %d", "äh", 5)
            log.info("two\\nlines")
            log.debug("unheard")
            print("printed")
        log.info("early")
        muster.run()
    """

    def lines(self, environment):
        with FakeWorker(self.SOURCE, environment) as worker:
            worker.hello()
            worker.run(42, "log")
            worker.expect("done", 42)
            worker.drain()
            code, out, err = worker.end()
        self.assertEqual(code, 0)
        self.assertEqual(out, "printed\n")
        return err.splitlines()

    def test_plain_lines_name_the_task(self):
        self.assertEqual(self.lines({"MUSTER_LOG": ""}), [
            "warning: task 42: app: äh 5", "info: task 42: app: two", "lines"])

    def test_json_lines_have_level_and_task(self):
        self.assertEqual(
            [json.loads(line) for line in self.lines({"MUSTER_LOG": "json"})],
            [{"log": {"level": 4, "message": "äh 5", "logger": "app",
                      "id": "42"}},
             {"log": {"level": 6, "message": "two\nlines", "logger": "app",
                      "id": "42"}}])

    def records(self, *calls):
        source = ("import muster, logging", "muster._set_up_log()",
                  "log = logging.getLogger('app')", *calls)
        with FakeWorker("\n".join(source), {"MUSTER_LOG": "json"}) as worker:
            code, _, err = worker.end()
        self.assertEqual(code, 0)
        for line in err.splitlines():
            self.assertLess(len(line.encode()), 16000)
        return [json.loads(line)["log"] for line in err.splitlines()]

    def test_extra_becomes_fields(self):
        found, = self.records(
            'log.warning("m", extra={"size": 7, "id": "own", "nan": '
            'float("nan"), "nul": "\\0", "list": [1, None], "set": {2}})')
        self.assertEqual(found, {
            "level": 4, "message": "m", "logger": "app", "size": 7,
            "id_": "own", "nan": "nan", "nul": "\ufffd", "list": [1, None],
            "set": "{2}"})

    def test_lines_stay_readable_to_the_worker(self):
        long, many = self.records(
            'log.info("\\x01ä" * 20000)',
            'log.info("m", extra={f"f{n}": "ä" * 9000 for n in range(40)})')
        self.assertTrue(long["message"].endswith("…"))
        self.assertTrue(many["f0"].endswith("…"))
        self.assertIn("f7", many)
        self.assertNotIn("f39", many)


class DescriptorTest(unittest.TestCase):
    def test_children_do_not_inherit_the_socket(self):
        with tempfile.TemporaryDirectory() as folder, FakeWorker(f"""
                import muster, os
                os.system("ls -l /proc/self/fd > {folder}/early")
                @muster.task("child")
                def child(payload):
                    return os.system("ls -l /proc/self/fd > {folder}/late"
                                     '; test -z "$MUSTER_FD"')
                muster.run()
                """) as worker:
            worker.hello()
            worker.run(1, "child")
            self.assertEqual(worker.expect("done", 1)["result"], 0)
            for name in "early", "late":
                with open(os.path.join(folder, name)) as file:
                    self.assertNotIn("socket:", file.read())

    def test_forked_child_does_not_keep_it_open(self):
        with FakeWorker("""
                import muster, os, time
                @muster.task("fork")
                def fork(payload):
                    if os.fork() == 0:
                        time.sleep(30)
                        os._exit(0)
                    os._exit(9)
                muster.run()
                """) as worker:
            worker.hello()
            worker.run(1, "fork")
            self.assertIsNone(worker.next(10))


if __name__ == "__main__":
    unittest.main()
