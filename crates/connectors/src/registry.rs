//! Which connector a system's file means.

use crossdock_connect::Connector;
use crossdock_connect::config::{ConfigFault, SystemConfig, fault, nearest};
use crossdock_connect::secret::Secrets;

/// Makes a connector, or names every fault in its configuration.
pub type Build = fn(&SystemConfig, &Secrets) -> Result<Box<dyn Connector>, Vec<ConfigFault>>;

/// Connectors by the name that `systems/*.yaml` gives them.
pub const CONNECTORS: &[(&str, Build)] = &[
    ("http-json", crate::http_json::build),
    ("salesforce-b2c", crate::salesforce_b2c::build),
    ("stripe", crate::stripe::build),
    ("tryton", crate::tryton::build),
];

/// Makes the connector of a system.
pub fn build(config: &SystemConfig, secrets: &Secrets) -> Result<Box<dyn Connector>, Vec<ConfigFault>> {
    match CONNECTORS.iter().find(|(name, _)| *name == config.connector) {
        Some((_, build)) => build(config, secrets),
        None => {
            let names: Vec<&str> = CONNECTORS.iter().map(|(name, _)| *name).collect();
            let hint = match nearest(&config.connector, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", names.join(", ")),
            };
            Err(vec![fault("connector", format!("`{}` is no connector; {hint}", config.connector))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_connect::config::Limits;
    use crossdock_value::Value;

    #[test]
    fn a_misspelt_connector_is_corrected() {
        let config = SystemConfig {
            name: "shop".into(),
            connector: "salesforce_b2c".into(),
            roles: Vec::new(),
            url: "http://127.0.0.1:1".into(),
            auth: Value::Null,
            limits: Limits::default(),
            settings: Value::Null,
            mappings: Default::default(),
        };
        let faults = build(&config, &Secrets::placeholders()).err().expect("no such connector");
        assert!(faults[0].message.contains("did you mean `salesforce-b2c`?"), "{}", faults[0]);
    }
}
