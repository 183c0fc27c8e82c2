"""The unit as text, and what systemd says of it."""

import json

from support.box import unit_path


def test_I1_units_are_correct(box):
    # verify exits 0 for unknown keys: what it prints counts.
    for name in ("musterd.service", "musterd@one.service"):
        template = name.replace("one", "")
        done = box.try_run("systemd-analyze", "verify", "--man=no",
                           unit_path(box, template))
        assert (done.returncode, done.stderr) == (0, ""), name


def test_I1_security_score_is_at_most_2(box):
    for name in ("musterd.service", "musterd@.service"):
        done = box.try_run(
            "systemd-analyze", "security", "--offline=true", "--no-pager",
            "--threshold=20", unit_path(box, name))
        assert done.returncode == 0, done.stdout


def test_I1_score_inside_is_at_most_2(box):
    text = box.run("systemd-analyze security --no-pager --json=short musterd")
    exposure = sum(float(row["exposure"] or 0) for row in json.loads(text))
    assert exposure <= 3.0  # weights of single rows; the sum is only a guard


def test_I1_restart_rules(box):
    expected = {
        "Type": "notify", "Restart": "on-failure", "KillMode": "mixed",
        "OOMPolicy": "continue", "StartLimitIntervalUSec": "0",
        "RestartPreventExitStatus": "2 78", "LogRateLimitIntervalUSec": "0",
        "NotifyAccess": "main", "User": "musterd",
    }
    for name, value in expected.items():
        assert box.run("systemctl", "show", "musterd", "-P", name) == value
