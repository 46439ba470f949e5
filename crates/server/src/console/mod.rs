//! The console: pages rendered here, whole without JavaScript. With it, `live` swaps what changed, by region, in place.
//!
//! A page is a function from what the store and the hub tell to HTML; templates escape everything. Every act goes through a
//! page that says what will happen before it happens.

mod assets;
mod break_page;
mod command_page;
mod draw;
mod exceptions_page;
mod home_page;
mod live;
mod order_page;
mod order_view;
mod orders_page;
mod shell;
mod sign_in;
mod systems_page;
pub mod words;

pub use shell::{Theme, problem_page, theme_of};

use crate::{
    auth::roles::Action,
    route::{Access, Route, form, page},
};

pub fn routes() -> Vec<Route> {
    let signed_in = Access::To(Action::UseConsole);
    let command = Access::To(Action::CommandProcesses);
    let break_things = Access::To(Action::BreakThings);
    vec![
        page("/assets/{version}/{name}", Access::Public, assets::serve),
        page("/sign-in", Access::Public, sign_in::show),
        form("/sign-in", Access::Public, sign_in::enter),
        form("/sign-out", signed_in, sign_in::leave),
        form("/theme", signed_in, sign_in::theme),
        page("/", signed_in, home_page::show),
        page("/orders", Access::To(Action::ReadOrders), orders_page::show),
        page("/orders/{channel}/{site}/{number}", Access::To(Action::ReadOrders), order_page::show),
        form("/orders/{channel}/{site}/{number}/reveal", Access::To(Action::Reveal), order_page::reveal),
        page("/processes/{id}/commands/{command}", command, command_page::ask),
        form("/processes/{id}/commands/{command}", command, command_page::act),
        page("/exceptions", Access::To(Action::ReadProcesses), exceptions_page::show),
        page("/systems", Access::To(Action::ReadSystems), systems_page::show),
        page("/break", break_things, break_page::show),
        form("/break/{system}", break_things, break_page::set),
        form("/break/orders", break_things, break_page::place),
        page("/live", signed_in, live::stream),
    ]
}
