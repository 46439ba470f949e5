//! Signing in and out, and the theme.

use super::{
    assets,
    shell::{self, Theme, theme_of},
};
use crate::{
    app::App,
    auth::{Peer, roles::Actor},
    input::{Form, Query},
    problem::{Code, Problem},
};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page {
    theme: Theme,
    assets: &'static str,
    /// Nobody can sign in yet: the page asks for the first-run token and the first administrator.
    first_run: bool,
    /// The demo's token is asked for instead of a name.
    demo: bool,
    token: String,
    next: String,
    name: String,
    failure: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrival {
    #[serde(default)]
    next: String,
    /// From the address the demo prints. Reading it changes nothing: the form must be sent.
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
}

pub async fn show(State(app): State<App>, headers: HeaderMap, Query(arrival): Query<Arrival>) -> Result<Response, Problem> {
    let page = page(&app, &headers, arrival.next, arrival.token, String::new(), String::new());
    Ok(shell::html(shell::render(&page)?))
}

fn page(app: &App, headers: &HeaderMap, next: String, token: String, name: String, failure: String) -> Page {
    Page {
        theme: theme_of(headers),
        assets: assets::version(),
        first_run: app.auth.awaits_first_run(),
        demo: app.auth.offers_demo(),
        token,
        next,
        name,
        failure,
    }
}

pub async fn enter(
    State(app): State<App>,
    peer: Peer,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> Result<Response, Problem> {
    let now = app.hub.now();
    let name = entry.name.trim().to_lowercase();
    let entered = if !entry.token.is_empty() && app.auth.offers_demo() {
        app.auth.sign_in_to_demo(&entry.token, peer, now)
    } else if app.auth.awaits_first_run() {
        app.auth.first_run(&*app.store, &entry.token, &name, entry.password, peer, now).await
    } else {
        app.auth.sign_in(&name, entry.password, peer, now).await
    };
    match entered {
        Ok((cookie, actor)) => {
            app.read.record_audit(now, &actor, "signed in", &actor).await?;
            let mut response = Redirect::to(local(&entry.next)).into_response();
            set_cookie(&mut response, &cookie)?;
            Ok(response)
        }
        Err(problem) if matches!(problem.code, Code::SignInFailed | Code::InvalidRequest) => {
            if problem.code == Code::SignInFailed {
                app.read.record_audit(now, "stranger", "sign-in failed", &harmless(&name)).await?;
            }
            let page = page(&app, &headers, entry.next, entry.token, name, problem.detail.into_owned());
            Ok((StatusCode::UNAUTHORIZED, shell::html(shell::render(&page)?)).into_response())
        }
        Err(problem) => Err(problem),
    }
}

pub async fn leave(State(app): State<App>, actor: Actor, headers: HeaderMap) -> Result<Response, Problem> {
    let cookie = app.auth.sign_out(&headers);
    app.read.record_audit(app.hub.now(), &actor.name, "signed out", &actor.name).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    set_cookie(&mut response, &cookie)?;
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThemeChoice {
    theme: String,
    next: String,
    #[serde(rename = "_csrf", default)]
    _form_token: String,
}

pub async fn theme(Form(choice): Form<ThemeChoice>) -> Result<Response, Problem> {
    let theme = match choice.theme.as_str() {
        "dark" => "dark",
        "light" => "light",
        _ => return Err(Problem::new(Code::InvalidRequest, "A theme is `light` or `dark`.").at("theme")),
    };
    let mut response = Redirect::to(local(&choice.next)).into_response();
    set_cookie(&mut response, &format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly"))?;
    Ok(response)
}

/// Only a path of this console: an address given by a stranger leads nowhere else.
pub fn local(next: &str) -> &str {
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if next.starts_with('/') && !next.starts_with("//") && plain { next } else { "/" }
}

fn harmless(name: &str) -> String {
    name.chars().filter(|letter| letter.is_ascii_alphanumeric() || ".-_".contains(*letter)).take(64).collect()
}

fn set_cookie(response: &mut Response, cookie: &str) -> Result<(), Problem> {
    let value = HeaderValue::from_str(cookie).map_err(Problem::internal)?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn after_signing_in_nobody_is_sent_to_another_host() {
        assert_eq!(local("/orders?q=1"), "/orders?q=1");
        for elsewhere in ["", "//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "/a\r\nset-cookie: x"]
        {
            assert_eq!(local(elsewhere), "/", "{elsewhere}");
        }
    }
}
