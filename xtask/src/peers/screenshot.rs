//! `cargo xtask screenshot`: the pictures of the documentation, drawn from a demo as it runs.
//!
//! Not a test and not compared with what is committed: the orders of each run have their own times.

use super::{
    browser::{self, Browser},
    console::{self, Demo},
};
use crate::{Failure, only_flags, packages, process};

pub const HELP: &str = "\
usage: cargo xtask screenshot

Draws docs/images/order.png anew: the page of an order of the demo, whose ERP
answered some calls with nothing. Needs Chromium and its driver.";

const PICTURE: &str = "docs/images/order.png";

/// As wide as the console's design, and high enough for the timeline and the first attempts.
const SCREEN: (u32, u32) = (1440, 1400);

pub fn run(arguments: &[String]) -> Result<(), Failure> {
    only_flags(arguments, &[])?;
    packages::ensure(browser::NEEDS)?;
    let picture = order()?;
    let path = process::root().join(PICTURE);
    std::fs::write(&path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{PICTURE}");
    Ok(())
}

/// An order that met an ERP which did what it was asked and hung up: its attempts are worth reading.
fn order() -> Result<Vec<u8>, String> {
    let demo = Demo::start(2)?;
    let (width, height) = SCREEN;
    let browser = Browser::start(width, height)?;
    console::sign_in(&browser, &demo)?;
    browser.open(&demo.page("/break"))?;
    browser.click(&browser.find("#system-erp summary")?)?;
    browser.click(&browser.find("#system-erp button[name=fault][value=drop]")?)?;
    browser.find("#system-erp.on")?;
    // One that the warehouse has in hand, so that the page shows parcels too.
    browser.open(&demo.page("/orders"))?;
    let order = browser.find_by_path("//*[@id='orders']//tr[td[. = 'Released']]/th/a")?;
    browser.click(&order)?;
    browser.find_by_path("//*[@id='event-list']//th[starts-with(., 'probe.')]")?;
    browser.find_by_path("//*[@id='event-list']//th[. = 'order.closed']")?;
    // Loaded once more: without the marks of what has just changed.
    browser.open(&browser.address())?;
    browser.find("#lanes svg")?;
    browser.picture(width, height)
}
