-- Programs and loyalty promotions, what customers have of them, and the rewards that they pay.

---------------------------------------------------------------------------------------------------
-- Definitions

CREATE TABLE programs (
    org_id     bigint NOT NULL REFERENCES orgs,
    program_id bigint NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL,
    created_by bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by bigint NOT NULL,
    PRIMARY KEY (org_id, program_id)
);

-- Read whole and saved whole: what is not a key is in the JSON.
CREATE TABLE promotions (
    org_id       bigint NOT NULL,
    promotion_id bigint NOT NULL,
    program_id   bigint NOT NULL,
    name_key     text NOT NULL,                  -- case-folded by the rules
    identifier   text,                           -- the caller's own
    promotion    jsonb NOT NULL,
    PRIMARY KEY (org_id, promotion_id),
    FOREIGN KEY (org_id, program_id) REFERENCES programs,
    CONSTRAINT promotions_name_key UNIQUE (org_id, program_id, name_key),
    CONSTRAINT promotions_identifier_key UNIQUE (org_id, program_id, identifier)
);

-- Each version of a promotion, by the definitions revision that made it. Append-only.
CREATE TABLE promotion_changes (
    org_id        bigint NOT NULL,
    promotion_id  bigint NOT NULL,
    revision      bigint NOT NULL,
    at            timestamptz NOT NULL,          -- on the organisation's clock
    what          text NOT NULL CHECK (what IN ('CREATED', 'UPDATED')),
    promotion     jsonb NOT NULL,                -- as it was then
    request_id    text NOT NULL,
    credential_id bigint NOT NULL,
    PRIMARY KEY (org_id, revision, promotion_id)
);

---------------------------------------------------------------------------------------------------
-- A customer's state

CREATE SEQUENCE issual_ids START WITH 1001;
CREATE SEQUENCE earn_ids START WITH 1001;

-- Enrolments in promotions. Of a direct one there is a dummy, which never ends.
CREATE TABLE issuals (
    org_id       bigint NOT NULL,
    customer_id  bigint NOT NULL,
    promotion_id bigint NOT NULL,
    issual_id    bigint NOT NULL,
    issued_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    is_dummy     boolean NOT NULL,
    entry_id     bigint NOT NULL,                -- of the line in the journal that tells of it
    ended_at     timestamptz,
    ended_as     text CHECK (ended_as IN ('REVOKED', 'REPLACED', 'EXPIRED')),
    PRIMARY KEY (org_id, customer_id, promotion_id, issual_id),
    CONSTRAINT issuals_ended CHECK ((ended_at IS NULL) = (ended_as IS NULL))
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX issuals_open_key ON issuals (org_id, customer_id, promotion_id) WHERE ended_at IS NULL;
CREATE INDEX issuals_due ON issuals (org_id, expires_at) WHERE ended_at IS NULL AND NOT is_dummy;

-- Promotions that customers were issued and may collect from.
CREATE TABLE earns (
    org_id       bigint NOT NULL,
    customer_id  bigint NOT NULL,
    promotion_id bigint NOT NULL,
    earn_id      bigint NOT NULL,
    issual_id    bigint NOT NULL,
    earned_at    timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    entry_id     bigint NOT NULL,
    redemptions  integer NOT NULL,
    points       numeric NOT NULL,               -- granted by them
    ended_at     timestamptz,
    ended_as     text CHECK (ended_as IN ('REVOKED', 'EXPIRED')),
    PRIMARY KEY (org_id, customer_id, promotion_id, earn_id),
    CONSTRAINT earns_ended CHECK ((ended_at IS NULL) = (ended_as IS NULL))
) WITH (fillfactor = 85);
CREATE INDEX earns_due ON earns (org_id, expires_at) WHERE ended_at IS NULL;

-- How much a promotion has been used by all customers together: only where that is limited.
CREATE TABLE promotion_usage (
    org_id        bigint NOT NULL,
    promotion_id  bigint NOT NULL,
    earns         bigint NOT NULL,
    revoked_earns bigint NOT NULL,
    redemptions   bigint NOT NULL,
    points        numeric NOT NULL,
    PRIMARY KEY (org_id, promotion_id)
) WITH (fillfactor = 50);

-- What promotions paid: once for each thing that one pays for, an activity or the completion of a target. Append-only.
CREATE TABLE redemptions (
    org_id       bigint NOT NULL,
    customer_id  bigint NOT NULL,
    promotion_id bigint NOT NULL,
    paid_for     text NOT NULL,
    earn_id      bigint,                         -- null: of a promotion that pays everybody
    occurred_at  timestamptz NOT NULL,           -- the date of what it was paid for
    redeemed_at  timestamptz NOT NULL,
    points       numeric NOT NULL,               -- granted by it
    PRIMARY KEY (org_id, customer_id, promotion_id, paid_for)
);
-- For the latest of a promotion alone, which name its condition: a new table has no statistics, and then the
-- planner would read a customer's redemptions by the smaller of two indexes, not by the better.
CREATE INDEX redemptions_of_promotion ON redemptions (org_id, promotion_id, occurred_at)
    WHERE occurred_at > '-infinity';

ALTER TABLE rewards
    ADD COLUMN promotion_id bigint,              -- then target, cycle and level are null, and `redemptions` has the key
    ADD COLUMN earn_id      bigint,
    ADD COLUMN paid_for     text;

ALTER TABLE orgs ADD COLUMN revokes_restore_limits boolean NOT NULL DEFAULT false;

---------------------------------------------------------------------------------------------------
-- Row-level security and grants

DO $$
DECLARE
    own      constant text := $q$nullif(current_setting('milepost.org_id', true), '')::bigint$q$;
    relation text;
BEGIN
    FOREACH relation IN ARRAY ARRAY[
        'programs', 'promotions', 'promotion_changes', 'issuals', 'earns', 'redemptions', 'promotion_usage'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format('CREATE POLICY operator ON %I TO milepost_operator USING (true) WITH CHECK (true)', relation);
        EXECUTE format('CREATE POLICY tenant ON %I TO milepost_app USING (org_id = %s)', relation, own);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE ON programs, promotions, issuals, earns, promotion_usage TO milepost_app;
GRANT SELECT, INSERT ON promotion_changes, redemptions TO milepost_app;
GRANT USAGE ON SEQUENCE issual_ids, earn_ids TO milepost_app;
-- The sweep looks for what is due in all organisations at once.
GRANT SELECT ON issuals, earns TO milepost_operator;
