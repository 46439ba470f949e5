//! Faulty landscapes, each a folder of `tests/faulty` with the faults it must give in its `expected.txt`.
//!
//! A line there is `file:line:column code message (suggestion)`. `CROSSDOCK_BLESS=1` writes what is found; read it before committing.

use crossdock_canonical::SystemName;
use crossdock_connect::config::{ConfigFault, SystemConfig, fault};
use crossdock_landscape::{Folder, Known, Landscape, check};
use std::{fs, path::PathBuf};

const CONNECTORS: &[&str] = &["salesforce-b2c", "stripe", "http-json", "tryton"];

fn known() -> Known<'static> {
    Known { connectors: CONNECTORS, faults: &|_| Vec::new() }
}

fn folders() -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/faulty");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(root).expect("it is there").map(|entry| entry.expect("it can be read").path()).collect();
    folders.sort();
    folders
}

#[test]
fn every_fault_is_found_at_its_place() {
    let folders = folders();
    assert!(folders.len() >= 15, "{}", folders.len());
    let mut wrong = String::new();
    for folder in folders {
        // `expected.txt` is no part of the landscape.
        let read = Folder::read(&folder).expect("it can be read");
        let files = read.files().filter(|(path, _)| *path != "expected.txt");
        let report = Landscape::from_folder(&Folder::from_files(files), &known()).expect_err("it is faulty");
        let found = report.to_string();
        let expected = folder.join("expected.txt");
        if std::env::var_os("CROSSDOCK_BLESS").is_some() {
            fs::write(&expected, &found).expect("it can be written");
        }
        let expected = fs::read_to_string(expected).unwrap_or_default();
        if found != expected {
            wrong += &format!("== {}\n-- expected\n{expected}-- found\n{found}", folder.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn the_places_in_expected_files_are_inside_their_files() {
    for folder in folders() {
        let expected = fs::read_to_string(folder.join("expected.txt")).expect("every folder has one");
        for line in expected.lines() {
            let mut parts = line.splitn(3, ':');
            let (file, number) = (parts.next().expect("a file"), parts.next().expect("a line"));
            let number: usize = number.parse().expect("a number");
            let lines = fs::read_to_string(folder.join(file)).map_or(1, |text| text.lines().count().max(1));
            assert!(number <= lines + 1, "{}: {line}", folder.display());
        }
    }
}

const NODE: (&str, &str) = ("crossdock.yaml", "name: test\n");

#[test]
fn a_fault_is_drawn_in_its_source() {
    let folder = Folder::from_files([NODE, ("systems/erp.yaml", "connector: tryton\nroles: [erpp]\nurl: https://erp.example\n")]);
    let report = Landscape::from_folder(&folder, &known()).expect_err("it is faulty");
    let expected = "\
error[unknown_value]: `erpp` is not valid here
 --> systems/erp.yaml:2:9
  |
2 | roles: [erpp]
  |         ^^^^
  |
  = help: did you mean `erp`?

";
    assert_eq!(report.render(false), expected);
    assert_eq!(
        report.to_json(),
        r#"[{"file":"systems/erp.yaml","line":2,"column":9,"code":"unknown_value","message":"`erpp` is not valid here","suggestion":"did you mean `erp`?"}]"#
    );
}

#[test]
fn a_secret_is_never_shown() {
    let text = "connector: stripe\nroles: [payment]\nurl: https://api.stripe.com\nauth:\n  secret_key: sk_live_51HxVeryReal\n";
    let folder = Folder::from_files([NODE, ("systems/psp.yaml", text)]);
    let report = Landscape::from_folder(&folder, &known()).expect_err("it is faulty");
    let shown = format!("{}{}{}{report:?}", report.render(false), report.render(true), report.to_json());
    assert!(report.faults().iter().any(|fault| fault.code == "secret_literal"), "{shown}");
    assert!(!shown.contains("VeryReal"), "{shown}");
    assert!(report.render(false).contains("secret_key: ********************"), "{}", report.render(false));
}

/// What connectors say is put where they mean it: keys with dots, expressions in block scalars, mappings.
#[test]
fn a_connectors_faults_are_placed_in_the_file() {
    let system = "\
connector: http-json
roles: [erp]
url: ${env:ERP_URL}
settings:
  operations:
    erp.create_order:
      body: |
        {number: .number,
         total: .totals.grnd}
      pats: /orders
";
    let mapping = "system: erp\noperation: erp.create_order\nfields:\n  body.number: .order.number\n";
    let folder = Folder::from_files([NODE, ("systems/erp.yaml", system), ("mappings/erp.yaml", mapping)]);
    let body = "{number: .number,\n total: .totals.grnd}\n";
    let at = body.find("grnd").expect("it is there");
    let find = |config: &SystemConfig| {
        assert_eq!(
            (&config.name, config.settings.get("operations").get("erp.create_order").get("body").as_str()),
            (&SystemName::new("erp"), Some(body))
        );
        let expression = ConfigFault {
            span: Some(at..at + 4),
            ..fault("settings.operations[erp.create_order].body", "no field `grnd`; did you mean `grand`?")
        };
        vec![
            expression,
            fault("settings.operations[erp.create_order].pats", "`pats` is not a setting; did you mean `path`?"),
            fault("settings.operations[erp.create_order]", "`method` is missing"),
            fault("mappings[erp.create_order].body.number", "no such target"),
            fault("url", "not for production"),
        ]
    };
    let report = Landscape::from_folder(&folder, &Known { connectors: CONNECTORS, faults: &find }).expect_err("it is faulty");
    let expected = "\
systems/erp.yaml:3:6 setting not for production
systems/erp.yaml:6:5 setting `method` is missing
systems/erp.yaml:9:25 setting no field `grnd` (did you mean `grand`?)
systems/erp.yaml:10:13 setting `pats` is not a setting (did you mean `path`?)
mappings/erp.yaml:4:16 setting no such target
";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn a_folder_that_is_not_there_cannot_be_checked() {
    assert!(check(&PathBuf::from("no/such/folder"), &known()).is_err());
}
