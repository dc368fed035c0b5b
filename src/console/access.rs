//! Who may use the console: a token that is exchanged for a session, a client certificate, or the user header of a proxy.
//!
//! Only digests of tokens and sessions are kept. Sessions end after [`LIFETIME`], or [`IDLE`] after their last use.

use super::{Actor, Role};
use crate::settings::{self, ConsoleRole};
use aws_lc_rs::{hmac, rand};
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, COOKIE};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

/// Longest time of a session.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// Longest time of a session without a request.
const IDLE: Duration = Duration::from_secs(3600);
/// The most sessions. Beyond it the one that was used longest ago ends.
const SESSIONS: usize = 1_000;
/// The most failed logins in [`LOGIN_WINDOW`].
const FAILED_LOGINS: u32 = 10;
const LOGIN_WINDOW: Duration = Duration::from_secs(60);

/// The connection of a person's browser or program.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub address: Option<IpAddr>,
    /// The subject of a verified client certificate.
    pub subject: Option<String>,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
}

/// A person who may use the console.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name and role.
    pub actor: Actor,
    /// What a form has to contain, so that a page of someone else cannot send it.
    pub form_token: String,
    /// Whether a browser sends the credential by itself.
    pub is_ambient: bool,
    /// Whether it can be ended by logging out.
    pub has_session: bool,
}

/// Checks credentials and keeps the sessions.
pub struct Access {
    settings: settings::Console,
    /// SHA-256 of each token, in the order of the settings.
    tokens: Vec<[u8; 32]>,
    /// Key of the tokens of forms.
    form_key: hmac::Key,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sessions: HashMap<[u8; 32], Session>,
    /// Failed logins since the beginning of the window.
    failed: u32,
    window: Option<Instant>,
}

struct Session {
    actor: Actor,
    began: Instant,
    used: Instant,
}

impl Access {
    /// Makes the key of the forms. `None` if the system provides no random numbers.
    #[must_use]
    pub fn new(settings: settings::Console) -> Option<Self> {
        let key = random()?;
        let tokens = settings.tokens.iter().map(|token| digest(token.secret.expose()));
        Some(Self {
            tokens: tokens.collect(),
            form_key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            state: Mutex::default(),
            settings,
        })
    }

    /// The settings of the console.
    #[must_use]
    pub const fn settings(&self) -> &settings::Console {
        &self.settings
    }

