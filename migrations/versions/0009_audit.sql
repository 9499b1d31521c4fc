-- The audit trail, and the erasure of customers.

---------------------------------------------------------------------------------------------------
-- Who changed what. Append-only: neither role may change or delete a row.

CREATE TABLE audit_entries (
    org_id        bigint NOT NULL,
    audit_id      bigint GENERATED ALWAYS AS IDENTITY,
    at            timestamptz NOT NULL,          -- on the organisation's clock
    recorded_at   timestamptz NOT NULL,          -- by the wall clock
    credential_id bigint,                        -- null: the operator
    request_id    text NOT NULL,
    action        text NOT NULL,
    subject_type  text NOT NULL,
    subject_id    text NOT NULL,
    changes       json NOT NULL,                 -- by field, in their order: [from, to]
    PRIMARY KEY (org_id, audit_id)
);
CREATE INDEX audit_entries_at ON audit_entries (org_id, at, audit_id);
CREATE INDEX audit_entries_subject ON audit_entries (org_id, subject_type, subject_id, at, audit_id);

---------------------------------------------------------------------------------------------------
-- Erased customers (org_id = root of the hierarchy). Their rows in `customers` are gone; what is left of
-- them is their id, here and in the books. Its key keeps the id from being given to anybody else.

CREATE TABLE erasures (
    org_id         bigint NOT NULL,
    customer_id    bigint NOT NULL,
    erased_at      timestamptz NOT NULL,         -- on the organisation's clock
    salt           bytea,                        -- of the ids that stand for activities' own; null: finished
    cursor_org_id  bigint,                       -- the organisation whose books are being gone through,
    cursor_version bigint NOT NULL DEFAULT 0,    -- and up to which version of the customer that is done
    finished_at    timestamptz,                  -- by the wall clock
    PRIMARY KEY (org_id, customer_id),
    CONSTRAINT erasures_finished CHECK ((salt IS NULL) = (finished_at IS NOT NULL))
);
CREATE INDEX erasures_unfinished ON erasures (org_id, customer_id) WHERE finished_at IS NULL;

---------------------------------------------------------------------------------------------------
-- First answers may name a customer, and are kept: so they are found by whom the request was about.

ALTER TABLE idempotency_keys ADD COLUMN customer_ids bigint[];   -- null: of nobody, or there is no name any more
CREATE INDEX idempotency_keys_customers ON idempotency_keys USING gin (customer_ids);

DROP FUNCTION keep_answers(bigint[], text[], bytea[], smallint[], bytea[], timestamptz);
-- As before, with the customers of each, as the text of an array.
CREATE FUNCTION keep_answers(
    org_ids bigint[], keys text[], fingerprints bytea[], statuses smallint[], answers bytea[], customers text[],
    now timestamptz
) RETURNS SETOF integer
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH given AS (
        SELECT g.* FROM unnest(org_ids, keys, fingerprints, statuses, answers, customers)
            WITH ORDINALITY AS g (org_id, key, fingerprint, status, answer, customer_ids, place)
        WHERE g.org_id IN (
            nullif(current_setting('milepost.org_id', true), '')::bigint,
            nullif(current_setting('milepost.root_org_id', true), '')::bigint
        )
    ), kept AS (
        INSERT INTO idempotency_keys (org_id, key, fingerprint, status, answer, answered_at, customer_ids)
        SELECT g.org_id, g.key, g.fingerprint, g.status, g.answer, now, g.customer_ids::bigint[]
        FROM given g ORDER BY g.org_id, g.key
        ON CONFLICT ON CONSTRAINT idempotency_keys_pkey DO NOTHING
        RETURNING org_id, key
    )
    SELECT (g.place - 1)::integer FROM given g
    WHERE NOT EXISTS (SELECT FROM kept k WHERE k.org_id = g.org_id AND k.key = g.key)
$$;
REVOKE EXECUTE ON FUNCTION keep_answers FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keep_answers TO milepost_app;
GRANT UPDATE (status, answer, customer_ids) ON idempotency_keys TO milepost_operator;

---------------------------------------------------------------------------------------------------
-- Row-level security and grants

ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON audit_entries TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON audit_entries TO milepost_app
    USING (org_id = nullif(current_setting('milepost.org_id', true), '')::bigint);
ALTER TABLE erasures ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON erasures TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON erasures TO milepost_app
    USING (org_id = nullif(current_setting('milepost.root_org_id', true), '')::bigint);

GRANT SELECT, INSERT ON audit_entries TO milepost_app, milepost_operator;
GRANT SELECT (org_id, customer_id) ON erasures TO milepost_app;
GRANT SELECT, INSERT, UPDATE ON erasures TO milepost_operator;

-- An erasure is the operator's work, for it reaches every organisation of a hierarchy and what is
-- append-only to everybody else. Of that it may change just what can hold something personal.
GRANT SELECT, DELETE ON customers, customer_profiles, customer_identifiers TO milepost_operator;
GRANT SELECT ON activities, journal, rewards, redemptions, customer_versions TO milepost_operator;
GRANT UPDATE (activity_id, return_of, line_items, attributes) ON activities TO milepost_operator;
GRANT UPDATE (details) ON journal TO milepost_operator;
GRANT UPDATE (paid_for) ON rewards TO milepost_operator;
GRANT UPDATE (paid_for) ON redemptions TO milepost_operator;
GRANT UPDATE (version) ON customer_versions TO milepost_operator;
