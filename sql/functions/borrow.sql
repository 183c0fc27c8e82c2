-- Limits across hosts: max_running and rate of a queue or a kind are budgets of
-- which each worker borrows a part, by a short transaction of its own and not in
-- its turns. Slots and tokens that are written down for a worker are its own to
-- use; a rescue, or its end, returns the slots.

-- For each limit i: of p_scope[i] (q: queue, k: kind) and p_name[i] the worker
-- goes by p_max[i] slots (null: no such limit) and p_rate[i] starts a second
-- (null: no rate), at most p_burst[i] at once. Both null: the limit is no more.
-- Where workers disagree the smallest of their limits is in force.
-- It could use p_part[i] slots at most and has use for p_busy[i] at once; p_keep[i]
-- stay its own in any case: it promises to use no more until the answer comes.
-- It has p_left[i] tokens, which it does not use until then, used the last one
-- p_spent_ms[i] ago, needs p_due[i] for tasks that it holds, and has room for
-- p_room[i] more.
-- A row for each: `held` slots are its own now, but more than `target` it should
-- not use (others want them); `contended`: there are fewer than are wanted, it
-- should look again soon; `short`: it would get more if there were more; `ready`:
-- so many tasks wait for it, counted no further than they matter; `tokens` it has
-- now, and it makes no sense to ask for more before `wait_ms` have passed.
-- No row: the worker is dead.
-- Locks: worker for key share (as in turn), then the limits' advisory locks in
-- order of their numbers.
CREATE OR REPLACE FUNCTION muster.borrow(p_worker bigint, p_scope text[],
	p_name text[], p_max int[], p_rate float8[], p_burst int[],
	p_part int[], p_busy int[], p_keep int[], p_left int[],
	p_spent_ms bigint[], p_due int[], p_room int[])
