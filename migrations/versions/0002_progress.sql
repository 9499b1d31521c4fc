-- Activities, streak levels achieved, customers' own cycles, and what falls due.

---------------------------------------------------------------------------------------------------
-- Activities and what they move

-- What a customer did, as received. Append-only; its key is how a repetition is known.
CREATE TABLE activities (
    org_id       bigint NOT NULL,
    customer_id  bigint NOT NULL,
    activity_id  text NOT NULL,
    type         text NOT NULL CHECK (type IN ('TRANSACTION', 'EVENT', 'RETURN')),
    occurred_at  timestamptz NOT NULL,
    event_name   text NOT NULL,
    net_amount   numeric NOT NULL,
    gross_amount numeric NOT NULL,
    store_id     bigint,
    zone_id      bigint,
    concept_id   bigint,
    line_items   jsonb,
    attributes   jsonb,
    return_of    text,
    is_full      boolean NOT NULL DEFAULT false,
    version      bigint NOT NULL,                -- with ordinal: its line in the journal
    ordinal      smallint NOT NULL,
    PRIMARY KEY (org_id, customer_id, activity_id)
);
CREATE INDEX activities_return_of ON activities (org_id, customer_id, return_of) WHERE return_of IS NOT NULL;

-- A streak level in an attempt; achieved_at is null after a return took it back.
CREATE TABLE level_achievements (
    org_id          bigint NOT NULL,
    customer_id     bigint NOT NULL,
    target_id       bigint NOT NULL,
    streak_level_id bigint NOT NULL,
    attempt         integer NOT NULL,
    period_id       bigint NOT NULL,
    achieved_at     timestamptz,
    PRIMARY KEY (org_id, customer_id, target_id, streak_level_id, attempt)
);

-- Cycles of a customer's own (cyclic windows) that have to be settled when they end.
CREATE TABLE cycle_ends (
    org_id      bigint NOT NULL,
    customer_id bigint NOT NULL,
    target_id   bigint NOT NULL,
    period_id   bigint NOT NULL,
    due_at      timestamptz NOT NULL,
    PRIMARY KEY (org_id, customer_id, target_id, period_id)
);
CREATE INDEX cycle_ends_due ON cycle_ends (org_id, due_at);

ALTER TABLE enrolments ADD COLUMN anchored_at timestamptz;     -- where the customer's own cycles begin
CREATE INDEX enrolments_of_target ON enrolments (org_id, target_id, customer_id);

ALTER TABLE progress
    ADD COLUMN rewarded_attempt integer,         -- the last attempt whose rewards are done with
    ADD COLUMN own_target_value numeric,         -- what this customer has to reach; null: the target's value
    ADD COLUMN days             jsonb;           -- what each local day contributed: visits, daily bests

-- Levels were known by their first reward only; what had been achieved stays so.
INSERT INTO level_achievements (org_id, customer_id, target_id, streak_level_id, attempt, period_id, achieved_at)
SELECT org_id, customer_id, target_id, streak_level_id, attempt, period_id, granted_at
FROM rewards WHERE streak_level_id IS NOT NULL AND ordinal = 0;
UPDATE progress p SET rewarded_attempt = r.attempt
FROM rewards r
WHERE r.org_id = p.org_id AND r.customer_id = p.customer_id AND r.target_id = p.target_id
  AND r.period_id = p.period_id AND r.attempt = p.attempt AND r.streak_level_id IS NULL AND r.ordinal = 0;

DO $$
DECLARE
    own      constant text := $q$nullif(current_setting('milepost.org_id', true), '')::bigint$q$;
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['activities', 'level_achievements', 'cycle_ends'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format('CREATE POLICY operator ON %I TO milepost_operator USING (true) WITH CHECK (true)', relation);
        EXECUTE format('CREATE POLICY tenant ON %I TO milepost_app USING (org_id = %s)', relation, own);
    END LOOP;
END $$;
GRANT SELECT, INSERT ON activities TO milepost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON level_achievements, cycle_ends TO milepost_app;

---------------------------------------------------------------------------------------------------
-- What falls due in dated cycles

-- The end plus the group's settlement delay as it was then; null: a release before this one wrote the period.
ALTER TABLE target_periods ADD COLUMN closes_at timestamptz;

-- The work of a period that has begun or is done: how far the enrolled of its group have been gone through.
CREATE TABLE passes (
    org_id             bigint NOT NULL,
    period_id          bigint NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('END', 'SETTLE', 'START')),
    due_at             timestamptz NOT NULL,
    step               integer NOT NULL,              -- one more with each batch: its compare-and-set
    cursor_customer_id bigint,                        -- the last customer looked at; null: none yet
    pending            bigint[] NOT NULL DEFAULT '{}', -- before it, those whom somebody else changed meanwhile
    finished_at        timestamptz,                   -- on the organisation's clock
    PRIMARY KEY (org_id, period_id, kind),
    FOREIGN KEY (org_id, period_id) REFERENCES target_periods
) WITH (fillfactor = 70);

ALTER TABLE passes ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON passes TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON passes TO milepost_app
    USING (org_id = nullif(current_setting('milepost.org_id', true), '')::bigint);
