//! The demo's landscape, carried in the binary so that the demo needs no files.

use crossdock_landscape::Folder;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../landscapes/demo/", $path)))),*]
    };
}

const FILES: &[(&str, &str)] = files![
    "crossdock.yaml",
    "ownership.yaml",
    "schedules.yaml",
    "contracts/shipment.notice.json",
    "markets/DE.yaml",
    "markets/GB.yaml",
    "markets/JP.yaml",
    "markets/KW.yaml",
    "markets/US.yaml",
    "policies/back-office.yaml",
    "policies/cards.yaml",
    "policies/cards-multi-capture.yaml",
    "systems/erp.yaml",
    "systems/fraud.yaml",
    "systems/giftcard.yaml",
    "systems/inventory.yaml",
    "systems/notification.yaml",
    "systems/payment.yaml",
    "systems/storefront.yaml",
    "systems/tax.yaml",
    "systems/warehouse.yaml",
];

pub fn demo_landscape() -> Folder {
    Folder::from_files(FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}
