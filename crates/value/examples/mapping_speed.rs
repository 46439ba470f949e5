//! How long the steps of a mapping take, on the order that the tests use.
//!
//! `cargo run --release -p crossdock-value --example mapping_speed`

#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::time::Instant;

use crossdock_value::{Budget, Limits, Program, Value, parse, to_json};

const ORDER: &[u8] = include_bytes!("../tests/it/data/storefront-order.json");
const MAPPING: &str = include_str!("../tests/it/data/storefront-to-canonical.jq");
const ROUNDS: u32 = 2_000;

fn time(what: &str, mut f: impl FnMut()) {
    f();
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| f());
    println!("{what:<10} {:>8.1} us", (start.elapsed() / ROUNDS).as_nanos() as f64 / 1e3);
}

/// The least fuel on which a program runs.
fn fuel(program: &Program, input: &Value) -> u64 {
    let (mut short, mut enough) = (0, Budget::default().fuel);
    while short + 1 < enough {
        let fuel = (short + enough) / 2;
        let runs = program.run(input, &[], &Budget { fuel, ..Budget::default() }).is_ok();
        if runs { enough = fuel } else { short = fuel }
    }
    enough
}

fn main() {
    let compact = to_json(&parse(ORDER, &Limits::default()).expect("the sample is sound"));
    let order = parse(&compact, &Limits::default()).expect("the sample is sound");
    let program = Program::compile(MAPPING, &[]).expect("the mapping compiles");
    let condition = Program::compile(r#".siteId == "RefArchUS" and .orderTotal >= 100"#, &[]).expect("it compiles");
    let budget = Budget::default();
    let output = program.run(&order, &[], &budget).expect("the mapping runs");

    println!("order of {} bytes, output of {} bytes", compact.len(), to_json(&output).len());
    println!("fuel of the mapping: {}", fuel(&program, &order));
    time("parse", || drop(black_box(parse(&compact, &Limits::default()))));
    time("compile", || drop(black_box(Program::compile(MAPPING, &[]))));
    time("map", || drop(black_box(program.run(&order, &[], &budget))));
    time("condition", || drop(black_box(condition.test(&order, &[], &budget))));
    time("write", || drop(black_box(to_json(&output))));
}
