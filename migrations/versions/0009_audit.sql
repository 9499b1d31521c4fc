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
