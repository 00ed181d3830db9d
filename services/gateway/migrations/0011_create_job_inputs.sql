-- Pictures that came with a job, as objects in storage: what no open job refers to is swept.
CREATE TABLE job_input (
    job_id uuid     NOT NULL,
    place  smallint NOT NULL,
    key    text     NOT NULL,
    PRIMARY KEY (job_id, place)
);
