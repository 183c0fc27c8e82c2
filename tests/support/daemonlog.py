"""The daemon's standard error, read as JSON lines while it runs."""

import json
import threading

from .wait import wait_until

TROUBLE = {"warning", "error"}
# Says how loaded the machine is; tests of the loop's lag measure it.
TIMING = "held the event loop for"

# Always allowed: on a busy machine a loop waits for the processor, too. Tests
# of the loop look at its lag themselves.
BUSY = "held the event loop"


class Line:
    def __init__(self, text):
        self.text = text
        try:
            self.fields = json.loads(text)
        except ValueError:
            self.fields = {}
        self.level = self.fields.get("level", "none")
        self.message = self.fields.get("message", text)

    def __repr__(self):
        return self.text


class DaemonLog:
    """Reads a pipe in a thread; `pause` stalls it as a stuck reader would."""

    def __init__(self, pipe):
        self.lines = []
        self._allowed = [BUSY]
        self._go = threading.Event()
        self._go.set()
        self._thread = threading.Thread(
            target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe):
        with pipe:
            for text in pipe:
                self._go.wait()
                self.lines.append(
                    Line(text.decode(errors="replace").rstrip("\n")))

    def pause(self):
        self._go.clear()

    def resume(self):
        self._go.set()

    def finish(self, limit=5):
        """The rest of what was written; the writers are gone."""
        self.resume()
        self._thread.join(limit)

    def find(self, part, level=None, **fields):
        """The lines whose text holds `part`, with that level and fields."""
        return [line for line in list(self.lines)
                if part in line.text
                and (level is None or line.level == level)
                and all(str(line.fields.get(name)) == str(value)
                        for name, value in fields.items())]

    def wait_for(self, part, limit=10, level=None, **fields):
        return wait_until(lambda: self.find(part, level, **fields), limit,
                          f"a log line with {part!r} {fields or ''}")[-1]

    def allow(self, *parts):
        """Warnings and errors with one of these words are expected."""
        self._allowed += parts

    def trouble(self):
        """Warnings and errors that nobody expected, and lines that are no
        JSON (a sanitizer's report, say)."""
        return [line for line in list(self.lines)
                if (line.level in TROUBLE or not line.fields)
                and line.text.strip()
                and not any(part in line.text for part in self._allowed)]

    def tail(self, count=40):
        return "\n".join(line.text for line in self.lines[-count:])
