"""Limits across hosts: what is lent to whom, and what may not happen when two
borrow, one dies, or a limit is lowered."""

import time

import pytest

from support.wait import wait_until


class Borrower:
    """A worker and what it has borrowed of one limit."""

    def __init__(self, worker, most=None, rate=None, burst=None, part=25,
                 scope="q", name="default"):
        self.worker = worker
        self.most, self.rate, self.burst = most, rate, burst
        self.part, self.scope, self.name = part, scope, name

    def arguments(self, busy=0, keep=0, left=0, spent_ms=0, room=0,
                  part=None):
        return ("SELECT * FROM muster.borrow(%s, %s, %s, %s::int[], "
                "%s::float8[], %s::int[], %s, %s, %s, %s, %s::bigint[], "
                "'{0}', %s)",
                self.worker.id, [self.scope], [self.name], [self.most],
                [self.rate], [self.burst],
                [self.part if part is None else part], [busy], [keep], [left],
                [spent_ms], [room])

    def ask(self, *words, **more):
        rows = self.worker.session.run(*self.arguments(*words, **more))
        return rows[0] if rows else None

    def send(self, *words, **more):
        self.worker.session.send(*self.arguments(*words, **more))


@pytest.fixture
def borrower(worker):
    def make(*words, **more):
        kinds = more.pop("kinds", ("a", "b", "c"))
        return Borrower(worker(kinds), *words, **more)
    return make


def lent(db):
    return db.one("SELECT coalesce(sum(held), 0) FROM muster.borrowed")


# max_running.

def test_A3_no_more_slots_are_lent_than_there_are(db, borrower):
    db.enqueue_many("a", 50)
    one, two = borrower(4), borrower(4)
    assert one.ask().held == 4
    answer = two.ask()
    assert (answer.held, answer.target, answer.short) == (0, 2, True)
    assert answer.contended
    answer = one.ask(busy=4, keep=1)
    assert (answer.held, answer.target) == (2, 2)
    assert two.ask().held == 2
    assert lent(db) == 4


def test_A3_nobody_borrows_for_nothing(db, borrower):
    one = borrower(4)
    answer = one.ask()
    assert (answer.held, answer.ready, answer.short) == (0, 0, False)
    db.enqueue_many("a", 2)
    assert one.ask().held == 2
    one.worker.claim()
    assert one.ask(busy=2, keep=2).held == 2
    assert one.ask(busy=0, keep=0).held == 0
    assert lent(db) == 0


def test_A3_what_the_worker_cannot_run_is_none_of_its(db, borrower, scheduler):
    db.enqueue_many("b", 5)
    assert borrower(4, kinds=("a",)).ask().held == 0
    assert borrower(4, kinds=("b",), scope="k", name="b").ask().held == 4
    steer(db, scheduler, "pause_kind", "b")
    assert borrower(4, kinds=("b",)).ask().held == 0


@pytest.mark.parametrize("first_commits", [True, False])
def test_A3_two_borrow_at_the_same_time(db, borrower, first_commits):
    db.enqueue_many("a", 50)
    one, two = borrower(4), borrower(4)
    one.worker.session.begin()
    assert one.ask().held == 4
    two.send()
    two.worker.session.wait_blocked()
    if first_commits:
        one.worker.session.commit()
    else:
        one.worker.session.rollback()
    answer = two.worker.session.answer()[0]
    assert answer.held == (0 if first_commits else 4)


def test_A3_a_rescue_returns_what_was_lent(db, borrower, scheduler):
    db.enqueue_many("a", 50)
    one, two = borrower(4), borrower(4)
    assert one.ask().held == 4
    assert two.ask().held == 0
    scheduler.session.run("SELECT muster.rescue(%s, 'gone', NULL, NULL)",
                          one.worker.id)
    assert two.ask().held == 4
    assert one.ask() is None, "the dead borrow nothing"


def test_A3_borrowing_while_the_borrower_is_rescued(db, borrower, scheduler):
    """The borrower is about to be dead: nothing is lent to it."""
    db.enqueue_many("a", 50)
    one, two = borrower(4), borrower(4)
    scheduler.session.begin()
    scheduler.session.run("SELECT muster.rescue(%s, 'gone', NULL, NULL)",
                          one.worker.id)
    one.send()
    one.worker.session.wait_blocked()
    assert two.ask().held == 4
    scheduler.session.commit()
    assert one.worker.session.answer() == []


