//! The faults of `--faults SEED`: lost answers, errors, disorder of notices, and an outage of the ERP.

use super::Systems;
use crossdock_canonical::Duration;
use crossdock_engine::{
    Hub,
    shell::{Running, clock},
};
use crossdock_simulators::{Faults, Outage, OutageMode, Rates};

const OUTAGE_AFTER_MS: u64 = 3_000;
const OUTAGE_MS: u64 = 60_000;

/// Systems whose answers are lost.
const UNRELIABLE: [&str; 3] = ["erp", "payment", "warehouse"];

/// Sets the faults: 30 % of the calls of ERP, payment and warehouse are applied and their answer dropped, 5 % of all fail,
/// notices come twice and out of order, and the ERP is away for a minute.
pub fn begin(systems: &Systems, seed: u64, now: i64) {
    let mut world = systems.world();
    for system in crossdock_simulators::SYSTEMS {
        let rates = Rates {
            error_rate: 0.05,
            apply_then_drop_rate: if UNRELIABLE.contains(&system) { 0.30 } else { 0.0 },
            ..Rates::default()
        };
        let outages = if system == "erp" {
            vec![Outage { after_ms: OUTAGE_AFTER_MS, for_ms: OUTAGE_MS, mode: OutageMode::Unavailable }]
        } else {
            Vec::new()
        };
        let faults = Faults {
            seed: Some(seed),
            rates,
            outages,
            duplicate_notifications: 0.20,
            reorder_notifications: 0.20,
            notification_spread_ms: 3_000,
            ..Faults::default()
        };
        world.set_faults(system, faults, now);
    }
}

/// Waits for the end of the outage, then mends everything: the last fault.
pub async fn end(systems: &Systems, hub: &Running) {
    let over = systems.world().station("erp").map_or(0, |erp| erp.outages_end());
    while hub.now().0 < over {
        clock::pause(Duration::millis(200)).await;
    }
    let mut world = systems.world();
    for system in crossdock_simulators::SYSTEMS {
        world.set_faults(system, Faults::default(), hub.now().0);
    }
}