GRANT SELECT, INSERT, UPDATE ON passes TO milepost_app;

-- The sweep looks for what is due in all organisations at once.
GRANT SELECT ON target_groups, target_periods, passes, cycle_ends TO milepost_operator;

---------------------------------------------------------------------------------------------------
-- Imports of files

-- A file, known by its content: how far it has come, written in the transaction of each batch of rows.
CREATE TABLE imports (
    org_id      bigint NOT NULL REFERENCES orgs,
    import_id   bigint GENERATED ALWAYS AS IDENTITY,
    kind        text NOT NULL CHECK (kind IN ('customers', 'enrolments', 'activities')),
    digest      text NOT NULL,                   -- SHA-256 of the file
    run         integer NOT NULL DEFAULT 1,      -- one more each time a finished file is imported again
    holder      text NOT NULL,                   -- the process that is at it, or was
    position    bigint NOT NULL DEFAULT 0,       -- bytes of the file that are done with
    line        bigint NOT NULL DEFAULT 0,       -- physical lines that are
    accepted    bigint NOT NULL DEFAULT 0,
    duplicates  bigint NOT NULL DEFAULT 0,
    rejected    bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL,            -- of the run, by the wall clock
    finished_at timestamptz,
    PRIMARY KEY (org_id, import_id),
    UNIQUE (org_id, kind, digest)
);

-- What became of the rows of a batch: lines of the results file, which can so be written again.
CREATE TABLE import_results (
    org_id     bigint NOT NULL,
    import_id  bigint NOT NULL,
    run        integer NOT NULL,
    first_line bigint NOT NULL,
    last_line  bigint NOT NULL,
    results    text NOT NULL,
    PRIMARY KEY (org_id, import_id, run, first_line),
    FOREIGN KEY (org_id, import_id) REFERENCES imports ON DELETE CASCADE
);

DO $$
DECLARE
    own      constant text := $q$nullif(current_setting('milepost.org_id', true), '')::bigint$q$;
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY['imports', 'import_results'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format('CREATE POLICY operator ON %I TO milepost_operator USING (true) WITH CHECK (true)', relation);
        EXECUTE format('CREATE POLICY tenant ON %I TO milepost_app USING (org_id = %s)', relation, own);
    END LOOP;
END $$;
GRANT SELECT, UPDATE ON imports TO milepost_app;
GRANT SELECT, INSERT ON import_results TO milepost_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON imports, import_results TO milepost_operator;

---------------------------------------------------------------------------------------------------
-- Behavioural events, as they may be pushed (an activity of any event name is taken without)

CREATE TABLE event_definitions (
    org_id      bigint NOT NULL,
    event_name  text NOT NULL,
    description text NOT NULL DEFAULT '',
    actions     jsonb NOT NULL,
    fields      jsonb NOT NULL,
    created_at  timestamptz NOT NULL,
    created_by  bigint NOT NULL,
    PRIMARY KEY (org_id, event_name)
);

ALTER TABLE event_definitions ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON event_definitions TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON event_definitions TO milepost_app
    USING (org_id = nullif(current_setting('milepost.org_id', true), '')::bigint);
GRANT SELECT, INSERT ON event_definitions TO milepost_app;

---------------------------------------------------------------------------------------------------
-- Dry runs: a target group against stored activities. Their result is all that they write.

CREATE SEQUENCE simulation_ids START WITH 1001;

CREATE TABLE simulations (
    org_id             bigint NOT NULL REFERENCES orgs,
    simulation_id      bigint NOT NULL DEFAULT nextval('simulation_ids'),
    status             text NOT NULL CHECK (status IN ('QUEUED', 'RUNNING', 'DONE', 'FAILED')),
    target_group_id    bigint,                   -- null: of a definition that was sent along
    definition         jsonb NOT NULL,           -- the group as it was then
    starts_at          timestamptz NOT NULL,
    ends_at            timestamptz NOT NULL,     -- exclusive
    created_at         timestamptz NOT NULL,     -- by the wall clock, here and below
    created_by         bigint NOT NULL,
    started_at         timestamptz,
    finished_at        timestamptz,
    held_until         timestamptz,              -- a process is at it
    step               integer NOT NULL DEFAULT 0, -- one more with each batch: its compare-and-set
    cursor_customer_id bigint,                   -- the last customer counted; null: none yet
    customers_done     bigint NOT NULL DEFAULT 0,
    customers_total    bigint NOT NULL DEFAULT 0,
    tally              jsonb,
    PRIMARY KEY (org_id, simulation_id)
) WITH (fillfactor = 70);
CREATE INDEX simulations_unfinished ON simulations (org_id, simulation_id) WHERE status IN ('QUEUED', 'RUNNING');

ALTER TABLE simulations ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON simulations TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON simulations TO milepost_app
    USING (org_id = nullif(current_setting('milepost.org_id', true), '')::bigint);
GRANT SELECT, INSERT, UPDATE, DELETE ON simulations TO milepost_app;
GRANT SELECT ON simulations TO milepost_operator;
GRANT USAGE ON SEQUENCE simulation_ids TO milepost_app;
