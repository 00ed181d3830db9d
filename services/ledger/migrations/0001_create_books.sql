-- Credits by double entry: what every account holds, what moved it, and the rules that the database
-- keeps by itself.

CREATE TABLE account (
    id        uuid   PRIMARY KEY,
    -- 0: only a row to lock, for inputs that came before the opening. 1: the opening. Then one more
    -- for each transaction.
    version   bigint NOT NULL DEFAULT 0 CHECK (version >= 0),
    grace     bigint NOT NULL DEFAULT 0 CHECK (grace >= 0),
    overdraft bigint NOT NULL DEFAULT 0 CHECK (overdraft <= 0),
    reserved  bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    -- Of the overdraft, what is set aside for jobs that run: it is owed once they are charged.
    overdraft_reserved bigint NOT NULL DEFAULT 0
        CHECK (overdraft_reserved >= 0 AND overdraft_reserved <= reserved),
    -- Of the last renewal or forfeit: subscription lots of lower versions have ended with it.
    renewed_version    bigint NOT NULL DEFAULT 0 CHECK (renewed_version BETWEEN 0 AND version),
    -- To where the last renewal reaches, spent or not: one that ends before it has come too late.
    renewed_until      timestamptz,
    CHECK (overdraft + overdraft_reserved <= 0),
    CHECK (version > 0 OR (grace = 0 AND overdraft = 0 AND reserved = 0))
) WITH (fillfactor = 70);

COMMENT ON TABLE account IS
    'One row per owner of credits: locked before anything of the account is decided.';

CREATE TABLE lot (
    id             uuid   PRIMARY KEY,
    account_id     uuid   NOT NULL REFERENCES account,
    wallet         text   NOT NULL CHECK (wallet IN ('subscription', 'topup', 'promo')),
    credits        bigint NOT NULL CHECK (credits >= 0),
    remaining      bigint NOT NULL CHECK (remaining BETWEEN 0 AND credits),
    source         text   NOT NULL,
    expires_at     timestamptz,
    opened_version bigint NOT NULL CHECK (opened_version > 0),
    priority       integer NOT NULL,  -- of lots that end together, lower ones burn first
    ended_at       timestamptz,       -- when it was ended, in its time or by a renewal
    -- Unspent when it ended: for requests that were admitted before that.
    reclaimable    bigint NOT NULL CHECK (reclaimable BETWEEN 0 AND credits),
    -- An index over `remaining` itself would be rewritten by every change of it.
    is_spendable   boolean NOT NULL GENERATED ALWAYS AS (remaining > 0) STORED,
    is_reclaimable boolean NOT NULL GENERATED ALWAYS AS (reclaimable > 0) STORED,
    -- What is taken back after the end is used by the next event of the account. Where events are
    -- followed one by one, it remains until that one.
    CHECK (remaining + reclaimable <= credits),
    CHECK (ended_at IS NOT NULL OR reclaimable = 0)
) WITH (fillfactor = 70);

COMMENT ON TABLE lot IS 'Credits that came together; `remaining` are neither spent nor reserved.';

CREATE INDEX lot_to_spend ON lot (account_id) WHERE is_spendable;
CREATE INDEX lot_to_reclaim ON lot (account_id, ended_at) WHERE is_reclaimable;
CREATE INDEX lot_to_end ON lot (expires_at, id) WHERE is_spendable AND expires_at IS NOT NULL;

CREATE TABLE reservation (
    job_id           uuid   PRIMARY KEY,
    account_id       uuid   NOT NULL,
    -- The account's version of the transaction whose entries say out of which lots it was taken.
    account_version  bigint NOT NULL CHECK (account_version > 0),
    credits          bigint NOT NULL CHECK (credits >= 0),
    state            text   NOT NULL CHECK (state IN ('reserved', 'captured', 'released')),
    captured_credits bigint NOT NULL CHECK (captured_credits BETWEEN 0 AND credits),
    CHECK (state = 'captured' OR captured_credits = 0)
) WITH (fillfactor = 70);

COMMENT ON TABLE reservation IS
    'A job''s credits: set aside once, then captured or released once.';

CREATE TABLE transaction (
    account_id      uuid   NOT NULL,
    account_version bigint NOT NULL CHECK (account_version > 0),
    id              uuid   NOT NULL,
    kind            text   NOT NULL CHECK (kind IN (
        'grant', 'reserve', 'capture', 'release', 'reclaim', 'expire', 'forfeit', 'debit', 'deduct',
        'reverse', 'grace')),
    job_id          uuid,
    settled_after   bigint NOT NULL,
    grace_after     bigint NOT NULL,
    event_id        uuid   NOT NULL, -- the credits event that tells of it; it has the time too
    causation_id    uuid,            -- none where a person asked the ledger itself
    correlation_id  uuid   NOT NULL,
    occurred_at     timestamptz NOT NULL,
    PRIMARY KEY (account_id, account_version),
    CHECK ((job_id IS NOT NULL) = (kind IN ('reserve', 'capture', 'release')))
);

