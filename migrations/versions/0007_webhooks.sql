-- Webhook endpoints and their deliveries (src/milepost/rules/webhooks.py, src/milepost/worker/deliveries.py).
--
-- What is told follows from the journal, so nothing here holds a payload: a delivery names an entry and is made
-- of it anew at each try. A batch writes only which versions of which customers there is something to tell of.

ALTER TABLE orgs ADD COLUMN is_notified boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN orgs.is_notified IS
    'Whether an active endpoint, its own or one of its parent, is told of what happens here';

CREATE TABLE webhooks (
    org_id           bigint NOT NULL REFERENCES orgs,
    webhook_id       text NOT NULL,              -- 24 hexadecimal digits
    name_key         text NOT NULL,
    active           boolean NOT NULL,
    hears_children   boolean NOT NULL,
    webhook          jsonb NOT NULL,             -- the whole of it, as the rules write and read it
    secret           text NOT NULL,              -- whsec_…
    old_secret       text,                       -- signs too until `old_secret_until`, on the organisation's clock
    old_secret_until timestamptz,
    failures         integer NOT NULL DEFAULT 0, -- pauses one after the other: a receiver that is away
    paused_until     timestamptz,
    PRIMARY KEY (org_id, webhook_id),
    CONSTRAINT webhooks_name_key UNIQUE (org_id, name_key)
);

-- Customers' versions that have entries to be told of, until it is known to whom. Customer 0 is the organisation
-- itself; the version is then the revision that saved a promotion. With a webhook_id: told again, to that one alone.
CREATE TABLE webhook_outbox (
    org_id      bigint NOT NULL,
    customer_id bigint NOT NULL,
    version     bigint NOT NULL,
    webhook_id  text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, customer_id, version, webhook_id)
);

-- A notification on its way to an endpoint. org_id is the endpoint's; source_org_id is where it happened: there,
-- or in a child. A customer's deliveries to an endpoint go in the order of version, ordinal, place.
CREATE TABLE deliveries (
    org_id           bigint NOT NULL,
    customer_id      bigint NOT NULL,            -- 0: about the organisation itself
    webhook_id       text NOT NULL,
    source_org_id    bigint NOT NULL,
    version          bigint NOT NULL,
    ordinal          smallint NOT NULL,
    place            smallint NOT NULL,          -- among the notifications of one entry
    event_id         uuid NOT NULL,
    event_name       text NOT NULL,
    request_id       text NOT NULL,
    ingested_at      timestamptz NOT NULL,       -- this and all below: on the organisation's clock
    status           text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'DELIVERED', 'DEAD')),
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    first_attempt_at timestamptz,
    started_at       timestamptz,                -- of the last attempt
    ended_at         timestamptz,
    response_status  integer,                    -- null: no answer
    response         text,                       -- the beginning of it, or why there was none
    PRIMARY KEY (org_id, customer_id, webhook_id, source_org_id, version, ordinal, place)
) WITH (fillfactor = 70);
-- What is due at an endpoint; and a customer's queue there.
CREATE INDEX deliveries_due ON deliveries (org_id, webhook_id, next_attempt_at, customer_id, source_org_id)
    WHERE status = 'PENDING';
CREATE INDEX deliveries_queued
    ON deliveries (org_id, webhook_id, customer_id, source_org_id, version, ordinal, place)
    WHERE status = 'PENDING';
-- The log: by event, by call, by endpoint; and what has been in it for long enough. The first two leave out the
-- organisation: with statistics of a smaller table the planner would take them for what is due there.
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_request ON deliveries (request_id);
CREATE INDEX deliveries_dead ON deliveries (org_id, webhook_id, ended_at) WHERE status = 'DEAD';
CREATE INDEX deliveries_delivered ON deliveries (org_id, ended_at) WHERE status = 'DELIVERED';

-- An endpoint that is told again what happened from an instant on, and how far that is.
CREATE TABLE webhook_replays (
    org_id              bigint NOT NULL,
    webhook_id          text NOT NULL,
    since               timestamptz NOT NULL,
    cursor_org_id       bigint,                  -- with the next one: the last customer that has been gone through
    cursor_customer_id  bigint,
    PRIMARY KEY (org_id, webhook_id)
);

---------------------------------------------------------------------------------------------------
-- Row-level security and grants

