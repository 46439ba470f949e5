//! The writer's statements, prepared once. Looking each up by its text would cost as much as running the cheap ones.

use rusqlite::{Connection, Statement};

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $sql:expr;)*) => {
        pub(super) struct Statements<'c> { $($(#[$doc])* pub(super) $name: Statement<'c>),* }

        impl<'c> Statements<'c> {
            pub(super) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
                Ok(Self { $($name: conn.prepare($sql)?),* })
            }
        }
    };
}

statements! {
    begin: "BEGIN IMMEDIATE";
    commit: "COMMIT";

    find_process: "SELECT k.no, s.version, s.journal, s.payload, s.status, s.stage, s.effects
        FROM process_key k LEFT JOIN process_state s ON s.no = k.no
        WHERE k.kind = ?1 AND k.key = ?2";
    insert_process_key: "INSERT INTO process_key (kind, key, no) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    /// Also tells again what was told before, when it has changed.
    put_process: "INSERT INTO process (no, kind, key, logic, policy, subject, priority, opened_at, channel, site, number, market,
            total, currency)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
        ON CONFLICT (no) DO UPDATE SET logic = excluded.logic, policy = excluded.policy, subject = excluded.subject,
            priority = excluded.priority, opened_at = excluded.opened_at, channel = excluded.channel, site = excluded.site,
            number = excluded.number, market = excluded.market, total = excluded.total, currency = excluded.currency
        WHERE kind = excluded.kind AND key = excluded.key";
    insert_state: "INSERT INTO process_state (no, version, journal, payload, updated_at, schema, state, document, stage, status,
            waiting_for, effects)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    update_state: "UPDATE process_state SET version = ?2, journal = ?3, payload = ?4, updated_at = ?5, schema = ?6, state = ?7,
            document = ?8, stage = ?9, status = ?10, waiting_for = ?11, effects = ?12
        WHERE no = ?1";
    update_tally: "UPDATE tally SET count = count + ?4 WHERE kind = ?1 AND status = ?2 AND stage = ?3";
    insert_tally: "INSERT INTO tally (kind, status, stage, count) VALUES (?1, ?2, ?3, ?4)";

    insert_journal: "INSERT INTO journal (seq, process_no, version, prev, partition, \"offset\", at, actor, action, transition,
            messages, record, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    insert_mark: "INSERT INTO mark (seq, offsets, heads) VALUES (?1, ?2, ?3)";
    read_link: "SELECT prev, version, transition, messages FROM journal WHERE seq = ?1";
    set_meta: "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";

    open_effect: "INSERT INTO open_effect (system, class, due, process_no, no, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    close_effect: "DELETE FROM open_effect WHERE system = ?1 AND class = ?2 AND due = ?3 AND process_no = ?4 AND no = ?5";
    put_timer: "INSERT INTO timer (process_no, name, due) VALUES (?1, ?2, ?3)
        ON CONFLICT (process_no, name) DO UPDATE SET due = excluded.due";
    delete_timer: "DELETE FROM timer WHERE process_no = ?1 AND name = ?2";
    put_exception: "INSERT OR REPLACE INTO exception (process_no, name, class, step, intent, system, cause, suggestion, since, payload)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    delete_exception: "DELETE FROM exception WHERE process_no = ?1 AND name = ?2";
    /// What belongs to one process is never given to another: no row is changed then.
    put_identity: "INSERT INTO identity (system, kind, theirs, process_no, ours) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (system, kind, theirs) DO UPDATE SET ours = excluded.ours WHERE process_no = excluded.process_no";
    insert_payload: "INSERT INTO payload (id, process_no, prev, hash, expires_at, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

    insert_inbox: "INSERT INTO inbox (id, to_system, to_kind, to_key, source, message_id, kind, actor, subject, at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    insert_pending: "INSERT INTO pending (id) VALUES (?1)";
    settle: "DELETE FROM pending WHERE id = ?1";
    insert_dedup: "INSERT INTO dedup (source, id, inbox) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    find_dedup: "SELECT inbox FROM dedup WHERE source = ?1 AND id = ?2";

    insert_key: "INSERT INTO subject_key (no, subject, wrapped) VALUES (?1, ?2, ?3)";
    erase_keys: "UPDATE subject_key SET wrapped = zeroblob(length(wrapped)) WHERE subject = ?1 AND wrapped <> zeroblob(length(wrapped))";

    put_cursor: "INSERT INTO cursor (name, body) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET body = excluded.body";
    put_pin: "INSERT INTO pin (hash, body) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING";
    put_lease: "INSERT INTO lease (partition, epoch, node, taken_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (partition) DO UPDATE SET epoch = excluded.epoch, node = excluded.node, taken_at = excluded.taken_at";

    /// What is still open may need its document and its requests, however old they are.
    sweep_payloads: "DELETE FROM payload WHERE id IN (
            SELECT p.id FROM payload p JOIN process_state s ON s.no = p.process_no
            WHERE p.expires_at < ?1 AND s.status <> 'open' AND s.status <> 'held' LIMIT ?2)";
    /// Looks at the oldest only. The newest row stays, so that numbers never begin again.
    sweep_inbox: "DELETE FROM inbox WHERE id IN (SELECT id FROM (SELECT id, at FROM inbox ORDER BY id LIMIT ?2)
        WHERE at < ?1 AND id NOT IN (SELECT id FROM pending) AND id < (SELECT max(id) FROM inbox))";
}
