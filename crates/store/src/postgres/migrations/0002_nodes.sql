-- Several nodes: what each tells the others, and whose turn a due effect or timer is without asking for its process.
--
-- A node of the version before writes neither column: NULL belongs to all, and whoever reads it looks at the process's key.
ALTER TABLE node ADD COLUMN about BYTEA NOT NULL DEFAULT '';
ALTER TABLE effect ADD COLUMN partition INT2;
ALTER TABLE timer ADD COLUMN partition INT2;
