-- Without a key on purpose: what is applied twice stands here twice.
CREATE TABLE applied (place bigserial, event_id uuid NOT NULL, user_id uuid NOT NULL);
CREATE TABLE given_up (place bigserial, event_id uuid NOT NULL);
