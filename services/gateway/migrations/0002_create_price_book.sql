-- Prices at admission. A book is never changed: a new price is a new row, in force from its instant by the database's clock.
CREATE TABLE price_book (
    version        bigint      PRIMARY KEY CHECK (version > 0),
    effective_from timestamptz NOT NULL,
    sha256         text        NOT NULL,
    body           text        NOT NULL,
    CHECK (sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex'))
);
CREATE INDEX price_book_by_effect ON price_book (effective_from DESC, version DESC);

CREATE FUNCTION refuse_price_book_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a price book is never changed: add a new version';
END $$;
CREATE TRIGGER price_book_is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON price_book
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_price_book_change();

WITH book (body) AS (
    VALUES ('{"operations":{"background":1,"describe":1,"edit":1,"image":1,"upscale":2,"variate":1,"vectorise":1,"video":5}}')
)
INSERT INTO price_book (version, effective_from, sha256, body)
SELECT 1, '2025-12-28T00:00:00Z', encode(sha256(convert_to(body, 'UTF8')), 'hex'), body FROM book;