def test_A3_rescue_while_the_worker_borrows(db, borrower, scheduler):
    """It waits, and returns what was lent meanwhile."""
    db.enqueue_many("a", 50)
    one, two = borrower(4), borrower(4)
    one.worker.session.begin()
    assert one.ask().held == 4
    scheduler.session.send("SELECT muster.rescue(%s, 'gone', NULL, NULL)",
                           one.worker.id)
    scheduler.session.wait_blocked()
    one.worker.session.commit()
    scheduler.session.answer()
    assert two.ask().held == 4


def test_A3_a_worker_that_leaves_returns_its_slots(db, borrower):
    db.enqueue_many("a", 50)
    one, two = borrower(4), borrower(4)
    one.ask()
    one.worker.session.run("SELECT muster.worker_leave(%s)", one.worker.id)
    assert two.ask().held == 4


def test_A3_the_smallest_limit_is_in_force(db, borrower):
    db.enqueue_many("a", 50)
    one, two = borrower(5), borrower(2)
    two.ask(part=0)
    assert one.ask().held == 2


def test_A3_a_lowered_limit_takes_no_running_task(db, borrower):
    db.enqueue_many("a", 50)
    one, two = borrower(6), borrower(6)
    assert one.ask().held == 6
    two.most = 2
    answer = two.ask()
    assert (answer.held, answer.target) == (0, 1)
    answer = one.ask(busy=6, keep=5)
    assert (answer.held, answer.target) == (5, 1)
    assert two.ask().held == 0, "all that there is still runs"
    assert one.ask(busy=1, keep=1).held == 1
    assert two.ask().held == 1
    assert lent(db) == 2


def test_A3_slots_go_round_where_there_are_too_few(db, borrower):
    """Three workers, one slot: each has it in its turn, the one that waits
    for longest first."""
    db.enqueue_many("a", 50)
    three = [borrower(1) for _ in range(3)]
    had = []
    for each in three:
        if each.ask().held:
            had.append(each)

    def goes_on():
        for each in three:
            answer = each.ask(keep=0)
            if answer.held and had[-1] is not each:
                had.append(each)
        return len(had) >= 6
    wait_until(goes_on, 10)
    assert had[:3] == had[3:6] and len(set(map(id, had[:3]))) == 3
    assert lent(db) == 1


def test_A3_who_waits_is_told_when_slots_come_free(db, borrower):
    db.enqueue_many("a", 50)
    listener = db.connect("musterd")
    listener.cursor().execute("LISTEN muster")
    one, two = borrower(4), borrower(4)
    one.ask()
    two.ask()
    assert f"cancel {one.worker.id}" in notices(listener)
    one.ask(keep=0)
    assert f"cancel {two.worker.id}" in notices(listener)
    listener.close()


def notices(connection):
    connection.cursor().execute("SELECT")
    connection.poll()
    found = [each.payload for each in connection.notifies]
    connection.notifies.clear()
    return found


# rate.

def test_A3_tokens_are_lent_up_to_the_burst(db, borrower):
    db.enqueue_many("a", 50)
    one, two = borrower(rate=1 / 3600, burst=3), borrower(rate=1 / 3600,
                                                          burst=3)
    assert one.ask(room=9).tokens == 1, "one at a time at such a rate"
    assert two.ask(room=9).tokens == 1
    assert one.ask(left=1, room=9).tokens == 1, "it has one"
    assert one.ask(left=0, room=9).tokens == 1, "the third"
    answer = one.ask(left=0, room=9)
    assert answer.tokens == 0 and 3500000 < answer.wait_ms <= 3600000
    assert two.ask(left=0, room=9).tokens == 0


def test_A3_a_token_that_is_not_used_fills_the_bucket(db, borrower):
    """Else those that lie with workers would come on top of the burst."""
    db.enqueue_many("a", 50)
    one, two = borrower(rate=1000, burst=1), borrower(rate=1000, burst=1)
    assert one.ask(room=9).tokens == 1
    time.sleep(0.02)
    assert two.ask(room=9).tokens == 0
    assert one.ask(left=1, room=0).tokens == 0, "given back"
    assert two.ask(room=9).tokens == 1


def test_A3_tokens_of_the_dead_are_not_used_again(db, borrower, scheduler):
    db.enqueue_many("a", 50)
    one, two = borrower(rate=1 / 3600, burst=1), borrower(rate=1 / 3600,
                                                          burst=1)
    assert one.ask(room=1).tokens == 1
    scheduler.session.run("SELECT muster.rescue(%s, 'gone', NULL, NULL)",
                          one.worker.id)
    assert two.ask(room=1).tokens == 0


