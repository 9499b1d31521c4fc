-- The use of rate limits.

-- One row per credential and limit, overwritten as the minutes go by: there is nothing to clean up. It is
-- not logged, because a count that a crash forgets only lets a caller begin its minute anew.
CREATE UNLOGGED TABLE rate_usage (
    org_id        bigint NOT NULL,
    credential_id bigint NOT NULL,
    limit_name    text NOT NULL,                 -- the route: "POST /v2/customers"
    minute        timestamptz NOT NULL,          -- its beginning, by the wall clock, also in a sandbox
    used          bigint NOT NULL,               -- requests in it, refused ones included
    PRIMARY KEY (org_id, credential_id, limit_name)
) WITH (fillfactor = 50);

ALTER TABLE rate_usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator ON rate_usage TO milepost_operator USING (true) WITH CHECK (true);
CREATE POLICY tenant ON rate_usage TO milepost_app
    USING (org_id = nullif(current_setting('milepost.org_id', true), '')::bigint);

-- Counted before a request is let in, so by the operator's role.
GRANT SELECT, INSERT, UPDATE ON rate_usage TO milepost_operator;
GRANT SELECT ON rate_usage TO milepost_app;
