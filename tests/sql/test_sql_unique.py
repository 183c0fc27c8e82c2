"""Unique keys: of those who want one, only one is stored."""

import time

import psycopg2
import pytest


def unique(session, key="k", **named):
    """(id, outcome) of enqueue_unique."""
    casts = {"unique_for": "::interval", "run_at": "::timestamptz"}
    more = "".join(f", {name} => %s{casts.get(name, '')}" for name in named)
    row = session.run("SELECT * FROM muster.enqueue_unique('a', "
                      f"unique_key => %s{more})", key, *named.values())[0]
    return row.id, row.outcome


@pytest.fixture
def app(db):
    return db.session("app")


def request(db, scheduler, call, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    number = db.one(f"SELECT muster.{call}({marks})", *arguments)
    scheduler.work()
    return db.one("SELECT verdict, answer FROM muster.request_status(%s)",
                  number)


def test_B6_over_open_tasks(db, worker, app, scheduler):
    first, outcome = unique(app)
    assert outcome == "new"
    assert unique(app) == (first, "kept")
    assert unique(app, "other")[1] == "new"
    one = worker()
    one.claim()
    assert unique(app) == (first, "kept")
    one.finish(first, outcome="r")
    assert unique(app) == (first, "kept"), "a further attempt keeps it"
    one.claim()
    one.finish(first)
    second, outcome = unique(app)
    assert outcome == "new" and second != first
    assert db.task(second).unique_key == "k"


@pytest.mark.parametrize("end", ["failed", "cancelled", "skipped", "lost"])
def test_B6_any_end_frees_the_key(db, worker, app, scheduler, end):
    one = worker()
    if end == "skipped":
        need = db.enqueue("b")
        task = db.enqueue("a", unique_key="k", depends_on=[need])
        one.claim()
        one.finish(need, outcome="f")
    else:
        task = unique(app)[0]
        if end == "cancelled":
            db.rows("SELECT muster.cancel(%s)", task)
        else:
            one.claim()
        if end == "failed":
            one.finish(task, outcome="f")
        elif end == "lost":
            db.rows("SELECT * FROM muster.rescue(%s, 'x', NULL, 0)", one.id)
    scheduler.work()
    assert db.task(task).finished_at
    assert unique(app)[1] == "new"


def test_B6_over_a_period(db, worker, app, scheduler):
    first, _ = unique(app, unique_for="1 h")
    one = worker()
    one.claim()
    one.finish(first)
    assert unique(app, unique_for="1 h") == (first, "kept")
    assert unique(app) == (first, "kept")
    db.rows("UPDATE muster.unique_key SET until = now() - interval '1 s'")
    second, outcome = unique(app, unique_for="1 h")
    assert outcome == "new" and second != first
    db.rows("UPDATE muster.unique_key SET until = now() - interval '1 s'")
    db.rows("SELECT muster.purge(1000, '{}', '{}')")
    assert not db.one("SELECT count(*) FROM muster.unique_key")


def test_B6_error_names_the_holder(db, app):
    first, _ = unique(app, on_conflict="error")
    with pytest.raises(psycopg2.Error,
                       match=f'unique key "k" is held by task {first}') as told:
        unique(app, on_conflict="error")
    assert told.value.pgcode == "MU006"
    assert db.states() == {"ready": 1}


def test_B6_replace_cancels_who_waits(db, worker, app, scheduler):
    first, _ = unique(app)
    newer = [unique(app, on_conflict="replace") for _ in range(3)]
    assert {outcome for _, outcome in newer} == {"replacing"}
    last = newer[-1][0]
    scheduler.work()
    assert worker().claim().ids == [last], "of several replaces one is left"
    assert db.task(first).error == f"replaced by task {newer[0][0]}"
    assert unique(app) == (last, "kept")


@pytest.mark.parametrize("place", ["scheduled", "blocked", "waiting",
                                   "arriving"])
def test_B6_replace_wherever_it_waits(db, worker, app, scheduler, place):
    named = {"scheduled": {"run_at": "2100-01-01"},
             "blocked": {"depends_on": [db.enqueue("c")]},
             "waiting": {"lock_key": "l"}, "arriving": {"lock_key": "l"}}
    db.enqueue("c", lock_key="l")
    scheduler.work()
    first = db.enqueue("a", unique_key="k", **named[place])
    if place != "arriving":
        scheduler.work()
    assert db.state(first) == place
    last, _ = unique(app, on_conflict="replace")
    scheduler.work()
    assert db.state(first) == "cancelled" and db.state(last) == "ready"


def test_B6_replace_leaves_what_runs(db, worker, app, scheduler):
    first, _ = unique(app)
    one = worker()
    one.claim()
    second, _ = unique(app, on_conflict="replace")
    scheduler.work()
    assert db.state(first) == "running" and db.state(second) == "ready"
    one.finish(first)
    assert unique(app) == (second, "kept")


def test_B6_retry_takes_a_free_key_again(db, worker, app, scheduler):
    first, _ = unique(app)
    one = worker()
    one.claim()
    one.finish(first, outcome="f")
    assert request(db, scheduler, "retry", first).verdict == "done"
    assert unique(app) == (first, "kept")


def test_B6_retry_is_refused_while_another_holds_the_key(
        db, worker, app, scheduler):
    first, _ = unique(app)
    one = worker()
    one.claim()
    one.finish(first, outcome="f")
    second, _ = unique(app)
    told = request(db, scheduler, "retry", first)
    assert told.verdict == "refused"
    assert f'its unique key "k" is held by task {second}' in told.answer
    assert db.state(first) == "failed"


def test_B6_retry_of_many_passes_over_held_keys(
        db, worker, app, scheduler):
    tasks = [unique(app, key)[0] for key in "kl"]
    one = worker()
    one.claim()
    one.finish_all("f")
    other, _ = unique(app)
    told = request(db, scheduler, "retry_where", '{"kind": "a"}')
    assert told.answer == "1 task runs again; " \
        "1 task stays as it is: its unique key is held"
    assert db.state(tasks[0]) == "failed" and db.state(tasks[1]) == "ready"
    assert db.state(other) == "ready"


def test_B6_what_comes_back_with_its_need_has_its_key(
        db, worker, app, scheduler):
    """A skipped task is revived when what it needs succeeds at last; not if
    another has taken its key."""
    one = worker()
    need = db.enqueue("b")
    tasks = [db.enqueue("a", unique_key=key, depends_on=[need])
             for key in "kl"]
    scheduler.work()
    one.claim()
    one.finish(need, outcome="f")
    scheduler.work()
    other, _ = unique(app)
    one.claim()
    request(db, scheduler, "retry", need)
    one.claim({"b": 1})
    one.finish(need)
    scheduler.work()
    assert db.state(tasks[0]) == "skipped"
    assert f"held by task {other}" in db.task(tasks[0]).error
    assert db.state(tasks[1]) == "ready"


def test_B6_many_at_once(db):
    ids = db.enqueue_many("a", 4, unique_keys=["x", "y", None, "x"])
    assert ids[0] == ids[3] and len(set(ids)) == 3
    again = db.enqueue_many("a", 2, unique_keys=["z", "y"])
    assert again[1] == ids[1] and again[0] not in ids
    with pytest.raises(psycopg2.Error, match="2 payloads, but 1"):
        db.enqueue_many("a", 2, unique_keys=["x"])


def test_B6_a_step_whose_key_is_held_is_named(db, app):
    flow = db.flow({"x": {"kind": "a", "unique_key": "k"}})
    holder = db.tasks(flow)["x"].id
    with pytest.raises(psycopg2.Error, match='task "y": unique key "k" is '
                       f"held by task {holder}") as told:
        db.flow({"y": {"kind": "a", "unique_key": "k"}})
    assert told.value.pgcode == "MU006"
    assert unique(app) == (holder, "kept")


@pytest.mark.parametrize("named", [
    {"unique_key": ""}, {"unique_key": "x" * 501}, {"unique_for": "1 h"},
    {"unique_key": "k", "unique_for": "0"},
    {"unique_key": "k", "on_conflict": "wait"},
    {"unique_key": "k", "on_conflict": None}])
def test_wrong_keys_are_refused(db, named):
    with pytest.raises(psycopg2.Error) as refused:
        db.enqueue("a", **named)
    assert refused.value.pgcode == "MU003"


# One waiting for the other.

@pytest.mark.parametrize("end, outcome", [
    ("commit", "kept"), ("rollback", "new")])
def test_B6_the_second_goes_by_the_outcome_of_the_first(
        db, app, end, outcome):
    other = db.session("app")
    other.begin()
    first, _ = unique(other)
    app.send("SELECT * FROM muster.enqueue_unique('a', unique_key => 'k')")
    app.wait_blocked()
    getattr(other, end)()
    row, = app.answer()
    assert row.outcome == outcome
    assert (row.id == first) == (outcome == "kept")


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_B6_an_old_snapshot_never_stores_a_second(db, isolation):
    """It cannot see the holder, so the server refuses, and the application
    tries again as it does under this isolation."""
    client = db.session("app", isolation)
    client.begin()
    client.run("SELECT count(*) FROM muster.queue_stats")
    first = db.enqueue("a", unique_key="k")
    with pytest.raises(psycopg2.Error) as told:
        unique(client)
    assert told.value.pgcode == "40001"
    client.rollback()
    client.begin()
    assert unique(client) == (first, "kept")
    newer, outcome = unique(client, on_conflict="replace")
    client.commit()
    assert outcome == "replacing" and newer != first


@pytest.mark.parametrize("isolation", [None, "repeatable read"])
def test_B6_enqueue_beside_the_finish_that_frees_the_key(
        db, worker, app, isolation):
    client = db.session("app", isolation)
    first, _ = unique(app)
    one = worker()
    one.claim()
    one.session.begin()
    one.finish(first)
    client.send("SELECT * FROM muster.enqueue_unique('a', unique_key => 'k')")
    client.wait_blocked()
    one.session.commit()
    row, = client.answer()
    assert row.outcome == "new"


def test_B6_a_finish_waits_for_no_client(db, worker, scheduler):
    """Whatever a client that keeps its transaction open has done with the
    key, the turn that ends the task and a purge go on."""
    task = db.enqueue("a", unique_key="k")
    over = db.enqueue("a", unique_key="o", unique_for="1 h")
    db.rows("UPDATE muster.unique_key SET until = now() - interval '1 s' "
            "WHERE until IS NOT NULL")
    client = db.session("app")
    client.begin()
    unique(client)
    unique(client, on_conflict="replace")
    unique(client, "o")
    one = worker()
    one.claim()
    one.session.run("SET lock_timeout = '100 ms'")
    one.finish(task, over)
    scheduler.session.run("SET lock_timeout = '100 ms'")
    scheduler.session.run("SELECT muster.purge(1000, '{}', '{}')")
    scheduler.work()
    client.commit()
    scheduler.work()
    assert db.states() == {"succeeded": 2, "ready": 2}


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_B6_retry_beside_an_enqueue(db, worker, app, scheduler, end):
    """The client is just taking the key: the retry is carried out afterwards,
    and goes by what came of it; nobody else waits meanwhile."""
    first, _ = unique(app)
    one = worker()
    one.claim()
    one.finish(first, outcome="f")
    app.begin()
    unique(app)
    number = db.one("SELECT muster.retry(%s)", first)
    began = time.monotonic()
    scheduler.session.run("SET lock_timeout = '10 s'")
    scheduler.work()
    assert time.monotonic() - began < 5
    assert not db.one("SELECT done FROM muster.request_status(%s)", number)
    getattr(app, end)()
    scheduler.work()
    verdict = db.one("SELECT verdict FROM muster.request_status(%s)", number)
    assert verdict == ("refused" if end == "commit" else "done")
    assert db.one("SELECT count(*) FROM muster.unique_key") == 1


def test_B6_enqueue_beside_a_retry(db, worker, app, scheduler):
    first, _ = unique(app)
    one = worker()
    one.claim()
    one.finish(first, outcome="f")
    db.rows("SELECT muster.retry(%s)", first)
    scheduler.session.begin()
    scheduler.carry_out()
    app.send("SELECT * FROM muster.enqueue_unique('a', unique_key => 'k')")
    app.wait_blocked()
    scheduler.session.commit()
    assert tuple(app.answer()[0]) == (first, "kept")


def test_B6_replace_beside_a_claim(db, worker, app, scheduler):
    """The turn that claims the holder is under way: it is not cancelled under
    the worker's hands; the replacement waits for that and leaves it running."""
    first, _ = unique(app)
    one = worker()
    one.session.begin()
    assert one.claim().ids == [first]
    second, _ = unique(app, on_conflict="replace")
    scheduler.work()
    assert db.state(second) == "arriving"
    one.session.commit()
    scheduler.work()
    assert db.state(first) == "running" and db.state(second) == "ready"


def test_B6_replace_after_the_holder_has_ended(db, worker, app, scheduler):
    """Between the enqueue and its admission the key became free and was taken
    by a newer one: that stays."""
    first, _ = unique(app)
    one = worker()
    one.claim()
    second, _ = unique(app, on_conflict="replace")
    one.finish(first)
    third, outcome = unique(app)
    assert outcome == "new"
    scheduler.work()
    assert db.state(second) == "cancelled" and db.state(third) == "ready"
    assert db.task(second).error == f"replaced by task {third}"


# In nested flows, whose keys are taken when they are opened.

def nested(more=None, **step):
    return {"in": {"flow": {**(more or {}), "tasks": {
        "x": {"kind": "a", "unique_key": "free"},
        "y": {"kind": "a", "needs": ["x"], "unique_key": "k", **step}}}},
        "after": {"kind": "c", "needs": ["in"]}, "beside": {"kind": "c"}}


def inside(db, flow):
    return db.tasks(db.one("SELECT flow_id FROM muster.containers "
                           "WHERE task_id = %s", db.tasks(flow)["in"].id))


def test_B6_A4_a_nested_flow_takes_its_keys_when_it_is_opened(
        db, worker, app, scheduler):
    flow = db.flow(nested())
    other, outcome = unique(app)
    assert outcome == "new"
    one = worker()
    one.claim({"a": 1})
    one.finish(other)
    scheduler.work()
    tasks = inside(db, flow)
    assert unique(app) == (tasks["y"].id, "kept")
    assert unique(app, "free") == (tasks["x"].id, "kept")
    for _ in range(2):
        one.claim({"a": 9})
        one.finish_all()
        scheduler.work()
    assert db.tasks(flow)["in"].state == "succeeded"
    assert unique(app)[1] == "new"


@pytest.mark.parametrize("how", ["continue", "cancel"])
def test_B6_A4_a_held_key_fails_the_nested_flow_and_a_retry_tries_again(
        db, worker, app, scheduler, how):
    holder, _ = unique(app)
    flow = db.flow(nested(), on_failure=how)
    tasks = db.tasks(flow)
    scheduler.work()
    assert db.tasks(flow)["in"].state == "failed"
    assert db.tasks(flow)["in"].error == (
        f'task "y": unique key "k" is held by task {holder}')
    assert db.tasks(flow)["after"].state == (
        "cancelled" if how == "cancel" else "skipped")
    assert db.tasks(flow)["beside"].state == (
        "cancelled" if how == "cancel" else "ready")
    assert db.one("SELECT count(*) FROM muster.task") == 4
    assert db.one("SELECT count(*) FROM muster.flow") == 1
    assert unique(app, "free")[1] == "new", "nothing of it is left"
    one = worker()
    one.claim()
    one.finish_all()
    assert db.invariants() == []
    assert request(db, scheduler, "retry", tasks["in"].id).verdict == "done"
    assert set(inside(db, flow)) == {"x", "y"}
    for _ in range(3):
        one.claim()
        one.finish_all()
        scheduler.work()
    assert db.tasks(flow)["in"].state == "succeeded"


@pytest.mark.parametrize("end, state", [("commit", "failed"),
                                        ("rollback", "running")])
def test_B6_A4_opening_waits_for_no_client(db, app, scheduler, end, state):
    flow = db.flow(nested())
    app.begin()
    holder, _ = unique(app)
    scheduler.session.run("SET lock_timeout = '10 s'")
    began = time.monotonic()
    scheduler.work()
    assert time.monotonic() - began < 5
    assert db.tasks(flow)["in"].state == "running"
    assert db.one("SELECT count(*) FROM muster.flow") == 1
    db.session().run("SET lock_timeout = '1 s'; INSERT INTO muster.unique_key "
                     "VALUES ('free', 0, now()); DELETE FROM "
                     "muster.unique_key WHERE key = 'free'")
    getattr(app, end)()
    scheduler.work()
    assert db.tasks(flow)["in"].state == state
    assert unique(app)[0] == (holder if end == "commit"
                              else inside(db, flow)["y"].id)


def test_B6_A4_cancelled_while_it_waits_to_be_opened(db, app, scheduler):
    flow = db.flow(nested())
    app.begin()
    unique(app)
    scheduler.work()
    db.one("SELECT muster.cancel_flow(%s)", flow)
    scheduler.work()
    app.commit()
    scheduler.work()
    assert db.flow_status(flow).state == "cancelled"
    assert db.one("SELECT count(*) FROM muster.flow") == 1


def test_B6_A4_what_runs_again_inside_has_its_key_again(
        db, worker, app, scheduler):
    """Two failed; the key of one was taken meanwhile: that one stays."""
    flow = db.flow({"in": {"flow": {"tasks": {
        key: {"kind": "a", "unique_key": key} for key in "kl"}}}})
    scheduler.work()
    one = worker()
    one.claim()
    one.finish_all("f")
    scheduler.work()
    other, _ = unique(app)
    assert db.tasks(flow)["in"].state == "failed"
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.work()
    tasks = inside(db, flow)
    assert unique(app, "l") == (tasks["l"].id, "kept")
    assert tasks["k"].state == "failed"
    assert tasks["k"].error == f'its unique key "k" is held by task {other}'
    one.claim()
    one.finish_all()
    scheduler.work()
    assert f"k: {tasks['k'].error}" in db.tasks(flow)["in"].error
    db.one("SELECT muster.retry_flow(%s)", flow)
    scheduler.work()
    one.claim()
    one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"


@pytest.mark.parametrize("deep", [False, True])
def test_B6_A4_two_steps_with_one_key_are_refused_at_once(db, deep):
    flow = {"x": {"kind": "a", "unique_key": "k"},
            "y": {"kind": "a", "unique_key": "k"}}
    with pytest.raises(psycopg2.Error, match='task "x": unique_key: "k" is '
                       "that of another task") as refused:
        db.flow({"in": {"flow": {"tasks": flow}}} if deep else flow)
    assert refused.value.pgcode == "MU003"


def test_B6_A5_the_key_of_a_map_is_that_of_the_whole(
        db, worker, app, scheduler):
    flow = db.flow({"in": {"flow": {"tasks": {"m": {
        "kind": "a", "map": [1, 2], "unique_key": "k"}}}}})
    scheduler.work()
    task = inside(db, flow)["m"]
    one = worker()
    assert len(one.claim().ids) == 2
    assert unique(app) == (task.id, "kept")
    one.finish_all()
    scheduler.work()
    assert db.flow_status(flow).state == "succeeded"
    assert unique(app)[1] == "new"