def test_A3_in_no_span_start_more_than_burst_and_rate(db, borrower):
    """Two workers that use each token at once, as fast as they can."""
    db.enqueue_many("a", 200)
    both = [borrower(rate=50, burst=5) for _ in range(2)]
    starts = []
    left = [0, 0]
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for i, each in enumerate(both):
            before = time.monotonic()
            left[i] = each.ask(left=left[i], room=9).tokens
            starts += [before] * left[i]
            left[i] = 0
    for i, start in enumerate(starts):
        for j in range(i, len(starts)):
            assert j - i + 1 <= 5 + 50 * (starts[j] - start + 0.02)
    assert len(starts) > 40


# Ageing.

def test_A6_low_priority_moves_while_urgent_work_floods(db, worker):
    low = set(db.enqueue_many("a", 5, priority=-1000))
    one = worker()
    done = 0
    for _ in range(300):
        db.enqueue("a", priority=1000)
        claimed = one.claim({"a": 1}).ids
        done += len(low & set(claimed))
        one.finish(*claimed)
        if done == 5:
            return
    raise AssertionError(f"{done} of 5 after 300 urgent tasks")


# Pausing a kind.

def steer(db, scheduler, call, name):
    """Asks for it, as an application may, and has it carried out."""
    request = db.session("app").one(f"SELECT muster.{call}(%s)", name)
    scheduler.session.run("SELECT muster.carry_out(10)")
    return db.one("SELECT answer FROM muster.request_status(%s)", request)


def test_A3_a_paused_kind_is_not_claimed(db, worker, scheduler, reason):
    def ask(call):
        return steer(db, scheduler, call, "a")
    a, b = db.enqueue("a"), db.enqueue("b")
    assert ask("pause_kind") == "kind a is paused; what runs goes on"
    one = worker()
    assert one.claim().ids == [b]
    assert "its kind a is paused since" in reason(a)
    assert db.one("SELECT paused FROM muster.queue_stats WHERE kind = 'a'")
    assert ask("pause_kind") == "kind a was paused already"
    assert ask("resume_kind") == "kind a goes on"
    assert one.claim().ids == [a]


@pytest.fixture
def reason(db):
    return lambda task: db.one(
        "SELECT reason FROM muster.why(%s) LIMIT 1", task)


# What is told.

def test_H3_why_names_the_limit(db, borrower, reason):
    task = db.enqueue("a")
    db.enqueue_many("a", 5)
    one = borrower(2)
    one.ask()
    assert "limit reached: queue default runs 2 of max_running 2" \
        in reason(task)
    two = borrower(rate=1 / 3600, burst=1, scope="k", name="a")
    one.ask(part=0)
    two.ask(room=1)
    assert "rate 1/h of kind a: next at 2" in reason(task)


def test_H1_limits_and_their_use(db, borrower):
    db.enqueue_many("a", 5)
    one, two = borrower(2, rate=10, burst=20), borrower(3)
    one.ask()
    two.ask()
    row, = db.session("reader").run("SELECT * FROM muster.limit_status")
    assert (row.scope, row.name, row.max_running, row.held, row.rate,
            row.burst, row.waiting, row.workers) \
        == ("queue", "default", 2, 2, "10/s", 20, 2, 2)


# Learned lengths.

def test_learned_length_decides_the_lane(db, worker, scheduler):
    """Two chains side by side: the one whose kind is known to take longer
    goes first, unless the steps say how long they take."""
    def lanes(**expect):
        flow = db.flow({
            "short": {"kind": "a", **expect},
            "short2": {"kind": "a", "needs": ["short"]},
            "long": {"kind": "b"}})
        return dict(db.rows("SELECT name, lane FROM muster.task "
                            "WHERE flow_id = %s", flow))
    before = lanes()
    assert before["short"] < before["long"]
    session = worker().session
    session.run("SELECT muster.kind_ran('{a,b}', '{10,1}', '{1000,60000}')")
    scheduler.session.run("SELECT muster.tidy()")
    session.run("SELECT muster.kind_ran('{a}', '{10}', '{3000}')")
    scheduler.session.run("SELECT muster.tidy()")
    assert dict(db.rows("SELECT kind, ms FROM muster.kind_length")) \
        == {"a": 200, "b": 60000}
    after = lanes()
    assert after["long"] < after["short"]
    told = lanes(expect="10m")
    assert told["short"] < told["long"]


def test_kinds_that_take_no_time_have_lanes(db, worker, scheduler):
    worker().session.run("SELECT muster.kind_ran('{a}', '{10}', '{0}')")
    scheduler.session.run("SELECT muster.tidy()")
    flow = db.flow({"x": {"kind": "a"}, "y": {"kind": "a", "needs": ["x"]}})
    assert db.rows("SELECT lane FROM muster.task WHERE flow_id = %s",
                   flow) == [(0,), (4,)]
