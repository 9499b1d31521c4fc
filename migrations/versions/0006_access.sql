-- Signing keys, token revocations, stores, access groups and attribution.

---------------------------------------------------------------------------------------------------
-- What credentials may do, and where they stand

CREATE SEQUENCE access_group_ids START WITH 1001;
CREATE SEQUENCE store_ids START WITH 1001;

-- A set of permissions that credentials, stores and the organisation itself can point to.
CREATE TABLE access_groups (
    org_id          bigint NOT NULL REFERENCES orgs,
    access_group_id bigint NOT NULL DEFAULT nextval('access_group_ids'),
    name            text NOT NULL,
    access          jsonb NOT NULL,              -- permission by resource; one that is not named: NONE
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (org_id, access_group_id),
    CONSTRAINT access_groups_name_key UNIQUE (org_id, name)
);

CREATE TABLE stores (
    org_id          bigint NOT NULL REFERENCES orgs,
    store_id        bigint NOT NULL DEFAULT nextval('store_ids'),
    code            text NOT NULL,
    name            text NOT NULL,
    external_id     text,
    external_id_1   text,
    external_id_2   text,
    access_group_id bigint,                      -- of its tills that have none of their own
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (org_id, store_id),
    -- Each of them may say in a header for which store a call is made, so each names one store.
    CONSTRAINT stores_code_key UNIQUE (org_id, code),
    CONSTRAINT stores_name_key UNIQUE (org_id, name),
    CONSTRAINT stores_external_id_key UNIQUE (org_id, external_id),
    CONSTRAINT stores_external_id_1_key UNIQUE (org_id, external_id_1),
    CONSTRAINT stores_external_id_2_key UNIQUE (org_id, external_id_2),
    FOREIGN KEY (org_id, access_group_id) REFERENCES access_groups
);

ALTER TABLE orgs
    ADD COLUMN default_access_group_id bigint,   -- of tills where neither they nor their store has one
    ADD FOREIGN KEY (org_id, default_access_group_id) REFERENCES access_groups;

-- `access` stays '{}' (nothing) where a group decides, for a release before this one reads only that.
ALTER TABLE credentials
    ADD COLUMN access_group_id       bigint,
    ADD COLUMN inherits              boolean NOT NULL DEFAULT false, -- a till: its store's group, else the default
    ADD COLUMN store_id              bigint,
    ADD COLUMN description           text NOT NULL DEFAULT '',
    ADD COLUMN billable              boolean NOT NULL DEFAULT true,
    ADD COLUMN token_ttl_seconds     integer NOT NULL DEFAULT 300 CHECK (token_ttl_seconds BETWEEN 60 AND 3600),
    ADD COLUMN default_till_id       bigint REFERENCES credentials,  -- of an OAuth client's calls that name none
    ADD COLUMN falls_back_to_default boolean NOT NULL DEFAULT false, -- instead of refusing an unknown till
    ADD FOREIGN KEY (org_id, access_group_id) REFERENCES access_groups,
    ADD FOREIGN KEY (org_id, store_id) REFERENCES stores;

---------------------------------------------------------------------------------------------------
-- Tokens

-- What an organisation signs its tokens with: the one that is not retired. Retired ones verify for a while.
CREATE TABLE signing_keys (
    org_id                bigint NOT NULL REFERENCES orgs,
    kid                   text NOT NULL,
    public_key            text NOT NULL,         -- PEM
    private_key_encrypted text,                  -- JWE of a PEM, under the service's secret key; null once retired
    created_at            timestamptz NOT NULL,
    retired_at            timestamptz,
    PRIMARY KEY (org_id, kid),
    CONSTRAINT signing_keys_kid_key UNIQUE (kid)
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (org_id) WHERE retired_at IS NULL;

-- Tokens that were revoked before their end; rows go once that has passed.
CREATE TABLE revoked_tokens (
    org_id     bigint NOT NULL REFERENCES orgs,
    jti        text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, jti)
);

DO $$
DECLARE
    relation text;
BEGIN
    -- The operator's only: no request of an organisation reads these for itself, but for the names of stores.
    FOREACH relation IN ARRAY ARRAY['access_groups', 'stores', 'signing_keys', 'revoked_tokens'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', relation);
        EXECUTE format('CREATE POLICY operator ON %I TO milepost_operator USING (true) WITH CHECK (true)', relation);
    END LOOP;
END $$;
GRANT SELECT, INSERT, UPDATE ON access_groups, stores TO milepost_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON signing_keys, revoked_tokens TO milepost_operator;
-- A till is made as the operator, and the answer to that call is kept with it.
GRANT EXECUTE ON FUNCTION keep_answers TO milepost_operator;
GRANT USAGE ON SEQUENCE access_group_ids, store_ids TO milepost_operator;

---------------------------------------------------------------------------------------------------
-- Who did it, for those who are told. A parent may have acted for its child.

CREATE POLICY tenant ON stores TO milepost_app USING (org_id IN (
    nullif(current_setting('milepost.org_id', true), '')::bigint,
    nullif(current_setting('milepost.root_org_id', true), '')::bigint
));
GRANT SELECT ON stores TO milepost_app;

-- The names of credentials without anything secret, to the organisation itself: its owner reads `credentials` here.
CREATE VIEW callers WITH (security_barrier) AS
SELECT org_id, credential_id, name FROM credentials
WHERE org_id IN (
    nullif(current_setting('milepost.org_id', true), '')::bigint,
    nullif(current_setting('milepost.root_org_id', true), '')::bigint
);
GRANT SELECT ON callers TO milepost_app;

-- Beside `credential_id`, the till and the store that a call was made for

ALTER TABLE journal
    ADD COLUMN till_id  bigint,
    ADD COLUMN store_id bigint;
