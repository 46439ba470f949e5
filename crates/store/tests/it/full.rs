//! A database whose disk is full: the server says so by a code of its own, at a statement or at the commit.

use crate::{
    cluster::Cluster,
    orders::{placed, step},
    postgres::open,
};
use crossdock_canonical::Timestamp;
use crossdock_store::{Accepted, AuditVerdict, ReadStore, Store, StoreError, conformance::wait};

/// `53100`, as the server raises it when a file cannot grow.
const FULL: &str = "CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$";

#[test]
fn a_full_disk_of_the_database_refuses_and_goes_on_when_there_is_room() {
    let database = Cluster::shared().database();
    let store = open(&database);
    wait(store.lease("a", Timestamp(0))).expect("leases");
    let session = database.session();
    session.run(FULL);
    for (number, at) in [(1, "BEFORE INSERT ON inbox"), (2, "BEFORE INSERT ON pending")] {
        session.run(&format!("CREATE TRIGGER no_room {at} FOR EACH ROW EXECUTE FUNCTION public.no_room()"));
        let said = wait(store.accept(vec![placed(number)], None));
        assert!(matches!(&said, Err(StoreError::Unavailable(reason)) if reason.contains("No space left")), "{said:?}");
        assert_eq!(session.one("SELECT count(*) FROM inbox"), (number - 1).to_string(), "nothing of it was kept");
        session.run(&format!("DROP TRIGGER no_room ON {}", at.rsplit(' ').next().expect("a table")));
        let again = wait(store.accept(vec![placed(number)], None));
        assert!(matches!(again.as_deref(), Ok([Accepted::Stored(_)])), "the same message is taken: {again:?}");
    }
    session.run("CREATE TRIGGER no_room BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION public.no_room()");
    let said = wait(store.commit(step(3, 0, 1)));
    assert!(matches!(said, Err(StoreError::Unavailable(_))), "{said:?}");
    session.run("DROP TRIGGER no_room ON journal");
    wait(store.commit(step(3, 0, 1))).expect("the same transition is committed");
    assert!(matches!(wait(store.verify_audit()), Ok(AuditVerdict::Intact { .. })));
}