RETURNS TABLE (item int, held int, target int, contended boolean,
	short boolean, ready int, tokens int, wait_ms bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
	v_lock bigint;
	v_budget bigint;
	v_wants int;
	v_slots record;
	v_tokens record;
BEGIN
	PERFORM muster.check_isolation();
	PERFORM FROM muster.worker w
	WHERE w.id = p_worker AND w.dead_at IS NULL FOR KEY SHARE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	FOR item, v_lock IN
		SELECT u.o, hashtextextended('muster limit ' || u.s || u.n, 0)
		FROM unnest(p_scope, p_name) WITH ORDINALITY u(s, n, o)
		ORDER BY 2, 1
	LOOP
		PERFORM pg_advisory_xact_lock(v_lock);
		v_budget := muster.borrow_budget(p_worker,
			p_scope[item]::"char", p_name[item], p_max[item],
			p_rate[item], p_burst[item]);
		CONTINUE WHEN v_budget IS NULL;
		ready := muster.borrow_ready(p_worker, p_scope[item]::"char",
			p_name[item], greatest(p_part[item] - p_busy[item],
			p_room[item]));
		v_wants := CASE WHEN p_max[item] IS NULL THEN 0
			ELSE greatest(p_keep[item],
				least(p_part[item], p_busy[item] + ready)) END;
		SELECT * INTO v_slots FROM muster.borrow_slots(v_budget,
			p_scope[item]::"char", p_name[item], v_wants,
			p_keep[item]);
		SELECT * INTO v_tokens FROM muster.borrow_tokens(v_budget,
			p_scope[item]::"char", p_name[item], p_left[item],
			p_spent_ms[item], p_due[item],
			p_room[item], ready);
		PERFORM muster.borrow_note(v_budget, v_slots.held, v_wants,
			v_slots.of_limit, v_slots.since, v_tokens.tokens,
			v_tokens.hungry);
		held := v_slots.held;
		target := v_slots.target;
		contended := v_slots.contended;
		short := v_slots.held < v_wants;
		tokens := v_tokens.tokens;
		wait_ms := v_tokens.wait_ms;
		RETURN NEXT;
	END LOOP;
END
$$;

-- The number under which the worker goes by this limit; null if there is none.
CREATE OR REPLACE FUNCTION muster.borrow_budget(p_worker bigint,
	p_scope "char", p_name text, p_max int, p_rate float8, p_burst int)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	v_budget muster.budget;
BEGIN
	SELECT * INTO v_budget FROM muster.budget b WHERE b.scope = p_scope
		AND b.name = p_name AND b.worker_id = p_worker;
	IF p_max IS NULL AND p_rate IS NULL THEN
		DELETE FROM muster.borrowed WHERE budget_id = v_budget.id;
		DELETE FROM muster.budget WHERE id = v_budget.id;
		RETURN NULL;
	ELSIF v_budget.id IS NULL THEN
		INSERT INTO muster.budget (worker_id, max_running, rate, burst,
			scope, name)
		VALUES (p_worker, p_max, p_rate, p_burst, p_scope, p_name)
		RETURNING * INTO v_budget;
	ELSIF (v_budget.max_running, v_budget.rate, v_budget.burst)
			IS DISTINCT FROM (p_max, p_rate, p_burst) THEN
		UPDATE muster.budget SET max_running = p_max, rate = p_rate,
			burst = p_burst
		WHERE id = v_budget.id;
	END IF;
	RETURN v_budget.id;
END
$$;

-- How many tasks are ready that the worker could run under this limit, at most
-- p_most; nothing of what is paused.
CREATE OR REPLACE FUNCTION muster.borrow_ready(p_worker bigint,
	p_scope "char", p_name text, p_most int)
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	v_routes int[];
BEGIN
	IF p_most <= 0 THEN
		RETURN 0;
	END IF;
	SELECT array_agg(r.id) INTO v_routes
	FROM muster.worker w
	CROSS JOIN LATERAL unnest(CASE p_scope WHEN 'q' THEN ARRAY[p_name]
		ELSE w.queues END) q(name)
	CROSS JOIN LATERAL (SELECT x.id FROM muster.route x
		WHERE x.queue = q.name AND x.kind = ANY (CASE p_scope
			WHEN 'k' THEN ARRAY[p_name] ELSE w.kinds END)
		AND NOT EXISTS (SELECT FROM muster.paused p
			WHERE p.queue = x.queue OR p.kind = x.kind)
		OFFSET 0) r
	WHERE w.id = p_worker;
	RETURN (SELECT least(coalesce(sum(x.n), 0), p_most) FROM (
		SELECT h.n FROM muster.lanes l
		CROSS JOIN LATERAL (SELECT r.n FROM muster.ready r
			WHERE r.route_id = l.route_id AND r.rank = l.rank
			AND r.lane = l.lane AND r.seq >= coalesce((
				SELECT m.mark FROM muster.lane_mark m
				WHERE m.route_id = l.route_id AND m.rank = l.rank
				AND m.lane = l.lane
				ORDER BY m.mark DESC LIMIT 1), 0)
			ORDER BY r.seq LIMIT p_most) h
		WHERE l.route_id = ANY (v_routes) LIMIT p_most) x);
END
$$;

-- All that go by this limit, each with what it has now. One that has not asked
-- for 3 s wants no more than it has: it asks at least once a second while it
-- waits.
CREATE OR REPLACE FUNCTION muster.borrowers(p_scope "char", p_name text)
RETURNS TABLE (budget bigint, worker bigint, max_running int, rate float8,
	burst int, held int, wants int, of_limit int, since timestamptz,
	tokens int, hungry boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	SELECT b.id, b.worker_id, b.max_running, b.rate, b.burst,
		coalesce(n.held, 0), CASE WHEN n.at > clock_timestamp()
			- interval '3 s' THEN greatest(n.wants, n.held)
			ELSE coalesce(n.held, 0) END,
		n.of_limit, coalesce(n.since, clock_timestamp()),
		coalesce(n.tokens, 0), coalesce(n.hungry AND n.at
			> clock_timestamp() - interval '3 s', false)
	FROM muster.budget b
	LEFT JOIN LATERAL (SELECT * FROM muster.borrowed x
		WHERE x.budget_id = b.id ORDER BY x.gen DESC LIMIT 1) n ON true
	WHERE b.scope = p_scope AND b.name = p_name;
END
$$;

-- What each gets of p_limit slots when all want as much as p_wants, which is in
-- ascending order, says: no more than o_level each (null: all get what they
-- want), and o_rest of them one more.
CREATE OR REPLACE FUNCTION muster.borrow_level(p_limit int, p_wants int[],
	OUT o_level int, OUT o_rest int)
LANGUAGE plpgsql AS $$
DECLARE
	v_left int := p_limit;
	v_count int := cardinality(p_wants);
BEGIN
	FOR i IN 1 .. cardinality(p_wants) LOOP
		IF p_wants[i] > v_left / v_count THEN
			o_level := v_left / v_count;
			o_rest := v_left % v_count;
			RETURN;
		END IF;
		v_left := v_left - p_wants[i];
		v_count := v_count - 1;
	END LOOP;
END
$$;

-- The slots of one that wants p_wants, and keeps p_keep whatever it is to have.
-- Where not all can have one more than the level, those do who have it for less
-- than half a second, then who waits for it longest: it goes round.
-- Tells those who have too much that others wait, and those who wait that there
-- is more.
CREATE OR REPLACE FUNCTION muster.borrow_slots(p_budget bigint,
	p_scope "char", p_name text, p_wants int, p_keep int,
	OUT held int, OUT target int, OUT contended boolean, OUT of_limit int,
	OUT since timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	v_now timestamptz := clock_timestamp();
	v_limit int;
	v_others int;
	v_rivals int;
	v_wants int[];
	v_me record;
	v_level record;
	v_ahead int;
BEGIN
	SELECT min(b.max_running), coalesce(sum(b.held)
			FILTER (WHERE b.budget <> p_budget), 0),
		array_agg(CASE b.budget WHEN p_budget THEN p_wants
			ELSE b.wants END ORDER BY CASE b.budget
			WHEN p_budget THEN p_wants ELSE b.wants END),
		count(*) FILTER (WHERE b.budget <> p_budget AND b.wants > 0)
	INTO v_limit, v_others, v_wants, v_rivals
	FROM muster.borrowers(p_scope, p_name) b
	WHERE b.max_running IS NOT NULL;
	SELECT * INTO v_me FROM muster.borrowers(p_scope, p_name) b
	WHERE b.budget = p_budget;
	IF v_me.max_running IS NULL THEN
		SELECT 0, 0, false, 0, v_now
		INTO held, target, contended, of_limit, since;
		RETURN;
	END IF;
	SELECT * INTO v_level FROM muster.borrow_level(v_limit, v_wants);
	contended := v_level.o_level IS NOT NULL AND v_rivals > 0;
	target := p_wants;
	IF p_wants > v_level.o_level THEN
		SELECT count(*) INTO v_ahead
		FROM (SELECT b.budget, CASE WHEN b.held <= v_level.o_level THEN 1
				WHEN b.since > v_now - interval '500 ms' THEN 0
				ELSE 2 END AS class, b.since
			FROM muster.borrowers(p_scope, p_name) b
			WHERE b.budget = p_budget
				OR b.max_running IS NOT NULL
				AND b.wants > v_level.o_level) x
		WHERE x.budget <> p_budget AND (x.class, x.since, x.budget)
			< (CASE WHEN v_me.held <= v_level.o_level THEN 1
				WHEN v_me.since > v_now - interval '500 ms' THEN 0
				ELSE 2 END, v_me.since, p_budget);
		target := v_level.o_level + (v_ahead < v_level.o_rest)::int;
	END IF;
	held := greatest(p_keep, least(target, v_limit - v_others));
	of_limit := CASE WHEN v_others + held <= v_limit THEN v_limit
		ELSE coalesce(v_me.of_limit, v_others + held) END;
	since := CASE WHEN v_me.wants = 0 OR contended
			AND (v_me.held > v_level.o_level)
			<> (held > v_level.o_level)
		THEN v_now ELSE v_me.since END;
	IF held < target OR v_others + held > v_limit THEN
		PERFORM pg_notify('muster', 'cancel ' || b.worker)
		FROM muster.borrowers(p_scope, p_name) b
		WHERE b.budget <> p_budget AND b.held > v_level.o_level;
	END IF;
	IF held < v_me.held THEN
		PERFORM muster.borrow_tell(p_scope, p_name, p_budget,
			v_me.held - held);
	END IF;
END
$$;

-- So many slots came free: those are told that wait, who has least first.
CREATE OR REPLACE FUNCTION muster.borrow_tell(p_scope "char", p_name text,
	p_but bigint, p_count int)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_notify('muster', 'cancel ' || w.worker)
	FROM (SELECT b.worker FROM muster.borrowers(p_scope, p_name) b
		WHERE b.budget <> p_but AND b.held < b.wants
		ORDER BY b.held, b.since LIMIT p_count) w;
END
$$;

-- The tokens of one that has p_left of them, needs p_due and has room for p_room
-- more, while p_ready tasks wait. A token that is lent and not used fills the bucket as if it lay there: so in any
-- span of time no more than burst + rate × span are used. At most what flows in
-- 100 ms is lent at a time (but one in any case), and who got some lets as many
-- others as wait go first.
CREATE OR REPLACE FUNCTION muster.borrow_tokens(p_budget bigint,
	p_scope "char", p_name text, p_left int, p_spent_ms bigint,
	p_due int, p_room int, p_ready int,
	OUT tokens int, OUT hungry boolean, OUT wait_ms bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	v_now timestamptz := clock_timestamp();
	v_rate float8;
	v_burst int;
	v_lent int; -- to others
	v_mine int;
	v_waiting int;
	v_wants int := p_due + least(p_room, p_ready);
	v_bucket record;
	v_spent timestamptz := v_now;
	v_level float8;
	v_grant int;
BEGIN
	SELECT min(b.rate), min(b.burst), coalesce(sum(b.tokens)
			FILTER (WHERE b.budget <> p_budget), 0),
		coalesce(sum(b.tokens) FILTER (WHERE b.budget = p_budget), 0),
		count(*) FILTER (WHERE b.budget <> p_budget AND b.hungry)
	INTO v_rate, v_burst, v_lent, v_mine, v_waiting
	FROM muster.borrowers(p_scope, p_name) b;
	tokens := 0;
	hungry := false;
	wait_ms := 0;
	IF v_rate IS NULL THEN
		RETURN;
	END IF;
	SELECT b.gen, b.at, b.level INTO v_bucket FROM muster.bucket b
	WHERE b.scope = p_scope AND b.name = p_name ORDER BY b.gen DESC LIMIT 1;
	v_bucket.at := least(coalesce(v_bucket.at, v_now), v_now);
	IF p_left < v_mine THEN
		v_spent := greatest(v_bucket.at,
			v_now - p_spent_ms * interval '1 ms');
	END IF;
	v_level := least(v_burst - v_lent - v_mine, coalesce(v_bucket.level,
		v_burst) + v_rate * extract(epoch FROM v_spent - v_bucket.at));
	v_level := least(v_burst - v_lent - p_left, v_level
		+ v_rate * extract(epoch FROM v_now - v_spent));
	-- What it claims soon ends soon as well, where more than that waits.
	v_grant := greatest(p_due, least(floor(greatest(1, v_rate / 10)),
		CASE WHEN p_room > 0 AND p_ready >= p_room THEN v_burst
		ELSE v_wants END)) - p_left;
	v_grant := least(v_grant, greatest(0, floor(v_level)));
	tokens := p_left + v_grant;
	hungry := v_wants > tokens;
	v_level := v_level - v_grant;
	IF hungry THEN
		wait_ms := ceil(1000 * greatest(0, (1 - v_level
			+ CASE WHEN v_grant > 0 THEN v_waiting ELSE 0 END)
			/ v_rate));
	END IF;
	DELETE FROM muster.bucket b WHERE b.scope = p_scope AND b.name = p_name
		AND b.gen = v_bucket.gen;
	INSERT INTO muster.bucket (scope, name, gen, at, level)
	VALUES (p_scope, p_name, coalesce(v_bucket.gen, 0) + 1, v_now, v_level);
END
$$;

-- Writes down what was lent, if it is news.
CREATE OR REPLACE FUNCTION muster.borrow_note(p_budget bigint, p_held int,
	p_wants int, p_of_limit int, p_since timestamptz, p_tokens int,
	p_hungry boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_old muster.borrowed;
BEGIN
	SELECT * INTO v_old FROM muster.borrowed b WHERE b.budget_id = p_budget
	ORDER BY b.gen DESC LIMIT 1;
	IF FOUND AND NOT p_hungry AND p_held >= p_wants
			AND (v_old.held, v_old.wants, v_old.of_limit, v_old.tokens,
			v_old.hungry) = (p_held, p_wants, p_of_limit, p_tokens,
			p_hungry) THEN
		RETURN;
	END IF;
	DELETE FROM muster.borrowed WHERE budget_id = p_budget
		AND gen = v_old.gen;
	INSERT INTO muster.borrowed (budget_id, gen, at, since, held, wants,
		of_limit, tokens, hungry)
	VALUES (p_budget, coalesce(v_old.gen, 0) + 1, clock_timestamp(),
		p_since, p_held, p_wants, p_of_limit, p_tokens, p_hungry);
END
$$;

-- The worker is dead or leaves: its slots return; of its tokens nobody knows
-- which it has used. Called by rescue, which has locked the worker.
CREATE OR REPLACE FUNCTION muster.borrow_return(p_worker bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	v_budget record;
BEGIN
	FOR v_budget IN SELECT b.id, b.scope, b.name, coalesce(n.held, 0) AS held
			FROM muster.budget b
			LEFT JOIN LATERAL (SELECT x.held FROM muster.borrowed x
				WHERE x.budget_id = b.id
				ORDER BY x.gen DESC LIMIT 1) n ON true
			WHERE b.worker_id = p_worker LOOP
		DELETE FROM muster.borrowed WHERE budget_id = v_budget.id;
		DELETE FROM muster.budget WHERE id = v_budget.id;
		IF v_budget.held > 0 THEN
			PERFORM muster.borrow_tell(v_budget.scope, v_budget.name,
				v_budget.id, v_budget.held);
		END IF;
	END LOOP;
END
$$;