COMMENT ON TABLE transaction IS 'One row per credits event; its entries sum to zero.';

-- A job is reserved once and closed once, whatever ids its messages come under.
CREATE UNIQUE INDEX transaction_once_per_job ON transaction (job_id, (kind = 'reserve'))
    WHERE job_id IS NOT NULL;
-- Everything else is booked once under its id, which is made of what asked for it.
CREATE UNIQUE INDEX transaction_once ON transaction (id) WHERE job_id IS NULL;


CREATE TABLE remark (
    transaction_id uuid PRIMARY KEY,
    source         text NOT NULL,
    reference      text NOT NULL,
    actor_id       uuid,
    reason         text NOT NULL,
    -- The transaction that this one is the opposite of: each is reversed once.
    reverses_id    uuid UNIQUE
);

COMMENT ON TABLE remark IS 'Who or what asked for a transaction that no job has caused, and why.';

CREATE TABLE entry (
    account_id      uuid     NOT NULL,
    account_version bigint   NOT NULL,
    line            smallint NOT NULL CHECK (line >= 0),
    book            text     NOT NULL CHECK (
        book IN ('lot', 'overdraft', 'reserved', 'revenue', 'breakage', 'world')),
    lot_id          uuid,
    credits         bigint   NOT NULL,
    PRIMARY KEY (account_id, account_version, line),
    CHECK ((book = 'lot') = (lot_id IS NOT NULL))
);

COMMENT ON TABLE entry IS 'Credits into a book of an account, or out of it if negative.';

-- The checks below look at a whole statement at once; foreign keys would look at it row by row.
-- Their joins are index lookups, whatever the planner believes about tables that were empty when it
-- looked: a check must cost the same however much is posted already.

-- A transaction and its entries, from line 0 on, come in one statement. So none can be added later:
-- line 0 is taken.
CREATE FUNCTION check_entries() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    broken record;
BEGIN
    -- Asked one by one: together, and for all lines at once, it costs several times as much.
    IF NOT EXISTS (SELECT FROM posted GROUP BY account_id, account_version
                    HAVING sum(credits) <> 0 OR count(*) < 2 OR min(line) <> 0)
       AND NOT EXISTS (SELECT FROM posted WHERE line = 0 AND NOT EXISTS (
                           SELECT FROM transaction
                            WHERE transaction.account_id = posted.account_id
                              AND transaction.account_version = posted.account_version))
       AND NOT EXISTS (SELECT FROM posted WHERE lot_id IS NOT NULL AND NOT EXISTS (
                           SELECT FROM lot WHERE lot.id = posted.lot_id
                              AND lot.account_id = posted.account_id))
    THEN
        RETURN NULL;
    END IF;
    SELECT whole.*, transaction.id IS NOT NULL AS has_header INTO broken FROM (
        SELECT posted.account_id, posted.account_version, sum(posted.credits) AS total,
               count(*) AS lines, min(line) AS first_line,
               count(lot_id) - count(lot.id) AS foreign_lots
          FROM posted
          LEFT JOIN lot ON lot.id = posted.lot_id AND lot.account_id = posted.account_id
         GROUP BY posted.account_id, posted.account_version
    ) AS whole
      LEFT JOIN transaction USING (account_id, account_version)
     WHERE total <> 0 OR lines < 2 OR first_line <> 0 OR foreign_lots > 0 OR transaction.id IS NULL
     LIMIT 1;
    IF broken.foreign_lots > 0 THEN
        RAISE EXCEPTION 'version % of account % has entries in a lot that is not of it',
            broken.account_version, broken.account_id
            USING ERRCODE = 'foreign_key_violation', TABLE = 'entry';
    END IF;
    RAISE EXCEPTION 'version % of account % is not a whole transaction that sums to zero',
        broken.account_version, broken.account_id
        USING ERRCODE = 'check_violation', TABLE = 'entry', DETAIL = format(
            '%s entries from line %s on sum to %s, with a transaction: %s.',
            broken.lines, broken.first_line, broken.total, broken.has_header);
END $$;

CREATE TRIGGER entry_balances AFTER INSERT ON entry
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION check_entries();

CREATE FUNCTION check_transactions() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT
    SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off
AS $$
DECLARE
    broken record;
BEGIN
    SELECT * INTO broken FROM posted
     WHERE NOT EXISTS (SELECT FROM entry
                        WHERE entry.account_id = posted.account_id
                          AND entry.account_version = posted.account_version
                          AND entry.line = 0)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'version % of account % is a transaction without entries',
            broken.account_version, broken.account_id
            USING ERRCODE = 'check_violation', TABLE = 'transaction';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER transaction_has_entries AFTER INSERT ON transaction
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION check_transactions();

-- What is posted stays. A mistake is answered by another transaction.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: post a correcting transaction', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME;
END $$;

CREATE TRIGGER transaction_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON transaction
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER entry_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER remark_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON remark
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