    /// The name of the cookie. Browsers accept the prefix `__Host-` over TLS only.
    #[must_use]
    pub const fn cookie_name(&self) -> &'static str {
        if self.settings.tls.is_some() || self.settings.is_behind_tls {
            "__Host-hookgate"
        } else {
            "hookgate-session"
        }
    }

    /// Who sends a request with this head.
    #[must_use]
    pub fn identify(&self, headers: &HeaderMap, peer: &Peer, now: Instant) -> Option<Identity> {
        if let Some(token) = bearer(headers) {
            let actor = self.actor_of_token(token)?;
            return Some(self.identity(actor, "bearer", false, false));
        }
        if let Some(subject) = &peer.subject {
            let actor = self.person(subject);
            return Some(self.identity(actor, subject, true, false));
        }
        let is_proxy = peer.address.is_some_and(|peer| {
            self.settings
                .trusted_proxies
                .iter()
                .any(|network| network.contains(&peer))
        });
        if is_proxy && let Some(header) = &self.settings.user_header {
            let mut users = headers.get_all(header.as_str()).iter();
            let user = users.next().and_then(|user| user.to_str().ok()).map(str::trim);
            return user
                .filter(|user| !user.is_empty() && users.next().is_none())
                .map(|user| self.identity(self.person(user), user, true, false));
        }
        let id = cookie(headers, self.cookie_name())?;
        let key = digest(id.as_bytes());
        let mut state = self.state();
        let session = state.sessions.get_mut(&key)?;
        if now - session.began > LIFETIME || now - session.used > IDLE {
            state.sessions.remove(&key);
            return None;
        }
        session.used = now;
        let actor = session.actor.clone();
        drop(state);
        Some(self.identity(actor, id, true, true))
    }

    /// Exchanges a token for a session, and returns its id.
    ///
    /// # Errors
    /// `None` for a wrong token; `Some` with the seconds to wait after too many.
    pub fn log_in(&self, token: &str, now: Instant) -> Result<(String, Actor), Option<u64>> {
        let mut state = self.state();
        let since = state.window.map_or(LOGIN_WINDOW, |window| now - window);
        if since >= LOGIN_WINDOW {
            state.failed = 0;
            state.window = Some(now);
        }
        if state.failed >= FAILED_LOGINS {
            return Err(Some((LOGIN_WINDOW - since.min(LOGIN_WINDOW)).as_secs().max(1)));
        }
        let Some(actor) = self.actor_of_token(token) else {
            state.failed += 1;
            return Err(None);
        };
        let id = random().map(hex::encode).ok_or(None)?;
        state.sessions.retain(|_, session| now - session.used <= IDLE);
        if state.sessions.len() >= SESSIONS {
            let oldest = state.sessions.iter().min_by_key(|(_, session)| session.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                state.sessions.remove(&oldest);
            }
        }
        let session = Session {
            actor: actor.clone(),
            began: now,
            used: now,
        };
        state.sessions.insert(digest(id.as_bytes()), session);
        Ok((id, actor))
    }

    /// Ends the session of a request.
    pub fn log_out(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers, self.cookie_name()) {
            self.state().sessions.remove(&digest(id.as_bytes()));
        }
    }

    /// Whether a form token is that of this identity.
    #[must_use]
    pub fn is_form_token(&self, identity: &Identity, token: &str) -> bool {
        identity.form_token.as_bytes().ct_eq(token.as_bytes()).into()
    }

    fn identity(&self, actor: Actor, credential: &str, is_ambient: bool, has_session: bool) -> Identity {
        let tag = hmac::sign(&self.form_key, credential.as_bytes());
        Identity {
            form_token: hex::encode(tag.as_ref()),
            actor,
            is_ambient,
            has_session,
        }
    }

    fn actor_of_token(&self, token: &str) -> Option<Actor> {
        let given = digest(token.as_bytes());
        let mut found = None;
        // Every token is compared, so that the time does not show which one is close.
        for (known, settings) in self.tokens.iter().zip(&self.settings.tokens) {
            if bool::from(known.ct_eq(&given)) {
                found = Some(settings);
            }
        }
        found.map(|token| Actor {
            name: token.info.name.clone(),
            role: role(token.role),
        })
    }

    /// A person whom somebody else has authenticated.
    fn person(&self, name: &str) -> Actor {
        let is_operator = self.settings.operators.iter().any(|operator| operator == name);
        Actor {
            name: name.chars().take(128).collect(),
            role: if is_operator { Role::Operate } else { Role::View },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const fn role(role: ConsoleRole) -> Role {
    match role {
        ConsoleRole::View => Role::View,
        ConsoleRole::Operate => Role::Operate,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::secret::Secret;
    use crate::settings::{Console, ConsoleToken, SecretInfo, SecretSource, Variables};

    fn access() -> Access {
        let token = |name: &str, role, secret: &str| ConsoleToken {
            info: SecretInfo {
                name: name.into(),
                source: SecretSource::Env("T".into()),
                retired: false,
            },
            role,
            secret: Secret::new(secret.into()),
        };
        Access::new(Console {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            hosts: Vec::new(),
            tokens: vec![
                token("anna", ConsoleRole::Operate, "token-of-anna"),
                token("wall", ConsoleRole::View, "token-of-wall"),
            ],
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            user_header: Some("x-forwarded-user".into()),
            operators: vec!["ops@example.com".into()],
            is_behind_tls: false,
            variables: Variables::default(),
        })
        .unwrap()
    }

    fn peer(address: &str) -> Peer {
        Peer {
            address: address.parse().ok(),
            subject: None,
            is_tls: false,
        }
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_end_by_age_idleness_and_logging_out() {
        let access = access();
        let mut now = Instant::now();
        let stranger = peer("192.0.2.1");
        let (id, actor) = access.log_in("token-of-anna", now).unwrap();
        assert_eq!((actor.name.as_str(), actor.role), ("anna", Role::Operate));
        let with = headers("cookie", &format!("a=b; hookgate-session={id}"));
        assert!(access.identify(&with, &stranger, now).unwrap().has_session);
        for _ in 0..9 {
            now += Duration::from_secs(3000);
            let is_young = now - Instant::now() <= LIFETIME;
            assert_eq!(access.identify(&with, &stranger, now).is_some(), is_young);
        }
        let now = Instant::now();
        let (id, _) = access.log_in("token-of-wall", now).unwrap();
        let with = headers("cookie", &format!("hookgate-session={id}"));
        assert!(
            access
                .identify(&with, &stranger, now + IDLE + Duration::from_secs(1))
                .is_none()
        );
        let (id, _) = access.log_in("token-of-wall", now).unwrap();
        let with = headers("cookie", &format!("hookgate-session={id}"));
        access.log_out(&with);
        assert!(access.identify(&with, &stranger, now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failed_logins_are_limited() {
        let access = access();
        let now = Instant::now();
        for _ in 0..FAILED_LOGINS {
            assert_eq!(access.log_in("guess", now).unwrap_err(), None);
        }
        assert!(access.log_in("token-of-anna", now).unwrap_err().is_some());
        assert!(access.log_in("token-of-anna", now + LOGIN_WINDOW).is_ok());
    }

    #[tokio::test]
    async fn only_a_trusted_proxy_names_a_user() {
        let access = access();
        let now = Instant::now();
        let user = headers("x-forwarded-user", "ops@example.com");
        assert!(access.identify(&user, &peer("192.0.2.1"), now).is_none());
        let found = access.identify(&user, &peer("10.1.2.3"), now).unwrap();
        assert_eq!(found.actor.role, Role::Operate);
        let other = headers("x-forwarded-user", "eve");
        assert_eq!(
            access.identify(&other, &peer("10.1.2.3"), now).unwrap().actor.role,
            Role::View
        );
        let mut twice = user;
        twice.append("x-forwarded-user", "eve".parse().unwrap());
        assert!(access.identify(&twice, &peer("10.1.2.3"), now).is_none());
        let token = headers("authorization", "Bearer token-of-wall");
        let found = access.identify(&token, &peer("192.0.2.1"), now).unwrap();
        assert_eq!((found.actor.role, found.is_ambient), (Role::View, false));
        assert!(
            access
                .identify(&headers("authorization", "Bearer x"), &peer("192.0.2.1"), now)
                .is_none()
        );
    }
}
