"""Each kind of handler under the hardened unit, and what one may do there.

doc/security.md says it as a table; these are its proofs.
"""

import json

import pytest

from support.service import shell

# (what, shell line, whether it works)
MAY = [
    ("write to its private /tmp", "echo x >/tmp/x && rm /tmp/x", True),
    ("write to its state folder", "echo x >/var/lib/musterd/x", True),
    ("write to its cache folder", "echo x >/var/cache/musterd/x", True),
    ("write to /etc", "echo x >/etc/x", False),
    ("write to /usr", "echo x >/usr/x", False),
    ("write to /srv", "echo x >/srv/x", False),
    ("read /usr and /etc", "cat /etc/hostname /usr/bin/true >/dev/null", True),
    ("see /home", "ls /home/somebody", False),
    ("see /root", "ls /root/.profile", False),
    ("use a loopback TCP connection",
     "/usr/bin/python3 -c 'import socket;"
     "socket.create_connection((\"127.0.0.1\",6379)).close()'", True),
    ("use a Unix socket",
     "/usr/bin/python3 -c 'import socket;s=socket.socket(socket.AF_UNIX);"
     "s.connect(\"/run/postgresql/.s.PGSQL.5432\")'", True),
    ("open a packet socket",
     "/usr/bin/python3 -c 'import socket;"
     "socket.socket(socket.AF_PACKET,socket.SOCK_RAW)'", False),
    ("map memory writable and executable",
     "/usr/bin/python3 -c 'import mmap;mmap.mmap(-1,4096,"
     "prot=mmap.PROT_READ|mmap.PROT_WRITE|mmap.PROT_EXEC)'", True),
    ("become somebody else", "setpriv --reuid=0 true", False),
    ("gain rights by a setuid program",
     "su -s /bin/true nobody </dev/null", False),
    ("mount", "mount -t tmpfs none /mnt", False),
    ("make a user namespace", "unshare -U true", False),
    ("trace another process",
     "/usr/bin/python3 -c 'import ctypes,sys;l=ctypes.CDLL(None);"
     "sys.exit(l.ptrace(16,1,0,0)!=0)'", False),
    ("see other users' processes", "ls /proc/1/status", False),
    ("write kernel settings", "echo 1 >/proc/sys/kernel/sysrq", False),
    ("open a disk or /dev/mem", "head -c1 /dev/mem || head -c1 /dev/vda",
     False),
    ("use /dev/null, /dev/urandom and /dev/shm",
     "head -c1 /dev/urandom >/dev/null && echo x >/dev/shm/x", True),
    ("be nicer", "nice -n 5 true", True),
    ("choose its processors", "taskset 1 true", True),
    ("make a setuid file", "cp /bin/true /tmp/t && chmod u+s /tmp/t", False),
    ("set the clock", "date -s 2020-01-01", False),
    ("run Python", "/usr/bin/python3 -c 'print(1)'", True),
    ("compile C", "cd /tmp && echo 'int main(void){return 0;}' >t.c "
     "&& cc t.c -o t && ./t", True),
]


@pytest.fixture
def probes(service, box):
    """The service with one handler that runs the payload's shell line."""
    box.run("mkdir -p /home/somebody; touch /root/.profile")
    box.write("/usr/local/bin/probe", "#!/usr/bin/python3\n"
              "import json, subprocess, sys\n"
              "done = subprocess.run(['sh', '-c', json.load(sys.stdin)['line']],"
              " capture_output=True, text=True)\n"
              "print(json.dumps([done.returncode, done.stderr]))\n", 0o755)
    service.start(handlers={"probe": {"exec": ["/usr/local/bin/probe"]}})
    return service


def test_I1_what_a_handler_may_do(probes):
    wrong = []
    tasks = [(probes.enqueue("probe", {"line": line.replace("'", "''")}),
              what, works) for what, line, works in MAY]
    for task, what, works in tasks:
        code, said = json.loads(probes.wait_task(task)[0])
        if (code == 0) != works:
            wrong.append(f"{what}: exit code {code}, {said.strip()}")
    assert not wrong, "\n".join(wrong)


def test_I1_exec_sql_and_noop_work_under_the_unit(service, box):
    box.sql("""
        DO $$ BEGIN CREATE ROLE rollup NOLOGIN;
        EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        GRANT rollup TO musterd;
        GRANT muster_client TO rollup;
        CREATE SCHEMA IF NOT EXISTS work AUTHORIZATION rollup;
        CREATE OR REPLACE FUNCTION work.double(
            payload jsonb, inputs jsonb, task muster.task_context)
        RETURNS jsonb LANGUAGE sql AS
        $$ SELECT to_jsonb((payload->>'n')::int * 2) $$;
        GRANT USAGE ON SCHEMA work TO rollup""")
    service.start(handlers={
        "noop": {"noop": True},
        "program": {"exec": shell("cat")},
        "rollup": {"sql": "work.double", "role": "rollup"}})
    assert service.wait_task(service.enqueue("noop"))[1] == ""
    assert json.loads(service.wait_task(
        service.enqueue("program", {"a": 1}))[0]) == {"a": 1}
    assert service.wait_task(
        service.enqueue("rollup", {"n": 21}))[0] == "42"


def test_I1_program_that_is_missing_is_shown(service, box):
    """Before the first task needs it, until the configuration is mended."""
    service.start(handlers={"gone": {"exec": ["/no/such/program"]}})
    assert "/no/such/program" in service.ctl("status")
    assert [line for line in service.messages("PRIORITY=4")
            if "handler of gone cannot run: /no/such/program" in line]
    service.write(handlers={"gone": {"exec": ["/bin/true"]}})
    box.run("systemctl reload musterd")
    assert "/no/such/program" not in service.ctl("status")
