//! Small tables of the core. Its behaviour is tested from outside, in `tests/it`.

use super::{dispatch::class, plan::effect_key, record::asker};
use crossdock_canonical::Operation;
use crossdock_store::{Priority, ProcessKey};

#[test]
fn undoing_goes_before_pickup_before_creating_before_telling() {
    use Operation::{ErpCreateOrder, ExportStatus, PaymentVoid, ReleaseStock, WmsCancel, WmsRelease};
    use Priority::{Bulk, Express, Pickup, Standard};
    let falling = [
        (Bulk, PaymentVoid),
        (Pickup, ErpCreateOrder),
        (Express, WmsRelease),
        (Standard, ErpCreateOrder),
        (Standard, ExportStatus),
        (Bulk, ExportStatus),
    ];
    for pair in falling.windows(2) {
        let [a, b] = [0, 1].map(|n: usize| class(pair[n].0, pair[n].1));
        assert!(a < b, "{:?} is of class {a}, {:?} of {b}", pair[0], pair[1]);
    }
    for undo in [PaymentVoid, ReleaseStock, WmsCancel] {
        assert_eq!(class(Bulk, undo), 0);
    }
}

#[test]
fn a_key_depends_on_every_part_of_its_name() {
    let order = ProcessKey::new("order", "ch/de/1");
    let names = [
        (order.clone(), "step", "intent", 1),
        (ProcessKey::new("payment", "ch/de/1"), "step", "intent", 1),
        (ProcessKey::new("order", "ch/at/1"), "step", "intent", 1),
        (order.clone(), "ste", "pintent", 1),
        (order.clone(), "step", "", 1),
        (order, "step", "intent", 2),
    ];
    let keys: std::collections::BTreeSet<_> =
        names.iter().map(|(p, step, intent, generation)| effect_key(p, step, intent, *generation)).collect();
    assert_eq!(keys.len(), names.len());
    assert!(keys.iter().all(|key| key.len() == 32));
}

#[test]
fn the_asker_is_read_out_of_a_commands_key() {
    assert_eq!(asker("abc@order:ch/de/1"), Some(("abc", ProcessKey::new("order", "ch/de/1"))));
    for other in ["abc", "anna@example.com", ""] {
        assert_eq!(asker(other), None, "{other}");
    }
}
