-- Jobs: the alarm clock of what falls due (src/milepost/worker).
--
-- Procrastinate has tables without org_id, so they live in a schema of their own: nobody who reads `public` meets
-- them. A connection of the worker has that schema in its search_path; nobody else's has.
--
-- milepost_operator runs the worker: it works for all organisations as it is. milepost_app may not read or change
-- a job, for a job names its organisation: it may only set an alarm for the one that it acts for, by a function.
--
-- `0003_jobs.py` makes the schema, and in it what the installed Procrastinate brings; this is what we add.

-- Sets an alarm at each instant for the organisation that the transaction acts for, unless it has one then; a
-- sandbox's clock rings none. Joins the transaction, as its owner. Edits of an organisation's definitions come one
-- after the other, so no two of them set the same alarm. Procrastinate's own `lock` would make an alarm wait for
-- every one set before it, whenever that is to ring. Queue, task and arguments are those of src/milepost/worker.
CREATE FUNCTION set_alarms(instants timestamptz[]) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = jobs, pg_temp SET timezone = 'UTC'
AS $$
    SELECT procrastinate_defer_jobs_v1(array_agg(
        ('due', 'settle', 0, NULL, alarm.name, alarm.arguments, alarm.rings_at)::procrastinate_job_to_defer_v1
        ORDER BY alarm.rings_at
    ))
    FROM (
        SELECT format('org %s at %s', o.org_id, i.rings_at) AS name,
               jsonb_build_object('org_id', o.org_id, 'root_org_id', o.root_org_id) AS arguments,
               i.rings_at
        FROM unnest(instants) AS i (rings_at), public.orgs o
        WHERE o.org_id = nullif(current_setting('milepost.org_id', true), '')::bigint AND NOT o.sandbox
    ) AS alarm
    WHERE NOT EXISTS (
        SELECT FROM procrastinate_jobs j WHERE j.queueing_lock = alarm.name AND j.status = 'todo'
    )
    HAVING count(*) > 0
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs FROM PUBLIC;
GRANT USAGE ON SCHEMA jobs TO milepost_app, milepost_operator;
GRANT EXECUTE ON FUNCTION set_alarms TO milepost_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs TO milepost_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA jobs TO milepost_operator;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA jobs TO milepost_operator;

