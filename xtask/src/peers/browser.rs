//! A headless Chromium driven by chromedriver over WebDriver (W3C), with no more of the protocol than the steps need.
//!
//! The browser waits for what is looked for (its own "implicit wait"), so nothing here polls or sleeps.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use super::program::{Deadline, Program, folder};

pub const NEEDS: &[&str] = &["chromium", "chromium-driver"];

/// The longest the browser looks for an element or loads a page.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer that is read: a screenshot in base64.
const ANSWER_MAX: u64 = 32 << 20;
/// How WebDriver spells a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window.
pub struct Browser {
    port: u16,
    session: String,
    /// Last, so that the session ends before its driver does.
    _driver: Program,
}

/// An element that was found on a page.
pub struct Element(String);

impl Browser {
    /// Starts with a profile of its own and a window of this size.
    pub fn start(width: u32, height: u32) -> Result<Self, String> {
        let profile = folder("chromium")?.join("profile");
        // What an interrupted run left behind must not be met again.
        let _ = std::fs::remove_dir_all(&profile);
        let mut driver = Program::start(Command::new("chromedriver").arg("--port=0"))?;
        let started = |line: &str| line.rsplit_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok();
        let port = driver.wait_for("its port", Deadline::after(PATIENCE), started)?;
        let arguments = [
            "--headless=new".to_owned(),
            // Root has no sandbox; everything that is opened is ours.
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--force-device-scale-factor=1".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.display()),
        ];
        let mut options = json!({ "args": arguments });
        if let Some(chromium) = on_path("chromium") {
            options["binary"] = json!(chromium);
        }
        let milliseconds = u64::try_from(PATIENCE.as_millis()).expect("twenty seconds are few");
        let wish = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"implicit": milliseconds, "pageLoad": milliseconds, "script": milliseconds},
        }}});
        let session = call(port, "POST", "/session", Some(wish))?;
        let session = session["sessionId"].as_str().ok_or_else(|| format!("no session: {session}"))?.to_owned();
        Ok(Self { port, session, _driver: driver })
    }

    pub fn open(&self, address: &str) -> Result<(), String> {
        self.post("/url", json!({ "url": address })).map(|_| ())
    }

    /// The first element that a CSS selector names, waiting until it is there.
    pub fn find(&self, selector: &str) -> Result<Element, String> {
        self.found("css selector", selector)
    }

    /// The same by XPath, which can ask for texts.
    pub fn find_by_path(&self, path: &str) -> Result<Element, String> {
        self.found("xpath", path)
    }

    fn found(&self, using: &str, what: &str) -> Result<Element, String> {
        let element = self.post("/element", json!({"using": using, "value": what}));
        let element = element.map_err(|error| format!("{what} is not on {}: {error}", self.address()))?;
        let id = element[ELEMENT].as_str().ok_or_else(|| format!("no element: {element}"))?;
        Ok(Element(id.to_owned()))
    }

    pub fn click(&self, element: &Element) -> Result<(), String> {
        self.post(&format!("/element/{}/click", element.0), json!({})).map(|_| ())
    }

    pub fn write(&self, element: &Element, text: &str) -> Result<(), String> {
        self.post(&format!("/element/{}/value", element.0), json!({ "text": text })).map(|_| ())
    }

    /// The text of an element as it is shown.
    pub fn text(&self, element: &Element) -> Result<String, String> {
        let text = self.call("GET", &format!("/element/{}/text", element.0), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Where the window is.
    pub fn address(&self) -> String {
        self.call("GET", "/url", None).ok().and_then(|address| address.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Runs a script in the page.
    pub fn script(&self, script: &str) -> Result<(), String> {
        self.post("/execute/sync", json!({"script": script, "args": []})).map(|_| ())
    }

    /// What the console of the browser complains about since it was last asked: errors and refusals of the content policy.
    pub fn complaints(&self) -> Result<Vec<String>, String> {
        let log = self.post("/se/log", json!({"type": "browser"}))?;
        let entries = log.as_array().cloned().unwrap_or_default();
        let bad = entries.iter().filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        Ok(bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// What a screen of this size shows, as PNG.
    pub fn picture(&self, width: u32, height: u32) -> Result<Vec<u8>, String> {
        let devtools =
            |command: &str, parameters: Value| self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters}));
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        devtools("Emulation.setDeviceMetricsOverride", screen)?;
        let picture = devtools("Page.captureScreenshot", json!({"format": "png"}))?;
        let text = picture["data"].as_str().ok_or("the browser gave no picture")?;
        from_base64(text).ok_or_else(|| "the browser's picture is not base64".to_owned())
    }

    fn post(&self, path: &str, body: Value) -> Result<Value, String> {
        self.call("POST", path, Some(body))
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
        call(self.port, method, &format!("/session/{}{path}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Err(error) = self.call("DELETE", "", None) {
            eprintln!("warning: the browser may still run: {error}");
        }
    }
}

/// One command: an HTTP request on a connection of its own.
fn call(port: u16, method: &str, path: &str, body: Option<Value>) -> Result<Value, String> {
    let broken = |error: std::io::Error| format!("chromedriver {method} {path}: {error}");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(broken)?;
    // Starting the browser takes longest; a page and an element each have their own bound.
    stream.set_read_timeout(Some(PATIENCE * 3)).map_err(broken)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).map_err(broken)?;
    let mut reader = BufReader::new(stream.take(ANSWER_MAX));
    let mut length = 0_usize;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).map_err(broken)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(|_| format!("chromedriver's length is {value:?}"))?;
        }
    }
    let mut answer = vec![0; length.min(usize::try_from(ANSWER_MAX).unwrap_or(usize::MAX))];
    reader.read_exact(&mut answer).map_err(broken)?;
    let mut answer: Value = serde_json::from_slice(&answer).map_err(|error| format!("chromedriver {method} {path}: {error}"))?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        None => Ok(value),
        Some(error) => {
            let message = value["message"].as_str().and_then(|message| message.lines().next()).unwrap_or_default();
            Err(format!("{error}: {message}"))
        }
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Standard base64; nothing else in this crate needs it.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [None; 256];
    for (value, letter) in (0_u32..).zip(LETTERS) {
        values[usize::from(*letter)] = Some(value);
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let mut bits = 0;
        for letter in group {
            bits = bits << 6 | values[usize::from(*letter)]?;
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::from_base64;

    #[test]
    fn base64_is_read_with_and_without_padding() {
        for (text, bytes) in [("", &b""[..]), ("TQ==", b"M"), ("TWE=", b"Ma"), ("TWFu", b"Man"), ("/+8A", b"\xff\xef\0")] {
            assert_eq!(from_base64(text).as_deref(), Some(bytes), "{text}");
        }
        assert_eq!(from_base64("T*=="), None);
    }
}
