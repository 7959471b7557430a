-- The tables of the store. docs/reference/postgresql.md describes them; what is appended is never changed.

CREATE TABLE autopilot.ledger (
    id          text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{32}$'),
    format      integer NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row for each ledger; taken FOR UPDATE by whoever writes. `moved_to` is empty while the ledger lives here.
CREATE TABLE autopilot.head (
    ledger      text PRIMARY KEY REFERENCES autopilot.ledger,
    seq         bigint NOT NULL,
    hash        bytea NOT NULL CHECK (octet_length(hash) = 32),
    range       bytea NOT NULL,
    lease_first bigint NOT NULL DEFAULT 0,
    lease_seq   bigint NOT NULL DEFAULT -1,
    lease_hash  bytea NOT NULL CHECK (octet_length(lease_hash) = 32),
    moved_to    text NOT NULL DEFAULT ''
);

CREATE TABLE autopilot.entry (
    ledger      text NOT NULL REFERENCES autopilot.ledger,
    seq         bigint NOT NULL CHECK (seq >= 0),
    body        bytea NOT NULL CHECK (octet_length(body) <= 65535),
    hash        bytea NOT NULL,
    PRIMARY KEY (ledger, seq),
    CONSTRAINT entry_has_its_hash CHECK (hash = sha256('\x00'::bytea || body))
);

CREATE TABLE autopilot.object (
    ledger      text NOT NULL REFERENCES autopilot.ledger,
    sha256      bytea NOT NULL,
    bytes       bytea NOT NULL,
    PRIMARY KEY (ledger, sha256),
    CONSTRAINT object_has_its_digest CHECK (sha256 = sha256(bytes))
);

-- The lease log, with its own numbering and chain. A compaction replaces what came before by its sum.
CREATE TABLE autopilot.lease_record (
    ledger      text NOT NULL REFERENCES autopilot.ledger,
    seq         bigint NOT NULL CHECK (seq >= 0),
    body        bytea NOT NULL,
    hash        bytea NOT NULL,
    PRIMARY KEY (ledger, seq),
    CONSTRAINT lease_record_has_its_hash CHECK (hash = sha256('\x00'::bytea || body))
);

CREATE TABLE autopilot.checkpoint (
    ledger      text NOT NULL REFERENCES autopilot.ledger,
    size        bigint NOT NULL CHECK (size >= 0),
    note        bytea NOT NULL,
    PRIMARY KEY (ledger, size)
);

ALTER TABLE autopilot.entry ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE autopilot.object ALTER COLUMN bytes SET STORAGE EXTERNAL;

CREATE FUNCTION autopilot.refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON autopilot.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION autopilot.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON autopilot.entry
    FOR EACH STATEMENT EXECUTE FUNCTION autopilot.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON autopilot.object
    FOR EACH STATEMENT EXECUTE FUNCTION autopilot.refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON autopilot.head
    FOR EACH STATEMENT EXECUTE FUNCTION autopilot.refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE ON autopilot.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION autopilot.refuse_change();

-- The head only moves on: neither the ledger nor the lease log gets shorter, and their lines follow one another.
CREATE FUNCTION autopilot.refuse_retreat() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.seq < OLD.seq OR NEW.lease_seq < OLD.lease_seq OR NEW.lease_first < OLD.lease_first
        OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash) OR NEW.ledger <> OLD.ledger THEN
        RAISE EXCEPTION 'the head of % only moves on', OLD.ledger USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER moves_on BEFORE UPDATE ON autopilot.head
    FOR EACH ROW EXECUTE FUNCTION autopilot.refuse_retreat();
