//! The console's page that breaks things: the simulated systems as the surfaces see them.

use super::Systems;
use crossdock_engine::{HubError, face::Asked, shell::clock::Clock};
use crossdock_server::{Demo, DemoSystem};
use crossdock_simulators::Faults;
use crossdock_value::{Limits, Value};
use std::sync::Arc;

pub struct Panel {
    systems: Arc<Systems>,
    channel: String,
}

impl Panel {
    pub fn new(systems: Arc<Systems>, channel: String) -> Self {
        Self { systems, channel }
    }

    fn read(json: &[u8]) -> Result<Value, HubError> {
        crossdock_value::parse(json, &Limits::default()).map_err(|e| HubError::Malformed(e.to_string()))
    }
}

impl Demo for Panel {
    fn systems(&self) -> Vec<DemoSystem> {
        crossdock_simulators::SYSTEMS
            .iter()
            .map(|name| DemoSystem {
                name: (*name).into(),
                roles: vec![(*name).into()],
                url: self.systems.url(name).unwrap_or_default(),
            })
            .collect()
    }

    fn order_kinds(&self) -> Vec<(String, String)> {
        vec![("next".into(), "the next order of the demo's mix".into())]
    }

    fn faults(&self, system: &str) -> Asked<'_, Value> {
        let text = self.systems.world().station(system).map(|station| serde_json::to_vec(station.faults()));
        let name = system.to_owned();
        Box::pin(async move {
            match text {
                Some(Ok(text)) => Self::read(&text),
                Some(Err(error)) => Err(HubError::Malformed(error.to_string())),
                None => Err(HubError::NoSystem(name.into())),
            }
        })
    }

    fn set_faults(&self, system: &str, faults: Value) -> Asked<'_, ()> {
        let name = system.to_owned();
        Box::pin(async move {
            let faults = Faults::parse(&crossdock_value::to_json(&faults)).map_err(HubError::Malformed)?;
            if self.systems.world().set_faults(&name, faults, Clock::System.now().0) {
                Ok(())
            } else {
                Err(HubError::NoSystem(name.into()))
            }
        })
    }

    fn place_order(&self, _kind: &str) -> Asked<'_, String> {
        Box::pin(async move {
            let expectation = self.systems.world().place_next(Clock::System.now().0);
            self.systems.wake();
            Ok(format!("{}/{}/{}", self.channel, expectation.site, expectation.order))
        })
    }

    fn ledger_tail(&self, system: &str, limit: usize) -> Asked<'_, Vec<Value>> {
        let lines = self.systems.world().ledger(system).map(|ledger| ledger.lines(0));
        let name = system.to_owned();
        Box::pin(async move {
            let lines = lines.ok_or_else(|| HubError::NoSystem(name.into()))?;
            lines.lines().rev().take(limit).map(|line| Self::read(line.as_bytes())).collect()
        })
    }
}
