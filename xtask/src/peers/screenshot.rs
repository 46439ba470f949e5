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

/// An order worth looking at: shipped in parts, so that money and shipments have more than one row.
const WIDTH: u32 = 1440;

pub fn run(arguments: &[String]) -> Result<(), Failure> {
    only_flags(arguments, &[])?;
    packages::ensure(browser::NEEDS)?;
    let picture = order()?;
    let path = process::root().join(PICTURE);
    std::fs::write(&path, picture).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{PICTURE}");
    Ok(())
}

fn order() -> Result<Vec<u8>, String> {
    let demo = Demo::start(2)?;
    let browser = Browser::start(WIDTH, 1000)?;
    console::sign_in(&browser, &demo)?;
    browser.open(&demo.page("/orders"))?;
    browser.click(&browser.find("#orders tbody th a")?)?;
    browser.find_by_path("//*[@id='event-list']//th[contains(., 'closed')]")?;
    browser.picture()
}
