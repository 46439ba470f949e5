//! The console in a real browser: signing in, the order list, one order as it lives, exceptions, and breaking something.
//!
//! The server's own tests read the pages' text; only a browser shows that scripts, styles and the event stream pass the
//! content policy. `cargo xtask screenshot` uses the same way in to draw the picture of the documentation.

use std::{process::Command, time::Duration};

use super::{
    browser::{self, Browser},
    program::{self, Deadline, Program},
};

pub const NEEDS: &[&str] = browser::NEEDS;

pub fn run() -> Result<(), String> {
    let demo = Demo::start(5)?;
    let browser = Browser::start(1440, 1000)?;
    sign_in(&browser, &demo)?;

    browser.open(&demo.page("/orders"))?;
    let order = browser.find("#orders tbody th a")?;
    let number = browser.text(&order)?;
    browser.click(&order)?;
    let shown = browser.text(&browser.find(".order-head h1")?)?;
    if shown != number {
        return Err(format!("order {number} was opened and {shown:?} is shown"));
    }
    browser.find("#lanes svg")?;
    browser.find("#attempt-list details.attempt summary")?;
    browser.find("#expected li")?;
    // The page follows by itself: its clock says so once the event stream has brought something.
    browser.find("#live-state.live-state-on")?;
    nothing_complained(&browser, "an order")?;

    browser.open(&demo.page("/exceptions"))?;
    browser.find_by_path("//main//h1")?;
    nothing_complained(&browser, "the exceptions")?;

    browser.open(&demo.page("/break"))?;
    browser.click(&browser.find("#system-erp summary")?)?;
    browser.click(&browser.find("#system-erp button[name=fault][value=down]")?)?;
    browser.find("#system-erp.on")?;
    browser.click(&browser.find("#system-erp button[name=fault][value=mend]")?)?;
    browser.find("#system-erp:not(.on)")?;
    nothing_complained(&browser, "breaking something")?;

    // The control: what the content policy forbids is heard of.
    browser.script("document.head.append(Object.assign(document.createElement('style'), {textContent: 'h1 {color: red}'}))")?;
    match &browser.complaints()?[..] {
        [complaint] if complaint.contains("Content Security Policy") => Ok(()),
        other => Err(format!("a planted style should be refused by the content policy, and the browser says {other:?}")),
    }
}

/// A complaint of the browser is a fault of the page: an error of a script, something the content policy refused.
fn nothing_complained(browser: &Browser, page: &str) -> Result<(), String> {
    println!("  {page}");
    match &browser.complaints()?[..] {
        [] => Ok(()),
        complaints => Err(format!("the browser complained at {page}:\n{}", complaints.join("\n"))),
    }
}

/// Signs in with the token that the demo printed, as its form asks.
pub fn sign_in(browser: &Browser, demo: &Demo) -> Result<(), String> {
    browser.open(&demo.page("/sign-in"))?;
    browser.write(&browser.find("#token")?, &demo.token)?;
    browser.click(&browser.find("button.main")?)?;
    browser.find("nav.rail")?;
    nothing_complained(browser, "signing in")
}

/// A demo that places orders steadily, on a free port.
pub struct Demo {
    base: String,
    token: String,
    _program: Program,
}

impl Demo {
    pub fn start(rate: u32) -> Result<Self, String> {
        let data = program::folder("console")?.join("data");
        // Each run has a store of its own; an ended one is of no use to the next.
        let _ = std::fs::remove_dir_all(&data);
        let crossdock = program::built(&["--bin", "crossdock"])?;
        let mut command = Command::new(crossdock);
        command.args(["demo", "--listen", "127.0.0.1:0", "--rate", &rate.to_string(), "--data"]).arg(data);
        let mut program = Program::start(&mut command)?;
        let (base, token) = program.wait_for("where to sign in", Deadline::after(Duration::from_secs(30)), address_and_token)?;
        Ok(Self { base, token, _program: program })
    }

    pub fn page(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// Reads the demo's line `sign in  ADDRESS/sign-in  with the token TOKEN`.
fn address_and_token(line: &str) -> Option<(String, String)> {
    let (address, token) = line.strip_prefix("sign in")?.split_once("with the token")?;
    Some((address.trim().strip_suffix("/sign-in")?.to_owned(), token.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::address_and_token;

    #[test]
    fn the_demos_line_tells_where_and_how_to_sign_in() {
        let found = address_and_token("sign in  http://127.0.0.1:8080/sign-in  with the token abc");
        assert_eq!(found, Some(("http://127.0.0.1:8080".to_owned(), "abc".to_owned())));
        assert_eq!(address_and_token("console  http://127.0.0.1:8080/"), None);
    }
}
