-- The effects of a process lie in its own row, which every transition writes anyway (`effects.rs`): kept for ever, as before. Apart stands
-- only what waits, in the order in which it is due. The table of before is emptied into both, and dropped, by `migrate.rs`.
ALTER TABLE process_state ADD COLUMN effects BLOB NOT NULL DEFAULT x'';
CREATE TABLE open_effect (
    system     TEXT NOT NULL,
    class      INTEGER NOT NULL,
    -- The greatest number: not due, but open.
    due        INTEGER NOT NULL,
    process_no INTEGER NOT NULL,
    no         INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    PRIMARY KEY (system, class, due, process_no, no)
) STRICT, WITHOUT ROWID;
