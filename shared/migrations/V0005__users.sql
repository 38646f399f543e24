-- Users and their keys.

-- The accounts that own tasks, items and keys: `owner_id` everywhere. Never removed, so an id never means somebody else.
CREATE TABLE users (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text        NOT NULL COLLATE "C" UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);
INSERT INTO users (name) VALUES ('local');                          -- 1: whom an open installation acts for, and the operator

-- A revoked key stays as a row: that there was ever one is what keeps the service closed.
CREATE TABLE api_key (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner_id     bigint      NOT NULL REFERENCES users,
    name         text        NOT NULL,
    hmac         bytea       NOT NULL CHECK (length(hmac) = 32),    -- of the secret, which nobody keeps
    scopes       text[]      NOT NULL CHECK (scopes <> '{}' AND scopes <@ '{submit,read,cancel,admin}'),
    queues       text[]      NOT NULL DEFAULT '{}',                 -- globs; empty: all queues
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_key_owner ON api_key (owner_id, id);
-- What every API process reads again and again.
CREATE INDEX api_key_live ON api_key (id) WHERE revoked_at IS NULL;

-- The HMAC's key of this installation (ARCHITECTURE.md, "Users and keys", says why it lies here). 244 random bits.
CREATE TABLE key_secret (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    secret bytea   NOT NULL
);
INSERT INTO key_secret (secret)
SELECT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex');
