//! What is moved: each table of the embedded store, column by column, and how the target keeps it.
//!
//! Tables are named here in the order in which they are copied. A table of the source that is neither here nor in `LEFT` fails a test:
//! nothing is forgotten when the schema grows.

use super::row::Kind::{self, Bytes, Compact, Int2, Int8, Text, Turn, Wrapped};

pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// What follows `FROM` in the source.
    pub(crate) from: &'static str,
    /// How many of the first columns are its key; rows are copied in its order, and a move goes on behind the highest one.
    pub(crate) key: usize,
    pub(crate) columns: &'static [Column],
}

/// Its name in the target, its kind, and the expression that gives it in the source.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) Kind, pub(crate) &'static str);

const fn same(name: &'static str, kind: Kind) -> Column {
    Column(name, kind, name)
}

impl Table {
    /// The target's columns, quoted, as a list.
    pub(crate) fn names(&self, columns: usize) -> String {
        let names: Vec<_> = self.columns[..columns].iter().map(|Column(name, ..)| format!("\"{name}\"")).collect();
        names.join(", ")
    }

    /// The source's expressions as a list.
    pub(crate) fn sources(&self, columns: usize) -> String {
        let sources: Vec<_> = self.columns[..columns].iter().map(|Column(.., source)| *source).collect();
        sources.join(", ")
    }
}

pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "subject_key",
        from: "subject_key",
        key: 1,
        columns: &[same("no", Int8), same("subject", Text), same("wrapped", Wrapped)],
    },
    Table {
        name: "process_key",
        from: "process_key",
        key: 2,
        columns: &[same("kind", Text), same("key", Text), same("no", Int8)],
    },
    Table {
        name: "process",
        from: "process",
        key: 1,
        columns: &[
            same("no", Int8),
            same("kind", Text),
            same("key", Text),
            same("logic", Int8),
            same("policy", Compact),
            same("subject", Text),
            same("priority", Int2),
            same("opened_at", Int8),
            same("channel", Text),
            same("site", Text),
            same("number", Text),
            same("market", Text),
            same("total", Text),
            same("currency", Text),
        ],
    },
    Table {
        name: "process_state",
        from: "process_state",
        key: 1,
        columns: &[
            same("no", Int8),
            same("version", Int8),
            same("journal", Int8),
            same("payload", Int8),
            // No digest: what is told of a process is told again at its next transition.
            Column("told", Int8, "0"),
            same("updated_at", Int8),
            same("schema", Int8),
            same("state", Bytes),
            same("document", Bytes),
            same("stage", Text),
            same("status", Text),
            same("waiting_for", Text),
        ],
    },
    Table {
        name: "tally",
        from: "tally",
        key: 3,
        columns: &[
            same("kind", Text),
            same("status", Text),
            same("stage", Text),
            Column("shard", Int2, "0"),
            same("count", Int8),
        ],
    },
    Table {
        name: "journal",
        from: "journal",
        key: 1,
        columns: &[
            same("seq", Int8),
            same("process_no", Int8),
            same("version", Int8),
            same("prev", Int8),
            same("partition", Int2),
            Column("offset", Int8, "\"offset\""),
            same("at", Int8),
            same("actor", Text),
            same("action", Text),
            same("transition", Int8),
            same("messages", Bytes),
            same("record", Bytes),
            same("hash", Bytes),
        ],
    },
    Table {
        name: "effect",
        // Each in a row of its own: the source keeps them packed in their process.
        from: "process_state s JOIN json_each(effects_json(s.effects)) e",
        key: 2,
        columns: &[
            Column("process_no", Int8, "s.no"),
            Column("no", Int8, "e.value ->> 'no'"),
            Column("step", Text, "e.value ->> 'step'"),
            Column("intent", Text, "e.value ->> 'intent'"),
            Column("system", Text, "e.value ->> 'system'"),
            Column("operation", Text, "e.value ->> 'operation'"),
            Column("generation", Int8, "e.value ->> 'generation'"),
            Column("key", Compact, "e.value ->> 'key'"),
            Column("state", Int2, "e.value ->> 'state'"),
            Column("class", Int2, "e.value ->> 'class'"),
            Column("due", Int8, "e.value ->> 'due'"),
            Column("attempts", Int8, "e.value ->> 'attempts'"),
            Column("deadline", Int8, "e.value ->> 'deadline'"),
            Column("made_at", Int8, "e.value ->> 'made_at'"),
            Column("request", Bytes, "unhex(e.value ->> 'request')"),
            Column("last", Text, "e.value ->> 'last'"),
        ],
    },
    Table { name: "timer", from: "timer", key: 2, columns: &[same("process_no", Int8), same("name", Text), same("due", Int8)] },
    Table {
        name: "exception",
        from: "exception",
        key: 2,
        columns: &[
            same("process_no", Int8),
            same("name", Text),
            same("class", Text),
            same("step", Text),
            same("intent", Text),
            same("system", Text),
            same("cause", Text),
            same("suggestion", Text),
            same("since", Int8),
            same("payload", Text),
        ],
    },
    Table {
        name: "identity",
        from: "identity",
        key: 3,
        columns: &[same("system", Text), same("kind", Text), same("theirs", Text), same("process_no", Int8), same("ours", Text)],
    },
    Table {
        name: "inbox",
        from: "inbox",
        key: 1,
        columns: &[
            same("id", Int8),
            same("to_system", Text),
            same("to_kind", Text),
            same("to_key", Text),
            same("source", Text),
            same("message_id", Text),
            same("kind", Text),
            same("actor", Text),
            same("subject", Text),
            same("at", Int8),
            same("body", Bytes),
        ],
    },
    Table {
        name: "pending",
        from: "pending w LEFT JOIN inbox i ON i.id = w.id",
        key: 1,
        columns: &[
            Column("id", Int8, "w.id"),
            // Nobody's turn yet when it is addressed by a system's own id.
            Column("partition", Turn, "iif(i.to_system IS NULL, i.to_key, NULL)"),
        ],
    },
    Table { name: "dedup", from: "dedup", key: 2, columns: &[same("source", Text), same("id", Bytes), same("inbox", Int8)] },
    Table {
        name: "payload",
        from: "payload",
        key: 1,
        columns: &[
            same("id", Int8),
            same("process_no", Int8),
            same("prev", Int8),
            same("hash", Bytes),
            same("expires_at", Int8),
            same("bytes", Bytes),
        ],
    },
    Table { name: "cursor", from: "cursor", key: 1, columns: &[same("name", Text), same("body", Bytes)] },
    Table { name: "pin", from: "pin", key: 1, columns: &[same("hash", Text), same("body", Bytes)] },
];

/// Epochs and owners. The target has a row for each partition from the beginning, so these change rows instead of adding them.
pub(crate) const LEASES: Table = Table {
    name: "lease",
    from: "(SELECT * FROM lease WHERE epoch > 0) l",
    key: 1,
    columns: &[same("partition", Int2), same("epoch", Int8), same("node", Text), same("taken_at", Int8)],
};

/// Columns of the source that are moved in another form.
#[cfg(test)]
pub(crate) const UNPACKED: &[(&str, &str)] = &[("process_state", "effects")];

/// Tables of the source that stay: its own bookkeeping, of which the target makes its own.
#[cfg(test)]
pub(crate) const LEFT: &[&str] = &["meta", "mark", "lease", "open_effect", "schema_version"];
