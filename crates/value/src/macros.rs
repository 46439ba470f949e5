//! `value!`: JSON as it is written, with Rust expressions in it.

/// Builds a [`Value`](crate::Value) from JSON with Rust expressions for values.
///
/// `value!({"number": order.number, "lines": [1, {"sku": sku}], (key): null})`; a key that is not
/// a literal goes in parentheses. There is no float: write a decimal as a `Decimal` or as text.
#[macro_export]
macro_rules! value {
    (null) => { $crate::Value::Null };
    ([ $($items:tt)* ]) => { $crate::Value::from($crate::value_items!([] $($items)*)) };
    ({ $($entries:tt)* }) => {{
        #[allow(unused_mut)]
        let mut entries = $crate::Map::new();
        $crate::value_entries!(entries $($entries)*);
        $crate::Value::from(entries)
    }};
    ($value:expr) => { $crate::Value::from($value) };
}

/// One item after the other, for [`value!`]; those that are done are in the first brackets.
#[doc(hidden)]
#[macro_export]
macro_rules! value_items {
    ([ $($done:tt)* ]) => { ::std::vec::Vec::<$crate::Value>::from([ $($done)* ]) };
    ($done:tt null $(, $($rest:tt)*)?) => { $crate::value_items!(@then $done (null) $($($rest)*)?) };
    ($done:tt [ $($in:tt)* ] $(, $($rest:tt)*)?) => { $crate::value_items!(@then $done ([ $($in)* ]) $($($rest)*)?) };
    ($done:tt { $($in:tt)* } $(, $($rest:tt)*)?) => { $crate::value_items!(@then $done ({ $($in)* }) $($($rest)*)?) };
    (@then [ $($done:tt)* ] ($($value:tt)*) $($rest:tt)*) => {
        $crate::value_items!([ $($done)* $crate::value!($($value)*), ] $($rest)*)
    };
    ($done:tt $value:expr $(, $($rest:tt)*)?) => { $crate::value_items!(@then $done ($value) $($($rest)*)?) };
}

/// One entry after the other, for [`value!`].
#[doc(hidden)]
#[macro_export]
macro_rules! value_entries {
    ($to:ident) => {};
    ($to:ident $key:tt : null $(, $($rest:tt)*)?) => { $crate::value_entries!(@put $to $key (null) $($($rest)*)?) };
    ($to:ident $key:tt : [ $($in:tt)* ] $(, $($rest:tt)*)?) => { $crate::value_entries!(@put $to $key ([ $($in)* ]) $($($rest)*)?) };
    ($to:ident $key:tt : { $($in:tt)* } $(, $($rest:tt)*)?) => { $crate::value_entries!(@put $to $key ({ $($in)* }) $($($rest)*)?) };
    ($to:ident $key:tt : $value:expr $(, $($rest:tt)*)?) => { $crate::value_entries!(@put $to $key ($value) $($($rest)*)?) };
    (@put $to:ident $key:tt ($($value:tt)*) $($rest:tt)*) => {
        $to.insert($key, $crate::value!($($value)*));
        $crate::value_entries!($to $($rest)*);
    };
}
