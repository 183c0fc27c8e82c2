"""The figures of a bench: what was measured, against which target."""

import json


class Table:
    def __init__(self):
        self.rows = []

    def add(self, name, value, unit="", at_least=None, at_most=None,
            note=""):
        ok = None
        if at_least is not None:
            ok = value >= at_least
        elif at_most is not None:
            ok = value <= at_most
        self.rows.append({
            "name": name, "value": value, "unit": unit,
            "at_least": at_least, "at_most": at_most, "ok": ok,
            "note": note})
        print(self._line(self.rows[-1]), flush=True)

    @staticmethod
    def head():
        line = f"{'':44} {'figure':>14} {'target':>10}"
        print(line + "\n" + "-" * (len(line) + 5), flush=True)

    @staticmethod
    def _line(row):
        target = ""
        if row["at_least"] is not None:
            target = f"≥ {_number(row['at_least'])}"
        elif row["at_most"] is not None:
            target = f"≤ {_number(row['at_most'])}"
        verdict = {None: "", True: "ok", False: "MISS"}[row["ok"]]
        figure = f"{_number(row['value'])} {row['unit']}".strip()
        note = f"  {row['note']}" if row["note"] else ""
        line = f"{row['name']:44} {figure:>14} {target:>10} {verdict:4}{note}"
        return line.rstrip()

    def misses(self):
        return [row["name"] for row in self.rows if row["ok"] is False]

    def write_json(self, path, about):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**about, "rows": self.rows}, file, indent=1,
                      ensure_ascii=False)
            file.write("\n")


def _number(value):
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}"


def ratio(above, below):
    """Of two sides measured in turns: the median of the ratios, since what
    else the machine does hits neighbours in time alike."""
    return median([a / b for a, b in zip(above, below)])


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values):
    return percentile(values, 0.5)
