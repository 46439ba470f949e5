//! Programs against what they must give, by subject. Inputs are read by the crate's own parser, so
//! that every case also shows the scale of its numbers.

use super::*;
use crate::{Value, parse_str, value};
use proptest::prelude::*;

fn json(text: &str) -> Value {
    parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn compile(source: &str) -> Program {
    Program::compile(source, &[]).unwrap_or_else(|error| panic!("{source}: {error}"))
}

fn run(source: &str, input: &str) -> Result<Value, RunError> {
    compile(source).run(&json(input), &[], &Budget::default())
}

/// Compares the JSON text, so that `1.0` is not taken for `1`.
fn check(cases: &[(&str, &str, &str)]) {
    for (input, source, expected) in cases {
        match run(source, input) {
            Ok(output) => assert_eq!(output.to_string(), *expected, "{input} | {source}"),
            Err(error) => panic!("{input} | {source}: {error}"),
        }
    }
}

/// Checks that each program fails with a message that has the given words.
fn check_fails(cases: &[(&str, &str, &str)]) {
    for (input, source, words) in cases {
        let error = run(source, input).expect_err(source).to_string();
        assert!(error.contains(words), "{input} | {source}: {error}");
    }
}

fn refusal(source: &str) -> CompileError {
    Program::compile(source, &[]).map(|_| ()).expect_err(source)
}

#[test]
fn arithmetic_is_exact() {
    check(&[
        (r#"{"a":0.1,"b":0.2}"#, ".a + .b", "0.3"),
        ("12.50", ".", "12.50"),
        ("12.50", ". + 0.5", "13.00"),
        ("12345678901234567890.123456", ". + 0.000001", "12345678901234567890.123457"),
        ("12345678901234567890.123456", ".", "12345678901234567890.123456"),
        ("19.99", ". * 3", "59.97"),
        ("[1.10, 2.20, 3.30]", "add", "6.60"),
        ("10", ". / 4", "2.5"),
        ("7.5", ". % 2", "1.5"),
        ("0", "-(.)", "0"),
        ("1e2", ".", "100"),
        ("null", "1e2 + 0.50", "100.50"),
        ("3", ". - 3.00", "0.00"),
        ("[1.0, 1, 1.00]", "unique | length", "1"),
        ("0.3", ". == 0.1 + 0.2", "true"),
        ("100", ". > 99.999999999999999999", "true"),
    ]);
    check_fails(&[
        ("79228162514264337593543950335", ". + 1", "28 digits"),
        ("1", ". / 0", "divide by zero"),
        ("1", ". % 0", "divide by zero"),
        (r#""12.50""#, ". + 1", "tonumber"),
        ("0.0000000000000000000000000001", ". * .", "too small"),
    ]);
}

#[test]
fn a_quotient_is_rounded_half_even_at_the_last_digit_that_fits() {
    check(&[
        ("1", ". / 3", "0.3333333333333333333333333333"),
        ("2", ". / 3", "0.6666666666666666666666666667"),
        ("10", ". / 3 + 100 | round(2)", "103.33"),
    ]);
}

#[test]
fn rounding_is_by_a_named_rule() {
    check(&[
        ("[2.5, 3.5, -2.5, 2.4]", "map(round)", "[3,4,-3,2]"),
        ("[2.5, 2.1, -2.1]", "map(floor)", "[2,2,-3]"),
        ("[2.5, 2.1, -2.1]", "map(ceil)", "[3,3,-2]"),
        ("2.675", "round(2)", "2.68"),
        ("2.665", r#"round(2; "half_even")"#, "2.66"),
        ("-2.661", r#"round(2; "down")"#, "-2.66"),
        ("-2.661", r#"round(2; "up")"#, "-2.67"),
        ("3", "round(2)", "3.00"),
    ]);
    check_fails(&[("1", r#"round(2; "bankers")"#, "half_even"), ("1", "round(29)", "0 to 28")]);
}

#[test]
fn money_has_the_minor_units_of_its_currency() {
    check(&[
        ("12.345", r#"fixed("USD")"#, r#""12.34""#),
        ("12.355", r#"fixed("USD")"#, r#""12.36""#),
        ("12.345", r#"fixed("USD"; "half_up")"#, r#""12.35""#),
        ("1250.5", r#"fixed("JPY")"#, r#""1250""#),
        ("1.2345", r#"fixed("KWD")"#, r#""1.234""#),
        (r#""7""#, r#"fixed("EUR")"#, r#""7.00""#),
        ("-0.001", r#"fixed("EUR")"#, r#""0.00""#),
        ("12.5", r#"money("USD")"#, r#"{"amount":"12.50","currency":"USD"}"#),
        ("12.50", r#"to_minor("USD")"#, "1250"),
        ("1250", r#"to_minor("JPY")"#, "1250"),
        ("1250", r#"from_minor("USD")"#, "12.50"),
        ("1250", r#"from_minor("JPY")"#, "1250"),
        ("1250", r#"from_minor("KWD")"#, "1.250"),
        (r#""1250""#, r#"from_minor("USD") | fixed("USD")"#, r#""12.50""#),
    ]);
    check_fails(&[
        ("12.505", r#"to_minor("USD")"#, "use fixed first"),
        ("12.5", r#"from_minor("USD")"#, "whole number"),
        ("12.5", r#"fixed("dollars")"#, "ISO 4217"),
        ("null", r#"fixed("USD")"#, "null"),
        (r#""1,50""#, r#"fixed("EUR")"#, "not an amount"),
    ]);
}

#[test]
fn text_and_numbers_convert_exactly() {
    check(&[
        (r#""12.50""#, "tonumber", "12.50"),
        ("12.50", "tostring", r#""12.50""#),
        ("12.50", r#""total \(.)""#, r#""total 12.50""#),
        (r#"{"a":[1.0,null]}"#, "tojson", r#""{\"a\":[1.0,null]}""#),
        (r#""{\"a\":1.50}""#, "fromjson", r#"{"a":1.50}"#),
        (r#""true""#, "toboolean", "true"),
    ]);
    check_fails(&[
        (r#"" 12""#, "tonumber", "not a decimal"),
        ("[1]", "tonumber", "an array"),
        (r#""[1,""#, "fromjson", "json.syntax"),
    ]);
}

#[test]
fn the_usual_filters_work_as_in_jq() {
    check(&[
        (r#"{"b":1,"a":2}"#, "keys", r#"["a","b"]"#),
        (r#"{"b":1,"a":2}"#, "to_entries", r#"[{"key":"b","value":1},{"key":"a","value":2}]"#),
        (r#"{"b":1,"a":2}"#, "with_entries(.value += 1)", r#"{"b":2,"a":3}"#),
        (r#"{"a":1}"#, "{a, b: 2, c: {d: .a}}", r#"{"a":1,"b":2,"c":{"d":1}}"#),
        (r#"{"a":1}"#, ". + {b: 2, a: 3}", r#"{"a":3,"b":2}"#),
        ("null", "{a: 1, b: 2, a: 3}", r#"{"a":3,"b":2}"#),
        (r#"{"a":{"x":1}}"#, ". * {a: {y: 2}}", r#"{"a":{"x":1,"y":2}}"#),
        ("[3,1,2]", "sort, (map(-.) | sort | map(-.)) | select(.[0] == 3)", "[3,2,1]"),
        (r#"[{"k":"b"},{"k":"a"}]"#, "sort_by(.k) | map(.k)", r#"["a","b"]"#),
        (r#"[{"k":1,"v":1},{"k":1,"v":2}]"#, "group_by(.k) | map(map(.v) | add)", "[3]"),
        ("[1,[2,[3]]]", "flatten", "[1,2,3]"),
        ("[1,[2,[3]]]", "flatten(1)", "[1,2,[3]]"),
        ("[1,2,3]", "map(select(. > 1))", "[2,3]"),
        ("[1,null,2]", r#"join("-")"#, r#""1--2""#),
        (r#"["a","b"]"#, "add", r#""ab""#),
        ("[]", "add", "null"),
        ("[[1],[2]]", "add", "[1,2]"),
        (r#"{"a":null}"#, r#".a // "none""#, r#""none""#),
        (r#"{"a":[{"b":1}]}"#, ".a[0].b, .x.y?, .a[5] | select(. != null)", "1"),
        ("[1,2,3,4]", ".[1:3]", "[2,3]"),
        ("[1,2,3,4]", ".[-2:]", "[3,4]"),
        (r#""2026-11-24T10:00:00Z""#, ".[:10]", r#""2026-11-24""#),
        (r#""äöü""#, ".[1:2]", r#""ö""#),
        (r#""a,b""#, r#"split(",")"#, r#"["a","b"]"#),
        (r#""a-b-c""#, r#"gsub("-"; "")"#, r#""abc""#),
        (r#""Tel 030-12""#, r#"[scan("[0-9]+")]"#, r#"["030","12"]"#),
        (r#""AbC""#, "ascii_downcase, ascii_upcase | select(. == \"abc\")", r#""abc""#),
        (r#"{"a":1}"#, r#"has("a"), has("b") | select(.)"#, "true"),
        (r#"["x","y"]"#, r#"index("y")"#, "1"),
        (r#""foobar""#, r#"contains("bar")"#, "true"),
        (r#"{"a":[1,2],"b":3}"#, "[paths]", r#"[["a"],["a",0],["a",1],["b"]]"#),
        (r#"{"a":1,"b":2}"#, "del(.a)", r#"{"b":2}"#),
        ("[1,2,3]", "del(.[0,2])", "[2]"),
        ("[1,2,3,4]", "del(.[1:3], .[9], (.[] | select(. == 1)))", "[4]"),
        (r#"{"a":{"b":1}}"#, "del(.a.b, .x.y)", r#"{"a":{}}"#),
        ("null", ".a.b[1] = 1", r#"{"a":{"b":[null,1]}}"#),
        ("null", ".a |= empty", "null"),
        ("[1,2,3,4]", ".[1:3] |= map(. * 10)", "[1,20,30,4]"),
        (r#"{"a":[1,2]}"#, ".a[] |= . + 1", r#"{"a":[2,3]}"#),
        (r#"{"a":{"b":5}}"#, r#"getpath(["a","b"])"#, "5"),
        ("[1,2,3]", "reduce .[] as $x (0; . + $x)", "6"),
        ("[1,2,3]", "[foreach .[] as $x (0; . + $x)]", "[1,3,6]"),
        ("[[1,2],[3,4]]", ". as [[$a], [$b]] | $a + $b", "4"),
        ("5", "if . > 3 then \"big\" elif . > 1 then \"mid\" else \"small\" end", r#""big""#),
        ("1", r#"try error("x") catch ."#, r#""x""#),
        ("[[1,2],[3]]", "transpose", "[[1,3],[2,null]]"),
        ("5", "toarray", "[5]"),
        (r#"["a\"b",1.50,false,null]"#, "@csv", r#""\"a\"\"b\",1.50,false,""#),
        (r#"["a\tb",1,null]"#, "@tsv", r#""a\\tb\t1\t""#),
        (r#"{"a":1}"#, r#"@json "x=\(.)""#, r#""x={\"a\":1}""#),
        (r#"{"q":"a b&c"}"#, r#"@uri "x?q=\(.q)""#, r#""x?q=a%20b%26c""#),
        (r#""hub""#, "@base64", r#""aHVi""#),
        (r#""aHVi""#, "@base64d", r#""hub""#),
        ("[3,1]", "min, max | select(. == 3)", "3"),
        ("[1,2]", "any(. > 1), all(. > 1) | select(.)", "true"),
        ("[1,[2]]", "[..] | length", "4"),
        ("[1,2,3,4]", "[limit(2; .[])], [first(.[])] | select(length == 2)", "[1,2]"),
        (r#"{"a":"1"}"#, ".a | type", r#""string""#),
        ("[0, null, false]", "map(not)", "[false,true,true]"),
    ]);
}

#[test]
fn errors_name_kinds_and_keys_but_no_contents() {
    let input = r#"{"email": "jane@example.com", "card": 4111111111111111}"#;
    for source in [".email.x", ".card.x", ".email[]", ".email - 1", ".card | ascii_downcase", ".email | tonumber"] {
        let error = run(source, input).expect_err(source).to_string();
        assert!(!error.contains("jane") && !error.contains("4111"), "{source}: {error}");
    }
    check_fails(&[
        (input, ".email.host", r#"cannot read the field "host" of a string"#),
        ("null", ".[]", "cannot iterate over null"),
        ("1", r#"error("no sales organization for \(.)")"#, "no sales organization for 1"),
        ("1", "error({code: 7})", r#"{"code":7}"#),
    ]);
}

#[test]
fn a_run_gives_one_output_or_says_so() {
    let program = compile(".[]");
    let budget = Budget::default();
    assert_eq!(program.run(&json("[1]"), &[], &budget), Ok(Value::from(1)));
    assert_eq!(program.run(&json("[]"), &[], &budget), Err(RunError::NoOutput));
    assert_eq!(program.run(&json("[1,2]"), &[], &budget), Err(RunError::ManyOutputs));
    assert_eq!(program.run_all(&json("[1,2]"), &[], &budget), Ok(vec![Value::from(1), Value::from(2)]));
}

#[test]
fn variables_are_given_in_the_order_of_their_names() {
    let program = Program::compile("[$market.currency, $now, .]", &["market", "$now"]).unwrap();
    let vars = [value!({"currency": "EUR"}), value!("2026-11-24T00:00:00Z")];
    let output = program.run(&json("1"), &vars, &Budget::default()).unwrap();
    assert_eq!(output, value!(["EUR", "2026-11-24T00:00:00Z", 1]));
    let error = program.run(&json("1"), &vars[..1], &Budget::default());
    assert_eq!(error, Err(RunError::Variables { expected: 2, got: 1 }));
}

#[test]
fn a_condition_is_true_or_false_and_nothing_else() {
    let order = json(r#"{"total": 100.00, "country": "US"}"#);
    let budget = Budget::default();
    assert_eq!(compile(r#".total >= 100 and .country == "US""#).test(&order, &[], &budget), Ok(true));
    assert_eq!(compile(".total > 100").test(&order, &[], &budget), Ok(false));
    assert!(compile(".country").test(&order, &[], &budget).is_err());
}

#[test]
fn a_fault_in_the_source_is_shown_where_it_is() {
    let cases = [
        (". | mony(1)", "mony", "undefined filter mony/1", Some("money(_)")),
        (".a + $totl", "$totl", "undefined variable $totl", None),
        ("map(.a", "", "closing parenthesis", None),
        ("{a: 1 c}", "c", "expected comma or right brace", None),
        (".a | ", "", "expected an expression", None),
        ("map", "map", "undefined filter map/0", Some("map(_)")),
        (". # 1\n| tonumbr", "tonumbr", "tonumbr/0", Some("tonumber")),
        ("1 + 123456789012345678901234567890.5", "123456789012345678901234567890.5", "28 digits", None),
        ("break $out", "$out", "label", None),
        ("", "", "expected an expression", None),
        (r#""a\q""#, "q", "escape", None),
    ];
    for (source, part, message, hint) in cases {
        let error = refusal(source);
        assert_eq!(&source[error.span.clone()], part, "{source}: {error}");
        assert!(error.message.contains(message), "{source}: {error}");
        assert_eq!(error.hint.as_deref(), hint, "{source}");
    }
    let hint = Program::compile(".a + $totl", &["total"]).unwrap_err().hint;
    assert_eq!(hint.as_deref(), Some("$total"));
}

#[test]
fn the_world_is_closed() {
    let sources = [
        "env",
        "$ENV",
        "env.PATH",
        "input",
        "inputs",
        "halt",
        "halt_error",
        "halt_error(1)",
        "debug",
        "debug(.)",
        "stderr",
        "now",
        "localtime",
        "mktime",
        "gmtime",
        "strftime(\"%Y\")",
        "strflocaltime(\"%Y\")",
        "strptime(\"%Y\")",
        "todate",
        "fromdate",
        "input_filename",
        "input_line_number",
        "$__loc__",
        "sqrt",
        "pow(.; 2)",
        "nan",
        "infinite",
        "log10",
        "import \"a\" as a; .",
        "include \"a\"; .",
        "module {}; .",
    ];
    for source in sources {
        let error = refusal(source);
        assert!(error.message.contains("is not available: "), "{source}: {error}");
        assert_eq!(error.span.start, 0, "{source}: {error}");
    }
    for internal in ["error_empty", "matches(1; 2)", "key_values", "halt(1)", "debug_empty", "escape_sh"] {
        refusal(internal);
    }
}

#[test]
fn programs_that_may_never_end_are_refused() {
    let recursive = [
        "def f: f; f",
        "def f: def g: f; g; f",
        "def f(g): g | f(g); f(.)",
        "def f: map(f); f",
        "def f($n): if $n > 0 then f($n - 1) else . end; f(3)",
        "def @f: @f \"x\"; @f",
    ];
    for source in recursive {
        assert!(refusal(source).message.contains("calls itself"), "{source}");
    }
    for source in ["recurse(.a)", "recurse(.; true)", "repeat(.)", "while(true; .)", "until(false; .)"] {
        assert!(refusal(source).message.contains("never end"), "{source}");
    }
    check(&[
        ("1", "def f: 1; def g: f; def f: g + 1; f", "2"),
        ("1", "def f(f): f; f(. + 1)", "2"),
        ("1", "def until: 5; until", "5"),
        ("[1,[2]]", "[recurse] | length", "4"),
    ]);
}

#[test]
fn running_out_of_fuel_ends_the_run_and_cannot_be_caught() {
    let twice = "(., .) | ".repeat(40);
    let sources = [
        "[range(1e9)] | add".to_owned(),
        "try ([range(1e9)] | add) catch 0".to_owned(),
        "[range(1e9)?] | length".to_owned(),
        "first(range(1e9) | select(false)) // 1".to_owned(),
        "[range(0; 1; 0)]".to_owned(),
        "last(range(0; -1; 1e-9))?, last(range(1e12))".to_owned(),
        format!("reduce ({twice} .) as $x (0; .)"),
        format!("isempty({twice} empty)"),
        "reduce range(60) as $i (1; [., .]) | tojson".to_owned(),
        "reduce range(60) as $i (1; [., .]) | [..] | length".to_owned(),
        "[range(60)] | reduce .[] as $i ([1,1]; {a: ., b: .}) == 1 // (reduce range(40) as $i (1; [., .]) == reduce range(40) as $i (1; [., .]))".to_owned(),
        "reduce range(1e5) as $i ([]; [range(1e4)])".to_owned(),
        r#"("a" * 1e6) as $t | reduce range(1e4) as $i (0; $t | test("(a|b)*c"))"#.to_owned(),
    ];
    let budget = Budget { fuel: 100_000, ..Budget::default() };
    for source in sources {
        let error = compile(&source).run_all(&Value::Null, &[], &budget).map(|_| ());
        assert_eq!(error, Err(RunError::OutOfFuel { fuel: 100_000 }), "{source}");
    }
}

#[test]
fn growth_is_capped() {
    let budget = Budget { text_max: 10_000, output_max: 1_000, ..Budget::default() };
    let cases = [
        (r#""x" * 1e9"#, RunError::TextTooLong { max: 10_000 }),
        (r#"reduce range(60) as $i ("x"; . + .)"#, RunError::TextTooLong { max: 10_000 }),
        (r#"[range(1000) | "0123456789abcdef"] | join(",")"#, RunError::TextTooLong { max: 10_000 }),
        ("[range(2000)]", RunError::OutputTooLarge { max: 1_000 }),
        ("reduce range(60) as $i (1; [., .])", RunError::OutputTooLarge { max: 1_000 }),
        ("reduce range(5000) as $i (1; [.])", RunError::TooDeep { max: 256 }),
        ("reduce range(5000) as $i ([0]; .[0] = .)", RunError::TooDeep { max: 256 }),
        ("reduce range(5000) as $i ({}; {a: .})", RunError::TooDeep { max: 256 }),
        ("[range(5000) | \"a\"] as $p | setpath($p; 1)", RunError::TooDeep { max: 256 }),
        ("(reduce range(1e5) as $i (.; .)) |= 1", RunError::TooDeep { max: 256 }),
        (r#""/w==" | @base64d"#, RunError::NotText),
    ];
    for (source, expected) in cases {
        let outcome = compile(source).run(&Value::Null, &[], &budget).map(|_| ());
        assert_eq!(outcome, Err(expected), "{source}");
    }
}

#[test]
fn a_value_taken_apart_and_put_back_does_not_count_as_deep() {
    let source = "reduce range(2000) as $i ({a: {}}; .a.b = 1 | .a = {c: .a.b} | {a: {d: .a.c}} | .a |= {b: .d})";
    assert_eq!(run(source, "null").unwrap(), value!({"a": {"b": 1}}));
}

#[test]
fn sources_that_would_overflow_the_stack_are_refused() {
    let sources = [
        "[".repeat(30_000),
        "(".repeat(100) + "1" + &")".repeat(100),
        "1|".repeat(5_000) + "1",
        "-".repeat(5_000) + "1",
        "if 1 then ".repeat(2_000),
        "1 + ".repeat(400) + "1",
        "x".repeat(40_000),
    ];
    for source in sources {
        assert!(Program::compile(&source, &[]).is_err(), "{}", &source[..20]);
    }
}

#[test]
fn a_wide_object_is_no_deep_one() {
    let fields: Vec<String> = (0..190).map(|n| format!("f{n}: .a")).collect();
    let output = run(&format!("{{{}}}", fields.join(", ")), r#"{"a":1}"#).unwrap();
    assert_eq!(output.as_obj().unwrap().len(), 190);
    assert_eq!(output.as_obj().unwrap().keys().next().map(|key| &**key), Some("f0"));
}

#[test]
fn reads_are_found_in_the_text() {
    let cases: [(&str, &[&str]); 20] = [
        (".a.b", &[".a.b"]),
        (".a[].b", &[".a[].b"]),
        (".lines | map(.sku)", &[".lines", ".lines[].sku"]),
        ("[.lines[] | {s: .sku, p: (.price + .tax)}]", &[".lines[]", ".lines[].sku", ".lines[].price", ".lines[].tax"]),
        (".a as $x | $x.b", &[".a", ".a.b"]),
        (". as {a: $x, $b} | $x.c", &[".a", ".b", ".a.c"]),
        ("def m: {amount: .v}; .price | m", &[".price", ".price.v"]),
        ("def m(f): f | .v; m(.price)", &[".price", ".price.v"]),
        ("def m($p): $p.v; m(.price)", &[".price", ".price.v"]),
        ("{a: .x} | .a.b", &[".x", ".x.b"]),
        ("{x} | .x.y", &[".x", ".x.y"]),
        ("$market.currency", &["$market.currency"]),
        (r#"."odd key".x"#, &[".odd key.x"]),
        (".new = .old | .new", &[".old"]),
        (".n += .by", &[".n", ".by"]),
        ("\"\\(.a) and \\(.b)\"", &[".a", ".b"]),
        (".lines[0].sku, (.lines | first | .name)", &[".lines[].sku", ".lines", ".lines[].name"]),
        ("if .a then .b else .c end", &[".c", ".a", ".b"]),
        ("reduce .l[] as $x (0; . + $x.q)", &[".l[]", ".l[].q"]),
        ("select(.a == 1) | .b", &[".a", ".b"]),
    ];
    for (source, expected) in cases {
        let program = Program::compile(source, &["market"]).unwrap_or_else(|error| panic!("{source}: {error}"));
        let reads: Vec<String> = program.reads().iter().map(ToString::to_string).collect();
        assert_eq!(reads, expected, "{source}");
    }
}

#[test]
fn a_read_has_its_place_in_the_source() {
    let source = r#"{n: .order.number, q: ."odd key"} | .z"#;
    let program = compile(source);
    let parts: Vec<&str> = program.reads().iter().map(|read| &source[read.span.clone()]).collect();
    assert_eq!(parts, [".order.number", r#"."odd key""#]);
}

#[test]
fn programs_are_shared_between_threads() {
    let program = compile("[.[] | . * 2] | add");
    std::thread::scope(|scope| {
        let runs: Vec<_> = (1..5_i64)
            .map(|n| {
                let program = &program;
                scope.spawn(move || program.run(&value!([n, 0]), &[], &Budget::default()))
            })
            .collect();
        for (run, n) in runs.into_iter().zip(1..) {
            assert_eq!(run.join().unwrap(), Ok(Value::from(2 * n)));
        }
    });
}

#[test]
fn every_filter_of_the_library_compiles() {
    for (name, arity) in library::NAMES.iter() {
        let arguments = vec!["."; *arity].join("; ");
        let source = if *arity == 0 { (*name).to_owned() } else { format!("{name}({arguments})") };
        compile(&source);
    }
    for used in ["map", "select", "gsub", "money", "@csv", "del", "paths", "unique_by"] {
        assert!(library::NAMES.iter().any(|(name, _)| *name == used), "{used}");
    }
}

#[test]
fn what_compiles_has_the_stack_to_run() {
    let chains = [
        ". | ".repeat(190) + ".",
        "1 + ".repeat(190) + "1",
        "null // ".repeat(190) + "1",
        "(1, 1), ".repeat(60) + "1",
        ". as $x | ".repeat(95) + "$x",
        "if . then ".repeat(60) + "1" + &" else 2 end".repeat(60),
        "map(".repeat(60) + "." + &")".repeat(60),
        "try ".repeat(150) + "1",
        format!("\"{}\"", "\\(1)".repeat(190)),
        (0..95).map(|n| format!("def f{n}: . | f{}; ", n + 1)).rev().collect::<String>() + "f0",
    ];
    for chain in chains {
        let source = chain.replace("f95", "1");
        let program = compile(&source);
        let outcome = program.run_all(&json("[[]]"), &[], &Budget::default());
        assert!(!matches!(outcome, Err(RunError::TooDeep { .. })), "{}", &source[..40]);
    }
    // Near the limits of tokens, where the parser recurses most.
    for source in ["1|".repeat(1_900) + "1", "if 1 then ".repeat(490), "-".repeat(490) + "1", "try ".repeat(490) + "1"] {
        assert!(Program::compile(&source, &[]).is_err());
    }
}

/// What the short way is tried on: ordinary documents, and ones in which something is not what a program expects.
const INPUTS: &[&str] = &[
    "null",
    r#"{"a":{"b":1.50,"k":"x"},"items":[{"sku":"s1","q":2,"on":true,"n":"4.5"},{"sku":"s2","q":0,"n":"-1"},{"q":1,"n":"0"}],"s":"text","f":false,"c":"JPY"}"#,
    r#"{"a":[1],"items":{"x":1},"s":null}"#,
    r#"{"a":null,"items":[],"f":true,"s":"a#b#c"}"#,
    r#"{"items":[1,"two"],"a":"b","s":3,"c":"none"}"#,
    r#"{"items":[null,[],{"sku":7,"q":"2","n":"1e2"}],"a":{"b":"0.10"},"s":""}"#,
    r#"[{"a":1}]"#,
    "[[1,2],[3]]",
    r#""text""#,
    "7",
];

/// Compares the short way with the interpreter; how often it had a result.
fn ways_agree(source: &str) -> usize {
    let vars = [json(r#"{"a":1,"items":["s2",0]}"#)];
    let budget = Budget::default();
    let program = Program::compile(source, &["v"]).unwrap_or_else(|error| panic!("{source}: {error}"));
    let mut direct = 0;
    for input in INPUTS {
        let input = json(input);
        let Some(output) = program.run_straight(&input, &vars, &budget) else { continue };
        let told = program.interpret(&input, &vars, &budget, 2).unwrap_or_else(|error| panic!("{input} | {source}: {error}"));
        let told: Vec<String> = told.iter().map(Value::to_string).collect();
        assert_eq!([output.to_string()], *told, "{input} | {source}");
        direct += 1;
    }
    direct
}

#[test]
fn what_needs_no_interpreter_gives_what_the_interpreter_gives() {
    let straight = [
        ".",
        ".a.b",
        r#"."a"."b""#,
        ".a.b?",
        "$v.a",
        r#""lit\n""#,
        "1.50",
        "-1.5",
        "null",
        r#"{a, b: .a.b, "c d": "x", e: {f: $v}, a: 2}"#,
        "{}",
        "[]",
        "[empty]",
        "[.items[]]",
        "[.items[]?]",
        "[.items[].sku]",
        "[.items[] | .sku]",
        "[.items[][]]",
        "[.items[]?[]?]",
        "[.items[] | .q, .sku]",
        "[.items[]?, .a, .f]",
        r#"[.items[] | {sku, q: (.q // 7)}]"#,
        r#"[.items[] | select(.q > 0) | select(.on) | .sku]"#,
        ".items | map({sku})",
        ".items | map(select(.on) | .q, 1)",
        "[.items[] | select(.a == $v.a)]",
        r#".s // "none""#,
        ".f // .a",
        r#".a == {"b": 1.5, "k": "x"}"#,
        ".a < .s and .f",
        ".f or .a.b >= 1",
        r#"if .f then "yes" elif .s then .s else {no: .a} end"#,
        "if .f then 1 end",
        "[.items[]? | if .on then .q, .sku else empty end]",
        ".a | .b",
        ".a as $x | {x: $x, v: $v}",
        "[.items[] as $item | .a as $a | $item.q, $a.b]",
        "[.items[] as $one | .items[] as $two | select($one.q == $two.q) | $two.sku]",
        ". as $x | . as $x | [$x]",
        "[.items[] | .q as $q | {q: $q, s: ([$v.items[] | select(. == $q)][0])}]",
        ".items[0]",
        ".items[-1].sku",
        ".items[1.9]",
        ".a[.a.k]",
        "$v.items[$v.a]",
        r#"{"text": 1, "a": 2}[.s]"#,
        ".items[1:]",
        ".items[:-1]",
        ".items[-2:5]",
        ".a + 1",
        ".a.b - 0.1",
        ".a.b * 3 / 7",
        ".a.b % 1",
        ".items + .items",
        ".a + {b: 2, z: .s}",
        ".s + .c",
        ".s + null",
        ".items | length",
        "length",
        ".a.b | tonumber",
        ".a.b | tostring",
        "[.items[].n | tonumber] | add",
        "[.items[].sku] | add",
        "[.items[]?] | add // 0",
        "(.a.b | tonumber) * 3 / 7 | fixed(\"EUR\")",
        "[.items[]? | .n | fixed(\"KWD\")]",
        ".a.b | fixed($v.c // \"USD\")",
        "any(.items[]?; .on)",
        "all(.items[]; .q >= 0)",
        "[any(empty; .), all(empty; .)]",
        "with_entries(select(.value != null))",
        r#"with_entries(select(.key == "a" or .value == false))"#,
        "[.items[] | .q = ((.q + 1) | tostring)]",
        ".new = .a.b",
        ".f | not",
        r#".s | startswith("te")"#,
        r##".s | split("#")[1:] | join("#")"##,
        r#"{"x": 1}["x"] // error("no x")"#,
        r#"[.items[] | {sku, q: (if .q == 0 then null else .q end)} | with_entries(select(.value != null))]"#,
    ];
    for source in straight {
        assert!(ways_agree(source) > 0, "{source} is one of them");
    }
    let other = [
        ".a[]",
        "..",
        r#""\(.s)""#,
        "(.a, .s) // 1",
        "{a: .items[]}",
        ".items[1:] = 2",
        "first(.items[])",
        "[.a, .s] | .[]",
        "$v.a, 1",
    ];
    for source in other {
        assert_eq!(ways_agree(source), 0, "{source} is none of them");
    }
}

/// Programs put together at random from what the short way knows, and a few things it does not.
fn programs() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        ".",
        ".a",
        ".a.b",
        ".items",
        ".s",
        ".f",
        ".c",
        "$v",
        "$v.items",
        "1",
        "-2.5",
        "null",
        "true",
        "\"x\"",
        "[]",
        "{}",
        ".items[]?",
        ".[]?",
        "empty",
        ".items[0]",
        ".items[].q",
        "(.x, .y)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(5, 40, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (two.clone(), prop::sample::select(vec!["|", ",", "//", "and", "or", "==", "<", ">=", "+", "-", "*", "/", "%"]))
                .prop_map(|((l, r), op)| format!("({l} {op} {r})")),
            inner.clone().prop_map(|of| format!("[{of}]")),
            two.clone().prop_map(|(l, r)| format!("{{a: {l}, q: {r}}}")),
            two.clone().prop_map(|(l, r)| format!("({l} as $v | {r})")),
            two.clone().prop_map(|(l, r)| format!("[{l} | select({r})]")),
            two.clone().prop_map(|(l, r)| format!("any({l}; {r})")),
            two.clone().prop_map(|(l, r)| format!("all({l}; {r})")),
            two.clone().prop_map(|(l, r)| format!("(({l}) | .a = ({r}))")),
            two.prop_map(|(l, r)| format!("({l})[{r}]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(t, l, r)| format!("(if {t} then {l} else {r} end)")),
            (
                inner,
                prop::sample::select(vec![
                    "length",
                    "not",
                    "tonumber",
                    "tostring",
                    "add",
                    "map(.q)",
                    "map(.)",
                    ".a",
                    ".[0]",
                    ".[1:]",
                    "with_entries(select(.value))",
                    "fixed(\"EUR\")",
                    "startswith(\"t\")",
                    "split(\"e\")",
                    "join(\"-\")",
                    "tojson",
                    "error(\"no\")",
                ])
            )
                .prop_map(|(of, call)| format!("({of} | {call})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]
    #[test]
    fn both_ways_agree_on_any_program(source in programs()) {
        ways_agree(&source);
    }
}

#[test]
fn a_small_budget_is_kept_to_by_every_program() {
    let many = Value::from(vec![json("1"); 2_000]);
    let fuel = Budget { fuel: 500, ..Budget::default() };
    assert_eq!(compile("[.[] | .]").run(&many, &[], &fuel), Err(RunError::OutOfFuel { fuel: 500 }));
    let output = Budget { output_max: 100, ..Budget::default() };
    assert_eq!(compile("{a: .}").run(&many, &[], &output), Err(RunError::OutputTooLarge { max: 100 }));
}
