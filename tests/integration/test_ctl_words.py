"""Help, usage, the manual page and the completion: they say the same."""

import json
import os
import re
import subprocess

import pytest
from support import build
from support.daemon import ctl

MANUAL = os.path.join(build.TOP, "doc", "musterctl.1")
COMPLETION = os.path.join(build.TOP, "ctl", "completion", "musterctl")


def verbs():
    text = ctl("--help")
    part = re.search(r"\nVerbs\n(.*?)\n\n", text, re.S).group(1)
    return [line.split()[0] for line in part.splitlines()]


def options(verb):
    """The long options of its own."""
    text = ctl(verb, "--help").split("\nOptions of every verb\n")[0]
    return re.findall(r"^  (?:-\w,|  ) (--[\w-]+)", text, re.M)


def test_every_verb_has_help_with_examples():
    assert len(verbs()) >= 20
    for verb in verbs():
        text = ctl(verb, "--help")
        assert text.startswith(f"musterctl {verb}")
        examples = text.split("\nExamples\n")[1]
        assert f"musterctl {verb}" in examples
        assert "--database" in text and "--json" in text


def test_manual_names_every_verb_and_option():
    with open(MANUAL, encoding="utf-8") as file:
        manual = file.read().replace("\\-", "-")
    sections = re.split(r'^\.SS "(\S+).*"$', manual, flags=re.M)
    assert sections[1::2] == verbs()
    for verb, section in zip(sections[1::2], sections[2::2]):
        for option in options(verb):
            assert f"\\fB{option}\\fR" in section, f"{verb} {option}"


def complete(*words):
    """What bash offers after these words."""
    line = " ".join(f"'{word}'" for word in ("musterctl", *words))
    script = (f". {COMPLETION}; compopt() {{ :; }}; COMP_WORDS=({line}); "
              f"COMP_CWORD={len(words)}; _musterctl /bin/false; "
              'printf "%s\\n" "${COMPREPLY[@]}"')
    return subprocess.run(["bash", "-c", script], check=True, text=True,
                          capture_output=True).stdout.split()


def test_completion_knows_every_verb_and_option():
    assert complete("") == verbs()
    assert complete("ta") == ["tasks", "task", "tail"]
    for verb in verbs():
        assert set(options(verb)) <= set(complete(verb, "--")), verb
    assert "failed" in complete("tasks", "--state", "")
    assert complete("log-level", "d") == ["debug"]
    assert complete("-c", "x.yaml", "reto") == []
    assert complete("-c", "x.yaml", "retr") == ["retry"]


def test_no_verb_and_unknown_verbs():
    done = ctl(code=None)
    assert done.returncode == 2 and "Verbs" in done.stderr
    done = ctl("taks", code=None)
    assert done.returncode == 2
    assert "did you mean" in done.stderr
    done = ctl("\x1b[31mx", code=None)
    assert done.returncode == 2 and "\x1b" not in done.stderr
    assert ctl("--version").startswith("musterctl ")


@pytest.mark.parametrize("words", [
    ["task"], ["task", "x"], ["task", "0"], ["task", "-1"], ["task", "1", "2"],
    ["task", "99999999999999999999"], ["why", "1x"], ["tail"],
    ["tail", "1", "--flow", "1"], ["cancel"], ["cancel", "1", "--flow", "2"],
    ["retry"], ["retry", "1", "--failed"], ["pause"], ["log-level", "loud"],
    ["tasks", "--state", "lost"], ["tasks", "--limit", "x"],
    ["tasks", "--flow", "x"], ["graph"], ["run"], ["status", "x"]])
def test_wrong_words(words):
    done = ctl(*words, code=None)
    assert done.returncode == 2, done.stderr
    assert f"usage: musterctl {words[0]}" in done.stderr


def test_configuration_that_is_wrong(folder):
    path = os.path.join(folder, "c.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("databse: x\n")
    for verb in (["tasks"], ["status"], ["check"]):
        done = ctl(*verb, config=path, code=None)
        assert done.returncode == 78, verb
        assert f"{path}:1:1: " in done.stderr
        assert "database" in done.stderr
    done = ctl("tasks", environment={"MUSTERD_CONFIG": path}, code=None)
    assert done.returncode == 78 and path in done.stderr


def test_answers_that_cannot_be_written(db):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [build.path("musterctl"), "queues", "--json", "--database",
             db.conninfo()], stdout=full, stderr=subprocess.PIPE, text=True,
            env=build.environment(), check=False)
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_json_of_empty_lists(db):
    for verb in ("tasks", "workers"):
        assert json.loads(ctl(verb, "--json", "--database",
                              db.conninfo())) == []
