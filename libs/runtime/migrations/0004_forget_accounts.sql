-- Accounts whose person was erased: nothing that tells of them may bring the person's words back.
CREATE TABLE erased_account (
    account_id uuid    PRIMARY KEY,
    is_blanked boolean NOT NULL DEFAULT false   -- whether the service's own log has been cleared of them
);
CREATE INDEX erased_account_to_blank ON erased_account (account_id) WHERE NOT is_blanked;

-- Answers which of some accounts are erased, with `gone` from now on. Until the commit none of the others can be erased: whoever
-- writes about an account holds this lock shared, whoever erases it alone. Locks are taken in one order everywhere.
CREATE FUNCTION erased_among(accounts uuid[], gone uuid[]) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    each record;
BEGIN
    FOR each IN
        SELECT hashtextextended(current_schema || '.erased.' || account, 0) AS hash, bool_or(account = ANY(gone)) AS is_gone
          FROM (SELECT unnest(accounts || gone) AS account) AS named GROUP BY 1 ORDER BY 1
    LOOP
        IF each.is_gone THEN
            PERFORM pg_advisory_xact_lock(each.hash);
        ELSE
            PERFORM pg_advisory_xact_lock_shared(each.hash);
        END IF;
    END LOOP;
    INSERT INTO erased_account (account_id) SELECT unnest(gone) ON CONFLICT DO NOTHING;
    RETURN (SELECT array_agg(account_id) FROM erased_account WHERE account_id = ANY(accounts || gone));
END $$;
