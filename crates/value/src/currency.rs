//! How many minor units a currency has, by ISO 4217.
//!
//! Codes that left the standard in recent years stay in the table, because old orders still name
//! them. Metals, funds and test codes are absent: nobody is charged in gold.

/// The number of digits after the point: 2 for USD, 0 for JPY, 3 for KWD; `None` for an unknown code.
pub fn exponent(code: &str) -> Option<u32> {
    let holds = |codes: &str| codes.split_ascii_whitespace().any(|held| held == code);
    if code.len() != 3 {
        return None;
    }
    [(2, TWO), (0, ZERO), (3, THREE), (4, FOUR)].into_iter().find(|(_, codes)| holds(codes)).map(|(n, _)| n)
}

const ZERO: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";

const TWO: &str = "USD EUR GBP CAD AUD CHF SEK NOK DKK NZD CNY HKD SGD MXN BRL INR PLN CZK HUF RON \
    AED AFN ALL AMD ANG AOA ARS AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BSD BTN BWP BYN BZD CDF COP COU CRC CUP CUC \
    CVE DOP DZD EGP ERN ETB FJD FKP GEL GHS GIP GMD GTQ GYD HNL HRK HTG IDR ILS IRR JMD KES KGS KHR KPW KYD KZT LAK \
    LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MYR MZN NAD NGN NIO NPR PAB PEN PGK PHP PKR QAR RSD \
    RUB SAR SBD SCR SDG SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH UYU UZS VED VES \
    WST XCD XCG YER ZAR ZMW ZWG ZWL";

const THREE: &str = "BHD IQD JOD KWD LYD OMR TND";

const FOUR: &str = "CLF UYW";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_units_follow_the_standard() {
        let cases = [("USD", Some(2)), ("JPY", Some(0)), ("KWD", Some(3)), ("CLF", Some(4)), ("HUF", Some(2))];
        for (code, digits) in cases {
            assert_eq!(exponent(code), digits, "{code}");
        }
        for unknown in ["", "usd", "US", "XAU", "USD EUR", "ZZZ"] {
            assert_eq!(exponent(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn no_code_is_listed_twice() {
        let mut codes: Vec<&str> = [ZERO, TWO, THREE, FOUR].iter().flat_map(|c| c.split_ascii_whitespace()).collect();
        let listed = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), listed);
        assert!(codes.iter().all(|code| code.len() == 3));
    }
}
