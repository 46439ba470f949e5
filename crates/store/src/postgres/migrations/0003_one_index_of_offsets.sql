-- Each piece of the journal has a unique index of its offsets already, which serves every question that this one did; two of them cost
-- every transition one more entry.
DROP INDEX journal_offset;