DO $$
DECLARE
    own      constant text := $q$nullif(current_setting('milepost.org_id', true), '')::bigint$q$;
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['webhooks', 'webhook_outbox', 'deliveries', 'webhook_replays'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format('CREATE POLICY operator ON %I TO milepost_operator USING (true) WITH CHECK (true)', relation);
        EXECUTE format('CREATE POLICY tenant ON %I TO milepost_app USING (org_id = %s)', relation, own);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON webhooks, deliveries, webhook_replays TO milepost_app;
GRANT SELECT, INSERT ON webhook_outbox TO milepost_app;
-- The worker expands, sends and clears up for all organisations.
GRANT SELECT, UPDATE (failures, paused_until) ON webhooks TO milepost_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_outbox, deliveries, webhook_replays TO milepost_operator;
GRANT SELECT ON customer_versions, journal, promotion_changes TO milepost_operator;

---------------------------------------------------------------------------------------------------
-- Functions

-- After an edit of the endpoints of the organisation that the transaction acts for: say there, and in its children,
-- whether anybody listens, and let every process read it with the definitions.
CREATE FUNCTION note_webhooks() RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH heard AS (
        SELECT o.org_id, EXISTS (
            SELECT FROM webhooks w
            WHERE w.active AND (w.org_id = o.org_id OR w.org_id = o.root_org_id AND w.hears_children)
        ) AS is_notified
        FROM orgs o
        WHERE nullif(current_setting('milepost.org_id', true), '')::bigint IN (o.org_id, o.root_org_id)
    ), changed AS (
        UPDATE orgs o SET is_notified = h.is_notified, definitions_revision = o.definitions_revision + 1
        FROM heard h WHERE h.org_id = o.org_id AND h.is_notified <> o.is_notified
        RETURNING o.org_id, o.root_org_id, o.definitions_revision
    )
    SELECT pg_notify('milepost_definitions', concat_ws(' ', org_id, root_org_id, definitions_revision)) FROM changed
$$;

-- Rings for every endpoint at which something is due, unless it has been rung for and nobody has come yet. Queue,
-- task and arguments are those of src/milepost/worker. `wall_now`: the clock of those who have no other.
CREATE FUNCTION jobs.ring_deliveries(wall_now timestamptz) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = jobs, pg_temp
AS $$
    SELECT pg_advisory_xact_lock(5, 0);
    SELECT procrastinate_defer_jobs_v1(array_agg(
        ('deliveries', 'deliver', 0, NULL, due.name, due.arguments, NULL)::procrastinate_job_to_defer_v1
    ))
    FROM (
        SELECT format('deliver %s %s', w.org_id, w.webhook_id) AS name,
               jsonb_build_object('org_id', w.org_id, 'webhook_id', w.webhook_id) AS arguments
        FROM public.webhooks w
        JOIN public.orgs o ON o.org_id = w.org_id
        JOIN public.orgs r ON r.org_id = o.root_org_id
        CROSS JOIN LATERAL (SELECT coalesce(r.sandbox_now, wall_now) AS now OFFSET 0) AS clock
        WHERE w.active AND (w.paused_until IS NULL OR w.paused_until <= clock.now) AND (
            EXISTS (
                SELECT FROM public.deliveries d
                WHERE d.org_id = w.org_id AND d.webhook_id = w.webhook_id AND d.status = 'PENDING'
                  AND d.next_attempt_at <= clock.now)
            OR EXISTS (SELECT FROM public.webhook_outbox b WHERE b.org_id = w.org_id)
            OR EXISTS (
                SELECT FROM public.webhook_replays p
                WHERE p.org_id = w.org_id AND p.webhook_id = w.webhook_id)
            OR w.hears_children AND EXISTS (
                SELECT FROM public.orgs c WHERE c.root_org_id = w.org_id AND c.is_notified
                  AND EXISTS (SELECT FROM public.webhook_outbox b WHERE b.org_id = c.org_id)))
    ) AS due
    WHERE NOT EXISTS (
        SELECT FROM procrastinate_jobs j WHERE j.queueing_lock = due.name AND j.status = 'todo'
    )
    HAVING count(*) > 0
$$;

REVOKE EXECUTE ON FUNCTION note_webhooks, jobs.ring_deliveries FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_webhooks TO milepost_app;
GRANT EXECUTE ON FUNCTION jobs.ring_deliveries TO milepost_operator;
