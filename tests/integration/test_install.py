"""What `make install` does where an earlier version was installed."""

import subprocess

from support import build


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
