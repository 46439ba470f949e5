-- Several nodes: what each tells the others, and whose turn a due effect or timer is without asking for its process.
--
-- A node of the version before writes neither column: NULL belongs to all, and whoever reads it looks at the process's key.
ALTER TABLE node ADD COLUMN about BYTEA NOT NULL DEFAULT '';
ALTER TABLE effect ADD COLUMN partition INT2;
ALTER TABLE timer ADD COLUMN partition INT2;
-- Under which epoch an effect was written last, and below which epoch what is pending may have been sent by an owner that was gone
-- before it could say so. NULL: nobody knows.
ALTER TABLE effect ADD COLUMN epoch INT8;
ALTER TABLE lease ADD COLUMN doubt_before INT8 NOT NULL DEFAULT 9223372036854775807;
