-- The first answers of requests with an Idempotency-Key (contract §9), kept in the transaction of their effect.

-- One row per key of a calling organisation. A parent that acts for its child has its keys as the parent.
CREATE TABLE idempotency_keys (
    org_id       bigint NOT NULL,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,                 -- of the request: another one under this key is refused
    status       smallint NOT NULL,
    answer       bytea NOT NULL,
    answered_at  timestamptz NOT NULL,           -- by the wall clock, in sandboxes too
    customer_ids bigint[],                       -- whom it was about and may name; null: nobody
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (org_id, key)
);
-- For the sweep. Rows come in order of time, and such an index costs an insert nothing.
CREATE INDEX idempotency_keys_answered_at ON idempotency_keys USING brin (answered_at);
-- For the erasure of a customer.
CREATE INDEX idempotency_keys_customers ON idempotency_keys USING gin (customer_ids);

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON idempotency_keys TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON idempotency_keys TO milepost_app
    USING (org_id = nullif(current_setting('milepost.org_id', true), '')::bigint);
GRANT SELECT ON idempotency_keys TO milepost_app;
GRANT SELECT, UPDATE (status, answer, customer_ids), DELETE ON idempotency_keys TO milepost_operator;

-- Keeps answers, and returns the places (from 0) of those whose key has one already: then the transaction must be
-- undone. It waits for a transaction that is just keeping one of the keys. A batch for a child may hold calls of its
-- parent, so this reaches, as the table's owner, where the batch itself does not. Customers come as the text of an
-- array each, for an array of arrays must be a rectangle.
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
