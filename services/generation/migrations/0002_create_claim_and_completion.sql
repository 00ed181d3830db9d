-- The two steps of a job that its worker takes: each is one call, hence one trip and one commit.

-- Takes the next jobs: in the order of their start tags, within the providers' limits, at most `slots`, one attempt id each.
-- Tags of two providers cannot be compared, so providers take turns: a slow one with a long queue cannot hold all the slots
-- against the others. Locks providers first, and of jobs only those that nobody else holds, so it never waits for a job.
-- With nothing queued it answers no row, otherwise one at least, without a job if there was no room for any. `is_behind`:
-- jobs may be left that a call or a slot that comes free would have room for. `again_at`: when jobs may be taken that wait
-- for nothing but their provider's pace or rest (see domain/pace.py).
CREATE FUNCTION claim_jobs(
    names text[], slots integer, attempt_ids uuid[], the_worker text, the_time timestamptz, lease_until timestamptz
) RETURNS TABLE (
    is_behind boolean, again_at timestamptz, job_id uuid, fence bigint, attempt_id uuid, tries integer, queued_at timestamptz,
    started_at timestamptz, requested bytea, submission bytea
) LANGUAGE plpgsql
-- Its plan follows the indices whatever the arguments are, and making it anew for each call costs as much as the call.
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    locked text[];
BEGIN
    SELECT array_agg(name) INTO locked FROM (
        SELECT name FROM provider
         WHERE name = ANY(names) AND EXISTS (SELECT FROM job WHERE state = 'queued' AND job.provider = provider.name)
         ORDER BY name FOR NO KEY UPDATE) AS asked;
    IF locked IS NULL THEN RETURN; END IF;

    -- A statement of its own: it sees all that earlier holders of the locks have committed.
    RETURN QUERY
    WITH pace AS (
        -- A call may begin when `paced_at` is at most a second's calls ahead.
        SELECT name, concurrency, breaker, rest_until, greatest(1, per_minute / 60) AS at_once,
               interval '1 minute' / per_minute AS spacing, greatest(paced_at, the_time) AS paced_at
          FROM provider WHERE name = ANY(locked)
    ), allowed AS (
        SELECT pace.*,
               CASE breaker WHEN 'open' THEN 0 WHEN 'half_open' THEN 1 ELSE concurrency END - (
                   SELECT count(*) FROM job WHERE state = 'running' AND job.provider = pace.name) AS borne,
               CASE WHEN rest_until > the_time THEN 0 WHEN spacing IS NOT NULL
                    THEN at_once - ceil(extract(epoch FROM paced_at - the_time) / extract(epoch FROM spacing))
                END AS paced
          FROM pace
    ), room AS (
        SELECT *, greatest(0, least(slots, borne, paced))::integer AS calls FROM allowed
    ), waiting AS (
        SELECT next.*, row_number() OVER (PARTITION BY provider ORDER BY start_tag, id) AS turn
          FROM room CROSS JOIN LATERAL (
            SELECT id, job.provider, start_tag FROM job WHERE state = 'queued' AND job.provider = room.name
             ORDER BY start_tag, id LIMIT calls FOR UPDATE SKIP LOCKED) AS next
    ), chosen AS (
        SELECT id, row_number() OVER (ORDER BY turn, start_tag, id) AS place FROM waiting
         ORDER BY place LIMIT slots
    ), started AS (
        UPDATE job
           SET state = 'running', fence = fence + 1, tries = tries + 1, attempt_id = attempt_ids[place],
               wait_until = lease_until, started_at = coalesce(started_at, the_time)
          FROM chosen WHERE job.id = chosen.id
        RETURNING job.*
    ), handed_on AS (
        -- The provider's job of a lost attempt, which the next one takes over.
        UPDATE attempt SET is_open = false FROM started
         WHERE started.tries > 1 AND attempt.job_id = started.id AND number = started.tries - 1
           AND is_open AND cancel_at IS NULL
        RETURNING attempt.job_id, attempt.submission
    ), opened AS (
        INSERT INTO attempt (id, job_id, number, worker, state, started_at, submission, is_open)
        SELECT started.attempt_id, id, started.tries, the_worker, 'running', the_time, handed_on.submission,
               handed_on.submission IS NOT NULL
          FROM started LEFT JOIN handed_on ON handed_on.job_id = started.id
    ), taken AS (
        SELECT provider AS name, count(*) AS jobs, sum(cost) AS cost, max(start_tag) AS start_tag
          FROM started GROUP BY provider
    ), served AS (
        UPDATE provider SET virtual_time = greatest(virtual_time, start_tag),
               paced_at = coalesce(room.paced_at + cost * spacing, provider.paced_at)
          FROM taken JOIN room USING (name) WHERE provider.name = taken.name
    ), rest AS (
        SELECT (SELECT count(*) FROM chosen) = slots
            OR bool_or(calls = (SELECT count(*) FROM waiting WHERE provider = name)) AS is_behind,
               min(greatest(rest_until, paced_at + (coalesce(cost, 0) - at_once + 1) * spacing))
                   FILTER (WHERE greatest(0, paced) = coalesce(jobs, 0) AND paced < borne) AS again_at
          FROM room LEFT JOIN taken USING (name)
    )
    SELECT rest.is_behind, rest.again_at, started.id, started.fence, started.attempt_id, started.tries, started.queued_at,
           started.started_at, started.requested, handed_on.submission
      FROM rest LEFT JOIN started ON true LEFT JOIN handed_on ON handed_on.job_id = started.id
     ORDER BY started.start_tag, started.id;
END $$;

-- Lets an attempt win its job, and publishes the answer. Whoever shows an old fence changes and publishes nothing.
-- `is_recovering`: the provider's breaker counts failures.
CREATE FUNCTION complete_job(
    the_job uuid, the_fence bigint, the_time timestamptz, spent_ms bigint, spent_microusd bigint,
    event_id uuid, topic text, key bytea, encoded bytea
) RETURNS TABLE (is_won boolean, is_recovering boolean) LANGUAGE plpgsql AS $$
DECLARE
    recovering boolean;
BEGIN
    WITH won AS (
        UPDATE job SET state = 'completed', decided_at = the_time, wait_until = NULL
         WHERE id = the_job AND fence = the_fence AND state = 'running' RETURNING attempt_id
    )
    UPDATE attempt SET state = 'won', ended_at = the_time, provider_ms = spent_ms, provider_cost_microusd = spent_microusd,
           is_open = false
      FROM won WHERE attempt.id = won.attempt_id;
    IF NOT FOUND THEN RETURN QUERY SELECT false, false; RETURN; END IF;
    PERFORM append_to_outbox(ARRAY[event_id], ARRAY[topic], ARRAY[key], ARRAY[NULL]::jsonb[], ARRAY[encoded]);
    -- Of a provider that has failed before it is told apart that it works again: a step of its own.
    SELECT failures > 0 INTO recovering FROM provider JOIN job ON job.provider = name WHERE id = the_job;
    RETURN QUERY SELECT true, coalesce(recovering, false);
END $$;
