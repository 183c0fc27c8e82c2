-- Learned lengths: how long tasks of a kind take, for flows whose steps don't
-- say it (`expect`). Workers hand over sums every few seconds, the scheduler
-- adds them up.

-- Called by a worker: p_counts[i] tasks of p_kinds[i] succeeded and ran for
-- p_total_ms[i] in all.
CREATE OR REPLACE FUNCTION muster.kind_ran(
	p_kinds text[], p_counts int[], p_total_ms bigint[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO muster.kind_ran (kind, count, total_ms)
	SELECT * FROM unnest(p_kinds, p_counts, p_total_ms);
END
$$;

-- A moving average, over the last thousand tasks or so. Called by tidy(), which runs
-- once at a time.
CREATE OR REPLACE FUNCTION muster.tidy_lengths()
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	WITH gone AS (
		DELETE FROM muster.kind_ran RETURNING *
	)
	INSERT INTO muster.kind_length AS l (kind, ms, weight)
	SELECT g.kind, sum(g.total_ms)::float8 / sum(g.count),
		least(sum(g.count), 1000)
	FROM gone g WHERE g.count > 0 GROUP BY g.kind
	ON CONFLICT (kind) DO UPDATE SET
		ms = (l.ms * l.weight + excluded.ms * excluded.weight)
			/ (l.weight + excluded.weight),
		weight = least(l.weight + excluded.weight, 1000);
END
$$;

-- How long each step will take, in ms: as it says, else as its kind did so far,
-- else a second; 1 at least, so that a path is longer than any of its ends.
CREATE OR REPLACE FUNCTION muster.flow_costs(p_spec jsonb[])
RETURNS float8[] LANGUAGE plpgsql AS $$
BEGIN
	RETURN ARRAY(SELECT greatest(coalesce(muster.flow_ms(u.s ->> 'expect'),
			l.ms, 1000), 1)::float8
		FROM unnest(p_spec) WITH ORDINALITY u(s, o)
		LEFT JOIN muster.kind_length l ON l.kind = u.s ->> 'kind'
		ORDER BY u.o);
END
$$;
