"""What `make install` does where an earlier version was installed."""

import subprocess

import pytest

from support import build

pytestmark = pytest.mark.plain


def install(root):
    subprocess.run(["make", "-s", "install", f"DESTDIR={root}"],
                   cwd=build.BUILD, check=True, capture_output=True,
                   timeout=300)
    return next(root.glob("**/musterd/musterd.yaml"))


def test_i1_install_keeps_an_edited_configuration(tmp_path):
    file = install(tmp_path)
    new = file.with_name("musterd.yaml.new")
    shipped = file.read_text()
    install(tmp_path)
    assert not new.exists()
    file.write_text(shipped + "workers: 1\n")
    install(tmp_path)
    assert file.read_text() == shipped + "workers: 1\n"
    assert new.read_text() == shipped


def test_i1_install_puts_no_fragment_into_force(tmp_path):
    file = install(tmp_path)
    assert not list(file.parent.glob("conf.d/*.yaml"))
    assert list(file.parent.glob("conf.d/*.example"))


def test_i1_install_puts_the_helpers_beside_the_programs(tmp_path):
    install(tmp_path)
    muster, = tmp_path.glob("**/bin/muster")
    assert subprocess.run([muster, "retry", "busy"], stderr=subprocess.PIPE,
                          check=False).returncode == 75
    sdk, = tmp_path.glob("**/share/musterd/sdk")
    assert {str(path.relative_to(sdk)) for path in sdk.glob("*/muster*")} == {
        "python/muster.py", "node/muster.js", "node/muster.d.ts"}
